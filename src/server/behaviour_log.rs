//! The behaviour log: what changes sessions, durable before it is acknowledged, sealed under the key of
//! its day. Beside the saved sessions it is all that a start needs to know users as they were known.
//!
//! * A body of events is applied after all of it is durable, and answered after that. What the log
//!   refuses is applied nowhere.
//! * A show is written beside its bill and counts in any case: bills depend on no other disk than the
//!   ledger's, and wait for this one [`SHOW_WAIT_MS_MAX`] at most.
//! * A saving of sessions has everything up to a position. For that a gate stands before events: whoever
//!   passes it holds it open until what he appended is applied, and the saving closes it for a moment.
//!   Shows pass beside it, since one that is applied twice changes nothing.
//! * Pending shows are in no log, nor joins that bid requests tell: those are told again.

use crate::clock::Civil;
use crate::server::behaviour_keys::{DayKeys, Sealing, day_of, start_of};
use crate::server::metrics::Metrics;
use crate::session::{Changes, Cut, Reached, SessionShard};
use crate::store::{AppendError, OrderedLog, Position, SealedError};
use crate::units::Timestamp;
use actix::Addr;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedRwLockReadGuard, OwnedSemaphorePermit, RwLock, Semaphore, oneshot};

/// Milliseconds that a body of events waits for the disk. What becomes durable after that is applied,
/// though its sender was told to send it again: its events are known by their ids.
pub const EVENTS_WAIT_MS_MAX: u64 = 5_000;
/// Milliseconds that a bill waits for its show to be durable: twice what a group commit may take.
const SHOW_WAIT_MS_MAX: u64 = 200;
/// Milliseconds that whoever is forgotten waits for what is on its way to sessions.
const SETTLE_MS_MAX: u64 = 5_000;
/// Bytes of bodies that may wait for the disk, as cleaned events and as records some three times that in
/// memory. More are refused at the door, however long the disk takes.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Rounds through all shards after which nothing that one tells another is under way: a hand-over takes
/// three.
const ROUNDS: usize = 3;

/// What was not kept, and why.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Refusal {
    what: &'static str,
    why: &'static str,
}

/// Refusals, counted.
pub type Refusals = Family<Refusal, Counter>;

/// Whoever holds it may append and apply; nobody saves meanwhile.
pub type Pass = OwnedRwLockReadGuard<()>;

/// What a body takes of the room for those that wait for the disk.
pub type Room = OwnedSemaphorePermit;

/// The log of what changes sessions. One that keeps nothing costs nothing.
pub struct BehaviourLog {
    kept: Option<Kept>,
    // Tokio's, since it is held while the disk is waited for; and it lets savings have their turn.
    gate: Arc<RwLock<()>>,
    room: Arc<Semaphore>,
    refusals: Refusals,
    keys: Gauge,
}

struct Kept {
    log: Arc<dyn OrderedLog>,
    civil: Civil,
    boot: u32,
    /// Whether a saving ends the time of what it has.
    is_until_saved: bool,
    /// Days after its own for which anything is kept.
    keep_days: i32,
    /// Locked over a write of the keys' file, some times a day.
    keys: Mutex<DayKeys>,
    sealing: ArcSwap<Sealing>,
    /// Records appended by this process, which names them.
    count: AtomicU64,
}

/// What becomes of changes that were appended.
pub type Outcomes = Vec<oneshot::Receiver<Result<Position, AppendError>>>;

impl BehaviourLog {
    /// One that keeps nothing.
    pub fn nothing() -> Self {
        Self {
            kept: None,
            gate: Arc::default(),
            room: Arc::new(Semaphore::new(WAITING_BYTES_MAX)),
            refusals: Family::default(),
            keys: Gauge::default(),
        }
    }

