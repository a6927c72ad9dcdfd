//! Load on a bidder, from one thread that never sleeps.
//!
//! Open loop: request `n` is meant for `n / rate` seconds after the start, whatever happened to the
//! ones before; latency counts from that moment, so a server that stalls is charged for everything
//! that should have been sent meanwhile (no coordinated omission). How late the generator itself
//! was is reported beside it: latencies below that are not to be believed. Closed loop: each
//! connection sends its next request when the last one is answered; for throughput only.
//!
//! Sockets are polled in a loop and not waited for: a timer's granularity (1 ms) or a wake-up
//! (50 us) would be most of the latency measured. It therefore wants a core of its own.

use super::Error;
use super::answer::{Answer, Macros};
use super::connection::Connection;
use super::random::{Purpose, stream};
use super::traffic::Kind;
use super::world::World;
use crate::clock::Mono;
use crate::units::{Micros, Timestamp};
use bytes::Bytes;
use hdrhistogram::Histogram;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// Connections of one generator: what one loop can poll without being late itself.
const CONNECTIONS_MAX: usize = 1_024;
/// Busy connections looked at in one turn, so that sending is never far behind its time.
const POLLED_MAX: usize = 16;
/// Connections for notices: an exchange has some, and a bidder that answers them together, once they
/// are durable together, must not be kept to one at a time.
const NOTICE_CONNECTIONS: usize = 16;
/// Notices under way that are looked at in one turn; bid requests come first.
const NOTICES_POLLED: usize = 2;
/// Notices waiting for a connection; more means that the public listener cannot follow, and
/// they are dropped and counted.
const NOTICES_MAX: usize = 65_536;
/// Longest latency that is told apart: one minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// How long after the end late requests are still sent and answers awaited.
const DRAIN_NS_MAX: u64 = 2_000_000_000;

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// So many requests a second, evenly spaced.
    Open {
        /// Requests a second, above 0.
        rate: f64,
    },
    /// As fast as answers come.
    Closed,
}

/// What to send, where and how.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// The bidder.
    pub address: SocketAddr,
    /// Where it takes bid requests: `/openrtb2/NAME/bid`.
    pub path: String,
    /// More headers, such as an exchange's key.
    pub headers: Vec<(String, String)>,
    /// Request bodies, sent in turn.
    pub bodies: Vec<Bytes>,
    /// Keep-alive connections, 1 to 1,024.
    pub connections: usize,
    /// Open or closed loop.
    pub mode: Mode,
    /// Milliseconds at the start that are not counted.
    pub warmup_ms: u64,
    /// Milliseconds that are counted.
    pub duration_ms: u64,
    /// Where win and billing notices go, and the share of bids (0 to 1) that wins; `None` sends
    /// none.
    pub notices: Option<(SocketAddr, f64)>,
    /// Decides which bids win.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// Counted answers by status.
    pub by_status: BTreeMap<u16, u64>,
    /// Counted requests whose connection broke.
    pub errors: u64,
    /// Requests whose time came but which found no connection until the end (open loop). They are
    /// in `latency` with the time they had waited.
    pub unsent: u64,
    /// Requests without an answer at the end; in `latency` likewise.
    pub unanswered: u64,
    /// Nanoseconds from the intended moment to the whole answer.
    pub latency: Histogram<u64>,
    /// Nanoseconds from the actual sending to the whole answer.
    pub service: Histogram<u64>,
    /// Nanoseconds by which sending was late, the generator's own fault and that of full
    /// connections.
    pub lateness: Histogram<u64>,
    /// Seconds that were counted.
    pub seconds: f64,
    /// Notices answered with 2xx.
    pub notices: u64,
    /// Notices answered otherwise, broken, or dropped because too many were waiting.
    pub notices_failed: u64,
}

impl LoadReport {
    /// Answers a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.by_status.values().sum::<u64>() as f64 / self.seconds.max(1e-9)
    }
}

