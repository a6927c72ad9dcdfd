//! Gradients: what shown ads teach a linear model, bounded, summed and released through a day.
//!
//! This is the private half of DP-FTRL (Kairouz, McMahan, Song, Thakkar, Thakurta, Xu 2021) with the
//! correlated noise of the counters in place of a tree: every tick releases what lets anybody
//! estimate the sum of all gradients of the day so far, one number a coordinate. Weights are made
//! from released sums alone (`prediction` does it), hence free of further cost.
//!
//! # Cost
//! An example's gradient has an L2 norm of at most 1 ([`Gradient`], in whole units of 1/65,536), and
//! of a user's day the first `M` examples are counted, whenever they come. Let `d_t` be the sum of the
//! user's gradients in tick `t`, so `sum_t |d_t| <= M` over the day. Each coordinate passes through
//! the same public matrix `C'`, so the user's day changes the released vector by
//! `sum_t c'_t (x) d_t`, with `c'_t` the column of tick `t`. Of a product of a column and a vector the
//! norm is the product of norms, and no column is longer than the first, so by the triangle
//! inequality
//!
//! ```text
//! |C' d| <= sum_t |c'_t| |d_t| <= |c'| sum_t |d_t| <= M |c'|
//! ```
//! and `S^2 = M^2`: equality holds for `M` equal gradients in the first tick. The tempting `sqrt(M)`
//! would need columns that are orthogonal, and all coefficients are positive. The number of
//! coordinates does not enter. A segment after a restart has shorter columns, and an example is in
//! one segment alone, so the bound covers all segments of a day together.
//!
//! What others teach depends on this user's day through released weights alone: a gradient is taken
//! at weights that were released before it. So the stream is adaptive in the sense of Denisov,
//! McMahan, Rush, Smith, Thakurta (2022), and the bound holds on every path of released values.

use crate::units::{Timestamp, UserKey};

mod clip;
mod estimate;
mod learning;
mod mechanism;

#[cfg(test)]
mod tests;

pub use clip::Gradient;
pub use estimate::{GradientTotals, ReleasedGradients};
pub(super) use learning::GradientReleases;
pub use mechanism::{GradientPlan, GradientSums, RawGradients};

/// What one shown ad teaches, and whose day it counts in.
pub struct Taught {
    /// Who saw it.
    pub user: UserKey,
    /// When.
    pub at: Timestamp,
    /// What it teaches.
    pub gradient: Gradient,
}
