//! One labelled example, as every reader makes it.

use crate::hash;
use crate::prediction::Feature;
use crate::units::Timestamp;

/// Most features of one example: a list of a thousand tokens and all else.
pub const FEATURES_MAX: usize = 4_096;

/// One example, filled again and again by whoever reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// Its features, by field.
    pub features: Vec<Feature>,
    /// What came of it.
    pub is_positive: bool,
    /// How much it counts, 0 or more.
    pub weight: f32,
    /// When it happened, where that is known.
    pub time: Option<Timestamp>,
    /// A hash of whose it is, where a column that says so was asked for.
    pub user: Option<u64>,
}

impl Example {
    /// Adds a category.
    pub(super) fn category(&mut self, field: usize, id: u64) {
        self.value(field, id, 1.0);
    }

    /// Adds a feature with a value.
    pub(super) fn value(&mut self, field: usize, id: u64, value: f32) {
        // What lies beyond the first fields or 32 bits is the model's to bear, not to see.
        self.features.push(Feature { field: field as u16, id: id as u32, value });
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) {
        self.features.clear();
        (self.is_positive, self.weight) = (false, 1.0);
        (self.time, self.user) = (None, None);
    }
}

/// The id of the value `bytes` in the field whose name hashes to `field`.
pub(super) fn id(field: u64, bytes: &[u8]) -> u64 {
    hash::combine(field, hash::stable(bytes))
}

/// A number as a feature's value. Text of others is seldom scaled: beyond 1 the logarithm counts, so
/// that no single feature drowns all others.
pub(super) fn squashed(value: f64) -> f32 {
    let size = value.abs();
    let kept = if size > 1.0 { 1.0 + size.ln() } else { size };
    kept.copysign(value) as f32
}
