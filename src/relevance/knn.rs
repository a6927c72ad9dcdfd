//! User-user session-kNN: what others went on to whose sessions were like this one.
//!
//! Vector multiplication session-kNN (V-SkNN; Ludewig and Jannach, "Evaluation of session-based
//! recommendation algorithms", UMUAI 2018). With the items of the present session `s` numbered from
//! its newest, 1, and `n` one of the `neighbours_max` most similar sessions of other users:
//!
//! ```text
//! sim(n)   = Σ_{i in s and n}  idf(i) / position(i),    idf(i) = ln(1 + sessions / sessions with i)
//! score(j) = Σ_{n with j} sim(n) / position(newest item of s in n),   as a share of all scores
//! ```
//! Bounded: `sessions_max` sessions, the oldest overwritten first, each of its last
//! [`TRAIL_MAX`] distinct items; an index of `items_max` items, each with its `sessions_per_item`
//! newest sessions, which are the candidates for neighbours. An item is told only when `users_min`
//! distinct other users among the neighbours have it, counted as pairs are in [`super::covisit`].

use super::covisit::{USERS_MIN_MAX, strongest_first};
use super::lru::Lru;
use crate::hash;
use crate::units::{Timestamp, UserKey};
use std::collections::HashMap;

/// Distinct items that a session keeps, the newest: 64 bytes.
pub const TRAIL_MAX: usize = 16;
/// Items of the present session that look for neighbours; of later ones the weight is below a ninth.
const ASKED_MAX: usize = 8;

/// Bounds of [`SessionKnn`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnnConfig {
    /// Sessions remembered, at 88 bytes and an entry of an index.
    pub sessions_max: usize,
    /// Items in the index, at 4 bytes a session and some 60.
    pub items_max: usize,
    /// Sessions remembered of an item.
    pub sessions_per_item: usize,
    /// Sessions whose items are told.
    pub neighbours_max: usize,
    /// Seconds without a visit after which a user's next one begins another session.
    pub gap_s: u32,
    /// Distinct users who must have an item, at most [`USERS_MIN_MAX`].
    pub users_min: u32,
}

impl Default for KnnConfig {
    fn default() -> Self {
        Self {
            sessions_max: 65_536,
            items_max: 50_000,
            sessions_per_item: 32,
            neighbours_max: 64,
            gap_s: 1_800,
            users_min: 5,
        }
    }
}

struct Session {
    number: u32,
    user: UserKey,
    at_s: u32,
    len: u8,
    /// Distinct, newest first.
    items: [u32; TRAIL_MAX],
}

const _: () = assert!(size_of::<Session>() == 88);

impl Session {
    fn trail(&self) -> &[u32] {
        &self.items[..usize::from(self.len)]
    }

    /// Moves `item` to the front; whether it is new.
    fn push(&mut self, item: u32) -> bool {
        let known = self.trail().iter().position(|one| *one == item);
        let end = known.unwrap_or(usize::from(self.len).min(TRAIL_MAX - 1));
        self.items[..=end].rotate_right(1);
        self.items[0] = item;
        self.len = self.len.max(end as u8 + 1);
        known.is_none()
    }
}

/// The sessions of one item.
#[derive(Default)]
struct Sessions {
    /// Numbers of the newest, in a ring.
    newest: Vec<u32>,
    /// How many there were; the next place in the ring.
    count: u32,
}

/// How much it holds and let go of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct KnnStatus {
    /// Sessions held.
    pub sessions: usize,
    /// Items in the index.
    pub items: usize,
    /// Sessions overwritten by later ones.
    pub sessions_forgotten: u64,
}

/// Recent sessions of all users, and who has which item.
pub struct SessionKnn {
    config: KnnConfig,
    /// A session lies at its number modulo `sessions_max`.
    sessions: Vec<Session>,
    next: u32,
    /// The first that is remembered.
    oldest: u32,
    // Users are keyed hashes: a stranger cannot aim at this map.
    open: HashMap<UserKey, u32>,
    index: Lru<u32, Sessions>,
    sessions_forgotten: u64,
    /// Kept from question to question: (session, similarity, position of its newest common item).
    similar: Vec<(u32, f32, u32)>,
    /// Kept from question to question: (item, score, user bits).
    scored: Vec<(u32, f32, u32)>,
}

