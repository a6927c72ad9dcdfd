//! Promise: what the wild sends is accepted, read completely, and never fatal.
//!
//! Every decision field of the view is compared with what an independent reader (a table of paths
//! over `serde_json::Value`) finds in the same body. The collection is read in place, from the
//! folder that `OUTBID_SHARED` names (default `../shared`); without it the tests say so and pass.

mod common;
#[path = "corpus_parses/rows.rs"]
mod rows;

use common::{Campaign, Engine, NOON, Reply, Site, request};
use outbid::openrtb::{BidRequest, Data, Imp, Limits, Native, parse};
use rows::*;
use serde_json::{Value, json};
use std::path::PathBuf;

/// A collected body: its name in the collection, and the bytes.
struct Collected {
    id: String,
    body: String,
    /// None of five other parsers took it.
    is_refused_by_peers: bool,
}

/// The lines of `corpus/NAME`, or nothing (said aloud) when the collection is not there.
fn collected(name: &str) -> Vec<Collected> {
    let shared = std::env::var("OUTBID_SHARED").map_or_else(
        |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let path = shared.join("corpus").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: {} is not there (set OUTBID_SHARED)", path.display());
        return Vec::new();
    };
    text.lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            let text = |key: &str| line[key].as_str().expect("text").to_owned();
            let is_refused_by_peers = line["peers_all_refuse"] == true;
            Collected { id: text("id"), body: text("body"), is_refused_by_peers }
        })
        .collect()
}

/// The objects of a list.
fn objects(value: &Value) -> Vec<Value> {
    elements(value).into_iter().filter(Value::is_object).collect()
}

