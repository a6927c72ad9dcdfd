//! One lease as its holder sees it: sums, held money by expiry, and one bit a hold.

use super::day::DayNumber;
use super::ledger::SEQUENCES_MAX;
use crate::units::{CampaignId, HoldId, LeaseId, Micros, Nanos, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Holds are counted by the step in which they come due: an hour of them takes 360 sums.
pub const DUE_STEP_MS: i64 = 10_000;

/// How long an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Milliseconds without news after which a hold is late.
    pub decision_ttl_ms: u32,
    /// Milliseconds within which a bid is billed; afterwards its money is free.
    pub billing_window_ms: u32,
}

/// When a hold becomes late, and when it is free: steps of [`DUE_STEP_MS`] since 1970, rounded up.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Due {
    late: u32,
    free: u32,
}

impl Due {
    /// Of a bid at `now` on an exchange with these windows.
    #[must_use]
    pub fn of(now: Timestamp, windows: Windows) -> Self {
        let step = |after: u32| {
            let at = now.plus_millis(i64::from(after)).0;
            u32::try_from(at.div_euclid(DUE_STEP_MS) + 1).unwrap_or(0)
        };
        let late = step(windows.decision_ttl_ms);
        Self { late, free: step(windows.billing_window_ms).max(late) }
    }

    /// From here on no news is bad news.
    #[must_use]
    pub fn late_at(self) -> Timestamp {
        Timestamp(i64::from(self.late) * DUE_STEP_MS)
    }

    /// Up to here the exchange may bill.
    #[must_use]
    pub fn free_at(self) -> Timestamp {
        Timestamp(i64::from(self.free) * DUE_STEP_MS)
    }
}

/// A hold, with all that its notices need: what a token carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which hold.
    pub hold: HoldId,
    /// For which campaign.
    pub campaign: CampaignId,
    /// On which day of the campaign.
    pub day: DayNumber,
    /// When it becomes late and free.
    pub due: Due,
    /// What is held: the most that may be charged.
    pub price: Micros,
}

/// Why there is no hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHold {
    /// The campaign is not active, its day is over, or its lease is on the way.
    NoLease,
    /// The lease is used up; more is asked for.
    Exhausted,
    /// The account has no more to give, and so much is left here: a bid at this price can be held.
    OnlyLeft(Micros),
}

/// A lease in its holder's hands. At every moment `settled + held + late <= amount`.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: LeaseId,
    pub(super) day: DayNumber,
    /// Granted, returned parts taken off.
    pub(super) amount: Nanos,
    pub(super) settled: Nanos,
    pub(super) held: Nanos,
    pub(super) late: Nanos,
    /// Settled on money that was free here and had been used again; the hold is the last such one.
    pub(super) uncovered: Option<(HoldId, Nanos)>,
    sequence: u32,
    buckets: VecDeque<Bucket>,
    resolved: VecDeque<u64>,
    /// Holds before `64 * resolved_from` are all past.
    resolved_from: u32,
}

#[derive(Debug)]
struct Bucket {
    due: Due,
    sum: Nanos,
    first: u32,
    is_late: bool,
}

impl Line {
    pub(super) fn new(id: LeaseId, day: DayNumber) -> Self {
        Self {
            id,
            day,
            amount: Nanos::ZERO,
            settled: Nanos::ZERO,
            held: Nanos::ZERO,
            late: Nanos::ZERO,
            uncovered: None,
            sequence: 0,
            buckets: VecDeque::new(),
            resolved: VecDeque::new(),
            resolved_from: 0,
        }
    }

    /// What new holds can take.
    pub(super) fn headroom(&self) -> Nanos {
        self.amount - self.settled - self.held - self.late
    }

    /// Whether its numbers are used up.
    pub(super) const fn is_full(&self) -> bool {
        self.sequence >= SEQUENCES_MAX
    }

