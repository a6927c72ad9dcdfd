//! Short lists of ads by key, shared between snapshots: a snapshot is a copy of pointers, and a list
//! that changes copies the few lists of its bucket.

use super::content::Like;
use crate::prefetch::prefetch;
use std::sync::Arc;

/// A bucket has a dozen lists at 50,000 of them.
const BUCKETS: usize = 4_096;

#[derive(Clone)]
struct Entry {
    key: u64,
    /// The list counts before this second.
    until_s: u32,
    likes: Arc<[Like]>,
}

/// Lists by key. Keys are spread by their lowest bits.
#[derive(Clone)]
pub(super) struct Lists {
    /// Each in one piece: a bid that looks something up waits for one place of memory after the other.
    buckets: Vec<Arc<[Entry]>>,
}

impl Lists {
    pub(super) fn new() -> Self {
        Self { buckets: vec![Arc::default(); BUCKETS] }
    }

    /// The list of `key`; empty where there is none, or none any more.
    #[inline]
    pub(super) fn get(&self, key: u64, now_s: u32) -> &[Like] {
        let entries = &*self.buckets[key as usize % BUCKETS];
        let found = entries.iter().find(|entry| entry.key == key && now_s < entry.until_s);
        found.map_or(&[], |entry| &entry.likes)
    }

    /// Puts a list in place of the one before; an empty one takes it away.
    pub(super) fn set(&mut self, key: u64, likes: &[Like], until_s: u32) {
        let bucket = &mut self.buckets[key as usize % BUCKETS];
        let place = bucket.iter().position(|entry| entry.key == key);
        match place {
            None if likes.is_empty() => {}
            Some(place) if !likes.is_empty() => {
                Arc::make_mut(bucket)[place] = Entry { key, until_s, likes: likes.into() };
            }
            _ => {
                let mut entries = bucket.to_vec();
                match place {
                    Some(place) => _ = entries.swap_remove(place),
                    None => entries.push(Entry { key, until_s, likes: likes.into() }),
                }
                *bucket = entries.into();
            }
        }
    }

    /// Asks for where the search for the list of `key` begins.
    pub(super) fn prefetch(&self, key: u64) {
        prefetch(&self.buckets[key as usize % BUCKETS], 0);
    }

    /// All keys, bucket by bucket.
    pub(super) fn keys(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().flat_map(|bucket| bucket.iter().map(|entry| entry.key))
    }

    /// How many lists there are.
    pub(super) fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Slot;

    fn like(index: u32) -> Like {
        Like { ad: Slot { index, generation: 0 }, score: 0.5 }
    }

    #[test]
    fn a_snapshot_keeps_what_it_had() {
        let mut lists = Lists::new();
        let neighbour = 7 + BUCKETS as u64;
        lists.set(7, &[like(1)], 100);
        lists.set(neighbour, &[like(2)], u32::MAX);
        let before = lists.clone();
        lists.set(7, &[like(3), like(4)], 200);
        assert_eq!(before.get(7, 99), [like(1)]);
        assert!(before.get(7, 100).is_empty(), "over");
        assert_eq!(lists.get(7, 100), [like(3), like(4)]);
        lists.set(7, &[], 200);
        lists.set(9, &[], 200);
        assert!(lists.get(7, 0).is_empty());
        assert_eq!(lists.get(neighbour, 0), [like(2)]);
        assert_eq!((lists.len(), before.len()), (1, 2));
    }
}
