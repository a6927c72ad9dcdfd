//! What a policy would have earned, from a log of another policy's random decisions.
//!
//! With `w = π(a|x) / p` for a logged action `a` of propensity `p`, reward `r` and a reward model `q`:
//! ```text
//! DM    = mean of Σ_b π(b|x) q(x, b)
//! IPS   = mean of w r                              (Horvitz, Thompson 1952)
//! SNIPS = Σ w r / Σ w                              (Swaminathan, Joachims, NIPS 2015)
//! DR    = DM + mean of w (r − q(x, a))             (Dudík, Langford, Li, ICML 2011)
//! ESS   = (Σ w)² / Σ w²                            (Kish 1965)
//! ```
//! IPS is unbiased where `p` is true and positive wherever π is; DR where either `p` or `q` is.
//! Intervals are percentiles of a bootstrap that draws each row's count from a Poisson distribution
//! of mean 1 (Hanley, MacGibbon 2006), which approaches drawing rows with replacement and needs one
//! pass and a few sums a replicate, however long the log.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::num::NonZeroUsize;

/// What one logged row says about a policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// `π(a|x) / p`, as it is used: clipped where clipping is asked for.
    pub weight: f64,
    /// What was earned.
    pub reward: f64,
    /// `Σ_b π(b|x) q(x, b)`; `None` without a reward model.
    pub expected: Option<f64>,
    /// `q(x, a)`; `None` without a reward model.
    pub predicted: Option<f64>,
}

/// A value and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// The mean reward of a row.
    pub value: f64,
    /// The 2.5th percentile of the bootstrap.
    pub low: f64,
    /// The 97.5th.
    pub high: f64,
}

/// All estimates of one policy.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Value {
    /// Rows that were seen.
    pub rows: u64,
    /// The mean reward that was logged: the value of the policy that made the log.
    pub logged: Estimate,
    /// Inverse propensity scoring.
    pub ips: Estimate,
    /// Self-normalised IPS; zero where no logged action could have been the policy's.
    pub snips: Estimate,
    /// The reward model alone.
    pub dm: Option<Estimate>,
    /// Doubly robust.
    pub dr: Option<Estimate>,
    /// How many rows of the policy's own would tell as much.
    pub effective_rows: f64,
    /// The mean weight. With true propensities it is near 1 before clipping; far from it they are
    /// wrong, or the log never tried what the policy does.
    pub mean_weight: f64,
    /// The largest weight.
    pub max_weight: f64,
}

/// Sums over rows, each counted so many times.
#[derive(Clone, Copy, Default)]
struct Sums {
    rows: f64,
    reward: f64,
    weight: f64,
    weighted: f64,
    expected: f64,
    residual: f64,
}

impl Sums {
    fn add(&mut self, terms: &Terms, count: f64) {
        let weight = terms.weight * count;
        self.rows += count;
        self.reward += terms.reward * count;
        self.weight += weight;
        self.weighted += weight * terms.reward;
        self.expected += terms.expected.unwrap_or(0.0) * count;
        self.residual += weight * (terms.reward - terms.predicted.unwrap_or(0.0));
    }

    fn per_row(&self, sum: f64) -> f64 {
        if self.rows > 0.0 { sum / self.rows } else { 0.0 }
    }

    fn snips(&self) -> f64 {
        if self.weight > 0.0 { self.weighted / self.weight } else { 0.0 }
    }
}

/// Adds up what rows say about one policy.
pub struct Estimator {
    all: Sums,
    weight_squared: f64,
    weight_max: f64,
    has_model: bool,
    replicates: Vec<Sums>,
    random: ChaCha8Rng,
}

impl Estimator {
    /// Of nothing yet; `seed` draws a bootstrap of so many replicates. Percentiles at the ends of a
    /// 95 % interval need hundreds.
    #[must_use]
    pub fn new(seed: u64, replicates: NonZeroUsize) -> Self {
        Self {
            all: Sums::default(),
            weight_squared: 0.0,
            weight_max: 0.0,
            has_model: true,
            replicates: vec![Sums::default(); replicates.get()],
            random: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Takes one row.
    pub fn add(&mut self, terms: &Terms) {
        self.all.add(terms, 1.0);
        self.weight_squared += terms.weight * terms.weight;
        self.weight_max = self.weight_max.max(terms.weight);
        self.has_model &= terms.expected.is_some() && terms.predicted.is_some();
        for replicate in &mut self.replicates {
            let count = poisson(self.random.next_u32());
            if count > 0.0 {
                replicate.add(terms, count);
            }
        }
    }

    /// What the rows so far say.
    #[must_use]
    pub fn value(&self) -> Value {
        let has_model = self.has_model && self.all.rows > 0.0;
        let modelled = |of: fn(&Sums) -> f64| has_model.then(|| self.estimate(of));
        let squared = self.weight_squared.max(f64::MIN_POSITIVE);
        Value {
            rows: self.all.rows as u64,
            logged: self.estimate(|sums| sums.per_row(sums.reward)),
            ips: self.estimate(|sums| sums.per_row(sums.weighted)),
            snips: self.estimate(Sums::snips),
            dm: modelled(|sums| sums.per_row(sums.expected)),
            dr: modelled(|sums| sums.per_row(sums.expected + sums.residual)),
            effective_rows: self.all.weight * self.all.weight / squared,
            mean_weight: self.all.per_row(self.all.weight),
            max_weight: self.weight_max,
        }
    }

    fn estimate(&self, of: impl Fn(&Sums) -> f64) -> Estimate {
        let mut drawn: Vec<f64> = self.replicates.iter().map(&of).collect();
        drawn.sort_by(f64::total_cmp);
        let at = |share: f64| drawn[((drawn.len() - 1) as f64 * share).round() as usize];
        Estimate { value: of(&self.all), low: at(0.025), high: at(0.975) }
    }
}

/// A count of a Poisson distribution of mean 1 for a uniform draw, by its inverse.
fn poisson(uniform: u32) -> f64 {
    // P(count <= k) of 2^32, for k from 0; beyond 10 lie four in 1e8 draws.
    const BELOW: [u32; 11] = {
        let mut below = [0; 11];
        let (mut term, mut sum, mut k) = (0.367_879_441_171_442_33_f64, 0.0, 0);
        while k < below.len() {
            sum += term;
            below[k] = (sum * 4_294_967_296.0) as u32;
            k += 1;
            term /= k as f64;
        }
        below
    };
    // Few draws go beyond the first bounds.
    BELOW.iter().position(|bound| uniform < *bound).unwrap_or(BELOW.len()) as f64
}
