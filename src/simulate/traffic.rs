//! A day of users: sessions by the hours' curve, each a walk between shops (events) and
//! publishers' pages (bid requests), with an intent that lasts a while and then changes. One
//! time-ordered stream, the same for the same seed, whatever the engine does.

use super::goods::{Seen, look};
use super::random::{Purpose, Weighted, log_normal, stream};
use super::request::Opportunity;
use super::shop::{Behaviour, ShopEvent};
use super::slot::SlotKind;
use super::spec::Medium;
use super::world::World;
use crate::hash::combine;
use crate::units::Timestamp;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use smallvec::SmallVec;

/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 86_400_000;

/// Bid requests of an average session; with this the number of sessions follows from the requests.
const REQUESTS_PER_SESSION: f64 = 7.0;
/// Share of steps that are visits to a shop.
const SHOP_SHARE: f64 = 0.29;
/// Pages of one session: a person leaves sooner or later.
const PAGES_MAX: u32 = 60;
/// Steps of one day are held in memory, some 80 bytes each.
const REQUESTS_MAX: u64 = 50_000_000;

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A user was at a shop, whose server reports it.
    Events(Vec<ShopEvent>),
    /// A user opened a page with ads.
    Request(Opportunity),
}

/// One step of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: Kind,
}

impl World {
    /// The steps of the day that begins at `start`, in order of time, with about `requests` bid
    /// requests (at most 50 million).
    #[must_use]
    pub fn day(&self, start: Timestamp, requests: u64) -> Vec<Step> {
        let day = start.0.div_euclid(DAY_MS) as u64;
        let sessions = (requests.min(REQUESTS_MAX) as f64 / REQUESTS_PER_SESSION).ceil() as u64;
        let hours = Weighted::new(self.spec.hours.iter().copied());
        let mut rng = stream(self.seed, Purpose::Sessions, day);
        let mut starts: Vec<(i64, u32)> = Vec::new();
        for _ in 0..sessions {
            let within = rng.random_range(0..DAY_MS / 24);
            let at = hours.pick(&mut rng) as i64 * (DAY_MS / 24) + within;
            starts.push((start.0 + at, self.activity.pick(&mut rng) as u32));
        }
        starts.sort_unstable();
        // Intents and what was seen outlive a session: the walk of a user's sessions goes in order of time.
        let mut minds = vec![(None, Seen::new()); self.users.len()];
        let mut steps = Vec::new();
        for (number, (at, user)) in starts.into_iter().enumerate() {
            let number = combine(day, number as u64);
            let (intent, seen) = std::mem::take(&mut minds[user as usize]);
            let mut walk = Walk {
                world: self,
                rng: stream(self.seed, Purpose::Session, number),
                number: number << 8,
                user,
                at: Timestamp(at),
                intent,
                seen,
            };
            walk.run(start.plus_millis(DAY_MS), &mut steps);
            minds[user as usize] = (walk.intent, walk.seen);
        }
        steps.sort_by_key(|step: &Step| step.at); // stable: sessions keep their order
        steps
    }
}

/// One session under way.
struct Walk<'a> {
    world: &'a World,
    rng: ChaCha8Rng,
    number: u64,
    user: u32,
    at: Timestamp,
    intent: Option<u16>,
    seen: Seen,
}

