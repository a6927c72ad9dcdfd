//! Interest, recency, company and the sequence model in one ranking: a conditional logit (McFadden
//! 1974) over all categories, learned online.
//!
//! The probability that a category is next is a softmax of its features times weights. The weights
//! are a sum of two: some for all questions, and some for how long ago the user's last event was,
//! since after a night the last category says less than after a second. AdaGrad on the logarithmic
//! loss of each answer (Duchi et al. 2011).

use super::next::Memory;
use super::stream::StreamEvent;

/// Features of a category.
pub(super) const FEATURES: usize = 14;
/// Those that come from the sequence model.
pub(super) const OF_SEQUENCE: [usize; 2] = [12, 13];

/// A category that was never seen counts as this many events.
const PRIOR_EVENTS: f32 = 0.3;
/// Below this probability (as a logarithm) the sequence model knows nothing.
const SEQUENCE_LN_MIN: f32 = -12.0;
/// AdaGrad's step and first sum of squares.
const RATE: f32 = 0.1;
const SQUARES: f32 = 0.1;
/// Seconds since the user's last event at which other weights count.
const GAP_EDGES_S: [u32; 7] = [10, 40, 150, 600, 2_400, 14_400, 86_400];

type Row = [f32; FEATURES];

/// One question: a row of features for each category.
pub(super) struct Features {
    rows: Vec<Row>,
    sequence: Vec<f32>,
    gap: usize,
}

impl Features {
    pub(super) fn new(categories: usize) -> Self {
        Self { rows: vec![[0.0; FEATURES]; categories], sequence: vec![0.0; categories], gap: 0 }
    }

    /// Asks what is next for the event's user, who has a history.
    pub(super) fn fill(&mut self, memory: &mut Memory<'_>, event: &StreamEvent, has_model: bool) {
        if has_model {
            memory.sequence(event, &mut self.sequence);
        }
        let user = &memory.users[event.user as usize];
        let gap_s = event.at_s.saturating_sub(user.last_s);
        self.gap = GAP_EDGES_S.partition_point(|&edge| edge <= gap_s);
        for ((row, popularity), ln) in
            self.rows.iter_mut().zip(&memory.popularity).zip(&self.sequence)
        {
            *row = [0.0; FEATURES];
            row[10] = ((popularity + PRIOR_EVENTS) / memory.total).ln();
            row[12] = if has_model { ln.max(SEQUENCE_LN_MIN) } else { 0.0 };
        }
        let Some(last) = user.traces.first().map(|trace| trace.category) else { return };
        let follows = memory.follows.get(&last).map_or(&[][..], |list| list);
        let sum: f32 = follows.iter().map(|(_, count)| count).sum();
        for &(category, count) in follows {
            // A share of a fiftieth is worth as much as being known at all: ln 2.
            self.rows[category as usize][11] = (50.0 * count / (sum + 5.0)).ln_1p();
        }
        for (rank, trace) in user.traces.iter().enumerate() {
            let (fast, slow) = trace.levels(event.at_s);
            let age_s = event.at_s.saturating_sub(trace.at_s) as f32;
            let pairs = user.pairs.get(&(last, trace.category)).copied().unwrap_or(0.0);
            let row = &mut self.rows[trace.category as usize];
            row[0] = 1.0;
            row[1] = (trace.level(event.at_s) + 1e-4).ln();
            row[2] = (fast + 1e-3).ln();
            row[3] = (slow + 1e-2).ln();
            row[4] = trace.count.ln();
            row[5] = ((rank + 1) as f32).ln();
            row[6] = f32::from(u8::from(rank == 0));
            row[7] = f32::from(u8::from(rank == 1));
            row[8] = (age_s / 60.0).ln_1p();
            row[9] = pairs.ln_1p();
            row[13] = row[12];
        }
    }
}

/// The weights.
pub(super) struct Combination {
    uses: [bool; FEATURES],
    /// For all questions, and then by gap.
    weights: [Row; GAP_EDGES_S.len() + 2],
    squares: [Row; GAP_EDGES_S.len() + 2],
    shares: Vec<f32>,
}

impl Combination {
    /// Knows nothing yet; reads the features that it `uses`.
    pub(super) const fn new(uses: [bool; FEATURES]) -> Self {
        Self {
            uses,
            weights: [[0.0; FEATURES]; GAP_EDGES_S.len() + 2],
            squares: [[SQUARES; FEATURES]; GAP_EDGES_S.len() + 2],
            shares: Vec::new(),
        }
    }

    /// Scores all categories.
    pub(super) fn score(&self, features: &Features, out: &mut [f32]) {
        let by_gap = &self.weights[features.gap + 1];
        // A feature that is not used has weights of 0.
        let weights: Row = std::array::from_fn(|at| self.weights[0][at] + by_gap[at]);
        for (out, row) in out.iter_mut().zip(&features.rows) {
            *out = weights.iter().zip(row).map(|(weight, value)| weight * value).sum();
        }
    }

    /// Moves the weights towards the answer, from the scores that were given.
    pub(super) fn learn(&mut self, features: &Features, scores: &[f32], right: usize) {
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        self.shares.clear();
        self.shares.extend(scores.iter().map(|score| (score - largest).exp()));
        let sum: f32 = self.shares.iter().sum();
        let mut gradient = features.rows[right].map(|value| -value);
        for (share, row) in self.shares.iter().zip(&features.rows) {
            for (gradient, value) in gradient.iter_mut().zip(row) {
                *gradient += share / sum * value;
            }
        }
        for part in [0, features.gap + 1] {
            let (weights, squares) = (&mut self.weights[part], &mut self.squares[part]);
            for at in (0..FEATURES).filter(|&at| self.uses[at]) {
                squares[at] += gradient[at] * gradient[at];
                weights[at] -= RATE * gradient[at] / squares[at].sqrt();
            }
        }
    }
}
