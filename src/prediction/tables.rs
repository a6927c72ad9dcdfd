//! What is served: tables in chunks that snapshots share, and a record of what changed since.
//!
//! A snapshot is a clone of the chunk pointers. A chunk that changes while a snapshot holds it is
//! copied once (4 kB), so publication costs what was touched and never more than the table.

use std::sync::Arc;

/// A table of `T` in shared chunks of `N`.
#[derive(Clone)]
pub(super) struct Chunked<T, const N: usize> {
    chunks: Vec<Arc<[T; N]>>,
}

impl<T: Copy, const N: usize> Chunked<T, N> {
    /// A table of at least `len` entries, all `value`; its chunks are one until written.
    pub(super) fn filled(len: usize, value: T) -> Self {
        let chunk = Arc::new([value; N]);
        Self { chunks: vec![chunk; len.div_ceil(N)] }
    }

    /// The entry at `index`, or `None` beyond the end.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get(index / N).map(|chunk| &chunk[index % N])
    }

    /// Replaces the entry at `index`, copying its chunk if a snapshot holds it. An index beyond the
    /// end changes nothing.
    pub(super) fn set(&mut self, index: usize, value: T) {
        if let Some(chunk) = self.chunks.get_mut(index / N) {
            Arc::make_mut(chunk)[index % N] = value;
        }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.chunks.len() * N
    }

    /// How many chunks this table does not share with `other`.
    #[cfg(test)]
    pub(super) fn chunks_unshared_with(&self, other: &Self) -> usize {
        let pairs = self.chunks.iter().zip(&other.chunks);
        pairs.filter(|(mine, theirs)| !Arc::ptr_eq(mine, theirs)).count()
    }
}

/// One bit per table entry: changed since the last publication?
pub(super) struct Touched {
    words: Vec<u64>,
}

impl Touched {
    /// No entry of `len` changed.
    pub(super) fn none(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)] }
    }

    /// Every entry of `len` changed (`len` a multiple of 64, as all tables are).
    pub(super) fn all(len: usize) -> Self {
        Self { words: vec![u64::MAX; len / 64] }
    }

    /// Entry `index` changed.
    #[inline]
    pub(super) fn mark(&mut self, index: usize) {
        self.words[index / 64] |= 1 << (index % 64);
    }

    /// Whether entry `index` changed.
    #[inline]
    pub(super) fn is_marked(&self, index: usize) -> bool {
        self.words[index / 64] >> (index % 64) & 1 == 1
    }

    /// All changed entries, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.words.iter().enumerate();
        words.flat_map(|(position, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(position * 64 + bit)
            })
        })
    }

    /// Forgets all changes.
    pub(super) fn clear(&mut self) {
        self.words.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_keeps_its_values_and_shares_what_did_not_change() {
        let mut table = Chunked::<u32, 4>::filled(16, 0);
        table.set(1, 10);
        let snapshot = table.clone();
        table.set(1, 11);
        table.set(2, 12);
        table.set(15, 13);
        assert_eq!(snapshot.get(1), Some(&10));
        assert_eq!(table.get(1), Some(&11));
        assert_eq!(table.chunks_unshared_with(&snapshot), 2);
        table.set(99, 1);
        assert_eq!(table.get(99), None);
        assert_eq!(table.len(), 16);
    }

    #[test]
    fn marks_are_listed_in_order_and_cleared() {
        let mut touched = Touched::none(256);
        for index in [200, 0, 63, 64] {
            touched.mark(index);
        }
        assert_eq!(touched.iter().collect::<Vec<_>>(), [0, 63, 64, 200]);
        assert!(touched.is_marked(64) && !touched.is_marked(65));
        touched.clear();
        assert_eq!(touched.iter().count(), 0);
        assert_eq!(Touched::all(128).iter().count(), 128);
    }
}
