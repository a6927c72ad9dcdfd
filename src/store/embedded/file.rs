//! Opening a database: lock, check of the write-ahead log, settings, migrations.

use super::error::{Place, StoreError};
use super::wal;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Each brings the schema one version further. What a version has written, the next ones read: a
/// step is never changed, only followed.
const STEPS: [&str; 1] = ["
    CREATE TABLE log (
        pos INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        idem BLOB NOT NULL,
        crc INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE TABLE snapshot (
        key TEXT NOT NULL,
        pos INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (key, pos)
    ) STRICT;
    CREATE TABLE room (body BLOB NOT NULL) STRICT;
"];

/// Bytes of a page, said so that the write-ahead log can be checked when its header is unreadable.
pub(super) const PAGE_BYTES: usize = 4_096;

/// The file beside `file` that ends in `ending`.
pub(super) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// What a repair of `file` has written, until it takes its place.
pub(super) fn repaired_file(file: &Path) -> PathBuf {
    beside(file, ".repaired")
}

/// Keeps other processes away from `file` as long as it lives.
///
/// # Errors
/// [`StoreError::InUse`], or the folder cannot be written.
pub(super) fn lock(file: &Path) -> Result<File, StoreError> {
    let io = StoreError::io(file);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(&io)?;
    }
    let lock = File::options().create(true).truncate(false).write(true).open(beside(file, ".lock"));
    let lock = lock.map_err(&io)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { file: file.to_owned() }),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// Opens `file`, or makes it, for the one who writes. The lock must be held.
///
/// # Errors
/// [`StoreError`].
pub(super) fn open_to_write(file: &Path) -> Result<Connection, StoreError> {
    open_as(file, &STEPS)
}

/// The same for a database of another schema.
///
/// # Errors
/// [`StoreError`].
pub(super) fn open_as(file: &Path, steps: &[&str]) -> Result<Connection, StoreError> {
    if repaired_file(file).exists() {
        return Err(StoreError::damaged(file, Place::Offset(0), "a repair was broken off"));
    }
    wal::check(file)?;
    let sqlite = StoreError::sqlite(file, Place::Offset(0));
    let mut connection = Connection::open(file).map_err(&sqlite)?;
    let settings = format!(
        "PRAGMA page_size = {PAGE_BYTES};
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;"
    );
    connection.execute_batch(&settings).map_err(&sqlite)?;
    connection.busy_timeout(BUSY).map_err(&sqlite)?;
    migrate(&mut connection, file, steps)?;
    Ok(connection)
}

/// Opens `file` to read, also beside its writer.
///
/// # Errors
/// [`StoreError`].
pub(super) fn open_to_read(file: &Path) -> Result<Connection, StoreError> {
    open_to_read_as(file, &STEPS)
}

/// The same for a database of another schema.
///
/// # Errors
/// [`StoreError`].
pub(super) fn open_to_read_as(file: &Path, steps: &[&str]) -> Result<Connection, StoreError> {
    let sqlite = StoreError::sqlite(file, Place::Offset(0));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(&sqlite)?;
    connection.busy_timeout(BUSY).map_err(&sqlite)?;
    // Whoever closes last would write and sync the file, which is the writer's business.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(&sqlite)?;
    check_version(file, version(&connection).map_err(&sqlite)?, steps)?;
    Ok(connection)
}

/// How long one connection waits for another to let go of the file: only while it is opened or its
/// write-ahead log begins anew does anybody wait.
const BUSY: Duration = Duration::from_secs(5);

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn check_version(file: &Path, version: u32, steps: &[&str]) -> Result<u32, StoreError> {
    let known = steps.len() as u32;
    if version > known {
        return Err(StoreError::Newer { file: file.to_owned(), version, known });
    }
    Ok(version)
}

fn migrate(connection: &mut Connection, file: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let sqlite = StoreError::sqlite(file, Place::Offset(0));
    let version = check_version(file, version(connection).map_err(&sqlite)?, steps)?;
    for (step, number) in steps.iter().zip(1..).skip(version as usize) {
        let transaction = connection.transaction().map_err(&sqlite)?;
        let step = format!("{step}; PRAGMA user_version = {number};");
        transaction.execute_batch(&step).and_then(|()| transaction.commit()).map_err(&sqlite)?;
    }
    Ok(())
}
