//! What the bid path reads of the market: a curve for each segment that has one.

use super::segments::Place;
use super::shade::Curve;
use crate::hash;
use crate::units::Micros;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// Of a market that only tells who won, one bid in so many is drawn (2 %).
const EXPLORED_ONE_IN: u64 = 50;
/// The least part of the value that is drawn.
const EXPLORED_FROM: f64 = 0.3;
/// Sets these draws apart from others of the same seed.
const SALT: u64 = 0x5ade;

/// All win curves, by segment.
#[derive(Clone, Debug, Default)]
pub struct MarketSnapshot {
    /// Counts publications.
    pub epoch: u64,
    /// By the key of a segment at any level.
    pub(super) curves: FxHashMap<u64, Arc<Curve>>,
    /// Keys of the exchanges that tell of losses; bids elsewhere are their value.
    pub(super) tell_losses: FxHashSet<u64>,
}

/// A bid below its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shaded {
    /// The bid.
    pub price: Micros,
    /// Whether it was drawn, to learn from.
    pub is_drawn: bool,
}

impl MarketSnapshot {
    /// The bid for a value in one segment, at least the floor and at most the value. `seed` is the
    /// auction's, so that the same request is bid on alike. The curve is that of the narrowest
    /// segment that has one; without any, the value is bid.
    #[must_use]
    pub fn shade(&self, place: &Place, value: Micros, floor: Micros, seed: u64) -> Shaded {
        let keys = place.keys();
        let curve = keys.iter().find_map(|key| self.curves.get(key));
        let Some(curve) = curve.filter(|_| self.tell_losses.contains(&keys[2])) else {
            return Shaded { price: value, is_drawn: false };
        };
        let draw = hash::combine(SALT, seed);
        if curve.explores() && draw.is_multiple_of(EXPLORED_ONE_IN) {
            let unit = (hash::mix(draw) >> 11) as f64 / (1_u64 << 53) as f64;
            let part = EXPLORED_FROM + (1.0 - EXPLORED_FROM) * unit;
            let price = Micros((value.0 as f64 * part) as u64).max(floor).min(value);
            return Shaded { price, is_drawn: true };
        }
        Shaded { price: curve.bid(value, floor), is_drawn: false }
    }

    /// Segments that have a curve.
    #[must_use]
    pub fn len(&self) -> usize {
        self.curves.len()
    }

    /// Whether nothing is known of any market yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.curves.is_empty()
    }
}
