//! A trained model: steps states, and says what they make likely.

use super::cell::{Cell, add_scaled, dot};
use super::shape::{HIDDEN_MAX, KINDS, Shape, gap_step};
use super::vocabulary::Vocabulary;
use std::sync::{Arc, OnceLock};

/// One event as the model reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The category's place in the vocabulary; 0 is unknown.
    pub category: usize,
    /// A stable hash of the item; 0 for none.
    pub item: u32,
    /// The number of the kind of event, below [`KINDS`]; what is above counts as the last.
    pub kind: u8,
    /// When, in Unix seconds.
    pub at_s: u32,
}

/// The state of one user, a byte a unit. The state is a mean of hyperbolic tangents, so it lies
/// within ±1, and its largest unit sets the scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    pub(super) units: [i8; HIDDEN_MAX],
    pub(super) scale: f32,
    /// The latest event, in Unix seconds; 0 before the first.
    at_s: u32,
}

// It lies in every session that has one.
const _: () = assert!(size_of::<State>() == 72);

impl Default for State {
    fn default() -> Self {
        Self { units: [0; HIDDEN_MAX], scale: 0.0, at_s: 0 }
    }
}

impl State {
    /// Whether anything was seen.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.at_s != 0
    }

    /// As it is kept in a file.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 72] {
        let mut bytes = [0; 72];
        let (units, rest) = bytes.split_at_mut(HIDDEN_MAX);
        units.iter_mut().zip(self.units).for_each(|(byte, unit)| *byte = unit as u8);
        rest[..4].copy_from_slice(&self.scale.to_le_bytes());
        rest[4..].copy_from_slice(&self.at_s.to_le_bytes());
        bytes
    }

    /// From what [`State::to_bytes`] made; a scale that none has is taken as that of an empty state.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 72]) -> Self {
        let mut state = Self::default();
        let (units, rest) = bytes.split_at(HIDDEN_MAX);
        state.units.iter_mut().zip(units).for_each(|(unit, byte)| *unit = *byte as i8);
        let [a, b, c, d, e, f, g, h] = std::array::from_fn(|place| rest[place]);
        let scale = f32::from_le_bytes([a, b, c, d]);
        state.scale = if (0.0..=1.0 / 127.0).contains(&scale) { scale } else { 0.0 };
        state.at_s = u32::from_le_bytes([e, f, g, h]);
        state
    }

    fn load(&self, h: &mut [f32]) {
        for (h, &unit) in h.iter_mut().zip(&self.units) {
            *h = f32::from(unit) * self.scale;
        }
    }

    pub(super) fn store(&mut self, h: &[f32]) {
        let largest = h.iter().fold(0.0_f32, |largest, h| largest.max(h.abs()));
        self.scale = largest / 127.0;
        let steps = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        for (unit, h) in self.units.iter_mut().zip(h) {
            // A cast from float saturates, and takes NaN to 0.
            *unit = (h * steps).round() as i8;
        }
    }
}

/// A sequence model: embeddings, one gated recurrent unit, and the same embeddings again as outputs.
#[derive(Clone, Debug)]
pub struct SequenceModel {
    pub(super) shape: Shape,
    pub(super) vocabulary: Arc<Vocabulary>,
    pub(super) weights: Vec<f32>,
    pub(super) usual: OnceLock<Vec<f32>>,
}

impl SequenceModel {
    /// Its sizes.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// What it knows.
    #[must_use]
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Steps a user's state by one event: from bytes to numbers and back, without allocating.
    pub fn step(&self, state: &mut State, visit: Visit) {
        let mut cell = Cell::default();
        let mut h = [0.0; HIDDEN_MAX];
        let h = &mut h[..self.shape.hidden];
        state.load(h);
        self.forward(&mut cell, h, visit, state.at_s);
        state.store(h);
        state.at_s = state.at_s.max(visit.at_s).max(1);
    }

    /// How likely a category is next, as a logit that is comparable within one state only.
    #[must_use]
    pub fn logit(&self, state: &State, place: usize) -> f32 {
        let mut h = [0.0; HIDDEN_MAX];
        let h = &mut h[..self.shape.hidden];
        state.load(h);
        self.output(h, place)
    }

    /// The logits of all places, the unknown one first. `out` is as long as the vocabulary and one.
    pub fn logits(&self, state: &State, out: &mut [f32]) {
        let mut h = [0.0; HIDDEN_MAX];
        let h = &mut h[..self.shape.hidden];
        state.load(h);
        for (place, out) in out.iter_mut().enumerate().take(self.shape.categories + 1) {
            *out = self.output(h, place);
        }
    }

    /// The output embedding of the average event: each category's by what its bias alone makes of it.
    /// Worked out once, when somebody first asks.
    pub(super) fn usual(&self) -> &[f32] {
        self.usual.get_or_init(|| {
            let mut usual = vec![0.0; self.shape.hidden];
            let places = 1..=self.shape.categories;
            let bias = |place: usize| self.weights[self.shape.bias(place)];
            let largest = places.clone().map(bias).fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for place in places {
                let share = (bias(place) - largest).exp();
                sum += share;
                add_scaled(&mut usual, share, &self.weights[self.shape.category(place)]);
            }
            usual.iter_mut().for_each(|unit| *unit /= sum);
            usual
        })
    }

    /// Steps the unquantised state `h`, leaving in `cell` what a step back needs.
    pub(super) fn forward(&self, cell: &mut Cell, h: &mut [f32], visit: Visit, last_s: u32) {
        self.embed(visit, last_s, &mut cell.x[..self.shape.hidden]);
        cell.forward(&self.weights[self.shape.cell()], h);
    }

    pub(super) fn output(&self, h: &[f32], place: usize) -> f32 {
        dot(&self.weights[self.shape.category(place)], h) + self.weights[self.shape.bias(place)]
    }

    /// The sum of what is known of an event.
    pub(super) fn embed(&self, visit: Visit, last_s: u32, x: &mut [f32]) {
        x.fill(0.0);
        for range in self.rows_of(visit, last_s).into_iter().flatten() {
            add_scaled(x, 1.0, &self.weights[range]);
        }
    }

    /// Where the embeddings stand that make an event's input.
    pub(super) fn rows_of(&self, visit: Visit, last_s: u32) -> [Option<std::ops::Range<usize>>; 4] {
        let shape = &self.shape;
        let item = (visit.item != 0 && shape.items > 0)
            .then(|| shape.item(visit.item as usize & (shape.items - 1)));
        // The first event has no gap: it counts as after the longest.
        let gap_s = if last_s == 0 { u32::MAX } else { visit.at_s.saturating_sub(last_s) };
        [
            Some(shape.category(visit.category.min(shape.categories))),
            item,
            Some(shape.kind(usize::from(visit.kind).min(KINDS - 1))),
            Some(shape.gap(gap_step(gap_s))),
        ]
    }
}
