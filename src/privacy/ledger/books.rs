//! What the privacy ledger's records lead to: a fold, the same for the process that writes them, for
//! one that starts again, and for `outbid privacy verify`.
//!
//! Records count when the commit behind them does: what a process left behind without one was never
//! shown, and is passed over. Every record is held against those before it: a day is charged once and
//! before its releases, an interval is released once, owners do not fall.

use super::super::accountant::{Account, Rho};
use super::super::aggregate::CAMPAIGNS_MAX;
use super::super::cell::{CONTEXT_BUCKETS, COUNTERS, KINDS, Kind};
use super::super::claim::Part;
use super::super::mechanism::{Continual, ReleasedStream};
use super::super::prior::{CampaignSums, Estimate};
use super::super::segments::{SegmentSizes, take_sizes};
use super::journal::Mark;
use super::record::{Carried, Committed, DayCharged, Digest, Entry, NotARecord, Record, digest_of};
use crate::units::CampaignId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Half-lives after which a campaign that is no longer declared is forgotten: a sixteenth is left.
const FORGET_HALF_LIVES: i64 = 4;
/// Milliseconds in a UTC day.
const DAY_MS: i64 = 86_400_000;
/// Records that may stand before a commit: a tick of the most counters there can be takes a tenth.
const UNCOMMITTED_MAX: usize = 1 << 17;
/// Charges and commits whose digests are remembered: a mark lags behind by one or two.
const MARKS_MAX: usize = 8;

/// A record that cannot stand where it does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Wrong {
    /// It is no record.
    #[error(transparent)]
    NotARecord(#[from] NotARecord),
    /// A process wrote after a younger one had begun.
    #[error("owner {owner} wrote after owner {newer}")]
    OlderOwner {
        /// Whose record it is.
        owner: u32,
        /// Who wrote before.
        newer: u32,
    },
    /// A day is charged a second time, or after a later one.
    #[error("day {0} is charged twice, or after a later one")]
    ChargedTwice(i32),
    /// A charge that no plan makes.
    #[error("the charge of day {0} makes no sense")]
    Charge(i32),
    /// A release of a day that is not charged.
    #[error("day {0} is released and not charged")]
    Uncharged(i32),
    /// An interval is released a second time, or after a later one.
    #[error("interval {tick} of day {day} is released twice, or after a later one")]
    ReleasedTwice {
        /// The day.
        day: i32,
        /// The interval.
        tick: u16,
    },
    /// What stands before a commit is not what was committed.
    #[error("interval {tick} of day {day} is not whole")]
    Torn {
        /// The day.
        day: i32,
        /// The interval.
        tick: u16,
    },
    /// Sizes of segments on a day that is not charged for them.
    #[error("day {0} releases sizes of segments and is not charged for them")]
    Unpaid(i32),
    /// Integers that are not those of its slots.
    #[error("interval {tick} of day {day} does not fit its slots")]
    Values {
        /// The day.
        day: i32,
        /// The interval.
        tick: u16,
    },
}

/// A campaign's releases of earlier days.
#[derive(Clone, Debug)]
struct Base {
    declared: i32,
    sums: CampaignSums,
}

/// The day that was charged last.
pub struct Today {
    /// Its charge.
    pub charged: DayCharged,
    /// The position of its charge.
    pub position: u64,
    /// The day.
    pub day: i32,
    /// The last segment in which something was committed; 0 before the first.
    pub segment: u16,
    /// The last interval that was released.
    pub tick: Option<u16>,
    /// Whether nobody new is counted any more.
    pub is_full: bool,
    mechanism: Continual,
    slots: BTreeMap<u32, CampaignId>,
    streams: BTreeMap<u32, Vec<ReleasedStream>>,
    banked: BTreeMap<CampaignId, CampaignSums>,
    is_carried: bool,
    bounds: Vec<Vec<u8>>,
    others: Vec<(u8, Vec<u8>)>,
}

