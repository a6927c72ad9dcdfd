//! The calibration from private releases: how many conversions a campaign had today, with known
//! noise, in place of single ones.
//!
//! With `D` conversions that were due by the time of the release, `R` released ones and the variance
//! `V` of their noise, the best linear estimate of the rate of seen to due ones, which scatters around
//! 1 with a variance of `1 / PRIOR`, is `1 + (R - D) / (D + PRIOR (1 + V / D))`: without noise that is
//! `(R + PRIOR) / (D + PRIOR)`, as for observed ones, and with much of it 1. A release tells of the
//! whole day, so the last one is the best there is and none is added to another; earlier days count
//! for less.
//!
//! Bids are priced by a conversion rate that the same releases tell. When it changes, what earlier
//! shows promised is counted at the new one, or the same evidence would correct bids twice.

use super::PRIOR;

/// How many conversions were released of a UTC day so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReleasedSum {
    /// The day, since 1970.
    pub day: i32,
    /// How many, noise included: may be negative.
    pub seen: f64,
    /// The variance of the noise.
    pub variance: f64,
    /// The conversion rate that bids are priced by from now on, of the declared one; positive.
    pub rate: f64,
}

impl ReleasedSum {
    /// A part of it, which is as noisy for its size.
    pub(in super::super) fn part(self, part: f64) -> Self {
        Self { seen: part * self.seen, variance: part * part * self.variance, ..self }
    }
}

/// What a day still counts for on the next one.
const KEPT: f64 = 0.25;

/// Conversions that were released and those that were due.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Evidence {
    seen: f64,
    variance: f64,
    due: f64,
}

impl Evidence {
    fn plus(self, other: Self) -> Self {
        Self {
            seen: self.seen + other.seen,
            variance: self.variance + other.variance,
            due: self.due + other.due,
        }
    }

