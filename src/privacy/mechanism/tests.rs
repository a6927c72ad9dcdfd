//! The mathematics against reference vectors, and against what it must never do.

use super::*;
use crate::privacy::accountant::Rho;
use crate::privacy::tests::vectors;
use proptest::prelude::*;

/// The test's own scale: any multiple of a 1,024th.
fn scale(value: f64) -> Scale {
    let rho = Rho::at_least(0.5);
    // sigma^2 = S^2 at rho 1/2, so squares of whole numbers are exact; the rest goes by epsilon.
    if value.fract() == 0.0 {
        Scale::for_cost((value * value) as u128, rho).unwrap()
    } else {
        let scale = Scale::for_epsilon(1, 1.0 / value).unwrap();
        assert!((scale.as_f64() - value).abs() <= 1.0 / 1024.0);
        scale
    }
}

fn half() -> Rho {
    Rho::at_least(0.5)
}

/// The value that a chi-squared of `degrees` exceeds with probability 1e-6 (Wilson, Hilferty).
fn critical(degrees: f64) -> f64 {
    let part = 2.0 / (9.0 * degrees);
    degrees * (1.0 - part + 4.754 * part.sqrt()).powi(3)
}

/// Pearson's statistic of `draws` against the mass at `+-x` for each row (x, mass), with all the rest
/// in one bin; and its degrees of freedom.
fn chi_squared(draws: &[i64], mass: &[(i64, f64)]) -> (f64, f64) {
    let total = draws.len() as f64;
    let (mut statistic, mut bins) = (0.0, 0.0);
    let (mut seen_rest, mut rest) = (total, 1.0);
    let signed = mass.iter().flat_map(|&(x, mass)| {
        [(x, mass), (-x, mass)].into_iter().take(if x == 0 { 1 } else { 2 })
    });
    for (x, mass) in signed {
        let expected = mass * total;
        if expected >= 10.0 {
            let seen = draws.iter().filter(|&&draw| draw == x).count() as f64;
            statistic += (seen - expected).powi(2) / expected;
            bins += 1.0;
            seen_rest -= seen;
            rest -= mass;
        }
    }
    if rest * total >= 10.0 {
        statistic += (seen_rest - rest * total).powi(2) / (rest * total);
        bins += 1.0;
    }
    (statistic, bins - 1.0)
}

#[test]
fn samplers_draw_the_reference_distributions_and_biased_ones_are_noticed() {
    const DRAWS: usize = 20_000;
    let rows = vectors("sampler_pmf.csv", &["param(sigma2 or scale)", "x", "pmf"]);
    if rows.is_empty() {
        return;
    }
    let mut noise = NoiseSource::exact();
    let mut draw = |is_gaussian: bool, value: f64| -> Vec<i64> {
        let draws = if is_gaussian {
            noise.gaussian(scale(value), DRAWS)
        } else {
            noise.laplace(scale(value), DRAWS)
        };
        let mut draws = draws.unwrap();
        (0..DRAWS).map(|_| draws.noised(0).unwrap()).collect()
    };
    // The file's first 24 rows are Gaussians, whose 9/2 has no rational sigma.
    for (is_gaussian, parameter) in
        [(true, 1.0), (true, 100.0), (false, 1.0), (false, 3.5), (false, 100.0)]
    {
        let rows = if is_gaussian { &rows[..24] } else { &rows[24..] };
        let rows = rows.iter().filter(|row| row[0] == parameter);
        let mass: Vec<_> = rows.map(|row| (row[1] as i64, row[2])).collect();
        assert_eq!(mass.len(), 8);
        let value: f64 = if is_gaussian { f64::sqrt(parameter) } else { parameter };
        let is_plausible = |draws: &[i64]| {
            let (statistic, degrees) = chi_squared(draws, &mass);
            assert!(degrees >= 4.0, "{degrees} degrees compare nothing");
            statistic < critical(degrees)
        };
        let draws = draw(is_gaussian, value);
        assert!(is_plausible(&draws), "gaussian {is_gaussian}, {value}");
        // Half the noise; one that makes zero of every tenth draw; one that is never negative.
        assert!(!is_plausible(&draw(is_gaussian, value / 2.0)), "{value}: half");
        let zero_twice: Vec<_> =
            draws.iter().enumerate().map(|(at, &x)| if at % 10 == 0 { 0 } else { x }).collect();
        assert!(!is_plausible(&zero_twice), "{value}: zeros");
        let folded: Vec<_> = draws.iter().map(|x| x.abs()).collect();
        assert!(!is_plausible(&folded), "{value}: folded");
    }
}

