//! Hashes: a stable one for names and features, and a keyed one for whatever a stranger chooses.

use crate::units::UserKey;
use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// A stable 64-bit hash (FNV-1a over the bytes, then a full-avalanche finish): the same on every
/// machine, in every version. Not for keys that a stranger chooses and that we store: see
/// [`UserHasher`].
#[must_use]
pub fn stable(bytes: &[u8]) -> u64 {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for &byte in bytes {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mix(state)
}

/// The stable hash of `text` in lower case, without allocating: domains, bundles, keywords,
/// countries are compared so.
#[must_use]
pub fn stable_lower(text: &str) -> u64 {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        let byte = byte.to_ascii_lowercase();
        state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mix(state)
}

/// Mixes two hashes into one; the order matters.
#[must_use]
pub const fn combine(first: u64, second: u64) -> u64 {
    mix(first.rotate_left(23) ^ second.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A bijection of `u64` in which each input bit changes each output bit half of the time
/// (SplitMix64's finaliser; Steele, Lea, Flood 2014).
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Replaces a raw user id by a keyed hash (SipHash-2-4): without the key nobody can tell which
/// ids were seen, and nobody can choose ids that collide in our tables.
#[derive(Clone)]
pub struct UserHasher {
    key: [u8; 16],
}

impl UserHasher {
    /// A hasher under this secret key.
    #[must_use]
    pub const fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// The key of the user whom `namespace` (an exchange, an eids source, "ifa", "user.id") calls
    /// `raw_id`.
    #[must_use]
    pub fn user(&self, namespace: &str, raw_id: &str) -> UserKey {
        self.user_within(namespace, "", raw_id)
    }

    /// The same, where the namespace is one text in two parts.
    #[must_use]
    pub fn user_within(&self, kind: &str, owner: &str, raw_id: &str) -> UserKey {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(kind.as_bytes());
        hasher.write(owner.as_bytes());
        hasher.write_u8(0xff); // no UTF-8 text contains it, so the two parts cannot run together
        hasher.write(raw_id.as_bytes());
        UserKey(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stable_hash_never_changes() {
        // Written down, because stored ids depend on it.
        assert_eq!(stable(b""), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(stable(b"outbid"), stable_lower("OutBid"));
        assert_ne!(combine(1, 2), combine(2, 1));
    }

    #[test]
    fn user_keys_depend_on_key_namespace_and_id() {
        let hasher = UserHasher::new([1; 16]);
        let one = hasher.user("ifa", "abc");
        assert_eq!(one, hasher.user("ifa", "abc"));
        assert_ne!(one, hasher.user("ifa", "abd"));
        assert_ne!(one, hasher.user("user.id", "abc"));
        assert_ne!(one, UserHasher::new([2; 16]).user("ifa", "abc"));
        assert_ne!(hasher.user("a", "bc"), hasher.user("ab", "c"));
        assert_eq!(hasher.user("a:bcdefghijkl", "x"), hasher.user_within("a:", "bcdefghijkl", "x"));
    }
}
