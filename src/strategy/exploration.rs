//! Thompson sampling: how good an ad may be, as far as is not known yet. Pure, and seeded.
//!
//! What is believed of an ad's click probability is a Beta distribution around the model's
//! prediction, as narrow as so many shows make it: those that the model's opinion is taken for, and
//! those that private releases tell of. One draw from it is how good the ad is taken to be in one
//! auction, if it is more than the prediction (optimistic Thompson sampling; May, Korda, Lee, Leslie
//! 2012): an ad that is little known wins now and then, one that is known hardly ever.

use crate::hash::mix;

/// Shows that the model's opinion of a new ad is taken for.
pub const PRIOR_SHOWS: f64 = 100.0;
/// No draw is taken for more than so many times the mean.
pub const OVER_MEAN_MAX: f64 = 3.0;
/// Tries of the sampler: each is refused with a probability below 0.05.
const TRIES_MAX: usize = 16;

/// A draw from Beta(mean x shows, (1 - mean) x shows), at most three times the mean. The mean itself
/// where it is no probability between 0 and 1. The same seed gives the same draw.
#[must_use]
pub fn draw(mean: f64, shows: f64, seed: u64) -> f64 {
    if !(mean > 0.0 && mean < 1.0 && shows > 0.0 && shows.is_finite()) {
        return mean;
    }
    let mut stream = Stream(seed);
    let clicked = gamma(mean * shows, &mut stream);
    let passed = gamma((1.0 - mean) * shows, &mut stream);
    let share = clicked / (clicked + passed);
    if share.is_finite() { share.min(OVER_MEAN_MAX * mean).min(1.0) } else { mean }
}

/// Uniform numbers in (0, 1) from one seed (SplitMix64).
struct Stream(u64);

impl Stream {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ((mix(self.0) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// A standard normal number (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// A Gamma number of this shape and scale 1 (Marsaglia and Tsang 2000).
fn gamma(shape: f64, stream: &mut Stream) -> f64 {
    if shape < 1.0 {
        let power = stream.uniform().powf(1.0 / shape);
        return power * gamma(shape + 1.0, stream);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    for _ in 0..TRIES_MAX {
        let x = stream.normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && stream.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mean: f64, shows: f64) -> (f64, f64) {
        const DRAWS: u64 = 20_000;
        let draws: Vec<_> = (0..DRAWS).map(|seed| draw(mean, shows, mix(seed))).collect();
        let average = draws.iter().sum::<f64>() / DRAWS as f64;
        let square = draws.iter().map(|draw| (draw - average).powi(2)).sum::<f64>();
        (average, square / DRAWS as f64)
    }

    #[test]
    fn draws_have_the_moments_of_the_beta_distribution() {
        // Where three times the mean is out of reach, so that nothing is cut.
        for (mean, shows) in [(0.4, 100.0), (0.5, 4.0), (0.1, 2_000.0)] {
            let (average, variance) = moments(mean, shows);
            let expected = mean * (1.0 - mean) / (shows + 1.0);
            assert!((average / mean - 1.0).abs() < 0.02, "{average} for {mean}");
            assert!((variance / expected - 1.0).abs() < 0.05, "{variance} for {expected}");
        }
    }

    #[test]
    fn what_is_known_is_hardly_explored() {
        let above =
            |shows: f64| (0..10_000).filter(|seed| draw(0.01, shows, mix(*seed)) > 0.02).count();
        let (new, known) = (above(PRIOR_SHOWS), above(100_000.0));
        assert!((1_000..1_700).contains(&new), "{new}"); // P(Beta(1, 99) > 0.02) = 0.98^99 = 0.135
        assert_eq!(known, 0);
    }

    #[test]
    fn draws_are_bounded_and_repeatable_whatever_is_asked() {
        for (place, mean) in [1e-9, 1e-4, 0.01, 0.5, 0.999_999].into_iter().enumerate() {
            for seed in 0..500 {
                let drawn = draw(mean, PRIOR_SHOWS, seed + place as u64);
                assert!(drawn >= 0.0 && drawn <= (OVER_MEAN_MAX * mean).min(1.0), "{drawn}");
                assert_eq!(drawn, draw(mean, PRIOR_SHOWS, seed + place as u64));
            }
        }
        for (mean, shows) in [(0.0, 1.0), (1.0, 1.0), (-1.0, 1.0), (0.5, 0.0), (0.5, f64::INFINITY)]
        {
            assert_eq!(draw(mean, shows, 1), mean);
        }
        assert!(draw(f64::NAN, 1.0, 1).is_nan());
    }
}
