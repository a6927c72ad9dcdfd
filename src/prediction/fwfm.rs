//! The model that learns: logistic regression plus a field-weighted factorisation machine.
//!
//! ```text
//! logit = base + b + Σ_i x_i w_i + Σ_d c_d + Σ_{f<g} r_fg <s_f, s_g> + β prior_offset
//! s_f   = Σ_{i in f} x_i v_i
//! ```
//! over features `i` with values `x_i` in fields `f`, active dense weights `d`, and a prior.
//! FwFM: Pan et al., "Field-weighted Factorization Machines for Click-Through Rate Prediction in
//! Display Advertising" (WWW 2018). It learns in one pass, one example at a time, by one of two rules:
//! the weights `b`, `w`, `c` by FTRL-Proximal, the vectors `v`, the field matrix `r` and `β` by
//! AdaGrad; or all of them as means with variances ([`super::gaussian`]). `base` is the logit of the
//! configured base rate, so that at the start `β = 1` makes the prior itself the prediction.
//!
//! Features are hashed: two that fall on one slot share what is learned there. Linear weights and
//! vectors are masked apart, so two that share a vector seldom share a weight. With n live features
//! in m slots, a share of about n/m of them has company; more bits, the admission filter and the
//! forgetting of old features keep that small.

use super::admission::Admission;
use super::ages::{Ages, hour_of};
use super::config::{Error, FwfmConfig, Rule};
use super::gaussian::Correction;
use super::linear::{Weight, WeightRule};
use super::pairs::FieldPairs;
use super::sample::{Feature, Sample, bearable};
use super::score::sigmoid;
use super::tables::Touched;
use super::vectors::{VectorRates, VectorSlot, adagrad, add_scaled, inner, weighted_squares};
use crate::units::Timestamp;
use ndarray::Array2;
use pulp::NullaryFnOnce;

/// AdaGrad's first accumulator of the field matrix and of the prior's coefficient.
const SHARED_ACCUMULATOR: f32 = 1.0;
/// A prior may be distrusted (0) or sharpened (2), never inverted.
pub(super) const PRIOR_WEIGHT_MAX: f32 = 2.0;
/// Sums or pulls of all fields.
type Sums<const K: usize> = [[f32; K]; FwfmConfig::FIELDS_MAX];

/// The weights and their accumulators. One writer.
pub struct Fwfm {
    pub(super) state: State,
    pub(super) vectors: Vectors,
}

/// Factor vectors of one of the two sizes.
pub(super) enum Vectors {
    Eight(Vec<VectorSlot<8>>),
    Sixteen(Vec<VectorSlot<16>>),
}

/// All but the vectors.
pub(super) struct State {
    pub(super) config: FwfmConfig,
    arch: pulp::Arch,
    base_logit: f32,
    /// By how much the logit is higher among the examples that are seen.
    shift: f32,
    pub(super) rule: WeightRule,
    pub(super) dense_rule: WeightRule,
    vector_rates: VectorRates,
    pub(super) bias: Weight,
    pub(super) linear: Vec<Weight>,
    pub(super) dense: Vec<Weight>,
    pub(super) pairs: FieldPairs,
    pub(super) prior_weight: f32,
    pub(super) prior_spread: f32,
    pub(super) admission: Option<Admission>,
    /// Of the linear weights and of the vectors, if anything is ever forgotten.
    pub(super) ages: Option<[Ages; 2]>,
    pub(super) hour: i64,
    /// The inner products of an example's pairs, from its prediction to its step.
    dots: Vec<f32>,
    touched_linear: Touched,
    touched_vectors: Touched,
}

