//! Training: truncated backpropagation through time by hand, Adam, softmax over all categories or a
//! sample of them.

use super::SequenceError;
use super::cell::{Cell, add_scaled};
use super::model::{SequenceModel, Visit};
use super::shape::{GAPS, HIDDEN_MAX, KINDS, Shape};
use super::vocabulary::Vocabulary;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::{Arc, OnceLock};

/// How to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainConfig {
    /// Units of the state: 32 or 64.
    pub hidden: usize,
    /// Rows of the table of hashed items, a power of two; 0 reads no items.
    pub items: usize,
    /// Passes over the sequences.
    pub epochs: usize,
    /// Adam's step.
    pub rate: f32,
    /// Events after which gradients are cut, and weights are changed.
    pub window: usize,
    /// Categories drawn beside the right ones for each window; 0 takes all.
    pub samples: usize,
    /// Part of the input's units that are left out of each event in training, against overfitting.
    pub dropout: f32,
    /// Seeds first weights, order and samples.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            hidden: 64,
            items: 0,
            epochs: 10,
            rate: 0.003,
            window: 32,
            samples: 512,
            dropout: 0.5,
            seed: 1,
        }
    }
}

impl TrainConfig {
    fn is_valid(&self) -> bool {
        (1..=WINDOW_MAX).contains(&self.window)
            && self.rate > 0.0
            && self.rate.is_finite()
            && (0.0..1.0).contains(&self.dropout)
    }
}

/// Events of the longest window: each keeps 2 kB for its step back.
pub const WINDOW_MAX: usize = 4_096;

/// Uniform first weights of embeddings: so that a category's product with itself is about 2 at 64
/// units, and with another one about 0.
const EMBEDDING_INIT: f32 = 0.3;

/// A training run: the model and what Adam remembers.
pub struct Trainer {
    model: SequenceModel,
    config: TrainConfig,
    gradient: Vec<f32>,
    adam: Adam,
    random: ChaCha8Rng,
    sampler: Sampler,
    /// Places whose embedding or bias has a gradient now.
    touched: Touched,
    touched_items: Touched,
    cells: Vec<Cell>,
    /// The state before each event of the window, and the gradient with respect to it.
    states: Vec<[f32; HIDDEN_MAX]>,
    state_gradients: Vec<[f32; HIDDEN_MAX]>,
    /// Categories that compete in this window, and the logarithm of what corrects for their draw.
    candidates: Vec<(usize, f32)>,
    scores: Vec<f32>,
}

/// What an epoch, or a part of it, came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Sum of -ln(probability of what came next).
    pub sum: f64,
    /// Events predicted.
    pub events: u64,
}

impl Loss {
    /// The mean, in nats; 0 of nothing.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.events == 0 { 0.0 } else { self.sum / self.events as f64 }
    }

    fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.events += other.events;
    }
}

impl Trainer {
    /// A model of random weights over `vocabulary`. `counts` says how often each place occurs, the
    /// unknown one first: they draw samples and start the biases.
    ///
    /// # Errors
    /// Sizes that no model may have, and settings that train nothing.
    pub fn new(
        vocabulary: Arc<Vocabulary>,
        counts: &[u64],
        config: TrainConfig,
    ) -> Result<Self, SequenceError> {
        let categories = vocabulary.ids().len();
        let shape = Shape { hidden: config.hidden, categories, items: config.items };
        if !shape.is_valid() || counts.len() != categories + 1 {
            return Err(SequenceError::Shape);
        }
        if !config.is_valid() {
            return Err(SequenceError::Settings);
        }
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        let model = SequenceModel {
            weights: first_weights(&shape, counts, &mut random),
            shape,
            vocabulary,
            usual: OnceLock::new(),
        };
        let states = vec![[0.0; HIDDEN_MAX]; config.window];
        Ok(Self {
            gradient: vec![0.0; shape.len()],
            adam: Adam::new(shape.len(), config.rate),
            sampler: Sampler::new(counts),
            touched: Touched::new(categories + 1),
            touched_items: Touched::new(config.items),
            cells: vec![Cell::default(); config.window],
            state_gradients: states.clone(),
            states,
            candidates: Vec::new(),
            scores: Vec::new(),
            random,
            config,
            model,
        })
    }

