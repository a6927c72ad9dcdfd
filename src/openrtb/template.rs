//! Texts of creatives with macros in them, compiled once so that an answer runs over segments and
//! never searches: third-party URLs, and the HTML snippets of banners.
//!
//! | macro | becomes |
//! |---|---|
//! | `${AUCTION_ID}`, `${AUCTION_IMP_ID}`, `${AUCTION_SEAT_ID}`, `${AUCTION_AD_ID}`, `${AUCTION_CURRENCY}` | what the request and our bid say (OpenRTB 2.6 §4.4) |
//! | `${AUCTION_BID_ID}`, `_PRICE`, `_MBR`, `_LOSS`, `_MIN_TO_WIN`, `_MULTIPLIER`, `_IMP_TS` | stays: only the exchange knows |
//! | `${GDPR}`, `${GDPR_CONSENT_n}`, `${US_PRIVACY}`, `${GPP_STRING}`, `${GPP_STRING_n}`, `${GPP_SID}` | the request's privacy signals, as IAB Tech Lab writes them |
//! | `${OUTBID_CLICK}`, `${OUTBID_CLICK_ENC}` | our click URL, plain or percent-encoded |
//! | `${OUTBID_IMPRESSION}` | our impression pixel's URL |
//! | `${OUTBID_CACHEBUSTER}`, `_CAMPAIGN`, `_CREATIVE`, `_SITE` | a number for this bid alone; names; the site's domain or the app's bundle |
//!
//! **Nothing of a request can become markup:** every value but our own two URLs is a number, numbers
//! between commas, or percent-encoded down to the unreserved letters of RFC 3986 §2.3, which mean
//! themselves in HTML, XML, JSON, scripts and URLs alike. Our own URLs are escaped for the place they stand in. `:B64` behind a name asks
//! for the value in Base64 (then percent-encoded, for its `+`, `/` and `=`); on macros that stay,
//! any suffix stays too.

use super::escape::{Put, Sink, html_in_json, json};
use smallvec::SmallVec;

/// A text with macros, as segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    text: Box<str>,
    // A banner has five: an answer reads one place less of memory that no cache holds.
    parts: SmallVec<[Part; 5]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Bytes of the text from one position to another.
    Text(u32, u32),
    Value(Value, Form),
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Escaped for its place.
    Plain,
    /// As it is, but for JSON: inside of a script, where an escape of HTML would stay.
    Script,
    Percent,
    Base64,
}

/// What a macro of ours stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    AuctionId,
    ImpId,
    SeatId,
    AdId,
    Currency,
    Click,
    Impression,
    CacheBuster,
    Campaign,
    Creative,
    Site,
    Gdpr,
    Consent,
    UsPrivacy,
    Gpp,
    GppSid,
}

const VALUES: [(&str, Value, Form); 17] = [
    ("AUCTION_ID", Value::AuctionId, Form::Percent),
    ("AUCTION_IMP_ID", Value::ImpId, Form::Percent),
    ("AUCTION_SEAT_ID", Value::SeatId, Form::Percent),
    ("AUCTION_AD_ID", Value::AdId, Form::Percent),
    ("AUCTION_CURRENCY", Value::Currency, Form::Percent),
    ("OUTBID_CLICK", Value::Click, Form::Plain),
    ("OUTBID_CLICK_ENC", Value::Click, Form::Percent),
    ("OUTBID_IMPRESSION", Value::Impression, Form::Plain),
    ("OUTBID_CACHEBUSTER", Value::CacheBuster, Form::Percent),
    ("OUTBID_CAMPAIGN", Value::Campaign, Form::Percent),
    ("OUTBID_CREATIVE", Value::Creative, Form::Percent),
    ("OUTBID_SITE", Value::Site, Form::Percent),
    ("GDPR", Value::Gdpr, Form::Percent),
    ("US_PRIVACY", Value::UsPrivacy, Form::Percent),
    ("GPP", Value::Gpp, Form::Percent),
    // For those who have no number as a vendor.
    ("GPP_STRING", Value::Gpp, Form::Percent),
    ("GPP_SID", Value::GppSid, Form::Percent),
];

/// Macros with the number of a vendor at their end.
const NUMBERED: [(&str, Value); 2] =
    [("GDPR_CONSENT_", Value::Consent), ("GPP_STRING_", Value::Gpp)];

/// Macros that the exchange replaces when the auction is over.
const LEFT: [&str; 7] = [
    "AUCTION_BID_ID",
    "AUCTION_PRICE",
    "AUCTION_MBR",
    "AUCTION_LOSS",
    "AUCTION_MIN_TO_WIN",
    "AUCTION_MULTIPLIER",
    "AUCTION_IMP_TS",
];

