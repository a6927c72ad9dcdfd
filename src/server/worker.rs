//! What one HTTP worker has on its own thread: its auction actor, its pool, its histograms.

use crate::auction::{AuctionActor, AuctionInput, Core};
use crate::clock::Mono;
use crate::latency::{Stage, StageRecorder};
use crate::notice::token::NonceSequence;
use crate::server::engine::Engine;
use crate::server::shows::Shows;
use actix::prelude::*;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// One worker's state; every field is touched by its own thread alone.
pub struct Worker {
    /// What all workers share.
    pub engine: Arc<Engine>,
    /// The worker's number, also its core in lease ids.
    pub number: u16,
    /// Nonces of this worker's tokens.
    pub nonces: RefCell<NonceSequence>,
    core: Rc<RefCell<Core>>,
    /// Stage histograms of this worker, shared with its core.
    pub recorder: Rc<RefCell<StageRecorder>>,
    /// Announcements of shows, shared with its core.
    pub shows: Rc<Shows>,
    auction: RefCell<Addr<AuctionActor>>,
    pool: RefCell<Vec<Box<AuctionInput>>>,
    in_flight: Rc<Cell<usize>>,
}

/// A place among the requests in flight; given back when dropped.
pub struct Place(Rc<Cell<usize>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Worker {
    /// Starts the worker's actors on the present thread.
    pub fn start(engine: Arc<Engine>, number: u16) -> Self {
        let recorder = Rc::new(RefCell::new(engine.board.recorder()));
        let shows = Shows::new(engine.clone(), number);
        let core = Rc::new(RefCell::new(engine.core(number, &shows, recorder.clone())));
        let auction = start_auction(&engine, &core);
        let shard = engine.start_shard(usize::from(number));
        engine.register(number, auction.clone(), shard);
        let nonces = RefCell::new(NonceSequence::new(engine.nonce_start, number));
        Self {
            engine,
            number,
            nonces,
            core,
            recorder,
            shows,
            auction: RefCell::new(auction),
            pool: RefCell::default(),
            in_flight: Rc::default(),
        }
    }

    /// A place for one more request, unless this worker has enough to do.
    pub fn admit(&self) -> Option<Place> {
        let taken = self.in_flight.get();
        if taken >= self.engine.config.server.in_flight_max {
            return None;
        }
        self.in_flight.set(taken + 1);
        Some(Place(self.in_flight.clone()))
    }

    /// The worker's auction actor, a successor over the same core if the last has died.
    pub fn auction(&self) -> Addr<AuctionActor> {
        let mut address = self.auction.borrow_mut();
        if !address.connected() {
            tracing::error!(worker = self.number, "auction actor died and was replaced");
            *address = start_auction(&self.engine, &self.core);
            self.engine.replace_auction(self.number, address.clone());
        }
        address.clone()
    }

    /// An empty input, from the pool where there is one.
    pub fn take_input(&self) -> Box<AuctionInput> {
        self.pool.borrow_mut().pop().unwrap_or_default()
    }

    /// Empties an input and keeps it for the next request. The pool never holds more than were in
    /// flight at once.
    pub fn keep_input(&self, mut input: Box<AuctionInput>) {
        input.clear();
        self.pool.borrow_mut().push(input);
    }

    /// Records how long a stage took, up to now.
    pub fn record(&self, stage: Stage, since: Mono) {
        self.recorder.borrow_mut().record(stage, Mono::now().nanos_since(since));
    }
}

fn start_auction(engine: &Engine, core: &Rc<RefCell<Core>>) -> Addr<AuctionActor> {
    AuctionActor::new(core.clone(), engine.config.server.in_flight_max).start()
}
