//! The handle: opening, appending at the door, tails.

use super::error::{Place, StoreError};
use super::file::{lock, open_to_read, open_to_write};
use super::meter::Meter;
use super::rows;
use super::snapshots;
use super::writer::{Keys, Request, Writer};
use crate::clock::Civil;
use crate::store::Pauses;
use crate::store::log::{
    AppendError, BODY_BYTES_MAX, Batch, Done, Health, LogStatus, OrderedLog, Position, Record,
    Tail, Trimmed,
};
use crate::store::snapshots::{NotSaved, Saved, Snapshots};
use crate::units::Timestamp;
use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::Connection;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Appends that may wait for the writer; above, they are refused at the door. A second of the
/// fastest notices that one machine takes.
const QUEUED_MAX: usize = 65_536;
/// Old records that a tail reads at once: half a megabyte of commands.
const CHUNK: usize = 4_096;

/// A log in one SQLite file. Dropping it commits what is queued, joins the thread and lets go of
/// the file.
pub struct SqliteLog {
    shared: Arc<Shared>,
    queue: Option<SyncSender<Request>>,
    writer: Option<JoinHandle<()>>,
}

pub(super) struct Shared {
    pub(super) file: PathBuf,
    pub(super) live: Mutex<Live>,
    /// The last position, to be read beside the lock. Release on writing and acquire on reading:
    /// whoever sees a position may rely on its record.
    pub(super) head: AtomicU64,
    pub(super) meter: Meter,
}

/// What is known of the log beside its file.
pub(super) struct Live {
    pub(super) first: u64,
    pub(super) head: u64,
    pub(super) tails: Vec<UnboundedSender<Batch>>,
}

/// A database that is ours alone and of which nothing was read yet.
pub struct Opened {
    file: PathBuf,
    lock: File,
    pub(super) connection: Connection,
}

impl Opened {
    /// Takes `file` for this process, making it where there is none, and brings its schema up to
    /// date.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(file: &Path) -> Result<Self, StoreError> {
        let lock = lock(file)?;
        let connection = open_to_write(file)?;
        Ok(Self { file: file.to_owned(), lock, connection })
    }

    /// The first and the last position; `None` where there is no record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn ends(&self) -> Result<Option<(Position, Position)>, StoreError> {
        let place = Place::Offset(0);
        rows::ends(&self.connection).map_err(StoreError::sqlite(&self.file, place))
    }

    /// The first position of a record that was taken at `at` or later; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn first_since(&self, at: Timestamp) -> Result<Option<Position>, StoreError> {
        let place = Place::Offset(0);
        let found = rows::first_since(&self.connection, at);
        found.map_err(StoreError::sqlite(&self.file, place))
    }

    /// As [`Snapshots::load`].
    #[must_use]
    pub fn load(&self, key: &str) -> Vec<(Position, Bytes)> {
        snapshots::load(&self.connection, key)
    }

    /// Reads and checks every record from `from` on, hands each to `visit`, and starts the writer.
    /// It knows the keys of those records, and no others.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] at the first record that is not as it was written.
    pub fn start(
        self,
        clock: Civil,
        pauses: Pauses,
        from: Position,
        visit: &mut dyn FnMut(&Record),
    ) -> Result<SqliteLog, StoreError> {
        let (first, head) = self.ends()?.unwrap_or((Position(1), Position(0)));
        let Self { file, lock, connection } = self;
        let (mut keys, mut at) = (Keys::default(), Timestamp::default());
        // The last one in any case: it has the time that none may come before.
        let from = from.max(first).min(head.max(first));
        let mut last = Position(from.0 - 1);
        rows::read(&connection, &file, from, &mut |record| {
            visit(&record);
            keys.note(record.idem, record.position);
            (at, last) = (at.max(record.at), record.position);
            ControlFlow::Continue(())
        })?;
        if last != head {
            let place = Place::Position(Position(last.0 + 1));
            return Err(StoreError::damaged(&file, place, "the records end before the last"));
        }
        clock.not_before(at);
        let live = Live { first: first.0, head: head.0, tails: Vec::new() };
        let shared = Arc::new(Shared {
            file,
            live: Mutex::new(live),
            head: AtomicU64::new(head.0),
            meter: Meter::new(),
        });
        let (queue, requests) = sync_channel(QUEUED_MAX);
        let writer = Writer::new(Arc::clone(&shared), connection, lock, clock, keys, at);
        let io = StoreError::io(&shared.file);
        let thread = std::thread::Builder::new().name("sqlite-log".to_owned());
        let thread = thread.spawn(move || writer.run(&requests, pauses)).map_err(io)?;
        Ok(SqliteLog { shared, queue: Some(queue), writer: Some(thread) })
    }
}