#[test]
fn a_scale_is_rounded_up_and_refused_where_it_does_not_fit() {
    for (sensitivity, rho) in [(1_u128, 0.5), (3, 0.17), (60 * 3_007_176, 0.01), (7, 1e-9)] {
        let rho = Rho::at_least(rho);
        let sigma = Scale::for_cost(sensitivity, rho).unwrap().as_f64();
        let exact = (sensitivity as f64 / (2.0 * rho.as_f64())).sqrt();
        let step = if exact >= 1_024.0 { 1.0 } else { 1.0 / 1_024.0 };
        assert!(sigma >= exact * (1.0 - 1e-15) && sigma <= exact + step * 1.001, "{sigma} {exact}");
    }
    assert_eq!(Scale::for_cost(1, Rho::ZERO), None);
    assert_eq!(Scale::for_cost(0, half()), None);
    assert_eq!(Scale::for_cost(u128::MAX, half()), None);
    assert_eq!(Scale::for_cost(1 << 82, half()), None, "sigma 2^41");
    for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300] {
        assert_eq!(Scale::for_epsilon(1, epsilon), None, "{epsilon}");
    }
    assert_eq!(Scale::for_epsilon(2, 0.02).map(|b| b.as_f64().round()), Some(100.0));
    // The vectors' variances of the discrete Laplace.
    for (b, variance) in [(1.0, 1.841_347_188_42), (3.5, 24.334_011_408_1)] {
        assert!((scale(b).laplace_variance() / variance - 1.0).abs() < 1e-3, "{b}");
    }
}

#[test]
fn thresholds_are_the_references_to_the_unit() {
    for (file, parameter) in [
        ("threshold_discrete_laplace.csv", "scale_b"),
        ("threshold_discrete_gaussian.csv", "sigma2"),
    ] {
        let tau = "tau_min (release iff noisy>=tau)";
        let rows = vectors(file, &[parameter, "L0", "Linf", "delta_target", tau, "delta_achieved"]);
        for row in &rows {
            let tail = if parameter == "sigma2" {
                Tail::Gaussian(scale(row[0].sqrt()))
            } else {
                Tail::Laplace(scale(row[0]))
            };
            let ours = Threshold::lowest(tail, row[1] as u32, row[2] as u32, row[3]).unwrap();
            assert_eq!(ours.tau(), row[4] as i64, "{file} {row:?}");
            assert!((ours.delta() / row[5] - 1.0).abs() < 1e-9, "{file} {row:?}: {}", ours.delta());
        }
        assert!(rows.is_empty() || rows.len() == 60, "{file}: {}", rows.len());
    }
    let rows = vectors(
        "optimal_partition_selection.csv",
        &["eps", "delta", "n_users", "keep_probability"],
    );
    for row in &rows {
        let ours = keep_probability(row[0], row[1], row[2] as u32);
        assert!((ours - row[3]).abs() <= 1e-9 * row[3], "{row:?}: {ours}");
    }
    assert!(rows.is_empty() || rows.len() == 240);
}

#[test]
fn a_threshold_shows_from_its_bar_on_and_refuses_what_it_cannot_hold() {
    let threshold = Threshold::lowest(Tail::Laplace(scale(1.0)), 1, 1, 1e-6).unwrap();
    assert_eq!(threshold.tau(), 15);
    let mut noise = NoiseSource::planted(|| 0);
    let mut draws = noise.laplace(scale(1.0), 2).unwrap();
    assert_eq!(threshold.release(14, &mut draws), Ok(None));
    assert_eq!(threshold.release(15, &mut draws), Ok(Some(15)));
    assert!(threshold.release(15, &mut draws).is_err(), "no draw is left");
    let tail = Tail::Laplace(scale(1.0));
    for (cells, per_cell, delta) in [(0, 1, 1e-6), (1, 0, 1e-6), (1, 1, 0.0), (1, 1, f64::NAN)] {
        assert_eq!(Threshold::lowest(tail, cells, per_cell, delta), None);
    }
    assert_eq!(Threshold::lowest(Tail::Gaussian(scale(20_000.0)), 1, 1, 1e-6), None);
    // A tail falls by what is at the point left out, on both sides of zero.
    for tail in [Tail::Laplace(scale(3.5)), Tail::Gaussian(scale(2.0))] {
        let mass: f64 = (-200..200).map(|x| tail.at_least(x) - tail.at_least(x + 1)).sum();
        assert!((mass - 1.0).abs() < 1e-12);
        assert!((tail.at_least(1) + tail.at_least(0) - 1.0).abs() < 1e-15, "symmetric");
    }
}

