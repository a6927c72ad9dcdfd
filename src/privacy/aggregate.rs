//! What the [`AggregateActor`](super::AggregateActor) owns: cells, counts, bounds and the account.
//!
//! Pure: time comes in as an argument. Intervals are closed by `advance` only, at fixed times of
//! the UTC day, never because of what was counted. A tick that comes late closes one longer
//! interval; one that names an earlier time closes nothing.

use super::accountant::Figures;
use super::actor::Contribute;
use super::bound::{Bounder, NotAdmitted};
use super::cell::{CONTEXT_BUCKETS, COUNTERS, Kind};
use super::config::{Error, Part, Plan};
use super::day_key::{Admission, DayKey, Pseudonym};
use super::gradient::{GradientSums, Taught};
use super::magnitude::magnitude;
use super::mechanism::RawCounts;
use super::opening::Opening;
use super::release::{Closing, LedgerStatus};
use super::segments::{JoinSegment, Joined, SegmentCounts};
use super::stop::Stop;
use crate::units::{CampaignId, Timestamp};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::collections::BTreeMap;

/// Most campaigns declared in one day, however few its releases are: 64 counters each.
pub const CAMPAIGNS_MAX: usize = 100_000;
/// What a day's counters may remember: each takes 16 bytes a release of the day, half of it raw and
/// half of it released. With 288 releases a day, 14,500 campaigns fit.
const HISTORY_BYTES_MAX: usize = 4 << 30;
/// Milliseconds in a UTC day.
const DAY_MS: i64 = 86_400_000;
/// A contribution that happened longer before the open day is not counted: a log that is read again
/// must not count old days a second time.
const LATE_MS_MAX: i64 = DAY_MS;

/// Contributions that were not counted since the start, by reason; what is shown of them are
/// magnitudes, as of all counts over users that are no releases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The user allowed no measurement, or is unknown.
    pub no_permission: u64,
    /// The campaign was not declared.
    pub undeclared: u64,
    /// Beyond the user's bound for the day.
    pub over_bound: u64,
    /// More users than fit today.
    pub users_full: u64,
    /// Happened more than a day before the open one.
    pub stale: u64,
}

impl Dropped {
    const fn magnitudes(self) -> Self {
        Self {
            no_permission: magnitude(self.no_permission),
            undeclared: magnitude(self.undeclared),
            over_bound: magnitude(self.over_bound),
            users_full: magnitude(self.users_full),
            stale: magnitude(self.stale),
        }
    }
}

/// What the actor says of itself: the account, and nothing that was counted about anybody.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AggregateStatus {
    /// The open UTC day, since 1970.
    pub day: i32,
    /// The open interval of that day, from 0.
    pub interval: u16,
    /// Why nothing is released: one of a few words.
    pub stopped: Option<&'static str>,
    /// The same for a person.
    pub stopped_because: Option<String>,
    /// Epsilon spent of the open day, at `delta`.
    pub epsilon_spent: f64,
    /// Epsilon that a day may cost.
    pub epsilon_budget: f64,
    /// Epsilon of thirty days at full budget, at `delta`.
    pub epsilon_30_days: f64,
    /// Delta at which each epsilon is stated.
    pub delta: f64,
    /// Rho spent of the open day.
    pub rho_spent: f64,
    /// Rho that a day may cost.
    pub rho_budget: f64,
    /// Rho spent of the open day, by part.
    pub parts: BTreeMap<&'static str, f64>,
    /// What the open day, the last 7 and the last 30 days cost.
    pub spent_over: BTreeMap<&'static str, Figures>,
    /// Whether the open day takes nobody new.
    pub is_full: bool,
    /// The run of mechanisms within the day that was charged last, from 1.
    pub segment: u16,
    /// Where the ledger ends, and the digest of its last charge or commit.
    pub position: u64,
    /// See `position`.
    pub digest: String,
    /// Intervals released since the start.
    pub releases: u64,
    /// Intervals that were not released: stopped, refused, failed.
    pub refused: u64,
    /// Declared cells: campaigns by contexts.
    pub cells: usize,
    /// Campaigns turned away because more than fit were declared.
    pub campaigns_refused: u64,
    /// Contributions not counted, as magnitudes.
    pub dropped: Dropped,
}

