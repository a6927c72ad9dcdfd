//! The chance to win when exchanges tell nothing but who won: a logistic in the bid's logarithm,
//! learned a bid at a time.

use crate::units::Micros;

/// Step of one observation.
const RATE: f64 = 0.02;
/// First guess of the slope: a bid of twice the middle wins four times in five.
const SLOPE: f64 = 2.0;
/// Bounds of the slope: a higher bid never wins less, and no market is a step.
const SLOPES: (f64, f64) = (0.2, 20.0);

/// A win curve that is learned from wins and losses alone.
#[derive(Clone, Debug)]
pub struct Logistic {
    /// Decayed mean of the bids' logarithms, which the bids are read against; 0 before the first.
    middle: f64,
    intercept: f64,
    slope: f64,
}

impl Logistic {
    /// One that has learned nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { middle: 0.0, intercept: 0.0, slope: SLOPE }
    }

    /// Learns what became of a bid.
    pub fn observe(&mut self, bid: Micros, is_won: bool) {
        let ln_bid = (bid.0.max(1) as f64).ln();
        if self.middle == 0.0 {
            // Fixed from then on: moving it would move the curve.
            self.middle = ln_bid;
        }
        let error = f64::from(u8::from(is_won)) - self.chance(ln_bid);
        let x = ln_bid - self.middle;
        self.intercept += RATE * error;
        self.slope = (self.slope + RATE * error * x).clamp(SLOPES.0, SLOPES.1);
    }

    /// The chance that a bid of this logarithm (CPM micros) wins.
    #[must_use]
    pub fn chance(&self, ln_bid: f64) -> f64 {
        1.0 / (1.0 + (-(self.intercept + self.slope * (ln_bid - self.middle))).exp())
    }

    /// The logarithm of the bid that wins every second time.
    #[must_use]
    pub fn ln_even(&self) -> f64 {
        self.middle - self.intercept / self.slope
    }
}

impl Default for Logistic {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;

    #[test]
    fn it_finds_the_curve_behind_wins_and_losses() {
        let mut logistic = Logistic::new();
        let unit = |n: u64| (mix(n) >> 11) as f64 / (1_u64 << 53) as f64;
        let truth = |ln_bid: f64| 1.0 / (1.0 + (-4.0 * (ln_bid - 3e6_f64.ln())).exp());
        for n in 0..60_000 {
            let bid = 1e6 * (1.0 + 9.0 * unit(2 * n));
            logistic.observe(Micros(bid as u64), unit(2 * n + 1) < truth(bid.ln()));
        }
        for bid in [1.5e6_f64, 3e6, 6e6] {
            let (found, true_chance) = (logistic.chance(bid.ln()), truth(bid.ln()));
            assert!((found - true_chance).abs() < 0.08, "{found} for {true_chance} at {bid}");
        }
        assert!((logistic.ln_even() - 3e6_f64.ln()).abs() < 0.1);
    }

    #[test]
    fn it_stays_a_curve_whatever_it_is_told() {
        let mut logistic = Logistic::new();
        for n in 0..10_000 {
            logistic.observe(Micros(if n % 2 == 0 { 0 } else { u64::MAX }), n % 2 == 0);
        }
        assert!(logistic.chance(0.0).is_finite() && logistic.ln_even().is_finite());
        assert!(logistic.chance(40.0) >= logistic.chance(10.0));
    }
}
