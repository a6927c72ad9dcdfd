//! Scoring: what the bid path reads, and the arithmetic of one candidate.
//!
//! In the FwFM sum an ad meets the request only through `Σ_g <Σ_c r_cg v_c, v_g>`. So the request
//! is reduced once to `S_C` (its own terms) and `U` (one vector per ad field, `Σ_c r_cg v_c`), an
//! ad keeps `s_a` (its own terms) and `Q_a` (its vectors, side by side), and
//!
//! ```text
//! logit = S_C + s_a + <U, Q_a> + c[interest] + Σ c[relevance] + β (prior − base)
//! ```
//! is the same sum in 48 multiplications instead of 2,024. The vectors of an ad are kept in 8 bits a
//! component, scaled by the largest, so that all of an ad is one cache line: at a few hundred
//! candidates a request, lines are what a score costs. A component is off by at most 1/254 of the
//! ad's largest, which moves a logit by some thousandths; the sum itself is in integers, and so the
//! same on every machine.

use super::calibration::{Calibration, ExchangeCalibration};
use super::evidence::Evidence;
use super::features::{
    AD_FIELDS, AdIds, CONTEXT_FIELDS, ContextFeatures, Cross, FORMATS, INTEREST_BUCKETS, valued,
};
use super::strength::{FAMILIES, STRENGTHS};
use super::tables::Chunked;
use super::vectors::{add_scaled, inner};
use crate::prefetch::prefetch_item;
use crate::units::Slot;
use ndarray::Array2;
use std::sync::Arc;

/// Components of a factor vector. 8 is two SSE registers; 16 gained 0.006 of AUC on dense data
/// (Frappe) and nothing on sparse data, for twice the row.
pub const DIM: usize = 8;
/// A factor vector.
pub(super) type Vector = [f32; DIM];
/// Length of `U` and of each `Q_a`.
pub(super) const ROW: usize = AD_FIELDS * DIM;
/// Linear weights a chunk: 4 kB, one page to copy.
pub(super) const LINEAR_CHUNK: usize = 1024;
/// Vectors a chunk: 4 kB.
pub(super) const VECTOR_CHUNK: usize = 128;
/// Ad rows a chunk: 4 kB.
pub(super) const ROW_CHUNK: usize = 64;

/// One ad, reduced: one cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct AdRow {
    /// `Q_a`: the ad's vectors, side by side, in units of `scale`.
    vectors: [i8; ROW],
    scale: f32,
    /// `s_a`: the ad's linear weights and the pairs within it.
    pub(super) own: f32,
    pub(super) generation: u32,
    pub(super) is_present: bool,
    /// How much was learned of the ad itself, beyond what it shares with others.
    pub(super) evidence: Evidence,
}
const _: () = assert!(size_of::<AdRow>() == 64);

impl AdRow {
    /// A slot without an ad.
    pub(super) const ABSENT: Self = Self {
        vectors: [0; ROW],
        scale: 0.0,
        own: 0.0,
        generation: 0,
        is_present: false,
        evidence: Evidence::NONE,
    };

    /// The row of an ad whose fields have these linear weights and vectors.
    pub(super) fn new(
        generation: u32,
        linear: [f32; AD_FIELDS],
        vectors: &[Vector; AD_FIELDS],
        field_weights: &Array2<f32>,
    ) -> Self {
        let mut own: f32 = linear.iter().sum();
        for first in 0..AD_FIELDS {
            for second in first + 1..AD_FIELDS {
                let weight = field_weights[(CONTEXT_FIELDS + first, CONTEXT_FIELDS + second)];
                own += weight * inner(&vectors[first], &vectors[second]);
            }
        }
        let (vectors, scale) = quantised::<i8>(vectors.as_flattened(), i8::MAX.into());
        let evidence = Evidence::NONE;
        Self { vectors, scale, own, generation, is_present: true, evidence }
    }

    /// Whether this is the row of the ad that `slot` means.
    fn is_of(&self, slot: Slot) -> bool {
        self.is_present && self.generation == slot.generation
    }

    pub(super) fn vector(&self, field: usize) -> Vector {
        std::array::from_fn(|component| {
            f32::from(self.vectors[field * DIM + component]) * self.scale
        })
    }
}

/// One request, reduced. Reused from request to request; holds no heap memory.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct ScoreScratch {
    /// `U`, in units of `scale`.
    pulls: [i16; ROW],
    scale: f32,
    /// `c[interest]` for this request's format.
    interest: [f32; INTEREST_BUCKETS],
    /// `S_C`.
    context: f32,
}

impl Default for ScoreScratch {
    fn default() -> Self {
        Self { pulls: [0; ROW], scale: 0.0, interest: [0.0; INTEREST_BUCKETS], context: 0.0 }
    }
}

