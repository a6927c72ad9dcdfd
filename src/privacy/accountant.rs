//! The accountant: what a user-day has cost so far, and no release past the budget.
//!
//! Costs are zCDP's rho, which adds up. They are integers (a millionth of a millionth), so that no
//! rounding lets a release through: budgets are rounded down, noise is rounded up.
//!
//! A release takes a [`Charge`] by value, and only a paid day gives one, for each interval once:
//! nothing is released uncharged, and no charge is used twice, since averaging draws would wash the
//! noise out. A day is paid for as a whole, before its first draw; the account is a part of what the
//! ledger's records lead to ([`Books`](super::Books)), so a restart neither forgets a charge nor makes
//! it again.

use super::config::{Part, Plan};
use super::gaussian;
use super::ledger::DayCost;
use super::zcdp;
use serde::Serialize;

/// Days that are remembered: a year and some weeks, more than any figure looks at.
pub(super) const DAYS_MAX: usize = 400;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The day's parts come to more than its budget.
    #[error("a day of {wanted:?} is above the budget of {budget:?}")]
    Spent {
        /// What the day would cost.
        wanted: Rho,
        /// What a day may cost.
        budget: Rho,
    },
    /// The day was charged already, or is earlier than one that was.
    #[error("day {day} was charged already, or is over")]
    DayIsOver {
        /// The refused day, UTC days since 1970.
        day: i32,
    },
    /// This interval, or a later one, was released already.
    #[error("already released: a second draw needs a charge of its own")]
    AlreadyReleased,
    /// The day has fewer intervals.
    #[error("a day has no interval {0}")]
    NoSuchInterval(u16),
}

/// Pays for one interval's release. Cannot be copied, and only a [`PaidDay`] makes one.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "it is spent: release with it"]
pub struct Charge {
    interval: u16,
}

impl Charge {
    /// What may be released with it.
    #[must_use]
    pub const fn interval(&self) -> u16 {
        self.interval
    }
}

/// A day whose charge is durable: one draw for each interval, in the order of time.
#[derive(Debug)]
pub struct PaidDay {
    day: i32,
    intervals: u16,
    next: u16,
}

impl PaidDay {
    /// The day it is for, UTC days since 1970.
    #[must_use]
    pub const fn day(&self) -> i32 {
        self.day
    }

    /// The charge for one interval (from 0), once. Intervals may be skipped (their counts are then in
    /// the next one), never taken back.
    ///
    /// # Errors
    /// [`Refused::AlreadyReleased`] and [`Refused::NoSuchInterval`].
    pub fn take(&mut self, interval: u16) -> Result<Charge, Refused> {
        if interval >= self.intervals {
            return Err(Refused::NoSuchInterval(interval));
        }
        if interval < self.next {
            return Err(Refused::AlreadyReleased);
        }
        self.next = interval + 1;
        Ok(Charge { interval })
    }
}

impl DayCost {
    /// What `day` costs by this plan.
    pub(super) fn of(plan: &Plan, day: i32) -> Self {
        let picos = plan.parts().iter().map(|(_, rho)| rho.0).collect();
        Self { day, picos, delta: plan.delta(), segments_delta: plan.segments_delta() }
    }

    /// What one part costs.
    #[must_use]
    pub fn part(&self, part: Part) -> Rho {
        let place = Part::ALL.iter().position(|one| *one == part);
        Rho(place.and_then(|place| self.picos.get(place)).copied().unwrap_or(0))
    }

    /// What all parts cost together.
    #[must_use]
    pub fn rho(&self) -> Rho {
        self.picos.iter().fold(Rho::ZERO, |sum, picos| sum.saturating_add(Rho(*picos)))
    }

    /// Whether it is the cost of a day at all.
    pub(super) fn is_sound(&self) -> bool {
        let is_delta = self.delta > 0.0 && self.delta < 1.0;
        let is_part = self.segments_delta >= 0.0 && self.segments_delta < self.delta;
        self.picos.len() == Part::COUNT && is_delta && is_part && self.rho().0 <= Rho::SEARCH_MAX
    }
}

/// What some days together cost one user who was there on all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Days that were charged.
    pub days: u32,
    /// Their rho.
    pub rho: f64,
    /// Their epsilon at `delta`, from zCDP (Canonne, Kamath, Steinke 2020).
    pub epsilon: f64,
    /// Their epsilon at `delta` by the analytic Gaussian mechanism (Balle, Wang 2018) of the Gaussian
    /// parts, the pure epsilons of the others added: tighter, and for continuous noise.
    pub epsilon_analytic: f64,
    /// Delta of all of them.
    pub delta: f64,
}

/// What each day has cost, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    days: Vec<DayCost>,
}

impl Account {
    /// An account of these days.
    #[must_use]
    pub(super) fn new(days: Vec<DayCost>) -> Self {
        Self { days }
    }

