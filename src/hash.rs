//! Hashes: a stable one for names and features, a quick one for what is looked up, and a keyed one for
//! whatever a stranger chooses.

use crate::units::UserKey;
use siphasher::sip::SipHasher24;
use std::fmt;
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

/// A hash of `bytes` for tables that end with the process, such as the catalog's: eight bytes a step,
/// where [`stable`] takes one. Nothing that is written down may depend on it.
#[inline]
#[must_use]
pub fn key(bytes: &[u8]) -> u64 {
    key_of(bytes, |word| word)
}

/// The same of `text` in lower case, without allocating: domains, bundles, keywords, countries are
/// compared so.
#[inline]
#[must_use]
pub fn key_lower(text: &str) -> u64 {
    key_of(text.as_bytes(), lower)
}

#[inline(always)]
fn key_of(bytes: &[u8], spell: impl Fn(u64) -> u64) -> u64 {
    // Both halves of a product together depend on every bit of either factor.
    let fold = |word: u64| {
        let product = u128::from(word) * 0x9e37_79b9_7f4a_7c15;
        product as u64 ^ (product >> 64) as u64
    };
    let (words, rest) = bytes.as_chunks();
    // The length tells apart what ends in the same bytes, since the last word may reach back.
    let state = fold(!(bytes.len() as u64));
    let state =
        words.iter().fold(state, |state, word| fold(state ^ spell(u64::from_le_bytes(*word))));
    if rest.is_empty() { state } else { fold(state ^ spell(last_word(bytes))) }
}

/// The last eight bytes as a number, of fewer all of them.
#[inline(always)]
fn last_word(bytes: &[u8]) -> u64 {
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    match (bytes.last_chunk(), bytes.first_chunk(), bytes.last_chunk(), bytes) {
        (Some(word), ..) => u64::from_le_bytes(*word),
        (_, Some(first), Some(last), _) => half(first) | half(last) << 32,
        (.., [first, .., last]) => {
            let middle = bytes[bytes.len() / 2];
            u64::from(*first) | u64::from(middle) << 8 | u64::from(*last) << 16
        }
        (.., bytes) => bytes.first().map_or(0, |byte| u64::from(*byte)),
    }
}

/// Eight letters of text, capitals of ASCII made small, all at once.
const fn lower(letters: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    // No sum of two sevens of bits reaches the next byte; the highest bit says "at least".
    let low = letters & !HIGH;
    let from_a = low + (0x80 - b'A' as u64) * EACH;
    let past_z = low + (0x80 - b'Z' as u64 - 1) * EACH;
    let capitals = from_a & !past_z & !letters & HIGH;
    letters | capitals >> 2
}

/// `text` without blanks around it, as it is hashed. Nearly none has any, which two bytes tell, where
/// `str::trim` decodes letters at both ends.
#[inline]
#[must_use]
pub fn trimmed(text: &str) -> &str {
    let is_plain = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_graphic);
    let bytes = text.as_bytes();
    if is_plain(bytes.first()) && is_plain(bytes.last()) { text } else { text.trim() }
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
#[derive(Clone, PartialEq, Eq)]
pub struct UserHasher {
    key: [u8; 16],
    generation: u8,
}

/// The number of the key that made this name: see [`UserHasher::of_generation`].
#[must_use]
pub const fn generation(user: UserKey) -> u8 {
    !((user.0 >> 56) as u8)
}

impl UserHasher {
    /// A hasher under this secret key.
    #[must_use]
    pub const fn new(key: [u8; 16]) -> Self {
        Self::of_generation(key, 0)
    }

    /// The same, where keys follow each other. The highest 8 bits of what it makes are the number of
    /// the key, inverted, so that each name under a newer key is smaller than all under an older one:
    /// ids lead to smaller ones. 56 bits are left: of a million users, two share a name once in
    /// 100,000 installations.
    #[must_use]
    pub const fn of_generation(key: [u8; 16], generation: u8) -> Self {
        Self { key, generation }
    }

