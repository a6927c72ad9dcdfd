//! A stream of clicks whose true probabilities are known, so that the best possible log loss and AUC
//! are too: the Bayes optimum that no model can pass.
//!
//! ```text
//! logit = -1.9 + Σ_f w_f + Σ_{f<g} r_fg <v_f, v_g>,  w ~ N(0, 0.22), v ~ N(0, 1) of 4 components
//! ```
//! over 39 fields of 4 to 200,000 tokens each, drawn by Zipf's law (exponent 1.1); a pair of fields has
//! `r ~ N(0, 0.13)` with probability 0.15, else 0. Tokens are as rare as those of real logs, where most
//! are seen once: no learner of 300,000 rows comes near the optimum.

use super::example::Example;
use super::metrics::Scored;
use crate::hash;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Components of a token's hidden vector.
const DIM: usize = 4;
/// The logit of the most ordinary example.
const BASE: f64 = -1.9;
const WEIGHT_DEVIATION: f64 = 0.22;
const PAIR_SHARE: f64 = 0.15;
const PAIR_DEVIATION: f64 = 0.13;
const ZIPF_EXPONENT: f64 = 1.1;
/// Tokens of the smallest field.
const TOKENS_MIN: f64 = 4.0;

/// A world of tokens.
pub struct Planted {
    fields: Vec<Tokens>,
    /// Pairs of fields that interact, and how much.
    pairs: Vec<(usize, usize, f64)>,
    random: ChaCha8Rng,
    drawn: Vec<usize>,
}

/// The tokens of one field.
struct Tokens {
    /// Probability of this token or one before it.
    cumulative: Vec<f64>,
    hidden: Vec<(f32, [f32; DIM])>,
    hash: u64,
}

impl Planted {
    /// Fields of the generator that the published figures are of.
    pub const FIELDS: usize = 39;
    /// Tokens of its largest field.
    pub const TOKENS: usize = 200_000;

    /// A world of this seed with so many fields, the largest of `tokens` (4 or more) tokens.
    #[must_use]
    pub fn new(seed: u64, fields: usize, tokens: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let growth = (tokens as f64 / TOKENS_MIN).max(1.0).ln() / (fields.max(2) - 1) as f64;
        let mut counts: Vec<usize> = (0..fields)
            .map(|field| (TOKENS_MIN * (growth * field as f64).exp()).round() as usize)
            .collect();
        shuffle(&mut counts, &mut random);
        let fields: Vec<Tokens> = counts
            .iter()
            .enumerate()
            .map(|(field, count)| Tokens::new(field, *count, &mut random))
            .collect();
        let mut pairs = Vec::new();
        for second in 1..fields.len() {
            for first in 0..second {
                if random.random::<f64>() < PAIR_SHARE {
                    pairs.push((first, second, PAIR_DEVIATION * normal(&mut random)));
                }
            }
        }
        let drawn = vec![0; fields.len()];
        Self { fields, pairs, random, drawn }
    }

    /// Draws the next example, and returns what the best possible predictor says of it.
    pub fn draw(&mut self, example: &mut Example) -> Scored {
        example.clear();
        let mut logit = BASE;
        for (field, tokens) in self.fields.iter().enumerate() {
            let uniform = self.random.random::<f64>();
            let below = tokens.cumulative.partition_point(|bound| *bound <= uniform);
            let token = below.min(tokens.hidden.len() - 1);
            self.drawn[field] = token;
            logit += f64::from(tokens.hidden[token].0);
            example.category(field, hash::combine(tokens.hash, token as u64));
        }
        let vector = |field: usize| self.fields[field].hidden[self.drawn[field]].1;
        for &(first, second, weight) in &self.pairs {
            let inner: f32 = vector(first).iter().zip(vector(second)).map(|(a, b)| a * b).sum();
            logit += weight * f64::from(inner);
        }
        let probability = 1.0 / (1.0 + (-logit).exp());
        example.is_positive = self.random.random::<f64>() < probability;
        Scored::new(probability as f32, example.is_positive, 1.0)
    }
}

impl Tokens {
    fn new(field: usize, count: usize, random: &mut ChaCha8Rng) -> Self {
        let mut total = 0.0;
        let mut cumulative: Vec<f64> = (1..=count)
            .map(|rank| {
                total += (rank as f64).powf(-ZIPF_EXPONENT);
                total
            })
            .collect();
        cumulative.iter_mut().for_each(|bound| *bound /= total);
        let hidden = (0..count).map(|_| {
            let weight = (WEIGHT_DEVIATION * normal(random)) as f32;
            (weight, std::array::from_fn(|_| normal(random) as f32))
        });
        let hidden = hidden.collect();
        Self { cumulative, hidden, hash: hash::mix(field as u64 + 1) }
    }
}

/// A standard normal number (Box and Muller 1958, one of the pair).
fn normal(random: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// Fisher and Yates.
fn shuffle(counts: &mut [usize], random: &mut ChaCha8Rng) {
    for last in (1..counts.len()).rev() {
        counts.swap(last, random.random_range(0..=last));
    }
}
