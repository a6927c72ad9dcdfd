//! What a user allows, and how a bid request says so: TC strings under the European law, US privacy
//! and GPP strings under the American ones, COPPA for children. About one user in ten
//! forbids personalisation.

use super::spec::Law;
use crate::units::Timestamp;
use rand::{Rng, RngExt};

/// What a user's bid requests say about privacy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// No law applies.
    Unregulated,
    /// European law, everything allowed.
    GdprGranted,
    /// European law: storage, basic ads and measurement, but no profile.
    GdprPartly,
    /// European law, everything refused.
    GdprRefused,
    /// American law, not opted out, said by `us_privacy`.
    UsAllowed,
    /// The same, said by the national section of `gpp`.
    GppAllowed,
    /// American law, opted out of targeted advertising, said by the national section of `gpp`.
    GppUntargeted,
    /// American law, opted out of sale, said by `us_privacy`.
    UsOptedOut,
    /// The same, said by the US privacy section of `gpp`.
    GppOptedOut,
    /// A child: COPPA.
    Child,
}

/// Share of users who are children.
const CHILD_SHARE: f64 = 0.02;
/// Share that refuses under the European law.
const GDPR_REFUSED_SHARE: f64 = 0.08;
/// Share that refuses a profile alone.
const GDPR_PARTLY_SHARE: f64 = 0.08;
/// Shares that choose so under the American ones, one after the other.
const US_SHARES: [(Choice, f64); 4] = [
    (Choice::UsOptedOut, 0.03),
    (Choice::GppOptedOut, 0.03),
    (Choice::GppUntargeted, 0.02),
    (Choice::GppAllowed, 0.3),
];

/// GPP with one section, the US privacy string (section 6), opted out of sale.
pub(super) const GPP_OPTED_OUT: (&str, u32) = ("DBABTA~1YYN", 6);
/// GPP with one section, the national one (7, version 1): every notice given, no opt-out, consent to
/// sensitive data, no child.
pub(super) const GPP_ALLOWED: (&str, u32) = ("DBABLA~BVVqqqqqAa.QA", 7);
/// The same, opted out of targeted advertising.
pub(super) const GPP_UNTARGETED: (&str, u32) = ("DBABLA~BVVpqqqqAa.QA", 7);

/// Vendors that a granting string names: more than the list has ever held.
const VENDORS_MAX: u64 = 2_000;

impl Choice {
    /// Draws the choice of a user who lives under this law.
    pub(super) fn draw(law: Law, rng: &mut impl Rng) -> Self {
        if rng.random::<f64>() < CHILD_SHARE {
            return Self::Child;
        }
        let point = rng.random::<f64>();
        match law {
            Law::None => Self::Unregulated,
            Law::Gdpr if point < GDPR_REFUSED_SHARE => Self::GdprRefused,
            Law::Gdpr if point < GDPR_REFUSED_SHARE + GDPR_PARTLY_SHARE => Self::GdprPartly,
            Law::Gdpr => Self::GdprGranted,
            Law::Us => {
                let mut left = point;
                let chosen = US_SHARES.iter().find(|(_, share)| {
                    left -= share;
                    left < 0.0
                });
                chosen.map_or(Self::UsAllowed, |(choice, _)| *choice)
            }
        }
    }

    /// Whether the user may be addressed by interest.
    #[must_use]
    pub const fn personalises(self) -> bool {
        matches!(self, Self::Unregulated | Self::GdprGranted | Self::UsAllowed | Self::GppAllowed)
    }
}

