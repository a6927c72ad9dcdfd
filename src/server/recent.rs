//! Keys seen lately, to count each once.

use rustc_hash::FxHashSet;
use std::collections::VecDeque;

/// Orders remembered, to count each conversion once: a day of a large advertiser.
const ORDERS_MAX: usize = 1 << 17;

/// The last keys seen, up to [`ORDERS_MAX`].
#[derive(Default)]
pub struct Recent {
    seen: FxHashSet<u64>,
    order: VecDeque<u64>,
}

impl Recent {
    /// Remembers `key`; `false` when it is remembered already.
    pub fn insert(&mut self, key: u64) -> bool {
        if !self.seen.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > ORDERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_once_while_it_is_remembered() {
        let mut recent = Recent::default();
        assert!(recent.insert(1));
        assert!(!recent.insert(1));
        (2..ORDERS_MAX as u64 + 2).for_each(|key| assert!(recent.insert(key)));
        assert!(recent.insert(1), "the oldest gave way");
    }
}