    /// One that keeps what it is given in `log`, sealed by `keys`, for `keep_days`; 0 is until a saving
    /// of sessions has it. `boot` must differ from run to run.
    ///
    /// # Errors
    /// The keys' file cannot be written.
    pub fn new(
        log: Arc<dyn OrderedLog>,
        mut keys: DayKeys,
        (civil, boot): (Civil, u32),
        keep_days: u32,
    ) -> Result<Self, SealedError> {
        let sealing = keys.begin(civil.now())?;
        let kept = Kept {
            log,
            civil,
            boot,
            is_until_saved: keep_days == 0,
            keep_days: days_of(keep_days),
            keys: Mutex::new(keys),
            sealing: ArcSwap::from_pointee(sealing),
            count: AtomicU64::new(0),
        };
        let log = Self { kept: Some(kept), ..Self::nothing() };
        log.kept.iter().for_each(Kept::trim);
        log.count_keys();
        Ok(log)
    }

    /// Shows what was refused, and how many keys are kept, among the metrics.
    pub fn watch(&self, metrics: &mut Metrics) {
        metrics.behaviour_log(&self.refusals, &self.keys);
    }

    /// The log itself, where anything is kept.
    pub fn log(&self) -> Option<&Arc<dyn OrderedLog>> {
        self.kept.as_ref().map(|kept| &kept.log)
    }

    /// Whether anything is kept: changes for one that keeps nothing need not be written out.
    pub const fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    /// Room for a body of so many bytes, to be held until it is applied; `None` where too many wait.
    pub fn admit(&self, bytes: usize) -> Option<Room> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.room.clone().try_acquire_many_owned(bytes).ok()
    }

    /// Passes the gate.
    pub async fn pass(&self) -> Pass {
        self.gate.clone().read_owned().await
    }

    /// Begins to keep changes: what comes of it is told by [`BehaviourLog::events`] or
    /// [`BehaviourLog::show`].
    pub fn append(&self, changes: Changes) -> Outcomes {
        let Some(kept) = &self.kept else { return Outcomes::new() };
        changes.into_pieces().into_iter().map(|piece| kept.append(piece)).collect()
    }

    /// Waits until events are durable.
    ///
    /// # Errors
    /// What the log said of the first that is not. Others may be in it; they are unacknowledged.
    pub async fn events(&self, outcomes: Outcomes) -> Result<(), AppendError> {
        for outcome in outcomes {
            if let Err(error) = outcome.await.unwrap_or(Err(AppendError::Unknown)) {
                self.count("events", "refused");
                return Err(error);
            }
        }
        Ok(())
    }

    /// Waits a moment until a show is durable. It counts also where it is not.
    pub async fn show(&self, outcomes: Outcomes) {
        for outcome in outcomes {
            match tokio::time::timeout(Duration::from_millis(SHOW_WAIT_MS_MAX), outcome).await {
                Ok(Ok(Ok(_))) => {}
                Ok(_) => self.count("shows", "refused"),
                Err(_) => self.count("shows", "late"),
            }
        }
    }

    /// Counts what was not kept.
    pub fn count(&self, what: &'static str, why: &'static str) {
        self.refusals.get_or_create(&Refusal { what, why }).inc();
    }

    /// Waits until what has passed the gate is applied. `false` where its disk does not answer: then it
    /// is not applied yet.
    pub async fn settle(&self) -> bool {
        let limit = Duration::from_millis(SETTLE_MS_MAX);
        tokio::time::timeout(limit, self.gate.write()).await.is_ok()
    }

    /// The moment as of which sessions are saved: `cut` is called with the last position while nothing
    /// is on its way to the shards. Blocks; from a thread that may. Without `shards` nobody is left who
    /// could write sessions.
    ///
    /// # Errors
    /// There is no key for what comes after.
    pub fn cut(
        &self,
        shards: &[Addr<SessionShard>],
        cut: impl FnOnce(u64) -> Cut,
    ) -> Result<Cut, SealedError> {
        let Some(kept) = &self.kept else { return Ok(cut(0)) };
        let _closed = (!shards.is_empty()).then(|| self.gate.blocking_write());
        for _ in 0..ROUNDS {
            let (sender, reached) = std::sync::mpsc::channel();
            // Goes round the mailboxes' bounds: three messages a saving. One that is gone lets go too.
            shards.iter().for_each(|shard| shard.do_send(Reached(sender.clone())));
            drop(sender);
            while reached.recv().is_ok() {}
        }
        if kept.is_until_saved {
            kept.renew()?;
        }
        Ok(cut(kept.log.head().0))
    }

    /// Sessions as of `cut` are saved: where that ends the time of what it has, it ends.
    ///
    /// # Errors
    /// A key is still there that ought not to be.
    pub fn saved(&self, cut: &Cut) -> Result<(), SealedError> {
        let Some(kept) = self.kept.as_ref().filter(|kept| kept.is_until_saved) else {
            return Ok(());
        };
        kept.log.trim(Position(cut.journaled));
        let destroyed = kept.keys.lock().destroy_before(cut.at);
        self.count_keys();
        destroyed
    }

    /// Turns to the key of the present day, and destroys those whose time is over.
    ///
    /// # Errors
    /// The keys stay as they are; the next tick tries again.
    pub fn tick(&self, now: Timestamp) -> Result<(), SealedError> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let mut keys = kept.keys.lock();
        let before = keys.len();
        let turned = keys.turn(now).inspect_err(|_| self.count("keys", "refused"))?;
        // Under the lock, so that it is the last key that seals: a saving destroys the others.
        let is_changed = turned.is_some() || keys.len() != before;
        turned.into_iter().for_each(|sealing| kept.sealing.store(Arc::new(sealing)));
        drop(keys);
        if is_changed {
            kept.trim();
        }
        self.count_keys();
        Ok(())
    }

    fn count_keys(&self) {
        let keys = self.kept.as_ref().map_or(0, |kept| kept.keys.lock().len());
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }
}

