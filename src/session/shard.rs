//! The actor of one shard: a mailbox before [`ShardState`], which lives outside of it.

use super::alias::{Ids, Join};
use super::announced::Batch;
use super::behaviour::Event;
use super::hand_over::Relay;
use super::state::{ShardState, ShardStatus};
use crate::clock::Civil;
use crate::latency::TickTimes;
use crate::relevance::Visit;
use crate::units::Timestamp;
use actix::{Actor, Context, Handler, Message, MessageResult};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// Messages that may wait: batches, each of a millisecond of one sender. A sender that finds it full
/// (`try_send`) counts what it drops, or waits (events, notices).
pub const SHARD_MAILBOX_MAX: usize = 4_096;

/// Behaviour events, in batches: 100 ns each instead of 320. The answer is how many were known already.
#[derive(Debug, Message)]
#[rtype(result = "u64")]
pub struct ApplyEvents(pub Box<Vec<Event>>);

/// Time has passed. The answer comes when what expired is gone, as far as one tick goes.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Tick {
    /// The present.
    pub now: Timestamp,
}

/// Asks for a [`ShardStatus`].
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "ShardStatus")]
pub struct Status;

/// Changes to shows, in this order: a message that crosses threads costs more than what it does.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ChangeShows(pub Batch);

/// Somebody says that ids are one user: look-ups agree when it was handled, what their sessions hold
/// follows.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct JoinIds(pub SmallVec<[Join; 1]>);

const _: () = assert!(size_of::<JoinIds>() <= 128);

/// Users of this shard are to be forgotten. Answers how many sessions that were.
#[derive(Clone, Debug, Message)]
#[rtype(result = "usize")]
pub struct ForgetUsers(pub Ids);

const _: () = assert!(size_of::<ForgetUsers>() <= 128);

/// Tells a thread that everything before it was handled, for which it lets the sender go.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Reached(pub Sender<()>);

/// What another shard has for this one.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Carry(pub Relay);

const _: () = assert!(size_of::<Carry>() <= 128);
const _: () = assert!(size_of::<ApplyEvents>() <= 128);
const _: () = assert!(size_of::<ChangeShows>() <= 128);
const _: () = assert!(size_of::<Tick>() <= 128);

/// The door to a shard for other threads. It holds nothing itself: after a panic, start another
/// over the same state.
pub struct SessionShard {
    // Uncontended (12 ns): only this actor, its successor, and the core beside it on the same
    // thread take it, the sole writers of its partitions. No await is held across it.
    state: Arc<Mutex<ShardState>>,
    clock: Civil,
    tell_visits: Option<TellVisits>,
    send_relays: Option<SendRelays>,
    times: TickTimes,
}

/// Hands on what others may learn from. It must return at once, and count what it drops.
pub type TellVisits = Box<dyn Fn(Vec<Visit>)>;

/// Hands relays on to the shards with these numbers, in order. It must return at once.
pub type SendRelays = Box<dyn Fn(Vec<(usize, Relay)>)>;

impl SessionShard {
    /// An actor over `state`.
    #[must_use]
    pub fn new(state: Arc<Mutex<ShardState>>, clock: Civil) -> Self {
        let times = TickTimes::default();
        Self { state, clock, tell_visits: None, send_relays: None, times }
    }

    /// The same, telling of visits too.
    #[must_use]
    pub fn telling(self, tell_visits: TellVisits) -> Self {
        Self { tell_visits: Some(tell_visits), ..self }
    }

    /// The same, beside other shards.
    #[must_use]
    pub fn relaying(self, send_relays: SendRelays) -> Self {
        Self { send_relays: Some(send_relays), ..self }
    }

    /// The same, telling how long its ticks take.
    #[must_use]
    pub fn timed(self, times: TickTimes) -> Self {
        Self { times, ..self }
    }

    /// Lets `act` change the state, and sends on what it has for others.
    fn change<R>(&self, act: impl FnOnce(&mut ShardState, Timestamp) -> R) -> R {
        let mut state = self.state.lock();
        let result = act(&mut state, self.clock.now());
        let relays = state.take_relays();
        drop(state);
        if let Some(send) = self.send_relays.as_ref().filter(|_| !relays.is_empty()) {
            send(relays);
        }
        result
    }

    fn tell(&self, visits: Vec<Visit>) {
        if let Some(tell) = self.tell_visits.as_ref().filter(|_| !visits.is_empty()) {
            tell(visits);
        }
    }
}

impl Actor for SessionShard {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(SHARD_MAILBOX_MAX);
    }
}

impl Handler<ApplyEvents> for SessionShard {
    type Result = MessageResult<ApplyEvents>;
    fn handle(&mut self, ApplyEvents(events): ApplyEvents, _: &mut Self::Context) -> Self::Result {
        let (visits, known) = self.change(|state, now| state.apply_events(&events, now));
        self.tell(visits);
        MessageResult(known)
    }
}

impl Handler<ChangeShows> for SessionShard {
    type Result = ();
    fn handle(&mut self, ChangeShows(changes): ChangeShows, _: &mut Self::Context) {
        self.change(|state, now| changes.iter().for_each(|change| state.change(change, now)));
    }
}

impl Handler<JoinIds> for SessionShard {
    type Result = ();
    fn handle(&mut self, JoinIds(joins): JoinIds, _: &mut Self::Context) {
        self.change(|state, now| joins.iter().for_each(|join| state.join(join, now)));
    }
}

impl Handler<Carry> for SessionShard {
    type Result = ();
    fn handle(&mut self, Carry(relay): Carry, _: &mut Self::Context) {
        let visit = self.change(|state, now| state.receive(relay, now));
        self.tell(Vec::from_iter(visit));
    }
}

impl Handler<ForgetUsers> for SessionShard {
    type Result = usize;
    fn handle(&mut self, ForgetUsers(users): ForgetUsers, _: &mut Self::Context) -> usize {
        self.change(|state, _| state.forget(&users))
    }
}

impl Handler<Reached> for SessionShard {
    type Result = ();
    fn handle(&mut self, Reached(sender): Reached, _: &mut Self::Context) {
        drop(sender);
    }
}

impl Handler<Tick> for SessionShard {
    type Result = ();
    fn handle(&mut self, Tick { now }: Tick, _: &mut Self::Context) {
        self.times.begin().piece(|| self.state.lock().tick(now));
    }
}

impl Handler<Status> for SessionShard {
    type Result = MessageResult<Status>;
    fn handle(&mut self, _: Status, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state.lock().status())
    }
}
