//! The one thread that writes: group commits, snapshots, trimming, checkpoints, and what it does
//! when one of them fails.

use super::log::Shared;
use super::{rows, snapshots};
use crate::clock::Civil;
use crate::store::Pauses;
use crate::store::log::{AppendError, Batch, Done, Health, Position, Record};
use crate::store::snapshots::{NotSaved, Saved};
use crate::units::Timestamp;
use bytes::Bytes;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

/// Records of one group commit: past a thousand the rate grows no more and the latency does.
const BATCH_MAX: usize = 1_024;
/// Idempotency keys remembered, the oldest forgotten first: a retry comes within seconds. What
/// folds the log has its own, exact checks besides.
const KEYS_MAX: usize = 1 << 16;
/// Pages in the write-ahead log after which they are brought into the file: 4 MB, as SQLite itself
/// would, but here a failure of it is seen.
const CHECKPOINT_PAGES: usize = 1_000;
/// Rows that one transaction lets go of: some milliseconds, in which appends wait.
const TRIM_ROWS: u64 = 8_192;
/// How long a log without room waits before it tries again.
const PROBE: Duration = Duration::from_millis(200);
/// Bytes that must find room before appends are taken again, so that a log on a full disk does not
/// go back and forth with each record.
const ROOM_BYTES: i32 = 64 * 1_024;

/// What the writer is asked for.
pub(super) enum Request {
    Append {
        idem: u128,
        body: Bytes,
        done: Done,
    },
    Save {
        key: String,
        at: Position,
        bytes: Bytes,
        done: Saved,
    },
    /// The log begins later than it did.
    Trim,
    /// It may begin with the first record from this time on.
    TrimBefore(Timestamp),
}

/// The positions of the last keys.
#[derive(Default)]
pub(super) struct Keys {
    positions: FxHashMap<u128, Position>,
    order: VecDeque<(u128, Position)>,
}

impl Keys {
    pub(super) fn note(&mut self, idem: u128, position: Position) {
        self.positions.insert(idem, position);
        self.order.push_back((idem, position));
        if self.order.len() > KEYS_MAX {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((idem, position)) = self.order.pop_front() {
            self.forget(idem, position);
        }
    }

    fn forget(&mut self, idem: u128, position: Position) {
        // A key that stood twice, further apart than we remember, is remembered for the later.
        if self.positions.get(&idem) == Some(&position) {
            self.positions.remove(&idem);
        }
    }

    /// Takes back the keys of records that were not written after all.
    fn take_back(&mut self, after: Position) {
        while self.order.back().is_some_and(|(_, position)| *position > after) {
            let Some((idem, position)) = self.order.pop_back() else { return };
            self.forget(idem, position);
        }
    }

    fn trim(&mut self, first: u64) {
        while self.order.front().is_some_and(|(_, position)| position.0 < first) {
            self.forget_first();
        }
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    connection: Connection,
    /// Held as long as the connection is.
    _lock: File,
    clock: Civil,
    keys: Keys,
    head: Position,
    at: Timestamp,
    /// The first record that the file still holds.
    stored_from: u64,
    /// Pages written since the last checkpoint, more or less.
    pages: usize,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        connection: Connection,
        lock: File,
        clock: Civil,
        keys: Keys,
        at: Timestamp,
    ) -> Self {
        let live = shared.live.lock();
        let (head, stored_from) = (Position(live.head), live.first);
        drop(live);
        Self { shared, connection, _lock: lock, clock, keys, head, at, stored_from, pages: 0 }
    }

    pub(super) fn run(mut self, requests: &Receiver<Request>, pauses: Pauses) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        // What a process before this one wrote and never synced was read like the rest. Nobody may
        // be told that it is durable, as whoever appends it again would be, before it is written
        // and synced once more: after a failed sync the kernel would not do it again for a page.
        if let Err(error) = self.checkpoint() {
            self.fail(&error);
        }
        loop {
            match self.shared.meter.health() {
                Health::Good | Health::Slow => match requests.recv() {
                    Ok(first) => self.take(first, &mut batch),
                    Err(_) => break,
                },
                Health::Full | Health::ReadOnly => {
                    if !refuse_for(requests, PROBE, AppendError::Refused) {
                        break;
                    }
                    self.probe();
                    continue;
                }
                Health::Poisoned | Health::Damaged { .. } => {
                    while let Ok(request) = requests.recv() {
                        request.refuse(AppendError::Closed);
                    }
                    break;
                }
            }
            loop {
                if !pauses.gather.is_zero() {
                    std::thread::sleep(pauses.gather);
                }
                while batch.len() < BATCH_MAX
                    && let Ok(next) = requests.try_recv()
                {
                    self.take(next, &mut batch);
                }
                if batch.is_empty() {
                    break;
                }
                if !pauses.delay.is_zero() {
                    std::thread::sleep(pauses.delay);
                }
                self.commit(&mut batch);
                self.tidy();
                if pauses.gather.is_zero() || !self.shared.meter.health().takes() {
                    break;
                }
            }
        }
        self.close();
    }

