//! The aggregate actor: counts contributions, closes intervals on ticks, answers for the account.
//!
//! Noise is drawn and the ledger written on a thread of its own, so that a large release (a second of
//! sampling) or a slow disk holds up neither the actor nor its arbiter; a tick is answered when that
//! thread has published everything that was closed before. One interval is on its way at a time:
//! while it waits for the ledger none is closed, and the open one grows longer. The counts live in [`Aggregates`], outside the actor value: a panic that
//! costs the actor costs no bound and no charge, and [`Aggregates::actor`] makes another.

use super::aggregate::{Aggregate, AggregateStatus, Dropped};
use super::cell::{Cell, Kind};
use super::config::{Error, Plan};
use super::gradient::{GradientTotals, Taught};
use super::mechanism::NoiseSource;
use super::opening::Opening;
use super::prior::Releases;
use super::release::{Closing, LedgerStatus, Publisher, Unreleased};
use super::segments::JoinSegment;
use super::stop::{Stop, Why};
use crate::priority::{Behind, step_back};
use crate::retired::Current;
use crate::units::{CampaignId, Micros, Timestamp, UserKey};
use actix::prelude::*;
use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Most ticks that wait for the release thread: a minute of ticks at one a second. Beyond it a tick
/// is answered at once.
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

/// Asks for the contributions not counted since the start, exactly: for whoever runs the engine inside
/// of his own process. What goes out are the magnitudes of [`AggregateStatus`].
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Dropped")]
pub struct CountDropped;

const _: () = assert!(size_of::<Contribute>() <= 128 && size_of::<ContributeAll>() <= 128);
const _: () = assert!(size_of::<DeclareCells>() <= 128);
const _: () = assert!(size_of::<Tick>() <= 128);

/// What the release thread is asked: release this if there is something, then say so.
struct Order {
    closing: Option<Closing>,
    /// The day that is open behind it.
    day: i32,
    done: oneshot::Sender<()>,
}

/// What the release thread reports. The counters are read for status only: relaxed order is enough.
struct Progress {
    waiting: AtomicUsize,
    published: AtomicU64,
    failed: AtomicU64,
    /// An interval is on its way: no other may be closed. Set by who closes it, before the order is
    /// sent, and cleared by the release thread when it is through; the channel orders the two.
    is_under_way: AtomicBool,
    /// The day that takes nobody new, since 1970; none is full at the beginning.
    full_day: AtomicI32,
    stop: Mutex<Option<Stop>>,
    ledger: ArcSwap<LedgerStatus>,
    releases: Current<Releases>,
    gradients: Arc<ArcSwap<GradientTotals>>,
}

impl Progress {
    /// Why nothing may be released on `day`.
    fn stopped(&self, day: i32) -> Option<Stop> {
        self.stop.lock().clone().filter(|stop| stop.holds(day))
    }

    fn stop(&self, stop: Stop) {
        tracing::error!(%stop, "nothing is released");
        *self.stop.lock() = Some(stop);
    }
}

/// The release thread. It ends with the last handle, which waits for it: its log is free then.
struct ReleaseThread {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for ReleaseThread {
    fn drop(&mut self) {
        self.orders = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the release thread panicked");
        }
    }
}

/// The aggregates of this process: the handle that outlives the actor. Its release thread ends with
/// the last clone.
#[derive(Clone)]
pub struct Aggregates {
    // The actor locks it, one message at a time, and the learner for what shown ads teach: seldom
    // contended, never held across an await.
    aggregate: Arc<Mutex<Aggregate>>,
    thread: Arc<ReleaseThread>,
    progress: Arc<Progress>,
    has_segments: bool,
}

impl Aggregates {
    /// Goes on where `opening` stands, in the interval that `now` is in, and starts the release thread.
    ///
    /// # Errors
    /// [`Error::Thread`] where the system gives no thread, [`Error::Noise`] where it gives no key.
    pub fn start(plan: &Plan, now: Timestamp, opening: Opening) -> Result<Self, Error> {
        Self::start_with(plan, now, opening, NoiseSource::exact())
    }