    /// The model as it is now.
    #[must_use]
    pub const fn model(&self) -> &SequenceModel {
        &self.model
    }

    /// Ends the training.
    #[must_use]
    pub fn into_model(self) -> SequenceModel {
        // Somebody may have asked while it was being trained.
        SequenceModel { usual: OnceLock::new(), ..self.model }
    }

    /// One pass over all sequences in random order; `progress` hears of each.
    pub fn epoch(&mut self, sequences: &[Vec<Visit>], mut progress: impl FnMut(Loss)) -> Loss {
        let mut order: Vec<_> = (0..sequences.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, self.random.random_range(0..=last));
        }
        let mut total = Loss::default();
        for index in order {
            let mut h = [0.0; HIDDEN_MAX];
            let mut last_s = 0;
            let mut of_sequence = Loss::default();
            for window in sequences[index].chunks(self.config.window) {
                of_sequence.add(self.window(window, &mut h, last_s));
                self.apply();
                last_s = window.last().map_or(last_s, |visit| visit.at_s);
            }
            total.add(of_sequence);
            progress(of_sequence);
        }
        total
    }

    /// Predicts each event of a window from those before, and adds the gradient. `h` is the state
    /// before it, and is left after it.
    fn window(&mut self, visits: &[Visit], h: &mut [f32; HIDDEN_MAX], last_s: u32) -> Loss {
        self.draw_candidates(visits);
        let hidden = self.model.shape.hidden;
        let mut last = last_s;
        for (at, visit) in visits.iter().enumerate() {
            self.states[at] = *h;
            let cell = &mut self.cells[at];
            self.model.embed(*visit, last, &mut cell.x[..hidden]);
            drop_units(&mut self.random, self.config.dropout, &mut cell.x[..hidden]);
            cell.forward(&self.model.weights[self.model.shape.cell()], &mut h[..hidden]);
            last = visit.at_s;
        }
        let loss = self.predict(visits);
        self.back(visits, last_s);
        loss
    }

    /// Goes back through a window: the last event's step changes no prediction in it.
    fn back(&mut self, visits: &[Visit], last_s: u32) {
        let hidden = self.model.shape.hidden;
        let (mut dh, mut dx) = ([0.0; HIDDEN_MAX], [0.0; HIDDEN_MAX]);
        let (dh, dx) = (&mut dh[..hidden], &mut dx[..hidden]);
        let keep = 1.0 / (1.0 - self.config.dropout);
        for at in (0..visits.len()).rev() {
            if at + 1 < visits.len() {
                let cell_range = self.model.shape.cell();
                let weights = &self.model.weights[cell_range.clone()];
                let gradient = &mut self.gradient[cell_range];
                self.cells[at].backward(weights, gradient, &self.states[at][..hidden], dh, dx);
                for (dx, x) in dx.iter_mut().zip(&self.cells[at].x) {
                    // A unit that was left out is exactly 0.
                    *dx *= if *x == 0.0 { 0.0 } else { keep };
                }
                let last = if at == 0 { last_s } else { visits[at - 1].at_s };
                for range in self.model.rows_of(visits[at], last).into_iter().flatten() {
                    add_scaled(&mut self.gradient[range], 1.0, dx);
                }
                self.touched.add(visits[at].category);
                if self.config.items > 0 && visits[at].item != 0 {
                    self.touched_items.add(visits[at].item as usize & (self.config.items - 1));
                }
            }
            add_scaled(dh, 1.0, &self.state_gradients[at][..hidden]);
        }
    }

    /// The loss of predicting each event from the state before it, by a softmax over the candidates;
    /// leaves its gradient. Unknown categories are not predicted. Goes candidate by candidate, so
    /// that a row of a large table is read once a window, and the window's states stay in cache.
    fn predict(&mut self, visits: &[Visit]) -> Loss {
        let model = &self.model;
        let (hidden, len) = (model.shape.hidden, visits.len());
        self.scores.clear();
        for &(place, correction) in &self.candidates {
            let states = self.states[..len].iter();
            self.scores
                .extend(states.map(|state| model.output(&state[..hidden], place) + correction));
        }
        let loss = to_errors(&mut self.scores, visits, &self.candidates);
        self.state_gradients[..len].iter_mut().for_each(|gradient| gradient.fill(0.0));
        for (&(place, _), errors) in self.candidates.iter().zip(self.scores.chunks_exact(len)) {
            let range = model.shape.category(place);
            let row = &model.weights[range.clone()];
            let row_gradient = &mut self.gradient[range];
            for (at, &error) in errors.iter().enumerate() {
                add_scaled(&mut self.state_gradients[at][..hidden], error, row);
                add_scaled(row_gradient, error, &self.states[at][..hidden]);
            }
            self.gradient[model.shape.bias(place)] += errors.iter().sum::<f32>();
        }
        loss
    }

    /// All categories, or those of the window and a sample drawn by how often each occurs. A sampled
    /// one counts for as many as its draw makes unlikely (Bengio and Senecal 2008).
    fn draw_candidates(&mut self, visits: &[Visit]) {
        let categories = self.model.shape.categories;
        self.candidates.clear();
        if self.config.samples == 0 || self.config.samples >= categories {
            self.candidates.extend((1..=categories).map(|place| (place, 0.0)));
        } else {
            let mut places: Vec<_> = visits.iter().map(|visit| visit.category).collect();
            let draws = self.config.samples;
            places.extend((0..draws).map(|_| self.sampler.draw(&mut self.random)));
            places.sort_unstable();
            places.dedup();
            let sampler = &self.sampler;
            self.candidates.extend(
                places
                    .into_iter()
                    .filter(|&place| place != 0)
                    .map(|place| (place, -sampler.chance(place, draws).ln())),
            );
        }
        for &(place, _) in &self.candidates {
            self.touched.add(place);
        }
    }

    /// Moves the weights by the gradient and forgets it.
    fn apply(&mut self) {
        let shape = self.model.shape;
        let (weights, gradient) = (&mut self.model.weights, &mut self.gradient);
        self.adam.begin();
        self.adam.update(weights, gradient, shape.dense());
        for place in self.touched.take() {
            self.adam.update(weights, gradient, shape.category(place));
            self.adam.update(weights, gradient, shape.bias(place)..shape.bias(place) + 1);
        }
        for row in self.touched_items.take() {
            self.adam.update(weights, gradient, shape.item(row));
        }
    }
}

