//! What a user is interested in now: decayed counters by category and tenant.
//!
//! Each entry has two exponentially decayed counters (half-lives of two minutes and of a day), as
//! the measurement of our design asks: on a shop's event stream the pair ranks the next category
//! better than either alone. `level = fast + 0.05 * slow`; `strength = ln(1 + level)`, so that the
//! tenth event in a category adds less than the first.
//!
//! A counter is kept as its base-2 logarithm in 16 bits (steps of 1/1024, hence within 0.034 % of
//! the exact value after each event, times within one second): 20 bytes an entry, and decay is a
//! subtraction.

use crate::units::{AdvertiserId, CategoryId, Timestamp};
use smallvec::SmallVec;

/// Seconds in which the quick counter halves.
pub const HALF_LIFE_FAST_S: f32 = 120.0;
/// Seconds in which the slow counter halves.
pub const HALF_LIFE_SLOW_S: f32 = 86_400.0;
/// What the slow counter weighs against the quick one.
pub const SLOW_WEIGHT: f32 = 0.05;

/// Entries a user keeps: what fits a session of 200 bytes; a shopping session rarely has more
/// categories alive at once.
pub(super) const ENTRIES_MAX: usize = 7;

/// A non-negative counter as 1 + 1024 * (32 + log2 of it); 0 stands for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Level(u16);

impl Level {
    const STEPS: f32 = 1_024.0;
    const OFFSET: f32 = 32.0;

    /// The nearest level; what is below 2^-32 is nothing, what is above 2^31 stays there.
    fn encode(value: f32) -> Self {
        let steps = ((value.log2() + Self::OFFSET) * Self::STEPS).round();
        // A cast from float saturates, and takes the NaN of no value to 0.
        if steps < 0.0 { Self(0) } else { Self((steps as u16).saturating_add(1)) }
    }

    /// The value after `age` half-lives.
    fn decayed(self, age: f32) -> f32 {
        if self.0 == 0 {
            return 0.0;
        }
        (f32::from(self.0 - 1) / Self::STEPS - Self::OFFSET - age).exp2()
    }
}

/// One tenant's knowledge of one category. The tenant's 64 bits are kept but for the lowest, which
/// says whether the entry is pooled; in two halves, so that an entry needs no padding.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    tenant: [u32; 2],
    category: CategoryId,
    at_s: u32,
    fast: Level,
    slow: Level,
}

const _: () = assert!(size_of::<Entry>() == 20);

fn tenant_key(advertiser: AdvertiserId, is_pooled: bool) -> [u32; 2] {
    let low = (advertiser.0 as u32 & !1) | u32::from(is_pooled);
    [(advertiser.0 >> 32) as u32, low]
}

impl Entry {
    const fn is_pooled(&self) -> bool {
        self.tenant[1] & 1 == 1
    }

    fn is_of(&self, advertiser: AdvertiserId) -> bool {
        let tenant = tenant_key(advertiser, self.is_pooled());
        self.tenant == tenant
    }

    fn is_same_tenant(&self, other: &Self) -> bool {
        self.tenant[0] == other.tenant[0] && self.tenant[1] | 1 == other.tenant[1] | 1
    }

    fn level(&self, now_s: u32) -> f32 {
        // A reader whose clock is behind the event sees it undecayed.
        let age_s = now_s.saturating_sub(self.at_s) as f32;
        self.fast.decayed(age_s / HALF_LIFE_FAST_S)
            + SLOW_WEIGHT * self.slow.decayed(age_s / HALF_LIFE_SLOW_S)
    }

    /// Adds `weight` at `at_s`. An event older than the entry adds what would be left of it.
    fn add(&mut self, weight: f32, at_s: u32) {
        let age_s = at_s.saturating_sub(self.at_s) as f32;
        let lag_s = self.at_s.saturating_sub(at_s) as f32;
        let advance = |level: Level, half_life_s: f32| {
            let added = weight * (-lag_s / half_life_s).exp2();
            Level::encode(level.decayed(age_s / half_life_s) + added)
        };
        self.fast = advance(self.fast, HALF_LIFE_FAST_S);
        self.slow = advance(self.slow, HALF_LIFE_SLOW_S);
        self.at_s = self.at_s.max(at_s);
    }