impl SessionKnn {
    /// Nothing known. Bounds outside of their range are taken as the nearest within.
    #[must_use]
    pub fn new(config: KnnConfig) -> Self {
        let config = KnnConfig {
            sessions_max: config.sessions_max.clamp(1, 1 << 24),
            sessions_per_item: config.sessions_per_item.max(1),
            users_min: config.users_min.clamp(1, USERS_MIN_MAX),
            ..config
        };
        Self {
            sessions: Vec::new(),
            next: 0,
            oldest: 0,
            open: HashMap::new(),
            index: Lru::new(config.items_max),
            sessions_forgotten: 0,
            similar: Vec::new(),
            scored: Vec::new(),
            config,
        }
    }

    /// The items of the user's present session, newest first; empty where a visit at `at` begins one.
    #[must_use]
    pub fn trail(&self, user: UserKey, at: Timestamp) -> &[u32] {
        self.session(user, at).map_or(&[], Session::trail)
    }

    /// The user came to `item`.
    pub fn record(&mut self, user: UserKey, item: u32, at: Timestamp) {
        let at_s = at.as_secs_u32();
        let number = match self.session(user, at) {
            Some(session) => session.number,
            None => self.begin(user, at_s),
        };
        let place = self.place(number);
        let session = &mut self.sessions[place];
        session.at_s = session.at_s.max(at_s);
        if !session.push(item) {
            return;
        }
        let per_item = self.config.sessions_per_item;
        let (sessions, _) = self.index.entry(item, Sessions::default);
        if sessions.newest.contains(&number) {
            return; // it has let go of the item in between, and is alike but once
        }
        if sessions.newest.len() < per_item {
            sessions.newest.push(number);
        } else {
            sessions.newest[sessions.count as usize % per_item] = number;
        }
        sessions.count = sessions.count.saturating_add(1);
    }

    /// What others went on to from sessions like the user's present one, each item with its share of
    /// all that they had beside, strongest first. Replaces what `into` held.
    pub fn suggest(&mut self, user: UserKey, now: Timestamp, into: &mut Vec<(u32, f32)>) {
        into.clear();
        let (mut similar, mut scored) =
            (std::mem::take(&mut self.similar), std::mem::take(&mut self.scored));
        self.find_similar(user, now, &mut similar);
        let trail = self.trail(user, now);
        scored.clear();
        for &(number, similarity, newest_common) in &similar {
            let Some(other) = self.numbered(number) else { continue };
            let gain = similarity / newest_common as f32;
            let beside = other.trail().iter().filter(|item| !trail.contains(item));
            scored.extend(beside.map(|&item| {
                (item, gain, 1_u32 << (hash::combine(other.user.0, item.into()) & 31))
            }));
        }
        let total: f32 = scored.iter().map(|(_, gain, _)| gain).sum();
        scored.sort_by_key(|(item, ..)| *item);
        for of_item in scored.chunk_by(|one, other| one.0 == other.0) {
            let users = of_item.iter().fold(0, |bits, (.., bit)| bits | bit);
            if users.count_ones() >= self.config.users_min {
                let score: f32 = of_item.iter().map(|(_, gain, _)| gain).sum();
                into.push((of_item[0].0, score / total));
            }
        }
        into.sort_unstable_by(strongest_first);
        (self.similar, self.scored) = (similar, scored);
    }

