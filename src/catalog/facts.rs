//! What a bid request says, as far as targeting asks: hashes, pooled and reused.
//!
//! All text is compared in lower case (`hash::key_lower`) but for deal ids, which exchanges
//! treat as exact. The same functions prepare both sides, a campaign's lists and a request's values.

use super::filters::{DIMENSIONS, Dimension};
use super::place::{Point, postal_key};
use crate::hash::{self, trimmed};
use crate::units::Timestamp;
use smallvec::SmallVec;

/// Values kept per dimension; what comes after is not looked at. Real requests carry a few dozen
/// keywords or segments; the bound keeps a hostile one from costing more than a few microseconds.
pub(super) const VALUES_MAX: usize = 256;

/// Labels of one domain name that are followed upwards; RFC 1035's 255 bytes hold 127, real names
/// hold five.
const LABELS_MAX: usize = 16;

/// Keeps domains and bundles apart in the one dimension that they share.
const BUNDLE: u64 = 0x62_756e_646c_6521;
/// Sizes are two 32-bit numbers and must not meet the other format keys.
const SIZE: u64 = 0x7369_7a65;

/// A banner of any size.
pub(super) const BANNER: u64 = 1;
/// Video.
pub(super) const VIDEO: u64 = 2;
/// Native.
pub(super) const NATIVE: u64 = 3;
/// Audio.
pub(super) const AUDIO: u64 = 4;
/// A banner that may be drawn in any size.
pub(super) const FLUID_BANNER: u64 = 5;

/// The facts of one request. Fill with the methods; `clear` keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct RequestFacts {
    values: [SmallVec<[u64; 8]>; DIMENSIONS],
    /// Civil time of the request: the hours of campaigns are judged by it.
    pub now: Timestamp,
    /// Whether consent allows what belongs to the user: without it, segments and user keywords
    /// count as absent, for includes and excludes alike.
    pub personalised: bool,
    /// The request says that the user is under 18, or that the page is for children (COPPA).
    pub minor: bool,
}

impl RequestFacts {
    /// No facts but the time.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now, ..Self::default() }
    }

    /// Empties everything and keeps the memory.
    pub fn clear(&mut self) {
        self.values.iter_mut().for_each(SmallVec::clear);
        self.now = Timestamp::default();
        self.personalised = false;
        self.minor = false;
    }

    /// The keys of one dimension, as far as they may be used.
    #[must_use]
    pub fn values(&self, dimension: Dimension) -> &[u64] {
        if dimension.is_personal() && !self.personalised {
            return &[];
        }
        &self.values[dimension as usize]
    }

    fn push(&mut self, dimension: Dimension, key: u64) {
        let values = &mut self.values[dimension as usize];
        if values.len() < VALUES_MAX {
            values.push(key);
        }
    }

    /// The exchange, by its name in our configuration.
    pub fn set_exchange(&mut self, name: &str) {
        self.push(Dimension::Exchange, hash::key_lower(name));
    }

    /// Where the device is: ISO 3166 alpha-3 country, region code ("CA" or "US-CA"), city name; in
    /// any case. Regions and cities count only within their country.
    pub fn set_geo(&mut self, country: &str, region: Option<&str>, city: Option<&str>) {
        let place = Place::new(country, region, city);
        self.push(Dimension::Geo, place.key(false, false));
        if region.is_some() {
            self.push(Dimension::Geo, place.key(true, false));
        }
        if city.is_some() {
            self.push(Dimension::Geo, place.key(false, true));
            if region.is_some() {
                self.push(Dimension::Geo, place.key(true, true));
            }
        }
    }

    /// The postal code of the device; of a longer one ("94107-1234") also the part before the dash.
    /// For whoever may read a precise place.
    pub fn set_postal_code(&mut self, country: &str, code: &str) {
        self.push(Dimension::Place, postal_key(country, code));
        if let Some(dash) = find(code, b'-') {
            self.push(Dimension::Place, postal_key(country, &code[..dash]));
        }
    }

    /// Where the device is, in degrees; what is no point is not looked at. For whoever may read a
    /// precise place.
    pub fn set_position(&mut self, lat: f64, lon: f64) {
        let cells = Point::new(lat, lon).into_iter().flat_map(Point::cells);
        cells.for_each(|key| self.push(Dimension::Place, key));
    }

    /// OpenRTB `device.devicetype` (1 to 7).
    pub fn set_device_type(&mut self, device_type: u8) {
        self.push(Dimension::Device, u64::from(device_type));
    }

    /// OpenRTB `device.os`; "OS X", "Mac OS X" and "macOS" are one.
    pub fn set_os(&mut self, os: &str) {
        self.push(Dimension::Os, os_key(os));
    }

    /// The site's domain, with each parent domain: "news.example.com" is also "example.com".
    /// A scheme, path, port or "www." is taken off; a lone top-level label is not a parent.
    pub fn push_domain(&mut self, domain: &str) {
        for_domain_and_parents(domain, |key| self.push(Dimension::Inventory, key));
    }

    /// The app's bundle or store id, in any case.
    pub fn set_bundle(&mut self, bundle: &str) {
        self.push(Dimension::Inventory, bundle_key(bundle));
    }

    /// An IAB category of the page, app or content, with its parent.
    pub fn push_page_category(&mut self, category: &str) {
        self.push(Dimension::PageCategory, category_key(category));
        if let Some(parent) = parent_category(category) {
            self.push(Dimension::PageCategory, category_key(parent));
        }
    }

    /// Keywords of the page, app or content, separated by commas; in any case, spaces trimmed.
    pub fn push_keywords(&mut self, keywords: &str) {
        for keyword in words(keywords) {
            self.push(Dimension::Keyword, hash::key_lower(keyword));
        }
    }

    /// Keywords of the user, separated by commas; in any case, spaces trimmed.
    pub fn push_user_keywords(&mut self, keywords: &str) {
        for keyword in words(keywords) {
            self.push(Dimension::UserKeyword, hash::key_lower(keyword));
        }
    }

    /// A segment of the user (`user.data[].segment[].id`), in any case.
    pub fn push_segment(&mut self, segment: &str) {
        self.push(Dimension::Segment, hash::key_lower(segment));
    }

    /// A deal of any impression, exact.
    pub fn push_deal(&mut self, deal: &str) {
        self.push(Dimension::Deal, deal_key(deal));
    }

    /// An impression takes a banner of this size.
    pub fn push_banner_size(&mut self, width: u32, height: u32) {
        self.push_banner(size_key(width, height));
    }

    /// An impression takes a banner whose size it does not name.
    pub fn push_banner_of_any_size(&mut self) {
        self.push_banner(BANNER);
    }

    /// Fluid banners take every size, so their key comes along once.
    fn push_banner(&mut self, key: u64) {
        if !self.values(Dimension::Format).contains(&FLUID_BANNER) {
            self.push(Dimension::Format, FLUID_BANNER);
        }
        self.push(Dimension::Format, key);
    }

    /// An impression takes video.
    pub fn push_video(&mut self) {
        self.push(Dimension::Format, VIDEO);
    }

    /// An impression takes native.
    pub fn push_native(&mut self) {
        self.push(Dimension::Format, NATIVE);
    }

    /// An impression takes audio.
    pub fn push_audio(&mut self) {
        self.push(Dimension::Format, AUDIO);
    }

    #[cfg(test)]
    pub(super) fn push_key(&mut self, dimension: Dimension, key: u64) {
        self.push(dimension, key);
    }
}

