//! The ledger: a pure, deterministic fold over the ordered log.
//!
//! No clock and no input or output: `at` is the time that the log assigned. Folding the same
//! records gives the same ledger, so balance, recovery and audit are all "fold again".

use super::account::{Refusal, Sums};
use super::command::{ADJUST_KEY_BYTES_MAX, Command, LeaseOp};
use super::day::DayNumber;
use super::plan::{Purpose, in_range};
use super::tree::{Place, Tree};
use super::view::{Answer, House, Outcome};
use crate::store::{Position, Record};
use crate::units::{CampaignId, HoldId, LeaseId, Micros, Nanos, Timestamp};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Holds of one lease: one bit each, hence 128 kB at most. A holder opens the next lease then.
pub(super) const SEQUENCES_MAX: u32 = 1 << 20;
/// Open and remembered leases: ten thousand campaigns on 32 cores for three days.
const LEASES_MAX: usize = 1 << 20;
/// Milliseconds that a closed lease is remembered, so that a copy of an old notice is known as a
/// copy: for as long as notices are taken, or the house would bear a bill that was paid.
pub const CLOSED_KEPT_MS: i64 = 2 * 86_400_000;
/// Settled prices remembered, to tell a duplicate from a contradiction: minutes of the fastest
/// stream, in which copies come.
const PRICES_MAX: usize = 1 << 16;

/// A record that cannot be folded: the log was lost, forked or written by another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// Not the position after the last.
    #[error("position {} follows {}", found.0, last.0)]
    Gap {
        /// Folded last.
        last: Position,
        /// Came next.
        found: Position,
    },
    /// Not a command.
    #[error("position {}: {error}", position.0)]
    Unreadable {
        /// Where.
        position: Position,
        /// Why.
        error: super::command::DecodeError,
    },
}

