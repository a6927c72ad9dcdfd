//! Scoring: what the bid path reads, and the arithmetic of one candidate.
//!
//! In the FwFM sum an ad meets the request only through `Σ_g <Σ_c r_cg v_c, v_g>`. So the request
//! is reduced once to `S_C` (its own terms) and `U` (one vector per ad field, `Σ_c r_cg v_c`), an
//! ad keeps `s_a` (its own terms) and `Q_a` (its vectors, side by side), and
//!
//! ```text
//! logit = S_C + s_a + <U, Q_a> + c[interest] + Σ c[relevance] + β (prior − base)
//! ```
//! is the same sum in 48 multiplications instead of 2,024 (96 instead of 4,048 with vectors of 16
//! components). The vectors of an ad are kept in 8 bits a component, scaled by the largest, so that all
//! of an ad is one cache line (two): at a few hundred candidates a request, lines are what a score costs. A component is off by at most 1/254 of the
//! ad's largest, which moves a logit by some thousandths; the sum itself is in integers, and so the
//! same on every machine.

use super::bound::{BOUND_CHUNK, Bound, Ceiling};
use super::calibration::{Calibration, ExchangeCalibration};
use super::features::{
    AD_FIELDS, AdIds, CONTEXT_FIELDS, ContextFeatures, Cross, FIELDS, FORMATS, INTEREST_BUCKETS,
    valued,
};
use super::row::{DIM_MAX, Lanes, Portable, quantise};
use super::served::{Factors, ROW_CHUNK, Served};
use super::strength::{FAMILIES, STRENGTHS};
use super::tables::Chunked;
use crate::units::Slot;
use pulp::Arch;
use std::sync::Arc;

/// Linear weights a chunk: 4 kB, one page to copy.
pub(super) const LINEAR_CHUNK: usize = 1024;

/// One request, reduced. Reused from request to request; holds no heap memory.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct ScoreScratch {
    /// `U`, in units of `scale`; zeros behind it where vectors have 8 components.
    pulls: [i16; AD_FIELDS * DIM_MAX],
    scale: f32,
    /// How long the vectors in `pulls` are at most, field by field.
    lengths: [f32; AD_FIELDS],
    /// `c[interest]` for this request's format.
    interest: [f32; INTEREST_BUCKETS],
    /// `S_C`.
    context: f32,
}

impl Default for ScoreScratch {
    fn default() -> Self {
        Self {
            pulls: [0; _],
            scale: 0.0,
            lengths: [0.0; AD_FIELDS],
            interest: [0.0; INTEREST_BUCKETS],
            context: 0.0,
        }
    }
}

