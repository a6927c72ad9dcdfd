//! `fixtures/world.toml`: what the simulated world is made of. Everything here is public; what is
//! drawn from it by the seed (tastes, qualities, prices) is hidden from the engine.

use super::{Error, SlotKind};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The world that is built in, `fixtures/world.toml`.
const BUILT_IN: &str = include_str!("../../fixtures/world.toml");

/// Categories and publishers are numbered in a `u16` in each step of a day.
const ENTRIES_MAX: usize = 10_000;

/// What the world is made of.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Version of this format; 1.
    pub version: u32,
    /// Relative traffic of the 24 hours of a UTC day.
    pub hours: Vec<f64>,
    /// US dollars for one unit of a currency; floors use them. The engine's rates should agree.
    pub rates: BTreeMap<String, f64>,
    /// What makes people click.
    pub click: Click,
    /// What makes people prefer one item of a category to another.
    pub goods: Goods,
    /// What makes people buy after a click.
    pub conversion: Conversion,
    /// Product categories.
    pub category: Vec<Category>,
    /// Where ads are shown.
    pub publisher: Vec<Publisher>,
    /// Where people live.
    pub country: Vec<Country>,
}

/// The true click model: log-odds, added up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Click {
    /// Log-odds of a click on an ad that nothing speaks for.
    pub base: f64,
    /// Added when the ad is for what the user is looking for now.
    pub intent: f64,
    /// Added for a category of the same group as the intent.
    pub related: f64,
    /// Added, times the strength (0 to 1), for a long-term taste.
    pub taste: f64,
    /// Added when the page is about the ad's group.
    pub page: f64,
    /// Amplitude of the swing over the day, highest at 20:00.
    pub hour: f64,
    /// Standard deviation of a creative's quality.
    pub creative_sd: f64,
    /// Standard deviation of a placement's quality.
    pub placement_sd: f64,
    /// Standard deviation of a user's readiness to click.
    pub user_sd: f64,
}

/// Why an item is browsed and its ad clicked rather than another's of its category: log-odds, added
/// up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goods {
    /// Added for the brand that the user likes best in the category.
    pub brand: f64,
    /// Added for the user's style, which items have and no attribute says.
    pub style: f64,
    /// Taken off for each factor of two between an item's price and what the user has in mind.
    pub price: f64,
    /// Standard deviation of the logarithm of that price, around the middle of the category.
    pub price_sd: f64,
    /// Added to a click on what the user looked at lately.
    pub looked_at: f64,
    /// Share of looks that go back to an item that was looked at lately.
    pub again: f64,
}

/// The true conversion model after a click: log-odds, added up, and the delay.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversion {
    /// Log-odds of a purchase after a click.
    pub base: f64,
    /// Added when the ad is for what the user was looking for.
    pub intent: f64,
    /// Standard deviation of a campaign's quality.
    pub campaign_sd: f64,
    /// Median minutes from click to purchase.
    pub delay_median_min: f64,
    /// Standard deviation of the logarithm of that delay.
    pub delay_sigma: f64,
}

/// A product category.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Its name, as campaigns and events say it ("running-shoes").
    pub name: String,
    /// What it belongs to ("sport").
    pub group: String,
    /// How many people look for it, relative to the others.
    pub weight: f64,
    /// Typical order, in US dollars.
    pub order_usd: f64,
}

/// Whether ads are shown in a browser or an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Medium {
    /// A web site.
    Site,
    /// A mobile app.
    App,
}

/// How a publisher's exchange spells OpenRTB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Dialect {
    /// 2.5: consent, eids and schain in `ext`.
    #[serde(rename = "2.5")]
    V25,
    /// 2.6: everything in its own field.
    #[serde(rename = "2.6")]
    V26,
}

