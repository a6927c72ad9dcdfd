//! Which ids name one user: a bounded table from user keys to the key that holds the session.
//!
//! * It holds keyed hashes alone, never a raw id.
//! * Ids that were said to be one user form a group of at most [`IDS_MAX`]. Each leads to the group's
//!   root, the smallest key when the group was made: straight, but for the moments in which the session
//!   of a former root is under way, when it leads over that. An id leads to smaller ones only, so there
//!   are no cycles.
//! * An id that nobody used for the lifetime reads as a stranger's. Where room is lacking, the least
//!   recently used of 16 groups goes as a whole, and its ids are told back, so that caps may refuse.
//! * Bids only try to read. One mutex orders all joins: they are few, no bid takes it, and groups stay
//!   exact without messages between the shards that share one.

mod saved;

pub(super) use saved::SavedGroup;

use crate::hash::generation;
use crate::units::{Timestamp, UserKey};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Ids of one user: two devices, their matches at two exchanges, an account and some shared ids. Who
/// says more is wrong or hostile, and a wrong join spoils no more users than that.
pub const IDS_MAX: usize = 8;

/// Ids of one user with those under the key before, while keys are changed.
pub(super) const NAMES_MAX: usize = 2 * IDS_MAX;

/// Ids of one user, in the order in which they were named.
pub type Ids = SmallVec<[UserKey; IDS_MAX]>;

/// Locks: a join holds one for some hundred nanoseconds.
const STRIPES: usize = 256;

/// Groups of which the one unused for longest gives way.
const EVICT_SAMPLE: usize = 16;

/// Places looked at to find so many.
const EVICT_STEPS_MAX: usize = 256;

/// Seconds after which a use is noted again: most reads write nothing.
const USED_STEP_S: u32 = 60;

/// Limits of the alias table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AliasConfig {
    /// Ids that are joined to others, at most; at least 1,024.
    pub aliases_max: usize,
    /// Seconds without use after which an id names its own user again.
    pub ttl_s: u32,
    /// New joins that one exchange or advertiser may make in a second.
    pub joins_per_s: u32,
}

/// Somebody says that these ids are one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The ids.
    pub ids: Ids,
    /// Who says so: an exchange or an advertiser, by its key.
    pub source: u64,
}

impl Join {
    /// Whether it is one id under two keys: nobody says so but we.
    fn is_move(&self) -> bool {
        self.ids.iter().any(|id| generation(*id) != generation(self.ids[0]))
    }
}

/// Where an id leads.
#[derive(Debug)]
pub(super) struct Alias {
    next: UserKey,
    group: u32,
    // A hint of a minute's precision for expiry and eviction, so relaxed order is enough.
    used_s: AtomicU32,
}

impl Alias {
    fn is_expired(&self, ttl_s: u32, now_s: u32) -> bool {
        self.used_s.load(Ordering::Relaxed).saturating_add(ttl_s) <= now_s
    }

    fn touch(&self, now_s: u32) {
        if self.used_s.load(Ordering::Relaxed).saturating_add(USED_STEP_S) <= now_s {
            self.used_s.store(now_s, Ordering::Relaxed);
        }
    }
}

/// A lock on its own cache line. User keys are keyed hashes already: a stranger cannot aim at a map.
#[repr(align(64))]
#[derive(Debug, Default)]
struct Padded(RwLock<FxHashMap<u64, Alias>>);

/// The ids of one user: the root, which stays as long as the group, and then the others.
#[derive(Clone, Debug)]
struct Group(Ids);

impl Group {
    fn of(ids: &[UserKey]) -> Self {
        Self(Ids::from_slice(ids))
    }

    fn ids(&self) -> &[UserKey] {
        &self.0
    }
}

/// What joins change, behind their mutex.
#[derive(Debug, Default)]
struct Groups {
    /// Empty where free.
    all: Vec<Group>,
    free: Vec<u32>,
    /// Where the search for a victim, and where the sweep goes on.
    hands: (usize, usize),
    /// While the table is being saved: groups that were made.
    made: Option<Vec<u32>>,
    /// The present second, and the joins made in it, by who said so.
    second: (u32, FxHashMap<u64, u32>),
}

