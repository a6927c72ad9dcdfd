//! What one HTTP worker has on its own thread: its auction actor, its pool, its histograms.

use crate::auction::{AuctionActor, AuctionInput, Core};
use crate::budget::Held;
use crate::clock::Mono;
use crate::exchange::compression::Codec;
use crate::latency::{Stage, StageRecorder};
use crate::notice::token::NonceSequence;
use crate::server::again::Again;
use crate::server::answer::Scratch;
use crate::server::engine::Engine;
use crate::server::shows::Shows;
use actix::prelude::*;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    /// Where its answers are written.
    pub scratch: RefCell<Scratch>,
    /// Where requests wait for their bodies.
    pub again: Rc<Again>,
    /// Reads and writes compressed bodies.
    pub codec: RefCell<Codec>,
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
        let auction = start_auction(&core);
        let shard = engine.start_shard(usize::from(number));
        let inbox = core.borrow().inbox();
        engine.register(number, inbox, auction.clone(), shard);
        let nonces = RefCell::new(NonceSequence::new(engine.nonce_start, number));
        Self {
            engine,
            number,
            nonces,
            scratch: RefCell::default(),
            again: Again::start(),
            codec: RefCell::default(),
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

    /// Has its core decide on `input`, by a call: a message to the actor, on the same thread, and its
    /// answer would cost a tenth of a request. `false` where the auction panicked; what it held is free
    /// again when its time is over.
    #[must_use]
    pub fn decide(&self, input: &mut AuctionInput) -> bool {
        self.revive();
        let is_done = unless_panicked(&self.core, |core| core.run(input));
        if !is_done {
            tracing::error!(worker = self.number, "an auction panicked, its request gets no bid");
        }
        is_done
    }

    /// Gives back the money of a bid whose answer is not sent.
    pub fn release(&self, bid: &Held) {
        unless_panicked(&self.core, |core| core.release(bid));
    }

    /// Starts a successor over the same core if the actor has died.
    fn revive(&self) {
        let mut address = self.auction.borrow_mut();
        if !address.connected() {
            tracing::error!(worker = self.number, "auction actor died and was replaced");
            *address = start_auction(&self.core);
            let inbox = self.core.borrow().inbox();
            self.engine.replace_auction(self.number, inbox, address.clone());
        }
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

fn start_auction(core: &Rc<RefCell<Core>>) -> Addr<AuctionActor> {
    AuctionActor::new(core.clone()).start()
}

/// Works on `state`. Whether that was done to its end: a panic is the loss of who asked for it alone.
fn unless_panicked<T>(state: &RefCell<T>, work: impl FnOnce(&mut T)) -> bool {
    catch_unwind(AssertUnwindSafe(|| work(&mut state.borrow_mut()))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auction::Status;
    use crate::budget::{AccountLine, Level, Quiesce, ReadStatement};
    use crate::catalog::{CatalogKeeper, generated};
    use crate::config::Config;
    use crate::server::{Keys, Options, Parts, Running, start};
    use crate::strategy::Strategies;
    use crate::units::Nanos;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::path::{Path, PathBuf};

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Die;

    impl Handler<Die> for AuctionActor {
        type Result = ();
        fn handle(&mut self, _: Die, _: &mut Self::Context) {
            panic!("on purpose");
        }
    }

    /// A request's head; the connection ends with it where `is_last`.
    fn head(line: &str, length: usize, is_last: bool) -> String {
        let connection = if is_last { "close" } else { "keep-alive" };
        let headers = format!("host: x\r\nconnection: {connection}\r\ncontent-length: {length}");
        format!("{line} HTTP/1.1\r\n{headers}\r\n\r\n")
    }

    const BID: &str = "POST /openrtb2/demo/bid";

    /// What is answered to pieces that are sent one after the other, to the connection's end.
    fn answers(address: SocketAddr, pieces: &[String]) -> String {
        let mut stream = TcpStream::connect(address).expect("a connection");
        let patience = Some(std::time::Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("a limit");
        for (number, piece) in pieces.iter().enumerate() {
            if number > 0 {
                // So that they come apart, as a rule: together they must be answered alike.
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            stream.write_all(piece.as_bytes()).expect("sent");
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn is_bid(address: SocketAddr, body: &str) -> bool {
        let request = format!("{}{body}", head(BID, body.len(), true));
        answers(address, &[request]).starts_with("HTTP/1.1 200")
    }

    /// The statuses of all answers.
    fn statuses(answers: &str) -> Vec<&str> {
        answers.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect()
    }

    #[test]
    fn a_path_hears_the_same_however_it_is_spelled() {
        let running = serve(|_| {}, None);
        let address = running.addresses().exchange;
        for (line, status) in [
            (BID, "400"),
            ("POST /openrtb2/d%65mo/bid", "400"),
            ("POST /openrtb2/demo/bid?x=1", "400"),
            ("PUT /openrtb2/demo/bid", "405"),
            ("POST /openrtb2/other/bid", "404"),
            ("POST /openrtb2/demo/bid/", "404"),
        ] {
            let answer = answers(address, &[format!("{}{{", head(line, 1, true))]);
            assert_eq!(statuses(&answer), [status], "{line}: {answer}");
        }
        let body = std::fs::read_to_string(fixtures().join("request.json")).expect("a request");
        let body = body.replace("\"tmax\": 150", "\"tmax\": 5000");
        let patience = Mono::now().plus_millis(20_000);
        for line in [BID, "POST /openrtb2/d%65mo/bid"] {
            let request = format!("{}{body}", head(line, body.len(), true));
            // Money is there some time after the start.
            while statuses(&answers(address, std::slice::from_ref(&request))) != ["200"] {
                assert!(Mono::now() < patience, "no bid: {line}");
            }
        }
    }

    #[test]
    fn bodies_are_waited_for_wherever_they_come_and_not_for_ever() {
        let running = serve(|config| config.server.body_deadline_ms = 300, None);
        let address = running.addresses().exchange;
        let (first, last) = (head(BID, 2, false), head(BID, 2, true));
        for (pieces, expected) in [
            (vec![format!("{last}{{]")], vec!["400"]),
            (vec![format!("{last}{{"), "]".to_owned()], vec!["400"]),
            (vec![last.clone(), "{".to_owned(), "]".to_owned()], vec!["400"]),
            (vec![format!("{first}{{]{last}{{]")], vec!["400", "400"]),
            (vec![format!("{first}{{]{last}{{"), "]".to_owned()], vec!["400", "400"]),
            (vec![format!("{first}{{]{last}"), "{]".to_owned()], vec!["400", "400"]),
            (vec![format!("{last}{{")], vec!["408"]),
            // Behind another request, where nothing else would look at it again.
            (vec![format!("{first}{{]{last}")], vec!["400", "408"]),
            (vec![format!("{first}{{]{last}{{")], vec!["400", "408"]),
        ] {
            let answer = answers(address, &pieces);
            assert_eq!(statuses(&answer), expected, "{pieces:?}: {answer}");
        }
    }

    /// Sends to an actor of the server's from outside of its system.
    fn ask<A, M>(address: &Addr<A>, message: M) -> bool
    where
        A: Actor<Context = Context<A>> + Handler<M>,
        M: Message<Result = ()> + Send + 'static,
    {
        System::new().block_on(address.send(message)).is_ok()
    }

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
    }

    /// A real server on free ports, with one worker.
    fn serve(change: impl FnOnce(&mut Config), parts: Option<Parts>) -> Running {
        let mut config = Config::load(&fixtures().join("outbid.toml")).expect("a configuration");
        let server = &mut config.server;
        for listen in
            [&mut server.exchange_listen, &mut server.public_listen, &mut server.admin_listen]
        {
            *listen = SocketAddr::from(([127, 0, 0, 1], 0));
        }
        server.workers = 1;
        change(&mut config);
        let (keys, _) = Keys::ephemeral().expect("keys");
        let options = Options { keys: Some(keys), parts, ..Options::default() };
        start(config, options).expect("the server starts")
    }

    #[test]
    fn a_panic_is_told_and_leaves_the_state_to_others() {
        let state = RefCell::new(1);
        assert!(unless_panicked(&state, |state| *state = 2));
        assert!(!unless_panicked(&state, |state| panic!("on purpose, at {state}")));
        assert!(unless_panicked(&state, |state| *state += 1));
        assert_eq!(state.into_inner(), 3);
    }

    #[test]
    fn grants_for_all_campaigns_at_once_are_all_taken() {
        const CAMPAIGNS: usize = 700;
        let strategies = Path::new(env!("CARGO_MANIFEST_DIR")).join("strategies");
        let strategies = Arc::new(Strategies::load(&strategies).expect("strategies"));
        let keeper = CatalogKeeper::of(generated(CAMPAIGNS, 1, 0.1), strategies.known());
        let parts = Parts { keeper: Arc::new(keeper), strategies, log: None };
        let running = serve(|_| {}, Some(parts));
        let worker = running.engine().worker(0).expect("it has started");
        let budget = running.engine().budget.address();
        let patience = Mono::now().plus_millis(20_000);
        let leased = System::new().block_on(async {
            loop {
                let core = worker.auction.send(Status).await.expect("alive");
                let ledger = budget.send(ReadStatement(None)).await.expect("alive");
                let is_campaign = |one: &&AccountLine| one.level == Level::Campaign;
                let campaigns = ledger.accounts.iter().filter(is_campaign);
                let is_leased = |one: &AccountLine| one.money.leased > Nanos::ZERO;
                let known = campaigns.clone().count();
                if known == CAMPAIGNS
                    && campaigns.clone().all(|one| is_leased(one) == one.is_active)
                    && core.leases.open_steps == 0
                {
                    let leased: Nanos = campaigns.map(|one| one.money.leased).sum();
                    break (leased, core.leases.at_hand);
                }
                assert!(Mono::now() < patience, "{known} campaigns, {core:?}");
                std::thread::yield_now();
            }
        });
        assert_eq!(leased.0, leased.1, "what the ledger granted is at hand");
    }

    #[test]
    fn a_core_whose_actor_died_with_its_grants_on_the_way_bids_again() {
        // The first grants are under way for so long.
        let running = serve(|config| config.budget.log_delay_ms = 500, None);
        let engine = running.engine();
        let worker = engine.worker(0).expect("it has started");
        assert!(!ask(&worker.auction, Die), "it dies");
        while worker.auction.connected() {
            std::thread::yield_now();
        }
        // The grants find nobody.
        assert!(ask(&engine.budget.address(), Quiesce));
        let body = std::fs::read_to_string(fixtures().join("request.json")).expect("a request");
        let body = body.replace("\"tmax\": 150", "\"tmax\": 5000");
        let patience = Mono::now().plus_millis(20_000);
        while !is_bid(running.addresses().exchange, &body) {
            assert!(Mono::now() < patience, "the core never bids again");
            std::thread::yield_now();
        }
    }
}
