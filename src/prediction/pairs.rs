//! The field matrix `r`: what each pair of fields weighs, learned by AdaGrad or as means with
//! variances.
//!
//! It is symmetric without a diagonal, so its upper half is kept row after row in one run. The
//! pairs among the last fields may be frozen: they are the end of that run.

use super::gaussian::Correction;
use super::vectors::{WEIGHT_ABS_MAX, adagrad, weighted_squares};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// What a pair that is frozen weighs: as in a plain factorisation machine.
const FROZEN: f32 = 1.0;

/// The weights of all pairs of fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FieldPairs {
    fields: usize,
    /// How many learn, from the first on.
    learning: usize,
    weights: Vec<f32>,
    /// AdaGrad's accumulators, or variances.
    spreads: Vec<f32>,
}

impl FieldPairs {
    /// Pairs of `fields` fields that weigh `init` and have spread `spread` at first; those among
    /// the fields from `frozen_from` on weigh 1 and keep it.
    pub(super) fn new(fields: usize, frozen_from: usize, init: f32, spread: f32) -> Self {
        let count = |fields: usize| fields * fields.saturating_sub(1) / 2;
        let all = count(fields);
        let learning = all - count(fields - frozen_from.min(fields));
        let mut weights = vec![init; all];
        weights[learning..].fill(FROZEN);
        Self { fields, learning, weights, spreads: vec![spread; all] }
    }

    /// How many pairs there are.
    pub(super) const fn len(&self) -> usize {
        self.weights.len()
    }

    /// All weights: the pairs of field 0 with 1, 2, ..., then those of field 1 with 2, ...
    #[inline(always)]
    pub(super) fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The part of the pairs that learn in the logit's variance, where `dots` are their products.
    #[inline(always)]
    pub(super) fn variance(&self, dots: &[f32]) -> f32 {
        weighted_squares(&self.spreads[..self.learning], &dots[..self.learning])
    }

    /// One step of each pair that learns, by AdaGrad at `rate` or by the Gaussian rule without.
    #[inline(always)]
    pub(super) fn step(&mut self, correction: &Correction, dots: &[f32], rate: Option<f32>) {
        let learning = self.learning;
        let weights = self.weights[..learning].iter_mut().zip(&mut self.spreads[..learning]);
        if let Some(rate) = rate {
            for ((weight, accumulator), dot) in weights.zip(dots) {
                adagrad(weight, accumulator, correction.gradient * dot, rate);
            }
        } else {
            for ((mean, variance), &dot) in weights.zip(dots) {
                correction.gaussian(mean, variance, dot);
            }
        }
    }

    /// As a symmetric matrix; the diagonal is 0.
    pub(super) fn matrix(&self) -> Array2<f32> {
        let mut matrix = Array2::zeros((self.fields, self.fields));
        let mut weights = self.weights.iter();
        for first in 0..self.fields {
            for (second, &weight) in (first + 1..self.fields).zip(&mut weights) {
                matrix[(first, second)] = weight;
                matrix[(second, first)] = weight;
            }
        }
        matrix
    }
    /// Whether these are pairs of the shape of `other`, with numbers such as learning can reach.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let shape =
            |pairs: &Self| (pairs.fields, pairs.learning, pairs.weights.len(), pairs.spreads.len());
        let within = |weight: &f32| weight.abs() <= WEIGHT_ABS_MAX;
        let positive = |spread: &f32| spread.is_finite() && *spread > 0.0;
        shape(self) == shape(other)
            && self.weights.iter().all(within)
            && self.spreads.iter().all(positive)
    }
}
