//! What a shard does with its messages, without an actor system.

use super::alias::Aliases;
use super::behaviour::Event;
use super::dedupe::RecentIds;
use super::extra::Sequencer;
use super::frequency::{Caps, Noted, Show};
use super::hand_over::Relay;
use super::stripe::Turnover;
use super::table::{STRIPES_PER_PARTITION, SessionTable, ShardMap};
use crate::relevance::Visit;
use crate::units::{CampaignId, CreativeId, HoldId, Timestamp, UserKey};
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use std::sync::Arc;

/// Sessions visited by one tick: some 0.2 ms of work. At a tick a second a shard of a million
/// sessions is swept in four minutes; nothing that is read depends on it.
const SWEEP_SLOTS_PER_TICK: usize = 4_096;

/// Sessions visited under one lock: a few microseconds, in which reads of them are contended.
const SWEEP_SLOTS_PER_LOCK: usize = 64;

/// A bid went out: the show counts against caps until it is confirmed, cancelled or expired.
///
/// A pending show is an impression in waiting, so it may create a session: otherwise the cap of a
/// user first seen at a bid would not hold while its notice is late. Send it only for users whom
/// we may remember, and where a cap asks for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PendShow {
    /// To whom.
    pub user: UserKey,
    /// Of which campaign.
    pub campaign: CampaignId,
    /// Which creative.
    pub creative: CreativeId,
    /// The bid's hold; tells the shows of one user apart.
    pub hold: HoldId,
    /// Until when it may still turn out to be shown: not before the last notice for this hold
    /// would be honoured, else the cap could be exceeded in between.
    pub expires: Timestamp,
    /// What the bid was made under, to be looked at once more when it is written.
    pub caps: Caps,
}

/// The ad was shown. Needs no `PendShow` before it; a repetition changes nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfirmShow {
    /// To whom.
    pub user: UserKey,
    /// Of which campaign.
    pub campaign: CampaignId,
    /// Which creative.
    pub creative: CreativeId,
    /// The bid's hold.
    pub hold: HoldId,
    /// When.
    pub at: Timestamp,
}

/// The ad will not be shown: lost, or never answered. A confirmed show stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CancelShow {
    /// To whom it was announced.
    pub user: UserKey,
    /// The bid's hold.
    pub hold: HoldId,
}

/// One change to a user's shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ShowChange {
    /// A bid went out.
    Pend(PendShow),
    /// The ad was shown.
    Confirm(ConfirmShow),
    /// The ad will not be shown.
    Cancel(CancelShow),
}

impl ShowChange {
    /// Whose shows.
    #[must_use]
    pub const fn user(&self) -> UserKey {
        match self {
            Self::Pend(show) => show.user,
            Self::Confirm(show) => show.user,
            Self::Cancel(show) => show.user,
        }
    }

    /// Whether it announces the show of this hold.
    pub(super) fn pends(&self, hold: HoldId) -> bool {
        matches!(self, Self::Pend(show) if show.hold == hold)
    }

    /// The same, of another user.
    pub(super) const fn of(mut self, other: UserKey) -> Self {
        match &mut self {
            Self::Pend(show) => show.user = other,
            Self::Confirm(show) => show.user = other,
            Self::Cancel(show) => show.user = other,
        }
        self
    }
}

/// What a shard has counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShardCounters {
    /// Events applied to a session.
    pub events_applied: u64,
    /// Events seen before.
    pub events_duplicate: u64,
    /// Events of users who did not consent; they touch no session.
    pub events_unconsented: u64,
    /// Event ids forgotten early for lack of room: their repetitions would count.
    pub event_ids_pushed_out: u64,
    /// Pending shows noted.
    pub shows_pended: u64,
    /// Bids announced for users who had reached a cap by then: other threads bid to them meanwhile.
    /// One stays counted when it is lost.
    pub bids_beyond_cap: u64,
    /// Shows noted as happened.
    pub shows_confirmed: u64,
    /// Pending shows taken back.
    pub shows_cancelled: u64,
    /// Changes to shows that changed nothing: repeated, late or unknown.
    pub shows_unneeded: u64,
    /// Shows that made a full log merge two records: that user's caps are stricter since.
    pub shows_merged: u64,
    /// Sessions made.
    pub sessions_created: u64,
    /// Sessions dropped because nothing was left in them.
    pub sessions_expired: u64,
    /// Sessions dropped for lack of room.
    pub sessions_evicted: u64,
    /// Messages about users of another shard's partitions: applied, but a fault of the sender.
    pub messages_misrouted: u64,
}

