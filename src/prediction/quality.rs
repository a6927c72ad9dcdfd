//! How good the predictions were: log loss, predicted over actual, calibration, AUC.
//!
//! One fixed-size record of sums; nothing is kept per example.

use serde::Serialize;

/// Buckets of predictions, each half a logit wide, from −7.5 (0.055 %) to 2 (88 %); the first and
/// the last are open. Finer where click rates are, which equal steps of probability are not.
pub(super) const BUCKETS: usize = 20;
const BUCKET_LOWEST_LOGIT: f64 = -7.5;
const BUCKETS_PER_LOGIT: f64 = 2.0;
/// Predictions are taken as at least this far from 0 and 1, so that one wrong certainty cannot
/// drown a day's log loss.
const CERTAINTY_MIN: f64 = 1e-6;
/// Weight of a new example in the recent figures: about the last 10,000 count.
const RECENT_WEIGHT: f64 = 1e-4;

/// Predictions of one bucket against their outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bucket {
    /// Outcomes.
    pub examples: u64,
    /// Outcomes that were clicks.
    pub clicks: u64,
    /// Sum of the predictions.
    pub predicted: f64,
}

/// Running quality of a stream of predictions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quality {
    log_loss_sum: f64,
    recent: Recent,
    buckets: [Bucket; BUCKETS],
    /// By bucket, what predictions were above the clicks; weighted as the recent figures are.
    recent_gaps: [f64; BUCKETS],
}

/// Exponentially weighted means; zero-debiased by `weight`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Recent {
    weight: f64,
    predicted: f64,
    clicks: f64,
    log_loss: f64,
}

/// [`Quality`] in figures, for `/metrics` and reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct QualitySummary {
    /// Outcomes seen.
    pub examples: u64,
    /// Of which clicks.
    pub clicks: u64,
    /// Mean log loss in nats.
    pub log_loss: f64,
    /// Sum of predictions over clicks: 1 is calibrated, above 1 overbids. 0 without a click.
    pub predicted_over_actual: f64,
    /// Expected calibration error over the buckets, in probability.
    pub calibration_error: f64,
    /// Log loss over the entropy of the click rate (He et al. 2014): below 1 is better than to know
    /// the rate alone. 0 while everything or nothing was clicked.
    pub normalised_entropy: f64,
    /// Area under the ROC curve, by buckets (ties count half, so a little low). 0.5 when nothing
    /// can be ranked.
    pub auc: f64,
    /// Mean log loss of about the last 10,000.
    pub recent_log_loss: f64,
    /// Predicted over actual of about the last 10,000.
    pub recent_predicted_over_actual: f64,
    /// Expected calibration error of about the last 10,000.
    pub recent_calibration_error: f64,
    /// Normalised entropy of about the last 10,000.
    pub recent_normalised_entropy: f64,
    /// By prediction, lowest first, in steps of half a logit from −7.5 on.
    pub buckets: Vec<Bucket>,
}

impl Quality {
    /// Counts one outcome. A prediction that is not a number counts as 0.5.
    pub fn record(&mut self, predicted: f32, is_clicked: bool) {
        let predicted = if predicted.is_nan() {
            0.5
        } else {
            f64::from(predicted).clamp(CERTAINTY_MIN, 1.0 - CERTAINTY_MIN)
        };
        let log_loss = -(if is_clicked { predicted } else { 1.0 - predicted }).ln();
        self.log_loss_sum += log_loss;
        let click = f64::from(u8::from(is_clicked));
        let recent = &mut self.recent;
        for (mean, value) in [
            (&mut recent.weight, 1.0),
            (&mut recent.predicted, predicted),
            (&mut recent.clicks, click),
            (&mut recent.log_loss, log_loss),
        ] {
            *mean += RECENT_WEIGHT * (value - *mean);
        }
        let logit = (predicted / (1.0 - predicted)).ln();
        // A cast from f64 saturates: whatever is below the first bucket belongs to it.
        let position = ((logit - BUCKET_LOWEST_LOGIT) * BUCKETS_PER_LOGIT + 1.0) as usize;
        let position = position.min(BUCKETS - 1);
        for (place, gap) in self.recent_gaps.iter_mut().enumerate() {
            let value = if place == position { predicted - click } else { 0.0 };
            *gap += RECENT_WEIGHT * (value - *gap);
        }
        let bucket = &mut self.buckets[position];
        bucket.examples += 1;
        bucket.clicks += u64::from(is_clicked);
        bucket.predicted += predicted;
    }

