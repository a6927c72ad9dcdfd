//! The chance to win when prices are few: their logarithms are taken to be normal.

/// Least standard deviation: a handful of equal prices does not make the next one certain.
const DEVIATION_MIN: f64 = 0.1;

/// The share of log-normal prices below one, from the logarithms of that price, and of the mean and
/// deviation of all.
#[must_use]
pub fn share_below(ln_price: f64, mean: f64, deviation: f64) -> f64 {
    let z = (ln_price - mean) / deviation.max(DEVIATION_MIN);
    0.5 * (1.0 + erf(z / std::f64::consts::SQRT_2))
}

/// The error function to 1.5e-7 (Abramowitz and Stegun 7.1.26).
fn erf(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let coefficients =
        [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let polynomial = coefficients.iter().fold(0.0, |sum, factor| (sum + factor) * t);
    (1.0 - polynomial * (-x * x).exp()).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_normal_distribution() {
        for (z, expected) in [(0.0, 0.5), (1.0, 0.841_345), (-1.96, 0.024_998), (4.0, 0.999_968)] {
            let share = share_below(3.0 + 0.5 * z, 3.0, 0.5);
            assert!((share - expected).abs() < 1e-6, "{share} at {z}");
        }
        assert!(share_below(3.05, 3.0, 0.0) < 0.7, "equal prices are not certain");
    }
}
