//! Promise: whatever becomes of the disk or of the process, no bill that was acknowledged is lost, no
//! money is spent that is not accounted for, and whoever looks is told what is wrong and what to do.
//!
//! The real binary under load of the test's own exchange (`crash/exchange.rs`). Full and read-only
//! disks are file systems of this test's own; where it may not mount any, it says so and passes.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;
mod crash;

use common::{Process, Site, until};
use crash::exchange::{Exchange, Plan};
use crash::{CAMPAIGNS, Mount, PLAN};
use outbid::budget::{DayNumber, Ledger};
use outbid::clock::Civil;
use outbid::store::embedded::{SqliteLog, open_reader};
use outbid::store::{Pauses, Position};
use outbid::units::{CampaignId, Nanos};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Every loss is told, so that nothing is held once all is settled.
const TOLD: Plan = Plan { told_percent: 100, ..PLAN };
/// Bills before something happens.
const BILLS_MIN: u64 = 30;

fn ledger_file(site: &Site) -> PathBuf {
    site.folder().join("state/ledger.db")
}

/// What a start that must fail says, in one line.
fn refusal(site: &Site) -> String {
    let mut child = Process::command(site).spawn().expect("the binary starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().expect("its status").is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Fails where it has ended, as it must.
    let _ = child.kill();
    let output = child.wait_with_output().expect("its output");
    assert_eq!(output.status.code(), Some(1), "it does not start");
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("outbid: ")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    lines[0].to_owned()
}

fn count(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.load(Ordering::SeqCst)
}

/// Waits until the load is on.
fn warm_up(exchange: &Exchange) {
    until("bills", || (count(&exchange.counts().acknowledged) >= BILLS_MIN).then_some(()));
}

fn folded(file: &Path) -> Ledger {
    let mut ledger = Ledger::default();
    for record in open_reader(file).expect("readable").records(Position(1)) {
        ledger.fold(&record.expect("sound")).expect("it folds");
    }
    ledger.audit().expect("both inequalities");
    ledger
}

#[test]
fn a_full_disk_stops_bids_and_loses_no_bill() {
    let site = crash::site("");
    let Some(mount) = Mount::new(site.folder().join("state"), "8m") else { return };
    let mut process = Process::serve(&site, None);
    let exchange = crash::open(&process, TOLD);
    warm_up(&exchange);
    let filler = mount.fill();
    until("bills are put off", || (count(&exchange.counts().put_off) > 0).then_some(()));
    let reason = until("not ready", || {
        let reply = process.admin.get("/readyz");
        (reply.status == 503).then(|| reply.text())
    });
    println!("{}", reason.trim());
    // Nobody is told that his bill is taken, and bids end with the money at hand.
    let mut last = (0, 0);
    until("bids end", || {
        let counts = exchange.counts();
        let (bids, no_bids) = (count(&counts.bids), count(&counts.no_bids));
        if bids != last.0 {
            last = (bids, no_bids);
        }
        (no_bids > last.1 + 100).then_some(())
    });
    fs::remove_file(filler).expect("removed");
    let bids = count(&exchange.counts().bids);
    until("it bids again", || (count(&exchange.counts().bids) > bids).then_some(()));
    until("ready", || (process.admin.get("/readyz").status == 200).then_some(()));
    crash::settle(&exchange, &mut process);
    process.kill();
    drop(exchange);
    folded(&ledger_file(&site));
    drop(mount);
}

#[test]
fn an_edit_that_a_full_disk_does_not_take_changes_nothing() {
    let site = crash::site("");
    let Some(mount) = Mount::new(site.folder().join("state"), "8m") else { return };
    let mut process = Process::serve(&site, None);
    let keys = process.keys.clone();
    let path = format!("/api/v1/campaigns/{}", CAMPAIGNS[0].0);
    let before = process.admin.get(&path).json();
    let filler = mount.fill();
    let pause = "{\"status\":\"paused\"}";
    let refused = process.admin.put(&path, pause);
    println!("{}", refused.text());
    assert_eq!(refused.status, 503);
    assert_eq!(process.admin.get(&path).json(), before);
    fs::remove_file(filler).expect("removed");
    until("it is taken", || (process.admin.put(&path, pause).status == 200).then_some(()));
    process.kill();
    let mut process = Process::serve(&site, keys);
    assert_eq!(process.admin.get(&path).json()["status"], "paused");
    process.kill();
    drop(mount);
}

#[test]
fn a_disk_that_cannot_be_written_is_refused_at_the_start() {
    let site = crash::site("");
    let Some(mount) = Mount::new(site.folder().join("state"), "8m") else { return };
    Process::serve(&site, None).kill();
    mount.make_read_only();
    let line = refusal(&site);
    println!("{line}");
    assert!(line.contains("state") && line.to_lowercase().contains("read-only"), "{line}");
}

#[test]
fn damage_is_refused_with_its_place_and_a_way_out() {
    let site = crash::site("");
    let mut process = Process::serve(&site, None);
    let exchange = crash::open(&process, TOLD);
    warm_up(&exchange);
    crash::settle(&exchange, &mut process);
    process.kill();
    // The write-ahead log lies there as the dead left it.
    let file = ledger_file(&site);
    let write_ahead = file.with_extension("db-wal");
    let sound = fs::read(&write_ahead).expect("a write-ahead log");
    assert!(sound.len() > 20 * 4_120, "many commits");
    let mut damaged = sound.clone();
    damaged[sound.len() / 2] ^= 0x10;
    fs::write(&write_ahead, damaged).expect("written");
    let line = refusal(&site);
    println!("{line}");
    assert!(line.contains("db-wal is damaged at byte") && line.contains("ledger repair"), "{line}");
    fs::write(&write_ahead, sound).expect("written");

    // Closing the log brings it into the database.
    drop(SqliteLog::open(&file, Civil::machine(), Pauses::default()).expect("sound again"));
    let reader = open_reader(&file).expect("readable");
    let record = reader.records(Position(5)).next().expect("a record").expect("sound");
    drop(reader);
    // It may also stand where a page was before it was divided.
    let mut bytes = fs::read(&file).expect("readable");
    let length = record.body.len();
    let is_here = |at: &usize| bytes[*at..*at + length] == record.body[..];
    let found: Vec<usize> = (0..bytes.len() - length).filter(is_here).collect();
    assert!(!found.is_empty(), "its body stands in the file");
    found.iter().for_each(|at| bytes[*at] ^= 0x10);
    fs::write(&file, bytes).expect("written");
    let line = refusal(&site);
    println!("{line}");
    assert!(line.contains("ledger.db is damaged at position 5"), "{line}");
    assert!(line.contains("outbid ledger repair"), "{line}");
}

#[test]
fn a_clean_stop_leaves_nothing_frozen() {
    let site = crash::site("");
    let mut process = Process::serve(&site, None);
    let keys = process.keys.clone();
    let exchange = crash::open(&process, TOLD);
    warm_up(&exchange);
    // In the middle of the load: what no bid holds is given back.
    process.signal("-TERM");
    let status = process.ended();
    assert!(status.success(), "{status}");
    let lines: Vec<String> = process.log.try_iter().collect();
    assert!(lines.iter().any(|line| line.contains("beyond_nanos=0")), "{lines:?}");
    crash::keep_addresses(&site, &process);
    drop(process);
    let mut process = Process::serve(&site, keys);
    crash::settle(&exchange, &mut process);
    // And without load: nothing is leased at all, but what the first life's bids held.
    let held_before = until("a look at the books", || {
        let accounts = crash::accounts(&process.admin.get("/api/v1/report").json());
        (accounts.len() == CAMPAIGNS.len()).then(|| accounts.values().map(|one| one.late).sum())
    });
    process.signal("-TERM");
    assert!(process.ended().success());
    let ledger = folded(&ledger_file(&site));
    let left = CAMPAIGNS.iter().map(|(name, ..)| {
        let total = ledger.view(CampaignId::of(name), DayNumber(0)).expect("known").total;
        assert_eq!(total.leased, Nanos::ZERO, "{name}");
        total.late.0
    });
    let left: i128 = left.sum();
    println!("{left} of {held_before} nanos frozen by bids of the first life");
    assert!(left <= held_before);
}

#[test]
fn a_process_that_was_stopped_goes_on_where_it_was() {
    let site = crash::site("");
    let mut process = Process::serve(&site, None);
    let exchange = crash::open(&process, TOLD);
    warm_up(&exchange);
    process.signal("-STOP");
    // So long is the fault.
    std::thread::sleep(Duration::from_secs(5));
    let bids = count(&exchange.counts().bids);
    process.signal("-CONT");
    until("it bids again", || (count(&exchange.counts().bids) > bids + 10).then_some(()));
    let accounts = crash::settle(&exchange, &mut process);
    assert!(accounts.values().all(|money| money.absorbed == 0), "{accounts:?}");
}
