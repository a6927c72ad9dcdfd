//! When each slot of a table learned last, in hours, and which slots are too old to keep.

use serde::{Deserialize, Serialize};

/// Milliseconds of a stamp's unit.
const HOUR_MS: i64 = 3_600_000;
/// Most slots that one sweep looks at: some µs. At a tick a second, 2^18 slots take a minute.
const SWEEP_MAX: usize = 4_096;

/// The hour of a Unix time in ms.
pub(super) const fn hour_of(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(HOUR_MS)
}

/// The hour in which each slot learned last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ages {
    /// The low 16 bits of an hour: they come round after seven years, and sweeps in minutes.
    stamps: Vec<u16>,
    hand: usize,
}

impl Ages {
    /// Of a table of `len` slots, a power of two.
    pub(super) fn new(len: usize) -> Self {
        Self { stamps: vec![0; len], hand: 0 }
    }

    /// The slot at `index` learns in `hour`.
    #[inline(always)]
    pub(super) fn stamp(&mut self, index: usize, hour: i64) {
        self.stamps[index] = hour as u16;
    }

    /// Moves the clock's hand over the next slots, and lists those of them that did not learn for
    /// more than `ttl_hours`.
    pub(super) fn sweep(&mut self, hour: i64, ttl_hours: u16) -> impl Iterator<Item = usize> {
        let first = self.hand;
        let last = (first + SWEEP_MAX).min(self.stamps.len());
        self.hand = if last == self.stamps.len() { 0 } else { last };
        let stamps = self.stamps[first..last].iter().zip(first..);
        let age = move |stamp: u16| (hour as u16).wrapping_sub(stamp);
        stamps.filter(move |(stamp, _)| age(**stamp) > ttl_hours).map(|(_, index)| index)
    }
    /// All slots learned in `hour`.
    pub(super) fn stamp_all(&mut self, hour: i64) {
        self.stamps.fill(hour as u16);
    }

    /// Whether this is of a table of the size of `other`'s.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.stamps.len() == other.stamps.len() && self.hand < self.stamps.len()
    }
}
