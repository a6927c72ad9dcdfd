//! What the [`AggregateActor`](super::AggregateActor) owns: cells, counts, bounds and the account.
//!
//! Pure: time comes in as an argument. Intervals are closed by `advance` only, at fixed times of
//! the UTC day, never because of what was counted. A tick that comes late closes one longer
//! interval; one that names an earlier time closes nothing.

use super::accountant::{Accountant, Charge, DayCharge, Refused};
use super::actor::Contribute;
use super::bound::{Bounder, NotAdmitted};
use super::cell::{CONTEXT_BUCKETS, KINDS, Kind};
use super::config::{Error, Plan};
use super::day_key::DayKey;
use super::mechanism::RawCounts;
use super::release::Closing;
use crate::units::{CampaignId, Timestamp};
use rustc_hash::FxHashMap;
use serde::Serialize;

/// Most campaigns declared in one day: 48 cells each, each one draw an interval of about 4 µs on the
/// release thread, so at most 20 s an interval and 40 MB of counts.
pub const CAMPAIGNS_MAX: usize = 100_000;
/// Milliseconds in a UTC day.
const DAY_MS: i64 = 86_400_000;
/// A contribution that happened longer before the open day is not counted: a log that is read again
/// must not count old days a second time.
const LATE_MS_MAX: i64 = DAY_MS;