impl Groups {
    fn keep(&mut self, group: Group) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.all.push(Group::of(&[]));
            self.all.len() as u32 - 1
        });
        self.all[number as usize] = group;
        self.made.iter_mut().for_each(|made| made.push(number));
        number
    }

    fn release(&mut self, number: u32) {
        self.all[number as usize].0 = Ids::new();
        self.free.push(number);
    }

    fn admits(&mut self, source: u64, per_s: u32, now_s: u32) -> bool {
        let (second, counts) = &mut self.second;
        if *second != now_s {
            *second = now_s;
            counts.clear();
        }
        let count = counts.entry(source).or_insert(0);
        *count = count.saturating_add(1);
        *count <= per_s
    }
}

/// Takes steps until one leads nowhere. No path is longer than a group: steps go to smaller keys.
fn follow(id: UserKey, next: impl Fn(UserKey) -> UserKey) -> UserKey {
    let mut id = id;
    for _ in 1..NAMES_MAX {
        let to = next(id);
        if to == id {
            break;
        }
        id = to;
    }
    id
}

/// What became of a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// They were one user before, or fewer than two were named.
    Known,
    /// They are one user now.
    New {
        /// Ids that led nowhere before: what their sessions hold is to follow.
        moved: Ids,
        /// Groups that are no more, for lack of room, the root first.
        dropped: Vec<Ids>,
    },
    /// Refused: too many ids for one user.
    TooMany,
    /// Refused: too many joins in this second.
    RateLimited,
}

/// What the table holds and counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AliasStatus {
    /// Ids in groups now.
    pub aliases: u64,
    /// Joins that made a group or let one grow.
    pub joined: u64,
    /// Joins that said what was known.
    pub known: u64,
    /// Joins refused because the user would have had too many ids.
    pub too_many: u64,
    /// Joins refused because their sender had made too many in the second.
    pub rate_limited: u64,
    /// Ids that gave way to others.
    pub evicted: u64,
    /// Ids that nobody used for the lifetime.
    pub expired: u64,
    /// Look-ups of bids that met a locked stripe and went on without.
    pub contended: u64,
    /// Sessions that took over what another id's session held.
    pub merged: u64,
}

// Counts that nothing else is ordered by.
#[derive(Debug, Default)]
struct Counters {
    joined: AtomicU64,
    known: AtomicU64,
    too_many: AtomicU64,
    rate_limited: AtomicU64,
    evicted: AtomicU64,
    expired: AtomicU64,
    contended: AtomicU64,
    merged: AtomicU64,
}

/// The ids of all users who have several. Shared by `Arc`, like the sessions.
#[derive(Debug)]
pub struct Aliases {
    stripes: Box<[Padded]>,
    groups: Mutex<Groups>,
    /// Ids in groups. Read first, so that a table that nobody uses costs nothing.
    len: AtomicUsize,
    config: AliasConfig,
    counters: Counters,
}

