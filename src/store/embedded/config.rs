//! Settings in a SQLite file of their own: `config(rev, key, crc, value)`.
//!
//! Each put is a commit that is synced before it returns: they come from people, a few a minute.

use super::error::{Place, StoreError};
use super::file::{beside, lock, open_as, open_to_read_as, repaired_file};
use super::repair::{remove_all, swap};
use super::wal;
use crate::store::Position;
use crate::store::config::{ConfigError, ConfigStore, Entry, Revision, VALUE_BYTES_MAX};
use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, Row, params};
use serde::Serialize;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// As the steps of a log. SQLite itself sees to it that a revision is not given twice, whatever was
/// removed.
const STEPS: [&str; 1] = ["
    CREATE TABLE config (
        rev INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        crc INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT;
"];

/// Pages in the write-ahead log after which SQLite brings them into the file. Where that fails the
/// log keeps them, and the next commit tries again with every one of them.
const CHECKPOINT: &str = "PRAGMA wal_autocheckpoint = 256";

/// Settings in one SQLite file, which is ours as long as this lives.
pub struct SqliteConfig {
    file: PathBuf,
    // Held over a commit: calls come from blocking threads, and one at a time may write anyway.
    open: Mutex<Open>,
    _lock: File,
}

struct Open {
    connection: Connection,
    is_poisoned: bool,
}

impl SqliteConfig {
    /// Opens `file`, making it where there is none, and reads all of it once.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Damaged`] at the first value that is not as it was put.
    pub fn open(file: &Path) -> Result<Self, StoreError> {
        let lock = lock(file)?;
        let connection = open_as(file, &STEPS)?;
        let sqlite = StoreError::sqlite(file, Place::Offset(0));
        connection.execute_batch(CHECKPOINT).map_err(sqlite)?;
        check(&connection, file)?;
        let open = Mutex::new(Open { connection, is_poisoned: false });
        Ok(Self { file: file.to_owned(), open, _lock: lock })
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ConfigError> {
        let mut open = self.open.lock();
        if open.is_poisoned {
            return Err(ConfigError::Unknown("an earlier write failed".to_owned()));
        }
        change(&open.connection).map_err(|error| {
            use ErrorCode::{
                CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, PermissionDenied, ReadOnly,
            };
            tracing::error!(file = %self.file.display(), %error, "a setting was not kept");
            match error.sqlite_error_code() {
                Some(
                    DatabaseBusy | DatabaseLocked | DiskFull | ReadOnly | CannotOpen
                    | PermissionDenied,
                ) => ConfigError::Refused(error.to_string()),
                // After a failed write or sync nobody knows what the file holds.
                _ => {
                    open.is_poisoned = true;
                    ConfigError::Unknown(error.to_string())
                }
            }
        })
    }
}

impl ConfigStore for SqliteConfig {
    fn put(&self, key: &str, value: Bytes) -> Result<Revision, ConfigError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(ConfigError::TooLong);
        }
        self.write(|connection| insert(connection, key, &value))
    }

    fn remove(&self, key: &str) -> Result<(), ConfigError> {
        self.write(|connection| connection.execute("DELETE FROM config WHERE key = ?1", [key]))?;
        Ok(())
    }

    fn all(&self, prefix: &str) -> Result<Vec<Entry>, ConfigError> {
        let open = self.open.lock();
        let found = sound(&open.connection, &self.file);
        let mut found = found.map_err(|error| ConfigError::Unknown(error.to_string()))?;
        found.retain(|entry| entry.key.starts_with(prefix));
        Ok(found)
    }
}

/// Reads the settings in `file`, by key, also beside the server that has it.
///
/// # Errors
/// [`StoreError`]; a file that is not there is an error too.
pub fn read_config(file: &Path) -> Result<Vec<Entry>, StoreError> {
    fs::metadata(file).map_err(StoreError::io(file))?;
    sound(&open_to_read_as(file, &STEPS)?, file)
}

/// What became of damaged settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigRepair {
    /// What was wrong.
    pub damage: String,
    /// Values that are as they were put.
    pub kept: usize,
    /// Keys whose values are not: each has an empty value now, which whoever reads it must refuse.
    pub emptied: Vec<String>,
    /// The old file, as it was.
    pub kept_as: PathBuf,
}

