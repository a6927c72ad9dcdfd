//! A log in memory with a thread of its own, and faults on demand.
//!
//! It behaves as a durable log does, only faster: appends are queued, a writer thread takes what
//! has gathered, waits `delay` as for a disk, assigns positions and times, feeds the tails and
//! completes. Nothing survives the process.

use super::log::{AppendError, BODY_BYTES_MAX, Done, OrderedLog, Position, Record, Tail, Trimmed};
use crate::clock::Civil;
use crate::units::Timestamp;
use bytes::Bytes;
use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Appends that may wait for the writer; above, they are refused at the door. A second of the
/// fastest notices that one machine takes.
const QUEUED_MAX: usize = 65_536;
/// Records of one group commit: past a thousand the rate grows no more and the latency does.
const BATCH_MAX: usize = 1_024;
/// Idempotency keys remembered, the oldest forgotten first: a retry comes within seconds, in which
/// not a million others are appended. What folds the log has its own, exact checks besides.
const KEYS_MAX: usize = 1 << 20;

/// How often an append goes wrong, in parts per million, drawn from a seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Seed of the schedule.
    pub seed: u64,
    /// Refused: not in the log.
    pub refuse_ppm: u32,
    /// Answered with [`AppendError::Unknown`]; every other time it is in the log nevertheless.
    pub unknown_ppm: u32,
    /// The request reaches the log twice, as after a retry inside a network client.
    pub duplicate_ppm: u32,
}

/// The log in memory. Dropping it completes what is queued and joins the thread.
pub struct MemoryLog {
    shared: Arc<Mutex<Records>>,
    queue: Option<SyncSender<Request>>,
    writer: Option<JoinHandle<()>>,
}

struct Request {
    idem: u128,
    body: Bytes,
    done: Done,
}

#[derive(Default)]
struct Records {
    kept: VecDeque<Record>,
    head: u64,
    at: Timestamp,
    positions: FxHashMap<u128, Position>,
    keys: VecDeque<u128>,
    tails: Vec<UnboundedSender<Record>>,
}

impl MemoryLog {
    /// A log that is as fast as it can be and never fails.
    ///
    /// # Errors
    /// What the operating system says when it has no thread left.
    pub fn open(clock: Civil) -> std::io::Result<Self> {
        Self::with_faults(clock, Duration::ZERO, Faults::default())
    }

    /// A log that takes `delay` for each group of appends and fails as `faults` say.
    ///
    /// # Errors
    /// What the operating system says when it has no thread left.
    pub fn with_faults(clock: Civil, delay: Duration, faults: Faults) -> std::io::Result<Self> {
        let shared = Arc::new(Mutex::new(Records::default()));
        let (queue, requests) = sync_channel(QUEUED_MAX);
        let records = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("memory-log".to_owned())
            .spawn(move || write(&records, &requests, &clock, delay, faults))?;
        Ok(Self { shared, queue: Some(queue), writer: Some(writer) })
    }
}

impl OrderedLog for MemoryLog {
    fn append(&self, idem: u128, body: Bytes, done: Done) {
        if body.len() > BODY_BYTES_MAX {
            return done(Err(AppendError::TooLong));
        }
        let Some(queue) = &self.queue else { return done(Err(AppendError::Closed)) };
        match queue.try_send(Request { idem, body, done }) {
            Ok(()) => {}
            Err(TrySendError::Full(request)) => (request.done)(Err(AppendError::Refused)),
            Err(TrySendError::Disconnected(request)) => (request.done)(Err(AppendError::Closed)),
        }
    }

    fn tail(&self, from: Position) -> Result<Tail, Trimmed> {
        let (sender, receiver) = unbounded_channel();
        // Held over the copy: between the old records and the first new one there is no gap.
        let mut records = self.shared.lock();
        let first = records.head - records.kept.len() as u64 + 1;
        if from.0 < first && first > 1 {
            return Err(Trimmed { first: Position(first) });
        }
        for record in records.kept.iter().filter(|record| record.position >= from) {
            // It cannot fail: the receiver is in our hands.
            let _ = sender.send(record.clone());
        }
        records.tails.push(sender);
        Ok(receiver)
    }

    fn head(&self) -> Position {
        Position(self.shared.lock().head)
    }

    fn trim(&self, upto: Position) {
        let mut records = self.shared.lock();
        while records.kept.front().is_some_and(|record| record.position <= upto) {
            records.kept.pop_front();
        }
    }
}

impl Drop for MemoryLog {
    fn drop(&mut self) {
        self.queue = None; // the writer ends when it has taken all that was queued
        let Some(writer) = self.writer.take() else { return };
        // A completion may hold the last reference and so drop the log on the writer's own thread,
        // which cannot wait for itself.
        if writer.thread().id() != std::thread::current().id() && writer.join().is_err() {
            tracing::error!("the memory log's writer panicked");
        }
    }
}

fn write(
    records: &Mutex<Records>,
    requests: &Receiver<Request>,
    clock: &Civil,
    delay: Duration,
    faults: Faults,
) {
    let mut rng = ChaCha8Rng::seed_from_u64(faults.seed);
    let mut happens = |ppm: u32| ppm > 0 && rng.next_u32() % 1_000_000 < ppm;
    let mut batch: Vec<Request> = Vec::with_capacity(BATCH_MAX);
    let mut swallow = false;
    while let Ok(first) = requests.recv() {
        batch.push(first);
        while batch.len() < BATCH_MAX
            && let Ok(next) = requests.try_recv()
        {
            batch.push(next);
        }
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        for Request { idem, body, done } in batch.drain(..) {
            if happens(faults.refuse_ppm) {
                done(Err(AppendError::Refused));
                continue;
            }
            let unknown = happens(faults.unknown_ppm);
            if unknown {
                swallow = !swallow;
                if swallow {
                    done(Err(AppendError::Unknown));
                    continue;
                }
            }
            // The lock is let go before `done`, which may append or tail.
            let position = {
                let mut records = records.lock();
                if happens(faults.duplicate_ppm) {
                    records.append(idem, &body, clock.now());
                }
                records.append(idem, &body, clock.now())
            };
            done(if unknown { Err(AppendError::Unknown) } else { Ok(position) });
        }
    }
}

impl Records {
    fn append(&mut self, idem: u128, body: &Bytes, now: Timestamp) -> Position {
        if let Some(position) = self.positions.get(&idem) {
            return *position;
        }
        self.head += 1;
        self.at = self.at.max(now);
        let position = Position(self.head);
        let record = Record { position, at: self.at, idem, body: body.clone() };
        self.tails.retain(|tail| tail.send(record.clone()).is_ok());
        self.kept.push_back(record);
        self.positions.insert(idem, position);
        self.keys.push_back(idem);
        if self.keys.len() > KEYS_MAX
            && let Some(oldest) = self.keys.pop_front()
        {
            self.positions.remove(&oldest);
        }
        position
    }
}
