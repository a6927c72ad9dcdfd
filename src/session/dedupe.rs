//! Recent event ids, so that an event delivered twice is applied once.
//!
//! Two generations of ids: an id is remembered for at least [`WINDOW_MS`], unless more than
//! [`GENERATION_IDS_MAX`] newer ones push it out, which is counted.

use crate::units::Timestamp;
use rustc_hash::FxHashSet;

/// How long an id is remembered at least: senders retry within minutes.
pub(super) const WINDOW_MS: i64 = 3_600_000;

/// Ids in one of the two generations: 9 bytes each, so at most 10 MB a shard with both full.
pub(super) const GENERATION_IDS_MAX: usize = 262_144;

/// The ids of one shard.
#[derive(Debug, Default)]
pub(super) struct RecentIds {
    // Ids are keyed hashes already: a stranger cannot aim at these sets.
    newer: FxHashSet<u64>,
    older: FxHashSet<u64>,
    /// When `newer` began.
    since: Timestamp,
    pushed_out: u64,
}

impl RecentIds {
    /// Notes an id; whether it is new.
    pub(super) fn insert(&mut self, id: u64, now: Timestamp) -> bool {
        let age_ms = now.millis_since(self.since);
        if age_ms >= 2 * WINDOW_MS {
            self.older.clear();
        }
        if age_ms >= WINDOW_MS {
            self.turn(now);
        } else if self.newer.len() >= GENERATION_IDS_MAX {
            self.pushed_out += self.older.len() as u64;
            self.turn(now);
        }
        !self.older.contains(&id) && self.newer.insert(id)
    }

    /// Ids remembered now.
    pub(super) fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    /// Ids that were forgotten before their time.
    pub(super) const fn pushed_out(&self) -> u64 {
        self.pushed_out
    }

    fn turn(&mut self, now: Timestamp) {
        std::mem::swap(&mut self.newer, &mut self.older);
        self.newer.clear();
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_for_its_window_and_then_forgotten() {
        let mut ids = RecentIds::default();
        let start = Timestamp(1_700_000_000_000);
        assert!(ids.insert(1, start));
        assert!(!ids.insert(1, start));
        assert!(ids.insert(2, start.plus_millis(WINDOW_MS - 1)));
        assert!(!ids.insert(1, start.plus_millis(WINDOW_MS)), "at least the window");
        assert!(!ids.insert(2, start.plus_millis(2 * WINDOW_MS - 2)));
        assert!(ids.insert(2, start.plus_millis(4 * WINDOW_MS)), "not for ever");
        assert!(ids.insert(1, start.plus_millis(4 * WINDOW_MS)));
        assert_eq!((ids.len(), ids.pushed_out()), (2, 0));
    }

    #[test]
    fn memory_is_bounded_and_what_it_costs_is_counted() {
        let mut ids = RecentIds::default();
        let now = Timestamp(1_700_000_000_000);
        for id in 0..=2 * GENERATION_IDS_MAX as u64 {
            assert!(ids.insert(id, now));
        }
        assert_eq!(ids.len(), GENERATION_IDS_MAX + 1);
        assert_eq!(ids.pushed_out(), GENERATION_IDS_MAX as u64);
        assert!(!ids.insert(2 * GENERATION_IDS_MAX as u64, now));
        assert!(ids.insert(0, now));
    }
}
