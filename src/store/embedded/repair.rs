//! Salvaging a damaged database: the longest good prefix of its records goes into a new file, and
//! the old one is kept beside it.
//!
//! The new file is written whole as `.repairing`, then called `.repaired`, and only then do the old
//! files make way; whoever finds a `.repaired` finishes that first. So wherever it is broken off,
//! either the old files stand untouched, or the database is refused until it is repaired again.

use super::error::{Place, StoreError};
use super::file::{beside, lock, open_to_read, open_to_write, repaired_file};
use super::{rows, snapshots, wal};
use crate::store::log::{Position, Record};
use rusqlite::Connection;
use serde::Serialize;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Records copied in one transaction.
const CHUNK: usize = 8_192;

/// What became of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// What was wrong.
    pub damage: String,
    /// The first position that the new file has; 1 unless the log was trimmed.
    pub first: Position,
    /// The last one: everything up to it is as it was written.
    pub last: Position,
    /// The last position that the old file speaks of, where that can be read: what lies between is
    /// lost.
    pub last_before: Option<Position>,
    /// The old file, as it was.
    pub kept_as: PathBuf,
}

/// Repairs `file`; `None` where nothing is wrong with it.
///
/// # Errors
/// [`StoreError::InUse`] beside a server; what kept the new file from being written; and the damage
/// itself where not one record can be read.
pub fn repair(file: &Path) -> Result<Option<Repair>, StoreError> {
    repair_where(file, &mut |_| Ok(()))
}

/// The same for a log of whose records more is known: each is shown to `fits` in order, and one that
/// does not fit those before it is damage too, with the reason that comes back.
///
/// # Errors
/// As [`repair`].
pub fn repair_where(
    file: &Path,
    fits: &mut dyn FnMut(&Record) -> Result<(), String>,
) -> Result<Option<Repair>, StoreError> {
    if let Err(error) = fs::metadata(file) {
        return Err(StoreError::io(file)(error));
    }
    let _lock = lock(file)?;
    if repaired_file(file).exists() {
        return finish(file).map(Some);
    }
    let wal_damage = wal::check(file).err();
    let old = open_to_read(file)?;
    let ends = rows::ends(&old).ok().flatten();
    let first = ends.map_or(Position(1), |(first, _)| first);
    let draft = beside(file, ".repairing");
    remove_all(&draft)?;
    let (last, damage) = copy((&old, file), first, fits, &draft)?;
    match wal_damage.or(damage).or_else(|| missing(&old, file, last)) {
        None => {
            remove_all(&draft)?;
            Ok(None)
        }
        Some(damage) if last == Position(0) => {
            remove_all(&draft)?;
            Err(damage)
        }
        Some(damage) => {
            drop(old);
            fs::rename(&draft, repaired_file(file)).map_err(StoreError::io(&draft))?;
            let kept_as = swap(file)?;
            let damage = damage.finding();
            Ok(Some(Repair {
                damage,
                first,
                last,
                last_before: ends.map(|(_, last)| last),
                kept_as,
            }))
        }
    }
}

/// Puts a database of which nothing can be kept aside, under the name that comes back; an empty one
/// takes its place.
///
/// # Errors
/// [`StoreError::InUse`] beside a server, and what kept the new file from being written.
pub fn set_aside(file: &Path) -> Result<PathBuf, StoreError> {
    let _lock = lock(file)?;
    let draft = beside(file, ".repairing");
    remove_all(&draft)?;
    let sqlite = StoreError::sqlite(&draft, Place::Offset(0));
    open_to_write(&draft)?.close().map_err(|(_, error)| sqlite(error))?;
    fs::rename(&draft, repaired_file(file)).map_err(StoreError::io(&draft))?;
    swap(file)
}

/// Goes on where a repair was broken off.
fn finish(file: &Path) -> Result<Repair, StoreError> {
    let repaired = repaired_file(file);
    let new = open_to_read(&repaired)?;
    let sqlite = StoreError::sqlite(&repaired, Place::Offset(0));
    let (first, last) = rows::ends(&new).map_err(sqlite)?.unwrap_or((Position(1), Position(0)));
    drop(new);
    let kept_as = swap(file)?;
    let damage = "a repair was broken off".to_owned();
    Ok(Repair { damage, first, last, last_before: None, kept_as })
}

