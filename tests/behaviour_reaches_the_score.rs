//! What users do reaches the very next decision: interest of the right tenant, and of nobody who
//! did not consent.

mod common;

use common::{Bid, Campaign, Engine, NOON, Site, request};
use serde_json::{Value, json};

fn events(advertiser: &str, category: &str, user: &str, is_consented: bool) -> String {
    events_at(NOON, advertiser, category, user, is_consented)
}

fn events_at(now: i64, advertiser: &str, category: &str, user: &str, is_consented: bool) -> String {
    let event = |number: usize| {
        json!({
            "id": format!("{advertiser}-{user}-{number}"), "ts": now, "user": { "id": user },
            "type": if number == 5 { "search" } else { "view" }, "consent": is_consented,
            "advertiser": advertiser, "category": category,
        })
    };
    (0..6).map(|number| format!("{}\n", event(number))).collect()
}

fn engine() -> Engine {
    let campaigns = [
        Campaign::default(),
        Campaign { advertiser: "bolt", name: "tents", category: "tents", ..Campaign::default() },
    ];
    let mut engine = Engine::start(Site::new(&campaigns, "", ""), Some(NOON));
    engine.at(NOON);
    engine
}

fn interest(engine: &mut Engine, request: &Value, campaign: &str) -> f64 {
    let ad = engine.explained(request, campaign);
    ad["price"]["interest"].as_f64().expect("an interest")
}

fn send(engine: &mut Engine, events: &str) {
    let reply = engine.public.post("/events", events.as_bytes()).json();
    assert_eq!(reply["accepted"], 6, "{reply}");
}

fn sessions(engine: &Engine) -> u64 {
    engine.shards().iter().map(|shard| shard.sessions as u64).sum()
}

#[test]
fn events_raise_their_own_tenants_category_in_the_next_decision_alone() {
    let mut engine = engine();
    let asked = request("r", "reader");
    assert_eq!(interest(&mut engine, &asked, "tents"), 0.0);
    send(&mut engine, &events("bolt", "tents", "reader", true));
    assert!(interest(&mut engine, &asked, "tents") > 0.0);
    assert_eq!(interest(&mut engine, &asked, "shoes"), 0.0, "another category");
    let stranger = request("s", "stranger");
    assert_eq!(interest(&mut engine, &stranger, "tents"), 0.0, "another user");

    // What acme saw of shoes is acme's; what bolt saw of shoes is not acme's, bolt being alone.
    send(&mut engine, &events("bolt", "running-shoes", "reader", true));
    assert_eq!(interest(&mut engine, &asked, "shoes"), 0.0, "another tenant's events");
    send(&mut engine, &events("acme", "running-shoes", "reader", true));
    assert!(interest(&mut engine, &asked, "shoes") > 0.0);
}

#[test]
fn without_consent_there_is_no_session_and_a_contextual_bid() {
    let mut engine = engine();
    send(&mut engine, &events("bolt", "tents", "refuser", false));
    assert_eq!(sessions(&engine), 0, "events without consent leave nothing");
    send(&mut engine, &events("bolt", "tents", "reader", true));
    let mut asked = request("free", "reader");
    assert!(interest(&mut engine, &asked, "tents") > 0.0);
    let restrictions = [("regs", "gdpr"), ("regs", "coppa"), ("device", "lmt")];
    for (second, (place, field)) in (1..).zip(restrictions) {
        // A tick between bids, in which leases are topped up.
        engine.at(NOON + second * 1_000);
        asked = request(field, "reader");
        asked[place][field] = json!(1);
        let price = engine.explained(&asked, "tents")["price"].take();
        assert_eq!(price["interest"], -1.0, "{field}: interest is off, not low");
        asked["user"]["id"] = json!(format!("stranger-{field}"));
        let Some(bid) = engine.bid(&asked) else {
            panic!("{field}: no contextual bid: {}", engine.report()["no_bid_reasons"]);
        };
        assert_eq!(engine.fetch(&bid.billed_at("1.00")).status, 200);
        assert_eq!(sessions(&engine), 1, "{field}: only the reader is remembered");
    }
}

/// Users whose clicks teach the model: a third of them like tents, a third shoes, a third neither.
const PUPILS: i64 = 90;
/// Milliseconds of simulated time for each pupil: all of them come before the first release, whose
/// noise is not seeded.
const STEP_MS: i64 = 15_000;

/// Shows the user one ad of the only advertiser that the request allows, and bills it.
fn show(engine: &mut Engine, user: &str, allowed: &str) -> Bid {
    let mut asked = request(&format!("{user}-{allowed}"), user);
    asked["badv"] = json!([if allowed == "acme" { "bolt.example" } else { "acme.example" }]);
    let bid = engine.bid(&asked).expect("a bid");
    assert_eq!(engine.fetch(&bid.billed_at("1.00")).status, 200);
    bid
}

/// Users see both ads, twice; who has done something in an ad's category clicks it once.
fn teach(engine: &mut Engine) {
    for number in 0..PUPILS {
        let now = NOON + number * STEP_MS;
        engine.at(now);
        let user = format!("pupil-{number}");
        let liked = [Some("acme"), Some("bolt"), None][number as usize % 3];
        if let Some(advertiser) = liked {
            let category = if advertiser == "acme" { "running-shoes" } else { "tents" };
            send(engine, &events_at(now, advertiser, category, &user, true));
        }
        for round in 0..2 {
            for advertiser in ["acme", "bolt"] {
                engine.at(now + (round + 1) * 1_000);
                let bid = show(engine, &user, advertiser);
                if liked == Some(advertiser) && round == 0 {
                    assert_eq!(engine.fetch(&bid.click).status, 302);
                }
            }
        }
    }
}

#[test]
fn events_change_the_winner_of_the_very_next_bid_once_interest_is_learned() {
    // Shoes pay a little more for a click, so of two equal predictions they win.
    let campaign = |advertiser, name, category, bid| Campaign {
        advertiser,
        name,
        category,
        bid,
        strategy: "clicks",
        daily_budget: "100000",
        ..Campaign::default()
    };
    let campaigns = [
        campaign("acme", "shoes", "running-shoes", "max_cpm = \"900\"\ncpc = \"1.20\""),
        campaign("bolt", "tents", "tents", "max_cpm = \"900\"\ncpc = \"1.00\""),
    ];
    let more =
        "[prediction]\nclick_window_s = 60\nbase_click_rate = 0.1\n[budget]\ntick_ms = 10_000";
    let mut engine = Engine::start(Site::new(&campaigns, "", more), Some(NOON));
    let mut number = 0;
    let mut winner = |engine: &mut Engine, user: &str| {
        number += 1;
        engine.bid(&request(&format!("r-{number}"), user)).map(|bid| bid.campaign)
    };
    engine.at(NOON);
    send(&mut engine, &events("bolt", "tents", "early", true));
    assert_eq!(winner(&mut engine, "early").as_deref(), Some("shoes"), "nothing is learned yet");

    teach(&mut engine);
    // The last click's window ends.
    let after = NOON + PUPILS * STEP_MS + 120_000;
    engine.at(after);
    for user in ["reader", "stranger"] {
        assert_eq!(winner(&mut engine, user).as_deref(), Some("shoes"), "{user} has done nothing");
    }
    send(&mut engine, &events_at(after, "bolt", "tents", "reader", true));
    assert_eq!(winner(&mut engine, "reader").as_deref(), Some("tents"), "the very next bid");
    assert_eq!(winner(&mut engine, "stranger").as_deref(), Some("shoes"), "nobody else's");
}
