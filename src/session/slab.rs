//! A dense vector in chunks: growing copies nothing, neither under the lock nor in the allocator,
//! where the freed halves of a doubling vector were measured to cost 50 bytes a session.

use super::user::UserSession;
use crate::units::UserKey;

/// Sessions in a chunk: 6 kB. The slack is half a chunk a stripe, 3 bytes a session at a million.
const CHUNK: usize = 32;

/// Sessions at places `0..len()`.
#[derive(Debug, Default)]
pub(super) struct Slab {
    /// Each full, but for the last that is not empty.
    chunks: Vec<Vec<UserSession>>,
    len: usize,
}

impl Slab {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, place: usize) -> Option<&UserSession> {
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    /// Whose the session at `place` is.
    pub(super) fn user_at(&self, place: u32) -> Option<UserKey> {
        self.get(place as usize).map(|session| session.user)
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut UserSession> {
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    pub(super) fn push(&mut self, session: UserSession) {
        match self.chunks.get_mut(self.len / CHUNK) {
            Some(chunk) => chunk.push(session),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(session);
                self.chunks.push(chunk);
            }
        }
        self.len += 1;
    }

    /// Takes out the session at `place`; the last one moves there. A chunk is given back when the
    /// one before it is the last in use, so that a stripe at a chunk's edge does not toggle.
    pub(super) fn swap_remove(&mut self, place: usize) -> Option<UserSession> {
        if place >= self.len {
            return None;
        }
        self.len -= 1;
        let last = self.chunks.get_mut(self.len / CHUNK)?.pop()?;
        self.chunks.truncate(self.len / CHUNK + 2);
        match self.get_mut(place) {
            Some(session) => Some(std::mem::replace(session, last)),
            None => Some(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Timestamp;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_vector(steps in proptest::collection::vec((0_u8..3, 0_usize..120), 1..400)) {
            let mut slab = Slab::default();
            let mut plain: Vec<u64> = Vec::new();
            for (number, (kind, place)) in (0_u64..).zip(steps) {
                if kind < 2 {
                    slab.push(UserSession::new(UserKey(number), Timestamp(0), 0));
                    plain.push(number);
                } else {
                    let removed = slab.swap_remove(place).map(|session| session.user.0);
                    let expected = (place < plain.len()).then(|| plain.swap_remove(place));
                    prop_assert_eq!(removed, expected);
                }
                let kept: Vec<_> =
                    (0..slab.len()).filter_map(|place| slab.get(place)).map(|one| one.user.0).collect();
                prop_assert_eq!(&kept, &plain);
                prop_assert!(slab.chunks.len() <= slab.len() / CHUNK + 2);
            }
        }
    }
}