impl World {
    /// The first `count` bid requests of a day, as bodies for [`run_load`].
    #[must_use]
    pub fn request_bodies(&self, start: Timestamp, count: usize) -> Vec<Bytes> {
        let requests = self.day(start, count as u64 * 2).into_iter();
        let bodies = requests.filter_map(|step| match step.kind {
            Kind::Request(opportunity) => Some(self.render(&opportunity).body.into()),
            Kind::Events(_) => None,
        });
        bodies.take(count).collect()
    }
}

/// Runs the plan on this thread until it is over.
///
/// # Errors
/// `Error::Plan` for an impossible plan, `Error::Connection` when the bidder cannot be reached.
pub fn run_load(plan: &LoadPlan) -> Result<LoadReport, Error> {
    let rate_is_fine = match plan.mode {
        Mode::Open { rate } => rate > 0.0,
        Mode::Closed => true,
    };
    let is_possible = !plan.bodies.is_empty()
        && (1..=CONNECTIONS_MAX).contains(&plan.connections)
        && plan.duration_ms > 0
        && rate_is_fine;
    if !is_possible {
        let needs = format!(
            "load needs a body, 1 to {CONNECTIONS_MAX} connections, a duration, a positive rate"
        );
        return Err(Error::Plan(needs));
    }
    let mut generator = Generator::new(plan)?;
    while generator.turn()? {}
    Ok(generator.finish())
}

/// A connection with its request under way.
#[derive(Debug)]
struct Lane {
    connection: Connection,
    /// Which prepared request, how much of it was sent.
    body: usize,
    sent: usize,
    /// Nanoseconds since the start.
    intended: u64,
    started: u64,
}

struct Generator<'a> {
    plan: &'a LoadPlan,
    prepared: Vec<Vec<u8>>,
    lanes: Vec<Lane>,
    idle: Vec<usize>,
    /// Busy lanes; the front was looked at longest ago.
    busy: VecDeque<usize>,
    start: Mono,
    /// Requests given out so far.
    number: u64,
    end: u64,
    notices: Option<Notices>,
    report: LoadReport,
}

fn histogram() -> Result<Histogram<u64>, Error> {
    let created = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3);
    created.map_err(|error| Error::Plan(error.to_string()))
}

fn unreachable(address: SocketAddr) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::Connection { address, reason: error.to_string() }
}

impl<'a> Generator<'a> {
    fn new(plan: &'a LoadPlan) -> Result<Self, Error> {
        let open = |_| {
            let connection = Connection::open(plan.address).map_err(unreachable(plan.address))?;
            Ok(Lane { connection, body: 0, sent: 0, intended: 0, started: 0 })
        };
        let report = LoadReport {
            by_status: BTreeMap::new(),
            errors: 0,
            unsent: 0,
            unanswered: 0,
            latency: histogram()?,
            service: histogram()?,
            lateness: histogram()?,
            seconds: plan.duration_ms as f64 / 1e3,
            notices: 0,
            notices_failed: 0,
        };
        Ok(Self {
            plan,
            prepared: plan.bodies.iter().map(|body| prepare(plan, body)).collect(),
            lanes: (0..plan.connections).map(open).collect::<Result<_, Error>>()?,
            idle: (0..plan.connections).collect(),
            busy: VecDeque::with_capacity(plan.connections),
            notices: plan.notices.map(|to| Notices::new(to, plan.seed)).transpose()?,
            number: 0,
            end: (plan.warmup_ms + plan.duration_ms) * 1_000_000,
            start: Mono::now(),
            report,
        })
    }

    fn now(&self) -> u64 {
        Mono::now().nanos_since(self.start)
    }

    /// When request `number` is meant to leave; closed loop: at once.
    fn intended(&self, number: u64, now: u64) -> u64 {
        match self.plan.mode {
            Mode::Open { rate } => (number as f64 * 1e9 / rate) as u64,
            Mode::Closed => now,
        }
    }

    fn counts(&self, intended: u64) -> bool {
        intended >= self.plan.warmup_ms * 1_000_000
    }

