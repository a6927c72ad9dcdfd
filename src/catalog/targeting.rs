//! Targeting as a trader writes it, in files and through the API.
//!
//! An empty list means "no wish". Where a list of includes is given, at least one entry must match;
//! no entry of an exclude list may match. `filters.rs` says how values are compared.

use serde::{Deserialize, Serialize};

/// Wanted and unwanted values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lists {
    /// At least one of these, unless empty.
    pub include: Vec<String>,
    /// None of these.
    pub exclude: Vec<String>,
}

/// Where a campaign wants to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Targeting {
    /// "USA", "USA/CA", "DEU/BE/Berlin", "FRA/*/Lyon": ISO 3166 alpha-3, region code, city.
    pub geo: Lists,
    /// "USA/94107": country and postal code. Precise, so only with permission; includes of postal
    /// codes and circles form one list.
    pub postal_codes: Lists,
    /// "52.52,13.405,5": latitude, longitude, and radius in km (0.5 to 100, true to a tenth).
    pub circles: Lists,
    /// "phone", "tablet", "desktop", "tv", "connected-device".
    pub devices: Vec<String>,
    /// "android", "ios", "windows", "macos", "linux", ...
    pub os: Vec<String>,
    /// "mon-fri 08-20" in the campaign's time zone.
    pub hours: Vec<String>,
    /// Site domains; subdomains match. Includes of domains and bundles form one list of places: a
    /// request from any of them matches.
    pub domains: Lists,
    /// App bundles.
    pub bundles: Lists,
    /// IAB categories of the page or app; "IAB17" matches "IAB17-3".
    pub page_categories: Lists,
    /// Keywords of the page, app or content: any of them.
    pub keywords: Vec<String>,
    /// Keywords of the user: any of them. Personal, so only with consent.
    pub user_keywords: Vec<String>,
    /// User segments, by id. Personal, so only with consent.
    pub segments: Lists,
    /// When given, the campaign bids only through one of these deals.
    pub deals: Vec<String>,
    /// Names of exchanges.
    pub exchanges: Vec<String>,
}
