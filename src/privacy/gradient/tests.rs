use super::*;
use crate::privacy::accountant::Rho;
use crate::privacy::mechanism::NoiseSource;
use crate::privacy::zcdp;
use proptest::prelude::*;

const UNIT: f64 = Gradient::UNIT as f64;

fn gradient(slopes: &[(u32, f32)]) -> Gradient {
    Gradient::clipped(&mut slopes.to_vec())
}

fn squared_norm(gradient: &Gradient) -> u64 {
    gradient.parts().iter().map(|(_, units)| u64::from(units.unsigned_abs()).pow(2)).sum()
}

fn any_slope() -> impl Strategy<Value = f32> {
    prop_oneof![-2.0_f32..2.0, any::<f32>(), Just(f32::MAX), Just(f32::NAN), Just(1e-9)]
}

proptest! {
    #[test]
    fn no_gradient_is_longer_than_one(
        slopes in prop::collection::vec((0u32..40, any_slope()), 0..80),
    ) {
        let norm = squared_norm(&gradient(&slopes));
        prop_assert!(norm <= (UNIT * UNIT) as u64, "{norm}");
    }

    #[test]
    fn a_short_gradient_is_kept_to_half_a_unit(
        slopes in prop::collection::btree_map(0u32..400, -0.2_f32..0.2, 0..20),
    ) {
        let slopes: Vec<_> = slopes.into_iter().collect();
        let kept = gradient(&slopes);
        for (at, slope) in slopes {
            let found = kept.parts().iter().find(|(place, _)| *place == at).map_or(0, |one| one.1);
            prop_assert!((f64::from(found) - f64::from(slope) * UNIT).abs() <= 0.5);
        }
    }
}

#[test]
fn slopes_of_one_coordinate_add_up_before_the_norm_is_taken() {
    // Apart they would be of length 1.27, together they are nothing.
    let kept = gradient(&[(3, 0.9), (7, 0.25), (3, -0.9)]);
    assert_eq!(kept.parts(), [(7, Gradient::UNIT as i32 / 4)]);
    let kept = gradient(&[(1, 0.9), (1, 0.9)]);
    assert_eq!(kept.parts(), [(1, Gradient::UNIT as i32)]);
}

/// A plan of so many ticks and examples, with as little noise as can be asked for.
fn plan(dimensions: usize, examples: u16, steps: usize) -> GradientPlan {
    GradientPlan::new(dimensions, examples, steps, Rho::within(30.0, 1e-6)).unwrap()
}

/// Slopes, and the tick that they are taught in.
type InTick = (usize, Vec<(u32, f32)>);

/// What a day of (tick, gradient)s becomes in released integers without noise.
fn released(plan: &GradientPlan, taught: &[(usize, Gradient)]) -> Vec<i64> {
    let mut raw = RawGradients::begin(plan);
    let mut silent = NoiseSource::planted(|| 0);
    let ticks = (0..plan.steps()).map(|tick| {
        let mut sums = GradientSums::new(plan.dimensions());
        taught.iter().filter(|(at, _)| *at == tick).for_each(|(_, one)| sums.add(one));
        raw.release(&sums, &mut silent).unwrap()
    });
    ticks.flatten().collect()
}

fn distance(one: &[i64], other: &[i64]) -> f64 {
    let squares = one.iter().zip(other).map(|(one, other)| ((one - other) as f64).powi(2));
    squares.sum::<f64>().sqrt()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_users_day_moves_what_is_released_by_at_most_its_sensitivity(
        own in prop::collection::vec((0usize..6, prop::collection::vec((0u32..5, any_slope()), 0..5)), 0..4),
        others in prop::collection::vec((0usize..6, prop::collection::vec((0u32..5, any_slope()), 0..5)), 0..9),
    ) {
        let plan = plan(5, 3, 6);
        let taught = |all: &[&[InTick]]| -> Vec<(usize, Gradient)> {
            let all = all.iter().copied().flatten();
            all.map(|(tick, slopes)| (*tick, gradient(slopes))).collect()
        };
        // At most three of the user's, wherever in the day they lie.
        let own = &own[..own.len().min(3)];
        let with = released(&plan, &taught(&[&others, own]));
        let without = released(&plan, &taught(&[&others]));
        let most = 3.0 * UNIT * (plan.matrix().norm_squared() as f64).sqrt();
        prop_assert!(distance(&with, &without) <= most * (1.0 + 1e-12));
    }
}

#[test]
fn the_sensitivity_is_reached_and_the_root_of_the_number_of_examples_is_not_enough() {
    let plan = plan(2, 3, 6);
    let three: Vec<_> = (0..3).map(|_| (0, gradient(&[(1, -5.0)]))).collect();
    let moved = distance(&released(&plan, &three), &released(&plan, &[]));
    let column = UNIT * (plan.matrix().norm_squared() as f64).sqrt();
    assert!((moved / (3.0 * column) - 1.0).abs() < 1e-9, "{}", moved / column);
    // In neighbouring ticks columns overlap: far beyond sqrt(3).
    let spread: Vec<_> = (0..3).map(|tick| (tick, gradient(&[(1, -5.0)]))).collect();
    let moved = distance(&released(&plan, &spread), &released(&plan, &[]));
    assert!(moved / column > 1.3 * 3.0_f64.sqrt(), "{}", moved / column);
}