    pub(super) fn start_with(
        plan: &Plan,
        now: Timestamp,
        mut opening: Opening,
        noise: NoiseSource,
    ) -> Result<Self, Error> {
        let aggregate = Arc::new(Mutex::new(Aggregate::new(plan, now, &opening)?));
        let stop = opening.stop.take();
        let is_background = opening.is_background;
        let publisher = Publisher::new(plan, noise, opening);
        let progress = Arc::new(Progress {
            waiting: AtomicUsize::new(0),
            published: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            is_under_way: AtomicBool::new(false),
            full_day: AtomicI32::new(i32::MIN),
            stop: Mutex::new(stop),
            ledger: ArcSwap::from_pointee(publisher.status()),
            releases: Current::new(Arc::new(publisher.snapshot(now))),
            gradients: Arc::new(ArcSwap::from_pointee(publisher.gradients().unwrap_or_default())),
        });
        let (orders, received) = sync_channel(ORDERS_MAX);
        let reported = Arc::clone(&progress);
        let thread = std::thread::Builder::new()
            .name("outbid-privacy".to_owned())
            .spawn(move || {
                if is_background {
                    step_back(Behind::Learning);
                }
                publish_all(publisher, &received, &reported);
            })
            .map_err(|error| Error::Thread(error.to_string()))?;
        let thread = ReleaseThread { orders: Some(orders), thread: Some(thread) };
        let has_segments = plan.has_segments();
        Ok(Self { aggregate, thread: Arc::new(thread), progress, has_segments })
    }

    /// The published snapshot, replaced with each release.
    #[must_use]
    pub fn releases(&self) -> Arc<ArcSwap<Releases>> {
        self.progress.releases.readers()
    }

    /// The day's gradients as far as they were released, replaced with each release; nothing where
    /// the model does not learn from releases.
    #[must_use]
    pub fn gradients(&self) -> Arc<ArcSwap<GradientTotals>> {
        Arc::clone(&self.progress.gradients)
    }

    /// Adds what shown ads teach to the open interval, as far as their users' bounds allow. It comes
    /// from the learner's thread, some tens of microseconds for a hundred.
    pub fn teach(&self, taught: &[Taught]) {
        let mut aggregate = self.counting();
        taught.iter().for_each(|taught| aggregate.teach(taught));
    }

