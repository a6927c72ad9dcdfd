//! What the room promises of models, states and files.

use super::*;
use crate::units::CategoryId;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::{Arc, OnceLock};

const CATEGORIES: usize = 20;
const START_S: u32 = 1_700_000_000;

/// Users who stay with a category, go back to the one before, or follow a fixed next one.
fn walks(seed: u64, users: usize) -> Vec<Vec<Visit>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut walk = || {
        let (mut now, mut before) = (random.random_range(1..=CATEGORIES), 1);
        let mut at_s = START_S;
        let visit = |_| {
            let next = match random.random_range(0..10) {
                0..4 => now,
                4..6 => before,
                6..9 => now * 7 % CATEGORIES + 1,
                _ => random.random_range(1..=CATEGORIES),
            };
            (before, now) = (now, next);
            at_s += random.random_range(1..400);
            Visit { category: now, item: 0, kind: 0, at_s }
        };
        (0..30).map(visit).collect()
    };
    (0..users).map(|_| walk()).collect()
}

fn vocabulary() -> Arc<Vocabulary> {
    Arc::new(Vocabulary::new((1..=CATEGORIES as u32).map(CategoryId).collect()))
}

fn model() -> &'static SequenceModel {
    static MODEL: OnceLock<SequenceModel> = OnceLock::new();
    MODEL.get_or_init(|| {
        let config = TrainConfig { hidden: 32, rate: 0.01, ..TrainConfig::default() };
        let mut trainer =
            Trainer::new(vocabulary(), &[1; CATEGORIES + 1], config).expect("valid sizes");
        let walks = walks(1, 60);
        for _ in 0..4 {
            trainer.epoch(&walks, |_| ());
        }
        trainer.into_model()
    })
}

fn ndcg(rank: usize) -> f64 {
    if rank > 10 { 0.0 } else { 1.0 / (rank as f64 + 1.0).log2() }
}

/// What a byte a unit costs: the same model's ranking of what comes next, over states that went
/// through bytes at every event and over states that never did.
#[test]
fn quantising_costs_next_to_no_rank_quality() {
    let model = model();
    let hidden = model.shape().hidden;
    let (mut by_bytes, mut by_floats, mut events) = (0.0, 0.0, 0.0);
    for walk in &walks(2, 60) {
        let mut state = State::default();
        let mut h = [0.0; HIDDEN_MAX];
        let mut cell = cell::Cell::default();
        let mut last_s = 0;
        for visit in walk {
            let rank = |logit: &dyn Fn(usize) -> f32| {
                let right = logit(visit.category);
                1 + (1..=CATEGORIES).filter(|&place| logit(place) > right).count()
            };
            by_bytes += ndcg(rank(&|place| model.logit(&state, place)));
            by_floats += ndcg(rank(&|place| model.output(&h[..hidden], place)));
            events += 1.0;
            model.step(&mut state, *visit);
            model.forward(&mut cell, &mut h[..hidden], *visit, last_s);
            last_s = visit.at_s;
        }
    }
    let (by_bytes, by_floats) = (by_bytes / events, by_floats / events);
    println!("NDCG@10 by bytes {by_bytes:.4}, by floats {by_floats:.4}");
    assert!(by_floats > 0.6, "it has learned something: {by_floats}");
    assert!((by_bytes - by_floats).abs() < 0.005, "{by_bytes} by bytes, {by_floats} by floats");
}

#[test]
fn an_affinity_needs_a_known_category_and_an_event() {
    let model = model();
    let mut rows = CategoryRows::default();
    let mut state = State::default();
    let three = rows.number(model, CategoryId(3)).expect("known");
    assert_eq!((rows.number(model, CategoryId(3)), rows.len()), (Some(three), 1));
    assert_eq!(rows.number(model, CategoryId(999)), None, "nobody knows it");
    assert_eq!(rows.affinity(&state, three), None, "nothing was seen");
    for at in 0..5 {
        model.step(&mut state, Visit { category: 3, item: 0, kind: 0, at_s: START_S + 20 * at });
    }
    assert_eq!(rows.affinity(&state, three + 1), None, "there is no such row");
    let three = rows.affinity(&state, three).expect("known");
    let mut stronger = 0;
    for id in (1..=CATEGORIES as u32).map(CategoryId) {
        let number = rows.number(model, id).expect("known");
        let affinity = rows.affinity(&state, number).expect("known");
        assert!((0.0..=1.0).contains(&affinity));
        stronger += u32::from(affinity > three);
    }
    assert!(stronger <= 1, "five visits in a row leave {stronger} stronger ones");
}