fn compare_data(id: &str, ours: &[Data<'_>], value: &Value, compared: &mut usize) {
    let theirs = objects(value);
    assert_eq!(ours.len(), theirs.len(), "{id}: data");
    for (data, value) in ours.iter().zip(&theirs) {
        let segments = objects(&value["segment"]);
        assert_eq!(data.segment.len(), segments.len(), "{id}: segment");
        for (segment, value) in data.segment.iter().zip(&segments) {
            let rows: Vec<Row> = vec![("id", t(&segment.id), Kind::Text, &["id"])];
            compare(id, "segment.", value, rows, compared);
        }
    }
}

fn compare_imp(id: &str, imp: &Imp<'_>, value: &Value, compared: &mut usize) {
    compare(id, "imp.", value, imp_rows(imp), compared);
    let deals = objects(&value["pmp"]["deals"]);
    assert_eq!(imp.pmp.deals.len(), deals.len(), "{id}: deals");
    for (deal, value) in imp.pmp.deals.iter().zip(&deals) {
        compare(id, "deal.", value, deal_rows(deal), compared);
    }
    for (key, has) in [
        ("banner", imp.banner.is_some()),
        ("video", imp.video.is_some()),
        ("audio", imp.audio.is_some()),
        ("native", imp.native.is_some()),
    ] {
        assert_eq!(has, value[key].is_object(), "{id}: {key}");
    }
    if let Some(banner) = &imp.banner {
        compare(id, "banner.", &value["banner"], banner_rows(banner), compared);
        let sizes: Vec<Value> = banner
            .format
            .iter()
            .map(|format| json!([format.w, format.h, format.wratio, format.hratio, format.wmin]))
            .collect();
        let theirs: Vec<Value> = objects(&value["banner"]["format"])
            .iter()
            .map(|format| {
                let side = |key: &str| understood(&format[key], Kind::Size);
                json!([side("w"), side("h"), side("wratio"), side("hratio"), side("wmin")])
            })
            .collect();
        assert_eq!(sizes, theirs, "{id}: format");
    }
    if let Some(video) = &imp.video {
        compare(id, "video.", &value["video"], video_rows(video), compared);
    }
    for (ours, value) in [
        (imp.video.as_ref().map(|video| &video.durfloors[..]), &value["video"]["durfloors"]),
        (imp.audio.as_ref().map(|audio| &audio.durfloors[..]), &value["audio"]["durfloors"]),
    ] {
        compare_each(id, "durfloors.", ours.unwrap_or_default(), value, floor_rows, compared);
    }
    if let Some(audio) = &imp.audio {
        compare(id, "audio.", &value["audio"], audio_rows(audio), compared);
    }
    if let Some(native) = &imp.native {
        compare_native(id, native, &value["native"], compared);
    }
}

fn compare_native(id: &str, native: &Native<'_>, value: &Value, compared: &mut usize) {
    use Kind::*;
    let rows: Vec<Row> = vec![
        ("battr", c(native.battr), Codes, &["battr"]),
        ("api", c(native.api), Codes, &["api"]),
    ];
    compare(id, "native.", value, rows, compared);
    let theirs = match &value["request"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        other => other.clone(),
    };
    let theirs = if theirs["native"].is_object() { theirs["native"].clone() } else { theirs };
    let asked = native.asks();
    assert!(asked.is_some() || !theirs.is_object(), "{id}: native request");
    let Some(asked) = asked else { return };
    let assets = objects(&theirs["assets"]);
    assert_eq!(asked.inner().assets.len(), assets.len(), "{id}: assets");
    for (asset, value) in asked.inner().assets.iter().zip(&assets) {
        let img = asset.img.clone().unwrap_or_default();
        let data = asset.data.clone().unwrap_or_default();
        let title = asset.title.clone().unwrap_or_default();
        let rows: Vec<Row> = vec![
            ("id", n(asset.id), Int, &["id"]),
            ("required", f(asset.required), Flag, &["required"]),
            ("title.len", n(title.len), Size, &["title.len"]),
            ("img.type", n(img.r#type), Int, &["img.type"]),
            ("img.w", n(img.w), Size, &["img.w"]),
            ("img.h", n(img.h), Size, &["img.h"]),
            ("img.wmin", n(img.wmin), Size, &["img.wmin"]),
            ("img.hmin", n(img.hmin), Size, &["img.hmin"]),
            ("img.mimes", ts(&img.mimes), Texts, &["img.mimes"]),
            ("data.type", n(data.r#type), Int, &["data.type"]),
            ("data.len", n(data.len), Size, &["data.len"]),
        ];
        compare(id, "asset.", value, rows, compared);
    }
}

/// Compares the objects of a list, one by one.
fn compare_each<T>(
    id: &str,
    place: &str,
    ours: &[T],
    value: &Value,
    rows: fn(&T) -> Vec<Row>,
    compared: &mut usize,
) {
    let theirs = objects(value);
    assert_eq!(ours.len(), theirs.len(), "{id}: {place}");
    for (ours, value) in ours.iter().zip(&theirs) {
        compare(id, place, value, rows(ours), compared);
    }
}

fn compare_chain(id: &str, request: &BidRequest<'_>, value: &Value, compared: &mut usize) {
    let places = [&value["source"]["schain"], &value["source"]["ext"]["schain"]];
    let theirs = places.into_iter().find(|chain| chain.is_object());
    assert_eq!(request.source.schain.is_some(), theirs.is_some(), "{id}: schain");
    let Some((ours, value)) = request.source.schain.as_ref().zip(theirs) else { return };
    compare(id, "schain.", value, chain_rows(ours), compared);
    compare_each(id, "nodes.", &ours.nodes, &value["nodes"], node_rows, compared);
}

/// The first of `values` that is a list with objects in it, or an object.
fn first_given(values: [&Value; 2]) -> &Value {
    let [newer, older] = values;
    if objects(newer).is_empty() { older } else { newer }
}

fn compare_request(id: &str, request: &BidRequest<'_>, value: &Value, compared: &mut usize) {
    compare(id, "", value, request_rows(request), compared);
    compare(id, "device.", &value["device"], device_rows(&request.device), compared);
    compare(id, "device.geo.", &value["device"]["geo"], geo_rows(&request.device.geo), compared);
    compare_chain(id, request, value, compared);
    compare_data(id, &request.user.data, &value["user"]["data"], compared);
    for (key, ours) in [("site", &request.site), ("app", &request.app), ("dooh", &request.dooh)] {
        assert_eq!(ours.is_some(), value[key].is_object(), "{id}: {key}");
        let Some(inventory) = ours else { continue };
        compare(id, "inventory.", &value[key], inventory_rows(inventory), compared);
        let content = &value[key]["content"];
        assert_eq!(inventory.content.is_some(), content.is_object(), "{id}: content");
        if let Some(ours) = &inventory.content {
            compare(id, "content.", content, content_rows(ours), compared);
        }
    }
    let eids = first_given([&value["user"]["eids"], &value["user"]["ext"]["eids"]]);
    let eids = objects(eids);
    assert_eq!(request.user.eids.len(), eids.len(), "{id}: eids");
    for (ours, value) in request.user.eids.iter().zip(&eids) {
        let rows: Vec<Row> = vec![("source", t(&ours.source), Kind::Text, &["source"])];
        compare(id, "eids.", value, rows, compared);
        for (uid, value) in ours.uids.iter().zip(&objects(&value["uids"])) {
            let rows: Vec<Row> = vec![("id", t(&uid.id), Kind::Text, &["id"])];
            compare(id, "uids.", value, rows, compared);
        }
    }
    let imps = objects(&value["imp"]);
    assert_eq!(request.imp.len(), imps.len(), "{id}: imps");
    for (imp, value) in request.imp.iter().zip(&imps) {
        compare_imp(id, imp, value, compared);
    }
}

/// Collected requests that are refused, each with its reason. All others that every one of five
/// parsers refuses are accepted: what those stumble over (text for an object, null lists, codes that
/// no list has, site and app in one) is either skipped or not read at all, and none of it hinders an
/// answer.
const REFUSED: &[(&str, &str)] = &[
    // Nothing that an answer could be addressed to.
    ("request-incoming/mediasquare__supplemental__no-valid-response.json", "no_id"),
];

#[test]
fn collected_requests_are_accepted_and_read_completely() {
    let requests = collected("requests.jsonl");
    let (mut refused, mut compared, mut decided) = (Vec::new(), 0, 0);
    for Collected { id, body, is_refused_by_peers } in &requests {
        decided += usize::from(*is_refused_by_peers);
        match parse(body.as_bytes(), &Limits::default()) {
            Ok(request) => {
                let value: Value = serde_json::from_str(body).expect("JSON that we accepted");
                compare_request(id, &request, &value, &mut compared);
            }
            Err(error) => {
                refused.push((id.as_str(), error.as_str()));
            }
        }
    }
    println!(
        "{} requests, {} refused, {compared} given fields equal; all peers refuse {decided}",
        requests.len(),
        refused.len()
    );
    assert!(refused.len() * 200 <= requests.len(), "less than 99.5 % accepted");
    assert!(requests.is_empty() || refused == REFUSED, "{refused:?}");
    assert!(requests.is_empty() || compared > 20_000, "the comparison compared nothing");
}

#[test]
fn invalid_and_cut_bodies_never_panic() {
    let mut accepted = 0;
    let invalid = collected("invalid.jsonl");
    for Collected { id, body, .. } in &invalid {
        match parse(body.as_bytes(), &Limits::default()) {
            // Broken in what we do not read, or in what merely cannot be bid on.
            Ok(_) => accepted += 1,
            Err(error) => println!("refused {id}: {error}"),
        }
    }
    println!("{} invalid requests, {accepted} accepted on purpose", invalid.len());
    for Collected { id, body, .. } in collected("requests.jsonl").iter().step_by(29) {
        for cut in 0..body.len() {
            let refused = parse(&body.as_bytes()[..cut], &Limits::default());
            assert!(refused.is_err(), "{id} cut at {cut} was accepted");
        }
    }
}

#[test]
fn a_body_of_nested_brackets_is_refused() {
    for open in ["[", "{\"a\":", "{\"ext\":[", "[{\"imp\":"] {
        let mut body = String::from("{\"id\":\"r\",\"imp\":[{\"id\":\"1\"}],\"ext\":");
        while body.len() < 200_000 {
            body.push_str(open);
        }
        let error = parse(body.as_bytes(), &Limits::default()).expect_err("a refusal");
        assert_eq!(error.as_str(), "too_deep", "{open}");
    }
}

/// A server, and whether it still bids.
struct Served(Engine);

impl Served {
    fn start() -> Self {
        let mut engine = Engine::start(Site::new(&[Campaign::default()], "", ""), Some(NOON));
        engine.at(NOON);
        Self(engine)
    }

    fn post(&mut self, body: &[u8]) -> Reply {
        self.0.exchange.post("/openrtb2/x/bid", body)
    }

    /// Posts what must be refused, and says why it was.
    fn refused(&mut self, name: &str, body: &[u8]) -> String {
        let reply = self.post(body);
        assert_eq!(reply.status, 400, "{name}: {}", reply.text());
        let error = reply.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(!error.is_empty() && error.lines().count() == 1, "{name}: `{error}`");
        error
    }

    fn still_bids(&mut self) -> bool {
        // Two seconds later, when what earlier bids hold of its money is replaced.
        self.0.at(NOON + 2_000);
        self.post(request("good", "reader").to_string().as_bytes()).status == 200
    }
}

/// Whether a body is not even what every OpenRTB request is.
fn is_no_request(body: &str) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(body) else { return true };
    value["id"].as_str().is_none_or(str::is_empty) || objects(&value["imp"]).is_empty()
}

#[test]
fn invalid_and_cut_bodies_get_a_reason_over_a_socket() {
    let mut served = Served::start();
    let invalid = collected("invalid.jsonl");
    let mut refused = 0;
    for Collected { id, body, .. } in &invalid {
        if is_no_request(body) {
            served.refused(id, body.as_bytes());
            refused += 1;
            continue;
        }
        // Broken in what is another's business, as an exchange's own extensions: never an error.
        let status = served.post(body.as_bytes()).status;
        assert!([200, 204, 400].contains(&status), "{id}: {status}");
    }
    println!("{} invalid requests, {refused} of them no requests at all", invalid.len());
    assert!(invalid.is_empty() || refused > 0);
    for Collected { id, body, .. } in collected("requests.jsonl").iter().step_by(97) {
        let whole = body.trim_end();
        for cut in [0, 1, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            served.refused(&format!("{id} cut at {cut}"), &whole.as_bytes()[..cut]);
        }
    }
    assert!(served.still_bids());
}

/// A request whose `place` (a path of keys into its only imp, or of its top) holds `raw`.
fn with_raw(place: &[&str], raw: &str) -> String {
    let mut asked = request("nested", "reader");
    let (last, path) = place.split_last().expect("a key");
    path.iter().fold(&mut asked, |value, key| match key.parse::<usize>() {
        Ok(index) => &mut value[index],
        Err(_) => &mut value[*key],
    })[*last] = json!("RAW");
    asked.to_string().replace("\"RAW\"", raw)
}

#[test]
fn two_hundred_kilobytes_of_nested_brackets_are_refused_over_a_socket() {
    const BYTES: usize = 200_000;
    let mut served = Served::start();
    let reasons = &mut Vec::new();
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]"), ("{\"ext\":[", "]}")] {
        let depth = BYTES / (open.len() + close.len());
        let closed = format!("{}0{}", open.repeat(depth), close.repeat(depth));
        let unclosed = open.repeat(BYTES / open.len());
        for nested in [&closed, &unclosed] {
            reasons.push(served.refused("all of the body", nested.as_bytes()));
            // What we read, what we skip, what we have never heard of.
            for place in [
                &["ext"][..],
                &["nobody_knows_this"],
                &["site", "ext"],
                &["site", "content", "ext"],
                &["imp"],
                &["imp", "0", "ext"],
                &["imp", "0", "banner", "format"],
                &["imp", "0", "native", "ext"],
                &["user", "ext"],
                &["user", "data"],
            ] {
                let body = with_raw(place, nested);
                reasons.push(served.refused(&place.join("."), body.as_bytes()));
            }
            // A document within a string: nothing of the body itself is nested.
            let text = json!(nested[..150_000]).to_string();
            let body = with_raw(&["imp", "0", "native", "request"], &text);
            reasons.push(served.refused("imp.native.request", body.as_bytes()));
            // As much as a string may have: this native cannot be read, its banner can.
            let short = json!(nested[..8_000]).to_string();
            let body = with_raw(&["imp", "0", "native", "request"], &short);
            let status = served.post(body.as_bytes()).status;
            assert!([200, 204, 400].contains(&status), "a short native.request: {status}");
        }
    }
    reasons.sort_unstable();
    reasons.dedup();
    println!("{reasons:?}");
    assert!(served.still_bids());
}
