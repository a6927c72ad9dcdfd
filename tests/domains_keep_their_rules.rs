//! What users do about their health leaves nothing behind, whoever reports it, and is read by nobody;
//! what minors do is read by nobody either.

mod common;

use common::{Campaign, Engine, MINUTE, NOON, Site, request};
use outbid::catalog::Sector;
use outbid::config::Config;
use outbid::server::{self, Asked};
use outbid::units::Timestamp;
use serde_json::{Value, json};

/// A shop and a clinic, whose campaigns ask for all that they may have.
fn engine() -> Engine {
    let campaigns = [
        Campaign { more: "pooled_interest = true", ..Campaign::default() },
        Campaign {
            advertiser: "clinic",
            name: "sleep",
            category: "sleep",
            more: "iab_cats = [\"IAB7-39\"]\nfrequency_caps = [{ count = 9, window_s = 60 }]",
            bid: "max_cpm = \"3.50\"",
            ..Campaign::default()
        },
        Campaign {
            advertiser: "bolt",
            name: "tents",
            category: "tents",
            more: "pooled_interest = true",
            ..Campaign::default()
        },
    ];
    // A sector makes the campaign of a health advertiser one, which only its advertiser's line says.
    let site = Site::with_sectors(&campaigns, &[("clinic", "health")]);
    let domain =
        "sector = \"health\"\nfeatures = [\"request\", \"priors\"]\ncategories = [\"vitamins\"]\n";
    std::fs::create_dir(site.folder().join("catalog/domains")).expect("a folder");
    std::fs::write(site.folder().join("catalog/domains/health.toml"), domain).expect("a file");
    let item = |number| {
        format!(
            "[[item]]\nadvertiser = \"acme\"\nid = \"snacks-{number}\"\ncategory = \"Vitamins\"\n"
        )
    };
    let items: String = (0..5).map(item).collect();
    std::fs::write(site.folder().join("catalog/items.toml"), items).expect("a file");
    let mut engine = Engine::start(site, Some(NOON));
    engine.at(NOON);
    engine
}

/// All that a user can do in a category, an item at a time.
fn acts(advertiser: &str, category: &str) -> String {
    let kinds = ["view", "search", "click", "add_to_cart", "purchase"];
    let act = |(number, kind)| {
        json!({
            "id": format!("{advertiser}-{category}-{number}"), "type": kind, "ts": NOON,
            "user": { "id": "reader" }, "consent": true, "advertiser": advertiser,
            "category": category, "item": format!("{category}-{number}"), "query": "how to sleep",
        })
    };
    (0..).zip(kinds).map(|one| format!("{}\n", act(one))).collect()
}

fn send(engine: &mut Engine, events: &str) {
    let reply = engine.public.post("/events", events.as_bytes()).json();
    assert_eq!((&reply["accepted"], &reply["rejected"]), (&json!(5), &json!([])), "{reply}");
}

fn explanation(engine: &mut Engine, asked: &Value) -> Value {
    engine.admin.post("/explain?exchange=x", asked.to_string().as_bytes()).json()
}

#[test]
fn health_behaviour_leaves_no_byte_and_changes_no_bid() {
    let mut engine = engine();
    // Somebody of whom something is known, so that there is a session to change.
    send(&mut engine, &acts("bolt", "tents"));
    let asked = request("r", "reader");
    let (sessions, explained) = (engine.sessions(), explanation(&mut engine, &asked));
    assert!(sessions.contains("UserSession"), "there is a session");
    for (advertiser, category) in [
        ("clinic", "sleep"),
        ("clinic", "running-shoes"), // a health advertiser's is health, whatever it calls it
        ("acme", "sleep"),           // a health campaign sells there
        ("acme", "IAB7-39"),
        ("bolt", "iab7"),
        ("bolt", "Vitamins"), // the domain says so
        ("acme", "snacks"),   // its feed says that they are vitamins
    ] {
        let before = engine.sessions();
        send(&mut engine, &acts(advertiser, category));
        assert_eq!(engine.sessions(), before, "{advertiser} {category}");
        assert_eq!(explanation(&mut engine, &asked), explained, "{advertiser} {category}");
    }
    assert_eq!(engine.inside().metrics.events.exact("unkept"), 35);
    // The same acts elsewhere do both.
    send(&mut engine, &acts("acme", "running-shoes"));
    assert_ne!(engine.sessions(), sessions);
    assert_ne!(explanation(&mut engine, &asked)["campaigns"], explained["campaigns"]);
}

