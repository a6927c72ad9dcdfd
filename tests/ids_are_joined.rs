//! A user who is known under several ids is one user once somebody who may has said so: caps and
//! interest hold over all of them.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;

use common::{Bid, Campaign, Engine, MINUTE, NOON, Site, counter, request, until};
use outbid::session::AliasStatus;
use serde_json::{Value, json};

const CAPPED: Campaign = Campaign {
    advertiser: "acme",
    name: "shoes",
    category: "running-shoes",
    strategy: "fixed",
    daily_budget: "100",
    bid: "max_cpm = \"2.50\"",
    more: "frequency_caps = [{ count = 3, window_s = 86_400 }]",
};

const PROVED: &str = "auth = { kind = \"addresses\", allowed = [\"127.0.0.1/32\"] }\n";

/// A request of the user with this `user.id` and this `device.ifa`, none where empty.
fn asked(number: usize, id: &str, ifa: &str) -> Value {
    let mut request = request(&format!("r-{number}"), id);
    if !ifa.is_empty() {
        request["device"]["ifa"] = json!(ifa);
    }
    request
}

/// Reports a view by a user whose `user.id` is `id` and who has these other ids.
fn told(engine: &mut Engine, event: &str, now: i64, id: &str, ids: &Value, consent: bool) -> Value {
    let event = json!({
        "id": event, "type": "view", "ts": now, "user": { "id": id, "ids": ids },
        "advertiser": "acme", "category": "running-shoes", "consent": consent,
    });
    let reply = engine.public.post("/events", event.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// The alias table's own figures: metrics tell magnitudes.
fn aliases(engine: &Engine) -> AliasStatus {
    engine.inside().aliases.as_ref().map_or_else(AliasStatus::default, |table| table.status())
}

fn metric(engine: &mut Engine, name: &str) -> u64 {
    counter(&engine.admin.get("/metrics").text(), name)
}

fn found(engine: &mut Engine, request: &Value) -> Value {
    let body = request.to_string();
    engine.admin.post("/explain?exchange=x", body.as_bytes()).json()["found"].clone()
}

fn interest(engine: &mut Engine, request: &Value) -> f64 {
    engine.explained(request, "shoes")["price"]["interest"].as_f64().expect("a strength")
}

/// Bids of which the users' shards have heard.
fn pended(engine: &Engine) -> usize {
    engine.shards().iter().map(|shard| shard.counters.shows_pended as usize).sum()
}

/// Each id has been shown one ad when a login tells that they are one user: the cap of three leaves
/// one. Which of four shards has either session is chance, so several users go through it.
#[test]
fn a_cap_holds_over_two_ids_on_four_workers() {
    let mut engine = Engine::start(Site::new(&[CAPPED], "workers = 4", ""), None);
    let mut number = 0;
    let mut next = || {
        number += 1;
        number
    };
    let mut bids = 0;
    // A bid of which the user's shard has heard: the next request may come a millisecond too early.
    let mut bid = |engine: &mut Engine, request: &Value| {
        let bid = engine.bid(request)?;
        bids += 1;
        until("the shard hears of the bid", || (pended(engine) == bids).then_some(()));
        Some(bid)
    };
    // The worker's lease must have come, or there would be nothing to hold back.
    until("bids", || bid(&mut engine, &asked(next(), &format!("stranger-{}", next()), "")));
    for user in 0..6 {
        let (id, ifa) = (format!("reader-{user}"), format!("ab-{user}"));
        let by_id = until("a bid by id", || bid(&mut engine, &asked(next(), &id, "")));
        let by_ifa = until("a bid by ifa", || bid(&mut engine, &asked(next(), "", &ifa)));
        assert_eq!(engine.fetch(&by_id.billed_at("1.00")).status, 200);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = i64::try_from(now.expect("after 1970").as_millis()).expect("a time");
        told(&mut engine, &format!("login-{user}"), now, &id, &json!([{ "ifa": ifa }]), true);
        until("one session took over the other", || (aliases(&engine).merged > user).then_some(()));
        // The notice names the user as the bid did.
        assert_eq!(engine.fetch(&by_ifa.billed_at("1.00")).status, 200);
        let mut more = Vec::<Bid>::new();
        for _ in 0..10 {
            more.extend(bid(&mut engine, &asked(next(), &id, "")));
            more.extend(bid(&mut engine, &asked(next(), "", &ifa)));
        }
        assert_eq!(more.len(), 1, "of user {user}");
    }
    assert_eq!(aliases(&engine).joined, 6);
    assert_eq!(aliases(&engine).aliases, 12);
    for what in ["shows", "relays", "joins", "shard"] {
        let refused = format!("outbid_messages_refused_total{{what=\"{what}\"}}");
        assert_eq!(metric(&mut engine, &refused), 0, "{what}");
    }
}

#[test]
fn what_is_known_under_one_id_counts_under_the_other() {
    let mut engine = Engine::start(Site::new(&[CAPPED], "", ""), Some(NOON));
    engine.at(NOON);
    let (by_id, by_ifa) = (asked(1, "reader", ""), asked(2, "", "ab-1"));
    told(&mut engine, "e-1", NOON, "reader", &json!(null), true);
    let known = interest(&mut engine, &by_id);
    assert!(known > 0.0);
    assert_eq!(interest(&mut engine, &by_ifa), 0.0);

    let ids = json!([{ "ifa": "AB-1" }]);
    told(&mut engine, "e-2", NOON, "reader", &ids, false);
    assert_eq!(interest(&mut engine, &by_ifa), 0.0, "without consent nothing is joined");
    assert_eq!(aliases(&engine).aliases, 0);

    told(&mut engine, "e-3", NOON, "reader", &ids, true);
    let strength = interest(&mut engine, &by_id);
    assert!(strength > known, "{strength}");
    assert_eq!(interest(&mut engine, &by_ifa), strength);
    let ways: Vec<_> = [&by_id, &by_ifa].map(|request| found(&mut engine, request)).into();
    let by = |way: &Value| way["by"].clone();
    assert_eq!(ways.iter().map(by).collect::<Vec<_>>(), [json!("id"), json!("ifa")]);
    let through = ways.iter().filter(|way| way["through_alias"] == true).count();
    assert_eq!(through, 1, "the smaller key has the session: {ways:?}");

    // An id of which nobody has heard leads to nobody, but the second of a request may.
    let way = found(&mut engine, &asked(3, "reader", "unheard-of"));
    assert_eq!(way["by"], "id", "{way}");
}

/// An id that nobody used for the lifetime is a stranger's again.
#[test]
fn an_alias_ends() {
    let site = Site::new(&[CAPPED], "", "[session]\nalias_ttl_s = 3_600");
    let mut engine = Engine::start(site, Some(NOON));
    engine.at(NOON);
    told(&mut engine, "e-1", NOON, "reader", &json!([{ "ifa": "ab-1" }]), true);
    let (by_id, by_ifa) = (asked(1, "reader", ""), asked(2, "", "ab-1"));
    assert!(interest(&mut engine, &by_id) > 0.0 && interest(&mut engine, &by_ifa) > 0.0);
    engine.at(NOON + 70 * MINUTE);
    let known = [&by_id, &by_ifa].map(|request| interest(&mut engine, request) > 0.0);
    assert_eq!(known.iter().filter(|known| **known).count(), 1, "{known:?}: the session's own id");
}

/// Who may say it, and when: exchange's proof, configuration, consent of the request; whether two ids
/// of one request are joined.
#[test]
fn requests_join_ids_where_they_may() {
    for (proof, session, coppa, is_joined) in [
        (PROVED, "", 0, true),
        (PROVED, "[session]\nalias_from = \"requests\"", 0, true),
        ("", "", 0, false),
        (PROVED, "[session]\nalias_from = \"events\"", 0, false),
        (PROVED, "[session]\nalias_from = \"off\"", 0, false),
        (PROVED, "", 1, false),
    ] {
        let case = format!("{proof} {session} {coppa}");
        let site = Site::new(&[CAPPED], "", &format!("{proof}{session}"));
        let mut engine = Engine::start(site, Some(NOON));
        engine.at(NOON);
        told(&mut engine, "e-1", NOON, "reader", &json!(null), true);
        // Both ids are known, each for itself.
        assert!(engine.bid(&asked(1, "", "ab-1")).is_some(), "{case}");
        let mut both = asked(2, "reader", "ab-1");
        both["regs"] = json!({ "coppa": coppa });
        assert!(engine.bid(&both).is_some(), "{case}");
        engine.at(NOON + MINUTE);
        // The answer does not wait for the join, but whatever brings a later time does.
        let strength = interest(&mut engine, &asked(3, "", "ab-1"));
        assert_eq!(aliases(&engine).aliases, 2 * u64::from(is_joined), "{case}");
        assert_eq!(strength > 0.0, is_joined, "{case}");
        if is_joined {
            assert!(engine.bid(&asked(4, "reader", "")).is_some(), "{case}: the third");
            assert!(engine.bid(&asked(5, "", "ab-1")).is_none(), "{case}: no fourth");
        }
    }
}

#[test]
fn a_tenant_joins_no_more_than_that_many_ids() {
    let mut engine = Engine::start(Site::new(&[CAPPED], "", ""), Some(NOON));
    engine.at(NOON);
    for number in 0..10 {
        let ids = json!([{ "ifa": format!("ab-{number}") }]);
        told(&mut engine, &format!("e-{number}"), NOON, "reader", &ids, true);
    }
    assert_eq!(aliases(&engine).aliases, 8);
    assert_eq!(aliases(&engine).too_many, 3);
}
