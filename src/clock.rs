//! The two clocks, injected everywhere.
//!
//! `Civil` is the time of day: budgets, windows, interest decay. Simulation mode moves it by hand.
//! `Mono` measures how long things take: deadlines and histograms. It is never simulated.
//! No other file of the engine reads the machine's clock (`tests/tidy.rs` holds that).

use crate::units::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Civil time: the machine's, or one that only moves when told to.
#[derive(Clone, Debug)]
pub struct Civil(Source);

#[derive(Clone, Debug)]
enum Source {
    Machine,
    // One number that only grows: relaxed order is enough, since nothing else is published by it.
    Simulated(Arc<AtomicI64>),
}

impl Civil {
    /// The machine's clock.
    #[must_use]
    pub const fn machine() -> Self {
        Self(Source::Machine)
    }

    /// A clock that stands at `start` until it is advanced.
    #[must_use]
    pub fn simulated(start: Timestamp) -> Self {
        Self(Source::Simulated(Arc::new(AtomicI64::new(start.0))))
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::Machine => {
                let now = std::time::SystemTime::now();
                let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Source::Simulated(millis) => Timestamp(millis.load(Ordering::Relaxed)),
        }
    }

    /// Moves a simulated clock forward to `to`; an earlier time changes nothing. Returns whether
    /// this clock can be moved at all.
    pub fn advance(&self, to: Timestamp) -> bool {
        match &self.0 {
            Source::Machine => false,
            Source::Simulated(millis) => {
                millis.fetch_max(to.0, Ordering::Relaxed);
                true
            }
        }
    }

    /// Whether this clock is moved by hand.
    #[must_use]
    pub const fn is_simulated(&self) -> bool {
        matches!(self.0, Source::Simulated(_))
    }
}

/// A point on the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mono(quanta::Instant);

impl Mono {
    /// Now: 10 ns a reading where the processor's counter can be trusted.
    #[must_use]
    pub fn now() -> Self {
        Self(quanta::Instant::now())
    }

    /// Nanoseconds from `earlier` to `self`; 0 when `earlier` is later.
    #[must_use]
    pub fn nanos_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_duration_since(earlier.0).as_nanos()).unwrap_or(u64::MAX)
    }

    /// This point moved by whole milliseconds.
    #[must_use]
    pub fn plus_millis(self, millis: u64) -> Self {
        Self(self.0 + std::time::Duration::from_millis(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_time_moves_only_forward() {
        let clock = Civil::simulated(Timestamp(1_000));
        assert!(clock.advance(Timestamp(5_000)));
        assert!(clock.advance(Timestamp(2_000)));
        assert_eq!(clock.now(), Timestamp(5_000));
        assert!(!Civil::machine().advance(Timestamp(i64::MAX)));
    }
}
