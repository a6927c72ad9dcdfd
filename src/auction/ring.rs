//! The features of recent bids, waiting for their impressions: bounded, overwritten by age, and a
//! miss is counted, never guessed.

use crate::hash::mix;
use crate::prefetch::prefetch;
use crate::units::HoldId;

/// Bids remembered by one core: at 1,000 bids a second whose impressions come within a minute, none
/// is overwritten. A power of two, since the place is a masked hash.
pub const RING_MAX: usize = 1 << 16;

/// A direct-mapped table of `T` by hold: one write a bid, no search, no allocation.
#[derive(Debug)]
pub struct Ring<T> {
    places: Box<[Option<(HoldId, T)>]>,
    /// Bids whose place was taken by a later one before they were asked for.
    pub overwritten: u64,
    /// Impressions whose bid was not there.
    pub missed: u64,
}

impl<T> Ring<T> {
    /// An empty ring.
    #[must_use]
    pub fn new() -> Self {
        let places = std::iter::repeat_with(|| None).take(RING_MAX).collect();
        Self { places, overwritten: 0, missed: 0 }
    }

    fn place(hold: HoldId) -> usize {
        // Lease and sequence together: one campaign's leases are short, and runs that each begin
        // at a place of their own would still lie on one another.
        let key = u64::from(hold.lease.number) << 32 | u64::from(hold.sequence);
        mix(key) as usize & (RING_MAX - 1)
    }

    /// Asks for the place of `hold`: of so many, no cache has it.
    pub fn prefetch(&self, hold: HoldId) {
        prefetch(&self.places, Self::place(hold));
    }

    /// Remembers what `hold` was bid on.
    pub fn put(&mut self, hold: HoldId, value: T) {
        self.put_with(hold, |_| value);
    }

    /// Remembers of `hold` what `value` makes, perhaps of what gives way to it.
    pub fn put_with(&mut self, hold: HoldId, value: impl FnOnce(Option<T>) -> T) {
        let place = &mut self.places[Self::place(hold)];
        let old = place.take().map(|(_, old)| old);
        self.overwritten += u64::from(old.is_some());
        *place = Some((hold, value(old)));
    }

    /// Whether `hold` is remembered.
    #[must_use]
    pub fn contains(&self, hold: HoldId) -> bool {
        self.places[Self::place(hold)].as_ref().is_some_and(|(found, _)| *found == hold)
    }

    /// What `hold` was bid on, where it is remembered.
    pub fn get_mut(&mut self, hold: HoldId) -> Option<&mut T> {
        let place = self.places[Self::place(hold)].as_mut();
        place.filter(|(found, _)| *found == hold).map(|(_, value)| value)
    }

    /// Takes what `hold` was bid on.
    pub fn take(&mut self, hold: HoldId) -> Option<T> {
        let place = &mut self.places[Self::place(hold)];
        match place.take() {
            Some((found, value)) if found == hold => Some(value),
            other => {
                *place = other;
                self.missed += 1;
                None
            }
        }
    }
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::LeaseId;

    fn hold(number: u32, sequence: u32) -> HoldId {
        HoldId { lease: LeaseId { node: 1, core: 0, boot: 1, number }, sequence }
    }

    #[test]
    fn what_was_put_is_taken_once() {
        let mut ring = Ring::new();
        ring.put(hold(1, 1), "a");
        ring.put(hold(2, 1), "b");
        assert_eq!(ring.take(hold(1, 1)), Some("a"));
        assert_eq!(ring.take(hold(1, 1)), None);
        assert_eq!(ring.take(hold(2, 1)), Some("b"));
        assert_eq!((ring.missed, ring.overwritten), (1, 0));
    }

    #[test]
    fn an_older_bid_gives_way_and_is_counted() {
        let mut ring = Ring::new();
        let place = Ring::<&str>::place(hold(1, 5));
        let rival = (6..).map(|sequence| hold(1, sequence));
        let rival = rival.into_iter().find(|rival| Ring::<&str>::place(*rival) == place);
        let rival = rival.expect("places are few");
        ring.put(hold(1, 5), "old");
        ring.put(rival, "new");
        assert_eq!(ring.take(hold(1, 5)), None);
        assert_eq!(ring.take(rival), Some("new"));
        assert_eq!((ring.missed, ring.overwritten), (1, 1));
        ring.put(rival, "new");
        ring.put_with(hold(1, 5), |old| if old == Some("new") { "newest" } else { "of nothing" });
        assert_eq!(ring.take(rival), None);
        assert_eq!(ring.take(hold(1, 5)), Some("newest"));
        assert_eq!((ring.missed, ring.overwritten), (2, 2));
    }

    #[test]
    fn short_leases_spread() {
        let mut ring = Ring::new();
        for number in 0..512 {
            for sequence in 0..16 {
                ring.put(hold(number, sequence), ());
            }
        }
        // 8,192 in 65,536 places at random: 6 % meet.
        assert!(ring.overwritten < 700, "{}", ring.overwritten);
    }
}