    /// The number of its key.
    #[must_use]
    pub const fn generation(&self) -> u8 {
        self.generation
    }

    /// A keyed hash of anything else that a stranger chooses.
    #[must_use]
    pub fn mark(&self, namespace: &str, text: &str) -> u64 {
        self.hash(namespace, "", text)
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
        let low = self.hash(kind, owner, raw_id) & (u64::MAX >> 8);
        UserKey((!self.generation as u64) << 56 | low)
    }

    fn hash(&self, kind: &str, owner: &str, raw_id: &str) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(kind.as_bytes());
        hasher.write(owner.as_bytes());
        hasher.write_u8(0xff); // no UTF-8 text contains it, so the two parts cannot run together
        hasher.write(raw_id.as_bytes());
        hasher.finish()
    }
}

impl fmt::Debug for UserHasher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "UserHasher({})", self.generation)
    }
}

/// The keys that users are known under.
#[derive(Clone, Debug)]
pub struct UserHashers {
    /// Names them.
    pub newest: UserHasher,
    /// Named them before, and still leads to who was known then.
    pub before: Option<UserHasher>,
}

impl UserHashers {
    /// One key alone.
    #[must_use]
    pub const fn only(newest: UserHasher) -> Self {
        Self { newest, before: None }
    }

    /// The newest first.
    pub fn all(&self) -> impl Iterator<Item = &UserHasher> {
        std::iter::once(&self.newest).chain(&self.before)
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
    fn a_lower_key_is_the_key_of_the_lower_text() {
        let every: String = (0..=0x24f).filter_map(char::from_u32).collect();
        for start in every.char_indices().map(|(start, _)| start) {
            for text in
                [1, 3, 8, 9, 21].into_iter().filter_map(|more| every.get(start..start + more))
            {
                assert_eq!(key_lower(text), key(text.to_ascii_lowercase().as_bytes()), "{text:?}");
            }
        }
    }

    #[test]
    fn a_key_depends_on_each_bit_and_on_the_length() {
        let mut seen = std::collections::BTreeSet::new();
        let mut low_bits = [0; 64];
        for length in 0..40 {
            let mut bytes = vec![b'a'; length];
            assert!(seen.insert(key(&bytes)), "{length}");
            for bit in 0..8 * length {
                bytes[bit / 8] ^= 1 << (bit % 8);
                let hash = key(&bytes);
                assert!(seen.insert(hash), "{length} {bit}");
                low_bits[hash as usize % 64] += 1;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        // 6,240 keys: 97 each, give or take 10.
        assert!(low_bits.iter().all(|count| (50..150).contains(count)), "{low_bits:?}");
    }

    #[test]
    fn blanks_around_a_text_do_not_count() {
        for text in ["", " ", "a", " a", "a\t", "\u{a0}é b\u{2003}", "é", "\u{85}", "\u{b}x"] {
            assert_eq!(trimmed(text), text.trim(), "{text:?}");
        }
    }

    #[test]
    fn user_keys_depend_on_key_namespace_and_id() {
        let hasher = UserHasher::new([1; 16]);
        let one = hasher.user("ifa", "abc");
        assert_eq!(one, hasher.user("ifa", "abc"));
        assert_ne!(one, hasher.user("ifa", "abd"));
        assert_ne!(one, hasher.user("user.id", "abc"));
        assert_ne!(one, UserHasher::new([2; 16]).user("ifa", "abc"));
        let newer = UserHasher::of_generation([1; 16], 7).user("ifa", "abc");
        assert_eq!((generation(one), generation(newer)), (0, 7));
        assert!(newer < one);
        assert_ne!(hasher.user("a", "bc"), hasher.user("ab", "c"));
        assert_eq!(hasher.user("a:bcdefghijkl", "x"), hasher.user_within("a:", "bcdefghijkl", "x"));
    }
}
