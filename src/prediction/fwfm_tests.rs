//! The core against a plain reading of its formulas, and what it forgets, admits and refuses.

use super::config::{Error, FwfmConfig, Rates};
use super::fwfm::Fwfm;
use super::sample::{Feature, Sample};
use super::shadows::Shadows;
use crate::units::Timestamp;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

const HOUR_MS: i64 = 3_600_000;

fn config(fields: usize, dim: u8) -> FwfmConfig {
    FwfmConfig {
        dense: 4,
        linear_bits: 10,
        vector_bits: 8,
        seed: 3,
        base_rate: 0.2,
        frozen_from: fields.saturating_sub(2),
        rates: Rates {
            linear_rate: 0.3,
            linear_l1: 0.02,
            vector_rate: 0.2,
            vector_init: 0.3,
            field_rate: 0.1,
            prior_rate: 0.1,
            ..Rates::default()
        },
        ..FwfmConfig::new(fields, dim)
    }
}

/// An example that owns its parts.
#[derive(Clone, Debug)]
struct Example {
    features: Vec<Feature>,
    dense: Vec<u16>,
    prior_offset: f32,
    label: bool,
}

impl Example {
    fn sample(&self) -> Sample<'_> {
        Sample { features: &self.features, dense: &self.dense, prior_offset: self.prior_offset }
    }
}

/// Fields with none, one or several features, some of them with values.
fn random_example(random: &mut ChaCha8Rng, fields: usize) -> Example {
    let mut features = Vec::new();
    for field in 0..fields as u16 {
        for _ in 0..[0, 1, 1, 1, 3][random.random_range(0..5)] {
            let value = [1.0, 1.0, 0.5, -2.0][random.random_range(0..4)];
            features.push(Feature { field, id: random.random_range(0..3_000), value });
        }
    }
    Example {
        features,
        dense: (0..4).filter(|_| random.random()).collect(),
        prior_offset: [0.0, 1.0, -1.5][random.random_range(0..3)],
        label: random.random_range(0..4) == 0,
    }
}

/// The formulas, written out in `f64` over maps.
struct Plain {
    config: FwfmConfig,
    weights: BTreeMap<(&'static str, usize), (f64, f64)>,
    vectors: BTreeMap<usize, Vec<(f64, f64)>>,
    pairs: BTreeMap<(usize, usize), (f64, f64)>,
    prior: (f64, f64),
}

impl Plain {
    fn new(config: FwfmConfig) -> Self {
        let (weights, vectors, pairs) = Default::default();
        Self { config, weights, vectors, pairs, prior: (1.0, 1.0) }
    }

    fn weight(&self, table: &'static str, index: usize) -> f64 {
        let rates = self.config.rates;
        let (z, n) = self.weights.get(&(table, index)).copied().unwrap_or_default();
        let (l1, l2) = self.regularisation(table);
        if z.abs() <= l1 {
            return 0.0;
        }
        let step = (f64::from(rates.linear_beta) + n.sqrt()) / f64::from(rates.linear_rate);
        -(z - z.signum() * l1) / (step + l2)
    }

    fn regularisation(&self, table: &str) -> (f64, f64) {
        let rates = self.config.rates;
        let is_sparse = table == "linear";
        if is_sparse { (rates.linear_l1.into(), rates.linear_l2.into()) } else { (0.0, 0.0) }
    }

    fn step_weight(&mut self, table: &'static str, index: usize, gradient: f64) {
        let weight = self.weight(table, index);
        let (z, n) = self.weights.entry((table, index)).or_default();
        let next = *n + gradient * gradient;
        *z +=
            gradient - (next.sqrt() - n.sqrt()) / f64::from(self.config.rates.linear_rate) * weight;
        *n = next;
    }

    fn terms(&self, example: &Example) -> Vec<(&'static str, usize, f64)> {
        let linear = example.features.iter().map(|feature| {
            let index = feature.id as usize & ((1 << self.config.linear_bits) - 1);
            ("linear", index, f64::from(feature.value))
        });
        let dense = example.dense.iter().map(|&index| ("dense", usize::from(index), 1.0));
        linear.chain(dense).chain([("bias", 0, 1.0)]).collect()
    }

