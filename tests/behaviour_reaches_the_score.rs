//! What users do reaches the very next decision: interest of the right tenant, and of nobody who
//! did not consent.

mod common;

use common::{Campaign, Engine, NOON, Site, request};
use serde_json::{Value, json};

fn events(advertiser: &str, category: &str, user: &str, is_consented: bool) -> String {
    let event = |number: usize| {
        json!({
            "id": format!("{advertiser}-{user}-{number}"), "ts": NOON, "user": { "id": user },
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

fn sessions(engine: &mut Engine) -> u64 {
    let report = engine.report();
    let shards = report["shards"].as_array().cloned().unwrap_or_default();
    shards.iter().map(|shard| shard["sessions"].as_u64().expect("a count")).sum()
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
    assert_eq!(sessions(&mut engine), 0, "events without consent leave nothing");
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
        assert_eq!(sessions(&mut engine), 1, "{field}: only the reader is remembered");
    }
}
