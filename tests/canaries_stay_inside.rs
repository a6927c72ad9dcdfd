//! Promise: what a user is called and what few users did stays inside. Users with unmistakable ids
//! are planted in every place that a request, a notice and an event have for one; then every route,
//! metric, log line (at the level of traces) and file of the state folder is searched, after an
//! orderly end and after a kill, for the ids in any spelling, for our own keys of them, and for the
//! numbers of what they did.
//!
//! Beside it two worlds that differ in what one user did are compared route by route: before a
//! release nothing tells them apart.

mod common;

#[path = "canaries_stay_inside/planted.rs"]
mod planted;
#[path = "canaries_stay_inside/search.rs"]
mod search;

use common::{Bid, Campaign, MINUTE, NOON, Process, Reply, Site, path_of, request, until};
use outbid::server::{self, Keys, Options};
use outbid::units::Timestamp;
use planted::{BIDS, BILLS, CLICKS, CONVERSIONS, Canary, EVENTS, USERS};
use search::{Needles, counts_in_json, counts_in_metrics, files};
use serde_json::{Value, json};

const CAMPAIGN: Campaign = Campaign {
    name: "shoes",
    category: "running-shoes",
    strategy: "fixed",
    daily_budget: "1000",
    bid: "max_cpm = \"2.50\"",
    advertiser: "acme",
    more: "",
};

/// Every path that a GET may ask for, where `{id}` and `{auction}` stand for names.
const ASKED: &[&str] = &[
    "/healthz",
    "/readyz",
    "/metrics",
    "/latency",
    "/latency?stage=total",
    "/api/v1/auctions/{auction}",
    "/api/v1/report",
    "/api/v1/report?campaign={id}",
    "/api/v1/events",
    "/api/v1/events?limit=10000",
    "/api/v1/events?auction={auction}",
    "/api/v1/campaigns",
    "/api/v1/campaigns/{id}",
    "/api/v1/ledger",
    "/api/v1/privacy",
    "/api/v1/segments",
    "/api/v1/ledger?campaign={id}",
];

/// Routes that answer about what they are sent, and change something or take a body: each is called by
/// this test or says nothing of users.
const OTHERS: &[&str] = &[
    "/explain",
    "/api/v1/reload",
    "/api/v1/reload/rates",
    "/api/v1/campaigns/{id}/edits",
    "/api/v1/campaigns/{id}/adjustments",
    "/api/v1/simulation/clock",
    "/api/v1/privacy/forget",
    "/openrtb2/{exchange}/bid",
    "/notice/win",
    "/notice/billing",
    "/notice/loss",
    "/pixel",
    "/pixel/{advertiser}",
    "/click",
    "/events",
];

/// A route that is added must be walked here too.
#[test]
fn every_route_is_walked() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/run.rs");
    let source = std::fs::read_to_string(source).expect("the routes' source");
    // Every text in that file that could be a path is one.
    let routes = source.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/'));
    let known = |route: &str| {
        let asked = ASKED.iter().map(|path| path.split('?').next().unwrap_or(path));
        let asked = asked.map(|path| path.replace("{auction}", "{id}"));
        OTHERS.contains(&route) || asked.into_iter().any(|path| path == route)
    };
    let routes: Vec<_> = routes.collect();
    assert!(routes.len() > 20, "{routes:?}");
    let unknown: Vec<_> = routes.iter().filter(|route| !known(route)).collect();
    assert!(unknown.is_empty(), "nobody looks for users in {unknown:?}");
}

fn pathed(path: &str) -> String {
    path.replace("{id}", CAMPAIGN.name).replace("{auction}", "canary-0")
}

/// Plays what the canaries do; the last bid's click URL still to be clicked is none.
fn play(process: &mut Process, canaries: &[Canary]) {
    let mut landings = Vec::new();
    for number in 0..BIDS {
        let canary = &canaries[number % USERS];
        let asked = canary.request(&format!("canary-{number}")).to_string();
        let bid = until("a bid", || {
            let reply = process.exchange.post("/openrtb2/x/bid", asked.as_bytes());
            (reply.status == 200).then(|| Bid::of(&reply.json()))
        });
        if number < BILLS {
            assert_eq!(process.public.get(path_of(&bid.billed_at("1.00"))).status, 200);
        }
        if number < CLICKS {
            assert_eq!(process.public.get(path_of(&bid.view)).status, 200);
            let reply = process.public.get(path_of(&bid.click));
            landings.push(reply.header("location").expect("a landing page").to_owned());
        }
    }
    let now = now_ms();
    for (number, landing) in landings.iter().enumerate().take(CONVERSIONS) {
        let click = landing.split("obclid=").nth(1).expect("a click's id");
        let canary = &canaries[number % USERS];
        if number % 2 == 0 {
            let path = format!("/pixel/acme?obclid={click}&order={}", canary.order(number));
            let reply = process.public.get(&path);
            assert_eq!(reply.header("x-outbid-outcome"), Some("click_through"));
        } else {
            let event = canary.purchase(number, now, click).to_string();
            let reply = process.public.post("/events", event.as_bytes()).json();
            assert_eq!(reply["conversions"], json!({ "click_through": 1 }), "{reply}");
        }
    }
    for number in 0..EVENTS {
        let event = canaries[number % USERS].visit(number, now).to_string();
        assert_eq!(process.public.post("/events", event.as_bytes()).json()["accepted"], 1);
    }
    // What cannot be read is refused, and tells nobody what it was.
    let broken = canaries[0].request("broken").to_string().replace("\"imp\":", "\"imp\":[[{,");
    assert_eq!(process.exchange.post("/openrtb2/x/bid", broken.as_bytes()).status, 400);
    let refused = canaries[0].visit(0, now).to_string().replace("\"view\"", "\"glance\"");
    process.public.post("/events", refused.as_bytes());
    assert!(process.public.get(&format!("/click?e=x&t={}", canaries[0].user_id)).status >= 400);
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_millis()).expect("a time")
}

