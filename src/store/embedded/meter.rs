//! What the log says of itself: written by its thread, read by anybody.

use crate::clock::Mono;
use crate::store::log::{COMMIT_BOUNDS_US, Health, LogStatus};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A commit that takes longer makes the log slow, in nanoseconds.
const SLOW_NANOS: u64 = 1_000_000_000;

/// Counters with relaxed order: nobody concludes anything else from them.
pub(super) struct Meter {
    health: Mutex<Health>,
    started: Mono,
    /// When the present write began, in nanoseconds since `started`; 0 while there is none.
    began: AtomicU64,
    appends: AtomicU64,
    commits: [AtomicU64; COMMIT_BOUNDS_US.len() + 1],
    commit_nanos: AtomicU64,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            health: Mutex::default(),
            started: Mono::now(),
            began: AtomicU64::new(0),
            appends: AtomicU64::new(0),
            commits: Default::default(),
            commit_nanos: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        Mono::now().nanos_since(self.started).max(1)
    }

    /// A commit, snapshot or checkpoint begins.
    pub(super) fn begin(&self) {
        self.began.store(self.now(), Ordering::Relaxed);
    }

    /// What began last has ended, and not as a commit of records.
    pub(super) fn ended(&self) {
        self.began.store(0, Ordering::Relaxed);
    }

    /// The commit that began last has made so many records durable.
    pub(super) fn committed(&self, records: u64) {
        let nanos = self.now().saturating_sub(self.began.swap(0, Ordering::Relaxed));
        let class = COMMIT_BOUNDS_US.partition_point(|bound| bound * 1_000 < nanos);
        self.commits[class].fetch_add(1, Ordering::Relaxed);
        self.commit_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.appends.fetch_add(records, Ordering::Relaxed);
        let is_slow = nanos > SLOW_NANOS;
        let mut health = self.health.lock();
        if health.takes() {
            *health = if is_slow { Health::Slow } else { Health::Good };
        }
    }

    /// How long the present write takes already.
    fn lag_nanos(&self) -> u64 {
        match self.began.load(Ordering::Relaxed) {
            0 => 0,
            began => self.now().saturating_sub(began),
        }
    }

    pub(super) fn health(&self) -> Health {
        let health = self.health.lock().clone();
        let is_long = self.lag_nanos() > SLOW_NANOS;
        if is_long && health == Health::Good { Health::Slow } else { health }
    }

    /// Sets how the log is. What cannot get better does not.
    pub(super) fn set(&self, next: Health) {
        let mut health = self.health.lock();
        if !matches!(*health, Health::Poisoned | Health::Damaged { .. }) {
            *health = next;
        }
    }

    pub(super) fn status(&self) -> LogStatus {
        LogStatus {
            health: self.health(),
            appends: self.appends.load(Ordering::Relaxed),
            commits: std::array::from_fn(|class| self.commits[class].load(Ordering::Relaxed)),
            commit_nanos: self.commit_nanos.load(Ordering::Relaxed),
            lag_nanos: self.lag_nanos(),
        }
    }
}