    fn sums(&self, example: &Example) -> Vec<Vec<f64>> {
        let dim = usize::from(self.config.dim);
        let mut sums = vec![vec![0.0; dim]; self.config.fields];
        for feature in &example.features {
            let index = feature.id as usize & ((1 << self.config.vector_bits) - 1);
            let Some(vector) = self.vectors.get(&index) else { continue };
            for (sum, (component, _)) in sums[usize::from(feature.field)].iter_mut().zip(vector) {
                *sum += f64::from(feature.value) * component;
            }
        }
        sums
    }

    fn pair(&self, first: usize, second: usize) -> f64 {
        let pair = self.pairs.get(&(first.min(second), first.max(second)));
        pair.map_or(1.0, |(weight, _)| *weight)
    }

    fn logit(&self, example: &Example) -> f64 {
        let terms = self.terms(example).into_iter();
        let mut logit: f64 = terms.map(|(table, at, value)| value * self.weight(table, at)).sum();
        let sums = self.sums(example);
        for first in 0..sums.len() {
            for second in first + 1..sums.len() {
                logit += self.pair(first, second) * product(&sums[first], &sums[second]);
            }
        }
        let base = (self.config.base_rate / (1.0 - self.config.base_rate)).ln();
        base + logit + self.prior.0 * f64::from(example.prior_offset)
    }

    fn learn(&mut self, example: &Example, weight: f64, begin: impl Fn(usize) -> Vec<f32>) {
        let rates = self.config.rates;
        let predicted = 1.0 / (1.0 + (-self.logit(example)).exp());
        let gradient = weight * (predicted - if example.label { 1.0 } else { 0.0 });
        let sums = self.sums(example);
        let fields = self.config.fields;
        let pulls: Vec<Vec<f64>> = (0..fields)
            .map(|field| {
                let others = (0..fields).filter(|&other| other != field);
                let mut pull = vec![0.0; usize::from(self.config.dim)];
                for other in others {
                    let pair = self.pair(field, other);
                    pull.iter_mut().zip(&sums[other]).for_each(|(sum, one)| *sum += pair * one);
                }
                pull
            })
            .collect();
        for (table, index, value) in self.terms(example) {
            self.step_weight(table, index, gradient * value);
        }
        for first in 0..fields.min(self.config.frozen_from) {
            for second in first + 1..fields {
                let pair = self.pairs.entry((first, second)).or_insert((1.0, 1.0));
                let slope = gradient * product(&sums[first], &sums[second]);
                adagrad(pair, slope, rates.field_rate);
            }
        }
        for feature in &example.features {
            let index = feature.id as usize & ((1 << self.config.vector_bits) - 1);
            let first = f64::from(rates.vector_accumulator);
            let fresh = || begin(index).iter().map(|&one| (f64::from(one), first)).collect();
            let vector = self.vectors.entry(index).or_insert_with(fresh);
            for (component, pull) in vector.iter_mut().zip(&pulls[usize::from(feature.field)]) {
                adagrad(component, gradient * f64::from(feature.value) * pull, rates.vector_rate);
            }
        }
        adagrad(&mut self.prior, gradient * f64::from(example.prior_offset), rates.prior_rate);
        self.prior.0 = self.prior.0.clamp(0.0, 2.0);
    }
}

fn product(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

fn adagrad((weight, sum): &mut (f64, f64), gradient: f64, rate: f32) {
    *sum += gradient * gradient;
    *weight -= f64::from(rate) * gradient / sum.sqrt();
}

/// The first values of the vector at `index`: those after a step in which nothing pulled at it.
fn first_values(config: &FwfmConfig, index: usize) -> Vec<f32> {
    let mut model = Fwfm::new(config).expect("a model");
    let feature = Feature::category(0, index as u32);
    model.learn(&Sample { features: &[feature], dense: &[], prior_offset: 0.0 }, true, 1.0);
    model.vector(index).to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn it_learns_what_the_formulas_say(seed in any::<u64>(), wide in any::<bool>()) {
        let fields = 7;
        let config = config(fields, if wide { 16 } else { 8 });
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut model = Fwfm::new(&config).unwrap();
        let mut plain = Plain::new(config);
        for _ in 0..120 {
            let example = random_example(&mut random, fields);
            let weight = [1.0, 1.0, 4.0, 0.25, -1.0][random.random_range(0..5)];
            let before = model.logit(&example.sample());
            prop_assert!((f64::from(before) - plain.logit(&example)).abs() < 2e-3);
            let predicted = model.learn(&example.sample(), example.label, weight);
            prop_assert!((predicted - super::sigmoid(before)).abs() < 1e-4);
            plain.learn(&example, weight.into(), |index| first_values(&config, index));
        }
        // The frozen pair is the last.
        let matrix = model.field_weights();
        prop_assert_eq!(matrix[(fields - 2, fields - 1)], 1.0);
        prop_assert!(matrix.iter().filter(|&&weight| weight != 1.0).count() > fields * 4);
    }

    #[test]
    fn hostile_samples_leave_finite_weights(seed in any::<u64>(), wide in any::<bool>()) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let config = config(5, if wide { 16 } else { 8 });
        let mut model = Fwfm::new(&config).unwrap();
        let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -1e30, 1e3, 0.0, 1.0];
        let mut pick = || wild[random.random_range(0..wild.len())];
        for turn in 0..200u32 {
            let features = [0, 1, 2, 4, 5, 600, u16::MAX].map(|field| {
                Feature { field, id: turn % 9 * 77, value: pick() }
            });
            let sample = Sample { features: &features, dense: &[0, 3, 4, 999], prior_offset: pick() };
            model.learn(&sample, turn % 3 == 0, pick());
            prop_assert!(model.logit(&sample).is_finite());
        }
    }
}

