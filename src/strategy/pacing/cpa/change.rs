//! Tells when conversions come at another rate than they should: Page's cumulated sums for a rate
//! that rose or fell by half.

use super::super::DAY_MS;
use crate::units::Timestamp;

/// The rates that are held against the expected one: so many times it, and its inverse.
const CHANGE: f64 = 1.5;
/// Standard deviations that make a change: the log-likelihood ratio of a normal is half their square.
const CHANGE_Z: f64 = 3.0;
/// Cohorts are heard so long: what older ones bring tells of an older rate.
const HEARD_MS: f64 = 0.1 * DAY_MS;
/// How long a change is recent.
const RECENT_MS: f64 = 0.15 * DAY_MS;
/// Orders that the first guess of their dispersion, 1, weighs.
const PRIOR: f64 = 20.0;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct ChangeDetector {
    /// Units seen since the last judgement.
    news: f64,
    /// Sums of units and of their squares: the variance of dear and cheap orders over their mean.
    units: f64,
    squares: f64,
    /// Log-likelihood ratios of a risen and of a fallen rate.
    up: f64,
    down: f64,
    changed: Option<Timestamp>,
}

impl ChangeDetector {
    /// Whether cohorts of this age tell of the present rate.
    pub(super) fn hears(age_ms: f64) -> bool {
        age_ms < HEARD_MS
    }

    /// A conversion of so many units, so long after its show.
    pub(super) fn see(&mut self, units: f64, delay_ms: f64) {
        self.units += units;
        self.squares += units * units;
        if Self::hears(delay_ms) {
            self.news += units;
        }
    }

    /// Judges what was seen since the last call, where `expected` units should have been.
    pub(super) fn judge(&mut self, now: Timestamp, expected: f64) {
        let seen = std::mem::take(&mut self.news);
        let dispersion = (self.squares + PRIOR) / (self.units + PRIOR);
        let ln = CHANGE.ln();
        self.up += (seen * ln - (CHANGE - 1.0) * expected) / dispersion;
        self.down += ((1.0 - 1.0 / CHANGE) * expected - seen * ln) / dispersion;
        (self.up, self.down) = (self.up.max(0.0), self.down.max(0.0));
        if self.up.max(self.down) > CHANGE_Z * CHANGE_Z / 2.0 {
            (self.up, self.down) = (0.0, 0.0);
            self.changed = Some(now);
        }
    }

    /// Whether the rate has changed lately.
    pub(super) fn is_recent(&self, now: Timestamp) -> bool {
        self.changed.is_some_and(|at| (now.millis_since(at) as f64) < RECENT_MS)
    }
}
