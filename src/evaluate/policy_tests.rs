//! Off-policy values against what is known in closed form: a logged policy and a target over two
//! kinds of users and three actions, whose true values are sums of six products.

use super::policy::{Estimator, Terms, Value};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::num::NonZeroUsize;

const ACTIONS: usize = 3;
/// Probability of a reward by kind of user and action.
const REWARD: [[f64; ACTIONS]; 2] = [[0.1, 0.3, 0.6], [0.5, 0.2, 0.05]];
/// The policies that made the log and that is asked about.
const LOGGING: [[f64; ACTIONS]; 2] = [[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]];
const TARGET: [[f64; ACTIONS]; 2] = [[0.1, 0.2, 0.7], [0.8, 0.1, 0.1]];
/// Share of users of the first kind.
const FIRST: f64 = 0.4;

fn true_value(policy: &[[f64; ACTIONS]; 2]) -> f64 {
    let of = |kind: usize| policy[kind].iter().zip(REWARD[kind]).map(|(p, r)| p * r).sum::<f64>();
    FIRST * of(0) + (1.0 - FIRST) * of(1)
}

fn estimator(seed: u64, replicates: usize) -> Estimator {
    Estimator::new(seed ^ 0xb007, NonZeroUsize::new(replicates).expect("some"))
}

/// The value of the target by a log of `rows` rows, with these propensities put down and this reward
/// model.
fn estimate(
    mut estimator: Estimator,
    seed: u64,
    rows: usize,
    told: impl Fn(usize, usize) -> f64,
    model: impl Fn(usize, usize) -> f64,
) -> Value {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..rows {
        let kind = usize::from(random.random::<f64>() >= FIRST);
        let mut left = random.random::<f64>();
        let mut action = 0;
        while action + 1 < ACTIONS && left >= LOGGING[kind][action] {
            left -= LOGGING[kind][action];
            action += 1;
        }
        let is_rewarded = random.random::<f64>() < REWARD[kind][action];
        estimator.add(&Terms {
            weight: TARGET[kind][action] / told(kind, action),
            reward: f64::from(u8::from(is_rewarded)),
            expected: Some((0..ACTIONS).map(|b| TARGET[kind][b] * model(kind, b)).sum()),
            predicted: Some(model(kind, action)),
        });
    }
    estimator.value()
}

/// Means over several logs, with the standard error of each.
fn means(
    told: impl Fn(usize, usize) -> f64 + Copy,
    model: impl Fn(usize, usize) -> f64 + Copy,
) -> [(f64, f64); 3] {
    const LOGS: u64 = 12;
    let values: Vec<_> =
        (0..LOGS).map(|seed| estimate(estimator(seed, 1), seed, 8_000, told, model)).collect();
    let of = |pick: fn(&Value) -> f64| {
        let mean = values.iter().map(pick).sum::<f64>() / LOGS as f64;
        let squares = values.iter().map(|value| (pick(value) - mean).powi(2)).sum::<f64>();
        (mean, (squares / (LOGS - 1) as f64 / LOGS as f64).sqrt())
    };
    [
        of(|value| value.ips.value),
        of(|value| value.snips.value),
        of(|value| value.dr.expect("a model").value),
    ]
}

fn right_propensity(kind: usize, action: usize) -> f64 {
    LOGGING[kind][action]
}

fn wrong_propensity(_: usize, _: usize) -> f64 {
    1.0 / ACTIONS as f64
}

fn right_model(kind: usize, action: usize) -> f64 {
    REWARD[kind][action]
}

fn wrong_model(_: usize, action: usize) -> f64 {
    [0.9, 0.05, 0.3][action]
}

/// How many standard errors a mean lies from the truth.
fn errors_off((mean, error): (f64, f64)) -> f64 {
    (mean - true_value(&TARGET)).abs() / error
}

#[test]
fn ips_and_dr_are_unbiased_where_propensities_are_true() {
    for mean in means(right_propensity, right_model).into_iter() {
        assert!(errors_off(mean) < 4.0, "{mean:?}");
    }
    // DR with a wrong model, since its residuals are weighed truly.
    let [ips, _, dr] = means(right_propensity, wrong_model);
    assert!(errors_off(ips) < 4.0 && errors_off(dr) < 4.0, "{ips:?} {dr:?}");
}

#[test]
fn wrong_propensities_bias_ips_and_dr_survives_one_wrong_of_both() {
    let [ips, snips, dr] = means(wrong_propensity, right_model);
    assert!(errors_off(ips) > 10.0, "wrong propensities went unseen: {ips:?}");
    assert!(errors_off(snips) > 10.0, "{snips:?}");
    assert!(errors_off(dr) < 4.0, "a true model was not enough: {dr:?}");
    let [_, _, dr] = means(wrong_propensity, wrong_model);
    assert!(errors_off(dr) > 10.0, "nothing can survive both: {dr:?}");
}

#[test]
fn intervals_cover_the_truth_as_often_as_they_say() {
    let (mut ips, mut dr, mut logged) = (0, 0, 0);
    let covers = |estimate: super::policy::Estimate, truth: f64| {
        u32::from(estimate.low <= truth && truth <= estimate.high)
    };
    const LOGS: u64 = 40;
    const ROWS: usize = 1_000;
    const REPLICATES: usize = 120;
    for seed in 100..100 + LOGS {
        let drawn = estimator(seed, REPLICATES);
        let value = estimate(drawn, seed, ROWS, right_propensity, right_model);
        ips += covers(value.ips, true_value(&TARGET));
        dr += covers(value.dr.expect("a model"), true_value(&TARGET));
        logged += covers(value.logged, true_value(&LOGGING));
    }
    // 38 of 40 are expected; below 33 or a row of 40 with no width come once in 300 tests.
    for covered in [ips, dr, logged] {
        assert!(covered >= 33, "{ips} {dr} {logged} of {LOGS}");
    }
    let value = estimate(estimator(1, 1_000), 1, ROWS, right_propensity, right_model);
    let width = value.ips.high - value.ips.low;
    // 1.96 standard errors to both sides, in closed form.
    let second: f64 = [(0, FIRST), (1, 1.0 - FIRST)]
        .iter()
        .flat_map(|&(kind, share)| {
            (0..ACTIONS)
                .map(move |a| share * TARGET[kind][a].powi(2) / LOGGING[kind][a] * REWARD[kind][a])
        })
        .sum();
    let expected = 2.0 * 1.96 * ((second - true_value(&TARGET).powi(2)) / ROWS as f64).sqrt();
    assert!((width / expected - 1.0).abs() < 0.15, "{width} where {expected} is expected");
}

#[test]
fn weights_tell_how_much_the_log_knows() {
    let mut four = estimator(1, 9);
    for weight in [1.0, 1.0, 2.0, 0.0] {
        four.add(&Terms { weight, reward: 1.0, expected: None, predicted: None });
    }
    let value = four.value();
    assert_eq!(value.rows, 4);
    assert_eq!((value.mean_weight, value.max_weight), (1.0, 2.0));
    assert!((value.effective_rows - 16.0 / 6.0).abs() < 1e-12);
    assert_eq!((value.dm, value.dr), (None, None), "no model was given");
    assert_eq!(value.snips.value, 1.0);
    assert_eq!(estimator(1, 9).value().rows, 0, "nothing is no division by nothing");
}