    /// One turn: sends what is due, reads what has come. `false` when all is over.
    fn turn(&mut self) -> Result<bool, Error> {
        let now = self.now();
        let mut worked = false;
        while let Some(lane) = self.idle.last().copied() {
            let intended = self.intended(self.number, now);
            if intended > now || intended >= self.end {
                break;
            }
            self.idle.pop();
            self.begin(lane, intended)?;
            worked = true;
        }
        for _ in 0..self.busy.len().min(POLLED_MAX) {
            let Some(lane) = self.busy.pop_front() else {
                break;
            };
            if self.advance(lane)? {
                worked = true;
            } else {
                self.busy.push_back(lane);
            }
        }
        if let Some(notices) = &mut self.notices {
            worked |= notices.turn(&mut self.report)?;
        }
        if !worked {
            // Lets a server on the same core run; on a core of our own it returns at once.
            std::thread::yield_now();
        }
        let all_sent = self.intended(self.number, now) >= self.end;
        let nothing_open = self.busy.is_empty() && self.notices.as_ref().is_none_or(Notices::done);
        Ok(!(all_sent && nothing_open) && now < self.end + DRAIN_NS_MAX)
    }

    fn begin(&mut self, at: usize, intended: u64) -> Result<(), Error> {
        let body = (self.number % self.prepared.len() as u64) as usize;
        self.number += 1;
        let started = self.now();
        let lane = &mut self.lanes[at];
        lane.body = body;
        lane.intended = intended;
        lane.started = started;
        match lane.connection.send(&self.prepared[body], 0) {
            Ok(sent) => lane.sent = sent,
            Err(_) => return self.broken(at),
        }
        self.busy.push_back(at);
        if self.counts(intended) {
            self.report.lateness.saturating_record(started - intended);
        }
        Ok(())
    }

    /// Moves a busy lane on; answers whether its request is over.
    fn advance(&mut self, at: usize) -> Result<bool, Error> {
        let now = self.now();
        let counts = self.counts(self.lanes[at].intended);
        let lane = &mut self.lanes[at];
        let prepared = &self.prepared[lane.body];
        if lane.sent < prepared.len() {
            match lane.connection.send(prepared, lane.sent) {
                Ok(sent) => lane.sent = sent,
                Err(_) => return self.broken(at).map(|()| true),
            }
        }
        let received = match lane.connection.receive() {
            Ok(Some(received)) => received,
            Ok(None) => return Ok(false),
            Err(_) => return self.broken(at).map(|()| true),
        };
        if counts {
            self.report.latency.saturating_record(now - lane.intended);
            self.report.service.saturating_record(now.saturating_sub(lane.started));
            *self.report.by_status.entry(received.status).or_default() += 1;
        }
        if let (Some(notices), 200) = (&mut self.notices, received.status) {
            notices.enqueue(received.body, &mut self.report);
        }
        if received.closes {
            lane.connection =
                Connection::open(self.plan.address).map_err(unreachable(self.plan.address))?;
        }
        self.idle.push(at);
        Ok(true)
    }

    /// Counts a request whose connection broke and opens another.
    fn broken(&mut self, at: usize) -> Result<(), Error> {
        let address = self.plan.address;
        if self.counts(self.lanes[at].intended) {
            self.report.errors += 1;
        }
        self.lanes[at].connection = Connection::open(address).map_err(unreachable(address))?;
        self.idle.push(at);
        Ok(())
    }

    /// Counts what was still open, with the time that it had waited.
    fn finish(mut self) -> LoadReport {
        let now = self.now();
        while let Some(at) = self.busy.pop_front() {
            let intended = self.lanes[at].intended;
            if self.counts(intended) {
                self.report.unanswered += 1;
                self.report.latency.saturating_record(now - intended);
            }
        }
        loop {
            let intended = self.intended(self.number, now);
            if intended >= self.end.min(now) {
                break;
            }
            self.number += 1;
            if self.counts(intended) {
                self.report.unsent += 1;
                self.report.latency.saturating_record(now - intended);
            }
        }
        self.report
    }
}

