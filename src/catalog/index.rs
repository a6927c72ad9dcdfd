//! The eligibility index: which campaigns a request fits, as an AND of dense bitsets.
//!
//! Dense bitsets beat sorted lists and compressed bitmaps at our sizes by 5 to 20 times (measured,
//! ARCHITECTURE.md). Positions in a row are campaigns by their highest CPM, dearest first, so that
//! whoever cannot look at all eligible ones looks at the first. Paused campaigns have no position.

use super::campaign::{Campaign, Status};
use super::facts::RequestFacts;
use super::filters::{DIMENSIONS, Dimension};
use super::hours::{HourMask, hour_of_week};
use super::postings::{
    AT_ONCE, Arena, BLOCK_WORDS, Block, List, OFTEN_SILENT, Posting, Postings, Row, and_all,
    and_either, or, set, silent_bit, unset,
};
use crate::units::Timestamp;
use jiff::tz::TimeZone;
use pulp::Arch;
use std::collections::BTreeMap;
use std::ops::Range;

/// Offsets of time zones are multiples of a quarter hour, so local hours change only then.
const QUARTER_HOUR_MS: i64 = 15 * 60 * 1_000;

/// A value that fewer campaigns name than a quarter of the words of a row has a list: looking at one
/// bit costs about as much as four words of an AND, and lists leave the caches to others.
const DENSE_SHARE: usize = 4;

/// Words of a row of which one word says whether they are empty.
const BUSY_WORDS: usize = 64;

/// Campaigns of one time zone that do not run at all hours.
#[derive(Clone, Debug)]
struct Schedule {
    zone: TimeZone,
    masks: Vec<(u32, HourMask)>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct EligibilityIndex {
    epoch: u64,
    /// Slot index by position.
    slots: Vec<u32>,
    arena: Arena,
    postings: [Postings; DIMENSIONS],
    /// By set of silent dimensions.
    silent: [Row; 1 << OFTEN_SILENT.len()],
    for_minors: Row,
    unscheduled: Row,
    schedules: Vec<Schedule>,
}

/// Reusable memory of one reader. It serves any catalog of one line of epochs, one after the other.
#[derive(Debug, Default)]
pub struct EligibilityScratch {
    epoch: u64,
    quarter: i64,
    /// Campaigns whose hours allow the quarter hour.
    on_air: Vec<Block>,
    /// Campaigns that no filter took out so far.
    left: Vec<Block>,
    /// Those whom one of several values admits.
    union: Vec<Block>,
    /// Rows of which each takes part by itself.
    ands: Vec<Row>,
    /// Lists of those that exclude a value.
    unwanted: Vec<List>,
    /// Rows of which one is enough, group by group.
    rows: Vec<Row>,
    /// The same of lists.
    lists: Vec<List>,
    /// Dimensions whose known values are not one row.
    groups: Vec<Group>,
}

/// One dimension's part of rows and of lists. Of rows it has at least one, which holds those without a
/// wish, and beside that one another row or list.
#[derive(Clone, Debug)]
struct Group {
    rows: Range<usize>,
    lists: Range<usize>,
}

impl EligibilityIndex {
    /// Builds the index over active campaigns; `campaigns` is by slot index.
    #[must_use]
    pub fn build(campaigns: &[Option<Campaign>], epoch: u64) -> Self {
        let words = campaigns.len().div_ceil(64);
        Self::build_with(campaigns, epoch, words.div_ceil(DENSE_SHARE))
    }