impl Aliases {
    /// An empty table. A bound below 1,024 is taken as that.
    #[must_use]
    pub fn new(config: AliasConfig) -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Padded::default()).collect(),
            groups: Mutex::default(),
            len: AtomicUsize::new(0),
            config: AliasConfig { aliases_max: config.aliases_max.max(1_024), ..config },
            counters: Counters::default(),
        }
    }

    /// The key that `id` leads to: itself, where it was joined to no other. May wait for a join.
    #[must_use]
    pub fn root(&self, id: UserKey, now: Timestamp) -> UserKey {
        if self.is_empty() {
            return id;
        }
        follow(id, |id| self.look(&self.stripe(id).read(), id, now))
    }

    /// Where `id` leads next, for a bid: never waits. Where the stripe is being written, `id` itself,
    /// counted.
    #[must_use]
    pub fn try_next(&self, id: UserKey, now: Timestamp) -> UserKey {
        if self.is_empty() {
            return id;
        }
        let Some(stripe) = self.stripe(id).try_read() else {
            self.counters.contended.fetch_add(1, Ordering::Relaxed);
            return id;
        };
        self.look(&stripe, id, now)
    }

    /// Whether all of them lead to one key, as far as can be seen without waiting.
    #[must_use]
    pub fn are_one(&self, ids: &[UserKey], now: Timestamp) -> bool {
        let mut roots = ids.iter().map(|&id| follow(id, |id| self.try_next(id, now)));
        let first = roots.next();
        roots.all(|root| Some(root) == first)
    }

    /// What it holds and counted.
    #[must_use]
    pub fn status(&self) -> AliasStatus {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AliasStatus {
            aliases: self.len.load(Ordering::Relaxed) as u64,
            joined: count(&self.counters.joined),
            known: count(&self.counters.known),
            too_many: count(&self.counters.too_many),
            rate_limited: count(&self.counters.rate_limited),
            evicted: count(&self.counters.evicted),
            expired: count(&self.counters.expired),
            contended: count(&self.counters.contended),
            merged: count(&self.counters.merged),
        }
    }

    pub(super) fn count_merge(&self) {
        self.counters.merged.fetch_add(1, Ordering::Relaxed);
    }

    /// Makes one user of the ids, with all that they were joined to before.
    pub(super) fn join(&self, join: &Join, now: Timestamp) -> Joined {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        if join.ids.iter().all(|id| *id == join.ids[0]) || self.are_one(&join.ids, now) {
            count(&self.counters.known);
            return Joined::Known;
        }
        let now_s = now.as_secs_u32();
        let mut groups = self.groups.lock();
        // Who moves to his new key does so once.
        if !join.is_move() && !groups.admits(join.source, self.config.joins_per_s, now_s) {
            count(&self.counters.rate_limited);
            return Joined::RateLimited;
        }
        let (mut members, mut numbers) = (Ids::new(), SmallVec::<[u32; IDS_MAX]>::new());
        for &id in &join.ids {
            match self.live_group(&mut groups, id, now_s) {
                Some(number) if numbers.contains(&number) => {}
                Some(number) => {
                    numbers.push(number);
                    members.extend_from_slice(groups.all[number as usize].ids());
                }
                None => members.push(id),
            }
        }
        members.sort_unstable();
        members.dedup();
        let mut by_key = members.chunk_by(|one, other| generation(*one) == generation(*other));
        if by_key.any(|ids| ids.len() > IDS_MAX) {
            count(&self.counters.too_many);
            return Joined::TooMany;
        }
        // The largest are of the oldest key, whose grace is over.
        let gone = members.drain(members.len().min(NAMES_MAX)..).collect::<Ids>();
        for id in gone {
            self.pass_by(&members, id);
            self.remove(id);
        }
        let dropped = self.make_room(&mut groups, &members, &numbers);
        numbers.iter().for_each(|number| groups.release(*number));
        let number = groups.keep(Group::of(&members));
        let moved = self.lead(&members, number, &join.ids, now_s);
        count(&self.counters.joined);
        Joined::New { moved, dropped }
    }

    /// Whatever led to the root over `id` leads there directly: `id` has no session any more.
    pub(super) fn shorten(&self, id: UserKey) {
        let groups = self.groups.lock();
        let number = self.stripe(id).read().get(&id.0).map(|alias| alias.group as usize);
        let group = number.and_then(|number| groups.all.get(number));
        if let Some(group) = group.filter(|group| group.ids().first() != Some(&id)) {
            self.pass_by(group.ids(), id);
        }
    }

    /// Drops the ids of some groups that nobody used for the lifetime.
    pub(super) fn sweep(&self, groups_max: usize, now: Timestamp) {
        let mut groups = self.groups.lock();
        for _ in 0..groups_max.min(groups.all.len()) {
            let place = groups.hands.1 % groups.all.len();
            groups.hands.1 = place + 1;
            self.tidy(&mut groups, place as u32, now.as_secs_u32());
        }
    }

    fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    pub(super) fn stripe(&self, id: UserKey) -> &RwLock<FxHashMap<u64, Alias>> {
        // The map takes the highest and lowest bits, the sessions' partitions the lowest too.
        &self.stripes[(id.0 >> 32) as usize % STRIPES].0
    }

    fn look(&self, stripe: &FxHashMap<u64, Alias>, id: UserKey, now: Timestamp) -> UserKey {
        let now_s = now.as_secs_u32();
        match stripe.get(&id.0) {
            Some(alias) if !alias.is_expired(self.config.ttl_s, now_s) => {
                alias.touch(now_s);
                alias.next
            }
            _ => id,
        }
    }

    /// The group of `id`, rid of what has expired in it.
    fn live_group(&self, groups: &mut Groups, id: UserKey, now_s: u32) -> Option<u32> {
        let number = self.stripe(id).read().get(&id.0).map(|alias| alias.group)?;
        self.tidy(groups, number, now_s);
        self.stripe(id).read().get(&id.0).map(|alias| alias.group)
    }

    /// Drops the ids of a group that expired; the root stays, under which the session lies, until it
    /// is alone.
    fn tidy(&self, groups: &mut Groups, number: u32, now_s: u32) {
        let Some(group) = groups.all.get(number as usize).cloned() else { return };
        let Some((&root, others)) = group.ids().split_first() else { return };
        let is_live = |id: &UserKey| {
            let stripe = self.stripe(*id).read();
            stripe.get(&id.0).is_some_and(|alias| !alias.is_expired(self.config.ttl_s, now_s))
        };
        let (live, expired): (Ids, Ids) = others.iter().copied().partition(is_live);
        if expired.is_empty() {
            return;
        }
        self.counters.expired.fetch_add(expired.len() as u64, Ordering::Relaxed);
        for id in expired {
            self.pass_by(group.ids(), id);
            self.remove(id);
        }
        if live.is_empty() {
            self.remove(root);
            groups.release(number);
        } else {
            let ids: Ids = std::iter::once(root).chain(live).collect();
            groups.all[number as usize] = Group::of(&ids);
        }
    }

    /// Lets other groups go until the members fit.
    fn make_room(&self, groups: &mut Groups, members: &[UserKey], kept: &[u32]) -> Vec<Ids> {
        let known: usize = kept.iter().map(|number| groups.all[*number as usize].ids().len()).sum();
        let more = members.len().saturating_sub(known);
        let mut dropped = Vec::new();
        while self.len.load(Ordering::Relaxed) + more > self.config.aliases_max {
            let Some(victim) = self.choose_victim(groups, kept) else { break };
            let group = groups.all[victim as usize].clone();
            dropped.push(Ids::from_slice(group.ids()));
            group.ids().iter().for_each(|id| self.remove(*id));
            self.counters.evicted.fetch_add(group.ids().len() as u64, Ordering::Relaxed);
            groups.release(victim);
        }
        dropped
    }

    /// Of the next groups the one that was not used for longest.
    fn choose_victim(&self, groups: &mut Groups, kept: &[u32]) -> Option<u32> {
        let used_s = |id: &UserKey| {
            let stripe = self.stripe(*id).read();
            stripe.get(&id.0).map_or(0, |alias| alias.used_s.load(Ordering::Relaxed))
        };
        let (mut oldest, mut seen) = (None, 0);
        for _ in 0..EVICT_STEPS_MAX.min(groups.all.len()) {
            let place = groups.hands.0 % groups.all.len();
            groups.hands.0 = place + 1;
            let group = &groups.all[place];
            if group.ids().is_empty() || kept.contains(&(place as u32)) {
                continue;
            }
            let last_s = group.ids().iter().map(used_s).max().unwrap_or(0);
            if oldest.is_none_or(|(other_s, _)| last_s < other_s) {
                oldest = Some((last_s, place as u32));
            }
            seen += 1;
            if seen == EVICT_SAMPLE {
                break;
            }
        }
        oldest.map(|(_, place)| place)
    }

    /// Lets those of the members, smallest first, that led nowhere lead to the smallest; those `named`
    /// are used now. Returns whom it let.
    fn lead(&self, members: &[UserKey], group: u32, named: &[UserKey], now_s: u32) -> Ids {
        let mut moved = Ids::new();
        for &id in members {
            let mut stripe = self.stripe(id).write();
            let before = stripe.get(&id.0);
            let led_to = before.map_or(id, |alias| alias.next);
            let next = if led_to == id { members[0] } else { led_to };
            let used_s = before.map(|alias| alias.used_s.load(Ordering::Relaxed));
            let used_s = used_s.filter(|_| !named.contains(&id)).unwrap_or(now_s);
            let alias = Alias { next, group, used_s: AtomicU32::new(used_s) };
            if stripe.insert(id.0, alias).is_none() {
                self.len.fetch_add(1, Ordering::Relaxed);
            }
            if next != led_to {
                moved.push(id);
            }
        }
        moved
    }

    /// Lets no other member lead over `id` any more.
    fn pass_by(&self, members: &[UserKey], id: UserKey) {
        let Some(next) = self.stripe(id).read().get(&id.0).map(|alias| alias.next) else { return };
        for member in members.iter().filter(|member| **member != id) {
            if let Some(alias) = self.stripe(*member).write().get_mut(&member.0)
                && alias.next == id
            {
                alias.next = next;
            }
        }
    }

    fn remove(&self, id: UserKey) {
        if self.stripe(id).write().remove(&id.0).is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
