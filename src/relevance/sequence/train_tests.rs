use super::*;
use crate::units::CategoryId;

const CATEGORIES: usize = 6;

fn trainer(config: TrainConfig) -> Trainer {
    let ids = (1..=CATEGORIES as u32).map(CategoryId).collect();
    Trainer::new(Arc::new(Vocabulary::new(ids)), &[1; CATEGORIES + 1], config).expect("valid")
}

fn visits(seed: u64, len: usize) -> Vec<Visit> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let visit = |at: usize| Visit {
        category: random.random_range(0..=CATEGORIES),
        item: random.random_range(0..100),
        kind: random.random_range(0..5),
        at_s: 1_700_000_000 + 97 * (at * at) as u32,
    };
    (0..len).map(visit).collect()
}

/// The loss of the last window after the state that the first one leaves.
fn loss_of(trainer: &mut Trainer, state: &[f32; HIDDEN_MAX], window: &[Visit]) -> f64 {
    let mut h = *state;
    trainer.gradient.fill(0.0);
    // The same units are left out each time.
    trainer.random = ChaCha8Rng::seed_from_u64(5);
    trainer.window(window, &mut h, 1_699_999_000).sum
}

#[test]
fn gradients_agree_with_finite_differences() {
    for dropout in [0.0, 0.4] {
        gradients_agree(dropout);
    }
}

fn gradients_agree(dropout: f32) {
    let config = TrainConfig { hidden: 32, items: 4, window: 7, dropout, ..Default::default() };
    let mut trainer = trainer(config);
    let shape = trainer.model.shape;
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let state = std::array::from_fn(|_| random.random_range(-0.8..0.8));
    let window = visits(3, 7);
    loss_of(&mut trainer, &state, &window);
    let gradient = trainer.gradient.clone();
    let cell = shape.cell();
    let square = 3 * shape.hidden * shape.hidden;
    let groups = [
        ("categories", 0..shape.bias(0)),
        ("biases", shape.bias(0)..shape.item(0).start),
        ("items", shape.item(0).start..shape.kind(0).start),
        ("kinds", shape.kind(0).start..shape.kind(5).start),
        ("gaps", shape.gap(0).start..cell.start),
        ("of the input", cell.start..cell.start + square),
        ("of the state", cell.start + square..cell.start + 2 * square),
        ("biases of the cell", cell.start + 2 * square..cell.end),
    ];
    for (group, range) in groups {
        let mut largest = 0.0_f64;
        for _ in 0..40 {
            let at = random.random_range(range.clone());
            let weight = trainer.model.weights[at];
            let step = 0.01;
            let mut at_offset = |offset: f32| {
                trainer.model.weights[at] = weight + offset;
                loss_of(&mut trainer, &state, &window)
            };
            let (above, below) = (at_offset(step), at_offset(-step));
            trainer.model.weights[at] = weight;
            let expected = (above - below) / (2.0 * f64::from(step));
            let found = f64::from(gradient[at]);
            largest = largest.max(expected.abs());
            assert!(
                (found - expected).abs() < 2e-3 + 0.02 * expected.abs(),
                "{group} {at}: {found} is not {expected}"
            );
        }
        assert!(largest > 0.01, "{group}: nothing was moved");
    }
}

/// Users who go round all categories, forwards or backwards: the last category alone does not tell.
fn rounds(users: u64) -> Vec<Vec<Visit>> {
    let round = |user: u64| {
        let visit = |at: usize| {
            let place = (user as usize + at) % CATEGORIES;
            let category = if user.is_multiple_of(2) { place } else { CATEGORIES - 1 - place };
            let at_s = 1_700_000_000 + 30 * at as u32;
            Visit { category: category + 1, item: 0, kind: 0, at_s }
        };
        (0..24).map(visit).collect()
    };
    (0..users).map(round).collect()
}

