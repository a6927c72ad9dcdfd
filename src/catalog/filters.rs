//! A campaign's targeting compiled to hashes: the one source of the index and of explanations.

use super::creative::{Ad, AdKind};
use super::facts::{
    AUDIO, BANNER, FLUID_BANNER, NATIVE, RequestFacts, VIDEO, bundle_key, category_key, deal_key,
    domain_key, geo_key, os_key, size_key,
};
use super::hours::{HourMask, hour_of_week};
use super::place::{circle_entry, postal_entry};
use super::targeting::Targeting;
use crate::hash;
use jiff::tz::TimeZone;
use serde::Serialize;
use smallvec::SmallVec;

/// Entries in one list of a campaign. Longer lists belong into an exchange's own inventory packages
/// or a segment; a thousand keeps the index within memory.
pub(super) const LIST_MAX: usize = 1_000;

/// What a request can be asked for. The order is that in which explanations name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// The exchange that asks.
    Exchange,
    /// Country, region, city.
    Geo,
    /// Kind of device.
    Device,
    /// Operating system.
    Os,
    /// A format and size for which the campaign has an ad.
    Format,
    /// Site domain or app bundle.
    Inventory,
    /// IAB categories of page or app.
    PageCategory,
    /// Keywords of page or app.
    Keyword,
    /// Keywords of the user.
    UserKeyword,
    /// Segments of the user.
    Segment,
    /// Deals.
    Deal,
    /// Postal codes and circles.
    Place,
}

/// How many dimensions there are.
pub(super) const DIMENSIONS: usize = 12;

impl Dimension {
    /// All of them, in order.
    pub const ALL: [Self; DIMENSIONS] = [
        Self::Exchange,
        Self::Geo,
        Self::Device,
        Self::Os,
        Self::Format,
        Self::Inventory,
        Self::PageCategory,
        Self::Keyword,
        Self::UserKeyword,
        Self::Segment,
        Self::Deal,
        Self::Place,
    ];

    /// Whether the values belong to the user and need consent.
    #[must_use]
    pub const fn is_personal(self) -> bool {
        matches!(self, Self::UserKeyword | Self::Segment)
    }
}

/// Why a campaign does not take part in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No campaign has this slot.
    Unknown,
    /// The campaign is paused.
    Paused,
    /// Not at this hour of the campaign's week.
    Hours,
    /// The user is a minor and the campaign is for adults.
    Minor,
    /// The campaign lists what it wants, and the request has none of it.
    NotIncluded(Dimension),
    /// The request has something that the campaign does not want.
    Excluded(Dimension),
}

/// Compiled targeting. Keys are sorted and distinct.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    pub(super) include: [Box<[u64]>; DIMENSIONS],
    pub(super) exclude: [Box<[u64]>; DIMENSIONS],
    pub(super) hours: Option<HourMask>,
    pub(super) time_zone: Option<TimeZone>,
    pub(super) adults_only: bool,
}

/// A fault of one key of a campaign: where, and what.
pub(super) type Fault = (String, String);