impl Walk<'_> {
    fn run(&mut self, end: Timestamp, steps: &mut Vec<Step>) {
        if self.intent.is_none() || self.rng.random::<f64>() < 0.5 {
            self.intent = Some(self.new_intent());
        }
        let mut shop = self.rng.random::<f64>() < 0.6;
        let leave = (1.0 - SHOP_SHARE) / REQUESTS_PER_SESSION;
        for page in 0..PAGES_MAX {
            let kind = if shop { Kind::Events(self.visit(page)) } else { self.request(page) };
            steps.push(Step { at: self.at, kind });
            if self.rng.random::<f64>() < leave {
                break;
            }
            let pause = log_normal(&mut self.rng, 20_000.0, 0.8).clamp(1_000.0, 600_000.0);
            self.at = self.at.plus_millis(pause as i64);
            if self.at >= end {
                break;
            }
            if self.rng.random::<f64>() < 0.04 {
                self.intent = Some(self.new_intent());
            }
            shop = self.rng.random::<f64>() < SHOP_SHARE;
        }
    }

    /// Mostly one of the user's tastes, otherwise what people look for.
    fn new_intent(&mut self) -> u16 {
        let tastes = &self.world.user(self.user).tastes;
        if self.rng.random::<f64>() < 0.6 {
            tastes[self.rng.random_range(0..tastes.len())].0
        } else {
            self.world.popularity.pick(&mut self.rng) as u16
        }
    }

    fn intent(&self) -> u16 {
        self.intent.unwrap_or_default()
    }

    fn visit(&mut self, page: u32) -> Vec<ShopEvent> {
        let mut events = Vec::new();
        for position in 0..self.rng.random_range(1..=3_u32) {
            let category = match self.rng.random::<f64>() {
                point if point < 0.75 => self.intent(),
                point if point < 0.9 => self.world.user(self.user).tastes[0].0,
                _ => self.world.popularity.pick(&mut self.rng) as u16,
            };
            let behaviour = match self.rng.random::<f64>() {
                point if point < 0.18 => Behaviour::Search,
                point if point < 0.86 => Behaviour::View,
                point if point < 0.97 => Behaviour::AddToCart,
                _ => Behaviour::Purchase,
            };
            let good = self.world.browse(self.user, category, &self.seen, &mut self.rng);
            if let Some(good) = good {
                look(&mut self.seen, good);
            }
            events.push(ShopEvent {
                id: format!("e{:x}-{position}", self.number + u64::from(page)),
                at: self.at,
                user: self.user,
                behaviour,
                category,
                item: self.rng.random_range(0..40),
                good,
                click: None,
                advertiser: None,
            });
            if behaviour == Behaviour::Purchase && category == self.intent() {
                self.intent = Some(self.new_intent()); // what was bought is not looked for
                break;
            }
        }
        events
    }

    fn request(&mut self, page: u32) -> Kind {
        let publisher = self.publisher();
        let offered = &self.world.publisher(publisher).slots;
        let wanted = match self.rng.random::<f64>() {
            point if point < 0.75 => 1,
            point if point < 0.93 => 2,
            _ => 3,
        };
        let first = self.rng.random_range(0..offered.len());
        let slots: SmallVec<[SlotKind; 3]> =
            (0..wanted.min(offered.len())).map(|n| offered[(first + n) % offered.len()]).collect();
        Kind::Request(Opportunity {
            number: self.number + u64::from(page),
            at: self.at,
            user: self.user,
            intent: self.intent(),
            seen: self.seen.clone(),
            publisher,
            slots,
        })
    }

    /// A publisher by its traffic, its own topics preferred, apps mostly on phones.
    fn publisher(&mut self) -> u16 {
        let (world, user) = (self.world, self.world.user(self.user));
        let weight = |publisher: &super::spec::Publisher| {
            if !World::reaches(user, publisher) {
                return 0.0;
            }
            let liked = user.tastes.iter().any(|(category, _)| {
                !publisher.group.is_empty() && world.category(*category).group == publisher.group
            });
            let app = if publisher.medium == Medium::App { 1.5 } else { 1.0 };
            publisher.traffic * app * if liked { 1.5 } else { 1.0 }
        };
        Weighted::new(world.spec.publisher.iter().map(weight)).pick(&mut self.rng) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Ads, Spec};

    const START: Timestamp = Timestamp(1_750_032_000_000);

    fn world(seed: u64) -> World {
        World::new(Spec::built_in().expect("good"), Ads::new(), 500, seed)
    }

    #[test]
    fn the_same_seed_gives_the_same_steps_and_bytes() {
        let bytes = |seed| {
            let world = world(seed);
            let steps = world.day(START, 2_000);
            let render = |step: &Step| match &step.kind {
                Kind::Request(opportunity) => world.render(opportunity).body,
                Kind::Events(events) => {
                    let lines = events.iter().map(|event| world.event_line(event, "sim"));
                    lines.collect::<Vec<_>>().join("\n").into_bytes()
                }
            };
            steps.iter().map(|step| (step.at, render(step))).collect::<Vec<_>>()
        };
        assert_eq!(bytes(5), bytes(5));
        assert_ne!(bytes(5), bytes(6));
    }

    #[test]
    fn a_day_has_the_requests_asked_for_in_order_and_most_of_them_in_the_evening() {
        let steps = world(1).day(START, 20_000);
        assert!(steps.is_sorted_by_key(|step| step.at));
        assert!(steps.iter().all(|step| (START.0..START.0 + DAY_MS).contains(&step.at.0)));
        let is_request = |step: &&Step| matches!(step.kind, Kind::Request(_));
        let requests = steps.iter().filter(is_request).count();
        assert!((17_000..23_000).contains(&requests), "{requests}");
        let batches = steps.len() - requests;
        assert!((6_500..11_000).contains(&batches), "{batches}");
        let hour = |step: &Step| (step.at.0 - START.0) / (DAY_MS / 24);
        let at = |wanted| steps.iter().filter(|step| hour(step) == wanted).count();
        assert!(at(20) > 4 * at(3), "{} {}", at(20), at(3));
    }

    #[test]
    fn numbers_are_unique_over_days() {
        let world = world(1);
        let mut numbers: Vec<u64> = Vec::new();
        for day in 0..2 {
            for step in world.day(START.plus_millis(day * DAY_MS), 5_000) {
                if let Kind::Request(opportunity) = step.kind {
                    numbers.push(opportunity.number);
                }
            }
        }
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }

    #[test]
    fn events_tell_what_the_user_looks_for() {
        let world = world(1);
        let (mut told, mut all) = (0, 0);
        let mut heard = vec![None; world.user_count()];
        for step in world.day(START, 10_000) {
            match step.kind {
                Kind::Events(events) => {
                    for event in events {
                        heard[event.user as usize] = Some(event.category);
                    }
                }
                Kind::Request(opportunity) => {
                    if let Some(category) = heard[opportunity.user as usize] {
                        all += 1;
                        told += usize::from(category == opportunity.intent);
                    }
                }
            }
        }
        // Of 24 categories the last one that a user touched is his intent half of the time.
        assert!(told * 2 > all, "{told} of {all}");
    }
}
