//! The actor that owns the learner: the only writer of the model, off every bid's path.

use super::config::{Config, Error};
use super::features::AdFeatures;
use super::join::Example;
use super::learner::{Learner, LearnerStatus, SavedLearner};
use super::model_file::ModelFileError;
use super::score::ModelSnapshot;
use crate::latency::TickTimes;
use crate::priority::give_way;
use crate::privacy::Aggregates;
use crate::retired::Current;
use crate::units::{HoldId, Timestamp, UserKey};
use actix::prelude::*;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;

/// Messages that may wait: a click or a batch of shows costs some µs, so these are tens of ms of
/// work, and more than arrives while a tick learns for a whole second. Senders that find it full
/// keep their message or count it lost; they never go round the bound.
const MAILBOX_MAX: usize = 8_192;

/// Shows learned from before others on the thread and on its core get their turn: some 0.2 ms.
const SLICE: usize = 32;
/// Shows that one tick learns from at most: some 0.2 s of each second, and twenty times what the join
/// table can bring in one. Ticks of budgets and releases come after the learner's and do not wait
/// longer for it.
pub const LEARNED_MAX: usize = 1 << 15;

/// The learner and what it published, outside the actor's value: a panic in a handler kills the
/// actor, and its successor goes on with the same weights.
#[derive(Clone)]
pub struct LearnerState {
    // A mutex only so that a successor can take over: there is one actor at a time, and only the
    // thread that saves the model locks it beside.
    learner: Arc<Mutex<Learner>>,
    published: Arc<Current<ModelSnapshot>>,
    times: TickTimes,
    status: Arc<ArcSwap<LearnerStatus>>,
    /// Where the model learns from releases.
    releases: Option<Aggregates>,
}

impl LearnerState {
    /// A learner that has seen nothing, with its first snapshot published.
    ///
    /// # Errors
    /// When a setting lies outside its range.
    pub fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self::of(Learner::new(config)?))
    }

    /// One that goes on where an earlier one was saved, with its snapshot published.
    ///
    /// # Errors
    /// As [`Learner::resume`].
    pub fn resume(config: &Config, saved: SavedLearner) -> Result<Self, ModelFileError> {
        Ok(Self::of(Learner::resume(config, saved)?))
    }

    fn of(mut learner: Learner) -> Self {
        let published = Arc::new(Current::new(learner.publish()));
        let status = Arc::new(ArcSwap::from_pointee(learner.status()));
        let (learner, times) = (Arc::new(Mutex::new(learner)), TickTimes::default());
        Self { learner, published, times, status, releases: None }
    }

    /// The same, teaching through releases and learning from them: for a model whose configuration says
    /// so ([`Config::released`]).
    #[must_use]
    pub fn through(self, releases: Aggregates) -> Self {
        Self { releases: Some(releases), ..self }
    }

    /// Takes over what was released since the last tick.
    fn follow(&self) {
        if let Some(releases) = &self.releases {
            self.learner.lock().follow_releases(&releases.gradients().load());
        }
    }

    /// Hands on what was taught since the last slice.
    fn teach(&self) {
        if let Some(releases) = &self.releases {
            let taught = self.learner.lock().take_taught();
            releases.teach(&taught);
        }
    }

    /// Publishes what was learned; the snapshot's epoch.
    fn publish(&self) -> u64 {
        let mut learner = self.learner.lock();
        let snapshot = learner.publish();
        let epoch = snapshot.epoch();
        self.published.publish(snapshot);
        self.status.store(Arc::new(learner.status()));
        epoch
    }

    /// A copy of what was learned, for a thread that saves it. The learner waits for it some ms.
    #[must_use]
    pub fn to_saved(&self) -> SavedLearner {
        self.learner.lock().to_saved()
    }

    /// The figures as of the last tick, which may be read while the learner learns.
    #[must_use]
    pub fn last_status(&self) -> Arc<ArcSwap<LearnerStatus>> {
        Arc::clone(&self.status)
    }

    /// Where snapshots appear.
    #[must_use]
    pub fn published(&self) -> Arc<ArcSwap<ModelSnapshot>> {
        self.published.readers()
    }

    /// How long ticks took.
    #[must_use]
    pub const fn times(&self) -> &TickTimes {
        &self.times
    }
}

