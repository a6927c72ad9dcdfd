//! Promise: a process that is killed without a word at any instant under load leaves no debt and
//! forgets no bill. The exchange of this test (`crash/exchange.rs`) decides alone what is due.
//!
//! A kill counts when at least a hundred bids hold money, ten bills are not acknowledged, and one
//! was sent and never answered, so that its commit was under way; ten such kills by default,
//! `OUTBID_KILLS=100` for as many. In between the process is also killed while it starts.
//!
//! Guards that were taken out by hand, and the test that failed then:
//!
//! | without | fails |
//! |---|---|
//! | money taken off a lease for a hold (`Line::hold`) | `never_over_budget::no_fault_bills_past_a_budget` |
//! | a second bill of a hold known as one (`Ledger::settle`) | `money_follows_a_model` |
//! | the bound in a grant (`Ledger::grantable`) | `money_follows_a_model` |
//! | leases of the dead made late (`Ledger::holder_lost`) | `money_follows_a_model` |
//! | the window of a bill (`Ledger::settle`) | `money_follows_a_model` |
//! | a cut enforced only as far as it can be (`Account::set_target`) | `money_follows_a_model` |
//! | the write before the acknowledgement (`Writer::commit`) | `every_crash_point::a_commit_torn_at_any_length...` |
//! | a record's checksum (`rows::read`) | `every_crash_point::a_turned_bit_is_refused_or_changes_nothing` |

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;
mod crash;

use common::{Process, Site, until};
use crash::exchange::{Exchange, Standing};
use crash::{CAMPAIGNS, CAP, Money, PLAN, WINDOW, WORKERS, daily};
use outbid::budget::{
    Command as Record, DayNumber, Due, LeaseOp, Ledger, Notice, Purpose, SNAPSHOT_KEY, Windows,
};
use outbid::clock::Civil;
use outbid::store::embedded::{SqliteLog, open_reader};
use outbid::store::{OrderedLog, Pauses, Position};
use outbid::units::{CampaignId, HoldId, LeaseId, Micros, Nanos};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const OPEN_MIN: usize = 100;
const UNACKNOWLEDGED_MIN: usize = 10;
/// A kill in so many is followed by one during the start.
const START_IN: u32 = 3;

/// What a life of the process left behind when it was killed.
struct Death {
    at: Instant,
    /// By campaign: what may be frozen of it.
    frozen_max: BTreeMap<String, i128>,
}

struct Trial {
    site: Site,
    keys: Option<(String, String)>,
    exchange: Exchange,
    process: Option<Process>,
    born: Instant,
    deaths: Vec<Death>,
    counted: u32,
    killed: u32,
    random: ChaCha8Rng,
    first_bids: Vec<Duration>,
    /// Campaigns that had no money left for a bid at some look.
    ran_out: BTreeSet<String>,
}

impl Trial {
    fn begin(store: &str) -> Self {
        let site = crash::site(&format!("[store]\n{store}"));
        let process = Process::serve(&site, None);
        crash::keep_addresses(&site, &process);
        Self {
            keys: process.keys.clone(),
            exchange: crash::open(&process, PLAN),
            process: Some(process),
            born: Instant::now(),
            deaths: Vec::new(),
            counted: 0,
            killed: 0,
            random: ChaCha8Rng::seed_from_u64(PLAN.seed),
            first_bids: Vec::new(),
            ran_out: BTreeSet::new(),
            site,
        }
    }

