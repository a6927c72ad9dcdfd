//! The multiplier that holds the cost of a conversion at its target, or what conversions return.
//!
//! It has two parts, in logs. The *calibration* is what was observed over what was predicted, so that
//! a model that promises too much is bid for what it keeps. The *feedback* answers to what conversions
//! will have cost, since in a second-price auction the price lies below the bid. Both count what is
//! still to come: of a cohort of shows a share `G(age) = 1 - exp(-age / delay)` has converted, and
//! `delay` is the maximum-likelihood mean for conversions that are censored by the present (Chapelle
//! 2014, "Modeling delayed feedback in display advertising", without covariates).
//!
//! On private releases ([`released`]) single conversions are not heard. The calibration is then of
//! released ones, delays are those of the first guess, and the feedback counts what the calibration
//! says that shows will have brought.
//!
//! A return on ad spend is the same with an order's value in place of its count: a unit is the order
//! that the campaign expects, and a dearer one counts for more. Nothing but observed conversions moves
//! the calibration, and nothing here touches a budget.

mod change;
mod released;

use super::{DAY_MS, LN_CPA_MAX, LN_CPA_MIN, Target};
use crate::units::{Nanos, Timestamp};
use change::ChangeDetector;
use released::Released;
pub use released::ReleasedSum;
use std::collections::VecDeque;

/// Gain of the feedback in a period.
const GAIN: f64 = 0.05;
/// Units that the first guess (the model is right) weighs.
const PRIOR: f64 = 20.0;
/// Estimated units below which the multiplier rests.
const ESTIMATED_MIN: f64 = 10.0;
/// The calibration lies within a tenth and ten: beyond that the model or the pixel is broken.
const RATIO_MAX: f64 = 10.0;
/// Half-life of evidence on the calibration, in milliseconds; the second one just after a change.
const HALF_LIFE_MS: f64 = 0.15 * DAY_MS;
const HALF_LIFE_CHANGED_MS: f64 = 0.05 * DAY_MS;
/// Where conversions take long, evidence must last until there is some: half of the mean delay.
const HALF_LIFE_DELAYS: f64 = 0.5;
/// Half-lives of what the feedback answers to: what conversions cost lately, and what they cost over the
/// days. The short one alone would forget what was bought too dear, the long one alone would go on
/// answering to prices that are no longer paid, and swing.
const LATELY_MS: f64 = 0.1 * DAY_MS;
const OVERALL_MS: f64 = DAY_MS;
/// By how much the price of a conversion rises with the bid, in logs: at least so much in any market.
const PRICE_SLOPE: f64 = 0.1;
/// How far the long one counts.
const OVERALL_WEIGHT: f64 = 2.0;
/// The most that it may move the goal of the short one, in logs.
const OVERALL_MAX: f64 = 0.2;
/// First guess of the mean delay of a conversion, in milliseconds, and the conversions that it weighs.
const DELAY_PRIOR_MS: f64 = 1_800_000.0;
const DELAY_PRIOR: f64 = 5.0;
/// Cohorts kept: the last hours one by one, older ones put together so that each spans a small part
/// of its age.
const COHORTS_MAX: usize = 240;
/// Cohorts older than the longest click window are forgotten.
const COHORT_AGE_MAX_MS: i64 = 32 * 86_400_000;
/// Most units that one order counts for: browsers say what orders are worth.
const UNITS_MAX: f64 = 10.0;

/// See the module.
#[derive(Debug)]
pub(super) struct Cpa {
    target: Target,
    ln_feedback: f64,
    /// Observed units per predicted one.
    pub(super) ratio: f64,
    /// The same over all that is known, by which delays are told.
    steady_ratio: f64,
    cohorts: VecDeque<Cohort>,
    cost: f64,
    delay_ms: f64,
    /// Conversions seen.
    pub(super) seen: u64,
    moved: Option<Timestamp>,
    change: ChangeDetector,
    /// Released conversions, where those are counted in place of observed ones.
    released: Option<Released>,
}

/// What was shown within some time.
#[derive(Clone, Copy, Debug)]
struct Cohort {
    began: Timestamp,
    /// Its middle, in milliseconds of time.
    middle_ms: f64,
    /// The log of the multiplier under which it was bought.
    ln: f64,
    /// Units that were predicted of what was shown.
    promised: f64,
    /// Nanos billed meanwhile.
    cost: f64,
    /// Units seen so far.
    seen: f64,
    /// Units times the milliseconds that they took.
    delays_ms: f64,
}

