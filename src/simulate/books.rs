//! The exchange's own books of a day: what was asked, sold, billed, clicked and bought. Money is
//! integers, from the notices that were delivered.

use super::Defect;
use super::stats::{Decile, auc, deciles};
use crate::units::{Nanos, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

/// Parts of a day in the spend curve: quarters of an hour.
pub const CURVE_BUCKETS: usize = 96;
/// Milliseconds of one part.
const BUCKET_MS: i64 = 86_400_000 / CURVE_BUCKETS as i64;

/// Counts of a whole day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Bid requests sent.
    pub requests: u64,
    /// Answers 200 with at least one valid bid.
    pub answered: u64,
    /// Valid bids.
    pub bids: u64,
    /// Answers 204.
    pub no_bids: u64,
    /// Imps won.
    pub wins: u64,
    /// Bids lost.
    pub losses: u64,
    /// Wins that were shown.
    pub impressions: u64,
    /// Clicks.
    pub clicks: u64,
    /// Purchases after clicks.
    pub conversions: u64,
    /// Batches of events that were posted.
    pub batches: u64,
    /// Events that the engine accepted.
    pub events_accepted: u64,
    /// Events that it rejected.
    pub events_rejected: u64,
    /// Notices delivered, duplicates included.
    pub notices: u64,
    /// Notices that were lost on the way, on purpose.
    pub notices_lost: u64,
    /// Notices that were sent twice, on purpose.
    pub notices_duplicated: u64,
    /// Notices that were held back for a long time, on purpose.
    pub notices_late: u64,
    /// Notices that the engine did not answer with 2xx.
    pub notices_refused: u64,
    /// Clicks that were not answered with a redirect.
    pub clicks_refused: u64,
    /// Bid requests answered with neither 200 nor 204.
    pub errors: u64,
}

/// One campaign in the exchange's books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CampaignBooks {
    /// Imps won.
    pub wins: u64,
    /// Wins that were shown.
    pub impressions: u64,
    /// Clicks.
    pub clicks: u64,
    /// Purchases after clicks.
    pub conversions: u64,
    /// Charged by delivered billing notices.
    pub billed: Nanos,
    /// Owed for impressions whose billing notice was lost: the engine cannot know of it.
    pub unnotified: Nanos,
    /// `billed` by quarters of an hour of the day, by when the impression was shown.
    pub curve: Vec<Nanos>,
}

impl Default for CampaignBooks {
    fn default() -> Self {
        Self {
            wins: 0,
            impressions: 0,
            clicks: 0,
            conversions: 0,
            billed: Nanos::ZERO,
            unnotified: Nanos::ZERO,
            curve: vec![Nanos::ZERO; CURVE_BUCKETS],
        }
    }
}

impl CampaignBooks {
    /// What a purchase cost, in units of currency; `None` without any.
    #[must_use]
    pub fn cost_per_conversion(&self) -> Option<f64> {
        (self.conversions > 0).then(|| self.billed.as_units_f64() / self.conversions as f64)
    }

    /// The end of the first quarter of an hour in which `permille` of `budget` was spent, in
    /// minutes of the day (15 to 1,440); `None` when it never was.
    #[must_use]
    pub fn minute_of(&self, budget: Nanos, permille: u16) -> Option<u32> {
        let mut spent = Nanos::ZERO;
        let goal = budget.0 * i128::from(permille);
        let reaches = |amount: &Nanos| {
            spent += *amount;
            spent.0 * 1_000 >= goal
        };
        let bucket = self.curve.iter().position(reaches)?;
        Some((bucket as u32 + 1) * 24 * 60 / CURVE_BUCKETS as u32)
    }

    pub(super) fn bill(&mut self, shown: i64, amount: Nanos) {
        self.billed += amount;
        let bucket = usize::try_from(shown / BUCKET_MS).unwrap_or(0).min(CURVE_BUCKETS - 1);
        self.curve[bucket] += amount;
    }
}