impl Filters {
    /// Compiles targeting and the formats of the campaign's ads.
    ///
    /// # Errors
    /// Every entry that cannot be read, each with the key that it stands under.
    pub(super) fn compile<'a>(
        targeting: &Targeting,
        time_zone: &TimeZone,
        ads: impl Iterator<Item = &'a Ad>,
    ) -> Result<Self, Vec<Fault>> {
        let mut builder = Builder::default();
        let t = targeting;
        builder.include(Dimension::Geo, "geo.include", &t.geo.include, geo_entry);
        builder.exclude(Dimension::Geo, "geo.exclude", &t.geo.exclude, geo_entry);
        let (codes, circles) = (&t.postal_codes, &t.circles);
        builder.include(Dimension::Place, "postal_codes.include", &codes.include, postal_entry);
        builder.exclude(Dimension::Place, "postal_codes.exclude", &codes.exclude, postal_entry);
        builder.include(Dimension::Place, "circles.include", &circles.include, circle_entry);
        builder.exclude(Dimension::Place, "circles.exclude", &circles.exclude, circle_entry);
        builder.include(Dimension::Device, "devices", &t.devices, device_entry);
        builder.include(Dimension::Os, "os", &t.os, |os| text_entry(os, os_key));
        let domain = |text: &str| domain_entry(text);
        let bundle = |text: &str| text_entry(text, bundle_key);
        builder.include(Dimension::Inventory, "domains.include", &t.domains.include, domain);
        builder.exclude(Dimension::Inventory, "domains.exclude", &t.domains.exclude, domain);
        builder.include(Dimension::Inventory, "bundles.include", &t.bundles.include, bundle);
        builder.exclude(Dimension::Inventory, "bundles.exclude", &t.bundles.exclude, bundle);
        let pages = &t.page_categories;
        builder.include(Dimension::PageCategory, "page_categories", &pages.include, category_entry);
        builder.exclude(Dimension::PageCategory, "page_categories", &pages.exclude, category_entry);
        let word = |text: &str| text_entry(text, |word| hash::key_lower(word.trim()));
        builder.include(Dimension::Keyword, "keywords", &t.keywords, word);
        builder.include(Dimension::UserKeyword, "user_keywords", &t.user_keywords, word);
        builder.include(Dimension::Segment, "segments.include", &t.segments.include, word);
        builder.exclude(Dimension::Segment, "segments.exclude", &t.segments.exclude, word);
        builder.include(Dimension::Deal, "deals", &t.deals, |deal| text_entry(deal, deal_key));
        builder.include(Dimension::Exchange, "exchanges", &t.exchanges, word);
        for ad in ads {
            builder.include[Dimension::Format as usize].extend(format_keys(&ad.kind));
        }
        let hours = HourMask::parse(&t.hours).unwrap_or_else(|reason| {
            builder.faults.push(("targeting.hours".to_owned(), reason));
            None
        });
        builder.finish(hours, time_zone)
    }

    /// The keys of which the request must have one; empty: no wish.
    #[must_use]
    pub fn included(&self, dimension: Dimension) -> &[u64] {
        &self.include[dimension as usize]
    }

    /// The keys of which the request may have none.
    #[must_use]
    pub fn excluded(&self, dimension: Dimension) -> &[u64] {
        &self.exclude[dimension as usize]
    }

    /// Whether the campaign bids only through deals.
    #[must_use]
    pub fn requires_deal(&self) -> bool {
        !self.included(Dimension::Deal).is_empty()
    }

    /// Every filter that the request does not pass, in the order of [`Reason`] and [`Dimension`].
    #[must_use]
    pub fn reasons(&self, facts: &RequestFacts) -> SmallVec<[Reason; 4]> {
        let mut reasons = SmallVec::new();
        if let (Some(hours), Some(zone)) = (&self.hours, &self.time_zone)
            && !hours.has(hour_of_week(facts.now, zone))
        {
            reasons.push(Reason::Hours);
        }
        if self.adults_only && facts.minor {
            reasons.push(Reason::Minor);
        }
        for dimension in Dimension::ALL {
            let values = facts.values(dimension);
            let has_one = |keys: &[u64]| values.iter().any(|key| keys.binary_search(key).is_ok());
            let wanted = self.included(dimension);
            if !wanted.is_empty() && !has_one(wanted) {
                reasons.push(Reason::NotIncluded(dimension));
            }
            if has_one(self.excluded(dimension)) {
                reasons.push(Reason::Excluded(dimension));
            }
        }
        reasons
    }
}

#[derive(Default)]
struct Builder {
    include: [Vec<u64>; DIMENSIONS],
    exclude: [Vec<u64>; DIMENSIONS],
    faults: Vec<Fault>,
}

/// Reads one entry of a list into its keys.
type Keys = SmallVec<[u64; 2]>;

impl Builder {
    fn include(
        &mut self,
        dimension: Dimension,
        key: &str,
        entries: &[String],
        read: impl Fn(&str) -> Result<Keys, String>,
    ) {
        let keys = self.read(key, entries, read);
        self.include[dimension as usize].extend(keys);
    }

    fn exclude(
        &mut self,
        dimension: Dimension,
        key: &str,
        entries: &[String],
        read: impl Fn(&str) -> Result<Keys, String>,
    ) {
        let keys = self.read(key, entries, read);
        self.exclude[dimension as usize].extend(keys);
    }