    /// Whether nothing of it is in anybody's hands.
    pub(super) fn is_empty(&self) -> bool {
        self.held == Nanos::ZERO && self.late == Nanos::ZERO && self.uncovered.is_none()
    }

    /// Holds `cost`, which the caller knows to be within the headroom.
    pub(super) fn hold(&mut self, cost: Nanos, due: Due) -> Option<HoldId> {
        if cost > self.headroom() || self.is_full() {
            return None;
        }
        let sequence = self.sequence;
        self.sequence += 1;
        if sequence / 64 >= self.resolved_from + self.resolved.len() as u32 {
            self.resolved.push_back(0);
        }
        self.held += cost;
        // Bids of one exchange come in order: the bucket is the last, or among the last few.
        match self.buckets.iter_mut().rev().find(|bucket| bucket.due == due && !bucket.is_late) {
            Some(bucket) => bucket.sum += cost,
            None => {
                let first = sequence;
                self.buckets.push_back(Bucket { due, sum: cost, first, is_late: false });
            }
        }
        Some(HoldId { lease: self.id, sequence })
    }

    /// Marks a hold as resolved and takes its money out of what is held or late. `None` when it
    /// was resolved or free before, or was never given.
    fn resolve(&mut self, held: &Held) -> Option<Nanos> {
        let sequence = held.hold.sequence;
        let word = (sequence / 64).checked_sub(self.resolved_from)?;
        let word = self.resolved.get_mut(word as usize)?;
        let bit = 1 << (sequence % 64);
        if sequence >= self.sequence || *word & bit != 0 {
            return None;
        }
        *word |= bit;
        let bucket = self.buckets.iter_mut().rev().find(|bucket| bucket.due == held.due)?;
        let cost = held.price.per_impression().min(bucket.sum);
        bucket.sum -= cost;
        if bucket.is_late {
            self.late -= cost;
        } else {
            self.held -= cost;
        }
        Some(cost)
    }

    /// Frees a hold: its bid lost, or its answer was not sent. Whether it was held until now.
    pub(super) fn release(&mut self, held: &Held) -> bool {
        self.resolve(held).is_some()
    }

    /// The ledger charged `from_lease` for a hold.
    pub(super) fn settle(&mut self, held: &Held, from_lease: Nanos) {
        self.resolve(held);
        // A hold that was free already may find its money used again.
        let taken = from_lease.min(self.headroom());
        self.settled += taken;
        self.add_uncovered(held.hold, from_lease - taken);
    }

    /// Adds what must be charged to free money; zero adds nothing.
    pub(super) fn add_uncovered(&mut self, hold: HoldId, amount: Nanos) {
        if amount > Nanos::ZERO {
            let before = self.uncovered.map_or(Nanos::ZERO, |(_, before)| before);
            self.uncovered = Some((hold, before + amount));
        }
    }

    /// Pays what is uncovered out of the headroom, as far as it goes.
    pub(super) fn cover(&mut self) {
        let Some((hold, amount)) = self.uncovered.take() else { return };
        let taken = amount.min(self.headroom());
        self.settled += taken;
        self.add_uncovered(hold, amount - taken);
    }

    /// Moves what is past its time from held to late and from late to free.
    pub(super) fn age(&mut self, now: Timestamp) {
        let (mut late, mut free) = (Nanos::ZERO, Nanos::ZERO);
        self.buckets.retain_mut(|bucket| {
            if !bucket.is_late && bucket.due.late_at() <= now {
                bucket.is_late = true;
                late += bucket.sum;
            }
            let is_over = bucket.is_late && bucket.due.free_at() <= now;
            if is_over {
                free += bucket.sum;
            }
            // An empty one is kept: its holds may still be told twice.
            !is_over
        });
        self.held -= late;
        self.late += late;
        self.late -= free;
        let first = self.buckets.iter().map(|bucket| bucket.first).min().unwrap_or(self.sequence);
        while self.resolved_from < first / 64 && self.resolved.pop_front().is_some() {
            self.resolved_from += 1;
        }
    }
}