/// Mean and maximum over the day of the mean absolute error at S = 1, rho = 1/2, before sigma is
/// rounded.
fn errors(norm_squared: f64, steps: usize, variance: impl Fn(usize) -> f64) -> (f64, f64) {
    let error = |step| (2.0 / std::f64::consts::PI * norm_squared * variance(step)).sqrt();
    let all: Vec<f64> = (1..=steps).map(error).collect();
    (all.iter().sum::<f64>() / steps as f64, all.iter().copied().fold(0.0, f64::max))
}

#[test]
fn integer_coefficients_cost_what_the_reference_says() {
    let mean = "mean_abs_error_at_rho_half";
    let max = "max_abs_error_at_rho_half";
    let columns = ["T", "fixed_point_bits", "column_norm_squared", mean, max];
    let rows = vectors("integer_toeplitz.csv", &columns);
    for row in rows.iter().filter(|row| !row[1].is_nan()) {
        let (steps, bits) = (row[0] as usize, row[1] as u32);
        let matrix = Toeplitz::new(steps, bits).unwrap();
        let unit = 4_f64.powi(bits as i32);
        let norm_squared = matrix.norm_squared() as f64;
        assert!((norm_squared / unit / row[2] - 1.0).abs() < 1e-11, "{row:?}");
        let (ours, ours_max) = errors(norm_squared, steps, |step| matrix.variance(step));
        assert!((ours / row[3] - 1.0).abs() < 1e-9, "{row:?}: {ours}");
        assert!((ours_max / row[4] - 1.0).abs() < 1e-9, "{row:?}: {ours_max}");
    }
    assert!(rows.is_empty() || rows.len() == 28, "{}", rows.len());
    for (steps, bits) in [(0, 10), (4_097, 10), (1, 21)] {
        assert!(Toeplitz::new(steps, bits).is_none());
    }
}

#[test]
fn errors_are_the_closed_form_of_each_mechanism() {
    let text = "mean_abs_error_per_release_at_rho_half";
    let max = "max_over_t_mean_abs_error";
    // Rows of one T are in one order; between ours are k-ary trees.
    let rows = vectors("continual_error_unit.csv", &["T", text, max]);
    let mut checked = 0;
    for rows in rows.chunk_by(|one, other| one[0] == other[0]) {
        let [.., honaker, _, toeplitz] = rows else { panic!("{rows:?}") };
        let steps = honaker[0] as usize;
        let tree = Honaker::new(steps).unwrap();
        let (mean, max) = errors(tree.norm_squared() as f64, steps, |step| tree.variance(step));
        assert!((mean / honaker[1] - 1.0).abs() < 1e-7, "{honaker:?}: {mean}");
        assert!((max / honaker[2] - 1.0).abs() < 1e-7, "{honaker:?}: {max}");
        if let Some(matrix) = Toeplitz::new(steps, 20) {
            let (mean, max) =
                errors(matrix.norm_squared() as f64, steps, |step| matrix.variance(step));
            assert!((mean / toeplitz[1] - 1.0).abs() < 1e-6, "{toeplitz:?}: {mean}");
            assert!((max / toeplitz[2] - 1.0).abs() < 1e-6, "{toeplitz:?}: {max}");
        }
        checked += 1;
    }
    assert!(checked == 0 || checked == 16, "{checked}");
    assert!(Honaker::new(0).is_none() && Honaker::new((1 << 20) + 1).is_none());
}

