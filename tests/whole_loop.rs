//! The whole loop through the real binary over real sockets: bid, win, bill, click, event, edit,
//! look, break, stop, start. The ledger lies in memory for now, so a restart begins new accounts;
//! what outlives it here are the keys.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;

use common::{
    Bid, Campaign, Http, Process, Site, account, counter, path_of, request, until, with_price,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const BID: &str = "/openrtb2/x/bid";

fn bid(process: &mut Process, request: &Value) -> Option<Bid> {
    let reply = process.exchange.post(BID, request.to_string().as_bytes());
    match reply.status {
        200 => Some(Bid::of(&reply.json())),
        204 => None,
        status => panic!("{status}: {}", reply.text()),
    }
}

/// The first bid: leases are granted a moment after the start.
fn first_bid(process: &mut Process) -> Bid {
    until("a bid", || bid(process, &request("first", "reader")))
}

fn report(process: &mut Process) -> Value {
    process.admin.get("/api/v1/report").json()
}

fn metric(process: &mut Process, start: &str) -> u64 {
    counter(&process.admin.get("/metrics").text(), start)
}

#[test]
fn money_moves_once_and_only_by_our_own_tokens() {
    let site = Site::new(&[Campaign::default()], "workers = 2", "");
    let mut process = Process::serve(&site, None);
    let shown = first_bid(&mut process);
    assert_eq!((shown.campaign.as_str(), shown.price), ("shoes", 2.5));

    // 1.2345671 is rounded up to the next micro of the CPM, which is as many nanos of money.
    let billing = shown.billed_at("1.2345671");
    assert_eq!(process.public.get(path_of(&with_price(&shown.win, "1.2345671"))).status, 200);
    assert_eq!(account(&report(&mut process), 0, "billed"), 0, "a win alone charges nothing");
    assert_eq!(process.public.get(path_of(&billing)).status, 200);
    until("billed", || (account(&report(&mut process), 0, "billed") == 1_234_568).then_some(()));
    for _ in 0..3 {
        assert_eq!(process.public.get(path_of(&billing)).status, 200);
    }
    let duplicate = "outbid_notices_total{kind=\"billing\",outcome=\"duplicate\"}";
    until("counted", || (metric(&mut process, duplicate) == 3).then_some(()));
    assert_eq!(account(&report(&mut process), 0, "billed"), 1_234_568);

    let lost = until("a bid", || bid(&mut process, &request("lost", "reader")));
    assert_eq!(process.public.get(path_of(&lost.loss)).status, 200);
    assert_eq!(account(&report(&mut process), 0, "billed"), 1_234_568);

    forgeries_are_refused_and_counted(&mut process, &shown);
    clicks_lead_where_the_catalog_says(&mut process, &shown);
    let end = report(&mut process);
    assert_eq!(account(&end, 0, "billed"), 1_234_568, "no forgery moved money");
    assert_eq!(end["budget"]["house"]["is_poisoned"], false);
}

/// The pixel is in the markup, and a browser that loads it pays where the exchange says so.
#[test]
fn an_impression_charges_where_it_is_to() {
    let site = Site::new(&[Campaign::default()], "workers = 1", "charge_on = \"impression\"");
    let mut process = Process::serve(&site, None);
    let body = request("first", "reader").to_string();
    let response = until("a bid", || {
        let reply = process.exchange.post(BID, body.as_bytes());
        (reply.status == 200).then(|| reply.json())
    });
    let markup = response["seatbid"][0]["bid"][0]["adm"].as_str().unwrap_or_default().to_owned();
    let pixel = markup.split('"').find(|part| part.contains("/pixel?")).expect("a pixel");
    let pixel =
        with_price(&pixel.replace("&amp;", "&"), "1.25").replace("${AUCTION_CURRENCY}", "USD");
    let shown = Bid::of(&response);
    assert_eq!(process.public.get(path_of(&with_price(&shown.billing, "2"))).status, 200);
    assert_eq!(account(&report(&mut process), 0, "billed"), 0, "billing is evidence here");
    for _ in 0..2 {
        assert_eq!(process.public.get(path_of(&pixel)).status, 200, "{pixel}");
    }
    // A browser's word on a plain price is nobody's: what was bid is charged.
    let bid = (shown.price * 1e6).round() as i128;
    until("billed", || (account(&report(&mut process), 0, "billed") == bid).then_some(()));
    let lower = pixel.replace("price=1.25", "price=0");
    assert_eq!(process.public.get(path_of(&lower)).status, 200);
    assert_eq!(account(&report(&mut process), 0, "billed"), bid);
}

/// Copies of one notice on many connections at once, half of them at another price.
#[test]
fn copies_in_flight_are_one_bill() {
    const CONNECTIONS: u64 = 8;
    const COPIES: u64 = 5;
    let site = Site::new(&[Campaign::default()], "workers = 2", "");
    let mut process = Process::serve(&site, None);
    let shown = first_bid(&mut process);
    let address = process.public.address;
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let billing = shown.billed_at(if connection % 2 == 0 { "1" } else { "2" });
            scope.spawn(move || {
                let mut public = Http::new(address, None);
                for _ in 0..COPIES {
                    assert_eq!(public.get(path_of(&billing)).status, 200);
                }
            });
        }
    });
    let mut count = |outcome: &str| {
        let name = format!("outbid_notices_total{{kind=\"billing\",outcome=\"{outcome}\"}}");
        metric(&mut process, &name)
    };
    // The second price is in the log once and a contradiction; its copies are copies.
    until("all are counted", || {
        let counts = ["charged", "contradiction", "duplicate"].map(&mut count);
        (counts == [1, 1, CONNECTIONS * COPIES - 2]).then_some(())
    });
    let billed = account(&report(&mut process), 0, "billed");
    assert!([1_000_000, 2_000_000].contains(&billed), "{billed}");
}

