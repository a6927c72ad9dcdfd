//! Keys seen lately, and how often.

use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Keys remembered: a day of orders of a large advertiser. Past it the oldest gives way, whoever's
/// it is, and would count anew; that is counted.
const KEYS_MAX: usize = 1 << 17;

/// The last keys seen, up to [`KEYS_MAX`].
#[derive(Default)]
pub struct Recent {
    seen: FxHashMap<u64, u32>,
    order: VecDeque<u64>,
}

impl Recent {
    /// How often `key` was noted, as far as that is remembered.
    pub fn count(&self, key: u64) -> u32 {
        self.seen.get(&key).copied().unwrap_or(0)
    }

    /// Notes `key` once more; whether an older key was forgotten for it.
    pub fn note(&mut self, key: u64) -> bool {
        let count = self.seen.entry(key).or_default();
        *count = count.saturating_add(1);
        if *count > 1 {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() <= KEYS_MAX {
            return false;
        }
        self.order.pop_front().is_some_and(|oldest| self.seen.remove(&oldest).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_counted_while_it_is_remembered() {
        let mut recent = Recent::default();
        assert!(!recent.note(1) && !recent.note(1));
        assert_eq!((recent.count(1), recent.count(2)), (2, 0));
        (2..=KEYS_MAX as u64).for_each(|key| assert!(!recent.note(key)));
        assert!(recent.note(0), "there is no room");
        assert_eq!((recent.count(1), recent.count(2)), (0, 1), "the oldest gave way");
    }
}