/// Sums of no gradients, where the model learns from releases.
fn no_gradients(plan: &Plan) -> Option<GradientSums> {
    let dimensions = plan.model_dimensions;
    (dimensions > 0).then(|| GradientSums::new(dimensions))
}

/// The state behind the actor.
pub(super) struct Aggregate {
    plan: Plan,
    /// None where the machine had no random bytes at the day's beginning: nobody is counted then.
    key: Option<DayKey>,
    bounder: Bounder,
    raw: RawCounts,
    /// What was taught, where the model learns from releases.
    gradients: Option<GradientSums>,
    admissions: Vec<Admission>,
    /// Of the whole open day.
    segments: SegmentCounts,
    /// Who came into one in the open interval.
    joined: Vec<Joined>,
    slots: FxHashMap<CampaignId, u32>,
    /// By slot: who it is, and whether it is still declared.
    campaigns: Vec<Option<(CampaignId, bool)>>,
    campaigns_max: usize,
    open: Place,
    dropped: Dropped,
    refused: u64,
    campaigns_refused: u64,
}

/// A point of the schedule; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    day: i32,
    interval: u16,
}

impl Place {
    fn of(now: Timestamp, releases_per_day: u16) -> Self {
        let interval = now.0.rem_euclid(DAY_MS) * i64::from(releases_per_day) / DAY_MS;
        Self { day: now.utc_day(), interval: u16::try_from(interval).unwrap_or(u16::MAX) }
    }
}

impl Aggregate {
    /// Opens the interval that `now` is in, with nothing counted beside what `opening` remembers.
    ///
    /// # Errors
    /// As [`DayKey::draw`].
    pub fn new(plan: &Plan, now: Timestamp, opening: &Opening) -> Result<Self, Error> {
        let mut open = Place::of(now, plan.releases_per_day());
        // A clock that went back finds its intervals released: what comes is counted in the next.
        open.interval = open.interval.max(opening.first_interval());
        let key = match &opening.key {
            Some(key) => key.clone(),
            None => DayKey::draw()?,
        };
        let (bounder, segments) = opening.bounder(plan, open.day);
        let slots = opening.slots();
        // Nobody has a slot that the ledger does not name.
        let mut campaigns =
            vec![None; slots.keys().next_back().map_or(0, |last| *last as usize + 1)];
        for (slot, id) in &slots {
            campaigns[*slot as usize] = Some((*id, false));
        }
        Ok(Self {
            key: Some(key),
            plan: plan.clone(),
            bounder,
            raw: RawCounts::default(),
            gradients: no_gradients(plan),
            admissions: Vec::new(),
            segments,
            joined: Vec::new(),
            slots: slots.into_iter().map(|(slot, id)| (id, slot)).collect(),
            campaigns,
            campaigns_max: campaigns_max(plan),
            open,
            dropped: Dropped::default(),
            refused: 0,
            campaigns_refused: 0,
        })
    }

    /// The day that is open, UTC days since 1970.
    pub const fn day(&self) -> i32 {
        self.open.day
    }

    /// What was not counted, to one.
    pub const fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// The open day's key.
    #[cfg(test)]
    pub fn day_key(&self) -> Option<DayKey> {
        self.key.clone()
    }

    /// The open day takes nobody new any more.
    pub fn close(&mut self) {
        self.bounder.close();
    }

    /// Whether the open day has more users than can be tracked.
    pub const fn is_overrun(&self) -> bool {
        self.bounder.is_overrun()
    }

    /// An interval was closed and not released.
    pub const fn refuse(&mut self) {
        self.refused += 1;
    }