    /// What `day` may be charged.
    ///
    /// # Errors
    /// [`Refused::DayIsOver`] and [`Refused::Spent`].
    pub fn ask(&self, plan: &Plan, day: i32) -> Result<DayCost, Refused> {
        if self.last().is_some_and(|last| day <= last.day) {
            return Err(Refused::DayIsOver { day });
        }
        let cost = DayCost::of(plan, day);
        if cost.rho() > plan.budget() {
            return Err(Refused::Spent { wanted: cost.rho(), budget: plan.budget() });
        }
        Ok(cost)
    }

    /// Notes a charge that is durable. `false` where its day was charged already or is over.
    pub(super) fn note(&mut self, cost: DayCost) -> bool {
        let is_next = self.last().is_none_or(|last| cost.day > last.day);
        if is_next {
            if self.days.len() == DAYS_MAX {
                self.days.remove(0);
            }
            self.days.push(cost);
        }
        is_next
    }

    /// The right to release the last day's intervals from `from` on. Whoever asks has the charge's
    /// record from a log that keeps it.
    pub(super) fn paid(&self, intervals: u16, from: u16) -> Option<PaidDay> {
        self.last().map(|last| PaidDay { day: last.day, intervals, next: from })
    }

    /// The last day that was charged.
    #[must_use]
    pub fn last(&self) -> Option<&DayCost> {
        self.days.last()
    }

    /// All days that are remembered.
    #[must_use]
    pub fn days(&self) -> &[DayCost] {
        &self.days
    }

    /// What the `span` days that end with `today` cost.
    #[must_use]
    pub fn figures(&self, today: i32, span: i32) -> Figures {
        let first = today.saturating_sub(span - 1);
        let days = self.days.iter().filter(|cost| (first..=today).contains(&cost.day));
        let mut figures = Figures::default();
        let (mut gaussian, mut pure, mut own_delta, mut thresholds) = (0.0, 0.0, 0.0_f64, 0.0);
        for cost in days {
            figures.days += 1;
            figures.rho += cost.rho().as_f64();
            for part in Part::ALL {
                let rho = cost.part(part).as_f64();
                match part {
                    Part::Kind(_) | Part::Model => gaussian += rho,
                    // Noised by Laplace: purely epsilon-private, with epsilon^2 / 2 = rho.
                    Part::Users | Part::Segments => pure += (2.0 * rho).sqrt(),
                }
            }
            own_delta = own_delta.max(cost.delta - cost.segments_delta);
            thresholds += cost.segments_delta;
        }
        if figures.days > 0 {
            figures.delta = own_delta + thresholds;
            figures.epsilon = zcdp::epsilon(figures.rho, own_delta);
            figures.epsilon_analytic = gaussian::epsilon(gaussian, own_delta) + pure;
        }
        figures
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
    fn an_interval_is_paid_for_once_and_in_order() {
        let mut account = Account::default();
        assert!(account.paid(24, 0).is_none(), "nothing is paid for");
        let cost = account.ask(&plan(), 5).unwrap();
        assert!(account.note(cost.clone()) && !account.note(cost));
        let mut day = account.paid(24, 3).unwrap();
        assert_eq!(day.take(2), Err(Refused::AlreadyReleased), "before the restart");
        assert!(day.take(3).is_ok() && day.take(7).is_ok());
        assert_eq!(day.take(7), Err(Refused::AlreadyReleased));
        assert_eq!(day.take(5), Err(Refused::AlreadyReleased));
        assert_eq!(day.take(24), Err(Refused::NoSuchInterval(24)));
    }

    #[test]
    fn figures_add_up_the_days_of_their_span() {
        let mut account = Account::default();
        for day in [1, 2, 5] {
            let cost = account.ask(&plan(), day).unwrap();
            assert!(account.note(cost));
        }
        let day = account.figures(5, 1);
        assert_eq!(day.days, 1);
        assert!(day.epsilon > 3.99 && day.epsilon <= 4.0 && day.delta == 1e-6, "{day:?}");
        assert!(day.epsilon_analytic < day.epsilon && day.epsilon_analytic > 3.0, "{day:?}");
        assert_eq!(account.figures(6, 1), Figures::default(), "nothing was charged");
        let week = account.figures(6, 7);
        assert_eq!(week.days, 3);
        assert!((week.rho - 3.0 * day.rho).abs() < 1e-9 && week.epsilon > day.epsilon);
        assert_eq!(account.figures(6, 5).days, 2, "from day 2 on");
    }

    proptest! {
        #[test]
        fn no_order_of_charges_charges_a_day_twice(days in prop::collection::vec(0i32..4, 0..60)) {
            let plan = plan();
            let mut account = Account::default();
            let mut last = None;
            for day in days {
                let asked = account.ask(&plan, day);
                prop_assert_eq!(asked.is_ok(), last.is_none_or(|last| day > last));
                if let Ok(cost) = asked {
                    prop_assert!(cost.rho() <= plan.budget());
                    prop_assert!(account.note(cost));
                    last = Some(day);
                }
            }
        }
    }
}
