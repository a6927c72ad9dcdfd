//! The click model in the state folder: read at the start, saved now and then and at the end.
//!
//! It is a file of its own and no row of [`crate::store::Snapshots`]: those lie in the ledger's
//! database and are written by the thread that acknowledges money, which some MB every few minutes
//! would hold up; and `outbid evaluate` and `train` read and write the same files.

use crate::clock::Mono;
use crate::config::Config;
use crate::prediction::model_file;
use crate::prediction::{self, LearnerState, ModelFileError, SavedLearner};
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

/// The model within the state folder.
pub const MODEL_FILE: &str = "model.outbid";

/// The learner, and where it is saved.
pub struct SavedModel {
    learner: LearnerState,
    /// `None` where nothing is kept.
    file: Option<PathBuf>,
    every_s: u64,
    last: Mutex<(Mono, Option<JoinHandle<()>>)>,
    metrics: ModelMetrics,
}

/// How a start found the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Model,
    /// A file that was refused, and put aside.
    Refused,
}

/// How the start went and what became of savings, read when somebody looks.
#[derive(Clone, Debug)]
pub struct ModelMetrics {
    found: Found,
    done: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl SavedModel {
    /// The model of `config` as the state folder has it, or one that has seen nothing where it has
    /// none that can be used: a wrong file is put aside, since predictions can be learned again and
    /// an engine that does not start bids nothing.
    ///
    /// # Errors
    /// When a setting lies outside its range.
    pub fn open(
        config: &Config,
        model: &prediction::Config,
        is_kept: bool,
    ) -> Result<Self, prediction::Error> {
        let file = is_kept.then(|| config.paths.state.join(MODEL_FILE));
        let resumed = file.as_deref().map_or(Ok(None), |file| resume(model, file));
        let (learner, found) = match resumed {
            Ok(Some(learner)) => (learner, Found::Model),
            Ok(None) => (LearnerState::new(model)?, Found::Nothing),
            Err(error) => {
                put_aside(file.as_deref(), &error);
                (LearnerState::new(model)?, Found::Refused)
            }
        };
        Ok(Self {
            learner,
            file,
            every_s: config.prediction.save_every_s.into(),
            last: Mutex::new((Mono::now(), None)),
            metrics: ModelMetrics { found, done: Arc::default(), failed: Arc::default() },
        })
    }

    /// The learner.
    pub const fn learner(&self) -> &LearnerState {
        &self.learner
    }

    /// How the start went and what became of savings.
    pub fn metrics(&self) -> ModelMetrics {
        self.metrics.clone()
    }

    /// Saves the model on a thread of its own if it is time to, and the time before has ended.
    pub fn tick(&self) {
        let Some(file) = self.file.clone() else { return };
        let mut last = self.last.lock();
        let now = Mono::now();
        let is_due = now.nanos_since(last.0) / 1_000_000_000 >= self.every_s;
        let is_busy = last.1.as_ref().is_some_and(|thread| !thread.is_finished());
        if !is_due || is_busy || self.every_s == 0 {
            return;
        }
        let (learner, metrics) = (self.learner.clone(), self.metrics());
        let thread = std::thread::Builder::new().name("model".to_owned());
        let spawned = thread.spawn(move || metrics.count(save(&learner, &file)));
        *last = (now, spawned.ok());
    }

    /// Saves the model at the end, when nobody learns any more.
    pub fn finish(&self) {
        let Some(file) = &self.file else { return };
        let before = self.last.lock().1.take();
        // A thread that panicked has saved nothing; this saves all the same.
        let _ = before.map(JoinHandle::join);
        self.metrics.count(save(&self.learner, file));
    }
}

fn resume(model: &prediction::Config, file: &Path) -> Result<Option<LearnerState>, ModelFileError> {
    let Some(saved) = SavedLearner::read(model, file)? else { return Ok(None) };
    let learner = LearnerState::resume(model, saved)?;
    let epoch = learner.published().load().epoch();
    tracing::info!(epoch, file = %file.display(), "the model goes on where it was saved");
    Ok(Some(learner))
}

fn put_aside(file: Option<&Path>, error: &ModelFileError) {
    let Some(file) = file else { return };
    let aside = file.with_extension("refused");
    let moved = std::fs::rename(file, &aside);
    let (file, aside) = (file.display(), aside.display());
    tracing::error!(%error, %file, %aside, ?moved, "the model is refused, and begins anew");
}

fn save(learner: &LearnerState, file: &Path) -> Result<(), ModelFileError> {
    let bytes = learner.to_saved().encode();
    model_file::write(file, &bytes)
}

impl ModelMetrics {
    fn count(&self, saved: Result<(), ModelFileError>) {
        let counter = match saved {
            Ok(()) => &self.done,
            Err(error) => {
                tracing::warn!(%error, "the model was not saved: the one before stays");
                &self.failed
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Collector for ModelMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        use prometheus_client::encoding::NoLabelSet;
        let help = "Savings of the model since the start";
        let mut family =
            encoder.encode_descriptor("model_saves", help, None, MetricType::Counter)?;
        for (outcome, count) in [("done", &self.done), ("failed", &self.failed)] {
            let count = count.load(Ordering::Relaxed);
            let labels = [("outcome", outcome)];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let help = "1 at what the start found in the model's place";
        let mut family = encoder.encode_descriptor("model_found", help, None, MetricType::Gauge)?;
        for (label, found) in
            [("nothing", Found::Nothing), ("model", Found::Model), ("refused", Found::Refused)]
        {
            let is_it = u64::from(self.found == found);
            family.encode_family(&[("found", label)])?.encode_gauge(&is_it)?;
        }
        Ok(())
    }
}