    /// Puts an append to the others; does anything else at once.
    fn take(&mut self, request: Request, batch: &mut Vec<Append>) {
        match request {
            Request::Append { idem, body, done } => batch.push(Append { idem, body, done }),
            Request::Trim => self.tidy(),
            Request::TrimBefore(at) => match rows::first_since(&self.connection, at) {
                Ok(first) => {
                    let mut live = self.shared.live.lock();
                    live.first = live.first.max(first.map_or(live.head, |first| first.0));
                    drop(live);
                    self.tidy();
                }
                Err(error) => {
                    self.fail(&error);
                }
            },
            Request::Save { key, at, bytes, done } => {
                if !self.shared.meter.health().takes() {
                    return done(Err(NotSaved { reason: self.shared.meter.health().to_string() }));
                }
                self.shared.meter.begin();
                let outcome = snapshots::save(&mut self.connection, &key, at, &bytes);
                self.shared.meter.ended();
                self.pages += bytes.len() / super::file::PAGE_BYTES + 2;
                done(outcome.map_err(|error| {
                    self.fail(&error);
                    NotSaved { reason: error.to_string() }
                }));
            }
        }
    }

    /// Writes a batch in one transaction. Then, and only then, readers get it, and after them
    /// those who wait are told.
    fn commit(&mut self, batch: &mut Vec<Append>) {
        // A snapshot or a trim may have failed while they gathered.
        if let Some(error) = self.shared.meter.health().refusal() {
            batch.drain(..).for_each(|append| (append.done)(Err(error)));
            return;
        }
        let before = self.head;
        let mut fresh = Vec::with_capacity(batch.len());
        let positions: Vec<_> = batch.iter().map(|append| self.place(append, &mut fresh)).collect();
        let outcome = if fresh.is_empty() { Ok(()) } else { self.write(&fresh) };
        if let Err(error) = outcome {
            self.head = before;
            self.keys.take_back(before);
            let failed = self.fail(&error);
            for Append { done, .. } in batch.drain(..) {
                done(Err(failed));
            }
            return;
        }
        if let Some(last) = fresh.last() {
            self.at = last.at;
            self.clock.not_before(self.at);
            let fresh: Batch = fresh.into();
            let mut live = self.shared.live.lock();
            live.head = self.head.0;
            self.shared.head.store(live.head, Ordering::Release);
            live.tails.retain(|tail| tail.send(Arc::clone(&fresh)).is_ok());
        }
        for (Append { done, .. }, position) in batch.drain(..).zip(positions) {
            done(Ok(position));
        }
    }

    /// The position of an append, a new one if its key has none.
    fn place(&mut self, append: &Append, fresh: &mut Vec<Record>) -> Position {
        if let Some(position) = self.keys.positions.get(&append.idem) {
            return *position;
        }
        let position = Position(self.head.0 + 1);
        let last = fresh.last().map_or(self.at, |record| record.at);
        let at = last.max(self.clock.now());
        fresh.push(Record { position, at, idem: append.idem, body: append.body.clone() });
        self.keys.note(append.idem, position);
        self.head = position;
        position
    }

    fn write(&mut self, fresh: &[Record]) -> rusqlite::Result<()> {
        self.shared.meter.begin();
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        rows::insert(&transaction, fresh)?;
        transaction.commit()?;
        self.shared.meter.committed(fresh.len() as u64);
        let bytes: usize = fresh.iter().map(|record| record.body.len() + 40).sum();
        self.pages += bytes / super::file::PAGE_BYTES + 2;
        Ok(())
    }

