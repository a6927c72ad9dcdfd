//! What visits have taught, and the lists of ads that follow from it. No actor or clock here.
//!
//! Pairs and neighbours are of items; what a bid asks for are ads. So an item's neighbours and a
//! user's suggestions are turned into lists of the ads that show them, once a tick and only where
//! something changed, and the bid path reads lists.

use super::content::{Content, LIKES_MAX, Like};
use super::covisit::{CoVisitConfig, CoVisitStatus, CoVisits, DISTANCE_MAX};
use super::knn::{KnnConfig, KnnStatus, SessionKnn};
use super::lists::Lists;
use super::lru::Lru;
use super::snapshot::RelevanceSnapshot;
use crate::units::{Timestamp, UserKey};
use serde::Serialize;
use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

/// A visit to an item by a consenting user of a tenant in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Who.
    pub user: UserKey,
    /// Which ([`crate::catalog::item_key`]).
    pub item: u32,
    /// When.
    pub at: Timestamp,
}

/// Lists made in one go, so that others get their turn: some tenths of a millisecond.
const STEP_MAX: usize = 16;
/// Lists made in one tick. What remains waits; a list is then some ticks older.
const TICK_MAX: usize = 4_096;
/// Lists that may wait, of items and of users: four ticks of each. Beyond, a list stays as it is until
/// the next visit asks for it: visits to ever new items must not fill memory.
const WAITING_MAX: usize = 16_384;
/// Seconds for which sessions without a visit are remembered: as long as events are taken.
const SESSION_KEPT_S: i64 = 7 * 86_400;

/// Keys that wait, each once, first come first served; at most [`WAITING_MAX`].
struct Queue<K> {
    waiting: VecDeque<K>,
    known: HashSet<K>,
    refused: u64,
}

impl<K: Copy + Eq + Hash> Queue<K> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), known: HashSet::new(), refused: 0 }
    }

    fn push(&mut self, key: K) {
        if self.waiting.len() == WAITING_MAX {
            self.refused += u64::from(!self.known.contains(&key));
        } else if self.known.insert(key) {
            self.waiting.push_back(key);
        }
    }

    fn pop(&mut self) -> Option<K> {
        let key = self.waiting.pop_front()?;
        self.known.remove(&key);
        Some(key)
    }
}

/// Figures of all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RelevanceStatus {
    /// The last published snapshot.
    pub epoch: u64,
    /// Visits learned.
    pub visits: u64,
    /// Items with ads that resemble or show them.
    pub content_items: usize,
    /// Items with ads for what is visited together with them.
    pub co_visited_lists: usize,
    /// Users with ads for what others went on to.
    pub suggested_lists: usize,
    /// Lists that wait to be made.
    pub waiting: usize,
    /// Lists that stayed as they were because too many waited.
    pub refused: u64,
    /// Pairs of items.
    pub pairs: CoVisitStatus,
    /// Sessions.
    pub sessions: KnnStatus,
}

/// Lists by key, of bounded number: the one that was made least recently goes first.
struct Bounded {
    lists: Lists,
    made: Lru<u64, ()>,
}

impl Bounded {
    fn new(max: usize) -> Self {
        Self { lists: Lists::new(), made: Lru::new(max) }
    }

    fn set(&mut self, key: u64, likes: &[Like], until_s: u32) {
        if !likes.is_empty()
            && let (_, Some((forgotten, ()))) = self.made.entry(key, || ())
        {
            self.lists.set(forgotten, &[], 0);
        }
        self.lists.set(key, likes, until_s);
    }

    fn clear(&mut self) {
        self.lists = Lists::new();
        self.made.clear();
    }
}

/// What visits have taught.
pub struct Learned {
    covisits: CoVisits,
    knn: SessionKnn,
    gap_s: u32,
    content: Arc<Content>,
    co_visited: Bounded,
    suggested: Bounded,
    items_waiting: Queue<u32>,
    users_waiting: Queue<UserKey>,
    epoch: u64,
    visits: u64,
    is_changed: bool,
    left_in_tick: usize,
    told: Vec<(u32, f32)>,
}

impl Learned {
    /// Nothing yet.
    #[must_use]
    pub fn new(covisits: CoVisitConfig, knn: KnnConfig) -> Self {
        Self {
            co_visited: Bounded::new(covisits.items_max),
            suggested: Bounded::new(knn.sessions_max),
            covisits: CoVisits::new(covisits),
            gap_s: knn.gap_s,
            knn: SessionKnn::new(knn),
            content: Content::empty(),
            items_waiting: Queue::new(),
            users_waiting: Queue::new(),
            epoch: 0,
            visits: 0,
            is_changed: true,
            left_in_tick: TICK_MAX,
            told: Vec::new(),
        }
    }