/// The key of a banner size.
pub(super) const fn size_key(width: u32, height: u32) -> u64 {
    hash::combine(SIZE, (width as u64) << 32 | height as u64)
}

/// The key of a deal id, exact.
#[must_use]
pub fn deal_key(deal: &str) -> u64 {
    hash::key(deal.as_bytes())
}

/// The key of an IAB category as a request's `bcat` or `cat` spells it.
#[must_use]
pub fn category_key(category: &str) -> u64 {
    hash::key_lower(trimmed(category))
}

/// "IAB7-39" belongs to "IAB7".
pub(super) fn parent_category(category: &str) -> Option<&str> {
    find(category, b'-').map(|dash| &category[..dash])
}

/// The key of a domain without its parents, as a request's `badv` spells it.
#[must_use]
pub fn domain_key(domain: &str) -> u64 {
    hash::key_lower(bare_domain(domain))
}

/// The key of an app bundle.
pub(super) fn bundle_key(bundle: &str) -> u64 {
    hash::combine(BUNDLE, hash::key_lower(trimmed(bundle)))
}

/// The key of an operating system under its one name.
pub(super) fn os_key(os: &str) -> u64 {
    let os = trimmed(os);
    let one_of = |names: &[&str]| names.iter().any(|name| os.eq_ignore_ascii_case(name));
    if one_of(&["os x", "mac os x", "mac os", "mac", "osx"]) {
        return hash::key_lower("macos");
    }
    if one_of(&["iphone os", "ipados"]) {
        return hash::key_lower("ios");
    }
    hash::key_lower(os)
}

/// The key of a place; a city may be named with or without its region.
pub(super) fn geo_key(country: &str, region: Option<&str>, city: Option<&str>) -> u64 {
    Place::new(country, region, city).key(true, true)
}

/// Hashes of a country and of what is named within it; 0 where nothing is.
struct Place {
    country: u64,
    region: u64,
    city: u64,
}

