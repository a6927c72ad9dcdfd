//! Item-item co-visitation: which items users go on to, learned one visit at a time.
//!
//! When a user comes to item `j` and has come by `i` at distance `d` in the same session (1 is the
//! visit before), the pair `i -> j` gains `1 / d`, and `j -> i` a part of that:
//!
//! ```text
//! w_ij(t) = Σ over such visits at t_v of  2^(-(t - t_v) / half-life) / d
//! score(j | i) = w_ij / Σ_k w_ik
//! ```
//! The streaming form of the neighbourhood methods that Ludewig and Jannach compare ("Evaluation of
//! session-based recommendation algorithms", UMUAI 2018). Bounded: `items_max` items by least recent
//! use, and of each `neighbours_max` pairs by Space-Saving (Metwally, Agrawal, El Abbadi, ICDT 2005):
//! a new pair takes the place of the weakest and ranks from its weight on, so that no pair of more
//! than `1 / neighbours_max` of an item's weight is missed, whatever passes through beside it; what
//! was taken over does not count in the score. A pair is told only when `users_min` distinct users
//! have shown it, counted by one bit a user in a word: two users may share a bit, so the count errs
//! to fewer, never to more.

use super::lru::Lru;
use crate::hash;
use crate::units::{Timestamp, UserKey};

/// What a step back counts against one forward: users do go back and forth, and less often. Chosen,
/// not measured.
const BACKWARD: f32 = 0.5;
/// Items before the present one that make pairs with it. Beyond, weights are below a ninth.
pub(super) const DISTANCE_MAX: usize = 8;
/// Most distinct users that a pair can be asked to have: a word of 32 bits tells 20 apart by 15 bits.
pub const USERS_MIN_MAX: u32 = 16;

/// Bounds and rates of [`CoVisits`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CoVisitConfig {
    /// Items remembered; each takes up to `16 * neighbours_max` bytes and some 80.
    pub items_max: usize,
    /// Pairs kept of each item.
    pub neighbours_max: usize,
    /// Seconds in which a pair loses half of its weight.
    pub half_life_s: f32,
    /// Distinct users who must have shown a pair, at most [`USERS_MIN_MAX`].
    pub users_min: u32,
}

impl Default for CoVisitConfig {
    fn default() -> Self {
        Self { items_max: 50_000, neighbours_max: 32, half_life_s: 3.0 * 86_400.0, users_min: 5 }
    }
}

/// One pair, seen from its first item. Weights are in the scale of the item's `origin_s`.
#[derive(Clone, Copy, Debug)]
struct Neighbour {
    item: u32,
    /// Its own weight, and what it took over with its place.
    weight: f32,
    /// What it took over.
    inherited: f32,
    /// One bit a user.
    users: u32,
}

const _: () = assert!(size_of::<Neighbour>() == 16);

/// The pairs of one item. A gain at `t` is kept as `gain * 2^((t - origin) / half-life)` (forward
/// decay; Cormode et al., ICDE 2009), so that weights of any age are compared as they stand, and
/// shares of the total need no clock.
#[derive(Debug)]
struct Item {
    neighbours: Vec<Neighbour>,
    /// The weight of all its pairs, also of those that were forgotten.
    total: f32,
    origin_s: u32,
}

/// Half-lives after which weights are brought to a later origin: far from where 32 bits overflow.
const SCALE_MAX: f32 = 32.0;

impl Item {
    const fn new(at_s: u32) -> Self {
        Self { neighbours: Vec::new(), total: 0.0, origin_s: at_s }
    }

    /// What a gain of 1 at `at_s` counts.
    fn scale(&mut self, at_s: u32, half_life_s: f32) -> f32 {
        let half_lives = (f64::from(at_s) - f64::from(self.origin_s)) as f32 / half_life_s;
        if half_lives <= SCALE_MAX {
            return half_lives.exp2();
        }
        let faded = (-half_lives).exp2();
        for neighbour in &mut self.neighbours {
            neighbour.weight *= faded;
            neighbour.inherited *= faded;
        }
        self.total *= faded;
        self.origin_s = at_s;
        1.0
    }
}

