//! One account: its sums, its bound, and the inequality that no transition may break.

use crate::units::Nanos;
use serde::{Deserialize, Serialize};

/// Largest amount that a command may name: 1e27 nanos, a billion billions. A million such sums are
/// still far from the end of an `i128`, so no addition in the ledger can overflow.
pub const AMOUNT_MAX: Nanos = Nanos(1_000_000_000_000_000_000_000_000_000);

/// What an account has committed. Also used for a change of it, then with signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Charged for good.
    pub billed: Nanos,
    /// Held by bids of which nothing was heard in time, or by holders that are lost.
    pub late: Nanos,
    /// In open leases, settled and returned parts taken off.
    pub leased: Nanos,
}

impl Sums {
    /// All that counts against the bound.
    #[must_use]
    pub fn committed(self) -> Nanos {
        self.billed + self.late + self.leased
    }

    pub(super) fn plus(self, change: Self) -> Self {
        Self {
            billed: self.billed + change.billed,
            late: self.late + change.late,
            leased: self.leased + change.leased,
        }
    }
}

/// Why the ledger did not do as it was told. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No such campaign, or one of another advertiser.
    #[error("the campaign is not known")]
    UnknownCampaign,
    /// No such lease, or no longer open.
    #[error("the lease is not open")]
    NotOpen,
    /// The hold does not belong to the campaign and day that it names.
    #[error("the hold names another campaign or day than its lease")]
    Mismatch,
    /// The operation's number is not the next of its lease.
    #[error("an operation of the lease is missing before this one")]
    Gap,
    /// An older edition of a campaign's budgets arrived after a newer one.
    #[error("a newer edition is in force")]
    Stale,
    /// An amount below zero or above [`AMOUNT_MAX`], or a sequence out of bounds.
    #[error("an amount or number is out of range")]
    OutOfRange,
    /// The bound on leases or accounts is reached.
    #[error("the ledger is full")]
    Full,
    /// The tree of this advertiser is kept in another currency.
    #[error("the advertiser's accounts are kept in another currency")]
    Currency,
    /// A refund of more than the day was charged.
    #[error("more would be refunded than the day was charged")]
    Unbilled,
    /// The day is older than all that the campaign remembers.
    #[error("the day is too long ago")]
    TooOld,
    /// An inequality would not hold afterwards: a defect of ours. The ledger grants no more.
    #[error("an inequality would be violated")]
    Violation,
}

/// An account of the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What is committed.
    pub sums: Sums,
    /// The bound that was asked for; `None` is no bound.
    pub target: Option<Nanos>,
    /// The bound in force: the target, or, after a cut below what was committed, that, falling
    /// with it.
    pub enforced: Option<Nanos>,
    /// Owed to exchanges beyond what the account could pay; borne by the house.
    pub absorbed: Nanos,
}

impl Account {
    /// Sets the bound. Below what is committed it is enforced as far as it can be.
    pub(super) fn set_target(&mut self, target: Option<Nanos>) {
        self.target = target;
        self.enforced = target.map(|target| target.max(self.sums.committed()));
    }

    /// How much more is committed than the target.
    pub(super) fn excess(&self) -> Nanos {
        let above = self.target.map(|target| self.sums.committed() - target);
        above.unwrap_or(Nanos::ZERO).max(Nanos::ZERO)
    }

    /// What may still be granted or charged.
    pub(super) fn free(&self) -> Nanos {
        self.target.map_or(AMOUNT_MAX, |target| {
            (target - self.sums.committed()).max(Nanos::ZERO).min(AMOUNT_MAX)
        })
    }

    /// The bound less what is billed; `None` without a bound.
    pub(super) fn unbilled(&self) -> Option<Nanos> {
        self.target.map(|target| target - self.sums.billed)
    }

    /// The account after `change`.
    pub(super) fn after(&self, change: Sums) -> Result<Self, Refusal> {
        let sums = self.sums.plus(change);
        let committed = sums.committed();
        let negative = [sums.billed, sums.late, sums.leased].iter().any(|sum| *sum < Nanos::ZERO);
        if negative || self.enforced.is_some_and(|bound| committed > bound) {
            return Err(Refusal::Violation);
        }
        let enforced = match (self.target, self.enforced) {
            (Some(target), Some(bound)) => Some(target.max(bound.min(committed))),
            _ => None,
        };
        Ok(Self { sums, enforced, ..*self })
    }
}