/// Accounts, leases and settlements, as of a position of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    pub(super) tree: Tree,
    pub(super) leases: BTreeMap<LeaseId, Lease>,
    /// When lost leases become free and closed ones are forgotten.
    due: BTreeSet<(Timestamp, LeaseId)>,
    prices: FxHashMap<HoldId, Micros>,
    prices_order: VecDeque<HoldId>,
    #[serde(with = "super::snapshot::house")]
    house: House,
    position: Position,
    digest: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) place: Place,
    pub(super) sums: LeaseSums,
    step: u32,
    state: LeaseState,
    settled_bits: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum LeaseState {
    Open,
    Lost,
    Closed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeaseSums {
    amount: Nanos,
    settled: Nanos,
    returned: Nanos,
    pub(super) late: Nanos,
}

impl LeaseSums {
    pub(super) fn remaining(self) -> Nanos {
        self.amount - self.settled - self.returned
    }

    /// With the late part no larger than what remains.
    fn trimmed(mut self) -> Self {
        self.late = self.late.min(self.remaining());
        self
    }

    /// The second inequality, as far as the ledger sees it: `settled <= amount`, and what is late
    /// or returned lies within the rest.
    pub(super) fn check(self) -> Result<Self, Refusal> {
        let parts = [self.amount, self.settled, self.returned, self.late, self.remaining()];
        let is_sound =
            parts.iter().all(|part| *part >= Nanos::ZERO) && self.late <= self.remaining();
        is_sound.then_some(self).ok_or(Refusal::Violation)
    }

    /// What changes in the accounts above when the lease goes from `self` to `next`.
    fn change_to(self, next: Self, billed: Nanos) -> Sums {
        let late = next.late - self.late;
        Sums { billed, late, leased: next.remaining() - self.remaining() - late }
    }
}

/// Applies one command at the time that the log gave it. A refused command changes nothing but the
/// counter of refusals.
pub fn apply(ledger: &mut Ledger, at: Timestamp, command: &Command) -> Outcome {
    let applied = match *command {
        Command::SetCampaign { campaign, advertiser, ref budget, from, edition } => ledger
            .tree
            .set(campaign, advertiser, (from, edition), budget)
            .map(|is_over| Outcome::CampaignSet { is_over }),
        Command::Lease { lease, step, op } => ledger.step(at, lease, step, op),
        Command::Settle { .. } => ledger.settle(at, command),
        Command::HolderLost { node, core, boot_upto, window_ms } => {
            ledger.holder_lost(at, node, core, boot_upto, window_ms)
        }
        Command::Expire => ledger.expire(at),
        Command::Adjust { campaign, day, amount, ref key, .. } => {
            ledger.adjust(campaign, day, amount, key)
        }
    };
    applied.unwrap_or_else(|refusal| {
        ledger.house.refused += 1;
        ledger.house.is_poisoned |= refusal == Refusal::Violation;
        Outcome::Refused(refusal)
    })
}

impl Ledger {
    /// Folds the next record: decodes it, applies it, and chains its digest.
    ///
    /// # Errors
    /// [`FoldError`]: nothing was changed, except that the ledger grants no more.
    pub fn fold(&mut self, record: &Record) -> Result<(Command, Outcome), FoldError> {
        let checked = if record.position.0 == self.position.0 + 1 {
            Command::decode(&record.body)
                .map_err(|error| FoldError::Unreadable { position: record.position, error })
        } else {
            Err(FoldError::Gap { last: self.position, found: record.position })
        };
        let command = checked.inspect_err(|_| self.house.is_poisoned = true)?;
        let outcome = apply(self, record.at, &command);
        let mut chain = ring::digest::Context::new(&ring::digest::SHA256);
        chain.update(&self.digest);
        chain.update(&record.position.0.to_le_bytes());
        chain.update(&record.at.0.to_le_bytes());
        chain.update(&record.body);
        self.digest.copy_from_slice(chain.finish().as_ref());
        self.position = record.position;
        Ok((command, outcome))
    }

    /// The last position folded.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// SHA-256 over (digest before, position, time, body) of each record in turn: two ledgers with
    /// one digest have seen one history.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The house's own numbers.
    #[must_use]
    pub const fn house(&self) -> House {
        self.house
    }

    /// The highest boot of `node` that has left a trace: a later start must have a higher one, or
    /// its leases would be taken for copies of old ones.
    #[must_use]
    pub fn last_boot(&self, node: u16) -> u32 {
        // The boot is the upper half of an edition; each start sets the budgets of its campaigns.
        let set = self.tree.campaigns.values().map(|campaign| (campaign.edition >> 32) as u32);
        let held = self.leases.keys().filter(|id| id.node == node).map(|id| id.boot);
        set.chain(held).max().unwrap_or(0)
    }

    /// The campaign of a lease, and what the lease is for.
    #[must_use]
    pub fn owner_of(&self, lease: LeaseId) -> Option<(CampaignId, Purpose)> {
        self.leases.get(&lease).map(|lease| (lease.place.campaign, lease.place.purpose))
    }

    /// The day of a lease.
    #[must_use]
    pub fn day_of(&self, lease: LeaseId) -> Option<DayNumber> {
        self.leases.get(&lease).map(|lease| lease.place.day)
    }

    /// Whether [`Command::Expire`] would do something.
    #[must_use]
    pub fn has_due(&self, now: Timestamp) -> bool {
        self.due.first().is_some_and(|(at, _)| *at <= now)
    }

    fn step(
        &mut self,
        at: Timestamp,
        id: LeaseId,
        step: u32,
        op: LeaseOp,
    ) -> Result<Outcome, Refusal> {
        if let LeaseOp::Open { campaign, day, purpose, asked } = op {
            return self.open(id, Place { campaign, day, purpose }, asked);
        }
        let lease = self.leases.get(&id).ok_or(Refusal::NotOpen)?;
        if step <= lease.step {
            return Ok(Outcome::Duplicate);
        }
        if lease.state != LeaseState::Open {
            return Err(Refusal::NotOpen);
        }
        if step != lease.step + 1 {
            return Err(Refusal::Gap);
        }
        let (place, old) = (lease.place, lease.sums);
        let mut new = old;
        let mut billed = Nanos::ZERO;
        let mut absorbed = Nanos::ZERO;
        let answer = match op {
            LeaseOp::Open { .. } => return Err(Refusal::Mismatch),
            LeaseOp::TopUp { asked } => {
                let amount = in_range(asked)?.min(self.grantable(place));
                new.amount += amount;
                Answer::Granted { amount, is_short: amount < asked }
            }
            LeaseOp::Return { amount } => {
                let amount = in_range(amount)?.min(old.remaining());
                new.returned += amount;
                // Over, if what goes back leaves still more than a budget allows.
                Answer::Returned { amount, is_over: self.tree.excess(place) > amount }
            }
            LeaseOp::Late { amount } => {
                new.late = in_range(amount)?;
                Answer::Noted
            }
            LeaseOp::Uncovered { hold, amount } => {
                if hold.lease != id || !lease.is_settled(hold.sequence) {
                    return Err(Refusal::Mismatch);
                }
                let amount = in_range(amount)?.min(old.settled);
                let covered = amount.min(self.tree.free(place));
                absorbed = amount - covered;
                new.amount += covered;
                new.settled -= absorbed;
                billed -= absorbed;
                Answer::Covered(covered)
            }
            LeaseOp::Close => {
                new.returned += old.remaining();
                Answer::Closed
            }
        };
        let new = new.trimmed().check()?;
        self.tree.change(place, old.change_to(new, billed))?;
        self.absorb(place.campaign, absorbed);
        let Some(lease) = self.leases.get_mut(&id) else { return Err(Refusal::NotOpen) };
        lease.sums = new;
        lease.step = step;
        if op == LeaseOp::Close {
            lease.state = LeaseState::Closed;
            self.due.insert((at.plus_millis(CLOSED_KEPT_MS), id));
        }
        Ok(Outcome::Stepped(answer))
    }

    fn open(&mut self, id: LeaseId, place: Place, asked: Nanos) -> Result<Outcome, Refusal> {
        if self.leases.contains_key(&id) {
            return Ok(Outcome::Duplicate);
        }
        let asked = in_range(asked)?;
        if self.leases.len() >= LEASES_MAX {
            return Err(Refusal::Full);
        }
        self.tree.open_day(place.campaign, place.day)?;
        let amount = asked.min(self.grantable(place));
        let sums = LeaseSums { amount, ..LeaseSums::default() }.check()?;
        self.tree.change(place, LeaseSums::default().change_to(sums, Nanos::ZERO))?;
        let state = LeaseState::Open;
        let lease = Lease { place, sums, step: 0, state, settled_bits: Vec::new() };
        self.leases.insert(id, lease);
        Ok(Outcome::Stepped(Answer::Granted { amount, is_short: amount < asked }))
    }

    fn settle(&mut self, at: Timestamp, command: &Command) -> Result<Outcome, Refusal> {
        let &Command::Settle { hold, campaign, day, held, price, due, .. } = command else {
            return Err(Refusal::Mismatch);
        };
        if hold.sequence >= SEQUENCES_MAX {
            return Err(Refusal::OutOfRange);
        }
        if !self.tree.campaigns.contains_key(&campaign) {
            return Err(Refusal::UnknownCampaign);
        }
        let (cost, held) = (price.per_impression(), held.per_impression());
        let Some(lease) = self.leases.get(&hold.lease) else {
            self.house.forgotten_leases += 1;
            self.absorb(campaign, cost);
            return Ok(Outcome::Forgotten { absorbed: cost });
        };
        let place = lease.place;
        if (place.campaign, place.day) != (campaign, day) {
            return Err(Refusal::Mismatch);
        }
        if lease.is_settled(hold.sequence) {
            self.house.duplicates += 1;
            let is_other = self.prices.get(&hold).is_some_and(|before| *before != price);
            self.house.contradictions += u64::from(is_other);
            return Ok(if is_other { Outcome::Contradiction } else { Outcome::Duplicate });
        }
        let old = lease.sums;
        let within = at <= due.free_at() && lease.state != LeaseState::Closed;
        let reach = if within { held.min(old.remaining()) } else { Nanos::ZERO };
        let from_lease = cost.min(reach);
        let from_free = (cost - from_lease).min(self.tree.free(place));
        let absorbed = cost - from_lease - from_free;
        let mut new = old;
        // Money from outside the lease passes through it, so that one sum says what it settled.
        new.settled += from_lease;
        if lease.state == LeaseState::Lost {
            // Nobody will use what this hold did not need.
            new.returned += reach - from_lease;
        }
        let new = new.trimmed().check()?;
        self.tree.change(place, old.change_to(new, from_lease + from_free))?;
        self.absorb(campaign, absorbed);
        if let Some(lease) = self.leases.get_mut(&hold.lease) {
            lease.sums = new;
            lease.mark_settled(hold.sequence);
        }
        self.remember(hold, price);
        Ok(Outcome::Settled { from_lease, from_free, absorbed })
    }

    fn holder_lost(
        &mut self,
        at: Timestamp,
        node: u16,
        core: Option<u16>,
        boot_upto: u32,
        window_ms: u64,
    ) -> Result<Outcome, Refusal> {
        let window = i64::try_from(window_ms).map_err(|_| Refusal::OutOfRange)?;
        let first = LeaseId { node, core: core.unwrap_or(0), boot: 0, number: 0 };
        let last =
            LeaseId { node, core: core.unwrap_or(u16::MAX), boot: u32::MAX, number: u32::MAX };
        let lost: Vec<LeaseId> = self
            .leases
            .range(first..=last)
            .filter(|(id, lease)| id.boot <= boot_upto && lease.state == LeaseState::Open)
            .map(|(id, _)| *id)
            .collect();
        for id in &lost {
            let Some(lease) = self.leases.get(id) else { continue };
            let (place, old) = (lease.place, lease.sums);
            let new = LeaseSums { late: old.remaining(), ..old }.check()?;
            self.tree.change(place, old.change_to(new, Nanos::ZERO))?;
            if let Some(lease) = self.leases.get_mut(id) {
                lease.sums = new;
                lease.state = LeaseState::Lost;
            }
            self.due.insert((at.plus_millis(window), *id));
        }
        Ok(Outcome::Lost(u32::try_from(lost.len()).unwrap_or(u32::MAX)))
    }

    fn expire(&mut self, at: Timestamp) -> Result<Outcome, Refusal> {
        let mut freed = Nanos::ZERO;
        while let Some(&(when, id)) = self.due.first().filter(|(when, _)| *when <= at) {
            self.due.remove(&(when, id));
            let Some(lease) = self.leases.get(&id) else { continue };
            if lease.state == LeaseState::Closed {
                self.leases.remove(&id);
                continue;
            }
            let (place, old) = (lease.place, lease.sums);
            let new =
                LeaseSums { late: Nanos::ZERO, returned: old.returned + old.remaining(), ..old };
            self.tree.change(place, old.change_to(new.check()?, Nanos::ZERO))?;
            freed += old.remaining();
            if let Some(lease) = self.leases.get_mut(&id) {
                lease.sums = new;
                lease.state = LeaseState::Closed;
            }
            self.due.insert((at.plus_millis(CLOSED_KEPT_MS), id));
        }
        Ok(Outcome::Expired(freed))
    }

    /// A charge goes as far as there is free money, and the house bears the rest; a refund is made
    /// whole or not at all.
    fn adjust(
        &mut self,
        campaign: CampaignId,
        day: DayNumber,
        amount: Nanos,
        key: &str,
    ) -> Result<Outcome, Refusal> {
        if let Some(before) = self.tree.adjustment(campaign, key) {
            let is_same = before == (day, amount);
            return Ok(if is_same { Outcome::Duplicate } else { Outcome::Contradiction });
        }
        in_range(Nanos(amount.0.checked_abs().ok_or(Refusal::OutOfRange)?))?;
        if key.is_empty() || key.len() > ADJUST_KEY_BYTES_MAX || amount == Nanos::ZERO {
            return Err(Refusal::OutOfRange);
        }
        self.tree.may_adjust(campaign)?;
        let place = Place::day(campaign, day);
        let billed = if amount > Nanos::ZERO {
            self.tree.open_day(campaign, day)?;
            amount.min(self.tree.free(place))
        } else {
            amount
        };
        if billed < Nanos::ZERO - self.tree.billed(place) {
            return Err(Refusal::Unbilled);
        }
        self.tree.change(place, Sums { billed, ..Sums::default() })?;
        let absorbed = (amount - billed).max(Nanos::ZERO);
        self.absorb(campaign, absorbed);
        self.tree.adjusted(campaign, key, (day, amount));
        Ok(Outcome::Adjusted { billed, absorbed })
    }

    /// Free money, unless the ledger has lost faith in itself.
    fn grantable(&self, place: Place) -> Nanos {
        if self.house.is_poisoned { Nanos::ZERO } else { self.tree.grantable(place) }
    }

    fn absorb(&mut self, id: CampaignId, amount: Nanos) {
        if amount == Nanos::ZERO {
            return;
        }
        self.house.absorbed += amount;
        self.house.absorbed_notices += 1;
        if let Some(campaign) = self.tree.campaigns.get_mut(&id) {
            campaign.account.absorbed += amount;
        }
    }

    fn remember(&mut self, hold: HoldId, price: Micros) {
        self.prices.insert(hold, price);
        self.prices_order.push_back(hold);
        if self.prices_order.len() > PRICES_MAX
            && let Some(oldest) = self.prices_order.pop_front()
        {
            self.prices.remove(&oldest);
        }
    }
}

impl Lease {
    fn is_settled(&self, sequence: u32) -> bool {
        let word = self.settled_bits.get(sequence as usize / 64).copied().unwrap_or(0);
        word >> (sequence % 64) & 1 == 1
    }

    fn mark_settled(&mut self, sequence: u32) {
        let index = sequence as usize / 64;
        if self.settled_bits.len() <= index {
            self.settled_bits.resize(index + 1, 0);
        }
        self.settled_bits[index] |= 1 << (sequence % 64);
    }
}
