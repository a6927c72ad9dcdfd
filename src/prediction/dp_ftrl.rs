//! DP-FTRL (Kairouz et al. 2021): weights of a linear model from released sums of gradients.
//!
//! ```text
//! w = argmin <G, w> + λ/2 |w|²  =  -G / λ,    G = what is carried over + the day's released sum
//! ```
//! `G` is known up to noise of known variance `v`, alike in all coordinates, so each of them counts
//! by how far it stands out: `G² / (G² + v)` of it (an empirical Bayes shrinkage; a coordinate that
//! nobody's shows concern is noise alone and stays near 0). A day begins with what was released
//! before it, decayed. All of this reads released numbers only, so it costs no privacy, and floats do
//! no harm.
//!
//! `λ` is the larger of two: so large that noise moves no logit far, and so large that a step does
//! not overshoot, for which coordinate 0 counts shows, privately like the rest.

use super::sample::{Sample, bearable};
use crate::privacy::GradientTotals;
use serde::{Deserialize, Serialize};

/// `λ` in standard deviations of a whole day's noise. On Criteo and on the planted stream 2 to 4 were
/// best at epsilon 1, 3 and 8 alike: 2.5 lets noise move a logit by 0.4 at most, before shrinkage.
const NOISE_PART: f64 = 2.5;
/// `λ` a show of a tick and unit of `p (1 - p)`, the curvature of the log loss: a step is stable while
/// it is below about twice the largest eigenvalue, and 0.1 was best on both streams.
const CURVATURE_PART: f64 = 0.1;
/// Below this a handful of shows would decide.
const LAMBDA_MIN: f64 = 5.0;
/// What one show adds to coordinate 0: a part of its norm of 1 pays for knowing how many there are.
const COUNT_SLOPE: f32 = 0.3;

/// Where shows are counted, and where the bias is.
const COUNT: u32 = 0;
const BIAS: u32 = 1;
/// Where the dense weights begin.
const DENSE_FIRST: usize = 2;

/// Which coordinate each part of a sample is, and by how much it moves the logit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinates {
    dense: usize,
    bits: u8,
    /// So small that an example of `features_max` features on as many coordinates has no gradient
    /// longer than 1: a clip would cut off clicks, which teach most, and leave shows without, which
    /// are many.
    slope: f32,
}

impl Coordinates {
    /// Of samples with at most `features_max` features and dense weights (as squares of values add
    /// up), hashed to `bits` bits.
    #[must_use]
    pub fn new(features_max: usize, dense: usize, bits: u8) -> Self {
        let left = 1.0 - f64::from(COUNT_SLOPE).powi(2);
        // One more for the bias.
        let slope = (left / (features_max + 1) as f64).sqrt() as f32;
        Self { dense, bits, slope }
    }

    /// How many there are.
    #[must_use]
    pub const fn dimensions(&self) -> usize {
        DENSE_FIRST + self.dense + (1 << self.bits)
    }

    /// The gradient of a sample's log loss by coordinate, in place of what is in `slopes`, where
    /// `error` is the probability that was predicted minus the outcome.
    pub fn gradient(&self, sample: &Sample<'_>, error: f32, slopes: &mut Vec<(u32, f32)>) {
        slopes.clear();
        slopes.push((COUNT, COUNT_SLOPE));
        slopes.extend(self.parts(sample).map(|(at, value)| (at, error * value)));
    }

    /// The weights' part of a sample's logit.
    #[must_use]
    pub fn logit(&self, weights: &[f32], sample: &Sample<'_>) -> f32 {
        let terms = self.parts(sample);
        terms.map(|(at, value)| value * weights.get(at as usize).copied().unwrap_or(0.0)).sum()
    }

    /// The bias, the dense weights and the linear ones, as the logit adds them up.
    pub(super) fn terms(&self, weights: &[f32]) -> (f32, Vec<f32>, Vec<f32>) {
        let scaled = |weights: &[f32]| weights.iter().map(|one| one * self.slope).collect();
        let (fixed, linear) = weights.split_at((DENSE_FIRST + self.dense).min(weights.len()));
        let bias = fixed.get(BIAS as usize).map_or(0.0, |weight| weight * self.slope);
        (bias, scaled(fixed.get(DENSE_FIRST..).unwrap_or_default()), scaled(linear))
    }

