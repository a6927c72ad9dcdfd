//! Magnitudes: what is shown of counts over users that an operator needs and no release has.
//!
//! How many events came, how many clicks an outcome had, whether a table fills: for such questions
//! the size of a number is enough. So nothing is shown below [`MAGNITUDE_MIN`], and above it the two
//! leading digits, at least to tens. That is rounding and no noise: it is outside of the claim, who
//! sees the very moment at which a magnitude changes learns that one more was counted, and therefore
//! no magnitude names a user, and none is of one campaign's clicks or conversions.

/// The least count that is shown at all.
pub const MAGNITUDE_MIN: u64 = 50;

/// The count rounded down to its two leading digits, at least to tens; 0 below [`MAGNITUDE_MIN`].
#[must_use]
pub const fn magnitude(count: u64) -> u64 {
    if count < MAGNITUDE_MIN {
        return 0;
    }
    let mut step = 10;
    while count / step >= 100 {
        step *= 10;
    }
    count / step * step
}

/// A figure over `behind` clicks or conversions, to two leading digits; `None` while fewer than
/// [`MAGNITUDE_MIN`] are behind it, and where it is no number.
#[must_use]
pub fn rounded(figure: f64, behind: u64) -> Option<f64> {
    if behind < MAGNITUDE_MIN || !figure.is_finite() {
        return None;
    }
    // Through text, so that what is shown is the decimal that a person would write.
    format!("{figure:.1e}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_counts_are_hidden_and_others_have_two_digits() {
        for (count, shown) in [
            (0, 0),
            (1, 0),
            (49, 0),
            (50, 50),
            (59, 50),
            (60, 60),
            (109, 100),
            (999, 990),
            (1_000, 1_000),
            (1_099, 1_000),
            (1_100, 1_100),
            (123_456, 120_000),
            (u64::MAX, 18_000_000_000_000_000_000),
        ] {
            assert_eq!(magnitude(count), shown, "{count}");
        }
    }

    #[test]
    fn figures_wait_for_enough_behind_them() {
        assert_eq!(rounded(0.964, 49), None);
        assert_eq!(rounded(f64::NAN, 50), None);
        for (figure, shown) in [(0.964, 0.96), (1.26, 1.3), (0.052_49, 0.052), (0.0, 0.0)] {
            assert_eq!(rounded(figure, 50), Some(shown));
        }
    }

    proptest! {
        #[test]
        fn a_magnitude_is_near_below_and_one_more_seldom_shows(count in 50_u64..1 << 40) {
            let shown = magnitude(count);
            prop_assert!(shown <= count && (count - shown) * 5 <= count, "{count}: {shown}");
            let steps = (count..count + 10).filter(|n| magnitude(*n) != magnitude(n + 1)).count();
            prop_assert!(steps <= 1, "{count}: {steps} steps among ten");
        }
    }
}
