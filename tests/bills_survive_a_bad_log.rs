//! Promise: a bill is acknowledged when it is durable and not before. What the ledger's log refuses, or
//! where the work breaks off, is to be sent again and is then charged once; what the ledger does not
//! confirm in time is charged all the same, as its log says.

mod common;

use bytes::Bytes;
use common::{Bid, Campaign, Http, Site, account, counter, path_of, request, until};
use outbid::budget::Command;
use outbid::clock::Civil;
use outbid::server::{self, Keys, Options, Parts, Running};
use outbid::store::{
    AppendError, Batch, Done, Health, LogStatus, MemoryLog, OrderedLog, Position, Tail, Trimmed,
};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const WORKS: u8 = 0;
/// Bills are refused for good, as by a log that is shut.
const REFUSES: u8 = 1;
/// The log breaks under a bill.
const BREAKS: u8 = 2;
/// There is no room, and the log says so.
const FULL: u8 = 3;

/// A log in memory that does to bills what it is told, and feeds its reader while it may.
struct BadLog {
    inner: MemoryLog,
    fault: AtomicU8,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    is_shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn shut(&self, is_shut: bool) {
        *self.is_shut.lock() = is_shut;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut is_shut = self.is_shut.lock();
        self.opened.wait_while(&mut is_shut, |is_shut| *is_shut);
    }
}

impl OrderedLog for BadLog {
    fn append(&self, idem: u128, body: Bytes, done: Done) {
        let is_bill = matches!(Command::decode(&body), Ok(Command::Settle { .. }));
        match self.fault.load(Ordering::SeqCst) {
            REFUSES if is_bill => done(Err(AppendError::Closed)),
            FULL => done(Err(AppendError::Refused)),
            BREAKS if is_bill => panic!("the log breaks, as this test wants it"),
            _ => self.inner.append(idem, body, done),
        }
    }

    fn tail(&self, from: Position) -> Result<Tail, Trimmed> {
        let mut tail = self.inner.tail(from)?;
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<Batch>();
        let gate = self.gate.clone();
        std::thread::spawn(move || {
            while let Some(batch) = tail.blocking_recv() {
                gate.pass();
                if sender.send(batch).is_err() {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    fn head(&self) -> Position {
        self.inner.head()
    }

    fn trim(&self, upto: Position) {
        self.inner.trim(upto);
    }

    fn status(&self) -> LogStatus {
        let is_full = self.fault.load(Ordering::SeqCst) == FULL;
        let health = if is_full { Health::Full } else { Health::Good };
        LogStatus { health, ..LogStatus::default() }
    }
}

struct Bidder {
    exchange: Http,
    public: Http,
    admin: Http,
    log: Arc<BadLog>,
    bids: u32,
    _running: Running,
    _site: Site,
}

impl Bidder {
    fn start() -> Self {
        let site = Site::new(&[Campaign::default()], "", "");
        let config = site.config();
        let (keys, fresh) = Keys::ephemeral().expect("keys");
        let log = Arc::new(BadLog {
            inner: MemoryLog::open(Civil::machine()).expect("a thread"),
            fault: AtomicU8::new(WORKS),
            gate: Arc::default(),
        });
        let parts = Parts { log: Some(log.clone()), ..Parts::load(&config).expect("parts") };
        let options = Options { simulation: None, keys: Some(keys), parts: Some(parts) };
        let running = server::start(config, options).expect("the server starts");
        let at = running.addresses();
        Self {
            exchange: Http::new(at.exchange, None),
            public: Http::new(at.public, None),
            admin: Http::new(at.admin, Some(&fresh.admin)),
            log,
            bids: 0,
            _running: running,
            _site: site,
        }
    }

    fn bid(&mut self) -> Bid {
        until("a bid", || {
            self.bids += 1;
            let asked = request(&format!("r-{}", self.bids), "reader").to_string();
            let reply = self.exchange.post("/openrtb2/x/bid", asked.as_bytes());
            (reply.status == 200).then(|| Bid::of(&reply.json()))
        })
    }

    fn bill(&mut self, bid: &Bid) -> u16 {
        self.public.get(path_of(&bid.billed_at("1"))).status
    }

    fn counted(&mut self, outcome: &str) -> u64 {
        let name = format!("outbid_notices_total{{kind=\"billing\",outcome=\"{outcome}\"}}");
        counter(&self.admin.get("/metrics").text(), &name)
    }

    /// Waits until a bill has this outcome: it is counted after its answer.
    fn await_count(&mut self, outcome: &str, count: u64) {
        until(outcome, || (self.counted(outcome) == count).then_some(()));
        let lines = self.admin.get("/api/v1/events?kind=billing&limit=1").text();
        assert!(lines.contains(&format!("\"{outcome}\"")), "{lines}");
    }

    fn billed(&mut self) -> i128 {
        account(&self.admin.get("/api/v1/report").json(), 0, "billed")
    }
}

/// Each fault once over one engine: what went wrong before must not hinder what comes after.
#[test]
fn a_bill_is_durable_before_it_is_acknowledged_and_charged_once() {
    let mut bidder = Bidder::start();
    let mut charged = 0;
    for (fault, status, outcome, count) in [
        (REFUSES, 503, "not_durable", 1),
        (BREAKS, 500, "failed", 1),
        (FULL, 503, "not_durable", 2),
    ] {
        let bid = bidder.bid();
        bidder.log.fault.store(fault, Ordering::SeqCst);
        assert_eq!(bidder.bill(&bid), status, "{outcome}");
        bidder.await_count(outcome, count);
        let ready = bidder.admin.get("/readyz");
        if fault == FULL {
            assert_eq!((ready.status, ready.text().contains("no room")), (503, true));
        }
        let state = "outbid_log_health{log=\"ledger\",state=\"full\"}";
        let metrics = bidder.admin.get("/metrics").text();
        assert_eq!(counter(&metrics, state), u64::from(fault == FULL));
        bidder.log.fault.store(WORKS, Ordering::SeqCst);
        assert_eq!(bidder.billed(), charged, "{outcome}: nothing is charged");
        assert_eq!(bidder.bill(&bid), 200, "{outcome}: sent again");
        charged += 1_000_000;
        bidder.await_count("charged", u64::try_from(charged).unwrap_or(0) / 1_000_000);
        assert_eq!(bidder.billed(), charged, "{outcome}");
    }

    let bid = bidder.bid();
    bidder.log.gate.shut(true);
    assert_eq!(bidder.bill(&bid), 200, "it is durable");
    bidder.await_count("unconfirmed", 1);
    assert_eq!(bidder.billed(), charged, "the ledger has not come to it");
    bidder.log.gate.shut(false);
    charged += 1_000_000;
    until("the ledger comes to it", || (bidder.billed() == charged).then_some(()));
    // The first copy that comes after is told what became of it.
    for (outcome, count) in [("charged", 4), ("duplicate", 1)] {
        assert_eq!(bidder.bill(&bid), 200);
        bidder.await_count(outcome, count);
        assert_eq!(bidder.billed(), charged, "once");
    }
}