    fn parts(&self, sample: &Sample<'_>) -> impl Iterator<Item = (u32, f32)> {
        let mask = (1_u32 << self.bits) - 1;
        let linear_first = (DENSE_FIRST + self.dense) as u32;
        let dense = sample.dense.iter().filter(move |&&at| usize::from(at) < self.dense);
        let dense = dense.map(|&at| (DENSE_FIRST as u32 + u32::from(at), self.slope));
        let linear = sample.features.iter().map(move |feature| {
            (linear_first + (feature.id & mask), self.slope * bearable(feature.value))
        });
        std::iter::once((BIAS, self.slope)).chain(dense).chain(linear)
    }
}

/// What was released so far, as weights need it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DpFtrl {
    /// The sum of earlier days' gradients, each day's decayed, and the variance of its noise.
    carried: Vec<f64>,
    carried_variance: f64,
    /// The open day as far as it was released.
    open: GradientTotals,
    /// Most shows of a tick, as released; halves with each day.
    shows: f64,
    /// `p (1 - p)` at the base rate.
    curvature: f64,
    day_decay: f64,
}

impl DpFtrl {
    /// Before any release. `day_decay` is what a day's gradients count on the next, in [0, 1].
    #[must_use]
    pub fn new(coordinates: &Coordinates, base_rate: f64, day_decay: f64) -> Self {
        Self {
            carried: vec![0.0; coordinates.dimensions()],
            carried_variance: 0.0,
            open: GradientTotals::default(),
            shows: 0.0,
            curvature: base_rate * (1.0 - base_rate),
            day_decay,
        }
    }

    /// Whether these are weights of as many coordinates, with numbers such as releases can reach.
    pub(super) fn is_of(&self, coordinates: &Coordinates) -> bool {
        let numbers = self.carried.iter().chain(&self.open.sums);
        let variances = [self.carried_variance, self.open.variance, self.open.day_variance];
        let open = self.open.sums.len();
        self.carried.len() == coordinates.dimensions()
            && (open == 0 || open == self.carried.len())
            && { numbers }.all(|one| one.is_finite())
            && variances.iter().chain([&self.shows]).all(|one| one.is_finite() && *one >= 0.0)
    }

    /// Whether `totals` say more than what was taken in.
    #[must_use]
    pub fn is_behind(&self, totals: &GradientTotals) -> bool {
        (totals.day, totals.ticks) > (self.open.day, self.open.ticks)
    }

    /// Takes in what was released of a day. Nothing happens where it is of other coordinates or older
    /// than what was taken in.
    pub fn follow(&mut self, totals: &GradientTotals) {
        if totals.sums.len() != self.carried.len() || !self.is_behind(totals) {
            return;
        }
        if totals.day > self.open.day && !self.open.sums.is_empty() {
            let decay = self.day_decay.powi(totals.day - self.open.day);
            for (carried, sum) in self.carried.iter_mut().zip(&self.open.sums) {
                *carried = (*carried + sum) * decay;
            }
            self.carried_variance = (self.carried_variance + self.open.variance) * decay * decay;
            self.shows /= 2.0;
            self.open = GradientTotals::default();
        }
        let count = |totals: &GradientTotals| totals.sums.first().copied().unwrap_or(0.0);
        let ticks = (totals.ticks - self.open.ticks).max(1) as f64;
        let shows = (count(totals) - count(&self.open)) / (f64::from(COUNT_SLOPE) * ticks);
        self.shows = self.shows.max(shows);
        self.open = totals.clone();
    }

    /// The weights, one a coordinate.
    #[must_use]
    pub fn weights(&self) -> Vec<f32> {
        let noise = (self.carried_variance + self.open.day_variance).sqrt();
        let steady = CURVATURE_PART * self.curvature * self.shows;
        let lambda = LAMBDA_MIN.max(NOISE_PART * noise).max(steady);
        let variance = self.carried_variance + self.open.variance;
        let open = self.open.sums.iter().copied().chain(std::iter::repeat(0.0));
        let sums = self.carried.iter().zip(open).map(|(carried, open)| carried + open);
        let weights = sums.enumerate().map(|(at, sum)| {
            let squared = sum * sum;
            let believed = if squared > 0.0 { squared / (squared + variance) } else { 0.0 };
            if at == COUNT as usize { 0.0 } else { (-sum * believed / lambda) as f32 }
        });
        weights.collect()
    }
}
