//! The conversion head: how likely a click is to become a conversion.
//!
//! A second model of the same core over clicked shows. A click is learned as a negative at once, and
//! when its conversion comes inside the window that is taken back and a positive learned (Ktena et
//! al., "Addressing Delayed Feedback for Continuous Training with Neural Networks in CTR prediction",
//! RecSys 2019, with the fake negative retracted rather than weighted). So at any time the model is
//! too low by the conversions that are still to come of recent clicks, and by nothing else: of `n`
//! clicks remembered, of which `m` are younger than the usual delay, by about `m / n` of the rate.
//!
//! The campaign's declared rate is the prior of the logit, and the head learns what differs from it.

use super::calibration::Calibration;
use super::config::{Config, Error, FwfmConfig, Rates};
use super::features::{AdFeatures, Cross};
use super::fwfm::Fwfm;
use super::join::Example;
use super::model_file::ModelFileError;
use super::online::{OnlineSample, fwfm_config};
use super::publish::Publisher;
use super::saved::SavedFwfm;
use super::score::ModelSnapshot;
use crate::units::{HoldId, Timestamp, UserKey};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The base of the head's logits; the prior of a campaign that declares no rate.
const BASE_RATE: f64 = 0.02;
/// Log2 of the head's linear weights at most: there is one click for every hundred shows.
const LINEAR_BITS_MAX: u8 = 16;
/// The same of its vectors.
const VECTOR_BITS_MAX: u8 = 14;

/// The logit of a declared rate; no number where none is declared.
#[must_use]
pub fn conversion_prior_logit(declared_ppm: u32) -> f32 {
    if declared_ppm == 0 {
        return f32::NAN;
    }
    let rate = (declared_ppm as f32 / 1e6).clamp(1e-6, 1.0 - 1e-6);
    (rate / (1.0 - rate)).ln()
}

/// The rate of vectors and the field matrix: a tenth of the click model's. All pairs of a few hundred
/// clicks that look alike step together, and with conversions that come late they step too far: at
/// 0.05 a rate of 0.5 was taken for 0.84 after 240 clicks, at this one for 0.61.
const PAIR_RATE: f32 = 0.005;

/// What came in and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ConversionCounters {
    /// Clicks that were learned as negatives.
    pub clicks: u64,
    /// Clicks whose conversion cannot be joined, because too many wait.
    pub dropped_clicks: u64,
    /// Conversions that took a negative back.
    pub conversions: u64,
    /// Further conversions of one click.
    pub duplicate: u64,
    /// Conversions after their click's window.
    pub late: u64,
    /// Conversions of clicks that nobody told us of, or that had left the table.
    pub unknown: u64,
    /// Sum of what was predicted of the clicks.
    pub predicted: f64,
}

impl ConversionCounters {
    /// Predicted conversions over those that came so far; 0 before the first.
    #[must_use]
    pub fn predicted_over_actual(&self) -> f64 {
        if self.conversions == 0 { 0.0 } else { self.predicted / self.conversions as f64 }
    }
}

struct Clicked {
    deadline: Timestamp,
    is_converted: bool,
    example: Box<Example>,
}

/// The model and the clicks that wait for their conversions.
pub(super) struct ConversionHead {
    model: Fwfm,
    publisher: Publisher,
    snapshot: Arc<ModelSnapshot>,
    is_changed: bool,
    window_ms: i64,
    max: usize,
    waiting: FxHashMap<HoldId, Clicked>,
    deadlines: BTreeSet<(Timestamp, HoldId)>,
    now: Timestamp,
    counters: ConversionCounters,
}

