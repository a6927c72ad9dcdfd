//! Advertisers and campaigns as the engine uses them. Values are checked where they are made
//! (`check.rs`); whoever holds a [`Campaign`] may trust it.

use super::domain::{Domain, Domains};
use super::edit::Edited;
use super::filters::Filters;
use super::money::{Flight, Overdelivery};
use super::split::StrategyShare;
use super::targeting::Targeting;
use crate::units::{AdvertiserId, CampaignId, CategoryId, CurrencyCode, Micros, Nanos, Slot};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// Who pays. All its campaigns spend one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertiser {
    /// Hash of the name.
    pub id: AdvertiserId,
    /// Unique name.
    pub name: String,
    /// The currency of its budgets and bids.
    pub currency: CurrencyCode,
    /// The most that all its campaigns together may ever cost.
    pub budget: Option<Nanos>,
    /// The trade it is in, unless a campaign says otherwise.
    pub sector: Sector,
    /// Domains that its ads lead to, where an ad names none.
    pub domains: Vec<String>,
}

/// The trade of an advertiser or campaign; some trades have rules of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sector {
    /// Goods sold online; no rule of its own.
    Ecommerce,
    /// Money: see [`Sensitivity::Finance`].
    Finance,
    /// Courses and schools; no rule of its own.
    Education,
    /// Medicines, therapies, clinics: see [`Sensitivity::Health`].
    Health,
    /// Anything else; no rule of its own.
    Other,
}

impl Sector {
    /// All of them, by number.
    pub const ALL: [Self; 5] =
        [Self::Ecommerce, Self::Finance, Self::Education, Self::Health, Self::Other];

    /// The rules that this trade brings along.
    #[must_use]
    pub const fn sensitivity(self) -> Option<Sensitivity> {
        match self {
            Self::Health => Some(Sensitivity::Health),
            Self::Finance => Some(Sensitivity::Finance),
            Self::Ecommerce | Self::Education | Self::Other => None,
        }
    }
}

/// Trades in which knowing too much, or showing to the wrong person, does harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sensitivity {
    /// Contextual only: no interest profile, no user segments or user keywords (and so no
    /// retargeting), no city. Page categories, page keywords and hours remain. What users do there is
    /// kept of nobody.
    Health,
    /// The campaign lists the countries in which it is licensed (`geo.include`), targets no postal
    /// codes or circles, knows of a user's interest that in its own category alone, and is never
    /// shown where the request says that the user is under 18 or the page is for children.
    Finance,
}

/// Whether a campaign takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It bids.
    #[default]
    Active,
    /// It does not bid; its slot, budget and learned rows stay.
    Paused,
}

/// What a campaign pays for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BidTerms {
    /// No bid goes above this, whatever the value; above 0.
    pub max_cpm: Micros,
    /// What a click is worth, in micros of currency.
    pub cpc: Option<u64>,
    /// What a conversion may cost, in micros of currency.
    pub target_cpa: Option<u64>,
    /// Conversions per million clicks that the advertiser expects; above 0 with a target.
    pub expected_cvr_ppm: u32,
    /// Value of orders per million of cost, in the same currency: the return that is sought; 0 for
    /// none.
    pub target_roas_ppm: u32,
    /// What an order is expected to be worth, in micros of currency; above 0 with a target ROAS.
    pub expected_order_value: u64,
}

/// Caps of one campaign, each read per candidate and sent along with each bid.
pub const CAPS_MAX: usize = 4;

/// At most `count` impressions to one user within `window_s` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrequencyCap {
    /// What is counted.
    #[serde(default)]
    pub scope: CapScope,
    /// Impressions allowed, 1 or more.
    pub count: u16,
    /// Length of the window, 60 s to 30 days.
    pub window_s: u32,
}

/// What a frequency cap counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapScope {
    /// All ads of the campaign together.
    #[default]
    Campaign,
    /// Each ad for itself.
    Creative,
}

/// One campaign.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Where it sits, in this and in later catalogs.
    pub slot: Slot,
    /// Hash of the name.
    pub id: CampaignId,
    /// Unique name; the id that the API uses.
    pub name: String,
    /// Who pays.
    pub advertiser: AdvertiserId,
    /// Whether it bids.
    pub status: Status,
    /// The product category whose interest it seeks.
    pub category: CategoryId,
    /// The category's name ("running-shoes").
    pub category_name: String,
    /// IAB content categories of what is advertised.
    pub iab_cats: SmallVec<[String; 2]>,
    /// The trade that it is in.
    pub sector: Sector,
    /// The rules of all trades.
    pub domains: Arc<Domains>,
    /// What it pays for.
    pub bid: BidTerms,
    /// What it bids by: one strategy with all of its users, or several that share them.
    pub strategies: Vec<StrategyShare>,
    /// Most that a local day may cost; above 0.
    pub daily_budget: Nanos,
    /// Most that the campaign may ever cost.
    pub lifetime_budget: Option<Nanos>,
    /// In the order in which they were written; where there are any, days outside of all have no
    /// budget.
    pub flights: Vec<Flight>,
    /// Whether days may cost more than their budget.
    pub overdelivery: Overdelivery,
    /// The advertiser's currency.
    pub currency: CurrencyCode,
    /// Whose midnight starts a day and whose clock the hours mean.
    pub time_zone: TimeZone,
    /// All of these hold at once.
    pub frequency_caps: SmallVec<[FrequencyCap; 2]>,
    /// Where it wants to be shown, as it was written.
    pub targeting: Arc<Targeting>,
    /// The same, compiled to hashes; the index and the explanations are made from it.
    pub filters: Arc<Filters>,
    /// Slot indexes of its ads; at least one.
    pub ads: SmallVec<[u32; 4]>,
    /// Whether it uses and feeds the interest that consenting tenants share.
    pub pooled_interest: bool,
    /// With whose campaigns it shares the calibration of its click probabilities: a hash of the
    /// group's name, of the advertiser's where it names none.
    pub calibration_group: u64,
    /// What the API has changed of it.
    pub edited: Option<Arc<Edited>>,
}

impl Campaign {
    /// The rules of its trade.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        self.domains.get(self.sector)
    }

    /// Whether it is stopped because its edits do not fit its file.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.edited.as_deref().is_some_and(|edited| edited.fault.is_some())
    }

    /// IANA name of the time zone.
    #[must_use]
    pub fn time_zone_name(&self) -> &str {
        self.time_zone.iana_name().unwrap_or("UTC")
    }
}
