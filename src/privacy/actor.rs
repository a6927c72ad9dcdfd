//! The aggregate actor: counts contributions, closes intervals on ticks, answers for the account.
//!
//! Noise is drawn on a thread of its own, so that a large release (seconds of sampling) holds up
//! neither the actor nor its arbiter; a tick is answered when that thread has published everything
//! that was closed before. The counts live in [`Aggregates`], outside the actor value: a panic that
//! costs the actor costs no bound and no charge, and [`Aggregates::actor`] makes another.

use super::aggregate::{Aggregate, AggregateStatus};
use super::cell::{Cell, Kind};
use super::config::{Error, Plan};
use super::mechanism::NoiseSource;
use super::prior::Releases;
use super::release::{Closing, Publisher};
use crate::units::{CampaignId, Micros, Timestamp, UserKey};
use actix::prelude::*;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tokio::sync::oneshot;

/// Most ticks that wait for the release thread: a minute of ticks at one a second. Beyond it a tick
/// is answered at once and closes nothing; the next one will.
const ORDERS_MAX: usize = 64;
/// The actor's mailbox: contributions are small and come in bursts.
const MAILBOX_MAX: usize = 4_096;

/// What happened to one user's impression, click or conversion.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Contribute {
    /// Who; `None` where measurement was not permitted, and then nothing is counted.
    pub user: Option<UserKey>,
    /// When it happened.
    pub at: Timestamp,
    /// Where it is counted.
    pub cell: Cell,
    /// What it was; never [`Kind::Spend`], which follows from the price.
    pub kind: Kind,
    /// What an impression cost, a CPM in the account's currency; 0 for other kinds.
    pub price: Micros,
}

/// What happened to several users, in this order: a message that crosses threads costs more than
/// what it does.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct ContributeAll(pub Vec<Contribute>);

/// The campaigns whose cells are released from now on; replaces the list before.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct DeclareCells(pub Arc<[CampaignId]>);

/// Closes and releases what is due at `now`. Answered when everything closed so far is published.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Tick {
    /// The present.
    pub now: Timestamp,
}

/// Asks for the [`AggregateStatus`].
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "AggregateStatus")]
pub struct Status;

const _: () = assert!(size_of::<Contribute>() <= 128 && size_of::<ContributeAll>() <= 128);
const _: () = assert!(size_of::<DeclareCells>() <= 128);
const _: () = assert!(size_of::<Tick>() <= 128);

/// What the release thread is asked: release this if there is something, then say so.
struct Order {
    closing: Option<Closing>,
    done: oneshot::Sender<()>,
}

/// What the release thread reports. The counters are read for status only: relaxed order is enough.
struct Progress {
    waiting: AtomicUsize,
    published: AtomicU64,
    failed: AtomicU64,
    releases: Arc<ArcSwap<Releases>>,
}

/// The aggregates of this process: the handle that outlives the actor. Its release thread ends with
/// the last clone.
#[derive(Clone)]
pub struct Aggregates {
    // Only the actor locks it, one message at a time: never contended, never held across an await.
    aggregate: Arc<Mutex<Aggregate>>,
    orders: SyncSender<Order>,
    progress: Arc<Progress>,
}

impl Aggregates {
    /// Opens the interval that `now` is in and starts the release thread.
    ///
    /// # Errors
    /// [`Error::Thread`] where the system gives no thread.
    pub fn start(plan: &Plan, now: Timestamp) -> Result<Self, Error> {
        Self::start_with(plan, now, NoiseSource::exact())
    }

    pub(super) fn start_with(
        plan: &Plan,
        now: Timestamp,
        noise: NoiseSource,
    ) -> Result<Self, Error> {
        let progress = Arc::new(Progress {
            waiting: AtomicUsize::new(0),
            published: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            releases: Arc::new(ArcSwap::from_pointee(Releases::none(plan.base_rate()))),
        });
        let (orders, received) = sync_channel(ORDERS_MAX);
        let publisher = Publisher::new(plan, noise);
        let reported = Arc::clone(&progress);
        std::thread::Builder::new()
            .name("outbid-privacy".to_owned())
            .spawn(move || publish_all(publisher, &received, &reported))
            .map_err(|error| Error::Thread(error.to_string()))?;
        let aggregate = Arc::new(Mutex::new(Aggregate::new(plan, now)?));
        Ok(Self { aggregate, orders, progress })
    }

