use super::*;
use crate::clock::Civil;
use crate::store::conformance::{Backend, append, conforms};
use crate::store::{AppendError, Health, OrderedLog, Pauses, Position, Snapshots};
use crate::units::Timestamp;
use rusqlite::Connection;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use tempfile::TempDir;

struct Sqlite(TempDir);

impl Sqlite {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("ledger.db")
    }

    fn log(&self) -> SqliteLog {
        let clock = Civil::simulated(Timestamp(1_000));
        SqliteLog::open(&self.file(), clock, Pauses::default()).expect("opened")
    }
}

impl Backend for Sqlite {
    fn open(&self, clock: &Civil, pauses: Pauses) -> Arc<dyn OrderedLog> {
        Arc::new(SqliteLog::open(&self.file(), clock.clone(), pauses).expect("opened"))
    }

    fn is_durable(&self) -> bool {
        true
    }
}

conforms!(Sqlite::new());

#[test]
fn a_second_process_is_refused_and_a_reader_is_not() {
    let place = Sqlite::new();
    let log = place.log();
    append(&log, 1, "one").expect("in");
    let clock = Civil::simulated(Timestamp(0));
    let second = SqliteLog::open(&place.file(), clock, Pauses::default()).err().expect("refused");
    assert!(matches!(second, StoreError::InUse { .. }), "{second}");
    let reader = open_reader(&place.file()).expect("beside the writer");
    append(&log, 2, "two").expect("in");
    let read: Vec<u64> =
        reader.records(Position(0)).map(|record| record.expect("sound").position.0).collect();
    assert_eq!(read, [1, 2]);
    drop(log);
    place.log();
}

#[test]
fn a_newer_schema_is_refused() {
    let place = Sqlite::new();
    drop(place.log());
    let connection = rusqlite::Connection::open(place.file()).expect("opened");
    connection.execute_batch("PRAGMA user_version = 7").expect("set");
    drop(connection);
    let error = SqliteLog::open(&place.file(), Civil::machine(), Pauses::default()).err();
    assert!(matches!(error, Some(StoreError::Newer { version: 7, .. })), "{error:?}");
    assert!(matches!(open_reader(&place.file()), Err(StoreError::Newer { .. })));
}

fn clock() -> Civil {
    Civil::simulated(Timestamp(1_000))
}

/// A log of so many records, shut.
fn filled(count: u64) -> Sqlite {
    let place = Sqlite::new();
    let log = place.log();
    for idem in 1..=count {
        assert_eq!(append(&log, u128::from(idem), "a body"), Ok(Position(idem)));
    }
    drop(log);
    place
}

fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if is_true() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{what} did not come true");
}

fn refusal(place: &Sqlite) -> StoreError {
    SqliteLog::open(&place.file(), clock(), Pauses::default()).err().expect("refused")
}

/// Appends a record that takes eight pages.
fn append_long(log: &SqliteLog, idem: u128) -> Result<Position, AppendError> {
    let (sender, receiver) = channel();
    let done = move |outcome| sender.send(outcome).expect("the test waits");
    log.append(idem, vec![1; 32_000].into(), Box::new(done));
    receiver.recv().expect("completed")
}

#[test]
fn a_full_disk_refuses_at_once_and_is_written_again_when_there_is_room() {
    let place = Sqlite::new();
    let log = place.log();
    for idem in 1..=8 {
        append_long(&log, idem).expect("in");
    }
    drop(log);
    let opened = Opened::open(&place.file()).expect("opened");
    let pages: u32 =
        opened.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("told");
    let limit = format!("PRAGMA max_page_count = {}", pages + 2);
    opened.connection.query_row(&limit, [], |_| Ok(())).expect("set");
    let log = opened.start(clock(), Pauses::default(), Position(1), &mut |_| ()).expect("started");
    assert_eq!(append_long(&log, 9), Err(AppendError::Refused));
    assert_eq!(log.status().health, Health::Full);
    assert_eq!(append_long(&log, 9), Err(AppendError::Refused), "at the door");
    assert_eq!(log.head(), Position(8));
    // What is deleted leaves pages that can be written.
    let other = Connection::open(place.file()).expect("opened");
    other.busy_timeout(Duration::from_secs(5)).expect("set");
    other.execute("DELETE FROM log WHERE pos < 5", []).expect("deleted");
    until("room is found", || log.status().health == Health::Good);
    assert_eq!(append_long(&log, 9), Ok(Position(9)), "the refused ones took no position");
    assert_eq!(log.head(), Position(9), "and are not taken for copies");
}