    /// The figures.
    #[must_use]
    pub fn summary(&self) -> QualitySummary {
        let examples: u64 = self.buckets.iter().map(|bucket| bucket.examples).sum();
        let clicks: u64 = self.buckets.iter().map(|bucket| bucket.clicks).sum();
        let predicted: f64 = self.buckets.iter().map(|bucket| bucket.predicted).sum();
        let gaps =
            self.buckets.iter().map(|bucket| (bucket.predicted - bucket.clicks as f64).abs());
        let log_loss = ratio(self.log_loss_sum, examples as f64);
        let recent = &self.recent;
        let recent_gaps = self.recent_gaps.iter().map(|gap| gap.abs()).sum();
        QualitySummary {
            examples,
            clicks,
            log_loss,
            predicted_over_actual: ratio(predicted, clicks as f64),
            calibration_error: ratio(gaps.sum(), examples as f64),
            normalised_entropy: ratio(log_loss, entropy(clicks as f64, examples as f64)),
            auc: self.auc(),
            recent_log_loss: ratio(recent.log_loss, recent.weight),
            recent_predicted_over_actual: ratio(recent.predicted, recent.clicks),
            recent_calibration_error: ratio(recent_gaps, recent.weight),
            recent_normalised_entropy: ratio(
                ratio(recent.log_loss, recent.weight),
                entropy(recent.clicks, recent.weight),
            ),
            buckets: self.buckets.to_vec(),
        }
    }

    /// The chance that a random click was predicted higher than a random non-click.
    fn auc(&self) -> f64 {
        let (mut ordered, mut lower, mut clicks) = (0.0, 0.0, 0.0);
        for bucket in &self.buckets {
            let others = (bucket.examples - bucket.clicks) as f64;
            ordered += bucket.clicks as f64 * (lower + others / 2.0);
            lower += others;
            clicks += bucket.clicks as f64;
        }
        if clicks * lower == 0.0 { 0.5 } else { ordered / (clicks * lower) }
    }
}

/// Mean log loss in nats of one who knows the share of clicks alone.
fn entropy(clicks: f64, examples: f64) -> f64 {
    let rate = ratio(clicks, examples);
    if rate <= 0.0 || rate >= 1.0 {
        return 0.0;
    }
    -(rate * rate.ln() + (1.0 - rate) * (1.0 - rate).ln())
}

/// `part / whole`, 0 where there is no whole.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfect_order_has_auc_one_and_calibration_is_predicted_over_actual() {
        let mut quality = Quality::default();
        for _ in 0..100 {
            quality.record(0.4, true);
            quality.record(0.01, false);
        }
        let summary = quality.summary();
        assert_eq!((summary.examples, summary.clicks), (200, 100));
        assert_eq!(summary.auc, 1.0);
        assert!((summary.predicted_over_actual - 0.41).abs() < 1e-6);
        let expected = -(0.4f64.ln() + 0.99f64.ln()) / 2.0;
        assert!((summary.log_loss - expected).abs() < 1e-6);
        assert!((summary.recent_log_loss - expected).abs() < 1e-2);
        let error = (0.6 + 0.01) / 2.0;
        assert!((summary.calibration_error - error).abs() < 1e-6);
        assert!((summary.recent_calibration_error - error).abs() < 1e-3);
        // Half were clicked: the entropy is ln 2.
        let entropy = expected / std::f64::consts::LN_2;
        assert!((summary.normalised_entropy - entropy).abs() < 1e-6);
        assert!((summary.recent_normalised_entropy - entropy).abs() < 1e-2);
    }

    #[test]
    fn nothing_known_is_not_a_nan() {
        let mut quality = Quality::default();
        assert_eq!(quality.summary().auc, 0.5);
        for predicted in [f32::NAN, f32::INFINITY, -1.0, 0.0, 1.0] {
            quality.record(predicted, false);
        }
        let summary = quality.summary();
        assert!(summary.log_loss.is_finite());
        assert_eq!(summary.predicted_over_actual, 0.0);
    }

    #[test]
    fn buckets_are_half_a_logit_wide_from_minus_seven_and_a_half() {
        for (predicted, expected) in [(0.0, 0), (0.0005, 0), (0.0006, 1), (0.5, 16), (1.0, 19)] {
            let mut quality = Quality::default();
            quality.record(predicted, false);
            let place = quality.buckets.iter().position(|bucket| bucket.examples == 1);
            assert_eq!(place, Some(expected), "{predicted}");
        }
    }
}
