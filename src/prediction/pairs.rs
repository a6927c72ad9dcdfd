//! The field matrix `r`: what each pair of fields weighs, learned by AdaGrad.
//!
//! It is symmetric without a diagonal, so its upper half is kept row after row in one run. The
//! pairs among the last fields may be frozen: they are the end of that run.

use super::vectors::adagrad;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// The first value of each entry: a plain factorisation machine.
const INIT: f32 = 1.0;
/// AdaGrad's first accumulator.
const ACCUMULATOR: f32 = 1.0;

/// The weights of all pairs of fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FieldPairs {
    fields: usize,
    /// How many learn, from the first on.
    learning: usize,
    weights: Vec<f32>,
    accumulators: Vec<f32>,
}

impl FieldPairs {
    /// Pairs of `fields` fields; those among the fields from `frozen_from` on keep their weight.
    pub(super) fn new(fields: usize, frozen_from: usize) -> Self {
        let count = |fields: usize| fields * fields.saturating_sub(1) / 2;
        let all = count(fields);
        Self {
            fields,
            learning: all - count(fields - frozen_from.min(fields)),
            weights: vec![INIT; all],
            accumulators: vec![ACCUMULATOR; all],
        }
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

    /// One step against `gradient * dots[pair]` for each pair that learns.
    #[inline(always)]
    pub(super) fn step(&mut self, gradient: f32, dots: &[f32], rate: f32) {
        let learning = self.learning;
        let weights = self.weights[..learning].iter_mut().zip(&mut self.accumulators[..learning]);
        for ((weight, accumulator), dot) in weights.zip(dots) {
            adagrad(weight, accumulator, gradient * dot, rate);
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
}
