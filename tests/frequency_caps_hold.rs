//! A campaign's cap holds while notices are late: what was bid counts as shown until a loss or its
//! window says otherwise.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;

use common::{Bid, Campaign, Engine, MINUTE, NOON, Site, counter, request, until};
use parking_lot::Mutex;
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

#[test]
fn four_workers_show_three_while_every_notice_is_late() {
    let mut engine = Engine::start(Site::new(&[CAPPED], "workers = 4", ""), None);
    // Each worker's lease must have come, or there would be nothing to hold back.
    let mut stranger = 0;
    until("bids", || {
        stranger += 1;
        engine.bid(&request("warm", &format!("stranger-{stranger}")))
    });
    let address = engine.exchange.address;
    let bids = Mutex::new(Vec::<Bid>::new());
    let began = Instant::now();
    // 20 requests a second: each of four connections, and so each worker, sends five.
    std::thread::scope(|scope| {
        for connection in 0..4 {
            let bids = &bids;
            scope.spawn(move || {
                let mut client = common::Http::new(address, None);
                for number in 0..20 {
                    let due = Duration::from_millis(number * 200 + connection * 50);
                    std::thread::sleep(due.saturating_sub(began.elapsed()));
                    let id = format!("{connection}-{number}");
                    let body = request(&id, "one").to_string();
                    let reply = client.post("/openrtb2/x/bid", body.as_bytes());
                    if reply.status == 200 {
                        bids.lock().push(Bid::of(&reply.json()));
                    }
                }
            });
        }
    });
    let bids = bids.into_inner();
    let beyond = bids.len().saturating_sub(3);
    println!("{} bids for a cap of 3, {beyond} beyond it in one flush", bids.len());
    assert!(bids.len() >= 3 && beyond <= FLUSH_MAX, "{} bids", bids.len());
    for bid in &bids {
        assert_eq!(engine.fetch(&bid.billed_at("1.00")).status, 200);
    }
    for number in 0..20 {
        assert!(engine.bid(&request(&format!("after-{number}"), "one")).is_none());
    }
    let metrics = engine.admin.get("/metrics").text();
    assert_eq!(counter(&metrics, "outbid_messages_refused_total{what=\"shows\"}"), 0);
}

#[test]
fn a_loss_and_the_end_of_the_window_free_the_cap() {
    let mut engine = Engine::start(Site::new(&[CAPPED], "", ""), Some(NOON));
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
