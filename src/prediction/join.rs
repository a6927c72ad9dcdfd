//! Where shown ads wait for their clicks.
//!
//! A show is keyed by its hold, which is charged once, so a repeat of either notice is seen for
//! what it is until the window ends. When the table is full the newcomer is turned away and
//! counted: whether it will be clicked is not known yet, so leaving it out keeps the click rate
//! true, whereas flushing the oldest as "not clicked" would not.
//!
//! A clicked show waits out its window like any other. Were clicks handed on at once, a run's first
//! window would teach nothing but clicks, and every growth of traffic too many of them.

use super::features::{AdIds, ContextFeatures, Cross};
use crate::units::{HoldId, Timestamp, UserKey};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::collections::hash_map::Entry as MapEntry;

/// A shown ad as it was scored.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The bid's hold.
    pub hold: HoldId,
    /// The request.
    pub context: ContextFeatures,
    /// The ad ([`super::ModelSnapshot::ad_ids`]).
    pub ad: AdIds,
    /// Interest and prior as scored.
    pub cross: Cross,
    /// The model's logit, before calibration; not a number where something else than the model made
    /// the prediction.
    pub logit: f32,
    /// The conversion rate that the campaign declares, as a logit; not a number where it declares
    /// none.
    pub conversion_prior_logit: f32,
    /// The click probability that the bid was made on.
    pub predicted: f32,
    /// Hash of the campaign's calibration group.
    pub calibration_group: u16,
    /// Who saw it, where that may be measured.
    pub user: Option<UserKey>,
    /// When it was shown.
    pub at: Timestamp,
    /// The experiment's arm; arms from 3 on are counted together.
    pub arm: u8,
    /// Whether the model may learn from it. Its quality is counted in any case.
    pub learn: bool,
}

// A hundred and some bytes each while they wait: `Config::JOIN_MAX` counts on it.
const _: () = assert!(size_of::<Example>() <= 184);

/// What became of a show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It waits.
    Waiting,
    /// Its hold is in the table already.
    Duplicate,
    /// Its window had ended before it came.
    Stale,
    /// The table is full.
    Full,
}

/// What became of a click.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matched {
    /// The first click of this show.
    First,
    /// The show was clicked before.
    Duplicate,
    /// The click came after the show's window.
    Late,
    /// No show waits under this hold.
    Unknown,
}

struct Waiting {
    deadline: Timestamp,
    is_clicked: bool,
    example: Box<Example>,
}

/// Shown ads by hold, each until its window ends.
pub(super) struct JoinTable {
    window_ms: i64,
    max: usize,
    // Holds are numbers that we dealt and sealed; no stranger chooses them, so a fast hash will do.
    waiting: FxHashMap<HoldId, Waiting>,
    deadlines: BTreeSet<(Timestamp, HoldId)>,
    now: Timestamp,
}

impl JoinTable {
    /// An empty table of at most `max` shows that wait `window_ms` each.
    pub(super) fn new(window_ms: i64, max: usize) -> Self {
        Self {
            window_ms,
            max,
            waiting: FxHashMap::default(),
            deadlines: BTreeSet::new(),
            now: Timestamp(i64::MIN),
        }
    }

    /// Lets a show wait.
    pub(super) fn admit(&mut self, example: Box<Example>) -> Admission {
        let deadline = example.at.plus_millis(self.window_ms);
        // Its repeat may have come and gone: only inside the window can repeats be told.
        if deadline <= self.now {
            return Admission::Stale;
        }
        let is_full = self.waiting.len() >= self.max;
        match self.waiting.entry(example.hold) {
            MapEntry::Occupied(_) => Admission::Duplicate,
            MapEntry::Vacant(_) if is_full => Admission::Full,
            MapEntry::Vacant(place) => {
                self.deadlines.insert((deadline, example.hold));
                place.insert(Waiting { deadline, is_clicked: false, example });
                Admission::Waiting
            }
        }
    }

    /// Matches a click with its show.
    pub(super) fn click(&mut self, hold: HoldId, at: Timestamp) -> Matched {
        let Some(waiting) = self.waiting.get_mut(&hold) else {
            return Matched::Unknown;
        };
        if at >= waiting.deadline {
            return Matched::Late;
        }
        if std::mem::replace(&mut waiting.is_clicked, true) {
            Matched::Duplicate
        } else {
            Matched::First
        }
    }

    /// Drops the shows of these users. Returns how many.
    pub(super) fn forget(&mut self, users: &[UserKey]) -> usize {
        let deadlines = &mut self.deadlines;
        let before = self.waiting.len();
        self.waiting.retain(|hold, Waiting { deadline, example, .. }| {
            let is_theirs = example.user.is_some_and(|user| users.contains(&user));
            if is_theirs {
                deadlines.remove(&(*deadline, *hold));
            }
            !is_theirs
        });
        before - self.waiting.len()
    }

    /// The waiting show of this hold.
    pub(super) fn example(&self, hold: HoldId) -> Option<&Example> {
        self.waiting.get(&hold).map(|waiting| &*waiting.example)
    }

    /// Moves the present to `now` (never back).
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// The next show whose window has ended, and whether it was clicked, in order of their windows'
    /// ends.
    pub(super) fn next_ended(&mut self) -> Option<(Box<Example>, bool)> {
        let &(deadline, hold) = self.deadlines.first()?;
        if deadline > self.now {
            return None;
        }
        self.deadlines.pop_first();
        let ended = self.waiting.remove(&hold)?;
        Some((ended.example, ended.is_clicked))
    }

    /// How long the oldest show whose window has ended has waited since, in ms; 0 where none has.
    pub(super) fn lag_ms(&self) -> i64 {
        let oldest = self.deadlines.first().map_or(self.now, |(deadline, _)| *deadline);
        self.now.0.saturating_sub(oldest.0).max(0)
    }

    /// The present.
    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    /// How many shows wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
