//! Draws that are the same for the same seed, whatever was drawn elsewhere: each user, session,
//! request and impression has a stream of its own, so that an engine that bids otherwise still
//! meets the same world (common random numbers).

use crate::hash::{combine, stable};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream is for; keeps equal numbers of different things apart.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(super) enum Purpose {
    User = 1,
    Sessions,
    Session,
    Request,
    Market,
    Outcome,
    Creative,
    Placement,
    Campaign,
    Shop,
    Good,
    Liking,
    Style,
}

/// The stream of the `number`th thing of this purpose in the world of `seed`.
pub(super) fn stream(seed: u64, purpose: Purpose, number: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(combine(combine(seed, purpose as u64), number))
}

/// A standard normal number that belongs to `name` in the world of `seed`.
pub(super) fn trait_of(seed: u64, purpose: Purpose, name: &str) -> f64 {
    normal(&mut stream(seed, purpose, stable(name.as_bytes())))
}

/// A standard normal number (Box and Muller 1958, one of the pair).
pub(super) fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// A log-normal number with this median; `sigma` is the deviation of its logarithm.
pub(super) fn log_normal(rng: &mut impl Rng, median: f64, sigma: f64) -> f64 {
    median * (sigma * normal(rng)).exp()
}

/// The probability whose log-odds are `logit`.
pub(super) fn logistic(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Picks positions in proportion to weights.
#[derive(Clone, Debug)]
pub(super) struct Weighted {
    cumulative: Vec<f64>,
}

impl Weighted {
    /// From non-negative weights, at least one of them positive.
    pub(super) fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut total = 0.0;
        let sums = weights.into_iter().map(|weight| {
            total += weight.max(0.0);
            total
        });
        Self { cumulative: sums.collect() }
    }

    /// A position; 0 where there are no weights.
    pub(super) fn pick(&self, rng: &mut impl Rng) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let point = rng.random::<f64>() * total;
        let found = self.cumulative.partition_point(|sum| *sum <= point);
        found.min(self.cumulative.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, purpose, number| stream(seed, purpose, number).random::<u64>();
        assert_eq!(draw(1, Purpose::User, 2), draw(1, Purpose::User, 2));
        assert_ne!(draw(1, Purpose::User, 2), draw(1, Purpose::Session, 2));
        assert_ne!(draw(1, Purpose::User, 2), draw(2, Purpose::User, 2));
    }

    #[test]
    fn weights_are_followed() {
        let mut rng = stream(1, Purpose::User, 1);
        let weighted = Weighted::new([0.0, 1.0, 3.0]);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[weighted.pick(&mut rng)] += 1;
        }
        assert_eq!(counts[0], 0);
        assert!((2_300..2_700).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn normals_have_mean_zero_and_deviation_one() {
        let mut rng = stream(3, Purpose::User, 1);
        let draws: Vec<f64> = (0..20_000).map(|_| normal(&mut rng)).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