impl Place {
    fn new(country: &str, region: Option<&str>, city: Option<&str>) -> Self {
        let of_region = |region: &str| {
            let code = region.rsplit_once('-').map_or(region, |(_, code)| code);
            hash::key_lower(trimmed(code))
        };
        Self {
            country: hash::key_lower(trimmed(country)),
            region: region.map_or(0, of_region),
            city: city.map_or(0, |city| hash::key_lower(trimmed(city))),
        }
    }

    /// The key of the whole country, or of its region, its city, or both.
    fn key(&self, with_region: bool, with_city: bool) -> u64 {
        let region = if with_region { self.region } else { 0 };
        let city = if with_city { self.city } else { 0 };
        hash::combine(hash::combine(self.country, region), city)
    }
}

/// Where the first such letter of ASCII is. Names are short: a search that begins by aligning itself
/// costs more.
fn find(text: &str, letter: u8) -> Option<usize> {
    text.bytes().position(|byte| byte == letter)
}

/// What stands between commas, without blanks around it; empty parts are none.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    let parts = std::iter::from_fn(move || {
        let text = rest?;
        let comma = find(text, b',');
        let (word, more) = comma.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
        rest = more;
        Some(word)
    });
    parts.map(trimmed).filter(|word| !word.is_empty())
}

/// Calls `take` with the key of the domain and of each parent of two labels or more.
pub(super) fn for_domain_and_parents(domain: &str, mut take: impl FnMut(u64)) {
    let mut rest = bare_domain(domain);
    if rest.is_empty() {
        return;
    }
    take(hash::key_lower(rest));
    for _ in 0..LABELS_MAX {
        match find(rest, b'.').map(|dot| &rest[dot + 1..]) {
            Some(parent) if find(parent, b'.').is_some() => {
                take(hash::key_lower(parent));
                rest = parent;
            }
            _ => return,
        }
    }
}

/// The host of a domain that may come as a URL, with a port, a dot at the end or a "www.".
pub(super) fn bare_domain(domain: &str) -> &str {
    let text = trimmed(domain);
    let is_mark = |byte| (byte == b'/') | (byte == b':') | (byte == b'?') | (byte == b'#');
    // Nearly all are bare, nothing to cut off, so all letters are looked at, which the compiler does to
    // sixteen at once.
    let has_mark = text.bytes().fold(false, |has_mark, byte| has_mark | is_mark(byte));
    let is_bare = !text.ends_with('.') && !has_mark;
    let text = if is_bare { text } else { host_of_address(text) };
    match text.get(..4) {
        Some(start) if start.eq_ignore_ascii_case("www.") => &text[4..],
        _ => text,
    }
}

fn host_of_address(text: &str) -> &str {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let end = text.find(['/', ':', '?', '#']).unwrap_or(text.len());
    text[..end].trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_between_commas() {
        for (text, expected) in [
            ("", vec![]),
            (",, ,", vec![]),
            ("a", vec!["a"]),
            (" a b ,c,,é ", vec!["a b", "c", "é"]),
        ] {
            assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    fn domains(text: &str) -> Vec<u64> {
        let mut keys = Vec::new();
        for_domain_and_parents(text, |key| keys.push(key));
        keys
    }

    #[test]
    fn a_domain_brings_its_parents() {
        let keys = |names: &[&str]| names.iter().map(|name| domain_key(name)).collect::<Vec<_>>();
        for (text, expected) in [
            ("a.b.example.com", vec!["a.b.example.com", "b.example.com", "example.com"]),
            ("https://WWW.Example.com:8080/page?x", vec!["example.com"]),
            ("localhost", vec!["localhost"]),
            ("example.com.", vec!["example.com"]),
        ] {
            assert_eq!(domains(text), keys(&expected), "{text}");
        }
        assert_eq!(domains(" "), Vec::<u64>::new());
    }

    #[test]
    fn values_are_bounded_and_personal_ones_need_consent() {
        let mut facts = RequestFacts::default();
        (0..2 * VALUES_MAX).for_each(|number| facts.push_segment(&number.to_string()));
        assert!(facts.values(Dimension::Segment).is_empty());
        facts.personalised = true;
        assert_eq!(facts.values(Dimension::Segment).len(), VALUES_MAX);
        facts.clear();
        facts.personalised = true;
        assert!(facts.values(Dimension::Segment).is_empty());
    }

    #[test]
    fn spellings_meet() {
        assert_eq!(os_key("OS X"), os_key("macOS"));
        assert_eq!(geo_key("usa", Some("US-CA"), None), geo_key("USA", Some("ca"), None));
        assert_ne!(geo_key("USA", Some("CA"), None), geo_key("CAN", Some("CA"), None));
        assert_ne!(size_key(300, 250), size_key(250, 300));
        assert_ne!(bundle_key("com.example"), domain_key("com.example"));
    }
}
