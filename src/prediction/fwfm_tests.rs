//! The core against a plain reading of its formulas, and what it forgets, admits and refuses.

use super::config::{Error, FwfmConfig, Rates, Rule};
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
            field_init: 0.5,
            prior_rate: 0.1,
            linear_variance: 0.3,
            vector_variance: 0.2,
            ..Rates::ftrl()
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

/// A number that learns: its kind and where it is.
type Key = (&'static str, usize, usize);

/// The formulas, written out in `f64` over one map of (weight or mean, accumulator or variance).
struct Plain {
    config: FwfmConfig,
    numbers: BTreeMap<Key, (f64, f64)>,
}

impl Plain {
    fn is_gaussian(&self) -> bool {
        self.config.rates.rule == Rule::Gaussian
    }

    fn number(&self, key: Key) -> (f64, f64) {
        let rates = &self.config.rates;
        let is_frozen = key.1.min(key.2) >= self.config.frozen_from;
        // The first value, the first accumulator, the first variance.
        let (value, accumulator, variance) = match key.0 {
            "linear" => (0.0, 0.0, rates.linear_variance),
            "pair" if is_frozen => (1.0, 1.0, 0.0),
            "pair" => (rates.field_init, 1.0, rates.field_variance),
            "vector" => (0.0, rates.vector_accumulator, rates.vector_variance),
            "prior" => (1.0, 1.0, rates.prior_variance),
            _ => (0.0, 0.0, rates.dense_variance),
        };
        let spread = if self.is_gaussian() { variance } else { accumulator };
        self.numbers.get(&key).copied().unwrap_or((value.into(), spread.into()))
    }

    fn is_ftrl(&self, key: Key) -> bool {
        !self.is_gaussian() && matches!(key.0, "linear" | "dense" | "bias")
    }

    fn weight(&self, key: Key) -> f64 {
        let (z, n) = self.number(key);
        if !self.is_ftrl(key) {
            return z;
        }
        let rates = self.config.rates;
        let is_sparse = key.0 == "linear";
        let (l1, l2) = if is_sparse { (rates.linear_l1, rates.linear_l2) } else { (0.0, 0.0) };
        let beyond = z.abs() - f64::from(l1);
        let step = (f64::from(rates.linear_beta) + n.sqrt()) / f64::from(rates.linear_rate);
        if beyond <= 0.0 { 0.0 } else { -z.signum() * beyond / (step + f64::from(l2)) }
    }

    fn sums(&self, example: &Example) -> Vec<Vec<f64>> {
        let mut sums = vec![vec![0.0; self.config.dim.into()]; self.config.fields];
        for feature in &example.features {
            let index = self.vector_index(feature);
            for (at, sum) in sums[usize::from(feature.field)].iter_mut().enumerate() {
                *sum += f64::from(feature.value) * self.weight(("vector", index, at));
            }
        }
        sums
    }

    fn vector_index(&self, feature: &Feature) -> usize {
        feature.id as usize & ((1 << self.config.vector_bits) - 1)
    }

    /// The slope of the logit by each number.
    fn slopes(&self, example: &Example) -> Vec<(Key, f64)> {
        let mut slopes =
            vec![(("bias", 0, 0), 1.0), (("prior", 0, 0), example.prior_offset.into())];
        slopes.extend(example.dense.iter().map(|&index| (("dense", index.into(), 0), 1.0)));
        let (sums, fields) = (self.sums(example), self.config.fields);
        let pairs = (0..fields).flat_map(|first| (first + 1..fields).map(move |one| (first, one)));
        for (first, second) in pairs {
            slopes.push((("pair", first, second), product(&sums[first], &sums[second])));
        }
        for feature in &example.features {
            let (field, value) = (usize::from(feature.field), f64::from(feature.value));
            let linear = feature.id as usize & ((1 << self.config.linear_bits) - 1);
            slopes.push((("linear", linear, 0), value));
            let others = || sums.iter().enumerate().filter(|(other, _)| *other != field);
            slopes.extend((0..usize::from(self.config.dim)).map(|at| {
                let pulls = others().map(|(other, sum)| {
                    let pair = ("pair", field.min(other), field.max(other));
                    self.weight(pair) * sum[at]
                });
                (("vector", self.vector_index(feature), at), value * pulls.sum::<f64>())
            }));
        }
        slopes
    }

    fn logit(&self, example: &Example) -> f64 {
        let base = (self.config.base_rate / (1.0 - self.config.base_rate)).ln();
        let slopes = self.slopes(example).into_iter().filter(|(key, _)| key.0 != "vector");
        base + slopes.map(|(key, slope)| self.weight(key) * slope).sum::<f64>()
    }

    fn learn(&mut self, example: &Example, weight: f64, begin: impl Fn(usize) -> Vec<f32>) {
        let predicted = 1.0 / (1.0 + (-self.logit(example)).exp());
        let gradient = weight * (predicted - if example.label { 1.0 } else { 0.0 });
        let slopes = self.slopes(example);
        for feature in &example.features {
            let index = self.vector_index(feature);
            for (at, first) in begin(index).into_iter().enumerate() {
                let spread = self.number(("vector", index, at)).1;
                self.numbers.entry(("vector", index, at)).or_insert((first.into(), spread));
            }
        }
        let variance: f64 =
            slopes.iter().map(|(key, slope)| self.number(*key).1 * slope * slope).sum();
        let known = weight.abs() * (predicted * (1.0 - predicted)).max(1e-4);
        let damping = 1.0 / (1.0 + known * variance);
        for (key, slope) in slopes {
            let is_frozen = key.0 == "pair" && key.1 >= self.config.frozen_from;
            if is_frozen {
                continue;
            }
            let (value, spread) = self.number(key);
            let own = gradient * slope;
            let (mut value, spread) = if self.is_gaussian() {
                let shrunk = (spread * slope).powi(2) * known * damping;
                let kept = if weight > 0.0 { spread - shrunk } else { spread };
                (value - spread * own * damping, kept)
            } else if self.is_ftrl(key) {
                let alpha = f64::from(self.config.rates.linear_rate);
                let sigma = ((spread + own * own).sqrt() - spread.sqrt()) / alpha;
                (value + own - sigma * self.weight(key), spread + own * own)
            } else {
                let rate = match key.0 {
                    "vector" => self.config.rates.vector_rate,
                    "pair" => self.config.rates.field_rate,
                    _ => self.config.rates.prior_rate,
                };
                let spread = spread + own * own;
                (value - f64::from(rate) * own / spread.sqrt(), spread)
            };
            if key.0 == "prior" {
                value = value.clamp(0.0, 2.0);
            }
            self.numbers.insert(key, (value, spread));
        }
    }
}

fn product(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
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
    fn it_learns_what_the_formulas_say(
        seed in any::<u64>(), wide in any::<bool>(), is_gaussian in any::<bool>(),
    ) {
        let fields = 7;
        let mut config = config(fields, if wide { 16 } else { 8 });
        config.rates.rule = if is_gaussian { Rule::Gaussian } else { Rule::Ftrl };
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut model = Fwfm::new(&config).unwrap();
        let mut plain = Plain { config, numbers: BTreeMap::new() };
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
        prop_assert!(matrix.iter().filter(|&&weight| (weight - 0.5).abs() > 1e-5).count() > fields * 4);
    }

    #[test]
    fn hostile_samples_leave_finite_weights(
        seed in any::<u64>(), wide in any::<bool>(), is_gaussian in any::<bool>(),
    ) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut config = config(5, if wide { 16 } else { 8 });
        config.rates.rule = if is_gaussian { Rule::Gaussian } else { Rule::Ftrl };
        let mut model = Fwfm::new(&config).unwrap();
        let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -1e30, 1e3, 0.0, 1.0];
        let mut pick = || wild[random.random_range(0..wild.len())];
        for turn in 0..200u32 {
            let features = [0, 1, 2, 4, 5, 600, u16::MAX].map(|field| {
                Feature { field, id: turn % 9 * 77, value: pick() }
            });
            let sample = Sample { features: &features, dense: &[0, 3, 4, 999], prior_offset: pick() };
            model.learn(&sample, turn.is_multiple_of(3), pick());
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
    let lame = Rates { linear_rate: 1e-6, vector_rate: 0.0, ..Rates::ftrl() };
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
        let predicted = shadows.learn(&sample, turn.is_multiple_of(2), 1.0);
        assert!((predicted - super::sigmoid(logit)).abs() < 1e-5, "the serving one answers");
        if shadows.serving_number() != before {
            changes.push(turn);
            let serving = shadows.serving();
            assert_eq!(serving.touched_linear().iter().count(), serving.linear_len());
            assert_eq!(serving.touched_vectors().iter().count(), serving.vector_len());
        }
    }
    assert!(matches!(changes[..], [10..100]), "soon, and never again: {changes:?}");
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