    /// What follows from a failure: for the log, and for those whose records were in it.
    fn fail(&mut self, error: &rusqlite::Error) -> AppendError {
        self.shared.meter.ended();
        let file = self.shared.file.display();
        let (health, outcome) = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                tracing::warn!(%file, %error, "a commit was refused and may be tried again");
                return AppendError::Refused;
            }
            Some(ErrorCode::TooBig) => {
                // A snapshot, since no record is: nothing was written.
                tracing::warn!(%file, %error, "what is too large for a row is not kept");
                return AppendError::TooLong;
            }
            Some(ErrorCode::DiskFull) => (Health::Full, AppendError::Refused),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                (Health::ReadOnly, AppendError::Refused)
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                let position = Position(self.head.0 + 1);
                let file = self.shared.file.clone();
                (Health::Damaged { file, position }, AppendError::Unknown)
            }
            _ => (Health::Poisoned, AppendError::Unknown),
        };
        tracing::error!(%file, %error, health = health.label(), "the log takes no more records");
        self.shared.meter.set(health);
        outcome
    }

    /// Looks whether a log that could not be written can be.
    fn probe(&mut self) {
        // The pages of the write-ahead log may be used again once they are in the file.
        let probed = self.checkpoint().and_then(|()| {
            let transaction =
                self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute("INSERT INTO room VALUES (zeroblob(?1))", [ROOM_BYTES])?;
            transaction.commit()?;
            self.connection.execute("DELETE FROM room", [])
        });
        match probed {
            Ok(_) => {
                tracing::info!(file = %self.shared.file.display(), "the log takes records again");
                self.shared.meter.set(Health::Good);
            }
            Err(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {}
                _ => {
                    self.fail(&error);
                }
            },
        }
    }

    /// What need not be done before anybody is answered.
    fn tidy(&mut self) {
        if !self.shared.meter.health().takes() {
            return;
        }
        // The last record stays in any case: it says where the next one goes.
        let first = self.shared.live.lock().first.min(self.head.0);
        let trimmed = if first > self.stored_from { self.trim_to(first) } else { Ok(()) };
        let tidied = trimmed
            .and_then(|()| if self.pages < CHECKPOINT_PAGES { Ok(()) } else { self.checkpoint() });
        if let Err(error) = tidied {
            self.fail(&error);
        }
    }

    /// Lets go of rows before `first`, some at a time.
    fn trim_to(&mut self, first: u64) -> rusqlite::Result<()> {
        let upto = first.min(self.stored_from + TRIM_ROWS);
        self.shared.meter.begin();
        self.connection.execute("DELETE FROM log WHERE pos < ?1", [upto.cast_signed()])?;
        self.shared.meter.ended();
        self.stored_from = upto;
        self.keys.trim(first);
        Ok(())
    }

    /// Brings what is in the write-ahead log into the file. Readers do not wait for it.
    fn checkpoint(&mut self) -> rusqlite::Result<()> {
        self.shared.meter.begin();
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        self.shared.meter.ended();
        self.pages = 0;
        Ok(())
    }

    fn close(self) {
        if matches!(self.shared.meter.health(), Health::Poisoned | Health::Damaged { .. }) {
            // After a failed sync the kernel may call lost pages clean: another one that succeeds
            // would say nothing.
            let setting = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
            if let Err(error) = self.connection.set_db_config(setting, true) {
                tracing::error!(%error, "a failed log is closed with a checkpoint");
            }
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, file = %self.shared.file.display(), "not closed well");
        }
    }
}

pub(super) struct Append {
    idem: u128,
    body: Bytes,
    done: Done,
}

/// Refuses whatever comes within `time`. Whether more may come after it.
fn refuse_for(requests: &Receiver<Request>, time: Duration, error: AppendError) -> bool {
    std::thread::sleep(time);
    loop {
        match requests.try_recv() {
            Ok(request) => request.refuse(error),
            Err(TryRecvError::Empty) => return true,
            Err(TryRecvError::Disconnected) => return false,
        }
    }
}
