//! In simulation mode a log decides, and nothing else: however long the ledger's log takes to answer,
//! the same auctions get the same bids, the ledger's history is the same to its digest, and no bid is
//! refused or cut down while the account has money.

mod common;

use common::{Campaign, Engine, MINUTE, NOON, Site, request};
use outbid::server::{self, Keys, Options};
use outbid::simulate::{Endpoints, Episodes, LogPlan, LogResult, Logged, run_log};
use outbid::units::{Micros, Nanos, Timestamp};

/// CPM micros of a whole bid: a click probability of 1 is worth so much.
const CAP: u64 = 2_500_000;
/// Auctions of an episode.
const EPISODE: usize = 25;
/// What it may cost: seven bids at the cap and a bit.
const BUDGET: Nanos = Nanos(17_923_000);

/// Prices and probabilities without any pattern: half of the bids win.
fn log() -> Vec<Logged> {
    let mut state = 7_u64;
    let mut draw = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let auction = |_| Logged {
        price: Micros(1 + draw(CAP)),
        p_click: (1 + draw(2_500)) as f64 / 2_500.0,
        is_clicked: false,
    };
    (0..300).map(auction).collect()
}

/// The protocol by itself: impressions and cost.
fn expected(log: &[Logged]) -> (u64, Nanos) {
    let (mut impressions, mut cost, mut left) = (0, Nanos::ZERO, Nanos::ZERO);
    for (number, auction) in log.iter().enumerate() {
        left = if number % EPISODE == 0 { BUDGET } else { left };
        let worth = Nanos((auction.p_click * 2_500.0).round() as i128 * 1_000);
        let price = auction.price.per_impression();
        if worth.min(left) >= price {
            (impressions, cost, left) = (impressions + 1, cost + price, left - price);
        }
    }
    (impressions, cost)
}

/// Plays the log on a ledger whose log takes so long, and says what its history was.
fn play(log: &[Logged], log_delay_ms: u64) -> (LogResult, String) {
    let bid = format!("max_cpm = \"2.50\"\ncpc = \"{}\"", CAP as f64 / 1e9);
    let campaign = Campaign { strategy: "clicks", bid: &bid, ..Campaign::default() };
    let delay = format!("[budget]\nlog_delay_ms = {log_delay_ms}");
    let site = Site::new(&[campaign], "workers = 1", &delay);
    let (keys, fresh) = Keys::ephemeral().expect("keys");
    let start = Timestamp(NOON - 12 * 60 * MINUTE);
    let options = Options { simulation: Some(start), keys: Some(keys), parts: None };
    let running = server::start(site.config(), options).expect("the server starts");
    let at = running.addresses();
    let endpoints = Endpoints {
        exchange: at.exchange,
        exchange_name: "x".to_owned(),
        public: at.public,
        events_key: fresh.events.clone(),
        admin: Some((at.admin, fresh.admin.clone())),
    };
    let plan = LogPlan {
        start,
        auctions: EPISODE,
        budget: BUDGET,
        episodes: Episodes::Edited,
        auction_type: 2,
        campaign: campaign.name.to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let played = runtime.expect("a runtime").block_on(run_log(log, &plan, &endpoints, &mut |_| ()));
    let mut admin = common::Http::new(at.admin, Some(&fresh.admin));
    let report = admin.get("/api/v1/report").json();
    let digest = report["budget"]["digest"].as_str().expect("a digest").to_owned();
    (played.expect("the log is played"), digest)
}

#[test]
fn a_slow_log_changes_nothing_and_no_money_is_left_unused() {
    let log = log();
    let (quick, history) = play(&log, 0);
    assert_eq!((quick.impressions, quick.cost), expected(&log));
    let (slow, slow_history) = play(&log, 4);
    assert_eq!(slow, quick);
    assert_eq!(slow_history, history, "every record, with its time");
}

/// Bids of which nobody hears again, one every 100 ms: what is asked for upon one of them belongs to
/// its time, whenever the ledger's log comes to it.
fn bid_in_silence(log_delay_ms: u64) -> (Vec<Option<String>>, String) {
    let campaign = Campaign { daily_budget: "0.05", ..Campaign::default() };
    let delay = format!("[budget]\nlog_delay_ms = {log_delay_ms}");
    let site = Site::new(&[campaign], "workers = 1", &delay);
    let mut engine = Engine::start(site, Some(NOON));
    let bids = (0..40).map(|number| {
        engine.at(NOON + number * 100);
        engine.bid(&request(&format!("r{number}"), "")).map(|bid| bid.price.to_string())
    });
    let bids = bids.collect();
    // Time moves on once more, and with it comes the end of whatever is under way.
    engine.at(NOON + MINUTE);
    assert!(engine.bid(&request("last", "")).is_none(), "all of it is held");
    let report = engine.report();
    (bids, report["budget"]["digest"].as_str().expect("a digest").to_owned())
}

#[test]
fn what_a_bid_asks_for_belongs_to_its_own_time() {
    let (quick, history) = bid_in_silence(0);
    assert_eq!(quick.iter().flatten().count(), 20, "a budget of 20 bids at 2.50: {quick:?}");
    let (slow, slow_history) = bid_in_silence(4);
    assert_eq!((slow, slow_history), (quick, history));
}
