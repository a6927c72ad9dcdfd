//! The multiplier that holds the cost of a conversion at its target.

use super::{DAY_MS, LN_CPA_MAX, LN_CPA_MIN, PERIODS_PER_DAY};
use crate::units::{Nanos, Timestamp};
use std::collections::VecDeque;

/// Gain of the CPA multiplier in a period.
const CPA_GAIN: f64 = 0.05;
/// Conversions that the first guess (the model is right) weighs.
const CPA_PRIOR: f64 = 10.0;
/// Estimated conversions below which the CPA multiplier rests.
const CPA_CONVERSIONS_MIN: f64 = 10.0;
/// Half-life of evidence on conversions, in milliseconds: 0.15 of a day.
const CPA_HALF_LIFE_MS: f64 = 0.15 * DAY_MS;
/// First guess of the mean delay of a conversion, in milliseconds, and its weight in conversions.
const DELAY_PRIOR_MS: f64 = 1_800_000.0;
/// Conversions that it weighs.
const DELAY_PRIOR: f64 = 5.0;
/// Cohorts kept: a day of periods, seven half-lives.
const COHORTS_MAX: usize = PERIODS_PER_DAY as usize;

/// Holds the cost of a conversion at its target, corrected for conversions still to come: the cost
/// of a cohort stands for the conversions it should bring, `G(age) = 1 - exp(-age / delay)` for
/// the share of them that should have come.
#[derive(Debug)]
pub(super) struct Cpa {
    target: f64,
    pub(super) ln: f64,
    pub(super) ratio: f64,
    cohorts: VecDeque<Cohort>,
    cost: f64,
    delay_ms: f64,
    delays: f64,
    pub(super) seen: u64,
    moved: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Cohort {
    began: Timestamp,
    expected: f64,
    seen: f64,
    /// The multiplier under which it was bought.
    ln: f64,
}

impl Cpa {
    pub(super) fn new(target: Nanos) -> Self {
        Self {
            target: target.0 as f64,
            ln: 0.0,
            ratio: 1.0,
            cohorts: VecDeque::new(),
            cost: 0.0,
            delay_ms: DELAY_PRIOR_MS,
            delays: DELAY_PRIOR,
            seen: 0,
            moved: None,
        }
    }

    pub(super) fn convert(&mut self, at: Timestamp, click_at: Option<Timestamp>) {
        self.seen += 1;
        let began = click_at.unwrap_or(at).min(at);
        self.delays += 1.0;
        self.delay_ms += (at.millis_since(began) as f64 - self.delay_ms) / self.delays;
        let cohorts = self.cohorts.iter_mut().rev();
        if let Some(cohort) = cohorts.into_iter().find(|cohort| cohort.began <= began) {
            cohort.seen += 1.0;
        } else if let Some(oldest) = self.cohorts.front_mut() {
            oldest.seen += 1.0;
        }
    }

    pub(super) fn tick(&mut self, now: Timestamp, cost: f64, period_ms: i64) {
        if let Some(current) = self.cohorts.back_mut() {
            current.expected += (cost - self.cost).max(0.0) / self.target;
        }
        self.cost = cost;
        let moved = *self.moved.get_or_insert(now);
        if !self.cohorts.is_empty() && now.millis_since(moved) < period_ms {
            return;
        }
        self.moved = Some(now);
        let (mut seen, mut matured, mut expected) = (0.0, 0.0, 0.0);
        for cohort in &self.cohorts {
            let age_ms = (now.millis_since(cohort.began) - period_ms / 2).max(0) as f64;
            let weight = (-age_ms / CPA_HALF_LIFE_MS).exp2();
            let due = 1.0 - (-age_ms / self.delay_ms.max(1.0)).exp();
            // What it would have cost at today's multiplier. Without this the controller would go
            // on answering to prices that it has stopped paying, and swing.
            let cost = cohort.expected * (self.ln - cohort.ln).exp();
            seen += weight * cohort.seen;
            matured += weight * due * cost;
            expected += weight * cost;
        }
        self.ratio = (seen + CPA_PRIOR) / (matured + CPA_PRIOR);
        let estimated = seen + self.ratio * (expected - matured).max(0.0);
        if matured >= CPA_CONVERSIONS_MIN && estimated > 0.0 {
            let error = (estimated / expected).ln().clamp(-1.0, 1.0);
            self.ln = (self.ln + CPA_GAIN * error).clamp(LN_CPA_MIN, LN_CPA_MAX);
        }
        self.cohorts.push_back(Cohort { began: now, expected: 0.0, seen: 0.0, ln: self.ln });
        if self.cohorts.len() > COHORTS_MAX {
            self.cohorts.pop_front();
        }
    }
}
