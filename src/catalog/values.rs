//! What campaigns say of the values of one dimension: an open table by key, half a cache line a place.
//!
//! A request has some forty values, and most of what they lead to lies in no cache of the core. So it
//! asks for the lines of all of them before it reads the first, which a map of the standard library
//! has no way to do.

use super::postings::Posting;
use crate::prefetch::prefetch;
use rustc_hash::FxHashMap;

/// Places for each key, twice as many at most: a search ends at a free place, so with half of them free
/// nearly each ends in the line that it begins in.
const PLACES_PER_KEY: usize = 2;

/// What campaigns say of one value: those that want it, and those that want none of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Value {
    pub include: Option<Posting>,
    pub exclude: Option<Posting>,
}

impl Value {
    const fn is_nothing(&self) -> bool {
        self.include.is_none() && self.exclude.is_none()
    }
}

/// Free where nothing is said.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct Place {
    key: u64,
    value: Value,
}

const _: () = assert!(size_of::<Place>() == 32);

/// By key: one look-up a value of the request says all of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    /// A power of two, or none.
    places: Box<[Place]>,
}

impl Values {
    pub(super) fn new(values: &FxHashMap<u64, Value>) -> Self {
        let places = match values.len() {
            0 => 0,
            some => (some * PLACES_PER_KEY).next_power_of_two(),
        };
        let mut table = Self { places: vec![Place::default(); places].into_boxed_slice() };
        for (key, value) in values {
            let mut at = table.home(*key);
            while !table.places[at].value.is_nothing() {
                at = table.after(at);
            }
            table.places[at] = Place { key: *key, value: *value };
        }
        table
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Asks for what [`Values::get`] will read.
    #[inline]
    pub(super) fn prefetch(&self, key: u64) {
        prefetch(&self.places, self.home(key));
    }

    /// What campaigns say of the value with this key.
    #[inline]
    pub(super) fn get(&self, key: u64) -> Value {
        let mut at = self.home(key);
        // Half of the places is free, so this ends.
        while let Some(place) = self.places.get(at) {
            if place.key == key || place.value.is_nothing() {
                return place.value;
            }
            at = self.after(at);
        }
        Value::default()
    }

    /// Where the search for a key begins. Not all keys are hashes: formats and devices are small numbers.
    const fn home(&self, key: u64) -> usize {
        let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize & self.places.len().wrapping_sub(1)
    }

    const fn after(&self, at: usize) -> usize {
        (at + 1) & self.places.len().wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::postings::List;
    use crate::hash;

    /// Small numbers and hashes, 0 among them, whose places are free ones' in all but the value.
    #[test]
    fn every_key_is_found_and_no_other() {
        for count in [0, 1, 2, 3, 64, 5_000] {
            for key_of in [|number| number, hash::mix] {
                let posting = |number: u64| Posting::Sparse(List { start: number as u32, end: 0 });
                let value = |number: u64| match number % 3 {
                    0 => Value { include: Some(posting(number)), exclude: None },
                    1 => Value { include: None, exclude: Some(posting(number)) },
                    _ => Value { include: Some(posting(number)), exclude: Some(posting(0)) },
                };
                let known = (0..count).map(|number| (key_of(number), value(number)));
                let table = Values::new(&known.collect());
                assert_eq!(table.is_empty(), count == 0);
                for number in 0..2 * count + 2 {
                    let expected = if number < count { value(number) } else { Value::default() };
                    let found = table.get(key_of(number));
                    assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{number}");
                }
            }
        }
    }
}
