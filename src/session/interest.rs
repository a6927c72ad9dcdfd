//! What a user is interested in now: decayed counters by category and tenant.
//!
//! Each entry has two exponentially decayed counters (half-lives of two minutes and of a day), as
//! the measurement of our design asks: on a shop's event stream the pair ranks the next category
//! better than either alone. `level = fast + 0.05 * slow`; `strength = ln(1 + level)`, so that the
//! tenth event in a category adds less than the first.
//!
//! A counter is kept as its base-2 logarithm in 16 bits (steps of 1/1024, hence within 0.034 % of
//! the exact value after each event, times within one second), as it was at one time for all of a
//! session. So an entry needs no time of its own, and what it shares with others, whose it is, is
//! written once: an entry takes 8.5 bytes, a tenant 8.

use super::level::{Decay, Level};
use super::saved::Reader;
use crate::units::{AdvertiserId, CategoryId, Timestamp};
use smallvec::SmallVec;

/// Seconds in which the quick counter halves.
pub const HALF_LIFE_FAST_S: f32 = 120.0;
/// Seconds in which the slow counter halves.
pub const HALF_LIFE_SLOW_S: f32 = 86_400.0;
/// What the slow counter weighs against the quick one.
pub const SLOW_WEIGHT: f32 = 0.05;

const FAST: Decay = Decay::new(HALF_LIFE_FAST_S as u32, 15);
const SLOW: Decay = Decay::new(HALF_LIFE_SLOW_S as u32, 675);

/// Entries and tenants of a user together: what fits a session of three cache lines. 14 categories of one
/// tenant, 8 of seven. On the stream of `docs/evaluation.md` more than ten gain next to nothing.
const CELLS: usize = 15;

/// Entries of a user, if one tenant has all.
const ENTRIES_MAX: usize = CELLS - 1;

/// One tenant's knowledge of one category, as of the reference of its session's last event.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    category: CategoryId,
    fast: Level,
    slow: Level,
}

impl Entry {
    const fn cell(self) -> [u32; 2] {
        [self.category.0, (self.fast.0 as u32) << 16 | self.slow.0 as u32]
    }

    const fn of_cell([category, levels]: [u32; 2]) -> Self {
        let (fast, slow) = (Level((levels >> 16) as u16), Level(levels as u16));
        Self { category: CategoryId(category), fast, slow }
    }

    fn level(&self, now_s: u32, kept_s: u32) -> f32 {
        // A reader whose clock is behind the event sees it undecayed.
        let now_s = now_s.max(kept_s);
        self.fast.decayed(FAST.age(now_s, kept_s))
            + SLOW_WEIGHT * self.slow.decayed(SLOW.age(now_s, kept_s))
    }

    const fn moved(self, from_s: u32, to_s: u32) -> Self {
        let fast = FAST.moved(self.fast, from_s, to_s);
        Self { fast, slow: SLOW.moved(self.slow, from_s, to_s), ..self }
    }

    /// With the levels of another entry, of the same reference.
    fn with(self, other: Self) -> Self {
        let sum = |one: Level, two: Level| Level::encode(one.decayed(0.0) + two.decayed(0.0));
        Self { fast: sum(self.fast, other.fast), slow: sum(self.slow, other.slow), ..self }
    }
}

/// Who knows something: the tenant's 64 bits but for the lowest, which says whether it is pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tenant([u32; 2]);

impl Tenant {
    fn new(advertiser: AdvertiserId, is_pooled: bool) -> Self {
        let low = (advertiser.0 as u32 & !1) | u32::from(is_pooled);
        Self([(advertiser.0 >> 32) as u32, low])
    }

    const fn is_pooled(self) -> bool {
        self.0[1] & 1 == 1
    }

    fn is_of(self, advertiser: AdvertiserId) -> bool {
        self == Self::new(advertiser, self.is_pooled())
    }

    const fn is_same(self, other: Self) -> bool {
        self.0[0] == other.0[0] && self.0[1] | 1 == other.0[1] | 1
    }
}

