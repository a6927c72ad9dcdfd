//! An imported ONNX model on labelled examples: it predicts as the engine would ask it, a column a field
//! and the first of the field's ids in it, and learns nothing.

use super::example::Example;
use crate::clock::Mono;
use crate::prediction::{OnnxAsked, OnnxError, OnnxModel, sigmoid};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows that latency is taken over at most.
const TIMED_MAX: usize = 2_000;
/// Candidates of the larger of the two batches that are timed: the engine's default.
const TEN: usize = 10;

/// The model, asked about one example and about ten.
pub struct Imported {
    one: OnnxModel,
    ten: OnnxModel,
    columns: usize,
    /// The ids of the first rows.
    seen: Vec<u32>,
    failed: AtomicU64,
}

/// How long an imported model takes, in microseconds: the median and the 99th percentile of batches of
/// one and of ten candidates; nothing where there were too few rows for one batch.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Latency {
    /// Of one candidate.
    pub one: Option<[f64; 2]>,
    /// Of ten.
    pub ten: Option<[f64; 2]>,
}

impl Imported {
    /// The model in a file, of as many columns as `asked` says; its batch does not count.
    ///
    /// # Errors
    /// As [`OnnxModel::read`].
    pub fn read(file: &Path, asked: &OnnxAsked) -> Result<Self, OnnxError> {
        let of = |batch| OnnxModel::read(file, OnnxAsked { batch, ..asked.clone() });
        let (one, ten, columns) = (of(1)?, of(TEN)?, asked.columns);
        Ok(Self { one, ten, columns, seen: Vec::new(), failed: AtomicU64::new(0) })
    }

    /// The probability of an example; 0.5 where the model fails, which is counted.
    #[must_use]
    pub fn predict(&self, example: &Example) -> f32 {
        let mut logits = Vec::new();
        match self.one.logits(&ids_of(example, self.columns), &mut logits) {
            Ok(()) => logits.first().map_or(0.5, |logit| sigmoid(*logit)),
            Err(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                0.5
            }
        }
    }

    /// Keeps the ids of an example to take times with, where there are not enough yet.
    pub(super) fn keep(&mut self, example: &Example) {
        if self.seen.len() < TIMED_MAX * self.columns {
            self.seen.extend(ids_of(example, self.columns));
        }
    }

    /// How many examples it failed on.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// What asking takes, over the first rows that were predicted.
    ///
    /// # Errors
    /// When the model fails on them.
    pub fn latency(&self) -> Result<Latency, OnnxError> {
        let (seen, columns) = (&self.seen, self.columns);
        let one = percentiles(&self.one, seen.chunks_exact(columns))?;
        let ten = percentiles(&self.ten, seen.chunks_exact(TEN * columns))?;
        Ok(Latency { one, ten })
    }
}

fn percentiles<'a>(
    model: &OnnxModel,
    batches: impl Iterator<Item = &'a [u32]>,
) -> Result<Option<[f64; 2]>, OnnxError> {
    let mut logits = Vec::new();
    let timed = batches.map(|ids| {
        let start = Mono::now();
        model.logits(ids, &mut logits).map(|()| Mono::now().nanos_since(start) as f64 / 1e3)
    });
    let mut timed = timed.collect::<Result<Vec<f64>, _>>()?;
    timed.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| timed.get((timed.len() as f64 * part) as usize).copied();
    Ok(at(0.5).zip(at(0.99)).map(<[f64; 2]>::from))
}

/// The ids of an example as columns, 0 where it has nothing of a field.
#[must_use]
pub fn ids_of(example: &Example, columns: usize) -> Vec<u32> {
    let mut ids = vec![0; columns];
    for feature in example.features.iter().rev() {
        if let Some(id) = ids.get_mut(usize::from(feature.field)) {
            *id = feature.id;
        }
    }
    ids
}