#[test]
fn estimates_are_the_sums_so_far_over_segments_too() {
    let plan = plan(3, 1, 4);
    let mut public = ReleasedGradients::begin(&plan);
    let mut silent = NoiseSource::planted(|| 0);
    let mut expected = [0.0; 3];
    for segment in 0..2_u8 {
        let mut raw = RawGradients::begin(&plan);
        for tick in 0..2_u8 {
            let slope = 0.125 * f32::from(tick + 1) - 0.5 * f32::from(segment);
            let mut sums = GradientSums::new(3);
            sums.add(&gradient(&[(2, slope), (1, -slope), (9, 0.5)]));
            expected[2] += f64::from(slope);
            expected[1] -= f64::from(slope);
            public.push(&raw.release(&sums, &mut silent).unwrap()).unwrap();
            let totals = public.totals(7);
            for (sum, expected) in totals.sums.iter().zip(expected) {
                assert!((sum - expected).abs() < 1e-9, "{totals:?}");
            }
        }
        public.begin_segment();
    }
    let variance = public.totals(7).variance;
    assert!((variance - 2.0 * plan.variance(2)).abs() < 1e-12, "variances of segments add up");
    assert!(public.push(&[1, 2]).is_err(), "of another plan");
}

/// The noise of a coordinate as it is, against what the plan declares.
#[test]
fn the_noise_has_the_declared_deviation() {
    let plan = GradientPlan::new(4_000, 2, 3, Rho::within(1.0, 1e-6)).unwrap();
    let mut raw = RawGradients::begin(&plan);
    let mut public = ReleasedGradients::begin(&plan);
    let mut noise = NoiseSource::exact();
    let sums = GradientSums::new(4_000);
    for _ in 0..3 {
        public.push(&raw.release(&sums, &mut noise).unwrap()).unwrap();
    }
    let totals = public.totals(0);
    let squares: f64 = totals.sums.iter().map(|sum| sum * sum).sum::<f64>() / 4_000.0;
    // Six standard deviations of a variance of 4,000 draws.
    assert!((squares / totals.variance - 1.0).abs() < 6.0 * (2.0 / 4_000.0_f64).sqrt());
    assert!(raw.release(&sums, &mut noise).is_err(), "a day has three ticks");
}

/// An estimate of the hockey-stick divergence at `epsilon` between days with and without a user who
/// teaches `own`, from the mechanism's own draws. The noise is Gaussian, so the privacy loss is told
/// by one number: what was released, along the direction in which the user moves it.
fn divergence(plan: &GradientPlan, own: &[(usize, Gradient)], sigma: f64, epsilon: f64) -> f64 {
    const RUNS: usize = 4_000;
    let moved: Vec<f64> = released(plan, own).into_iter().map(|value| value as f64).collect();
    let squared: f64 = moved.iter().map(|value| value * value).sum();
    let mut noise = NoiseSource::exact();
    let mut share = |own: &[(usize, Gradient)]| {
        let beyond = (0..RUNS).filter(|_| {
            let mut raw = RawGradients::begin(plan);
            let seen = (0..plan.steps()).map(|tick| {
                let mut sums = GradientSums::new(plan.dimensions());
                own.iter().filter(|(at, _)| *at == tick).for_each(|(_, one)| sums.add(one));
                raw.release(&sums, &mut noise).unwrap()[0] as f64
            });
            let along: f64 = seen.zip(&moved).map(|(seen, moved)| seen * moved).sum();
            (along - squared / 2.0) / (sigma * sigma) > epsilon
        });
        beyond.count() as f64 / RUNS as f64
    };
    share(own) - epsilon.exp() * share(&[])
}

#[test]
fn the_claim_holds_on_the_mechanisms_own_draws_and_weaker_ones_are_caught() {
    let (rho, epsilon) = (Rho::at_least(0.5), 1.0);
    let plan = GradientPlan::new(1, 2, 2, rho).unwrap();
    let claimed = zcdp::delta(rho.as_f64(), epsilon);
    let slope = |slope: f32| gradient(&[(0, slope)]);
    let teaches = |ticks: &[usize]| ticks.iter().map(|at| (*at, slope(9.0))).collect::<Vec<_>>();
    // Four standard deviations of the two shares, the second counted e times.
    let error = 4.0 * (0.25_f64 * (1.0 + epsilon.exp().powi(2)) / 4_000.0).sqrt();
    let sigma = plan.sigma_units();
    let found = divergence(&plan, &teaches(&[0, 0]), sigma, epsilon);
    assert!(found <= claimed + error, "{found} above {claimed}");
    let half = GradientPlan::new(1, 2, 2, Rho::at_least(2.0)).unwrap();
    // A gradient of norm 2, where the clip is forgotten, is what two of norm 1 are.
    for (what, plan, ticks) in [
        ("half of the noise", &half, &[0, 0][..]),
        ("twice as many examples, or a clip at 2", &plan, &[0, 0, 0, 0]),
    ] {
        let found = divergence(plan, &teaches(ticks), plan.sigma_units(), epsilon);
        assert!(found > claimed + error, "{what}: {found} is not above {claimed} by {error}");
    }
}
