//! The contribution bounder: how much of one user's day is counted at all.
//!
//! Per user, UTC day and kind: at most `c` in a cell, at most `K` cells, at most `B` in all; what is
//! beyond is not counted here (it is billed exactly elsewhere). Bounds bias counts of users beyond
//! them downwards; with `c` at the campaigns' frequency cap nobody is beyond.
//!
//! Memory is bounded: at most `users_max` users a day, each at most the kinds' `K` together. The
//! first users of the day are tracked, later ones are not counted. That lets one user's presence
//! turn one other away, which the sensitivity's factor of two pays for (see the room's docs).

use super::cell::{KINDS, Kind};
use super::config::Plan;
use crate::units::UserKey;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// What is counted of one user in one day, for one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// `c`: in one cell, over the whole day.
    pub per_cell: u8,
    /// `K`: different cells.
    pub cells: u8,
    /// `B`: over all cells.
    pub total: u16,
}

impl Bound {
    /// `S^2 = 2 min(K c^2, B c)`: the most by which replacing one user's day can change the squared
    /// L2 norm of a day's counts. The room's docs prove it.
    #[must_use]
    pub fn sensitivity_squared(&self) -> u64 {
        let per_cell = u64::from(self.per_cell);
        let by_cells = u64::from(self.cells) * per_cell * per_cell;
        let by_total = u64::from(self.total) * per_cell;
        2 * by_cells.min(by_total)
    }
}

/// A contribution that passed the bound: the only thing that raw counts accept, once. It cannot be
/// copied or made elsewhere.
#[derive(Debug)]
#[must_use = "an admitted contribution was charged to its user's bound: count it"]
pub struct Admitted {
    cell: u32,
    kind: Kind,
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
}

/// Why a contribution is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The user's bound for this kind is used up, in the cell or in all.
    Bound,
    /// As many users as fit were seen today.
    UsersFull,
}

/// One user's day. 8 bytes a cell; four cells in place, which most users never exceed.
#[derive(Default)]
struct UserDay {
    totals: [u16; KINDS],
    cells: SmallVec<[CellDay; 4]>,
}

struct CellDay {
    cell: u32,
    counts: [u8; KINDS],
}

impl UserDay {
    /// Counts one more of `kind` in `cell` if `bound` allows it.
    fn admit(&mut self, cell: u32, kind: Kind, bound: &Bound) -> bool {
        let kind = kind.index();
        if self.totals[kind] >= bound.total {
            return false;
        }
        let position = self.cells.iter().position(|entry| entry.cell == cell);
        let counted = position.map_or(0, |index| self.cells[index].counts[kind]);
        if counted >= bound.per_cell {
            return false;
        }
        if counted == 0 {
            // A new cell for this kind, even where another kind is counted in it already.
            let used = self.cells.iter().filter(|entry| entry.counts[kind] > 0);
            if used.count() >= usize::from(bound.cells) {
                return false;
            }
        }
        let index = position.unwrap_or_else(|| {
            let counts = [0; KINDS];
            self.cells.push(CellDay { cell, counts });
            self.cells.len() - 1
        });
        // Neither can overflow: both are below a bound of their own type.
        self.cells[index].counts[kind] += 1;
        self.totals[kind] += 1;
        true
    }
}

/// Enforces the bounds of a plan, one UTC day at a time.
pub struct Bounder {
    bounds: [Bound; KINDS],
    users_max: usize,
    day: i32,
    users: FxHashMap<UserKey, UserDay>,
}

impl Bounder {
    /// A bounder that starts with an empty `day`.
    #[must_use]
    pub fn new(plan: &Plan, day: i32) -> Self {
        Self {
            bounds: Kind::ALL.map(|kind| plan.kind(kind).bound),
            users_max: plan.users_max(),
            day,
            users: FxHashMap::default(),
        }
    }

    /// Forgets everybody when `day` is later than the current one; a day never comes back.
    /// Returns whether a new day began.
    pub fn enter(&mut self, day: i32) -> bool {
        let is_later = day > self.day;
        if is_later {
            self.day = day;
            self.users.clear();
        }
        is_later
    }