#[test]
fn what_cannot_be_written_is_refused() {
    let place = filled(2);
    let opened = Opened::open(&place.file()).expect("opened");
    opened.connection.execute_batch("PRAGMA query_only = 1").expect("set");
    let log = opened.start(clock(), Pauses::default(), Position(1), &mut |_| ()).expect("started");
    assert_eq!(append(&log, 3, "x"), Err(AppendError::Refused));
    assert_eq!(log.status().health, Health::ReadOnly);
    assert_eq!(log.head(), Position(2));
}

#[test]
fn after_a_failed_write_nothing_is_acknowledged_and_a_restart_goes_on() {
    let place = filled(2);
    let opened = Opened::open(&place.file()).expect("opened");
    let trigger = "CREATE TEMP TRIGGER breaks BEFORE INSERT ON log WHEN NEW.pos = 4
                   BEGIN SELECT RAISE(ABORT, 'as this test wants it'); END";
    opened.connection.execute_batch(trigger).expect("set");
    let log = opened.start(clock(), Pauses::default(), Position(1), &mut |_| ()).expect("started");
    let mut tail = log.tail(Position(3)).expect("to come");
    assert_eq!(append(&log, 3, "x"), Ok(Position(3)));
    assert_eq!(append(&log, 4, "x"), Err(AppendError::Unknown));
    assert_eq!(log.status().health, Health::Poisoned);
    for idem in 4..10 {
        let (sender, receiver) = channel();
        let done = move |outcome| sender.send(outcome).expect("the test waits");
        log.append(idem, Default::default(), Box::new(done));
        assert_eq!(receiver.recv().expect("completed"), Err(AppendError::Closed));
    }
    let (sender, receiver) = channel();
    let done = move |outcome| sender.send(outcome).expect("the test waits");
    log.save("k", Position(3), Default::default(), Box::new(done));
    assert!(receiver.recv().expect("completed").is_err());
    drop(log);
    assert_eq!(crate::store::conformance::records(&mut tail, 1)[0].position, Position(3));
    assert!(tail.blocking_recv().is_none());
    let log = place.log();
    assert_eq!(append(&log, 4, "x"), Ok(Position(4)));
}

/// What gathers before a snapshot is committed after it, and by then the log may have failed.
#[test]
fn after_a_failed_snapshot_not_even_what_came_before_it_is_acknowledged() {
    let place = filled(2);
    let opened = Opened::open(&place.file()).expect("opened");
    let trigger = "CREATE TEMP TRIGGER breaks BEFORE INSERT ON snapshot
                   BEGIN SELECT RAISE(ABORT, 'as this test wants it'); END";
    opened.connection.execute_batch(trigger).expect("set");
    let log = opened.start(clock(), Pauses::default(), Position(1), &mut |_| ()).expect("started");
    // The writer is held while both are put into its queue.
    let ((is_held, reached), (go_on, held)) = (channel(), channel());
    let hold = move |outcome| {
        is_held.send(outcome).expect("the test waits");
        held.recv().expect("the test goes on")
    };
    log.append(3, Default::default(), Box::new(hold));
    assert_eq!(reached.recv(), Ok(Ok(Position(3))));
    let (sender, receiver) = channel();
    log.append(4, Default::default(), Box::new(move |outcome| _ = sender.send(outcome)));
    let (saved, not_saved) = channel();
    let done = Box::new(move |outcome: Result<(), _>| _ = saved.send(outcome.is_err()));
    log.save("k", Position(3), Default::default(), done);
    go_on.send(()).expect("the writer waits");
    assert_eq!(receiver.recv(), Ok(Err(AppendError::Closed)));
    assert_eq!((not_saved.recv(), log.status().health), (Ok(true), Health::Poisoned));
    drop(log);
    assert_eq!(place.log().head(), Position(3));
}

/// Whoever appends again what a dead process wrote, and perhaps never synced, is told that it is
/// durable: so it must be written again first.
#[test]
fn what_was_found_in_the_write_ahead_log_is_in_the_database_before_anybody_is_told() {
    let place = Sqlite::new();
    let log = place.log();
    for idem in 1..=5 {
        append(&log, idem, "a body").expect("in");
    }
    let after_a_kill = Sqlite::new();
    for ending in ["", "-wal"] {
        let file = |place: &Sqlite| file::beside(&place.file(), ending);
        fs::copy(file(&place), file(&after_a_kill)).expect("copied");
    }
    let log = after_a_kill.log();
    assert_eq!(append(&log, 5, "a body"), Ok(Position(5)));
    let alone = Sqlite::new();
    fs::copy(after_a_kill.file(), alone.file()).expect("copied");
    assert_eq!(alone.log().head(), Position(5));
}

