//! Segments of the market, and which of them knows enough: a slot size of an exchange in one block
//! of hours, else the size, else the exchange, else everything in the currency.

use super::histogram::{DECAY, Histogram, ends, first_around};
use super::logistic::Logistic;
use super::lognormal;
use super::shade::Curve;
use super::snapshot::MarketSnapshot;
use crate::hash;
use crate::units::{CurrencyCode, Micros, Timestamp};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;
use std::sync::Arc;

/// Segments kept, some 1.8 kB each, 7 MB: ten exchanges of two currencies fill them. What comes beyond
/// is learned by the broader segments alone.
const SEGMENTS_MAX: usize = 4_096;
/// Observations from which a segment speaks for itself.
const COUNT_MIN: f64 = 200.0;
/// Prices from which an exchange's, or all, are taken to be log-normal.
const THIN_MIN: f64 = 20.0;
/// Losses that an exchange must have told before its bids are shaded. One that tells of none looks
/// as if every bid won, and bids would sink until none does.
const LOSSES_MIN: u64 = 20;
/// Milliseconds of a block of hours.
const BLOCK_MS: i64 = 4 * 3_600_000;
/// Blocks of a day.
const BLOCKS: i64 = 6;
/// Prices beyond this (a million CPM) are no prices.
const PRICE_MAX: Micros = Micros(1_000_000_000_000);

/// What a slot's size makes of its price, in 5 bits: the common sizes by name, others by their area.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SizeClass(u8);

/// Banner sizes that markets tell apart, by the number of their class less one.
const SIZES: [(u16, u16); 22] = [
    (300, 250),
    (320, 50),
    (728, 90),
    (160, 600),
    (300, 600),
    (970, 250),
    (320, 100),
    (336, 280),
    (320, 480),
    (480, 320),
    (300, 50),
    (970, 90),
    (468, 60),
    (120, 600),
    (768, 1024),
    (1024, 768),
    (250, 250),
    (200, 200),
    (300, 1050),
    (180, 150),
    (950, 90),
    (1000, 90),
];

impl SizeClass {
    /// Native slots.
    pub const NATIVE: Self = Self(26);
    /// Audio slots.
    pub const AUDIO: Self = Self(27);

    /// Of a banner of `w` x `h` pixels.
    #[must_use]
    pub fn banner(w: u16, h: u16) -> Self {
        if let Some(place) = SIZES.iter().position(|size| *size == (w, h)) {
            return Self(1 + place as u8);
        }
        match u32::from(w) * u32::from(h) {
            0 => Self(0),
            1..30_000 => Self(23),
            30_000..150_000 => Self(24),
            _ => Self(25),
        }
    }

    /// Of a video player of `w` pixels.
    #[must_use]
    pub const fn video(w: u16) -> Self {
        match w {
            0 => Self(28),
            1..400 => Self(29),
            400..1_280 => Self(30),
            _ => Self(31),
        }
    }

    /// The class of a number that [`SizeClass::number`] gave.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        Self(number & 31)
    }

    /// Its number, below 32.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Where a bid stands in the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Stable hash of the exchange's name.
    pub exchange: u64,
    /// The currency of the bid: prices of two are not compared.
    pub currency: CurrencyCode,
    /// The slot's size.
    pub size: SizeClass,
    /// When the bid was made; the hour counts, in UTC.
    pub at: Timestamp,
}

impl Place {
    /// The keys of its segments, narrowest first: block of hours, size, exchange, currency.
    #[must_use]
    pub fn keys(&self) -> [u64; 4] {
        let all = hash::stable(self.currency.as_str().as_bytes());
        let exchange = hash::combine(all, self.exchange);
        let size = hash::combine(exchange, 1 + u64::from(self.size.0));
        let block = self.at.0.div_euclid(BLOCK_MS).rem_euclid(BLOCKS);
        [hash::combine(size, 1 + block as u64), size, exchange, all]
    }
}

/// What became of a bid in a first-price auction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Where.
    pub place: Place,
    /// What was bid.
    pub bid: Micros,
    /// Whether it won.
    pub is_won: bool,
    /// The least bid that would have won, where the exchange tells.
    pub min_to_win: Option<Micros>,
}

/// What an observation was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// A price.
    Price,
    /// Who won.
    Outcome,
    /// A price on the wrong side of the bid: only who won was learned.
    Contradiction,
}

#[derive(Clone, Debug, Default)]
struct Segment {
    prices: Histogram,
    chance: Logistic,
    /// Observations, the old ones for what they still weigh, and those of them that told a price.
    count: f64,
    told: f64,
    curve: Option<Arc<Curve>>,
    has_news: bool,
}