    fn pause(&mut self, from_ms: u64, upto_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.random.random_range(from_ms..upto_ms)));
    }

    /// Kills at a random instant, and looks at what comes back.
    fn kill(&mut self) {
        self.pause(20, 1_500);
        // Every other one as it falls, on young lives too; the others where there is much to lose.
        if self.killed.is_multiple_of(2) {
            until("a load that counts", || is_full(self.exchange.standing()).then_some(()));
        }
        let standing = self.exchange.standing();
        let unanswered = self.exchange.counts().unanswered_bills.load(Ordering::SeqCst);
        self.process.take().expect("alive").kill();
        self.killed += 1;
        // Nothing is acknowledged by the dead.
        let due_before = self.exchange.due();
        self.deaths.push(Death { at: Instant::now(), frozen_max: self.frozen_max() });
        let broken = || self.exchange.counts().unanswered_bills.load(Ordering::SeqCst) > unanswered;
        // Whoever waited for an answer hears at once that there is none.
        if is_full(standing) {
            until("the bills under way break off", || broken().then_some(()));
            self.counted += 1;
        }
        if self.killed.is_multiple_of(START_IN) {
            self.kill_while_starting();
        }
        self.restart();
        self.check(&due_before);
    }

    /// What the bids of this life hold, the answers that never arrived, and headroom: on each core
    /// a planned second, one bid or what a renewal's time takes, and as much again until a sweep
    /// gives it back.
    fn frozen_max(&self) -> BTreeMap<String, i128> {
        let held = self.exchange.held(self.born);
        let recent = self.exchange.made(Duration::from_secs(1));
        let bound = |name: &str| {
            let of = |sums: &BTreeMap<String, i128>| sums.get(name).copied().unwrap_or(0);
            let unread = i128::from(PLAN.connections) * CAP;
            let at_hand = of(&recent).max(WORKERS * CAP.max(daily(name) / 86_400));
            of(&held) + unread + 2 * at_hand
        };
        CAMPAIGNS.iter().map(|(name, ..)| ((*name).to_owned(), bound(name))).collect()
    }

    fn kill_while_starting(&mut self) {
        let mut child: Child = Process::command(&self.site).spawn().expect("it starts");
        self.pause(0, 300);
        child.kill().expect("the signal is sent");
        child.wait().expect("its status");
    }

    fn restart(&mut self) {
        let bids = || self.exchange.counts().bids.load(Ordering::SeqCst);
        let before = bids();
        self.born = Instant::now();
        self.process = Some(Process::serve(&self.site, self.keys.clone()));
        until("it bids again", || (bids() > before).then_some(()));
        self.first_bids.push(self.born.elapsed());
    }

    fn accounts(&mut self) -> BTreeMap<String, Money> {
        let process = self.process.as_mut().expect("alive");
        crash::accounts(&process.admin.get("/api/v1/report").json())
    }

    fn check(&mut self, due_before: &BTreeMap<String, (i128, i128)>) {
        let holders_are_lost = |accounts: &BTreeMap<String, Money>| {
            accounts.values().any(|money| money.late > 0) && accounts.len() == CAMPAIGNS.len()
        };
        let accounts =
            until("what was leased is late", || Some(self.accounts()).filter(holders_are_lost));
        let due = self.exchange.due();
        self.deaths.retain(|death| death.at.elapsed() < WINDOW + Duration::from_secs(11));
        for (name, money) in accounts {
            let Money { budget, billed, late, leased, absorbed } = money;
            let acknowledged = due_before.get(&name).map_or(0, |(_, acknowledged)| *acknowledged);
            let all = due.get(&name).map_or(0, |(all, _)| *all);
            assert!(billed + late + leased <= budget, "{name}: {money:?}");
            assert!(billed + absorbed >= acknowledged, "{name} forgot a bill: {money:?}");
            assert!(billed + absorbed <= all, "{name} was billed twice: {money:?} of {all}");
            let frozen_max: i128 = self.deaths.iter().map(|death| death.frozen_max[&name]).sum();
            if budget - billed - late - leased < CAP {
                self.ran_out.insert(name.clone());
            }
            assert!(late <= frozen_max, "{name}: {late} frozen, {frozen_max} at most");
        }
        assert_eq!(self.exchange.faults(), Vec::<String>::new());
    }

    /// Afterwards the exchange has its money, and no budget is passed.
    fn settle(&mut self) {
        let process = self.process.as_mut().expect("alive");
        let accounts = crash::settle(&self.exchange, process);
        for (name, money) in &accounts {
            assert_eq!(money.absorbed, 0, "{name}: the exchange kept its window");
        }
        println!("{accounts:?}");
    }
}

/// Whether a kill at this moment counts.
fn is_full(standing: Standing) -> bool {
    standing.open_holds >= OPEN_MIN
        && standing.unacknowledged >= UNACKNOWLEDGED_MIN
        && standing.bills_in_flight > 0
}

/// Kills until so many have counted, settles, and says what was seen.
fn survive(store: &str, kills: u32) -> Trial {
    let mut trial = Trial::begin(store);
    while trial.counted < kills {
        trial.kill();
        assert!(trial.killed < 4 * kills + 10, "too few kills count: {}", trial.counted);
    }
    trial.settle();
    trial.first_bids.sort();
    println!(
        "{} kills, {} counted; first bid after {:?}, at most {:?}; {} bids, {} bills; ran out: {:?}",
        trial.killed,
        trial.counted,
        trial.first_bids[trial.first_bids.len() / 2],
        trial.first_bids[trial.first_bids.len() - 1],
        trial.exchange.counts().bids.load(Ordering::SeqCst),
        trial.exchange.sales().len(),
        trial.ran_out,
    );
    trial
}

