//! From legal signals to permissions. Pure: the request and the policy are all that is asked.

use super::config::Policy;
use super::gpp::GppString;
use super::{purposes, us};
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

    /// What both permit.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            store_session: self.store_session && other.store_session,
            personalise: self.personalise && other.personalise,
            precise_geo: self.precise_geo && other.precise_geo,
            measure: self.measure && other.measure,
        }
    }

    /// The names of what is not permitted.
    pub fn forbidden(self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("store_session", self.store_session),
            ("personalise", self.personalise),
            ("precise_geo", self.precise_geo),
            ("measure", self.measure),
        ];
        all.into_iter().filter_map(|(name, is_permitted)| (!is_permitted).then_some(name))
    }
}

/// Something that restricts what may be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Restriction {
    /// `regs.coppa`: the user may be a child.
    Coppa,
    /// The GDPR applies, and there is no TC string.
    GdprNoString,
    /// The GDPR applies, and we have no id on the vendor list.
    TcfNoVendorId,
    /// The TC string cannot be read.
    TcfUnreadable,
    /// The TC string does not list us among the vendors that the user was shown.
    TcfUndisclosed,
    /// Purpose 1 is not permitted: storing or reading on the device, and so any id from there.
    TcfStorage,
    /// Purpose 2 is not permitted: choosing basic ads.
    TcfBasicAds,
    /// Purpose 3 is not permitted: a profile for ads.
    TcfProfile,
    /// Purpose 4 is not permitted: ads by a profile.
    TcfPersonalisedAds,
    /// Purpose 7 is not permitted: measuring ads.
    TcfMeasurement,
    /// Special feature 1 is not opted in to: precise geolocation.
    TcfPreciseGeo,
    /// Which GPP sections apply is unknown.
    GppSectionsUnknown,
    /// The GPP string, or a section that applies, cannot be read.
    GppUnreadable,
    /// A GPP section that applies is not in the string.
    GppSectionMissing,
    /// A GPP section applies that we do not know.
    GppSectionUnsupported,
    /// Opted out of sale or sharing.
    UsOptOut,
    /// Opted out of targeted advertising.
    UsTargetingOptOut,
    /// The publisher takes on service providers only.
    UsServiceProvider,
    /// Data are not said to be used for sharing or targeted advertising at all.
    UsUnanswered,
    /// The user was not told of a right.
    UsNoNotice,
    /// The user is known to be a child.
    UsChild,
    /// No consent to processing beyond what was disclosed.
    UsNoConsent,
    /// No consent to precise geolocation.
    UsPreciseGeo,
    /// Global Privacy Control is on, says a GPP section.
    UsGpc,
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
    /// All of them, by number.
    pub const ALL: [Self; 28] = [
        Self::Coppa,
        Self::GdprNoString,
        Self::TcfNoVendorId,
        Self::TcfUnreadable,
        Self::TcfUndisclosed,
        Self::TcfStorage,
        Self::TcfBasicAds,
        Self::TcfProfile,
        Self::TcfPersonalisedAds,
        Self::TcfMeasurement,
        Self::TcfPreciseGeo,
        Self::GppSectionsUnknown,
        Self::GppUnreadable,
        Self::GppSectionMissing,
        Self::GppSectionUnsupported,
        Self::UsOptOut,
        Self::UsTargetingOptOut,
        Self::UsServiceProvider,
        Self::UsUnanswered,
        Self::UsNoNotice,
        Self::UsChild,
        Self::UsNoConsent,
        Self::UsPreciseGeo,
        Self::UsGpc,
        Self::UsPrivacy,
        Self::Gpc,
        Self::LimitAdTracking,
        Self::DoNotTrack,
    ];

    /// A short stable name, for counters and explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coppa => "coppa",
            Self::GdprNoString => "gdpr_no_string",
            Self::TcfNoVendorId => "tcf_no_vendor_id",
            Self::TcfUnreadable => "tcf_unreadable",
            Self::TcfUndisclosed => "tcf_undisclosed",
            Self::TcfStorage => "tcf_purpose_1",
            Self::TcfBasicAds => "tcf_purpose_2",
            Self::TcfProfile => "tcf_purpose_3",
            Self::TcfPersonalisedAds => "tcf_purpose_4",
            Self::TcfMeasurement => "tcf_purpose_7",
            Self::TcfPreciseGeo => "tcf_special_feature_1",
            Self::GppSectionsUnknown => "gpp_sections_unknown",
            Self::GppUnreadable => "gpp_unreadable",
            Self::GppSectionMissing => "gpp_section_missing",
            Self::GppSectionUnsupported => "gpp_section_unsupported",
            Self::UsOptOut => "us_opt_out",
            Self::UsTargetingOptOut => "us_targeting_opt_out",
            Self::UsServiceProvider => "us_service_provider",
            Self::UsUnanswered => "us_unanswered",
            Self::UsNoNotice => "us_no_notice",
            Self::UsChild => "us_child",
            Self::UsNoConsent => "us_no_consent",
            Self::UsPreciseGeo => "us_precise_geo",
            Self::UsGpc => "us_gpc",
            Self::UsPrivacy => "us_privacy",
            Self::Gpc => "gpc",
            Self::LimitAdTracking => "limit_ad_tracking",
            Self::DoNotTrack => "do_not_track",
        }
    }

    /// What remains permitted: all that it does not touch.
    #[must_use]
    pub const fn leaves(self) -> Permissions {
        const FULL: Permissions = Permissions::FULL;
        match self {
            // An id from the device is not ours to use; where the user is stays in the request.
            Self::TcfStorage => Permissions { precise_geo: true, ..Permissions::CONTEXTUAL },
            Self::TcfBasicAds => Permissions { measure: true, ..Permissions::CONTEXTUAL },
            Self::TcfProfile
            | Self::TcfPersonalisedAds
            | Self::UsTargetingOptOut
            | Self::UsServiceProvider => Permissions { personalise: false, ..FULL },
            Self::TcfMeasurement => Permissions { measure: false, ..FULL },
            Self::TcfPreciseGeo | Self::UsPreciseGeo => Permissions { precise_geo: false, ..FULL },
            _ => Permissions::CONTEXTUAL,
        }
    }
}

