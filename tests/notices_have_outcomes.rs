//! Promise: whatever comes back to a bid has one outcome, and one only: a status for the sender, a
//! counter for the operator, an effect on the ledger and a line in the event log. Over real sockets,
//! in simulation mode, row by row of the table in `outbid::notice`.

mod common;

use common::{Bid, Campaign, Http, MINUTE, NOON, Site, account, counter, path_of, request};
use outbid::hash::stable_lower;
use outbid::notice::outcome::Outcome;
use outbid::notice::{BidToken, Purpose, Sealer};
use outbid::server::{self, Keys, Options, Running};
use outbid::units::Timestamp;
use serde_json::Value;

const HOUR: i64 = 60 * MINUTE;
/// What a bid of 2.50 holds.
const HELD: i128 = 2_500_000;

struct Bidder {
    exchange: Http,
    public: Http,
    admin: Http,
    sealer: Sealer,
    /// The same secret under another key id.
    stranger: Sealer,
    now: i64,
    bids: u32,
    nonce: u8,
    running: Running,
    _site: Site,
}

/// What a row expects of one step.
#[derive(Clone, Copy, Debug)]
struct Expected {
    status: u16,
    kind: &'static str,
    outcome: &'static str,
    /// Nanos billed by it, and borne by the house.
    billed: i128,
    absorbed: i128,
}

const fn moves_nothing(status: u16, kind: &'static str, outcome: &'static str) -> Expected {
    Expected { status, kind, outcome, billed: 0, absorbed: 0 }
}

const fn bills(outcome: &'static str, billed: i128) -> Expected {
    Expected { status: 200, kind: "billing", outcome, billed, absorbed: 0 }
}

impl Bidder {
    fn start(daily_budget: &str, charge_on: &str) -> Self {
        let more = format!(
            "charge_on = '{charge_on}'\n[exchange.y]\n[budget]\ntick_ms = 60_000\n\
             [currency.rates]\nEUR = '2'"
        );
        let site = Site::new(&[Campaign { daily_budget, ..Campaign::default() }], "", &more);
        let (keys, fresh) = Keys::ephemeral().expect("keys");
        let secret = keys.token_key;
        let simulation = Some(Timestamp(NOON));
        let options = Options { simulation, keys: Some(keys), parts: None };
        let running = server::start(site.config(), options).expect("the server starts");
        let at = running.addresses();
        let mut bidder = Self {
            exchange: Http::new(at.exchange, None),
            public: Http::new(at.public, Some(&fresh.events)),
            admin: Http::new(at.admin, Some(&fresh.admin)),
            sealer: Sealer::new(&secret, 1),
            stranger: Sealer::new(&secret, 2),
            now: NOON,
            bids: 0,
            nonce: 0,
            running,
            _site: site,
        };
        bidder.wait(0);
        bidder
    }

    fn wait(&mut self, ms: i64) {
        self.now += ms;
        for client in [&mut self.exchange, &mut self.public, &mut self.admin] {
            client.now = Some(self.now);
        }
    }

    fn bid(&mut self) -> Bid {
        // A lease that is used up gets more at the next tick.
        common::until("a bid", || {
            self.bids += 1;
            let request = request(&format!("r-{}", self.bids), "reader").to_string();
            let reply = self.exchange.post("/openrtb2/x/bid", request.as_bytes());
            if reply.status == 200 {
                return Some(Bid::of(&reply.json()));
            }
            self.wait(MINUTE);
            None
        })
    }

    fn money(&mut self) -> (i128, i128) {
        let report = self.admin.get("/api/v1/report").json();
        let absorbed = report["budget"]["house"]["absorbed"].as_str().expect("a text");
        (account(&report, 0, "billed"), absorbed.parse().expect("nanos"))
    }

