//! Money in flight: what it is expected to cost, and how long it is tied.
//!
//! The ledger knows what is billed and the lease books what is held. A held nano costs a nano only
//! if its bid wins at its full price; what share it costs on average, and for how long it is tied, is
//! measured here, over two hours.

use super::RATIO_PRIOR;
use rustc_hash::FxHashMap;

/// Bids for which the first guess of the cost ratio stands.
const PRIOR_BIDS: f64 = 20.0;
/// Half-life of what is measured, as a part of the day: two hours of 24.
const HALF_LIFE: f64 = 1.0 / 12.0;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// Held and late, by core.
    tied: FxHashMap<u16, (f64, f64)>,
    /// Placed since the last tick, and in how many bids.
    placed: f64,
    bids: f64,
    /// Held at the last tick.
    held: f64,
    /// Decayed sums: decided, billed, placed, bids, and tied money times milliseconds.
    decided: f64,
    billed: f64,
    placed_sum: f64,
    bids_sum: f64,
    tied_ms: f64,
}

impl InFlight {
    /// What a core placed since its last report, and what it holds.
    pub(super) fn fold(&mut self, core: u16, placed: f64, bids: u32, held: f64, late: f64) {
        self.placed += placed;
        self.bids += f64::from(bids);
        self.tied.insert(core, (held, late));
    }

    /// `elapsed_ms` of a day of `day_ms` have passed, in which `billed` nanos were billed.
    pub(super) fn tick(&mut self, billed: f64, elapsed_ms: f64, day_ms: f64) {
        let kept = (-elapsed_ms / (HALF_LIFE * day_ms)).exp2();
        let (held, late) = self.sums();
        let decided = self.placed - (held - self.held);
        let sums = [
            (&mut self.decided, decided),
            (&mut self.billed, billed),
            (&mut self.placed_sum, self.placed),
            (&mut self.bids_sum, self.bids),
            (&mut self.tied_ms, (held + late) * elapsed_ms),
        ];
        for (sum, more) in sums {
            // Reports of several cores and bills come in any order; no sum is below zero for long.
            *sum = (*sum * kept + more).max(0.0);
        }
        (self.held, self.placed, self.bids) = (held, 0.0, 0.0);
    }

    /// Expected cost of what is held.
    pub(super) fn expected(&self) -> f64 {
        self.sums().0 * self.cost_ratio()
    }

    /// Expected cost of a held nano.
    pub(super) fn cost_ratio(&self) -> f64 {
        let prior = PRIOR_BIDS * self.mean_bid();
        if prior == 0.0 {
            return RATIO_PRIOR;
        }
        ((self.billed + RATIO_PRIOR * prior) / (self.decided + prior)).clamp(1e-3, 1.0)
    }

    /// Nanos of a bid, on average; 0 before the first.
    pub(super) fn mean_bid(&self) -> f64 {
        if self.bids_sum > 0.0 { self.placed_sum / self.bids_sum } else { 0.0 }
    }

    /// For how many milliseconds of spending at the present rate money is tied: the mean time from
    /// bid to news, over the share of it that is spent (Little's law).
    pub(super) fn tied_for_ms(&self) -> f64 {
        let mean = if self.placed_sum > 0.0 { self.tied_ms / self.placed_sum } else { 0.0 };
        mean / self.cost_ratio()
    }

    fn sums(&self) -> (f64, f64) {
        self.tied.values().fold((0.0, 0.0), |sums, tied| (sums.0 + tied.0, sums.1 + tied.1))
    }
}

/// The time in which what remains is to be spent evenly so that it can be spent at all, in
/// milliseconds: `left_ms` where little is tied, less where much is.
///
/// Bids tie `tied_ms` times the spend rate, and all that is tied must fit into what remains. So an
/// even rate can be kept up only until so much remains; from then on what remains falls
/// exponentially, by the time constant `tied_ms`. Spending `remaining / (x + tied_ms)` for `x`
/// milliseconds and exponentially afterwards leaves
/// `remaining * tied_ms / (x + tied_ms) * exp(-(left_ms - x) / tied_ms)`, which is to be `leave`: solved
/// for `x` by Newton's method, from the right, where it converges without overshooting.
pub(super) fn spendable_ms(left_ms: f64, tied_ms: f64, remaining: f64, leave: f64) -> f64 {
    if tied_ms <= 0.0 || remaining <= 0.0 || leave <= 0.0 {
        return left_ms;
    }
    let excess =
        |x: f64| (remaining * tied_ms / (leave * (x + tied_ms))).ln() - (left_ms - x) / tied_ms;
    if excess(left_ms) <= 0.0 {
        return left_ms;
    }
    if excess(0.0) >= 0.0 {
        return tied_ms.min(left_ms);
    }
    let mut x = left_ms;
    for _ in 0..NEWTON_STEPS {
        x -= excess(x) / (1.0 / tied_ms - 1.0 / (x + tied_ms));
    }
    (x.max(0.0) + tied_ms).min(left_ms)
}

/// Steps of Newton's method: from the worst start the sixth changes nothing that counts.
const NEWTON_STEPS: usize = 6;