/// The place of the weakest entry of the tenant that has most.
fn weakest(
    known: impl Iterator<Item = (Tenant, Entry)> + Clone,
    now_s: u32,
    kept_s: u32,
) -> Option<usize> {
    let held = |tenant: Tenant| known.clone().filter(|(other, _)| other.is_same(tenant)).count();
    let held_most = known.clone().map(|(tenant, _)| held(tenant)).max()?;
    let of_most = known.clone().enumerate().filter(|(_, (tenant, _))| held(*tenant) == held_most);
    let levels = of_most.map(|(place, (_, entry))| (place, entry.level(now_s, kept_s)));
    levels.min_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(place, _)| place)
}

/// The interests of one user.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Interests {
    /// Entries from the front, tenants from the back.
    cells: [[u32; 2]; CELLS],
    /// Four bits an entry: the number of its tenant, counted from the back.
    tenants_of: u64,
    entries: u8,
    tenants: u8,
    /// The latest event's second: levels are as of its reference.
    kept_s: u32,
}

// One to one with what a session of three cache lines leaves for it.
const _: () = assert!(size_of::<Interests>() == 136 && 4 * ENTRIES_MAX <= u64::BITS as usize);

impl Interests {
    fn tenant(&self, number: u8) -> Tenant {
        Tenant(self.cells[CELLS - 1 - usize::from(number)])
    }

    /// The number of the tenant of the entry at `place`.
    const fn tenant_of(&self, place: usize) -> u8 {
        (self.tenants_of >> (4 * place)) as u8 & 0xf
    }

    const fn set_tenant_of(&mut self, place: usize, number: u8) {
        self.tenants_of &= !(0xf << (4 * place));
        self.tenants_of |= (number as u64) << (4 * place);
    }

    fn known(&self) -> impl Iterator<Item = (Tenant, Entry)> + Clone {
        let entries = self.cells[..usize::from(self.entries)].iter().enumerate();
        entries.map(|(place, cell)| (self.tenant(self.tenant_of(place)), Entry::of_cell(*cell)))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries == 0
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) const fn len(&self) -> u8 {
        self.entries
    }

