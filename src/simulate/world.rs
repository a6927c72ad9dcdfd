//! The hidden world: users with lasting tastes, devices and ids, drawn once from the seed. The
//! engine never sees it; it sees bid requests, events and clicks that come of it.

use super::consent::Choice;
use super::goods::Goods;
use super::random::{Purpose, Weighted, normal, stream};
use super::spec::{Category, Medium, Publisher, Spec};
use crate::hash::mix;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Users of one world are numbered in a `u32`; more than this would not fit a laptop's memory.
const USERS_MAX: usize = 10_000_000;
/// Long-term tastes of one user.
const TASTES: usize = 3;

/// What the exchange is told about a campaign: whose ad it is and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ad {
    /// The advertiser's name.
    pub advertiser: String,
    /// Its product category.
    pub category: String,
}

/// The ads of the engine under test, by campaign name. An ad outside this list matches nobody.
pub type Ads = BTreeMap<String, Ad>;

/// What a user is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserId {
    /// A device's advertising id.
    Ifa(String),
    /// The exchange's id.
    User(String),
    /// The bidder's own id, as the exchange keeps it.
    Buyer(String),
    /// Nothing.
    Anonymous,
}

/// The device of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// An Android phone.
    Android,
    /// An iPhone.
    Iphone,
    /// A tablet.
    Tablet,
    /// A computer.
    Computer,
}

/// A user of the hidden world.
#[derive(Clone, Debug)]
pub struct User {
    /// What requests and events call him.
    pub id: UserId,
    /// His device.
    pub device: Device,
    /// Index of his country in the spec.
    pub country: usize,
    /// What he allows.
    pub choice: Choice,
    /// Lasting tastes: category and strength (0 to 1).
    pub tastes: [(u16, f64); TASTES],
    /// Sessions relative to others.
    pub activity: f64,
    /// Added to the log-odds of each click.
    pub readiness: f64,
}

/// A world: the spec, the users, and what belongs together. Everything that a day draws from.
#[derive(Clone, Debug)]
pub struct World {
    pub(super) seed: u64,
    pub(super) spec: Spec,
    /// The spec's categories, then those that only ads name.
    pub(super) categories: Vec<Category>,
    pub(super) users: Vec<User>,
    pub(super) ads: Ads,
    /// Advertisers whose shops sell a category; by category.
    pub(super) shops: Vec<Vec<String>>,
    pub(super) popularity: Weighted,
    pub(super) activity: Weighted,
    pub(super) goods: Goods,
    category_by_name: BTreeMap<String, u16>,
}

impl World {
    /// Draws the world of `seed` with `users` users (1 to 10 million) and tells its exchange which
    /// ads there are.
    #[must_use]
    pub fn new(spec: Spec, ads: Ads, users: usize, seed: u64) -> Self {
        let mut categories = spec.category.clone();
        for ad in ads.values() {
            if !categories.iter().any(|category| category.name == ad.category) {
                categories.push(Category {
                    name: ad.category.clone(),
                    group: String::new(),
                    weight: 0.5,
                    order_usd: 100.0,
                });
            }
        }
        let numbered = categories.iter().zip(0u16..);
        let category_by_name =
            numbered.map(|(category, number)| (category.name.clone(), number)).collect();
        let popularity = Weighted::new(categories.iter().map(|category| category.weight));
        let countries = Weighted::new(spec.country.iter().map(|country| country.weight));
        let draw = |number: usize| {
            let mut rng = stream(seed, Purpose::User, number as u64);
            draw_user(&spec, &popularity, &countries, &mut rng)
        };
        let users: Vec<_> = (0..users.clamp(1, USERS_MAX)).map(draw).collect();
        let activity = Weighted::new(users.iter().map(|user: &User| user.activity));
        let shops = shops(&categories, &ads, seed);
        let goods = Goods::default();
        Self {
            seed,
            spec,
            categories,
            users,
            ads,
            shops,
            popularity,
            activity,
            goods,
            category_by_name,
        }
    }

    /// The seed that this world was drawn from.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// How many users live here.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// The category of a campaign's ads; `None` for a campaign that nobody told us about.
    pub(super) fn category_of(&self, campaign: &str) -> Option<u16> {
        self.numbered(&self.ads.get(campaign)?.category)
    }

    /// The number of a category that somebody looks for.
    pub(super) fn numbered(&self, category: &str) -> Option<u16> {
        self.category_by_name.get(category).copied()
    }

    pub(super) fn category(&self, number: u16) -> &Category {
        &self.categories[usize::from(number) % self.categories.len()]
    }

    pub(super) fn publisher(&self, number: u16) -> &Publisher {
        &self.spec.publisher[usize::from(number) % self.spec.publisher.len()]
    }

