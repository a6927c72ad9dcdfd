//! From a win curve to the best bid for each value, exactly and in advance.
//!
//! For one bid `b` what is earned, `F(b) V - b F(b)`, is a line in the value `V`. The best of some
//! bids is the upper envelope of their lines, whose corners are the values at which the best bid
//! changes; between two of them it is the same. A look-up is a binary search.

use crate::units::Micros;

/// The best bid for each value, by one win curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Values from which on the bid of the same place is best, rising; CPM micros.
    from: Vec<f64>,
    bids: Vec<Micros>,
    explores: bool,
}

impl Curve {
    /// From bids, CPM micros rising, and the chance that each wins.
    #[must_use]
    pub fn of(chances: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut corners: Vec<(f64, f64, f64)> = Vec::new(); // from, bid, chance
        for (bid, chance) in chances {
            let bid = bid.ceil();
            if !(bid >= 1.0 && bid < u64::MAX as f64 && chance > 0.0) {
                continue;
            }
            let mut from = bid; // below it, the bid would be above the value
            while let Some(&(last_from, last_bid, last_chance)) = corners.last() {
                if chance <= last_chance {
                    from = f64::INFINITY; // dearer and no likelier
                    break;
                }
                from = (bid * chance - last_bid * last_chance) / (chance - last_chance);
                if from > last_from {
                    break;
                }
                corners.pop();
                from = bid;
            }
            if from.is_finite() {
                corners.push((from, bid, chance));
            }
        }
        Self {
            from: corners.iter().map(|corner| corner.0).collect(),
            bids: corners.iter().map(|corner| Micros(corner.1 as u64)).collect(),
            explores: false,
        }
    }

    /// The same, of a market that only tells who won: now and then a bid is drawn.
    #[must_use]
    pub fn exploring(self) -> Self {
        Self { explores: true, ..self }
    }

    /// Whether some bids are to be drawn, so that the curve goes on learning.
    #[must_use]
    pub const fn explores(&self) -> bool {
        self.explores
    }

    /// The best bid for a value: at most the value, at least the floor where the value is. Below the
    /// lowest price ever seen nothing is known, and the value is bid.
    #[must_use]
    pub fn bid(&self, value: Micros, floor: Micros) -> Micros {
        let place = self.from.partition_point(|from| *from <= value.0 as f64);
        let best = place.checked_sub(1).and_then(|place| self.bids.get(place));
        best.map_or(value, |bid| *bid).max(floor).min(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a bid earns, by brute force over the same bids.
    fn best_by_search(chances: &[(f64, f64)], value: f64) -> f64 {
        let earned = chances.iter().map(|(bid, chance)| (value - bid.ceil()) * chance);
        earned.fold(0.0, f64::max)
    }

    proptest! {
        #[test]
        fn the_look_up_earns_what_a_search_would(
            steps in prop::collection::vec(0.0f64..1.0, 1..64),
            values in prop::collection::vec(1_000u64..100_000_000, 16),
        ) {
            let total: f64 = steps.iter().sum::<f64>().max(1e-9);
            let mut below = 0.0;
            let chances: Vec<_> = steps.iter().enumerate().map(|(place, step)| {
                below += step / total;
                ((10.0 + place as f64 * 0.087).exp(), below)
            }).collect();
            let curve = Curve::of(chances.iter().copied());
            for value in values {
                let bid = curve.bid(Micros(value), Micros::ZERO);
                prop_assert!(bid.0 <= value);
                let chance = chances.iter().take_while(|(one, _)| one.ceil() <= bid.0 as f64)
                    .last().map_or(0.0, |(_, chance)| *chance);
                let earned = (value as f64 - bid.0 as f64) * chance;
                let best = best_by_search(&chances, value as f64);
                prop_assert!(earned >= best * (1.0 - 1e-9) - 1e-6, "{earned} of {best} at {value}");
            }
        }

        #[test]
        fn a_bid_keeps_value_and_floor_and_rises_with_the_value(
            steps in prop::collection::vec(0.0f64..1.0, 0..64),
            one in any::<u64>(), other in any::<u64>(), floor in any::<u64>(),
        ) {
            let mut below = 0.0;
            let curve = Curve::of(steps.iter().enumerate().map(|(place, step)| {
                below += step;
                ((place as f64).exp(), below / 64.0)
            }));
            let (low, high) = (one.min(other), one.max(other));
            let bids = [low, high].map(|value| curve.bid(Micros(value), Micros(floor)));
            prop_assert!(bids[0].0 <= low && bids[1].0 <= high);
            prop_assert!(bids[0] >= Micros(floor.min(low)));
        }
    }

    #[test]
    fn hostile_curves_bid_the_value() {
        for chances in [vec![], vec![(f64::NAN, 0.5)], vec![(1e30, 0.5)], vec![(3.0, f64::NAN)]] {
            let curve = Curve::of(chances.into_iter());
            assert_eq!(curve.bid(Micros(500), Micros(100)), Micros(500));
        }
    }
}
