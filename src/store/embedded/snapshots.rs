//! Snapshots as rows: `snapshot(key, pos, crc, body)`, two a key. A damaged one is passed over.

use crate::store::log::Position;
use bytes::Bytes;
use rusqlite::{Connection, params};

/// Snapshots of one key: the newest, and the one before in case that the newest is damaged.
const KEPT: i64 = 2;

fn checksum(key: &str, at: Position, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key.as_bytes());
    crc.update(&at.0.to_le_bytes());
    crc.update(bytes);
    crc.finalize()
}

/// Writes one in a transaction of its own, and lets go of those before the last two.
pub(super) fn save(
    connection: &mut Connection,
    key: &str,
    at: Position,
    bytes: &[u8],
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "INSERT OR REPLACE INTO snapshot (key, pos, crc, body) VALUES (?1, ?2, ?3, ?4)",
        params![key, at.0.cast_signed(), checksum(key, at, bytes), bytes],
    )?;
    transaction.execute(
        "DELETE FROM snapshot WHERE key = ?1 AND pos NOT IN
         (SELECT pos FROM snapshot WHERE key = ?1 ORDER BY pos DESC LIMIT ?2)",
        params![key, KEPT],
    )?;
    transaction.commit()
}

/// Those of `key`, newest first, that are as they were saved.
pub(super) fn load(connection: &Connection, key: &str) -> Vec<(Position, Bytes)> {
    let found = positions(connection, key).unwrap_or_else(|error| {
        tracing::warn!(%error, key, "the snapshots cannot be listed");
        Vec::new()
    });
    let sound = found.into_iter().filter_map(|at| match read(connection, key, at) {
        Ok((crc, bytes)) if crc == checksum(key, at, &bytes) => Some((at, bytes)),
        Ok(_) => {
            tracing::warn!(key, position = at.0, "a snapshot is damaged and passed over");
            None
        }
        Err(error) => {
            tracing::warn!(%error, key, position = at.0, "a snapshot is passed over");
            None
        }
    });
    sound.collect()
}

/// The positions of the snapshots of `key`, newest first.
pub(super) fn positions(connection: &Connection, key: &str) -> rusqlite::Result<Vec<Position>> {
    let sql = "SELECT pos FROM snapshot WHERE key = ?1 ORDER BY pos DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([key], |row| row.get::<_, i64>(0))?;
    rows.map(|row| row.map(|at| Position(at.cast_unsigned()))).collect()
}

/// The newest position of any key.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Option<Position>> {
    connection.query_row("SELECT max(pos) FROM snapshot", [], |row| {
        Ok(row.get::<_, Option<i64>>(0)?.map(|at| Position(at.cast_unsigned())))
    })
}

/// Copies those up to `last` that are as they were saved.
pub(super) fn copy(from: &Connection, to: &mut Connection, last: Position) -> rusqlite::Result<()> {
    let mut statement = from.prepare("SELECT DISTINCT key FROM snapshot")?;
    let keys = statement.query_map([], |row| row.get(0))?;
    for key in keys.collect::<rusqlite::Result<Vec<String>>>()? {
        for (at, bytes) in load(from, &key).into_iter().filter(|(at, _)| *at <= last) {
            save(to, &key, at, &bytes)?;
        }
    }
    Ok(())
}

fn read(connection: &Connection, key: &str, at: Position) -> rusqlite::Result<(u32, Bytes)> {
    let sql = "SELECT crc, body FROM snapshot WHERE key = ?1 AND pos = ?2";
    connection.query_row(sql, params![key, at.0.cast_signed()], |row| {
        Ok((row.get(0)?, Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?)))
    })
}