/// A TC string ("Transparency and Consent String with Global Vendor & CMP List Formats v2", IAB
/// Europe) that says this choice, written at `at`; `None` where the European law is not asked. The
/// user was shown all vendors, and who grants something grants it to all of them.
pub(super) fn tcf(choice: Choice, at: Timestamp) -> Option<String> {
    let (consents, interests): (&[u32], &[u32]) = match choice {
        Choice::GdprGranted => (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], &[2, 7, 8, 9, 10, 11]),
        Choice::GdprPartly => (&[1, 2, 7], &[2, 7]),
        Choice::GdprRefused => (&[], &[]),
        _ => return None,
    };
    let deciseconds = u64::try_from(at.0 / 100).unwrap_or(0);
    let letter = |letter: u8| u64::from(letter - b'A');
    let purposes =
        |granted: &[u32]| granted.iter().fold(0, |bits, purpose| bits | 1 << (24 - purpose));
    let granted = !consents.is_empty();
    let mut bits = Bits::default();
    bits.push(2, 6); // version
    bits.push(deciseconds, 36); // created
    bits.push(deciseconds, 36); // updated
    bits.push(31, 12); // CMP
    bits.push(1, 12); // its version
    bits.push(1, 6); // screen
    bits.push(letter(b'E'), 6); // language
    bits.push(letter(b'N'), 6);
    bits.push(200, 12); // vendor list
    bits.push(5, 6); // policy version
    bits.push(0b10, 2); // service-specific, standard texts
    // Special feature 1, precise geolocation: who allows everything opts in.
    bits.push(u64::from(choice == Choice::GdprGranted) << 11, 12);
    bits.push(purposes(consents), 24);
    bits.push(purposes(interests), 24); // legitimate interest
    bits.push(0, 1); // purpose one treatment
    bits.push(letter(b'D'), 6); // publisher's country
    bits.push(letter(b'E'), 6);
    for _ in ["consent", "legitimate interest"] {
        bits.vendors(granted);
    }
    bits.push(0, 12); // publisher restrictions
    let mut disclosed = Bits::default();
    disclosed.push(1, 3); // the segment of the vendors that were shown
    disclosed.vendors(true);
    Some(format!("{}.{}", bits.text, disclosed.text))
}

/// Bits as web-safe base 64, most significant first, padded with zeros.
#[derive(Default)]
struct Bits {
    text: String,
    free: u32,
    last: u8,
}

impl Bits {
    fn push(&mut self, value: u64, width: u32) {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for place in (0..width).rev() {
            if self.free == 0 {
                self.text.push('A');
                self.free = 6;
                self.last = 0;
            }
            self.free -= 1;
            self.last |= u8::from(value >> place & 1 == 1) << self.free;
            self.text.pop();
            self.text.push(char::from(ALPHABET[usize::from(self.last)]));
        }
    }

    /// A vendor section: all of them as one range, or none as an empty bit field.
    fn vendors(&mut self, granted: bool) {
        self.push(if granted { VENDORS_MAX } else { 0 }, 16);
        self.push(u64::from(granted), 1);
        if granted {
            self.push(1, 12); // one entry
            self.push(1, 1); // a range
            self.push(1, 16);
            self.push(VENDORS_MAX, 16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::random::{Purpose, stream};

    #[test]
    fn about_one_in_ten_forbids() {
        let mut rng = stream(1, Purpose::User, 0);
        let laws = [Law::None, Law::Gdpr, Law::Us, Law::Us];
        let forbids = |n: usize| !Choice::draw(laws[n % 4], &mut rng).personalises();
        let share = (0..8_000).map(forbids).filter(|forbids| *forbids).count() as f64 / 8_000.0;
        assert!((0.07..0.14).contains(&share), "{share}");
    }

    #[test]
    fn strings_have_the_bits_that_the_standard_gives() {
        let at = Timestamp(1_700_000_000_000);
        let text = |choice| tcf(choice, at).expect("a string");
        let granted = text(Choice::GdprGranted);
        let (partly, refused) = (text(Choice::GdprPartly), text(Choice::GdprRefused));
        assert!(granted.starts_with('C'), "version 2: {granted}");
        // 213 bits of head, 62 bits a granting vendor section, 12 of restrictions; after a dot, 3 bits
        // of type and the vendors that were shown.
        let disclosed = 1 + (3_usize + 62).div_ceil(6);
        assert_eq!(granted.len(), (213_usize + 2 * 62 + 12).div_ceil(6) + disclosed);
        assert_eq!(refused.len(), (213_usize + 2 * 17 + 12).div_ceil(6) + disclosed);
        // Bits 152 to 175 are the purposes; 152 is bit 2 of letter 25.
        let value = |letter: u8| match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            _ => 63,
        };
        let bit = |text: &str, n: usize| value(text.as_bytes()[n / 6]) >> (5 - n % 6) & 1;
        let purposes = |text: &str| (152..176).map(|n| u32::from(bit(text, n))).sum::<u32>();
        assert_eq!([&granted, &partly, &refused].map(|text| purposes(text)), [11, 3, 0]);
        assert_eq!((bit(&granted, 152), bit(&granted, 163)), (1, 0));
        assert_eq!([152, 153, 154, 158].map(|n| bit(&partly, n)), [1, 1, 0, 1]);
        assert_eq!((bit(&granted, 140), bit(&partly, 140)), (1, 0));
        assert_eq!(tcf(Choice::UsAllowed, at), None);
    }
}