/// The largest of some weights.
fn max_of(weights: &[f32]) -> f32 {
    weights.iter().copied().fold(f32::NEG_INFINITY, f32::max)
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
    /// By context field, then by any field.
    pub(super) field_weights: [[f32; FIELDS]; CONTEXT_FIELDS],
    pub(super) linear: Chunked<f32, LINEAR_CHUNK>,
    pub(super) served: Served,
    /// By ad slot, apart from the rows: one look a bid, not one a candidate.
    pub(super) ids: Chunked<AdIds, ROW_CHUNK>,
    /// By ad slot, of its campaign.
    pub(super) bounds: Chunked<Bound, BOUND_CHUNK>,
    /// The epoch of the catalog whose ads have rows.
    pub(super) catalog: Option<u64>,
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

    /// Asks for what [`ModelSnapshot::prepare`] will read: a request's features lie all over tables
    /// that no cache holds.
    pub fn prefetch_request(&self, context: &ContextFeatures) {
        match &self.served {
            Served::Eight(factors) => factors.prefetch_context(context),
            Served::Sixteen(factors) => factors.prefetch_context(context),
        }
        context.ids.iter().for_each(|id| self.linear.prefetch(self.linear_place(*id)));
    }

    /// Reduces a request, once. What was in `scratch` before does not matter.
    pub fn prepare(&self, context: &ContextFeatures, scratch: &mut ScoreScratch) {
        self.prepare_by(Arch::new(), context, scratch);
    }

    /// [`ModelSnapshot::prepare`] by one of the processor's instruction sets. All of them round each
    /// operation alike and do them in one order, so the results are the same to the bit.
    pub fn prepare_by(&self, arch: Arch, context: &ContextFeatures, scratch: &mut ScoreScratch) {
        match &self.served {
            Served::Eight(factors) => self.reduce(arch, factors, context, scratch),
            Served::Sixteen(factors) => self.reduce(arch, factors, context, scratch),
        }
        let linear = context.ids.iter().map(|&id| self.linear(id));
        scratch.context += self.base_logit + self.bias + linear.sum::<f32>();
        scratch.interest = self.interest[context.format as usize];
    }

    fn reduce<const K: usize>(
        &self,
        arch: Arch,
        factors: &Factors<K>,
        context: &ContextFeatures,
        scratch: &mut ScoreScratch,
    ) {
        let vectors = factors.context_vectors(context);
        let vectors = &vectors;
        match arch {
            #[cfg(target_arch = "x86_64")]
            Arch::V3(by) => {
                let prepare = Prepare { by, snapshot: self, vectors, scratch };
                pulp::Simd::vectorize(by, prepare);
            }
            _ => pulp::NullaryFnOnce::call(Prepare {
                by: Portable,
                snapshot: self,
                vectors,
                scratch,
            }),
        }
        let ScoreScratch { pulls, scale, lengths, .. } = scratch;
        for (length, pull) in lengths.iter_mut().zip(pulls.as_chunks::<K>().0) {
            let squares = pull.iter().map(|pull| f32::from(*pull) * f32::from(*pull));
            *length = squares.sum::<f32>().sqrt() * *scale;
        }
    }

    /// The logits of showing each of `asked`, one to one, in `logits`, whose earlier contents do not
    /// matter: [`ModelSnapshot::logit`] of each, by the widest instructions that the processor has.
    pub fn logits(&self, requests: &[ScoreScratch], asked: &[Asked], logits: &mut Vec<f32>) {
        self.logits_by(Arch::new(), requests, asked, logits);
    }

    /// [`ModelSnapshot::logits`] by one of the processor's instruction sets: the products are in
    /// whole numbers, and so the same by each.
    pub fn logits_by(
        &self,
        arch: Arch,
        requests: &[ScoreScratch],
        asked: &[Asked],
        logits: &mut Vec<f32>,
    ) {
        logits.clear();
        logits.reserve(asked.len());
        match &self.served {
            Served::Eight(factors) => self.score(arch, factors, requests, asked, logits),
            Served::Sixteen(factors) => self.score(arch, factors, requests, asked, logits),
        }
    }

    fn score<const K: usize>(
        &self,
        arch: Arch,
        factors: &Factors<K>,
        requests: &[ScoreScratch],
        asked: &[Asked],
        logits: &mut Vec<f32>,
    ) {
        // One call a batch: a call for each product costs what the wider instructions save.
        match arch {
            #[cfg(target_arch = "x86_64")]
            Arch::V3(by) => {
                let score = Score { by, snapshot: self, factors, requests, asked, logits };
                pulp::Simd::vectorize(by, score);
            }
            _ => pulp::NullaryFnOnce::call(Score {
                by: Portable,
                snapshot: self,
                factors,
                requests,
                asked,
                logits,
            }),
        }
    }

    /// The logit of showing the ad in slot `ad` for the prepared request. An ad that this snapshot
    /// does not know scores as the request, the interest and the prior alone.
    #[inline]
    #[must_use]
    pub fn logit(&self, scratch: &ScoreScratch, ad: Slot, cross: Cross) -> f32 {
        match &self.served {
            Served::Eight(factors) => self.logit_of(Portable, factors, scratch, ad, cross),
            Served::Sixteen(factors) => self.logit_of(Portable, factors, scratch, ad, cross),
        }
    }

    #[inline(always)]
    fn logit_of<const K: usize>(
        &self,
        by: impl Lanes,
        factors: &Factors<K>,
        scratch: &ScoreScratch,
        ad: Slot,
        cross: Cross,
    ) -> f32 {
        let neutral = scratch.context
            + scratch.interest[cross.interest_bucket()]
            + self.relevance_of(cross).iter().sum::<f32>()
            + self.prior_weight * cross.prior_offset(self.base_logit);
        match factors.row(ad) {
            Some(row) => {
                let pulls = &scratch.pulls[..AD_FIELDS * K];
                let product = by.dot(pulls, row.vectors.as_flattened()) as f32;
                neutral + row.own.logit + product * (scratch.scale * row.own.scale)
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

    /// What no ad scores above for any of the prepared requests, but for what is the ad's own.
    #[must_use]
    pub fn ceiling(&self, requests: &[ScoreScratch]) -> Ceiling {
        let none = Ceiling { context: f32::NEG_INFINITY, lengths: [0.0; AD_FIELDS] };
        let relevance = self.relevance.iter().map(|family| max_of(family)).sum::<f32>();
        requests.iter().fold(none, |most, request| Ceiling {
            context: most.context.max(request.context + max_of(&request.interest) + relevance),
            lengths: std::array::from_fn(|g| most.lengths[g].max(request.lengths[g])),
        })
    }

    /// The bound of the campaign to which the ad at slot index `ad` belongs.
    ///
    /// It holds for the ads of the catalog that [`ModelSnapshot::catalog`] names, and no other.
    #[must_use]
    pub fn bound(&self, ad: u32) -> Bound {
        self.bounds.get(ad as usize).copied().unwrap_or(Bound::UNKNOWN)
    }

    /// A number that no logit of the ads of this bound exceeds, by more than rounding (1e-4), with a
    /// prior of at most `prior_logit`. Infinite where one of them has no row.
    #[inline]
    #[must_use]
    pub fn logit_bound(&self, ceiling: &Ceiling, bound: &Bound, prior_logit: f32) -> f32 {
        let prior = Cross::without_interest(prior_logit).prior_offset(self.base_logit);
        ceiling.context + self.prior_weight * prior + bound.most(&ceiling.lengths)
    }

    /// The epoch of the catalog whose ads this snapshot knows, if anybody said it.
    #[must_use]
    pub const fn catalog(&self) -> Option<u64> {
        self.catalog
    }

    /// Asks for what [`ModelSnapshot::logit`] will read of the ad in slot `ad`.
    #[inline]
    pub fn prefetch(&self, ad: Slot) {
        match &self.served {
            Served::Eight(factors) => factors.prefetch(ad),
            Served::Sixteen(factors) => factors.prefetch(ad),
        }
    }

    /// How many shows the ad at this slot index is known by, where clicks have the probability `p`:
    /// more or less what the model learned from, of a model that is calibrated.
    #[must_use]
    pub fn shows_known(&self, index: u32, p: f64) -> f64 {
        self.served.own(index as usize).map_or(0.0, |own| own.evidence.shows(p))
    }

    /// The feature ids of the ad in slot `ad`, for the example to learn from; `None` for an ad that
    /// this snapshot does not know.
    #[must_use]
    pub fn ad_ids(&self, ad: Slot) -> Option<AdIds> {
        let index = ad.index as usize;
        let is_known = self.served.own(index).is_some_and(|own| own.is_of(ad));
        self.ids.get(index).filter(|_| is_known).copied()
    }

    /// Asks for what [`ModelSnapshot::ad_ids`] reads of the ad at a slot index beside its row.
    pub fn prefetch_ids(&self, ad: u32) {
        self.ids.prefetch(ad as usize);
    }

    /// How many ads have a row.
    #[must_use]
    pub fn ads(&self) -> usize {
        let rows = (0..self.served.places()).filter_map(|index| self.served.own(index));
        rows.filter(|own| own.is_present).count()
    }

    /// The most that keeping both sides in whole numbers may move the logit of this ad.
    #[cfg(test)]
    pub(super) fn rounding_max(&self, scratch: &ScoreScratch, ad: Slot) -> f32 {
        let sizes = |(pull, own): (&i16, &i8)| {
            let (pull, own) = (f32::from(pull.abs()), f32::from(own.abs()));
            (pull + own) / 2.0 + 0.25
        };
        let (own, scale) = self.lanes(ad);
        let units = scratch.pulls.iter().zip(&own).map(sizes).sum::<f32>();
        units * scratch.scale * scale
    }

    /// The most that the product of this ad could be, were each component as large as the largest.
    #[cfg(test)]
    pub(super) fn product_max(&self, scratch: &ScoreScratch, ad: Slot) -> f32 {
        let (own, scale) = self.lanes(ad);
        let pull = scratch.pulls.iter().map(|pull| pull.unsigned_abs()).max();
        let most = own.iter().map(|own| own.unsigned_abs()).max();
        let units = f32::from(pull.unwrap_or(0)) * f32::from(most.unwrap_or(0)) * own.len() as f32;
        units * scratch.scale * scale
    }

    /// The whole numbers of an ad's row, and their unit.
    #[cfg(test)]
    fn lanes(&self, ad: Slot) -> (Vec<i8>, f32) {
        let lanes = match &self.served {
            Served::Eight(factors) => factors.row(ad).map(|row| row.vectors.as_flattened()),
            Served::Sixteen(factors) => factors.row(ad).map(|row| row.vectors.as_flattened()),
        };
        let scale = self.served.own(ad.index as usize).map_or(0.0, |own| own.scale);
        (lanes.unwrap_or_default().to_vec(), scale)
    }

    /// The linear weight of each of an ad's fields.
    pub(super) fn ad_linear(&self, ids: &AdIds) -> [f32; AD_FIELDS] {
        let mut linear = [0.0; AD_FIELDS];
        valued(ids).for_each(|(field, id, value)| linear[field] += value * self.linear(id));
        linear
    }

    pub(super) fn linear(&self, id: u32) -> f32 {
        self.linear.get(self.linear_place(id)).copied().unwrap_or_default()
    }

    fn linear_place(&self, id: u32) -> usize {
        id as usize & (self.linear.len() - 1)
    }
}

/// One ad that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Which of the prepared requests it is to answer.
    pub request: u16,
    /// The ad's slot.
    pub ad: Slot,
    /// What is known of it and the user together.
    pub cross: Cross,
}

/// How far ahead rows are asked for: some twelve lines are under way at once, and no more than that
/// waits in the core's buffers.
const AHEAD: usize = 12;

/// [`ModelSnapshot::logits`], compiled once for each instruction set and size of vectors.
struct Score<'a, L, const K: usize> {
    by: L,
    snapshot: &'a ModelSnapshot,
    factors: &'a Factors<K>,
    requests: &'a [ScoreScratch],
    asked: &'a [Asked],
    logits: &'a mut Vec<f32>,
}

impl<L: Lanes, const K: usize> pulp::NullaryFnOnce for Score<'_, L, K> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { by, snapshot, factors, requests, asked, logits } = self;
        for one in asked.iter().take(AHEAD) {
            factors.prefetch(one.ad);
        }
        for (number, one) in asked.iter().enumerate() {
            if let Some(later) = asked.get(number + AHEAD) {
                factors.prefetch(later.ad);
            }
            // No closures here: what the compiler does not inline loses the instruction set.
            logits.push(match requests.get(usize::from(one.request)) {
                Some(scratch) => snapshot.logit_of(by, factors, scratch, one.ad, one.cross),
                None => snapshot.base_logit,
            });
        }
    }
}

