//! What users visit speaks for ads: for those that show or resemble an item at once, for those of
//! what others went on to at the next tick, and for nothing where a user or a tenant did not agree.

mod common;

use common::{Campaign, Engine, NOON, Site, request};
use serde_json::{Value, json};
use std::fs;

const ITEMS: &str = r#"
[[item]]
advertiser = "acme"
id = "shoe-1"
category = "running-shoes"
brand = "fleet"
text = "light trail shoe"
[[item]]
advertiser = "bolt"
id = "tent-1"
category = "tents"
text = "tent for two"
[[item]]
advertiser = "acme"
id = "shoe-2"
category = "running-shoes"
brand = "fleet"
text = "light road shoe"
"#;

fn engine(more: &str) -> Engine {
    let pooled = "pooled_interest = true";
    let campaigns = [
        Campaign { more: pooled, ..Campaign::default() },
        Campaign {
            advertiser: "bolt",
            name: "tents",
            category: "tents",
            more: pooled,
            ..Campaign::default()
        },
        Campaign { advertiser: "lone", name: "lone-shoes", ..Campaign::default() },
    ];
    let site = Site::new(&campaigns, "", more);
    let catalog = site.folder().join("catalog");
    fs::write(catalog.join("items.toml"), ITEMS).expect("a file");
    for (campaign, shows) in [
        ("shoes", "items = [\"shoe-1\"]\nbrand = \"fleet\"\ntext = \"trail shoe\"\n"),
        ("tents", "items = [\"tent-1\"]\n"),
        ("lone-shoes", "brand = \"fleet\"\ntext = \"light trail shoe\"\n"),
    ] {
        let file = catalog.join(format!("campaigns/{campaign}.toml"));
        let text = fs::read_to_string(&file).expect("a file");
        // The ad is the last table of the file.
        fs::write(&file, format!("{text}{shows}")).expect("a file");
    }
    let mut engine = Engine::start(site, Some(NOON));
    engine.at(NOON);
    engine
}

fn visit(engine: &mut Engine, user: &str, advertiser: &str, item: &str) {
    let category = if advertiser == "acme" { "running-shoes" } else { "tents" };
    let event = json!({
        "id": format!("{user}-{item}"), "ts": NOON, "user": { "id": user }, "type": "view",
        "consent": true, "advertiser": advertiser, "category": category, "item": item,
    });
    let reply = engine.public.post("/events", event.to_string().as_bytes()).json();
    assert_eq!(reply["accepted"], 1, "{reply}");
}

/// (family, where from, score) of what speaks for the campaign's ad.
fn relevance(engine: &mut Engine, asked: &Value, campaign: &str) -> Vec<(String, String, f64)> {
    let ad = engine.explained(asked, campaign);
    let said = ad["price"]["relevance"].as_array().cloned().expect("a list");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    said.iter()
        .map(|one| (text(&one["family"]), text(&one["from"]), one["score"].as_f64().unwrap_or(9.0)))
        .collect()
}

fn sources(engine: &mut Engine, asked: &Value, campaign: &str) -> Vec<String> {
    let said = relevance(engine, asked, campaign);
    said.iter().map(|(family, from, _)| format!("{family}: {from}")).collect()
}

/// Ten users go from the shoe to the tent.
fn others(engine: &mut Engine) {
    for number in 0..10 {
        visit(engine, &format!("other-{number}"), "acme", "shoe-1");
        visit(engine, &format!("other-{number}"), "bolt", "tent-1");
    }
}