/// Turns scores (candidate by candidate, an event each) into what the softmax of each event says
/// too much, and returns the loss.
fn to_errors(scores: &mut [f32], visits: &[Visit], candidates: &[(usize, f32)]) -> Loss {
    let len = visits.len();
    let mut loss = Loss::default();
    for (at, visit) in visits.iter().enumerate() {
        let of_event = || (at..len * candidates.len()).step_by(len);
        let Ok(right) = candidates.binary_search_by_key(&visit.category, |one| one.0) else {
            of_event().for_each(|index| scores[index] = 0.0);
            continue;
        };
        let largest = of_event().fold(f32::NEG_INFINITY, |largest, at| largest.max(scores[at]));
        let mut sum = 0.0;
        for index in of_event() {
            scores[index] = (scores[index] - largest).exp();
            sum += scores[index];
        }
        of_event().for_each(|index| scores[index] /= sum);
        let probability = &mut scores[right * len + at];
        loss.add(Loss { sum: -f64::from(probability.max(f32::MIN_POSITIVE).ln()), events: 1 });
        *probability -= 1.0;
    }
    loss
}

fn first_weights(shape: &Shape, counts: &[u64], random: &mut ChaCha8Rng) -> Vec<f32> {
    let mut weights = vec![0.0; shape.len()];
    let mut fill = |range: std::ops::Range<usize>, bound: f32| {
        weights[range].iter_mut().for_each(|weight| *weight = random.random_range(-bound..bound));
    };
    for place in 1..=shape.categories {
        fill(shape.category(place), EMBEDDING_INIT);
    }
    for place in 0..KINDS {
        fill(shape.kind(place), 0.1 * EMBEDDING_INIT);
    }
    for step in 0..GAPS {
        fill(shape.gap(step), 0.1 * EMBEDDING_INIT);
    }
    for row in 0..shape.items {
        fill(shape.item(row), 0.1 * EMBEDDING_INIT);
    }
    // Glorot and Bengio 2010, for square blocks.
    fill(shape.cell(), (3.0 / shape.hidden as f32).sqrt());
    let total: u64 = counts.iter().sum();
    let cell = shape.cell();
    let biases = cell.end - 4 * shape.hidden..cell.end;
    weights[biases].fill(0.0);
    for (place, &count) in counts.iter().enumerate() {
        let share = (count as f64 + 0.5) / (total as f64 + 1.0);
        weights[shape.bias(place)] = share.ln() as f32;
    }
    weights
}

