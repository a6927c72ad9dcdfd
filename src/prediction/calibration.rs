//! Platt calibration of what is served (Platt, "Probabilistic Outputs for Support Vector Machines",
//! 1999): `p = sigmoid(base + a (logit - base) + b)`, by exchange and campaign group.
//!
//! `a` and `b` are sums over three levels: everything, the exchange, the group on the exchange. Each
//! level begins at nothing, with a variance that says how far it may be from it, and moves by the
//! Kalman gain of a logistic regression with a diagonal covariance (an extended Kalman filter): what
//! was observed is split between the levels by how uncertain each still is. So a thin cell follows
//! its parent, and a level of which everything is known takes almost nothing.
//!
//! It learns from what was bid, won and shown, at the logit of that time: ads whose score is too high
//! by chance win more often, and only what was shown tells by how much. `a` stays positive, so that
//! within a group the order of ads is the model's.

use super::tables::Chunked;
use serde::{Deserialize, Serialize};

/// Cells of an exchange; a campaign group's is found by a hash. Two groups in one cell are calibrated
/// together: with 100 groups that is one in forty.
pub(super) const GROUPS: usize = 1 << 12;
/// Published cells a chunk: 4 kB.
const GROUP_CHUNK: usize = 512;
/// Exchanges with a calibration of their own, 64 kB each. Those beyond have that of everything.
pub(super) const EXCHANGES_MAX: usize = 64;
/// First variances of (a, b) by level: everything may be off by a fifth, an exchange by a tenth of a
/// logit, a group by a fourteenth, and a group's slope by a thirtieth.
const VARIANCES: [(f32, f32); 3] = [(0.05, 0.05), (0.01, 0.01), (0.001, 0.005)];
/// Variances end here, where some 10,000 clicks are remembered: the model that is calibrated changes.
const VARIANCE_MIN: f32 = 1e-4;
/// The slope's range: below, everything would be the base rate, and above, certain.
const SLOPE: (f32, f32) = (0.2, 5.0);
/// The shift's range, in logits.
const SHIFT_ABS_MAX: f32 = 4.0;
/// Logits count as at most so far from the base rate.
const DISTANCE_MAX: f32 = 12.0;

/// A calibration: a line from the model's logit to the logit that is bid on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Platt {
    slope: f32,
    offset: f32,
}

impl Platt {
    /// What changes nothing.
    pub const IDENTITY: Self = Self { slope: 1.0, offset: 0.0 };

    fn new(base_logit: f32, delta: Delta) -> Self {
        let slope = (1.0 + delta.slope).clamp(SLOPE.0, SLOPE.1);
        let shift = delta.shift.clamp(-SHIFT_ABS_MAX, SHIFT_ABS_MAX);
        Self { slope, offset: base_logit + shift - slope * base_logit }
    }

    /// The logit to bid on. Rises with the model's.
    #[inline]
    #[must_use]
    pub fn apply(self, logit: f32) -> f32 {
        self.slope * logit + self.offset
    }

    /// The model's logit, of one that [`Platt::apply`] gave.
    #[must_use]
    pub fn invert(self, calibrated: f32) -> f32 {
        (calibrated - self.offset) / self.slope
    }
}

/// What a level adds to the slope and the shift.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Delta {
    slope: f32,
    shift: f32,
}

impl Delta {
    fn plus(self, other: Self) -> Self {
        Self { slope: self.slope + other.slope, shift: self.shift + other.shift }
    }
}

/// One level's slope and shift, and how uncertain they are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    slope: f32,
    shift: f32,
    slope_variance: f32,
    shift_variance: f32,
}

impl Cell {
    const fn new((slope_variance, shift_variance): (f32, f32)) -> Self {
        Self { slope: 0.0, shift: 0.0, slope_variance, shift_variance }
    }

    /// Whether its numbers are such as learning can reach.
    fn is_sound(self) -> bool {
        let variances = [self.slope_variance, self.shift_variance];
        self.slope.is_finite()
            && self.shift.is_finite()
            && variances.iter().all(|variance| variance.is_finite() && *variance > 0.0)
    }

