//! What the ledger says: to holders, to people, and about itself.

use super::account::{Account, Refusal, Sums};
use super::day::DayNumber;
use super::ledger::Ledger;
use crate::units::{CampaignId, Nanos, Timestamp};
use serde::de::{Error, IntoDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
    /// A charge was changed by hand.
    Adjusted {
        /// More than was charged before, or less.
        billed: Nanos,
        /// What the account could not pay, borne by the house.
        absorbed: Nanos,
    },
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
    /// What exploration had of it.
    pub explore: Money,
    /// The flight of that day.
    pub flight: Option<FlightView>,
    /// Its calendar month.
    pub month: Money,
    /// All days.
    pub total: Money,
    /// The sum of all adjustments: `total.billed + total.absorbed - adjusted` is what is due to
    /// exchanges.
    #[serde(serialize_with = "as_text")]
    pub adjusted: Nanos,
}

/// A flight's money, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FlightView {
    /// Its first day.
    pub first: DayNumber,
    /// Its last day.
    pub last: DayNumber,
    /// All its days.
    #[serde(flatten)]
    pub money: Money,
}

/// One account, for people; nanos as decimal text, which no JSON reader rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// The bound, if there is one.
    #[serde(serialize_with = "as_optional_text", deserialize_with = "from_optional_text")]
    pub budget: Option<Nanos>,
    /// Charged for good.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub billed: Nanos,
    /// Held without news in time.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub late: Nanos,
    /// In open leases.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub leased: Nanos,
    /// Borne by the house.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub absorbed: Nanos,
}

pub(super) fn as_text<S: Serializer>(amount: &Nanos, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&amount.0)
}

pub(super) fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Nanos, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Nanos).map_err(|_| D::Error::custom(format!("`{text}` is no amount in nanos")))
}

fn from_optional_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Nanos>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| from_text(text.into_deserializer())).transpose()
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
        let campaign = self.tree.campaigns.get(&campaign)?;
        let today = campaign.days.get(&day).copied().unwrap_or_else(|| campaign.fresh(day));
        let month = campaign.months.get(&day.month()).copied().unwrap_or_default();
        let flight = campaign.flight_of(day).map(|one| FlightView {
            first: one.flight.first,
            last: one.flight.last,
            money: Money::from(&one.account),
        });
        Some(AccountView {
            number: day,
            day: Money::from(&today.account),
            explore: Money::from(&today.explore),
            flight,
            month: Money::from(&month),
            total: Money::from(&campaign.account),
            adjusted: campaign.adjusted,
        })
    }

    /// What the campaign was charged over all days, and what it can still be charged on `day`, money
    /// in leases included: the least over the accounts above it of bound less billed.
    #[must_use]
    pub fn standing(&self, campaign: CampaignId, day: DayNumber) -> Option<(Nanos, Nanos)> {
        let own = self.tree.own_standing(campaign, day)?;
        Some((own.billed, self.tree.unbilled(&own)))
    }

    /// The second part of [`Ledger::standing`].
    #[must_use]
    pub fn unbilled(&self, campaign: CampaignId, day: DayNumber) -> Option<Nanos> {
        self.standing(campaign, day).map(|(_, unbilled)| unbilled)
    }
}
