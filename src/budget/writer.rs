//! The way into the ledger's log, for every worker.

use super::command::Command;
use super::view::Settlement;
use crate::store::{AppendError, OrderedLog, Position};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Attempts at one append: with the pauses below, half a minute of an absent log.
const ATTEMPTS_MAX: u32 = 40;
/// First pause after a failed attempt, in milliseconds; each next one is twice as long.
const PAUSE_MS: u64 = 5;
/// Longest pause, in milliseconds.
const PAUSE_MS_MAX: u64 = 1_000;

/// Settlements kept for whoever appended them, who asks within milliseconds: a good part of a
/// second of the fastest notices. The oldest go first.
const SETTLED_MAX: usize = 1 << 14;

/// Appends commands until they are durable. Cheap to clone; one for each worker.
#[derive(Clone)]
pub struct LedgerWriter {
    log: Arc<dyn OrderedLog>,
    progress: Arc<Progress>,
    boot: u64,
}

impl LedgerWriter {
    /// A writer into `log`. `boot` must differ from run to run on a log that lasts.
    #[must_use]
    pub fn new(log: Arc<dyn OrderedLog>, boot: u32) -> Self {
        Self { log, progress: Arc::default(), boot: u64::from(boot) }
    }

    /// Appends `command` and waits until it is durable. A notice or a lease's step has one key
    /// whoever appends it, so that a copy gets the position of the first.
    ///
    /// # Errors
    /// The last error after [`ATTEMPTS_MAX`] attempts; at once when the log is closed, or says that
    /// it takes nothing: whoever sent the notice will send it again.
    pub fn append(
        &self,
        command: &Command,
    ) -> impl Future<Output = Result<Position, AppendError>> + use<> {
        let body = command.encode();
        let nonce = (!command.names_itself()).then(|| self.progress.nonce());
        let idem = key(&body, nonce.map(|nonce| (self.boot, nonce)));
        // From here on the ticket ends with the future, also when nobody waits for its end or the
        // log panics: what waits for quiet would wait for ever.
        let guard = Ticket::draw(&self.progress);
        let first = self.try_append(idem, body.clone());
        let writer = self.clone();
        async move {
            let mut outcome = writer.outcome(first).await;
            let mut pause_ms = PAUSE_MS;
            for _ in 1..ATTEMPTS_MAX {
                match outcome {
                    Err(AppendError::Refused) if !writer.log.status().health.takes() => break,
                    Err(AppendError::Unknown | AppendError::Refused) => {}
                    Ok(_) | Err(_) => break,
                }
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                pause_ms = (pause_ms * 2).min(PAUSE_MS_MAX);
                outcome = writer.outcome(writer.try_append(idem, body.clone())).await;
            }
            if let Ok(position) = outcome {
                writer.progress.acknowledged.fetch_max(position.0, Ordering::AcqRel);
            }
            drop(guard);
            outcome
        }
    }

    /// Waits until the ledger has come to `positions`, where charging notices were appended, and
    /// takes what it made of each. Of several copies that got one position the first is told, the
    /// others get `None`: they changed nothing.
    pub fn settlements(
        &self,
        positions: Vec<Position>,
    ) -> impl Future<Output = Vec<Option<Settlement>>> + use<> {
        let progress = Arc::clone(&self.progress);
        async move {
            if let Some(last) = positions.iter().max() {
                progress.reached(*last).await;
            }
            let mut settled = progress.settled.lock();
            let mut take = |position: &Position| {
                let place = settled.binary_search_by_key(position, |(at, _)| *at).ok()?;
                settled.get_mut(place)?.1.take()
            };
            let taken = positions.iter().map(&mut take).collect();
            // What was asked for goes as soon as all before it was: a short queue stays in the cache. What
            // nobody asks for goes when there are too many.
            while settled.front().is_some_and(|(_, settlement)| settlement.is_none()) {
                settled.pop_front();
            }
            taken
        }
    }

