//! Promise: while the disk is slow, bids go on and bills wait; after a sync has failed nobody is told
//! that a bill is taken until the server has read its files again; a process that dies at any sync
//! forgets no bill; and a clock that is set back costs nobody anything.
//!
//! The real binary under load of the test's own exchange, with faults below it (`crash/faults.c`).

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;
mod crash;

use common::{Process, counter, until};
use crash::PLAN;
use crash::exchange::{Exchange, Plan};
use crash::faults::{Faults, Order};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every loss is told, so that nothing is held once all is settled.
const TOLD: Plan = Plan { told_percent: 100, ..PLAN };
/// Bills before something happens.
const BILLS_MIN: u64 = 30;
/// So few requests a second that the money at hand, a second of what is planned, lasts for a while.
const CALM: Plan = Plan { rate: 100, ..TOLD };
const HOUR_MS: i64 = 3_600_000;

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::SeqCst)
}

/// Waits until so many more bills are acknowledged.
fn bills(exchange: &Exchange, more: u64) {
    let before = count(&exchange.counts().acknowledged);
    let is_so = || count(&exchange.counts().acknowledged) >= before + more;
    until("bills", || is_so().then_some(()));
}

/// Waits until so many more bids are made, or notices put off.
fn grows(what: &str, counter: &AtomicU64, more: u64) {
    let before = count(counter);
    until(what, || (count(counter) >= before + more).then_some(()));
}

fn metric(process: &mut Process, name: &str) -> f64 {
    let text = process.admin.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
    line.trim().parse().expect("a number")
}

