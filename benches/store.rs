//! The durable log against the floor: how many records a second it makes durable while so many
//! appends are under way, beside a bare file that is written and synced once for as many bytes; and
//! how long a start takes that reads a million commands, with and without a snapshot.
//!
//! `cargo bench --bench store`. Rounds are interleaved, so that a busy minute meets both sides; the
//! table has medians. What a regression means: bills and leases wait longer for their answers, or
//! the server bids later after a crash.

use bytes::Bytes;
use outbid::budget::{
    Budget, Command, DayNumber, Due, Held, LeaseOp, Ledger, Notice, Purpose, SNAPSHOT_KEY, Windows,
};
use outbid::clock::{Civil, Mono};
use outbid::store::embedded::{Opened, SqliteLog};
use outbid::store::{OrderedLog, Pauses, Position, Snapshots};
use outbid::units::{AdvertiserId, CampaignId, HoldId, LeaseId, Micros, Nanos, Timestamp};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

const ROUNDS: usize = 5;
/// Bytes of a record, as a lease's step or a bill has them.
const RECORD_BYTES: usize = 56;
/// Appends under way, and groups of so many that one measurement takes.
const BATCHES: [(usize, usize); 3] = [(1, 400), (64, 200), (1_024, 100)];
const COMMANDS: u64 = 1_000_000;
const LEASES: u32 = 100;

type Outcome = Result<Position, outbid::store::AppendError>;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    appends(folder.path());
    recovery(folder.path());
}

fn appends(folder: &Path) {
    let clock = Civil::machine();
    let log = SqliteLog::open(&folder.join("appends.db"), clock, Pauses::default()).expect("a log");
    let mut raw = File::create(folder.join("raw")).expect("a file");
    let mut next = 0;
    let mut rates = vec![[Vec::new(), Vec::new()]; BATCHES.len()];
    for round in 1..=ROUNDS {
        eprintln!("appends: round {round} of {ROUNDS}");
        for (place, (batch, groups)) in BATCHES.into_iter().enumerate() {
            let records = (batch * groups) as f64;
            rates[place][0].push(records / seconds(|| write_raw(&mut raw, batch, groups)));
            rates[place][1].push(records / seconds(|| append(&log, batch, groups, &mut next)));
        }
    }
    println!("| appends under way | write + fdatasync, records/s | log, records/s | ratio |");
    println!("|---|---|---|---|");
    for ((batch, _), [raw, log]) in BATCHES.into_iter().zip(rates) {
        let (raw, log) = (median(raw), median(log));
        println!("| {batch} | {raw:.0} | {log:.0} | {:.2} |", log / raw);
    }
}

fn write_raw(file: &mut File, batch: usize, groups: usize) {
    let bytes = vec![7; batch * RECORD_BYTES];
    for _ in 0..groups {
        file.write_all(&bytes).and_then(|()| file.sync_data()).expect("written");
    }
}

fn append(log: &SqliteLog, batch: usize, groups: usize, next: &mut u128) {
    let (sender, receiver): (Sender<Outcome>, Receiver<Outcome>) = channel();
    for _ in 0..groups {
        for _ in 0..batch {
            *next += 1;
            put(log, *next, Bytes::from_static(&[7; RECORD_BYTES]), &sender);
        }
        receiver.iter().take(batch).for_each(|outcome| assert!(outcome.is_ok(), "{outcome:?}"));
    }
}

fn put(log: &SqliteLog, idem: u128, body: Bytes, sender: &Sender<Outcome>) {
    let sender = sender.clone();
    log.append(idem, body, Box::new(move |outcome| sender.send(outcome).expect("we wait")));
}

fn recovery(folder: &Path) {
    let file = folder.join("ledger.db");
    eprintln!("recovery: writing {COMMANDS} commands");
    write_commands(&file);
    let mut times = [Vec::new(), Vec::new()];
    for round in 1..=ROUNDS {
        eprintln!("recovery: round {round} of {ROUNDS}");
        times[0].push(seconds(|| assert_eq!(recover(&file, false).position().0, COMMANDS)));
    }
    let ledger = recover(&file, false);
    let log = SqliteLog::open(&file, Civil::machine(), Pauses::default()).expect("a log");
    let (sender, receiver) = channel();
    let done = move |saved| sender.send(saved).expect("we wait");
    log.save(SNAPSHOT_KEY, ledger.position(), ledger.encode().into(), Box::new(done));
    receiver.recv().expect("answered").expect("saved");
    drop(log);
    for _ in 0..ROUNDS {
        times[1].push(seconds(|| assert_eq!(recover(&file, true), ledger)));
    }
    let [without, with] = times.map(median);
    println!("\n| {COMMANDS} commands opened, checked and folded | s |\n|---|---|");
    println!("| without a snapshot | {without:.2} |\n| with one of all | {with:.2} |");
}

/// Budgets, leases, and bills of their holds.
fn write_commands(file: &Path) {
    let log = SqliteLog::open(file, Civil::machine(), Pauses::default()).expect("a log");
    let (sender, receiver) = channel();
    let day = DayNumber(20_000);
    let windows = Windows { decision_ttl_ms: 120_000, billing_window_ms: 3_600_000 };
    let due = Due::of(Timestamp(1 << 41), windows);
    let of = |number: u64| {
        let lease_number = (number % u64::from(LEASES)) as u32;
        let campaign = CampaignId(u64::from(lease_number));
        let lease = LeaseId { node: 1, core: 0, boot: 1, number: lease_number };
        let amount = Nanos(1_000_000_000_000_000);
        match number / u64::from(LEASES) {
            0 => Command::SetCampaign {
                campaign,
                advertiser: AdvertiserId(1),
                budget: Budget::daily(amount),
                from: day,
                edition: 1,
            },
            1 => {
                let asked = amount;
                let op = LeaseOp::Open { campaign, day, purpose: Purpose::Serve, asked };
                Command::Lease { lease, step: 0, op }
            }
            row => {
                let hold = HoldId { lease, sequence: row as u32 - 2 };
                let held = Held { hold, campaign, day, due, price: Micros(2_500_000) };
                Command::settle(&held, Micros(1_000_000), Notice::Billing)
            }
        }
    };
    for number in 0..COMMANDS {
        put(&log, u128::from(number), of(number).encode(), &sender);
        if number % 1_000 == 999 {
            receiver.iter().take(1_000).for_each(|outcome| assert!(outcome.is_ok(), "{outcome:?}"));
        }
    }
}

fn recover(file: &Path, from_snapshot: bool) -> Ledger {
    let opened = Opened::open(file).expect("opened");
    let mut saved = opened.load(SNAPSHOT_KEY).into_iter().filter(|_| from_snapshot);
    let mut ledger = saved.find_map(|(at, bytes)| Ledger::decode(&bytes, at)).unwrap_or_default();
    let from = ledger.position();
    let mut fold = |record: &outbid::store::Record| {
        if record.position > from {
            ledger.fold(record).expect("folded");
        }
    };
    drop(opened.start(Civil::machine(), Pauses::default(), Position(1), &mut fold).expect("open"));
    ledger
}

fn seconds(work: impl FnOnce()) -> f64 {
    let began = Mono::now();
    work();
    Mono::now().nanos_since(began) as f64 / 1e9
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
