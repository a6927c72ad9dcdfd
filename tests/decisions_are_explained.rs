//! Any decision can be asked why: before it is made, with every filter and every step of the price;
//! and after, by the id of its auction.

mod common;

use common::{Bid, Campaign, Engine, NOON, Site, counter, request};
use serde_json::{Value, json};
use std::process::Command;

/// Two clicks campaigns of which `tents` pays more, one for desktops elsewhere, one that is poor.
fn engine() -> Engine {
    let clicks = Campaign { strategy: "clicks", ..Campaign::default() };
    let campaigns = [
        Campaign { bid: "max_cpm = \"9\"\ncpc = \"0.40\"", ..clicks },
        Campaign {
            advertiser: "bolt",
            name: "tents",
            category: "tents",
            bid: "max_cpm = \"9\"\ncpc = \"0.50\"",
            ..clicks
        },
        Campaign {
            advertiser: "corda",
            name: "ropes",
            category: "ropes",
            more: "[campaign.targeting]\ndevices = [\"phone\"]\ngeo = { include = [\"FRA\"] }",
            ..Campaign::default()
        },
        Campaign {
            advertiser: "dull",
            name: "pegs",
            category: "pegs",
            bid: "max_cpm = \"9\"\ncpc = \"0.0001\"",
            ..clicks
        },
    ];
    let mut engine = Engine::start(Site::new(&campaigns, "", ""), Some(NOON));
    engine.at(NOON);
    engine
}

fn explain(engine: &mut Engine, request: &Value, query: &str) -> Value {
    let reply = engine.admin.post(&format!("/explain?{query}"), request.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn campaign<'v>(explanation: &'v Value, name: &str) -> &'v Value {
    let campaigns = explanation["campaigns"].as_array().expect("a list");
    campaigns.iter().find(|one| one["campaign"] == name).expect("it is named")
}

#[test]
fn every_campaign_says_why_it_was_bid_or_not() {
    let mut engine = engine();
    let asked = request("why", "reader");
    let explained = explain(&mut engine, &asked, "exchange=x");
    assert_eq!(explained["no_bid"], Value::Null);
    assert_eq!(explained["bids"][0]["campaign"], "tents");
    let ends = ["tents", "shoes", "pegs"].map(|name| &campaign(&explained, name)["ads"][0]["end"]);
    assert_eq!(ends, ["bid", "outbid", "below_floor"]);
    let ropes = campaign(&explained, "ropes");
    assert_eq!(
        ropes["excluded"],
        json!([{ "not_included": "geo" }, { "not_included": "device" }]),
        "all filters, not the first alone"
    );
    assert_eq!(ropes["ads"], json!([]));
    let account = &campaign(&explained, "shoes")["account"]["day"];
    assert_eq!(account["budget"], "100000000000", "its money stands beside it: {account}");
}

/// Two imps, two who sell the same: the dearer one takes the first imp, the other neither.
#[test]
fn who_is_kept_apart_is_told_so() {
    let rival = Campaign { advertiser: "bolt", name: "spikes", ..Campaign::default() };
    let cheap = Campaign { advertiser: "corda", name: "ropes", category: "ropes", ..rival };
    let dear = Campaign { bid: "max_cpm = \"3\"", ..Campaign::default() };
    let cheap = Campaign { bid: "max_cpm = \"1\"", ..cheap };
    let mut engine = Engine::start(Site::new(&[dear, rival, cheap], "", ""), Some(NOON));
    engine.at(NOON);
    let mut asked = request("two", "reader");
    let mut second = asked["imp"][0].clone();
    second["id"] = json!("2");
    asked["imp"].as_array_mut().expect("imps").push(second);
    let explained = explain(&mut engine, &asked, "exchange=x");
    let ends = ["shoes", "spikes", "ropes"].map(|name| {
        let ads = campaign(&explained, name)["ads"].as_array().expect("ads");
        ads.iter().map(|ad| ad["end"].as_str().unwrap_or_default()).collect::<Vec<_>>()
    });
    assert_eq!(ends, [["bid", "kept_apart"], ["outbid", "kept_apart"], ["outbid", "bid"]]);
}

#[test]
fn every_filter_of_an_ad_is_named() {
    let mut engine = engine();
    let mut asked = request("why", "reader");
    asked["badv"] = json!(["acme.example"]);
    asked["imp"][0]["banner"] = json!({ "w": 728, "h": 90 });
    asked["imp"][0]["pmp"] = json!({ "private_auction": 1 });
    let explained = explain(&mut engine, &asked, "exchange=x");
    assert_eq!(explained["no_bid"], "no_campaign", "targeting by size comes first");
    // An imp of the same size beside it lets the campaigns through to the imp's own filters.
    let mut second = asked["imp"][0].clone();
    second["id"] = json!("2");
    second["banner"] = json!({ "w": 300, "h": 250 });
    asked["imp"].as_array_mut().expect("imps").push(second);
    let explained = explain(&mut engine, &asked, "exchange=x");
    let ads = campaign(&explained, "shoes")["ads"].as_array().expect("ads");
    let misfits: Vec<_> = ads.iter().map(|ad| &ad["misfits"]).collect();
    assert_eq!(misfits[0], &json!(["advertiser_blocked", "size", "deal"]));
    assert_eq!(misfits[1], &json!(["advertiser_blocked", "deal"]));
    let tents = &campaign(&explained, "tents")["ads"][1];
    assert_eq!((&tents["end"], &tents["misfits"]), (&json!("misfit"), &json!(["deal"])));
}

