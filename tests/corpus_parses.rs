//! Promise: what the wild sends is accepted, read completely, and never fatal.
//!
//! Every decision field of the view is compared with what an independent reader (a table of paths
//! over `serde_json::Value`) finds in the same body. The collection is read in place, from the
//! folder that `OUTBID_SHARED` names (default `../shared`); without it the tests say so and pass.

#![allow(dead_code, reason = "the checker's files have a part for each of their tests")]

#[path = "bids_are_valid/catalog.rs"]
mod catalog;
mod common;
#[path = "every_field_decides/declared.rs"]
mod declared;
#[path = "corpus_parses/invalid.rs"]
mod invalid;
#[path = "bids_are_valid/media.rs"]
mod media;
#[path = "bids_are_valid/read.rs"]
mod read;
#[path = "corpus_parses/rows.rs"]
mod rows;
#[path = "bids_are_valid/rules.rs"]
mod rules;

use common::{Campaign, Engine, NOON, Reply, Site, request};
use declared::declared;
use invalid::{End, INVALID};
use outbid::openrtb::{BidRequest, Data, Format, Imp, Limits, Native, parse};
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
            compare(id, "segment.", value, segment_rows(segment), compared);
        }
    }
}

fn compare_imp(id: &str, imp: &Imp<'_>, value: &Value, compared: &mut usize) {
    compare(id, "imp.", value, imp_rows(imp), compared);
    let deals = objects(&value["pmp"]["deals"]);
    assert_eq!(imp.pmp.deals.len(), deals.len(), "{id}: deals");
    for (deal, value) in imp.pmp.deals.iter().zip(&deals) {
        compare(id, "deal.", value, deal_rows(deal), compared);
        compare_each(id, "durfloors.", &deal.durfloors, &value["durfloors"], floor_rows, compared);
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
        // Where none of a list can be read, one stands there that nothing fits.
        let is_unreadable = objects(&value["banner"]["format"]).is_empty();
        if is_unreadable && !value["banner"]["format"].is_null() {
            assert_eq!(banner.format[..], [Format::default()], "{id}: format");
        } else {
            let theirs = &value["banner"]["format"];
            compare_each(id, "format.", &banner.format, theirs, format_rows, compared);
        }
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
    compare(id, "native.", value, native_rows(native), compared);
    let theirs = match &value["request"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        other => other.clone(),
    };
    let theirs = if theirs["native"].is_object() { theirs["native"].clone() } else { theirs };
    let asked = native.asks();
    assert!(asked.is_some() || !theirs.is_object(), "{id}: native request");
    let Some(asked) = asked else { return };
    let asked = asked.inner();
    compare(id, "native request.", &theirs, asked_rows(asked), compared);
    compare_each(id, "asset.", &asked.assets, &theirs["assets"], asset_rows, compared);
    let trackers = &theirs["eventtrackers"];
    compare_each(id, "tracker.", &asked.eventtrackers, trackers, tracker_rows, compared);
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
        compare(id, "eids.", value, eid_rows(ours), compared);
        compare_each(id, "uids.", &ours.uids, &value["uids"], uid_rows, compared);
    }
    let imps = objects(&value["imp"]);
    assert_eq!(request.imp.len(), imps.len(), "{id}: imps");
    for (imp, value) in request.imp.iter().zip(&imps) {
        compare_imp(id, imp, value, compared);
    }
}

/// The next field of the view cannot be forgotten here.
#[test]
fn every_field_that_is_read_has_a_row_for_each_of_its_spellings() {
    let tables = tables();
    let mut missing = Vec::new();
    for (field, spellings) in declared() {
        let (object, _) = field.split_once('.').expect("a field of an object");
        if PARENTS.contains(&&*field) {
            continue;
        }
        for key in spellings {
            let key = key.replace('/', ".");
            let has_row =
                tables.iter().filter(|(name, ..)| *name == object).any(|(_, at, rows)| {
                    let place = format!("{at}{key}");
                    rows.iter().any(|(.., paths)| paths.contains(&&*place))
                });
            if !has_row {
                missing.push(format!("{field} as `{key}`"));
            }
        }
    }
    assert!(missing.is_empty(), "read, and compared with nothing:\n{}", missing.join("\n"));
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
fn cut_bodies_never_panic() {
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

fn is_named(id: &str, name: &str) -> bool {
    id.strip_prefix("invalid/").and_then(|id| id.strip_suffix(".json")) == Some(name)
}

/// How a request that its source holds to be invalid ends with an engine that has ads of every size
/// and medium, and a bid is held against the standard.
fn end_of(engine: &mut Engine, id: &str, body: &str) -> End {
    // Money may have to be leased first, see `bids_are_valid`.
    for _ in 0..3 {
        engine.at(engine.exchange.now.unwrap_or(NOON) + 1_000);
        let reply = engine.exchange.post("/openrtb2/x/bid", body.as_bytes());
        match reply.status {
            400 => {
                let error = parse(body.as_bytes(), &Limits::default()).map(|_| ());
                let error = error.expect_err("what the engine refuses, the parser does");
                assert_eq!(reply.json()["error"], json!(error.to_string()), "{id}");
                return End::Refused(error.as_str());
            }
            200 => {
                let value: Value = serde_json::from_str(body).expect("JSON that was bid on");
                let broken = rules::broken(&value, &reply.json());
                assert!(broken.is_empty(), "{id}: {broken:?}\n  {body}\n  {}", reply.text());
                return End::Bid;
            }
            status => assert_eq!(status, 204, "{id}"),
        }
    }
    End::NoBid
}

#[test]
fn each_invalid_request_ends_as_listed() {
    let invalid = collected("invalid.jsonl");
    if invalid.is_empty() {
        return;
    }
    let bodies: Vec<Value> =
        invalid.iter().filter_map(|one| serde_json::from_str(&one.body).ok()).collect();
    let wishes = catalog::Wishes::of(bodies.iter());
    let mut engine = Engine::start(catalog::site(&wishes), Some(NOON));
    engine.at(NOON);
    let mut wrong = Vec::new();
    for Collected { id, body, .. } in &invalid {
        let end = end_of(&mut engine, id, body);
        let listed =
            INVALID.iter().find(|(_, _, names)| names.iter().any(|name| is_named(id, name)));
        let listed = listed.map(|(end, ..)| *end);
        if listed != Some(end) {
            wrong.push(format!("{id}: {end:?}, listed {listed:?}"));
        }
    }
    for name in INVALID.iter().flat_map(|(_, _, names)| *names) {
        if !invalid.iter().any(|one| is_named(&one.id, name)) {
            wrong.push(format!("{name} is listed and not in the collection"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn cut_bodies_get_a_reason_over_a_socket() {
    let mut served = Served::start();
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