/// A model as it stood at one tick: immutable, shared, never waited for.
pub struct ModelSnapshot {
    pub(super) epoch: u64,
    pub(super) calibration: Calibration,
    pub(super) conversions: Option<Arc<ModelSnapshot>>,
    pub(super) base_logit: f32,
    pub(super) bias: f32,
    pub(super) prior_weight: f32,
    pub(super) interest: [[f32; INTEREST_BUCKETS]; FORMATS],
    /// By family, then by step.
    pub(super) relevance: [[f32; STRENGTHS]; FAMILIES],
    pub(super) field_weights: Array2<f32>,
    pub(super) linear: Chunked<f32, LINEAR_CHUNK>,
    pub(super) vectors: Chunked<Vector, VECTOR_CHUNK>,
    pub(super) rows: Chunked<AdRow, ROW_CHUNK>,
    /// By ad slot, apart from the rows: one look a bid, not one a candidate.
    pub(super) ids: Chunked<AdIds, ROW_CHUNK>,
}

impl ModelSnapshot {
    /// Counts publications; each decision records it.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The calibration of an exchange's requests, for [`ModelSnapshot::logit`].
    #[must_use]
    pub fn calibration(&self, context: &ContextFeatures) -> ExchangeCalibration<'_> {
        self.calibration.on(context.exchange())
    }

    /// The conversion head of a click model: prepared and asked as the model is, with the declared
    /// rate ([`super::conversion_prior_logit`]) as the prior.
    #[must_use]
    pub fn conversions(&self) -> Option<&Self> {
        self.conversions.as_deref()
    }

    /// Reduces a request, once. What was in `scratch` before does not matter.
    pub fn prepare(&self, context: &ContextFeatures, scratch: &mut ScoreScratch) {
        let vectors = self.context_vectors(context);
        let mut own = self.base_logit + self.bias;
        let mut pulls = [[0.0; DIM]; AD_FIELDS];
        for (field, vector) in vectors.iter().enumerate() {
            own += self.linear(context.ids[field]);
            let weights = self.field_weights.row(field);
            let mut before = [0.0; DIM];
            for (&weight, other) in weights.iter().zip(&vectors[..field]) {
                add_scaled(&mut before, weight, other);
            }
            own += inner(&before, vector);
            for (&weight, pull) in weights.iter().skip(CONTEXT_FIELDS).zip(&mut pulls) {
                add_scaled(pull, weight, vector);
            }
        }
        scratch.context = own;
        (scratch.pulls, scratch.scale) = quantised::<i16>(pulls.as_flattened(), i16::MAX.into());
        scratch.interest = self.interest[context.format as usize];
    }

    /// The logit of showing the ad in slot `ad` for the prepared request. An ad that this snapshot
    /// does not know scores as the request, the interest and the prior alone.
    #[inline]
    #[must_use]
    pub fn logit(&self, scratch: &ScoreScratch, ad: Slot, cross: Cross) -> f32 {
        let neutral = scratch.context
            + scratch.interest[cross.interest_bucket()]
            + self.relevance_of(cross).iter().sum::<f32>()
            + self.prior_weight * cross.prior_offset(self.base_logit);
        match self.row(ad) {
            Some(row) => {
                let product = dot(&scratch.pulls, &row.vectors) as f32;
                neutral + row.own + product * (scratch.scale * row.scale)
            }
            None => neutral,
        }
    }

    /// What each family of relevance adds.
    #[inline(always)]
    pub(super) fn relevance_of(&self, cross: Cross) -> [f32; FAMILIES] {
        let [collaborative, content, sequence] = cross.strengths.steps();
        let [of_collaborative, of_content, of_sequence] = &self.relevance;
        [of_collaborative[collaborative], of_content[content], of_sequence[sequence]]
    }

    /// Asks for what [`ModelSnapshot::logit`] will read of the ad in slot `ad`.
    #[inline]
    pub fn prefetch(&self, ad: Slot) {
        if let Some(row) = self.rows.get(ad.index as usize) {
            prefetch_item(row);
        }
    }

    /// How many shows the ad at this slot index is known by, where clicks have the probability `p`:
    /// more or less what the model learned from, of a model that is calibrated.
    #[must_use]
    pub fn shows_known(&self, index: u32, p: f64) -> f64 {
        self.rows.get(index as usize).map_or(0.0, |row| row.evidence.shows(p))
    }

    /// The feature ids of the ad in slot `ad`, for the example to learn from; `None` for an ad that
    /// this snapshot does not know.
    #[must_use]
    pub fn ad_ids(&self, ad: Slot) -> Option<AdIds> {
        self.row(ad).and_then(|_| self.ids.get(ad.index as usize)).copied()
    }

    /// How many ads have a row.
    #[must_use]
    pub fn ads(&self) -> usize {
        let rows = (0..self.rows.len()).filter_map(|index| self.rows.get(index));
        rows.filter(|row| row.is_present).count()
    }

    /// The most that keeping both sides in whole numbers may move the logit of this ad.
    #[cfg(test)]
    pub(super) fn rounding_max(&self, scratch: &ScoreScratch, ad: Slot) -> f32 {
        let Some(row) = self.row(ad) else { return 0.0 };
        let sizes = |(pull, own): (&i16, &i8)| {
            let (pull, own) = (f32::from(pull.abs()), f32::from(own.abs()));
            (pull + own) / 2.0 + 0.25
        };
        let units = scratch.pulls.iter().zip(&row.vectors).map(sizes).sum::<f32>();
        units * scratch.scale * row.scale
    }

    /// The most that the product of this ad could be, were each component as large as the largest.
    #[cfg(test)]
    pub(super) fn product_max(&self, scratch: &ScoreScratch, ad: Slot) -> f32 {
        let Some(row) = self.row(ad) else { return 0.0 };
        let pull = scratch.pulls.iter().map(|pull| pull.unsigned_abs()).max();
        let own = row.vectors.iter().map(|own| own.unsigned_abs()).max();
        let units = f32::from(pull.unwrap_or(0)) * f32::from(own.unwrap_or(0)) * ROW as f32;
        units * scratch.scale * row.scale
    }

    #[inline]
    pub(super) fn row(&self, ad: Slot) -> Option<&AdRow> {
        self.rows.get(ad.index as usize).filter(|row| row.is_of(ad))
    }

    pub(super) fn context_vectors(&self, context: &ContextFeatures) -> [Vector; CONTEXT_FIELDS] {
        context.ids.map(|id| self.vector(id))
    }

    /// The vectors of an ad's features, as exact as the request's.
    pub(super) fn ad_vectors(&self, ids: &AdIds) -> [Vector; AD_FIELDS] {
        let mut vectors = [[0.0; DIM]; AD_FIELDS];
        for (field, id, value) in valued(ids) {
            add_scaled(&mut vectors[field], value, &self.vector(id));
        }
        vectors
    }

    /// The linear weight of each of an ad's fields.
    pub(super) fn ad_linear(&self, ids: &AdIds) -> [f32; AD_FIELDS] {
        let mut linear = [0.0; AD_FIELDS];
        valued(ids).for_each(|(field, id, value)| linear[field] += value * self.linear(id));
        linear
    }

    fn vector(&self, id: u32) -> Vector {
        let index = id as usize & (self.vectors.len() - 1);
        self.vectors.get(index).copied().unwrap_or_default()
    }

    pub(super) fn linear(&self, id: u32) -> f32 {
        let index = id as usize & (self.linear.len() - 1);
        self.linear.get(index).copied().unwrap_or_default()
    }
}