impl SqliteLog {
    /// Opens `file`, making it where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(file: &Path, clock: Civil, pauses: Pauses) -> Result<Self, StoreError> {
        Opened::open(file)?.start(clock, pauses, Position(1), &mut |_| ())
    }

    /// Gives a request to the writer, or back with what is to be said of it.
    fn send(&self, request: Request) -> Result<(), (Request, AppendError)> {
        if let Some(error) = self.shared.meter.health().refusal() {
            return Err((request, error));
        }
        let Some(queue) = &self.queue else { return Err((request, AppendError::Closed)) };
        queue.try_send(request).map_err(|error| match error {
            TrySendError::Full(request) => (request, AppendError::Refused),
            TrySendError::Disconnected(request) => (request, AppendError::Closed),
        })
    }
}

impl OrderedLog for SqliteLog {
    fn append(&self, idem: u128, body: Bytes, done: Done) {
        if body.len() > BODY_BYTES_MAX {
            return done(Err(AppendError::TooLong));
        }
        if let Err((request, error)) = self.send(Request::Append { idem, body, done }) {
            request.refuse(error);
        }
    }

    fn tail(&self, from: Position) -> Result<Tail, Trimmed> {
        let (sender, receiver) = unbounded_channel();
        let mut live = self.shared.live.lock();
        if from.0 < live.first && live.first > 1 {
            return Err(Trimmed { first: Position(live.first) });
        }
        if from.0 > live.head {
            live.tails.push(sender);
            return Ok(receiver);
        }
        drop(live);
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("sqlite-tail".to_owned());
        let spawned = thread.spawn(move || {
            if let Err(error) = fill(&shared, Position(from.0.max(1)), sender) {
                tracing::error!(%error, "a reader of the log has come to its end");
                if let StoreError::Damaged { file, place, .. } = error {
                    let Place::Position(position) = place else { return };
                    shared.meter.set(Health::Damaged { file, position });
                }
            }
        });
        if let Err(error) = spawned {
            // The reader sees its tail end, which it must be ready for.
            tracing::error!(%error, "there is no thread to read the log with");
        }
        Ok(receiver)
    }

    fn head(&self) -> Position {
        Position(self.shared.head.load(Ordering::Acquire))
    }

    fn trim(&self, upto: Position) {
        let mut live = self.shared.live.lock();
        live.first = live.first.max(upto.0.min(live.head) + 1);
        drop(live);
        // Only a word to the writer: where the queue is full, the next trim or start sees to it.
        let _ = self.send(Request::Trim);
    }

    fn trim_before(&self, at: Timestamp) {
        // As above: it will be asked for again.
        let _ = self.send(Request::TrimBefore(at));
    }

    fn status(&self) -> LogStatus {
        self.shared.meter.status()
    }
}

impl Snapshots for SqliteLog {
    fn save(&self, key: &str, at: Position, bytes: Bytes, done: Saved) {
        let request = Request::Save { key: key.to_owned(), at, bytes, done };
        if let Err((request, error)) = self.send(request) {
            request.refuse(error);
        }
    }

    fn load(&self, key: &str) -> Vec<(Position, Bytes)> {
        match open_to_read(&self.shared.file) {
            Ok(connection) => snapshots::load(&connection, key),
            Err(error) => {
                tracing::warn!(%error, key, "the snapshots cannot be read");
                Vec::new()
            }
        }
    }
}

impl Request {
    /// Tells whoever asked that it did not happen.
    pub(super) fn refuse(self, error: AppendError) {
        match self {
            Self::Append { done, .. } => done(Err(error)),
            Self::Save { done, .. } => done(Err(NotSaved { reason: error.to_string() })),
            Self::Trim | Self::TrimBefore(_) => {}
        }
    }
}

impl Drop for SqliteLog {
    fn drop(&mut self) {
        self.queue = None; // the writer ends when it has taken all that was queued
        let Some(writer) = self.writer.take() else { return };
        // A completion may hold the last reference and so drop the log on the writer's own thread,
        // which cannot wait for itself.
        if writer.thread().id() != std::thread::current().id() && writer.join().is_err() {
            tracing::error!("the log's writer panicked");
        }
    }
}

/// Sends a tail the old records from the file, then hands it over to the writer under its lock:
/// between the last old record and the first new one there is no gap.
fn fill(
    shared: &Shared,
    mut next: Position,
    sender: UnboundedSender<Batch>,
) -> Result<(), StoreError> {
    let connection = open_to_read(&shared.file)?;
    loop {
        while next.0 <= shared.head.load(Ordering::Acquire) {
            let mut chunk = Vec::with_capacity(CHUNK);
            let read = rows::read(&connection, &shared.file, next, &mut |record| {
                chunk.push(record);
                if chunk.len() < CHUNK { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if shared.live.lock().first > next.0 && chunk.is_empty() {
                tracing::warn!(next = next.0, "a reader of the log was overtaken by its trimming");
                return Ok(());
            }
            read?;
            let Some(last) = chunk.last() else {
                let place = Place::Position(next);
                return Err(StoreError::damaged(&shared.file, place, "it is not there any more"));
            };
            next = Position(last.position.0 + 1);
            if sender.send(chunk.into()).is_err() {
                return Ok(());
            }
        }
        let mut live = shared.live.lock();
        if next.0 > live.head {
            live.tails.push(sender);
            return Ok(());
        }
    }
}
