//! All sessions of the machine: partitions of striped locks, read by every core.
//!
//! A user's partition is `key mod 64`; each partition has one writer, its shard. Writers lock one
//! stripe for one event. Readers only try: a stripe that is being written reads as contended.

use super::frequency::{Show, WINDOW_S_MAX};
use super::places::PLACES_MAX;
use super::profile::{Profile, ReadOutcome};
use super::saved::Reader;
use super::stripe::{Stripe, Turnover};
use super::user::UserSession;
use crate::prefetch::prefetch_item;
use crate::units::{Timestamp, UserKey};
use parking_lot::RwLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What is moved between shards (and, in a cluster, between nodes) as a whole.
pub const PARTITIONS: usize = 64;

/// Locks in a partition. A write holds one of the 1,024 for well below a microsecond, so at a
/// million events a second a read meets one in about a thousand.
pub const STRIPES_PER_PARTITION: usize = 16;

const STRIPES: usize = PARTITIONS * STRIPES_PER_PARTITION;

/// Limits of the session table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Hard bound on sessions, spread over 1,024 stripes (so that about 0.97 of it is reached
    /// before the first eviction at a million); at least 1,024. Each takes some 216 bytes, and up to 640
    /// more for what was shown to it (20 each, 32 at most).
    pub sessions_max: usize,
    /// Interest expires when nothing happened for this long, in seconds.
    pub idle_s: u32,
    /// Shows are kept for this long, in seconds, and sessions for their sake: the longest window of
    /// any cap in use. At most [`WINDOW_S_MAX`]; a longer cap is answered as if it were reached.
    pub shows_keep_s: u32,
}

impl Default for SessionConfig {
    /// A million sessions (about 216 MB), expiring after three days, when an eighth is left of the
    /// slow interest.
    fn default() -> Self {
        Self { sessions_max: 1_000_000, idle_s: 3 * 86_400, shows_keep_s: WINDOW_S_MAX }
    }
}

impl SessionConfig {
    /// The bound of one stripe.
    pub(super) const fn stripe_sessions_max(&self) -> usize {
        match self.sessions_max / STRIPES {
            0 => 1,
            share if share > PLACES_MAX => PLACES_MAX,
            share => share,
        }
    }
}

/// A lock on its own pair of cache lines, so that writing one does not slow the reader of the next.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Padded(RwLock<Stripe>);

// What a read begins with comes as one: processors fetch lines in pairs.
const _: () = assert!(size_of::<Padded>() == 128);

/// The sessions of all users. Shared by `Arc`; lives outside of any actor, so a panic loses none.
#[derive(Debug)]
pub struct SessionTable {
    stripes: Box<[Padded]>,
    config: SessionConfig,
    // A count that nothing else is ordered by.
    contended: AtomicU64,
    /// The cut of the last saving; see [`SessionTable::cut`]. Whoever must see a new one is told of it
    /// by a message or a lock, so relaxed order is enough.
    cut: AtomicU8,
}