/// A snapshot beyond the last record: those in between are missing.
fn missing(old: &Connection, file: &Path, last: Position) -> Option<StoreError> {
    let newest = snapshots::newest(old).ok().flatten().filter(|newest| *newest > last)?;
    let reason = format!("a snapshot was taken at position {}", newest.0);
    Some(StoreError::damaged(file, Place::Position(Position(last.0 + 1)), reason))
}

/// Copies the good prefix, and the snapshots within it. The last position, and what ended it.
fn copy(
    (old, file): (&Connection, &Path),
    first: Position,
    fits: &mut dyn FnMut(&Record) -> Result<(), String>,
    draft: &Path,
) -> Result<(Position, Option<StoreError>), StoreError> {
    let mut new = open_to_write(draft)?;
    let sqlite = StoreError::sqlite(draft, Place::Offset(0));
    let mut last = Position(0);
    let mut next = first;
    loop {
        let mut chunk: Vec<Record> = Vec::with_capacity(CHUNK);
        let mut misfit = None;
        let read = rows::read(old, file, next, &mut |record| {
            if let Err(reason) = fits(&record) {
                misfit = Some((record.position, reason));
                return ControlFlow::Break(());
            }
            chunk.push(record);
            if chunk.len() < CHUNK { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let read = read.and(match misfit {
            None => Ok(()),
            Some((at, reason)) => Err(StoreError::damaged(file, Place::Position(at), reason)),
        });
        if let Some(record) = chunk.last() {
            last = record.position;
            next = Position(last.0 + 1);
        }
        let transaction = new.transaction().map_err(&sqlite)?;
        rows::insert(&transaction, &chunk).map_err(&sqlite)?;
        transaction.commit().map_err(&sqlite)?;
        if chunk.is_empty() || read.is_err() {
            if let Err(error) = snapshots::copy(old, &mut new, last) {
                tracing::warn!(%error, "the snapshots are left behind");
            }
            // Closing brings the write-ahead log into the file, and syncs it.
            new.close().map_err(|(_, error)| sqlite(error))?;
            return Ok((last, read.err()));
        }
    }
}

/// Puts the repaired file in the place of `file`, which is kept under the name that comes back.
pub(super) fn swap(file: &Path) -> Result<PathBuf, StoreError> {
    let io = StoreError::io(file);
    let kept_as = keep(file).map_err(&io)?;
    let wal = beside(file, "-wal");
    if wal.exists() {
        fs::rename(&wal, beside(&kept_as, "-wal")).map_err(&io)?;
    }
    let repaired = repaired_file(file);
    remove(&beside(file, "-shm"))?;
    remove(&beside(&repaired, "-shm"))?;
    remove(&beside(&repaired, "-wal"))?;
    fs::rename(&repaired, file).map_err(&io)?;
    if let Some(folder) = file.parent() {
        // The names must be as durable as what they name.
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(&io)?;
    }
    Ok(kept_as)
}

/// Gives `file` a second name that was free, or that a repair before this one gave it.
fn keep(file: &Path) -> std::io::Result<PathBuf> {
    let own = fs::metadata(file)?;
    for number in 1_u32.. {
        let name = beside(file, &format!(".damaged-{number}"));
        match fs::metadata(&name) {
            Ok(other) if (other.dev(), other.ino()) == (own.dev(), own.ino()) => return Ok(name),
            Ok(_) => {}
            Err(_) => return fs::hard_link(file, &name).map(|()| name),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}

/// A database with what lies beside it while it is open.
pub(super) fn remove_all(file: &Path) -> Result<(), StoreError> {
    ["", "-wal", "-shm"].iter().try_for_each(|ending| remove(&beside(file, ending)))
}

fn remove(file: &Path) -> Result<(), StoreError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io(file)(error))
        }
        _ => Ok(()),
    }
}