#[test]
fn an_item_speaks_for_its_ads_at_once_and_for_others_at_the_next_tick() {
    let mut engine = engine("");
    others(&mut engine);
    let asked = request("r", "reader");
    for campaign in ["shoes", "tents", "lone-shoes"] {
        assert!(sources(&mut engine, &asked, campaign).is_empty(), "{campaign}: nothing visited");
    }
    visit(&mut engine, "reader", "acme", "shoe-1");
    let said = relevance(&mut engine, &asked, "shoes");
    assert_eq!(said, [("content".to_owned(), "item `shoe-1`".to_owned(), 1.0)], "shown");
    assert!(sources(&mut engine, &asked, "lone-shoes").is_empty(), "lone is not in the pool");
    engine.at(NOON + 1_000);
    let expected = ["collaborative: item `shoe-1`", "collaborative: sessions like this one"];
    let mut said = sources(&mut engine, &asked, "tents");
    said.sort();
    assert_eq!(said, expected);
    // A shoe that no ad shows speaks for the ad that resembles it.
    let other = request("s", "walker");
    visit(&mut engine, "walker", "acme", "shoe-2");
    let said = relevance(&mut engine, &other, "shoes");
    assert_eq!(said.len(), 1);
    assert!(said[0].0 == "content" && said[0].2 > 0.3 && said[0].2 < 1.0, "{said:?}");

    let price = engine.explained(&asked, "tents")["price"].take();
    let terms = price["contributions"].as_array().cloned().expect("terms");
    let names: Vec<_> = terms.iter().filter_map(|term| term[0].as_str()).collect();
    assert!(names.contains(&"collaborative relevance") && names.contains(&"content relevance"));
    let logit: f64 = terms.iter().filter_map(|term| term[1].as_f64()).sum();
    let p_click = price["p_click"].as_f64().expect("a probability");
    assert!((1.0 / (1.0 + (-logit).exp()) - p_click).abs() < 1e-3 * p_click);

    let status = engine.inside().related.status();
    assert_eq!(status.visits, 22);
    assert!(status.pairs.pairs >= 2, "{status:?}");
    assert_eq!(status.pairs.items, 2, "shoe-2 stands alone");
    assert_eq!(status.sessions.sessions, 12);
    let metrics = engine.admin.get("/metrics").text();
    for figure in ["visits_total", "pairs", "items", "sessions"] {
        let line = format!("outbid_relevance_{figure} 0\n");
        assert!(metrics.contains(&line), "so few are not told: {metrics}");
    }
}

#[test]
fn an_arm_without_relevance_knows_interest_alone() {
    let mut engine = engine("[experiment.arms]\nno-relevance = 100\n");
    others(&mut engine);
    visit(&mut engine, "reader", "acme", "shoe-1");
    engine.at(NOON + 1_000);
    let asked = request("r", "reader");
    for campaign in ["shoes", "tents"] {
        assert!(sources(&mut engine, &asked, campaign).is_empty(), "{campaign}");
    }
    let price = engine.explained(&asked, "shoes")["price"].take();
    assert!(price["interest"].as_f64().is_some_and(|interest| interest > 0.5), "{price}");
}

#[test]
fn who_may_not_be_profiled_is_shown_nothing_by_visits() {
    let mut engine = engine("");
    others(&mut engine);
    visit(&mut engine, "reader", "acme", "shoe-1");
    engine.at(NOON + 1_000);
    let mut asked = request("r", "reader");
    assert_eq!(sources(&mut engine, &asked, "tents").len(), 2);
    asked["regs"] = json!({ "gdpr": 1 });
    for campaign in ["shoes", "tents"] {
        assert!(sources(&mut engine, &asked, campaign).is_empty(), "{campaign}");
    }
}

#[test]
fn without_collaboration_only_what_an_item_is_about_speaks() {
    let mut engine = engine("[relevance]\ncollaborative = false\n");
    others(&mut engine);
    visit(&mut engine, "reader", "acme", "shoe-1");
    engine.at(NOON + 1_000);
    let asked = request("r", "reader");
    assert!(sources(&mut engine, &asked, "tents").is_empty());
    assert_eq!(sources(&mut engine, &asked, "shoes"), ["content: item `shoe-1`"]);
    assert_eq!(engine.inside().related.status().visits, 0);
}
