//! How much a model has learned of one ad, in a byte of its row.
//!
//! FTRL-Proximal keeps for each weight the sum `n` of its squared gradients, `(p - y)^2` a show, and
//! takes smaller steps as it grows: McMahan et al. ("Ad Click Prediction: a View from the Trenches",
//! KDD 2013, §5.2) read the uncertainty of a score from it. Where predictions are calibrated, `n` grows
//! by `p (1 - p)` a show on average, so `n / (p (1 - p))` is how many shows a weight is known by.
//! Under the Gaussian rule the growth of a weight's precision is the same measure.

/// The logarithm of `n` in eighths of an octave, from 2^-8 on; 0 stands for nothing learned. Within 5 %
/// of what it was made from, up to 2^23.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Evidence(u8);

impl Evidence {
    const STEPS: f32 = 8.0;
    const OCTAVES_BELOW_ONE: f32 = 8.0;
    /// Nothing was learned.
    pub(super) const NONE: Self = Self(0);

    /// The nearest evidence of this sum of squared gradients.
    pub(super) fn of(squares: f32) -> Self {
        let steps = ((squares.log2() + Self::OCTAVES_BELOW_ONE) * Self::STEPS).round() + 1.0;
        // A cast saturates, and takes what is no number to nothing.
        Self(steps as u8)
    }

    /// How many shows it stands for where clicks have the probability `p`; 0 where that is none.
    pub(super) fn shows(self, p: f64) -> f64 {
        let spread = p * (1.0 - p);
        if self == Self::NONE || spread.is_nan() || spread <= 0.0 {
            return 0.0;
        }
        let octaves = (f32::from(self.0) - 1.0) / Self::STEPS - Self::OCTAVES_BELOW_ONE;
        f64::from(octaves.exp2()) / spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_are_kept_within_a_step() {
        for shows in [1.0, 10.0, 1_000.0, 50_000.0_f64] {
            for p in [0.01, 0.05, 0.5] {
                let told = Evidence::of((shows * p * (1.0 - p)) as f32).shows(p);
                assert!((told / shows - 1.0).abs() < 0.05, "{told} of {shows} at {p}");
            }
        }
        for nothing in [0.0, -1.0, f32::NAN, 1e-9] {
            assert_eq!(Evidence::of(nothing), Evidence::NONE, "{nothing}");
        }
        assert!(Evidence::of(f32::INFINITY).shows(0.01) > 1e6);
        for p in [0.0, 1.0, f64::NAN] {
            assert_eq!(Evidence::of(1.0).shows(p), 0.0);
        }
    }
}
