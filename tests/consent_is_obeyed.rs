//! Each permission is obeyed by whatever depends on it, over real sockets: the session, frequency
//! caps, interest, segments, and measurement, each for itself.

mod common;

use common::tc::{Tc, gpp, us};
use common::{Bid, Campaign, Engine, MINUTE, NOON, Site, counter, request};
use serde_json::{Value, json};

/// Our number on the vendor list.
const US: u16 = 755;
/// Milliseconds between ticks, in which leases are topped up: each bid waits for one.
const TICK: i64 = 10_000;

const CAMPAIGNS: [Campaign; 2] = [
    Campaign {
        advertiser: "acme",
        name: "shoes",
        category: "running-shoes",
        strategy: "fixed",
        daily_budget: "100",
        bid: "max_cpm = \"2.50\"",
        more: "frequency_caps = [{ count = 1, window_s = 86_400 }]",
    },
    Campaign {
        advertiser: "bolt",
        name: "clubs",
        category: "golf",
        strategy: "fixed",
        daily_budget: "100",
        bid: "max_cpm = \"1.50\"",
        more: "targeting.segments = { include = [\"golfers\"] }",
    },
];

fn engine() -> Engine {
    let consent = format!("[consent]\nvendor_id = {US}\n[budget]\ntick_ms = {TICK}\n");
    let mut engine = Engine::start(Site::new(&CAMPAIGNS, "", &consent), Some(NOON));
    engine.at(NOON);
    engine
}

/// A request of this user under the GDPR, with consent to these purposes.
fn asked(user: &str, purposes: &[u16]) -> Value {
    let mut asked = request(user, user);
    asked["regs"] = json!({ "gdpr": 1 });
    asked["user"]["consent"] = json!(Tc::consenting(US, purposes).text());
    asked["user"]["data"] = json!([{ "segment": [{ "id": "golfers" }] }]);
    asked
}

/// Makes a session with interest in running shoes.
fn remember(engine: &mut Engine, user: &str) {
    let event = json!({
        "id": format!("e-{user}"), "ts": NOON, "user": { "id": user }, "type": "view",
        "consent": true, "advertiser": "acme", "category": "running-shoes",
    });
    let reply = engine.public.post("/events", event.to_string().as_bytes()).json();
    assert_eq!(reply["accepted"], 1, "{reply}");
}

fn sessions(engine: &Engine) -> u64 {
    engine.shards().iter().map(|shard| shard.sessions as u64).sum()
}

/// Contributions that the releases refused because the user may not be measured.
fn unmeasured(engine: &mut Engine) -> u64 {
    // A report settles what is under way; it shows no number as small as these.
    engine.report();
    let asked = engine.inside().aggregates.address().send(outbid::privacy::CountDropped);
    actix_web::rt::System::new().block_on(asked).expect("the aggregates answer").no_permission
}

fn explanation(engine: &mut Engine, request: &Value) -> Value {
    engine.admin.post("/explain?exchange=x", request.to_string().as_bytes()).json()
}

fn billed(engine: &mut Engine, request: &Value) -> Bid {
    let bid = engine.bid(request).unwrap_or_else(|| panic!("no bid: {}", engine.report()));
    assert_eq!(engine.fetch(&bid.billed_at("1.00")).status, 200);
    bid
}