fn kills() -> u32 {
    std::env::var("OUTBID_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// The ledger that all records lead to, and the one that a snapshot and the records behind it do.
fn fold_twice(file: &Path) -> [Ledger; 2] {
    let reader = open_reader(file).expect("it can be read");
    let saved = reader.snapshots(SNAPSHOT_KEY);
    assert!(!saved.is_empty(), "snapshots were taken");
    let (at, bytes) = &saved[0];
    let from_snapshot = Ledger::decode(bytes, *at).expect("a snapshot of this version");
    [Ledger::default(), from_snapshot].map(|mut ledger| {
        for record in reader.records(Position(ledger.position().0 + 1)) {
            ledger.fold(&record.expect("sound")).expect("it folds");
        }
        ledger.audit().expect("both inequalities");
        ledger
    })
}

/// What `outbid ledger verify` says of the state folder and the exchange's own ledger, with so many
/// nanos put on top of what one campaign owes.
fn verify(trial: &Trial, more: i128) -> Result<String, String> {
    let mut ledger = String::from("campaign,billed_nanos\n");
    for (name, (all, _)) in trial.exchange.due() {
        let billed = if name == "tents" { all + more } else { all };
        ledger += &format!("{name},{billed}\n");
    }
    let file = trial.site.folder().join("exchange.csv");
    std::fs::write(&file, ledger).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbid"));
    command.args(["ledger", "verify", "--state"]).arg(trial.site.folder().join("state"));
    let output = command.arg("--exchange-ledger").arg(&file).output().expect("the binary starts");
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

#[test]
fn kill_nine_under_load_leaves_no_debt_and_forgets_no_bill() {
    let mut trial = survive("snapshot_every_records = 400", kills());
    assert!(trial.ran_out.len() > 1, "budgets were too large to be passed: {:?}", trial.ran_out);
    let file = trial.site.folder().join("state/ledger.db");
    trial.process.take().expect("alive").kill();
    verify(&trial, 0).expect("the books agree");
    let lie = verify(&trial, 1).expect_err("a nano more is a difference");
    assert!(lie.contains("tents"), "{lie}");
    let [folded, snapped] = fold_twice(&file);
    assert!(folded == snapped, "a snapshot is the history up to it");

    // Without its snapshots the process comes back to the same.
    let connection = rusqlite::Connection::open(&file).expect("a database");
    connection.execute("DELETE FROM snapshot", []).expect("deleted");
    drop(connection);
    let before = trial.exchange.due();
    trial.process = Some(Process::serve(&trial.site, trial.keys.clone()));
    let process = trial.process.as_mut().expect("alive");
    let report = process.admin.get("/api/v1/report").json();
    let position = report["budget"]["position"].as_u64().expect("a position");
    let mut again = Ledger::default();
    for record in open_reader(&file).expect("readable").records(Position(1)).take(position as usize)
    {
        again.fold(&record.expect("sound")).expect("it folds");
    }
    let digest: String = again.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(report["budget"]["digest"], digest, "at position {position}");
    assert!(position >= folded.position().0);
    for (name, money) in crash::accounts(&report) {
        assert_eq!(money.billed, before.get(&name).map_or(0, |(all, _)| *all), "{name}");
    }
}

/// The same where the log is trimmed behind its snapshots all the time.
#[test]
fn kill_nine_while_the_log_is_trimmed_forgets_no_bill() {
    let trial = survive("snapshot_every_records = 100\nledger_keep_records = 50", kills() / 3 + 1);
    let reader = open_reader(&trial.site.folder().join("state/ledger.db")).expect("readable");
    let (first, last) = reader.ends().expect("readable").expect("records");
    assert!(first.0 > 1, "nothing was trimmed: {first:?} to {last:?}");
}

/// From the start to the first bid with a million records of bills in the log (or `OUTBID_RECORDS`),
/// and no snapshot.
#[test]
#[ignore = "a measurement: run it with --release --ignored --nocapture"]
fn a_million_records_are_read_at_the_start() {
    let records = std::env::var("OUTBID_RECORDS").ok().and_then(|text| text.parse().ok());
    let records: u64 = records.unwrap_or(1_000_000);
    let site = crash::site("");
    let mut process = Process::serve(&site, None);
    let keys = process.keys.clone();
    process.signal("-TERM");
    process.ended();
    let log = SqliteLog::open(
        &site.folder().join("state/ledger.db"),
        Civil::machine(),
        Pauses::default(),
    );
    let log = log.expect("it opens");
    let day = DayNumber(20_000);
    let campaign = CampaignId::of("shoes");
    let lease = LeaseId { node: 0, core: 9, boot: 1, number: 0 };
    let append = |number: u64, command: &Record| {
        let (sender, receiver) = std::sync::mpsc::channel();
        log.append(
            u128::from(number),
            command.encode(),
            Box::new(move |outcome| {
                // Only the last one is waited for.
                let _ = sender.send(outcome);
            }),
        );
        receiver
    };
    let asked = Nanos(i128::from(records) * CAP);
    let op = LeaseOp::Open { campaign, day, purpose: Purpose::Serve, asked };
    let opened = append(0, &Record::Lease { lease, step: 0, op });
    opened.recv().expect("an outcome").expect("a position");
    let now = Civil::machine().now();
    let windows = Windows { decision_ttl_ms: 5_000, billing_window_ms: 3_600_000 };
    let (held, price) = (Micros(2_500_000), Micros(1_000_000));
    for number in 1..=records {
        let hold = HoldId { lease, sequence: number as u32 - 1 };
        let (due, notice) = (Due::of(now, windows), Notice::Billing);
        let bill =
            append(number, &Record::Settle { hold, campaign, day, held, price, due, notice });
        // The queue has its bound.
        if number % 10_000 == 0 {
            bill.recv().expect("an outcome").expect("a position");
        }
    }
    let head = log.head();
    drop(log);
    let started = Instant::now();
    let mut process = Process::serve(&site, keys);
    let ready = started.elapsed();
    let body = crash::request("m-1", "USA");
    until("a bid", || {
        let reply = process.exchange.post("/openrtb2/x/bid", body.as_bytes());
        (reply.status == 200).then_some(())
    });
    println!("{} records: ready after {ready:?}, first bid after {:?}", head.0, started.elapsed());
}
