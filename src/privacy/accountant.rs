//! The accountant: what a user-day has cost so far, and no release past the budget.
//!
//! Costs are zCDP's rho, which adds up. They are integers (a millionth of a millionth), so that no
//! rounding lets a release through: budgets are rounded down, noise is rounded up.
//!
//! A release takes a [`Charge`] by value, and only the accountant makes one: nothing is released
//! uncharged, and no charge is used twice. A day's whole schedule is charged at once, before its
//! first release ([`Accountant::begin_day`]); each (interval, kind) is then drawn from it once, and
//! nothing is drawn beside it, since averaging draws would wash the noise out.

use super::cell::{KINDS, Kind};
use super::config::{Claim, Plan};
use super::zcdp;

/// A zCDP cost in units of 1e-12. Range: 0 to 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rho(u64);

impl Rho {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Units in a rho of 1.
    pub(super) const PER_UNIT: u64 = 1_000_000_000_000;
    /// The largest rho looked for; epsilon is never below rho, so this is past any accepted budget.
    const SEARCH_MAX: u64 = 64 * Self::PER_UNIT;

    /// The largest rho whose epsilon at `delta` is at most `epsilon`, both as a configuration accepts
    /// them.
    #[must_use]
    pub fn within(epsilon: f64, delta: f64) -> Self {
        let (mut fits, mut exceeds) = (0, Self::SEARCH_MAX);
        while exceeds - fits > 1 {
            let middle = fits + (exceeds - fits) / 2;
            if zcdp::epsilon(Self(middle).as_f64(), delta) <= epsilon {
                fits = middle;
            } else {
                exceeds = middle;
            }
        }
        Self(fits)
    }

    /// So many units of 1e-12.
    pub(super) const fn from_picos(picos: u64) -> Self {
        Self(picos)
    }

    /// `rho` rounded up; one that is no cost (negative or no number) is past any budget.
    pub(super) fn at_least(rho: f64) -> Self {
        let picos = (rho * Self::PER_UNIT as f64).next_up().ceil();
        let is_cost = rho >= 0.0 && picos <= Self::SEARCH_MAX as f64;
        Self(if is_cost { picos as u64 } else { u64::MAX })
    }

    /// In units of 1e-12.
    pub(super) const fn picos(self) -> u64 {
        self.0
    }

    /// As a number, for epsilon and for people.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / Self::PER_UNIT as f64
    }

    /// The sum; too large a sum stays too large for any budget.
    pub(super) const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `share` percent of this, rounded down.
    #[must_use]
    pub const fn percent(self, share: u8) -> Self {
        Self(self.0 / 100 * share as u64)
    }
}

/// Why a charge is refused. Nothing was spent.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The budget of the day does not hold this much more.
    #[error("the day's privacy budget is spent: {wanted:?} wanted, {left:?} left")]
    Spent {
        /// What the release would cost.
        wanted: Rho,
        /// What is left today.
        left: Rho,
    },
    /// The day is earlier than one that was charged already.
    #[error("the clock went back: day {day} is over")]
    DayIsOver {
        /// The refused day, UTC days since 1970.
        day: i32,
    },
    /// This interval was released for this kind, or the day's schedule was charged, already.
    #[error("already released: a second draw needs a charge of its own")]
    AlreadyReleased,
    /// The day has fewer intervals.
    #[error("a day has no interval {0}")]
    NoSuchInterval(u16),
}

/// Pays for one release of one kind. Cannot be copied, and only the accountant makes one.
#[derive(Debug, PartialEq)]
#[must_use = "it is spent: release with it"]
pub struct Charge {
    kind: Kind,
}

impl Charge {
    /// What may be released with it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }
}

/// A day's schedule, charged: one draw for each interval and kind, in the order of time.
#[derive(Debug)]
pub struct DayCharge {
    day: i32,
    intervals: u16,
    next: [u16; KINDS],
}

impl DayCharge {
    /// The day it is for, UTC days since 1970.
    #[must_use]
    pub const fn day(&self) -> i32 {
        self.day
    }

    /// The charge for one interval (from 0) of one kind, once. Intervals may be skipped (their
    /// counts are then in the next one), never taken back.
    ///
    /// # Errors
    /// [`Refused::AlreadyReleased`] and [`Refused::NoSuchInterval`].
    pub fn take(&mut self, interval: u16, kind: Kind) -> Result<Charge, Refused> {
        if interval >= self.intervals {
            return Err(Refused::NoSuchInterval(interval));
        }
        let next = &mut self.next[kind.index()];
        if interval < *next {
            return Err(Refused::AlreadyReleased);
        }
        *next = interval + 1;
        Ok(Charge { kind })
    }
}

