//! Changing and showing one campaign, as the API does. Money is in micros of the campaign's
//! currency.

use super::campaign::{Advertiser, Campaign, FrequencyCap, Sensitivity, Status};
use super::creative::Ad;
use super::filters::Fault;
use super::money::{Flight, FlightTerms, Overdelivery};
use super::raw_ad::RawAd;
use super::split::{self, KnownStrategies, StrategyShare};
use super::targeting::Targeting;
use super::{check, check_ad};
use crate::store::ConfigError;
use crate::units::{CurrencyCode, Micros, Nanos};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What may be changed while a campaign runs. What is absent stays; a change cannot take an
/// optional amount away, since files say what a campaign is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CampaignEdit {
    /// Active or paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Most that a local day may cost, in micros.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_budget_micros: Option<u64>,
    /// Most that the campaign may ever cost, in micros.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime_budget_micros: Option<u64>,
    /// All flights, in place of those before; an empty list takes them away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flights: Option<Vec<FlightTerms>>,
    /// Whether days may cost more than their budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdelivery: Option<Overdelivery>,
    /// Single terms of the bid.
    #[serde(skip_serializing_if = "BidEdit::is_unset")]
    pub bid: BidEdit,
    /// Name of the bidding strategy, in place of what there was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// Several with shares, in place of what there was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategies: Option<Vec<StrategyShare>>,
    /// All frequency caps, in place of those before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_caps: Option<Vec<FrequencyCap>>,
    /// The whole targeting, in place of the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targeting: Option<Targeting>,
    /// Whether it shares interest with consenting tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooled_interest: Option<bool>,
    /// All ads, in place of those before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ads: Option<Vec<AdDraft>>,
}

/// An ad as JSON, with the keys that `[[campaign.ad]]` has in files, and read by the same rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AdDraft(serde_json::Value);

/// Terms of a bid, in micros; absent in an edit means unchanged, absent in a view means unset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BidEdit {
    /// Highest CPM.
    pub max_cpm_micros: Option<u64>,
    /// Value of a click.
    pub cpc_micros: Option<u64>,
    /// Target cost of a conversion.
    pub target_cpa_micros: Option<u64>,
    /// Expected conversions per million clicks.
    pub expected_cvr_ppm: Option<u32>,
    /// Target return on ad spend: value for a million of cost.
    pub target_roas_ppm: Option<u32>,
    /// Expected value of an order.
    pub expected_order_value_micros: Option<u64>,
}

impl CampaignEdit {
    /// Adds a later edit: what it says wins.
    pub(super) fn merge(&mut self, later: Self) {
        self.status = later.status.or(self.status);
        self.daily_budget_micros = later.daily_budget_micros.or(self.daily_budget_micros);
        self.lifetime_budget_micros = later.lifetime_budget_micros.or(self.lifetime_budget_micros);
        self.flights = later.flights.or(self.flights.take());
        self.overdelivery = later.overdelivery.or(self.overdelivery);
        self.bid.merge(later.bid);
        if later.strategy.is_some() || later.strategies.is_some() {
            (self.strategy, self.strategies) = (later.strategy, later.strategies);
        }
        self.frequency_caps = later.frequency_caps.or(self.frequency_caps.take());
        self.targeting = later.targeting.or(self.targeting.take());
        self.pooled_interest = later.pooled_interest.or(self.pooled_interest);
        self.ads = later.ads.or(self.ads.take());
    }
}

impl BidEdit {
    fn is_unset(&self) -> bool {
        *self == Self::default()
    }

    fn merge(&mut self, later: Self) {
        self.max_cpm_micros = later.max_cpm_micros.or(self.max_cpm_micros);
        self.cpc_micros = later.cpc_micros.or(self.cpc_micros);
        self.target_cpa_micros = later.target_cpa_micros.or(self.target_cpa_micros);
        self.expected_cvr_ppm = later.expected_cvr_ppm.or(self.expected_cvr_ppm);
        self.target_roas_ppm = later.target_roas_ppm.or(self.target_roas_ppm);
        self.expected_order_value_micros =
            later.expected_order_value_micros.or(self.expected_order_value_micros);
    }
}

/// Why an edit was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The catalog has no campaign of this name.
    #[error("there is no campaign `{0}`")]
    UnknownCampaign(String),
    /// The campaign would break a rule: every fault, in one line.
    #[error("{0}")]
    Refused(String),
    /// The store did not take it; the campaign is as it was.
    #[error("{0}")]
    NotKept(ConfigError),
}

