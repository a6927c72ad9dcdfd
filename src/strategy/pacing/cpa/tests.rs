use super::*;
use crate::units::Nanos;
use std::collections::BTreeMap;

const PERIOD_MS: i64 = 180_000;
const DAY_PERIODS: i64 = 480;

fn target() -> Target {
    Target::cpa(1_000, 1_000_000).expect("a target")
}

/// Shows 10 units a period, each for its target, and lets `rate` of them convert, exponentially late by
/// a mean of `delay_ms`: by quantiles, so that nothing is left to chance.
fn run(cpa: &mut Cpa, periods: i64, rate: impl Fn(i64) -> f64, delay_ms: f64) {
    let (mut owed, mut count, mut coming) = (0.0, 0, BTreeMap::new());
    for period in 0..periods {
        let now = Timestamp(period * PERIOD_MS);
        while let Some(due) = coming.first_entry().filter(|due: &Due<'_>| due.key().0 <= now) {
            let at = due.key().0;
            cpa.convert(at, due.remove(), Nanos::ZERO);
        }
        cpa.tick(now, 10.0 * period as f64 * target().cost.0 as f64, PERIOD_MS, false);
        cpa.show(10.0);
        owed += 10.0 * rate(period);
        while owed >= 1.0 {
            owed -= 1.0;
            count += 1;
            let quantile = (f64::from(count) * 0.618_033_988_75).fract();
            let wait_ms = (-(1.0 - quantile).ln() * delay_ms) as i64;
            coming.insert((now.plus_millis(1 + wait_ms), count), now.plus_millis(1));
        }
    }
}

type Due<'a> = std::collections::btree_map::OccupiedEntry<'a, (Timestamp, i32), Timestamp>;

#[test]
fn nothing_moves_below_ten_estimated_conversions() {
    let mut cpa = Cpa::new(target());
    for period in 0..100 {
        cpa.tick(Timestamp(period * PERIOD_MS), 1e12, PERIOD_MS, false);
        cpa.show(0.09);
    }
    assert_eq!(cpa.ln(), 0.0);
    // With more behind it, it moves.
    let mut cpa = Cpa::new(target());
    run(&mut cpa, 100, |_| 0.5, 0.0);
    assert_ne!(cpa.ln(), 0.0);
}

#[test]
fn the_calibration_is_observed_over_predicted_at_any_delay() {
    for (rate, delay_ms) in [(1.0, 0.0), (0.5, 0.0), (1.5, 0.0), (0.5, 7.2e6), (1.5, 7.2e6)] {
        let mut cpa = Cpa::new(target());
        run(&mut cpa, DAY_PERIODS, |_| rate, delay_ms);
        assert!((cpa.ratio / rate - 1.0).abs() < 0.1, "{rate} {delay_ms}: {}", cpa.ratio);
    }
}

#[test]
fn a_change_shortens_the_memory_and_the_memory_comes_back() {
    let halved = |periods| {
        let mut cpa = Cpa::new(target());
        run(&mut cpa, periods, |period| if period < 240 { 1.0 } else { 0.5 }, 0.0);
        cpa
    };
    let at = |period: i64| Timestamp((period - 1) * PERIOD_MS);
    assert!(!halved(240).change.is_recent(at(240)), "conversions that come as expected");
    let soon = halved(260);
    assert!(soon.change.is_recent(at(260)), "found within the hour");
    // A twentieth of a day after the change half of the evidence is new; the usual memory has a fifth.
    let later = halved(240 + 24);
    assert!(later.ratio < 0.8, "{}", later.ratio);
    assert!(!halved(480).change.is_recent(at(480)), "and at rest by night");
}

#[test]
fn dear_orders_count_for_more_and_none_for_too_much() {
    let roas = Target::roas(4_000_000, 40_000_000, 1_000_000).expect("a target");
    assert_eq!(roas.cost, Nanos(10_000_000_000), "40 of value for 10");
    let mut cpa = Cpa::new(roas);
    cpa.tick(Timestamp(0), 0.0, PERIOD_MS, false);
    let seen = |cpa: &Cpa| cpa.cohorts[0].seen;
    for (value, units) in [(40, 1.0), (20, 1.5), (0, 1.5), (1_000_000_000, 1.5 + UNITS_MAX)] {
        cpa.convert(Timestamp(9), Timestamp(1), Nanos(value * 1_000_000_000));
        assert!((seen(&cpa) - units).abs() < 1e-9, "{value}: {}", seen(&cpa));
    }
    cpa.convert(Timestamp(9), Timestamp(-1), Nanos(40_000_000_000));
    assert!((seen(&cpa) - 11.5).abs() < 1e-9, "what was shown before has no promise here");
    assert_eq!(cpa.seen, 5);
}

