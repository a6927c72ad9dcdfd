//! Who asked to be forgotten: keyed hashes of their ids, durable before the answer, and read before any
//! session that an earlier process saved.
//!
//! A saving of sessions has a number. A record says which saving was the last to begin when its user
//! was forgotten, so it holds for that one and all before, wherever a copy of one comes from. It goes
//! when whatever it could concern has expired by itself.

use crate::clock::{Civil, Mono};
use crate::exchange::Bucket;
use crate::store::{ConfigError, ConfigStore};
use crate::units::{Timestamp, UserKey};
use anyhow::Context as _;
use bytes::Bytes;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Users that may be forgotten in a second: each costs a sync a known id. A person's wishes, or a
/// list of them that somebody works off.
const PER_S_MAX: u32 = 20;
/// Ids remembered: a hundred thousand users in the time for which records are kept, with all their
/// ids; 50 MB.
const IDS_MAX: usize = 800_000;

const PREFIX: &str = "user-";
const LAST: &str = "last-saving";

/// Why nobody was forgotten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotForgotten {
    /// Too many in this second.
    #[error("at most {PER_S_MAX} users a second are forgotten: try again")]
    RateLimited,
    /// Too many ids in the time for which they are remembered.
    #[error("{IDS_MAX} ids are remembered as forgotten, and there is room for no more")]
    Full,
    /// The state folder did not take it.
    #[error("{0}")]
    NotKept(#[from] ConfigError),
    /// What he did just before is still on its way to a disk that does not answer, and would be younger
    /// than the wish.
    #[error(
        "what was told of the user last is not on the disk yet: say it again, or he may come back"
    )]
    OnItsWay,
}

#[derive(Clone, Copy)]
struct Wish {
    /// The last saving that may hold the user.
    saving: u64,
    at: Timestamp,
}

/// Users who asked to be forgotten.
pub struct Forgotten {
    store: Arc<dyn ConfigStore>,
    clock: Civil,
    keep_ms: i64,
    // Read once a notice, written at each wish. Keys are keyed hashes: a stranger cannot aim at it.
    users: RwLock<FxHashMap<u64, Wish>>,
    /// The number of the last saving that has begun.
    begun: AtomicU64,
    /// The number of the last that an earlier process has finished.
    last: u64,
    bucket: Option<Bucket>,
    /// Wishes so far, to see that there was one: release on writing, acquire on reading.
    wishes: AtomicU64,
}

impl Forgotten {
    /// What an earlier process has kept in `store`. Records are kept for `keep_ms`.
    ///
    /// # Errors
    /// The store cannot be read or written, or holds what is none of ours.
    pub fn open(store: Arc<dyn ConfigStore>, clock: Civil, keep_ms: i64) -> anyhow::Result<Self> {
        let mut users = FxHashMap::default();
        for entry in store.all(PREFIX)? {
            let user = u64::from_str_radix(&entry.key[PREFIX.len()..], 16);
            let wish = Wish::decode(&entry.value).zip(user.ok());
            let (wish, user) = wish.context("forgotten.db: a record is none of this version")?;
            users.insert(user, wish);
        }
        let last = store.all(LAST)?.first().map_or(Some(0), |entry| number(&entry.value));
        let last = last.context("forgotten.db: the last saving is none of this version")?;
        let begun = users.values().map(|wish| wish.saving).max().unwrap_or(0).max(last);
        let forgotten = Self {
            store,
            clock,
            keep_ms,
            users: RwLock::new(users),
            begun: AtomicU64::new(begun),
            last,
            bucket: Bucket::of(PER_S_MAX, Mono::now()),
            wishes: AtomicU64::new(0),
        };
        forgotten.expire()?;
        Ok(forgotten)
    }

    /// The last saving that an earlier process has finished.
    pub const fn last_saving(&self) -> u64 {
        self.last
    }

