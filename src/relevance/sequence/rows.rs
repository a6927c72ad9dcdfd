//! The categories of a catalog as a model's outputs, a byte a unit: what an auction multiplies a
//! user's state with.
//!
//! A logit says little by itself, since a state may raise those of all categories. So a row is the
//! category's output less that of the average event: its product with a state is about the logarithm
//! of how many times more likely than usual the state makes the category.

use super::cell::{add_scaled, sigmoid};
use super::model::{SequenceModel, State};
use super::shape::HIDDEN_MAX;
use crate::units::CategoryId;
use std::collections::BTreeMap;

/// An affinity of one half: a category that is so many times more likely than usual. On the Taobao
/// stream 6 % of categories drawn by popularity pass it, and 65 % of those that come next.
const HALF_RATIO: f32 = 20.0;

/// One category's output less the usual one, scaled by its largest unit.
#[derive(Clone, Copy, Debug)]
struct Row {
    units: [i8; HIDDEN_MAX],
    scale: f32,
}

/// Output embeddings of some categories. Made once an epoch of the catalog.
#[derive(Clone, Debug, Default)]
pub struct CategoryRows {
    rows: Vec<Row>,
    numbers: BTreeMap<CategoryId, u16>,
}

impl CategoryRows {
    /// The number of a category's row, which is added where it was not there; `None` for one that
    /// the model does not know, one whose numbers overflow, and past 65,535.
    pub fn number(&mut self, model: &SequenceModel, category: CategoryId) -> Option<u16> {
        if let Some(&number) = self.numbers.get(&category) {
            return Some(number);
        }
        let place = model.vocabulary().place(category);
        let number = u16::try_from(self.rows.len()).ok().filter(|_| place != 0)?;
        let mut output = model.weights[model.shape().category(place)].to_vec();
        add_scaled(&mut output, -1.0, model.usual());
        let mut as_state = State::default();
        as_state.store(&output);
        if !as_state.scale.is_finite() {
            return None;
        }
        self.rows.push(Row { units: as_state.units, scale: as_state.scale });
        self.numbers.insert(category, number);
        Some(number)
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How likely the state makes the category with this number, `[0, 1]`: `x / (x + 20)` where it is
    /// `x` times more likely than usual. In integers but for the last step; `None` before the first
    /// event and without such a row.
    #[inline]
    #[must_use]
    pub fn affinity(&self, state: &State, number: u16) -> Option<f32> {
        let row = self.rows.get(usize::from(number)).filter(|_| state.is_known())?;
        let pairs = state.units.iter().zip(&row.units);
        let sum: i32 = pairs.map(|(one, other)| i32::from(*one) * i32::from(*other)).sum();
        Some(sigmoid(sum as f32 * state.scale * row.scale - HALF_RATIO.ln()))
    }
}