#[derive(Default)]
struct Uncommitted {
    of: Option<(u32, i32, u16, u16)>,
    records: Vec<Record>,
    digest: Digest,
}

/// The state of a privacy ledger.
#[derive(Default)]
pub struct Books {
    account: Account,
    owner: u32,
    base: BTreeMap<CampaignId, Base>,
    today: Option<Today>,
    segments: Option<Arc<SegmentSizes>>,
    uncommitted: Uncommitted,
    position: u64,
    commits: u64,
    /// Position and digest of the last charges and commits, the oldest first.
    marks: Vec<(u64, u64)>,
    keeps_bounds: bool,
}

impl Books {
    /// The state of an empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, which also keeps what the bounder wrote on its last day: to go on with it.
    #[must_use]
    pub fn to_resume() -> Self {
        Self { keeps_bounds: true, ..Self::default() }
    }

    /// What the days have cost.
    #[must_use]
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// The day that was charged last.
    #[must_use]
    pub const fn today(&self) -> Option<&Today> {
        self.today.as_ref()
    }

    /// Who wrote the last record; 0 before the first.
    #[must_use]
    pub const fn owner(&self) -> u32 {
        self.owner
    }

    /// The last position.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Intervals that were committed.
    #[must_use]
    pub const fn commits(&self) -> u64 {
        self.commits
    }

    /// Position and digest of the last charge or commit.
    #[must_use]
    pub fn mark(&self) -> Option<(u64, u64)> {
        self.marks.last().copied()
    }

    /// Whether it has been where this mark was made; it is asked for late ones alone.
    #[must_use]
    pub fn has_passed(&self, mark: &Mark) -> bool {
        self.marks.contains(&(mark.position, mark.digest))
    }

    /// Takes in the record at `position`.
    ///
    /// # Errors
    /// [`Wrong`]; nothing may be folded after it.
    pub fn fold(&mut self, position: u64, bytes: &[u8]) -> Result<(), Wrong> {
        let Entry { owner, day, segment, tick, record } = Entry::decode(bytes)?;
        if owner < self.owner {
            return Err(Wrong::OlderOwner { owner, newer: self.owner });
        }
        let of = Some((owner, day, segment, tick));
        if self.uncommitted.of != of {
            self.uncommitted = Uncommitted { of, ..Uncommitted::default() };
        }
        match record {
            Record::DayCharged(charged) => self.charge(position, day, charged)?,
            _ if self.today.as_ref().is_none_or(|today| today.day != day) => {
                return Err(Wrong::Uncharged(day));
            }
            Record::Committed(committed) => self.commit(day, segment, tick, committed)?,
            record => {
                if self.uncommitted.records.len() == UNCOMMITTED_MAX {
                    return Err(Wrong::Torn { day, tick });
                }
                self.uncommitted.digest.add(bytes);
                self.uncommitted.records.push(record);
                self.owner = owner;
                self.position = position;
                return Ok(());
            }
        }
        self.uncommitted = Uncommitted::default();
        self.owner = owner;
        self.position = position;
        if self.marks.len() == MARKS_MAX {
            self.marks.remove(0);
        }
        self.marks.push((position, digest_of(bytes)));
        Ok(())
    }

    fn charge(&mut self, position: u64, day: i32, charged: DayCharged) -> Result<(), Wrong> {
        let mechanism = charged.mechanism();
        let is_sound = charged.cost.day == day
            && charged.cost.is_sound()
            && charged.noise.len() == KINDS
            && charged.noise.iter().all(|variance| variance.is_finite() && *variance > 0.0)
            && charged.spend_unit_nanos > 0
            && charged.half_life_ms > 0;
        let Some(mechanism) = mechanism.filter(|_| is_sound) else {
            return Err(Wrong::Charge(day));
        };
        let mut account = self.account.clone();
        if account.last().is_none() {
            // The beginning of a ledger that was trimmed.
            account = Account::new(charged.history.clone());
        }
        if !account.note(charged.cost.clone()) {
            return Err(Wrong::ChargedTwice(day));
        }
        self.account = account;
        // A trimmed ledger has the day before and no other, and must lead to the same.
        let before = self.today.as_ref().map(|today| today.day);
        self.segments = self.segments.take().filter(|sizes| Some(sizes.day) == before);
        self.base = self.rolled(day, &charged);
        self.today = Some(Today {
            charged,
            position,
            day,
            segment: 0,
            tick: None,
            is_full: false,
            mechanism,
            slots: BTreeMap::new(),
            streams: BTreeMap::new(),
            banked: BTreeMap::new(),
            is_carried: false,
            bounds: Vec::new(),
            others: Vec::new(),
        });
        Ok(())
    }

