//! Where each parameter stands in a model's one flat vector, and how large a model may be.

use std::ops::Range;

/// Units of the largest state: a session keeps a byte for each.
pub const HIDDEN_MAX: usize = 64;
/// Categories of the largest vocabulary: with 64 units 64 MB of embeddings, more than any public
/// taxonomy of products needs.
pub const CATEGORIES_MAX: usize = 262_144;
/// Rows of the largest table of hashed items: 64 MB with 64 units.
pub const ITEMS_MAX: usize = 262_144;
/// Kinds of events that have an embedding of their own.
pub const KINDS: usize = 8;
/// Steps of the time since the event before.
pub(super) const GAPS: usize = 8;

/// Seconds at which a longer gap begins: half a minute to a day, each some four times the one before.
const GAP_EDGES_S: [u32; GAPS - 1] = [10, 40, 150, 600, 2_400, 14_400, 86_400];

/// The step of a gap of so many seconds.
pub(super) fn gap_step(gap_s: u32) -> usize {
    GAP_EDGES_S.partition_point(|&edge| edge <= gap_s)
}

/// The sizes of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Units of the state: 32 or 64.
    pub hidden: usize,
    /// Known categories, not counting the one that stands for all others.
    pub categories: usize,
    /// Rows of the table of hashed items; 0 where items are not read.
    pub items: usize,
}

impl Shape {
    /// Whether a model may have these sizes.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        matches!(self.hidden, 32 | 64)
            && self.categories > 0
            && self.categories <= CATEGORIES_MAX
            && self.items <= ITEMS_MAX
            && (self.items == 0 || self.items.is_power_of_two())
    }

    /// How many parameters there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.kinds_end() + GAPS * self.hidden + self.cell_len()
    }

    /// Never: a model has at least one category.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The embedding of a category by its place in the vocabulary; 0 stands for unknown ones.
    pub(super) const fn category(&self, place: usize) -> Range<usize> {
        place * self.hidden..(place + 1) * self.hidden
    }

    /// What a category's logit starts from.
    pub(super) const fn bias(&self, place: usize) -> usize {
        self.categories_end() + place
    }

    /// The embedding of one row of hashed items.
    pub(super) const fn item(&self, row: usize) -> Range<usize> {
        let start = self.biases_end() + row * self.hidden;
        start..start + self.hidden
    }

    /// The embedding of a kind of event.
    pub(super) const fn kind(&self, kind: usize) -> Range<usize> {
        let start = self.items_end() + kind * self.hidden;
        start..start + self.hidden
    }

    /// The embedding of a step of time.
    pub(super) const fn gap(&self, step: usize) -> Range<usize> {
        let start = self.kinds_end() + step * self.hidden;
        start..start + self.hidden
    }

    /// What is the same for all events, and so changed by each: kinds, gaps and the cell.
    pub(super) const fn dense(&self) -> Range<usize> {
        self.items_end()..self.len()
    }

    /// The cell: see [`cell`](super::cell).
    pub(super) const fn cell(&self) -> Range<usize> {
        self.len() - self.cell_len()..self.len()
    }

    const fn cell_len(&self) -> usize {
        6 * self.hidden * self.hidden + 4 * self.hidden
    }

    const fn categories_end(&self) -> usize {
        (self.categories + 1) * self.hidden
    }

    const fn biases_end(&self) -> usize {
        self.categories_end() + self.categories + 1
    }

    const fn items_end(&self) -> usize {
        self.biases_end() + self.items * self.hidden
    }

    const fn kinds_end(&self) -> usize {
        self.items_end() + KINDS * self.hidden
    }
}
