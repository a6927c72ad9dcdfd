//! Records as rows: `log(pos, at, idem, crc, body)`, each with a checksum of its own, since SQLite
//! keeps none for its pages.

use super::error::{Place, StoreError};
use crate::store::log::{Position, Record};
use crate::units::Timestamp;
use bytes::Bytes;
use rusqlite::{Connection, Row, params};
use std::ops::ControlFlow;
use std::path::Path;

/// CRC-32 (IEEE) over position, time and key, little end first, and the body.
pub(super) fn checksum(record: &Record) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&record.position.0.to_le_bytes());
    crc.update(&record.at.0.to_le_bytes());
    crc.update(&record.idem.to_le_bytes());
    crc.update(&record.body);
    crc.finalize()
}

/// Writes records within the present transaction.
pub(super) fn insert(connection: &Connection, records: &[Record]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO log (pos, at, idem, crc, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut statement = connection.prepare_cached(sql)?;
    for record in records {
        statement.execute(params![
            record.position.0.cast_signed(),
            record.at.0,
            &record.idem.to_le_bytes()[..],
            checksum(record),
            &record.body[..],
        ])?;
    }
    Ok(())
}

/// Hands `visit` the records from `next` on, in order, until it breaks or they end; each is checked
/// for its checksum and for following the one before.
///
/// # Errors
/// [`StoreError::Damaged`] at the first record that is not as it was written, or is not there.
pub(super) fn read(
    connection: &Connection,
    file: &Path,
    mut next: Position,
    visit: &mut dyn FnMut(Record) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let sql = "SELECT pos, at, idem, crc, body FROM log WHERE pos >= ?1 ORDER BY pos";
    let at = |next: Position| StoreError::sqlite(file, Place::Position(next));
    let mut statement = connection.prepare_cached(sql).map_err(at(next))?;
    let mut rows = statement.query([next.0.cast_signed()]).map_err(at(next))?;
    while let Some(row) = rows.next().map_err(at(next))? {
        let damaged =
            |reason: &str| StoreError::damaged(file, Place::Position(next), reason.to_owned());
        let (record, crc) = record_of(row).map_err(|error| damaged(&error.to_string()))?;
        if record.position != next {
            return Err(damaged(&format!("position {} comes next", record.position.0)));
        }
        if checksum(&record) != crc {
            return Err(damaged("its checksum is another"));
        }
        next.0 += 1;
        if visit(record).is_break() {
            break;
        }
    }
    Ok(())
}

fn record_of(row: &Row<'_>) -> rusqlite::Result<(Record, u32)> {
    let idem: [u8; 16] = row.get(2)?;
    let record = Record {
        position: Position(row.get::<_, i64>(0)?.cast_unsigned()),
        at: Timestamp(row.get(1)?),
        idem: u128::from_le_bytes(idem),
        body: Bytes::copy_from_slice(row.get_ref(4)?.as_blob()?),
    };
    Ok((record, row.get(3)?))
}

/// The first position of a record that was taken at `at` or later. Times never go back, so that
/// halving finds it: the table has no other index than its order.
pub(super) fn first_since(
    connection: &Connection,
    at: Timestamp,
) -> rusqlite::Result<Option<Position>> {
    let Some((first, last)) = ends(connection)? else { return Ok(None) };
    let mut statement = connection.prepare_cached("SELECT at FROM log WHERE pos = ?1")?;
    let (mut low, mut high) = (first.0, last.0 + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let taken: i64 = statement.query_row([middle.cast_signed()], |row| row.get(0))?;
        if taken < at.0 { low = middle + 1 } else { high = middle }
    }
    Ok((low <= last.0).then_some(Position(low)))
}

/// The first and the last position, if there is any.
pub(super) fn ends(connection: &Connection) -> rusqlite::Result<Option<(Position, Position)>> {
    let position = |value: i64| Position(value.cast_unsigned());
    connection.query_row("SELECT min(pos), max(pos) FROM log", [], |row| {
        let (first, last): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
        Ok(first.zip(last).map(|(first, last)| (position(first), position(last))))
    })
}
