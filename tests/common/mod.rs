//! What the promises' tests share: a site on disk, an engine over it, and a small HTTP client that
//! speaks plain sockets, so that nothing of ours judges itself.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]
#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

mod http;
mod process;
mod site;
pub mod tc;

pub use http::{Http, Reply, connect, read_reply};
pub use process::Process;
pub use site::{Campaign, Site, request};

use outbid::server::{self, Keys, Options, Running};
use outbid::units::Timestamp;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Noon UTC of Monday, 2 March 2026.
pub const NOON: i64 = 1_772_452_800_000;
/// One minute in milliseconds.
pub const MINUTE: i64 = 60_000;

/// How long a condition may take to come true: far longer than it ever does.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `look` sees something, looking again every few milliseconds.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An engine in this process with its three listeners on free ports.
pub struct Engine {
    pub exchange: Http,
    pub public: Http,
    pub admin: Http,
    running: Option<Running>,
    _site: Site,
}

impl Engine {
    /// Starts over `site`; with `now` in simulation mode.
    pub fn start(site: Site, now: Option<i64>) -> Self {
        let config = site.config();
        Self::start_as(config, site, now)
    }

    /// The same with a configuration that no file could have.
    pub fn start_as(config: outbid::config::Config, site: Site, now: Option<i64>) -> Self {
        let (keys, fresh) = Keys::ephemeral().expect("keys");
        let simulation = now.map(Timestamp);
        let options = Options { simulation, keys: Some(keys), parts: None };
        let running = server::start(config, options).expect("the server starts");
        let at = running.addresses();
        Self {
            exchange: Http::new(at.exchange, None),
            public: Http::new(at.public, Some(&fresh.events)),
            admin: Http::new(at.admin, Some(&fresh.admin)),
            running: Some(running),
            _site: site,
        }
    }

    /// Tells all clients the simulated time.
    pub fn at(&mut self, now: i64) {
        for client in [&mut self.exchange, &mut self.public, &mut self.admin] {
            client.now = Some(now);
        }
    }

    /// The bid that answers `request`, if there is one.
    pub fn bid(&mut self, request: &Value) -> Option<Bid> {
        let reply = self.exchange.post("/openrtb2/x/bid", request.to_string().as_bytes());
        match reply.status {
            200 => Some(Bid::of(&reply.json())),
            204 => None,
            status => panic!("{status}: {}", reply.text()),
        }
    }

    /// `GET /api/v1/report`.
    pub fn report(&mut self) -> Value {
        self.admin.get("/api/v1/report").json()
    }

    /// What the shards count, exactly: reports tell magnitudes.
    pub fn shards(&self) -> Vec<outbid::session::ShardStatus> {
        let inside = self.inside();
        (0..inside.worker_count()).map(|shard| inside.shard(shard).lock().status()).collect()
    }

    /// The learner's own figures, exactly.
    pub fn learner(&self) -> outbid::prediction::LearnerStatus {
        let asked = self.inside().learner.address().send(outbid::prediction::Status);
        actix_web::rt::System::new().block_on(asked).expect("the learner answers")
    }

    /// The last lines of one kind in the event log (of any where it is empty), also those that no list
    /// shows; newest first.
    pub fn all_lines(&self, limit: usize, kind: &str) -> Vec<Value> {
        let lines = self
            .inside()
            .event_lines(limit, |entry| kind.is_empty() || entry.subject.kind() == kind);
        actix_web::rt::System::new().block_on(lines)
    }

    /// Everything that is remembered of users, field by field.
    pub fn sessions(&self) -> String {
        format!("{:?}", self.inside().sessions)
    }

    /// What `/explain` says of the campaign's first ad on the first imp.
    pub fn explained(&mut self, request: &Value, campaign: &str) -> Value {
        let reply = self.admin.post("/explain?exchange=x", request.to_string().as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
        let explanation = reply.json();
        let campaigns = explanation["campaigns"].as_array().cloned().unwrap_or_default();
        let found = campaigns.into_iter().find(|one| one["campaign"] == campaign);
        found.expect("the campaign is explained")["ads"][0].clone()
    }

    /// The engine itself, for what no listener takes.
    pub fn inside(&self) -> &server::Engine {
        self.running.as_ref().expect("it runs").engine()
    }

    /// Fetches a notice or click URL of a bid.
    pub fn fetch(&mut self, url: &str) -> Reply {
        self.public.get(path_of(url))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.running.take());
    }
}

/// What a test looks at in a bid.
#[derive(Clone, Debug)]
pub struct Bid {
    pub campaign: String,
    /// Price as it was written.
    pub price: f64,
    pub win: String,
    pub billing: String,
    pub loss: String,
    pub click: String,
    pub view: String,
}

impl Bid {
    /// The first bid of an answer.
    pub fn of(answer: &Value) -> Self {
        let bid = &answer["seatbid"][0]["bid"][0];
        let text = |key: &str| bid[key].as_str().unwrap_or_default().to_owned();
        let markup = text("adm");
        let url = |path: &str| {
            let start = markup[..markup.find(path)?].rfind("http")?;
            let rest = &markup[start..];
            let end = rest.find(['"', '\'', '<']).unwrap_or(rest.len());
            Some(rest[..end].replace("&amp;", "&"))
        };
        Self {
            campaign: text("cid"),
            price: bid["price"].as_f64().unwrap_or(f64::NAN),
            win: text("nurl"),
            billing: text("burl"),
            loss: text("lurl"),
            click: url("/click?").expect("a click URL in the markup"),
            view: url("/pixel?").expect("our pixel in the markup"),
        }
    }

    /// The billing URL with its price macro replaced.
    pub fn billed_at(&self, price: &str) -> String {
        with_price(&self.billing, price)
    }
}

/// The URL with its price macro replaced, as exchanges do it.
pub fn with_price(url: &str, price: &str) -> String {
    assert!(url.contains("${AUCTION_PRICE}"), "{url}");
    url.replace("${AUCTION_PRICE}", price)
}

/// Path and query of a URL.
pub fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

/// The value of a counter in Prometheus' text: the line that starts so.
pub fn counter(metrics: &str, start: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(start));
    line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
}

/// A campaign's account in a report, by sums of one kind.
pub fn account(report: &Value, place: usize, kind: &str) -> i128 {
    let text = report["budget"]["campaigns"][place]["account"]["total"][kind].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or(-1)
}
