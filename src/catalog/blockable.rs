//! Which keys can block anything at all. Most of what requests block is none of ours: advertisers who show
//! nothing here, categories in which no ad is. Such a key is no reason to look up what a campaign may be
//! blocked by, which takes a cache line that nobody else reads.

use super::creative::Ad;
use rustc_hash::FxHashSet;

/// Bits a key: of the keys that are not known one in sixteen passes for known.
const BITS_PER_KEY: usize = 16;

/// The keys of all ads, as a filter of one bit each: no key of an ad is unknown to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Blockable {
    /// A power of two of them, or none.
    words: Vec<u64>,
}

impl Blockable {
    /// What these ads may be blocked by.
    pub(super) fn of<'a>(ads: impl Iterator<Item = &'a Ad>) -> Self {
        let keys = ads.flat_map(|ad| {
            let of_ad = ad.adomain_keys.iter().chain(&ad.iab_cat_keys).copied();
            of_ad.chain(ad.bundle_key())
        });
        Self::of_keys(&keys.collect())
    }

    fn of_keys(keys: &FxHashSet<u64>) -> Self {
        let words = match keys.len() {
            0 => 0,
            some => (some * BITS_PER_KEY).div_ceil(64).next_power_of_two(),
        };
        let mut filter = Self { words: vec![0; words] };
        for key in keys {
            let (word, bit) = filter.place(*key);
            filter.words[word] |= bit;
        }
        filter
    }

    /// Whether an ad may be blocked by `key`.
    #[inline]
    pub(super) fn knows(&self, key: u64) -> bool {
        let (word, bit) = self.place(key);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The word and the bit of a key, by bits that [`super::block_bit`] does not look at.
    const fn place(&self, key: u64) -> (usize, u64) {
        ((key >> 12) as usize & self.words.len().wrapping_sub(1), 1 << (key >> 6 & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash;

    #[test]
    fn no_key_is_unknown_and_few_strangers_are_known() {
        for count in [0, 1, 2, 63, 1_000, 20_000] {
            let keys: FxHashSet<u64> = (0..count).map(hash::mix).collect();
            let filter = Blockable::of_keys(&keys);
            assert!(keys.iter().all(|key| filter.knows(*key)), "{count}");
            let strangers = (count..count + 10_000).map(hash::mix);
            let known = strangers.filter(|key| filter.knows(*key)).count();
            assert!(known < 800, "{known} beside {count}");
        }
    }
}