/// What all cohorts say together.
#[derive(Default)]
struct Sums {
    /// Lately: units seen, and units that should have been.
    seen: f64,
    due: f64,
    /// The same over all.
    all_seen: f64,
    all_due: f64,
    /// Milliseconds that units have taken, those under way included.
    delays_ms: f64,
    /// What the feedback answers to.
    lately: Balance,
    overall: Balance,
    /// Units that were predicted to come since the last period: from all, and from young cohorts.
    newly_due: f64,
    young_due: f64,
}

/// Units that there will have been, and the nanos that they cost.
#[derive(Default)]
struct Balance {
    units: f64,
    cost: f64,
}

impl Balance {
    fn add(&mut self, weight: f64, units: f64, cost: f64) {
        self.units += weight * units;
        self.cost += weight * cost;
    }

    /// The log of what they might have cost, over what they cost.
    fn room(&self, target: f64) -> f64 {
        (target * self.units / self.cost).ln()
    }
}

impl Cpa {
    pub(super) fn new(target: Target) -> Self {
        Self {
            target,
            ln_feedback: 0.0,
            ratio: 1.0,
            steady_ratio: 1.0,
            cohorts: VecDeque::new(),
            cost: 0.0,
            delay_ms: DELAY_PRIOR_MS,
            seen: 0,
            moved: None,
            change: ChangeDetector::default(),
            released: None,
        }
    }

    /// The same, counting released conversions in place of observed ones.
    pub(super) fn on_releases(self) -> Self {
        Self { released: Some(Released::default()), ..self }
    }

    /// Conversions that were released.
    pub(super) fn release(&mut self, sum: ReleasedSum) {
        if let Some(released) = &mut self.released {
            let change = released.take(sum);
            self.cohorts.iter_mut().for_each(|cohort| cohort.promised *= change);
        }
    }

    /// The same evidence for another target; `None` where the evidence counts something else.
    pub(super) fn aimed_at(self, target: Target) -> Option<Self> {
        let units = |target: Target| (target.expected_cvr_ppm, target.order_value);
        (units(self.target) == units(target)).then_some(Self { target, ..self })
    }

    /// The log of the multiplier.
    pub(super) fn ln(&self) -> f64 {
        self.ratio.ln() + self.ln_feedback
    }

    /// Clicks that were predicted of what was shown since the last call.
    pub(super) fn show(&mut self, clicks: f64) {
        if let Some(current) = self.cohorts.back_mut() {
            current.promised += clicks * f64::from(self.target.expected_cvr_ppm) / 1e6;
        }
    }

    /// A conversion of `value`, owed to what was shown at `began`. What was shown before the first cohort
    /// has neither promise nor cost here.
    pub(super) fn convert(&mut self, at: Timestamp, began: Timestamp, value: Nanos) {
        if self.released.is_some() {
            return;
        }
        self.seen += 1;
        let units = match self.target.order_value {
            Some(usual) => (value.0 as f64 / (usual.0 as f64).max(1.0)).clamp(0.0, UNITS_MAX),
            None => 1.0,
        };
        let after = self.cohorts.partition_point(|cohort| cohort.began <= began);
        let Some(cohort) = after.checked_sub(1).and_then(|place| self.cohorts.get_mut(place))
        else {
            return;
        };
        let delay_ms = at.millis_since(began).max(0) as f64;
        cohort.seen += units;
        cohort.delays_ms += units * delay_ms;
        self.change.see(units, delay_ms);
    }

    /// `cost` nanos were billed so far. Where the budget keeps bids lower, the feedback does not rise:
    /// it would learn nothing, and bid too high once there is money.
    pub(super) fn tick(&mut self, now: Timestamp, cost: f64, period_ms: i64, is_held_lower: bool) {
        if let Some(current) = self.cohorts.back_mut() {
            current.cost += (cost - self.cost).max(0.0);
        }
        self.cost = cost;
        let moved = *self.moved.get_or_insert(now);
        if !self.cohorts.is_empty() && now.millis_since(moved) < period_ms {
            return;
        }
        self.moved = Some(now);
        self.learn(now, period_ms as f64, is_held_lower);
        self.begin_cohort(now, period_ms);
    }

