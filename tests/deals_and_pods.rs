//! Promise: a deal is kept to the letter, goes first where the strategy says so, and what we bid for a
//! pod fits into it.

mod common;

use common::{Campaign, Engine, NOON, Site, request};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn engine(campaigns: &[Campaign]) -> Engine {
    let rates = "[currency]\nrates = { EUR = \"2\" }\n";
    let mut engine = Engine::start(Site::new(campaigns, "", rates), Some(NOON));
    engine.at(NOON);
    engine
}

/// The bids of the answer: each object as it was written. A first ask may be ahead of the leases.
fn bids(engine: &mut Engine, asked: &Value) -> Vec<Value> {
    let body = asked.to_string();
    for second in 1..4 {
        engine.at(NOON + second * 1_000);
        let reply = engine.exchange.post("/openrtb2/x/bid", body.as_bytes());
        if reply.status == 200 && second > 1 {
            let bids = reply.json()["seatbid"][0]["bid"].clone();
            return bids.as_array().cloned().unwrap_or_default();
        }
    }
    Vec::new()
}

/// What it shows, the campaign beside the open one, deals, `at` of the request; the winner's
/// advertiser, price and deal.
type Case<'a> = (&'a str, Campaign<'a>, Value, Value, (&'a str, f64, &'a str));

#[test]
fn deals_go_by_their_terms() {
    let own = "max_cpm = \"4\"";
    let open = Campaign { advertiser: "open", name: "open", category: "a", ..Campaign::default() };
    let fixed = Campaign { bid: own, ..Campaign::default() };
    let dealer = Campaign { strategy: "dealer", bid: "max_cpm = \"1.50\"", ..Campaign::default() };
    let targeted = Campaign { more: "[campaign.targeting]\ndeals = [\"d1\", \"d2\"]", ..fixed };
    // The open campaign bids 2.50.
    let cases: [Case; 12] = [
        ("no deal", targeted, json!([]), json!(1), ("open", 2.5, "")),
        (
            "first price",
            targeted,
            json!([{ "id": "d1", "bidfloor": 1, "at": 1 }]),
            json!(1),
            ("acme", 4.0, "d1"),
        ),
        (
            "second price",
            targeted,
            json!([{ "id": "d1", "bidfloor": 1, "at": 2 }]),
            json!(3),
            ("acme", 4.0, "d1"),
        ),
        (
            "fixed price",
            targeted,
            json!([{ "id": "d1", "bidfloor": 1.25, "at": 3 }]),
            json!(1),
            ("acme", 1.25, "d1"),
        ),
        (
            "fixed by the request",
            targeted,
            json!([{ "id": "d1", "bidfloor": 1.25 }]),
            json!(3),
            ("acme", 1.25, "d1"),
        ),
        (
            "fixed in euros",
            targeted,
            json!([{ "id": "d1", "bidfloor": 1.25, "bidfloorcur": "EUR", "at": 3 }]),
            json!(1),
            ("acme", 2.5, "d1"),
        ),
        (
            "above the value",
            targeted,
            json!([{ "id": "d1", "bidfloor": 4.01, "at": 3 }]),
            json!(1),
            ("open", 2.5, ""),
        ),
        (
            "not preferred",
            fixed,
            json!([{ "id": "d1", "bidfloor": 1 }]),
            json!(1),
            ("acme", 4.0, ""),
        ),
        (
            "preferred",
            dealer,
            json!([{ "id": "d7", "bidfloor": 1 }]),
            json!(1),
            ("acme", 1.5, "d7"),
        ),
        (
            "preferred but too dear",
            dealer,
            json!([{ "id": "d7", "bidfloor": 1.51 }]),
            json!(1),
            ("open", 2.5, ""),
        ),
        (
            "preferred but another's",
            dealer,
            json!([{ "id": "d7", "wadomain": ["x.example"] }]),
            json!(1),
            ("open", 2.5, ""),
        ),
        (
            "the cheaper of two",
            targeted,
            json!([{ "id": "d1", "bidfloor": 3, "at": 3 }, { "id": "d2", "bidfloor": 2, "at": 3 }]),
            json!(1),
            ("acme", 2.0, "d2"),
        ),
    ];
    for (what, campaign, deals, at, (advertiser, price, deal)) in cases {
        let mut engine = engine(&[open, campaign]);
        let mut asked = request(what, "reader");
        asked["at"] = at;
        asked["imp"][0]["pmp"] = json!({ "deals": deals });
        let bids = bids(&mut engine, &asked);
        assert_eq!(bids.len(), 1, "{what}");
        let text = |key: &str| bids[0][key].as_str().unwrap_or_default().to_owned();
        let found = (bids[0]["adomain"][0].clone(), bids[0]["price"].as_f64(), text("dealid"));
        let expected = (json!(format!("{advertiser}.example")), Some(price), deal.to_owned());
        assert_eq!(found, expected, "{what}");
        if advertiser == "acme" {
            assert_eq!(engine.explained(&asked, "open")["end"], "outbid", "{what}");
        }
        if what == "preferred but too dear" {
            let explained = engine.explained(&asked, "shoes");
            let offer = (&explained["end"], &explained["price"]["deal"]);
            assert_eq!(offer, (&"outbid".into(), &Value::Null), "the open offer counts");
        }
    }
}

