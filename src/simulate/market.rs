//! The competition: what others bid for each imp, and who wins. Drawn from the imp alone, so that
//! two engines under test meet the same prices.

use super::random::{Purpose, log_normal, stream};
use super::request::{Imp, Opportunity};
use super::world::World;
use crate::units::{Micros, Timestamp};

/// Standard deviation of the logarithm of a competing price.
const SIGMA: f64 = 0.6;
/// How much dearer the evening (20:00 UTC) is than the mean.
const EVENING: f64 = 0.2;

/// How an imp was sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sale {
    /// To us; the price that we pay.
    Won(Micros),
    /// To somebody else, or to nobody.
    Lost {
        /// OpenRTB loss reason: 100 below floor, 102 outbid.
        reason: u32,
        /// What would have won.
        needed: Micros,
    },
}

impl World {
    /// The highest competing bid for imp number `position`, a CPM in US dollars.
    #[must_use]
    pub fn competing_price(&self, opportunity: &Opportunity, position: usize) -> Micros {
        let number = opportunity.number.rotate_left(8) ^ position as u64;
        let mut rng = stream(self.seed, Purpose::Market, number);
        let slot = opportunity.slots.get(position).map_or(1.0, |slot| slot.median_price());
        let median = slot * self.publisher(opportunity.publisher).price * hour(opportunity.at);
        Micros::from_cpm_f64(log_normal(&mut rng, median, SIGMA)).unwrap_or(Micros::ZERO)
    }
}

/// The price level over the day around 1.
fn hour(at: Timestamp) -> f64 {
    let day = at.0.rem_euclid(86_400_000) as f64 / 86_400_000.0;
    1.0 + EVENING * ((day - 20.0 / 24.0) * std::f64::consts::TAU).cos()
}

/// Sells an imp: we win with a price at or above the competition and the floor, and pay our bid
/// (first price) or what we had to beat (second price, `at` 2).
#[must_use]
pub fn sell(at: u8, bid: Micros, floor: Micros, competing: Micros) -> Sale {
    let needed = competing.max(floor);
    if bid < floor {
        return Sale::Lost { reason: 100, needed };
    }
    if bid < competing {
        return Sale::Lost { reason: 102, needed };
    }
    Sale::Won(if at == 2 { needed } else { bid })
}

impl Imp {
    /// The floor for a bid under this deal; `None` where the deal is not on offer, or where there
    /// is none and the auction is private.
    #[must_use]
    pub fn floor_for(&self, deal: Option<&str>) -> Option<Micros> {
        match deal {
            None => (!self.private).then_some(self.floor),
            Some(id) => {
                self.deals.iter().find(|(offered, _)| offered == id).map(|(_, floor)| *floor)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Ads, Seen, SlotKind, Spec};
    use smallvec::smallvec;

    #[test]
    fn sales_follow_the_rules() {
        for (at, bid, floor, competing, expected) in [
            (1, 900, 100, 800, Sale::Won(Micros(900))),
            (2, 900, 100, 800, Sale::Won(Micros(800))),
            (2, 900, 850, 800, Sale::Won(Micros(850))),
            (2, 800, 0, 800, Sale::Won(Micros(800))),
            (1, 799, 0, 800, Sale::Lost { reason: 102, needed: Micros(800) }),
            (1, 700, 750, 100, Sale::Lost { reason: 100, needed: Micros(750) }),
        ] {
            assert_eq!(sell(at, Micros(bid), Micros(floor), Micros(competing)), expected);
        }
    }

    #[test]
    fn private_auctions_take_deal_bids_only() {
        let mut imp = Imp {
            id: "1".into(),
            slot: SlotKind::Feed,
            floor: Micros(5),
            deals: smallvec![("d".to_owned(), Micros(9))],
            private: false,
        };
        assert_eq!(imp.floor_for(None), Some(Micros(5)));
        assert_eq!(imp.floor_for(Some("d")), Some(Micros(9)));
        assert_eq!(imp.floor_for(Some("e")), None);
        imp.private = true;
        assert_eq!(imp.floor_for(None), None);
    }

    #[test]
    fn prices_are_the_imps_own() {
        let world = World::new(Spec::built_in().expect("good"), Ads::new(), 5, 1);
        let mut prices: Vec<_> = (0..1_001)
            .map(|number| {
                let at = Timestamp(20 * 3_600_000);
                let slots = smallvec![SlotKind::Rectangle, SlotKind::Instream];
                Opportunity {
                    number,
                    at,
                    user: 0,
                    intent: 0,
                    seen: Seen::new(),
                    publisher: 0,
                    slots,
                }
            })
            .map(|opportunity| {
                let first = world.competing_price(&opportunity, 0);
                assert_eq!(first, world.competing_price(&opportunity, 0));
                assert_ne!(first, world.competing_price(&opportunity, 1));
                first
            })
            .collect();
        prices.sort_unstable();
        // Rectangle 1.0, times the publisher's 8.8, times the evening's 1.2.
        assert!((9.2..12.0).contains(&prices[500].as_cpm_f64()), "{:?}", prices[500]);
    }
}