    const fn delta(self) -> Delta {
        Delta { slope: self.slope, shift: self.shift }
    }

    /// The variance of the logit at `distance` from the base rate, as far as this level makes it.
    fn variance(self, distance: f32) -> f32 {
        self.slope_variance * distance * distance + self.shift_variance
    }

    /// May move again as freely as at first.
    fn loosen(&mut self, (slope_variance, shift_variance): (f32, f32)) {
        self.slope_variance = self.slope_variance.max(slope_variance);
        self.shift_variance = self.shift_variance.max(shift_variance);
    }

    /// Takes its part of an error of `innovation` logits, `spread` the variance of all that made it.
    fn correct(&mut self, distance: f32, innovation: f32, spread: f32) {
        for (value, variance, by) in [
            (&mut self.slope, &mut self.slope_variance, distance),
            (&mut self.shift, &mut self.shift_variance, 1.0),
        ] {
            let gain = *variance * by / spread;
            *value += gain * innovation;
            *variance = (*variance - gain * by * *variance).max(VARIANCE_MIN);
        }
    }
}

/// One exchange, learned.
struct Learned {
    exchange: u32,
    own: Cell,
    groups: Vec<Cell>,
    published: Chunked<Delta, GROUP_CHUNK>,
}

impl Learned {
    fn new(exchange: u32) -> Self {
        Self {
            exchange,
            own: Cell::new(VARIANCES[1]),
            groups: vec![Cell::new(VARIANCES[2]); GROUPS],
            published: Chunked::filled(GROUPS, Delta::default()),
        }
    }
}

/// The calibration as it is learned.
pub(super) struct Calibrator {
    base_logit: f32,
    everything: Cell,
    exchanges: Vec<Learned>,
}

/// What a [`Calibrator`] has learned, to be kept.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedCalibration {
    everything: Cell,
    exchanges: Vec<SavedExchange>,
}

/// An exchange's feature, its own cell, and those of its groups that learned.
type SavedExchange = (u32, Cell, Vec<(u16, Cell)>);

impl Calibrator {
    /// A copy of what was learned.
    pub(super) fn to_saved(&self) -> SavedCalibration {
        let fresh = Cell::new(VARIANCES[2]);
        let exchanges = self.exchanges.iter().map(|one| {
            let groups = (0..).zip(one.groups.iter().copied());
            (one.exchange, one.own, groups.filter(|(_, cell)| *cell != fresh).collect())
        });
        SavedCalibration { everything: self.everything, exchanges: exchanges.collect() }
    }

    /// One that goes on where `saved` was; `None` for numbers that learning cannot reach.
    pub(super) fn restore(base_logit: f32, saved: SavedCalibration) -> Option<Self> {
        let mut calibrator = Self { everything: saved.everything, ..Self::new(base_logit) };
        let mut is_sound = saved.everything.is_sound() && saved.exchanges.len() <= EXCHANGES_MAX;
        for (exchange, own, groups) in saved.exchanges {
            let mut learned = Learned { own, ..Learned::new(exchange) };
            is_sound &= own.is_sound();
            for (group, cell) in groups {
                let place = learned.groups.get_mut(usize::from(group));
                *place.filter(|_| cell.is_sound())? = cell;
                learned.published.set(group.into(), cell.delta());
            }
            calibrator.exchanges.push(learned);
        }
        is_sound.then_some(calibrator)
    }

    /// One that changes nothing yet.
    pub(super) const fn new(base_logit: f32) -> Self {
        Self { base_logit, everything: Cell::new(VARIANCES[0]), exchanges: Vec::new() }
    }