/// A set of restrictions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restrictions(u32);

const _: () = assert!(Restriction::ALL.len() <= u32::BITS as usize);

impl Restrictions {
    /// Adds one.
    pub const fn insert(&mut self, restriction: Restriction) {
        self.0 |= 1 << restriction as u32;
    }

    /// Whether it is in the set.
    #[must_use]
    pub const fn contains(self, restriction: Restriction) -> bool {
        self.0 & 1 << restriction as u32 != 0
    }

    /// Those in the set, by number.
    pub fn iter(self) -> impl Iterator<Item = Restriction> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let restriction = Restriction::ALL.get(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(*restriction)
        })
    }

    /// What all of them leave.
    #[must_use]
    pub fn permissions(self) -> Permissions {
        self.iter().fold(Permissions::FULL, |left, restriction| left.and(restriction.leaves()))
    }

    /// Whether the user is known, or held, to be a child.
    #[must_use]
    pub const fn is_child(self) -> bool {
        self.contains(Restriction::Coppa) || self.contains(Restriction::UsChild)
    }
}

/// Everything that restricts what may be done with this request.
#[must_use]
pub fn decide(policy: &Policy, request: &BidRequest<'_>) -> Restrictions {
    let regs = &request.regs;
    let mut restrictions = Restrictions::default();
    for (holds, restriction) in [
        (regs.coppa, Restriction::Coppa),
        (regs.gpc, Restriction::Gpc),
        (request.device.lmt, Restriction::LimitAdTracking),
        (request.device.dnt, Restriction::DoNotTrack),
        (
            !regs.us_privacy.is_empty() && us::privacy_string_restricts(&regs.us_privacy),
            Restriction::UsPrivacy,
        ),
    ] {
        if holds {
            restrictions.insert(restriction);
        }
    }
    // A TC string may also come as the section for it in the GPP string.
    let has_section = gpp(policy, &regs.gpp, &regs.gpp_sid, &mut restrictions);
    let consent = request.user.consent.as_str();
    let presumed = || !consent.is_empty() || policy.presumes_gdpr(&request.device.geo.country);
    if regs.gdpr.unwrap_or_else(presumed) {
        if !consent.is_empty() {
            purposes::restrict(policy, consent, &mut restrictions);
        } else if !has_section {
            restrictions.insert(Restriction::GdprNoString);
        }
    }
    restrictions
}

const TCF_EU: u16 = 2;
const US_PRIVACY: u16 = 6;
/// What `gpp_sid` says in place of ids.
const NONE_APPLIES: i32 = -1;
const NOBODY_KNOWS: i32 = 0;
/// Largest id of a section that a set of 32 bits holds; all that we know are below.
const SECTION_MAX: i32 = 31;

/// What the sections that apply restrict; whether there was one for the European TCF. Sections
/// of -1 say that none applies; a 0, or no list beside a string, that nobody knows which do.
fn gpp(policy: &Policy, text: &str, applying: &[i32], restrictions: &mut Restrictions) -> bool {
    if applying.contains(&NOBODY_KNOWS) || (applying.is_empty() && !text.is_empty()) {
        restrictions.insert(Restriction::GppSectionsUnknown);
    }
    let mut wanted = 0_u32;
    let is_id = |section: &i32| !matches!(*section, NONE_APPLIES | NOBODY_KNOWS);
    for section in applying.iter().copied().filter(is_id) {
        let is_supported = (1..=SECTION_MAX).contains(&section)
            && (matches!(section as u16, TCF_EU | US_PRIVACY) || us::is_known(section as u16));
        match is_supported {
            true => wanted |= 1 << section,
            false => restrictions.insert(Restriction::GppSectionUnsupported),
        }
    }
    if wanted == 0 {
        return false;
    }
    let Some(string) = GppString::parse(text) else {
        restrictions.insert(match text.is_empty() {
            true => Restriction::GppSectionMissing,
            false => Restriction::GppUnreadable,
        });
        return false;
    };
    let mut missing = wanted;
    for (section, text) in string.sections() {
        let bit = 1_u32.checked_shl(u32::from(section)).unwrap_or(0);
        if wanted & bit == 0 {
            continue;
        }
        missing &= !bit;
        match section {
            TCF_EU => purposes::restrict(policy, text, restrictions),
            US_PRIVACY if us::privacy_string_restricts(text) => {
                restrictions.insert(Restriction::UsPrivacy);
            }
            US_PRIVACY => {}
            _ => us::restrict(section, text, restrictions),
        }
    }
    if missing != 0 {
        restrictions.insert(Restriction::GppSectionMissing);
    }
    wanted & !missing & 1 << TCF_EU != 0
}
