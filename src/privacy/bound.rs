//! The contribution bounder: how much of one user's day is counted at all.
//!
//! Per user, UTC day and kind: at most `c` in a cell, at most `K` cells, at most `B` in all; what is
//! beyond is not counted here (it is billed exactly elsewhere). Bounds bias counts of users beyond
//! them downwards; with `c` at the campaigns' frequency cap nobody is beyond.
//!
//! Whether one user is counted never depends on another: the table takes whoever comes until a noisy
//! comparison, which is itself a release, has said that the day is full ([`Bounder::close`]). So a
//! user's day that is replaced by the empty one changes that user's counts and nobody else's.
//! Memory is bounded by a physical limit of [`Bounder::OVERFLOW`] times `users_max`: one user beyond
//! it, and nothing of the day is released any more.

use super::cell::{KINDS, Kind};
use super::config::Plan;
use super::day_key::Pseudonym;
use super::segments::Segment;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// What is counted of one user in one day, for one kind, in the kind's units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// `c`: in one cell, over the whole day.
    pub per_cell: u16,
    /// `K`: different cells.
    pub cells: u8,
    /// `B`: over all cells.
    pub total: u32,
}

impl Bound {
    /// `S^2 = min(K c^2, B c)`: the most that one user's day can have as squared L2 norm of its
    /// sums by cell, hence the most by which taking the day away can change them. The room's docs
    /// prove it.
    #[must_use]
    pub fn sensitivity_squared(&self) -> u64 {
        let per_cell = u64::from(self.per_cell);
        let by_cells = u64::from(self.cells) * per_cell * per_cell;
        let by_total = u64::from(self.total) * per_cell;
        by_cells.min(by_total)
    }
}

/// A contribution that passed the bound: the only thing that raw counts accept, once. It cannot be
/// copied or made elsewhere.
#[derive(Debug)]
#[must_use = "an admitted contribution was charged to its user's bound: count it"]
pub struct Admitted {
    cell: u32,
    kind: Kind,
    units: u16,
}

impl Admitted {
    /// Where it is counted.
    pub(super) const fn cell(&self) -> usize {
        self.cell as usize
    }

    /// What it is.
    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// How much of it.
    pub(super) const fn units(&self) -> u16 {
        self.units
    }
}

/// Why a contribution is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The user's bound for this kind is used up, in the cell or in all.
    Bound,
    /// The day was said to be full before this user came.
    UsersFull,
}

/// One user's day. 12 bytes a cell; four cells in place, which most users never exceed.
#[derive(Default)]
struct UserDay {
    /// Shown ads that taught.
    examples: u16,
    totals: [u32; KINDS],
    segments: Vec<Segment>,
    cells: SmallVec<[CellDay; 4]>,
}

struct CellDay {
    cell: u32,
    counts: [u16; KINDS],
}

impl UserDay {
    /// Counts up to `units` more of `kind` in `cell`: as many as `bound` leaves, which may be none.
    fn admit(&mut self, cell: u32, kind: Kind, units: u16, bound: &Bound) -> u16 {
        let kind = kind.index();
        let position = self.cells.iter().position(|entry| entry.cell == cell);
        let counted = position.map_or(0, |index| self.cells[index].counts[kind]);
        let left = bound.total.saturating_sub(self.totals[kind]);
        let units = units
            .min(bound.per_cell.saturating_sub(counted))
            .min(u16::try_from(left).unwrap_or(u16::MAX));
        if units == 0 {
            return 0;
        }
        if counted == 0 {
            // A new cell for this kind, even where another kind is counted in it already.
            let used = self.cells.iter().filter(|entry| entry.counts[kind] > 0);
            if used.count() >= usize::from(bound.cells) {
                return 0;
            }
        }
        let index = position.unwrap_or_else(|| {
            let counts = [0; KINDS];
            self.cells.push(CellDay { cell, counts });
            self.cells.len() - 1
        });
        // Neither can overflow: both end at a bound of their own type.
        self.cells[index].counts[kind] += units;
        self.totals[kind] += u32::from(units);
        units
    }
}

/// Enforces the bounds of a plan, one UTC day at a time.
pub struct Bounder {
    bounds: [Bound; KINDS],
    examples_max: u16,
    segments_max: usize,
    users_max: usize,
    day: i32,
    users: FxHashMap<Pseudonym, UserDay>,
    is_closed: bool,
    is_overrun: bool,
}

impl Bounder {
    /// Users tracked at most, in parts of `users_max`: where the noisy comparison errs this far, the
    /// day is not released any more.
    pub const OVERFLOW: usize = 2;