    /// The same, where values of fewer than `dense_from` campaigns become lists.
    pub(super) fn build_with(
        campaigns: &[Option<Campaign>],
        epoch: u64,
        dense_from: usize,
    ) -> Self {
        let active = |campaign: &&Campaign| campaign.status == Status::Active;
        let mut ordered: Vec<&Campaign> = campaigns.iter().flatten().filter(active).collect();
        // Amounts of different currencies are compared as they stand: the order only says whom to
        // look at first.
        ordered
            .sort_by_key(|campaign| (std::cmp::Reverse(campaign.bid.max_cpm), campaign.slot.index));
        let mut arena = Arena::new(ordered.len());
        let everybody: Vec<u32> = (0u32..).take(ordered.len()).collect();
        let all = arena.add(&everybody);
        let postings = Dimension::ALL.map(|dimension| {
            let lists = ordered.iter().map(|campaign| {
                (campaign.filters.included(dimension), campaign.filters.excluded(dimension))
            });
            Postings::gather(&mut arena, all, lists, dense_from)
        });
        let mut silent = [all; 1 << OFTEN_SILENT.len()];
        for set in 1..silent.len() {
            let lowest = set.trailing_zeros() as usize;
            let any = postings[OFTEN_SILENT[lowest] as usize].any;
            silent[set] = arena.add_both(silent[set & (set - 1)], any);
        }
        let positions_of = |holds: &dyn Fn(&Campaign) -> bool| {
            let found = (0u32..).zip(&ordered).filter(|(_, campaign)| holds(campaign));
            found.map(|(position, _)| position).collect::<Vec<_>>()
        };
        let for_adults = positions_of(&|one| one.filters.adults_only);
        let for_minors = arena.add_without(all, &for_adults);
        let unscheduled = arena.add(&positions_of(&|one| one.filters.hours.is_none()));
        Self {
            epoch,
            slots: ordered.iter().map(|campaign| campaign.slot.index).collect(),
            arena,
            postings,
            silent,
            for_minors,
            unscheduled,
            schedules: schedules(&ordered),
        }
    }

    /// How many campaigns are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no campaign is active.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Writes the slot indexes of the campaigns that the request passes every filter of into `out`
    /// (cleared first), highest max CPM first, ties by slot. Exactly those for which
    /// [`super::Catalog::exclusion_reasons`] is empty.
    pub fn eligible(
        &self,
        facts: &RequestFacts,
        scratch: &mut EligibilityScratch,
        out: &mut Vec<u32>,
    ) {
        out.clear();
        if self.slots.is_empty() {
            return;
        }
        scratch.prepare(self, facts.now);
        self.look_up(facts, scratch);
        Arch::new().dispatch(Narrow { index: self, scratch, out });
    }

    /// Finds the postings of the request's values, those that want it and those that do not: one row for
    /// a dimension where one is enough, a group where several values are known, and one row for all
    /// dimensions that stay silent.
    fn look_up(&self, facts: &RequestFacts, scratch: &mut EligibilityScratch) {
        let EligibilityScratch { ands, unwanted, rows, lists, groups, .. } = scratch;
        ands.clear();
        unwanted.clear();
        rows.clear();
        lists.clear();
        groups.clear();
        for (dimension, postings) in self.known() {
            facts.values(dimension).iter().for_each(|key| postings.values.prefetch(*key));
        }
        let mut silent = 0;
        for (dimension, postings) in self.known() {
            let (rows_from, lists_from) = (rows.len(), lists.len());
            for key in facts.values(dimension) {
                let value = postings.values.get(*key);
                value.include.into_iter().for_each(|posting| self.take(posting, rows, lists));
                value.exclude.into_iter().for_each(|posting| self.take(posting, ands, unwanted));
            }
            if !postings.is_restricting {
                continue;
            }
            match (&rows[rows_from..], &lists[lists_from..], silent_bit(dimension)) {
                ([], [], Some(bit)) => silent |= bit,
                ([], [], None) => ands.push(postings.any),
                ([_], [], _) => ands.extend(rows.pop()),
                (found, ..) => {
                    if found.is_empty() {
                        rows.push(postings.any);
                    }
                    let (rows, lists) = (rows_from..rows.len(), lists_from..lists.len());
                    groups.push(Group { rows, lists });
                }
            }
        }
        self.arena.prefetch(self.silent[silent]);
        ands.push(self.silent[silent]);
        if facts.minor {
            ands.push(self.for_minors);
        }
    }

    /// Dimensions in which any campaign names a value.
    fn known(&self) -> impl Iterator<Item = (Dimension, &Postings)> {
        let all = Dimension::ALL.into_iter().zip(&self.postings);
        all.filter(|(_, postings)| !postings.values.is_empty())
    }

    /// Sorts a posting to its like, and asks for what it leads to.
    fn take(&self, posting: Posting, rows: &mut Vec<Row>, lists: &mut Vec<List>) {
        self.arena.prefetch_posting(posting);
        match posting {
            Posting::Dense(row) => rows.push(row),
            Posting::Sparse(list) => lists.push(list),
        }
    }

