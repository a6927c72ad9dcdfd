//! A campaign's cap holds while notices are late: what was bid counts as shown until a loss or its
//! window says otherwise.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;

use common::{Bid, Campaign, Engine, MINUTE, NOON, Site, counter, request, until};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const CAPPED: Campaign = Campaign {
    advertiser: "acme",
    name: "shoes",
    category: "running-shoes",
    strategy: "fixed",
    daily_budget: "100",
    bid: "max_cpm = \"2.50\"",
    more: "frequency_caps = [{ count = 3, window_s = 86_400 }]",
};

/// Requests of one user that four workers may decide before the shard has heard of the first bid.
const FLUSH_MAX: usize = 4;
/// Connections, one for each worker.
const CONNECTIONS: u64 = 4;

struct Address {
    exchange: SocketAddr,
    public: SocketAddr,
}

/// Requests for the one user, a second.
const RATE: u64 = 20;
/// How late every billing notice is.
const NOTICE_DELAY: Duration = Duration::from_secs(30);
/// Seconds of traffic: past the first notices, so that what was pending and is now shown counts on.
const TRAFFIC_S: u64 = 33;

/// Sends this connection's share of the traffic, and its notices when they are due.
fn play(engine: &Address, connection: u64, began: Instant, bids: &Mutex<Vec<(Bid, Duration)>>) {
    let mut exchange = common::Http::new(engine.exchange, None);
    let mut public = common::Http::new(engine.public, None);
    let mut late = VecDeque::<(Duration, String)>::new();
    for number in 0..TRAFFIC_S * RATE / CONNECTIONS {
        let due = (number * CONNECTIONS + connection) * 1_000 / RATE;
        std::thread::sleep(Duration::from_millis(due).saturating_sub(began.elapsed()));
        while let Some((at, url)) = late.pop_front_if(|(at, _)| *at <= began.elapsed()) {
            let reply = public.get(common::path_of(&url));
            assert_eq!(reply.status, 200, "due at {at:?}");
        }
        let body = request(&format!("{connection}-{number}"), "one").to_string();
        let reply = exchange.post("/openrtb2/x/bid", body.as_bytes());
        if reply.status == 200 {
            let (bid, at) = (Bid::of(&reply.json()), began.elapsed());
            late.push_back((at + NOTICE_DELAY, bid.billed_at("1.00")));
            bids.lock().push((bid, at));
        }
    }
    assert!(late.is_empty(), "every notice has arrived");
}

/// Thirty seconds of real time, since several workers exist in real time only.
#[test]
fn four_workers_show_three_while_every_notice_is_half_a_minute_late() {
    let mut engine = Engine::start(Site::new(&[CAPPED], "workers = 4", ""), None);
    // Each worker's lease must have come, or there would be nothing to hold back.
    let mut stranger = 0;
    until("bids", || {
        stranger += 1;
        engine.bid(&request("warm", &format!("stranger-{stranger}")))
    });
    let address = Address { exchange: engine.exchange.address, public: engine.public.address };
    let bids = Mutex::new(Vec::new());
    let began = Instant::now();
    // Each of four connections, and so each worker, sends five a second.
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (bids, address) = (&bids, &address);
            scope.spawn(move || play(address, connection, began, bids));
        }
    });
    let bids = bids.into_inner();
    let beyond = bids.len().saturating_sub(3);
    let last = bids.iter().map(|(_, at)| *at).max();
    println!("{} bids for a cap of 3, {beyond} beyond it in one flush, until {last:?}", bids.len());
    assert!(bids.len() >= 3 && beyond <= FLUSH_MAX, "{} bids", bids.len());
    let metrics = engine.admin.get("/metrics").text();
    assert_eq!(counter(&metrics, "outbid_messages_refused_total{what=\"shows\"}"), 0);
    let counted = counter(&metrics, "outbid_bids_beyond_cap_total");
    assert_eq!(counted, beyond as u64, "what went beyond the cap is counted");
    let billed = "outbid_notices_total{kind=\"billing\",outcome=\"charged\"}";
    assert_eq!(counter(&metrics, billed), bids.len() as u64, "all were shown, late");
}

#[test]
fn a_loss_and_the_end_of_the_window_free_the_cap() {
    let site = Site::new(&[CAPPED], "", "[budget]\ntick_ms = 10_000");
    let mut engine = Engine::start(site, Some(NOON));
    let mut number = 0;
    let mut bid_at = |engine: &mut Engine, now: i64| {
        engine.at(now);
        number += 1;
        engine.bid(&request(&format!("r-{number}"), "one"))
    };
    let bids: Vec<_> =
        (0..40).filter_map(|step| bid_at(&mut engine, NOON + step * 1_000)).collect();
    assert_eq!(bids.len(), 3);
    assert_eq!(engine.fetch(&bids[0].loss).status, 200);
    let again = bid_at(&mut engine, NOON + MINUTE).expect("the loss freed one");
    assert!(bid_at(&mut engine, NOON + MINUTE + 1_000).is_none());
    for bid in [&bids[1], &bids[2], &again] {
        assert_eq!(engine.fetch(&bid.billed_at("1.00")).status, 200);
    }
    assert!(bid_at(&mut engine, NOON + 23 * 60 * MINUTE).is_none(), "the day is not over");
    assert!(bid_at(&mut engine, NOON + 24 * 60 * MINUTE + 2 * MINUTE).is_some(), "the day is over");
}