/// Contributions that were not counted since the start, by reason, each rounded down to a power of
/// two: enough to operate by, and one user's event seldom shows.
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
    fn magnitudes(self) -> Self {
        let power = |count: u64| count.checked_ilog2().map_or(0, |log| 1 << log);
        Self {
            no_permission: power(self.no_permission),
            undeclared: power(self.undeclared),
            over_bound: power(self.over_bound),
            users_full: power(self.users_full),
            stale: power(self.stale),
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
    /// Intervals released since the start.
    pub releases: u64,
    /// Intervals whose release was refused by the accountant, or failed.
    pub refused: u64,
    /// Declared cells: campaigns by contexts.
    pub cells: usize,
    /// Campaigns turned away because more than fit were declared.
    pub campaigns_refused: u64,
    /// Contributions not counted, in powers of two.
    pub dropped: Dropped,
}

/// The state behind the actor.
pub(super) struct Aggregate {
    plan: Plan,
    /// None where the machine had no random bytes at the day's beginning: nobody is counted then.
    key: Option<DayKey>,
    accountant: Accountant,
    bounder: Bounder,
    raw: RawCounts,
    slots: FxHashMap<CampaignId, u32>,
    /// By slot: who it is, and whether it is still declared.
    campaigns: Vec<(CampaignId, bool)>,
    open: Place,
    day_charge: Option<DayCharge>,
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
    /// Opens the interval that `now` is in, with nothing declared, counted or spent.
    ///
    /// # Errors
    /// As [`DayKey::draw`].
    pub fn new(plan: &Plan, now: Timestamp) -> Result<Self, Error> {
        let open = Place::of(now, plan.releases_per_day());
        Ok(Self {
            key: Some(DayKey::draw()?),
            plan: plan.clone(),
            accountant: Accountant::new(plan, open.day),
            bounder: Bounder::new(plan, open.day),
            raw: RawCounts::default(),
            slots: FxHashMap::default(),
            campaigns: Vec::new(),
            open,
            day_charge: None,
            dropped: Dropped::default(),
            refused: 0,
            campaigns_refused: 0,
        })
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
        let Some(slot) = slot.filter(|&slot| self.campaigns[slot as usize].1) else {
            self.dropped.undeclared += 1;
            return;
        };
        let index = slot * CONTEXT_BUCKETS as u32 + cell.bucket.index() as u32;
        let Some(key) = &self.key else {
            self.dropped.undeclared += 1;
            return;
        };
        let user = key.pseudonym(user);
        match self.bounder.admit(user, index, kind, 1) {
            Ok(admitted) => self.raw.count(admitted),
            Err(NotAdmitted::Bound) => self.dropped.over_bound += 1,
            Err(NotAdmitted::UsersFull) => self.dropped.users_full += 1,
        }
        let units = self.plan.spend_units(price);
        // Spend has a bound of its own; what exceeds it was counted as dropped with the impression.
        if units > 0
            && let Ok(admitted) = self.bounder.admit(user, index, Kind::Spend, units)
        {
            self.raw.count(admitted);
        }
    }

    /// Replaces the declared campaigns. Slots stay for the day, since bounds are kept by them.
    pub fn declare(&mut self, declared: &[CampaignId]) {
        for (_, is_declared) in &mut self.campaigns {
            *is_declared = false;
        }
        for &campaign in declared {
            if let Some(&slot) = self.slots.get(&campaign) {
                self.campaigns[slot as usize].1 = true;
            } else if self.campaigns.len() < CAMPAIGNS_MAX {
                self.slots.insert(campaign, self.campaigns.len() as u32);
                self.campaigns.push((campaign, true));
            } else {
                self.campaigns_refused += 1;
            }
        }
    }

    /// Closes the open interval when `now` is past it; `None` when it is not due, when nothing is
    /// declared, or when the accountant refuses (the counts are then forgotten, unseen).
    pub fn advance(&mut self, now: Timestamp) -> Option<Closing> {
        let place = Place::of(now, self.plan.releases_per_day());
        if place <= self.open {
            return None;
        }
        let raw = std::mem::take(&mut self.raw);
        let (campaigns, slots): (Vec<_>, Vec<_>) = (0..)
            .zip(&self.campaigns)
            .filter(|(_, (_, is_declared))| *is_declared)
            .map(|(slot, &(campaign, _))| (campaign, slot))
            .unzip();
        let is_overrun = self.bounder.is_overrun();
        self.refused += u64::from(is_overrun);
        let closing = if campaigns.is_empty() || is_overrun {
            None
        } else {
            self.charge_open()
                .inspect_err(|error| {
                    self.refused += 1;
                    tracing::warn!(%error, "release refused");
                })
                .ok()
                .map(|charges| Closing {
                    campaigns,
                    slots,
                    raw,
                    charges,
                    day: self.open.day,
                    at: now,
                })
        };
        if self.bounder.enter(place.day) {
            self.key =
                DayKey::draw().inspect_err(|error| tracing::error!(%error, "no day key")).ok();
            self.day_charge = None;
            self.renumber();
        }
        self.open = place;
        closing
    }

    /// The open interval's charges, from the day's, which is charged before its first release.
    fn charge_open(&mut self) -> Result<[Charge; KINDS], Refused> {
        let mut day_charge = match self.day_charge.take() {
            Some(charge) => charge,
            None => self.accountant.begin_day(self.open.day)?,
        };
        let [impressions, clicks, conversions, spend] =
            Kind::ALL.map(|kind| day_charge.take(self.open.interval, kind));
        self.day_charge = Some(day_charge);
        Ok([impressions?, clicks?, conversions?, spend?])
    }

    /// With a new day, when no bound refers to a slot any more: frees those of campaigns gone.
    fn renumber(&mut self) {
        self.campaigns.retain(|(_, is_declared)| *is_declared);
        let numbered = (0..).zip(&self.campaigns);
        self.slots = numbered.map(|(slot, &(id, _))| (id, slot)).collect();
    }

    /// The account so far. `published` and `failed` count what became of closed intervals.
    pub fn status(&self, published: u64, failed: u64) -> AggregateStatus {
        let claim = self.plan.claim();
        // Of a day in which nothing was released yet, nothing is spent.
        let is_open_day = self.accountant.day() == self.open.day;
        let spent = is_open_day.then_some(&self.accountant);
        AggregateStatus {
            day: self.open.day,
            interval: self.open.interval,
            epsilon_spent: spent.map_or(0.0, Accountant::epsilon_spent),
            epsilon_budget: claim.epsilon(),
            epsilon_30_days: claim.over_days(30),
            delta: claim.delta,
            rho_spent: spent.map_or(0.0, |accountant| accountant.spent().as_f64()),
            rho_budget: claim.rho.as_f64(),
            releases: published,
            refused: self.refused + failed,
            cells: self.campaigns.iter().filter(|entry| entry.1).count() * CONTEXT_BUCKETS,
            campaigns_refused: self.campaigns_refused,
            dropped: self.dropped.magnitudes(),
        }
    }
}
