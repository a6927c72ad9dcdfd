//! The model that learns: logistic regression plus a field-weighted factorisation machine.
//!
//! ```text
//! logit = base + b + Σ_f w_f + Σ_{f<g} r_fg <v_f, v_g>
//!       + c[interest] + c[format, interest] + β (prior − base)
//! ```
//! FwFM: Pan et al., "Field-weighted Factorization Machines for Click-Through Rate Prediction in
//! Display Advertising" (WWW 2018). The weights `b`, `w`, `c` learn by FTRL-Proximal (McMahan et
//! al., "Ad Click Prediction: a View from the Trenches", KDD 2013), the vectors `v`, the field
//! matrix `r` and `β` by AdaGrad (Duchi, Hazan, Singer, JMLR 2011): one pass, one example at a
//! time. `base` is the logit of the configured base rate, so that at the start `β = 1` makes the
//! prior itself the prediction.
//!
//! The pairs inside an ad keep `r = 1`: a creative decides its own campaign, advertiser, category
//! and shape, so their weight adds nothing that `w` and `v` cannot say, and an ad's row then
//! depends on its own features alone. Otherwise each click would change every row.

use super::config::Config;
use super::features::{
    AD_FIELDS, CONTEXT_FIELDS, ContextFeatures, Cross, FIELDS, FORMATS, INTEREST_BUCKETS,
    SlotFormat,
};
use super::score::sigmoid;
use super::tables::Touched;
use ndarray::Array2;
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Components of a factor vector. 8 is two SSE registers; 16 gained 0.006 of AUC on dense data
/// (Frappe) and nothing on sparse data, for twice the row.
pub const DIM: usize = 8;
/// A factor vector.
pub(super) type Vector = [f32; DIM];

/// Weights beyond ±8 say nothing a logit can use; the bound keeps a bad learning rate from
/// reaching infinity, and so NaN out of every bid.
const WEIGHT_ABS_MAX: f32 = 8.0;
/// The first value of each entry of the field matrix: a plain factorisation machine.
const FIELD_INIT: f32 = 1.0;
/// AdaGrad's first accumulator of the field matrix and of the prior's coefficient.
const SHARED_ACCUMULATOR: f32 = 1.0;
/// A prior may be distrusted (0) or sharpened (2), never inverted.
const PRIOR_WEIGHT_MAX: f32 = 2.0;

/// The four constants of FTRL-Proximal.
#[derive(Clone, Copy)]
pub(super) struct FtrlRates {
    alpha: f32,
    beta: f32,
    l1: f32,
    l2: f32,
}

/// One FTRL-Proximal weight: its state `z` and accumulator `n` side by side, since whoever needs
/// one needs both (apart, they cost fwumious_wabbit half of its speed). Zero at first.
#[derive(Clone, Copy, Default)]
pub(super) struct FtrlWeight {
    z: f32,
    n: f32,
}

impl FtrlWeight {
    /// The weight that the state stands for (McMahan et al. 2013, algorithm 1).
    #[inline]
    pub(super) fn value(self, rates: FtrlRates) -> f32 {
        let beyond = self.z.abs() - rates.l1;
        if beyond <= 0.0 {
            return 0.0;
        }
        -beyond.copysign(self.z) / ((rates.beta + self.n.sqrt()) / rates.alpha + rates.l2)
    }

    /// One step against `gradient`.
    #[inline]
    fn step(&mut self, gradient: f32, rates: FtrlRates) {
        let squared = gradient * gradient;
        let sigma = ((self.n + squared).sqrt() - self.n.sqrt()) / rates.alpha;
        self.z += gradient - sigma * self.value(rates);
        self.n += squared;
    }
}

/// A factor vector and its AdaGrad accumulators: one cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct VectorSlot {
    vector: Vector,
    accumulator: Vector,
}
const _: () = assert!(size_of::<VectorSlot>() == 64);

/// What the model needs of one shown ad.
#[derive(Clone, Copy)]
pub(super) struct Sample<'a> {
    pub(super) context: &'a ContextFeatures,
    pub(super) ad: &'a [u32; AD_FIELDS],
    pub(super) cross: Cross,
}

/// The weights and their accumulators. One writer: the learner.
pub(super) struct Fwfm {
    base_logit: f32,
    rates: FtrlRates,
    vector_rate: f32,
    field_rate: f32,
    prior_rate: f32,
    bias: FtrlWeight,
    linear: Vec<FtrlWeight>,
    vectors: Vec<VectorSlot>,
    /// Symmetric; the diagonal is unused.
    field_weights: Array2<f32>,
    field_accumulators: Array2<f32>,
    interest: [FtrlWeight; INTEREST_BUCKETS],
    format_interest: [[FtrlWeight; INTEREST_BUCKETS]; FORMATS],
    prior_weight: f32,
    prior_accumulator: f32,
    /// Which linear weights changed since the last publication.
    pub(super) touched_linear: Touched,
    /// Which vectors changed since the last publication.
    pub(super) touched_vectors: Touched,
}