    pub(super) fn user(&self, number: u32) -> &User {
        &self.users[number as usize % self.users.len()]
    }

    /// Whether this user can meet ads of this publisher: apps need a mobile device.
    pub(super) fn reaches(user: &User, publisher: &Publisher) -> bool {
        publisher.medium == Medium::Site || user.device != Device::Computer
    }
}

fn draw_user(
    spec: &Spec,
    popularity: &Weighted,
    countries: &Weighted,
    rng: &mut ChaCha8Rng,
) -> User {
    let device = match rng.random::<f64>() {
        point if point < 0.36 => Device::Android,
        point if point < 0.6 => Device::Iphone,
        point if point < 0.68 => Device::Tablet,
        _ => Device::Computer,
    };
    let raw = rng.random::<u64>();
    let id = match (device, rng.random::<f64>()) {
        (_, point) if point < 0.08 => UserId::Anonymous,
        (Device::Computer, point) if point < 0.6 => UserId::User(format!("u-{raw:016x}")),
        (Device::Computer, _) => UserId::Buyer(format!("b-{raw:016x}")),
        (_, point) if point < 0.8 => UserId::Ifa(uuid(raw)),
        (_, point) if point < 0.9 => UserId::User(format!("u-{raw:016x}")),
        _ => UserId::Buyer(format!("b-{raw:016x}")),
    };
    let country = countries.pick(rng);
    let taste = |rng: &mut ChaCha8Rng| (popularity.pick(rng) as u16, rng.random_range(0.4..1.0));
    User {
        id,
        device,
        country,
        choice: Choice::draw(spec.country[country].law, rng),
        tastes: std::array::from_fn(|_| taste(rng)),
        activity: (0.6 * normal(rng)).exp(),
        readiness: spec.click.user_sd * normal(rng),
    }
}

/// For each category the advertisers that sell it; where nobody does, one that sells anything.
fn shops(categories: &[Category], ads: &Ads, seed: u64) -> Vec<Vec<String>> {
    let mut all: Vec<_> = ads.values().map(|ad| ad.advertiser.clone()).collect();
    all.sort();
    all.dedup();
    let of = |(number, category): (usize, &Category)| {
        let selling = ads.values().filter(|ad| ad.category == category.name);
        let mut names: Vec<_> = selling.map(|ad| ad.advertiser.clone()).collect();
        names.sort();
        names.dedup();
        if names.is_empty() && !all.is_empty() {
            let mut rng = stream(seed, Purpose::Shop, number as u64);
            names.push(all[rng.random_range(0..all.len())].clone());
        }
        names
    };
    categories.iter().enumerate().map(of).collect()
}

/// A version 4 UUID's spelling.
fn uuid(raw: u64) -> String {
    let low = mix(raw);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        raw >> 32,
        raw >> 16 & 0xffff,
        raw & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ads() -> Ads {
        let ad = |advertiser: &str, category: &str| Ad {
            advertiser: advertiser.to_owned(),
            category: category.to_owned(),
        };
        [("a", ad("acme", "running-shoes")), ("b", ad("bolt", "zeppelins"))]
            .map(|(name, ad)| (name.to_owned(), ad))
            .into()
    }

    #[test]
    fn a_seed_draws_one_world() {
        let ids = |seed| {
            let world = World::new(Spec::built_in().expect("good"), ads(), 50, seed);
            world.users.iter().map(|user| format!("{user:?}")).collect::<Vec<_>>()
        };
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7), ids(8));
    }

    #[test]
    fn categories_that_only_ads_name_exist_and_every_category_has_a_shop() {
        let world = World::new(Spec::built_in().expect("good"), ads(), 5, 1);
        let number = world.category_of("b").expect("known");
        assert_eq!(world.category(number).name, "zeppelins");
        assert_eq!(world.shops[usize::from(number)], ["bolt"]);
        assert!(world.shops.iter().all(|shop| !shop.is_empty()));
        assert_eq!(world.category_of("nobody's"), None);
    }

    #[test]
    fn users_have_every_kind_of_id() {
        let world = World::new(Spec::built_in().expect("good"), ads(), 2_000, 1);
        let count = |is: fn(&UserId) -> bool| world.users.iter().filter(|u| is(&u.id)).count();
        assert!((80..260).contains(&count(|id| matches!(id, UserId::Anonymous))));
        assert!(count(|id| matches!(id, UserId::Ifa(_))) > 600);
        assert!(count(|id| matches!(id, UserId::User(_))) > 200);
        assert!(count(|id| matches!(id, UserId::Buyer(_))) > 200);
        assert_eq!(uuid(3).len(), 36);
    }
}
