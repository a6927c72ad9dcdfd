//! A saved model goes on as if nothing had happened, and no other file takes its place.

use super::config::{Config, FwfmConfig, Rates, Rule};
use super::features::Cross;
use super::learner::{Learner, SavedLearner};
use super::model_file::{ModelFileError, decode, encode, map_digest, read, write};
use super::sample::{Feature, Sample};
use super::saved::SavedShadows;
use super::score::{ModelSnapshot, ScoreScratch};
use super::shadows::Shadows;
use super::tests::{example, hold, random_ad, random_context};
use crate::units::{Slot, Timestamp};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const FIELDS: usize = 4;

fn config(dim: u8) -> FwfmConfig {
    FwfmConfig {
        dense: 3,
        linear_bits: 10,
        vector_bits: 8,
        admission: 2,
        ttl_hours: 5,
        ..FwfmConfig::new(FIELDS, dim)
    }
}

fn rates() -> [Rates; 2] {
    [Rates::default(), Rates::ftrl()]
}

fn features(random: &mut ChaCha8Rng) -> [Feature; FIELDS] {
    std::array::from_fn(|field| Feature::category(field as u16, random.random_range(0..400)))
}

/// Teaches `examples` random outcomes, an hour for each hundred.
fn teach(shadows: &mut Shadows, random: &mut ChaCha8Rng, hours: std::ops::Range<i64>) {
    for hour in hours {
        shadows.advance(Timestamp(hour * 3_600_000));
        for _ in 0..100 {
            let features = features(random);
            let sample = Sample { features: &features, dense: &[1], prior_offset: 0.5 };
            shadows.learn(&sample, features[0].id.is_multiple_of(3), 1.0);
        }
    }
}

fn logits(shadows: &Shadows) -> Vec<u32> {
    let mut random = ChaCha8Rng::seed_from_u64(99);
    let mut logit = || {
        let features = features(&mut random);
        shadows.logit(&Sample { features: &features, dense: &[0, 1, 2], prior_offset: 1.0 })
    };
    (0..100).map(|_| logit().to_bits()).collect()
}

fn map(dim: u8) -> u64 {
    map_digest(["a", "b", "c", "d"], &config(dim), &rates())
}

/// A model file of a model that has learned something.
fn file(dim: u8) -> Vec<u8> {
    let mut shadows = Shadows::new(&config(dim), &rates()).unwrap();
    teach(&mut shadows, &mut ChaCha8Rng::seed_from_u64(1), 0..4);
    encode(map(dim), 7, &shadows.to_saved())
}

#[test]
fn a_saved_model_goes_on_as_if_nothing_had_happened() {
    for dim in [8, 16] {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut shadows = Shadows::new(&config(dim), &rates()).unwrap();
        teach(&mut shadows, &mut random, 0..10);
        let bytes = encode(map(dim), 7, &shadows.to_saved());
        let (epoch, saved) = decode(map(dim), &bytes).unwrap();
        let mut other = Shadows::restore(&config(dim), &rates(), saved).unwrap();
        assert_eq!(epoch, 7);
        assert_eq!(logits(&other), logits(&shadows));
        assert_eq!(other.losses(), shadows.losses());
        // Filters, ages and accumulators are part of it.
        let mut same = random.clone();
        teach(&mut shadows, &mut random, 10..20);
        teach(&mut other, &mut same, 10..20);
        assert_eq!(logits(&other), logits(&shadows));
        assert_eq!(other.serving_number(), shadows.serving_number());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_damaged_file_is_read(at in any::<prop::sample::Index>(), bit in 0u8..8, cut: bool) {
        let mut bytes = file(8);
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        prop_assert!(decode::<SavedShadows>(map(8), &bytes).is_err());
    }
}

#[test]
fn a_file_that_is_not_ours_is_told_apart() {
    let refused = |map, bytes: &[u8]| decode::<SavedShadows>(map, bytes).err().unwrap();
    let sound = file(8);
    let spoilt = |at: usize, with: u8| {
        let mut bytes = sound.clone();
        bytes[at] = with;
        bytes
    };
    assert!(matches!(refused(map(8), b""), ModelFileError::Foreign));
    assert!(matches!(refused(map(8), &spoilt(0, b'x')), ModelFileError::Foreign));
    assert!(matches!(refused(map(8), &spoilt(8, 9)), ModelFileError::Version { found: 9 }));
    assert!(matches!(refused(map(8), &sound[..30]), ModelFileError::Length { .. }));
    let longer = [&sound[..], &[0]].concat();
    assert!(matches!(refused(map(8), &longer), ModelFileError::Length { .. }));
    let last = sound.len() - 1;
    assert!(matches!(refused(map(8), &spoilt(last, !sound[last])), ModelFileError::Damaged));
    assert!(
        matches!(refused(map(16), &sound), ModelFileError::OtherMap { found } if found == map(8))
    );
}

#[test]
fn a_digest_tells_feature_maps_and_shapes_apart() {
    let (config, rates) = (config(8), rates());
    let own = map_digest(["a", "b", "c", "d"], &config, &rates);
    let wider = FwfmConfig { linear_bits: 11, ..config };
    let likelier = FwfmConfig { base_rate: 0.02, ..config };
    let quicker = [Rates { linear_variance: 0.2, ..rates[0] }, rates[1]];
    let turned = [rates[1], rates[0]];
    assert_ne!(own, map_digest(["b", "a", "c", "d"], &config, &rates), "order");
    assert_ne!(own, map_digest(["a", "b", "c", "e"], &config, &rates), "names");
    assert_ne!(own, map_digest(["a", "b", "c", "d"], &wider, &rates), "sizes");
    assert_ne!(own, map_digest(["a", "b", "c", "d"], &likelier, &rates), "base rate");
    assert_ne!(own, map_digest(["a", "b", "c", "d"], &config, &turned), "rules");
    assert_eq!(own, map_digest(["a", "b", "c", "d"], &config, &quicker), "other rates go on");
}

/// A checksum says nothing of who wrote a file.
#[test]
fn forged_numbers_are_refused() {
    let spoilt = |spoil: &dyn Fn(&mut Shadows)| {
        let mut shadows = Shadows::new(&config(8), &rates()).unwrap();
        teach(&mut shadows, &mut ChaCha8Rng::seed_from_u64(1), 0..4);
        spoil(&mut shadows);
        match Shadows::restore(&config(8), &rates(), shadows.to_saved()) {
            Err(ModelFileError::Unsound(what)) => what,
            _ => "none",
        }
    };
    assert_eq!(spoilt(&|_| ()), "none");
    assert_eq!(spoilt(&|shadows| shadows.standing.serving = 2), "shadows");
    assert_eq!(spoilt(&|shadows| shadows.standing.losses[0] = f64::NAN), "shadows");
    assert_eq!(spoilt(&|shadows| shadows.models[0].state.prior_weight = f32::NAN), "prior");
    assert_eq!(spoilt(&|shadows| shadows.models[1].state.prior_spread = 0.0), "prior");
    let forged = r#"{"state": 1.0, "spread": -1.0}"#;
    let forge = |shadows: &mut Shadows| {
        shadows.models[0].state.bias = serde_json::from_str(forged).unwrap();
    };
    assert_eq!(spoilt(&forge), "bias");
    let forged = r#"{"state": 1e30, "spread": 0.01}"#;
    let forge = |shadows: &mut Shadows| {
        shadows.models[0].state.linear[3] = serde_json::from_str(forged).unwrap();
    };
    assert_eq!(spoilt(&forge), "linear weights", "beyond what a step leaves");
    // A model of another shape under the same digest.
    let saved = Shadows::new(&config(16), &rates()).unwrap();
    let mut taught = saved;
    teach(&mut taught, &mut ChaCha8Rng::seed_from_u64(1), 0..4);
    assert!(Shadows::restore(&config(8), &rates(), taught.to_saved()).is_err());
    assert!(Shadows::restore(&config(16), &rates()[..1], taught.to_saved()).is_err());
}

#[test]
fn a_file_is_replaced_in_one_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.outbid");
    assert!(read::<SavedShadows>(&path, map(8)).unwrap().is_none());
    write(&path, b"older").unwrap();
    write(&path, &file(8)).unwrap();
    assert!(read::<SavedShadows>(&path, map(8)).unwrap().is_some());
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing else is left behind");
    assert!(write(&folder.path().join("none/model"), b"").is_err());
}

