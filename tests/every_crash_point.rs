//! Promise: wherever the machine stops, the ledger comes back as it was after a record, with every
//! record that was acknowledged; never as something else.
//!
//! A scripted day goes through the log on disk, and after each commit the files are kept. Then the
//! last commit is torn at every length, as if its write had ended there: once with what stood in the
//! file before, once with zeros, once with garbage behind. By default in steps of 64 bytes, at each
//! byte for some commits, and at each byte for all with `OUTBID_FULL=1`.

#[path = "every_crash_point/day.rs"]
mod day;

use bytes::Bytes;
use day::{STARTS, STEP_MS, script};
use outbid::budget::{Ledger, Outcome};
use outbid::clock::Civil;
use outbid::store::embedded::{Opened, SqliteLog, StoreError};
use outbid::store::{OrderedLog, Pauses, Position, Record};
use std::path::Path;
use std::sync::mpsc;

/// Commands of the day, and of one life of the log: at its end the write-ahead log is brought into the
/// file, and short ones are checked faster.
const COMMANDS: usize = 48;
const LIFE: usize = 8;
/// Commits that are torn at every byte.
const EVERY_BYTE: [usize; 1] = [LIFE + 2];
const TORN_STEP: usize = 64;
/// A frame of the write-ahead log: a header and a page.
const FRAME: usize = 24 + PAGE;
const PAGE: usize = 4_096;

/// The files after a commit, and the number of records that were acknowledged by then.
#[derive(Clone)]
struct Image {
    database: Vec<u8>,
    write_ahead: Vec<u8>,
    acknowledged: usize,
}

/// The state folder of a log that is played.
struct Disk {
    folder: tempfile::TempDir,
    clock: Civil,
    records: Vec<Record>,
    images: Vec<Image>,
}

impl Disk {
    fn new() -> Self {
        let clock = Civil::simulated(STARTS);
        Self { folder: folder(), clock, records: Vec::new(), images: Vec::new() }
    }

    fn open(&mut self) -> SqliteLog {
        let file = self.folder.path().join("ledger.db");
        let log = SqliteLog::open(&file, self.clock.clone(), Pauses::default()).expect("it opens");
        self.keep();
        log
    }

    /// Keeps the files as they are at one moment. The writer may checkpoint after its
    /// acknowledgement, so they are read until nothing has changed between two readings.
    fn keep(&mut self) {
        let read = |name: &str| std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        let both = || (read("ledger.db"), read("ledger.db-wal"));
        let mut files = both();
        let (database, write_ahead) = loop {
            let again = both();
            if again == files {
                break again;
            }
            files = again;
        };
        self.images.push(Image { database, write_ahead, acknowledged: self.records.len() });
    }

    fn append(&mut self, log: &SqliteLog, body: Bytes) {
        let number = self.records.len() as u64 + 1;
        let at = STARTS.plus_millis(number as i64 * STEP_MS);
        self.clock.advance(at);
        let idem = u128::from(number);
        let position = append(log, idem, body.clone());
        assert_eq!(position.0, number);
        self.records.push(Record { position, at, idem, body });
    }
}

/// A folder in memory where there is one: this test writes files by the thousand.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder")
}

fn append(log: &SqliteLog, idem: u128, body: Bytes) -> Position {
    let (sender, receiver) = mpsc::channel();
    let done = Box::new(move |outcome| sender.send(outcome).expect("somebody waits"));
    log.append(idem, body, done);
    receiver.recv().expect("an outcome").expect("a position")
}

/// What is read where the files look like this.
fn recovered(
    folder: &Path,
    database: &[u8],
    write_ahead: &[u8],
) -> Result<Vec<Record>, StoreError> {
    for entry in std::fs::read_dir(folder).expect("readable") {
        std::fs::remove_file(entry.expect("an entry").path()).expect("removed");
    }
    let file = folder.join("ledger.db");
    std::fs::write(&file, database).expect("written");
    std::fs::write(folder.join("ledger.db-wal"), write_ahead).expect("written");
    let mut records = Vec::new();
    let mut visit = |record: &Record| records.push(record.clone());
    let log = Opened::open(&file)?.start(
        Civil::simulated(STARTS),
        Pauses::default(),
        Position(1),
        &mut visit,
    )?;
    assert_eq!(log.head().0, records.len() as u64);
    Ok(records)
}

#[derive(Default, Debug)]
struct Seen {
    images: usize,
    with_the_commit: usize,
    without_it: usize,
}

