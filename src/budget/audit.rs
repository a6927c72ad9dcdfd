//! The ledger held against itself, from the leases up.

use super::account::{Account, Refusal, Sums};
use super::ledger::Ledger;
use super::plan::Purpose;
use super::tree::{Campaign, DAYS_MAX, Place};
use crate::units::{AdvertiserId, CampaignId, Nanos};
use std::collections::BTreeMap;

impl Ledger {
    /// Checks each lease, each account's bound, and that what accounts say is the sum of what lies
    /// below them. For tests and for `verify`.
    ///
    /// # Errors
    /// [`Refusal::Violation`].
    pub fn audit(&self) -> Result<(), Refusal> {
        let mut leased = self.leased()?;
        let mut by_advertiser: BTreeMap<AdvertiserId, Sums> = BTreeMap::new();
        for (id, campaign) in &self.tree.campaigns {
            campaign.audit(*id, &mut leased)?;
            let above = by_advertiser.entry(campaign.advertiser).or_default();
            *above = above.plus(campaign.account.sums);
        }
        for (id, advertiser) in &self.tree.advertisers {
            let total = by_advertiser.remove(id).unwrap_or_default();
            ensure(sound(&advertiser.account)? == total)?;
        }
        ensure(leased.values().all(|sums| *sums == Sums::default()))
    }

    /// What the leases say, by the place that they count in.
    fn leased(&self) -> Result<BTreeMap<Key, Sums>, Refusal> {
        let mut leased: BTreeMap<Key, Sums> = BTreeMap::new();
        for lease in self.leases.values() {
            let sums = lease.sums.check()?;
            let late = sums.late;
            let part = Sums { late, leased: sums.remaining() - late, ..Sums::default() };
            let Place { campaign, day, purpose } = lease.place;
            for counted in [Purpose::Serve, Purpose::Explore] {
                // Exploration is a part of its day.
                if counted <= purpose {
                    let total = leased.entry((campaign, day.0, counted)).or_default();
                    *total = total.plus(part);
                }
            }
        }
        Ok(leased)
    }
}

type Key = (CampaignId, i32, Purpose);

impl Campaign {
    fn audit(&self, id: CampaignId, leased: &mut BTreeMap<Key, Sums>) -> Result<(), Refusal> {
        let mut total = Sums::default();
        let mut months = BTreeMap::new();
        let mut flights = BTreeMap::new();
        for (number, day) in &self.days {
            for (account, purpose) in
                [(&day.account, Purpose::Serve), (&day.explore, Purpose::Explore)]
            {
                let open = leased.remove(&(id, number.0, purpose)).unwrap_or_default();
                let sums = sound(account)?;
                ensure((sums.late, sums.leased) == (open.late, open.leased))?;
            }
            total = total.plus(day.account.sums);
            let month: &mut Sums = months.entry(number.month()).or_default();
            *month = month.plus(day.account.sums);
            if let Some(flight) = self.flight_of(*number) {
                let flight: &mut Sums = flights.entry(flight.flight.first).or_default();
                *flight = flight.plus(day.account.sums);
            }
        }
        // Days beyond DAYS_MAX are forgotten one by one, so that what is above may be larger.
        let forgets = self.days.len() >= DAYS_MAX;
        let holds = |counted: Sums, total: Sums| {
            counted == total || (forgets && counted.leased == total.leased)
        };
        ensure(holds(sound(&self.account)?, total))?;
        for (first, month) in &self.months {
            ensure(holds(sound(month)?, months.remove(first).unwrap_or_default()))?;
        }
        for (first, one) in &self.flights {
            ensure(holds(sound(&one.account)?, flights.remove(first).unwrap_or_default()))?;
        }
        ensure(months.is_empty() && flights.is_empty())
    }
}

/// The sums of an account that keeps its bound.
fn sound(account: &Account) -> Result<Sums, Refusal> {
    ensure(account.absorbed >= Nanos::ZERO)?;
    account.after(Sums::default()).map(|account| account.sums)
}

fn ensure(holds: bool) -> Result<(), Refusal> {
    holds.then_some(()).ok_or(Refusal::Violation)
}