    /// Learns what became of a show whose model's logit was `logit`. What is no finite number teaches
    /// nothing.
    pub(super) fn learn(&mut self, exchange: u32, group: u16, logit: f32, is_clicked: bool) {
        if !logit.is_finite() {
            return;
        }
        let group = usize::from(group) % GROUPS;
        let known = self.exchanges.iter().position(|one| one.exchange == exchange);
        let place = known.or_else(|| {
            let has_room = self.exchanges.len() < EXCHANGES_MAX;
            has_room.then(|| {
                self.exchanges.push(Learned::new(exchange));
                self.exchanges.len() - 1
            })
        });
        let mut own = place.and_then(|place| self.exchanges.get_mut(place));
        let mut delta = self.everything.delta();
        let distance = (logit - self.base_logit).clamp(-DISTANCE_MAX, DISTANCE_MAX);
        let mut variance = self.everything.variance(distance);
        if let Some(one) = &own {
            for cell in [one.own, one.groups[group]] {
                delta = delta.plus(cell.delta());
                variance += cell.variance(distance);
            }
        }
        let calibrated = Platt::new(self.base_logit, delta).apply(self.base_logit + distance);
        let predicted = super::sigmoid(calibrated);
        // What one outcome tells: an observation of the logit with the variance 1 / (p (1 - p)).
        let information = (predicted * (1.0 - predicted)).max(1e-6);
        let innovation = (f32::from(u8::from(is_clicked)) - predicted) / information;
        let spread = variance + 1.0 / information;
        self.everything.correct(distance, innovation, spread);
        if let Some(one) = &mut own {
            one.own.correct(distance, innovation, spread);
            one.groups[group].correct(distance, innovation, spread);
            one.published.set(group, one.groups[group].delta());
        }
    }

    /// Another model is served from now on. What was learned of the one before is the best guess at what
    /// it errs by, since both saw the same shows, and no more than a guess.
    pub(super) fn loosen(&mut self) {
        let [everything, exchange, group] = VARIANCES;
        self.everything.loosen(everything);
        for one in &mut self.exchanges {
            one.own.loosen(exchange);
            one.groups.iter_mut().for_each(|cell| cell.loosen(group));
        }
    }

    /// As it stands, to bid by. Costs a few pointers an exchange.
    pub(super) fn snapshot(&self) -> Calibration {
        let everything = self.everything.delta();
        let exchanges = self.exchanges.iter().map(|one| Exchange {
            exchange: one.exchange,
            delta: everything.plus(one.own.delta()),
            groups: one.published.clone(),
        });
        Calibration { base_logit: self.base_logit, everything, exchanges: exchanges.collect() }
    }
}

/// The calibration of one publication. The default changes nothing.
#[derive(Default)]
pub(super) struct Calibration {
    base_logit: f32,
    everything: Delta,
    exchanges: Vec<Exchange>,
}

struct Exchange {
    exchange: u32,
    delta: Delta,
    groups: Chunked<Delta, GROUP_CHUNK>,
}

impl Calibration {
    /// What holds on one exchange, by the id of its feature.
    pub(super) fn on(&self, exchange: u32) -> ExchangeCalibration<'_> {
        let found = self.exchanges.iter().find(|one| one.exchange == exchange);
        ExchangeCalibration {
            base_logit: self.base_logit,
            delta: found.map_or(self.everything, |one| one.delta),
            groups: found.map(|one| &one.groups),
        }
    }
}

/// The calibration of one exchange: looked up once a request.
#[derive(Clone, Copy)]
pub struct ExchangeCalibration<'a> {
    base_logit: f32,
    delta: Delta,
    groups: Option<&'a Chunked<Delta, GROUP_CHUNK>>,
}

impl ExchangeCalibration<'_> {
    /// Of a campaign group: eight bytes of a table of 32 kB, of which few lines are ever read.
    #[inline]
    #[must_use]
    pub fn of(&self, group: u16) -> Platt {
        let own = self.groups.and_then(|groups| groups.get(usize::from(group) % GROUPS));
        Platt::new(self.base_logit, own.map_or(self.delta, |own| self.delta.plus(*own)))
    }
}

#[cfg(test)]
#[path = "calibration_tests.rs"]
mod tests;
