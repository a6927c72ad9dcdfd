//! The actor that learns from visits and publishes what speaks for which ad: off every bid's path.

use super::content::Content;
use super::learned::{Learned, RelevanceStatus, Visit};
use super::snapshot::RelevanceSnapshot;
use super::{CoVisitConfig, KnnConfig};
use crate::clock::Mono;
use crate::latency::TickTimes;
use crate::priority::give_way;
use crate::retired::Current;
use crate::units::{Timestamp, UserKey};
use actix::prelude::*;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Messages that may wait: batches of visits of a millisecond of one shard. A shard that finds it full
/// counts what it drops: a pair more or less changes little.
const MAILBOX_MAX: usize = 1_024;

/// What was learned and what is published of it, outside of the actor's value: a panic in a handler
/// kills the actor, and its successor goes on with the same pairs.
#[derive(Clone)]
pub struct RelevanceState {
    // A mutex only so that a successor can take over: there is one actor at a time, and nothing else
    // locks it but a question for figures.
    learned: Arc<Mutex<Learned>>,
    published: Arc<Current<RelevanceSnapshot>>,
    publish_us: Arc<AtomicU64>,
    times: TickTimes,
}

impl RelevanceState {
    /// Nothing learned, and a snapshot of that.
    #[must_use]
    pub fn new(covisits: CoVisitConfig, knn: KnnConfig) -> Self {
        Self {
            learned: Arc::new(Mutex::new(Learned::new(covisits, knn))),
            published: Arc::new(Current::new(Arc::new(RelevanceSnapshot::empty()))),
            publish_us: Arc::default(),
            times: TickTimes::default(),
        }
    }

    /// Where snapshots appear.
    #[must_use]
    pub fn published(&self) -> Arc<ArcSwap<RelevanceSnapshot>> {
        self.published.readers()
    }

    /// How long ticks took.
    #[must_use]
    pub const fn times(&self) -> &TickTimes {
        &self.times
    }

    /// Figures.
    #[must_use]
    pub fn status(&self) -> RelevanceStatus {
        self.learned.lock().status()
    }

    /// Microseconds that the last tick's lists and snapshot took.
    #[must_use]
    pub fn publish_us(&self) -> u64 {
        self.publish_us.load(Ordering::Relaxed)
    }
}

/// Learns from visits.
pub struct RelevanceActor {
    state: RelevanceState,
}

impl RelevanceActor {
    /// An actor over `state`; start at most one over the same state.
    #[must_use]
    pub const fn new(state: RelevanceState) -> Self {
        Self { state }
    }
}

impl Actor for RelevanceActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
    }
}

/// Users came to items, in this order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Visits(pub Vec<Visit>);

/// These users are to be forgotten. The answer comes when no snapshot names them.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Forget(pub Vec<UserKey>);

/// The catalog is another: what its items and ads are about.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Adopt(pub Arc<Content>);

/// Time passed. The answer comes when what the tick makes is published.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Tick {
    /// The present.
    pub now: Timestamp,
}

const _: () = assert!(size_of::<Visits>() <= 128 && size_of::<Adopt>() <= 128);

impl Handler<Visits> for RelevanceActor {
    type Result = ();

    fn handle(&mut self, Visits(visits): Visits, _: &mut Self::Context) {
        let mut learned = self.state.learned.lock();
        visits.iter().for_each(|visit| learned.visit(visit));
    }
}

impl Handler<Forget> for RelevanceActor {
    type Result = ();

    fn handle(&mut self, Forget(users): Forget, _: &mut Self::Context) {
        let mut learned = self.state.learned.lock();
        learned.forget(&users);
        if let Some(snapshot) = learned.publish(Timestamp(i64::MIN)) {
            self.state.published.publish(snapshot);
        }
    }
}

impl Handler<Adopt> for RelevanceActor {
    type Result = ();

    fn handle(&mut self, Adopt(content): Adopt, _: &mut Self::Context) {
        let mut learned = self.state.learned.lock();
        learned.adopt(content);
        // Ads of an edit are resembled from its answer on, not from the next tick.
        let now = Timestamp(i64::MIN);
        if let Some(snapshot) = learned.publish(now) {
            self.state.published.publish(snapshot);
        }
    }
}

impl Handler<Tick> for RelevanceActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Tick { now }: Tick, _: &mut Self::Context) -> Self::Result {
        let state = self.state.clone();
        Box::pin(async move {
            let mut worked_ns = 0;
            let mut watch = state.times.begin();
            loop {
                let start = Mono::now();
                let has_more = watch.piece(|| state.learned.lock().step(now));
                worked_ns += Mono::now().nanos_since(start);
                if !has_more {
                    break;
                }
                // The learner, which shares the thread, goes on between two steps.
                give_way().await;
            }
            let start = Mono::now();
            watch.piece(|| {
                if let Some(snapshot) = state.learned.lock().publish(now) {
                    state.published.publish(snapshot);
                }
            });
            worked_ns += Mono::now().nanos_since(start);
            state.publish_us.store(worked_ns / 1_000, Ordering::Relaxed);
        })
    }
}
