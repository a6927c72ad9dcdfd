//! Promise: what was acknowledged outlives the process. Bills stay billed, copies stay copies, an
//! order stays counted, events can still be asked for; and one process at a time has a state folder.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;

use common::{Bid, Campaign, Process, Site, account, counter, path_of, request, until};
use serde_json::Value;
use std::process::{Command, Output, Stdio};

fn site(more: &str) -> Site {
    Site::new(&[Campaign { daily_budget: "1000", ..Campaign::default() }], "workers = 1", more)
}

fn bid(process: &mut Process, id: &str) -> Bid {
    until("a bid", || {
        let asked = request(id, "reader").to_string();
        let reply = process.exchange.post("/openrtb2/x/bid", asked.as_bytes());
        (reply.status == 200).then(|| Bid::of(&reply.json()))
    })
}

fn bill(process: &mut Process, bid: &Bid) {
    assert_eq!(process.public.get(path_of(&bid.billed_at("1"))).status, 200);
}

fn billed(process: &mut Process) -> i128 {
    account(&process.admin.get("/api/v1/report").json(), 0, "billed")
}

fn outcomes(process: &mut Process, outcome: &str) -> u64 {
    let name = format!("outbid_notices_total{{kind=\"billing\",outcome=\"{outcome}\"}}");
    counter(&process.admin.get("/metrics").text(), &name)
}

/// What a start of the server ends with.
fn refused(site: &Site) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbid"));
    command.args(["serve", "--config"]).arg(site.config_file()).current_dir(site.folder());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
    until("it is refused", || child.try_wait().expect("its status"));
    child.wait_with_output().expect("its output")
}

#[test]
fn books_outlive_a_kill_and_a_clean_stop() {
    let site = site("[store]\nsnapshot_every_records = 5");
    let mut process = Process::serve(&site, None);
    let keys = process.keys.clone();
    let first = bid(&mut process, "r-1");
    let clicked = process.public.get(path_of(&first.click));
    let landing = clicked.header("location").expect("a landing page").to_owned();
    let proof = landing.split("obclid=").nth(1).expect("a proof").split('&').next();
    let pixel = format!("/pixel/acme?obclid={}&value=5&order=", proof.expect("a proof"));
    let outcome = |process: &mut Process, order: u32| {
        let url = format!("{pixel}o-{order}");
        process.public.get(&url).header("x-outbid-outcome").map(str::to_owned)
    };
    let asked = process.admin.get("/api/v1/events?auction=r-1").text();
    let click: Value = serde_json::from_str(&asked).expect("the click's line");
    let hold = click["hold"].as_str().expect("a hold").to_owned();
    // As many as one click may bring.
    for order in 1..=16 {
        assert_eq!(outcome(&mut process, order).as_deref(), Some("click_through"));
    }
    let mut owed = 0;
    for opening in 0..3 {
        let fresh = bid(&mut process, &format!("o-{opening}"));
        bill(&mut process, &fresh);
        owed += 1_000_000;
        until("billed", || (billed(&mut process) == owed).then_some(()));
        until("written", || {
            process
                .admin
                .get("/api/v1/events?kind=billing")
                .text()
                .contains("charged")
                .then_some(())
        });
        // Without a word, and then in order: the last start begins with a snapshot of everything.
        process.signal(if opening == 0 { "-KILL" } else { "-TERM" });
        process.ended();
        process = Process::serve(&site, keys.clone());
        assert_eq!(billed(&mut process), owed, "opening {opening}");
        bill(&mut process, &fresh);
        until("known again", || (outcomes(&mut process, "duplicate") == 1).then_some(()));
        assert_eq!(billed(&mut process), owed, "once");
        assert_eq!(outcome(&mut process, 1).as_deref(), Some("repeated"), "opening {opening}");
        assert_eq!(outcome(&mut process, 17).as_deref(), Some("too_many"), "opening {opening}");
        let listed = process.admin.get("/api/v1/events?kind=conversion").text();
        assert!(listed.is_empty(), "no list counts conversions: {listed}");
        let events = process.admin.get(&format!("/api/v1/events?hold={hold}&limit=100")).text();
        assert_eq!(events.matches("click_through").count(), 16, "{events}");
    }
}

#[test]
fn a_second_server_on_one_state_folder_is_refused() {
    let site = site("");
    let mut process = Process::serve(&site, None);
    let output = refused(&site);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("outbid: ")).collect();
    assert!(matches!(lines[..], [line] if line.contains("ledger.db is in use")), "{said}");
    bid(&mut process, "r-1");
}