    /// Counts one contribution in the open interval, if permission, declaration and bound allow.
    pub fn contribute(&mut self, &Contribute { user, at, cell, kind, price }: &Contribute) {
        let Some(user) = user else {
            self.dropped.no_permission += 1;
            return;
        };
        if at.0 < i64::from(self.open.day) * DAY_MS - LATE_MS_MAX {
            self.dropped.stale += 1;
            return;
        }
        let slot = self.slots.get(&cell.campaign).copied();
        let is_declared = |slot: &u32| matches!(self.campaigns[*slot as usize], Some((_, true)));
        let Some(slot) = slot.filter(is_declared) else {
            self.dropped.undeclared += 1;
            return;
        };
        let index = slot * CONTEXT_BUCKETS as u32 + cell.bucket.index() as u32;
        let Some(key) = &self.key else {
            self.dropped.undeclared += 1;
            return;
        };
        let user = key.pseudonym(user);
        match self.admit(user, index, kind, 1) {
            Ok(()) => {}
            Err(NotAdmitted::Bound) => self.dropped.over_bound += 1,
            Err(NotAdmitted::UsersFull) => self.dropped.users_full += 1,
        }
        let units = self.plan.spend_units(price);
        if units > 0 {
            // Spend has a bound of its own; what exceeds it was counted with the impression.
            let _ = self.admit(user, index, Kind::Spend, units);
        }
    }

    /// Adds what one shown ad teaches to the open interval, if the bound allows.
    pub fn teach(&mut self, taught: &Taught) {
        let (Some(sums), Some(key)) = (&mut self.gradients, &self.key) else { return };
        if taught.at.0 < i64::from(self.open.day) * DAY_MS - LATE_MS_MAX {
            self.dropped.stale += 1;
            return;
        }
        let user = key.pseudonym(taught.user);
        match self.bounder.admit_example(user) {
            Ok(()) => {
                self.admissions.push(Admission::example(user));
                sums.add(&taught.gradient);
            }
            Err(NotAdmitted::Bound) => self.dropped.over_bound += 1,
            Err(NotAdmitted::UsersFull) => self.dropped.users_full += 1,
        }
    }

    /// Counts a user in a segment of the open day, if his bound allows. What it does not is no loss that
    /// anybody is told of: it is the rule.
    pub fn join(&mut self, join: &JoinSegment) {
        let Some(key) = self.key.as_ref().filter(|_| self.plan.has_segments()) else { return };
        if join.at.0 < i64::from(self.open.day) * DAY_MS - LATE_MS_MAX {
            self.dropped.stale += 1;
            return;
        }
        let user = key.pseudonym(join.user);
        match self.bounder.admit_segment(user, join.segment) {
            Ok(()) => {
                self.joined.push(Joined::new(user, join.segment));
                self.segments.count(join.segment);
            }
            Err(NotAdmitted::Bound) => {}
            Err(NotAdmitted::UsersFull) => self.dropped.users_full += 1,
        }
    }

    fn admit(
        &mut self,
        user: Pseudonym,
        cell: u32,
        kind: Kind,
        units: u16,
    ) -> Result<(), NotAdmitted> {
        let admitted = self.bounder.admit(user, cell, kind, units)?;
        self.admissions.push(Admission::new(user, cell, kind, admitted.units()));
        self.raw.count(admitted);
        Ok(())
    }

    /// Replaces the declared campaigns. Slots stay for the day, since bounds are kept by them.
    pub fn declare(&mut self, declared: &[CampaignId]) {
        for (_, is_declared) in self.campaigns.iter_mut().flatten() {
            *is_declared = false;
        }
        for &campaign in declared {
            if let Some(&slot) = self.slots.get(&campaign) {
                self.campaigns[slot as usize] = Some((campaign, true));
            } else if self.campaigns.len() < self.campaigns_max {
                self.slots.insert(campaign, self.campaigns.len() as u32);
                self.campaigns.push(Some((campaign, true)));
            } else {
                self.campaigns_refused += 1;
            }
        }
    }

