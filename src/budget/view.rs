//! What the ledger says: to holders, to people, and about itself.

use super::account::{Account, Refusal, Sums};
use super::day::DayNumber;
use super::ledger::{DAYS_MAX, Ledger};
use crate::units::{AdvertiserId, CampaignId, Nanos, Timestamp};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The campaign's budgets are in force; `is_over` when more is committed than one of them.
    CampaignSet {
        /// Leases must come back.
        is_over: bool,
    },
    /// A step of a lease was taken.
    Stepped(Answer),
    /// A notice was charged, once and for all.
    Settled {
        /// From the lease of its hold.
        from_lease: Nanos,
        /// From the account's free money.
        from_free: Nanos,
        /// Owed to the exchange, borne by the house.
        absorbed: Nanos,
    },
    /// A notice for a lease that is not known, or not any more: nobody was charged.
    Forgotten {
        /// Owed to the exchange, borne by the house.
        absorbed: Nanos,
    },
    /// It was here before; nothing changed.
    Duplicate,
    /// The hold was settled before, at another price, which stands; nothing changed.
    Contradiction,
    /// So many leases became late.
    Lost(u32),
    /// What became free.
    Expired(Nanos),
    /// Nothing changed, for this reason.
    Refused(Refusal),
}

/// What the ledger made of a charging notice, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The time that the log gave to the notice.
    pub at: Timestamp,
    /// What it did.
    pub outcome: Outcome,
}

/// What a holder learns about its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// So much was added; `is_short` when that is less than was asked.
    Granted {
        /// Added to the lease.
        amount: Nanos,
        /// The account has no more.
        is_short: bool,
    },
    /// So much was given back: less than offered when a late bill came first.
    Returned {
        /// Taken off the lease.
        amount: Nanos,
        /// Whether more is still committed than a budget allows: there is nothing to bid with.
        is_over: bool,
    },
    /// The late sum is noted.
    Noted,
    /// Of a re-used amount so much was found in free money and added to the lease.
    Covered(Nanos),
    /// The lease is closed.
    Closed,
    /// The step was refused: the lease is not the holder's any more.
    Refused(Refusal),
}

/// What the house knows about its own misfortunes. Each number is an alarm when it grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct House {
    /// Owed to exchanges and charged to nobody.
    #[serde(serialize_with = "as_text")]
    pub absorbed: Nanos,
    /// Notices of which a part was absorbed.
    pub absorbed_notices: u64,
    /// Notices that had been settled before.
    pub duplicates: u64,
    /// Those among them that named another price.
    pub contradictions: u64,
    /// Notices for leases that are forgotten.
    pub forgotten_leases: u64,
    /// Commands that were refused.
    pub refused: u64,
    /// Whether an inequality was about to break: nothing is granted any more.
    pub is_poisoned: bool,
}

/// A campaign's money, for people: today's and in total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountView {
    /// The day that `day` speaks of.
    pub number: DayNumber,
    /// That day.
    pub day: Money,
    /// All days.
    pub total: Money,
}

/// One account, for people; nanos as decimal text, which no JSON reader rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Money {
    /// The bound, if there is one.
    #[serde(serialize_with = "as_optional_text")]
    pub budget: Option<Nanos>,
    /// Charged for good.
    #[serde(serialize_with = "as_text")]
    pub billed: Nanos,
    /// Held without news in time.
    #[serde(serialize_with = "as_text")]
    pub late: Nanos,
    /// In open leases.
    #[serde(serialize_with = "as_text")]
    pub leased: Nanos,
    /// Borne by the house.
    #[serde(serialize_with = "as_text")]
    pub absorbed: Nanos,
}

pub(super) fn as_text<S: Serializer>(amount: &Nanos, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&amount.0)
}

fn as_optional_text<S: Serializer>(
    amount: &Option<Nanos>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match amount {
        Some(amount) => as_text(amount, serializer),
        None => serializer.serialize_none(),
    }
}