/// What comes next is more often likely than not, and a category at random is not.
#[test]
fn an_affinity_is_about_how_many_times_more_likely_than_usual() {
    let model = model();
    let mut rows = CategoryRows::default();
    let numbers: Vec<_> = (1..=CATEGORIES as u32)
        .map(|id| rows.number(model, CategoryId(id)).expect("known"))
        .collect();
    let (mut worst, mut sum, mut asked) = (0.0_f32, 0.0, 0.0);
    for visit in walks(5, 4).concat() {
        let mut state = State::default();
        model.step(&mut state, visit);
        let mut logits = [0.0; CATEGORIES + 1];
        model.logits(&state, &mut logits);
        let mean = dot_with_usual(model, &state);
        for (place, &number) in (1..).zip(&numbers) {
            let bias = model.weights[model.shape().bias(place)];
            let exact = cell::sigmoid(logits[place] - bias - mean - 20_f32.ln());
            let by_bytes = rows.affinity(&state, number).expect("known");
            worst = worst.max((exact - by_bytes).abs());
            sum += logits[place] - bias - mean;
            asked += 1.0;
        }
    }
    assert!(worst < 0.02, "bytes are off by {worst}");
    assert!((sum / asked).abs() < 0.5, "the mean category is not usual: {}", sum / asked);
}

fn dot_with_usual(model: &SequenceModel, state: &State) -> f32 {
    let units = state.units.iter().map(|&unit| f32::from(unit) * state.scale);
    units.zip(model.usual()).map(|(unit, usual)| unit * usual).sum()
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.seq");
    model().write(&path).expect("written");
    let read = SequenceModel::read(&path).expect("whole");
    assert_eq!(read.to_bytes(), model().to_bytes());
    assert_eq!(read.vocabulary(), model().vocabulary());
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1, "no draft stays");
    assert!(matches!(
        SequenceModel::read(&folder.path().join("none")),
        Err(SequenceError::File(_))
    ));
}

/// A file with this change and the checksum that it then has.
fn forged(change: impl Fn(&mut Vec<u8>)) -> Result<SequenceModel, SequenceError> {
    let mut bytes = model().to_bytes();
    bytes.truncate(bytes.len() - 4);
    change(&mut bytes);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    SequenceModel::from_bytes(&bytes)
}

#[test]
fn a_forged_file_is_refused_though_its_checksum_is_right() {
    assert!(forged(|_| ()).is_ok());
    let put = |at: usize, number: u32| {
        move |bytes: &mut Vec<u8>| bytes[at..at + 4].copy_from_slice(&number.to_le_bytes())
    };
    for (what, at, number) in [
        ("version", 8, 2),
        ("hidden", 12, 64),
        ("hidden", 12, 33),
        ("categories", 16, 0),
        ("categories", 16, u32::MAX),
        ("items", 20, 3),
        ("items", 20, u32::MAX),
        ("digest", 24, 1),
        ("ids in order", 32, 5),
        ("a parameter", 32 + 4 * CATEGORIES, f32::NAN.to_bits()),
        ("a parameter", 32 + 4 * CATEGORIES, f32::INFINITY.to_bits()),
    ] {
        assert!(forged(put(at, number)).is_err(), "{what} = {number}");
    }
    assert!(forged(|bytes| bytes.truncate(bytes.len() - 4)).is_err());
    assert!(forged(|bytes| bytes.extend([0; 4])).is_err());
}

proptest! {
    #[test]
    fn a_damaged_file_is_refused(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
        let whole = BYTES.get_or_init(|| model().to_bytes());
        let mut bytes = whole.clone();
        let at = at.index(bytes.len());
        prop_assert!(SequenceModel::from_bytes(&bytes[..at]).is_err());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(SequenceModel::from_bytes(&bytes).is_err());
    }

    /// Whatever is in a file that passes and in an event, a step neither panics nor leaves a state
    /// that later events cannot mend.
    #[test]
    fn no_event_spoils_a_state(
        events in prop::collection::vec((any::<usize>(), any::<u32>(), any::<u8>(), any::<u32>()), 1..8),
        huge in any::<bool>(),
    ) {
        let forged = forged(|bytes| {
            if huge {
                let weights = &mut bytes[32 + 4 * CATEGORIES..];
                for (at, weight) in weights.chunks_exact_mut(4).enumerate() {
                    let value = if at % 2 == 0 { f32::MAX } else { f32::MIN };
                    weight.copy_from_slice(&value.to_le_bytes());
                }
            }
        });
        let model = forged.expect("numbers all of them");
        let mut state = State::default();
        for (category, item, kind, at_s) in events {
            model.step(&mut state, Visit { category, item, kind, at_s });
            prop_assert!(state.is_known());
        }
        let mut rows = CategoryRows::default();
        let number = rows.number(&model, CategoryId(3));
        prop_assert_eq!(number.is_none(), huge, "a row of no finite scale says nothing");
        if let Some(number) = number {
            let affinity = rows.affinity(&state, number).expect("known");
            prop_assert!((0.0..=1.0).contains(&affinity));
        }
    }
}
