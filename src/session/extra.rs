//! What only some users have, apart from the session, so that one without stays small: it costs
//! these 8 bytes. With it a session stays below 512.

use super::behaviour::Event;
use crate::clock::Mono;
use crate::relevance::sequence::{SequenceModel, State, Visit};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The rarer part of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Extra {
    /// Where the sequence model stands with this user.
    pub(super) sequence: State,
}

// With the box's own slack it must leave a session of 256 bytes below 512.
const _: () = assert!(size_of::<Extra>() <= 240);

/// Steps users' states by what they do.
///
/// A state mixes what it has seen and cannot be taken apart by tenant again, so it sees pooled
/// events only, and serves campaigns that use the pool.
#[derive(Clone, Debug)]
pub struct Sequencer {
    model: Arc<SequenceModel>,
    seconds: Histogram,
    /// Steps of all shards, to time one in [`TIMED_EVERY`]: relaxed order is enough.
    steps: Arc<AtomicU64>,
}

/// Steps of which one is timed: a histogram's count is shown, and must not be that of users' events.
const TIMED_EVERY: u64 = 50;

impl Sequencer {
    /// Steps by `model`; what one step in fifty took is told to [`Sequencer::seconds`].
    #[must_use]
    pub fn new(model: Arc<SequenceModel>) -> Self {
        // 1 us to 2 ms: a step takes some 5.
        let seconds = Histogram::new(exponential_buckets(1e-6, 2.0, 12));
        Self { model, seconds, steps: Arc::default() }
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &Arc<SequenceModel> {
        &self.model
    }

    /// Seconds that one step in fifty took.
    #[must_use]
    pub const fn seconds(&self) -> &Histogram {
        &self.seconds
    }

    pub(super) fn step(&self, extra: &mut Option<Box<Extra>>, event: &Event) {
        if !event.pooled {
            return;
        }
        let number = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        let started = number.is_multiple_of(TIMED_EVERY).then(Mono::now);
        let visit = Visit {
            category: self.model.vocabulary().place(event.category),
            item: event.item.unwrap_or(0),
            kind: event.kind as u8,
            at_s: event.at.as_secs_u32(),
        };
        self.model.step(&mut extra.get_or_insert_default().sequence, visit);
        if let Some(start) = started {
            self.seconds.observe(Mono::now().nanos_since(start) as f64 / 1e9);
        }
    }
}
