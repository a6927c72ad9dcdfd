//! What is served: tables in chunks that snapshots share, and a record of what changed since.
//!
//! A snapshot is a clone of the chunk pointers. A chunk that changes while a snapshot holds it is
//! copied once (4 kB), so publication costs what was touched and never more than the table.

use crate::prefetch::prefetch_item;
use std::sync::Arc;

/// A table of `T` in shared chunks of `N`.
#[derive(Clone)]
pub(super) struct Chunked<T, const N: usize> {
    chunks: Vec<Arc<Chunk<T, N>>>,
}

/// It begins with a cache line, so that an entry whose size divides one lies in one: behind the
/// counters of an `Arc` half of all vectors of 8 components would lie in two.
#[derive(Clone)]
#[repr(align(64))]
struct Chunk<T, const N: usize>([T; N]);

const _: () = assert!(align_of::<Chunk<f32, 1>>() == 64);

impl<T: Copy, const N: usize> Chunked<T, N> {
    /// A table of at least `len` entries, all `value`; its chunks are one until written.
    pub(super) fn filled(len: usize, value: T) -> Self {
        let chunk = Arc::new(Chunk([value; N]));
        Self { chunks: vec![chunk; len.div_ceil(N)] }
    }

    /// The entry at `index`, or `None` beyond the end.
    #[inline(always)]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        match self.chunks.get(index / N) {
            Some(chunk) => Some(&chunk.0[index % N]),
            None => None,
        }
    }

    /// Asks for the entry at `index`.
    #[inline(always)]
    pub(super) fn prefetch(&self, index: usize) {
        if let Some(entry) = self.get(index) {
            prefetch_item(entry);
        }
    }

    /// Replaces the entry at `index`, copying its chunk if a snapshot holds it. An index beyond the
    /// end changes nothing.
    pub(super) fn set(&mut self, index: usize, value: T) {
        if let Some(chunk) = self.chunks.get_mut(index / N) {
            Arc::make_mut(chunk).0[index % N] = value;
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

/// One bit for each of a number of entries.
#[derive(Default)]
pub(super) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// None of `len`.
    pub(super) fn none(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)] }
    }

    /// Sets the bit at `index`; whether it was not set before.
    #[inline]
    pub(super) fn insert(&mut self, index: usize) -> bool {
        let (word, bit) = (&mut self.words[index / 64], 1 << (index % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Clears the bit at `index`; whether it was set before.
    #[inline]
    pub(super) fn remove(&mut self, index: usize) -> bool {
        let (word, bit) = (&mut self.words[index / 64], 1 << (index % 64));
        let was_set = *word & bit != 0;
        *word &= !bit;
        was_set
    }

    /// Whether the bit at `index` is set.
    #[cfg(test)]
    pub(super) fn contains(&self, index: usize) -> bool {
        self.words[index / 64] >> (index % 64) & 1 == 1
    }

    /// The first set bit at `index` or after it.
    pub(super) fn next_from(&self, index: usize) -> Option<usize> {
        let first = self.words.get(index / 64)? & u64::MAX << (index % 64);
        let rest = self.words.iter().enumerate().skip(index / 64 + 1);
        let mut words =
            std::iter::once((index / 64, first)).chain(rest.map(|(at, word)| (at, *word)));
        words
            .find(|(_, word)| *word != 0)
            .map(|(at, word)| at * 64 + word.trailing_zeros() as usize)
    }
}

/// Which table entries changed since the last publication: listing and forgetting them costs what
/// changed, not what there is.
pub(super) struct Touched {
    bits: Bits,
    list: Vec<u32>,
}

impl Touched {
    /// No entry of `len` changed.
    pub(super) fn none(len: usize) -> Self {
        Self { bits: Bits::none(len), list: Vec::new() }
    }

    /// Every entry of `len` changed.
    pub(super) fn all(len: usize) -> Self {
        let mut touched = Self::none(len);
        (0..len).for_each(|index| touched.mark(index));
        touched
    }

    /// Entry `index` changed.
    #[inline]
    pub(super) fn mark(&mut self, index: usize) {
        if self.bits.insert(index) {
            self.list.push(index as u32);
        }
    }

    /// All changed entries, in the order of their first change.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.list.iter().map(|index| *index as usize)
    }

    /// Whether entry `index` changed.
    #[cfg(test)]
    pub(super) fn is_marked(&self, index: usize) -> bool {
        self.bits.contains(index)
    }

    /// How many entries changed.
    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }

    /// Forgets all changes.
    pub(super) fn clear(&mut self) {
        let Self { bits, list } = self;
        for index in list.drain(..) {
            bits.remove(index as usize);
        }
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
    fn marks_are_listed_once_and_cleared() {
        let mut touched = Touched::none(256);
        for index in [200, 0, 63, 200, 64] {
            touched.mark(index);
        }
        assert_eq!(touched.iter().collect::<Vec<_>>(), [200, 0, 63, 64]);
        touched.clear();
        assert_eq!(touched.iter().count(), 0);
        touched.mark(200);
        assert_eq!(touched.iter().collect::<Vec<_>>(), [200]);
        assert_eq!(Touched::all(128).iter().count(), 128);
    }

    #[test]
    fn the_next_set_bit_is_found_across_words() {
        let mut bits = Bits::none(300);
        for index in [0, 63, 64, 299] {
            assert!(bits.insert(index) && !bits.insert(index) && bits.contains(index));
        }
        for (from, next) in [(0, 0), (1, 63), (64, 64), (65, 299), (299, 299)] {
            assert_eq!(bits.next_from(from), Some(next), "from {from}");
        }
        assert!(bits.remove(299) && !bits.remove(299));
        assert_eq!((bits.next_from(65), bits.next_from(10_000)), (None, None));
    }
}
