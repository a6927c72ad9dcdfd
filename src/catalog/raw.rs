//! The files as they are written: serde types that refuse unknown keys. `check.rs` makes the real
//! ones of them.

use super::campaign::{FrequencyCap, Sector, Status};
use super::money::{LocalDate, Overdelivery};
use super::raw_ad::RawAd;
use super::split::StrategyShare;
use super::targeting::Targeting;
use crate::units::{CurrencyCode, Micros};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::fmt;

/// `advertisers.toml`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdvertisers {
    pub advertiser: Vec<RawAdvertiser>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdvertiser {
    pub name: String,
    pub currency: CurrencyCode,
    pub budget: Option<Amount>,
    pub sector: Sector,
    #[serde(default)]
    pub domains: Vec<String>,
}

/// One file of `campaigns/`: campaigns of one advertiser.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCampaigns {
    pub advertiser: String,
    #[serde(default)]
    pub campaign: Vec<RawCampaign>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCampaign {
    pub name: String,
    #[serde(default)]
    pub status: Status,
    pub category: String,
    #[serde(default)]
    pub iab_cats: Vec<String>,
    pub sector: Option<Sector>,
    pub strategy: Option<String>,
    pub strategies: Option<Vec<StrategyShare>>,
    pub daily_budget: Amount,
    pub lifetime_budget: Option<Amount>,
    #[serde(default)]
    pub flights: Vec<RawFlight>,
    #[serde(default)]
    pub overdelivery: Overdelivery,
    #[serde(default = "utc")]
    pub time_zone: String,
    #[serde(default)]
    pub pooled_interest: bool,
    pub calibration_group: Option<String>,
    pub landing_url: Option<String>,
    #[serde(default)]
    pub frequency_caps: Vec<FrequencyCap>,
    pub bid: RawBid,
    #[serde(default)]
    pub targeting: Targeting,
    #[serde(default)]
    pub ad: Vec<RawAd>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFlight {
    pub start: LocalDate,
    pub end: LocalDate,
    pub budget: Amount,
}

fn utc() -> String {
    "UTC".to_owned()
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBid {
    pub max_cpm: Amount,
    pub cpc: Option<Amount>,
    pub target_cpa: Option<Amount>,
    pub target_roas: Option<Amount>,
    pub expected_order_value: Option<Amount>,
    #[serde(default)]
    pub expected_cvr_ppm: u32,
}

/// Money in a file, in micros: a whole number or a decimal in quotes. A bare decimal is refused,
/// because TOML reads it as a binary float, and 0.1 has no exact one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amount(pub u64);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an amount: a whole number, or a decimal in quotes such as \"2.50\"")
    }

    fn visit_i64<E: Error>(self, units: i64) -> Result<Amount, E> {
        let units = u64::try_from(units).map_err(|_| E::custom("an amount is not negative"))?;
        let micros = units.checked_mul(1_000_000);
        micros.map(Amount).ok_or_else(|| E::custom("an amount is out of range"))
    }

    fn visit_u64<E: Error>(self, units: u64) -> Result<Amount, E> {
        let micros = units.checked_mul(1_000_000);
        micros.map(Amount).ok_or_else(|| E::custom("an amount is out of range"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
        let micros = Micros::parse_decimal(text);
        let refuse = || E::custom(format!("`{text}` is no amount; write it like \"2.50\""));
        micros.map(|micros| Amount(micros.0)).ok_or_else(refuse)
    }
}