/// Repairs `file`; `None` where nothing is wrong with it. A damaged value is not let go of, since
/// then what it had changed would count again as if nothing had been said.
///
/// # Errors
/// [`StoreError::InUse`] beside a server, and what kept the new file from being written.
pub fn repair_config(file: &Path) -> Result<Option<ConfigRepair>, StoreError> {
    fs::metadata(file).map_err(StoreError::io(file))?;
    let _lock = lock(file)?;
    if repaired_file(file).exists() {
        let damage = "a repair was broken off".to_owned();
        let (kept, emptied, kept_as) =
            (read_config(&repaired_file(file))?.len(), Vec::new(), swap(file)?);
        return Ok(Some(ConfigRepair { damage, kept, emptied, kept_as }));
    }
    let wal_damage = wal::check(file).err();
    let old = open_to_read_as(file, &STEPS)?;
    let damage = wal_damage.or_else(|| check(&old, file).err());
    let Some(damage) = damage else { return Ok(None) };
    let draft = beside(file, ".repairing");
    remove_all(&draft)?;
    let sqlite = StoreError::sqlite(&draft, Place::Offset(0));
    let new = open_as(&draft, &STEPS)?;
    let (mut kept, mut emptied) = (0, Vec::new());
    for row in rows(&old, file) {
        let (key, value) = match row {
            Ok(entry) => {
                kept += 1;
                (entry.key, entry.value)
            }
            Err((None, _)) => continue,
            Err((Some(key), _)) => {
                emptied.push(key.clone());
                (key, Bytes::new())
            }
        };
        insert(&new, &key, &value).map_err(&sqlite)?;
    }
    // Closing brings the write-ahead log into the file, and syncs it.
    new.close().map_err(|(_, error)| sqlite(error))?;
    drop(old);
    fs::rename(&draft, repaired_file(file)).map_err(StoreError::io(&draft))?;
    let (damage, kept_as) = (damage.to_string(), swap(file)?);
    Ok(Some(ConfigRepair { damage, kept, emptied, kept_as }))
}

fn checksum(key: &str, value: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&(key.len() as u64).to_le_bytes());
    crc.update(key.as_bytes());
    crc.update(value);
    crc.finalize()
}

fn insert(connection: &Connection, key: &str, value: &[u8]) -> rusqlite::Result<Revision> {
    let sql = "INSERT OR REPLACE INTO config (key, crc, value) VALUES (?1, ?2, ?3)";
    connection.execute(sql, params![key, checksum(key, value), value])?;
    Ok(Revision(connection.last_insert_rowid().cast_unsigned()))
}

/// The pages, and every value.
fn check(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    let damage = StoreError::sqlite(file, Place::Offset(0));
    let said: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(damage)?;
    if said != "ok" {
        return Err(StoreError::damaged(file, Place::Offset(0), said));
    }
    sound(connection, file).map(drop)
}

/// Every value by key, or the first damage.
fn sound(connection: &Connection, file: &Path) -> Result<Vec<Entry>, StoreError> {
    rows(connection, file).into_iter().map(|row| row.map_err(|(_, damage)| damage)).collect()
}

/// A value that is as it was put, or its key, if that can be read, with what is wrong.
type Checked = Result<Entry, (Option<String>, StoreError)>;

fn rows(connection: &Connection, file: &Path) -> Vec<Checked> {
    let sqlite = |error| vec![Err((None, StoreError::sqlite(file, Place::Offset(0))(error)))];
    let mut statement = match connection.prepare("SELECT * FROM config ORDER BY key") {
        Ok(statement) => statement,
        Err(error) => return sqlite(error),
    };
    let found = statement.query_map([], |row| Ok(checked(row, file)));
    match found.and_then(Iterator::collect) {
        Ok(found) => found,
        Err(error) => sqlite(error),
    }
}

fn checked(row: &Row<'_>, file: &Path) -> Checked {
    let revision = row.get("rev").map(i64::cast_unsigned).unwrap_or_default();
    let key = row.get::<_, String>("key");
    let damaged = |reason: &str| {
        let named = key.as_ref().map_or("a value without a name", String::as_str);
        let place = Place::Position(Position(revision));
        (key.as_ref().ok().cloned(), StoreError::damaged(file, place, format!("{named}: {reason}")))
    };
    let read = || -> rusqlite::Result<(u32, Bytes)> {
        Ok((row.get("crc")?, Bytes::copy_from_slice(row.get_ref("value")?.as_blob()?)))
    };
    match (&key, read()) {
        (Ok(key), Ok((crc, value))) if crc == checksum(key, &value) => {
            Ok(Entry { key: key.clone(), revision: Revision(revision), value })
        }
        (_, Err(error)) => Err(damaged(&error.to_string())),
        _ => Err(damaged("its checksum is another")),
    }
}
