//! Factor vectors that learn by AdaGrad (Duchi, Hazan, Singer, JMLR 2011, diagonal form) or as means
//! with variances ([`super::gaussian`]), and the arithmetic of vectors.
//!
//! A slot is zero until the first feature in it learns: a feature that nobody has seen says
//! nothing. Its first values are then drawn from (seed, slot), so that they depend neither on the
//! order of examples nor on the size of what was drawn before, and an empty table costs no time.

use super::gaussian::Correction;
use crate::hash;

/// Weights beyond ±8 say nothing a logit can use; the bound keeps a bad learning rate from
/// reaching infinity, and so NaN out of every bid.
pub(super) const WEIGHT_ABS_MAX: f32 = 8.0;

/// A factor vector and its spreads (AdaGrad's accumulators, or variances): one cache line at 8
/// components, two at 16.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct VectorSlot<const K: usize> {
    pub(super) vector: [f32; K],
    pub(super) spread: [f32; K],
}
const _: () = assert!(size_of::<VectorSlot<8>>() == 64 && size_of::<VectorSlot<16>>() == 128);

/// How vectors learn.
#[derive(Clone, Copy)]
pub(super) struct VectorRates {
    /// AdaGrad's, or `None` for the Gaussian rule.
    pub(super) rate: Option<f32>,
    /// The first accumulator or variance.
    pub(super) spread: f32,
    pub(super) init: f32,
    pub(super) seed: u64,
}

impl<const K: usize> VectorSlot<K> {
    /// A slot in which nothing has learned.
    pub(super) const EMPTY: Self = Self { vector: [0.0; K], spread: [0.0; K] };

    /// Whether nothing has learned in it.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        // Accumulators and variances lie above 0 from the first step on.
        self.spread[0] == 0.0
    }

    /// Whether its numbers are such as learning can reach.
    pub(super) fn is_sound(&self) -> bool {
        let within = |component: &f32| component.abs() <= WEIGHT_ABS_MAX;
        let positive = |spread: &f32| spread.is_finite() && *spread > 0.0;
        self.vector.iter().all(within) && self.spread.iter().all(positive)
    }

    /// Gives the slot at `index` its first values: uniform in ±init.
    #[cold]
    pub(super) fn begin(&mut self, index: usize, rates: &VectorRates) {
        let mut state = hash::combine(rates.seed, index as u64);
        for component in &mut self.vector {
            state = hash::mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
            // 24 bits: as many as a float of [0, 1) has.
            let unit = (state >> 40) as f32 / (1u32 << 24) as f32;
            *component = rates.init * (2.0 * unit - 1.0);
        }
        self.spread = [rates.spread; K];
    }

    /// One step, where the logit grows by `value * pull` with each component.
    #[inline(always)]
    pub(super) fn step(
        &mut self,
        value: f32,
        pull: &[f32; K],
        correction: &Correction,
        rates: &VectorRates,
    ) {
        let components = self.vector.iter_mut().zip(&mut self.spread).zip(pull);
        if let Some(rate) = rates.rate {
            let gradient = correction.gradient * value;
            for ((weight, accumulator), pull) in components {
                adagrad(weight, accumulator, gradient * pull, rate);
            }
        } else {
            for ((mean, variance), pull) in components {
                correction.gaussian(mean, variance, value * pull);
            }
        }
    }
}

/// The inner product, summed in eight lanes that are then halved: in this order on every machine,
/// whatever the width of its registers.
#[inline(always)]
pub(super) fn inner<const K: usize>(left: &[f32; K], right: &[f32; K]) -> f32 {
    let mut lanes = [0.0; 8];
    for at in 0..K {
        lanes[at % 8] += left[at] * right[at];
    }
    let four: [f32; 4] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// `Σ weight * value²`, in eight lanes as [`inner`].
#[inline(always)]
pub(super) fn weighted_squares(weights: &[f32], values: &[f32]) -> f32 {
    let mut lanes = [0.0; 8];
    let (weights, values) = (weights.chunks(8), values.chunks(8));
    for (weights, values) in weights.zip(values) {
        for (lane, (weight, value)) in lanes.iter_mut().zip(weights.iter().zip(values)) {
            *lane += weight * value * value;
        }
    }
    inner(&lanes, &[1.0; 8])
}

/// `into += weight * vector`.
#[inline(always)]
pub(super) fn add_scaled<const K: usize>(into: &mut [f32; K], weight: f32, vector: &[f32; K]) {
    for (sum, component) in into.iter_mut().zip(vector) {
        *sum += weight * component;
    }
}

/// One AdaGrad step.
#[inline(always)]
pub(super) fn adagrad(weight: &mut f32, accumulator: &mut f32, gradient: f32, rate: f32) {
    *accumulator += gradient * gradient;
    *weight =
        (*weight - rate * gradient / accumulator.sqrt()).clamp(-WEIGHT_ABS_MAX, WEIGHT_ABS_MAX);
}
