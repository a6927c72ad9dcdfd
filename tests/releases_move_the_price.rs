//! Promise: a changed release changes the score, and a raw count cannot reach it. Over real sockets:
//! hundreds of users click one campaign's ad; nothing in its score moves before the release is due,
//! much moves with it, and what comes after it waits for the next one.

mod common;

use common::{Campaign, Engine, Site, request};
use serde_json::{Value, json};

/// Midnight UTC of Monday, 2 March 2026: a day of two releases begins, at noon and at midnight.
const MIDNIGHT: i64 = 1_772_409_600_000;
const HOUR: i64 = 3_600_000;
const HALF_DAY: i64 = 12 * HOUR;
/// Users who are shown the ad and click it. The noise of a cell has a standard deviation of about
/// 4 clicks and 75 impressions, so that 500 of each cannot be hidden by it (6 deviations).
const USERS: i64 = 500;

/// What the score says of a campaign before and after.
#[derive(Clone, Debug, PartialEq)]
struct Scored {
    prior: f64,
    p_click: f64,
    price_micros: u64,
}

fn scored(engine: &mut Engine, campaign: &str) -> Scored {
    let explained = engine.explained(&request("why", "reader"), campaign);
    let price: &Value = &explained["price"];
    Scored {
        prior: price["prior_p_click"].as_f64().expect("a prior"),
        p_click: price["p_click"].as_f64().expect("a probability"),
        price_micros: price["price_micros"].as_u64().expect("a price"),
    }
}

/// The next bid for a user of whom nothing is known: its campaign and price.
fn next_bid(engine: &mut Engine, id: &str) -> (String, f64) {
    let bid = engine.bid(&request(id, "reader")).expect("a bid");
    (bid.campaign, bid.price)
}

/// `USERS` users, each on the way from `from` to `to`, are shown an ad and click it.
fn clicks(engine: &mut Engine, name: &str, from: i64, to: i64) {
    for user in 0..USERS {
        engine.at(from + user * (to - from) / USERS);
        let user = format!("{name}-{user}");
        let bid = engine.bid(&request(&user, &user)).expect("a bid");
        assert_eq!(engine.fetch(&bid.billed_at("1.00")).status, 200);
        assert_eq!(engine.fetch(&bid.click).status, 302);
    }
}

fn epsilon(engine: &mut Engine, key: &str) -> f64 {
    engine.report()["privacy"][key].as_f64().expect("an epsilon")
}

#[test]
fn many_clicks_move_a_score_when_they_are_released_and_not_before() {
    let campaign = |name, category, bid| Campaign {
        name,
        category,
        bid,
        strategy: "clicks",
        daily_budget: "1000000",
        ..Campaign::default()
    };
    let campaigns = [
        campaign("shoes", "running-shoes", "max_cpm = \"900\"\ncpc = \"1.20\""),
        campaign("tents", "tents", "max_cpm = \"900\"\ncpc = \"1.00\""),
    ];
    // The learner waits two days for clicks: whatever moves, it has not moved it.
    let more = "[prediction]\nclick_window_s = 172_800\n[privacy]\nreleases_per_day = 2\n\
                [budget]\ntick_ms = 600_000";
    let mut engine = Engine::start(Site::new(&campaigns, "", more), Some(MIDNIGHT));
    let noon = MIDNIGHT + HALF_DAY;
    // Within one hour, since the hour of the day is part of what is scored.
    engine.at(noon - HOUR);
    let both = |engine: &mut Engine| [scored(engine, "shoes"), scored(engine, "tents")];
    let priors = |scored: &[Scored; 2]| [scored[0].prior, scored[1].prior];
    let before = both(&mut engine);
    let (first, first_price) = next_bid(&mut engine, "first");
    assert_eq!(first, "shoes");

    clicks(&mut engine, "before", noon - HOUR, noon - 1);
    engine.at(noon - 1);
    assert_eq!(both(&mut engine), before, "500 clicks are counted, and none is released");
    assert_eq!(next_bid(&mut engine, "unmoved"), (first, first_price));
    assert_eq!(epsilon(&mut engine, "epsilon_spent"), 0.0);

    engine.at(noon);
    let released = both(&mut engine);
    println!("{before:?}\n{released:?}");
    assert!(released[0].prior > 3.0 * before[0].prior, "{released:?}");
    assert!(released[0].p_click > 2.0 * before[0].p_click, "{released:?}");
    let (second, second_price) = next_bid(&mut engine, "second");
    assert_eq!(second, "shoes");
    assert_eq!((second_price * 1e6).round(), released[0].price_micros as f64, "as explained");
    assert!(second_price > 2.0 * first_price, "{second_price} after {first_price}");

    // The report reads the same release, says which, and how far it may be off.
    let report = engine.report();
    assert_eq!(report["releases"], json!({ "epoch": 1, "at": noon }));
    let shoes =
        report["campaigns"].as_array().and_then(|all| all.iter().find(|c| c["id"] == "shoes"));
    let clicked = shoes.expect("the campaign")["clicks"].clone();
    let figure =
        |pointer: &str| clicked.pointer(pointer).and_then(Value::as_f64).expect("a figure");
    let (low, high) = (figure("/interval_95/0"), figure("/interval_95/1"));
    assert!(low < figure("/value") && figure("/value") < high && high - low > 1.0, "{clicked}");
    // Five deviations, so that noise fails it once in a million.
    let off = (figure("/value") - USERS as f64) / figure("/standard_error");
    assert!(off.abs() < 5.0, "{clicked}");
    let asked = |engine: &mut Engine| engine.admin.get("/api/v1/report?campaign=shoes").json();
    let one = asked(&mut engine);
    assert_eq!((&one["clicks"], &one["releases"]), (&clicked, &report["releases"]));
    let contexts = one["contexts"].as_array().expect("contexts");
    let of_contexts: f64 = contexts.iter().filter_map(|one| one["clicks"]["value"].as_f64()).sum();
    assert!((of_contexts - figure("/value")).abs() < 1e-6 && contexts.len() == 16, "{one}");
    engine.at(noon + 1);
    assert_eq!(asked(&mut engine), one, "the same question has the same answer");
    assert_eq!(engine.admin.get("/api/v1/report?campaign=nobody").status, 404);

    // The day's epsilon is spent. Whatever is clicked now waits: no tick may show it earlier.
    let spent = epsilon(&mut engine, "epsilon_spent");
    let budget = epsilon(&mut engine, "epsilon_budget");
    assert!(spent > 0.99 * budget && spent <= budget, "{spent} of {budget}");
    clicks(&mut engine, "after", noon, noon + HOUR - 1);
    engine.at(noon + HOUR - 1);
    assert_eq!(both(&mut engine), released, "500 more clicks change nothing");
    assert_eq!(next_bid(&mut engine, "waiting"), (second, second_price));
    let midnight = noon + HALF_DAY;
    engine.at(midnight - 1);
    assert_eq!(priors(&both(&mut engine)), priors(&released), "not in eleven hours of ticks");
    assert_eq!(epsilon(&mut engine, "epsilon_spent"), spent, "and cost nothing more");
    // The day's other release was paid for with the first.
    engine.at(midnight);
    assert_ne!(priors(&both(&mut engine)), priors(&released));
}