#[test]
fn a_feature_that_nobody_has_seen_says_nothing() {
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let mut model = Fwfm::new(&config(4, 16)).unwrap();
    let known = random_example(&mut random, 4);
    for _ in 0..20 {
        model.learn(&known.sample(), true, 1.0);
    }
    let mut with = known.clone();
    let before = model.logit(&with.sample());
    // Slots are few here: look for one that nothing has touched.
    let unseen = (0..3_000).find(|&id| {
        !model.touched_linear().is_marked(model.linear_index(id))
            && !model.touched_vectors().is_marked(model.vector_index(id))
    });
    with.features.push(Feature::category(3, unseen.unwrap()));
    assert_eq!(model.logit(&with.sample()), before);
}

#[test]
fn only_admitted_features_learn() {
    let mut model = Fwfm::new(&FwfmConfig { admission: 3, ..config(2, 8) }).unwrap();
    let features = [Feature::category(0, 5), Feature::category(1, 6)];
    let sample = Sample { features: &features, dense: &[], prior_offset: 0.0 };
    let touched = [(); 4].map(|()| {
        model.learn(&sample, true, 1.0);
        (model.touched_linear().iter().count(), model.touched_vectors().iter().count())
    });
    assert_eq!(touched, [(0, 0), (0, 0), (2, 2), (2, 2)]);
}

#[test]
fn what_is_not_seen_for_too_long_is_forgotten() {
    let mut model = Fwfm::new(&FwfmConfig { ttl_hours: 24, ..config(2, 8) }).unwrap();
    let (old, new) = ([Feature::category(0, 5)], [Feature::category(1, 6)]);
    let sample = |features| Sample { features, dense: &[], prior_offset: 0.0 };
    let at = |hour: i64| Timestamp(1_700_000_000_000 + hour * HOUR_MS);
    model.advance(at(0));
    model.learn(&sample(&old), true, 1.0);
    model.learn(&sample(&new), true, 1.0);
    let (base, learned) = (model.logit(&sample(&[])), model.logit(&sample(&old)));
    assert!(learned > base);
    model.advance(at(20));
    model.learn(&sample(&new), true, 1.0);
    model.clear_touched();
    model.advance(at(24));
    assert!(model.vector(5).iter().any(|&component| component != 0.0));
    assert_eq!(model.touched_linear().iter().count(), 0, "24 hours are not too long");
    model.advance(at(25));
    assert_eq!(model.touched_linear().iter().collect::<Vec<_>>(), [5]);
    assert_eq!(model.touched_vectors().iter().collect::<Vec<_>>(), [5]);
    assert!(model.vector(5).iter().all(|&component| component == 0.0));
    assert_eq!(model.logit(&sample(&old)), model.logit(&sample(&[])));
    model.advance(at(0));
    assert!(model.logit(&sample(&new)) > model.logit(&sample(&[])), "time does not go back");
}