/// What is known of which items are visited together.
pub struct CoVisits {
    config: CoVisitConfig,
    items: Lru<u32, Item>,
    pairs: usize,
    items_forgotten: u64,
    pairs_forgotten: u64,
}

/// How much it holds and let go of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CoVisitStatus {
    /// Items held.
    pub items: usize,
    /// Pairs held, each direction for itself.
    pub pairs: usize,
    /// Items that gave way to others.
    pub items_forgotten: u64,
    /// Pairs that gave way to others of the same item.
    pub pairs_forgotten: u64,
}

impl CoVisits {
    /// Nothing known. Bounds outside of their range are taken as the nearest within.
    #[must_use]
    pub fn new(config: CoVisitConfig) -> Self {
        let config = CoVisitConfig {
            neighbours_max: config.neighbours_max.max(1),
            half_life_s: config.half_life_s.max(1.0),
            users_min: config.users_min.clamp(1, USERS_MIN_MAX),
            ..config
        };
        Self {
            items: Lru::new(config.items_max),
            config,
            pairs: 0,
            items_forgotten: 0,
            pairs_forgotten: 0,
        }
    }

    /// The user came to `item` by way of `trail`: the items of the session before it, newest first.
    pub fn record(&mut self, user: UserKey, item: u32, trail: &[u32], at: Timestamp) {
        let before = trail.iter().take(DISTANCE_MAX).enumerate();
        for (steps, &other) in before.filter(|(_, other)| **other != item) {
            let gain = 1.0 / (steps + 1) as f32;
            self.gain(user, (other, item), gain, at);
            self.gain(user, (item, other), gain * BACKWARD, at);
        }
    }

    fn gain(&mut self, user: UserKey, (from, to): (u32, u32), gain: f32, at: Timestamp) {
        let at_s = at.as_secs_u32();
        let (item, forgotten) = self.items.entry(from, || Item::new(at_s));
        if let Some((_, forgotten)) = forgotten {
            self.items_forgotten += 1;
            self.pairs -= forgotten.neighbours.len();
        }
        let gain = gain * item.scale(at_s, self.config.half_life_s);
        item.total += gain;
        let neighbours = &mut item.neighbours;
        let known = neighbours.iter().position(|neighbour| neighbour.item == to);
        let place = known.unwrap_or_else(|| {
            let fresh = Neighbour { item: to, weight: 0.0, inherited: 0.0, users: 0 };
            if neighbours.len() < self.config.neighbours_max {
                neighbours.push(fresh);
                self.pairs += 1;
                return neighbours.len() - 1;
            }
            let weakest = weakest(neighbours);
            let inherited = neighbours[weakest].weight;
            neighbours[weakest] = Neighbour { weight: inherited, inherited, ..fresh };
            self.pairs_forgotten += 1;
            weakest
        });
        let neighbour = &mut neighbours[place];
        neighbour.weight += gain;
        // Depends on the pair too, so that the same two users do not share a bit in all pairs.
        neighbour.users |= 1 << (hash::combine(user.0, u64::from(from) << 32 | u64::from(to)) & 31);
    }

    /// The items that users go on to from `item`, each with its share of all that they went on to,
    /// strongest first; of pairs that enough users have shown. A share errs to less, never to more.
    /// Replaces what `into` held.
    pub fn neighbours(&self, item: u32, into: &mut Vec<(u32, f32)>) {
        into.clear();
        let Some(known) = self.items.get(item).filter(|item| item.total > 0.0) else { return };
        let shown = known.neighbours.iter();
        let shown = shown.filter(|one| one.users.count_ones() >= self.config.users_min);
        into.extend(shown.map(|one| (one.item, (one.weight - one.inherited) / known.total)));
        into.sort_unstable_by(strongest_first);
    }

