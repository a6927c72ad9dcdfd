//! Which features may learn: those that were seen often enough (the inclusion of McMahan et al.,
//! KDD 2013, §3.1.2, by counts as in Monolith, arXiv 2209.07663).
//!
//! The count is a count-min sketch of two rows with conservative update: it never counts too few,
//! and too many only where another feature falls on both of its counters. When as many were
//! counted as there are counters, all are halved, so that the sketch forgets and does not fill up.

use crate::hash;
use serde::{Deserialize, Serialize};

/// Log2 of the most counters a row: 2 MB for both rows.
const BITS_MAX: u8 = 20;

/// Counts sightings of features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Admission {
    /// How often a feature must be seen before it learns.
    threshold: u8,
    seed: u64,
    counters: [Vec<u8>; 2],
    /// Sightings since the counters were halved.
    counted: u64,
}

impl Admission {
    /// A sketch that has seen nothing; `None` where the first sighting is enough.
    pub(super) fn new(threshold: u8, bits: u8, seed: u64) -> Option<Self> {
        let row = || vec![0; 1 << bits.min(BITS_MAX)];
        let fresh = || Self { threshold, seed, counters: [row(), row()], counted: 0 };
        (threshold > 1).then(fresh)
    }

    /// Counts a sighting of `id`.
    #[inline]
    pub(super) fn count(&mut self, id: u32) {
        if self.counted >= self.counters[0].len() as u64 {
            self.counters.iter_mut().flatten().for_each(|counter| *counter /= 2);
            self.counted = 0;
        }
        self.counted += 1;
        let next = self.seen(id).saturating_add(1);
        let places = self.places(id);
        for (row, place) in self.counters.iter_mut().zip(places) {
            row[place] = row[place].max(next);
        }
    }

    /// Whether `id` may learn.
    #[inline]
    pub(super) fn admits(&self, id: u32) -> bool {
        self.seen(id) >= self.threshold
    }

    /// Whether this is a sketch of the shape of `other`.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let lengths = |sketch: &Self| sketch.counters.each_ref().map(Vec::len);
        (self.threshold, self.seed, lengths(self)) == (other.threshold, other.seed, lengths(other))
    }

    fn seen(&self, id: u32) -> u8 {
        let places = self.places(id);
        self.counters[0][places[0]].min(self.counters[1][places[1]])
    }

    fn places(&self, id: u32) -> [usize; 2] {
        let mask = self.counters[0].len() as u64 - 1;
        let hash = hash::combine(self.seed, id.into());
        [(hash & mask) as usize, (hash >> 32 & mask) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Admission {
        fn admit(&mut self, id: u32) -> bool {
            self.count(id);
            self.admits(id)
        }
    }

    #[test]
    fn the_first_sighting_is_enough_unless_more_are_asked_for() {
        assert_eq!(Admission::new(0, 10, 1), None);
        assert_eq!(Admission::new(1, 10, 1), None);
        let mut admission = Admission::new(3, 10, 1).expect("a filter");
        assert_eq!([(); 4].map(|()| admission.admit(7)), [false, false, true, true]);
        assert!(!admission.admit(8), "another feature has a count of its own");
    }

    #[test]
    fn it_never_counts_too_few_and_seldom_too_many() {
        let mut admission = Admission::new(2, 14, 5).expect("a filter");
        let early = (0..4_000).filter(|&id| admission.admit(id)).count();
        assert!(early < 400, "{early} of 4,000 fell on counters of others");
        assert!((0..4_000).all(|id| admission.admit(id)));
    }

    #[test]
    fn what_is_seen_seldom_is_forgotten_and_what_is_seen_often_stays() {
        let mut admission = Admission::new(2, 10, 5).expect("a filter");
        assert_eq!((0..40).filter(|_| admission.admit(1)).count(), 39);
        assert!(!admission.admit(2));
        // Enough sightings of others to halve twice.
        assert_eq!((0..2_048).filter(|_| admission.admit(3)).count(), 2_047);
        assert!(admission.admit(1));
        assert!(!admission.admit(2));
    }
}