    /// Adds the levels of another entry, both as they are at the later time.
    fn absorb(&mut self, other: &Self) {
        let at_s = self.at_s.max(other.at_s);
        let ages_s = [self, other].map(|entry| (at_s - entry.at_s) as f32);
        let sum = |one: Level, two: Level, half_life_s: f32| {
            let [one_s, two_s] = ages_s;
            Level::encode(one.decayed(one_s / half_life_s) + two.decayed(two_s / half_life_s))
        };
        self.fast = sum(self.fast, other.fast, HALF_LIFE_FAST_S);
        self.slow = sum(self.slow, other.slow, HALF_LIFE_SLOW_S);
        self.at_s = at_s;
    }
}

/// The weakest entry of the tenant that has most.
fn weakest(entries: &[Entry], now_s: u32) -> usize {
    let held = |entry: &Entry| entries.iter().filter(|one| one.is_same_tenant(entry)).count();
    let held_most = entries.iter().map(held).max().unwrap_or(0);
    entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| held(entry) == held_most)
        .min_by(|(_, one), (_, other)| one.level(now_s).total_cmp(&other.level(now_s)))
        .map_or(0, |(place, _)| place)
}

/// The interests of one user.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Interests {
    entries: [Entry; ENTRIES_MAX],
    len: u8,
}

impl Interests {
    fn entries(&self) -> &[Entry] {
        &self.entries[..usize::from(self.len)]
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds `weight` to what `advertiser` knows of `category`. When all entries are taken the
    /// weakest of the tenant with the most entries makes room, so that one tenant's many
    /// categories cannot push out what another knows.
    pub(super) fn record(
        &mut self,
        category: CategoryId,
        advertiser: AdvertiserId,
        is_pooled: bool,
        weight: f32,
        at: Timestamp,
    ) {
        let at_s = at.as_secs_u32();
        let tenant = tenant_key(advertiser, is_pooled);
        let len = usize::from(self.len);
        let found = self
            .entries()
            .iter()
            .position(|entry| entry.category == category && entry.tenant == tenant);
        let place = found.unwrap_or_else(|| {
            let place = if len < ENTRIES_MAX { len } else { weakest(self.entries(), at_s) };
            self.len = self.len.max(place as u8 + 1);
            self.entries[place] = Entry { tenant, category, at_s, ..Entry::default() };
            place
        });
        self.entries[place].add(weight, at_s);
    }

    /// Adds what another session knew: levels of one tenant and category sum up as they decay, and
    /// of too many entries those go that an event would push out.
    pub(super) fn merge(&mut self, other: &Self) {
        let mut entries: SmallVec<[Entry; 2 * ENTRIES_MAX]> = SmallVec::from_slice(self.entries());
        for entry in other.entries() {
            let same =
                |one: &&mut Entry| one.category == entry.category && one.tenant == entry.tenant;
            match entries.iter_mut().find(same) {
                Some(known) => known.absorb(entry),
                None => entries.push(*entry),
            }
        }
        let now_s = entries.iter().map(|entry| entry.at_s).max().unwrap_or(0);
        while entries.len() > ENTRIES_MAX {
            entries.remove(weakest(&entries, now_s));
        }
        self.len = entries.len() as u8;
        self.entries[..entries.len()].copy_from_slice(&entries);
    }

    /// How strongly the user is drawn to `category`, as far as an ad of `advertiser` may know:
    /// from its own events, and with `may_use_pool` from pooled ones. `[0, inf)`; 0 is unknown,
    /// 0.7 one view just now, 2.4 ten.
    pub(super) fn strength(
        &self,
        category: CategoryId,
        advertiser: AdvertiserId,
        may_use_pool: bool,
        now: Timestamp,
    ) -> f32 {
        let now_s = now.as_secs_u32();
        let known = |entry: &&Entry| {
            entry.category == category
                && (may_use_pool && entry.is_pooled() || entry.is_of(advertiser))
        };
        let level: f32 = self.entries().iter().filter(known).map(|entry| entry.level(now_s)).sum();
        // Most campaigns sell what most users never looked at.
        if level > 0.0 { level.ln_1p() } else { 0.0 }
    }

    /// The strongest pooled categories, strongest first. Only pooled ones, because a list that
    /// names no tenant serves every tenant.
    pub(super) fn top_categories(&self, now: Timestamp) -> [Option<CategoryId>; 3] {
        let now_s = now.as_secs_u32();
        let mut levels = [(CategoryId(0), 0.0_f32); ENTRIES_MAX];
        let mut count = 0;
        for entry in self.entries().iter().filter(|entry| entry.is_pooled()) {
            let known = levels[..count].iter().position(|(id, _)| *id == entry.category);
            let place = known.unwrap_or_else(|| {
                levels[count].0 = entry.category;
                count += 1;
                count - 1
            });
            levels[place].1 += entry.level(now_s);
        }
        // Ties go by id, so that the answer does not depend on the order of entries.
        levels[..count].sort_unstable_by(|one, other| {
            other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0))
        });
        let mut levels = levels[..count].iter().map(|(id, _)| *id);
        [levels.next(), levels.next(), levels.next()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHOES: CategoryId = CategoryId(1);
    const ACME: AdvertiserId = AdvertiserId(0xacce_0001_0000_0010);
    const BOLT: AdvertiserId = AdvertiserId(0xb017_0001_0000_0010);
    const START_MS: i64 = 1_700_000_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(START_MS + seconds * 1_000)
    }

