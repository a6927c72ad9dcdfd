use super::*;
use crate::clock::Civil;
use crate::store::conformance::{Backend, append, conforms};
use crate::store::{OrderedLog, Pauses, Position};
use crate::units::Timestamp;
use std::path::PathBuf;
use std::sync::Arc;
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
