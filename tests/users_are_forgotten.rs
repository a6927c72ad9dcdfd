//! Promise: who asks to be forgotten is, on all his ids, at once and over a crash; what comes of his
//! earlier bids is not kept; and who gets a new name because keys are changed keeps caps and interest
//! for the grace period, after which nobody can be found under the old key.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;

use common::{
    Bid, Campaign, Engine, MINUTE, NOON, Process, Site, counter, path_of, request, until,
};
use outbid::session::AliasStatus;
use serde_json::{Value, json};
use std::process::Command;

const CAPPED: Campaign = Campaign {
    advertiser: "acme",
    name: "shoes",
    category: "running-shoes",
    strategy: "fixed",
    daily_budget: "100",
    bid: "max_cpm = \"2.50\"",
    more: "frequency_caps = [{ count = 1, window_s = 2_592_000 }]",
};

const FORGET: &str = "/api/v1/privacy/forget";
const DAY: i64 = 86_400_000;

fn metric(engine: &mut Engine, name: &str) -> u64 {
    // The time that was told has come, with its ticks.
    engine.report();
    counter(&engine.admin.get("/metrics").text(), name)
}

/// Shows that wait for clicks; metrics show no number as small.
fn waiting(engine: &mut Engine) -> usize {
    engine.report();
    engine.inside().saved_model.learner().last_status().load().waiting
}

fn ids(engine: &Engine) -> AliasStatus {
    engine.inside().aliases.as_ref().expect("aliases").status()
}

fn interest(engine: &mut Engine, request: &Value) -> f64 {
    engine.explained(request, "shoes")["price"]["interest"].as_f64().expect("a strength")
}

fn told(engine: &mut Engine, event: &str, now: i64, user: &Value) {
    let event = json!({
        "id": event, "type": "view", "ts": now, "user": user,
        "advertiser": "acme", "category": "running-shoes", "consent": true,
    });
    let reply = engine.public.post("/events", event.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["accepted"], 1, "{}", reply.text());
}

/// A bid for the user; the first of a day waits for money, which a stranger's request sees to.
fn bid(engine: &mut Engine, id: &str) -> Option<Bid> {
    let mut number = 0;
    until("a bid for a stranger", || {
        number += 1;
        engine.bid(&request("s", &format!("{id}-stranger-{number}")))
    });
    engine.bid(&request("r", id))
}

fn by_ifa(ifa: &str) -> Value {
    let mut request = request("r", "");
    request["device"]["ifa"] = json!(ifa);
    request
}