    /// The published snapshot, replaced with each release.
    #[must_use]
    pub fn releases(&self) -> Arc<ArcSwap<Releases>> {
        Arc::clone(&self.progress.releases)
    }

    /// An actor over this state. One at a time; a new one after a panic goes on where it stopped.
    #[must_use]
    pub fn actor(&self) -> AggregateActor {
        AggregateActor { aggregates: self.clone() }
    }

    /// Epsilon spent of the open day, at the configured delta.
    #[must_use]
    pub fn epsilon_spent(&self) -> f64 {
        self.status().epsilon_spent
    }

    /// The account so far.
    #[must_use]
    pub fn status(&self) -> AggregateStatus {
        let published = self.progress.published.load(Ordering::Relaxed);
        let failed = self.progress.failed.load(Ordering::Relaxed);
        self.aggregate.lock().status(published, failed)
    }

    /// Closes what is due and hands it to the release thread; the receiver hears when that thread
    /// is through with it and with all before it.
    fn tick(&self, now: Timestamp) -> Option<oneshot::Receiver<()>> {
        if self.progress.waiting.load(Ordering::Relaxed) >= ORDERS_MAX {
            tracing::warn!("release thread is behind, tick closes nothing");
            return None;
        }
        let closing = self.aggregate.lock().advance(now);
        let (done, is_done) = oneshot::channel();
        self.progress.waiting.fetch_add(1, Ordering::Relaxed);
        if self.orders.try_send(Order { closing, done }).is_err() {
            // Full is impossible below the limit above, so the thread is gone. What was closed is
            // lost unseen: priors stand still, and status says so.
            self.progress.failed.fetch_add(1, Ordering::Relaxed);
            tracing::error!("release thread is gone");
            return None;
        }
        Some(is_done)
    }
}

/// The release thread: one order after the other until the last sender is gone.
fn publish_all(mut publisher: Publisher, orders: &Receiver<Order>, progress: &Progress) {
    for Order { closing, done } in orders {
        match closing.map(|closing| publisher.publish(closing)) {
            Some(Ok(releases)) => {
                progress.releases.store(Arc::new(releases));
                progress.published.fetch_add(1, Ordering::Relaxed);
            }
            Some(Err(error)) => {
                progress.failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "release failed");
            }
            None => {}
        }
        progress.waiting.fetch_sub(1, Ordering::Relaxed);
        // Whoever asked may have gone; the release stands.
        let _ = done.send(());
    }
}

/// Sole writer of the counts behind every release.
pub struct AggregateActor {
    aggregates: Aggregates,
}

impl Actor for AggregateActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
    }
}

impl Supervised for AggregateActor {}

impl Handler<ContributeAll> for AggregateActor {
    type Result = ();

    fn handle(&mut self, ContributeAll(all): ContributeAll, _: &mut Self::Context) {
        let mut aggregate = self.aggregates.aggregate.lock();
        for contribution in &all {
            aggregate.contribute(contribution);
        }
    }
}

impl Handler<Contribute> for AggregateActor {
    type Result = ();

    fn handle(&mut self, contribution: Contribute, _: &mut Self::Context) {
        self.aggregates.aggregate.lock().contribute(&contribution);
    }
}

impl Handler<DeclareCells> for AggregateActor {
    type Result = ();

    fn handle(&mut self, DeclareCells(campaigns): DeclareCells, _: &mut Self::Context) {
        self.aggregates.aggregate.lock().declare(&campaigns);
    }
}

impl Handler<Tick> for AggregateActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Tick { now }: Tick, _: &mut Self::Context) -> Self::Result {
        let is_done = self.aggregates.tick(now);
        Box::pin(async move {
            if let Some(is_done) = is_done {
                // An error means that the thread ended, which the next tick reports.
                let _ = is_done.await;
            }
        })
    }
}

impl Handler<Status> for AggregateActor {
    type Result = MessageResult<Status>;

    fn handle(&mut self, _: Status, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.aggregates.status())
    }
}