    proptest! {
        /// The sum over events of weight * 2^(-age / half-life), in any order of arrival.
        #[test]
        fn decay_agrees_with_the_closed_form(
            events in proptest::collection::vec((0_i64..100_000, 1_u8..5), 1..40),
            later in 0_i64..200_000,
        ) {
            let mut interests = Interests::default();
            let now = 100_000 + later;
            let mut exact = 0.0_f64;
            for &(second, weight) in &events {
                interests.record(SHOES, ACME, false, f32::from(weight), at(second));
                let age = (now - second) as f64;
                let kept = (-age / 120.0).exp2() + 0.05 * (-age / 86_400.0).exp2();
                exact += f64::from(weight) * kept;
            }
            let strength = f64::from(interests.strength(SHOES, ACME, false, at(now)));
            let expected = exact.ln_1p();
            prop_assert!((strength - expected).abs() <= 0.004 * expected + 1e-6,
                "{strength} is not {expected}");
        }
    }

    #[test]
    fn strength_halves_on_both_scales() {
        let mut interests = Interests::default();
        interests.record(SHOES, ACME, false, 1.0, at(0));
        let level = |seconds| interests.strength(SHOES, ACME, false, at(seconds)).exp() - 1.0;
        for (seconds, expected) in
            [(-9, 1.05), (0, 1.05), (120, 0.5 + 0.05 * 0.999), (1_200, 0.0505), (86_400, 0.025)]
        {
            let level = level(seconds);
            assert!((level - expected).abs() < 0.01 * expected, "{level} after {seconds} s");
        }
    }

    #[test]
    fn interest_serves_its_own_tenant_and_the_pool_only_when_pooled() {
        let mut interests = Interests::default();
        interests.record(SHOES, ACME, false, 1.0, at(0));
        assert!(interests.strength(SHOES, ACME, false, at(0)) > 0.5);
        assert_eq!(interests.strength(SHOES, BOLT, true, at(0)), 0.0, "ACME is not in the pool");
        assert_eq!(interests.top_categories(at(0)), [None; 3]);

        interests.record(SHOES, ACME, true, 1.0, at(0));
        let own = interests.strength(SHOES, ACME, false, at(0));
        let pooled = interests.strength(SHOES, BOLT, true, at(0));
        assert_eq!(interests.strength(SHOES, BOLT, false, at(0)), 0.0, "BOLT does not use it");
        assert!(pooled > 0.0 && own > pooled, "the owner has both entries");
        assert_eq!(interests.top_categories(at(0)), [Some(SHOES), None, None]);
    }

    #[test]
    fn the_weakest_entry_of_the_greediest_tenant_makes_room() {
        let mut interests = Interests::default();
        interests.record(SHOES, BOLT, false, 1.0, at(0));
        for category in 10..30 {
            interests.record(CategoryId(category), ACME, true, 4.0, at(i64::from(category)));
        }
        assert!(interests.strength(SHOES, BOLT, false, at(30)) > 0.0, "another tenant's stays");
        assert_eq!(interests.strength(CategoryId(10), ACME, false, at(30)), 0.0);
        assert_eq!(
            interests.top_categories(at(30)),
            [Some(CategoryId(29)), Some(CategoryId(28)), Some(CategoryId(27))]
        );
    }

    #[test]
    fn levels_keep_their_value_within_a_step() {
        for value in [1e-9_f32, 0.3, 1.0, 4.0, 1_000.0, 1e9] {
            let kept = Level::encode(value).decayed(0.0);
            assert!((kept / value - 1.0).abs() < 0.000_4, "{value} became {kept}");
        }
        assert_eq!(Level::encode(0.0), Level(0));
        assert_eq!(Level::encode(1e-12).decayed(0.0), 0.0);
        assert!(Level::encode(f32::MAX).decayed(0.0) > 1e9);
    }
}