    fn read(
        &mut self,
        key: &str,
        entries: &[String],
        read: impl Fn(&str) -> Result<Keys, String>,
    ) -> Vec<u64> {
        if entries.len() > LIST_MAX {
            let reason = format!("{} entries; a list holds up to {LIST_MAX}", entries.len());
            self.faults.push((format!("targeting.{key}"), reason));
            return Vec::new();
        }
        let mut keys = Vec::with_capacity(entries.len());
        for entry in entries {
            match read(entry) {
                Ok(found) => keys.extend(found),
                Err(reason) => {
                    self.faults.push((format!("targeting.{key}"), format!("`{entry}` {reason}")));
                }
            }
        }
        keys
    }

    fn finish(self, hours: Option<HourMask>, zone: &TimeZone) -> Result<Filters, Vec<Fault>> {
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        let tidy = |mut keys: Vec<u64>| {
            keys.sort_unstable();
            keys.dedup();
            keys.into_boxed_slice()
        };
        Ok(Filters {
            include: self.include.map(tidy),
            exclude: self.exclude.map(tidy),
            hours,
            time_zone: hours.is_some().then(|| zone.clone()),
            adults_only: false,
        })
    }
}

/// What an ad fits: its size and, for impressions that name none, any banner; or its format.
fn format_keys(kind: &AdKind) -> Keys {
    match kind {
        AdKind::Banner(banner) if banner.is_fluid => Keys::from_slice(&[FLUID_BANNER, BANNER]),
        AdKind::Banner(banner) => {
            let sizes = banner.sizes.iter().map(|(w, h)| size_key(*w, *h));
            sizes.chain([BANNER]).collect()
        }
        AdKind::Video(_) => Keys::from_slice(&[VIDEO]),
        AdKind::Native(_) => Keys::from_slice(&[NATIVE]),
        AdKind::Audio(_) => Keys::from_slice(&[AUDIO]),
    }
}

fn text_entry(text: &str, key: impl Fn(&str) -> u64) -> Result<Keys, String> {
    if text.trim().is_empty() || text.len() > 256 {
        return Err("is empty or longer than 256 bytes".to_owned());
    }
    Ok(Keys::from_slice(&[key(text)]))
}

fn domain_entry(text: &str) -> Result<Keys, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if !text.contains('.') || !text.bytes().all(is_plain) {
        return Err("is no domain; write it like \"news.example\"".to_owned());
    }
    text_entry(text, domain_key)
}

fn category_entry(text: &str) -> Result<Keys, String> {
    if !is_iab_category(text) {
        return Err("is no IAB category; write it like \"IAB17\" or \"IAB17-3\"".to_owned());
    }
    text_entry(text, category_key)
}

/// "IAB17" or "IAB17-3", of IAB Content Taxonomy 1.0 (OpenRTB 2.5, list 5.1).
pub(super) fn is_iab_category(text: &str) -> bool {
    let Some(number) = text.strip_prefix("IAB") else { return false };
    let (parent, child) = number.split_once('-').unwrap_or((number, "1"));
    let fits =
        |part: &str, max| part.parse::<u32>().is_ok_and(|number| (1..=max).contains(&number));
    fits(parent, 26) && fits(child, 99)
}

fn geo_entry(text: &str) -> Result<Keys, String> {
    let mut parts = text.splitn(3, '/');
    let country = parts.next().unwrap_or_default();
    if country.len() != 3 || !country.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(
            "needs a three-letter country: \"USA\", \"USA/CA\" or \"USA/*/Reno\"".to_owned()
        );
    }
    let region = parts.next();
    let city = parts.next();
    if region == Some("") || city == Some("") || (region == Some("*") && city.is_none()) {
        return Err("ends without a region or city".to_owned());
    }
    Ok(Keys::from_slice(&[geo_key(country, region.filter(|region| *region != "*"), city)]))
}

/// OpenRTB device types; 1 is "mobile or tablet", so both names take it.
fn device_entry(text: &str) -> Result<Keys, String> {
    let types: &[u64] = match text {
        "phone" => &[1, 4],
        "tablet" => &[1, 5],
        "desktop" => &[2],
        "tv" => &[3, 7],
        "connected-device" => &[6],
        _ => return Err("is none of phone, tablet, desktop, tv, connected-device".to_owned()),
    };
    Ok(Keys::from_slice(types))
}
