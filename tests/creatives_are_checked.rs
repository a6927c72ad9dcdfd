//! Creatives that exchanges refuse are refused when they are written: by `outbid check` from files
//! and by the API, with the same reason; and what is right is bid at once.

mod common;

use common::{Campaign, Engine, NOON, Site, request};
use serde_json::{Value, json};
use std::process::Command;

/// One right banner, to be spoiled.
fn banner() -> Value {
    json!({
        "name": "new-300x250", "landing_url": "https://acme.example/new", "iab_cats": ["IAB22"],
        "banner": { "w": 300, "h": 250, "image_url": "https://cdn.example/new.jpg" },
    })
}

/// What each is refused for: the pointer that is set in [`banner`], its value, and the reason.
fn wrong() -> Vec<(&'static str, Value, &'static str)> {
    let video = |key: &str, value: Value| {
        let mut video = json!({
            "mime": "video/mp4", "duration_s": 15, "w": 640, "h": 360, "bitrate": 900,
            "media_url": "https://cdn.example/new.mp4",
        });
        video[key] = value;
        video
    };
    vec![
        ("/landing_url", json!("http://acme.example/new"), "is no https URL"),
        ("/landing_url", json!(""), "is no https URL"),
        ("/name", json!("n".repeat(65)), "is not made of 1 to 64"),
        ("/iab_cats", json!(["Shoes"]), "is no IAB category"),
        ("/adomain", json!(["acme"]), "is no domain"),
        ("/banner/image_url", json!("http://cdn.example/new.jpg"), "is no https URL"),
        ("/banner/w", json!(0), "0"),
        ("/banner", json!({ "w": 300, "h": 250, "html": "<b>no click</b>" }), "click"),
        (
            "/banner",
            json!({ "w": 300, "h": 250, "html": "<a href=\"${OUTBID_CLICK}\"><img src=\"http://x.example/i\"></a>" }),
            "without TLS",
        ),
        (
            "/banner",
            json!({ "w": 300, "h": 250, "html": "<a href=\"${AUCTION_NONE}\">x</a>" }),
            "no macro",
        ),
        ("/video", video("bitrate", json!(100_001)), "exactly one of"),
        ("/attr", json!([64]), "64"),
        ("/language", json!("english please"), "is no language tag"),
        ("/impression_trackers", json!(["http://t.example/i"]), "is no https URL"),
        ("/unheard_of", json!(1), "unknown field"),
    ]
}

fn set(ad: &mut Value, pointer: &str, value: &Value) {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    ad.pointer_mut(parent).expect("a table")[key] = value.clone();
}

fn engine() -> Engine {
    let mut engine = Engine::start(Site::new(&[Campaign::default()], "", ""), Some(NOON));
    engine.at(NOON);
    engine
}

fn put(engine: &mut Engine, query: &str, ads: &Value) -> (u16, Value) {
    let body = json!({ "ads": ads }).to_string();
    let reply = engine.admin.put(&format!("/api/v1/campaigns/shoes{query}"), &body);
    (reply.status, reply.json())
}

#[test]
fn files_and_the_api_refuse_the_same() {
    let mut engine = engine();
    for (pointer, value, reason) in wrong() {
        let mut ad = banner();
        set(&mut ad, pointer, &value);
        let (status, answer) = put(&mut engine, "", &json!([ad]));
        assert_eq!(status, 422, "{pointer} = {value}: {answer}");
        let said = answer["error"].as_str().expect("a reason");
        assert!(said.contains(reason), "{pointer} = {value}: {said}");

        let site = Site::new(&[Campaign::default()], "", "");
        let file = site.folder().join("catalog/campaigns/shoes.toml");
        let mut text = std::fs::read_to_string(&file).expect("a campaign");
        let draft: toml::Value = serde_json::from_value(ad).expect("what TOML can say");
        let campaign = toml::Value::Table(
            [("ad".to_owned(), toml::Value::Array(vec![draft]))].into_iter().collect(),
        );
        let ads = toml::Value::Table([("campaign".to_owned(), campaign)].into_iter().collect());
        let ads = toml::to_string(&ads).expect("TOML");
        text.push_str(&ads);
        std::fs::write(&file, text).expect("a file");
        let mut check = Command::new(env!("CARGO_BIN_EXE_outbid"));
        let output = check.args(["check", "--config"]).arg(site.config_file()).output();
        let output = output.expect("it runs");
        let said =
            String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{pointer} = {value}");
        assert!(
            said.contains(reason) && said.contains("shoes.toml:"),
            "{pointer} = {value}: {said}"
        );
    }
    let view = engine.admin.get("/api/v1/campaigns/shoes").json();
    assert_eq!(view["ads"][0]["name"], "shoes-300x250", "nothing was changed");
}

#[test]
fn names_and_numbers_of_ads_are_the_whole_catalogs() {
    let campaigns = [
        Campaign::default(),
        Campaign { advertiser: "bolt", name: "tents", ..Campaign::default() },
    ];
    let mut engine = Engine::start(Site::new(&campaigns, "", ""), Some(NOON));
    engine.at(NOON);
    let mut taken = banner();
    taken["name"] = json!("tents-300x250");
    for (ads, reason) in [
        (json!([taken]), "`tents-300x250` exists already"),
        (json!([banner(), banner()]), "`new-300x250` exists already"),
        (json!([]), "1 to 64"),
    ] {
        let (status, answer) = put(&mut engine, "", &ads);
        assert_eq!(status, 422, "{answer}");
        assert!(answer["error"].as_str().is_some_and(|said| said.contains(reason)), "{answer}");
    }
}

#[test]
fn an_ad_is_bid_as_soon_as_it_is_put_and_stays_over_a_reload() {
    let mut engine = engine();
    let mut now = NOON;
    let mut ad = |engine: &mut Engine, id: &str| {
        // A tick between bids, in which leases are topped up.
        now += 1_000;
        engine.at(now);
        let asked = request(id, "reader").to_string();
        let reply = engine.exchange.post("/openrtb2/x/bid", asked.as_bytes());
        assert_eq!(reply.status, 200, "{id}");
        reply.json()["seatbid"][0]["bid"][0]["crid"].clone()
    };
    assert_eq!(ad(&mut engine, "before"), "shoes-300x250");
    let (status, would_be) = put(&mut engine, "?validate_only=true", &json!([banner()]));
    assert_eq!((status, &would_be["ads"][0]["name"]), (200, &json!("new-300x250")));
    assert_eq!(ad(&mut engine, "checked"), "shoes-300x250", "a check changes nothing");
    let (status, view) = put(&mut engine, "", &json!([banner()]));
    assert_eq!((status, &view["ads"]), (200, &would_be["ads"]));
    assert_eq!(ad(&mut engine, "after"), "new-300x250");
    assert_eq!(engine.admin.post("/api/v1/reload", b"").status, 200);
    assert_eq!(ad(&mut engine, "reloaded"), "new-300x250");
    let both = json!([banner(), { "name": "shoes-300x250", "landing_url": "https://acme.example/s",
        "iab_cats": ["IAB22"], "banner": { "w": 728, "h": 90, "image_url": "https://cdn.example/s.jpg" } }]);
    let (status, view) = put(&mut engine, "", &both);
    assert_eq!((status, view["ads"].as_array().map(Vec::len)), (200, Some(2)), "a name comes back");
}