    /// Counts users in segments of the open day, as far as their bounds allow. It comes from whoever takes
    /// events in, some tens of microseconds for a hundred; nothing where no sizes are released.
    pub fn join(&self, joins: impl Iterator<Item = JoinSegment>) {
        if self.has_segments {
            let mut aggregate = self.counting();
            joins.for_each(|join| aggregate.join(&join));
        }
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
        let Progress { published, failed, ledger, .. } = &*self.progress;
        let (published, failed) =
            (published.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
        let aggregate = self.aggregate.lock();
        let stop = self.progress.stopped(aggregate.day());
        aggregate.status(published, failed, &ledger.load(), stop.as_ref())
    }

    /// What the ledger says of itself.
    #[must_use]
    pub fn ledger(&self) -> Arc<LedgerStatus> {
        self.progress.ledger.load_full()
    }

    /// Closes what is due and hands it to the release thread; the receiver hears when that thread
    /// is through with it and with all before it.
    fn tick(&self, now: Timestamp) -> Option<oneshot::Receiver<()>> {
        if self.progress.waiting.load(Ordering::Relaxed) >= ORDERS_MAX {
            tracing::warn!("release thread is behind");
            return None;
        }
        let closing =
            if self.progress.is_under_way.load(Ordering::Acquire) { None } else { self.close(now) };
        self.progress.is_under_way.fetch_or(closing.is_some(), Ordering::AcqRel);
        let (done, is_done) = oneshot::channel();
        self.progress.waiting.fetch_add(1, Ordering::Relaxed);
        let order = Order { closing, day: self.aggregate.lock().day(), done };
        let orders = self.thread.orders.as_ref();
        if orders.is_none_or(|orders| orders.try_send(order).is_err()) {
            // Full is impossible below the limit above, so the thread is gone. What was closed is
            // lost unseen: priors stand still, and status says so.
            self.progress.failed.fetch_add(1, Ordering::Relaxed);
            tracing::error!("release thread is gone");
            return None;
        }
        Some(is_done)
    }

    /// Closes what is due, unless nothing may be released: then it is forgotten.
    fn close(&self, now: Timestamp) -> Option<Closing> {
        let mut aggregate = self.aggregate.lock();
        let day = aggregate.day();
        if aggregate.is_overrun() && self.progress.stopped(day).is_none() {
            self.progress.stop(Stop::for_day(Why::UsersOverrun, day, "its counts are forgotten"));
        }
        let stopped = self.progress.stopped(day);
        let closing = aggregate.advance(now)?;
        match stopped {
            None => Some(closing),
            Some(_) => {
                aggregate.refuse();
                None
            }
        }
    }

    /// The counts, closed to new users where the day was found full.
    fn counting(&self) -> MutexGuard<'_, Aggregate> {
        let mut aggregate = self.aggregate.lock();
        if self.progress.full_day.load(Ordering::Relaxed) == aggregate.day() {
            aggregate.close();
        }
        aggregate
    }
}

/// The release thread: one order after the other until the last sender is gone.
fn publish_all(mut publisher: Publisher, orders: &Receiver<Order>, progress: &Progress) {
    for Order { closing, day, done } in orders {
        // An order that came without an interval, beside none, says nothing of the next one.
        let is_way_ours = closing.is_some() || publisher.is_blocked();
        match publisher.publish(closing) {
            Ok(Some(releases)) => {
                progress.releases.publish(Arc::new(releases));
                if let Some(gradients) = publisher.gradients() {
                    progress.gradients.store(Arc::new(gradients));
                }
                progress.published.fetch_add(1, Ordering::Relaxed);
            }
            Ok(None) => {}
            Err(error) => {
                progress.failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "an interval is not released");
                match error {
                    Unreleased::Stopped(stop) => progress.stop(stop),
                    Unreleased::Later(why) => {
                        *progress.stop.lock() = Some(Stop::for_good(Why::LedgerRefuses, why));
                    }
                    Unreleased::Lost(_) => {}
                }
            }
        }
        progress.releases.free();
        publisher.enter(day);
        if !publisher.is_blocked() {
            let mut stop = progress.stop.lock();
            *stop = stop.take().filter(|stop| stop.why() != Why::LedgerRefuses);
        }
        let status = publisher.status();
        if let Some(day) = status.day.filter(|_| status.is_full) {
            progress.full_day.store(day, Ordering::Relaxed);
        }
        progress.ledger.store(Arc::new(status));
        if is_way_ours {
            progress.is_under_way.store(publisher.is_blocked(), Ordering::Release);
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
        let mut aggregate = self.aggregates.counting();
        for contribution in &all {
            aggregate.contribute(contribution);
        }
    }
}

impl Handler<Contribute> for AggregateActor {
    type Result = ();

    fn handle(&mut self, contribution: Contribute, _: &mut Self::Context) {
        self.aggregates.counting().contribute(&contribution);
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

impl Handler<CountDropped> for AggregateActor {
    type Result = MessageResult<CountDropped>;

    fn handle(&mut self, _: CountDropped, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.aggregates.aggregate.lock().dropped())
    }
}

impl Handler<Status> for AggregateActor {
    type Result = MessageResult<Status>;

    fn handle(&mut self, _: Status, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.aggregates.status())
    }
}