/// What became of the wish; where there were too many at once, it is made again.
fn forget(engine: &mut Engine, user: &Value) -> Value {
    let wish = json!({ "user": user }).to_string();
    let reply = until("a wish that is taken", || {
        let reply = engine.admin.post(FORGET, wish.as_bytes());
        (reply.status != 429).then_some(reply)
    });
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[test]
fn a_wish_is_done_at_once_on_all_ids() {
    let mut engine = Engine::start(Site::new(&[CAPPED], "", ""), Some(NOON));
    engine.at(NOON);
    told(&mut engine, "e-1", NOON, &json!({ "id": "reader", "ids": [{ "ifa": "ab-1" }] }));
    for user in ["other", "looks"] {
        told(&mut engine, &format!("e-{user}"), NOON, &json!({ "id": user }));
    }
    assert!(interest(&mut engine, &by_ifa("ab-1")) > 0.0);
    let shown = bid(&mut engine, "reader").expect("a bid");
    assert_eq!(engine.fetch(&shown.billed_at("1.00")).status, 200);
    assert_eq!(engine.fetch(&shown.click).status, 302);
    let other = bid(&mut engine, "other").expect("a bid");
    assert_eq!(engine.fetch(&other.billed_at("1.00")).status, 200);
    assert!(bid(&mut engine, "reader").is_none(), "the cap");
    engine.at(NOON + 1_000);
    let before = waiting(&mut engine);

    let gone = forget(&mut engine, &json!({ "ifa": "AB-1" }));
    assert_eq!((&gone["ids"], &gone["sessions"]), (&json!(2), &json!(1)), "{gone}");
    assert!(gone["waiting"].as_u64() >= Some(1), "{gone}");
    engine.at(NOON + 2_000);
    assert_eq!((before, waiting(&mut engine)), (2, 1));
    for asked in [request("r", "reader"), by_ifa("ab-1")] {
        assert_eq!(interest(&mut engine, &asked), 0.0);
    }
    assert_eq!(ids(&engine).aliases, 0);
    assert!(interest(&mut engine, &request("r", "looks")) > 0.0, "others stay");
    assert!(bid(&mut engine, "other").is_none());

    // Caps start anew, and the next show counts.
    let again = bid(&mut engine, "reader").expect("a bid");
    let gone = forget(&mut engine, &json!({ "id": "reader" }));
    assert_eq!(gone["sessions"], 1, "the bid that was announced: {gone}");
    let gone = forget(&mut engine, &json!({ "id": "reader" }));
    assert_eq!((&gone["sessions"], &gone["waiting"]), (&json!(0), &json!(0)), "{gone}");
    // The ad was shown, and is paid for; of the user nothing is kept.
    assert_eq!(engine.fetch(&again.billed_at("1.00")).status, 200);
    engine.at(NOON + 3_000);
    assert_eq!(waiting(&mut engine), 1);
    let report = engine.report();
    assert_eq!(common::account(&report, 0, "billed"), 3_000_000, "nanos of three bills");
    engine.at(NOON + 4_000);
    let anew = bid(&mut engine, "reader").expect("caps start anew");
    assert_eq!(engine.fetch(&anew.billed_at("1.00")).status, 200);
    assert!(bid(&mut engine, "reader").is_none(), "what comes after the wish counts");
    assert_eq!(metric(&mut engine, "outbid_forgotten_total{what=\"done\"} "), 3);
}

#[test]
fn a_purchase_is_owed_to_no_click_of_before() {
    let mut engine = Engine::start(Site::new(&[CAPPED], "", ""), Some(NOON));
    engine.at(NOON);
    let shown = bid(&mut engine, "buyer").expect("a bid");
    assert_eq!(engine.fetch(&shown.billed_at("1.00")).status, 200);
    assert_eq!(engine.fetch(&shown.click).status, 302);
    forget(&mut engine, &json!({ "id": "buyer" }));
    let event = json!({
        "id": "p-1", "type": "purchase", "ts": NOON, "user": { "id": "buyer" }, "order_id": "o-1",
        "price": 9, "advertiser": "acme", "category": "running-shoes", "consent": true,
    });
    let reply = engine.public.post("/events", event.to_string().as_bytes()).json();
    assert_eq!(reply["conversions"], json!({ "unattributed": 1 }), "{reply}");
}

#[test]
fn wishes_are_refused_where_they_are_none_or_too_many() {
    let mut engine = Engine::start(Site::new(&[CAPPED], "", ""), Some(NOON));
    engine.at(NOON);
    for body in [
        "{}",
        "{\"user\":{}}",
        "{\"user\":{\"shoe\":\"x\"}}",
        "{\"user\":{\"ifa\":\"0000-00\"}}",
        "{\"user\":{\"id\":\"x\"},\"more\":1}",
        "[",
    ] {
        assert_eq!(engine.admin.post(FORGET, body.as_bytes()).status, 400, "{body}");
    }
    let key = engine.admin.key.take();
    assert_eq!(engine.admin.post(FORGET, b"{\"user\":{\"id\":\"x\"}}").status, 401);
    engine.admin.key = key;
    let mut statuses = (0..200).map(|number| {
        let wish = json!({ "user": { "id": format!("reader-{number}") } }).to_string();
        engine.admin.post(FORGET, wish.as_bytes()).status
    });
    assert!(statuses.any(|status| status == 429), "twenty a second are enough");
}

#[test]
fn a_wish_outlives_a_kill_and_holds_for_what_was_saved_before() {
    let site = Site::new(&[CAPPED], "workers = 2", "[session]\nsave_every_s = 0\n");
    let mut process = Process::serve(&site, None);
    let keys = process.keys.clone();
    for user in ["canary-a", "canary-b"] {
        let bid = until("a bid", || asked(&mut process, user));
        assert_eq!(process.public.get(path_of(&bid.billed_at("1.00"))).status, 200);
        until("the cap", || asked(&mut process, user).is_none().then_some(()));
    }
    process.signal("-TERM");
    assert!(process.ended().success());

    let mut process = Process::serve(&site, keys.clone());
    until("a bid", || asked(&mut process, "stranger-1"));
    assert!(asked(&mut process, "canary-a").is_none() && asked(&mut process, "canary-b").is_none());
    let forgotten = Command::new(env!("CARGO_BIN_EXE_outbid"))
        .args(["privacy", "forget", "--id", "canary-a", "--server"])
        .arg(process.admin.address.to_string())
        .env("OUTBID_ADMIN_KEY", keys.clone().expect("keys").0)
        .output()
        .expect("it ends");
    let said = String::from_utf8_lossy(&forgotten.stderr).into_owned();
    assert!(forgotten.status.success(), "{said}");
    let said: Value = serde_json::from_slice(&forgotten.stdout).expect("JSON");
    assert_eq!(said["sessions"], 1, "{said}");
    process.kill();

    let mut process = Process::serve(&site, keys);
    until("a bid", || asked(&mut process, "stranger-2"));
    until("a bid for who is forgotten", || asked(&mut process, "canary-a"));
    for number in 3..8 {
        until("a bid", || asked(&mut process, &format!("stranger-{number}")));
        assert!(asked(&mut process, "canary-b").is_none(), "he is not forgotten");
    }
    process.kill();
    for file in std::fs::read_dir(site.folder().join("state")).expect("the state folder") {
        let path = file.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a file");
        let is_there = bytes.windows(7).any(|part| part == b"canary-");
        assert!(!is_there, "{}", path.display());
    }
}

fn asked(process: &mut Process, user: &str) -> Option<Bid> {
    let reply = process.exchange.post("/openrtb2/x/bid", request("r", user).to_string().as_bytes());
    (reply.status == 200).then(|| Bid::of(&reply.json()))
}

#[test]
fn a_new_key_finds_users_for_its_grace_and_not_after() {
    let more = "[session]\nuser_key_days = 10\nuser_key_grace_s = 259_200\n";
    let mut engine = Engine::start(Site::new(&[CAPPED], "", more), Some(NOON));
    engine.at(NOON);
    let start = metric(&mut engine, "outbid_user_key ");
    for user in ["comes", "stays-away", "acts"] {
        told(&mut engine, &format!("e-{user}"), NOON, &json!({ "id": user }));
        if user != "acts" {
            let shown = bid(&mut engine, user).expect("a bid");
            assert_eq!(engine.fetch(&shown.billed_at("1.00")).status, 200);
            assert!(bid(&mut engine, user).is_none());
        }
    }
    let within = NOON + 10 * DAY + MINUTE;
    engine.at(within);
    let strength = interest(&mut engine, &request("r", "acts"));
    assert!(strength > 0.0);
    assert_eq!(metric(&mut engine, "outbid_user_key "), start + 1);
    assert_eq!(metric(&mut engine, "outbid_user_keys "), 2);
    for _ in 0..3 {
        assert!(bid(&mut engine, "comes").is_none(), "found under the key before");
    }
    told(&mut engine, "e-more", within, &json!({ "id": "acts" }));
    assert!(interest(&mut engine, &request("r", "acts")) > strength + 0.5, "both count");
    assert_eq!(ids(&engine).merged, 2);

    engine.at(NOON + 13 * DAY + MINUTE);
    assert!(bid(&mut engine, "comes").is_none(), "he has moved");
    assert_eq!(metric(&mut engine, "outbid_user_keys "), 1);
    assert!(interest(&mut engine, &request("r", "acts")) > 0.0);
    assert!(bid(&mut engine, "stays-away").is_some(), "nobody finds him any more");
}