    /// Closes the open interval when `now` is past it; `None` when it is not due, when nothing is
    /// declared, or when nobody can be counted (what was counted is then forgotten, unseen).
    pub fn advance(&mut self, now: Timestamp) -> Option<Closing> {
        let place = Place::of(now, self.plan.releases_per_day());
        if place <= self.open {
            return None;
        }
        let raw = std::mem::take(&mut self.raw);
        let admissions = std::mem::take(&mut self.admissions);
        let joined = std::mem::take(&mut self.joined);
        let ends_day = place.day > self.open.day;
        let segments = ends_day.then(|| std::mem::take(&mut self.segments));
        let gradients = std::mem::replace(&mut self.gradients, no_gradients(&self.plan));
        let declared: BTreeMap<_, _> = (0..)
            .zip(&self.campaigns)
            .filter_map(|(slot, campaign)| match campaign {
                Some((id, true)) => Some((slot, *id)),
                _ => None,
            })
            .collect();
        let key = self.key.clone().filter(|_| !declared.is_empty());
        let closing = key.map(|key| Closing {
            day: self.open.day,
            tick: self.open.interval,
            declared,
            raw,
            gradients,
            admissions,
            segments,
            joined,
            users: self.bounder.users() as u64,
            key,
            at: now,
        });
        if self.bounder.enter(place.day) {
            let drawn = DayKey::draw();
            self.key = drawn.inspect_err(|error| tracing::error!(%error, "no day key")).ok();
            self.renumber();
        }
        self.open = place;
        closing
    }

    /// With a new day, when no bound refers to a slot any more: frees those of campaigns gone.
    fn renumber(&mut self) {
        self.campaigns.retain(|campaign| matches!(campaign, Some((_, true))));
        let numbered = (0..).zip(self.campaigns.iter().flatten());
        self.slots = numbered.map(|(slot, &(id, _))| (id, slot)).collect();
    }

    /// The account so far. `published` counts what was shown, `failed` what was closed and was not.
    pub fn status(
        &self,
        published: u64,
        failed: u64,
        ledger: &LedgerStatus,
        stop: Option<&Stop>,
    ) -> AggregateStatus {
        let claim = self.plan.claim();
        let today = self.open.day;
        let spent = ledger.figures(today, 1);
        let spans = [("day", 1), ("7_days", 7), ("30_days", 30)];
        let cells = self.campaigns.iter().flatten().filter(|campaign| campaign.1);
        AggregateStatus {
            day: today,
            interval: self.open.interval,
            stopped: stop.map(|stop| stop.why().label()),
            stopped_because: stop.map(Stop::to_string),
            epsilon_spent: spent.epsilon,
            epsilon_budget: claim.epsilon(),
            epsilon_30_days: claim.over_days(30),
            delta: claim.delta,
            rho_spent: spent.rho,
            rho_budget: claim.rho.as_f64(),
            parts: Part::ALL.map(|part| (part.label(), ledger.spent(today, part))).into(),
            spent_over: spans.map(|(name, days)| (name, ledger.figures(today, days))).into(),
            is_full: ledger.is_full && ledger.day == Some(today),
            segment: ledger.segment,
            position: ledger.position,
            digest: format!("{:016x}", ledger.digest),
            releases: published,
            refused: self.refused + failed,
            cells: cells.count() * CONTEXT_BUCKETS,
            campaigns_refused: self.campaigns_refused,
            dropped: self.dropped.magnitudes(),
        }
    }
}

/// How many campaigns a day's memory holds.
fn campaigns_max(plan: &Plan) -> usize {
    let bytes = COUNTERS * 16 * usize::from(plan.releases_per_day());
    (HISTORY_BYTES_MAX / bytes).min(CAMPAIGNS_MAX)
}
