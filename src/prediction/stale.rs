//! Which ad rows no longer say what the weights do, found by what changed and not by looking at all.
//!
//! Each ad is listed under its features, so that a changed weight names its ads. Nearly every ad
//! shares its shape with thousands and its category with hundreds, so one click makes a quarter of
//! all rows stale, by very little. So a tick rebuilds a bounded number: the rows of changes that few
//! ads share at once, such as those of the ad that was shown, and of the others as many as are left,
//! in a round that reaches each row in turn.

use super::tables::Bits;
use rustc_hash::FxHashMap;
use std::ops::Range;

/// Rows that one publication rebuilds at most: together less than a millisecond (measured) of a core
/// that answers bids as well. 50,000 stale rows take 49 ticks.
pub(super) const ROWS_A_TICK_MAX: usize = 1_024;
/// A change that no more ads share than this is served at the next tick.
const FEW: usize = 64;

/// The ads that use each entry of one table.
#[derive(Default)]
pub(super) struct Users {
    ranges: FxHashMap<u32, Range<u32>>,
    slots: Vec<u32>,
}

impl Users {
    /// Of entries, each with the slot index of an ad that uses it.
    pub(super) fn new(used: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut pairs: Vec<(u32, u32)> = used.collect();
        pairs.sort_unstable();
        pairs.dedup();
        let mut users = Self::default();
        for of_one in pairs.chunk_by(|one, next| one.0 == next.0) {
            let start = users.slots.len() as u32;
            users.slots.extend(of_one.iter().map(|(_, slot)| slot));
            users.ranges.insert(of_one[0].0, start..users.slots.len() as u32);
        }
        users
    }

    fn of(&self, entry: usize) -> &[u32] {
        let range = self.ranges.get(&(entry as u32)).cloned().unwrap_or_default();
        &self.slots[range.start as usize..range.end as usize]
    }
}

/// The rows that are to be rebuilt.
#[derive(Default)]
pub(super) struct Stale {
    linear: Users,
    vectors: Users,
    rows: Bits,
    /// How many rows there are, and how many of them are stale.
    ads: usize,
    waiting: usize,
    /// Where the round goes on.
    next: usize,
}

impl Stale {
    /// None of `ads` rows within `slots` slots.
    pub(super) fn none(linear: Users, vectors: Users, ads: usize, slots: usize) -> Self {
        Self { linear, vectors, rows: Bits::none(slots), ads, waiting: 0, next: 0 }
    }

    /// How many rows wait to be rebuilt.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// The rows to rebuild now, given which entries of the two tables changed; at most
    /// [`ROWS_A_TICK_MAX`], none twice. What is left waits.
    pub(super) fn take(
        &mut self,
        linear: impl Iterator<Item = usize>,
        vectors: impl Iterator<Item = usize>,
    ) -> Vec<u32> {
        let linear = linear.map(|entry| self.linear.of(entry));
        let changed = linear.chain(vectors.map(|entry| self.vectors.of(entry)));
        let mut changed: Vec<&[u32]> = changed.filter(|ads| !ads.is_empty()).collect();
        // What few share first; of equals the order of slots, so that the rows alone decide.
        changed.sort_unstable_by_key(|ads| (ads.len(), ads[0]));
        let mut urgent = Vec::new();
        for ads in changed {
            if ads.len() <= FEW {
                urgent.extend(ads);
            } else if self.waiting == self.ads {
                break; // all of them are stale already
            }
            let newly = ads.iter().filter(|slot| self.rows.insert(**slot as usize));
            self.waiting += newly.count();
        }
        let mut due = Vec::with_capacity(self.waiting.min(ROWS_A_TICK_MAX));
        for slot in urgent {
            if due.len() < ROWS_A_TICK_MAX && self.rows.remove(slot as usize) {
                due.push(slot);
            }
        }
        self.waiting -= due.len();
        self.go_round(&mut due);
        due
    }

    /// Every row, by slot.
    pub(super) fn take_all(&mut self) -> Vec<u32> {
        let mut all: Vec<u32> = self.vectors.slots.clone();
        all.sort_unstable();
        all.dedup();
        for &slot in &all {
            self.rows.remove(slot as usize);
        }
        self.waiting = 0;
        all
    }

    fn go_round(&mut self, due: &mut Vec<u32>) {
        while due.len() < ROWS_A_TICK_MAX && self.waiting > 0 {
            match self.rows.next_from(self.next) {
                Some(slot) => {
                    self.rows.remove(slot);
                    self.waiting -= 1;
                    self.next = slot + 1;
                    due.push(slot as u32);
                }
                None => self.next = 0,
            }
        }
    }
}
