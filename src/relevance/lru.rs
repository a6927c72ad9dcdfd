//! A map of bounded size that forgets what was used least recently: a slab, an index over it, and a
//! list through it from the newest to the oldest.

use std::collections::HashMap;
use std::hash::Hash;

/// In place of a neighbour in the list.
const NOBODY: u32 = u32::MAX;

struct Node<K, V> {
    key: K,
    value: V,
    newer: u32,
    older: u32,
}

/// At most `max` entries; each use makes an entry the newest.
pub(super) struct Lru<K, V> {
    // Keys are hashes of what advertisers name, so the standard keyed hash: nobody can aim at it.
    places: HashMap<K, u32>,
    nodes: Vec<Node<K, V>>,
    newest: u32,
    oldest: u32,
    max: usize,
}

impl<K: Copy + Eq + Hash, V> Lru<K, V> {
    /// An empty map of at most `max` entries, and at least one.
    pub(super) fn new(max: usize) -> Self {
        let max = max.clamp(1, NOBODY as usize);
        Self { places: HashMap::new(), nodes: Vec::new(), newest: NOBODY, oldest: NOBODY, max }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The entry, which is not used by that.
    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.nodes.get(*self.places.get(&key)? as usize).map(|node| &node.value)
    }

    /// The entry, made where there is none, and what gave way to it.
    pub(super) fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> (&mut V, Option<(K, V)>) {
        let mut forgotten = None;
        let place = match self.places.get(&key) {
            Some(&place) => {
                self.unlink(place);
                place
            }
            None => {
                let node = Node { key, value: make(), newer: NOBODY, older: NOBODY };
                let place = if self.nodes.len() < self.max {
                    self.nodes.push(node);
                    self.nodes.len() as u32 - 1
                } else {
                    let place = self.oldest;
                    self.unlink(place);
                    let old = std::mem::replace(&mut self.nodes[place as usize], node);
                    self.places.remove(&old.key);
                    forgotten = Some((old.key, old.value));
                    place
                };
                self.places.insert(key, place);
                place
            }
        };
        self.link(place);
        (&mut self.nodes[place as usize].value, forgotten)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.max);
    }

    /// All values, in an order that says nothing.
    #[cfg(test)]
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.nodes.iter().map(|node| &node.value)
    }

    fn unlink(&mut self, place: u32) {
        let Node { newer, older, .. } = self.nodes[place as usize];
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link(&mut self, place: u32) {
        let older = self.newest;
        let node = &mut self.nodes[place as usize];
        (node.newer, node.older) = (NOBODY, older);
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a list that is searched from end to end.
        #[test]
        fn the_least_recently_used_gives_way(
            uses in proptest::collection::vec(0_u8..12, 1..200), max in 1_usize..8,
        ) {
            let mut lru = Lru::new(max);
            let mut model: Vec<u8> = Vec::new();
            for key in uses {
                let known = model.iter().position(|one| *one == key);
                let gone = match known {
                    Some(place) => { model.remove(place); None }
                    None if model.len() == max => Some(model.remove(0)),
                    None => None,
                };
                model.push(key);
                let (value, forgotten) = lru.entry(key, || key);
                prop_assert_eq!((*value, forgotten), (key, gone.map(|key| (key, key))));
                prop_assert_eq!(lru.len(), model.len());
                prop_assert!(model.iter().all(|key| lru.get(*key) == Some(key)));
                prop_assert_eq!(lru.places.len(), lru.nodes.len());
            }
        }
    }
}
