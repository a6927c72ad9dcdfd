//! What a TC string permits us: the module's table, one purpose after the other.
//!
//! A purpose is permitted on the legal basis that we claim for it (`consent.legitimate_interest`,
//! else consent): the user's bit for the purpose and our vendor's bit, both in the lists of that
//! basis. The publisher may restrict us: kind 0 forbids the purpose; kind 1 requires consent and
//! kind 2 legitimate interest. Who claims the required basis anyway goes on; otherwise a purpose
//! that we declared flexible moves to the required basis, and one that we did not is forbidden. Two
//! restrictions that contradict each other forbid, and so does a kind that is not defined.
//!
//! Three things that a string may say change nothing. Purpose one treatment: purpose 1 was not
//! shown, so there is no consent, and we know of no country whose law would let us store without.
//! Whether the string is service-specific: it came with this request, as the user's word on it.
//! The age of the answer: asking again is the consent platform's duty.
//!
//! Who has not been shown to the user has no basis. Since version 2.3 of the framework a string lists
//! whom the user was shown, and one that was written after the end of February 2026 without the list
//! is not valid; an older one stays so.

use super::config::Policy;
use super::decision::{Restriction, Restrictions};
use super::tcf::TcString;

/// The special feature of precise geolocation.
const PRECISE_GEO: u8 = 1;

/// From when on a string must list the vendors that were shown: 1 March 2026, UTC, in Unix
/// milliseconds.
const DISCLOSED_SINCE_MS: u64 = 1_772_323_200_000;

/// The purposes that something of ours depends on.
const PURPOSES: [(u8, Restriction); 5] = [
    (1, Restriction::TcfStorage),
    (2, Restriction::TcfBasicAds),
    (3, Restriction::TcfProfile),
    (4, Restriction::TcfPersonalisedAds),
    (7, Restriction::TcfMeasurement),
];

/// What this TC string restricts.
pub(super) fn restrict(policy: &Policy, text: &str, restrictions: &mut Restrictions) {
    let Some(vendor) = policy.vendor_id else {
        return restrictions.insert(Restriction::TcfNoVendorId);
    };
    let Ok(string) = TcString::parse(text) else {
        return restrictions.insert(Restriction::TcfUnreadable);
    };
    let is_shown = match string.vendors_disclosed() {
        Some(disclosed) => disclosed.contains(vendor),
        None => string.updated_ms() < DISCLOSED_SINCE_MS,
    };
    if !is_shown {
        return restrictions.insert(Restriction::TcfUndisclosed);
    }
    let bases = Bases::of(policy, &string, vendor);
    for (purpose, restriction) in PURPOSES {
        if !bases.permit(policy, &string, purpose) {
            restrictions.insert(restriction);
        }
    }
    if !string.opts_in(PRECISE_GEO) {
        restrictions.insert(Restriction::TcfPreciseGeo);
    }
}

/// What a string says of one vendor on every purpose.
struct Bases {
    consent: bool,
    interest: bool,
    /// For each kind of publisher restriction, a bit for each purpose that it concerns us on.
    restricted: [u64; 4],
}

impl Bases {
    fn of(policy: &Policy, string: &TcString<'_>, vendor: u16) -> Self {
        let mut restricted = [0; 4];
        for restriction in string.publisher_restrictions() {
            let bit = 1 << restriction.purpose;
            // Thousands of ranges about purposes that nothing depends on are not walked again.
            let concerns_us = PURPOSES.iter().any(|(purpose, _)| *purpose == restriction.purpose);
            let known = &mut restricted[usize::from(restriction.kind)];
            if concerns_us && *known & bit == 0 && restriction.vendors.contains(vendor) {
                *known |= bit;
            }
        }
        let claims_any = PURPOSES
            .iter()
            .any(|(purpose, _)| policy.claims_interest(*purpose) || policy.is_flexible(*purpose));
        Self {
            consent: string.vendor_consents().contains(vendor),
            interest: claims_any && string.vendor_interests().contains(vendor),
            restricted,
        }
    }

    fn permit(&self, policy: &Policy, string: &TcString<'_>, purpose: u8) -> bool {
        let [forbidden, needs_consent, needs_interest, undefined] =
            self.restricted.map(|purposes| purposes >> purpose & 1 == 1);
        if forbidden || undefined || (needs_consent && needs_interest) {
            return false;
        }
        let claimed = policy.claims_interest(purpose);
        let by_interest = (claimed || needs_interest) && !needs_consent;
        if by_interest != claimed && !policy.is_flexible(purpose) {
            return false;
        }
        if by_interest {
            self.interest && string.accepts_interest_in(purpose)
        } else {
            self.consent && string.consents_to(purpose)
        }
    }
}