    fn commit(
        &mut self,
        day: i32,
        segment: u16,
        tick: u16,
        committed: Committed,
    ) -> Result<(), Wrong> {
        let Uncommitted { records, digest, .. } = std::mem::take(&mut self.uncommitted);
        if digest.commit(committed.is_full) != committed {
            return Err(Wrong::Torn { day, tick });
        }
        // Asked for before: there is no other day that a record could be of.
        let Some(today) = &mut self.today else { return Err(Wrong::Uncharged(day)) };
        let is_next = today.tick.is_none_or(|last| tick > last);
        if !is_next || tick >= today.charged.steps || segment < today.segment {
            return Err(Wrong::ReleasedTwice { day, tick });
        }
        if segment > today.segment {
            today.bank(|_| true);
            today.segment = segment;
        }
        let mut carried = None;
        let mut released = BTreeMap::new();
        let mut sizes = None;
        for record in records {
            match record {
                Record::Carried(campaigns) => {
                    carried.get_or_insert_with(Vec::new).extend(campaigns);
                }
                Record::Slots(slots) => {
                    today.give(&slots).ok_or(Wrong::Values { day, tick })?;
                }
                Record::Bounds(sealed) if self.keeps_bounds => today.bounds.push(sealed),
                Record::Other { part, bytes } => {
                    if part == Part::Segments.place() {
                        take_sizes(&bytes, &mut sizes).ok_or(Wrong::Values { day, tick })?;
                    }
                    if self.keeps_bounds {
                        today.others.push((part, bytes));
                    }
                }
                Record::Values { slots, values } => {
                    today
                        .take(&slots, &values, &mut released)
                        .ok_or(Wrong::Values { day, tick })?;
                }
                _ => {}
            }
        }
        if let Some(sizes) = sizes {
            today.check(&sizes, self.segments.as_deref(), tick)?;
            self.segments = Some(Arc::new(sizes));
        }
        today.bank(|slot| !released.contains_key(&slot));
        for (slot, values) in released {
            today.push(slot, &values).ok_or(Wrong::Values { day, tick })?;
        }
        today.tick = Some(tick);
        today.is_full |= committed.is_full;
        if !std::mem::replace(&mut today.is_carried, true)
            && let Some(carried) = carried
        {
            let bases = carried.into_iter().map(Base::of).collect::<Option<_>>();
            self.base = bases.ok_or(Wrong::Values { day, tick })?;
        }
        self.commits += 1;
        Ok(())
    }

    /// Today's records of the bounder, sealed, in order; they are kept once.
    pub fn take_bounds(&mut self) -> Vec<Vec<u8>> {
        self.keeps_bounds = false;
        self.today.as_mut().map(|today| std::mem::take(&mut today.bounds)).unwrap_or_default()
    }

    /// The sizes of segments that were released last, on the day that was charged last or on the one
    /// before.
    #[must_use]
    pub const fn segments(&self) -> Option<&Arc<SegmentSizes>> {
        self.segments.as_ref()
    }

    /// What other parts of the budget have released today, in order: place of the part, and bytes.
    #[must_use]
    pub fn others(&self) -> &[(u8, Vec<u8>)] {
        self.today.as_ref().map_or(&[], |today| &today.others)
    }