/// A shard's state, for people and tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardStatus {
    /// The shard's number.
    pub shard: usize,
    /// Partitions that it writes.
    pub partitions: usize,
    /// Sessions in them now.
    pub sessions: usize,
    /// Event ids remembered now.
    pub event_ids: usize,
    /// Reads that met a locked stripe, of all shards together.
    pub contended_reads: u64,
    /// Everything it counted.
    #[serde(flatten)]
    pub counters: ShardCounters,
}

/// One shard: the sole writer of its partitions.
#[derive(Debug)]
pub struct ShardState {
    pub(super) table: Arc<SessionTable>,
    pub(super) shard: usize,
    pub(super) map: ShardMap,
    partitions: Vec<usize>,
    pub(super) recent: RecentIds,
    sequencer: Option<Arc<Sequencer>>,
    pub(super) aliases: Option<Arc<Aliases>>,
    /// What waits to be sent to other shards, by their numbers.
    pub(super) relays: Vec<(usize, Relay)>,
    /// Sessions handed over, which numbers them.
    pub(super) moves: u64,
    pub(super) counters: ShardCounters,
    /// [`ShardCounters::bids_beyond_cap`] of all shards, for the operator.
    beyond_cap: Counter,
    /// The stripe (counted over the shard's own) and place where the sweep goes on.
    hand: (usize, usize),
}

impl ShardState {
    /// The shard that `map` numbers `shard`.
    #[must_use]
    pub fn new(table: Arc<SessionTable>, shard: usize, map: ShardMap) -> Self {
        Self {
            table,
            shard,
            partitions: map.partitions_of(shard).collect(),
            map,
            recent: RecentIds::default(),
            sequencer: None,
            aliases: None,
            relays: Vec::new(),
            moves: 0,
            counters: ShardCounters::default(),
            beyond_cap: Counter::default(),
            hand: (0, 0),
        }
    }

    /// The same shard, stepping a sequence model.
    #[must_use]
    pub fn with_sequencer(self, sequencer: Option<Arc<Sequencer>>) -> Self {
        Self { sequencer, ..self }
    }

    /// The same shard, which also counts there the bids that go beyond a cap.
    #[must_use]
    pub fn counting(self, beyond_cap: Counter) -> Self {
        Self { beyond_cap, ..self }
    }

    /// Applies behaviour events, each at most once. They create sessions. Returns the visits to items
    /// that others may learn from: new ones, of tenants in the pool.
    pub fn apply_events(&mut self, events: &[Event], now: Timestamp) -> (Vec<Visit>, u64) {
        let (mut visits, mut known) = (Vec::new(), 0);
        for event in events {
            if !event.consent {
                self.counters.events_unconsented += 1;
            } else if self.recent.insert(event.id, now) {
                visits.extend(self.take_event(event, now));
            } else {
                known += 1;
            }
        }
        self.counters.events_duplicate += known;
        self.counters.event_ids_pushed_out = self.recent.pushed_out();
        (visits, known)
    }

    /// Remembers an event that was applied before, so that its repetition is known.
    pub(super) fn remember(&mut self, event: &Event, now: Timestamp) {
        self.recent.insert(event.id, now);
    }

    /// Applies one event, without asking whether it should be.
    pub(super) fn record(&mut self, event: &Event, now: Timestamp) {
        let sequencer = self.sequencer.clone();
        self.write(event.user, true, now, |session| session.record(event, sequencer.as_deref()));
        self.counters.events_applied += 1;
    }

    /// Does what a change says.
    pub fn change(&mut self, change: &ShowChange, now: Timestamp) {
        if self.sends_on(change, now) {
            return;
        }
        match change {
            ShowChange::Pend(show) => self.pend(show, now),
            ShowChange::Confirm(show) => self.confirm(show, now),
            ShowChange::Cancel(show) => self.cancel(show, now),
        }
    }