/// Bytes of one text: the markup of a whole banner, and small beside the answers that exchanges take.
const TEXT_BYTES_MAX: usize = 65_536;
/// Segments of one text: more macros than any creative has.
const PARTS_MAX: usize = 256;

/// Why a text with macros was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A name of the standard's or of ours that does not exist.
    #[error("there is no macro `${{{0}}}`")]
    UnknownMacro(String),
    /// A suffix that we do not know.
    #[error("`${{{0}}}` asks for an encoding other than B64")]
    UnknownEncoding(String),
    /// Too long, or too many macros.
    #[error("is longer than 65536 bytes or has more than 127 macros")]
    TooLong,
}

/// What macros stand for in one bid.
#[derive(Clone, Copy, Debug, Default)]
pub struct MacroValues<'a> {
    /// The request's id.
    pub auction_id: &'a str,
    /// The imp's id.
    pub imp_id: &'a str,
    /// Our seat.
    pub seat_id: &'a str,
    /// The bid's `adid`, which names the creative.
    pub creative: &'a str,
    /// The bid's currency.
    pub currency: &'a str,
    /// Our click URL.
    pub click: &'a str,
    /// Our pixel's URL.
    pub impression: &'a str,
    /// A number that no other bid has.
    pub cache_buster: u64,
    /// The campaign's name.
    pub campaign: &'a str,
    /// Domain of the site, or bundle of the app.
    pub site: &'a str,
    /// Whether GDPR applies, where it is said.
    pub gdpr: Option<bool>,
    /// The TCF consent string.
    pub consent: &'a str,
    /// The US privacy string.
    pub us_privacy: &'a str,
    /// The GPP string.
    pub gpp: &'a str,
    /// The GPP sections that apply.
    pub gpp_sid: &'a [i32],
}

impl Template {
    /// Compiles a URL with macros.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn url(text: &str) -> Result<Self, TemplateError> {
        Self::bounded(text, |text| Self::compile(text, |_| Form::Plain))
    }

    /// Compiles a snippet of HTML with macros.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn html(text: &str) -> Result<Self, TemplateError> {
        Self::bounded(text, |text| Self::prepared(text, text.len()))
    }

    /// The same for markup that was put together of such texts, whatever its length: it may be escaped
    /// for JSON already, which leaves macros and tags as they are. Scripts are looked for in the snippet
    /// that ends at `snippet_ends`: one that it leaves open reaches into nothing of ours.
    pub(super) fn prepared(text: &str, snippet_ends: usize) -> Result<Self, TemplateError> {
        let lower = text.to_ascii_lowercase();
        let (mut is_script, mut seen) = (false, 0);
        Self::compile(text, |at| {
            // Each letter is looked at once, however many macros there are; no tag has one inside.
            let before = &lower[seen..at];
            seen = at;
            let (opens, closes) = (before.rfind("<script"), before.rfind("</script"));
            if opens.or(closes).is_some() {
                is_script = opens > closes;
            }
            if is_script && at < snippet_ends { Form::Script } else { Form::Plain }
        })
    }

    fn bounded(
        text: &str,
        compile: impl FnOnce(&str) -> Result<Self, TemplateError>,
    ) -> Result<Self, TemplateError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(TemplateError::TooLong);
        }
        compile(text).and_then(|template| {
            if template.parts.len() > PARTS_MAX {
                Err(TemplateError::TooLong)
            } else {
                Ok(template)
            }
        })
    }

    /// `plain` says how a plain URL of ours is written at this position.
    fn compile(text: &str, mut plain: impl FnMut(usize) -> Form) -> Result<Self, TemplateError> {
        let mut parts = SmallVec::new();
        let (mut from, mut at) = (0, 0);
        while let Some(start) = text[at..].find("${").map(|found| at + found) {
            let inside = &text[start + 2..];
            let end = inside.find(|letter: char| !is_of_macro(letter)).unwrap_or(inside.len());
            at = start + 2 + end;
            if !inside[end..].starts_with('}') {
                continue;
            }
            at += 1;
            let Some((value, form)) = value_of(&inside[..end])? else { continue };
            if from < start {
                parts.push(Part::Text(from as u32, start as u32));
            }
            let form = if form == Form::Plain { plain(start) } else { form };
            parts.push(Part::Value(value, form));
            from = at;
        }
        if from < text.len() {
            parts.push(Part::Text(from as u32, text.len() as u32));
        }
        Ok(Self { text: text.into(), parts })
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether our click URL is in it.
    #[must_use]
    pub fn has_click(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Value(Value::Click, _)))
    }

    /// Whether our impression pixel is in it, so that none must be added. In Base64 it does not
    /// count: no exchange finds the price's macro there.
    #[must_use]
    pub fn has_impression(&self) -> bool {
        let is_plain = |part: &Part| {
            matches!(part, Part::Value(Value::Impression, Form::Plain | Form::Script))
        };
        self.parts.iter().any(is_plain)
    }

    /// Appends a URL, all of it escaped by `put`.
    pub(super) fn write_url(&self, values: &MacroValues<'_>, put: Put, out: &mut String) {
        for part in &self.parts {
            match *part {
                Part::Text(from, to) => put(&self.text[from as usize..to as usize], out),
                Part::Value(value, form) => values.write(value, form, put, out),
            }
        }
    }

    /// Appends a snippet inside of a JSON string: its own text is markup, and escaped for JSON
    /// already; its values are neither.
    pub(super) fn write_json(&self, values: &MacroValues<'_>, out: &mut String) {
        for part in &self.parts {
            match *part {
                Part::Text(from, to) => out.push_str(&self.text[from as usize..to as usize]),
                Part::Value(value, form) => values.write(value, form, html_in_json, out),
            }
        }
    }
}