    /// A bounder that starts with an empty `day`.
    #[must_use]
    pub fn new(plan: &Plan, day: i32) -> Self {
        Self {
            bounds: Kind::ALL.map(|kind| plan.kind(kind).bound),
            examples_max: plan.model_examples(),
            segments_max: plan.segments_per_user().into(),
            users_max: plan.users_max(),
            day,
            users: FxHashMap::default(),
            is_closed: false,
            is_overrun: false,
        }
    }

    /// Forgets everybody when `day` is later than the current one; a day never comes back.
    /// Returns whether a new day began.
    pub fn enter(&mut self, day: i32) -> bool {
        let is_later = day > self.day;
        if is_later {
            self.day = day;
            self.users.clear();
            self.is_closed = false;
            self.is_overrun = false;
        }
        is_later
    }

    /// Users that are tracked: a raw count, for the noisy comparison alone.
    pub(super) fn users(&self) -> usize {
        self.users.len()
    }

    /// The day is full: nobody new is counted until it ends.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether more users came than can be tracked: the day can be released no more.
    pub(super) const fn is_overrun(&self) -> bool {
        self.is_overrun
    }

    /// Admits up to `units` of `user` to the cell with this index, or says why not.
    ///
    /// # Errors
    /// [`NotAdmitted`], after which nothing is counted.
    pub fn admit(
        &mut self,
        user: Pseudonym,
        cell: u32,
        kind: Kind,
        units: u16,
    ) -> Result<Admitted, NotAdmitted> {
        let bound = self.bounds[kind.index()];
        match self.day_of(user)?.admit(cell, kind, units, &bound) {
            0 => Err(NotAdmitted::Bound),
            units => Ok(Admitted { cell, kind, units }),
        }
    }

    /// Admits one shown ad that teaches, of which the first of a user's day are counted.
    ///
    /// # Errors
    /// [`NotAdmitted`], after which nothing is counted.
    pub(super) fn admit_example(&mut self, user: Pseudonym) -> Result<(), NotAdmitted> {
        let examples_max = self.examples_max;
        let day = self.day_of(user)?;
        if day.examples >= examples_max {
            return Err(NotAdmitted::Bound);
        }
        day.examples += 1;
        Ok(())
    }

    /// Admits `user` to a segment, of which the first of a user's day are counted, and each once.
    ///
    /// # Errors
    /// [`NotAdmitted`], after which nothing is counted.
    pub(super) fn admit_segment(
        &mut self,
        user: Pseudonym,
        segment: Segment,
    ) -> Result<(), NotAdmitted> {
        let segments_max = self.segments_max;
        let day = self.day_of(user)?;
        if day.segments.len() >= segments_max || day.segments.contains(&segment) {
            return Err(NotAdmitted::Bound);
        }
        day.segments.push(segment);
        Ok(())
    }