fn prepare(plan: &LoadPlan, body: &[u8]) -> Vec<u8> {
    let mut head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        plan.path,
        plan.address,
        body.len()
    );
    for (name, value) in &plan.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Win and billing notices of a share of the bids, on connections of their own.
struct Notices {
    address: SocketAddr,
    share: f64,
    /// Connections without a notice under way.
    idle: Vec<Connection>,
    /// Those with one; the front was looked at longest ago.
    busy: VecDeque<NoticeLane>,
    waiting: VecDeque<Vec<u8>>,
    rng: ChaCha8Rng,
}

/// A connection with a notice under way, and how much of it was sent.
struct NoticeLane {
    connection: Connection,
    bytes: Vec<u8>,
    sent: usize,
}

impl Notices {
    fn new((address, share): (SocketAddr, f64), seed: u64) -> Result<Self, Error> {
        let open = |_| Connection::open(address).map_err(unreachable(address));
        let idle = (0..NOTICE_CONNECTIONS).map(open).collect::<Result<_, Error>>()?;
        let rng = stream(seed, Purpose::Outcome, 0);
        Ok(Self { address, share, idle, busy: VecDeque::new(), waiting: VecDeque::new(), rng })
    }

    fn done(&self) -> bool {
        self.waiting.is_empty() && self.busy.is_empty()
    }

    /// Draws winners among the bids of an answer; they pay their bid.
    fn enqueue(&mut self, body: &[u8], report: &mut LoadReport) {
        // One draw an answer, so that most answers are not even parsed.
        if self.rng.random::<f64>() >= self.share {
            return;
        }
        let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
            report.notices_failed += 1;
            return;
        };
        for bid in answer.seatbid.iter().flat_map(|seat| &seat.bid) {
            let price = Micros::from_cpm_f64(bid.price).unwrap_or(Micros::ZERO);
            let macros = Macros { auction: &answer.id, bid, price, loss: None, needed: None };
            for url in [&bid.nurl, &bid.burl].into_iter().flatten() {
                let path = macros.path(url).filter(|_| self.waiting.len() < NOTICES_MAX);
                match path {
                    Some(path) => {
                        let get = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
                        self.waiting.push_back(get.into_bytes());
                    }
                    None => report.notices_failed += 1,
                }
            }
        }
    }

    /// Begins the notices for which there are connections and looks at a few under way; answers
    /// whether anything happened.
    fn turn(&mut self, report: &mut LoadReport) -> Result<bool, Error> {
        let mut worked = false;
        while !self.waiting.is_empty()
            && let Some(connection) = self.idle.pop()
            && let Some(bytes) = self.waiting.pop_front()
        {
            self.busy.push_front(NoticeLane { connection, bytes, sent: 0 });
            worked = true;
        }
        for _ in 0..self.busy.len().min(NOTICES_POLLED) {
            let Some(mut lane) = self.busy.pop_front() else { break };
            let (status, closes) = match lane.advance() {
                Ok(None) => {
                    self.busy.push_back(lane);
                    continue;
                }
                Ok(Some(answer)) => answer,
                Err(_) => (0, true),
            };
            worked = true;
            if (200..300).contains(&status) {
                report.notices += 1;
            } else {
                report.notices_failed += 1;
            }
            if closes {
                lane.connection =
                    Connection::open(self.address).map_err(unreachable(self.address))?;
            }
            self.idle.push(lane.connection);
        }
        Ok(worked)
    }
}

impl NoticeLane {
    /// Sends on, or reads what has come: the status, and whether the server closes.
    fn advance(&mut self) -> std::io::Result<Option<(u16, bool)>> {
        if self.sent < self.bytes.len() {
            self.sent = self.connection.send(&self.bytes, self.sent)?;
            return Ok(None);
        }
        let received = self.connection.receive()?;
        Ok(received.map(|received| (received.status, received.closes)))
    }
}
