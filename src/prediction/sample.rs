//! What the model core learns from and scores: features by field, dense weights, a prior.

/// One feature of an example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feature {
    /// Its field, below the model's number of fields; a feature of any other field is passed over.
    pub field: u16,
    /// A stable hash of (field, value); a model masks it to the size of its tables.
    pub id: u32,
    /// 1 for a category. A number outside of ±[`VALUE_ABS_MAX`] counts as the bound, and what is
    /// no number is passed over.
    pub value: f32,
}

impl Feature {
    /// A category: its value is 1.
    #[must_use]
    pub const fn category(field: u16, id: u32) -> Self {
        Self { field, id, value: 1.0 }
    }
}

/// One example, borrowed from whoever made it.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Its features by field. A field may have none, or several: its vector is the sum of theirs,
    /// each times its value.
    pub features: &'a [Feature],
    /// Which dense weights are active, in one index space; an index beyond its end is passed over.
    pub dense: &'a [u16],
    /// By how much a prior differs from the base rate, in logits; 0 without one.
    pub prior_offset: f32,
}

/// Larger values say that somebody forgot to scale them; the bound keeps their squares in `f32`.
pub const VALUE_ABS_MAX: f32 = 1e3;

/// A number that arithmetic can bear: within ±[`VALUE_ABS_MAX`], and 0 for what is none.
#[inline(always)]
pub(super) fn bearable(value: f32) -> f32 {
    if value.is_nan() { 0.0 } else { value.clamp(-VALUE_ABS_MAX, VALUE_ABS_MAX) }
}