/// A stream of `counts` through the real halves: the estimate after each step.
fn estimates(
    mechanism: &Continual,
    counts: &[i64],
    noise: &mut NoiseSource,
    sigma: Scale,
) -> Vec<f64> {
    let (mut raw, mut seen) = (RawStream::default(), ReleasedStream::default());
    let all: usize = (1..=counts.len()).map(|step| mechanism.values_at(step)).sum();
    let mut draws = noise.gaussian(sigma, all).unwrap();
    let step = |&count: &i64| {
        let mut released = Vec::new();
        assert_eq!(raw.draws(mechanism), seen.values(mechanism));
        raw.release(mechanism, count, &mut draws, &mut released).unwrap();
        seen.push(mechanism, &released).unwrap();
        seen.estimate(mechanism)
    };
    counts.iter().map(step).collect()
}

#[test]
fn real_noise_has_the_error_of_the_closed_form() {
    for (mechanism, expected) in
        [(Continual::toeplitz(288).unwrap(), 2.155), (Continual::honaker(288).unwrap(), 3.621)]
    {
        let sigma = mechanism.scale(1, half()).unwrap();
        let mut noise = NoiseSource::exact();
        let runs: Vec<f64> = (0..150)
            .map(|_| {
                let errors = estimates(&mechanism, &[0; 288], &mut noise, sigma);
                errors.iter().map(|error| error.abs()).sum::<f64>() / 288.0
            })
            .collect();
        let count = runs.len() as f64;
        let mean = runs.iter().sum::<f64>() / count;
        let spread = runs.iter().map(|run| (run - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let interval = 5.0 * (spread / count).sqrt();
        println!("{mean:.3} +- {interval:.3}, closed form {expected}");
        assert!((mean - expected).abs() < interval, "{mean} +- {interval}, not {expected}");
        assert!(interval < 0.15 * expected, "too few runs to say anything: {interval}");
    }
}

#[test]
fn a_day_has_its_steps_and_a_step_its_values() {
    for mechanism in [Continual::toeplitz(2).unwrap(), Continual::honaker(2).unwrap()] {
        let mut draws = NoiseSource::planted(|| 0).gaussian(scale(1.0), 8).unwrap();
        let (mut raw, mut seen) = (RawStream::default(), ReleasedStream::default());
        for _ in 0..2 {
            let mut released = Vec::new();
            raw.release(&mechanism, 1, &mut draws, &mut released).unwrap();
            let too_many = [&released[..], &[0]].concat();
            assert!(matches!(
                seen.push(&mechanism, &too_many),
                Err(crate::privacy::Error::Released { .. })
            ));
            seen.push(&mechanism, &released).unwrap();
        }
        let used_up = crate::privacy::Error::StepsUsedUp;
        assert_eq!(raw.release(&mechanism, 1, &mut draws, &mut Vec::new()), Err(used_up.clone()));
        assert_eq!(seen.push(&mechanism, &[0]), Err(used_up));
        assert!((seen.estimate(&mechanism) - 2.0).abs() < 1e-12);
        // Without draws nothing leaves.
        let mut none = NoiseSource::planted(|| 0).gaussian(scale(1.0), 0).unwrap();
        let mut released = Vec::new();
        assert!(RawStream::default().release(&mechanism, 1, &mut none, &mut released).is_err());
        assert!(released.is_empty());
    }
}

#[test]
fn above_threshold_says_so_once_and_for_all() {
    let mut noise = NoiseSource::planted(|| 0);
    let mut run = AboveThreshold::begin(100, 0.02, &mut noise).unwrap().unwrap();
    for (count, is_above) in [(0, false), (99, false), (100, true), (0, true)] {
        assert_eq!(run.ask(count, &mut noise), Ok(is_above), "{count}");
    }
    // Noise on the threshold and noise on the question are two draws.
    let mut draws = [30_i64, -5, 40].into_iter();
    let mut noise = NoiseSource::planted(move || draws.next().unwrap_or(0));
    let mut run = AboveThreshold::begin(100, 0.02, &mut noise).unwrap().unwrap();
    assert_eq!(run.ask(134, &mut noise), Ok(false));
    assert_eq!(run.ask(90, &mut noise), Ok(true));
    for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(AboveThreshold::begin(100, epsilon, &mut noise).unwrap().is_none(), "{epsilon}");
    }
    assert_eq!(AboveThreshold::cost(0.02).picos(), 200_000_001);
    assert_eq!(AboveThreshold::cost(f64::NAN).picos(), u64::MAX);
}

fn mechanisms(steps: usize) -> [Continual; 2] {
    [Continual::toeplitz(steps).unwrap(), Continual::honaker(steps).unwrap()]
}

/// Released integers of a stream without noise: `C x`.
fn image(mechanism: &Continual, counts: &[i64]) -> Vec<i64> {
    let all: usize = (1..=counts.len()).map(|step| mechanism.values_at(step)).sum();
    let mut draws = NoiseSource::planted(|| 0).gaussian(scale(1.0), all).unwrap();
    let (mut raw, mut released) = (RawStream::default(), Vec::new());
    for &count in counts {
        raw.release(mechanism, count, &mut draws, &mut released).unwrap();
    }
    released
}

fn squared_norm(values: &[i64]) -> u128 {
    values.iter().map(|&value| u128::from(value.unsigned_abs()).pow(2)).sum()
}

#[test]
fn the_bound_is_attained_and_the_tempting_one_is_not_a_bound() {
    for mechanism in mechanisms(288) {
        let norm_squared = u128::from(mechanism.norm_squared());
        // All of a user's day at the first tick.
        let mut counts = [0; 288];
        counts[0] = 4;
        assert_eq!(squared_norm(&image(&mechanism, &counts)), 16 * norm_squared);
        // Three hits side by side against sqrt(c): more than twice too little noise.
        let adjacent = squared_norm(&image(&mechanism, &[1, 1, 1]));
        assert!(adjacent <= 9 * norm_squared);
    }
    let matrix = Continual::toeplitz(288).unwrap();
    let counts: Vec<i64> = (0..288).map(|step| i64::from(step < 3)).collect();
    let ratio = squared_norm(&image(&matrix, &counts)) as f64 / matrix.norm_squared() as f64;
    assert!(ratio.sqrt() > 1.4 * 3_f64.sqrt(), "{ratio}");
}

proptest! {
    #[test]
    fn no_day_changes_the_released_vector_by_more_than_its_bound(
        // (c, K, B) and events (tick, cell), of which those within the bound are counted.
        (per_cell, cells, total) in (1_u64..6, 1_usize..5, 1_u64..12),
        events in prop::collection::vec((0_usize..32, 0_usize..6), 0..60),
        begins in 0_usize..32,
    ) {
        for mechanism in mechanisms(32) {
            let mut counts = vec![[0_i64; 32]; 6];
            let mut sums = [0_u64; 6];
            for &(tick, cell) in &events {
                let is_new = sums[cell] == 0;
                let has_room = !is_new || sums.iter().filter(|&&sum| sum > 0).count() < cells;
                if has_room && sums[cell] < per_cell && sums.iter().sum::<u64>() < total {
                    sums[cell] += 1;
                    counts[cell][tick] += 1;
                }
            }
            // A restart at `begins`: two segments, of which each forgets the other.
            let squared: u128 = counts.iter().map(|counts| {
                let (before, after) = counts.split_at(begins);
                squared_norm(&image(&mechanism, before)) + squared_norm(&image(&mechanism, after))
            }).sum();
            let sensitivity = (cells as u64 * per_cell * per_cell).min(total * per_cell);
            let bound = u128::from(sensitivity) * u128::from(mechanism.norm_squared());
            prop_assert!(squared <= bound, "{squared} above {bound}");
        }
    }

    #[test]
    fn without_noise_an_estimate_is_the_total(
        counts in prop::collection::vec(0_i64..1_000_000, 1..80),
    ) {
        for mechanism in mechanisms(80) {
            let mut noise = NoiseSource::planted(|| 0);
            let found = estimates(&mechanism, &counts, &mut noise, scale(1.0));
            let mut total = 0;
            for (count, estimate) in counts.iter().zip(found) {
                total += count;
                prop_assert!((estimate - total as f64).abs() < 1e-6, "{estimate} {total}");
            }
        }
    }

    #[test]
    fn extremes_are_held_in_range_and_never_panic(
        counts in prop::collection::vec(prop_oneof![Just(i64::MAX), Just(i64::MIN), any::<i64>()], 1..40),
        noise in prop_oneof![Just(i64::MAX), Just(i64::MIN), any::<i64>()],
    ) {
        for mechanism in mechanisms(40) {
            let mut source = NoiseSource::planted(move || noise);
            let found = estimates(&mechanism, &counts, &mut source, scale(1.0));
            prop_assert!(found.iter().all(|estimate| estimate.is_finite()));
        }
    }
}
