//! An exchange that trusts nobody. It asks for bids on several connections, decides alone who has
//! won and what is due, writes that into its own ledger, and tells the bidder by notices that are
//! late, doubled, out of order, and sent again until they are acknowledged. The bidder is another
//! process, which may die at any moment.

use crate::common::{Http, path_of, with_price};
use parking_lot::{Condvar, Mutex};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How the exchange behaves.
#[derive(Clone, Copy)]
pub struct Plan {
    /// A campaign listens in each of these.
    pub countries: &'static [&'static str],
    pub connections: u64,
    /// Requests a second, over all connections.
    pub rate: u64,
    /// Notices on their way at once.
    pub notices: u64,
    /// Milliseconds that a notice waits at most before it is sent for the first time.
    pub delay_ms: u64,
    /// Within which the exchange bills; a hold of which nothing was said is free afterwards.
    pub window: Duration,
    /// Of a hundred bids that did not win so many are told.
    pub told_percent: u64,
    pub seed: u64,
}

/// Of a hundred bids so many win.
const WON_PERCENT: u64 = 40;
/// Copies of a notice: one in so many has a second, one in so many fifty at once.
const DOUBLED_IN: u64 = 10;
const FIFTYFOLD_IN: u64 = 400;
/// Pause before a notice that was not acknowledged is sent again, in milliseconds.
const AGAIN_MS: u64 = 60;

/// What is due for an auction that was won.
#[derive(Clone, Debug)]
pub struct Sale {
    pub campaign: String,
    /// One impression at a CPM of so many micros.
    pub nanos: i128,
    pub is_acknowledged: bool,
}

/// A bid that may hold money.
struct Open {
    campaign: String,
    nanos: i128,
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Win,
    Billing,
    Loss,
}

struct Notice {
    due: Instant,
    auction: u64,
    kind: Kind,
    url: String,
}

impl PartialEq for Notice {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Notice {}

impl PartialOrd for Notice {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Notice {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

#[derive(Default)]
struct Books {
    sales: HashMap<u64, Sale>,
    open: HashMap<u64, Open>,
    /// All bids, as they came.
    made: VecDeque<(Instant, String, i128)>,
    queue: BinaryHeap<Reverse<Notice>>,
    /// Notices that are being sent.
    sending: u64,
    /// What a bidder must never answer.
    faults: Vec<String>,
}

/// What the exchange has seen so far.
#[derive(Default)]
pub struct Counts {
    pub requests: AtomicU64,
    pub bids: AtomicU64,
    pub no_bids: AtomicU64,
    /// Requests and notices that nobody answered.
    pub unanswered_requests: AtomicU64,
    pub unanswered_bills: AtomicU64,
    /// Notices that were to be sent again: 503, or 500.
    pub put_off: AtomicU64,
    pub acknowledged: AtomicU64,
    /// Bills sent and not answered yet.
    pub bills_in_flight: AtomicU64,
}

struct Shared {
    plan: Plan,
    exchange: SocketAddr,
    public: SocketAddr,
    books: Mutex<Books>,
    changed: Condvar,
    counts: Counts,
    auctions: AtomicU64,
    has_stopped_asking: AtomicBool,
    is_closed: AtomicBool,
}

/// The running exchange; its threads end with it.
pub struct Exchange {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// The exchange at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub open_holds: usize,
    pub unacknowledged: usize,
    pub bills_in_flight: u64,
}

impl Exchange {
    /// Opens with a bidder at these addresses.
    pub fn open(plan: Plan, exchange: SocketAddr, public: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            plan,
            exchange,
            public,
            books: Mutex::default(),
            changed: Condvar::new(),
            counts: Counts::default(),
            auctions: AtomicU64::new(0),
            has_stopped_asking: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for number in 0..plan.connections {
            let shared = shared.clone();
            threads.push(std::thread::spawn(move || shared.ask(number)));
        }
        for number in 0..plan.notices {
            let shared = shared.clone();
            threads.push(std::thread::spawn(move || shared.tell(number)));
        }
        Self { shared, threads }
    }

    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    pub fn standing(&self) -> Standing {
        let books = self.shared.books.lock();
        let unacknowledged = books.sales.values().filter(|sale| !sale.is_acknowledged).count();
        let bills_in_flight = self.shared.counts.bills_in_flight.load(Ordering::SeqCst);
        Standing { open_holds: books.open.len(), unacknowledged, bills_in_flight }
    }