#[test]
fn it_learns_an_order_with_all_categories_and_with_a_sample() {
    for samples in [0, 2] {
        let config = TrainConfig {
            hidden: 32,
            rate: 0.01,
            window: 12,
            samples,
            dropout: 0.0,
            ..Default::default()
        };
        let mut trainer = trainer(config);
        let sequences = rounds(30);
        let mut heard = 0;
        let first = trainer.epoch(&sequences, |_| heard += 1);
        assert_eq!((first.events, heard), (30 * 24, 30));
        for _ in 0..7 {
            trainer.epoch(&sequences, |_| ());
        }
        let model = trainer.into_model();
        let (mut right, mut asked) = (0, 0);
        for sequence in &rounds(6) {
            let mut state = super::super::State::default();
            let mut logits = [0.0; CATEGORIES + 1];
            for (at, visit) in sequence.iter().enumerate() {
                model.logits(&state, &mut logits);
                let best = (1..=CATEGORIES).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
                // The direction is known after two events.
                asked += u32::from(at >= 2);
                right += u32::from(at >= 2 && best == Some(visit.category));
                model.step(&mut state, *visit);
            }
        }
        assert!(right * 100 >= asked * 97, "{right} of {asked} with {samples} samples");
    }
}

#[test]
fn settings_that_train_nothing_are_refused() {
    let valid = TrainConfig::default();
    for config in [
        TrainConfig { window: 0, ..valid },
        TrainConfig { window: WINDOW_MAX + 1, ..valid },
        TrainConfig { rate: 0.0, ..valid },
        TrainConfig { rate: f32::NAN, ..valid },
        TrainConfig { rate: f32::INFINITY, ..valid },
        TrainConfig { dropout: 1.0, ..valid },
        TrainConfig { dropout: -0.1, ..valid },
        TrainConfig { hidden: 48, ..valid },
        TrainConfig { items: 3, ..valid },
    ] {
        let vocabulary = Arc::new(Vocabulary::new(vec![CategoryId(1)]));
        assert!(Trainer::new(vocabulary, &[0, 1], config).is_err(), "{config:?}");
    }
}

#[test]
fn the_same_seed_makes_the_same_model() {
    let config = TrainConfig { hidden: 32, samples: 3, items: 8, ..Default::default() };
    let run = |seed| {
        let mut trainer = trainer(TrainConfig { seed, ..config });
        trainer.epoch(&rounds(4), |_| ());
        trainer.into_model().to_bytes()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_first_step_is_as_long_as_the_rate_whatever_the_gradient() {
    let gradients = [1e-3_f32, -2.0, 500.0];
    let (mut adam, mut weights) = (Adam::new(3, 0.01), [0.0; 3]);
    for step in 1..=3 {
        let mut gradient = gradients;
        adam.begin();
        adam.update(&mut weights, &mut gradient, 0..3);
        assert_eq!(gradient, [0.0; 3], "forgotten");
        for (weight, of) in weights.iter().zip(gradients) {
            let expected = -0.01 * step as f32 * of.signum();
            assert!((weight / expected - 1.0).abs() < 0.01, "{weight} is not {expected}");
        }
    }
}

#[test]
fn candidates_are_corrected_by_the_chance_of_their_draw() {
    let config = TrainConfig { hidden: 32, samples: 2, ..Default::default() };
    let mut trainer = trainer(config);
    let mut seen = visits(3, 3);
    (seen[0].category, seen[1].category, seen[2].category) = (0, 5, 5);
    trainer.draw_candidates(&seen);
    assert!(trainer.candidates.is_sorted_by(|one, other| one.0 < other.0), "each once");
    assert!(trainer.candidates.iter().any(|one| one.0 == 5), "what came next competes");
    for (place, correction) in &trainer.candidates {
        assert_ne!(*place, 0, "nobody predicts what is unknown");
        assert_eq!(*correction, -trainer.sampler.chance(*place, 2).ln());
    }
}

#[test]
fn a_draw_counts_for_as_many_as_it_is_unlikely() {
    let sampler = Sampler::new(&[50, 1, 10, 100, 0]);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (draws, rounds) = (5, 4_000);
    let mut held = [0_u32; 5];
    for _ in 0..rounds {
        let drawn: Vec<_> = (0..draws).map(|_| sampler.draw(&mut random)).collect();
        (0..5).for_each(|place| held[place] += u32::from(drawn.contains(&place)));
    }
    assert_eq!((held[0], held[4]), (0, 0), "unknown and never seen");
    for (place, held) in held.iter().enumerate().take(4).skip(1) {
        let chance = f64::from(sampler.chance(place, draws));
        let found = f64::from(*held) / f64::from(rounds);
        assert!((found - chance).abs() < 0.03, "{place}: {found} is not {chance}");
    }
}