    fn learn(&mut self, now: Timestamp, period_ms: f64, is_held_lower: bool) {
        let sums = self.sums(now, period_ms);
        let ratio = if let Some(released) = &mut self.released {
            released.expect(sums.newly_due);
            released.ratio()
        } else {
            self.change.judge(now, self.ratio * sums.young_due);
            self.steady_ratio = (sums.all_seen + PRIOR) / (sums.all_due + PRIOR);
            let delays_ms = sums.delays_ms + DELAY_PRIOR * DELAY_PRIOR_MS;
            // One step of expectation and maximisation a period; the tenth keeps it above zero.
            self.delay_ms = (delays_ms / (sums.all_seen + DELAY_PRIOR)).max(period_ms / 10.0);
            (sums.seen + PRIOR) / (sums.due + PRIOR)
        };
        if sums.overall.units < ESTIMATED_MIN {
            return;
        }
        self.ratio = ratio.clamp(1.0 / RATIO_MAX, RATIO_MAX);
        if sums.lately.cost > 0.0 {
            let target = self.target.cost.0 as f64;
            let overall = OVERALL_WEIGHT * sums.overall.room(target);
            let room = sums.lately.room(target) + overall.clamp(-OVERALL_MAX, OVERALL_MAX);
            let mut step = GAIN * room.clamp(-1.0, 1.0);
            if is_held_lower {
                step = step.min(0.0);
            }
            self.ln_feedback = (self.ln_feedback + step).clamp(LN_CPA_MIN, LN_CPA_MAX);
        }
    }

    fn sums(&self, now: Timestamp, period_ms: f64) -> Sums {
        let usual_ms = HALF_LIFE_MS.max(HALF_LIFE_DELAYS * self.delay_ms);
        let half_life_ms = if self.change.is_recent(now) { HALF_LIFE_CHANGED_MS } else { usual_ms };
        let mut sums = Sums::default();
        for cohort in &self.cohorts {
            let age_ms = (now.0 as f64 - cohort.middle_ms).max(0.0);
            let pending = (-age_ms / self.delay_ms).exp();
            let due = (1.0 - pending) * cohort.promised;
            let weight = (-age_ms / half_life_ms).exp2();
            sums.seen += weight * cohort.seen;
            sums.due += weight * due;
            sums.all_seen += cohort.seen;
            sums.all_due += due;
            sums.delays_ms +=
                cohort.delays_ms + self.steady_ratio * pending * cohort.promised * age_ms;
            let units = match self.released {
                Some(_) => self.ratio * cohort.promised,
                None => cohort.seen + self.ratio * pending * cohort.promised,
            };
            // At today's bids it would have cost another price.
            let cost = cohort.cost * (PRICE_SLOPE * (self.ln() - cohort.ln)).exp();
            sums.lately.add((-age_ms / LATELY_MS).exp2(), units, cost);
            sums.overall.add((-age_ms / OVERALL_MS).exp2(), units, cohort.cost);
            let before = (-(age_ms - period_ms).max(0.0) / self.delay_ms).exp();
            let newly_due = (before - pending) * cohort.promised;
            sums.newly_due += newly_due;
            if ChangeDetector::hears(age_ms) {
                sums.young_due += newly_due;
            }
        }
        sums
    }

    fn begin_cohort(&mut self, now: Timestamp, period_ms: i64) {
        let is_old = |cohort: &Cohort| now.millis_since(cohort.began) > COHORT_AGE_MAX_MS;
        while self.cohorts.front().is_some_and(is_old) {
            self.cohorts.pop_front();
        }
        let middle_ms = now.0 as f64 + period_ms as f64 / 2.0;
        let fresh = Cohort { began: now, middle_ms, ln: self.ln(), ..Cohort::NONE };
        self.cohorts.push_back(fresh);
        if self.cohorts.len() > COHORTS_MAX {
            self.put_together(now);
        }
    }

    /// Puts the two neighbours together that are nearest to each other for their age.
    fn put_together(&mut self, now: Timestamp) {
        let span = |first: usize| {
            let (one, next) = (&self.cohorts[first], &self.cohorts[first + 1]);
            let age_ms = (now.0 as f64 - next.middle_ms).max(1.0);
            (next.middle_ms - one.middle_ms) / age_ms
        };
        // The last one is still open.
        let pairs = 0..self.cohorts.len().saturating_sub(2);
        let Some(first) = pairs.min_by(|a, b| span(*a).total_cmp(&span(*b))) else { return };
        if let Some(next) = self.cohorts.remove(first + 1) {
            self.cohorts[first].add(&next);
        }
    }
}

impl Cohort {
    const NONE: Self = Self {
        began: Timestamp(0),
        middle_ms: 0.0,
        ln: 0.0,
        promised: 0.0,
        cost: 0.0,
        seen: 0.0,
        delays_ms: 0.0,
    };

    fn add(&mut self, next: &Self) {
        // By what they promise; those that promise nothing may lie anywhere.
        let part = (next.promised + 1e-9) / (self.promised + next.promised + 2e-9);
        self.middle_ms += part * (next.middle_ms - self.middle_ms);
        self.ln += part * (next.ln - self.ln);
        self.promised += next.promised;
        self.cost += next.cost;
        self.seen += next.seen;
        self.delays_ms += next.delays_ms;
    }
}

#[cfg(test)]
#[path = "cpa/tests.rs"]
mod tests;