#[test]
fn a_damaged_ledger_is_refused_and_repaired_on_command() {
    let site = site("");
    let mut process = Process::serve(&site, None);
    let keys = process.keys.clone();
    let first = bid(&mut process, "r-1");
    bill(&mut process, &first);
    let metrics = process.admin.get("/metrics").text();
    for series in [
        "outbid_log_appends_total{log=\"ledger\"}",
        "outbid_log_position{log=\"ledger\"}",
        "outbid_log_commit_seconds_count{log=\"ledger\"}",
        "outbid_log_health{log=\"ledger\",state=\"good\"}",
    ] {
        assert!(counter(&metrics, series) > 0, "{series} in {metrics}");
    }
    process.signal("-TERM");
    process.ended();
    let state = site.folder().join("state");
    let file = state.join("ledger.db");
    let other = rusqlite::Connection::open(&file).expect("opened");
    let last: i64 =
        other.query_row("SELECT max(pos) FROM log", [], |row| row.get(0)).expect("told");
    other.execute("UPDATE log SET body = x'0102' WHERE pos = ?1", [last]).expect("done");
    drop(other);
    let damaged = std::fs::read(&file).expect("read");

    let said = String::from_utf8_lossy(&refused(&site).stderr).into_owned();
    let position = format!("ledger.db is damaged at position {last}");
    assert!(said.contains(&position) && said.contains("outbid ledger repair"), "{said}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbid"));
    let repaired = command.args(["ledger", "repair", "--state"]).arg(&state).output();
    let repaired = repaired.expect("the binary starts");
    let told = String::from_utf8_lossy(&repaired.stdout).into_owned();
    assert!(repaired.status.success(), "{told}");
    let kept = format!("kept     positions 1 to {}", last - 1);
    assert!(told.contains(&kept) && told.contains("ledger.db.damaged-1"), "{told}");
    assert!(told.contains("events.db: nothing is wrong with it"), "{told}");
    assert_eq!(std::fs::read(state.join("ledger.db.damaged-1")).expect("kept"), damaged);
    let mut process = Process::serve(&site, keys);
    bill(&mut process, &first);
    until("charged once", || (billed(&mut process) == 1_000_000).then_some(()));
}

/// As an older copy of the database beside a newer snapshot would be, were they two files.
#[test]
fn a_ledger_that_ends_before_its_snapshot_is_refused() {
    let site = site("");
    let mut process = Process::serve(&site, None);
    let first = bid(&mut process, "r-1");
    bill(&mut process, &first);
    process.signal("-TERM");
    process.ended();
    let other = rusqlite::Connection::open(site.folder().join("state/ledger.db")).expect("opened");
    let sql = "DELETE FROM log WHERE pos = (SELECT max(pos) FROM log)";
    assert_eq!(other.execute(sql, []).expect("done"), 1);
    drop(other);
    let said = String::from_utf8_lossy(&refused(&site).stderr).into_owned();
    assert!(said.contains("records are missing") && said.contains("ledger repair"), "{said}");
}

/// A trimmed log says nothing without a snapshot that reaches its beginning.
#[test]
fn a_trimmed_ledger_without_a_snapshot_of_this_version_is_refused() {
    let site = site("[store]\nsnapshot_every_records = 2\nledger_keep_records = 1");
    let mut process = Process::serve(&site, None);
    let file = site.folder().join("state/ledger.db");
    let other = rusqlite::Connection::open(&file).expect("opened");
    let mut number = 0;
    until("trimmed", || {
        number += 1;
        let fresh = bid(&mut process, &format!("r-{number}"));
        bill(&mut process, &fresh);
        let first = other.query_row("SELECT min(pos) FROM log", [], |row| row.get::<_, i64>(0));
        (first.expect("told") > 1).then_some(())
    });
    process.signal("-TERM");
    process.ended();
    // As a later version would write them.
    let bodies = "SELECT key, pos, body FROM snapshot";
    let mut statement = other.prepare(bodies).expect("prepared");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let rows: Vec<(String, i64, Vec<u8>)> =
        rows.expect("read").collect::<Result<_, _>>().expect("read");
    drop(statement);
    assert!(!rows.is_empty());
    for (key, at, mut body) in rows {
        body[0] += 1;
        let mut crc = crc32fast::Hasher::new();
        crc.update(key.as_bytes());
        crc.update(&at.to_le_bytes());
        crc.update(&body);
        let set = "UPDATE snapshot SET body = ?1, crc = ?2 WHERE pos = ?3";
        other.execute(set, rusqlite::params![body, crc.finalize(), at]).expect("done");
    }
    drop(other);
    let said = String::from_utf8_lossy(&refused(&site).stderr).into_owned();
    let reason = "this version reads none of its 2 sound snapshots";
    assert!(said.contains("ledger.db begins at position") && said.contains(reason), "{said}");
}