/// The part of [`ModelSnapshot::prepare`] that multiplies, compiled once for each instruction set and
/// size of vectors.
struct Prepare<'a, L, const K: usize> {
    by: L,
    snapshot: &'a ModelSnapshot,
    vectors: &'a [[f32; K]; CONTEXT_FIELDS],
    scratch: &'a mut ScoreScratch,
}

impl<L: Lanes, const K: usize> pulp::NullaryFnOnce for Prepare<'_, L, K> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { by, snapshot, vectors, scratch } = self;
        // Lane by lane, and summed at the end: sums within a vector would wait for each other.
        let mut pairs = [0.0; K];
        let mut pulls = [[0.0; K]; AD_FIELDS];
        for (field, vector) in vectors.iter().enumerate() {
            let weights = &snapshot.field_weights[field];
            let mut before = [0.0; K];
            for (&weight, other) in weights.iter().zip(&vectors[..field]) {
                by.add_scaled(&mut before, weight, other);
            }
            for ((sum, before), component) in pairs.iter_mut().zip(before).zip(vector) {
                *sum += before * component;
            }
            for (&weight, pull) in weights[CONTEXT_FIELDS..].iter().zip(&mut pulls) {
                by.add_scaled(pull, weight, vector);
            }
        }
        scratch.context = pairs.iter().sum();
        let whole = &mut scratch.pulls[..AD_FIELDS * K];
        scratch.scale = quantise(pulls.as_flattened(), i16::MAX.into(), whole);
    }
}

/// The probability of a logit. NaN stays NaN; ±infinity is 1 or 0.
#[inline]
#[must_use]
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}
