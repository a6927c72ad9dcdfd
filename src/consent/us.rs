//! What the American signals restrict: the US privacy string and the GPP's sections for the United
//! States, 7 (national, versions 1 and 2) and 8 to 23 (states, version 1), each with its optional
//! sub-section for Global Privacy Control ("GPP Extension: ... Privacy Technical Specification",
//! IAB Privacy, one document each).
//!
//! | field | value | what we do |
//! |---|---|---|
//! | sale or sharing opt-out | 1 opted out | context only: we are a third party to whom data would be sold |
//! | targeted advertising opt-out | 1 opted out | no personalisation; the laws leave out frequency and measurement |
//! | service provider mode (MSPA) | 1 yes | no personalisation: a service provider does not combine |
//! | sharing and targeted advertising opt-out | none says 2 (did not opt out), no service provider mode | context only: "not applicable" says that data are not used so |
//! | a notice of sale, sharing or targeted advertising | 2 not given | context only: who was not told could not opt out |
//! | an opt-out of a notice that is not applicable | 2 | context only: it contradicts itself |
//! | known child, any | 1 or 2 | context only, as under COPPA, with or without a parent's consent |
//! | personal data, or additional processing | 1 no consent | context only |
//! | sensitive data: precise geolocation | other than 2, or no such field | no precise geolocation |
//! | Global Privacy Control | set | context only |
//! | any field | 3, missing, or more than the version has | the section cannot be read: context only |
//!
//! Whether the MSPA covers the transaction, and its opt-out option mode, permit us nothing more.
//! Sections 24 to 27 (Maryland, Indiana, Kentucky, Rhode Island) are drafts whose documents and
//! reference encoders disagree on a section header; they count as unknown.

use super::bits::Bits;
use super::decision::{Restriction, Restrictions};

/// A field of two bits, or several of them, in the order of the sections.
#[derive(Clone, Copy)]
enum Field {
    /// Notices that nothing depends on: how many.
    Other(u8),
    /// Notice that data are shared or processed.
    Notice,
    /// Notice of the right to opt out of this.
    NoticeOf(Right),
    /// Whether the user did.
    OptOutOf(Right),
    /// Sensitive data: how many fields, and which of them is precise geolocation.
    Sensitive(u8, Option<u8>),
    /// Known children: how many fields.
    Child(u8),
    /// Consent to processing beyond what was disclosed.
    Consent,
    /// The MSPA: covered, opt-out option mode, service provider mode.
    Mspa,
}

/// What a user may opt out of.
#[derive(Clone, Copy)]
enum Right {
    Sale,
    Sharing,
    Targeting,
}

use Field::{Child, Consent, Mspa, Notice, NoticeOf, OptOutOf, Other, Sensitive};
use Right::{Sale, Sharing, Targeting};

type Layout = &'static [Field];

const NATIONAL_1: Layout = &[
    Notice,
    NoticeOf(Sale),
    NoticeOf(Sharing),
    NoticeOf(Targeting),
    Other(2),
    OptOutOf(Sale),
    OptOutOf(Sharing),
    OptOutOf(Targeting),
    Sensitive(12, Some(7)),
    Child(2),
    Consent,
    Mspa,
];
const NATIONAL_2: Layout = &[
    Notice,
    NoticeOf(Sale),
    NoticeOf(Sharing),
    NoticeOf(Targeting),
    Other(2),
    OptOutOf(Sale),
    OptOutOf(Sharing),
    OptOutOf(Targeting),
    Sensitive(16, Some(7)),
    Child(3),
    Consent,
    Mspa,
];
const CALIFORNIA: Layout = &[
    NoticeOf(Sale),
    NoticeOf(Sharing),
    Other(1),
    OptOutOf(Sale),
    OptOutOf(Sharing),
    Sensitive(9, Some(2)),
    Child(2),
    Consent,
    Mspa,
];
const UTAH: Layout = &[
    Notice,
    NoticeOf(Sale),
    NoticeOf(Targeting),
    Other(1),
    OptOutOf(Sale),
    OptOutOf(Targeting),
    Sensitive(8, Some(7)),
    Child(1),
    Mspa,
];

/// Most states: they differ in what is sensitive, and in what they ask of children.
macro_rules! state {
    ($sensitive:expr, $geo:expr, $child:expr $(, $consent:ident)?) => {
        &[
            Notice, NoticeOf(Sale), NoticeOf(Targeting),
            OptOutOf(Sale), OptOutOf(Targeting),
            Sensitive($sensitive, $geo), Child($child), $($consent,)? Mspa,
        ]
    };
}

/// The fields of a section in the version that it names; `None` where we know neither.
const fn layout(section: u16, version: u64) -> Option<Layout> {
    Some(match (section, version) {
        (7, 1) => NATIONAL_1,
        (7, 2) => NATIONAL_2,
        (8, 1) => CALIFORNIA,
        (9, 1) => state!(8, Some(7), 1),  // Virginia
        (10, 1) => state!(7, None, 1),    // Colorado
        (11 | 18, 1) => UTAH,             // and Iowa
        (12, 1) => state!(8, Some(7), 3), // Connecticut
        (13 | 14 | 20, 1) => state!(8, Some(7), 3, Consent), // Florida, Montana, New Hampshire
        (15, 1) => state!(11, Some(10), 3, Consent), // Oregon
        (16 | 19 | 22 | 23, 1) => state!(8, Some(7), 1, Consent), // Texas, Nebraska, Tennessee, Minnesota
        (17, 1) => state!(9, Some(7), 5, Consent),                // Delaware
        (21, 1) => state!(10, Some(7), 5, Consent),               // New Jersey
        _ => return None,
    })
}

