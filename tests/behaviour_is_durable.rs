//! Promise: what users did is durable when it is acknowledged. After a kill the very next bid knows it,
//! once and not twice, caps hold, and who asked to be forgotten does not come back; what the disk does not
//! take is refused and applied nowhere; damage costs what it hit, and is said.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;
mod crash;

use common::{Campaign, Http, Process, Reply, Site, path_of, request, until};
use crash::Mount;
use crash::faults::{Faults, Order};
use outbid::clock::Civil;
use outbid::store::embedded::SqliteLog;
use outbid::store::{OrderedLog, Pauses};
use serde_json::json;
use std::net::TcpStream;
use std::path::PathBuf;

const CAPPED: Campaign = Campaign {
    advertiser: "acme",
    name: "shoes",
    category: "running-shoes",
    strategy: "fixed",
    daily_budget: "100",
    bid: "max_cpm = \"2.50\"",
    more: "frequency_caps = [{ count = 1, window_s = 86_400 }]",
};

/// Sessions are saved so often; 0 is at a graceful end alone, and then a kill leaves the log alone.
fn site(save_every_s: u32) -> Site {
    let more = format!("[session]\nsave_every_s = {save_every_s}\n");
    Site::new(&[CAPPED], "workers = 2", &more)
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_millis()).expect("a time")
}

/// Views of `user`, all at one time, by the ids of these numbers.
fn views(user: &str, at: i64, numbers: std::ops::Range<u32>) -> String {
    let view = |number: u32| {
        json!({
            "id": format!("{user}-{number}"), "type": "view", "ts": at, "user": { "id": user },
            "advertiser": "acme", "category": "running-shoes", "consent": true,
        })
    };
    numbers.map(|number| format!("{}\n", view(number))).collect()
}

