//! The rules: what a campaign, an ad and an advertiser must be to enter the catalog. Files and API
//! edits pass through the same ones.

use super::campaign::{Advertiser, BidTerms, CAPS_MAX, Campaign, FrequencyCap};
use super::check_ad;
use super::creative::Ad;
use super::domain::{Domains, Minors};
use super::filters::{Fault, Filters, is_iab_category};
use super::money::{self, Flight};
use super::raw::{RawAdvertiser, RawCampaign, RawFlight};
use super::split::{self, KnownStrategies, StrategyShare, TermsNeeded};
use crate::hash;
use crate::openrtb::{Template, TemplateError};
use crate::units::{AdvertiserId, CampaignId, CategoryId, Micros, Nanos, Slot};
use jiff::tz::TimeZone;
use std::sync::Arc;

/// OpenRTB exchanges commonly refuse longer creative ids; names of campaigns keep the same bound.
pub(super) const NAME_BYTES_MAX: usize = 64;
/// Ads of one campaign: the auction looks at each of them for each impression.
pub(super) const ADS_MAX: usize = 64;
/// A URL longer than this is cut by some browsers and exchanges.
const URL_BYTES_MAX: usize = 2_048;
/// 10,000 in any currency a mille: a hundred times what the dearest impression costs, so that a
/// budget written in place of a bid is caught.
const CPM_MICROS_MAX: u64 = 10_000_000_000;
/// Returns outside of this are taken for a mistake of units, such as percent.
const ROAS_PPM: std::ops::RangeInclusive<u32> = 10_000..=1_000_000_000;
/// A billion units of currency: above any campaign, and far from overflowing anything.
pub(super) const BUDGET_MICROS_MAX: u64 = 1_000_000_000_000_000;
/// A session forgets after some weeks; a longer window would promise what nobody counts.
const CAP_WINDOW_S_MAX: u32 = 30 * 86_400;
/// What the name system holds (RFC 1035 §2.3.4).
const DOMAIN_BYTES_MAX: usize = 253;
/// Trackers, files, sizes, parts, domains or categories of one ad: each of them is looked at or
/// written in an answer.
const PARTS_MAX: usize = 16;
/// Other texts of a native ad, media types and category names.
pub(super) const TEXT_BYTES_MAX: usize = 1_024;

/// Collects faults under the keys of one table.
#[derive(Default)]
pub(super) struct Faults(pub Vec<Fault>);

impl Faults {
    pub(super) fn unless(&mut self, holds: bool, key: &str, reason: impl FnOnce() -> String) {
        if !holds {
            self.0.push((key.to_owned(), reason()));
        }
    }