impl Fwfm {
    /// A model that knows nothing.
    ///
    /// # Errors
    /// When a setting lies outside its range.
    pub fn new(config: &FwfmConfig) -> Result<Self, Error> {
        config.validate()?;
        let (linear_len, vector_len) = (1 << config.linear_bits, 1 << config.vector_bits);
        let rates = config.rates;
        let is_gaussian = rates.rule == Rule::Gaussian;
        let spread = |variance, accumulator| if is_gaussian { variance } else { accumulator };
        let pair_spread = spread(rates.field_variance, SHARED_ACCUMULATOR);
        let pairs =
            FieldPairs::new(config.fields, config.frozen_from, rates.field_init, pair_spread);
        let ages = || [Ages::new(linear_len), Ages::new(vector_len)];
        let rule = WeightRule::of(&rates);
        let state = State {
            config: *config,
            arch: pulp::Arch::new(),
            base_logit: config.base_logit(),
            shift: -config.negative_rate.ln() as f32,
            rule,
            dense_rule: rule.dense(rates.dense_variance),
            vector_rates: VectorRates {
                rate: (!is_gaussian).then_some(rates.vector_rate),
                spread: spread(rates.vector_variance, rates.vector_accumulator),
                init: rates.vector_init,
                seed: config.seed,
            },
            bias: Weight::default(),
            linear: vec![Weight::default(); linear_len],
            dense: vec![Weight::default(); config.dense],
            dots: vec![0.0; pairs.len()],
            pairs,
            prior_weight: 1.0,
            prior_spread: spread(rates.prior_variance, SHARED_ACCUMULATOR),
            admission: Admission::new(config.admission, config.linear_bits, config.seed),
            ages: (config.ttl_hours > 0).then(ages),
            hour: 0,
            touched_linear: Touched::none(linear_len),
            touched_vectors: Touched::none(vector_len),
        };
        let vectors = match config.dim {
            8 => Vectors::Eight(vec![VectorSlot::EMPTY; vector_len]),
            _ => Vectors::Sixteen(vec![VectorSlot::EMPTY; vector_len]),
        };
        Ok(Self { state, vectors })
    }

    /// The full sum as written above.
    #[must_use]
    pub fn logit(&self, sample: &Sample<'_>) -> f32 {
        match &self.vectors {
            Vectors::Eight(slots) => self.state.logit(slots, sample),
            Vectors::Sixteen(slots) => self.state.logit(slots, sample),
        }
    }

    /// Learns from one outcome; returns the probability predicted before. `weight` scales the
    /// gradient: above 1 for what stands for several, below 0 to take back an outcome that was
    /// learned too early. Beyond ±1e3 it counts as that, and no number as 0.
    pub fn learn(&mut self, sample: &Sample<'_>, label: bool, weight: f32) -> f32 {
        let (arch, state) = (self.state.arch, &mut self.state);
        match &mut self.vectors {
            Vectors::Eight(slots) => arch.dispatch(Learn { state, slots, sample, label, weight }),
            Vectors::Sixteen(slots) => arch.dispatch(Learn { state, slots, sample, label, weight }),
        }
    }

    /// The probability `predicted` among the examples that are seen.
    pub(super) fn among_seen(&self, predicted: f32) -> f32 {
        let negatives = (1.0 - predicted) * self.state.config.negative_rate as f32;
        predicted / (predicted + negatives).max(f32::MIN_POSITIVE)
    }

    /// Time has come to `now` (it never goes back): forgets some of what is too old, a bounded
    /// slice of the tables at each call.
    pub fn advance(&mut self, now: Timestamp) {
        let state = &mut self.state;
        state.hour = state.hour.max(hour_of(now.0));
        let Some([linear, vectors]) = &mut state.ages else { return };
        let ttl_hours = state.config.ttl_hours;
        for index in linear.sweep(state.hour, ttl_hours) {
            if !state.linear[index].is_empty() {
                state.linear[index] = Weight::default();
                state.touched_linear.mark(index);
            }
        }
        for index in vectors.sweep(state.hour, ttl_hours) {
            if self.vectors.forget(index) {
                state.touched_vectors.mark(index);
            }
        }
    }

    /// What it is made of.
    #[must_use]
    pub const fn config(&self) -> &FwfmConfig {
        &self.state.config
    }

