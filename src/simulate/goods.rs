//! What shops sell, and what makes one item of a category dearer to a user than another: a brand that
//! he likes, the price that he has in mind, and a style that no attribute says and only those who
//! browse alike show. All three are hidden; shops' pages and ads are not.

use super::random::{Purpose, normal, stream};
use super::world::World;
use crate::hash::{combine, stable};
use rand::RngExt;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Styles that items and users have.
const STYLES: u64 = 3;
/// Items that a user keeps in mind: what he looked at last.
const SEEN_MAX: usize = 4;

/// Positions among the world's items, newest first.
pub type Seen = SmallVec<[u16; SEEN_MAX]>;

/// What a shop sells, as its page says.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The advertiser whose shop it is.
    pub shop: String,
    /// The shop's own id.
    pub id: String,
    /// Its category's name.
    pub category: String,
    /// Empty where it has none.
    pub brand: String,
    /// In US dollars; 0 where the page names none.
    pub price_usd: f64,
}

/// What shops sell, and which items each ad shows.
#[derive(Clone, Debug, Default)]
pub struct Stock {
    /// At most 65,536.
    pub items: Vec<Item>,
    /// Positions in `items`, by the creative's name.
    pub shown: BTreeMap<String, Vec<u16>>,
}

/// The stock with what is hidden of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Goods {
    stock: Stock,
    /// One to one with the items.
    styles: Vec<u64>,
    /// By category, positions of its items.
    by_category: BTreeMap<u16, Vec<u16>>,
}

impl Goods {
    fn item(&self, good: u16) -> Option<&Item> {
        self.stock.items.get(usize::from(good))
    }

    fn of(&self, category: u16) -> &[u16] {
        self.by_category.get(&category).map_or(&[], Vec::as_slice)
    }
}

/// What a user would like best of a category.
struct Liking<'a> {
    brand: &'a str,
    ln_price: f64,
    style: u64,
}

/// Remembers that a user looked at an item.
pub(super) fn look(seen: &mut Seen, good: u16) {
    seen.retain(|one| *one != good);
    seen.truncate(SEEN_MAX - 1);
    seen.insert(0, good);
}

impl World {
    /// The same world with shops that sell these items. Those of categories that nobody looks for are
    /// left on the shelf.
    #[must_use]
    pub fn stocked(mut self, stock: Stock) -> Self {
        let style = |item: &Item| {
            let number = combine(stable(item.shop.as_bytes()), stable(item.id.as_bytes()));
            stream(self.seed, Purpose::Good, number).random_range(0..STYLES)
        };
        let mut by_category: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
        for (item, good) in stock.items.iter().zip(0..) {
            if let Some(category) = self.numbered(&item.category) {
                by_category.entry(category).or_default().push(good);
            }
        }
        let styles = stock.items.iter().map(style).collect();
        self.goods = Goods { stock, styles, by_category };
        self
    }

    /// An item of the stock.
    pub(super) fn good(&self, good: u16) -> Option<&Item> {
        self.goods.item(good)
    }

    /// The items that an ad shows.
    pub(super) fn shown_by(&self, creative: &str) -> &[u16] {
        self.goods.stock.shown.get(creative).map_or(&[], Vec::as_slice)
    }

