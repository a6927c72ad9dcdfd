//! Snapshots, freed by whoever publishes them.
//!
//! The last reader of a shared snapshot frees it, and that would be the core whose bid finds a newer
//! one: a model is some ten thousand shared pieces to count down, a catalog all of its campaigns. So
//! the publisher keeps a hold on what it replaced until nobody else has one.

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;

/// Where one writer publishes snapshots.
#[derive(Debug)]
pub struct Current<T> {
    newest: Arc<ArcSwap<T>>,
    /// What was replaced and may still be read: as many as there are readers that lag, at most. Locked
    /// by the writer alone.
    retired: Mutex<Vec<Arc<T>>>,
}

impl<T> Current<T> {
    /// Begins with `first`.
    #[must_use]
    pub fn new(first: Arc<T>) -> Self {
        Self { newest: Arc::new(ArcSwap::new(first)), retired: Mutex::default() }
    }

    /// Where readers look.
    #[must_use]
    pub fn readers(&self) -> Arc<ArcSwap<T>> {
        Arc::clone(&self.newest)
    }

    /// The newest.
    #[must_use]
    pub fn newest(&self) -> Arc<T> {
        self.newest.load_full()
    }

    /// Puts `next` in the place of the newest.
    pub fn publish(&self, next: Arc<T>) {
        let before = self.newest.swap(next);
        self.retired.lock().push(before);
        self.free();
    }

    /// Whether something waits to be freed.
    #[must_use]
    pub fn has_retired(&self) -> bool {
        !self.retired.lock().is_empty()
    }

    /// Frees what nobody reads any more. A publication does so; where those are rare, a tick.
    pub fn free(&self) {
        let mut retired = self.retired.lock();
        // Nobody finds a retired one any more: one that is held here alone stays so.
        let over: Vec<_> = retired.extract_if(.., |one| Arc::strong_count(one) == 1).collect();
        drop(retired);
        drop(over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Weak;

    #[test]
    fn a_reader_that_lets_go_last_frees_nothing() {
        let current = Current::new(Arc::new(1));
        let reader = current.readers().load_full();
        let first: Weak<i32> = Arc::downgrade(&reader);
        current.publish(Arc::new(2));
        assert_eq!(**current.readers().load(), 2);
        drop(reader);
        assert!(first.upgrade().is_some(), "left to the publisher");
        current.free();
        assert!(first.upgrade().is_none());
    }

    #[test]
    fn what_is_read_stays_and_what_nobody_reads_goes_with_the_next() {
        let current = Current::new(Arc::new(1));
        let first = current.readers().load_full();
        let kept: Vec<Weak<i32>> = (2..10)
            .map(|number| {
                let next = Arc::new(number);
                let weak = Arc::downgrade(&next);
                current.publish(next);
                weak
            })
            .collect();
        let alive = kept.iter().filter(|one| one.upgrade().is_some()).count();
        assert_eq!((alive, *first), (1, 1));
    }
}