    /// The logit of the configured base rate.
    #[must_use]
    pub const fn base_logit(&self) -> f32 {
        self.state.base_logit
    }

    /// The bias.
    pub(super) fn bias(&self) -> f32 {
        self.state.bias.value(self.state.dense_rule)
    }

    /// The coefficient of the prior.
    pub(super) const fn prior_weight(&self) -> f32 {
        self.state.prior_weight
    }

    /// The field matrix: symmetric, 0 on its diagonal.
    pub(super) fn field_weights(&self) -> Array2<f32> {
        self.state.pairs.matrix()
    }

    /// How many linear weights there are, a power of two.
    pub(super) fn linear_len(&self) -> usize {
        self.state.linear.len()
    }

    /// How many vectors there are, a power of two.
    pub(super) fn vector_len(&self) -> usize {
        1 << self.state.config.vector_bits
    }

    /// The sum of squared gradients of the linear weight at `index`.
    pub(super) fn linear_squares(&self, index: usize) -> f32 {
        self.state.linear[index].squares(self.state.rule)
    }

    /// The linear weight at `index`.
    pub(super) fn linear(&self, index: usize) -> f32 {
        self.state.linear[index].value(self.state.rule)
    }

    /// The dense weight at `index`; 0 beyond the end.
    pub(super) fn dense(&self, index: u16) -> f32 {
        let weight = self.state.dense.get(usize::from(index)).copied();
        weight.unwrap_or_default().value(self.state.dense_rule)
    }

    /// The vector at `index`, of 8 or 16 components.
    pub(super) fn vector(&self, index: usize) -> &[f32] {
        match &self.vectors {
            Vectors::Eight(slots) => &slots[index].vector,
            Vectors::Sixteen(slots) => &slots[index].vector,
        }
    }

    /// Where this feature's linear weight is.
    pub(super) fn linear_index(&self, id: u32) -> usize {
        id as usize & (self.linear_len() - 1)
    }

    /// Where this feature's vector is.
    pub(super) fn vector_index(&self, id: u32) -> usize {
        id as usize & (self.vector_len() - 1)
    }

    /// Which linear weights changed since the marks were cleared.
    pub(super) const fn touched_linear(&self) -> &Touched {
        &self.state.touched_linear
    }

    /// Which vectors changed since the marks were cleared.
    pub(super) const fn touched_vectors(&self) -> &Touched {
        &self.state.touched_vectors
    }

    /// Replaces the bias, the dense weights and the linear ones by others, under the Gaussian rule.
    pub(super) fn adopt(&mut self, (bias, dense, linear): (f32, Vec<f32>, Vec<f32>)) {
        let give = |weights: &mut [Weight], given: &[f32]| {
            for (weight, given) in weights.iter_mut().zip(given) {
                *weight = Weight::given(*given);
            }
        };
        self.state.bias = Weight::given(bias);
        give(&mut self.state.dense, &dense);
        give(&mut self.state.linear, &linear);
        self.touch_all();
    }

    /// Forgets what changed.
    pub(super) fn clear_touched(&mut self) {
        self.state.touched_linear.clear();
        self.state.touched_vectors.clear();
    }

    /// Marks everything as changed.
    pub(super) fn touch_all(&mut self) {
        self.state.touched_linear = Touched::all(self.linear_len());
        self.state.touched_vectors = Touched::all(self.vector_len());
    }
}

impl Vectors {
    /// Empties a slot; whether there was anything in it.
    fn forget(&mut self, index: usize) -> bool {
        match self {
            Self::Eight(slots) => forget(&mut slots[index]),
            Self::Sixteen(slots) => forget(&mut slots[index]),
        }
    }
}

fn forget<const K: usize>(slot: &mut VectorSlot<K>) -> bool {
    !std::mem::replace(slot, VectorSlot::EMPTY).is_empty()
}

/// One step of learning, compiled once for each kind of processor.
struct Learn<'a, const K: usize> {
    state: &'a mut State,
    slots: &'a mut [VectorSlot<K>],
    sample: &'a Sample<'a>,
    label: bool,
    weight: f32,
}

