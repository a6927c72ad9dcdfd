//! Models that are judged while they learn: each example is predicted first, then learned.

use super::example::Example;
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
        };
        Scored::new(predicted, example.is_positive, weight)
    }

    /// Predicts an example and learns nothing.
    #[must_use]
    pub fn predict(&self, example: &Example) -> Scored {
        let logit = match self {
            Self::One(model) => model.logit(&sample(example)),
            Self::Shadows(models) => models.logit(&sample(example)),
            Self::Private(model) => return model.predict(example),
        };
        Scored::new(sigmoid(logit), example.is_positive, example.weight)
    }

    /// The log loss of late of each set of rates that learns side by side.
    #[must_use]
    pub fn standing(&self) -> Vec<f64> {
        match self {
            Self::One(_) | Self::Private(_) => Vec::new(),
            Self::Shadows(models) => models.losses(),
        }
    }

    fn advance(&mut self, now: Timestamp) {
        match self {
            Self::One(model) => model.advance(now),
            Self::Shadows(models) => models.advance(now),
            Self::Private(_) => {}
        }
    }
}

fn sample(example: &Example) -> Sample<'_> {
    Sample { features: &example.features, dense: &[], prior_offset: 0.0 }
}