    pub(super) fn url(&mut self, key: &str, url: &str) {
        let host = url.strip_prefix("https://").unwrap_or_default();
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>\\`".contains(&byte);
        let inside = host.to_ascii_lowercase();
        self.unless(!inside.contains("http:"), key, || {
            format!("`{url}` has an address without TLS in it: percent-encode it")
        });
        let holds = url.len() <= URL_BYTES_MAX
            && host.starts_with(|first: char| first.is_ascii_alphanumeric())
            && url.bytes().all(is_plain);
        self.unless(holds, key, || {
            format!("`{url}` is no https URL of at most {URL_BYTES_MAX} bytes")
        });
    }

    /// A third party's URL, compiled; an empty one where it is refused.
    pub(super) fn template(&mut self, key: &str, url: &str) -> Template {
        self.url(key, url);
        self.compiled(key, Template::url(url))
    }

    /// What was compiled, or the empty one and the fault.
    pub(super) fn compiled<T: Default>(
        &mut self,
        key: &str,
        template: Result<T, TemplateError>,
    ) -> T {
        template.unwrap_or_else(|error| {
            self.0.push((key.to_owned(), error.to_string()));
            T::default()
        })
    }

    pub(super) fn text(&mut self, key: &str, text: &str) {
        let holds = !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX;
        self.unless(holds, key, || format!("is empty or above {TEXT_BYTES_MAX} bytes"));
    }

    pub(super) fn few(&mut self, key: &str, count: usize) {
        self.unless(count <= PARTS_MAX, key, || format!("more than {PARTS_MAX}"));
    }

    pub(super) fn name(&mut self, name: &str) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let holds = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_plain);
        self.unless(holds, "name", || {
            format!("`{name}` is not made of 1 to {NAME_BYTES_MAX} letters, digits and . _ -")
        });
    }

    pub(super) fn categories(&mut self, categories: &[String]) {
        self.few("iab_cats", categories.len());
        for category in categories {
            self.unless(is_iab_category(category), "iab_cats", || {
                format!("`{category}` is no IAB category such as \"IAB17\" or \"IAB17-3\"")
            });
        }
    }

    pub(super) fn finish<T>(self, value: T) -> Result<T, Vec<Fault>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

/// Checks an advertiser.
pub(super) fn advertiser(raw: RawAdvertiser) -> Result<Advertiser, Vec<Fault>> {
    let mut faults = Faults::default();
    faults.name(&raw.name);
    domains(&mut faults, "domains", &raw.domains);
    let budget = raw.budget.map(|amount| Nanos::from_micros(amount.0));
    faults.unless(budget.is_none_or(money::is_budget), "budget", billion);
    faults.finish(Advertiser {
        id: AdvertiserId::of(&raw.name),
        name: raw.name,
        currency: raw.currency,
        budget,
        sector: raw.sector,
        domains: raw.domains,
    })
}

pub(super) fn domains(faults: &mut Faults, key: &str, domains: &[String]) {
    faults.few(key, domains.len());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_plain);
    for domain in domains {
        let holds = domain.contains('.')
            && domain.len() <= DOMAIN_BYTES_MAX
            && domain.split('.').all(is_label);
        faults.unless(holds, key, || format!("`{domain}` is no domain such as \"shoes.example\""));
    }
}

/// Makes a campaign and its ads. Slots are assigned when the whole catalog is known.
pub(super) fn campaign(
    raw: RawCampaign,
    advertiser: &Advertiser,
    strategies: &KnownStrategies,
    domains: &Arc<Domains>,
) -> Result<(Campaign, Vec<Ad>), Vec<Fault>> {
    let mut faults = Faults::default();
    let mut ads = Vec::with_capacity(raw.ad.len());
    for (position, ad) in raw.ad.into_iter().enumerate() {
        let defaults = (&*raw.name, advertiser, raw.landing_url.as_deref(), &*raw.iab_cats);
        match check_ad::ad(ad, defaults) {
            Ok(ad) => ads.push(ad),
            Err(wrong) => faults
                .0
                .extend(wrong.into_iter().map(|(key, why)| (format!("ad[{position}].{key}"), why))),
        }
    }
    let time_zone = TimeZone::get(&raw.time_zone).unwrap_or_else(|_| {
        let reason = format!("`{}` is no IANA time zone such as \"Europe/Paris\"", raw.time_zone);
        faults.0.push(("time_zone".to_owned(), reason));
        TimeZone::UTC
    });
    let shares = split::shares(raw.strategy, raw.strategies).unwrap_or_else(|fault| {
        faults.0.push(fault);
        Vec::new()
    });
    if let Some(name) = &raw.calibration_group {
        faults.text("calibration_group", name);
    }
    let campaign = Campaign {
        slot: Slot::default(),
        id: CampaignId::of(&raw.name),
        advertiser: advertiser.id,
        status: raw.status,
        category: CategoryId::of(&raw.category),
        category_name: raw.category,
        iab_cats: raw.iab_cats.into(),
        sector: raw.sector.unwrap_or(advertiser.sector),
        domains: domains.clone(),
        bid: BidTerms {
            max_cpm: Micros(raw.bid.max_cpm.0),
            cpc: raw.bid.cpc.map(|amount| amount.0),
            target_cpa: raw.bid.target_cpa.map(|amount| amount.0),
            expected_cvr_ppm: raw.bid.expected_cvr_ppm,
            // What does not fit is as wrong as the most that does.
            target_roas_ppm: raw
                .bid
                .target_roas
                .map_or(0, |ratio| u32::try_from(ratio.0).unwrap_or(u32::MAX)),
            expected_order_value: raw.bid.expected_order_value.map_or(0, |amount| amount.0),
        },
        strategies: shares,
        daily_budget: Nanos::from_micros(raw.daily_budget.0),
        lifetime_budget: raw.lifetime_budget.map(|amount| Nanos::from_micros(amount.0)),
        flights: raw.flights.iter().map(flight).collect(),
        overdelivery: raw.overdelivery,
        currency: advertiser.currency,
        time_zone,
        frequency_caps: raw.frequency_caps.into(),
        targeting: Arc::new(raw.targeting),
        filters: Arc::default(),
        ads: smallvec::SmallVec::new(),
        pooled_interest: raw.pooled_interest,
        calibration_group: raw
            .calibration_group
            .map_or(advertiser.id.0, |name| hash::stable(name.as_bytes())),
        edited: None,
        name: raw.name,
    };
    faults.unless(!ads.is_empty() || !faults.0.is_empty(), "ad", || {
        "a campaign needs at least one [[campaign.ad]]".to_owned()
    });
    faults.unless(ads.len() <= ADS_MAX, "ad", || format!("more than {ADS_MAX} ads"));
    match checked(campaign, ads.iter(), strategies) {
        Ok(campaign) => faults.finish((campaign, ads)),
        Err(wrong) => {
            faults.0.extend(wrong);
            Err(faults.0)
        }
    }
}

/// Checks the terms of a campaign, also after an edit, and compiles its targeting.
pub(super) fn checked<'a>(
    mut campaign: Campaign,
    ads: impl Iterator<Item = &'a Ad> + Clone,
    strategies: &KnownStrategies,
) -> Result<Campaign, Vec<Fault>> {
    let mut faults = Faults::default();
    faults.name(&campaign.name);
    faults.text("category", &campaign.category_name);
    faults.categories(&campaign.iab_cats);
    strategies_fit(&mut faults, &campaign, strategies);
    budgets(&mut faults, &campaign);
    bid(&mut faults, &campaign.bid);
    sector(&mut faults, &campaign, ads.clone());
    let domains = campaign.domains.clone();
    domains.get(campaign.sector).check(&mut faults, &mut campaign);
    caps(&mut faults, "frequency_caps", &campaign.frequency_caps);
    match Filters::compile(&campaign.targeting, &campaign.time_zone, ads) {
        Ok(mut filters) => {
            filters.adults_only = campaign.domain().minors == Minors::Excluded;
            campaign.filters = Arc::new(filters);
        }
        Err(wrong) => faults.0.extend(wrong),
    }
    faults.finish(campaign)
}

/// Each strategy is there, and the campaign has the terms that it bids by.
fn strategies_fit(faults: &mut Faults, campaign: &Campaign, strategies: &KnownStrategies) {
    let key = campaign.strategy_key();
    for StrategyShare { name, .. } in &campaign.strategies {
        let Some(needed) = strategies.get(name) else {
            let known = strategies.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            faults.unless(false, key, || format!("`{name}` is not known; there are: {known}"));
            continue;
        };
        let TermsNeeded { cpc, target_cpa, target_roas } = *needed;
        faults.unless(!cpc || campaign.bid.cpc.is_some(), key, || {
            format!("`{name}` needs `bid.cpc`, what a click is worth")
        });
        faults.unless(!target_cpa || campaign.bid.target_cpa.is_some(), key, || {
            format!("`{name}` needs `bid.target_cpa`, what a conversion may cost")
        });
        faults.unless(!target_roas || campaign.bid.target_roas_ppm > 0, key, || {
            format!("`{name}` needs `bid.target_roas`, what orders are worth for each 1 spent")
        });
    }
}

fn budgets(faults: &mut Faults, campaign: &Campaign) {
    faults.unless(money::is_budget(campaign.daily_budget), "daily_budget", billion);
    money::flights(faults, &campaign.flights);
    if let Some(lifetime) = campaign.lifetime_budget {
        faults.unless(money::is_budget(lifetime), "lifetime_budget", billion);
        faults.unless(lifetime >= campaign.daily_budget, "lifetime_budget", || {
            "is below the daily budget".to_owned()
        });
    }
}

fn billion() -> String {
    "lies above 0 and up to a billion".to_owned()
}

fn flight(raw: &RawFlight) -> Flight {
    let budget = Nanos::from_micros(raw.budget.0);
    Flight { start: raw.start.0, end: raw.end.0, budget }
}

fn bid(faults: &mut Faults, bid: &BidTerms) {
    let price = 1..=CPM_MICROS_MAX;
    faults.unless(price.contains(&bid.max_cpm.0), "bid.max_cpm", || {
        "lies above 0 and up to 10000".to_owned()
    });
    let amount = 1..=BUDGET_MICROS_MAX;
    for (key, value) in [("bid.cpc", bid.cpc), ("bid.target_cpa", bid.target_cpa)] {
        let fits = value.is_none_or(|value| amount.contains(&value));
        faults.unless(fits, key, billion);
    }
    let rate = bid.expected_cvr_ppm;
    faults.unless(rate <= 1_000_000, "bid.expected_cvr_ppm", || {
        "is above one million: more conversions than clicks".to_owned()
    });
    faults.unless(bid.target_cpa.is_none() || rate > 0, "bid.target_cpa", || {
        "needs expected_cvr_ppm, conversions per million clicks".to_owned()
    });
    let value = bid.expected_order_value;
    faults.unless(value <= BUDGET_MICROS_MAX, "bid.expected_order_value", billion);
    let roas = bid.target_roas_ppm;
    faults.unless(roas == 0 || ROAS_PPM.contains(&roas), "bid.target_roas", || {
        "lies between 0.01 and 1000: \"4.0\" wants 4 of value for each 1 spent".to_owned()
    });
    faults.unless(roas == 0 || rate > 0 && value > 0, "bid.target_roas", || {
        "needs expected_cvr_ppm and expected_order_value".to_owned()
    });
}

/// A domain's own cap is among those of its campaigns, and counts like them.
pub(super) fn caps(faults: &mut Faults, key: &str, caps: &[FrequencyCap]) {
    faults.unless(caps.len() <= CAPS_MAX, key, || format!("more than {CAPS_MAX}"));
    for cap in caps {
        faults.unless(cap.count > 0, key, || "a count of 0; pause instead".to_owned());
        faults.unless((60..=CAP_WINDOW_S_MAX).contains(&cap.window_s), key, || {
            format!("window_s lies between 60 and {CAP_WINDOW_S_MAX}")
        });
    }
}

/// A campaign cannot escape the rules of a trade by keeping quiet: an IAB category of a domain among
/// its or its ads' categories asks for that sector.
fn sector<'a>(faults: &mut Faults, campaign: &Campaign, ads: impl Iterator<Item = &'a Ad>) {
    let of_ads = ads.flat_map(|ad| ad.iab_cats.iter());
    for category in campaign.iab_cats.iter().chain(of_ads) {
        let Some(owner) = campaign.domains.owner(category) else { continue };
        let needed = owner.sector;
        faults.unless(campaign.sector == needed, "iab_cats", || {
            format!("{category} needs `sector` to be {needed:?}, with the rules of that sector")
        });
    }
}