fn forgeries_are_refused_and_counted(process: &mut Process, shown: &Bid) {
    let billing = path_of(&shown.billing).to_owned();
    let token =
        billing.split("t=").nth(1).and_then(|rest| rest.split('&').next()).expect("a token");
    let middle = token.len() / 2;
    let swapped = if token.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let altered = format!("{}{swapped}{}", &token[..middle], &token[middle + 1..]);
    for (path, expected) in [
        (billing.replace(token, &altered), 403),
        (billing.replace(token, "AAAA"), 400),
        (billing.replace(token, ""), 400),
        ("/notice/billing?e=x".to_owned(), 400),
        (billing.replace("/billing", "/win"), 403),
        (path_of(&shown.click).replace("/click", "/notice/billing"), 403),
        (path_of(&shown.win).replace("/notice/win", "/click"), 403),
        (billing.replace("e=x", "e=y"), 404),
    ] {
        let reply = process.public.get(&path);
        assert_eq!(reply.status, expected, "{path}: {}", reply.text());
    }
    let counted = |process: &mut Process, kind: &str, outcome: &str| {
        let name = format!("outbid_notices_total{{kind=\"{kind}\",outcome=\"{outcome}\"}}");
        metric(process, &name)
    };
    for (kind, outcome, expected) in [
        ("billing", "forged", 1),
        ("billing", "repurposed", 1),
        ("win", "repurposed", 1),
        ("click", "repurposed", 1),
        ("billing", "malformed", 3),
        ("billing", "unknown_exchange", 1),
    ] {
        assert_eq!(counted(process, kind, outcome), expected, "{kind} {outcome}");
    }
}

fn clicks_lead_where_the_catalog_says(process: &mut Process, shown: &Bid) {
    let click = format!("{}&to=https://evil.example", path_of(&shown.click));
    let reply = process.public.get(&click);
    assert_eq!(reply.status, 302, "{}", reply.text());
    let target = reply.header("location").unwrap_or_default();
    assert!(target.starts_with("https://acme.example/shoes?obclid=x."), "{target}");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

fn event(id: &str) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    json!({
        "id": id, "type": "view", "ts": now.as_millis() as u64, "user": { "id": "reader" },
        "consent": true, "advertiser": "acme", "category": "running-shoes",
    })
}

#[test]
fn events_and_the_api_need_their_keys_and_say_what_is_wrong() {
    let site = Site::new(&[Campaign::default()], "workers = 1", "");
    let mut process = Process::serve(&site, None);
    first_bid(&mut process);
    let (admin_key, events_key) = process.keys.clone().expect("keys are shown at the first start");

    for key in [None, Some("wrong".to_owned()), Some(admin_key.clone())] {
        process.public.key = key;
        let reply = process.public.post("/events", event("e").to_string().as_bytes());
        assert_eq!(reply.status, 401, "{}", reply.text());
    }
    process.public.key = Some(events_key.clone());
    let lines = format!("{}\nnonsense\n{{\"id\":\"e-3\"}}\n{}\n", event("e-1"), event("e-2"));
    let reply = process.public.post("/events", lines.as_bytes()).json();
    assert_eq!(reply["accepted"], 2, "{reply}");
    let rejected: Vec<_> = (0..2).map(|at| &reply["rejected"][at]).collect();
    assert_eq!((&rejected[0]["line"], &rejected[0]["reason"]), (&json!(2), &json!("not_json")));
    assert_eq!((&rejected[1]["line"], &rejected[1]["field"]), (&json!(3), &json!("type")));

    for key in [None, Some(events_key)] {
        process.admin.key = key;
        for path in ["/metrics", "/latency", "/api/v1/report", "/api/v1/campaigns/shoes"] {
            assert_eq!(process.admin.get(path).status, 401, "{path}");
        }
    }
    process.admin.key = Some(admin_key);
    let evil = process.admin.call("GET", "/api/v1/report", &[("host", "evil.example")], b"");
    assert_eq!(evil.status, 421);

    measurements_are_shown(&mut process);
    edits_are_in_force_when_they_are_answered(&mut process);
}