    /// By campaign: what is due, and the part of it that was acknowledged.
    pub fn due(&self) -> BTreeMap<String, (i128, i128)> {
        let mut due = BTreeMap::<String, (i128, i128)>::new();
        for sale in self.shared.books.lock().sales.values() {
            let sums = due.entry(sale.campaign.clone()).or_default();
            sums.0 += sale.nanos;
            sums.1 += if sale.is_acknowledged { sale.nanos } else { 0 };
        }
        due
    }

    /// By campaign: what bids made after `since` hold at most, as far as the bidder was told.
    pub fn held(&self, since: Instant) -> BTreeMap<String, i128> {
        let mut held = BTreeMap::<String, i128>::new();
        let mut books = self.shared.books.lock();
        // Windows end in steps of ten seconds.
        let kept = self.shared.plan.window + Duration::from_secs(11);
        books.open.retain(|_, open| open.since.elapsed() < kept);
        for open in books.open.values().filter(|open| open.since >= since) {
            *held.entry(open.campaign.clone()).or_default() += open.nanos;
        }
        held
    }

    /// By campaign: what the bids of the last `span` held.
    pub fn made(&self, span: Duration) -> BTreeMap<String, i128> {
        let mut made = BTreeMap::<String, i128>::new();
        let mut books = self.shared.books.lock();
        books.made.retain(|(at, ..)| at.elapsed() < span);
        for (_, campaign, nanos) in &books.made {
            *made.entry(campaign.clone()).or_default() += nanos;
        }
        made
    }

    /// Sales, an auction each, as an exchange's invoice has them.
    pub fn sales(&self) -> BTreeMap<u64, Sale> {
        self.shared.books.lock().sales.iter().map(|(id, sale)| (*id, sale.clone())).collect()
    }

    /// No more requests; what was decided is still told.
    pub fn stop_asking(&self) {
        self.shared.has_stopped_asking.store(true, Ordering::SeqCst);
    }

    /// Whether every notice was acknowledged and none waits.
    pub fn is_settled(&self) -> bool {
        let books = self.shared.books.lock();
        books.queue.is_empty() && books.sending == 0
    }

