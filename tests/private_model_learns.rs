//! Promise: in strict mode, with `privacy.model = "dp-ftrl"`, a real server bids, what its users click reaches a score
//! with a release and never before, and the score explains itself.

mod common;

use common::{Campaign, Engine, Site, request};

/// Midnight UTC of Monday, 2 March 2026.
const MIDNIGHT: i64 = 1_772_409_600_000;
const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;
/// Users who are shown the ad and click it. One coordinate's noise has a deviation of about 13 by the
/// end of a day, and 400 clicks add up to 70: six deviations.
const USERS: i64 = 400;

/// The terms of the ad's own fields, which nothing but learning moves.
fn own_terms(engine: &mut Engine) -> Vec<f64> {
    let explained = engine.explained(&request("why", "reader"), "shoes");
    let terms = explained["price"]["contributions"].as_array().expect("terms").clone();
    let names = ["advertiser", "campaign", "creative", "category"];
    let term = |name: &str| terms.iter().find(|term| term[0] == name).expect("a term").clone();
    names.iter().map(|name| term(name)[1].as_f64().expect("nats")).collect()
}

#[test]
fn clicks_reach_a_score_with_a_release_and_not_before() {
    let shoes = Campaign {
        name: "shoes",
        category: "running-shoes",
        bid: "max_cpm = \"900\"\ncpc = \"1.20\"",
        strategy: "clicks",
        daily_budget: "1000000",
        ..Campaign::default()
    };
    let more = "[prediction]\nclick_window_s = 600\n[budget]\ntick_ms = 300_000\n\
                [relevance]\ncollaborative = false\n[privacy]\nmode = \"strict\"\nmodel = \"dp-ftrl\"\nmodel_rho_percent = 60\nreleases_per_day = 24\n\
                model_bits = 10\n\
                clicks = { per_cell = 1, cells = 3, total = 3, rho_percent = 22 }";
    let mut engine = Engine::start(Site::new(&[shoes], "", more), Some(MIDNIGHT));
    engine.at(MIDNIGHT + MINUTE);
    for user in 0..USERS {
        engine.at(MIDNIGHT + MINUTE + user * 40 * MINUTE / USERS);
        let user = format!("user-{user}");
        let bid = engine.bid(&request(&user, &user)).expect("a bid");
        assert_eq!(engine.fetch(&bid.billed_at("1.00")).status, 200);
        assert_eq!(engine.fetch(&bid.click).status, 302);
    }
    engine.at(MIDNIGHT + HOUR - 1);
    let learned = engine.report()["learner"]["counters"]["learned"].clone();
    assert!(
        learned.as_i64().is_none_or(|learned| learned >= USERS),
        "their windows ended: {learned}"
    );
    assert_eq!(own_terms(&mut engine), [0.0; 4], "400 clicks, and none is released");
    engine.at(MIDNIGHT + HOUR);
    let released = own_terms(&mut engine);
    assert!(released.iter().all(|nats| *nats > 0.05), "{released:?}");
    // The day's other releases are of what comes after.
    engine.at(MIDNIGHT + 2 * HOUR - 1);
    assert_eq!(own_terms(&mut engine), released);
    assert!(engine.bid(&request("last", "reader")).is_some());
}
