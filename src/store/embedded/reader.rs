//! Reading a database without taking it: for tools, also beside the server that writes it.

use super::error::{Place, StoreError};
use super::file::{lock, open_to_read};
use super::{rows, snapshots, wal};
use crate::store::log::{Position, Record};
use bytes::Bytes;
use rusqlite::Connection;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Records read at once: a short look, since a reader that stays in the file keeps its writer from
/// beginning the write-ahead log anew.
const CHUNK: usize = 4_096;

/// A database to read from.
pub struct Reader {
    file: PathBuf,
    connection: Connection,
}

/// Opens `file` to read its records and snapshots.
///
/// # Errors
/// [`StoreError`]; a file that is not there is an error too.
pub fn open_reader(file: &Path) -> Result<Reader, StoreError> {
    if let Err(error) = std::fs::metadata(file) {
        return Err(StoreError::io(file)(error));
    }
    // While a server writes, the write-ahead log is in motion, and the server has looked at it.
    if let Ok(_lock) = lock(file) {
        wal::check(file)?;
    }
    Ok(Reader { file: file.to_owned(), connection: open_to_read(file)? })
}

impl Reader {
    /// The first and the last position; `None` where there is no record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn ends(&self) -> Result<Option<(Position, Position)>, StoreError> {
        let sqlite = StoreError::sqlite(&self.file, Place::Offset(0));
        rows::ends(&self.connection).map_err(sqlite)
    }

    /// The records from `from` on, or from the first that is there, in order and each checked. It
    /// ends with the last one, or behind the first error.
    #[must_use]
    pub fn records(&self, from: Position) -> Records<'_> {
        let next = from.max(Position(1));
        Records { reader: self, next, is_begun: false, is_over: false, chunk: VecDeque::new() }
    }

    /// As [`crate::store::Snapshots::load`].
    #[must_use]
    pub fn snapshots(&self, key: &str) -> Vec<(Position, Bytes)> {
        snapshots::load(&self.connection, key)
    }
}

/// See [`Reader::records`].
pub struct Records<'a> {
    reader: &'a Reader,
    next: Position,
    is_begun: bool,
    is_over: bool,
    chunk: VecDeque<Record>,
}

impl Records<'_> {
    fn fill(&mut self) -> Result<(), StoreError> {
        if !std::mem::replace(&mut self.is_begun, true)
            && let Some((first, _)) = self.reader.ends()?
        {
            self.next = self.next.max(first);
        }
        let Self { reader, chunk, .. } = self;
        rows::read(&reader.connection, &reader.file, self.next, &mut |record| {
            chunk.push_back(record);
            if chunk.len() < CHUNK { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        // What was read before an error comes first; then the error is met again.
        if self.chunk.is_empty()
            && !self.is_over
            && let Err(error) = self.fill()
            && self.chunk.is_empty()
        {
            self.is_over = true;
            return Some(Err(error));
        }
        let record = self.chunk.pop_front()?;
        self.next = Position(record.position.0 + 1);
        Some(Ok(record))
    }
}