/// One experiment arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ArmBooks {
    /// Impressions.
    pub impressions: u64,
    /// Clicks.
    pub clicks: u64,
    /// Sum of the true click probabilities: what clicks would be without chance.
    pub expected_clicks: f64,
    /// Charged by delivered billing notices.
    pub billed: Nanos,
}

impl ArmBooks {
    /// Clicks an impression; 0 without any.
    #[must_use]
    pub fn click_rate(&self) -> f64 {
        self.clicks as f64 / self.impressions.max(1) as f64
    }
}

/// One impression: what was predicted, what was true, what came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The engine's click probability; `None` where it told none.
    pub predicted: Option<f64>,
    /// The true one.
    pub truth: f64,
    /// Whether it was clicked.
    pub clicked: bool,
    /// Whether the prediction is the whole model's: of the arm `full`, or where there are no arms.
    /// The other arms bid on less on purpose.
    pub by_model: bool,
}

impl Scored {
    /// The model's prediction, where it is its own.
    fn predicted(&self) -> Option<f64> {
        self.predicted.filter(|_| self.by_model)
    }
}

/// What a day came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DayResult {
    /// When the day began.
    pub start: Timestamp,
    /// Counts.
    pub totals: Totals,
    /// By campaign name.
    pub campaigns: BTreeMap<String, CampaignBooks>,
    /// By arm; bids without one are under "".
    pub arms: BTreeMap<String, ArmBooks>,
    /// Bids and answers thrown away, by reason.
    pub defects: BTreeMap<Defect, u64>,
    /// Every impression.
    #[serde(skip)]
    pub scored: Vec<Scored>,
    /// The engine's `GET /api/v1/report` at the end; `None` without an admin listener.
    pub engine_report: Option<serde_json::Value>,
}

impl DayResult {
    /// Everything charged by delivered billing notices.
    #[must_use]
    pub fn billed(&self) -> Nanos {
        self.campaigns.values().map(|campaign| campaign.billed).sum()
    }

    /// AUC of the engine's predictions over the impressions that carry one.
    #[must_use]
    pub fn auc(&self) -> Option<f64> {
        let pairs = self.scored.iter().filter_map(|one| Some((one.predicted()?, one.clicked)));
        auc(&pairs.collect::<Vec<_>>())
    }

    /// AUC of the truth over the same impressions: what no prediction can pass but by luck.
    #[must_use]
    pub fn auc_of_truth(&self) -> Option<f64> {
        let known = self.scored.iter().filter(|one| one.predicted().is_some());
        auc(&known.map(|one| (one.truth, one.clicked)).collect::<Vec<_>>())
    }

    /// Predictions against clicks, by decile of prediction.
    #[must_use]
    pub fn calibration(&self) -> Vec<Decile> {
        let clicked = |one: &Scored| Some((one.predicted()?, f64::from(u8::from(one.clicked))));
        deciles(&self.scored.iter().filter_map(clicked).collect::<Vec<_>>())
    }

    /// Predictions and truths of all shows but the first `warm_up` of a thousand.
    pub fn model_and_truth(&self, warm_up: usize) -> impl Iterator<Item = (f64, f64)> {
        let first = self.scored.len() * warm_up / 1_000;
        self.scored[first..].iter().filter_map(|one| Some((one.predicted()?, one.truth)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_says_when_the_money_was_gone() {
        let mut books = CampaignBooks::default();
        books.bill(0, Nanos(500));
        books.bill(BUCKET_MS * 10, Nanos(400));
        books.bill(86_400_000 * 2, Nanos(100)); // shown after midnight: the last part
        assert_eq!(books.billed, Nanos(1_000));
        assert_eq!(books.minute_of(Nanos(1_000), 500), Some(15));
        assert_eq!(books.minute_of(Nanos(1_000), 501), Some(165));
        assert_eq!(books.minute_of(Nanos(1_000), 980), Some(1_440));
        assert_eq!(books.minute_of(Nanos(1_001), 1_000), None);
        assert_eq!(books.cost_per_conversion(), None);
    }
}