impl From<&Account> for Money {
    fn from(account: &Account) -> Self {
        let Sums { billed, late, leased } = account.sums;
        Self { budget: account.target, billed, late, leased, absorbed: account.absorbed }
    }
}

impl Ledger {
    /// A campaign's money on `day` and in total.
    #[must_use]
    pub fn view(&self, campaign: CampaignId, day: DayNumber) -> Option<AccountView> {
        let account = self.campaigns.get(&campaign)?;
        let planned = Money { budget: Some(account.daily_on(day)), ..Money::default() };
        Some(AccountView {
            number: day,
            day: account.days.get(&day).map_or(planned, Money::from),
            total: Money::from(&account.account),
        })
    }

    /// What the campaign was charged over all days, and what it can still be charged on `day`, money
    /// in leases included: the least over the accounts above it of bound less billed.
    #[must_use]
    pub fn standing(&self, campaign: CampaignId, day: DayNumber) -> Option<(Nanos, Nanos)> {
        let account = self.campaigns.get(&campaign)?;
        let daily = account.daily_on(day);
        let today = account.days.get(&day).map_or(daily, |day| daily - day.sums.billed);
        let above = [Some(&account.account), self.advertisers.get(&account.advertiser)];
        let least = above
            .into_iter()
            .flatten()
            .filter_map(|account| account.target.map(|target| target - account.sums.billed));
        let unbilled = least.fold(today, Nanos::min).max(Nanos::ZERO);
        Some((account.account.sums.billed, unbilled))
    }

    /// The second part of [`Ledger::standing`].
    #[must_use]
    pub fn unbilled(&self, campaign: CampaignId, day: DayNumber) -> Option<Nanos> {
        self.standing(campaign, day).map(|(_, unbilled)| unbilled)
    }

    /// Checks everything from the leases up: each lease, each account's bound, and that what
    /// accounts say is leased and late is what their leases say. For tests and for `verify`.
    ///
    /// # Errors
    /// [`Refusal::Violation`].
    pub fn audit(&self) -> Result<(), Refusal> {
        let mut by_day: BTreeMap<(CampaignId, DayNumber), Sums> = BTreeMap::new();
        for lease in self.leases.values() {
            let sums = lease.sums.check()?;
            let total = by_day.entry((lease.campaign, lease.day)).or_default();
            total.late += sums.late;
            total.leased += sums.remaining() - sums.late;
        }
        let mut by_advertiser: BTreeMap<AdvertiserId, Sums> = BTreeMap::new();
        for (id, campaign) in &self.campaigns {
            let mut total = Sums::default();
            for (number, day) in &campaign.days {
                let leased = by_day.remove(&(*id, *number)).unwrap_or_default();
                if (day.sums.late, day.sums.leased) != (leased.late, leased.leased) {
                    return Err(Refusal::Violation);
                }
                day.after(Sums::default())?;
                total = add(total, day.sums);
            }
            let counted = campaign.account.after(Sums::default())?.sums;
            // Days beyond DAYS_MAX are forgotten one by one, so that the total may be larger.
            let forgets = campaign.days.len() >= DAYS_MAX;
            if (counted != total && !forgets) || counted.leased != total.leased {
                return Err(Refusal::Violation);
            }
            let above = by_advertiser.entry(campaign.advertiser).or_default();
            *above = add(*above, counted);
        }
        for (id, advertiser) in &self.advertisers {
            let total = by_advertiser.remove(id).unwrap_or_default();
            if advertiser.after(Sums::default())?.sums != total {
                return Err(Refusal::Violation);
            }
        }
        let has_stray = by_day.values().any(|sums| *sums != Sums::default());
        if has_stray { Err(Refusal::Violation) } else { Ok(()) }
    }
}

fn add(left: Sums, right: Sums) -> Sums {
    Sums {
        billed: left.billed + right.billed,
        late: left.late + right.late,
        leased: left.leased + right.leased,
    }
}