/// The probability of a logit. NaN stays NaN; ±infinity is 1 or 0.
#[inline]
#[must_use]
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// `values` in whole numbers of a scale, of which the largest takes `most`. What is not finite
/// counts as 0.
fn quantised<T: Copy + Default + TryFrom<i32>>(values: &[f32], most: i32) -> ([T; ROW], f32) {
    let largest = values.iter().map(|value| value.abs()).filter(|size| size.is_finite());
    let largest = largest.fold(0.0, f32::max);
    if largest == 0.0 {
        return ([T::default(); ROW], 0.0);
    }
    let scale = largest / most as f32;
    // To the nearest, halves up: `round` is a call where the processor has no instruction for it.
    // The cast cuts off, after a shift that makes all of them positive, and takes NaN alone to 0.
    let shift = most as f32 + 1.0;
    let unit = 1.0 / scale;
    let whole = |value: f32| {
        let shifted = (value * unit + (shift + 0.5)) as i32;
        let is_number = shifted != 0;
        T::try_from(if is_number { shifted - shift as i32 } else { 0 }).unwrap_or_default()
    };
    (std::array::from_fn(|lane| values.get(lane).copied().map_or(T::default(), whole)), scale)
}

/// The inner product in whole numbers: at most 48 * 32,767 * 127, which 32 bits hold. Written so
/// that the compiler multiplies and adds eight pairs in one instruction.
#[inline]
fn dot(left: &[i16; ROW], right: &[i8; ROW]) -> i32 {
    let pairs = left.iter().zip(right);
    pairs.map(|(&left, &right)| i32::from(left) * i32::from(i16::from(right))).sum()
}