#[test]
fn a_price_is_the_sum_of_its_parts() {
    let mut engine = engine();
    let explained = explain(&mut engine, &request("why", "reader"), "exchange=x");
    let price = &campaign(&explained, "tents")["ads"][0]["price"];
    let pairs = |key: &str| -> Vec<(String, f64)> {
        let pairs = price[key].as_array().expect("pairs").iter();
        let pair = |pair: &Value| Some((pair[0].as_str()?.to_owned(), pair[1].as_f64()?));
        pairs.map(|one| pair(one).expect("a pair")).collect()
    };
    let logit: f64 = pairs("contributions").iter().map(|(_, nats)| nats).sum();
    let p_click = price["p_click"].as_f64().expect("a probability");
    assert!((1.0 / (1.0 + (-logit).exp()) - p_click).abs() < 1e-5, "{logit} and {p_click}");
    let factor = |name: &str| {
        let factors = pairs("factors");
        factors.iter().find(|(own, _)| own == name).map(|(_, value)| *value).expect("a factor")
    };
    assert_eq!(factor("cpc_micros"), 500_000.0);
    assert!((factor("value_micros") - 500_000.0 * p_click * 1_000.0).abs() < 1.0);
    assert_eq!(factor("price_micros"), price["price_micros"].as_f64().expect("a price"));
    assert_eq!(price["floor_micros"], 10_000);
}

#[test]
fn an_explanation_can_be_asked_for_another_user() {
    let mut engine = engine();
    let event = json!({
        "id": "e", "type": "view", "ts": NOON, "user": { "ifa": "0A-1" }, "consent": true,
        "advertiser": "bolt", "category": "tents",
    });
    let reply = engine.public.post("/events", event.to_string().as_bytes()).json();
    assert_eq!(reply["accepted"], 1, "{reply}");
    let asked = request("why", "reader");
    let interest = |engine: &mut Engine, query: &str| {
        let explained = explain(engine, &asked, query);
        campaign(&explained, "tents")["ads"][0]["price"]["interest"].as_f64().expect("a number")
    };
    assert_eq!(interest(&mut engine, "exchange=x"), 0.0);
    assert!(interest(&mut engine, "exchange=x&user=ifa%3A0a-1") > 0.0);
    assert_eq!(interest(&mut engine, "user=id%3A0a-1"), 0.0, "another namespace, another user");
    for (query, reason) in [
        ("user=ifa%3A0000", "names nobody"),
        ("exchange=nowhere", "no such exchange"),
        ("usr=x", "unknown field"),
    ] {
        let path = format!("/explain?{query}");
        let reply = engine.admin.post(&path, asked.to_string().as_bytes());
        assert_eq!(reply.status, 400, "{query}");
        assert!(reply.text().contains(reason), "{}", reply.text());
    }
}

#[test]
fn a_served_bid_is_found_by_its_auction() {
    let mut engine = engine();
    let asked = request("auction 7/a", "reader");
    let explained = explain(&mut engine, &asked, "exchange=x");
    let reply = engine.exchange.post("/openrtb2/x/bid", asked.to_string().as_bytes());
    assert_eq!(reply.status, 200);
    let (answer, bid) = (reply.json(), Bid::of(&reply.json()));
    let audit = engine.admin.get("/api/v1/auctions/auction%207%2Fa");
    assert_eq!(audit.status, 200, "{}", audit.text());
    let audit = audit.json();
    let found = &audit["bids"][0];
    assert_eq!(audit["auction"], answer["id"]);
    assert_eq!((&found["campaign"], &found["exchange"]), (&json!(bid.campaign), &json!("x")));
    assert_eq!(found["ad"], answer["seatbid"][0]["bid"][0]["crid"]);
    let micros = found["price_micros"].as_f64().expect("a price");
    assert_eq!(micros, (bid.price * 1e6).round());
    let price = &campaign(&explained, "tents")["ads"][0]["price"];
    for key in ["price_micros", "value_micros", "floor_micros", "p_click", "prior_p_click"] {
        assert_eq!(found[key], price[key], "{key} as it was explained");
    }
    assert_eq!(found["controllers"], price["controllers"]);
    assert_eq!(found["epochs"], explained["epochs"]);
    assert_eq!(audit["bids"].as_array().map(Vec::len), Some(1));

    assert_eq!(engine.admin.get("/api/v1/auctions/another").status, 404);
    engine.admin.key = None;
    assert_eq!(engine.admin.get("/api/v1/auctions/auction%207%2Fa").status, 401);
}

#[test]
fn the_command_line_asks_a_running_server() {
    let mut engine = engine();
    let asked = request("from outside", "reader");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("request.json");
    std::fs::write(&file, asked.to_string()).expect("a file");
    assert!(engine.bid(&asked).is_some());
    let server = engine.admin.address.to_string();
    let key = engine.admin.key.clone().expect("a key");
    let outbid = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outbid"));
        command.arg("explain").args(args).args(["--server", &server]);
        command.env("OUTBID_ADMIN_KEY", &key).output().expect("it runs")
    };
    let file = file.to_str().expect("a path");
    let run = outbid(&["--request", file, "--user", "ifa:0a-1", "--campaign", "tents", "--json"]);
    let explained: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!(explained["campaigns"].as_array().map(Vec::len), Some(1));
    assert_eq!(explained["campaigns"][0]["ads"][0]["end"], "bid");
    let run = outbid(&["--auction", "from outside"]);
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success() && text.contains("tents-300x250"), "{text}");
    let run = outbid(&["--auction", "unheard of"]);
    assert!(!run.status.success());
    assert!(String::from_utf8_lossy(&run.stderr).contains("no bid of this auction"));
    let metrics = engine.admin.get("/metrics").text();
    assert_eq!(counter(&metrics, "outbid_bid_requests_total "), 1, "explanations are no requests");
}