#[test]
fn a_learner_is_saved_with_its_calibration_and_counts_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.outbid");
    for dim in [8, 16] {
        saves_and_counts_on(
            &path,
            Config { dim, linear_bits: 10, vector_bits: 8, ..Config::default() },
        );
    }
}

fn saves_and_counts_on(path: &std::path::Path, config: Config) {
    let mut learner = Learner::new(&config).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (ad, context) = (random_ad(&mut random, 0), random_context(&mut random));
    for sequence in 0..200 {
        let mut shown = example(sequence, 0, context, &ad);
        (shown.logit, shown.conversion_prior_logit) = (-3.0, -2.0);
        learner.impression(shown);
        if sequence % 4 == 0 {
            learner.click(hold(sequence), Timestamp(1));
        }
    }
    learner.expire(Timestamp(config.click_window_ms));
    let says = |model: &ModelSnapshot| {
        let calibrated = model.calibration(&context).of(0).apply(-3.0);
        let mut scratch = ScoreScratch::default();
        let head = model.conversions().expect("a head");
        [model, head].map(|model| {
            model.prepare(&context, &mut scratch);
            (calibrated, model.logit(&scratch, Slot::default(), Cross::NEUTRAL))
        })
    };
    let before = learner.publish();
    let epoch = before.epoch();
    write(path, &learner.to_saved().encode()).unwrap();
    let saved = SavedLearner::read(&config, path).unwrap().expect("a file");
    let mut resumed = Learner::resume(&config, saved).unwrap();
    let after = resumed.publish();
    assert_eq!((after.epoch(), says(&after)), (epoch + 1, says(&before)));
    let [click, conversion] = says(&before);
    assert!(click.0 > -2.9 && click.1 > -4.0 && conversion.1 < -4.0, "{click:?} {conversion:?}");
    // Another shape, another base, another rule.
    for other in [
        Config { base_rate: 0.05, ..config.clone() },
        Config { linear_bits: 11, ..config.clone() },
        Config { rates: vec![Rates { rule: Rule::Ftrl, ..Rates::default() }], ..config.clone() },
    ] {
        let refused = SavedLearner::read(&other, path);
        assert!(matches!(refused, Err(ModelFileError::OtherMap { .. })));
    }
    let other = Config { dim: 24 - config.dim, ..config.clone() };
    let refused = SavedLearner::read(&other, path).err().map(|error| error.to_string());
    let reason = format!(
        "its vectors have {} components, and `prediction.dim` is {}",
        config.dim, other.dim
    );
    assert_eq!(refused, Some(reason));
}