/// What the API has changed of a campaign, beside what the files say of it.
#[derive(Clone, Debug)]
pub struct Edited {
    /// All edits as one, or why they cannot be read.
    pub changes: Result<CampaignEdit, String>,
    /// Why they do not fit the files: the campaign is stopped then, since what the files say may be
    /// older than what was asked for.
    pub fault: Option<String>,
    /// The campaign of the files.
    pub(super) base: Campaign,
    pub(super) base_ads: Vec<Ad>,
}

/// Edits by campaign, or why one cannot be read.
pub(super) type Edits = BTreeMap<String, Result<CampaignEdit, String>>;

/// Faults as one line for a person.
pub(super) fn in_one_line(faults: &[Fault]) -> String {
    let lines: Vec<_> = faults.iter().map(|(key, reason)| format!("{key}: {reason}")).collect();
    lines.join("; ")
}

/// The campaign with the edit, checked by the same rules as a file, and its ads where they are others
/// now.
pub(super) fn apply<'a>(
    mut campaign: Campaign,
    advertiser: &Advertiser,
    ads: impl Iterator<Item = &'a Ad> + Clone,
    edit: &CampaignEdit,
    strategies: &KnownStrategies,
) -> Result<(Campaign, Option<Vec<Ad>>), Vec<Fault>> {
    campaign.status = edit.status.unwrap_or(campaign.status);
    if let Some(micros) = edit.daily_budget_micros {
        campaign.daily_budget = Nanos::from_micros(micros);
    }
    if let Some(micros) = edit.lifetime_budget_micros {
        campaign.lifetime_budget = Some(Nanos::from_micros(micros));
    }
    if let Some(flights) = &edit.flights {
        campaign.flights = flights.iter().map(Flight::from).collect();
    }
    campaign.overdelivery = edit.overdelivery.unwrap_or(campaign.overdelivery);
    let bid = &mut campaign.bid;
    bid.max_cpm = edit.bid.max_cpm_micros.map_or(bid.max_cpm, Micros);
    bid.cpc = edit.bid.cpc_micros.or(bid.cpc);
    bid.target_cpa = edit.bid.target_cpa_micros.or(bid.target_cpa);
    bid.expected_cvr_ppm = edit.bid.expected_cvr_ppm.unwrap_or(bid.expected_cvr_ppm);
    bid.target_roas_ppm = edit.bid.target_roas_ppm.unwrap_or(bid.target_roas_ppm);
    bid.expected_order_value =
        edit.bid.expected_order_value_micros.unwrap_or(bid.expected_order_value);
    if edit.strategy.is_some() || edit.strategies.is_some() {
        campaign.strategies = split::shares(edit.strategy.clone(), edit.strategies.clone())
            .map_err(|fault| vec![fault])?;
    }
    if let Some(caps) = &edit.frequency_caps {
        campaign.frequency_caps = caps.as_slice().into();
    }
    if let Some(targeting) = &edit.targeting {
        campaign.targeting = Arc::new(targeting.clone());
    }
    campaign.pooled_interest = edit.pooled_interest.unwrap_or(campaign.pooled_interest);
    let drafts = edit.ads.as_ref().map(|drafts| self::ads(drafts, advertiser, &campaign));
    match drafts.transpose()? {
        None => Ok((check::checked(campaign, ads, strategies)?, None)),
        Some(drafted) => {
            let campaign = check::checked(campaign, drafted.iter(), strategies)?;
            Ok((campaign, Some(drafted)))
        }
    }
}

/// Makes the ads of an edit. Each names its landing URL: what a file's ads share is not kept.
fn ads(
    drafts: &[AdDraft],
    advertiser: &Advertiser,
    campaign: &Campaign,
) -> Result<Vec<Ad>, Vec<Fault>> {
    let defaults = (&*campaign.name, advertiser, None, &*campaign.iab_cats);
    let (mut ads, mut faults) = (Vec::with_capacity(drafts.len()), Vec::new());
    for (position, AdDraft(draft)) in drafts.iter().enumerate() {
        let made = RawAd::deserialize(draft)
            .map_err(|error| vec![("json".to_owned(), error.to_string())])
            .and_then(|raw| check_ad::ad(raw, defaults));
        match made {
            Ok(ad) => ads.push(ad),
            Err(wrong) => {
                faults.extend(
                    wrong.into_iter().map(|(key, why)| (format!("ads[{position}].{key}"), why)),
                );
            }
        }
    }
    let is_counted = (1..=check::ADS_MAX).contains(&drafts.len());
    if !is_counted {
        faults.push(("ads".to_owned(), format!("1 to {} of them", check::ADS_MAX)));
    }
    if faults.is_empty() { Ok(ads) } else { Err(faults) }
}

