//! Promise: whatever the standard lets an exchange ask, the answer is valid. A hundred thousand
//! requests, drawn from everything that a request may say in both spellings, go to a real engine
//! over a real socket; each bid passes the independent checker, and, as far as 2.5 knows its fields,
//! the JSON schema of 2.5.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]
#![allow(dead_code, reason = "the checker's files have a part for each of their tests")]

mod common;

#[path = "bids_are_valid/catalog.rs"]
mod catalog;
#[path = "generated_bids_are_valid/draw.rs"]
mod draw;
#[path = "generated_bids_are_valid/imp.rs"]
mod imp;
#[path = "bids_are_valid/media.rs"]
mod media;
#[path = "bids_are_valid/read.rs"]
mod read;
#[path = "generated_bids_are_valid/request.rs"]
mod request;
#[path = "bids_are_valid/rules.rs"]
mod rules;
#[path = "bids_are_valid/schema.rs"]
mod schema;

use catalog::Wishes;
use common::{Engine, NOON};
use draw::Draw;
use read::{objects, text};
use rules::broken;
use schema::schema_faults;
use std::collections::BTreeMap;

const SEED: u64 = 20_261_126;
/// Requests; `OUTBID_GENERATED` names another number.
const REQUESTS: usize = 100_000;
/// Milliseconds of simulated time between two requests: leases are renewed at ticks.
const STEP_MS: i64 = 100;
/// Of a hundred requests at least so many must get a bid, or nothing was put to the test.
const ANSWERED_PERCENT: usize = 40;

#[test]
fn every_bid_on_a_generated_request_is_valid() {
    let requests = std::env::var("OUTBID_GENERATED").ok();
    let requests = requests.and_then(|text| text.parse().ok()).unwrap_or(REQUESTS);
    let schema = schema::schema();
    let mut draw = Draw::new(SEED);
    let examples: Vec<_> = (0..200).map(|_| request::request(&mut draw)).collect();
    // Every deal and size that is drawn has its campaigns.
    let mut engine = Engine::start(catalog::site(&Wishes::of(examples.iter())), Some(NOON));
    let (mut answered, mut wrong, mut media) = (0, Vec::new(), BTreeMap::new());
    for number in 0..requests {
        let request = request::request(&mut draw);
        let body = request.to_string();
        engine.at(NOON + number as i64 * STEP_MS);
        let reply = engine.exchange.post("/openrtb2/x/bid", body.as_bytes());
        if reply.status == 204 {
            continue;
        }
        assert_eq!(reply.status, 200, "{}\n  {body}", reply.text());
        answered += 1;
        let response = reply.json();
        let mut faults: Vec<_> =
            broken(&request, &response).into_iter().map(str::to_owned).collect();
        faults.extend(schema.iter().flat_map(|schema| schema_faults(schema, &response)));
        if !faults.is_empty() {
            wrong.push(format!("{faults:?}\n  {body}\n  {response}"));
        }
        for bid in objects(&response["seatbid"]).iter().flat_map(|seat| objects(&seat["bid"])) {
            *media.entry(media::form(text(bid, "adm")).unwrap_or("unknown")).or_insert(0) += 1;
        }
    }
    println!("{requests} requests, {answered} answered; bids by medium: {media:?}");
    wrong.truncate(10);
    assert!(wrong.is_empty(), "wrong answers:\n{}", wrong.join("\n"));
    assert!(answered * 100 >= requests * ANSWERED_PERCENT, "too few answers");
    for medium in ["banner", "video", "audio", "native"] {
        assert!(media.contains_key(medium), "no bid for {medium}");
    }
}