/// Images of one log, brought to a folder and opened.
struct Trial {
    is_full: bool,
    folder: tempfile::TempDir,
    records: Vec<Record>,
    seen: Seen,
}

impl Trial {
    fn new(records: Vec<Record>) -> Self {
        let is_full = std::env::var_os("OUTBID_FULL").is_some();
        Self { is_full, folder: folder(), records, seen: Seen::default() }
    }

    /// The files may hold the records up to the last acknowledged one, or those that were under way.
    fn check(&mut self, database: &[u8], write_ahead: &[u8], (least, most): (usize, usize)) {
        let found = recovered(self.folder.path(), database, write_ahead);
        // A crash is no damage: it is not refused either.
        let found = found.unwrap_or_else(|error| panic!("image {}: {error}", self.seen.images));
        assert!(found.len() == least || found.len() == most, "{} of {most}", found.len());
        assert!(found == self.records[..found.len()], "other records than were written");
        self.seen.images += 1;
        self.seen.with_the_commit += usize::from(found.len() == most);
        self.seen.without_it += usize::from(found.len() < most);
    }
}

/// `new` up to `length`, and then `old`, or what `fill` makes of the rest.
fn torn(old: &[u8], new: &[u8], length: usize, fill: Option<u8>) -> Vec<u8> {
    let mut bytes = new[..length].to_vec();
    match fill {
        None => bytes.extend_from_slice(old.get(length..).unwrap_or_default()),
        Some(0) => bytes.resize(new.len(), 0),
        Some(seed) => {
            bytes.extend((length..new.len()).map(|at| (at as u8).wrapping_mul(seed) ^ seed))
        }
    }
    bytes
}

/// Tears the write that led from one image to the next, in steps of so many bytes and at frames.
fn tear(before: &Image, after: &Image, step: usize, trial: &mut Trial) {
    let (old, new) = (&before.write_ahead, &after.write_ahead);
    let is_other = |at: &usize| old.get(*at) != new.get(*at);
    let from = (0..new.len()).find(is_other).expect("a commit writes something");
    let upto = (from..new.len()).rfind(is_other).unwrap_or(from) + 1;
    let lengths = (from..upto).step_by(step).chain((from..upto).step_by(FRAME)).chain([upto]);
    for (count, length) in lengths.enumerate() {
        // What is behind takes turns, so that each length is not tried three times.
        let bytes = torn(old, new, length, [None, Some(0), Some(167)][count % 3]);
        trial.check(&before.database, &bytes, (before.acknowledged, after.acknowledged));
    }
}

#[test]
fn a_commit_torn_at_any_length_is_there_or_not_and_nothing_before_it_is_lost() {
    let mut disk = Disk::new();
    let day = script(COMMANDS);
    let mut checkpoints = Vec::new();
    for life in day.chunks(LIFE) {
        let log = disk.open();
        let born = disk.images.len() - 1;
        for command in life {
            disk.append(&log, command.encode());
            disk.keep();
        }
        drop(log);
        disk.keep();
        let images = disk.images.split_off(born);
        checkpoints.push(images);
    }
    let mut trial = Trial::new(disk.records);
    for (number, images) in checkpoints.iter().enumerate() {
        let (last, commits) = images.split_last().expect("a life");
        for (place, pair) in commits.windows(2).enumerate() {
            let is_exact = trial.is_full || EVERY_BYTE.contains(&(number * LIFE + place));
            tear(&pair[0], &pair[1], if is_exact { 1 } else { TORN_STEP }, &mut trial);
        }
        // The pages of the file are written while the write-ahead log has them all.
        let before = commits.last().expect("a commit");
        for written in 0..=last.database.len() / PAGE {
            let database = torn(&before.database, &last.database, written * PAGE, None);
            trial.check(&database, &before.write_ahead, (last.acknowledged, last.acknowledged));
        }
    }
    let seen = &trial.seen;
    println!("{seen:?}");
    assert!(seen.with_the_commit > COMMANDS && seen.without_it > COMMANDS);
}