    fn times(self, factor: f64) -> Self {
        Self {
            seen: self.seen * factor,
            variance: self.variance * factor * factor,
            due: self.due * factor,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Released {
    /// The UTC day of the last release, since 1970; `None` before the first.
    day: Option<i32>,
    /// What was released of this day before these controllers began.
    base: Evidence,
    today: Evidence,
    before: Evidence,
    /// Conversions that were due since the day's first release, and that the last release covers.
    due: f64,
    /// The rate by which dues are counted, of the declared one.
    rate: f64,
}

impl Default for Released {
    fn default() -> Self {
        let none = Evidence::default();
        Self { day: None, base: none, today: none, before: none, due: 0.0, rate: 1.0 }
    }
}

impl Released {
    /// So many conversions more should have been seen by now.
    pub(super) fn expect(&mut self, due: f64) {
        self.due += due;
    }

    /// The sum that was released of a UTC day, with the variance of its noise. The first one is of what
    /// was before, since nothing was due then. Answers by what earlier promises change.
    pub(super) fn take(&mut self, ReleasedSum { day, seen, variance, rate }: ReleasedSum) -> f64 {
        if self.day.is_some_and(|known| day < known) {
            return 1.0;
        }
        let change = rate / std::mem::replace(&mut self.rate, rate);
        self.due *= change;
        self.today.due *= change;
        self.before.due *= change;
        match self.day {
            Some(known) if day == known => {}
            Some(_) => {
                self.before = self.before.plus(self.today).times(KEPT);
                self.due = (self.due - self.today.due).max(0.0);
                (self.base, self.today) = (Evidence::default(), Evidence::default());
            }
            None => {
                self.base = Evidence { seen, variance, due: 0.0 };
                self.due = 0.0;
            }
        }
        self.day = Some(day);
        self.today = Evidence {
            seen: seen - self.base.seen,
            // At most: the noise of two sums of one day is correlated.
            variance: variance + self.base.variance,
            due: self.due,
        };
        change
    }

    /// Seen conversions for each that was due.
    pub(super) fn ratio(&self) -> f64 {
        let Evidence { seen, variance, due } = self.before.plus(self.today);
        if due <= 0.0 {
            return 1.0;
        }
        1.0 + (seen - due) / (due + PRIOR * (1.0 + variance.max(0.0) / due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(day: i32, seen: f64, variance: f64) -> ReleasedSum {
        ReleasedSum { day, seen, variance, rate: 1.0 }
    }

    fn of(due: f64, seen: f64, variance: f64) -> f64 {
        let mut released = Released::default();
        released.take(sum(1, 0.0, 0.0));
        released.expect(due);
        released.take(sum(1, seen, variance));
        released.ratio()
    }

    #[test]
    fn evidence_moves_the_ratio_and_noise_does_not() {
        for (due, seen, variance, low, high) in [
            (1_000.0, 500.0, 0.0, 0.50, 0.52),   // (500 + 20) / (1,000 + 20)
            (1_000.0, 500.0, 1e4, 0.50, 0.60),   // a deviation of 100 beside 500
            (1_000.0, 500.0, 1e6, 0.95, 1.0),    // one of 1,000 hides all
            (20.0, 10.0, 400.0, 0.95, 1.0),      // few conversions beside the noise
            (1_000.0, -50.0, 100.0, -0.1, 0.05), // a negative sum is noise around none
            (0.0, 50.0, 100.0, 1.0, 1.0),        // nothing was due
        ] {
            let ratio = of(due, seen, variance);
            assert!((low..=high).contains(&ratio), "{due} {seen} {variance}: {ratio}");
        }
        assert!((of(1_000.0, 500.0, 0.0) - 520.0 / 1_020.0).abs() < 1e-12, "as observed ones");
    }

    #[test]
    fn what_was_before_is_nobodys_and_a_new_day_begins_from_nothing() {
        let mut released = Released::default();
        released.expect(500.0);
        released.take(sum(7, 900.0, 4.0));
        assert_eq!(released.ratio(), 1.0, "the first release is the base");
        released.expect(100.0);
        released.take(sum(7, 950.0, 4.0));
        let ratio = released.ratio();
        assert!((ratio - (1.0 - 50.0 / (100.0 + 20.0 * 1.08))).abs() < 1e-12, "{ratio}");
        // 30 more are due after the last release of the day, and counted on the next one.
        released.expect(30.0);
        released.take(sum(8, 60.0, 4.0));
        let Evidence { seen, due, .. } = released.today;
        assert_eq!((seen, due), (60.0, 30.0));
        assert_eq!(released.before, Evidence { seen: 50.0, variance: 8.0, due: 100.0 }.times(KEPT));
        released.take(sum(7, 1e9, 0.0));
        assert_eq!(released.today.seen, 60.0, "yesterday is over");
    }

    #[test]
    fn what_the_price_knows_is_not_corrected_again() {
        let mut released = Released::default();
        released.take(sum(1, 0.0, 0.0));
        released.expect(1_000.0);
        let halved = ReleasedSum { rate: 0.5, ..sum(1, 500.0, 0.0) };
        assert_eq!((released.take(halved), released.ratio()), (0.5, 1.0));
        assert_eq!(released.take(halved), 1.0, "once");
        // On the next day a fifth of what is promised at the new rate is missing.
        released.expect(100.0);
        released.take(ReleasedSum { rate: 0.5, ..sum(2, 80.0, 0.0) });
        assert_eq!(released.before.due, 500.0 * KEPT);
        assert!((released.ratio() - (1.0 - 20.0 / (225.0 + PRIOR))).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn any_release_gives_a_number(
            releases in prop::collection::vec(
                (0i32..4, -1e9f64..1e9, 0f64..1e12, 0f64..1e6, 0.1f64..1e6), 0..30),
        ) {
            let mut released = Released::default();
            for (day, seen, variance, due, rate) in releases {
                released.expect(due);
                released.take(ReleasedSum { rate, ..sum(day, seen, variance) });
                prop_assert!(released.ratio().is_finite());
            }
        }
    }
}
