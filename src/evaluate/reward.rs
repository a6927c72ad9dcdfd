//! What each action earns, learned from a log: the reward model of a greedy policy and of doubly robust
//! values where the log brings none.

use super::example::Example;
use super::progressive::Model;
use crate::hash;
use crate::prediction::Feature;

/// A model of rewards by context and action. Rewards are put into [0, 1] by the range that the log
/// shows; one between counts as a positive and a negative of shares that add up to 1.
pub struct RewardModel {
    model: Model,
    /// The field of the action, after those of the context.
    field: usize,
    lowest: f64,
    range: f64,
    example: Example,
    predictions: Vec<f64>,
}

impl RewardModel {
    /// Of `actions` in contexts of `fields` fields, by a model of one field more; rewards lie between
    /// `rewards`.
    #[must_use]
    pub fn new(model: Model, fields: usize, actions: usize, rewards: (f64, f64)) -> Self {
        Self {
            model,
            field: fields,
            lowest: rewards.0,
            range: rewards.1 - rewards.0,
            example: Example::default(),
            predictions: vec![0.0; actions],
        }
    }

    /// Learns what an action earned.
    pub fn learn(&mut self, context: &[Feature], action: usize, reward: f64) {
        self.fill(context, action);
        let share = if self.range > 0.0 { (reward - self.lowest) / self.range } else { 0.0 };
        for (is_positive, weight) in [(true, share), (false, 1.0 - share)] {
            if weight > 0.0 {
                (self.example.is_positive, self.example.weight) = (is_positive, weight as f32);
                self.model.learn(&self.example);
            }
        }
    }

    /// What each action is expected to earn in this context.
    pub fn predict(&mut self, context: &[Feature]) -> &[f64] {
        for action in 0..self.predictions.len() {
            self.fill(context, action);
            let share = f64::from(self.model.predict(&self.example).predicted);
            self.predictions[action] = self.lowest + self.range * share;
        }
        &self.predictions
    }

    fn fill(&mut self, context: &[Feature], action: usize) {
        self.example.clear();
        self.example.features.extend_from_slice(context);
        self.example.category(self.field, hash::mix(action as u64 + 1));
    }
}