    /// What is known of each campaign: earlier days decayed, and today; spend in today's units.
    #[must_use]
    pub fn sums(&self) -> BTreeMap<CampaignId, CampaignSums> {
        self.sums_with(&self.of_today())
    }

    /// The same, where [`Books::of_today`] is at hand: it decodes the whole day.
    pub(in crate::privacy) fn sums_with(
        &self,
        of_today: &BTreeMap<CampaignId, CampaignSums>,
    ) -> BTreeMap<CampaignId, CampaignSums> {
        let mut sums: BTreeMap<_, _> =
            self.base.iter().map(|(id, base)| (*id, base.sums)).collect();
        for (id, today) in of_today {
            add(sums.entry(*id).or_default(), today);
        }
        sums
    }

    /// What is known of each campaign from today alone.
    #[must_use]
    pub fn of_today(&self) -> BTreeMap<CampaignId, CampaignSums> {
        let Some(today) = &self.today else { return BTreeMap::new() };
        let mut sums = today.banked.clone();
        for (slot, streams) in &today.streams {
            if let Some(id) = today.slots.get(slot) {
                add(sums.entry(*id).or_default(), &today.estimates(streams));
            }
        }
        sums
    }

    /// What the earlier days' sums are at the beginning of `day`.
    fn rolled(&self, day: i32, charged: &DayCharged) -> BTreeMap<CampaignId, Base> {
        let Some(today) = &self.today else { return BTreeMap::new() };
        let half_life_ms = charged.half_life_ms;
        // What a unit of spend is worth may change with the day.
        let spend = today.charged.spend_unit_nanos as f64 / charged.spend_unit_nanos as f64;
        let elapsed_ms = |since: i32| i64::from(day).saturating_sub(since.into()) * DAY_MS;
        let factor = (-(elapsed_ms(today.day) as f64) / half_life_ms as f64).exp2();
        let shown = self.of_today();
        let mut rolled = BTreeMap::new();
        for (id, mut sums) in self.sums_with(&shown) {
            let earlier = self.base.get(&id).map_or(today.day, |base| base.declared);
            let declared = if shown.contains_key(&id) { today.day } else { earlier };
            if elapsed_ms(declared) <= half_life_ms.saturating_mul(FORGET_HALF_LIVES) {
                for estimate in sums.iter_mut().flatten() {
                    *estimate = estimate.times(factor);
                }
                for cell in &mut sums {
                    cell[Kind::Spend.index()] = cell[Kind::Spend.index()].times(spend);
                }
                rolled.insert(id, Base { declared, sums });
            }
        }
        rolled
    }

    /// The records that carry the earlier days into a new one, `size` campaigns each.
    pub(in crate::privacy) fn carried(&self, size: usize) -> Vec<Record> {
        let all: Vec<_> = self.base.iter().map(|(id, base)| base.carried(*id)).collect();
        all.chunks(size.max(1)).map(|chunk| Record::Carried(chunk.to_vec())).collect()
    }
}

impl Today {
    /// Whether the earlier days' sums stand among its records.
    #[must_use]
    pub const fn is_carried(&self) -> bool {
        self.is_carried
    }

    /// Which campaign has which slot.
    #[must_use]
    pub const fn slots(&self) -> &BTreeMap<u32, CampaignId> {
        &self.slots
    }

    /// Notes who has which slot; `None` where one is another campaign's, or is none at all.
    fn give(&mut self, slots: &[(u32, u64)]) -> Option<()> {
        for &(slot, id) in slots {
            let before = self.slots.insert(slot, CampaignId(id));
            let is_its_own = before.is_none_or(|before| before.0 == id);
            (is_its_own && (slot as usize) < CAMPAIGNS_MAX).then_some(())?;
        }
        Some(())
    }

