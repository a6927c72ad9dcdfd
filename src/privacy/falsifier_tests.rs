//! Tries to prove the claim wrong: many runs of the real mechanisms on two neighbouring streams, and
//! a lower confidence bound of the delta that tells them apart (the hockey-stick divergence of the
//! privacy loss's own event, which is the most telling one). A pass proves nothing; each way in which
//! the claim has been wrong elsewhere is a negative control that must be caught.

use super::accountant::Rho;
use super::gaussian;
use super::mechanism::{AboveThreshold, Continual, NoiseSource, RawStream, Scale, Tail, Threshold};

const TICKS: usize = 8;
const CELLS: usize = 2;
/// Runs in each of the two worlds.
const RUNS: u32 = 4_000;
/// Epsilon at which worlds are told apart, and the claimed cost: the shift of a standard normal by 1.
const EPSILON: f64 = 1.0;
const RHO: f64 = 0.5;
/// `c = B`: hits of the user a day, so `S^2 = c^2`.
const PER_CELL: i64 = 3;

/// By how much a frequency over `runs` is off with probability 1e-7 at most (Hoeffding).
fn margin(runs: u32) -> f64 {
    (1e7_f64.ln() / (2.0 * f64::from(runs))).sqrt()
}

/// A lower bound of `P(event | one) - e^epsilon P(event | other)`.
fn least_delta(one: u32, other: u32, runs: u32, epsilon: f64) -> f64 {
    let [one, other] = [one, other].map(|count| f64::from(count) / f64::from(runs));
    (one - margin(runs)) - epsilon.exp() * (other + margin(runs))
}

/// What the user does at a tick, given what was released before: hits by cell.
type Plan = fn(tick: usize, released: &[i64]) -> [i64; CELLS];

/// How the user's day is bounded before it is counted.
#[derive(Clone, Copy, PartialEq)]
enum Bounded {
    ByDay,
    BySegment,
    Never,
}

/// A mechanism under suspicion.
struct Suspect {
    mechanism: Continual,
    sigma: Scale,
    plan: Plan,
    bounded: Bounded,
    /// Ticks at which the process starts again.
    restarts: &'static [usize],
}

impl Suspect {
    /// With the noise that this squared sensitivity asks for.
    fn new(mechanism: Continual, sensitivity_squared: u64, plan: Plan) -> Self {
        let sigma = mechanism.scale(sensitivity_squared, Rho::at_least(RHO)).unwrap();
        Self { mechanism, sigma, plan, bounded: Bounded::ByDay, restarts: &[] }
    }

    /// One day; whether the adversary, who knows everything but whether the user took part, finds
    /// that the released integers speak for him by more than epsilon.
    fn accuses(&self, is_present: bool, noise: &mut NoiseSource) -> bool {
        let fresh = || std::array::from_fn::<_, CELLS, _>(|_| RawStream::default());
        let (mut real, mut with, mut without) = (fresh(), fresh(), fresh());
        let (mut released, mut loss) = (Vec::new(), 0.0);
        let mut used = 0;
        for tick in 0..TICKS {
            if self.restarts.contains(&tick) {
                (real, with, without) = (fresh(), fresh(), fresh());
                if self.bounded == Bounded::BySegment {
                    used = 0;
                }
            }
            let hits = (self.plan)(tick, &released);
            for cell in 0..CELLS {
                let room = if self.bounded == Bounded::Never { i64::MAX } else { PER_CELL - used };
                let hit = hits[cell].min(room);
                used += hit;
                // Other users follow what was released, as ads do.
                let others = released.last().map_or(5, |last| last.rem_euclid(7));
                let counted = others + if is_present { hit } else { 0 };
                let shown = released.len();
                let draws = real[cell].draws(&self.mechanism);
                let mut draws = noise.gaussian(self.sigma, draws).unwrap();
                real[cell].release(&self.mechanism, counted, &mut draws, &mut released).unwrap();
                let means = [(&mut with, others + hit), (&mut without, others)]
                    .map(|(streams, count)| self.exact(&mut streams[cell], count));
                for (index, &value) in released[shown..].iter().enumerate() {
                    let [with, without] =
                        [0, 1].map(|world: usize| (value - means[world][index]) as f64);
                    loss += (without.powi(2) - with.powi(2)) / (2.0 * self.sigma.variance());
                }
            }
        }
        loss > EPSILON
    }

    /// What would be released without noise.
    fn exact(&self, stream: &mut RawStream, count: i64) -> Vec<i64> {
        let values = stream.draws(&self.mechanism);
        let mut draws = NoiseSource::planted(|| 0).gaussian(self.sigma, values).unwrap();
        let mut released = Vec::new();
        stream.release(&self.mechanism, count, &mut draws, &mut released).unwrap();
        released
    }

    /// Whether the claim is refuted.
    fn is_refuted(&self) -> bool {
        let mut noise = NoiseSource::exact();
        let mut accused =
            |is_present| (0..RUNS).filter(|_| self.accuses(is_present, &mut noise)).count() as u32;
        let least = least_delta(accused(true), accused(false), RUNS, EPSILON);
        let claimed = gaussian::delta(RHO, EPSILON);
        println!("delta at least {least:.3}, {claimed:.3} claimed");
        least > claimed
    }
}