#[test]
fn a_sweep_is_bounded_and_comes_to_every_slot() {
    let wide = FwfmConfig { ttl_hours: 1, linear_bits: 14, ..config(1, 8) };
    let mut model = Fwfm::new(&wide).unwrap();
    for id in 0..1 << 14 {
        let features = [Feature::category(0, id)];
        model.learn(&Sample { features: &features, dense: &[], prior_offset: 0.0 }, true, 1.0);
    }
    model.clear_touched();
    let forgotten = [1, 2, 3, 4].map(|_| {
        model.advance(Timestamp(100 * HOUR_MS));
        model.touched_linear().iter().count()
    });
    assert_eq!(forgotten, [4_096, 8_192, 12_288, 16_384]);
}

/// Two rates, of which one cannot learn at all.
fn lame_and_quick() -> Shadows {
    let lame = Rates { linear_rate: 1e-6, vector_rate: 0.0, ..Rates::default() };
    Shadows::new(&config(3, 8), &[lame, Rates::default()]).unwrap()
}

#[test]
fn the_model_that_predicts_better_takes_over_and_stays() {
    let mut shadows = lame_and_quick();
    let features = |id| [Feature::category(0, id), Feature::category(1, 9)];
    let mut changes = Vec::new();
    for turn in 0..6_000u32 {
        let features = features(turn % 2);
        let sample = Sample { features: &features, dense: &[], prior_offset: 0.0 };
        let (before, logit) = (shadows.serving_number(), shadows.logit(&sample));
        let predicted = shadows.learn(&sample, turn % 2 == 0, 1.0);
        assert!((predicted - super::sigmoid(logit)).abs() < 1e-5, "the serving one answers");
        if shadows.serving_number() != before {
            changes.push(turn);
            let serving = shadows.serving();
            assert_eq!(serving.touched_linear().iter().count(), serving.linear_len());
            assert_eq!(serving.touched_vectors().iter().count(), serving.vector_len());
        }
    }
    assert_eq!(changes, [1_999], "as soon as enough was seen, and never again");
    let losses = shadows.losses();
    assert!(losses[1] < losses[0] / 2.0, "{losses:?}");
}

#[test]
fn equals_do_not_take_turns() {
    let rates = Rates::default();
    let near = Rates { linear_rate: rates.linear_rate * 1.0001, ..rates };
    let mut shadows = Shadows::new(&config(3, 8), &[rates, near]).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(4);
    for _ in 0..8_000 {
        let example = random_example(&mut random, 3);
        shadows.learn(&example.sample(), example.label, 1.0);
        assert_eq!(shadows.serving_number(), 0);
    }
}

#[test]
fn a_wrong_shape_makes_no_model() {
    let wrong = |spoil: fn(&mut FwfmConfig)| {
        let mut config = config(4, 8);
        spoil(&mut config);
        match Fwfm::new(&config) {
            Err(Error::OutOfRange { key, .. }) => key,
            Ok(_) => "none",
        }
    };
    assert_eq!(wrong(|config| config.fields = 0), "fields");
    assert_eq!(wrong(|config| config.fields = 65), "fields");
    assert_eq!(wrong(|config| config.dim = 12), "dim");
    assert_eq!(wrong(|config| config.dense = 70_000), "dense");
    assert_eq!(wrong(|config| config.rates.field_rate = f32::NAN), "field_rate");
    assert_eq!(wrong(|_| ()), "none");
    for count in [0, 5] {
        assert!(Shadows::new(&config(4, 8), &vec![Rates::default(); count]).is_err());
    }
}