/// Four advertisers with videos of 30, 20, 15 and 15 seconds, none a competitor of another.
fn films() -> Engine {
    films_of(&[
        ("a", "a", "4", 30),
        ("b", "b", "3", 20),
        ("c", "c", "2", 15),
        ("d", "d", "1.5", 15),
    ])
}

/// Advertisers with a video each: name, category, price and seconds.
fn films_of(films: &[(&str, &str, &str, u32)]) -> Engine {
    let film = |name: &str, cpm: &str, seconds: u32| {
        let file =
            "w = 640, h = 360, protocols = [2, 3], media_url = \"https://cdn.example/a.mp4\"";
        format!(
            "max_cpm = \"{cpm}\"\n[[campaign.ad]]\nname = \"{name}-film\"\n\
             video = {{ mime = \"video/mp4\", duration_s = {seconds}, {file} }}\n"
        )
    };
    let bids: Vec<_> =
        films.iter().map(|(name, _, cpm, seconds)| film(name, cpm, *seconds)).collect();
    let campaigns: Vec<_> = films
        .iter()
        .zip(&bids)
        .map(|((name, category, ..), bid)| Campaign {
            advertiser: name,
            name,
            category,
            bid,
            ..Campaign::default()
        })
        .collect();
    engine(&campaigns)
}

fn video(more: Value) -> Value {
    let mut video = json!({ "mimes": ["video/mp4"], "protocols": [2, 3] });
    for (key, value) in more.as_object().expect("an object") {
        video[key] = value.clone();
    }
    video
}

#[test]
fn what_is_bid_for_a_pod_fits_into_it() {
    let mut engine = films();
    // Length and places of the pod, and who is in it: what is worth most together.
    for (poddur, maxseq, expected) in [
        (60, 4, "acd"), // 7.50; 30 and 20 alone are 7.00, 20 and 15 twice 6.50
        (50, 4, "ab"),
        (50, 3, "ab"),
        (45, 4, "ac"),
        (30, 4, "a"),
        (29, 4, "b"),
        (80, 2, "ab"),
        (80, 4, "abcd"),
        (80, 1, "a"),
        (10, 4, ""),
    ] {
        let mut asked = request("pod", "reader");
        let pod = json!({ "poddur": poddur, "maxseq": maxseq, "podid": "p" });
        asked["imp"] = json!([{ "id": "1", "bidfloor": 0.01, "video": video(pod) }]);
        let bids = bids(&mut engine, &asked);
        let domains: BTreeSet<_> =
            bids.iter().map(|bid| bid["adomain"][0].as_str().unwrap_or_default()).collect();
        let who: String = domains.iter().filter_map(|domain| domain.chars().next()).collect();
        assert_eq!(who, expected, "{poddur} s, {maxseq} ads");
        let ids: BTreeSet<_> = bids.iter().map(|bid| bid["id"].to_string()).collect();
        assert_eq!((domains.len(), ids.len()), (bids.len(), bids.len()), "each once");
        let seconds: u64 = bids.iter().filter_map(|bid| bid["dur"].as_u64()).sum();
        assert!(seconds <= poddur && bids.iter().all(|bid| bid["impid"] == "1"), "{bids:?}");
        // The others are explained: too long by itself, or for what fills the pod better.
        let explained = engine.admin.post("/explain?exchange=x", asked.to_string().as_bytes());
        for campaign in explained.json()["campaigns"].as_array().expect("campaigns") {
            let name = campaign["campaign"].as_str().expect("a name");
            let ads = campaign["ads"].as_array().into_iter().flatten();
            let mut ends = ads.filter(|ad| ad["ad"] == format!("{name}-film")).map(|ad| &ad["end"]);
            let is_in = expected.contains(name);
            let expected = if is_in { ["bid"; 2] } else { ["outbid", "misfit"] };
            assert!(ends.all(|end| expected.iter().any(|one| end == one)), "{campaign}");
        }
    }
}