/// Days for which anything is kept at most: what waits for a saving waits as long as a day's.
pub fn days_of(keep_days: u32) -> i32 {
    i32::try_from(keep_days.max(1)).unwrap_or(i32::MAX)
}

impl Kept {
    fn append(&self, piece: Vec<u8>) -> oneshot::Receiver<Result<Position, AppendError>> {
        let (sender, receiver) = oneshot::channel();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let idem = u128::from(self.boot) << 64 | u128::from(number);
        if let Some(record) = self.sealing.load().seal(piece) {
            // Nobody may be waiting any more; the record is in the log all the same.
            let done = move |outcome| {
                let _ = sender.send(outcome);
            };
            self.log.append(idem, record, Box::new(done));
        }
        receiver
    }

    fn renew(&self) -> Result<(), SealedError> {
        let mut keys = self.keys.lock();
        self.sealing.store(Arc::new(keys.renew(self.civil.now())?));
        Ok(())
    }

    /// Lets go of records whose keys are not there any more.
    fn trim(&self) {
        let first = day_of(self.civil.now()).saturating_sub(self.keep_days);
        self.log.trim_before(start_of(first));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::behaviour_keys::Closed;
    use crate::session::{Join, SessionConfig, SessionTable, ShardMap, ShardState, read_changes};
    use crate::store::embedded::{SqliteLog, open_reader};
    use crate::store::{Pauses, SealKey};
    use crate::units::UserKey;
    use actix::Actor as _;
    use std::path::Path;

    const NOON: Timestamp = Timestamp(20_000 * 86_400_000 + 43_200_000);
    const DAY: i64 = 86_400_000;
    const MASTERS: [SealKey; 2] = [SealKey::new([1; 32]), SealKey::new([1; 32])];

    fn open(folder: &Path, civil: &Civil, keep_days: u32) -> BehaviourLog {
        let log = SqliteLog::open(&folder.join("log"), civil.clone(), Pauses::default());
        let keys = DayKeys::open(&folder.join("keys"), &MASTERS, 3, days_of(keep_days));
        let log = Arc::new(log.expect("opened"));
        BehaviourLog::new(log, keys, (civil.clone(), 3), keep_days).expect("a key")
    }

    fn keep(log: &BehaviourLog, user: u64) {
        let mut changes = Changes::default();
        let ids = [user, user + 1].map(UserKey).into_iter().collect();
        changes.add_join(&Join { ids, source: 0 });
        let kept = async { log.events(log.append(changes)).await };
        actix_web::rt::System::new().block_on(kept).expect("durable");
    }

    /// What of the log can be opened now, by number of changes or why not; without what was trimmed.
    fn read(folder: &Path) -> Vec<Result<usize, Closed>> {
        let mut opener = DayKeys::open(&folder.join("keys"), &MASTERS, 3, 1).opener();
        let reader = open_reader(&folder.join("log")).expect("a log");
        let records = reader.records(Position(1)).map(|record| record.expect("sound"));
        let opened = records.map(|record| opener.open(&record.body));
        opened.map(|piece| piece.map(|piece| read_changes(&piece).expect("ours").len())).collect()
    }

    #[test]
    fn what_waits_for_the_disk_is_bounded() {
        let log = BehaviourLog::nothing();
        let mut waiting: Vec<_> = std::iter::from_fn(|| log.admit(1 << 20)).take(1_000).collect();
        assert_eq!(waiting.len(), WAITING_BYTES_MAX >> 20);
        waiting.pop();
        assert!(log.admit(1 << 20).is_some());
    }

    #[test]
    fn after_its_days_time_a_record_says_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let civil = Civil::simulated(NOON);
        let log = open(folder.path(), &civil, 1);
        keep(&log, 1);
        civil.advance(NOON.plus_millis(DAY));
        log.tick(civil.now()).expect("turned");
        keep(&log, 2);
        assert_eq!(read(folder.path()), [Ok(1), Ok(1)]);
        civil.advance(NOON.plus_millis(2 * DAY));
        log.tick(civil.now()).expect("turned");
        keep(&log, 3);
        let left = read(folder.path());
        assert!(!left.contains(&Err(Closed::Damaged)), "{left:?}");
        assert_eq!(left.iter().filter(|record| record.is_ok()).count(), 2, "{left:?}");
        drop(log);
        // The next process too has only what may still be read.
        civil.advance(NOON.plus_millis(9 * DAY));
        drop(open(folder.path(), &civil, 1));
        assert!(read(folder.path()).iter().all(|record| *record == Err(Closed::NoKey)));
    }