fn measurements_are_shown(process: &mut Process) {
    let latency = process.admin.get("/latency").json();
    assert!(latency["total"]["count"].as_u64() > Some(0), "{latency}");
    let table = process.admin.get("/latency?stage=total").text();
    assert!(table.contains("Percentile") && table.contains("Total count"), "{table}");
    assert_eq!(process.admin.get("/latency?stage=nonsense").status, 404);
    assert!(metric(process, "outbid_bid_requests_total") > 0);
    let explained = process.admin.post("/explain", request("why", "").to_string().as_bytes());
    let explained = explained.json();
    assert_eq!(explained["bids"][0]["price_micros"], 2_500_000, "{explained}");
}

fn edits_are_in_force_when_they_are_answered(process: &mut Process) {
    let path = "/api/v1/campaigns/shoes";
    for (path, edit, expected) in [
        (path, "{\"daily_budget_micros\":0}", 422),
        (path, "{\"strategy\":\"nonsense\"}", 422),
        (path, "{\"budget\":1}", 400),
        ("/api/v1/campaigns/nobody", "{}", 404),
    ] {
        let reply = process.admin.put(path, edit);
        assert_eq!(reply.status, expected, "{edit}: {}", reply.text());
        assert!(!reply.json()["error"].as_str().unwrap_or_default().is_empty());
    }
    let bids = |process: &mut Process| bid(process, &request("edited", "reader"));
    // A budget below one bid: the lease is recalled, and there is nothing to bid with.
    let edited = Instant::now();
    assert_eq!(process.admin.put(path, "{\"daily_budget_micros\":1}").status, 200);
    until("bids stop", || bids(process).is_none().then_some(()));
    assert!(edited.elapsed() < Duration::from_secs(3), "{:?}", edited.elapsed());
    assert_eq!(process.admin.get(path).json()["daily_budget_micros"], 1);
    assert_eq!(process.admin.put(path, "{\"daily_budget_micros\":100000000}").status, 200);
    until("bids go on", || bids(process));
    let edited = Instant::now();
    assert_eq!(process.admin.put(path, "{\"status\":\"paused\"}").status, 200);
    until("bids stop", || bids(process).is_none().then_some(()));
    assert!(edited.elapsed() < Duration::from_secs(1), "{:?}", edited.elapsed());
    assert_eq!(process.admin.get(path).json()["status"], "paused");
}