/// A publisher.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publisher {
    /// Site or app.
    pub medium: Medium,
    /// Domain or bundle.
    pub name: String,
    /// Content categories, as IAB codes.
    pub cat: Vec<String>,
    /// Group of product categories that its pages are about; empty for general content.
    #[serde(default)]
    pub group: String,
    /// Visits relative to the others.
    pub traffic: f64,
    /// Typical floor, a CPM in US dollars.
    pub floor: f64,
    /// Price level of the competition; 1 is typical.
    pub price: f64,
    /// 1: first price, 2: second price.
    pub at: u8,
    /// Spelling of its exchange.
    pub dialect: Dialect,
    /// Placements on a page.
    pub slots: Vec<SlotKind>,
    /// Deals that it offers.
    #[serde(default)]
    pub deals: Vec<Deal>,
    /// Advertiser domains that it refuses.
    #[serde(default)]
    pub badv: Vec<String>,
    /// Ad categories that it refuses.
    #[serde(default)]
    pub bcat: Vec<String>,
}

/// A deal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deal {
    /// Its id.
    pub id: String,
    /// Its floor, a CPM in US dollars.
    pub floor: f64,
    /// Whether only deal bids are taken.
    #[serde(default)]
    pub private: bool,
}

/// A country.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Country {
    /// ISO 3166-1 alpha-3.
    pub code: String,
    /// A region of it (ISO 3166-2, without the country).
    pub region: String,
    /// A city in it.
    pub city: String,
    /// Language of its users, ISO 639-1.
    pub language: String,
    /// Users relative to the others.
    pub weight: f64,
    /// Which privacy law its users live under.
    #[serde(default)]
    pub law: Law,
}

/// Privacy law of a country, as far as bid requests show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    /// None that shows.
    #[default]
    None,
    /// The European one: `gdpr` and a TCF string.
    Gdpr,
    /// American state laws: `us_privacy` or `gpp`.
    Us,
}

impl Spec {
    /// The world that is built into the binary.
    ///
    /// # Errors
    /// Never for the shipped file; its test holds that.
    pub fn built_in() -> Result<Self, Error> {
        Self::parse(BUILT_IN)
    }

    /// Reads and checks a world file.
    ///
    /// # Errors
    /// `Error::World` with what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let spec: Self = toml::from_str(text).map_err(|error| Error::World(error.to_string()))?;
        spec.check().map_err(Error::World)?;
        Ok(spec)
    }

    fn check(&self) -> Result<(), String> {
        if self.version != 1 {
            return Err(format!("version {} is not known; this is version 1", self.version));
        }
        if self.hours.len() != 24 || !self.hours.iter().all(|share| *share > 0.0) {
            return Err("hours needs 24 positive numbers".to_owned());
        }
        for (what, count) in [
            ("category", self.category.len()),
            ("publisher", self.publisher.len()),
            ("country", self.country.len()),
        ] {
            if count == 0 || count > ENTRIES_MAX {
                return Err(format!("{count} entries of {what}; 1 to {ENTRIES_MAX} are possible"));
            }
        }
        if !self.publisher.iter().any(|publisher| publisher.medium == Medium::Site) {
            return Err("at least one publisher must be a site: any device can show it".to_owned());
        }
        for publisher in &self.publisher {
            if publisher.slots.is_empty() || !matches!(publisher.at, 1 | 2) {
                return Err(format!("publisher {}: needs slots, and at 1 or 2", publisher.name));
            }
            if !publisher.deals.iter().all(|deal| deal.floor >= 0.0) {
                return Err(format!("publisher {}: a deal's floor is negative", publisher.name));
            }
        }
        if !self.rates.values().all(|rate| *rate > 0.0) {
            return Err("rates must be positive".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_world_is_good() {
        let spec = Spec::built_in().expect("good");
        assert!(spec.category.len() >= 15 && spec.publisher.len() >= 15);
        let has = |medium| spec.publisher.iter().any(|publisher| publisher.medium == medium);
        assert!(has(Medium::Site) && has(Medium::App));
    }

    #[test]
    fn wrong_worlds_are_refused_with_a_reason() {
        for (from, to, expected) in [
            ("version = 1", "version = 3", "version 3"),
            ("version = 1", "version = 1\nwrong = 2", "unknown field"),
            ("at = 2", "at = 7", "at 1 or 2"),
            ("EUR = 1.", "EUR = -1.", "positive"),
            ("hours = [", "hours = [0.5, ", "24 positive"),
        ] {
            let text = BUILT_IN.replacen(from, to, 1);
            assert_ne!(text, BUILT_IN, "`{from}` stands in the file");
            let error = Spec::parse(&text).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error} against {expected}");
        }
    }
}
