//! The other way to learn: each weight is a mean with a variance, and an outcome moves each by its
//! share of the logit's uncertainty.
//!
//! ```text
//! p = sigmoid(logit)      h = p (1 - p)      S = Σ_i s_i x_i²      x_i = ∂logit/∂m_i
//! m_i += s_i x_i (y - p) / (1 + h S)         s_i -= (s_i x_i)² h / (1 + h S)
//! ```
//! over all weights `i` of an example: one step of an extended Kalman filter for logistic
//! regression that keeps the diagonal of its covariance (Graepel et al., "Web-Scale Bayesian
//! Click-Through Rate Prediction", ICML 2010, is its relative for probit). There are no learning
//! rates, only the variances that weights have at first. Steps shrink as evidence grows, and
//! `1 + h S` keeps many weights that are new together from overshooting together.

use super::vectors::WEIGHT_ABS_MAX;

/// A variance stays above 0 whatever rounding does to it, and an old weight movable.
const VARIANCE_MIN: f32 = 1e-7;
/// Certain predictions teach too, once they are wrong.
const CURVATURE_MIN: f32 = 1e-4;

/// What one outcome says to every weight that had a part in its prediction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Correction {
    /// Of the log loss by the logit, times the outcome's weight.
    pub(super) gradient: f32,
    error: f32,
    shrinkage: f32,
}

impl Correction {
    /// Of an outcome that was predicted so; `variance` is `S`, 0 where no weight has one. What is
    /// taken back (a weight below 0) moves means and leaves variances. Outcomes must not have weights
    /// by their label: what weighs more is damped more, and the other label would win. What was
    /// sampled down by its label has [`super::FwfmConfig::negative_rate`].
    #[inline(always)]
    pub(super) fn new(predicted: f32, label: bool, weight: f32, variance: f32) -> Self {
        let gradient = (predicted - if label { 1.0 } else { 0.0 }) * weight;
        let curvature = (predicted * (1.0 - predicted)).max(CURVATURE_MIN) * weight.abs();
        let damping = 1.0 / (1.0 + curvature * variance);
        let shrinkage = if weight > 0.0 { curvature * damping } else { 0.0 };
        Self { gradient, error: -gradient * damping, shrinkage }
    }

    /// Moves a weight by which the logit grows by `slope`.
    #[inline(always)]
    pub(super) fn gaussian(&self, mean: &mut f32, variance: &mut f32, slope: f32) {
        let gain = *variance * slope;
        *mean = (*mean + gain * self.error).clamp(-WEIGHT_ABS_MAX, WEIGHT_ABS_MAX);
        *variance = (*variance - gain * gain * self.shrinkage).max(VARIANCE_MIN);
    }
}