    /// What was counted of `user`, who is tracked from now on if there is room.
    fn day_of(&mut self, user: Pseudonym) -> Result<&mut UserDay, NotAdmitted> {
        let is_open = !self.is_closed;
        let has_room = self.users.len() < self.users_max * Self::OVERFLOW;
        match self.users.entry(user) {
            std::collections::hash_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::hash_map::Entry::Vacant(entry) if is_open && has_room => {
                Ok(entry.insert(UserDay::default()))
            }
            std::collections::hash_map::Entry::Vacant(_) => {
                self.is_overrun |= is_open;
                Err(NotAdmitted::UsersFull)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::{Config, KindConfig};
    use proptest::prelude::*;

    fn plan(per_cell: u8, cells: u8, total: u16, users_max: u32) -> Plan {
        let mut config = Config::default();
        config.impressions = KindConfig { per_cell, cells, total, ..config.impressions };
        let plan = Plan::try_from(&config).unwrap();
        plan.with_users_max(users_max as usize)
    }

    #[test]
    fn each_limit_holds_by_itself_and_for_its_own_kind() {
        let mut bounder = Bounder::new(&plan(2, 3, 5, 1), 10);
        let mut admit =
            |user: u64, cell, kind| bounder.admit(Pseudonym(user), cell, kind, 1).is_ok();
        let kind = Kind::Impression;
        assert!(admit(1, 0, kind) && admit(1, 0, kind) && !admit(1, 0, kind), "c = 2");
        assert!(admit(1, 1, kind) && admit(1, 2, kind) && !admit(1, 3, kind), "K = 3");
        assert!(admit(1, 1, kind) && !admit(1, 2, kind), "B = 5");
        assert!(admit(1, 0, Kind::Click), "kinds do not share a bound");
        assert!(admit(2, 0, kind) && !admit(3, 0, kind), "twice one user");
        assert!(bounder.is_overrun());
    }

    #[test]
    fn the_first_examples_of_a_users_day_teach_and_no_others() {
        let config = Config { model_examples: 2, ..Config::default() };
        let plan = Plan::try_from(&config).unwrap().with_users_max(2);
        let mut bounder = Bounder::new(&plan, 10);
        let mut teaches = |user: u64| bounder.admit_example(Pseudonym(user));
        assert_eq!([teaches(1), teaches(1), teaches(1)], [Ok(()), Ok(()), Err(NotAdmitted::Bound)]);
        assert_eq!([teaches(2), teaches(2), teaches(2)], [Ok(()), Ok(()), Err(NotAdmitted::Bound)]);
        assert!(bounder.admit(Pseudonym(1), 0, Kind::Impression, 1).is_ok(), "a bound of its own");
        bounder.close();
        assert_eq!(bounder.admit_example(Pseudonym(3)), Err(NotAdmitted::UsersFull));
        bounder.enter(11);
        assert_eq!(bounder.admit_example(Pseudonym(1)), Ok(()));
    }

    #[test]
    fn what_exceeds_a_bound_is_cut_off_and_a_closed_day_takes_nobody_new() {
        let mut bounder = Bounder::new(&plan(2, 3, 5, 9), 10);
        let bound = bounder.bounds[Kind::Spend.index()];
        let mut units = |user: u64, units| {
            bounder.admit(Pseudonym(user), 0, Kind::Spend, units).map_or(0, |one| one.units())
        };
        assert_eq!(units(1, bound.per_cell - 1), bound.per_cell - 1);
        assert_eq!(units(1, u16::MAX), 1);
        assert_eq!(units(1, 1), 0);
        bounder.close();
        let mut admit = |user: u64| bounder.admit(Pseudonym(user), 0, Kind::Click, 1);
        assert!(admit(1).is_ok(), "who is tracked stays");
        assert_eq!(admit(2).unwrap_err(), NotAdmitted::UsersFull);
        assert!(!bounder.is_overrun());
    }

    #[test]
    fn a_new_day_renews_and_an_old_one_does_not() {
        let mut bounder = Bounder::new(&plan(1, 1, 1, 1), 10);
        let mut is_admitted = |day: Option<i32>| {
            let entered = day.is_some_and(|day| bounder.enter(day));
            (entered, bounder.admit(Pseudonym(1), 0, Kind::Impression, 1).is_ok())
        };
        assert_eq!(is_admitted(None), (false, true));
        for (day, renews) in [(10, false), (9, false), (11, true), (10, false)] {
            assert_eq!(is_admitted(Some(day)), (renews, renews), "{day}");
        }
    }

    /// What a stream of (user, cell) becomes as sums by cell, and whether the day was overrun.
    fn day_vector(plan: &Plan, events: &[(u64, u32, u16)], kind: Kind) -> (Vec<i64>, bool) {
        let mut bounder = Bounder::new(plan, 0);
        let mut counts = vec![0; 8];
        for &(user, cell, units) in events {
            // User 0 stands for "nobody": a place in time where nothing happens.
            if user > 0
                && let Ok(admitted) = bounder.admit(Pseudonym(user), cell, kind, units)
            {
                counts[admitted.cell()] += i64::from(admitted.units());
            }
        }
        (counts, bounder.is_overrun())
    }

    proptest! {
        #[test]
        fn taking_a_users_day_away_changes_a_days_sums_by_at_most_s(
            (per_cell, cells, total, users_max) in (1u8..4, 1u8..4, 1u16..8, 1u32..4),
            events in prop::collection::vec((1u64..6, 0u32..8, prop_oneof![Just(1u16), any::<u16>()]), 0..80),
            is_spend in any::<bool>(),
        ) {
            let plan = plan(per_cell, cells, total, users_max);
            let kind = if is_spend { Kind::Spend } else { Kind::Impression };
            let other: Vec<_> = events.iter()
                .map(|&event| if event.0 == 1 { (0, 0, 0) } else { event })
                .collect();
            let (one, is_overrun) = day_vector(&plan, &events, kind);
            // An overrun day is not released at all.
            prop_assume!(!is_overrun);
            let (other, _) = day_vector(&plan, &other, kind);
            let squared: i64 = one.iter().zip(&other).map(|(one, other)| (one - other).pow(2)).sum();
            let bound = plan.kind(kind).bound.sensitivity_squared();
            prop_assert!(squared as u64 <= bound, "{squared} above {bound}");
        }
    }

    #[test]
    fn the_bound_is_reached() {
        let plan = plan(2, 2, 4, 1);
        let (with, _) = day_vector(&plan, &[(1, 0, 9), (1, 1, 9), (1, 2, 9)], Kind::Impression);
        assert_eq!(with.iter().map(|count| count * count).sum::<i64>(), 8);
        assert_eq!(plan.kind(Kind::Impression).bound.sensitivity_squared(), 8);
    }
}
