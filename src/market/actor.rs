//! The MarketActor: takes in what notices tell, learns it a tick at a time, publishes.

use super::segments::{Market, MarketStatus, Observation};
use super::snapshot::MarketSnapshot;
use crate::latency::TickTimes;
use crate::retired::Current;
use crate::units::Timestamp;
use actix::prelude::*;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Observations that wait for the tick: what 30,000 notices a second bring in one, 2 MB. More than a
/// curve needs, so what comes beyond is dropped and counted.
const WAITING_MAX: usize = 1 << 15;

const _: () = assert!(size_of::<Observation>() <= 64);

/// What survives the actor, and where notices leave what they tell: the lock is held for one push,
/// or to take the list away.
#[derive(Clone)]
pub struct Inbox {
    waiting: Arc<Mutex<Vec<Observation>>>,
    dropped: Arc<AtomicU64>,
    market: Arc<Mutex<Market>>,
    published: Arc<Current<MarketSnapshot>>,
    times: TickTimes,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            waiting: Arc::default(),
            dropped: Arc::default(),
            market: Arc::default(),
            published: Arc::new(Current::new(Arc::default())),
            times: TickTimes::default(),
        }
    }
}

impl Inbox {
    /// Leaves an observation for the next tick; `false` where there was no room, which is counted.
    pub fn leave(&self, observation: Observation) -> bool {
        let mut waiting = self.waiting.lock();
        let has_room = waiting.len() < WAITING_MAX;
        if has_room {
            waiting.push(observation);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    /// Where the curves are published.
    #[must_use]
    pub fn published(&self) -> Arc<ArcSwap<MarketSnapshot>> {
        self.published.readers()
    }

    /// How long ticks took.
    #[must_use]
    pub const fn times(&self) -> &TickTimes {
        &self.times
    }

    /// Learns what waits, and publishes what changed.
    fn learn(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        if waiting.is_empty() {
            return;
        }
        let mut market = self.market.lock();
        for observation in &waiting {
            market.observe(observation);
        }
        let epoch = self.published.newest().epoch + 1;
        self.published.publish(Arc::new(market.snapshot(epoch)));
    }
}

/// Learns and publishes; see the module.
pub struct MarketActor {
    inbox: Inbox,
}

impl MarketActor {
    /// An actor over what waits in `inbox`.
    #[must_use]
    pub const fn new(inbox: Inbox) -> Self {
        Self { inbox }
    }
}

impl Actor for MarketActor {
    type Context = Context<Self>;
}

/// Time passed: learn what waits, and publish what changed.
#[derive(Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Tick {
    /// Civil time.
    pub now: Timestamp,
}

impl Handler<Tick> for MarketActor {
    type Result = ();

    fn handle(&mut self, _: Tick, _: &mut Self::Context) {
        self.inbox.times.begin().piece(|| self.inbox.learn());
    }
}

/// Asks for a [`MarketStatus`].
#[derive(Clone, Copy, Message)]
#[rtype(result = "MarketStatus")]
pub struct Status;

impl Handler<Status> for MarketActor {
    type Result = MessageResult<Status>;

    fn handle(&mut self, _: Status, _: &mut Self::Context) -> Self::Result {
        let dropped = self.inbox.dropped.load(Ordering::Relaxed);
        MessageResult(self.inbox.market.lock().status(dropped))
    }
}