    #[test]
    fn what_is_kept_until_saved_goes_with_the_saving_that_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let civil = Civil::simulated(NOON);
        let log = open(folder.path(), &civil, 0);
        let table = SessionTable::new(SessionConfig::default());
        keep(&log, 1);
        keep(&log, 2);
        let cut = log.cut(&[], |journaled| table.cut(journaled, civil.now())).expect("cut");
        assert_eq!(cut.journaled, 2);
        keep(&log, 3);
        assert_eq!(read(folder.path()), [Ok(1), Ok(1), Ok(1)], "not saved yet");
        log.saved(&cut).expect("gone");
        let left = read(folder.path());
        assert_eq!(left.iter().filter(|record| record.is_ok()).count(), 1, "{left:?}");
        assert_eq!(left.last(), Some(&Ok(1)), "what came after the cut stays");
    }

    #[test]
    fn a_saving_waits_for_whoever_has_passed_the_gate() {
        let folder = tempfile::tempdir().expect("a folder");
        let civil = Civil::simulated(NOON);
        let log = Arc::new(open(folder.path(), &civil, 1));
        let table = Arc::new(SessionTable::new(SessionConfig::default()));
        let state = ShardState::new(table.clone(), 0, ShardMap::even(1));
        actix_web::rt::System::new().block_on(async {
            let shard = SessionShard::new(Arc::new(Mutex::new(state)), civil).start();
            let pass = log.pass().await;
            let (tell, mut told) = oneshot::channel();
            let saver = log.clone();
            let cut = move || {
                let cut = saver.cut(&[shard], |journaled| table.cut(journaled, NOON));
                tell.send(cut.expect("cut").journaled)
            };
            let thread = std::thread::spawn(cut);
            // It stands at the gate, and lets nobody else in.
            while log.gate.try_read().is_ok() {
                assert!(told.try_recv().is_err(), "it did not wait");
                actix_web::rt::task::yield_now().await;
            }
            let mut changes = Changes::default();
            changes.add_join(&Join { ids: [1, 2].map(UserKey).into_iter().collect(), source: 0 });
            log.events(log.append(changes)).await.expect("durable");
            drop(pass);
            assert_eq!(told.await, Ok(1), "what was under way is in it");
            assert!(thread.join().expect("it ends").is_ok());
        });
    }
}