/// Asks every route, as an operator may, and gives each answer to the search.
fn walk(process: &mut Process, canaries: &[Canary], needles: &Needles) -> Vec<String> {
    let mut found = Vec::new();
    for path in ASKED {
        let path = pathed(path);
        let reply = process.admin.get(&path);
        found.extend(needles.in_text(&path, &reply.text()));
        let counted = if path == "/metrics" {
            counts_in_metrics(&reply.text())
        } else if path.starts_with("/latency") || path.ends_with("z") {
            // Stages of requests, and words.
            Vec::new()
        } else {
            let text = reply.text();
            let values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
            values.flatten().flat_map(|value| counts_in_json(&value)).collect()
        };
        found.extend(counted.into_iter().map(|what| format!("{path}: {what}")));
    }
    for asked in [canaries[0].request("canary-0"), request("stranger", "stranger")] {
        let path = "/explain?exchange=x";
        let reply = process.admin.post(path, asked.to_string().as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
        found.extend(needles.in_text(path, &reply.text()));
        found.extend(counts_in_json(&reply.json()));
    }
    found
}

#[test]
fn planted_users_are_found_nowhere() {
    let more = "[relevance]\ncollaborative = true\n[prediction]\nsave_every_s = 1\n\
                click_window_s = 1";
    let site = Site::new(&[CAMPAIGN], "workers = 1", more);
    let canaries: Vec<_> = (0..USERS).map(Canary::numbered).collect();
    let traced = || {
        let mut command = Process::command(&site);
        command.env("OUTBID_LOG", "trace");
        command
    };
    let mut process = Process::start(traced(), None);
    let keys = process.keys.clone();
    let needles = Needles::of(&canaries, &site.folder().join("state"));
    play(&mut process, &canaries);
    let mut found = walk(&mut process, &canaries, &needles);
    let mut lines: Vec<String> = process.log.try_iter().collect();
    assert!(!lines.is_empty(), "something is logged at the start");
    // Without a word: the write-ahead logs lie as they were.
    process.signal("-KILL");
    process.ended();
    lines.extend(process.log.iter());
    let left = files(&site.folder().join("state"));
    assert!(left.iter().any(|(name, _)| name.ends_with("-wal")), "logs that are not closed");
    let has = |ending: &str| left.iter().any(|(name, _)| name.ends_with(ending));
    assert!(has("behaviour.db-wal") && has("behaviour.key"), "what they did is durable");
    found.extend(needles.in_files(&left));

    let mut process = Process::start(traced(), keys);
    found.extend(walk(&mut process, &canaries, &needles));
    process.signal("-TERM");
    assert!(process.ended().success());
    lines.extend(process.log.iter());
    found.extend(needles.in_files(&files(&site.folder().join("state"))));
    found.extend(lines.iter().flat_map(|line| needles.in_text("log", line)));
    found.truncate(20);
    assert!(found.is_empty(), "{found:#?}");
}

/// A world in which sixty users are shown an ad, and one of them does what the others do not, or not:
/// what every route says of it within the hour, and what a stranger would get.
fn world(keys: &(Keys, String, String), more: &str, does_more: bool) -> Vec<(String, String)> {
    let site = Site::new(&[CAMPAIGN], "", more);
    let options =
        Options { simulation: Some(Timestamp(NOON)), keys: Some(keys.0.clone()), parts: None };
    let running = server::start(site.config(), options).expect("the server starts");
    let at = running.addresses();
    let mut exchange = common::Http::new(at.exchange, None);
    let mut public = common::Http::new(at.public, Some(&keys.2));
    let mut admin = common::Http::new(at.admin, Some(&keys.1));
    let mut now = NOON;
    let canary = Canary::numbered(7);
    for number in 0..60 {
        now += 1_000;
        for client in [&mut exchange, &mut public, &mut admin] {
            client.now = Some(now);
        }
        let asked = match number {
            0 => canary.request("canary-0"),
            _ => request(&format!("r-{number}"), &format!("u-{number}")),
        };
        let reply = exchange.post("/openrtb2/x/bid", asked.to_string().as_bytes());
        if reply.status != 200 {
            continue; // the first grant comes with a tick
        }
        let bid = Bid::of(&reply.json());
        assert_eq!(public.get(path_of(&bid.billed_at("1.00"))).status, 200);
        if number == 0 && does_more {
            let landing = public.get(path_of(&bid.click));
            assert_eq!(public.get(path_of(&bid.view)).status, 200);
            let landing = landing.header("location").expect("a landing page").to_owned();
            let click = landing.split("obclid=").nth(1).expect("a click's id");
            let bought = canary.purchase(0, now, click).to_string();
            let reply = public.post("/events", bought.as_bytes()).json();
            assert_eq!(reply["conversions"], json!({ "click_through": 1 }), "{reply}");
            for visit in 0..20 {
                let visit = canary.visit(visit, now).to_string();
                assert_eq!(public.post("/events", visit.as_bytes()).json()["accepted"], 1);
            }
        }
    }
    now += 2 * MINUTE;
    admin.now = Some(now);
    exchange.now = Some(now);
    let mut said = Vec::new();
    for path in ASKED.iter().filter(|path| !path.starts_with("/latency")) {
        // Of a bid that is asked for the audit says everything: it is not a count.
        if !path.contains("auction=") {
            said.push((pathed(path), timeless(&admin.get(&pathed(path)))));
        }
    }
    let stranger = request("stranger", "stranger").to_string();
    said.push(("explanation".to_owned(), timeless(&admin.post("/explain", stranger.as_bytes()))));
    let bid = Bid::of(&exchange.post("/openrtb2/x/bid", stranger.as_bytes()).json());
    said.push(("bid".to_owned(), format!("{} {}", bid.campaign, bid.price)));
    said
}

/// An answer without what tells how long something took: times in metrics, and at which time of the
/// simulation the event log's thread came to a line.
fn timeless(reply: &Reply) -> String {
    let text = match serde_json::from_slice::<Value>(&reply.body) {
        Ok(value) => serde_json::to_string_pretty(&value).expect("JSON"),
        Err(_) => reply.text(),
    };
    let shown = text.lines().filter(|line| !line.contains("_seconds"));
    let mut lines: Vec<_> = shown
        .map(|line| match serde_json::from_str::<Value>(line) {
            Ok(Value::Object(mut event)) => {
                event.remove("at");
                Value::Object(event).to_string()
            }
            _ => line.to_owned(),
        })
        .collect();
    // The order of a metric's labels is chance.
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn nothing_tells_apart_two_worlds_in_which_one_user_did_more() {
    let (keys, fresh) = Keys::ephemeral().expect("keys");
    let keys = (keys, fresh.admin, fresh.events);
    // The learner waits two days for clicks, and releases are due at full hours.
    let more = "[prediction]\nclick_window_s = 172_800\n[budget]\ntick_ms = 1_000";
    let [without, with] = [false, true].map(|does_more| world(&keys, more, does_more));
    for (one, other) in without.iter().zip(&with) {
        let (one_lines, other_lines) = (one.1.lines(), other.1.lines());
        let told: Vec<_> = other_lines.filter(|line| !one.1.contains(line)).collect();
        let missing: Vec<_> = one_lines.filter(|line| !other.1.contains(line)).collect();
        assert_eq!(missing, told, "{} tells", one.0);
    }
    assert!(without.iter().any(|(_, text)| text.contains("\"releases\"")), "the report is in it");
}

/// The search finds what it looks for, in each spelling, and a count where it stands.
#[test]
fn the_search_finds_a_planted_leak() {
    let site = Site::new(&[CAMPAIGN], "", "");
    let state = site.folder().join("state");
    Keys::open(&state, Timestamp(0)).expect("keys");
    let canaries = [Canary::numbered(0)];
    let needles = Needles::of(&canaries, &state);
    for spelled in needles.spellings(&canaries[0].user_id) {
        assert_eq!(
            needles.in_files(&[("f".into(), [&b"ab"[..], &spelled, b"c"].concat())]).len(),
            1
        );
    }
    let line = format!("DEBUG a bid for user={}", canaries[0].user_id);
    assert!(!needles.in_text("log", &line).is_empty());
    assert!(needles.in_text("log", "DEBUG a bid").is_empty());
    let metrics =
        format!("outbid_clicks_total{{campaign=\"shoes\"}} {CLICKS}\noutbid_bids_total 1\n");
    assert_eq!(counts_in_metrics(&metrics).len(), 1);
    let report = json!({ "campaigns": [{ "id": "shoes", "clicks": CLICKS }] });
    assert_eq!(counts_in_json(&report).len(), 1);
}