    /// Refuses sizes of segments that are not this day's, not paid for, or there already.
    fn check(
        &self,
        sizes: &SegmentSizes,
        last: Option<&SegmentSizes>,
        tick: u16,
    ) -> Result<(), Wrong> {
        let day = self.day;
        if self.charged.cost.part(Part::Segments) == Rho::ZERO {
            return Err(Wrong::Unpaid(day));
        }
        if sizes.day != day {
            return Err(Wrong::Values { day, tick });
        }
        if last.is_some_and(|last| last.day >= day) {
            return Err(Wrong::ReleasedTwice { day, tick });
        }
        Ok(())
    }

    /// Ends the segments of these slots: what they came to stays.
    fn bank(&mut self, is_ended: impl Fn(u32) -> bool) {
        let ended: Vec<_> = self.streams.keys().copied().filter(|slot| is_ended(*slot)).collect();
        for slot in ended {
            let Some(streams) = self.streams.remove(&slot) else { continue };
            let Some(id) = self.slots.get(&slot).copied() else { continue };
            let estimates = self.estimates(&streams);
            add(self.banked.entry(id).or_default(), &estimates);
        }
    }

    /// Sorts integers by their slots; `None` where they are not theirs.
    fn take(
        &self,
        slots: &[u32],
        values: &[i64],
        released: &mut BTreeMap<u32, Vec<i64>>,
    ) -> Option<()> {
        let mut rest = values;
        for slot in slots {
            let steps = self.streams.get(slot).map_or(0, |streams| streams[0].steps());
            let count = self.mechanism.values_at(steps + 1) * COUNTERS;
            let (own, others) = rest.split_at_checked(count)?;
            rest = others;
            let is_new = released.insert(*slot, own.to_vec()).is_none();
            (is_new && self.slots.contains_key(slot)).then_some(())?;
        }
        rest.is_empty().then_some(())
    }

    /// Takes in one step of a slot.
    fn push(&mut self, slot: u32, values: &[i64]) -> Option<()> {
        let streams =
            self.streams.entry(slot).or_insert_with(|| vec![ReleasedStream::default(); COUNTERS]);
        let each = values.len() / COUNTERS;
        let mut parts = values.chunks_exact(each.max(1));
        for stream in streams {
            stream.push(&self.mechanism, parts.next()?).ok()?;
        }
        Some(())
    }

    /// What a slot's segment has come to.
    fn estimates(&self, streams: &[ReleasedStream]) -> CampaignSums {
        let mut sums = CampaignSums::default();
        for (place, stream) in streams.iter().enumerate() {
            let (kind, bucket) = (place / CONTEXT_BUCKETS, place % CONTEXT_BUCKETS);
            let variance = self.mechanism.unit_variance(stream.steps()) * self.charged.noise[kind];
            sums[bucket][kind] = Estimate { value: stream.estimate(&self.mechanism), variance };
        }
        sums
    }
}

impl DayCharged {
    /// The day's mechanism; `None` for a number of steps that it cannot have.
    fn mechanism(&self) -> Option<Continual> {
        let steps = usize::from(self.steps);
        if self.is_tree { Continual::honaker(steps) } else { Continual::toeplitz(steps) }
    }
}

impl Base {
    fn carried(&self, campaign: CampaignId) -> Carried {
        let sums = self.sums.iter().flatten().map(|sum| (sum.value, sum.variance)).collect();
        Carried { campaign: campaign.0, declared: self.declared, sums }
    }

    fn of(carried: Carried) -> Option<(CampaignId, Self)> {
        let mut sums = CampaignSums::default();
        if carried.sums.len() != COUNTERS {
            return None;
        }
        for (sum, (value, variance)) in sums.iter_mut().flatten().zip(carried.sums) {
            (value.is_finite() && variance.is_finite() && variance >= 0.0).then_some(())?;
            *sum = Estimate { value, variance };
        }
        Some((CampaignId(carried.campaign), Self { declared: carried.declared, sums }))
    }
}

fn add(sums: &mut CampaignSums, more: &CampaignSums) {
    for (sum, more) in sums.iter_mut().flatten().zip(more.iter().flatten()) {
        *sum = sum.plus(*more);
    }
}