/// Each way in which a record can be wrong, by what is done to the third of five.
#[test]
fn a_record_that_is_not_as_it_was_written_is_refused_and_what_is_before_it_salvaged() {
    for wrong in [
        "UPDATE log SET body = x'00' WHERE pos = 3",
        "UPDATE log SET at = at + 1 WHERE pos = 3",
        "UPDATE log SET idem = x'00112233445566778899aabbccddeeff' WHERE pos = 3",
        "UPDATE log SET idem = x'00' WHERE pos = 3",
        "UPDATE log SET crc = crc + 1 WHERE pos = 3",
        "DELETE FROM log WHERE pos = 3",
        "UPDATE log SET pos = 30 WHERE pos = 3",
    ] {
        let place = filled(5);
        Connection::open(place.file()).expect("opened").execute_batch(wrong).expect("done");
        let error = refusal(&place);
        let at = Place::Position(Position(3));
        assert!(matches!(&error, StoreError::Damaged { place, .. } if *place == at), "{error}");
        let said = error.to_string();
        assert!(said.contains("ledger.db is damaged at position 3"), "{said}");
        assert!(said.contains("outbid ledger repair --state"), "{said}");
        let reader = open_reader(&place.file()).expect("opened");
        let read: Vec<_> = reader.records(Position(1)).map(|record| record.is_ok()).collect();
        assert_eq!(read, [true, true, false], "{wrong}");
        drop(reader);

        let before = fs::read(place.file()).expect("read");
        let repaired = repair(&place.file()).expect("repaired").expect("something was wrong");
        assert_eq!((repaired.first, repaired.last), (Position(1), Position(2)), "{wrong}");
        assert_eq!(fs::read(&repaired.kept_as).expect("kept"), before, "{wrong}");
        assert_eq!(repair(&place.file()).expect("looked at"), None);
        let log = place.log();
        assert_eq!(append(&log, 2, "a body"), Ok(Position(2)));
        assert_eq!(append(&log, 6, "x"), Ok(Position(3)));
        assert!(matches!(repair(&place.file()), Err(StoreError::InUse { .. })));
    }
}

#[test]
fn damage_found_while_it_runs_ends_the_reader_and_the_log() {
    let place = filled(5);
    let log = place.log();
    let other = Connection::open(place.file()).expect("opened");
    other.execute_batch("UPDATE log SET body = x'00' WHERE pos = 3").expect("done");
    let mut tail = log.tail(Position(1)).expect("there");
    assert!(tail.blocking_recv().is_none());
    let position = Position(3);
    until("known", || log.status().health == Health::Damaged { file: place.file(), position });
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let place = Sqlite::new();
    fs::write(place.file(), vec![7; 10_000]).expect("written");
    assert!(matches!(refusal(&place), StoreError::Damaged { .. }));
    assert!(repair(&place.file()).is_err(), "nothing can be salvaged");
    assert_eq!(fs::read(place.file()).expect("read"), vec![7; 10_000]);
}

#[test]
fn a_repair_that_was_broken_off_is_finished_before_anything_is_written() {
    let place = filled(5);
    Connection::open(place.file())
        .and_then(|other| other.execute_batch("DELETE FROM log WHERE pos = 4"))
        .expect("done");
    let damaged = fs::read(place.file()).expect("read");
    let repaired = repair(&place.file()).expect("repaired").expect("something was wrong");
    // As it would be had it ended before its last step.
    let good = file::repaired_file(&place.file());
    fs::rename(place.file(), &good).expect("renamed");
    fs::hard_link(&repaired.kept_as, place.file()).expect("linked");
    assert!(refusal(&place).to_string().contains("broken off"));
    let again = repair(&place.file()).expect("repaired").expect("finished");
    assert_eq!((again.last, &again.kept_as), (Position(3), &repaired.kept_as));
    assert_eq!(fs::read(&again.kept_as).expect("kept"), damaged);
    assert_eq!(place.log().head(), Position(3));
}

#[test]
fn a_damaged_snapshot_is_passed_over_for_the_one_before_it() {
    let place = Sqlite::new();
    let log = place.log();
    let save = |at: u64| {
        let (sender, receiver) = channel();
        let done = move |outcome| sender.send(outcome).expect("the test waits");
        log.save("ledger", Position(at), vec![at as u8; 100].into(), Box::new(done));
        receiver.recv().expect("completed").expect("saved");
    };
    let at = |log: &dyn Snapshots| -> Vec<u64> {
        log.load("ledger").iter().map(|(at, _)| at.0).collect()
    };
    [1, 2, 3].into_iter().for_each(save);
    assert_eq!(at(&log), [3, 2], "the last two");
    assert_eq!(log.load("ledger")[0].1, vec![3; 100]);
    assert_eq!(log.load("other"), []);
    let damage = |sql: &str| {
        Connection::open(place.file()).expect("opened").execute_batch(sql).expect("done");
    };
    damage("UPDATE snapshot SET body = x'0303' WHERE pos = 3");
    assert_eq!(at(&log), [2]);
    damage("UPDATE snapshot SET pos = 9 WHERE pos = 2");
    assert!(at(&log).is_empty());
}