impl<const K: usize> NullaryFnOnce for Learn<'_, K> {
    type Output = f32;

    #[inline(always)]
    fn call(self) -> f32 {
        let Self { state, slots, sample, label, weight } = self;
        let sums = state.sums(slots, sample);
        let (pulls, pairs) = state.pulls(&sums);
        let logit = state.without_pairs(sample) + pairs;
        let among_seen = sigmoid(logit + state.shift);
        state.admit(slots, sample);
        let variance = match state.config.rates.rule {
            Rule::Ftrl => 0.0,
            Rule::Gaussian => state.variance(slots, sample, &pulls),
        };
        let correction = Correction::new(among_seen, label, bearable(weight), variance);
        state.step(slots, sample, &pulls, &correction);
        sigmoid(logit)
    }
}

impl State {
    fn logit<const K: usize>(&self, slots: &[VectorSlot<K>], sample: &Sample<'_>) -> f32 {
        let sums = self.sums(slots, sample);
        let (fields, weights) = (self.config.fields, self.pairs.weights());
        let mut weights = weights.iter();
        let mut pairs = 0.0;
        for (first, sum) in sums[..fields].iter().enumerate() {
            let mut pull = [0.0; K];
            for (other, &weight) in sums[first + 1..fields].iter().zip(&mut weights) {
                add_scaled(&mut pull, weight, other);
            }
            pairs += inner(sum, &pull);
        }
        self.without_pairs(sample) + pairs
    }

    /// `s_f` of every field.
    #[inline(always)]
    fn sums<const K: usize>(&self, slots: &[VectorSlot<K>], sample: &Sample<'_>) -> Sums<K> {
        let mut sums = [[0.0; K]; FwfmConfig::FIELDS_MAX];
        let fields = &mut sums[..self.config.fields];
        for feature in sample.features {
            if let Some(sum) = fields.get_mut(usize::from(feature.field)) {
                let slot = &slots[feature.id as usize & (slots.len() - 1)];
                add_scaled(sum, bearable(feature.value), &slot.vector);
            }
        }
        sums
    }

    /// `Σ_{g≠f} r_fg s_g` of every field, which is the gradient of the logit by `s_f`, and the sum
    /// of all pairs. Keeps their inner products for the field matrix's step.
    #[inline(always)]
    fn pulls<const K: usize>(&mut self, sums: &Sums<K>) -> (Sums<K>, f32) {
        let fields = self.config.fields;
        let mut pulls = [[0.0; K]; FwfmConfig::FIELDS_MAX];
        let mut pairs = 0.0;
        let mut terms = self.pairs.weights().iter().zip(&mut self.dots);
        for first in 0..fields {
            let own = sums[first];
            let (head, tail) = pulls.split_at_mut(first + 1);
            let mut pull = head[first];
            let others = sums[first + 1..fields].iter().zip(tail);
            for ((other, other_pull), (&weight, dot)) in others.zip(&mut terms) {
                *dot = inner(&own, other);
                pairs += weight * *dot;
                add_scaled(&mut pull, weight, other);
                add_scaled(other_pull, weight, &own);
            }
            head[first] = pull;
        }
        (pulls, pairs)
    }

    /// All terms but the pairs.
    #[inline(always)]
    fn without_pairs(&self, sample: &Sample<'_>) -> f32 {
        let (mask, dense_rule) = (self.linear.len() - 1, self.dense_rule);
        let mut logit = self.base_logit + self.bias.value(dense_rule);
        for feature in sample.features.iter().filter(|feature| self.has(feature)) {
            let weight = self.linear[feature.id as usize & mask].value(self.rule);
            logit += bearable(feature.value) * weight;
        }
        for weight in sample.dense.iter().filter_map(|&index| self.dense.get(usize::from(index))) {
            logit += weight.value(dense_rule);
        }
        logit + self.prior_weight * bearable(sample.prior_offset)
    }

