//! What clicks become is learned in the loop: a campaign that pays for conversions bids by the rate
//! that its clicks have shown, beginning with the one that it declares.

mod common;

use common::{Campaign, Engine, Site, request};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Midnight UTC of Monday, 2 March 2026.
const MIDNIGHT: i64 = 1_772_409_600_000;
const REQUESTS: i64 = 240;
const STEP_MS: i64 = 60_000;

fn engine() -> Engine {
    let campaign = Campaign {
        strategy: "conversions",
        daily_budget: "1000",
        bid: "max_cpm = \"900\"\ntarget_cpa = \"1.00\"\nexpected_cvr_ppm = 200_000",
        ..Campaign::default()
    };
    let more =
        "[budget]\ntick_ms = 60_000\n[prediction]\nbase_click_rate = 0.3\nclick_window_s = 60";
    Engine::start(Site::new(&[campaign], "", more), Some(MIDNIGHT))
}

/// What a click of the first ad is taken to become.
fn rate(engine: &mut Engine) -> f64 {
    let explained = engine.explained(&request("why", "somebody"), "shoes");
    let factors = explained["price"]["factors"].as_array().expect("factors").clone();
    let named = |pair: &&Value| pair[0] == "expected_cvr";
    factors.iter().find(named).and_then(|pair| pair[1].as_f64()).expect("a rate")
}

/// Every ad is shown and clicked; every `per`th click buys half an hour later, each order sent twice.
/// Answers the rate at the end and what the learner could not use.
fn day(per: Option<i64>) -> (f64, String) {
    let mut engine = engine();
    let declared = rate(&mut engine);
    assert!((declared - 0.2).abs() < 0.02, "{declared} before anything was learned");
    let mut coming = VecDeque::<(i64, i64, String)>::new();
    let mut clicks = 0;
    for number in 0..REQUESTS {
        let now = MIDNIGHT + number * STEP_MS;
        engine.at(now);
        while coming.front().is_some_and(|(at, ..)| *at <= now) {
            if let Some((_, bought, click)) = coming.pop_front() {
                (0..2).for_each(|repeated| buy(&mut engine, now, (bought, repeated), &click));
            }
        }
        let asked = request(&format!("r-{number}"), &format!("u-{number}"));
        let Some(bid) = engine.bid(&asked) else { continue };
        assert_eq!(engine.fetch(&bid.billed_at(&bid.price.to_string())).status, 200);
        let clicked = engine.fetch(&bid.click);
        assert_eq!(clicked.status, 302);
        clicks += 1;
        if per.is_some_and(|per| clicks % per == 0) {
            let landing = clicked.header("location").unwrap_or_default();
            let click = landing.split("obclid=").nth(1).expect("a click token").to_owned();
            coming.push_back((now + 30 * STEP_MS, number, click));
        }
    }
    engine.at(MIDNIGHT + (REQUESTS + 2) * STEP_MS);
    (rate(&mut engine), engine.admin.get("/metrics").text())
}

fn buy(engine: &mut Engine, now: i64, (number, repeated): (i64, i64), click: &str) {
    let event = json!({
        "id": format!("e-{number}-{repeated}"), "type": "purchase", "ts": now,
        "user": { "id": format!("u-{number}") }, "consent": true, "advertiser": "acme",
        "category": "running-shoes", "price": "20.00", "order_id": format!("o-{number}"),
        "click": click,
    });
    let reply = engine.public.post("/events", event.to_string().as_bytes());
    assert_eq!(reply.json()["accepted"], 1, "{}", reply.text());
}

#[test]
fn the_rate_of_conversions_is_learned_from_the_declared_one() {
    let (none, _) = day(None);
    let (often, metrics) = day(Some(2));
    println!("of 0.2 declared: {none:.3} where nobody buys, {often:.3} where every second does");
    assert!(none < 0.1, "{none}");
    // 240 clicks, of which the last 30 wait for their conversions, tell of 0.5 so much.
    assert!((0.35..0.75).contains(&often), "{often}");
    let lost: Vec<_> = metrics
        .lines()
        .filter(|line| line.starts_with("outbid_learner_lost_total{what=\"conv"))
        .collect();
    assert_eq!(lost.len(), 4, "{metrics}");
    assert!(lost.iter().all(|line| line.ends_with(" 0")), "{lost:?}");
    assert!(metrics.contains("outbid_conversion_prediction_over_actual "), "{metrics}");
    assert!(metrics.contains("outbid_learner_lag_seconds 0.0"), "{metrics}");
    assert!(metrics.contains("outbid_prediction_over_actual{exchange=\"x\"}"), "{metrics}");
}
