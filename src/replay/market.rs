//! The other side of the auctions: who wins, what is paid, and when anybody hears of it.

use super::auction::Logged;
use crate::hash::combine;
use crate::units::Micros;

/// What the winner pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceRule {
    /// What it bid.
    First,
    /// What the market bid.
    Second,
}

/// How long something takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delay {
    /// Always so many milliseconds.
    Fixed(i64),
    /// Exponential with this mean, and never longer than the other, in milliseconds.
    Exponential {
        /// The mean before it is cut.
        mean_ms: f64,
        /// The longest.
        most_ms: i64,
    },
}

impl Delay {
    /// At once.
    pub const NONE: Self = Self::Fixed(0);

    /// Milliseconds, by a uniform number in (0, 1).
    fn draw(self, uniform: f64) -> i64 {
        match self {
            Self::Fixed(ms) => ms.max(0),
            Self::Exponential { mean_ms, most_ms } => {
                ((-uniform.ln() * mean_ms) as i64).clamp(0, most_ms.max(0))
            }
        }
    }
}

/// What users do after an impression.
#[derive(Clone, Debug)]
pub struct Conversions {
    /// Expected conversions a click, as the strategy is told.
    pub expected_cvr: f64,
    /// True over expected rate from a part of the log's time on (0 to 1), in the order of time.
    pub factors: Vec<(f64, f64)>,
    /// From impression to conversion.
    pub delay: Delay,
    /// What one is worth on average, micros of the account's currency: a third of that, the same, or
    /// five thirds, equally often.
    pub value_micros: u64,
}

/// The market and its notices.
#[derive(Clone, Debug)]
pub struct Market {
    /// What the winner pays.
    pub pays: PriceRule,
    /// From auction to billing notice.
    pub win_delay: Delay,
    /// From auction to loss notice; `None` where losses are not told and holds time out.
    pub loss_delay: Option<Delay>,
    /// Whether notices tell the least bid that would have won.
    pub tells_price: bool,
    /// Conversions, where there are any.
    pub conversions: Option<Conversions>,
    /// Of all that is drawn here.
    pub seed: u64,
}

impl Market {
    /// A second-price market that tells everything at once.
    #[must_use]
    pub const fn second_price() -> Self {
        let (win_delay, loss_delay) = (Delay::NONE, Some(Delay::NONE));
        Self {
            pays: PriceRule::Second,
            win_delay,
            loss_delay,
            tells_price: true,
            conversions: None,
            seed: 1,
        }
    }

    /// The same where the winner pays its bid.
    #[must_use]
    pub fn first_price() -> Self {
        Self { pays: PriceRule::First, ..Self::second_price() }
    }

    /// What a bid pays; `None` where it loses. A tie is won.
    #[must_use]
    pub fn settle(&self, auction: &Logged, bid: Micros) -> Option<Micros> {
        let is_won = bid >= auction.market;
        is_won.then_some(match self.pays {
            PriceRule::First => bid,
            PriceRule::Second => auction.market,
        })
    }

    /// Milliseconds to the notice of the `number`th auction; `None` where none comes.
    pub(super) fn notice_after(&self, number: usize, is_won: bool) -> Option<i64> {
        let uniform = self.uniform(number, 1);
        if is_won {
            Some(self.win_delay.draw(uniform))
        } else {
            self.loss_delay.map(|delay| delay.draw(uniform))
        }
    }

    /// Milliseconds to the conversion of the `number`th auction, if it leads to one, and its worth;
    /// `part` says how much of the log's time has passed. The same draw for every strategy.
    pub(super) fn converts_after(
        &self,
        number: usize,
        auction: &Logged,
        part: f64,
    ) -> Option<(i64, Micros)> {
        let conversions = self.conversions.as_ref()?;
        let mut passed = conversions.factors.iter().filter(|(from, _)| *from <= part);
        let factor = passed.next_back().map_or(1.0, |(_, factor)| *factor);
        let probability = auction.p_click * conversions.expected_cvr * factor;
        let converts = self.uniform(number, 2) < probability;
        converts.then(|| {
            let parts = [1, 3, 5][(self.uniform(number, 4) * 3.0) as usize % 3];
            let worth = Micros(conversions.value_micros / 3 * parts);
            (conversions.delay.draw(self.uniform(number, 3)), worth)
        })
    }

    /// A number in (0, 1) for one purpose in one auction.
    fn uniform(&self, number: usize, purpose: u64) -> f64 {
        let bits = combine(combine(self.seed, purpose), number as u64);
        ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}
