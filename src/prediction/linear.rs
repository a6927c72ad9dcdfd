//! Single weights and how they learn: by FTRL-Proximal (McMahan et al., "Ad Click Prediction: a View
//! from the Trenches", KDD 2013, algorithm 1), or as a mean with a variance ([`super::gaussian`]).

use super::config::{Rates, Rule};
use super::gaussian::Correction;
use super::vectors::WEIGHT_ABS_MAX;
use serde::{Deserialize, Serialize};

/// How single weights learn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum WeightRule {
    /// The four constants of FTRL-Proximal.
    Ftrl { alpha: f32, beta: f32, l1: f32, l2: f32 },
    /// The variance before anything was learned.
    Gaussian { variance: f32 },
}

/// One weight: its two numbers lie side by side, since whoever needs one needs both (apart, they
/// cost fwumious_wabbit half of its speed). Zeros at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Weight {
    /// FTRL's `z`, or the mean.
    state: f32,
    /// FTRL's `n`, or the variance; 0 is "as it was before anything was learned".
    spread: f32,
}

impl WeightRule {
    /// The rule of weights of single features.
    pub(super) const fn of(rates: &Rates) -> Self {
        match rates.rule {
            Rule::Ftrl => Self::Ftrl {
                alpha: rates.linear_rate,
                beta: rates.linear_beta,
                l1: rates.linear_l1,
                l2: rates.linear_l2,
            },
            Rule::Gaussian => Self::Gaussian { variance: rates.linear_variance },
        }
    }

    /// The same rule without regularisation, for weights that see every example: no sparsity is
    /// wanted of them. `variance` is theirs under the other rule.
    pub(super) const fn dense(self, variance: f32) -> Self {
        match self {
            Self::Ftrl { alpha, beta, .. } => Self::Ftrl { alpha, beta, l1: 0.0, l2: 0.0 },
            Self::Gaussian { .. } => Self::Gaussian { variance },
        }
    }
}

impl Weight {
    /// One that was made elsewhere, under the Gaussian rule; as if nothing had been learned of it.
    pub(super) const fn given(value: f32) -> Self {
        Self { state: value.clamp(-WEIGHT_ABS_MAX, WEIGHT_ABS_MAX), spread: 0.0 }
    }

    /// The weight that the state stands for.
    #[inline(always)]
    pub(super) fn value(self, rule: WeightRule) -> f32 {
        let WeightRule::Ftrl { alpha, beta, l1, l2 } = rule else { return self.state };
        let beyond = self.state.abs() - l1;
        if beyond <= 0.0 {
            return 0.0;
        }
        -beyond.copysign(self.state) / ((beta + self.spread.sqrt()) / alpha + l2)
    }

    /// The variance under the Gaussian rule; 0 under the other.
    #[inline(always)]
    pub(super) fn variance(self, rule: WeightRule) -> f32 {
        match rule {
            WeightRule::Ftrl { .. } => 0.0,
            WeightRule::Gaussian { variance } if self.spread == 0.0 => variance,
            WeightRule::Gaussian { .. } => self.spread,
        }
    }

    /// One step, where the logit grows by `slope` with this weight.
    #[inline(always)]
    pub(super) fn step(&mut self, slope: f32, correction: &Correction, rule: WeightRule) {
        match rule {
            WeightRule::Ftrl { alpha, .. } => {
                let gradient = correction.gradient * slope;
                let squared = gradient * gradient;
                let sigma = ((self.spread + squared).sqrt() - self.spread.sqrt()) / alpha;
                self.state += gradient - sigma * self.value(rule);
                self.spread += squared;
            }
            WeightRule::Gaussian { .. } => {
                self.spread = self.variance(rule);
                correction.gaussian(&mut self.state, &mut self.spread, slope);
            }
        }
    }

    /// The sum of its squared gradients, or under the Gaussian rule what was learned of it in the same
    /// measure: by how much its precision has grown.
    pub(super) fn squares(self, rule: WeightRule) -> f32 {
        match rule {
            WeightRule::Ftrl { .. } => self.spread,
            WeightRule::Gaussian { variance } if self.spread > 0.0 => {
                1.0 / self.spread - 1.0 / variance
            }
            WeightRule::Gaussian { .. } => 0.0,
        }
    }

    /// Whether it never learned.
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Whether its numbers are such as learning can reach.
    pub(super) fn is_sound(self, rule: WeightRule) -> bool {
        let most = match rule {
            WeightRule::Ftrl { .. } => f32::MAX,
            WeightRule::Gaussian { .. } => WEIGHT_ABS_MAX,
        };
        self.state.abs() <= most && self.spread.is_finite() && self.spread >= 0.0
    }
}