    /// Counts the features as seen, and begins the vectors of those that may learn from now on.
    #[inline(always)]
    fn admit<const K: usize>(&mut self, slots: &mut [VectorSlot<K>], sample: &Sample<'_>) {
        for feature in sample.features {
            if let Some(admission) = &mut self.admission {
                admission.count(feature.id);
            }
            let index = feature.id as usize & (slots.len() - 1);
            if slots[index].is_empty() && self.learns(feature) {
                slots[index].begin(index, &self.vector_rates);
            }
        }
    }

    /// `S`: the variance of the logit under the Gaussian rule.
    #[inline(always)]
    fn variance<const K: usize>(
        &self,
        slots: &[VectorSlot<K>],
        sample: &Sample<'_>,
        pulls: &Sums<K>,
    ) -> f32 {
        let mut sum = self.bias.variance(self.dense_rule) + self.pairs.variance(&self.dots);
        for feature in sample.features.iter().filter(|feature| self.learns(feature)) {
            let slot = &slots[feature.id as usize & (slots.len() - 1)];
            let weight = self.linear[feature.id as usize & (self.linear.len() - 1)];
            let pulled = weighted_squares(&slot.spread, &pulls[usize::from(feature.field)]);
            let value = bearable(feature.value);
            sum += value * value * (weight.variance(self.rule) + pulled);
        }
        for weight in sample.dense.iter().filter_map(|&index| self.dense.get(usize::from(index))) {
            sum += weight.variance(self.dense_rule);
        }
        let prior = bearable(sample.prior_offset);
        sum + self.prior_spread * prior * prior
    }

    /// One step of every weight that has a part in the sample.
    #[inline(always)]
    fn step<const K: usize>(
        &mut self,
        slots: &mut [VectorSlot<K>],
        sample: &Sample<'_>,
        pulls: &Sums<K>,
        correction: &Correction,
    ) {
        for feature in sample.features {
            if !self.learns(feature) {
                continue;
            }
            let value = bearable(feature.value);
            let index = feature.id as usize & (slots.len() - 1);
            let pull = &pulls[usize::from(feature.field)];
            slots[index].step(value, pull, correction, &self.vector_rates);
            self.touched_vectors.mark(index);
            let linear_index = feature.id as usize & (self.linear.len() - 1);
            self.linear[linear_index].step(value, correction, self.rule);
            self.touched_linear.mark(linear_index);
            if let Some([linear, vectors]) = &mut self.ages {
                linear.stamp(linear_index, self.hour);
                vectors.stamp(index, self.hour);
            }
        }
        self.step_shared(sample, correction);
    }

    #[inline(always)]
    fn step_shared(&mut self, sample: &Sample<'_>, correction: &Correction) {
        let rates = &self.config.rates;
        let is_gaussian = rates.rule == Rule::Gaussian;
        let field_rate = (!is_gaussian).then_some(rates.field_rate);
        self.pairs.step(correction, &self.dots, field_rate);
        self.bias.step(1.0, correction, self.dense_rule);
        for &index in sample.dense {
            if let Some(weight) = self.dense.get_mut(usize::from(index)) {
                weight.step(1.0, correction, self.dense_rule);
            }
        }
        let prior = bearable(sample.prior_offset);
        let (weight, spread) = (&mut self.prior_weight, &mut self.prior_spread);
        if is_gaussian {
            correction.gaussian(weight, spread, prior);
        } else {
            adagrad(weight, spread, correction.gradient * prior, rates.prior_rate);
        }
        *weight = weight.clamp(0.0, PRIOR_WEIGHT_MAX);
    }

    #[inline(always)]
    fn has(&self, feature: &Feature) -> bool {
        usize::from(feature.field) < self.config.fields
    }

    /// Whether this is a feature of ours that was seen often enough.
    #[inline(always)]
    fn learns(&self, feature: &Feature) -> bool {
        let is_admitted = || self.admission.as_ref().is_none_or(|one| one.admits(feature.id));
        self.has(feature) && is_admitted()
    }
}