    /// Answers that no bidder may give.
    pub fn faults(&self) -> Vec<String> {
        self.shared.books.lock().faults.clone()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.shared.has_stopped_asking.store(true, Ordering::SeqCst);
        self.shared.is_closed.store(true, Ordering::SeqCst);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic in there has said what it had to say.
            let _ = thread.join();
        }
    }
}

/// The text between two others.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let from = text.find(start)? + start.len();
    let upto = text[from..].find(end)?;
    Some(&text[from..from + upto])
}

impl Shared {
    /// One connection: a request, its answer, the decision, at an even pace.
    fn ask(&self, number: u64) {
        let mut random = ChaCha8Rng::seed_from_u64(self.plan.seed ^ number);
        let mut client = Http::new(self.exchange, None);
        let pause = Duration::from_micros(1_000_000 * self.plan.connections / self.plan.rate);
        let mut next = Instant::now();
        while !self.has_stopped_asking.load(Ordering::SeqCst) {
            let now = Instant::now();
            if next > now {
                std::thread::sleep(next - now);
            }
            // What was not asked in time is not asked at once later.
            next = (next + pause).max(now - 20 * pause);
            let auction = self.auctions.fetch_add(1, Ordering::SeqCst);
            let country = self.plan.countries
                [random.random_range(0..self.plan.countries.len() as u64) as usize];
            let body = super::request(&format!("a-{auction}"), country);
            match client.try_call("POST", "/openrtb2/x/bid", &[], body.as_bytes()) {
                Ok(reply) if reply.status == 200 => {
                    self.counts.bids.fetch_add(1, Ordering::SeqCst);
                    self.decide(auction, &reply.text(), &mut random);
                }
                Ok(reply) if reply.status == 204 => {
                    self.counts.no_bids.fetch_add(1, Ordering::SeqCst);
                }
                Ok(reply) => self.fault(format!("a request: {} {}", reply.status, reply.text())),
                Err(_) => {
                    self.counts.unanswered_requests.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            self.counts.requests.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn fault(&self, what: String) {
        let mut books = self.books.lock();
        if books.faults.len() < 20 {
            books.faults.push(what);
        }
    }

    /// What becomes of a bid, and who hears of it when.
    fn decide(&self, auction: u64, answer: &str, random: &mut ChaCha8Rng) {
        let field = |name: &str| {
            let found = between(answer, &format!("\"{name}\":\""), "\"");
            found.unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned()
        };
        let price = between(answer, "\"price\":", ",").and_then(|text| text.parse::<f64>().ok());
        let micros = (price.expect("a price") * 1e6).round() as u64;
        let campaign = field("cid");
        let now = Instant::now();
        let mut books = self.books.lock();
        let open = Open { campaign: campaign.clone(), nanos: i128::from(micros), since: now };
        books.open.insert(auction, open);
        books.made.push_back((now, campaign.clone(), i128::from(micros)));
        let mut say = |kind, url: String, random: &mut ChaCha8Rng| {
            let copies = match random.random_range(0..FIFTYFOLD_IN) {
                0 => 50,
                one if one < FIFTYFOLD_IN / DOUBLED_IN => 2,
                _ => 1,
            };
            // Fifty copies come at once, two of them whenever they like.
            let delay = random.random_range(0..self.plan.delay_ms);
            for copy in 0..copies {
                let apart = if copies == 2 { copy * random.random_range(0..300) } else { 0 };
                let due = now + Duration::from_millis(delay + apart);
                books.queue.push(Reverse(Notice { due, auction, kind, url: url.clone() }));
            }
        };
        if random.random_range(0..100) < WON_PERCENT {
            let paid = random.random_range(10_000.min(micros)..=micros);
            let price = format!("{}.{:06}", paid / 1_000_000, paid % 1_000_000);
            say(Kind::Win, field("nurl").replace("${AUCTION_PRICE}", &price), random);
            say(Kind::Billing, with_price(&field("burl"), &price), random);
            let sale = Sale { campaign, nanos: i128::from(paid), is_acknowledged: false };
            books.sales.insert(auction, sale);
        } else if random.random_range(0..100) < self.plan.told_percent {
            say(Kind::Loss, field("lurl").replace("${AUCTION_LOSS}", "102"), random);
        }
        drop(books);
        self.changed.notify_one();
    }

    /// One connection for notices.
    fn tell(&self, number: u64) {
        let mut random = ChaCha8Rng::seed_from_u64(self.plan.seed ^ (number << 32));
        let mut client = Http::new(self.public, None);
        while let Some(notice) = self.next_notice() {
            let is_bill = notice.kind == Kind::Billing;
            if is_bill {
                self.counts.bills_in_flight.fetch_add(1, Ordering::SeqCst);
            }
            let answer = client.try_call("GET", path_of(&notice.url), &[], b"");
            if is_bill {
                self.counts.bills_in_flight.fetch_sub(1, Ordering::SeqCst);
                let lost = u64::from(answer.is_err());
                self.counts.unanswered_bills.fetch_add(lost, Ordering::SeqCst);
            }
            let mut books = self.books.lock();
            books.sending -= 1;
            match answer.map(|reply| (reply.status, reply.text())) {
                Ok((200, _)) => self.acknowledged(&mut books, &notice),
                answer @ (Ok((500 | 503, _)) | Err(_)) => {
                    self.counts.put_off.fetch_add(u64::from(answer.is_ok()), Ordering::SeqCst);
                    let pause = random.random_range(AGAIN_MS / 2..AGAIN_MS);
                    let due = Instant::now() + Duration::from_millis(pause);
                    books.queue.push(Reverse(Notice { due, ..notice }));
                }
                Ok((status, text)) => {
                    drop(books);
                    self.fault(format!("a notice: {status} {text}"));
                }
            }
        }
    }

    fn next_notice(&self) -> Option<Notice> {
        let mut books = self.books.lock();
        loop {
            if self.is_closed.load(Ordering::SeqCst) {
                return None;
            }
            let now = Instant::now();
            let due = books.queue.peek().map(|Reverse(notice)| notice.due);
            match due {
                Some(due) if due <= now => {
                    books.sending += 1;
                    return books.queue.pop().map(|Reverse(notice)| notice);
                }
                Some(due) => _ = self.changed.wait_until(&mut books, due),
                None => self.changed.wait(&mut books),
            }
        }
    }

    fn acknowledged(&self, books: &mut Books, notice: &Notice) {
        match notice.kind {
            Kind::Win => {}
            Kind::Billing => {
                books.open.remove(&notice.auction);
                if let Some(sale) = books.sales.get_mut(&notice.auction) {
                    sale.is_acknowledged = true;
                }
                self.counts.acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Kind::Loss => _ = books.open.remove(&notice.auction),
        }
    }
}