    /// Begins a saving: its number. Whoever is forgotten from here on may be in it.
    pub fn begin_saving(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// A start has found this saving. A process that ended before it said so may have finished it after
    /// the last: wishes hold for it too, and its number is not given again.
    pub fn found_saving(&self, saving: u64) {
        self.begun.fetch_max(saving, Ordering::AcqRel);
    }

    /// A saving is in its place.
    ///
    /// # Errors
    /// The state folder did not take it: an older copy may pass for the last.
    pub fn end_saving(&self, saving: u64) -> Result<(), ConfigError> {
        self.store.put(LAST, Bytes::copy_from_slice(&saving.to_le_bytes())).map(|_| ())
    }

    /// Whether this saving may hold what `user` wants to be forgotten.
    pub fn concerns(&self, user: UserKey, saving: u64) -> bool {
        self.users.read().get(&user.0).is_some_and(|wish| saving <= wish.saving)
    }

    /// Whether `user` has asked to be forgotten after `at`.
    pub fn is_forgotten_since(&self, user: UserKey, at: Timestamp) -> bool {
        self.users.read().get(&user.0).is_some_and(|wish| at <= wish.at)
    }

    /// Wishes so far. While it stays as it is, nobody was forgotten.
    pub fn wishes(&self) -> u64 {
        self.wishes.load(Ordering::Acquire)
    }

    /// Ids that are remembered.
    pub fn len(&self) -> usize {
        self.users.read().len()
    }

    /// Whether there is room for one more user in this second.
    ///
    /// # Errors
    /// [`NotForgotten::RateLimited`].
    pub fn admit(&self) -> Result<(), NotForgotten> {
        match &self.bucket {
            Some(bucket) if !bucket.admits(Mono::now()) => Err(NotForgotten::RateLimited),
            _ => Ok(()),
        }
    }

    /// Remembers durably that the ids of a user are forgotten as of now. Blocks; call it again when
    /// the user is gone from memory, in case that a saving has begun meanwhile. Returns whether it
    /// need not be called again.
    ///
    /// # Errors
    /// [`NotForgotten`]; some of the ids may be remembered.
    pub fn remember(&self, ids: &[UserKey]) -> Result<bool, NotForgotten> {
        self.expire()?;
        let users = self.users.read();
        let known = ids.iter().filter_map(|id| users.get(&id.0));
        // A clock that went back takes nothing from an earlier wish.
        let at = known.clone().map(|wish| wish.at).fold(self.clock.now(), Ord::max);
        let is_full = users.len() + ids.len() - known.count() > IDS_MAX;
        drop(users);
        if is_full {
            return Err(NotForgotten::Full);
        }
        let wish = Wish { saving: self.begun.load(Ordering::Acquire), at };
        for id in ids {
            self.store.put(&format!("{PREFIX}{:016x}", id.0), wish.encode())?;
            self.users.write().insert(id.0, wish);
            self.wishes.fetch_add(1, Ordering::Release);
        }
        Ok(self.begun.load(Ordering::Acquire) == wish.saving)
    }

    fn expire(&self) -> Result<(), ConfigError> {
        let until = self.clock.now().plus_millis(-self.keep_ms);
        let users = self.users.read();
        let over: Vec<_> =
            users.iter().filter(|(_, wish)| wish.at < until).map(|(user, _)| *user).collect();
        drop(users);
        for user in over {
            self.store.remove(&format!("{PREFIX}{user:016x}"))?;
            self.users.write().remove(&user);
        }
        Ok(())
    }
}

impl Wish {
    fn encode(self) -> Bytes {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.saving.to_le_bytes());
        bytes[8..].copy_from_slice(&self.at.0.to_le_bytes());
        Bytes::copy_from_slice(&bytes)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (saving, at) = bytes.split_first_chunk::<8>()?;
        let at = Timestamp(i64::from_le_bytes(at.try_into().ok()?));
        Some(Self { saving: u64::from_le_bytes(*saving), at })
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryConfig;

    const DAY: i64 = 86_400_000;

    fn open(store: &Arc<MemoryConfig>, clock: &Civil) -> Forgotten {
        Forgotten::open(store.clone(), clock.clone(), DAY).expect("opened")
    }

    #[test]
    fn a_wish_holds_for_the_savings_that_may_have_its_user() {
        let (store, clock) = (Arc::default(), Civil::simulated(Timestamp(5 * DAY)));
        let forgotten = open(&store, &clock);
        let first = forgotten.begin_saving();
        assert_eq!(forgotten.remember(&[UserKey(7)]), Ok(true));
        let second = forgotten.begin_saving();
        let holds = |forgotten: &Forgotten| {
            [first, second].map(|saving| forgotten.concerns(UserKey(7), saving))
        };
        assert_eq!(holds(&forgotten), [true, false]);
        assert!(!forgotten.concerns(UserKey(8), first));
        assert!(forgotten.is_forgotten_since(UserKey(7), Timestamp(5 * DAY)));
        assert!(!forgotten.is_forgotten_since(UserKey(7), Timestamp(5 * DAY + 1)));

        forgotten.end_saving(second).expect("kept");
        let again = open(&store, &clock);
        assert_eq!((again.last_saving(), holds(&again)), (second, [true, false]));
        assert!(again.begin_saving() > second, "numbers are not given twice");

        // The process ended between the file and the record of it.
        let third = again.begin_saving();
        let after = open(&store, &clock);
        after.found_saving(third);
        assert_eq!(after.remember(&[UserKey(9)]), Ok(true));
        assert!(after.concerns(UserKey(9), third) && after.begin_saving() > third);

        clock.advance(Timestamp(6 * DAY + 1));
        assert_eq!(open(&store, &clock).len(), 0, "the record itself expires");
        assert!(store.all(PREFIX).expect("read").is_empty());
    }

    #[test]
    fn wishes_are_few_in_a_second() {
        let clock = Civil::simulated(Timestamp(0));
        let forgotten = open(&Arc::default(), &clock);
        let admitted = (0..1_000).filter(|_| forgotten.admit().is_ok()).count();
        assert!((1..100).contains(&admitted), "{admitted}");
    }
}