    /// Notes a pending show.
    pub fn pend(&mut self, show: &PendShow, now: Timestamp) {
        if show.expires < now {
            self.counters.shows_unneeded += 1;
            return;
        }
        let PendShow { campaign, creative, hold, expires, ref caps, .. } = *show;
        let written = self.write(show.user, true, now, |user| {
            let (shown, now_s) = ((campaign, creative), now.as_secs_u32());
            let is_beyond = user.shows.goes_beyond(caps, shown, hold, now_s);
            (user.shows.pend(Show::may_be(campaign, creative, hold, expires)), is_beyond)
        });
        let (noted, is_beyond) = written.unzip();
        self.counters.shows_pended += u64::from(self.count_note(noted));
        if is_beyond == Some(true) {
            self.counters.bids_beyond_cap += 1;
            self.beyond_cap.inc();
        }
    }

    /// Notes a show that happened.
    pub fn confirm(&mut self, show: &ConfirmShow, now: Timestamp) {
        let ConfirmShow { campaign, creative, hold, at, .. } = *show;
        let noted = self
            .write(show.user, true, now, |user| user.shows.confirm(campaign, creative, hold, at));
        self.counters.shows_confirmed += u64::from(self.count_note(noted));
    }

    /// Takes a pending show back.
    pub fn cancel(&mut self, show: &CancelShow, now: Timestamp) {
        let was_there = self.write(show.user, false, now, |user| user.shows.cancel(show.hold));
        if was_there == Some(true) {
            self.counters.shows_cancelled += 1;
        } else {
            self.counters.shows_unneeded += 1;
        }
    }

    /// Drops expired sessions, a bounded number of visits at a time.
    pub fn tick(&mut self, now: Timestamp) {
        let stripes = self.partitions.len() * STRIPES_PER_PARTITION;
        let mut turnover = Turnover::default();
        let mut slots = SWEEP_SLOTS_PER_TICK;
        let mut stripes_left = stripes;
        while slots > 0 && stripes_left > 0 {
            let (stripe, place) = self.hand;
            let home =
                (self.partitions[stripe / STRIPES_PER_PARTITION], stripe % STRIPES_PER_PARTITION);
            let step = slots.min(SWEEP_SLOTS_PER_LOCK);
            let (visited, next) = self.table.sweep(home, place, step, now, &mut turnover);
            slots = slots.saturating_sub(visited);
            self.hand = match next {
                Some(place) => (stripe, place),
                None => {
                    stripes_left -= 1;
                    ((stripe + 1) % stripes, 0)
                }
            };
        }
        self.count_turnover(turnover);
        self.sweep_aliases(now);
    }

    /// Forgets those of the users who are its own. Returns how many sessions that were.
    pub fn forget(&mut self, users: &[UserKey]) -> usize {
        let own = users.iter().filter(|user| self.map.shard_of(**user) == self.shard);
        own.filter(|user| self.table.erase(**user)).count()
    }

    /// What it holds and counted.
    #[must_use]
    pub fn status(&self) -> ShardStatus {
        ShardStatus {
            shard: self.shard,
            partitions: self.partitions.len(),
            sessions: self.partitions.iter().map(|&one| self.table.sessions(one)).sum(),
            event_ids: self.recent.len(),
            contended_reads: self.table.contended_reads(),
            counters: self.counters,
        }
    }

    pub(super) fn write<R>(
        &mut self,
        user: UserKey,
        may_create: bool,
        now: Timestamp,
        act: impl FnOnce(&mut super::user::UserSession) -> R,
    ) -> Option<R> {
        if self.map.shard_of(user) != self.shard {
            self.counters.messages_misrouted += 1;
        }
        let mut turnover = Turnover::default();
        let result = self.table.write(user, may_create, now, &mut turnover, act);
        self.count_turnover(turnover);
        result
    }

    /// Whether the log has changed.
    fn count_note(&mut self, noted: Option<Noted>) -> bool {
        match noted {
            Some(Noted::Stored) => true,
            Some(Noted::Merged) => {
                self.counters.shows_merged += 1;
                true
            }
            Some(Noted::Unneeded) | None => {
                self.counters.shows_unneeded += 1;
                false
            }
        }
    }

    const fn count_turnover(&mut self, turnover: Turnover) {
        self.counters.sessions_created += turnover.created;
        self.counters.sessions_expired += turnover.expired;
        self.counters.sessions_evicted += turnover.evicted;
    }
}
