//! A model as it is saved, and its way back.
//!
//! Only slots that learned are kept. Whatever is read is held against what learning can reach, since
//! a checksum says that a file is as it was written, and not who wrote it.

use super::admission::Admission;
use super::ages::Ages;
use super::config::{FwfmConfig, Rates};
use super::fwfm::{Fwfm, PRIOR_WEIGHT_MAX, Vectors};
use super::linear::Weight;
use super::model_file::ModelFileError;
use super::pairs::FieldPairs;
use super::shadows::{Shadows, Standing};
use super::vectors::VectorSlot;
use serde::{Deserialize, Serialize};

/// One model's weights.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedFwfm {
    bias: Weight,
    dense: Vec<Weight>,
    pairs: FieldPairs,
    /// The prior's coefficient and its spread.
    prior: (f32, f32),
    linear: Vec<(u32, Weight)>,
    /// Slots that learned, and their vectors and spreads, one after the other.
    slots: Vec<u32>,
    numbers: Vec<f32>,
    admission: Option<Admission>,
    ages: Option<[Ages; 2]>,
    hour: i64,
}

/// All models and which of them serves.
#[derive(Serialize, Deserialize)]
pub struct SavedShadows {
    models: Vec<SavedFwfm>,
    standing: Standing,
}

impl Shadows {
    /// A copy of what was learned. Takes some ms a million weights.
    #[must_use]
    pub fn to_saved(&self) -> SavedShadows {
        let models = self.models.iter().map(Fwfm::to_saved).collect();
        SavedShadows { models, standing: self.standing.clone() }
    }

    /// Models that go on where `saved` was.
    ///
    /// # Errors
    /// When a setting lies outside its range ([`ModelFileError::Unsound`] too), or what was saved is
    /// not of models of this shape.
    pub fn restore(
        config: &FwfmConfig,
        rates: &[Rates],
        saved: SavedShadows,
    ) -> Result<Self, ModelFileError> {
        let unsound = ModelFileError::Unsound;
        let mut shadows = Self::new(config, rates).map_err(|_| unsound("settings"))?;
        let SavedShadows { models, standing } = saved;
        if models.len() != shadows.models.len() || !standing.is_of(models.len()) {
            return Err(unsound("shadows"));
        }
        for (model, saved) in shadows.models.iter_mut().zip(models) {
            model.take_over(saved)?;
        }
        shadows.standing = standing;
        Ok(shadows)
    }
}

impl Fwfm {
    /// A copy of what was learned.
    pub(super) fn to_saved(&self) -> SavedFwfm {
        let state = &self.state;
        let linear = (0..).zip(&state.linear).filter(|(_, weight)| !weight.is_empty());
        let (slots, numbers) = match &self.vectors {
            Vectors::Eight(slots) => collect(slots),
            Vectors::Sixteen(slots) => collect(slots),
        };
        SavedFwfm {
            bias: state.bias,
            dense: state.dense.clone(),
            pairs: state.pairs.clone(),
            prior: (state.prior_weight, state.prior_spread),
            linear: linear.map(|(index, weight)| (index, *weight)).collect(),
            slots,
            numbers,
            admission: state.admission.clone(),
            ages: state.ages.clone(),
            hour: state.hour,
        }
    }

    /// Goes on where `saved` was.
    ///
    /// # Errors
    /// When it is not of a model of this shape.
    pub(super) fn take_over(&mut self, saved: SavedFwfm) -> Result<(), ModelFileError> {
        let require = |what, is_sound: bool| {
            if is_sound { Ok(()) } else { Err(ModelFileError::Unsound(what)) }
        };
        let state = &mut self.state;
        let (rule, dense_rule) = (state.rule, state.dense_rule);
        let sound = |weights: &[Weight]| weights.iter().all(|one| one.is_sound(dense_rule));
        require("dense weights", saved.dense.len() == state.dense.len() && sound(&saved.dense))?;
        require("bias", saved.bias.is_sound(dense_rule))?;
        require("field pairs", saved.pairs.is_like(&state.pairs))?;
        let (weight, spread) = saved.prior;
        let is_spread = spread.is_finite() && spread > 0.0;
        require("prior", (0.0..=PRIOR_WEIGHT_MAX).contains(&weight) && is_spread)?;
        for (index, weight) in saved.linear {
            let place = state.linear.get_mut(index as usize).filter(|_| weight.is_sound(rule));
            *place.ok_or(ModelFileError::Unsound("linear weights"))? = weight;
        }
        let is_filled = match &mut self.vectors {
            Vectors::Eight(slots) => fill(slots, &saved.slots, &saved.numbers),
            Vectors::Sixteen(slots) => fill(slots, &saved.slots, &saved.numbers),
        };
        require("vectors", is_filled)?;
        (state.bias, state.dense, state.pairs) = (saved.bias, saved.dense, saved.pairs);
        (state.prior_weight, state.prior_spread) = saved.prior;
        // A filter or ages of other settings begin anew; the weights do not depend on them.
        if let (Some(own), Some(saved)) = (&mut state.admission, saved.admission)
            && saved.is_like(own)
        {
            *own = saved;
        }
        state.hour = saved.hour.max(0);
        if let Some([linear, vectors]) = &mut state.ages {
            match saved.ages {
                Some([old, olds]) if old.is_like(linear) && olds.is_like(vectors) => {
                    (*linear, *vectors) = (old, olds);
                }
                _ => {
                    linear.stamp_all(state.hour);
                    vectors.stamp_all(state.hour);
                }
            }
        }
        self.touch_all();
        Ok(())
    }
}

fn collect<const K: usize>(slots: &[VectorSlot<K>]) -> (Vec<u32>, Vec<f32>) {
    let learned = || (0..).zip(slots).filter(|(_, slot)| !slot.is_empty());
    let numbers = learned().flat_map(|(_, slot)| slot.vector.iter().chain(&slot.spread).copied());
    (learned().map(|(index, _)| index).collect(), numbers.collect())
}

fn fill<const K: usize>(slots: &mut [VectorSlot<K>], indexes: &[u32], numbers: &[f32]) -> bool {
    let (parts, rest) = numbers.as_chunks::<K>();
    let (halves, odd) = parts.as_chunks::<2>();
    let mut filled = indexes.iter().zip(halves).map(|(&index, &[vector, spread])| {
        let slot = VectorSlot { vector, spread };
        slots.get_mut(index as usize).filter(|_| slot.is_sound()).map(|place| *place = slot)
    });
    let is_whole = halves.len() == indexes.len() && rest.is_empty() && odd.is_empty();
    is_whole && filled.all(|place| place.is_some())
}