    /// The log itself.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn OrderedLog> {
        &self.log
    }

    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    fn try_append(
        &self,
        idem: u128,
        body: Bytes,
    ) -> oneshot::Receiver<Result<Position, AppendError>> {
        let (sender, receiver) = oneshot::channel();
        // Nobody may be waiting any more; the record is in the log all the same.
        self.log.append(
            idem,
            body,
            Box::new(move |outcome| {
                let _ = sender.send(outcome);
            }),
        );
        receiver
    }

    async fn outcome(
        &self,
        receiver: oneshot::Receiver<Result<Position, AppendError>>,
    ) -> Result<Position, AppendError> {
        receiver.await.unwrap_or(Err(AppendError::Unknown))
    }
}

/// The first half of SHA-256 over the body, and over a nonce where the content does not say which
/// event it is.
fn key(body: &Bytes, nonce: Option<(u64, u64)>) -> u128 {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    hash.update(body);
    if let Some((boot, count)) = nonce {
        hash.update(&boot.to_le_bytes());
        hash.update(&count.to_le_bytes());
    }
    let digest = hash.finish();
    let mut half = [0; 16];
    half.copy_from_slice(&digest.as_ref()[..16]);
    u128::from_le_bytes(half)
}

/// How far appends and the fold have come.
#[derive(Default)]
pub(super) struct Progress {
    issued: AtomicU64,
    nonces: AtomicU64,
    open: Mutex<BTreeSet<u64>>,
    acknowledged: AtomicU64,
    folded: AtomicU64,
    /// By position; emptied as they are asked for.
    settled: Mutex<VecDeque<(Position, Option<Settlement>)>>,
    changed: Notify,
}

impl Progress {
    fn nonce(&self) -> u64 {
        self.nonces.fetch_add(1, Ordering::Relaxed)
    }

    /// The fold has come to `position`.
    pub(super) fn folded(&self, position: Position) {
        self.folded.fetch_max(position.0, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// What became of the charging notice at `position`.
    pub(super) fn settled(&self, position: Position, settlement: Settlement) {
        let mut settled = self.settled.lock();
        if settled.len() == SETTLED_MAX {
            settled.pop_front();
        }
        settled.push_back((position, Some(settlement)));
    }

    /// Waits until the fold has come to `position`.
    async fn reached(&self, position: Position) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.folded.load(Ordering::Acquire) >= position.0 {
                return;
            }
            changed.await;
        }
    }

    /// Waits until every append that was begun before this call has ended, and is folded.
    pub(super) fn quiet(self: &Arc<Self>) -> impl Future<Output = ()> + use<> {
        let progress = Arc::clone(self);
        let (upto, mut head) = {
            let open = progress.open.lock();
            let upto = progress.issued.load(Ordering::Relaxed);
            drop(open);
            (upto, None)
        };
        async move {
            loop {
                let changed = progress.changed.notified();
                tokio::pin!(changed);
                // Enabled before the look: a change in between wakes us nevertheless.
                changed.as_mut().enable();
                if head.is_none() && progress.open.lock().first().is_none_or(|open| *open >= upto) {
                    head = Some(progress.acknowledged.load(Ordering::Acquire));
                }
                if head.is_some_and(|head| progress.folded.load(Ordering::Acquire) >= head) {
                    return;
                }
                changed.await;
            }
        }
    }
}

/// One append under way.
struct Ticket {
    progress: Arc<Progress>,
    ticket: u64,
}

impl Ticket {
    fn draw(progress: &Arc<Progress>) -> Self {
        // The number is drawn under the lock: `open` then knows every number below a drawn one.
        let mut open = progress.open.lock();
        let ticket = progress.issued.fetch_add(1, Ordering::Relaxed);
        open.insert(ticket);
        Self { progress: Arc::clone(progress), ticket }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.progress.open.lock().remove(&self.ticket);
        self.progress.changed.notify_waiters();
    }
}