/// Names are capitals, digits and `_`; a suffix follows a colon. Whatever else stands behind `${`
/// belongs to a script.
const fn is_of_macro(letter: char) -> bool {
    letter.is_ascii_uppercase() || letter.is_ascii_digit() || matches!(letter, '_' | ':')
}

/// What a macro stands for and how it is written; `None` where it stays as it is.
fn value_of(key: &str) -> Result<Option<(Value, Form)>, TemplateError> {
    let (name, suffix) = match key.split_once(':') {
        Some((name, suffix)) => (name, Some(suffix)),
        None => (key, None),
    };
    if LEFT.contains(&name) {
        return Ok(None);
    }
    let known = VALUES.iter().find(|(known, ..)| *known == name);
    let known = known.map(|(_, value, form)| (*value, *form));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbered = || {
        let of = |(start, value): &(&str, Value)| {
            name.strip_prefix(start).filter(|rest| is_number(rest)).map(|_| (*value, Form::Percent))
        };
        NUMBERED.iter().find_map(of)
    };
    match (known.or_else(numbered), suffix) {
        (Some(found), None) => Ok(Some(found)),
        (Some((value, _)), Some("B64")) => Ok(Some((value, Form::Base64))),
        (Some(_), Some(_)) => Err(TemplateError::UnknownEncoding(key.to_owned())),
        (None, _) if name.starts_with("AUCTION_") || name.starts_with("OUTBID_") => {
            Err(TemplateError::UnknownMacro(key.to_owned()))
        }
        // Somebody else's.
        (None, _) => Ok(None),
    }
}

impl MacroValues<'_> {
    fn write(&self, value: Value, form: Form, put: Put, out: &mut String) {
        if matches!(value, Value::CacheBuster | Value::GppSid) {
            if form != Form::Base64 {
                return self.write_numbers(value, out);
            }
            let mut numbers = String::new();
            self.write_numbers(value, &mut numbers);
            return base64(numbers.as_bytes(), out);
        }
        let text = match value {
            Value::AuctionId => self.auction_id,
            Value::ImpId => self.imp_id,
            Value::SeatId => self.seat_id,
            Value::AdId | Value::Creative => self.creative,
            Value::Currency => self.currency,
            Value::Click => self.click,
            Value::Impression => self.impression,
            Value::Campaign => self.campaign,
            Value::Site => self.site,
            Value::Gdpr => self.gdpr.map_or("", |applies| if applies { "1" } else { "0" }),
            Value::Consent => self.consent,
            Value::UsPrivacy => self.us_privacy,
            Value::Gpp => self.gpp,
            Value::CacheBuster | Value::GppSid => "",
        };
        match form {
            Form::Plain => put(text, out),
            Form::Script => json(text, out),
            Form::Percent => percent(text.as_bytes(), out),
            Form::Base64 => base64(text.as_bytes(), out),
        }
    }

    /// The cache buster, or the sections between commas, as IAB Tech Lab writes them.
    fn write_numbers(&self, value: Value, out: &mut String) {
        if value == Value::CacheBuster {
            return out.put_number(self.cache_buster);
        }
        for (position, section) in self.gpp_sid.iter().enumerate() {
            if position > 0 {
                out.push(',');
            }
            let sign = if *section < 0 { "-" } else { "" };
            out.push_str(sign);
            out.put_number(u64::from(section.unsigned_abs()));
        }
    }
}

/// Appends bytes percent-encoded but for the unreserved ones (RFC 3986 §2.1 and §2.3).
fn percent(bytes: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Appends bytes in Base64 (RFC 4648 §4), percent-encoded.
fn base64(bytes: &[u8], out: &mut String) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let byte = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let letter = |place: usize| LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
        let letters =
            [0, 1, 2, 3].map(|place| if place <= group.len() { letter(place) } else { b'=' });
        percent(&letters, out);
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
