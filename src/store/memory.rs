//! A log in memory with a thread of its own, and faults on demand.
//!
//! It behaves as a durable log does, only faster: appends are queued, a writer thread takes what
//! has gathered, waits `delay` as for a disk, assigns positions and times under one lock, feeds each
//! tail one batch and completes. Nothing survives the process.
//!
//! An append that wakes the writer, and a writer that wakes its readers, cost more than the append
//! itself (a futex and two context switches, some 10 us, on a busy core). So a writer with a
//! `gather` time lets appends come together for that long, and sleeps on the clock and not on the
//! queue as long as there are any.

use super::log::{
    AppendError, BODY_BYTES_MAX, Batch, Done, OrderedLog, Position, Record, Tail, Trimmed,
};
use crate::clock::Civil;
use crate::units::Timestamp;
use bytes::Bytes;
use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Appends that may wait for the writer; above, they are refused at the door. A second of the
/// fastest notices that one machine takes.
const QUEUED_MAX: usize = 65_536;
/// Records of one group commit: past a thousand the rate grows no more and the latency does.
const BATCH_MAX: usize = 1_024;
/// Idempotency keys remembered, the oldest forgotten first, as many as in a file. A retry that comes after
/// so many others is appended again: what folds the log has its own, exact checks.
const KEYS_MAX: usize = 1 << 16;

/// How long the writer waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pauses {
    /// From the first append on, for others to come along; zero takes what is there.
    pub gather: Duration,
    /// For each group of appends, as a disk would.
    pub delay: Duration,
}

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
    shared: Arc<Shared>,
    queue: Option<SyncSender<Request>>,
    writer: Option<JoinHandle<()>>,
}

struct Request {
    idem: u128,
    body: Bytes,
    done: Done,
}

#[derive(Default)]
struct Shared {
    records: Mutex<Records>,
    /// The last position, to be read beside the lock, which the writer holds for a whole batch.
    /// Release on writing and acquire on reading: whoever sees a position may rely on its record.
    head: AtomicU64,
}

#[derive(Default)]
struct Records {
    kept: VecDeque<Record>,
    head: u64,
    at: Timestamp,
    positions: FxHashMap<u128, Position>,
    keys: VecDeque<u128>,
    tails: Vec<UnboundedSender<Batch>>,
}

impl MemoryLog {
    /// A log that is as fast as it can be and never fails.
    ///
    /// # Errors
    /// What the operating system says when it has no thread left.
    pub fn open(clock: Civil) -> std::io::Result<Self> {
        Self::with_faults(clock, Pauses::default(), Faults::default())
    }

    /// A log that pauses and fails as told.
    ///
    /// # Errors
    /// What the operating system says when it has no thread left.
    pub fn with_faults(clock: Civil, pauses: Pauses, faults: Faults) -> std::io::Result<Self> {
        let shared: Arc<Shared> = Arc::default();
        let (queue, requests) = sync_channel(QUEUED_MAX);
        let writer = Writer {
            shared: Arc::clone(&shared),
            clock,
            faults,
            rng: ChaCha8Rng::seed_from_u64(faults.seed),
            swallow: false,
        };
        let writer = std::thread::Builder::new()
            .name("memory-log".to_owned())
            .spawn(move || writer.run(&requests, pauses))?;
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
        let mut records = self.shared.records.lock();
        let first = records.head - records.kept.len() as u64 + 1;
        if from.0 < first && first > 1 {
            return Err(Trimmed { first: Position(first) });
        }
        let kept = records.kept.iter().filter(|record| record.position >= from);
        let kept: Batch = kept.cloned().collect();
        if !kept.is_empty() {
            // It cannot fail: the receiver is in our hands.
            let _ = sender.send(kept);
        }
        records.tails.push(sender);
        Ok(receiver)
    }

    fn head(&self) -> Position {
        Position(self.shared.head.load(Ordering::Acquire))
    }

    fn trim(&self, upto: Position) {
        let mut records = self.shared.records.lock();
        while records.kept.front().is_some_and(|record| record.position <= upto) {
            let Some(record) = records.kept.pop_front() else { break };
            // Keys lie in the order of their records, the oldest of which may be forgotten already.
            if records.keys.front() == Some(&record.idem) {
                records.keys.pop_front();
                records.positions.remove(&record.idem);
            }
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

struct Writer {
    shared: Arc<Shared>,
    clock: Civil,
    faults: Faults,
    rng: ChaCha8Rng,
    /// Whether the next append of unknown outcome is to be lost.
    swallow: bool,
}

impl Writer {
    fn run(mut self, requests: &Receiver<Request>, Pauses { gather, delay }: Pauses) {
        let mut batch: Vec<Request> = Vec::with_capacity(BATCH_MAX);
        while let Ok(first) = requests.recv() {
            batch.push(first);
            loop {
                if !gather.is_zero() {
                    std::thread::sleep(gather);
                }
                batch.extend(requests.try_iter().take(BATCH_MAX - batch.len()));
                if batch.is_empty() {
                    break;
                }
                if !delay.is_zero() {
                    std::thread::sleep(delay);
                }
                self.commit(&mut batch);
                if gather.is_zero() {
                    break;
                }
            }
        }
    }

    /// Writes a batch under one lock, feeds the tails, and completes when the lock is let go:
    /// completions may append or tail.
    fn commit(&mut self, batch: &mut Vec<Request>) {
        let mut ended = Vec::with_capacity(batch.len());
        let shared = Arc::clone(&self.shared);
        let mut records = shared.records.lock();
        let before = records.kept.len();
        for Request { idem, body, done } in batch.drain(..) {
            ended.push((done, self.write(&mut records, idem, &body)));
        }
        self.clock.not_before(records.at);
        shared.head.store(records.head, Ordering::Release);
        if records.kept.len() > before {
            let fresh: Batch = records.kept.range(before..).cloned().collect();
            records.tails.retain(|tail| tail.send(Arc::clone(&fresh)).is_ok());
        }
        drop(records);
        for (done, outcome) in ended {
            done(outcome);
        }
    }

    fn write(
        &mut self,
        records: &mut Records,
        idem: u128,
        body: &Bytes,
    ) -> Result<Position, AppendError> {
        if self.happens(self.faults.refuse_ppm) {
            return Err(AppendError::Refused);
        }
        let is_unknown = self.happens(self.faults.unknown_ppm);
        if is_unknown {
            self.swallow = !self.swallow;
            if self.swallow {
                return Err(AppendError::Unknown);
            }
        }
        if self.happens(self.faults.duplicate_ppm) {
            records.append(idem, body, self.clock.now());
        }
        let position = records.append(idem, body, self.clock.now());
        if is_unknown { Err(AppendError::Unknown) } else { Ok(position) }
    }

    fn happens(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.rng.next_u32() % 1_000_000 < ppm
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
        self.kept.push_back(Record { position, at: self.at, idem, body: body.clone() });
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
