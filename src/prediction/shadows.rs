//! Several models that learn side by side from the same examples and differ in their rates; the
//! one that predicted best of late serves.
//!
//! No rate is right for dense streams and sparse ones, for the first thousand examples and for the
//! last million. What each model predicted before it learned (progressive validation) says which
//! is right now, at the cost of learning more than once, off the bid path.

use super::config::{Error, FwfmConfig, Rates};
use super::fwfm::Fwfm;
use super::sample::{Sample, bearable};
use crate::units::Timestamp;

/// Examples after which an old loss counts half.
const HALF_LIFE: f64 = 10_000.0;
/// By how many nats another model must lead to take over. The difference of two sums of log losses
/// is the logarithm of a Bayes factor, so 5 are odds of 150 to 1, however long the stream is: a
/// percentage would change over for nothing where losses are small, and late where they are large.
/// A change costs a publication of everything.
const LEAD_NATS: f64 = 5.0;
/// One wrong certainty must not decide who serves.
const CERTAINTY_MIN: f64 = 1e-6;

/// Models of one shape and different rates.
pub struct Shadows {
    pub(super) models: Vec<Fwfm>,
    pub(super) standing: Standing,
}

/// Who is how good, and who serves.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Standing {
    /// Decayed sums of the models' log losses.
    pub(super) losses: Vec<f64>,
    /// The decayed sum of the examples' weights.
    pub(super) mass: f64,
    pub(super) serving: usize,
}

impl Standing {
    /// Whether this is of `count` models, with numbers such as learning can reach.
    pub(super) fn is_of(&self, count: usize) -> bool {
        let within = |sum: &f64| sum.is_finite() && *sum >= 0.0;
        let sums = self.losses.iter().chain([&self.mass]);
        self.losses.len() == count && self.serving < count && { sums }.all(within)
    }
}

impl Shadows {
    /// Most models: each costs a learning step an example and its tables.
    pub const MAX: usize = 4;

    /// Models that know nothing, one for each of `rates`; the first serves.
    ///
    /// # Errors
    /// When a setting lies outside its range, or there are no or too many rates.
    pub fn new(config: &FwfmConfig, rates: &[Rates]) -> Result<Self, Error> {
        let count = rates.len();
        if count == 0 || count > Self::MAX {
            let (key, range) = ("rates", "1..=4 entries");
            return Err(Error::OutOfRange { key, value: count as f64, range });
        }
        let model = |rates: &Rates| Fwfm::new(&FwfmConfig { rates: *rates, ..*config });
        let models = rates.iter().map(model).collect::<Result<_, _>>()?;
        let standing = Standing { losses: vec![0.0; count], mass: 0.0, serving: 0 };
        Ok(Self { models, standing })
    }

    /// The logit of the model that serves.
    #[must_use]
    pub fn logit(&self, sample: &Sample<'_>) -> f32 {
        self.serving().logit(sample)
    }

    /// Teaches all models one outcome ([`Fwfm::learn`]); returns the probability that the serving
    /// one predicted before.
    pub fn learn(&mut self, sample: &Sample<'_>, label: bool, weight: f32) -> f32 {
        let standing = &mut self.standing;
        // What is taken back was judged when it came.
        let counted = f64::from(bearable(weight).max(0.0));
        let decay = (-counted / HALF_LIFE).exp2();
        let mut served = 0.0;
        for (number, model) in self.models.iter_mut().enumerate() {
            let predicted = model.learn(sample, label, weight);
            if number == standing.serving {
                served = predicted;
            }
            let loss = &mut standing.losses[number];
            *loss = *loss * decay + counted * log_loss(model.among_seen(predicted), label);
        }
        standing.mass = standing.mass * decay + counted;
        self.choose();
        served
    }

    /// Time has come to `now`: see [`Fwfm::advance`].
    pub fn advance(&mut self, now: Timestamp) {
        self.models.iter_mut().for_each(|model| model.advance(now));
    }

    /// The model that serves.
    #[must_use]
    pub fn serving(&self) -> &Fwfm {
        &self.models[self.standing.serving]
    }

    /// Which of the rates serves, counted from 0.
    #[must_use]
    pub const fn serving_number(&self) -> usize {
        self.standing.serving
    }

    /// The decayed progressive log loss of each model; 0 before the first example.
    #[must_use]
    pub fn losses(&self) -> Vec<f64> {
        let losses = self.standing.losses.iter();
        losses.map(|loss| loss / self.standing.mass.max(f64::MIN_POSITIVE)).collect()
    }

    /// The model that serves, to be given weights.
    pub(super) fn serving_mut(&mut self) -> &mut Fwfm {
        &mut self.models[self.standing.serving]
    }

    /// Forgets which weights of any model changed.
    pub(super) fn clear_touched(&mut self) {
        self.models.iter_mut().for_each(Fwfm::clear_touched);
    }

    fn choose(&mut self) {
        let standing = &mut self.standing;
        let losses = standing.losses.iter().enumerate();
        let best = losses.min_by(|left, right| left.1.total_cmp(right.1));
        let Some((best, &loss)) = best else { return };
        if loss + LEAD_NATS < standing.losses[standing.serving] {
            standing.serving = best;
            // Its tables are other ones altogether.
            self.models[best].touch_all();
        }
    }
}

fn log_loss(predicted: f32, label: bool) -> f64 {
    let predicted = f64::from(predicted);
    let likely = if label { predicted } else { 1.0 - predicted };
    -likely.max(CERTAINTY_MIN).ln()
}
