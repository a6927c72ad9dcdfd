//! What calibration promises: it finds the truth, thin cells follow their parents, order stays, and
//! tables are bounded.

use super::*;
use crate::prediction::sigmoid;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const BASE: f32 = -4.0;

/// Shows `count` ads of a group whose true logit is `line` of the model's.
fn show(
    calibrator: &mut Calibrator,
    random: &mut ChaCha8Rng,
    (exchange, group): (u32, u16),
    count: u32,
    line: fn(f32) -> f32,
) {
    for _ in 0..count {
        let logit = BASE + 3.0 * random.random::<f32>() - 1.0;
        let is_clicked = random.random::<f32>() < sigmoid(line(logit));
        calibrator.learn(exchange, group, logit, is_clicked);
    }
}

/// Predicted over actual of the calibration, were the truth `line`, at one of the model's logits.
fn ratio(calibrator: &Calibrator, at: (u32, u16), logit: f32, line: fn(f32) -> f32) -> f32 {
    let snapshot = calibrator.snapshot();
    sigmoid(snapshot.on(at.0).of(at.1).apply(logit)) / sigmoid(line(logit))
}

#[test]
fn a_line_is_found_on_both_ends() {
    // Twice too high, and too sure of itself.
    let line = |logit: f32| 0.7 * logit - 2.0;
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut calibrator = Calibrator::new(BASE);
    let untouched = ratio(&calibrator, (1, 1), BASE + 1.0, line);
    assert!(untouched > 1.5, "{untouched}");
    show(&mut calibrator, &mut random, (1, 1), 240_000, line);
    for logit in [BASE - 0.5, BASE, BASE + 1.0, BASE + 1.5] {
        let found = ratio(&calibrator, (1, 1), logit, line);
        assert!((found - 1.0).abs() < 0.1, "{found} at {logit}");
    }
}

#[test]
fn a_thin_cell_follows_its_parent_and_a_thick_one_itself() {
    let (high, low) = (|logit: f32| logit - 0.6, |logit: f32| logit + 0.4);
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut calibrator = Calibrator::new(BASE);
    for group in 0..10 {
        show(&mut calibrator, &mut random, (1, group), 6_000, high);
    }
    // Unseen: as its exchange. On an unseen exchange: nearly as everything.
    let unseen = ratio(&calibrator, (1, 77), BASE + 1.0, high);
    assert!((unseen - 1.0).abs() < 0.1, "{unseen}");
    let elsewhere = ratio(&calibrator, (2, 77), BASE + 1.0, high);
    assert!((0.9..1.3).contains(&elsewhere), "{elsewhere}");
    // Five clicks more than expected are no reason to leave the parent; a thousand are.
    show(&mut calibrator, &mut random, (1, 50), 50, low);
    let thin = ratio(&calibrator, (1, 50), BASE + 1.0, high);
    assert!((0.85..1.25).contains(&thin), "{thin}");
    for _ in 0..60 {
        for group in 0..10 {
            show(&mut calibrator, &mut random, (1, group), 500, high);
        }
        show(&mut calibrator, &mut random, (1, 50), 1_000, low);
    }
    let thick = ratio(&calibrator, (1, 50), BASE + 1.0, low);
    assert!((thick - 1.0).abs() < 0.1, "{thick}");
    let others = ratio(&calibrator, (1, 3), BASE + 1.0, high);
    assert!((others - 1.0).abs() < 0.15, "{others}");
}

#[test]
fn it_follows_a_model_that_changes() {
    let (first, then) = (|logit: f32| logit - 0.5, |logit: f32| logit + 0.5);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut calibrator = Calibrator::new(BASE);
    // So much that, were all of it remembered for ever, as much again would only halve the error.
    show(&mut calibrator, &mut random, (1, 1), 400_000, first);
    show(&mut calibrator, &mut random, (1, 1), 400_000, then);
    let found = ratio(&calibrator, (1, 1), BASE + 0.5, then);
    assert!((found - 1.0).abs() < 0.25, "{found}");
}

#[test]
fn tables_are_bounded() {
    let mut calibrator = Calibrator::new(BASE);
    for exchange in 0..1_000 {
        calibrator.learn(exchange, u16::MAX, BASE, true);
    }
    assert_eq!(calibrator.exchanges.len(), EXCHANGES_MAX);
    let snapshot = calibrator.snapshot();
    assert_eq!(snapshot.exchanges.len(), EXCHANGES_MAX);
    // Those beyond have what everything has taught.
    let beyond = snapshot.on(999).of(7).apply(BASE);
    assert!(beyond > BASE, "{beyond}");
}

proptest! {
    #[test]
    fn order_stays_and_nothing_senseless_teaches(
        shown in prop::collection::vec((any::<u32>(), any::<u16>(), any::<f32>(), any::<bool>()), 0..200),
        first in -20f32..20.0,
        second in -20f32..20.0,
    ) {
        let mut calibrator = Calibrator::new(BASE);
        for (exchange, group, logit, is_clicked) in &shown {
            calibrator.learn(*exchange % 3, *group, *logit, *is_clicked);
        }
        let snapshot = calibrator.snapshot();
        for (exchange, group, ..) in shown.iter().take(20) {
            let platt = snapshot.on(*exchange % 3).of(*group);
            let (one, other) = (platt.apply(first), platt.apply(second));
            prop_assert!(one.is_finite() && other.is_finite());
            if first - second > 1e-3 {
                prop_assert!(one > other, "{platt:?}");
            }
            prop_assert!((platt.invert(one) - first).abs() < 1e-3);
        }
    }
}

/// Where another model serves, the line of the one before is where learning begins, and not where it
/// has nearly ended.
#[test]
fn another_model_is_calibrated_soon() {
    let (high, low) = (|logit: f32| logit - 0.5, |logit: f32| logit + 0.3);
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let mut calibrator = Calibrator::new(BASE);
    show(&mut calibrator, &mut random, (1, 1), 100_000, high);
    let before = ratio(&calibrator, (1, 1), BASE + 1.0, high);
    calibrator.loosen();
    let after = ratio(&calibrator, (1, 1), BASE + 1.0, high);
    assert_eq!(before, after, "no price jumps");
    let mut held = Calibrator::restore(BASE, calibrator.to_saved()).expect("sound");
    let one = &mut held.exchanges[0];
    for cell in [&mut held.everything, &mut one.own, &mut one.groups[1]] {
        (cell.slope_variance, cell.shift_variance) = (VARIANCE_MIN, VARIANCE_MIN);
    }
    for calibrator in [&mut calibrator, &mut held] {
        show(calibrator, &mut random, (1, 1), 4_000, low);
    }
    let [loose, tight] = [&calibrator, &held].map(|one| ratio(one, (1, 1), BASE + 1.0, low));
    assert!((loose - 1.0).abs() < 0.25 && tight < 0.65, "{loose} {tight}");
}
