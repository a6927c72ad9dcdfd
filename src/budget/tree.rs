//! The account tree: advertiser > campaign > flight > day, and beside the flights the months.
//!
//! A day's money is counted in every account above it, in one transition or in none. A month bounds
//! over-delivery: its bound is the sum of its days' budgets so far, so that what a day takes beyond
//! its own budget is what earlier days left. Exploration is an account below its day.

use super::account::{Account, Refusal, Sums};
use super::day::DayNumber;
use super::plan::{Budget, Flight, Purpose, share};
use crate::catalog::{FLIGHT_DAYS_MAX, PPM};
use crate::units::{AdvertiserId, CampaignId, CurrencyCode, Nanos};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Days that a campaign remembers one by one; older ones live on in its total.
pub(super) const DAYS_MAX: usize = 400;
const _: () = assert!(DAYS_MAX > FLIGHT_DAYS_MAX as usize);
/// Adjustments of one campaign within the days that it remembers: 160 a day. Beyond, they are refused
/// and none is forgotten, since one that is sent again must not move money twice.
const ADJUSTMENTS_MAX: usize = 1 << 16;
/// Accounts from the top of the tree to a lease.
const PATH_MAX: usize = 6;

/// All accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tree {
    pub(super) advertisers: BTreeMap<AdvertiserId, Advertiser>,
    pub(super) campaigns: BTreeMap<CampaignId, Campaign>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Advertiser {
    pub(super) currency: CurrencyCode,
    pub(super) account: Account,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Campaign {
    pub(super) advertiser: AdvertiserId,
    pub(super) edition: u64,
    pub(super) budget: Budget,
    /// First day of this edition: no day before it is opened any more.
    from: DayNumber,
    pub(super) account: Account,
    /// The sum of all adjustments, those parts included that the house bears.
    pub(super) adjusted: Nanos,
    /// By key, as long as their day is remembered.
    adjustments: BTreeMap<String, (DayNumber, Nanos)>,
    /// By first day; each is the sum of its days.
    pub(super) flights: BTreeMap<DayNumber, FlightAccount>,
    /// By first day; each is the sum of its days.
    pub(super) months: BTreeMap<DayNumber, Account>,
    pub(super) days: BTreeMap<DayNumber, DayAccount>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FlightAccount {
    pub(super) flight: Flight,
    pub(super) account: Account,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DayAccount {
    /// What it is to cost; its bound may be higher.
    pub(super) planned: Nanos,
    pub(super) account: Account,
    pub(super) explore: Account,
}

/// What a campaign's own accounts say of a day. It changes with the campaign's bills and budgets, and
/// when a day opens; leases that come and go leave it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnStanding {
    advertiser: AdvertiserId,
    pub(super) billed: Nanos,
    /// `None` without any bound.
    left: Option<Nanos>,
}

/// Where in the tree a lease or a charge counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) campaign: CampaignId,
    pub(super) day: DayNumber,
    pub(super) purpose: Purpose,
}

impl Place {
    /// In the day, and in no exploration.
    pub(super) const fn day(campaign: CampaignId, day: DayNumber) -> Self {
        Self { campaign, day, purpose: Purpose::Serve }
    }
}

impl Tree {
    /// Puts a budget in force. Whether more is committed than it allows.
    pub(super) fn set(
        &mut self,
        id: CampaignId,
        advertiser: AdvertiserId,
        (from, edition): (DayNumber, u64),
        budget: &Budget,
    ) -> Result<bool, Refusal> {
        budget.check()?;
        let above = self.advertisers.get(&advertiser);
        if above.is_some_and(|above| above.currency != budget.currency) {
            return Err(Refusal::Currency);
        }
        if let Some(known) = self.campaigns.get(&id) {
            if known.advertiser != advertiser {
                return Err(Refusal::UnknownCampaign);
            }
            if edition < known.edition {
                return Err(Refusal::Stale);
            }
        }
        let campaign = self.campaigns.entry(id).or_insert_with(|| Campaign {
            advertiser,
            edition,
            budget: budget.clone(),
            from,
            account: Account::default(),
            adjusted: Nanos::ZERO,
            adjustments: BTreeMap::new(),
            flights: BTreeMap::new(),
            months: BTreeMap::new(),
            days: BTreeMap::new(),
        });
        campaign.set(from, edition, budget);
        let fresh = || Advertiser { currency: budget.currency, account: Account::default() };
        let above = self.advertisers.entry(advertiser).or_insert_with(fresh);
        above.account.set_target(budget.advertiser_bound);
        Ok(above.account.excess() > Nanos::ZERO || campaign.has_excess(from))
    }

    /// Opens the account of a day, where it is not.
    pub(super) fn open_day(&mut self, id: CampaignId, day: DayNumber) -> Result<(), Refusal> {
        self.campaigns.get_mut(&id).ok_or(Refusal::UnknownCampaign)?.open_day(day)
    }

    /// Changes all accounts from the advertiser's down to the place, or none of them: the first
    /// inequality, on the whole path.
    pub(super) fn change(&mut self, place: Place, change: Sums) -> Result<(), Refusal> {
        if change == Sums::default() {
            return Ok(());
        }
        let path = self.path_mut(place).ok_or(Refusal::UnknownCampaign)?;
        let after = path.iter().map(|account| account.after(change));
        let after = after.collect::<Result<SmallVec<[Account; PATH_MAX]>, Refusal>>()?;
        path.into_iter().zip(after).for_each(|(account, after)| *account = after);
        Ok(())
    }

    fn path_mut(&mut self, place: Place) -> Option<SmallVec<[&mut Account; PATH_MAX]>> {
        let campaign = self.campaigns.get_mut(&place.campaign)?;
        let advertiser = self.advertisers.get_mut(&campaign.advertiser)?;
        let mut path = SmallVec::new();
        path.extend([&mut advertiser.account, &mut campaign.account]);
        let flight = campaign.flights.range_mut(..=place.day).next_back();
        path.extend(
            flight.and_then(|(_, one)| one.flight.has(place.day).then_some(&mut one.account)),
        );
        path.push(campaign.months.get_mut(&place.day.month())?);
        let day = campaign.days.get_mut(&place.day)?;
        path.push(&mut day.account);
        if place.purpose == Purpose::Explore {
            path.push(&mut day.explore);
        }
        Some(path)
    }

    fn path(&self, place: Place) -> Option<SmallVec<[&Account; PATH_MAX]>> {
        let campaign = self.campaigns.get(&place.campaign)?;
        let advertiser = self.advertisers.get(&campaign.advertiser)?;
        let mut path = SmallVec::new();
        path.extend([&advertiser.account, &campaign.account]);
        path.extend(campaign.flight_of(place.day).map(|one| &one.account));
        path.push(campaign.months.get(&place.day.month())?);
        let day = campaign.days.get(&place.day)?;
        path.push(&day.account);
        if place.purpose == Purpose::Explore {
            path.push(&day.explore);
        }
        Some(path)
    }

    /// Free money on the whole path; none where a part of it is missing.
    pub(super) fn free(&self, place: Place) -> Nanos {
        let path = self.path(place);
        let least = path.and_then(|path| path.iter().map(|account| account.free()).min());
        least.unwrap_or(Nanos::ZERO)
    }

    /// What a lease may be given: nothing while the campaign is paused.
    pub(super) fn grantable(&self, place: Place) -> Nanos {
        let campaign = self.campaigns.get(&place.campaign);
        let is_active = campaign.is_some_and(|campaign| campaign.budget.is_active);
        if is_active { self.free(place) } else { Nanos::ZERO }
    }

    /// By how much more is committed than a budget on the path allows.
    pub(super) fn excess(&self, place: Place) -> Nanos {
        let path = self.path(place);
        let most = path.and_then(|path| path.iter().map(|account| account.excess()).max());
        most.unwrap_or(Nanos::ZERO)
    }

    /// What the day was charged; nothing where it is not open.
    pub(super) fn billed(&self, place: Place) -> Nanos {
        let day = self.campaigns.get(&place.campaign).and_then(|one| one.days.get(&place.day));
        day.map_or(Nanos::ZERO, |day| day.account.sums.billed)
    }

    /// What was adjusted under this key.
    pub(super) fn adjustment(&self, id: CampaignId, key: &str) -> Option<(DayNumber, Nanos)> {
        self.campaigns.get(&id)?.adjustments.get(key).copied()
    }

    /// Whether one more adjustment can be remembered.
    pub(super) fn may_adjust(&self, id: CampaignId) -> Result<(), Refusal> {
        let campaign = self.campaigns.get(&id).ok_or(Refusal::UnknownCampaign)?;
        let has_room = campaign.adjustments.len() < ADJUSTMENTS_MAX;
        has_room.then_some(()).ok_or(Refusal::Full)
    }

    /// Counts and remembers an adjustment.
    pub(super) fn adjusted(&mut self, id: CampaignId, key: &str, what: (DayNumber, Nanos)) {
        if let Some(campaign) = self.campaigns.get_mut(&id) {
            campaign.adjusted += what.1;
            campaign.adjustments.insert(key.to_owned(), what);
        }
    }

    /// What was billed, and what can still be billed on `day` for all that the campaign's own accounts
    /// say: the least of bound less billed. For a day that is not open yet, as if it were.
    pub(super) fn own_standing(&self, id: CampaignId, day: DayNumber) -> Option<OwnStanding> {
        let campaign = self.campaigns.get(&id)?;
        let month = campaign.months.get(&day.month()).copied().unwrap_or_default();
        let (account, month) = match campaign.days.get(&day) {
            Some(known) => (known.account, month),
            None => {
                let fresh = campaign.fresh(day);
                let target = month.target.map(|target| target + fresh.planned);
                (fresh.account, Account { target, ..month })
            }
        };
        let flight = campaign.flight_of(day).map(|one| one.account);
        let path = [Some(account), Some(month), flight, Some(campaign.account)];
        let left = path.into_iter().flatten().filter_map(|account| account.unbilled());
        let (advertiser, billed) = (campaign.advertiser, campaign.account.sums.billed);
        Some(OwnStanding { advertiser, billed, left: left.min() })
    }

    /// What the advertiser's account leaves of that, which his other campaigns move too.
    pub(super) fn unbilled(&self, own: &OwnStanding) -> Nanos {
        let above = self.advertisers.get(&own.advertiser);
        let above = above.and_then(|above| above.account.unbilled());
        let left = own.left.into_iter().chain(above).min();
        left.unwrap_or(Nanos::ZERO).max(Nanos::ZERO)
    }
}

impl Campaign {
    fn set(&mut self, from: DayNumber, edition: u64, budget: &Budget) {
        (self.edition, self.from) = (edition, from);
        self.budget.clone_from(budget);
        self.account.set_target(budget.lifetime);
        let Self { days, months, .. } = self;
        for (number, day) in days.range_mut(from..) {
            day.aim(budget.on(*number), budget);
        }
        // Flights and months are sums of days: made anew, they fit any change of dates or rules.
        self.flights = BTreeMap::new();
        for flight in &budget.flights {
            let mut account = Account::default();
            for (_, day) in days.range(flight.first..=flight.last) {
                account.sums = account.sums.plus(day.account.sums);
            }
            account.set_target(Some(flight.bound));
            self.flights.insert(flight.first, FlightAccount { flight: *flight, account });
        }
        let mut planned: BTreeMap<DayNumber, Nanos> = BTreeMap::new();
        for (number, day) in &*days {
            *planned.entry(number.month()).or_default() += day.planned;
        }
        for (first, month) in months {
            let planned = planned.get(first).copied().unwrap_or_default();
            month.set_target(budget.over_delivers().then_some(planned));
        }
    }

    fn has_excess(&self, from: DayNumber) -> bool {
        let days = self.days.range(from..).flat_map(|(_, day)| [&day.account, &day.explore]);
        let flights = self.flights.values().filter(|one| one.flight.last >= from);
        let flights = flights.map(|one| &one.account);
        let months = self.months.range(from.month()..).map(|(_, month)| month);
        let mut all = days.chain(flights).chain(months).chain([&self.account]);
        all.any(|account| account.excess() > Nanos::ZERO)
    }

    /// The flight that has `day` among its days.
    pub(super) fn flight_of(&self, day: DayNumber) -> Option<&FlightAccount> {
        let (_, found) = self.flights.range(..=day).next_back()?;
        found.flight.has(day).then_some(found)
    }

    /// The account that `day` has when it opens.
    pub(super) fn fresh(&self, day: DayNumber) -> DayAccount {
        let mut fresh = DayAccount::default();
        let planned = if day < self.from { Nanos::ZERO } else { self.budget.on(day) };
        fresh.aim(planned, &self.budget);
        fresh
    }

    fn open_day(&mut self, day: DayNumber) -> Result<(), Refusal> {
        if self.days.contains_key(&day) {
            return Ok(());
        }
        if self.days.len() >= DAYS_MAX {
            self.forget_oldest(day)?;
        }
        let fresh = self.fresh(day);
        let month = self.months.entry(day.month()).or_default();
        let before = month.target.unwrap_or(Nanos::ZERO);
        month.set_target(self.budget.over_delivers().then_some(before + fresh.planned));
        self.days.insert(day, fresh);
        Ok(())
    }

    /// Makes room for `day`. What was forgotten is never opened again: adjustments of such days are
    /// forgotten as well, and must not be made a second time.
    fn forget_oldest(&mut self, day: DayNumber) -> Result<(), Refusal> {
        let Some((&first, oldest)) = self.days.first_key_value() else { return Ok(()) };
        if day < first {
            return Err(Refusal::TooOld);
        }
        // Only a day with nothing open may be forgotten.
        if oldest.account.sums.leased + oldest.account.sums.late != Nanos::ZERO {
            return Err(Refusal::Full);
        }
        self.days.pop_first();
        self.adjustments.retain(|_, (adjusted, _)| *adjusted != first);
        let oldest = self.days.first_key_value().map_or(day, |(oldest, _)| day.min(*oldest));
        self.months = self.months.split_off(&oldest.month());
        Ok(())
    }
}

impl DayAccount {
    fn aim(&mut self, planned: Nanos, budget: &Budget) {
        self.planned = planned;
        self.account.set_target(Some(share(planned, budget.daily_max_ppm)));
        self.explore.set_target(Some(share(planned, budget.exploration_ppm)));
    }
}

impl Budget {
    /// Whether a day may take more than its own budget.
    fn over_delivers(&self) -> bool {
        self.daily_max_ppm > PPM
    }
}
