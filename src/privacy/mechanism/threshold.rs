//! Thresholds: which cells exist is itself a secret, so a noised count is shown from a bar on.
//!
//! Exact tails of the integer distributions, since a bar that is off by one is wrong by a factor of
//! `e^(1/b)` (OpenDP's own threshold has that defect: opendp/opendp#2922). A count is shown when
//! `count + Z >= tau`. A cell that one user alone makes has at most `Linf` in it, so it shows with
//! probability `P(Z >= tau - Linf)`; a user makes at most `L0` of them, so all of them stay hidden
//! but with probability `1 - (1 - P(Z >= tau - Linf))^L0`, and that is the delta that a threshold
//! costs beside the noise.

use super::super::config::Error;
use super::noise::{Draws, Scale};

/// Deltas are worked out in floats, whose errors are some 1e-13 of them: a bar is accepted where the
/// delta is this much below what is allowed.
const ROUNDING: f64 = 1e-12;
/// The highest bar looked for, and the largest sigma of a Gaussian's: a count of people that needs a
/// higher one is drowned by its noise, and a tail is a sum of some nine sigma terms.
const TAU_MAX: i64 = 1 << 40;
/// See [`TAU_MAX`].
const SIGMA_MAX: f64 = 10_000.0;

/// A noise whose tail is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tail {
    /// The discrete Laplace of parameter `b`: `P(x)` in proportion to `exp(-|x| / b)`.
    Laplace(Scale),
    /// The discrete Gaussian of parameter sigma.
    Gaussian(Scale),
}

impl Tail {
    /// `P(Z >= least)`.
    pub(super) fn at_least(self, least: i64) -> f64 {
        if least <= 0 {
            // Symmetric: P(Z >= -k) = 1 - P(Z >= k + 1).
            return 1.0 - self.at_least(least.saturating_neg().saturating_add(1));
        }
        match self {
            Self::Laplace(b) => laplace_tail(b.as_f64(), least as f64),
            Self::Gaussian(sigma) => gaussian_tail(sigma.as_f64(), least as f64),
        }
    }
}

fn laplace_tail(b: f64, least: f64) -> f64 {
    (-least / b).exp() / (1.0 + (-1.0 / b).exp())
}

/// `least > 0`. Each sum goes from its far end, where the terms are below 1e-17 of its largest.
fn gaussian_tail(sigma: f64, least: f64) -> f64 {
    let span = (9.0 * sigma).ceil();
    let sum_from = |first: f64| -> f64 {
        let terms = (0..=span as u64).rev().map(|step| first + step as f64);
        terms.map(|x| (-(x / sigma).powi(2) / 2.0).exp()).sum()
    };
    sum_from(least) / (1.0 + 2.0 * sum_from(1.0))
}

/// Shows counts from a bar on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    tau: i64,
    tail: Tail,
    delta: f64,
}

impl Threshold {
    /// The lowest bar whose delta is at most `delta` (0 to 1, exclusive), for users who are in at most
    /// `cells` cells, with at most `per_cell` in each. `None` where there is none, or an argument is
    /// out of its range.
    #[must_use]
    pub fn lowest(tail: Tail, cells: u32, per_cell: u32, delta: f64) -> Option<Self> {
        let has_tail = !matches!(tail, Tail::Gaussian(sigma) if sigma.as_f64() > SIGMA_MAX);
        let is_usable = has_tail && cells > 0 && per_cell > 0 && delta > 0.0 && delta < 1.0;
        if !is_usable {
            return None;
        }
        let of = |tau: i64| joint(tail.at_least(tau - i64::from(per_cell)), cells);
        let fits = |tau: i64| of(tau) <= delta * (1.0 - ROUNDING);
        // The delta falls with the bar: first a bar that fits, then the lowest.
        let mut high = i64::from(per_cell);
        let mut step = 1;
        while !fits(high) {
            high += step;
            step *= 2;
            if high > TAU_MAX {
                return None;
            }
        }
        let mut low = i64::from(per_cell) - 1;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle) { high = middle } else { low = middle }
        }
        Some(Self { tau: high, tail, delta: of(high) })
    }

    /// The bar: a noised count is shown when it is at least this.
    #[must_use]
    pub const fn tau(&self) -> i64 {
        self.tau
    }

    /// Whose tail it is: the noise to draw.
    #[must_use]
    pub const fn tail(&self) -> Tail {
        self.tail
    }

    /// The delta that it costs beside the noise.
    #[must_use]
    pub const fn delta(&self) -> f64 {
        self.delta
    }

    /// The noised count, if it reaches the bar. The draws must be of [`Threshold::tail`].
    ///
    /// # Errors
    /// [`Error::Noise`] where `draws` is used up.
    pub fn release(&self, count: i64, draws: &mut Draws) -> Result<Option<i64>, Error> {
        let noised = draws.noised(count)?;
        Ok((noised >= self.tau).then_some(noised))
    }
}

/// The chance that one of `cells` independent events of chance `one` happens.
fn joint(one: f64, cells: u32) -> f64 {
    -(f64::from(cells) * (-one).ln_1p()).exp_m1()
}

/// The highest chance with which a cell of `users` users (each in it once, and in no other) may be
/// shown to exist at `(epsilon, delta)`: 0 for nobody, and from there `min(e^epsilon p + delta,
/// 1 - e^-epsilon (1 - p - delta), 1)` of the chance `p` of one user less (Desfontaines, Voss,
/// Gipson, Mandayam 2020, "Differentially private partition selection").
#[must_use]
pub fn keep_probability(epsilon: f64, delta: f64, users: u32) -> f64 {
    let mut chance = 0.0_f64;
    for _ in 0..users {
        let by_presence = epsilon.exp() * chance + delta;
        let by_absence = 1.0 - (-epsilon).exp() * (1.0 - chance - delta);
        chance = by_presence.min(by_absence).min(1.0);
        if chance >= 1.0 {
            break;
        }
    }
    chance
}