#[test]
fn health_orders_count_although_nothing_is_kept() {
    let mut engine = engine();
    let bid = engine.bid(&request("r", "reader")).expect("a bid");
    assert_eq!(bid.campaign, "sleep", "the dearest");
    assert_eq!(engine.fetch(&bid.billed_at("1.00")).status, 200);
    assert_eq!(engine.fetch(&bid.click).status, 302);
    let sessions = engine.sessions();
    let order = json!({
        "id": "o", "type": "purchase", "ts": NOON, "user": { "id": "reader" }, "consent": true,
        "advertiser": "clinic", "category": "sleep", "order_id": "o-1", "price": "9.90",
    });
    let reply = engine.public.post("/events", order.to_string().as_bytes()).json();
    assert_eq!(reply["conversions"], json!({ "click_through": 1 }), "{reply}");
    assert_eq!(engine.sessions(), sessions);
}

/// What the ads of a campaign are scored by, with values that are not 0.
fn parts(engine: &mut Engine, asked: &Value, campaign: &str) -> Vec<String> {
    let ad = engine.explained(asked, campaign);
    let parts = ad["price"]["contributions"].as_array().cloned().unwrap_or_default();
    parts.iter().map(ToString::to_string).collect()
}

#[test]
fn health_ads_are_scored_as_for_a_stranger() {
    let mut engine = engine();
    let stranger = request("s", "stranger");
    let mut refuser = request("f", "reader");
    refuser["device"]["lmt"] = json!(1);
    let unknown = parts(&mut engine, &refuser, "sleep");
    send(&mut engine, &acts("bolt", "tents"));
    let reader = request("r", "reader");
    assert_eq!(engine.explained(&reader, "sleep")["price"]["interest"], -1.0);
    assert_eq!(parts(&mut engine, &reader, "sleep"), parts(&mut engine, &stranger, "sleep"));
    assert_eq!(parts(&mut engine, &reader, "sleep"), unknown, "as without consent");
    let drawn = engine.explained(&reader, "tents")["price"]["interest"].as_f64();
    assert!(drawn > Some(0.0), "the reader is known elsewhere");
}

#[test]
fn nothing_of_a_minor_is_read() {
    let mut engine = engine();
    send(&mut engine, &acts("bolt", "tents"));
    let mut asked = request("r", "reader");
    assert!(engine.explained(&asked, "tents")["price"]["interest"].as_f64() > Some(0.0));
    asked["user"]["yob"] = json!(2012);
    assert_eq!(engine.explained(&asked, "tents")["price"]["interest"], -1.0);
}

#[test]
fn each_domain_has_a_request_that_shows_it() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let config = Config::load(&root.join("outbid.toml")).expect("our own");
    // Six hours after noon, when it is day from coast to coast.
    let running = server::start_unheard(config, Timestamp(NOON + 6 * 60 * MINUTE)).expect("starts");
    let engine = running.engine();
    let of = |sector| {
        let catalog = engine.published.catalog.load_full();
        let own = catalog.all_campaigns().filter(|one| one.sector == sector);
        own.map(|one| one.name.clone()).collect::<Vec<_>>()
    };
    for (name, sector) in [
        ("ecommerce", Sector::Ecommerce),
        ("finance", Sector::Finance),
        ("education", Sector::Education),
        ("health", Sector::Health),
    ] {
        let body = std::fs::read(root.join(format!("requests/{name}.json"))).expect("a request");
        let explained = actix::System::new().block_on(engine.explain(&Asked::default(), &body));
        let explained = serde_json::to_value(explained.expect("explained")).expect("JSON");
        let campaigns = explained["campaigns"].as_array().cloned().unwrap_or_default();
        let find = |campaign: &String| {
            campaigns.iter().find(|one| one["campaign"] == campaign.as_str()).expect("explained")
        };
        let clears = |campaign: &&String| {
            let ads = find(campaign)["ads"].as_array().cloned().unwrap_or_default();
            ads.iter().any(|ad| ad["price"]["clears_floor"] == true)
        };
        let taking_part = of(sector).iter().filter(clears).count();
        assert!(taking_part >= 2, "{name}: {taking_part} of its campaigns could bid");
        if name == "education" {
            let banks = of(Sector::Finance);
            let excluded = |name: &String| {
                let reasons = find(name)["excluded"].as_array().cloned().unwrap_or_default();
                reasons.contains(&json!("minor"))
            };
            assert!(banks.iter().all(excluded), "the pupil is 14");
        }
    }
}
