//! Prices counted in bins of an eighth of an octave, older ones less. The window of 64 bins follows
//! the mean; what lies outside is counted in its first or last bin. Each bin knows its dearest price of
//! late: markets have many equal prices (floors, list prices), and a bid to the bin's end would pay up
//! to 9 % more for nothing.

use crate::units::Micros;

/// Bins: at eight an octave they span a factor of 256.
pub const BINS: usize = 64;
/// Bins in a doubling of the price: a bid at a bin's end overpays by 9 % at most.
const BINS_PER_OCTAVE: f64 = 8.0;
/// What an observation weighs after one more: two thousand of them count.
pub const DECAY: f64 = 0.9995;
/// Weights grow in place of the old ones' shrinking, and are scaled back here, far from the end of
/// what an `f64` adds exactly.
const GAIN_MAX: f64 = 1e9;
/// Bins that the mean may lie off the middle before the window follows.
const DRIFT_MAX: i32 = 8;
/// Observations after which a dearest price that has not come again is forgotten, at the latest after
/// twice as many: what the weights take to fall to an eighth.
const TOPS_EVERY: u32 = 4_096;
/// Observations between two looks at the mean.
const LOOK_EVERY: u32 = 64;

/// A decayed histogram of prices.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Number of the first bin: bin `n` begins at `2^(n / 8)` CPM micros.
    first: i32,
    bins: [f64; BINS],
    /// The dearest price of each bin, of this time and of the last; 0 for none.
    tops: [[u64; BINS]; 2],
    until_tops: u32,
    total: f64,
    /// What the next observation weighs.
    gain: f64,
    /// Sums of the bins' numbers and their squares, weighted as the bins are.
    sum: f64,
    sum_of_squares: f64,
    until_look: u32,
}

/// The number of the bin that a price lies in.
fn bin_of(price: Micros) -> f64 {
    BINS_PER_OCTAVE * (price.0.max(1) as f64).log2()
}

/// The logarithm of the price at which bin `n` begins.
fn ln_edge(bin: f64) -> f64 {
    bin / BINS_PER_OCTAVE * std::f64::consts::LN_2
}