/// Learns from shows and clicks, and publishes the model at each tick.
pub struct LearnerActor {
    state: LearnerState,
}

impl LearnerActor {
    /// An actor over `state`; start at most one over the same state.
    #[must_use]
    pub const fn new(state: LearnerState) -> Self {
        Self { state }
    }
}

impl Actor for LearnerActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
    }
}

/// Ads were shown.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Impressions(pub Vec<Box<Example>>);

/// An ad was clicked.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Click {
    /// The show's hold.
    pub hold: HoldId,
    /// When.
    pub at: Timestamp,
}

/// A click became a conversion.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Converted {
    /// The click's hold.
    pub hold: HoldId,
    /// When it was bought.
    pub at: Timestamp,
}

/// These users are to be forgotten, with all that waits of them. Answers how much that was.
#[derive(Clone, Debug, Message)]
#[rtype(result = "usize")]
pub struct Forget(pub Vec<UserKey>);

/// The catalog changed: these are all ads now.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct AdsChanged {
    /// The ads.
    pub ads: Arc<[AdFeatures]>,
    /// The catalog's epoch.
    pub catalog: u64,
}

/// Time passed. The answer comes after every earlier message's effect is published, but for a
/// backlog of more than [`LEARNED_MAX`] shows, of which the rest waits for the next tick.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Published")]
pub struct Tick {
    /// The present.
    pub now: Timestamp,
}

/// The answer to [`Tick`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The snapshot that is now published; unchanged if nothing was learned.
    pub epoch: u64,
    /// Whether more shows could be learned from by now.
    pub has_more: bool,
}

/// Asks for the learner's figures.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "LearnerStatus")]
pub struct Status;

// Mailboxes move messages by value.
const _: () = assert!(size_of::<Impressions>() <= 128 && size_of::<Click>() <= 128);
const _: () = assert!(size_of::<Converted>() <= 128);
const _: () = assert!(size_of::<AdsChanged>() <= 128 && size_of::<Tick>() <= 128);

impl Handler<Impressions> for LearnerActor {
    type Result = ();

    fn handle(&mut self, Impressions(shown): Impressions, _: &mut Self::Context) {
        let mut learner = self.state.learner.lock();
        shown.into_iter().for_each(|example| learner.impression(example));
    }
}

impl Handler<Click> for LearnerActor {
    type Result = ();

    fn handle(&mut self, message: Click, _: &mut Self::Context) {
        self.state.learner.lock().click(message.hold, message.at);
    }
}

impl Handler<Converted> for LearnerActor {
    type Result = ();

    fn handle(&mut self, message: Converted, _: &mut Self::Context) {
        self.state.learner.lock().convert(message.hold, message.at);
    }
}

impl Handler<Forget> for LearnerActor {
    type Result = usize;

    fn handle(&mut self, Forget(users): Forget, _: &mut Self::Context) -> usize {
        self.state.learner.lock().forget(&users)
    }
}

impl Handler<AdsChanged> for LearnerActor {
    type Result = ();

    fn handle(&mut self, message: AdsChanged, _: &mut Self::Context) {
        let mut learner = self.state.learner.lock();
        learner.replace_ads(&message.ads);
        learner.follow(message.catalog);
    }
}

impl Handler<Tick> for LearnerActor {
    type Result = ResponseFuture<Published>;

    fn handle(&mut self, Tick { now }: Tick, _: &mut Self::Context) -> Self::Result {
        let state = self.state.clone();
        state.learner.lock().advance(now);
        // Before anything is taught: gradients are taken at the newest weights.
        state.follow();
        Box::pin(async move {
            let mut slices = 0;
            let mut watch = state.times.begin();
            let mut has_more = true;
            while has_more && slices < LEARNED_MAX / SLICE {
                has_more = watch.piece(|| {
                    let has_more = state.learner.lock().learn_ended(SLICE);
                    state.teach();
                    has_more
                });
                slices += 1;
                // Relevance shares this thread: what has come for it goes first.
                give_way().await;
            }
            let epoch = watch.piece(|| state.publish());
            Published { epoch, has_more }
        })
    }
}

impl Handler<Status> for LearnerActor {
    type Result = MessageResult<Status>;

    fn handle(&mut self, _: Status, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state.learner.lock().status())
    }
}