/// Says what has been spent of the current UTC day, and refuses what would exceed it.
#[derive(Debug)]
pub struct Accountant {
    plan: Plan,
    day: i32,
    spent: Rho,
    is_scheduled: bool,
}

impl Accountant {
    /// An accountant of which nothing is spent on `day`.
    #[must_use]
    pub fn new(plan: &Plan, day: i32) -> Self {
        Self::resume(plan, day, Rho::ZERO)
    }

    /// An accountant that goes on where a ledger says an earlier one stopped.
    #[must_use]
    pub fn resume(plan: &Plan, day: i32, spent: Rho) -> Self {
        Self { plan: plan.clone(), day, spent, is_scheduled: false }
    }

    /// Charges the whole schedule of `day`, once.
    ///
    /// # Errors
    /// [`Refused`] where the day is over, was scheduled already, or its budget does not hold it.
    pub fn begin_day(&mut self, day: i32) -> Result<DayCharge, Refused> {
        self.enter(day)?;
        if self.is_scheduled {
            return Err(Refused::AlreadyReleased);
        }
        self.spend(self.plan.scheduled())?;
        self.is_scheduled = true;
        Ok(DayCharge { day, intervals: self.plan.releases_per_day(), next: [0; KINDS] })
    }

    /// The day that is being spent, UTC days since 1970.
    #[must_use]
    pub const fn day(&self) -> i32 {
        self.day
    }

    /// Spent of the current day.
    #[must_use]
    pub const fn spent(&self) -> Rho {
        self.spent
    }

    /// Epsilon that was spent of the current day, at the configured delta.
    #[must_use]
    pub fn epsilon_spent(&self) -> f64 {
        let claim = Claim { rho: self.spent, ..self.plan.claim() };
        claim.epsilon()
    }

    /// A later day renews the budget, since what is protected is a user's day; an earlier one is
    /// refused.
    fn enter(&mut self, day: i32) -> Result<(), Refused> {
        if day < self.day {
            return Err(Refused::DayIsOver { day });
        }
        if day > self.day {
            self.day = day;
            self.spent = Rho::ZERO;
            self.is_scheduled = false;
        }
        Ok(())
    }

    fn spend(&mut self, wanted: Rho) -> Result<(), Refused> {
        let sum = self.spent.saturating_add(wanted);
        if sum > self.plan.budget() {
            let left = Rho(self.plan.budget().0.saturating_sub(self.spent.0));
            return Err(Refused::Spent { wanted, left });
        }
        self.spent = sum;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::Config;
    use proptest::prelude::*;

    fn plan() -> Plan {
        Plan::try_from(&Config::default()).unwrap()
    }

    #[test]
    fn a_budget_is_the_largest_rho_within_epsilon() {
        for (epsilon, delta) in [(4.0, 1e-6), (1.0, 1e-9), (0.01, 1e-6), (32.0, 1e-3)] {
            let rho = Rho::within(epsilon, delta);
            assert!(zcdp::epsilon(rho.as_f64(), delta) <= epsilon);
            let more = Rho(rho.0 + rho.0 / 1_000_000 + 1);
            assert!(zcdp::epsilon(more.as_f64(), delta) > epsilon);
        }
    }

    #[test]
    fn a_restart_with_a_ledger_does_not_renew_the_day() {
        let plan = plan();
        let mut accountant = Accountant::resume(&plan, 5, plan.scheduled());
        assert!(matches!(accountant.begin_day(5), Err(Refused::Spent { .. })));
        assert!(accountant.begin_day(6).is_ok());
        assert_eq!(accountant.begin_day(5).unwrap_err(), Refused::DayIsOver { day: 5 });
    }

    proptest! {
        #[test]
        fn no_order_of_charges_exceeds_a_days_budget(days in prop::collection::vec(0i32..4, 0..60)) {
            let plan = plan();
            let mut accountant = Accountant::new(&plan, 0);
            let mut made = std::collections::HashMap::<i32, u64>::new();
            for day in days {
                let cost = accountant.begin_day(day).map(|_| plan.scheduled());
                *made.entry(day).or_default() += cost.unwrap_or_default().0;
                prop_assert_eq!(accountant.spent().0, made[&accountant.day()]);
            }
            prop_assert!(made.values().all(|&spent| spent <= plan.budget().0));
        }
    }
}