    /// Admits one contribution of `user` to the cell with this index, or says why not.
    ///
    /// # Errors
    /// [`NotAdmitted`], after which nothing has changed.
    pub fn admit(&mut self, user: UserKey, cell: u32, kind: Kind) -> Result<Admitted, NotAdmitted> {
        let has_room = self.users.len() < self.users_max;
        let day = match self.users.entry(user) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) if has_room => {
                entry.insert(UserDay::default())
            }
            std::collections::hash_map::Entry::Vacant(_) => return Err(NotAdmitted::UsersFull),
        };
        if day.admit(cell, kind, &self.bounds[kind.index()]) {
            Ok(Admitted { cell, kind })
        } else {
            Err(NotAdmitted::Bound)
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
        config.users_max = users_max;
        Plan::try_from(&config).unwrap()
    }

    #[test]
    fn each_limit_holds_by_itself_and_for_its_own_kind() {
        let mut bounder = Bounder::new(&plan(2, 3, 5, 2), 10);
        let mut admit = |user: u64, cell, kind| bounder.admit(UserKey(user), cell, kind).is_ok();
        let kind = Kind::Impression;
        assert!(admit(1, 0, kind) && admit(1, 0, kind) && !admit(1, 0, kind), "c = 2");
        assert!(admit(1, 1, kind) && admit(1, 2, kind) && !admit(1, 3, kind), "K = 3");
        assert!(admit(1, 1, kind) && !admit(1, 2, kind), "B = 5");
        assert!(admit(1, 0, Kind::Click), "kinds do not share a bound");
        assert!(admit(2, 0, kind) && !admit(3, 0, kind), "two users");
    }

    #[test]
    fn a_new_day_renews_and_an_old_one_does_not() {
        let mut bounder = Bounder::new(&plan(1, 1, 1, 1), 10);
        assert!(bounder.admit(UserKey(1), 0, Kind::Impression).is_ok());
        for (day, renews) in [(10, false), (9, false), (11, true), (10, false)] {
            assert_eq!(bounder.enter(day), renews, "{day}");
            assert_eq!(bounder.admit(UserKey(1), 0, Kind::Impression).is_ok(), renews, "{day}");
        }
    }

    /// What a stream of (user, cell) becomes in (interval, cell) counts, four events an interval.
    fn day_vector(plan: &Plan, events: &[(u64, u32)]) -> Vec<i64> {
        let mut bounder = Bounder::new(plan, 0);
        let mut counts = vec![0; (events.len() / 4 + 1) * 8];
        for (index, &(user, cell)) in events.iter().enumerate() {
            // User 0 stands for "nobody": a place in time where nothing happens.
            if user > 0 && bounder.admit(UserKey(user), cell, Kind::Impression).is_ok() {
                counts[index / 4 * 8 + cell as usize] += 1;
            }
        }
        counts
    }

    proptest! {
        #[test]
        fn replacing_a_users_day_changes_a_days_counts_by_at_most_s(
            (per_cell, cells, total, users_max) in (1u8..4, 1u8..4, 1u16..8, 1u32..4),
            events in prop::collection::vec((1u64..6, 0u32..8), 0..80),
            replacement in prop::collection::vec(prop::option::of(0u32..8), 80),
        ) {
            let plan = plan(per_cell, cells, total, users_max);
            let other: Vec<_> = events.iter().zip(&replacement)
                .map(|(&event, &instead)| match (event.0, instead) {
                    (1, Some(cell)) => (1, cell),
                    (1, None) => (0, 0),
                    _ => event,
                })
                .collect();
            let squared: i64 = day_vector(&plan, &events).iter()
                .zip(day_vector(&plan, &other))
                .map(|(one, other)| (one - other).pow(2))
                .sum();
            let bound = plan.kind(Kind::Impression).bound.sensitivity_squared();
            prop_assert!(squared as u64 <= bound, "{squared} above {bound}");
        }
    }

    #[test]
    fn the_factor_of_two_is_reached_by_a_user_who_was_turned_away() {
        let plan = plan(2, 1, 4, 1);
        let with = day_vector(&plan, &[(1, 0), (1, 0), (2, 1), (2, 1)]);
        let without = day_vector(&plan, &[(0, 0), (0, 0), (2, 1), (2, 1)]);
        let squared: i64 = with.iter().zip(&without).map(|(one, other)| (one - other).pow(2)).sum();
        assert_eq!(squared, 8);
        assert_eq!(plan.kind(Kind::Impression).bound.sensitivity_squared(), 8);
    }
}