    fn liking(&self, user: u32, category: u16) -> Option<Liking<'_>> {
        let goods = self.goods.of(category);
        let number = u64::from(user) << 16 | u64::from(category);
        let mut rng = stream(self.seed, Purpose::Liking, number);
        let favourite = goods.get(rng.random_range(0..goods.len().max(1)))?;
        let priced = goods.iter().filter_map(|good| self.good(*good));
        let prices = priced.map(|item| item.price_usd).filter(|price| *price > 0.0);
        let (sum, count) =
            prices.fold((0.0, 0.0), |(sum, count), price| (sum + price.ln(), count + 1.0));
        let ln_price = sum / f64::max(count, 1.0) + self.spec.goods.price_sd * normal(&mut rng);
        let style = stream(self.seed, Purpose::Style, user.into()).random_range(0..STYLES);
        Some(Liking { brand: &self.good(*favourite)?.brand, ln_price, style })
    }

    /// How dear an item is to somebody of this liking: log-odds, of no level.
    fn appeal(&self, liking: &Liking<'_>, good: u16) -> f64 {
        let spec = &self.spec.goods;
        let Some(item) = self.good(good) else { return 0.0 };
        let likes_brand = !item.brand.is_empty() && item.brand == liking.brand;
        let factors = (item.price_usd.ln() - liking.ln_price).abs() / std::f64::consts::LN_2;
        let likes_style = self.goods.styles.get(usize::from(good)) == Some(&liking.style);
        spec.brand * f64::from(u8::from(likes_brand))
            + spec.style * f64::from(u8::from(likes_style))
            - if item.price_usd > 0.0 { spec.price * factors } else { 0.0 }
    }

    /// What the items that an ad shows add to the log-odds of a click: how much dearer they are to the
    /// user than the mean of their category, and whether he looked at them lately.
    pub(super) fn good_effect(
        &self,
        user: u32,
        category: u16,
        creative: &str,
        seen: &[u16],
    ) -> f64 {
        let shown = self.shown_by(creative);
        let Some(liking) = self.liking(user, category).filter(|_| !shown.is_empty()) else {
            return 0.0;
        };
        let mean = |goods: &[u16]| {
            let sum: f64 = goods.iter().map(|good| self.appeal(&liking, *good)).sum();
            sum / goods.len().max(1) as f64
        };
        let is_seen = shown.iter().any(|good| seen.contains(good));
        mean(shown) - mean(self.goods.of(category))
            + if is_seen { self.spec.goods.looked_at } else { 0.0 }
    }

    /// The item of a category that a user looks at next: now and then one that he has seen, else by
    /// how dear each is to him. `None` where shops have nothing particular.
    pub(super) fn browse(
        &self,
        user: u32,
        category: u16,
        seen: &[u16],
        rng: &mut impl rand::Rng,
    ) -> Option<u16> {
        let (again, point) = (rng.random::<f64>(), rng.random::<f64>());
        let goods = self.goods.of(category);
        let known = seen.iter().find(|good| goods.contains(good));
        if let Some(good) = known.filter(|_| again < self.spec.goods.again) {
            return Some(*good);
        }
        let liking = self.liking(user, category)?;
        let weights: Vec<f64> =
            goods.iter().map(|good| self.appeal(&liking, *good).exp()).collect();
        let mut left = point * weights.iter().sum::<f64>();
        let found = weights.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        goods.get(found.unwrap_or(goods.len() - 1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Ad, Ads, Kind, Showing, Spec};
    use crate::units::Timestamp;

    fn item(id: &str, brand: &str, price_usd: f64) -> Item {
        Item {
            shop: "shop".into(),
            id: id.into(),
            category: "laptops".into(),
            brand: brand.into(),
            price_usd,
        }
    }

    fn world() -> World {
        let items: Vec<_> = (0..12)
            .map(|n| {
                item(&format!("l-{n}"), ["a", "b", "c"][n % 3], 400.0 * 1.3_f64.powi(n as i32))
            })
            .collect();
        let shown = (0..12_u16).map(|n| (format!("ad-{n}"), vec![n])).collect();
        let ad = Ad { advertiser: "shop".into(), category: "laptops".into() };
        World::new(Spec::built_in().expect("good"), Ads::from([("c".into(), ad)]), 400, 5)
            .stocked(Stock { items, shown })
    }

    #[test]
    fn what_a_user_browses_is_what_he_clicks() {
        let world = world();
        let laptops = world.numbered("laptops").expect("known");
        let (mut browsed, mut any) = (0.0, 0.0);
        for user in 0..400 {
            let mut rng = stream(1, Purpose::Session, user.into());
            let good = world.browse(user, laptops, &[], &mut rng).expect("an item");
            browsed += world.good_effect(user, laptops, &format!("ad-{good}"), &[]) / 400.0;
            let other = (user % 12).to_string();
            any += world.good_effect(user, laptops, &format!("ad-{other}"), &[]) / 400.0;
        }
        assert!(any.abs() < 0.1, "{any}: the mean of a category changes nothing");
        assert!(browsed > 0.4, "{browsed}");
    }

    #[test]
    fn an_item_that_was_looked_at_is_remembered_and_clicked() {
        let world = world();
        let laptops = world.numbered("laptops").expect("known");
        let mut seen = Seen::new();
        (0..6).for_each(|good| look(&mut seen, good));
        look(&mut seen, 3);
        assert_eq!(seen.as_slice(), [3, 5, 4, 2]);
        let effect = |seen: &[u16]| world.good_effect(7, laptops, "ad-3", seen);
        assert!((effect(&seen) - effect(&[]) - world.spec.goods.looked_at).abs() < 1e-9);
        assert_eq!(world.good_effect(7, laptops, "ad of no item", &seen), 0.0);
        let mut rng = stream(1, Purpose::Session, 1);
        let again = (0..500).filter(|_| world.browse(7, laptops, &[9], &mut rng) == Some(9));
        assert!(again.count() > 100);
        assert_eq!(world.browse(7, laptops + 1, &seen, &mut rng), None, "nothing on the shelf");
    }

    #[test]
    fn a_day_remembers_what_was_looked_at_and_clicks_follow() {
        let world = world();
        let mut looked = BTreeMap::new();
        let (mut asked, mut remembered) = (0, 0);
        for step in world.day(Timestamp(1_750_032_000_000), 4_000) {
            match step.kind {
                Kind::Events(events) => {
                    for event in events {
                        let Some(good) = event.good else { continue };
                        let line = world.event_line(&event, "sim");
                        let id =
                            format!("\"item\":\"{}\"", world.goods.stock.items[good as usize].id);
                        assert!(
                            line.contains(&id) && line.contains("\"advertiser\":\"shop\""),
                            "{line}"
                        );
                        looked.insert(event.user, good);
                    }
                }
                Kind::Request(page) => {
                    let Some(good) = looked.get(&page.user) else { continue };
                    asked += 1;
                    // Two sessions of one user may overlap.
                    remembered += usize::from(page.seen.first() == Some(good));
                    let creative = format!("ad-{good}");
                    let clicked = |seen: &[u16]| {
                        world.click_probability(&Showing {
                            at: page.at,
                            user: page.user,
                            intent: page.intent,
                            seen,
                            publisher: page.publisher,
                            slot: page.slots[0],
                            campaign: "c",
                            creative: &creative,
                        })
                    };
                    assert!(clicked(&[*good]) > 1.05 * clicked(&[]));
                }
            }
        }
        assert!(asked > 200 && remembered * 20 > asked * 19, "{remembered} of {asked}");
    }

    #[test]
    fn a_seed_draws_one_liking() {
        let effects = |world: &World| {
            let laptops = world.numbered("laptops").expect("known");
            (0..60).map(|user| world.good_effect(user, laptops, "ad-3", &[])).collect::<Vec<_>>()
        };
        assert_eq!(effects(&world()), effects(&world()));
        let mut other = world();
        other.seed = 6;
        assert_ne!(effects(&world()), effects(&other));
    }
}