/// What each consent does to a user whom we know: purposes; is interest known, does the segment
/// count, is the show remembered past the bid's own window, is it measured.
#[test]
fn each_permission_is_obeyed_for_itself() {
    for (purposes, personalised, stored, measured) in [
        (&[1, 2, 3, 4, 7][..], true, true, true),
        (&[1, 2, 3, 4], true, true, false),
        (&[1, 2, 7], false, true, true),
        (&[1, 2, 3], false, true, false),
        (&[1, 3, 4, 7], false, false, true),
        (&[2, 3, 4, 7], false, false, false),
        (&[], false, false, false),
    ] {
        let mut engine = engine();
        remember(&mut engine, "reader");
        let known = asked("reader", purposes);

        let interest = engine.explained(&known, "shoes")["price"]["interest"].as_f64();
        assert_eq!(interest.is_some_and(|nats| nats > 0.0), personalised, "{purposes:?}");
        assert_eq!(interest == Some(-1.0), !personalised, "{purposes:?}: off, not low");
        let explained = explanation(&mut engine, &known);
        let excluded = |name: &str| {
            let campaigns = explained["campaigns"].as_array().expect("campaigns");
            let found = campaigns.iter().find(|one| one["campaign"] == name).expect("a campaign");
            found["excluded"].as_array().is_some_and(|reasons| !reasons.is_empty())
        };
        assert_eq!(excluded("clubs"), !personalised, "{purposes:?}: segments");
        assert_eq!(explained["has_user"], stored || measured, "{purposes:?}: nobody needs the id");

        // A stranger, so that a session can be seen to begin.
        let stranger = asked("stranger", purposes);
        let bid = engine.bid(&stranger).expect("a bid");
        assert_eq!(bid.campaign, "shoes");
        engine.at(NOON + TICK);
        let again = engine.bid(&stranger).is_none_or(|bid| bid.campaign != "shoes");
        assert_eq!(again, stored, "{purposes:?}: the pending show fills the cap");
        assert_eq!(engine.fetch(&bid.billed_at("1.00")).status, 200);
        // Two hours later no show is pending any more: what counts is in the session.
        engine.at(NOON + 120 * MINUTE);
        let later = engine.bid(&stranger).is_none_or(|bid| bid.campaign != "shoes");
        assert_eq!(later, stored, "{purposes:?}: the show fills the cap");
        assert_eq!(sessions(&engine), 1 + u64::from(stored), "{purposes:?}");
        assert_eq!(unmeasured(&mut engine) == 0, measured, "{purposes:?}");
        let before = unmeasured(&mut engine);
        assert_eq!(engine.fetch(&bid.click).status, 302);
        assert_eq!(unmeasured(&mut engine) == before, measured, "{purposes:?}: the click");
    }
}

/// Whoever takes a permission back is not known by what was stored before.
#[test]
fn a_session_is_not_read_without_permission() {
    let mut engine = engine();
    let granted = asked("reader", &[1, 2, 3, 4, 7]);
    assert_eq!(billed(&mut engine, &granted).campaign, "shoes");
    for (tick, purposes, campaign) in
        [(1, &[1, 2, 3, 4, 7][..], "clubs"), (2, &[2, 3, 4, 7], "shoes"), (3, &[1, 7], "shoes")]
    {
        engine.at(NOON + tick * TICK);
        let bid = engine.bid(&asked("reader", purposes)).expect("a bid");
        assert_eq!(bid.campaign, campaign, "{purposes:?}: whether the cap is known");
    }
}

#[test]
fn losses_free_a_cap_without_measurement() {
    let mut engine = engine();
    let asked = asked("reader", &[1, 2]);
    let bid = engine.bid(&asked).expect("a bid");
    engine.at(NOON + TICK);
    assert!(engine.bid(&asked).is_none());
    assert_eq!(engine.fetch(&bid.loss).status, 200);
    engine.at(NOON + 2 * TICK);
    assert!(engine.bid(&asked).is_some(), "the lost show does not count");
}

/// An advertiser's server that speaks of a consent of its own gives back nothing that the bid's user
/// had refused.
#[test]
fn what_follows_from_a_bid_without_measurement_is_not_measured() {
    for (purposes, measured) in [(&[1, 2][..], false), (&[1, 2, 7], true)] {
        let mut engine = engine();
        let bid = engine.bid(&asked("reader", purposes)).expect("a bid");
        let token = bid.click.split("t=").nth(1).expect("a token");
        let event = json!({
            "id": "p", "ts": NOON, "user": { "id": "customer" }, "type": "purchase",
            "consent": true, "advertiser": "acme", "category": "running-shoes",
            "order_id": "o-1", "click": format!("x.{token}"),
        });
        let reply = engine.public.post("/events", event.to_string().as_bytes()).json();
        assert_eq!(reply["conversions"], json!({ "click_through": 1 }), "{reply}");
        assert_eq!(unmeasured(&mut engine) == 0, measured, "{purposes:?}");
    }
}

