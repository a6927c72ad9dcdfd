//! Where the sessions of a stripe lie: an open table of places, sixteen to a cache line.
//!
//! A slot is four bytes: the place and twelve bits of the user's hash. So a look-up takes one line of
//! this table and then the session itself, where a map with keys takes two lines of its own before it.
//! Who is meant is asked of the session, which is read next in any case; the bits make that wrong once
//! in four thousand slots.

use super::slab::Slab;
use crate::hash;
use crate::prefetch::prefetch;
use crate::units::UserKey;

/// Sessions that a table can tell apart: 230 GB of them in 1,024 stripes, more than a configuration may
/// ask for.
pub(super) const PLACES_MAX: usize = (1 << PLACE_BITS) - 1;

const PLACE_BITS: u32 = 20;

/// Slots of the smallest table: a cache line.
const SLOTS_MIN: usize = 16;

/// The places of users, by linear probing; at most three quarters full.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// A power of two, or none. 0 is free; else the hash's bits above one more than the place.
    slots: Box<[u32]>,
    len: usize,
}

// The lowest bits of a key chose the stripe, and tests count their users, so a key is mixed first.
const fn hash(user: UserKey) -> u64 {
    hash::mix(user.0)
}

const fn slot(hash: u64, place: u32) -> u32 {
    (hash as u32) << PLACE_BITS | (place + 1)
}

const fn place(slot: u32) -> u32 {
    (slot & PLACES_MAX as u32) - 1
}

impl Places {
    /// Where the search for a hash begins.
    const fn home(&self, hash: u64) -> usize {
        (hash >> 32) as usize & self.slots.len().wrapping_sub(1)
    }

    /// Asks for the line in which `user` is looked for.
    pub(super) fn prefetch(&self, user: UserKey) {
        prefetch(&self.slots, self.home(hash(user)));
    }

    /// The place of `user` in `sessions`.
    pub(super) fn get(&self, user: UserKey, sessions: &Slab) -> Option<u32> {
        let at = self.find(user, |place| sessions.user_at(place) == Some(user))?;
        Some(place(self.slots[at]))
    }

    /// The place where `user` most likely is, without a look at his session.
    pub(super) fn guess(&self, user: UserKey) -> Option<u32> {
        Some(place(self.slots[self.find(user, |_| true)?]))
    }

    /// The slot of `user`, at the place that `is_his` picks.
    fn find(&self, user: UserKey, is_his: impl Fn(u32) -> bool) -> Option<usize> {
        let hash = hash(user);
        let bits = (hash as u32) << PLACE_BITS;
        let mut at = self.home(hash);
        // A quarter of the slots is free, so this ends.
        loop {
            let found = *self.slots.get(at)?;
            if found == 0 {
                return None;
            }
            if found & !(PLACES_MAX as u32) == bits && is_his(place(found)) {
                return Some(at);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Notes the place of a user who has none yet.
    pub(super) fn insert(&mut self, user: UserKey, place: u32, sessions: &Slab) {
        if 4 * (self.len + 1) > 3 * self.slots.len() {
            self.grow(sessions);
        }
        self.put(user, place);
        self.len += 1;
    }

    fn put(&mut self, user: UserKey, place: u32) {
        let hash = hash(user);
        let mut at = self.home(hash);
        while self.slots[at] != 0 {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = slot(hash, place);
    }

    /// Doubles the table. It reads each session for its user, which a stripe pays for ten times on its
    /// way to a thousand; they are asked for side by side.
    fn grow(&mut self, sessions: &Slab) {
        let slots = vec![0; (2 * self.slots.len()).max(SLOTS_MIN)].into_boxed_slice();
        let known = std::mem::replace(&mut self.slots, slots);
        for place in known.iter().filter(|slot| **slot != 0).map(|slot| place(*slot)) {
            if let Some(user) = sessions.user_at(place) {
                self.put(user, place);
            }
        }
    }

    /// Lets `user` be at another place than `from`.
    pub(super) fn move_to(&mut self, user: UserKey, from: u32, to: u32) {
        if let Some(at) = self.find(user, |place| place == from) {
            self.slots[at] = slot(hash(user), to);
        }
    }

    /// Forgets `user`, who is still at this place of `sessions`, and closes the gap: what lies behind it
    /// may have been pushed over it.
    pub(super) fn remove(&mut self, user: UserKey, from: u32, sessions: &Slab) {
        let Some(mut gap) = self.find(user, |place| place == from) else { return };
        let mask = self.slots.len() - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            let Some(user) = sessions.user_at(place(slot)) else { continue };
            // How far it is from its home, over the end of the table.
            let pushed = at.wrapping_sub(self.home(hash(user))) & mask;
            if pushed >= at.wrapping_sub(gap) & mask {
                self.slots[gap] = slot;
                gap = at;
            }
        }
        self.slots[gap] = 0;
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::user::UserSession;
    use crate::units::Timestamp;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Few users, so that searches run into each other and over the end of the table.
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0_u8..4, 0_u64..60), 1..300)) {
            let (mut places, mut sessions) = (Places::default(), Slab::default());
            let mut plain = BTreeMap::<UserKey, u32>::new();
            for (kind, number) in steps {
                let (user, next) = (UserKey(number), sessions.len() as u32);
                match plain.get(&user).copied() {
                    None => {
                        sessions.push(UserSession::new(user, Timestamp(0), 0));
                        places.insert(user, next, &sessions);
                        plain.insert(user, next);
                    }
                    Some(place) if kind == 0 => {
                        places.remove(user, place, &sessions);
                        plain.remove(&user);
                    }
                    Some(place) if kind == 1 => {
                        sessions.push(UserSession::new(user, Timestamp(0), 0));
                        places.move_to(user, place, next);
                        plain.insert(user, next);
                    }
                    Some(_) => {}
                }
                for user in (0..60).map(UserKey) {
                    prop_assert_eq!(places.get(user, &sessions), plain.get(&user).copied());
                }
                prop_assert_eq!(places.len, plain.len());
            }
        }
    }

    #[test]
    fn every_place_has_a_slot_of_its_own() {
        for at in [0, 1, PLACES_MAX as u32 - 1] {
            for hash in [0, u64::MAX] {
                assert_eq!(place(slot(hash, at)), at);
                assert_ne!(slot(hash, at), 0);
            }
        }
    }
}