/// The dearer of two competitors is too long beside a third; that the third is dearer yet is not why.
#[test]
fn who_is_kept_apart_in_a_pod_is_told_so() {
    let mut engine = films_of(&[("a", "x", "4", 30), ("b", "x", "3.9", 15), ("c", "y", "5", 20)]);
    let mut asked = request("pod", "reader");
    let pod = json!({ "poddur": 35, "maxseq": 4, "podid": "p" });
    asked["imp"] = json!([{ "id": "1", "bidfloor": 0.01, "video": video(pod) }]);
    let explained = engine.admin.post("/explain?exchange=x", asked.to_string().as_bytes()).json();
    let ends: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|name| {
            let campaigns = explained["campaigns"].as_array().expect("campaigns");
            let own = campaigns.iter().find(|one| one["campaign"] == *name).expect("explained");
            let ads = own["ads"].as_array().expect("ads");
            let film = ads.iter().find(|ad| ad["ad"] == format!("{name}-film"));
            film.expect("a film")["end"].clone()
        })
        .collect();
    assert_eq!(ends, ["kept_apart", "bid", "bid"]);
}

/// What is not of the pod's player is shown in its place and leaves no room beside it.
#[test]
fn a_banner_in_place_of_a_pod_stands_alone() {
    let mut engine = films();
    for (poddur, expected) in [(60, "a-film c-film d-film"), (29, "a-300x250")] {
        let mut asked = request("pod", "reader");
        let pod = json!({ "poddur": poddur, "maxseq": 4, "podid": "p" });
        asked["imp"] = json!([{
            "id": "1", "bidfloor": 0.01, "video": video(pod), "banner": { "w": 300, "h": 250 },
        }]);
        let bids = bids(&mut engine, &asked);
        let mut ads: Vec<_> = bids.iter().filter_map(|bid| bid["crid"].as_str()).collect();
        ads.sort_unstable();
        assert_eq!(ads.join(" "), expected, "{poddur} s");
    }
}

/// A structured pod asks for one ad an imp; a hybrid one has both kinds.
#[test]
fn no_advertiser_stands_twice_in_a_pod_of_several_imps() {
    let mut engine = films();
    let place = |number: u32, more: Value| json!({ "id": number.to_string(), "bidfloor": 0.01, "video": video(more) });
    let slot = |number: i32| json!({ "podid": "p", "slotinpod": number, "maxduration": 30 });
    let rest = json!({ "podid": "p", "poddur": 35, "maxseq": 2, "rqddurs": [15, 20] });
    for (what, imps, expected) in [
        ("structured", vec![place(1, slot(1)), place(2, slot(0)), place(3, slot(-1))], "abc"),
        ("hybrid", vec![place(1, slot(1)), place(2, rest)], "abc"),
    ] {
        let mut asked = request(what, "reader");
        asked["imp"] = json!(imps);
        let bids = bids(&mut engine, &asked);
        let mut domains: Vec<_> =
            bids.iter().map(|bid| bid["adomain"][0].as_str().unwrap_or_default()).collect();
        domains.sort_unstable();
        let who: String = domains.iter().filter_map(|domain| domain.chars().next()).collect();
        assert_eq!(who, expected, "{what}");
    }
}