impl Segment {
    fn observe(&mut self, bid: Micros, is_won: bool, price: Option<Micros>) {
        self.count = self.count * DECAY + 1.0;
        self.told = self.told * DECAY + f64::from(u8::from(price.is_some()));
        self.chance.observe(bid, is_won);
        match price {
            Some(price) => self.prices.observe(price),
            None => self.prices.observe_censored(bid, is_won),
        }
        self.has_news = true;
    }

    /// What is best by what it knows; a narrow segment that knows little leaves it to a broader one.
    fn curve_now(&self, is_broad: bool) -> Option<Curve> {
        let prices = &self.prices;
        if self.told >= THIN_MIN {
            if prices.count() >= COUNT_MIN {
                return Some(Curve::of(prices.shares()));
            }
            let (mean, deviation) = prices.ln_moments();
            let share = |bid: f64| (bid, lognormal::share_below(bid.ln(), mean, deviation));
            return is_broad.then(|| Curve::of(ends(first_around(mean)).map(share)));
        }
        let chance = |bid: f64| (bid, self.chance.chance(bid.ln()));
        let first = first_around(self.chance.ln_even());
        (self.count >= COUNT_MIN).then(|| Curve::of(ends(first).map(chance)).exploring())
    }

    fn publish(&mut self, is_broad: bool) -> Option<Arc<Curve>> {
        if std::mem::take(&mut self.has_news) {
            self.curve = self.curve_now(is_broad).map(Arc::new);
        }
        self.curve.clone()
    }
}

/// Everything that was learned of prices. Pure.
#[derive(Clone, Debug, Default)]
pub struct Market {
    segments: FxHashMap<u64, Segment>,
    /// Of these, the ones of whole exchanges and of a currency.
    broad: FxHashSet<u64>,
    /// Losses told by each exchange, by its key; exchanges are those of the configuration.
    losses: FxHashMap<u64, u64>,
    prices: u64,
    outcomes: u64,
    contradictions: u64,
    segments_refused: u64,
}

/// What an operator sees of the market.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MarketStatus {
    /// Segments of all levels.
    pub segments: usize,
    /// Segments that there was no room for.
    pub segments_refused: u64,
    /// Bids of which the least winning bid was told.
    pub prices: u64,
    /// Bids of which only was told who won.
    pub outcomes: u64,
    /// Least winning bids that contradict who won.
    pub contradictions: u64,
    /// What notices told beyond what a tick takes.
    pub dropped: u64,
}

impl Market {
    /// Learns what became of one bid.
    pub fn observe(&mut self, observation: &Observation) -> Learned {
        let Observation { place, bid, is_won, min_to_win } = *observation;
        let is_price = |price: &Micros| price.0 > 0 && *price <= PRICE_MAX;
        let told = min_to_win.filter(is_price);
        // A bid that wins reaches the least winning bid; one that loses does not pass it.
        let price = told.filter(|price| if is_won { *price <= bid } else { *price >= bid });
        let learned = match (told, price) {
            (Some(_), None) => Learned::Contradiction,
            (_, Some(_)) => Learned::Price,
            _ => Learned::Outcome,
        };
        match learned {
            Learned::Price => self.prices += 1,
            Learned::Outcome => self.outcomes += 1,
            Learned::Contradiction => self.contradictions += 1,
        }
        let keys = place.keys();
        if !is_won {
            *self.losses.entry(keys[2]).or_default() += 1;
        }
        self.broad.extend(&keys[2..]);
        for key in keys {
            let has_room = self.segments.len() < SEGMENTS_MAX || self.segments.contains_key(&key);
            if has_room {
                self.segments.entry(key).or_default().observe(bid, is_won, price);
            } else {
                self.segments_refused += 1;
            }
        }
        learned
    }

    /// The curves of all segments that know enough, and the exchanges that they may be used with.
    pub fn snapshot(&mut self, epoch: u64) -> MarketSnapshot {
        let broad = &self.broad;
        let curves = self
            .segments
            .iter_mut()
            .filter_map(|(key, segment)| Some((*key, segment.publish(broad.contains(key))?)));
        let tell_losses = self.losses.iter().filter(|(_, losses)| **losses >= LOSSES_MIN);
        MarketSnapshot {
            epoch,
            curves: curves.collect(),
            tell_losses: tell_losses.map(|(exchange, _)| *exchange).collect(),
        }
    }

    /// What an operator sees of it, with what was `dropped` before it got here.
    #[must_use]
    pub fn status(&self, dropped: u64) -> MarketStatus {
        MarketStatus {
            segments: self.segments.len(),
            segments_refused: self.segments_refused,
            prices: self.prices,
            outcomes: self.outcomes,
            contradictions: self.contradictions,
            dropped,
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