/// Money, keys and what single users did are for the server's own account.
#[test]
fn what_is_kept_belongs_to_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new(&[Campaign::default()], "workers = 1", "");
    let mut process = Process::serve(&site, None);
    first_bid(&mut process);
    let state = site.folder().join("state");
    let files = std::fs::read_dir(&state).expect("the state folder");
    let files = files.map(|entry| entry.expect("an entry").path());
    let kept: Vec<_> = files.chain([state.clone()]).collect();
    assert!(kept.len() > 5, "{kept:?}");
    for path in kept {
        let mode = path.metadata().expect("its metadata").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

#[test]
fn bad_bodies_are_refused_and_slow_ones_hold_nobody_up() {
    let server = "workers = 1\nbody_bytes_max = 262144\nbody_deadline_ms = 500";
    let site = Site::new(&[Campaign::default()], server, "");
    let mut process = Process::serve(&site, None);
    first_bid(&mut process);
    let good = request("good", "reader").to_string().into_bytes();
    let mut invalid = good.clone();
    invalid[8] = 0xff;
    for (name, body, expected) in [
        ("empty", Vec::new(), 400),
        ("cut", good[..good.len() / 2].to_vec(), 400),
        ("brackets", vec![b'['; 200_000], 400),
        ("not UTF-8", invalid, 400),
        ("too large", vec![b' '; 262_145], 413),
    ] {
        let reply = process.exchange.post(BID, &body);
        assert_eq!(reply.status, expected, "{name}: {}", reply.text());
        assert!(!reply.json()["error"].as_str().unwrap_or_default().is_empty(), "{name}");
    }
    let begun = Instant::now();
    let mut slow = process.exchange.begin(BID, &good[..1], good.len());
    let mut answered = 0;
    for byte in &good[1..] {
        if begun.elapsed() > Duration::from_millis(450) || !slow.send(&[*byte]) {
            break;
        }
        // With a bid or without: leases grow behind the answers.
        bid(&mut process, &request("meanwhile", "reader"));
        answered += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(answered > 3, "{answered} answered meanwhile");
    assert_eq!(slow.reply().expect("an answer").status, 408);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn overload_is_shed_at_once() {
    let server = "workers = 1\nin_flight_max = 1\nbody_deadline_ms = 2000";
    let site = Site::new(&[Campaign::default()], server, "");
    let mut process = Process::serve(&site, None);
    first_bid(&mut process);
    let good = request("good", "reader").to_string().into_bytes();
    let mut slow = process.exchange.begin(BID, &good[..10], good.len());
    let shed = "outbid_no_bids_total{what=\"overload\"}";
    until("the only place is taken", || {
        let asked = Instant::now();
        let is_bid = bid(&mut process, &request("more", "reader")).is_some();
        let took = asked.elapsed();
        let is_shed = metric(&mut process, shed) > 0;
        assert!(!is_shed || (!is_bid && took < Duration::from_millis(500)), "{took:?}");
        is_shed.then_some(())
    });
    assert!(slow.send(&good[10..]));
    let status = slow.reply().expect("an answer").status;
    assert!([200, 204].contains(&status), "who was first is served: {status}");
    until("the place is free", || bid(&mut process, &request("after", "reader")));
}

#[test]
fn it_stops_when_told_and_starts_again_with_its_keys() {
    let server = "workers = 1\nbody_deadline_ms = 4000";
    let site = Site::new(&[Campaign::default()], server, "");
    let mut process = Process::serve(&site, None);
    let keys = process.keys.clone();
    first_bid(&mut process);
    let good = request("good", "reader").to_string().into_bytes();
    let mut under_way = process.exchange.begin(BID, &good[..10], good.len());
    // The server has seen it when a later request on another connection is answered.
    first_bid(&mut process);
    let told = Instant::now();
    process.signal("-TERM");
    let refused = || std::net::TcpStream::connect(process.exchange.address).is_err();
    until("no new connections", || refused().then_some(()));
    assert!(under_way.send(&good[10..]));
    let status = under_way.reply().expect("an answer").status;
    assert!([200, 204].contains(&status), "{status}");
    let ended = process.ended();
    assert!(ended.success(), "{ended}");
    assert!(told.elapsed() < Duration::from_secs(8), "{:?}", told.elapsed());

    let mut second = Process::serve(&site, keys.clone());
    let before = first_bid(&mut second);
    second.signal("-KILL");
    assert!(!second.ended().success());

    // Accounts begin anew, since the ledger lies in memory; keys and tokens go on.
    let mut third = Process::serve(&site, keys);
    first_bid(&mut third);
    assert_eq!(account(&report(&mut third), 0, "billed"), 0);
    assert_eq!(third.public.get(path_of(&before.billed_at("1"))).status, 200);
}

#[test]
fn requests_that_go_astray_hear_why_and_are_counted() {
    let site = Site::new(&[Campaign::default()], "", "");
    let mut process = Process::serve(&site, None);
    let [exchange, public, admin] =
        [process.exchange.address, process.public.address, process.admin.address];
    let count = |process: &mut Process, listener: &str| {
        metric(process, &format!("outbid_astray_requests_total{{what=\"{listener}\"}}"))
    };
    for (listener, address, method, path, allowed) in [
        ("exchange", exchange, "GET", BID, Some("POST")),
        ("exchange", exchange, "GET", "/openrtb2/nobody/bid", Some("POST")),
        ("exchange", exchange, "POST", "/openrtb2/nobody/bid", None),
        ("exchange", exchange, "POST", "/", None),
        ("public", public, "GET", "/events", Some("POST")),
        ("public", public, "GET", "/notice/won", None),
        ("admin", admin, "DELETE", "/api/v1/campaigns/shoes", Some("GET, PUT")),
        ("admin", admin, "POST", "/api/v1/report", Some("GET")),
        ("admin", admin, "GET", "/", None),
    ] {
        let before = count(&mut process, listener);
        let reply = Http::new(address, None).call(method, path, &[], b"{}");
        assert_eq!(reply.status, if allowed.is_some() { 405 } else { 404 }, "{method} {path}");
        assert_eq!(reply.header("allow"), allowed, "{method} {path}");
        assert!(!reply.json()["error"].as_str().unwrap_or_default().is_empty(), "{method} {path}");
        assert_eq!(count(&mut process, listener), before + 1, "{method} {path}");
    }
}