    /// Forgets all pairs.
    pub fn clear(&mut self) {
        self.items.clear();
        self.pairs = 0;
    }

    /// Figures.
    #[must_use]
    pub fn status(&self) -> CoVisitStatus {
        CoVisitStatus {
            items: self.items.len(),
            pairs: self.pairs,
            items_forgotten: self.items_forgotten,
            pairs_forgotten: self.pairs_forgotten,
        }
    }
}

/// By score; of equals the smaller id first, so that the order depends on nothing else.
pub(super) fn strongest_first(one: &(u32, f32), other: &(u32, f32)) -> std::cmp::Ordering {
    other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0))
}

fn weakest(neighbours: &[Neighbour]) -> usize {
    let by_weight = neighbours.iter().enumerate().min_by(|(_, one), (_, other)| {
        one.weight.total_cmp(&other.weight).then_with(|| one.item.cmp(&other.item))
    });
    by_weight.map_or(0, |(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const START_MS: i64 = 1_700_000_000_000;
    const HALF_LIFE_S: f64 = 1_000.0;

    fn at(second: u32) -> Timestamp {
        Timestamp(START_MS + i64::from(second) * 1_000)
    }

    fn unbounded(users_min: u32) -> CoVisits {
        CoVisits::new(CoVisitConfig {
            items_max: 1_000,
            neighbours_max: 1_000,
            half_life_s: HALF_LIFE_S as f32,
            users_min,
        })
    }

    /// (user, item, second since the visit before)
    type Walk = Vec<(u8, u8, u8)>;

    fn walks() -> impl Strategy<Value = Walk> {
        proptest::collection::vec((0_u8..6, 1_u8..9, 0_u8..200), 1..80)
    }

    /// Calls `visit` with (user, item, trail, second) for each step of a walk.
    fn follow(walk: &Walk, mut visit: impl FnMut(u8, u32, &[u32], u32)) -> u32 {
        let (mut trails, mut second) = (BTreeMap::<u8, Vec<u32>>::new(), 0);
        for (user, item, pause) in walk {
            second += u32::from(*pause);
            let (trail, item) = (trails.entry(*user).or_default(), u32::from(*item));
            visit(*user, item, trail, second);
            trail.insert(0, item);
        }
        second
    }

    proptest! {
        /// The formula at the head of this file, over the whole history.
        #[test]
        fn without_bounds_it_is_the_closed_form(walk in walks(), pace in 1_u32..40) {
            let mut covisits = unbounded(1);
            let mut gains: Vec<(u32, u32, f64, u32)> = Vec::new();
            let now = pace * follow(&walk, |user, item, trail, second| {
                let second = second * pace;
                covisits.record(UserKey(user.into()), item, trail, at(second));
                for (steps, &other) in trail.iter().enumerate().take(DISTANCE_MAX) {
                    if other != item {
                        let gain = 1.0 / (steps + 1) as f64;
                        gains.push((other, item, gain, second));
                        gains.push((item, other, gain * f64::from(BACKWARD), second));
                    }
                }
            });
            let mut exact = BTreeMap::<(u32, u32), f64>::new();
            for (from, to, gain, second) in gains {
                let kept = (-f64::from(now - second) / HALF_LIFE_S).exp2();
                *exact.entry((from, to)).or_default() += gain * kept;
            }
            let mut told = Vec::new();
            for from in 1..9 {
                covisits.neighbours(from, &mut told);
                let of_item = exact.iter().filter(|((one, _), _)| *one == from);
                let total: f64 = of_item.clone().map(|(_, weight)| weight).sum();
                prop_assert_eq!(told.len(), of_item.count());
                for (to, score) in &told {
                    let expected = exact[&(from, *to)] / total;
                    prop_assert!((f64::from(*score) - expected).abs() < 1e-3 * expected + 1e-9);
                }
                prop_assert!(told.windows(2).all(|pair| pair[0].1 >= pair[1].1));
            }
        }

        /// A pair of fewer users is never told, however often they show it.
        #[test]
        fn no_pair_of_fewer_users_is_told(walk in walks(), users_min in 1_u32..5) {
            let mut covisits = unbounded(users_min);
            let mut users = BTreeMap::<(u32, u32), BTreeSet<u8>>::new();
            follow(&walk, |user, item, trail, second| {
                covisits.record(UserKey(hash::mix(user.into())), item, trail, at(second));
                for &other in trail.iter().take(DISTANCE_MAX).filter(|other| **other != item) {
                    users.entry((other, item)).or_default().insert(user);
                    users.entry((item, other)).or_default().insert(user);
                }
            });
            let mut told = Vec::new();
            for from in 1..9 {
                covisits.neighbours(from, &mut told);
                for (to, _) in &told {
                    prop_assert!(users[&(from, *to)].len() >= users_min as usize);
                }
            }
        }

        /// Bounds hold at each step, and the counts are what is there.
        #[test]
        fn memory_is_bounded(walk in walks(), items_max in 1_usize..5, neighbours_max in 1_usize..4) {
            let mut covisits = CoVisits::new(CoVisitConfig {
                items_max, neighbours_max, half_life_s: 100.0, users_min: 1,
            });
            follow(&walk, |user, item, trail, second| {
                covisits.record(UserKey(user.into()), item, trail, at(second));
                let status = covisits.status();
                assert!(status.items <= items_max && status.pairs <= items_max * neighbours_max);
                let held = covisits.items.values().map(|item| item.neighbours.len());
                assert_eq!(status.pairs, held.sum::<usize>());
            });
        }
    }

    proptest! {
        /// Whatever passes through, a pair of more than its part is told, and never with too much.
        #[test]
        fn no_strong_pair_is_missed(walk in walks(), neighbours_max in 1_usize..5) {
            let mut covisits = CoVisits::new(CoVisitConfig {
                neighbours_max, half_life_s: 1e9, users_min: 1, ..CoVisitConfig::default()
            });
            let mut exact = BTreeMap::<u32, BTreeMap<u32, f64>>::new();
            follow(&walk, |user, item, trail, second| {
                covisits.record(UserKey(user.into()), item, trail, at(second));
                for (steps, &other) in trail.iter().enumerate().take(DISTANCE_MAX) {
                    if other != item {
                        let gain = 1.0 / (steps + 1) as f64;
                        *exact.entry(other).or_default().entry(item).or_default() += gain;
                        *exact.entry(item).or_default().entry(other).or_default() +=
                            gain * f64::from(BACKWARD);
                    }
                }
            });
            let mut told = Vec::new();
            for (from, pairs) in exact {
                let total: f64 = pairs.values().sum();
                covisits.neighbours(from, &mut told);
                for (to, weight) in pairs {
                    let share = weight / total;
                    let told = told.iter().find(|(item, _)| *item == to);
                    prop_assert!(told.is_some() || share <= 1.0 / neighbours_max as f64 + 1e-4);
                    prop_assert!(told.is_none_or(|(_, told)| f64::from(*told) <= share + 1e-4));
                }
            }
        }
    }

    #[test]
    fn enough_users_are_told_and_the_weakest_pair_gives_way() {
        let mut covisits = CoVisits::new(CoVisitConfig { neighbours_max: 2, ..Default::default() });
        let mut told = Vec::new();
        for user in 0..10 {
            covisits.record(UserKey(hash::mix(user)), 2, &[1], at(0));
        }
        covisits.record(UserKey(77), 3, &[1], at(0));
        covisits.neighbours(1, &mut told);
        assert_eq!(told, [(2, 10.0 / 11.0)], "one user alone shows nothing");
        covisits.record(UserKey(77), 4, &[1], at(0));
        covisits.record(UserKey(78), 2, &[1], at(0));
        covisits.neighbours(1, &mut told);
        assert_eq!(told, [(2, 11.0 / 13.0)], "3 gave way to 4, and counts in the total");
        assert_eq!(covisits.status().pairs_forgotten, 1);
    }
}