#[test]
fn the_feedback_does_not_rise_where_the_budget_holds_the_bid() {
    let feedback = |is_held_lower| {
        let mut cpa = Cpa::new(target());
        for period in 0..100 {
            cpa.tick(Timestamp(period * PERIOD_MS), period as f64, PERIOD_MS, is_held_lower);
            cpa.show(10.0);
        }
        cpa.ln_feedback
    };
    assert_eq!((feedback(true), feedback(false)), (0.0, LN_CPA_MAX));
}

#[test]
fn another_target_keeps_what_is_known_where_it_counts_the_same() {
    let mut cpa = Cpa::new(target());
    run(&mut cpa, 100, |_| 0.5, 0.0);
    let known = cpa.ratio;
    let dearer = Target::cpa(2_000, 1_000_000).expect("a target");
    assert_eq!(cpa.aimed_at(dearer).map(|cpa| (cpa.ratio, cpa.target)), Some((known, dearer)));
    let other = Target::cpa(2_000, 500_000).expect("a target");
    assert!(Cpa::new(dearer).aimed_at(other).is_none());
}

#[test]
fn months_fit_into_the_cohorts_and_nothing_is_lost_of_one() {
    let mut cpa = Cpa::new(target());
    for period in 0..30 * DAY_PERIODS {
        cpa.tick(Timestamp(period * PERIOD_MS), period as f64, PERIOD_MS, false);
        cpa.show(1.0);
    }
    assert!(cpa.cohorts.len() <= COHORTS_MAX);
    let promised: f64 = cpa.cohorts.iter().map(|cohort| cohort.promised).sum();
    assert!((promised - 30.0 * DAY_PERIODS as f64).abs() < 1e-3, "{promised}");
    let now_ms = (30 * DAY_PERIODS * PERIOD_MS) as f64;
    let gaps = cpa.cohorts.iter().zip(cpa.cohorts.iter().skip(1)).map(|(one, next)| {
        (next.middle_ms - one.middle_ms) / (now_ms - one.middle_ms).max(20.0 * PERIOD_MS as f64)
    });
    let widest = gaps.fold(0.0, f64::max);
    assert!(widest < 0.1, "each spans a small part of its age: {widest}");
    cpa.tick(Timestamp(70 * DAY_PERIODS * PERIOD_MS), 0.0, PERIOD_MS, false);
    assert_eq!(cpa.cohorts.len(), 1, "the rest is forgotten");
}

/// The same shows and conversions as [`run`], told as a sum with noise every twenty periods.
fn run_on_releases(rate: f64, noise: impl Fn(i64) -> f64, variance: f64) -> Cpa {
    let mut cpa = Cpa::new(target()).on_releases();
    cpa.release(ReleasedSum { day: 0, seen: 0.0, variance: 0.0, rate: 1.0 });
    let mut sum = 0.0;
    for period in 0..DAY_PERIODS {
        let now = Timestamp(period * PERIOD_MS);
        if period > 0 && period % 20 == 0 {
            cpa.release(ReleasedSum { day: 0, seen: sum + noise(period), variance, rate: 1.0 });
        }
        cpa.tick(now, 10.0 * period as f64 * target().cost.0 as f64, PERIOD_MS, false);
        cpa.show(10.0);
        cpa.convert(now, now, Nanos::ZERO);
        // Half an hour late, as the first guess has them on average.
        sum = rate * 10.0 * (period as f64 - DELAY_PRIOR_MS / PERIOD_MS as f64).max(0.0);
    }
    cpa
}

#[test]
fn on_releases_the_calibration_is_of_released_conversions() {
    for rate in [0.5, 1.0, 1.5] {
        let cpa =
            run_on_releases(rate, |period| if period % 40 == 0 { 30.0 } else { -30.0 }, 900.0);
        assert!((cpa.ratio / rate - 1.0).abs() < 0.1, "{rate}: {}", cpa.ratio);
        assert_eq!(cpa.seen, 0, "single ones are not heard");
    }
    // Noise that hides everything leaves the promise as it is, and no sum below zero breaks it.
    let hidden = run_on_releases(0.5, |_| -1e6, 1e12);
    assert!((hidden.ratio - 1.0).abs() < 0.01 && hidden.ln().is_finite(), "{}", hidden.ratio);
    let (fewer, more) =
        (run_on_releases(0.5, |_| 0.0, 900.0), run_on_releases(1.5, |_| 0.0, 900.0));
    assert!(fewer.ln() < more.ln() - 1.0, "{} {}", fewer.ln(), more.ln());
}