fn toeplitz() -> Continual {
    Continual::toeplitz(TICKS).unwrap()
}

/// All at once, at the first tick: the longest column.
fn at_once(tick: usize, _: &[i64]) -> [i64; CELLS] {
    [if tick == 0 { PER_CELL } else { 0 }, 0]
}

/// One hit a tick for as long as it is allowed.
fn every_tick(_: usize, _: &[i64]) -> [i64; CELLS] {
    [1, 0]
}

/// All hits as soon as something was released, in the cell that its noise names.
fn as_released(_: usize, released: &[i64]) -> [i64; CELLS] {
    match released.last() {
        None => [0, 0],
        Some(last) if last % 2 != 0 => [PER_CELL, 0],
        Some(_) => [0, PER_CELL],
    }
}

/// All hits at the ticks at which a segment begins.
fn with_each_segment(tick: usize, _: &[i64]) -> [i64; CELLS] {
    [if tick.is_multiple_of(3) { PER_CELL } else { 0 }, 0]
}

const SQUARED: u64 = (PER_CELL * PER_CELL) as u64;

#[test]
fn no_neighbouring_day_refutes_the_mechanisms() {
    for plan in [at_once as Plan, every_tick, as_released] {
        assert!(!Suspect::new(toeplitz(), SQUARED, plan).is_refuted());
    }
    assert!(!Suspect::new(Continual::honaker(TICKS).unwrap(), SQUARED, at_once).is_refuted());
    let restarted = Suspect::new(toeplitz(), SQUARED, with_each_segment);
    assert!(!Suspect { restarts: &[3, 6], ..restarted }.is_refuted());
}

#[test]
fn each_known_mistake_is_caught() {
    let half = Suspect::new(toeplitz(), SQUARED, at_once);
    let sigma = half.mechanism.scale(SQUARED, Rho::at_least(4.0 * RHO)).unwrap();
    assert!(Suspect { sigma, ..half }.is_refuted(), "half the noise");

    let root = Suspect::new(toeplitz(), PER_CELL as u64, at_once);
    assert!(root.is_refuted(), "noise for the root of c");

    let root = Suspect::new(toeplitz(), PER_CELL as u64, as_released);
    assert!(root.is_refuted(), "noise for the root of c, adaptive");

    let unbounded = Suspect::new(toeplitz(), SQUARED, every_tick);
    assert!(Suspect { bounded: Bounded::Never, ..unbounded }.is_refuted(), "an unbounded user");

    let renewed = Suspect::new(toeplitz(), SQUARED, with_each_segment);
    let renewed = Suspect { restarts: &[3, 6], bounded: Bounded::BySegment, ..renewed };
    assert!(renewed.is_refuted(), "a bound that a restart renews");
}

#[test]
fn a_threshold_hides_one_user_and_a_bar_one_lower_does_not() {
    const RUNS: u32 = 20_000;
    let b = Scale::for_epsilon(1, 1.0).unwrap();
    let threshold = Threshold::lowest(Tail::Laplace(b), 1, 1, 0.05).unwrap();
    let mut noise = NoiseSource::exact();
    // A cell that one user alone makes: without him it can never be shown.
    let mut shown = |count: i64| {
        let mut draws = noise.laplace(b, RUNS as usize).unwrap();
        let shows = |_: &u32| threshold.release(count, &mut draws).unwrap().is_some();
        f64::from((0..RUNS).filter(shows).count() as u32) / f64::from(RUNS)
    };
    let is_refuted = |shown: f64| shown - margin(RUNS) > threshold.delta();
    assert!(!is_refuted(shown(1)));
    // Releasing from `tau - 1` on, with the delta of `>`, is the same as a count one higher.
    assert!(is_refuted(shown(2)), "a bar that is off by one");
    assert!(shown(1) > threshold.delta() / 2.0, "the delta is used");
}

#[test]
fn a_full_day_is_told_within_its_epsilon_and_less_noise_is_caught() {
    const RUNS: u32 = 10_000;
    const CLAIMED: f64 = 0.5;
    const QUESTIONS: u64 = 4;
    let is_refuted = |epsilon: f64| {
        let mut noise = NoiseSource::exact();
        // At which question it says "above"; a user more is in every count from the start on.
        let mut stops = |more: u64| {
            let mut stops = [0_u32; QUESTIONS as usize + 1];
            for _ in 0..RUNS {
                let mut run = AboveThreshold::begin(10, epsilon, &mut noise).unwrap().unwrap();
                let mut asked = 0;
                while asked < QUESTIONS && !run.ask(8 + more, &mut noise).unwrap() {
                    asked += 1;
                }
                stops[asked as usize] += 1;
            }
            stops
        };
        let (with, without) = (stops(1), stops(0));
        let outcomes = with.iter().zip(&without);
        outcomes.into_iter().any(|(&with, &without)| {
            least_delta(with, without, RUNS, CLAIMED).max(least_delta(without, with, RUNS, CLAIMED))
                > 0.0
        })
    };
    assert!(!is_refuted(CLAIMED));
    assert!(is_refuted(8.0 * CLAIMED), "an eighth of the noise");
}