/// Whether this is a section that [`restrict`] reads.
pub(super) const fn is_known(section: u16) -> bool {
    layout(section, 1).is_some()
}

const NOTICE_NOT_GIVEN: u64 = 2;
const OPTED_OUT: u64 = 1;
const DID_NOT_OPT_OUT: u64 = 2;
const NO_CONSENT: u64 = 1;
const CONSENT: u64 = 2;
const MODE_IS_ON: u64 = 1;

/// Writers fill a section up with zeros to whole letters, to whole bytes, or to four letters of three
/// bytes.
const FILLING_BITS: usize = 24;

/// What a section's core says, as far as something depends on it.
#[derive(Default)]
struct Core {
    is_unnoticed: bool,
    notices: [u64; 3],
    opt_outs: [u64; 3],
    precise_geo: u64,
    is_child: bool,
    refuses_more: bool,
    is_service_provider: bool,
}

/// What this section for the United States restricts.
pub(super) fn restrict(section: u16, text: &str, restrictions: &mut Restrictions) {
    match read(section, text) {
        Some((core, gpc)) => core.restrict(gpc, restrictions),
        None => restrictions.insert(Restriction::GppUnreadable),
    }
}

fn read(section: u16, text: &str) -> Option<(Core, bool)> {
    let mut segments = text.split('.');
    let bits = Bits::new(segments.next()?)?;
    let core = Core::read(layout(section, bits.get(0, 6)?)?, bits)?;
    let mut gpc = None;
    for segment in segments {
        let bits = Bits::new(segment)?;
        // Type 1 is Global Privacy Control, the only one; twice would be the sender's choice.
        if bits.get(0, 2)? != 1 || gpc.replace(bits.get(2, 1)? == 1).is_some() {
            return None;
        }
    }
    Some((core, gpc.unwrap_or(false)))
}

impl Core {
    fn read(layout: Layout, bits: Bits<'_>) -> Option<Self> {
        let mut core = Self::default();
        let mut at = 6;
        let mut next = || {
            let value = bits.get(at, 2).filter(|value| *value < 3);
            at += 2;
            value
        };
        for field in layout {
            match *field {
                Other(count) => (0..count).try_for_each(|_| next().map(drop))?,
                Notice => core.is_unnoticed |= next()? == NOTICE_NOT_GIVEN,
                NoticeOf(right) => core.notices[right as usize] = next()?,
                OptOutOf(right) => core.opt_outs[right as usize] = next()?,
                Sensitive(count, geo) => {
                    for place in 0..count {
                        let value = next()?;
                        if geo == Some(place) {
                            core.precise_geo = value;
                        }
                    }
                }
                Child(count) => {
                    for _ in 0..count {
                        core.is_child |= next()? != 0;
                    }
                }
                Consent => core.refuses_more = next()? == NO_CONSENT,
                Mspa => {
                    next()?;
                    next()?;
                    core.is_service_provider = next()? == MODE_IS_ON;
                }
            }
        }
        // Writers once put the fields of version 2 behind the number 1: what is longer than its
        // layout is read by the wrong one.
        let filling = bits.len() - at;
        (filling < FILLING_BITS && bits.get(at, filling)? == 0).then_some(core)
    }

    fn restrict(&self, gpc: bool, restrictions: &mut Restrictions) {
        let [sale, sharing, targeting] = self.opt_outs;
        let mut rights = self.notices.into_iter().zip(self.opt_outs);
        let is_unnoticed = rights.any(|(notice, opt_out)| {
            notice == NOTICE_NOT_GIVEN || (notice == 0 && opt_out == DID_NOT_OPT_OUT)
        });
        let is_unanswered = sharing == 0 && targeting == 0;
        for (holds, restriction) in [
            (gpc, Restriction::UsGpc),
            (self.is_child, Restriction::UsChild),
            (self.refuses_more, Restriction::UsNoConsent),
            (self.is_unnoticed || is_unnoticed, Restriction::UsNoNotice),
            (sale == OPTED_OUT || sharing == OPTED_OUT, Restriction::UsOptOut),
            (targeting == OPTED_OUT, Restriction::UsTargetingOptOut),
            (self.is_service_provider, Restriction::UsServiceProvider),
            (is_unanswered && !self.is_service_provider, Restriction::UsUnanswered),
            (self.precise_geo != CONSENT, Restriction::UsPreciseGeo),
        ] {
            if holds {
                restrictions.insert(restriction);
            }
        }
    }
}

/// Whether the US privacy string (IAB US Privacy 1.0: version, notice, opt-out of sale, LSPA)
/// restricts. `1---` says that the law does not apply; what does not follow the form restricts.
pub(super) fn privacy_string_restricts(text: &str) -> bool {
    let answer = |letter: u8| matches!(letter.to_ascii_uppercase(), b'Y' | b'N' | b'-');
    match text.as_bytes() {
        [b'1', notice, sale, lspa] if answer(*notice) && answer(*sale) && answer(*lspa) => {
            sale.eq_ignore_ascii_case(&b'Y')
        }
        _ => true,
    }
}