    /// Learns from a visit: some 10 us.
    pub fn visit(&mut self, visit: &Visit) {
        let Visit { user, item, at } = *visit;
        let trail = self.knn.trail(user, at);
        self.covisits.record(user, item, trail, at);
        trail.iter().take(DISTANCE_MAX).for_each(|before| self.items_waiting.push(*before));
        self.items_waiting.push(item);
        self.knn.record(user, item, at);
        self.users_waiting.push(user);
        self.visits += 1;
    }

    /// Forgets the trails of these users, and what was made of them. What their visits had a part in,
    /// the pairs of items, names nobody and cannot be told apart.
    pub fn forget(&mut self, users: &[UserKey]) {
        for user in users {
            self.knn.forget(*user);
            self.suggested.set(user.0, &[], 0);
        }
        self.users_waiting.waiting.retain(|user| !users.contains(user));
        users.iter().for_each(|user| _ = self.users_waiting.known.remove(user));
        self.is_changed = true;
    }

    /// The catalog is another. Where a tenant has left the pool, all that was learned of pooled visits
    /// is forgotten: what its visits had a part in cannot be told apart.
    pub fn adopt(&mut self, content: Arc<Content>) {
        if !content.keeps_pool_of(&self.content) {
            self.covisits.clear();
            self.knn.clear();
            self.co_visited.clear();
            self.suggested.clear();
        }
        self.content = content;
        for item in self.co_visited.lists.keys() {
            self.items_waiting.push(item as u32);
        }
        self.is_changed = true;
    }

    /// Makes some of the lists that wait; whether there are more to make in this tick.
    pub fn step(&mut self, now: Timestamp) -> bool {
        for _ in 0..STEP_MAX.min(self.left_in_tick) {
            let Some(item) = self.items_waiting.pop() else { break };
            self.left_in_tick -= 1;
            self.covisits.neighbours(item, &mut self.told);
            let likes = ads_of(&self.content, &self.told, LIKES_MAX);
            self.co_visited.set(item.into(), &likes, u32::MAX);
            self.is_changed = true;
        }
        for _ in 0..STEP_MAX.min(self.left_in_tick) {
            let Some(user) = self.users_waiting.pop() else { break };
            self.left_in_tick -= 1;
            self.knn.suggest(user, now, &mut self.told);
            let likes = ads_of(&self.content, &self.told, SUGGESTED_MAX);
            let until_s = now.as_secs_u32().saturating_add(self.gap_s);
            self.suggested.set(user.0, &likes, until_s);
            self.is_changed = true;
        }
        let waits =
            !self.items_waiting.waiting.is_empty() || !self.users_waiting.waiting.is_empty();
        waits && self.left_in_tick > 0
    }

    /// Ends a tick: a snapshot, if anything changed.
    pub fn publish(&mut self, now: Timestamp) -> Option<Arc<RelevanceSnapshot>> {
        self.left_in_tick = TICK_MAX;
        self.knn.expire(now.plus_millis(-1_000 * SESSION_KEPT_S));
        if !std::mem::take(&mut self.is_changed) {
            return None;
        }
        self.epoch += 1;
        Some(Arc::new(RelevanceSnapshot {
            epoch: self.epoch,
            content: Arc::clone(&self.content),
            co_visited: self.co_visited.lists.clone(),
            suggested: self.suggested.lists.clone(),
        }))
    }

    /// Figures.
    #[must_use]
    pub fn status(&self) -> RelevanceStatus {
        RelevanceStatus {
            epoch: self.epoch,
            visits: self.visits,
            content_items: self.content.items(),
            co_visited_lists: self.co_visited.lists.len(),
            suggested_lists: self.suggested.lists.len(),
            waiting: self.items_waiting.waiting.len() + self.users_waiting.waiting.len(),
            refused: self.items_waiting.refused + self.users_waiting.refused,
            pairs: self.covisits.status(),
            sessions: self.knn.status(),
        }
    }
}

/// Ads kept of what others went on to.
const SUGGESTED_MAX: usize = 16;

/// The ads that show these items, each with the strongest item's share.
fn ads_of(content: &Content, items: &[(u32, f32)], most: usize) -> Vec<Like> {
    let mut likes: Vec<Like> = Vec::new();
    // Strongest first, so the first is an ad's strongest.
    for (item, score) in items {
        for ad in content.pooled_ads(*item) {
            if likes.len() == most {
                return likes;
            }
            if !likes.iter().any(|like| like.ad == *ad) {
                likes.push(Like { ad: *ad, score: *score });
            }
        }
    }
    likes
}