/// A write-ahead log that begins anew keeps its old frames behind the new ones.
#[test]
fn old_frames_behind_a_torn_commit_are_no_records() {
    let mut disk = Disk::new();
    let log = disk.open();
    // Long bodies bring the log to its next beginning with few commits.
    let long = Bytes::from(vec![7; 60_000]);
    let salts =
        |disk: &Disk| disk.images.last().expect("kept").write_ahead.get(16..24).map(<[u8]>::to_vec);
    disk.append(&log, long.clone());
    disk.keep();
    let first = salts(&disk);
    let mut rounds = 0;
    while salts(&disk) == first {
        disk.images.truncate(0);
        disk.keep();
        disk.append(&log, long.clone());
        disk.keep();
        rounds += 1;
        assert!(rounds < 200, "the write-ahead log never begins anew");
    }
    for command in script(3) {
        disk.append(&log, command.encode());
        disk.keep();
    }
    drop(log);
    let images = std::mem::take(&mut disk.images);
    let mut trial = Trial::new(std::mem::take(&mut disk.records));
    let step = if trial.is_full { TORN_STEP } else { FRAME };
    images.windows(2).for_each(|pair| tear(&pair[0], &pair[1], step, &mut trial));
    println!("{rounds} long records, {:?}", trial.seen);
    assert!(trial.seen.with_the_commit > 0 && trial.seen.without_it > 0);
}

/// Bits that are turned: each so many, or, with `OUTBID_FULL=1`, each 64th.
const TURNED_STEP: usize = 64 * 7;

/// Turns bits of a file, one at a time. Whoever opens it gets all records as they were, or, of a
/// write-ahead log's last commit, all but those; or is told file, place and a way out.
fn turn_bits(bytes: &[u8], least: usize, trial: &mut Trial, files: impl Fn(&[u8]) -> [Vec<u8>; 2]) {
    let step = if trial.is_full { 64 } else { TURNED_STEP };
    let mut refused = 0;
    for bit in (0..bytes.len() * 8).step_by(step) {
        let mut turned = bytes.to_vec();
        turned[bit / 8] ^= 1 << (bit % 8);
        let [database, write_ahead] = files(&turned);
        match recovered(trial.folder.path(), &database, &write_ahead) {
            Ok(found) => {
                assert!(found.len() >= least, "bit {bit}: {} of {least} records", found.len());
                assert!(found == trial.records[..found.len()], "bit {bit}: other records");
            }
            Err(error) => {
                let line = error.to_string();
                assert!(line.contains("ledger.db") && !line.contains('\n'), "bit {bit}: {line}");
                let is_damage = matches!(error, StoreError::Damaged { .. });
                assert!(!is_damage || line.contains("outbid ledger repair"), "bit {bit}: {line}");
                refused += usize::from(is_damage);
            }
        }
    }
    println!("{refused} of {} turned bits were refused", bytes.len() * 8 / step);
    assert!(refused > 0, "damage is seen");
}

#[test]
fn a_turned_bit_is_refused_or_changes_nothing() {
    let mut disk = Disk::new();
    let log = disk.open();
    for command in script(24) {
        disk.append(&log, command.encode());
        disk.keep();
    }
    drop(log);
    disk.keep();
    let [.., before, last, closed] = &disk.images[..] else { panic!("images") };
    let mut trial = Trial::new(disk.records.clone());
    let all = disk.records.len();
    // The database as a clean stop leaves it.
    turn_bits(&closed.database, all, &mut trial, |turned| [turned.to_vec(), Vec::new()]);
    // The write-ahead log as a crash leaves it. Damage in its last commit looks like a torn write.
    let whole = before.write_ahead.len();
    let database = &last.database;
    turn_bits(&last.write_ahead[..whole], all - 1, &mut trial, |turned| {
        [database.clone(), [turned, &last.write_ahead[whole..]].concat()]
    });
}

/// Every prefix of the day is a sound ledger, and the day has everything in it.
#[test]
fn each_prefix_of_the_day_passes_the_audit() {
    let mut ledger = Ledger::default();
    let mut kinds = std::collections::BTreeSet::new();
    for (number, command) in script(COMMANDS).iter().enumerate() {
        let at = STARTS.plus_millis((number as i64 + 1) * STEP_MS);
        let position = Position(number as u64 + 1);
        let record = Record { position, at, idem: 0, body: command.encode() };
        let (_, outcome) = ledger.fold(&record).expect("it folds");
        ledger.audit().unwrap_or_else(|error| panic!("{number}: {error}"));
        let text = format!("{outcome:?}");
        kinds.insert(text.split([' ', '(', '{']).next().unwrap_or_default().to_owned());
        assert_ne!(outcome, Outcome::Refused(outbid::budget::Refusal::Violation));
    }
    println!("{kinds:?} {:?}", ledger.house());
    for kind in ["Settled", "Duplicate", "Contradiction", "Lost", "Expired", "CampaignSet"] {
        assert!(kinds.contains(kind), "no {kind} in the day");
    }
}
