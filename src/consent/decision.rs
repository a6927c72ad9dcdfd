//! From legal signals to permissions. Pure: the request is all that is asked.

use crate::openrtb::BidRequest;
use serde::Serialize;

/// What may be done with the user of one request. Serving an ad by its context needs none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Permissions {
    /// The user's session may be created, read and written: interest, frequency, pending shows.
    pub store_session: bool,
    /// The ad may be chosen and priced by what is known of the user.
    pub personalise: bool,
    /// Postal code, latitude and longitude may be read.
    pub precise_geo: bool,
    /// What the user does may be counted under the user's key (billing needs no key).
    pub measure: bool,
}

impl Permissions {
    /// Everything is permitted.
    pub const FULL: Self =
        Self { store_session: true, personalise: true, precise_geo: true, measure: true };

    /// Context only: nothing about the user is read, stored or counted.
    pub const CONTEXTUAL: Self =
        Self { store_session: false, personalise: false, precise_geo: false, measure: false };
}

/// Why a request is served by its context only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Restriction {
    /// `regs.coppa`: the user may be a child.
    Coppa,
    /// The GDPR applies. A consent string is opaque to us so far, hence as good as none.
    Gdpr,
    /// A GPP section applies, or may: the string is opaque to us so far.
    Gpp,
    /// The US privacy string opts out of sale, or cannot be read.
    UsPrivacy,
    /// Global Privacy Control is on.
    Gpc,
    /// The device limits ad tracking.
    LimitAdTracking,
    /// The device asks not to be tracked.
    DoNotTrack,
}

impl Restriction {
    /// A short stable name, for counters and explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coppa => "coppa",
            Self::Gdpr => "gdpr",
            Self::Gpp => "gpp",
            Self::UsPrivacy => "us_privacy",
            Self::Gpc => "gpc",
            Self::LimitAdTracking => "limit_ad_tracking",
            Self::DoNotTrack => "do_not_track",
        }
    }
}

/// What may be done with this request.
#[must_use]
pub fn decide(request: &BidRequest<'_>) -> Permissions {
    match restriction(request) {
        Some(_) => Permissions::CONTEXTUAL,
        None => Permissions::FULL,
    }
}

/// The first reason to serve this request by its context only, gravest first.
#[must_use]
pub fn restriction(request: &BidRequest<'_>) -> Option<Restriction> {
    let regs = &request.regs;
    [
        (regs.coppa, Restriction::Coppa),
        (regs.gdpr == Some(true), Restriction::Gdpr),
        (gpp_restricts(&regs.gpp, &regs.gpp_sid), Restriction::Gpp),
        (us_privacy_restricts(&regs.us_privacy), Restriction::UsPrivacy),
        (regs.gpc, Restriction::Gpc),
        (request.device.lmt, Restriction::LimitAdTracking),
        (request.device.dnt, Restriction::DoNotTrack),
    ]
    .into_iter()
    .find_map(|(holds, reason)| holds.then_some(reason))
}

/// Whether GPP may restrict: a section applies, or there is a string and its sections are unknown
/// (no list, or 0). Sections of -1 say that none applies.
fn gpp_restricts(gpp: &str, sections: &[i32]) -> bool {
    let is_unknown = sections.is_empty() || sections.contains(&0);
    sections.iter().any(|section| *section > 0) || (!gpp.is_empty() && is_unknown)
}

/// Whether the US privacy string (IAB US Privacy 1.0: version, notice, opt-out of sale, LSPA)
/// restricts. `1---` says that the law does not apply; what does not follow the form restricts.
fn us_privacy_restricts(text: &str) -> bool {
    let answer = |letter: u8| matches!(letter.to_ascii_uppercase(), b'Y' | b'N' | b'-');
    match text.as_bytes() {
        [] => false,
        [b'1', notice, sale, lspa] if answer(*notice) && answer(*sale) && answer(*lspa) => {
            sale.eq_ignore_ascii_case(&b'Y')
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openrtb::{Limits, parse};

    #[test]
    fn the_table_of_signals() {
        for (signals, expected) in [
            (r#""at":1"#, None),
            (r#""regs":{"coppa":1}"#, Some("coppa")),
            (r#""regs":{"coppa":0,"gdpr":0}"#, None),
            (r#""regs":{"gdpr":1}"#, Some("gdpr")),
            (r#""regs":{"ext":{"gdpr":1}}"#, Some("gdpr")),
            (r#""regs":{"gdpr":"1"}"#, Some("gdpr")),
            (r#""regs":{"gdpr":1},"user":{"consent":"CPXxRfAPXxRfAAfKABENB"}"#, Some("gdpr")),
            (r#""user":{"ext":{"consent":"CPXxRfAPXxRfAAfKABENB"}}"#, None),
            (r#""regs":{"us_privacy":"1YYN"}"#, Some("us_privacy")),
            (r#""regs":{"ext":{"us_privacy":"1-Y-"}}"#, Some("us_privacy")),
            (r#""regs":{"us_privacy":"1NYN"}"#, Some("us_privacy")),
            (r#""regs":{"us_privacy":"1yyn"}"#, Some("us_privacy")),
            (r#""regs":{"us_privacy":"1YNN"}"#, None),
            (r#""regs":{"us_privacy":"1---"}"#, None),
            (r#""regs":{"us_privacy":""}"#, None),
            (r#""regs":{"us_privacy":"2YNN"}"#, Some("us_privacy")),
            (r#""regs":{"us_privacy":"1YN"}"#, Some("us_privacy")),
            (r#""regs":{"us_privacy":"1YXN"}"#, Some("us_privacy")),
            (r#""regs":{"us_privacy":"malformed"}"#, Some("us_privacy")),
            (r#""regs":{"gpp":"DBAA","gpp_sid":[7]}"#, Some("gpp")),
            (r#""regs":{"ext":{"gpp":"DBAA","gpp_sid":[-1,8]}}"#, Some("gpp")),
            (r#""regs":{"gpp_sid":[6]}"#, Some("gpp")),
            (r#""regs":{"gpp":"DBAA","gpp_sid":[-1]}"#, None),
            (r#""regs":{"gpp":"DBAA","gpp_sid":[0]}"#, Some("gpp")),
            (r#""regs":{"gpp":"DBAA"}"#, Some("gpp")),
            (r#""regs":{"gpp_sid":[]}"#, None),
            (r#""regs":{"ext":{"gpc":"1"}}"#, Some("gpc")),
            (r#""device":{"lmt":1}"#, Some("limit_ad_tracking")),
            (r#""device":{"dnt":1}"#, Some("do_not_track")),
            (r#""device":{"lmt":0,"dnt":0}"#, None),
            (r#""device":{"lmt":true,"dnt":true},"regs":{"coppa":1}"#, Some("coppa")),
        ] {
            let body = format!(r#"{{"id":"r","imp":[{{"id":"1"}}],{signals}}}"#);
            let request = parse(body.as_bytes(), &Limits::default()).expect("a request");
            assert_eq!(restriction(&request).map(Restriction::as_str), expected, "{signals}");
            let permissions = match expected {
                Some(_) => Permissions::CONTEXTUAL,
                None => Permissions::FULL,
            };
            assert_eq!(decide(&request), permissions, "{signals}");
        }
    }
}