    /// Starts with whoever is on air, passes all dimensions of one row and excludes no value, some rows
    /// at a time: what is left lies in the core's own cache, and a plain loop over words becomes vectors.
    #[inline(always)]
    fn start(&self, scratch: &mut EligibilityScratch) {
        let EligibilityScratch { on_air, left, ands, unwanted, .. } = scratch;
        left.clone_from(on_air);
        for some in ands.chunks(AT_ONCE) {
            // Where there are too few, the first of them once more changes nothing.
            let row = |place: usize| self.arena.row(*some.get(place).unwrap_or(&some[0]));
            and_all(left, std::array::from_fn(row));
        }
        for list in unwanted.iter() {
            unset(left, self.arena.positions(*list));
        }
    }

    /// Keeps whom one of a group's values admits, or who has no wish in that dimension. All whom a
    /// list admits are set, whether they are left or not: a branch on that would be foreseen by nobody.
    #[inline(always)]
    fn admit(&self, group: usize, scratch: &mut EligibilityScratch) {
        let EligibilityScratch { left, union, rows, lists, groups, .. } = scratch;
        let Group { rows: of_rows, lists: of_lists } = groups[group].clone();
        let (rows, lists) = (&rows[of_rows], &lists[of_lists]);
        let first = self.arena.row(rows[0]);
        let second = match (&rows[1..], lists) {
            ([row], []) => self.arena.row(*row),
            (others, lists) => {
                union.clear();
                union.resize(first.len(), [0; BLOCK_WORDS]);
                others.iter().for_each(|row| or(union, self.arena.row(*row)));
                lists.iter().for_each(|list| set(union, self.arena.positions(*list)));
                union
            }
        };
        and_either(left, first, second);
    }

    /// Reads the slots of whoever is left. Words in which nobody is are sorted out first, without a
    /// branch: a third of them is not empty, and which is nobody foresees.
    #[inline(always)]
    fn read_out(&self, scratch: &EligibilityScratch, out: &mut Vec<u32>) {
        let slots = self.slots.chunks(64 * BUSY_WORDS);
        for (words, slots) in scratch.left.as_flattened().chunks(BUSY_WORDS).zip(slots) {
            let mut busy =
                (0..).zip(words).fold(0, |busy, (at, word)| busy | u64::from(*word != 0) << at);
            while busy != 0 {
                let number = busy.trailing_zeros() as usize;
                busy &= busy - 1;
                let mut word = words[number];
                while word != 0 {
                    out.push(slots[64 * number + word.trailing_zeros() as usize]);
                    word &= word - 1;
                }
            }
        }
    }
}

/// What of a look-up runs over rows, compiled for the widest instructions that the processor has.
struct Narrow<'a> {
    index: &'a EligibilityIndex,
    scratch: &'a mut EligibilityScratch,
    out: &'a mut Vec<u32>,
}

impl pulp::NullaryFnOnce for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { index, scratch, out } = self;
        index.start(scratch);
        for group in 0..scratch.groups.len() {
            index.admit(group, scratch);
        }
        index.read_out(scratch, out);
    }
}

fn schedules(ordered: &[&Campaign]) -> Vec<Schedule> {
    let mut by_zone: BTreeMap<&str, Schedule> = BTreeMap::new();
    for (position, campaign) in (0u32..).zip(ordered) {
        if let Some(mask) = campaign.filters.hours {
            let schedule = by_zone.entry(campaign.time_zone_name()).or_insert_with(|| Schedule {
                zone: campaign.time_zone.clone(),
                masks: Vec::new(),
            });
            schedule.masks.push((position, mask));
        }
    }
    by_zone.into_values().collect()
}

impl EligibilityScratch {
    /// Sizes the buffers and, when the quarter hour or the catalog changed, finds out who is on
    /// air.
    fn prepare(&mut self, index: &EligibilityIndex, now: Timestamp) {
        let quarter = now.0.div_euclid(QUARTER_HOUR_MS);
        let blocks = index.arena.blocks_per_row();
        if self.epoch == index.epoch && self.quarter == quarter && self.on_air.len() == blocks {
            return;
        }
        self.epoch = index.epoch;
        self.quarter = quarter;
        self.on_air.clear();
        self.on_air.extend_from_slice(index.arena.row(index.unscheduled));
        for schedule in &index.schedules {
            let hour = hour_of_week(now, &schedule.zone);
            let on = schedule.masks.iter().filter(|(_, mask)| mask.has(hour));
            on.for_each(|(position, _)| set(&mut self.on_air, &[*position]));
        }
    }
}