    /// Exactly: metrics tell clicks and views as magnitudes.
    fn count(&self, kind: &str, outcome: &str) -> u64 {
        let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.label() == kind);
        let outcome = Outcome::ALL.into_iter().find(|one| one.label() == outcome);
        let (purpose, outcome) = purpose.zip(outcome).expect("a kind and an outcome");
        self.running.engine().metrics.notices.exact(purpose, outcome)
    }

    /// The last line of the event log, and how many there were.
    fn last(&self) -> (Option<Value>, u64) {
        let engine = self.running.engine();
        let lines = actix_web::rt::System::new().block_on(engine.event_lines(1, |_| true));
        (lines.into_iter().next(), engine.metrics.event_entries.written.get())
    }

    fn lines(&mut self, query: &str) -> Vec<Value> {
        let reply = self.admin.get(&format!("/api/v1/events{query}"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Calls a path and holds everything that follows to what is expected; returns the event's line.
    fn check(&mut self, method: &str, path: &str, expected: Expected) -> Value {
        let name = format!("{method} {path}: {expected:?}");
        let Expected { status, kind, outcome, billed, absorbed } = expected;
        let before = (self.money(), self.count(kind, outcome), self.last().1);
        let reply = self.public.call(method, path, &[], b"");
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        let (billed_before, absorbed_before) = before.0;
        let after = (billed_before + billed, absorbed_before + absorbed);
        assert_eq!(self.money(), after, "{name}");
        assert_eq!(self.count(kind, outcome), before.1 + 1, "{name}");
        let (line, lines) = self.last();
        let line = line.expect("a line");
        assert_eq!((&line["kind"], &line["outcome"]), (&kind.into(), &outcome.into()), "{name}");
        assert_eq!(lines, before.2 + 1, "{name}: one line");
        line
    }

    /// What the billing URL of a bid carries.
    fn opened(&self, bid: &Bid) -> BidToken {
        let text = token_of(&bid.billing);
        let key = stable_lower("x");
        self.sealer.open(Purpose::Billing, key, text, Timestamp(self.now)).expect("genuine")
    }

    /// A token sealed with the engine's own secret.
    fn seal(&mut self, sealer: fn(&Self) -> &Sealer, purpose: Purpose, token: &BidToken) -> String {
        self.nonce += 1;
        let nonce = [0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, self.nonce];
        let mut text = format!("{}?e=x&t=", purpose.path());
        sealer(self).seal(stable_lower("x"), token, nonce).as_text().write(purpose, &mut text);
        text
    }
}

fn token_of(url: &str) -> &str {
    url.split("t=").nth(1).and_then(|rest| rest.split('&').next()).expect("a token")
}

fn billed(bid: &Bid, price: &str) -> String {
    path_of(&bid.billed_at(price)).to_owned()
}

#[test]
fn order_repetition_and_lateness_have_outcomes() {
    let mut bidder = Bidder::start("100", "billing");
    let told = 1_000_000;
    let win = |bid: &Bid| path_of(&common::with_price(&bid.win, "1")).to_owned();
    let (loss, click) =
        (|bid: &Bid| path_of(&bid.loss).to_owned(), |bid: &Bid| path_of(&bid.click).to_owned());
    let bill = |bid: &Bid| billed(bid, "1");
    let dearer = |bid: &Bid| billed(bid, "2");
    type Path<'a> = &'a dyn Fn(&Bid) -> String;
    let [win, loss, click, bill, dearer]: [Path<'_>; 5] = [&win, &loss, &click, &bill, &dearer];
    let news = |kind, outcome| moves_nothing(200, kind, outcome);
    let clicked = |outcome| moves_nothing(302, "click", outcome);
    let minutes = |minutes: i64| minutes * MINUTE;
    // Each row is the life of one bid: how long to wait, what comes, what must come of it.
    let rows: &[&[(i64, Path<'_>, Expected)]] = &[
        &[
            (0, win, news("win", "evidence")),
            (0, bill, bills("charged", told)),
            (0, click, clicked("clicked")),
            (0, click, clicked("duplicate")),
            (0, win, news("win", "duplicate")),
            (0, bill, news("billing", "duplicate")),
            (0, dearer, news("billing", "contradiction")),
            (0, bill, news("billing", "duplicate")),
            (0, loss, news("loss", "loss_after_charge")),
            (0, loss, news("loss", "duplicate")),
        ],
        &[
            (0, click, clicked("clicked_before_charge")),
            (0, bill, bills("charged", told)),
            (0, win, news("win", "evidence_after_charge")),
        ],
        &[
            (0, loss, news("loss", "released")),
            (0, loss, news("loss", "duplicate")),
            (0, win, news("win", "evidence_after_loss")),
            (0, click, clicked("clicked_after_loss")),
            (0, bill, bills("charged_after_loss", told)),
        ],
        &[(minutes(5), bill, bills("charged_late", told)), (0, bill, news("billing", "duplicate"))],
        &[(minutes(5), loss, news("loss", "released_late"))],
        &[(minutes(120), bill, bills("charged_after_window", told))],
        &[(minutes(120), loss, news("loss", "released_after_window"))],
    ];
    for row in rows {
        let bid = bidder.bid();
        for (wait, path, expected) in *row {
            bidder.wait(*wait);
            let line = bidder.check("GET", &path(&bid), *expected);
            assert_eq!((&line["exchange"], &line["campaign"]), (&"x".into(), &"shoes".into()));
            assert_eq!(line["creative"], "shoes-300x250");
        }
    }
    let metrics = bidder.admin.get("/metrics").text();
    let prices = counter(&metrics, "outbid_charges_total{what=\"told\"}");
    assert_eq!(prices, 5, "each charge has one price, and copies have none");
    // The life of the last bid can be asked for, by its hold and by its auction.
    let auction = format!("r-{}", bidder.bids);
    let life = bidder.lines(&format!("?auction={auction}"));
    let hold = life[0]["hold"].as_str().expect("a hold").to_owned();
    assert_eq!(bidder.lines(&format!("?hold={hold}")), life);
    let outcomes: Vec<_> = life.iter().map(|line| line["outcome"].as_str()).collect();
    assert_eq!(outcomes, [Some("released_after_window")]);
    assert!(bidder.lines("?auction=nobody").is_empty());
    // No list counts clicks: they are shown of a bid that is asked for.
    let listed = bidder.lines("?limit=10000");
    assert!(listed.iter().all(|line| line["kind"] != "click" && line["position"].is_null()));
    assert!(bidder.lines("?kind=click").is_empty());
    let first = listed.last().expect("the first bid's")["hold"].as_str().expect("a hold");
    let clicks = bidder.lines(&format!("?kind=click&hold={first}"));
    let outcomes: Vec<_> = clicks.iter().map(|line| line["outcome"].as_str()).collect();
    assert_eq!(outcomes, [Some("duplicate"), Some("clicked")]);
    for (query, status) in [("?limit=0", 400), ("?what=1", 400), ("?hold=1", 400)] {
        assert_eq!(bidder.admin.get(&format!("/api/v1/events{query}")).status, status, "{query}");
    }
    bidder.admin.key = None;
    assert_eq!(bidder.admin.get("/api/v1/events").status, 401);
}

#[test]
fn a_price_in_any_form_is_charged_by_rule() {
    let mut bidder = Bidder::start("100", "billing");
    for (told, charged, source) in [
        ("price=1.2345671&cur=USD", 1_234_568, "told"),
        ("price=%31%2E5&cur=%55SD", 1_500_000, "told"),
        ("price=2.6&cur=USD", HELD, "bounded"),
        ("price=18446744073709&cur=USD", HELD, "bounded"),
        ("price=&cur=USD", HELD, "missing"),
        ("unknown=1", HELD, "missing"),
        ("price=${AUCTION_PRICE}", HELD, "unexpanded"),
        ("price=%24%7BAUCTION_PRICE%7D", HELD, "unexpanded"),
        ("price=-1", HELD, "unreadable"),
        ("price=YWJjMTIzZGVmNDU2Z2hpN7fhCuPemCAWJRxOgA", HELD, "unreadable"),
        ("price=1&cur=EUR", HELD, "other_currency"),
    ] {
        let bid = bidder.bid();
        let (head, _) = path_of(&bid.billing).split_once("&price=").expect("a price");
        let path = format!("{head}&{told}&seat=1&seat=2");
        let line = bidder.check("POST", &path, bills("charged", charged));
        assert_eq!(line["price_source"], source, "{told}");
        assert_eq!(line["price_micros"].as_i64().map(i128::from), Some(charged), "{told}");
    }
    let twice = format!("{}&price=1", billed(&bidder.bid(), "1"));
    bidder.check("GET", &twice, moves_nothing(400, "billing", "malformed"));
}

#[test]
fn strangers_and_odd_senders_move_nothing() {
    let mut bidder = Bidder::start("100", "billing");
    let bid = bidder.bid();
    let bill = billed(&bid, "1");
    let token = token_of(&bid.billing).to_owned();
    let altered = {
        let middle = token.len() / 2;
        let other = if token.as_bytes()[middle] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &token[..middle], &token[middle + 1..])
    };
    let opened = bidder.opened(&bid);
    let of_another_key = bidder.seal(|bidder| &bidder.stranger, Purpose::Billing, &opened);
    for (path, status, kind, outcome) in [
        (bill.replace(&token, &altered), 403, "billing", "forged"),
        (bill.replace(&token, "AAAA"), 400, "billing", "malformed"),
        (bill.replace("e=x", "f=x"), 400, "billing", "malformed"),
        (bill.replace("e=x", "e=nobody"), 404, "billing", "unknown_exchange"),
        (bill.replace("e=x", "e=y"), 403, "billing", "other_exchange"),
        (bill.replace("/billing", "/win"), 403, "win", "repurposed"),
        (bill.replace("/notice/billing", "/click"), 403, "click", "repurposed"),
        (bill.replace("/notice/billing", "/pixel"), 403, "view", "repurposed"),
        (path_of(&bid.click).replace("/click", "/notice/billing"), 403, "billing", "repurposed"),
        (of_another_key, 403, "billing", "unknown_key"),
    ] {
        bidder.check("GET", &path, moves_nothing(status, kind, outcome));
    }
    let gone = BidToken { ad: outbid::units::Slot { index: 99, generation: 1 }, ..opened };
    let gone = bidder.seal(|bidder| &bidder.sealer, Purpose::Click, &gone);
    bidder.check("GET", &gone, moves_nothing(404, "click", "ad_gone"));

    // A hold of which the ledger knows nothing is borne by the house, once.
    let mut unknown = opened;
    unknown.hold.lease.number += 1_000;
    let unknown = bidder.seal(|bidder| &bidder.sealer, Purpose::Billing, &unknown);
    let expected = Expected { absorbed: 1_000_000, ..bills("unknown_hold", 0) };
    let unknown = format!("{unknown}&price=1");
    bidder.check("GET", &unknown, expected);
    bidder.check("GET", &unknown, moves_nothing(200, "billing", "duplicate"));
    let mut foreign = opened;
    foreign.day += 1;
    let foreign = bidder.seal(|bidder| &bidder.sealer, Purpose::Billing, &foreign);
    bidder.check("GET", &foreign, moves_nothing(200, "billing", "ledger_refused"));

    bidder.wait(49 * HOUR);
    bidder.check("GET", &bill, moves_nothing(410, "billing", "expired"));
}

#[test]
fn head_looks_and_other_methods_are_refused() {
    let mut bidder = Bidder::start("100", "billing");
    let bid = bidder.bid();
    let before = bidder.last().1;
    for (method, url, status) in
        [("PUT", &bid.billing, 405), ("DELETE", &bid.click, 405), ("OPTIONS", &bid.win, 405)]
    {
        let reply = bidder.public.call(method, path_of(url), &[], b"");
        assert_eq!(reply.status, status, "{method} {url}");
        assert_eq!(reply.header("allow"), Some("GET, POST, HEAD"));
    }
    assert_eq!(bidder.last().1, before);
    for (url, status, kind) in [(&bid.billing, 200, "billing"), (&bid.click, 302, "click")] {
        assert_eq!(head_of(&bidder, path_of(url)), status, "{url}");
        let line = bidder.lines("?limit=1").remove(0);
        assert_eq!((&line["kind"], &line["outcome"]), (&kind.into(), &"looked".into()));
    }
    let click_id = format!("x.{}", token_of(&bid.click));
    assert_eq!(head_of(&bidder, &format!("/pixel/acme?obclid={click_id}&order=1")), 200);
    assert!(bidder.lines("?kind=conversion").is_empty(), "a look buys nothing");
    bidder.check("POST", &billed(&bid, "1"), bills("charged", 1_000_000));
    let click = moves_nothing(302, "click", "clicked");
    bidder.check("POST", path_of(&bid.click), click);
}

/// The status of a HEAD, whose answer has a length and no body.
fn head_of(bidder: &Bidder, path: &str) -> u16 {
    use std::io::{BufRead, BufReader, Write};
    let mut stream = common::connect(bidder.public.address).expect("a connection");
    let head = bidder.public.head("HEAD", path, &[("connection", "close")], 0);
    stream.write_all(head.as_bytes()).expect("sent");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer");
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

#[test]
fn a_bill_that_no_budget_can_pay_is_borne_by_the_house() {
    // Two bids' worth a day.
    let mut bidder = Bidder::start("0.005", "billing");
    let first = bidder.bid();
    bidder.wait(2 * HOUR);
    for _ in 0..2 {
        let bid = bidder.bid();
        bidder.check("GET", &billed(&bid, "2.5"), bills("charged", HELD));
    }
    let expected = Expected { absorbed: HELD, ..bills("absorbed", 0) };
    bidder.check("GET", &billed(&first, "2.5"), expected);
}

#[test]
fn the_view_pixel_charges_where_it_should_and_is_an_image() {
    for (charge_on, first, outcome) in [("impression", HELD, "charged"), ("win", 0, "evidence")] {
        let mut bidder = Bidder::start("100", charge_on);
        let bid = bidder.bid();
        let opened = bidder.opened(&bid);
        let pixel = bidder.seal(|bidder| &bidder.sealer, Purpose::View, &opened) + "&price=1";
        let expected = Expected { kind: "view", ..bills(outcome, first) };
        bidder.check("GET", &pixel, expected);
        bidder.check("GET", &pixel, moves_nothing(200, "view", "duplicate"));
        // Who sits at the browser may write any price: it is the same notice, and no second record.
        let cheaper = pixel.replace("price=1", "price=0");
        bidder.check("GET", &cheaper, moves_nothing(200, "view", "duplicate"));
        let reply = bidder.public.get(&pixel);
        assert_eq!(reply.header("content-type"), Some("image/gif"));
        assert!(
            reply.body.starts_with(b"GIF89a") && reply.header("cache-control") == Some("no-store")
        );
        let win = path_of(&common::with_price(&bid.win, "1")).to_owned();
        let expected = if charge_on == "win" {
            Expected { kind: "win", ..bills("charged", 1_000_000) }
        } else {
            moves_nothing(200, "win", "evidence_after_charge")
        };
        bidder.check("GET", &win, expected);
    }
}