#[test]
fn while_a_sync_takes_its_time_bids_go_on_and_bills_wait() {
    let site = crash::site("");
    let Some(faults) = Faults::of(&site) else { return };
    let mut process = Process::start(faults.command(&site), None);
    let exchange = crash::open(&process, CALM);
    bills(&exchange, BILLS_MIN);
    faults.set(Order::SyncMs, 1_000 * HOUR_MS);
    until("slow", || {
        (metric(&mut process, "outbid_log_health{log=\"ledger\",state=\"slow\"}") > 0.0)
            .then_some(())
    });
    assert!(metric(&mut process, "outbid_log_lag_seconds{log=\"ledger\"}") > 1.0);
    let acknowledged = count(&exchange.counts().acknowledged);
    grows("bids", &exchange.counts().bids, 20);
    assert_eq!(process.admin.get("/readyz").status, 200, "it bids");
    assert_eq!(count(&exchange.counts().acknowledged), acknowledged, "nothing is durable yet");
    faults.set(Order::SyncMs, 0);
    bills(&exchange, BILLS_MIN);
    let accounts = crash::settle(&exchange, &mut process);
    assert!(accounts.values().all(|money| money.absorbed == 0), "{accounts:?}");
    until("caught up", || {
        (metric(&mut process, "outbid_log_lag_seconds{log=\"ledger\"}") < 1.0).then_some(())
    });
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_before_a_restart() {
    let site = crash::site("");
    let Some(faults) = Faults::of(&site) else { return };
    let mut process = Process::start(faults.command(&site), None);
    let keys = process.keys.clone();
    crash::keep_addresses(&site, &process);
    let exchange = crash::open(&process, TOLD);
    bills(&exchange, BILLS_MIN);
    faults.set(Order::SyncFails, 1);
    let reason = until("not ready", || {
        let reply = process.admin.get("/readyz");
        (reply.status == 503).then(|| reply.text())
    });
    assert!(reason.contains("restart the server"), "{reason}");
    // The next sync would succeed, as it does where the kernel has given up the pages.
    faults.set(Order::SyncFails, 0);
    // Answers under way arrive: on each connection one at most.
    grows("bills are put off", &exchange.counts().put_off, 2 * PLAN.notices);
    let (acknowledged, syncs) = (count(&exchange.counts().acknowledged), faults.syncs());
    grows("bills are put off", &exchange.counts().put_off, 10 * PLAN.notices);
    assert_eq!(count(&exchange.counts().acknowledged), acknowledged);
    let text = process.admin.get("/metrics").text();
    assert_eq!(counter(&text, "outbid_log_health{log=\"ledger\",state=\"poisoned\"}"), 1);
    process.signal("-TERM");
    process.ended();
    assert_eq!(faults.syncs(), syncs, "the file is never synced again");
    assert_eq!(count(&exchange.counts().acknowledged), acknowledged);
    drop(process);
    let mut process = Process::start(faults.command(&site), keys);
    crash::settle(&exchange, &mut process);
}

#[test]
fn where_only_the_log_of_events_fails_bids_and_bills_go_on() {
    let site = crash::site("");
    let Some(faults) = Faults::of(&site) else { return };
    let mut process = Process::start(faults.command(&site), None);
    let exchange = crash::open(&process, TOLD);
    bills(&exchange, BILLS_MIN);
    faults.set(Order::EventsFail, 1);
    until("known", || {
        (metric(&mut process, "outbid_log_health{log=\"events\",state=\"poisoned\"}") > 0.0)
            .then_some(())
    });
    grows("bids", &exchange.counts().bids, 100);
    bills(&exchange, BILLS_MIN);
    assert_eq!(process.admin.get("/readyz").status, 200);
    crash::settle(&exchange, &mut process);
    // What it has can still be asked for.
    assert!(process.admin.get("/api/v1/events?kind=billing").text().contains("charged"));
}

/// Each life ends before its first sync, its second, and so on: while it starts, commits, saves
/// snapshots, trims.
#[test]
fn whichever_sync_is_the_last_no_bill_is_forgotten() {
    let lives = if std::env::var_os("OUTBID_FULL").is_some() { 200 } else { 20 };
    let store = "[store]\nsnapshot_every_records = 5\nledger_keep_records = 3";
    let site = crash::site(store);
    let Some(faults) = Faults::of(&site) else { return };
    let process = Process::start(faults.command(&site), None);
    let keys = process.keys.clone();
    crash::keep_addresses(&site, &process);
    let exchange = crash::open(&process, TOLD);
    bills(&exchange, BILLS_MIN);
    process.kill();
    for life in 1..=lives {
        faults.set(Order::DiesAt, life);
        let mut command = faults.command(&site);
        let mut child = command.stderr(Stdio::null()).spawn().expect("the binary starts");
        let status = until("it dies", || child.try_wait().expect("its status"));
        assert_eq!(status.code(), None, "life {life}: by the signal, {status}");
    }
    faults.set(Order::DiesAt, 0);
    let mut process = Process::start(faults.command(&site), keys);
    crash::settle(&exchange, &mut process);
}

#[test]
fn a_clock_that_is_set_back_costs_nobody_anything() {
    let site = crash::site("");
    let Some(faults) = Faults::of(&site) else { return };
    let mut process = Process::start(faults.command(&site), None);
    let keys = process.keys.clone();
    crash::keep_addresses(&site, &process);
    let exchange = crash::open(&process, TOLD);
    bills(&exchange, BILLS_MIN);
    faults.set(Order::ClockMs, -2 * HOUR_MS);
    // By then every bid that was made before is billed.
    bills(&exchange, 20 * BILLS_MIN);
    assert!(metric(&mut process, "outbid_clock_ahead_milliseconds") > 1.9 * HOUR_MS as f64);
    process.kill();
    let mut process = Process::start(faults.command(&site), keys);
    bills(&exchange, 20 * BILLS_MIN);
    let accounts = crash::settle(&exchange, &mut process);
    assert!(accounts.values().all(|money| money.absorbed == 0), "{accounts:?}");
    let text = process.admin.get("/metrics").text();
    let late = "outbid_notices_total{kind=\"billing\",outcome=\"late";
    assert!(!text.contains(late), "{text}");
}