    /// Writes the latest event's second and the entries, each with its tenant in 16 bytes.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.extend(self.kept_s.to_le_bytes());
        for (tenant, entry) in self.known() {
            let words = tenant.0.into_iter().chain(entry.cell());
            words.for_each(|word| out.extend(word.to_le_bytes()));
        }
    }

    /// Reads `len` entries; `None` where there are fewer, or no session has so many.
    pub(super) fn load(len: u8, reader: &mut Reader<'_>) -> Option<Self> {
        let kept_s = reader.u32()?;
        let mut interests = Self { kept_s, ..Self::default() };
        for _ in 0..len {
            let tenant = Tenant([reader.u32()?, reader.u32()?]);
            let entry = Entry::of_cell([reader.u32()?, reader.u32()?]);
            interests.insert(tenant, entry, kept_s);
        }
        (usize::from(len) <= ENTRIES_MAX).then_some(interests)
    }

    /// Adds `weight` to what `advertiser` knows of `category`. Where there is no room the weakest
    /// entry of the tenant with the most entries goes, so that one tenant's many categories cannot
    /// push out what another knows.
    pub(super) fn record(
        &mut self,
        category: CategoryId,
        advertiser: AdvertiserId,
        is_pooled: bool,
        weight: f32,
        at: Timestamp,
    ) {
        let at_s = at.as_secs_u32();
        let tenant = Tenant::new(advertiser, is_pooled);
        self.move_to(at_s);
        let found =
            self.known().position(|(one, entry)| entry.category == category && one == tenant);
        let place = found
            .unwrap_or_else(|| self.insert(tenant, Entry { category, ..Entry::default() }, at_s));
        let entry = Entry::of_cell(self.cells[place]);
        let fast = FAST.plus(entry.fast, weight, at_s, self.kept_s);
        let slow = SLOW.plus(entry.slow, weight, at_s, self.kept_s);
        self.cells[place] = Entry { fast, slow, ..entry }.cell();
    }

    /// Takes the reference of `at_s`, unless it is earlier.
    fn move_to(&mut self, at_s: u32) {
        if at_s <= self.kept_s {
            return;
        }
        for cell in &mut self.cells[..usize::from(self.entries)] {
            *cell = Entry::of_cell(*cell).moved(self.kept_s, at_s).cell();
        }
        self.kept_s = at_s;
    }

    /// Puts an entry in, and returns its place.
    fn insert(&mut self, tenant: Tenant, entry: Entry, now_s: u32) -> usize {
        let number = loop {
            let number = (0..self.tenants).find(|number| self.tenant(*number) == tenant);
            let needed = 1 + usize::from(number.is_none());
            if usize::from(self.entries + self.tenants) + needed <= CELLS {
                break number;
            }
            let Some(place) = weakest(self.known(), now_s, self.kept_s) else { break number };
            self.remove(place);
        };
        let number = number.unwrap_or_else(|| {
            self.tenants += 1;
            self.cells[CELLS - usize::from(self.tenants)] = tenant.0;
            self.tenants - 1
        });
        let place = usize::from(self.entries);
        self.cells[place] = entry.cell();
        self.set_tenant_of(place, number);
        self.entries += 1;
        place
    }

    /// Takes an entry out, and its tenant with its last one.
    fn remove(&mut self, place: usize) {
        let number = self.tenant_of(place);
        self.entries -= 1;
        let last = usize::from(self.entries);
        self.cells[place] = self.cells[last];
        self.set_tenant_of(place, self.tenant_of(last));
        if (0..last).any(|place| self.tenant_of(place) == number) {
            return;
        }
        self.tenants -= 1;
        let moved = self.tenants;
        self.cells[CELLS - 1 - usize::from(number)] = self.tenant(moved).0;
        for place in 0..last {
            if self.tenant_of(place) == moved {
                self.set_tenant_of(place, number);
            }
        }
    }

    /// Adds what another session knew: levels of one tenant and category sum up as they decay, and
    /// of too many entries those go that an event would push out.
    pub(super) fn merge(&mut self, other: &Self) {
        let kept_s = self.kept_s.max(other.kept_s);
        let mut known: SmallVec<[(Tenant, Entry); 2 * ENTRIES_MAX]> = SmallVec::new();
        for one in [&*self, other] {
            for (tenant, entry) in one.known() {
                let entry = entry.moved(one.kept_s, kept_s);
                let is_same = |known: &&mut (Tenant, Entry)| {
                    known.0 == tenant && known.1.category == entry.category
                };
                match known.iter_mut().find(is_same) {
                    Some((_, known)) => *known = known.with(entry),
                    None => known.push((tenant, entry)),
                }
            }
        }
        let cells = |known: &[(Tenant, Entry)]| {
            let is_first = |place: usize| known[..place].iter().all(|one| one.0 != known[place].0);
            known.len() + (0..known.len()).filter(|place| is_first(*place)).count()
        };
        while cells(&known) > CELLS
            && let Some(place) = weakest(known.iter().copied(), kept_s, kept_s)
        {
            known.remove(place);
        }
        *self = Self { kept_s, ..Self::default() };
        for (tenant, entry) in known {
            self.insert(tenant, entry, kept_s);
        }
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
        let counts = |(tenant, entry): &(Tenant, Entry)| {
            entry.category == category
                && (may_use_pool && tenant.is_pooled() || tenant.is_of(advertiser))
        };
        let known = self.known().filter(counts);
        let level: f32 = known.map(|(_, entry)| entry.level(now_s, self.kept_s)).sum();
        // Most campaigns sell what most users never looked at.
        if level > 0.0 { level.ln_1p() } else { 0.0 }
    }

    /// The strongest pooled categories, strongest first. Only pooled ones, because a list that
    /// names no tenant serves every tenant.
    pub(super) fn top_categories(&self, now: Timestamp) -> [Option<CategoryId>; 3] {
        let now_s = now.as_secs_u32();
        let mut levels = [(CategoryId(0), 0.0_f32); ENTRIES_MAX];
        let mut count = 0;
        for (_, entry) in self.known().filter(|(tenant, _)| tenant.is_pooled()) {
            let known = levels[..count].iter().position(|(id, _)| *id == entry.category);
            let place = known.unwrap_or_else(|| {
                levels[count].0 = entry.category;
                count += 1;
                count - 1
            });
            levels[place].1 += entry.level(now_s, self.kept_s);
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
        let of_bolt = (1..6).map(CategoryId);
        of_bolt.clone().for_each(|one| interests.record(one, BOLT, false, 1.0, at(0)));
        // Some of them pooled and some not: it is one tenant all the same.
        for category in 10..30 {
            let is_pooled = category % 2 == 0;
            interests.record(CategoryId(category), ACME, is_pooled, 4.0, at(i64::from(category)));
        }
        for category in of_bolt {
            assert!(
                interests.strength(category, BOLT, false, at(30)) > 0.0,
                "another tenant's stays"
            );
        }
        assert_eq!(interests.strength(CategoryId(10), ACME, false, at(30)), 0.0);
        assert_eq!(
            interests.top_categories(at(30)),
            [Some(CategoryId(28)), Some(CategoryId(26)), Some(CategoryId(24))]
        );
    }

    proptest! {
        /// Beside a list without a bound: nothing is known that was not told, levels are exact, and
        /// what goes makes room for what comes.
        #[test]
        fn it_agrees_with_a_plain_list(
            events in proptest::collection::vec((0_u32..6, 0_u64..10, 0_i64..400), 1..120),
        ) {
            let mut interests = Interests::default();
            let mut plain: Vec<(Tenant, CategoryId, i64)> = Vec::new();
            let mut second = 0;
            for (category, owner, step) in events {
                second += step;
                let (category, advertiser) = (CategoryId(category), AdvertiserId(owner << 32));
                let tenant = Tenant::new(advertiser, owner % 2 == 0);
                interests.record(category, advertiser, owner % 2 == 0, 1.0, at(second));
                plain.push((tenant, category, second));
                let known: Vec<_> = interests.known().collect();
                for (tenant, entry) in &known {
                    let of_it = plain.iter().filter(|one| one.0 == *tenant && one.1 == entry.category);
                    let exact: f64 = of_it.map(|&(_, _, then)| {
                        let age = (second - then) as f64;
                        (-age / 120.0).exp2() + 0.05 * (-age / 86_400.0).exp2()
                    }).sum();
                    let level = f64::from(entry.level(at(second).as_secs_u32(), interests.kept_s));
                    prop_assert!((level - exact).abs() < 0.01 * exact, "{level} is not {exact}");
                }
                plain.retain(|&(tenant, category, _)| {
                    known.iter().any(|(one, entry)| *one == tenant && entry.category == category)
                });
                let mut tenants: Vec<_> = known.iter().map(|(tenant, _)| tenant.0).collect();
                tenants.sort_unstable();
                tenants.dedup();
                prop_assert_eq!(tenants.len(), usize::from(interests.tenants));
                prop_assert!(known.len() + tenants.len() <= CELLS);
            }
        }
    }

    #[test]
    fn room_is_shared_by_entries_and_tenants() {
        for (tenants, entries) in [(1, 14), (2, 13), (3, 12), (7, 8)] {
            let mut interests = Interests::default();
            for event in 0..60_u32 {
                let advertiser = AdvertiserId((u64::from(event) % tenants) << 32);
                interests.record(CategoryId(event), advertiser, false, 1.0, at(event.into()));
            }
            assert_eq!((interests.entries, u64::from(interests.tenants)), (entries, tenants));
        }
    }

    #[test]
    fn merging_sums_what_both_know_and_keeps_the_strongest() {
        let (mut one, mut two) = (Interests::default(), Interests::default());
        for category in 0..12 {
            one.record(CategoryId(category), ACME, true, 1.0, at(i64::from(category)));
            two.record(CategoryId(category + 6), ACME, true, 2.0, at(1_000));
        }
        let alone = one.strength(CategoryId(11), ACME, true, at(1_000));
        let other = two.strength(CategoryId(11), ACME, true, at(1_000));
        let both = (one, two);
        one.merge(&two);
        two.merge(&both.0);
        assert_eq!((one.entries, one.tenants, two.entries), (14, 1, 14));
        for category in (0..18).map(CategoryId) {
            let either_way =
                [one, two].map(|known| known.strength(category, ACME, true, at(1_000)));
            assert_eq!(either_way[0], either_way[1], "{category:?}");
        }
        let sum = one.strength(CategoryId(11), ACME, true, at(1_000)).exp() - 1.0;
        let expected = alone.exp() + other.exp() - 2.0;
        assert!((sum / expected - 1.0).abs() < 0.002, "{sum} is not {expected}");
        let gone = |category| one.strength(CategoryId(category), ACME, true, at(1_000)) == 0.0;
        assert!((0..4).all(gone) && !(4..18).any(gone), "the oldest of the first made room");
    }
}