#[test]
fn records_are_let_go_by_their_age() {
    let place = Sqlite::new();
    let clock = Civil::simulated(Timestamp(0));
    let log = SqliteLog::open(&place.file(), clock.clone(), Pauses::default()).expect("opened");
    for second in 1..=10 {
        clock.advance(Timestamp(second * 1_000));
        append(&log, second as u128, "x").expect("in");
    }
    for (at, first) in [(0, None), (4_500, Some(5)), (9_000, Some(9)), (60_000, Some(10))] {
        log.trim_before(Timestamp(at));
        let found = || log.tail(Position(1)).err().map(|trimmed| trimmed.first.0);
        until(&format!("{first:?} of {:?}", log.status()), || found() == first);
    }
    assert_eq!(append(&log, 11, "x"), Ok(Position(11)));
    log.trim(Position(11));
    drop(log);
    // The last one stays: it says where the next one goes.
    assert_eq!(append(&place.log(), 12, "x"), Ok(Position(12)));
}

#[test]
fn records_that_a_snapshot_knows_of_and_that_are_missing_are_a_damage() {
    let place = filled(5);
    let log = place.log();
    for at in [3, 5] {
        let (sender, receiver) = channel();
        let done = move |outcome| sender.send(outcome).expect("the test waits");
        log.save("ledger", Position(at), vec![7].into(), Box::new(done));
        receiver.recv().expect("completed").expect("saved");
    }
    drop(log);
    let other = Connection::open(place.file()).expect("opened");
    other.execute_batch("DELETE FROM log WHERE pos > 3").expect("done");
    drop(other);
    let repaired = repair(&place.file()).expect("repaired").expect("something was wrong");
    assert!(repaired.damage.contains("a snapshot was taken at position 5"), "{repaired:?}");
    assert_eq!(repaired.last, Position(3));
    let kept = place.log().load("ledger");
    assert_eq!(kept.iter().map(|(at, _)| at.0).collect::<Vec<_>>(), [3]);
}

/// What a crash leaves: the write-ahead log of five commits, damaged in each frame or cut off.
#[test]
fn damage_within_the_write_ahead_log_is_told_from_its_torn_end() {
    let place = Sqlite::new();
    let log = place.log();
    for idem in 1..=5 {
        append(&log, idem, "a body").expect("in");
    }
    let wal = file::beside(&place.file(), "-wal");
    let (database, frames) = (fs::read(place.file()).expect("read"), fs::read(&wal).expect("read"));
    drop(log);
    let image = |frames: &[u8]| {
        let image = Sqlite::new();
        fs::write(image.file(), &database).expect("written");
        fs::write(file::beside(&image.file(), "-wal"), frames).expect("written");
        image
    };
    let frame_bytes = 24 + file::PAGE_BYTES;
    let count = (frames.len() - 32) / frame_bytes;
    assert!(count >= 5, "{count} frames");
    assert_eq!(image(&frames).log().head(), Position(5));
    for frame in 0..count {
        let start = 32 + frame * frame_bytes;
        // Page number, salt, checksum, page.
        for byte in [0, 9, 17, 24, 24 + 2_000, frame_bytes - 1] {
            let mut bad = frames.clone();
            bad[start + byte] ^= 4;
            let image = image(&bad);
            if frame + 1 < count {
                let error = refusal(&image);
                let offset = Place::Offset(start as u64);
                let is_there =
                    matches!(&error, StoreError::Damaged { place, .. } if *place == offset);
                assert!(is_there, "frame {frame}, byte {byte}: {error}");
            } else {
                assert_eq!(image.log().head(), Position(4), "the end may be torn");
            }
        }
    }
    for cut in [0, 31, 32, 33, frames.len() / 2, frames.len() - frame_bytes, frames.len() - 1] {
        let image = image(&frames[..cut]);
        let head = image.log().head().0;
        assert!(head < 5, "{cut} bytes hold {head} records");
    }
    let mut bad = frames.clone();
    bad[5] ^= 4;
    assert!(matches!(refusal(&image(&bad)), StoreError::Damaged { place: Place::Offset(0), .. }));
    let mut bad = frames;
    bad[32 + (count - 3) * frame_bytes + 100] ^= 4;
    let image = image(&bad);
    let repaired = repair(&image.file()).expect("repaired").expect("something was wrong");
    assert_eq!(repaired.last, Position(2), "a commit is one frame");
    assert_eq!(image.log().head(), Position(2));
    assert!(file::beside(&repaired.kept_as, "-wal").exists(), "kept whole");
}