/// What differs from the files, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EditsView {
    /// All edits as one; `None` where they cannot be read.
    pub changes: Option<CampaignEdit>,
    /// Why the campaign is stopped: its edits do not fit its files.
    pub fault: Option<String>,
}

/// A campaign as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CampaignView {
    /// The campaign's name, by which the API calls it.
    pub id: String,
    /// Name of the advertiser.
    pub advertiser: String,
    /// Active or paused.
    pub status: Status,
    /// Product category.
    pub category: String,
    /// IAB categories.
    pub iab_cats: Vec<String>,
    /// The rules of its trade, if any.
    pub sensitive: Option<Sensitivity>,
    /// What it pays for.
    pub bid: BidEdit,
    /// Name of the bidding strategy, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// The strategies that share its users, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strategies: Vec<StrategyShare>,
    /// Currency of all amounts.
    pub currency: CurrencyCode,
    /// Most that a local day may cost, in micros.
    pub daily_budget_micros: u64,
    /// Most that the campaign may ever cost, in micros.
    pub lifetime_budget_micros: Option<u64>,
    /// Runs of days with a budget of their own.
    pub flights: Vec<FlightTerms>,
    /// Whether days may cost more than their budget.
    pub overdelivery: Overdelivery,
    /// IANA time zone.
    pub time_zone: String,
    /// Frequency caps.
    pub frequency_caps: Vec<FrequencyCap>,
    /// Targeting as it was written.
    pub targeting: Targeting,
    /// Whether it shares interest with consenting tenants.
    pub pooled_interest: bool,
    /// Its ads.
    pub ads: Vec<AdView>,
    /// What the API has changed; `None` where the campaign is as its file says.
    pub edits: Option<EditsView>,
}

/// An ad as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdView {
    /// The `crid`.
    pub name: String,
    /// "banner", "video", "native" or "audio".
    pub kind: &'static str,
    /// Width and height in pixels, where the kind has them.
    pub size: Option<[u32; 2]>,
    /// Length in seconds, where the kind has one.
    pub duration_s: Option<u32>,
    /// Advertiser domains.
    pub adomain: Vec<String>,
    /// Where a click leads.
    pub landing_url: String,
}

impl CampaignView {
    pub(super) fn new<'a>(
        campaign: &Campaign,
        advertiser: &str,
        ads: impl Iterator<Item = &'a Ad>,
    ) -> Self {
        let bid = &campaign.bid;
        Self {
            id: campaign.name.clone(),
            advertiser: advertiser.to_owned(),
            status: campaign.status,
            category: campaign.category_name.clone(),
            iab_cats: campaign.iab_cats.to_vec(),
            sensitive: campaign.sector.sensitivity(),
            bid: BidEdit {
                max_cpm_micros: Some(bid.max_cpm.0),
                cpc_micros: bid.cpc,
                target_cpa_micros: bid.target_cpa,
                expected_cvr_ppm: (bid.expected_cvr_ppm > 0).then_some(bid.expected_cvr_ppm),
                target_roas_ppm: (bid.target_roas_ppm > 0).then_some(bid.target_roas_ppm),
                expected_order_value_micros: (bid.expected_order_value > 0)
                    .then_some(bid.expected_order_value),
            },
            strategy: (!campaign.is_split()).then(|| campaign.strategy_names()),
            strategies: if campaign.is_split() { campaign.strategies.clone() } else { Vec::new() },
            currency: campaign.currency,
            daily_budget_micros: micros(campaign.daily_budget),
            lifetime_budget_micros: campaign.lifetime_budget.map(micros),
            flights: campaign.flights.iter().map(FlightTerms::from).collect(),
            overdelivery: campaign.overdelivery,
            time_zone: campaign.time_zone_name().to_owned(),
            frequency_caps: campaign.frequency_caps.to_vec(),
            targeting: (*campaign.targeting).clone(),
            pooled_interest: campaign.pooled_interest,
            ads: ads.map(AdView::new).collect(),
            edits: campaign.edited.as_deref().map(|edited| EditsView {
                changes: edited.changes.clone().ok(),
                fault: edited.fault.clone(),
            }),
        }
    }
}

/// Budgets come in as micros, so the division is exact.
pub(super) fn micros(amount: Nanos) -> u64 {
    u64::try_from(amount.0 / 1_000).unwrap_or(u64::MAX)
}

impl AdView {
    fn new(ad: &Ad) -> Self {
        let (w, h) = ad.kind.size();
        Self {
            name: ad.name.clone(),
            kind: ad.kind.as_str(),
            size: (w > 0).then_some([w, h]),
            duration_s: ad.kind.duration_s(),
            adomain: ad.adomain.to_vec(),
            landing_url: ad.landing_url.clone(),
        }
    }
}
