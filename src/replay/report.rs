//! What came of a replay, by the exchange's own count: what it decided and what is due to it.

use crate::units::Timestamp;
use serde::Serialize;

/// Parts of a day over which smoothness is taken.
pub(super) const SMOOTHNESS_PARTS: usize = 48;

/// One moment of a replay; sums are since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// Due to the exchange on this day, over the day's budget.
    pub spent_share: f64,
    /// Log of the budget's multiplier.
    pub ln_budget: f64,
    /// Log of the target's multiplier.
    pub ln_target: f64,
    /// Auctions so far.
    pub auctions: u64,
    /// Won so far.
    pub impressions: u64,
    /// Due to the exchange so far, in nanos.
    pub cost_nanos: i128,
    /// Conversions of impressions so far, those to come included.
    pub conversions: u64,
    /// What these are worth, in micros.
    pub conversions_value_micros: u64,
}

/// The figures of a replay. Shares are of 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Auctions in the log.
    pub auctions: u64,
    /// Bids made.
    pub bids: u64,
    /// Auctions won.
    pub impressions: u64,
    /// Clicked ones.
    pub clicks: u64,
    /// Conversions, those that come after the end included.
    pub conversions: u64,
    /// What these are worth, in micros.
    pub conversions_value_micros: u64,
    /// Due to the exchange, in nanos.
    pub cost_nanos: i128,
    /// Sum of the predicted click probabilities of what was won.
    pub value: f64,
    /// Sum of the budgets of all days, as each stood at its end, in nanos.
    pub budget_nanos: i128,
    /// Cost over budget.
    pub utilisation: f64,
    /// The most that a day's due was above its budget; above what was due when a budget was cut below
    /// that, in nanos.
    pub overspend_nanos: i128,
    /// Owed to the exchange and borne by the house, in nanos.
    pub absorbed_nanos: i128,
    /// Mean over days and their 48 parts of |due / budget - plan|.
    pub smoothness: f64,
    /// The part of the day (mean over days) at which 99.5 % of the budget were due; 1 where never.
    pub early_out: f64,
    /// Auctions in which a price was refused for want of free money, while a thousandth of the budget
    /// or more was not due yet.
    pub blocked_share: f64,
    /// Standard deviation of the change of the multiplier's log between two points of the series.
    pub volatility: f64,
    /// Whether ledger and leases were sound at the end.
    pub is_sound: bool,
    /// The course of it.
    pub series: Vec<Point>,
}

impl Report {
    /// What a conversion cost, in nanos; `None` without conversions.
    #[must_use]
    pub fn cost_per_conversion(&self) -> Option<f64> {
        (self.conversions > 0).then(|| self.cost_nanos as f64 / self.conversions as f64)
    }

    /// Fills in what follows from the sums and the series.
    pub(super) fn finish(&mut self) {
        self.utilisation = self.cost_nanos as f64 / (self.budget_nanos as f64).max(1.0);
        let moves = self.series.windows(2).map(|pair| pair[1].ln_budget - pair[0].ln_budget);
        let moves: Vec<f64> = moves.collect();
        let count = moves.len().max(1) as f64;
        let mean = moves.iter().sum::<f64>() / count;
        let squares: f64 = moves.iter().map(|moved| (moved - mean).powi(2)).sum();
        self.volatility = (squares / count).sqrt();
    }
}

/// The course of one day's spend against its plan.
#[derive(Debug, Default)]
pub(super) struct DayCourse {
    /// Due on this day.
    pub(super) due: i128,
    /// Due when the budget was last cut below it.
    pub(super) floor: i128,
    /// Sum over parts of the distance to the plan.
    distance: f64,
    parts: usize,
    out_at: Option<f64>,
}

impl DayCourse {
    /// By how much the day is overspent.
    pub(super) fn over(&self, budget: i128) -> i128 {
        self.due - budget.max(self.floor)
    }

    /// `part` of the day (0 to 1) has passed.
    pub(super) fn pass(&mut self, part: f64, budget: i128, plan: impl Fn(f64) -> f64) {
        let budget = (budget as f64).max(1.0);
        let spent = self.due as f64 / budget;
        if spent >= 0.995 && self.out_at.is_none() {
            self.out_at = Some(part);
        }
        let upto = (part * SMOOTHNESS_PARTS as f64 + 1e-9) as usize;
        while self.parts < upto.min(SMOOTHNESS_PARTS) {
            self.parts += 1;
            self.distance += (spent - plan(self.parts as f64 / SMOOTHNESS_PARTS as f64)).abs();
        }
    }

    /// Smoothness and the part of the day at which the budget was out.
    pub(super) fn end(&self) -> (f64, f64) {
        (self.distance / self.parts.max(1) as f64, self.out_at.unwrap_or(1.0))
    }
}