/// The table of clicks and views has only users who may be measured.
#[test]
fn conversions_find_nobody_who_is_not_measured() {
    for (purposes, outcome) in
        [(&[1, 2, 3, 4, 7][..], "click_through"), (&[1, 2, 3, 4], "unattributed")]
    {
        let mut engine = engine();
        let bid = billed(&mut engine, &asked("reader", purposes));
        assert_eq!(engine.fetch(&bid.click).status, 302);
        let purchase = json!({
            "id": "p", "ts": NOON, "user": { "id": "reader" }, "type": "purchase", "consent": true,
            "advertiser": "acme", "category": "running-shoes", "order_id": "o",
        });
        let reply = engine.public.post("/events", purchase.to_string().as_bytes()).json();
        assert_eq!(reply["conversions"], json!({ outcome: 1 }), "{purposes:?}: {reply}");
    }
}

#[test]
fn explanations_and_counters_name_what_restricts() {
    let mut engine = engine();
    let mut partly = asked("reader", &[1, 2, 7]);
    let explained = explanation(&mut engine, &partly);
    let expected = json!({
        "store_session": true, "personalise": false, "precise_geo": true, "measure": true,
    });
    assert_eq!(explained["permissions"], expected);
    let personalise = json!(["personalise"]);
    let expected = json!([
        { "signal": "tcf_purpose_3", "forbids": personalise },
        { "signal": "tcf_purpose_4", "forbids": personalise },
    ]);
    assert_eq!(explained["restrictions"], expected);
    let full = explanation(&mut engine, &asked("reader", &[1, 2, 3, 4, 7]));
    assert_eq!(full["restrictions"], json!([]));
    // One that gets no bid at all is explained too.
    partly["wseat"] = json!(["another"]);
    let explained = explanation(&mut engine, &partly);
    assert_eq!(explained["no_bid"], "seat_excluded");
    assert_eq!(explained["restrictions"], expected);

    billed(&mut engine, &asked("reader", &[1, 2, 7]));
    engine.at(NOON + TICK);
    billed(&mut engine, &asked("stranger", &[2, 7]));
    let metrics = engine.admin.get("/metrics").text();
    let count =
        |signal: &str| counter(&metrics, &format!("outbid_restricted_total{{what=\"{signal}\"}}"));
    let signals = ["tcf_purpose_1", "tcf_purpose_2", "tcf_purpose_3", "coppa"];
    assert_eq!(signals.map(count), [1, 0, 2, 0]);
}

/// Who is opted out of targeted advertising in the United States is still capped and measured.
#[test]
fn american_choices_are_obeyed() {
    let mut engine = engine();
    remember(&mut engine, "reader");
    let mut untargeted = request("reader", "reader");
    let section = us(2, "111111 221 2222222222222222 000 0 122", Some(false));
    untargeted["regs"] = json!({ "gpp": gpp(&[(7, &section)]), "gpp_sid": [7] });
    assert_eq!(engine.explained(&untargeted, "shoes")["price"]["interest"], -1.0);
    billed(&mut engine, &untargeted);
    engine.at(NOON + TICK);
    assert!(engine.bid(&untargeted).is_none(), "the cap holds");
    assert_eq!(unmeasured(&mut engine), 0);
    engine.at(NOON + 2 * TICK);

    untargeted["regs"]["gpp_sid"] = json!([8]);
    billed(&mut engine, &untargeted);
    assert!(unmeasured(&mut engine) > 0, "a section that is missing leaves nothing");
    assert_eq!(sessions(&engine), 1);
}

/// What is for adults is shown to no child, wherever the child is.
#[test]
fn children_are_children_on_no_page_too() {
    let bank = Campaign {
        name: "bank",
        more: "sector = \"finance\"\ntargeting.geo = { include = [\"USA\"] }",
        ..Campaign::default()
    };
    let mut engine = Engine::start(Site::new(&[bank], "", ""), None);
    let mut excluded = |asked: &Value| {
        let explained = explanation(&mut engine, asked);
        explained["campaigns"][0]["excluded"].clone()
    };
    let page = request("page", "reader");
    let mut nowhere = request("nowhere", "reader");
    nowhere.as_object_mut().expect("a request").remove("site");
    for mut asked in [page, nowhere] {
        assert_eq!(excluded(&asked), json!([]), "{asked}");
        let child = us(2, "111111 222 2222222222222222 020 0 122", None);
        let known = json!({ "gpp": gpp(&[(7, &child)]), "gpp_sid": [7] });
        for regs in [json!({ "coppa": 1 }), known] {
            asked["regs"] = regs;
            assert_eq!(excluded(&asked), json!(["minor"]), "{asked}");
        }
    }
}