impl ConversionHead {
    /// A head that has seen nothing.
    ///
    /// # Errors
    /// When a setting lies outside its range.
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let shape = fwfm_config(config);
        let model = Fwfm::new(&FwfmConfig {
            linear_bits: shape.linear_bits.min(LINEAR_BITS_MAX),
            vector_bits: shape.vector_bits.min(VECTOR_BITS_MAX),
            base_rate: BASE_RATE,
            negative_rate: 1.0,
            rates: Rates { vector_rate: PAIR_RATE, field_rate: PAIR_RATE, ..Rates::ftrl() },
            ..shape
        })?;
        let mut publisher = Publisher::new(&model);
        let snapshot = publisher.snapshot(&model, Calibration::default(), None);
        Ok(Self {
            model,
            publisher,
            snapshot,
            is_changed: false,
            window_ms: config.conversion_window_ms,
            max: config.conversions_max,
            waiting: FxHashMap::default(),
            deadlines: BTreeSet::new(),
            now: Timestamp(i64::MIN),
            counters: ConversionCounters::default(),
        })
    }

    /// A copy of what was learned. Clicks that wait are not in it: what comes for them later counts as
    /// unknown, and they stay negatives.
    pub(super) fn to_saved(&self) -> SavedFwfm {
        self.model.to_saved()
    }

    /// Goes on where `saved` was.
    ///
    /// # Errors
    /// When it is not of a model of this shape.
    pub(super) fn take_over(&mut self, saved: SavedFwfm) -> Result<(), ModelFileError> {
        self.is_changed = true;
        self.model.take_over(saved)
    }

    /// A show was clicked: a negative, until its conversion comes.
    pub(super) fn click(&mut self, example: &Example, at: Timestamp) {
        // Where no rate is declared, conversions may not be told at all.
        if example.conversion_prior_logit.is_nan() || self.waiting.contains_key(&example.hold) {
            return;
        }
        if self.waiting.len() >= self.max {
            // A negative that cannot be taken back would make every rate too low.
            self.counters.dropped_clicks += 1;
            return;
        }
        let predicted = self.learn(example, false, 1.0);
        self.counters.clicks += 1;
        self.counters.predicted += f64::from(predicted);
        let deadline = at.plus_millis(self.window_ms);
        self.deadlines.insert((deadline, example.hold));
        let clicked = Clicked { deadline, is_converted: false, example: Box::new(example.clone()) };
        self.waiting.insert(example.hold, clicked);
    }

    /// A click became a conversion, which was at `at`.
    pub(super) fn convert(&mut self, hold: HoldId, at: Timestamp) {
        let Some(clicked) = self.waiting.get_mut(&hold) else {
            self.counters.unknown += 1;
            return;
        };
        if at >= clicked.deadline {
            self.counters.late += 1;
            return;
        }
        if std::mem::replace(&mut clicked.is_converted, true) {
            self.counters.duplicate += 1;
            return;
        }
        self.counters.conversions += 1;
        let example = clicked.example.clone();
        self.learn(&example, false, -1.0);
        self.learn(&example, true, 1.0);
    }

    /// Moves the present to `now` (never back).
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.model.advance(now);
    }

    /// Lets go of clicks whose window has ended, at most `count` of them; whether there may be more.
    pub(super) fn expire(&mut self, count: usize) -> bool {
        for _ in 0..count {
            let ended = self.deadlines.first().filter(|(deadline, _)| *deadline <= self.now);
            let Some(&(deadline, hold)) = ended else { return false };
            self.deadlines.remove(&(deadline, hold));
            self.waiting.remove(&hold);
        }
        true
    }

    /// Drops the clicks of these users, which stay the negatives that they are. Returns how many.
    pub(super) fn forget(&mut self, users: &[UserKey]) -> usize {
        let deadlines = &mut self.deadlines;
        let before = self.waiting.len();
        self.waiting.retain(|hold, Clicked { deadline, example, .. }| {
            let is_theirs = example.user.is_some_and(|user| users.contains(&user));
            if is_theirs {
                deadlines.remove(&(*deadline, *hold));
            }
            !is_theirs
        });
        before - self.waiting.len()
    }

    /// Replaces the ads that snapshots keep rows of.
    pub(super) fn replace_ads(&mut self, ads: &[AdFeatures]) {
        self.publisher.replace_ads(&self.model, ads);
        self.is_changed = true;
    }

    /// Whether [`ConversionHead::publish`] would give another snapshot than the last.
    pub(super) const fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The model as it stands.
    pub(super) fn publish(&mut self) -> Arc<ModelSnapshot> {
        if self.is_changed {
            self.publisher.refresh(&self.model);
            self.model.clear_touched();
            self.snapshot = self.publisher.snapshot(&self.model, Calibration::default(), None);
            self.is_changed = self.publisher.waiting() > 0;
        }
        Arc::clone(&self.snapshot)
    }

    /// What came in.
    pub(super) const fn counters(&self) -> ConversionCounters {
        self.counters
    }

    /// How many clicks wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn learn(&mut self, example: &Example, label: bool, weight: f32) -> f32 {
        let cross = Cross { prior_logit: example.conversion_prior_logit, ..example.cross };
        let base_logit = self.model.base_logit();
        let online = OnlineSample::new(&example.context, &example.ad, cross, base_logit);
        self.is_changed = true;
        self.model.learn(&online.sample(), label, weight)
    }
}

#[cfg(test)]
#[path = "conversion_tests.rs"]
mod tests;