impl Histogram {
    /// An empty one, whose window the first price sets.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            first: 0,
            bins: [0.0; BINS],
            tops: [[0; BINS]; 2],
            until_tops: TOPS_EVERY,
            total: 0.0,
            gain: 1.0,
            sum: 0.0,
            sum_of_squares: 0.0,
            until_look: LOOK_EVERY,
        }
    }

    /// Counts a price.
    pub fn observe(&mut self, price: Micros) {
        let at = bin_of(price);
        if self.total == 0.0 {
            self.first = at as i32 - (BINS / 2) as i32;
        }
        self.age();
        let place = self.place(at.floor() as i32);
        self.bins[place] += self.gain;
        self.tops[0][place] = self.tops[0][place].max(price.0);
        self.total += self.gain;
        self.sum += self.gain * at;
        self.sum_of_squares += self.gain * at * at;
        self.follow();
    }

    /// Counts a price of which only the side of `bid` is known: spread over the bins of that side as
    /// they are filled, which is a step of the expectation-maximisation for censored data (Turnbull
    /// 1976). Counts nothing where that side is empty.
    pub fn observe_censored(&mut self, bid: Micros, is_below: bool) {
        let split = self.place(bin_of(bid).floor() as i32);
        let side = if is_below { 0..split } else { split..BINS };
        let mass: f64 = self.bins[side.clone()].iter().sum();
        if mass <= self.total * 1e-6 {
            return;
        }
        self.age();
        for place in side {
            let part = self.gain * self.bins[place] / mass;
            let at = f64::from(self.first) + place as f64 + 0.5;
            self.bins[place] += part;
            self.sum += part * at;
            self.sum_of_squares += part * at * at;
        }
        self.total += self.gain;
    }

    /// Observations that it stands for, the old ones counted for what they still weigh.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.total / self.gain
    }

    /// Mean and standard deviation of the price's logarithm (CPM micros).
    #[must_use]
    pub fn ln_moments(&self) -> (f64, f64) {
        let total = self.total.max(f64::MIN_POSITIVE);
        let mean = self.sum / total;
        let variance = (self.sum_of_squares / total - mean * mean).max(0.0);
        (ln_edge(mean), ln_edge(variance.sqrt()))
    }

    /// The bids that can be best, CPM micros rising, each with the share of the prices that it reaches:
    /// the bins' dearest prices, or their ends where those are not known.
    pub fn shares(&self) -> impl Iterator<Item = (f64, f64)> {
        let total = self.total.max(f64::MIN_POSITIVE);
        let places = self.bins.iter().enumerate().zip(ends(self.first));
        places.scan(0.0, move |below, ((place, bin), end)| {
            *below += bin;
            let top = self.tops[0][place].max(self.tops[1][place]);
            let bid = if top == 0 { end } else { top as f64 };
            Some((bid, (*below / total).min(1.0)))
        })
    }

    fn place(&self, bin: i32) -> usize {
        (bin - self.first).clamp(0, BINS as i32 - 1) as usize
    }

    fn age(&mut self) {
        self.gain /= DECAY;
        if self.gain > GAIN_MAX {
            let scale = 1.0 / self.gain;
            self.bins.iter_mut().for_each(|bin| *bin *= scale);
            self.total *= scale;
            self.sum *= scale;
            self.sum_of_squares *= scale;
            self.gain = 1.0;
        }
    }

    /// Moves the window where the mean has gone; what leaves it stays in its last bin.
    fn follow(&mut self) {
        self.until_tops -= 1;
        if self.until_tops == 0 {
            self.until_tops = TOPS_EVERY;
            self.tops = [[0; BINS], self.tops[0]];
        }
        self.until_look -= 1;
        if self.until_look > 0 {
            return;
        }
        self.until_look = LOOK_EVERY;
        let first = (self.sum / self.total) as i32 - (BINS / 2) as i32;
        if (first - self.first).abs() <= DRIFT_MAX {
            return;
        }
        let (old, old_tops, old_first) = (self.bins, self.tops, self.first);
        self.first = first;
        self.bins = [0.0; BINS];
        self.tops = [[0; BINS]; 2];
        for (bin, number) in (old_first..).zip(0..BINS) {
            let place = self.place(bin);
            self.bins[place] += old[number];
            for (tops, old) in self.tops.iter_mut().zip(&old_tops) {
                tops[place] = tops[place].max(old[number]);
            }
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// The ends of 64 bins from number `first` on, CPM micros.
pub fn ends(first: i32) -> impl Iterator<Item = f64> {
    (1..=BINS as i32).map(move |place| ln_edge(f64::from(first + place)).exp())
}

/// The number of the first of 64 bins around a price's logarithm.
#[must_use]
pub fn first_around(ln_price: f64) -> i32 {
    (ln_price / std::f64::consts::LN_2 * BINS_PER_OCTAVE) as i32 - (BINS / 2) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_below(histogram: &Histogram, price: f64) -> f64 {
        histogram.shares().take_while(|(bid, _)| *bid <= price).last().map_or(0.0, |(_, s)| s)
    }

    #[test]
    fn shares_are_those_of_what_was_seen() {
        let mut histogram = Histogram::new();
        for n in 0..2_000_u64 {
            histogram.observe(Micros(1_000_000 * (1 + n % 4)));
        }
        // Prices of 1, 2, 3 and 4 CPM; a price lies above the edge that it equals.
        for (price, expected) in
            [(0.9e6, 0.0), (1.5e6, 0.25), (2.5e6, 0.5), (3.6e6, 0.75), (8e6, 1.0)]
        {
            let share = share_below(&histogram, price);
            assert!((share - expected).abs() < 0.01, "{share} below {price}");
        }
    }

    #[test]
    fn equal_prices_are_bid_to_the_micro_and_forgotten() {
        let mut histogram = Histogram::new();
        let dearest = |histogram: &Histogram, price: u64| {
            histogram.shares().any(|(bid, share)| bid == price as f64 && share > 0.5)
        };
        (0..500).for_each(|_| histogram.observe(Micros(6_000_000)));
        histogram.observe(Micros(6_100_000));
        assert!(dearest(&histogram, 6_100_000));
        (0..2 * TOPS_EVERY).for_each(|_| histogram.observe(Micros(6_000_000)));
        assert!(dearest(&histogram, 6_000_000) && !dearest(&histogram, 6_100_000));
    }

    #[test]
    fn old_prices_fade() {
        let mut histogram = Histogram::new();
        (0..5_000).for_each(|_| histogram.observe(Micros(1_000_000)));
        assert!((histogram.count() - 2_000.0).abs() < 200.0, "{}", histogram.count());
        (0..1_386).for_each(|_| histogram.observe(Micros(4_000_000)));
        // Half-life: ln 2 / 0.0005 = 1,386 observations.
        let share = share_below(&histogram, 2e6);
        assert!((share - 0.46).abs() < 0.03, "{share}");
    }

    #[test]
    fn the_window_follows_the_prices_and_loses_nothing() {
        let mut histogram = Histogram::new();
        (0..100).for_each(|_| histogram.observe(Micros(1_000)));
        (0..20_000).for_each(|_| histogram.observe(Micros(1_000_000_000)));
        assert!(share_below(&histogram, 0.9e9) < 0.01);
        assert!(share_below(&histogram, 1.1e9) > 0.99);
        assert!(histogram.shares().last().is_some_and(|(_, share)| (share - 1.0).abs() < 1e-9));
        for price in [0, 1, u64::MAX] {
            histogram.observe(Micros(price));
        }
        assert!(histogram.ln_moments().0.is_finite());
    }

    #[test]
    fn prices_known_by_their_side_alone_keep_the_shares() {
        // Half of the prices lie below 2 CPM; of those only that is told.
        let (mut whole, mut half) = (Histogram::new(), Histogram::new());
        for n in 0..4_000_u64 {
            let price = Micros(1_000_000 + n * 7_919 % 2_000_000);
            whole.observe(price);
            // Whoever bids 2 CPM wins below it and is told nothing, but for one bid in ten.
            if price.0 > 2_000_000 || n % 10 == 0 {
                half.observe(price);
            } else {
                half.observe_censored(Micros(2_000_000), true);
            }
        }
        let shares = [&whole, &half].map(|histogram| share_below(histogram, 2.01e6));
        assert!((shares[0] - shares[1]).abs() < 0.05, "{shares:?}");
    }

    #[test]
    fn moments_are_those_of_the_logarithm() {
        let mut histogram = Histogram::new();
        (0..1_000).for_each(|n| histogram.observe(Micros(if n % 2 == 0 { 1_000 } else { 4_000 })));
        let (mean, deviation) = histogram.ln_moments();
        assert!((mean - 2_000_f64.ln()).abs() < 0.01 && (deviation - 2_f64.ln()).abs() < 0.01);
    }
}