    /// The most similar sessions of other users, with their similarity and the position of their
    /// newest item in common.
    fn find_similar(&self, user: UserKey, now: Timestamp, into: &mut Vec<(u32, f32, u32)>) {
        into.clear();
        for (item, position) in self.trail(user, now).iter().take(ASKED_MAX).zip(1_u32..) {
            let Some(sessions) = self.index.get(*item) else { continue };
            let idf = (1.0 + self.next as f32 / sessions.count.max(1) as f32).ln();
            let others = sessions.newest.iter().filter(|number| {
                // An overwritten session, or one that has let go of the item, shows nothing.
                self.numbered(**number)
                    .is_some_and(|other| other.user != user && other.trail().contains(item))
            });
            into.extend(others.map(|number| (*number, idf / position as f32, position)));
        }
        into.sort_by_key(|(number, ..)| *number);
        // One entry a session: the first of its entries has its newest common item.
        into.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            if is_same {
                kept.1 += next.1;
            }
            is_same
        });
        into.sort_unstable_by(|one, other| {
            other.1.total_cmp(&one.1).then_with(|| other.0.cmp(&one.0))
        });
        into.truncate(self.config.neighbours_max);
    }

    /// Forgets sessions whose last visit was before `until`, in the order in which they began.
    pub fn expire(&mut self, until: Timestamp) {
        let until_s = until.as_secs_u32();
        while self.oldest != self.next {
            let place = self.place(self.oldest);
            if self.numbered(self.oldest).is_some_and(|session| session.at_s >= until_s) {
                return;
            }
            if let Some(session) = self.sessions.get_mut(place).filter(|one| one.len > 0) {
                if self.open.get(&session.user) == Some(&session.number) {
                    self.open.remove(&session.user);
                }
                (session.user, session.len) = (UserKey(0), 0);
                self.sessions_forgotten += 1;
            }
            self.oldest = self.oldest.wrapping_add(1);
        }
    }

    /// Forgets all sessions of `user`: what is left of one has no user and no items.
    pub fn forget(&mut self, user: UserKey) {
        for session in self.sessions.iter_mut().filter(|session| session.user == user) {
            (session.user, session.len) = (UserKey(0), 0);
            self.sessions_forgotten += 1;
        }
        self.open.remove(&user);
    }

    /// Forgets all sessions.
    pub fn clear(&mut self) {
        self.sessions.clear();
        self.open.clear();
        self.index.clear();
        (self.next, self.oldest) = (0, 0);
    }

    /// Figures.
    #[must_use]
    pub fn status(&self) -> KnnStatus {
        KnnStatus {
            sessions: self.next.wrapping_sub(self.oldest) as usize,
            items: self.index.len(),
            sessions_forgotten: self.sessions_forgotten,
        }
    }

    fn place(&self, number: u32) -> usize {
        number as usize % self.config.sessions_max
    }

    fn numbered(&self, number: u32) -> Option<&Session> {
        self.sessions.get(self.place(number)).filter(|session| session.number == number)
    }

    fn session(&self, user: UserKey, at: Timestamp) -> Option<&Session> {
        let session = self.numbered(*self.open.get(&user)?)?;
        let is_open = at.as_secs_u32() < session.at_s.saturating_add(self.config.gap_s);
        (session.user == user && is_open).then_some(session)
    }

    fn begin(&mut self, user: UserKey, at_s: u32) -> u32 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let session = Session { number, user, at_s, len: 0, items: [0; TRAIL_MAX] };
        let place = self.place(number);
        match self.sessions.get_mut(place) {
            None => self.sessions.push(session),
            Some(old) => {
                let old = std::mem::replace(old, session);
                if old.len > 0 {
                    self.sessions_forgotten += 1;
                    if self.open.get(&old.user) == Some(&old.number) {
                        self.open.remove(&old.user);
                    }
                }
                if old.number == self.oldest {
                    self.oldest = self.oldest.wrapping_add(1);
                }
            }
        }
        self.open.insert(user, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn at(second: u32) -> Timestamp {
        Timestamp(1_700_000_000_000 + i64::from(second) * 1_000)
    }

    const GAP_S: u32 = 100;

    fn unbounded(users_min: u32) -> KnnConfig {
        KnnConfig {
            sessions_max: 10_000,
            items_max: 10_000,
            sessions_per_item: 10_000,
            neighbours_max: 10_000,
            gap_s: GAP_S,
            users_min,
        }
    }

    /// The formula at the head of this file over all sessions.
    struct Model(Vec<(u64, u32, Vec<u32>)>);

    impl Model {
        fn record(&mut self, user: u64, item: u32, second: u32) {
            let open = self.0.iter_mut().rev().find(|(one, ..)| *one == user);
            match open.filter(|(_, last, _)| second < last + GAP_S) {
                Some((_, last, items)) => {
                    *last = second;
                    items.retain(|one| *one != item);
                    items.insert(0, item);
                    items.truncate(TRAIL_MAX);
                }
                None => self.0.push((user, second, vec![item])),
            }
        }

        /// By item: its share, and who has it.
        fn suggest(&self, user: u64, second: u32) -> BTreeMap<u32, (f64, BTreeSet<u64>)> {
            let open = self.0.iter().rev().find(|(one, ..)| *one == user);
            let Some((_, _, own)) = open.filter(|(_, last, _)| second < last + GAP_S) else {
                return BTreeMap::new();
            };
            let mut scores = BTreeMap::<u32, (f64, BTreeSet<u64>)>::new();
            let (mut total, sessions) = (0.0, self.0.len() as f64);
            for (other, _, items) in self.0.iter().filter(|(other, ..)| *other != user) {
                let common = own.iter().take(ASKED_MAX).enumerate();
                let common = common.filter(|(_, item)| items.contains(item));
                let Some(newest) = common.clone().map(|(place, _)| place + 1).min() else {
                    continue;
                };
                let similarity: f64 = common
                    .map(|(place, item)| {
                        let having =
                            self.0.iter().filter(|(.., items)| items.contains(item)).count();
                        (1.0 + sessions / having as f64).ln() / (place + 1) as f64
                    })
                    .sum();
                for item in items.iter().filter(|item| !own.contains(item)) {
                    let (score, users) = scores.entry(*item).or_default();
                    *score += similarity / newest as f64;
                    total += similarity / newest as f64;
                    users.insert(*other);
                }
            }
            scores.values_mut().for_each(|(score, _)| *score /= total);
            scores
        }
    }

    proptest! {
        #[test]
        fn without_bounds_it_is_the_formula(
            walk in proptest::collection::vec((0_u64..8, 1_u32..14, 0_u32..30), 1..150),
            users_min in 1_u32..4,
        ) {
            let mut knn = SessionKnn::new(unbounded(users_min));
            let (mut model, mut second) = (Model(Vec::new()), 0);
            for (user, item, pause) in walk {
                second += pause;
                knn.record(UserKey(hash::mix(user)), item, at(second));
                model.record(user, item, second);
            }
            let mut told = Vec::new();
            for user in 0..8 {
                knn.suggest(UserKey(hash::mix(user)), at(second), &mut told);
                let exact = model.suggest(user, second);
                for (item, score) in &told {
                    let (expected, users) = &exact[item];
                    prop_assert!((f64::from(*score) - expected).abs() < 1e-3 * expected);
                    prop_assert!(users.len() >= users_min as usize);
                }
                if users_min == 1 {
                    prop_assert_eq!(told.len(), exact.len());
                }
            }
        }

        #[test]
        fn memory_is_bounded(
            walk in proptest::collection::vec((0_u64..20, 1_u32..30, 0_u32..30), 1..200),
            sessions_max in 1_usize..6, per_item in 1_usize..4,
        ) {
            let mut knn = SessionKnn::new(KnnConfig {
                sessions_max, items_max: 3, sessions_per_item: per_item, ..unbounded(1)
            });
            let (mut second, mut told) = (0, Vec::new());
            for (user, item, pause) in walk {
                second += pause;
                knn.record(UserKey(user), item, at(second));
                knn.suggest(UserKey(user), at(second), &mut told);
                let status = knn.status();
                prop_assert!(status.sessions <= sessions_max && status.items <= 3);
                prop_assert!(knn.open.len() <= sessions_max);
                prop_assert!(knn.index.values().all(|one| one.newest.len() <= per_item));
                prop_assert_eq!(knn.trail(UserKey(user), at(second)).first(), Some(&item));
            }
        }
    }

    #[test]
    fn a_session_that_let_go_of_an_item_and_came_back_is_alike_but_once() {
        let mut knn = SessionKnn::new(unbounded(1));
        let (back, once, asks) = (UserKey(1), UserKey(2), UserKey(3));
        for item in std::iter::once(7).chain(100..117).chain([7]) {
            knn.record(back, item, at(0));
        }
        knn.record(once, 9, at(0));
        knn.record(once, 7, at(0));
        knn.record(asks, 7, at(0));
        let mut told = Vec::new();
        knn.suggest(asks, at(0), &mut told);
        assert_eq!(told.len(), TRAIL_MAX - 1 + 1);
        assert!(told.iter().all(|(_, share)| (share - 1.0 / 16.0).abs() < 1e-6), "{told:?}");
    }

    #[test]
    fn a_session_ends_after_its_gap_and_shows_on() {
        let mut knn = SessionKnn::new(unbounded(1));
        let (one, two) = (UserKey(1), UserKey(2));
        knn.record(one, 7, at(0));
        knn.record(one, 8, at(1));
        assert_eq!(knn.trail(one, at(GAP_S)), [8, 7]);
        assert!(knn.trail(one, at(GAP_S + 1)).is_empty());
        knn.record(two, 7, at(500));
        let mut told = Vec::new();
        knn.suggest(two, at(500), &mut told);
        assert_eq!(told, [(8, 1.0)]);
        knn.suggest(one, at(500), &mut told);
        assert!(told.is_empty(), "its session is over");
        knn.expire(at(2));
        assert_eq!(knn.status().sessions, 1);
        knn.suggest(two, at(500), &mut told);
        assert!(told.is_empty(), "it is forgotten");
        knn.expire(at(501));
        assert_eq!((knn.status().sessions, knn.open.len()), (0, 0));
        knn.record(two, 7, at(502));
        assert_eq!((knn.status().sessions, knn.trail(two, at(502))), (1, &[7][..]));
    }
}