impl SessionTable {
    /// An empty table. Limits outside of their range are taken as the nearest within.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        let config = SessionConfig {
            sessions_max: config.sessions_max.max(STRIPES),
            shows_keep_s: config.shows_keep_s.min(WINDOW_S_MAX),
            ..config
        };
        Self {
            stripes: (0..STRIPES).map(|_| Padded::default()).collect(),
            config,
            contended: AtomicU64::new(0),
            cut: AtomicU8::new(0),
        }
    }

    /// The partition of this user, below [`PARTITIONS`].
    #[must_use]
    pub const fn partition_of(user: UserKey) -> usize {
        (user.0 % PARTITIONS as u64) as usize
    }

    /// Asks for what a read of `user` begins with: the sooner before it the better. Changes nothing.
    pub fn prefetch(&self, user: UserKey) {
        prefetch_item(self.stripe(user));
    }

    /// The same, some hundred nanoseconds later: asks for the place of the session.
    pub fn prefetch_place(&self, user: UserKey) {
        if let Some(stripe) = self.stripe(user).try_read() {
            stripe.prefetch_place(user);
        }
    }

    /// The same, once more: asks for the session itself.
    pub fn prefetch_session(&self, user: UserKey) {
        if let Some(stripe) = self.stripe(user).try_read() {
            stripe.prefetch_session(user);
        }
    }

    /// Copies what is known of `user` into `profile`, whatever it held. Never waits, never creates,
    /// never allocates. After `Contended` the profile is cold and refuses every cap, and after
    /// `Unknown` those that a forgotten session of this user may have reached.
    pub fn read(&self, user: UserKey, now: Timestamp, profile: &mut Profile) -> ReadOutcome {
        let Some(stripe) = self.stripe(user).try_read() else {
            self.contended.fetch_add(1, Ordering::Relaxed);
            profile.become_contended(now, &self.config);
            return ReadOutcome::Contended;
        };
        stripe.read(user, &self.config, now, profile)
    }

    /// Adds what is known of `user`, to whom the one leads who was read into `profile`; `before` is what
    /// that read found. As [`SessionTable::read`] otherwise.
    pub(super) fn read_on(
        &self,
        user: UserKey,
        now: Timestamp,
        profile: &mut Profile,
        before: ReadOutcome,
    ) -> ReadOutcome {
        let Some(stripe) = self.stripe(user).try_read() else {
            self.contended.fetch_add(1, Ordering::Relaxed);
            profile.become_contended(now, &self.config);
            return ReadOutcome::Contended;
        };
        let now_s = now.as_secs_u32();
        if let Some(session) = stripe.live(user, &self.config, now_s) {
            profile.add(session, &self.config, now_s);
            return ReadOutcome::Known;
        }
        profile.add_forgotten(stripe.forgotten(user, &self.config, now_s), now_s);
        before
    }

    /// Whether there is anything of `user`, live or not. May wait for a writer.
    #[must_use]
    pub fn knows(&self, user: UserKey) -> bool {
        self.stripe(user).read().knows(user)
    }

    /// The latest second at which a live show of `user` was, or may yet be, shown. May wait.
    pub(super) fn latest_live_show_s(&self, user: UserKey, now: Timestamp) -> Option<u32> {
        self.stripe(user).read().latest_live_show_s(user, &self.config, now)
    }

    /// What may have been forgotten of `user`'s shows. May wait.
    pub(super) fn forgotten(&self, user: UserKey, now: Timestamp) -> Option<Show> {
        self.stripe(user).read().forgotten(user, &self.config, now.as_secs_u32())
    }

    /// Lets the owner of the user's partition note that shows until `latest_s` are out of reach.
    pub(super) fn forget(&self, user: UserKey, latest_s: u32) {
        self.stripe(user).write().forget(user, latest_s);
    }

    /// Reads so far that met a locked stripe.
    #[must_use]
    pub fn contended_reads(&self) -> u64 {
        self.contended.load(Ordering::Relaxed)
    }

    /// Sessions in `partition` now.
    #[must_use]
    pub fn sessions(&self, partition: usize) -> usize {
        let stripes = self.stripes.iter().skip(partition * STRIPES_PER_PARTITION);
        stripes.take(STRIPES_PER_PARTITION).map(|stripe| stripe.0.read().len()).sum()
    }

    /// Lets the owner of the user's partition change the session; see `Stripe::write`.
    pub(super) fn write<R>(
        &self,
        user: UserKey,
        may_create: bool,
        now: Timestamp,
        turnover: &mut Turnover,
        act: impl FnOnce(&mut UserSession) -> R,
    ) -> Option<R> {
        let mut stripe = self.stripe(user).write();
        stripe.write(user, may_create, (&self.config, now, self.last_cut()), turnover, act)
    }

    /// Sweeps up to `slots` sessions of one stripe of `partition`; see `Stripe::sweep`.
    pub(super) fn sweep(
        &self,
        (partition, stripe): (usize, usize),
        place: usize,
        slots: usize,
        now: Timestamp,
        turnover: &mut Turnover,
    ) -> (usize, Option<usize>) {
        match self.stripes.get(partition * STRIPES_PER_PARTITION + stripe) {
            Some(stripe) => stripe.0.write().sweep(place, slots, (&self.config, now), turnover),
            None => (0, None),
        }
    }

    /// Lets go of all that is known of `user`, whoever's partition it is in; for his own shard. Whether
    /// there was a session.
    pub(super) fn erase(&self, user: UserKey) -> bool {
        self.stripe(user).write().erase(user)
    }

    pub(super) const fn stripe_count(&self) -> usize {
        STRIPES
    }

    /// See `Stripe::save`.
    pub(super) fn save_some(
        &self,
        stripe: usize,
        before: usize,
        cut: &Cut,
        out: &mut Vec<u8>,
    ) -> usize {
        let now_s = cut.at.as_secs_u32();
        self.stripes[stripe].0.read().save(before, (&self.config, now_s, cut.number), out)
    }

    /// See `Stripe::end_walk`.
    pub(super) fn end_walk(&self, stripe: usize, cut: &Cut) -> Vec<Vec<u8>> {
        self.stripes[stripe].0.write().end_walk(cut.number)
    }

    pub(super) fn save_forgotten(&self, stripe: usize, out: &mut Vec<u8>) -> bool {
        self.stripes[stripe].0.read().save_forgotten(out)
    }

    pub(super) fn restore(&self, session: UserSession, now: Timestamp) -> bool {
        let mut turnover = Turnover::default();
        let when = (now, self.last_cut());
        self.stripe(session.user).write().restore(session, &self.config, when, &mut turnover)
    }

    pub(super) fn restore_forgotten(&self, stripe: usize, reader: &mut Reader<'_>) -> Option<()> {
        self.stripes.get(stripe)?.0.write().restore_forgotten(reader)
    }

    /// Begins a saving: sessions are saved as they are at this moment, which `at` is, with all that a
    /// journal has up to the position `journaled`. Each saving must be walked to its end before the
    /// next begins.
    pub fn cut(&self, journaled: u64, at: Timestamp) -> Cut {
        let number = self.cut.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        Cut { number, journaled, at }
    }

    fn last_cut(&self) -> u8 {
        self.cut.load(Ordering::Relaxed)
    }

    pub(super) fn stripe(&self, user: UserKey) -> &RwLock<Stripe> {
        let lock = user.0 / PARTITIONS as u64 % STRIPES_PER_PARTITION as u64;
        &self.stripes[Self::partition_of(user) * STRIPES_PER_PARTITION + lock as usize].0
    }
}

/// A moment as of which sessions are saved.
#[derive(Debug)]
pub struct Cut {
    /// Tells it from the saving before: after a walk every session has it.
    number: u8,
    /// The last position of the journal that is in the sessions.
    pub journaled: u64,
    /// When it is.
    pub at: Timestamp,
}

/// Which shard writes which partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardMap {
    shards: [u16; PARTITIONS],
}

impl ShardMap {
    /// Partitions dealt evenly to `shards` shards, numbered from 0; at least one, and no more than
    /// there are partitions.
    #[must_use]
    pub fn even(shards: usize) -> Self {
        let shards = shards.clamp(1, PARTITIONS);
        Self { shards: std::array::from_fn(|partition| (partition % shards) as u16) }
    }

    /// The shard to which this user's events and shows go.
    #[must_use]
    pub fn shard_of(&self, user: UserKey) -> usize {
        usize::from(self.shards[SessionTable::partition_of(user)])
    }

    /// The partitions that `shard` writes.
    pub fn partitions_of(&self, shard: usize) -> impl Iterator<Item = usize> {
        (0..PARTITIONS).filter(move |&partition| usize::from(self.shards[partition]) == shard)
    }
}
