//! Proportional and integral control on the plan, a period at a time.
//!
//! Alone it is smoother than the dual where traffic jumps, because it follows the plan of spend and not
//! the price of an auction; it buys up to 3 % less for the same money. Beside the dual its proportional
//! part alone corrects what is off the plan by more than chance.

use crate::units::Timestamp;

/// A period may spend nothing, or two and a half times its part; more is no better known.
const ERROR: std::ops::RangeInclusive<f64> = -1.0..=1.5;
/// The sum of errors winds up to here and no further: a tenth in the multiplier a period.
const WOUND_MAX: f64 = 20.0;
/// The largest move of a period: a factor of 1.4.
const MOVE_MAX: f64 = 0.35;
/// Wins that a period must expect; it grows until it does. With fewer, chance is larger than error.
const WINS: f64 = 30.0;
/// But not beyond this many periods: a twelfth of the day.
const PERIODS_MAX: i64 = 40;

/// The controller; the multiplier itself is its owner's.
#[derive(Debug)]
pub(super) struct Pi {
    proportional: f64,
    integral: f64,
    /// Errors below this are left alone, so that a price does not follow chance.
    dead_band: f64,
    period: Option<Period>,
    wound: f64,
}

#[derive(Clone, Copy, Debug)]
struct Period {
    began: Timestamp,
    at: Timestamp,
    spent: f64,
    target: f64,
}

impl Pi {
    /// Without another controller. Small budgets, whose periods had to grow, have a dead band of a
    /// tenth (hysteresis; Snap 2025, arXiv 2509.25429).
    pub(super) const fn alone() -> Self {
        Self { proportional: 0.15, integral: 0.005, dead_band: 0.1, period: None, wound: 0.0 }
    }

    /// A correction of the dual, which needs no integral: its rate comes from what remains.
    pub(super) const fn beside_the_dual() -> Self {
        Self { proportional: 0.1, integral: 0.0, dead_band: 0.2, period: None, wound: 0.0 }
    }

    /// `spent` nanos so far are to grow by `per_ms` nanos a millisecond from now on; a bid is
    /// `mean_bid` nanos. By how much the multiplier's log moves.
    pub(super) fn tick(
        &mut self,
        now: Timestamp,
        period_ms: i64,
        spent: f64,
        per_ms: f64,
        mean_bid: f64,
    ) -> f64 {
        let fresh = Period { began: now, at: now, spent, target: 0.0 };
        let period = self.period.get_or_insert(fresh);
        period.target += per_ms * now.millis_since(period.at).max(0) as f64;
        period.at = now;
        let elapsed_ms = now.millis_since(period.began);
        // A win costs no more than its bid.
        let is_grown = period.target >= WINS * mean_bid || elapsed_ms >= PERIODS_MAX * period_ms;
        if elapsed_ms < period_ms || !is_grown {
            return 0.0;
        }
        let (target, gained) = (period.target, spent - period.spent);
        let was_stretched = elapsed_ms >= 2 * period_ms;
        self.period = Some(fresh);
        if target <= 0.0 {
            return 0.0;
        }
        let error = (gained / target - 1.0).clamp(*ERROR.start(), *ERROR.end());
        // Past the band an error counts from the band on, so that nothing jumps at its edge.
        let band = if self.integral == 0.0 || was_stretched { self.dead_band } else { 0.0 };
        let error = error - error.clamp(-band, band);
        self.wound = (self.wound + error).clamp(-WOUND_MAX, WOUND_MAX);
        -(self.proportional * error + self.integral * self.wound).clamp(-MOVE_MAX, MOVE_MAX)
    }
}
