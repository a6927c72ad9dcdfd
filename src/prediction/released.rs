//! The click model where nobody's shows may reach it but through releases: what is shown goes out as
//! gradients, and weights come back by [`DpFtrl`].
//!
//! It is the engine's model without vectors: linear weights of the request's and the ad's fields, of
//! the strength of interest by format and of each family of relevance, beside the released prior of
//! the campaign in its context. The prior and the strengths are what a request and an ad have to do
//! with each other; all other pairs of fields stay 0.

use super::config::Config;
use super::dp_ftrl::{Coordinates, DpFtrl};
use super::features::{AD_SINGLE, CONTEXT_FIELDS};
use super::fwfm::Fwfm;
use super::join::Example;
use super::online::{DENSE, OnlineSample};
use super::score::sigmoid;
use super::strength::FAMILIES;
use crate::privacy::{Gradient, GradientTotals, Taught};

/// The most features and dense weights that a shown ad has: its content counts as one in all, and
/// interest has two weights.
const FEATURES_MAX: usize = CONTEXT_FIELDS + AD_SINGLE + 1 + 2 + FAMILIES;

/// Coordinates of the engine's model with so many bits of hashed features.
#[must_use]
pub fn gradient_dimensions(bits: u8) -> usize {
    Coordinates::new(FEATURES_MAX, DENSE, bits).dimensions()
}

/// What was released, and what was taught since it was asked for last.
pub(super) struct ReleasedModel {
    coordinates: Coordinates,
    pub(super) state: DpFtrl,
    slopes: Vec<(u32, f32)>,
    taught: Vec<Taught>,
}

impl ReleasedModel {
    /// The model of `config`; `None` where it is not of this kind.
    pub(super) fn new(config: &Config) -> Option<Self> {
        let day_decay = config.released_day_decay?;
        let coordinates = Coordinates::new(FEATURES_MAX, DENSE, config.linear_bits);
        let state = DpFtrl::new(&coordinates, config.base_rate, day_decay);
        Some(Self { coordinates, state, slopes: Vec::new(), taught: Vec::new() })
    }

    /// Goes on where an earlier one was saved; whether it was one of these coordinates.
    pub(super) fn take_over(&mut self, saved: DpFtrl) -> bool {
        let is_like = saved.is_of(&self.coordinates);
        if is_like {
            self.state = saved;
        }
        is_like
    }

    /// Notes what an outcome teaches at the weights that `model` has, which were released before it;
    /// returns the probability that was predicted. Of users whom nobody may measure nothing is noted.
    pub(super) fn teach(&mut self, example: &Example, is_clicked: bool, model: &Fwfm) -> f32 {
        let cross = example.cross;
        let online = OnlineSample::new(&example.context, &example.ad, cross, model.base_logit());
        let sample = online.sample();
        let predicted = sigmoid(model.logit(&sample));
        if let Some(user) = example.user {
            let error = predicted - f32::from(u8::from(is_clicked));
            self.coordinates.gradient(&sample, error, &mut self.slopes);
            let gradient = Gradient::clipped(&mut self.slopes);
            self.taught.push(Taught { user, at: example.at, gradient });
        }
        predicted
    }

    /// What was taught since this was asked last.
    pub(super) fn take_taught(&mut self) -> Vec<Taught> {
        std::mem::take(&mut self.taught)
    }

    /// Gives `model` the weights that follow from `totals`; whether they say anything new.
    pub(super) fn follow(&mut self, totals: &GradientTotals, model: &mut Fwfm) -> bool {
        let is_new = self.state.is_behind(totals);
        if is_new {
            self.state.follow(totals);
            self.give(model);
        }
        is_new
    }

    /// Gives `model` the weights of the present state.
    pub(super) fn give(&self, model: &mut Fwfm) {
        model.adopt(self.coordinates.terms(&self.state.weights()));
    }
}