impl Fwfm {
    /// A model that knows nothing, with vectors drawn from `config.seed`.
    pub(super) fn new(config: &Config) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        let init = config.vector_init;
        let (linear_len, vector_len) = (1 << config.linear_bits, 1 << config.vector_bits);
        let mut draw = || init * (2.0 * random.random::<f32>() - 1.0);
        let vectors = (0..vector_len).map(|_| VectorSlot {
            vector: std::array::from_fn(|_| draw()),
            accumulator: [config.vector_accumulator; DIM],
        });
        Self {
            base_logit: config.base_logit(),
            rates: FtrlRates {
                alpha: config.linear_rate,
                beta: config.linear_beta,
                l1: config.linear_l1,
                l2: config.linear_l2,
            },
            vector_rate: config.vector_rate,
            field_rate: config.field_rate,
            prior_rate: config.prior_rate,
            bias: FtrlWeight::default(),
            linear: vec![FtrlWeight::default(); linear_len],
            vectors: vectors.collect(),
            field_weights: Array2::from_elem((FIELDS, FIELDS), FIELD_INIT),
            field_accumulators: Array2::from_elem((FIELDS, FIELDS), SHARED_ACCUMULATOR),
            interest: Default::default(),
            format_interest: Default::default(),
            prior_weight: 1.0,
            prior_accumulator: SHARED_ACCUMULATOR,
            touched_linear: Touched::none(linear_len),
            touched_vectors: Touched::none(vector_len),
        }
    }

    /// The full sum as written above, term by term. Serving never calls it; its snapshots must
    /// agree with it.
    #[cfg(test)]
    pub(super) fn logit(&self, sample: Sample<'_>) -> f32 {
        let ids = field_ids(sample);
        let vectors = ids.map(|id| self.vector(self.vector_index(id)));
        let mut logit = self.without_pairs(sample, &ids);
        for first in 0..FIELDS {
            for second in first + 1..FIELDS {
                let weight = self.field_weights[(first, second)];
                logit += weight * inner(&vectors[first], &vectors[second]);
            }
        }
        logit
    }

    /// Learns from one outcome; returns the probability predicted before.
    pub(super) fn learn(&mut self, sample: Sample<'_>, is_clicked: bool) -> f32 {
        let ids = field_ids(sample);
        let indexes = ids.map(|id| self.vector_index(id));
        let vectors = indexes.map(|index| self.vector(index));
        // pulls[f] = Σ_{g≠f} r_fg v_g is both the gradient of the logit by v_f and, dotted with
        // v_f, twice f's share of the pairs.
        let pulls = self.pulls(&vectors);
        let pairs: f32 = (0..FIELDS).map(|f| inner(&vectors[f], &pulls[f])).sum();
        let predicted = sigmoid(self.without_pairs(sample, &ids) + pairs / 2.0);
        let gradient = predicted - if is_clicked { 1.0 } else { 0.0 };

        self.learn_field_weights(&vectors, gradient);
        for (field, &index) in indexes.iter().enumerate() {
            let slot = &mut self.vectors[index];
            for (component, pull) in pulls[field].iter().enumerate() {
                adagrad(
                    &mut slot.vector[component],
                    &mut slot.accumulator[component],
                    gradient * pull,
                    self.vector_rate,
                );
            }
            self.touched_vectors.mark(index);
        }
        for id in ids {
            let index = self.linear_index(id);
            self.linear[index].step(gradient, self.rates);
            self.touched_linear.mark(index);
        }
        self.learn_rest(sample, gradient);
        predicted
    }

    fn pulls(&self, vectors: &[Vector; FIELDS]) -> [Vector; FIELDS] {
        let mut pulls = [[0.0; DIM]; FIELDS];
        for (field, (pull, weights)) in pulls.iter_mut().zip(self.field_weights.rows()).enumerate()
        {
            for (other, (vector, &weight)) in vectors.iter().zip(weights).enumerate() {
                if other != field {
                    add_scaled(pull, weight, vector);
                }
            }
        }
        pulls
    }

    fn learn_field_weights(&mut self, vectors: &[Vector; FIELDS], gradient: f32) {
        // Pairs inside the ad stay as they are: see the head of this file.
        for first in 0..CONTEXT_FIELDS {
            for second in first + 1..FIELDS {
                let pair = (first, second);
                let mut weight = self.field_weights[pair];
                adagrad(
                    &mut weight,
                    &mut self.field_accumulators[pair],
                    gradient * inner(&vectors[first], &vectors[second]),
                    self.field_rate,
                );
                self.field_weights[pair] = weight;
                self.field_weights[(second, first)] = weight;
            }
        }
    }

    fn learn_rest(&mut self, sample: Sample<'_>, gradient: f32) {
        let bucket = sample.cross.interest_bucket();
        let rates = self.dense_rates();
        self.bias.step(gradient, rates);
        self.interest[bucket].step(gradient, rates);
        self.format_interest[sample.context.format as usize][bucket].step(gradient, rates);
        let prior_gradient = gradient * sample.cross.prior_offset(self.base_logit);
        let (weight, accumulator) = (&mut self.prior_weight, &mut self.prior_accumulator);
        adagrad(weight, accumulator, prior_gradient, self.prior_rate);
        *weight = weight.clamp(0.0, PRIOR_WEIGHT_MAX);
    }

    /// All terms but the pairs.
    fn without_pairs(&self, sample: Sample<'_>, ids: &[u32; FIELDS]) -> f32 {
        let linear: f32 = ids.iter().map(|&id| self.linear(self.linear_index(id))).sum();
        let cross = self.interest_weights(sample.context.format)[sample.cross.interest_bucket()];
        let prior = self.prior_weight * sample.cross.prior_offset(self.base_logit);
        self.base_logit + self.bias() + linear + cross + prior
    }

    /// Bias and crosses see every example and stay dense: no sparsity is wanted of them.
    fn dense_rates(&self) -> FtrlRates {
        FtrlRates { l1: 0.0, l2: 0.0, ..self.rates }
    }

    /// The weight of each strength of interest in a slot of this format.
    pub(super) fn interest_weights(&self, format: SlotFormat) -> [f32; INTEREST_BUCKETS] {
        let rates = self.dense_rates();
        let in_format = &self.format_interest[format as usize];
        std::array::from_fn(|bucket| {
            self.interest[bucket].value(rates) + in_format[bucket].value(rates)
        })
    }

    /// The bias.
    pub(super) fn bias(&self) -> f32 {
        self.bias.value(self.dense_rates())
    }

    /// The logit of the configured base rate.
    pub(super) const fn base_logit(&self) -> f32 {
        self.base_logit
    }

    /// The coefficient of the prior.
    pub(super) const fn prior_weight(&self) -> f32 {
        self.prior_weight
    }

    /// The field matrix.
    pub(super) const fn field_weights(&self) -> &Array2<f32> {
        &self.field_weights
    }

    /// How many linear weights there are, a power of two.
    pub(super) fn linear_len(&self) -> usize {
        self.linear.len()
    }

    /// How many vectors there are, a power of two.
    pub(super) fn vector_len(&self) -> usize {
        self.vectors.len()
    }

    /// The linear weight at `index`.
    pub(super) fn linear(&self, index: usize) -> f32 {
        self.linear[index].value(self.rates)
    }

    /// The vector at `index`.
    pub(super) fn vector(&self, index: usize) -> Vector {
        self.vectors[index].vector
    }

    /// Where this feature's linear weight is.
    pub(super) fn linear_index(&self, id: u32) -> usize {
        id as usize & (self.linear.len() - 1)
    }

    /// Where this feature's vector is.
    pub(super) fn vector_index(&self, id: u32) -> usize {
        id as usize & (self.vectors.len() - 1)
    }
}

/// The ids of all fields: the context's, then the ad's.
fn field_ids(sample: Sample<'_>) -> [u32; FIELDS] {
    let mut ids = [0; FIELDS];
    ids[..CONTEXT_FIELDS].copy_from_slice(&sample.context.ids);
    ids[CONTEXT_FIELDS..].copy_from_slice(sample.ad);
    ids
}

/// The inner product of two vectors.
#[inline]
pub(super) fn inner(left: &Vector, right: &Vector) -> f32 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}

/// `into += weight * vector`.
#[inline]
pub(super) fn add_scaled(into: &mut Vector, weight: f32, vector: &Vector) {
    for (sum, component) in into.iter_mut().zip(vector) {
        *sum += weight * component;
    }
}

/// One AdaGrad step (Duchi et al. 2011, diagonal form).
#[inline]
fn adagrad(weight: &mut f32, accumulator: &mut f32, gradient: f32, rate: f32) {
    *accumulator += gradient * gradient;
    *weight =
        (*weight - rate * gradient / accumulator.sqrt()).clamp(-WEIGHT_ABS_MAX, WEIGHT_ABS_MAX);
}