/// Leaves out units by chance and makes up for it by the others.
fn drop_units(random: &mut ChaCha8Rng, dropout: f32, x: &mut [f32]) {
    if dropout <= 0.0 {
        return;
    }
    for x in x {
        *x = if random.random::<f32>() < dropout { 0.0 } else { *x / (1.0 - dropout) };
    }
}

/// A set of small numbers that is emptied often.
struct Touched {
    is_in: Vec<bool>,
    list: Vec<usize>,
}

impl Touched {
    fn new(len: usize) -> Self {
        Self { is_in: vec![false; len], list: Vec::new() }
    }

    fn add(&mut self, number: usize) {
        if !std::mem::replace(&mut self.is_in[number], true) {
            self.list.push(number);
        }
    }

    fn take(&mut self) -> Vec<usize> {
        for &number in &self.list {
            self.is_in[number] = false;
        }
        std::mem::take(&mut self.list)
    }
}

/// Draws places by their counts.
struct Sampler {
    /// Sums of counts up to and with each place.
    sums: Vec<f64>,
}

impl Sampler {
    /// Counts to the power of 0.75, as word2vec draws (Mikolov et al. 2013).
    fn new(counts: &[u64]) -> Self {
        let mut sum = 0.0;
        let sums = counts.iter().enumerate().map(|(place, &count)| {
            sum += if place == 0 { 0.0 } else { (count as f64).powf(0.75) };
            sum
        });
        Self { sums: sums.collect() }
    }

    fn draw(&self, random: &mut ChaCha8Rng) -> usize {
        let total = self.sums.last().copied().unwrap_or(0.0);
        let at = random.random::<f64>() * total;
        self.sums.partition_point(|&sum| sum <= at).min(self.sums.len() - 1)
    }

    /// The chance that so many draws hold this place.
    fn chance(&self, place: usize, draws: usize) -> f32 {
        let total = self.sums.last().copied().unwrap_or(1.0).max(f64::MIN_POSITIVE);
        let below = place.checked_sub(1).map_or(0.0, |before| self.sums[before]);
        let share = (self.sums[place] - below) / total;
        let misses = (draws as f64 * (-share).ln_1p()).exp();
        ((1.0 - misses) as f32).clamp(1e-6, 1.0)
    }
}

/// Adam (Kingma and Ba 2015); of embeddings only the rows that have a gradient are moved.
struct Adam {
    rate: f32,
    first: Vec<f32>,
    second: Vec<f32>,
    steps: i32,
    scale: f32,
}

impl Adam {
    const DECAY_FIRST: f32 = 0.9;
    const DECAY_SECOND: f32 = 0.999;
    const EPSILON: f32 = 1e-7;

    fn new(len: usize, rate: f32) -> Self {
        Self { rate, first: vec![0.0; len], second: vec![0.0; len], steps: 0, scale: 0.0 }
    }

    fn begin(&mut self) {
        self.steps = self.steps.saturating_add(1);
        let seen_first = 1.0 - Self::DECAY_FIRST.powi(self.steps);
        let seen_second = 1.0 - Self::DECAY_SECOND.powi(self.steps);
        self.scale = self.rate * seen_second.sqrt() / seen_first;
    }

    fn update(&mut self, weights: &mut [f32], gradient: &mut [f32], range: std::ops::Range<usize>) {
        let moments = self.first[range.clone()].iter_mut().zip(&mut self.second[range.clone()]);
        let weights = weights[range.clone()].iter_mut().zip(&mut gradient[range]);
        for ((weight, gradient), (first, second)) in weights.zip(moments) {
            *first += (1.0 - Self::DECAY_FIRST) * (*gradient - *first);
            *second += (1.0 - Self::DECAY_SECOND) * (*gradient * *gradient - *second);
            *weight -= self.scale * *first / (second.sqrt() + Self::EPSILON);
            *gradient = 0.0;
        }
    }
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
