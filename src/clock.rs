//! The two clocks, injected everywhere.
//!
//! `Civil` is the time of day: budgets, windows, interest decay. Simulation mode moves it by hand.
//! The machine's clock may be set back, also between two starts; then `Civil` never falls behind
//! what the log was given ([`Civil::not_before`]), since a bid made before the log's own time would
//! be past its windows at once. It goes on from there at half speed until the machine has caught up.
//! `Mono` measures how long things take: deadlines and histograms. It is never simulated.
//! No other file of the engine reads the machine's clock (`tests/tidy.rs` holds that).

use crate::units::Timestamp;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Civil time: the machine's, or one that only moves when told to.
#[derive(Clone, Debug)]
pub struct Civil(Source);

#[derive(Clone, Debug)]
enum Source {
    Machine(Arc<Floor>),
    // One number that only grows: relaxed order is enough, since nothing else is published by it.
    Simulated(Arc<AtomicI64>),
}

/// What machine time does not fall below.
#[derive(Debug, Default)]
struct Floor {
    /// In milliseconds. Relaxed, as above.
    at: AtomicI64,
    /// Since when the machine is behind, and the floor at that time. Locked only while it is.
    behind: Mutex<Option<(Mono, i64)>>,
}

/// Milliseconds that the machine's clock may be set back without a word: clocks are disciplined all
/// the time.
const STEP_MS: i64 = 1_000;

impl Floor {
    /// The time when the machine says `wall` at `mono`, which is asked only where it matters.
    fn hold(&self, wall: i64, mono: impl FnOnce() -> Mono) -> i64 {
        let floor = self.at.load(Ordering::Relaxed);
        if wall >= floor {
            return wall;
        }
        let mono = mono();
        let slowed = |(since, from): (Mono, i64)| {
            let half_ms = mono.nanos_since(since) / 2_000_000;
            from.saturating_add(i64::try_from(half_ms).unwrap_or(i64::MAX))
        };
        let mut behind = self.behind.lock();
        // What is below the floor is left from an earlier time.
        let now = behind.map(slowed).filter(|now| *now >= floor).unwrap_or_else(|| {
            *behind = Some((mono, floor));
            let behind_ms = floor - wall;
            if behind_ms > STEP_MS {
                tracing::warn!(
                    behind_ms,
                    "the machine's clock is behind the log: time goes slowly"
                );
            }
            floor
        });
        self.at.fetch_max(now, Ordering::Relaxed);
        now.max(wall)
    }
}

impl Civil {
    /// The machine's clock.
    #[must_use]
    pub fn machine() -> Self {
        Self(Source::Machine(Arc::default()))
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
            Source::Machine(floor) => Timestamp(floor.hold(wall_ms(), Mono::now)),
            Source::Simulated(millis) => Timestamp(millis.load(Ordering::Relaxed)),
        }
    }

    /// Moves a simulated clock forward to `to`; an earlier time changes nothing. Returns whether
    /// this clock can be moved at all.
    pub fn advance(&self, to: Timestamp) -> bool {
        match &self.0 {
            Source::Machine(_) => false,
            Source::Simulated(millis) => {
                millis.fetch_max(to.0, Ordering::Relaxed);
                true
            }
        }
    }

    /// From now on no time before `at` is told: the log was given it.
    pub fn not_before(&self, at: Timestamp) {
        let floor = match &self.0 {
            Source::Machine(floor) => &floor.at,
            Source::Simulated(millis) => millis,
        };
        floor.fetch_max(at.0, Ordering::Relaxed);
    }

    /// How far this clock is ahead of the machine's, in milliseconds.
    #[must_use]
    pub fn ahead_ms(&self) -> i64 {
        match &self.0 {
            Source::Machine(_) => (self.now().0 - wall_ms()).max(0),
            Source::Simulated(_) => 0,
        }
    }

    /// Whether this clock is moved by hand.
    #[must_use]
    pub const fn is_simulated(&self) -> bool {
        matches!(self.0, Source::Simulated(_))
    }
}

/// What the machine's clock shows, in Unix milliseconds.
fn wall_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
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
        clock.not_before(Timestamp(7_000));
        clock.not_before(Timestamp(6_000));
        assert_eq!(clock.now(), Timestamp(7_000));
    }

    #[test]
    fn a_clock_that_is_set_back_is_waited_for_at_half_speed() {
        let floor = Floor::default();
        let start = Mono::now();
        // The machine is right, is set back by ten seconds at the second 20, and again much later.
        for (mono_s, wall_s, given_s, now_s) in [
            (0, 100, 100, 100),
            (20, 120, 120, 120),
            (20, 110, 0, 120),
            (24, 114, 0, 122),
            (24, 114, 122, 122),
            (30, 120, 0, 125),
            (40, 130, 0, 130),
            (41, 131, 131, 131),
            (1_000, 1_090, 1_090, 1_090),
            (1_000, 1_080, 0, 1_090),
            (1_010, 1_089, 0, 1_095),
            (1_010, 1_200, 0, 1_200),
        ] {
            let now = floor.hold(wall_s * 1_000, || start.plus_millis(mono_s * 1_000));
            assert_eq!(now, now_s * 1_000, "at {mono_s}");
            floor.at.fetch_max(given_s * 1_000, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_machine_is_not_heard_below_what_was_given() {
        let clock = Civil::machine();
        let tomorrow = clock.now().plus_millis(86_400_000);
        clock.clone().not_before(tomorrow);
        assert!(clock.now() >= tomorrow);
        assert!(clock.ahead_ms() > 86_000_000);
    }
}
