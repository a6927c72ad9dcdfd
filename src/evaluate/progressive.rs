//! Models that are judged while they learn: each example is predicted first, then learned.

use super::example::Example;
#[cfg(feature = "onnx")]
use super::imported::Imported;
use super::metrics::Scored;
use super::private::PrivateModel;
use crate::prediction::{Fwfm, Sample, Shadows, sigmoid};
use crate::units::Timestamp;

/// What learns.
pub enum Model {
    /// One set of rates.
    One(Box<Fwfm>),
    /// Several; the best of late predicts.
    Shadows(Box<Shadows>),
    /// A linear one that learns through releases.
    Private(Box<PrivateModel>),
    /// A model of somebody else's, which learns nothing.
    #[cfg(feature = "onnx")]
    Imported(Box<Imported>),
}

impl Model {
    /// Predicts an example, then learns it.
    pub fn learn(&mut self, example: &Example) -> Scored {
        if let Some(now) = example.time {
            self.advance(now);
        }
        let (sample, weight) = (sample(example), example.weight);
        let predicted = match self {
            Self::One(model) => model.learn(&sample, example.is_positive, weight),
            Self::Shadows(models) => models.learn(&sample, example.is_positive, weight),
            Self::Private(model) => return model.learn(example),
            #[cfg(feature = "onnx")]
            Self::Imported(model) => {
                model.keep(example);
                model.predict(example)
            }
        };
        Scored::new(predicted, example.is_positive, weight)
    }

    /// Predicts an example and learns nothing.
    #[must_use]
    pub fn predict(&self, example: &Example) -> Scored {
        let predicted = match self {
            Self::One(model) => sigmoid(model.logit(&sample(example))),
            Self::Shadows(models) => sigmoid(models.logit(&sample(example))),
            #[cfg(feature = "onnx")]
            Self::Imported(model) => model.predict(example),
            Self::Private(model) => return model.predict(example),
        };
        Scored::new(predicted, example.is_positive, example.weight)
    }

    /// The log loss of late of each set of rates that learns side by side.
    #[must_use]
    pub fn standing(&self) -> Vec<f64> {
        match self {
            Self::One(_) | Self::Private(_) => Vec::new(),
            Self::Shadows(models) => models.losses(),
            #[cfg(feature = "onnx")]
            Self::Imported(_) => Vec::new(),
        }
    }

    fn advance(&mut self, now: Timestamp) {
        match self {
            Self::One(model) => model.advance(now),
            Self::Shadows(models) => models.advance(now),
            Self::Private(_) => {}
            #[cfg(feature = "onnx")]
            Self::Imported(_) => {}
        }
    }
}

fn sample(example: &Example) -> Sample<'_> {
    Sample { features: &example.features, dense: &[], prior_offset: 0.0 }
}