fn send(process: &mut Process, events: &str) {
    let reply = process.public.post("/events", events.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Strengths of interest are of events at one time, so equal numbers of them are equal strengths.
fn assert_equal(process: &mut Process, user: &str, other: &str) {
    let (one, two) = (process.interest(user), process.interest(other));
    assert!((one - two).abs() <= 0.02 * two && two > 0.0, "{user}: {one} and not {two}");
}

fn forget(process: &mut Process, user: &str) -> Reply {
    let wish = json!({ "user": { "id": user } }).to_string();
    process.admin.post("/api/v1/privacy/forget", wish.as_bytes())
}

fn state(site: &Site, name: &str) -> PathBuf {
    site.folder().join("state").join(name)
}

/// What a server logs until it is ready.
fn said(process: &Process) -> String {
    process.log.try_iter().collect::<Vec<_>>().join("\n")
}

#[test]
fn an_acknowledged_event_is_known_to_the_very_next_bid_after_a_kill() {
    let site = site(0);
    let mut process = Process::serve(&site, None);
    let (keys, at) = (process.keys.clone(), now_ms());
    send(&mut process, &views("reader", at, 0..3));
    process.kill();
    let mut process = Process::serve(&site, keys.clone());
    send(&mut process, &views("control", at, 0..3));
    assert_equal(&mut process, "reader", "control");
    // A sender who did not hear of it says it again.
    send(&mut process, &views("reader", at, 0..3));
    assert_equal(&mut process, "reader", "control");
    process.kill();
    let mut process = Process::serve(&site, keys);
    assert_equal(&mut process, "reader", "control");
}

/// Ids that are named together stay one user.
#[test]
fn joined_ids_stay_joined_after_a_kill() {
    let site = site(0);
    let mut process = Process::serve(&site, None);
    let (keys, at) = (process.keys.clone(), now_ms());
    send(&mut process, &views("phone", at, 0..2));
    let joined = views("desk", at, 0..1).replace(
        "\"user\":{\"id\":\"desk\"}",
        "\"user\":{\"id\":\"desk\",\"ids\":[{\"id\":\"phone\"}]}",
    );
    assert!(joined.contains("ids"), "{joined}");
    send(&mut process, &joined);
    process.kill();
    let mut process = Process::serve(&site, keys);
    send(&mut process, &views("control", at, 0..3));
    assert_equal(&mut process, "phone", "control");
    assert_equal(&mut process, "desk", "control");
}

/// Lives end at any time, while sessions are saved every second: each of them goes on from a saving, with
/// what came after it.
#[test]
fn no_event_is_lost_and_none_counts_twice_over_many_lives() {
    const USERS: u32 = 6;
    let site = site(1);
    let (mut keys, at) = (None, now_ms());
    let mut sent = [0_u32; USERS as usize];
    for life in 0..5 {
        let mut process = Process::serve(&site, keys.clone());
        keys = process.keys.clone().or(keys);
        let began = now_ms();
        // Past a saving or two, or before the first.
        let lasts_ms = [1_500, 300, 2_600, 50, 1_900][life];
        let mut turn = 0_u32;
        while now_ms() < began + lasts_ms || turn < USERS {
            let user = (turn % USERS) as usize;
            let next = sent[user] + u32::from(turn < USERS || turn % 37 == user as u32);
            // What is known already is said again.
            send(&mut process, &views(&format!("user-{user}"), at, next.saturating_sub(2)..next));
            sent[user] = next;
            turn += 1;
        }
        process.kill();
    }
    let mut process = Process::serve(&site, keys);
    for (user, count) in sent.into_iter().enumerate() {
        send(&mut process, &views(&format!("control-{user}"), at, 0..count));
        assert_equal(&mut process, &format!("user-{user}"), &format!("control-{user}"));
    }
}

/// While a server ends, one worker waits for a request that is under way, and the other is gone with the
/// sessions that were its own. Whoever is answered by then is told the truth.
#[test]
fn what_is_acknowledged_while_a_server_ends_is_known_to_the_next() {
    let more = "[session]\nsave_every_s = 0\n";
    let site = Site::new(&[CAPPED], "workers = 2\nbody_deadline_ms = 5000", more);
    let mut process = Process::serve(&site, None);
    let (keys, at) = (process.keys.clone(), now_ms());
    let body = request("slow", "slow").to_string().into_bytes();
    let mut slow = process.exchange.begin("/openrtb2/x/bid", &body[..10], body.len());
    process.signal("-TERM");
    let exchange = process.exchange.address;
    until("no new requests", || TcpStream::connect(exchange).is_err().then_some(()));
    let users: Vec<_> = (0..8).map(|number| format!("user-{number}")).collect();
    let joined = views("desk", at, 0..1)
        .replace("{\"id\":\"desk\"}", "{\"id\":\"desk\",\"ids\":[{\"id\":\"user-7\"}]}");
    for events in users.iter().map(|user| views(user, at, 0..2)).chain([joined]) {
        send(&mut process, &events);
    }
    assert!(slow.send(&body[10..]) && slow.reply().is_ok());
    assert!(process.ended().success());
    let mut process = Process::serve(&site, keys);
    send(&mut process, &views("two", at, 0..2));
    send(&mut process, &views("three", at, 0..3));
    users[..7].iter().for_each(|user| assert_equal(&mut process, user, "two"));
    assert_equal(&mut process, "user-7", "three");
}

#[test]
fn a_cap_holds_after_a_kill_right_after_the_bill() {
    let site = site(0);
    let mut process = Process::serve(&site, None);
    let keys = process.keys.clone();
    process.show("reader");
    process.kill();
    Process::serve(&site, keys.clone()).assert_capped("reader");
    // And once more, from the log alone.
    Process::serve(&site, keys).assert_capped("reader");
}

#[test]
fn who_is_forgotten_does_not_come_back_and_what_he_does_later_does() {
    let site = site(0);
    let mut process = Process::serve(&site, None);
    let (keys, at) = (process.keys.clone(), now_ms());
    send(&mut process, &views("reader", at, 0..3));
    send(&mut process, &views("other", at, 0..3));
    process.show("reader");
    let wish = json!({ "user": { "id": "reader" } }).to_string();
    let reply = process.admin.post("/api/v1/privacy/forget", wish.as_bytes());
    assert_eq!(reply.json()["sessions"], 1, "{}", reply.text());
    process.kill();
    let mut process = Process::serve(&site, keys.clone());
    assert!(process.interest("reader") == 0.0, "forgotten");
    assert!(process.interest("other") > 0.0);
    until("a bid, since his show is forgotten too", || process.asked("reader"));
    send(&mut process, &views("reader", at, 3..4));
    process.kill();
    let mut process = Process::serve(&site, keys);
    send(&mut process, &views("control", at, 0..1));
    assert_equal(&mut process, "reader", "control");
}

#[test]
fn damage_costs_what_it_hit_and_is_said() {
    let site = site(0);
    let mut process = Process::serve(&site, None);
    let (keys, at) = (process.keys.clone(), now_ms());
    send(&mut process, &views("first", at, 0..3));
    process.kill();
    // A record that nobody sealed, in a row that is sound.
    let log = SqliteLog::open(&state(&site, "behaviour.db"), Civil::machine(), Pauses::default());
    let (told, outcome) = std::sync::mpsc::channel();
    let done = Box::new(move |position| told.send(position).expect("heard"));
    let log = log.expect("opened");
    log.append(7, b"no record of ours".as_slice().into(), done);
    outcome.recv().expect("told").expect("appended");
    drop(log);
    let mut process = Process::serve(&site, keys.clone());
    assert!(process.interest("first") > 0.0, "the rest goes on");
    assert_eq!(process.metric("outbid_behaviour_log_passed_over{why=\"damaged\"} "), 1);
    assert!(said(&process).contains("is not as it was sealed"));
    send(&mut process, &views("second", at, 0..3));
    process.kill();

    // The write-ahead log, in its middle.
    let wal = state(&site, "behaviour.db-wal");
    let mut bytes = std::fs::read(&wal).expect("a write-ahead log");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&wal, bytes).expect("damaged");
    let mut process = Process::serve(&site, keys.clone());
    let told = said(&process);
    println!("{told}");
    send(&mut process, &views("third", at, 0..3));
    process.kill();

    let file = state(&site, "behaviour.key");
    let mut bytes = std::fs::read(&file).expect("a key");
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::write(&file, bytes).expect("damaged");
    let mut process = Process::serve(&site, keys.clone());
    assert!(said(&process).contains("keys are refused"));
    assert!(state(&site, "behaviour.refused").exists());
    assert!(process.metric("outbid_behaviour_log_passed_over{why=\"no_key\"} ") > 0);
    assert!(process.interest("third") == 0.0, "nobody can read it any more");
    send(&mut process, &views("fourth", at, 0..3));
    process.kill();
    assert!(Process::serve(&site, keys).interest("fourth") > 0.0);
}

#[test]
fn what_the_disk_does_not_take_is_refused_and_applied_nowhere() {
    let site = site(0);
    let Some(faults) = Faults::of(&site) else { return };
    let mut process = Process::start(faults.command(&site), None);
    let (keys, at) = (process.keys.clone(), now_ms());
    send(&mut process, &views("early", at, 0..3));
    faults.set(Order::BehaviourFails, 1);
    let reply = process.public.post("/events", views("late", at, 0..3).as_bytes());
    assert_eq!(reply.status, 503, "{}", reply.text());
    println!("{}", reply.text());
    assert!(process.interest("late") == 0.0 && process.interest("early") > 0.0);
    let refused = "outbid_behaviour_log_refused_total{what=\"events\",why=\"refused\"} ";
    assert_eq!(process.metric(refused), 1);
    // Bids and bills go on, and caps hold as long as it lives.
    process.show("reader");
    until("the cap is reached", || process.asked("reader").is_none().then_some(()));
    assert_eq!(process.admin.get("/readyz").status, 200);
    process.kill();
    faults.set(Order::BehaviourFails, 0);
    let mut process = Process::start(faults.command(&site), keys);
    assert!(process.interest("early") > 0.0);
    // Its outcome was not known; its sender, who was told so, says it again.
    send(&mut process, &views("late", at, 0..3));
    assert_equal(&mut process, "late", "early");
}

/// A bill that waits for its disk counts; its show is not kept of somebody who asked to be forgotten.
#[test]
fn who_is_forgotten_while_a_bill_is_under_way_is_not_remembered_by_its_show() {
    let site = site(0);
    let Some(faults) = Faults::of(&site) else { return };
    let mut process = Process::start(faults.command(&site), None);
    let bid = until("a bid", || process.asked("reader"));
    let (mut public, path) = (Http::new(process.public.address, None), bid.billed_at("1.00"));
    let before = faults.syncs();
    faults.set(Order::SyncMs, 30_000);
    let bill = std::thread::spawn(move || public.get(path_of(&path)).status);
    until("its sync", || (faults.syncs() > before).then_some(()));
    assert_eq!(forget(&mut process, "reader").json()["sessions"], 1, "the bid that was announced");
    faults.set(Order::SyncMs, 0);
    assert_eq!(bill.join().expect("an answer"), 200);
    assert_eq!(forget(&mut process, "reader").json()["sessions"], 0, "nothing has come since");
}

/// A disk that does not answer holds up neither bids nor bills, and a wish that it may undo is not said to
/// be done.
#[test]
fn a_disk_that_hangs_holds_up_no_money_and_brings_nobody_back() {
    let site = site(0);
    let Some(faults) = Faults::of(&site) else { return };
    let mut process = Process::start(faults.command(&site), None);
    let (keys, at) = (process.keys.clone(), now_ms());
    faults.set(Order::BehaviourMs, 60_000);
    let later = |process: &Process, events: String| {
        let mut public = Http::new(process.public.address, process.public.key.as_deref());
        std::thread::spawn(move || public.post("/events", events.as_bytes()).status)
    };
    let first = later(&process, views("other", at, 0..3));
    let slow = "outbid_log_health{log=\"behaviour\",state=\"slow\"} ";
    until("it hangs", || (process.metric(slow) == 1).then_some(()));
    // Most lines of it are refused, by which it is seen to have come.
    let second = later(&process, views("reader", at, 0..3) + &"nothing\n".repeat(500));
    let refused = "outbid_events_total{what=\"rejected\"} ";
    until("it waits", || (process.metric(refused) > 0).then_some(()));
    process.show("looker");
    until("the cap is reached", || process.asked("looker").is_none().then_some(()));
    assert_eq!(forget(&mut process, "reader").status, 503);
    faults.set(Order::BehaviourMs, 0);
    for waiting in [first, second] {
        assert_eq!(waiting.join().expect("an answer"), 503, "it took too long");
    }
    until("it is taken after all", || (process.interest("other") > 0.0).then_some(()));
    assert!(process.interest("reader") == 0.0);
    assert_eq!(forget(&mut process, "reader").status, 200);
    process.kill();
    let mut process = Process::serve(&site, keys);
    assert!(process.interest("reader") == 0.0, "he does not come back");
    assert!(process.interest("other") > 0.0);
}

/// Where the log is kept for savings alone, no more than one key is left after each, and what it has
/// sealed before can be read by nobody.
#[test]
fn what_is_kept_until_saved_goes_with_the_saving() {
    let more = "[session]\nsave_every_s = 1\n[store]\nbehaviour_keep_days = 0\n";
    let site = Site::new(&[CAPPED], "workers = 2", more);
    let mut process = Process::serve(&site, None);
    let (keys, at) = (process.keys.clone(), now_ms());
    let done = "outbid_session_saves_total{outcome=\"done\"} ";
    for round in 0..2 {
        send(&mut process, &views("reader", at, round..round + 1));
        let before = process.metric(done);
        until("a saving", || (process.metric(done) > before + 1).then_some(()));
    }
    process.show("looker");
    process.kill();
    let mut process = Process::serve(&site, keys);
    // Of the saving that was broken off, and its own.
    assert!(process.metric("outbid_behaviour_log_keys ") <= 3);
    send(&mut process, &views("control", at, 0..2));
    assert_equal(&mut process, "reader", "control");
    process.assert_capped("looker");
}

#[test]
fn a_full_disk_is_told_to_senders_until_there_is_room() {
    let site = site(0);
    let Some(mount) = Mount::new(site.folder().join("state"), "8m") else { return };
    let mut process = Process::serve(&site, None);
    let (keys, at) = (process.keys.clone(), now_ms());
    send(&mut process, &views("early", at, 0..3));
    let filler = mount.fill();
    let mut number = 0;
    let refused = until("a refusal", || {
        number += 1;
        let events = views(&format!("late-{number}"), at, 0..3);
        let reply = process.public.post("/events", events.as_bytes());
        (reply.status == 503).then(|| reply.text())
    });
    println!("{refused}");
    let late = format!("late-{number}");
    assert!(process.interest(&late) == 0.0, "nothing was applied");
    std::fs::remove_file(filler).expect("removed");
    until("room", || {
        let events = views(&late, at, 0..3);
        (process.public.post("/events", events.as_bytes()).status == 200).then_some(())
    });
    process.kill();
    let mut process = Process::serve(&site, keys);
    assert_equal(&mut process, &late, "early");
    process.kill();
    drop(mount);
}
