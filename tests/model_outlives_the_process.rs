//! Promise: what the click model has learned and saved is there after the process was killed, to the
//! last bit; a damaged file is put aside, said and counted, and the server bids all the same.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;

use common::{Bid, Campaign, Process, Site, counter, path_of, request, until};
use serde_json::Value;

/// Shows, each clicked.
const SHOWS: u64 = 20;

/// A server whose clicks are learned a second after their shows and whose model is saved each second.
fn site() -> Site {
    let clicks = Campaign {
        strategy: "clicks",
        bid: "max_cpm = \"50\"\ncpc = \"2\"",
        ..Campaign::default()
    };
    let more = "[prediction]\nclick_window_s = 1\nsave_every_s = 1\n";
    Site::new(&[clicks], "workers = 1", more)
}

fn metric(process: &mut Process, start: &str) -> u64 {
    counter(&process.admin.get("/metrics").text(), start)
}

/// What the model says of the ad, each term of it, once it knows of the ad.
fn explained(process: &mut Process) -> Value {
    until("the ad has a row", || {
        let asked = request("r", "").to_string();
        let reply = process.admin.post("/explain?exchange=x&pairs=all", asked.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
        let terms = reply.json()["campaigns"][0]["ads"][0]["price"]["contributions"].clone();
        term(&terms, "advertiser").is_some().then_some(terms)
    })
}

fn term(terms: &Value, name: &str) -> Option<f64> {
    let found = terms.as_array()?.iter().find(|term| term[0] == name);
    found.and_then(|term| term[1].as_f64())
}

/// Shows and clicks ads until the model has learned of all of them.
fn learn(process: &mut Process) {
    for _ in 0..SHOWS {
        let asked = request("r", "").to_string();
        let bid = until("a bid", || {
            let reply = process.exchange.post("/openrtb2/x/bid", asked.as_bytes());
            (reply.status == 200).then(|| Bid::of(&reply.json()))
        });
        for url in [bid.billed_at("0.5"), bid.click] {
            assert!(process.public.get(path_of(&url)).status < 400);
        }
    }
    until("the model learns", || {
        let is_moved = term(&explained(process), "advertiser") != Some(0.0);
        (is_moved && metric(process, "outbid_learner_waiting ") == 0).then_some(())
    });
}

/// Waits for a saving that began after now.
fn saved(process: &mut Process) {
    const DONE: &str = "outbid_model_saves_total{outcome=\"done\"} ";
    let before = metric(process, DONE);
    until("a saving", || (metric(process, DONE) >= before + 2).then_some(()));
}

#[test]
fn what_was_saved_is_there_after_a_kill() {
    let site = site();
    let mut process = Process::serve(&site, None);
    let keys = process.keys.clone();
    assert_eq!(metric(&mut process, "outbid_model_found{found=\"nothing\"} "), 1);
    let fresh = explained(&mut process);
    learn(&mut process);
    // A show that came late may be learned after a saving: then there is another to wait for.
    let learned = until("a saving of all", || {
        let before = explained(&mut process);
        saved(&mut process);
        (explained(&mut process) == before).then_some(before)
    });
    assert_ne!(learned, fresh);
    process.kill();

    let mut process = Process::serve(&site, keys.clone());
    assert_eq!(metric(&mut process, "outbid_model_found{found=\"model\"} "), 1);
    assert_eq!(explained(&mut process), learned);
    process.kill();

    let file = site.folder().join("state/model.outbid");
    let mut bytes = std::fs::read(&file).expect("the model");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("damaged");
    let mut process = Process::serve(&site, keys.clone());
    assert_eq!(metric(&mut process, "outbid_model_found{found=\"refused\"} "), 1);
    assert_eq!(explained(&mut process), fresh);
    assert!(file.with_extension("refused").exists(), "kept for whoever wants to know");
    let said = until("what the log says", || process.log.try_recv().ok());
    assert!(said.contains("the model is refused") && said.contains("damaged"), "{said}");

    // An end in order saves without being asked.
    learn(&mut process);
    let learned = explained(&mut process);
    process.signal("-TERM");
    assert!(process.ended().success());
    let mut process = Process::serve(&site, keys);
    assert_eq!(explained(&mut process), learned);
}
