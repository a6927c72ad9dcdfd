//! TC strings ("Transparency and Consent String with Global Vendor & CMP List Formats" v2, IAB
//! Europe), read in place.
//!
//! Promises: nothing is allocated and no set of vendors is written out. [`TcString::parse`] walks a
//! string once, of at most [`TC_BYTES_MAX`] letters, whatever its ranges claim to hold; whether one
//! vendor is in a set is one bit, or a walk over the set's ranges. A string of version 1, or one
//! with anything wrong in its core or its disclosed vendors, is refused as a whole: half a consent
//! is none. The segments for allowed vendors (2) and the publisher's own purposes (3) are known and
//! passed over, since no decision of ours depends on them.

use super::bits::Bits;

/// Longest TC string in letters. The longest of the collected ones has 1,817; a bit for each of
/// two thousand vendors, thrice, takes a thousand.
pub const TC_BYTES_MAX: usize = 8 * 1024;

/// Why a TC string was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TcfError {
    /// Longer than [`TC_BYTES_MAX`].
    #[error("longer than any TC string")]
    TooLong,
    /// A letter that is not of the web-safe base 64 alphabet.
    #[error("not web-safe base 64")]
    Letter,
    /// Not of version 2.
    #[error("version {0}, not 2")]
    Version(u8),
    /// It ends within a field.
    #[error("cut short")]
    Short,
    /// A range of vendors that begins at 0 or after its end.
    #[error("a range of vendors without vendors")]
    Range,
    /// A segment of unknown type, or one type twice.
    #[error("a segment of unknown type, or given twice")]
    Segment,
}

// Where the core's fields begin.
const CREATED: usize = 6;
const UPDATED: usize = 42;
const CMP_ID: usize = 78;
const LANGUAGE: usize = 108;
const VENDOR_LIST: usize = 120;
const POLICY: usize = 132;
const SERVICE_SPECIFIC: usize = 138;
const SPECIAL_FEATURES: usize = 140;
const PURPOSE_CONSENTS: usize = 152;
const PURPOSE_INTERESTS: usize = 176;
const PURPOSE_ONE_TREATMENT: usize = 200;
const PUBLISHER_COUNTRY: usize = 201;
const VENDORS: usize = 213;

/// Purposes that a core has bits for.
const PURPOSES: u8 = 24;
/// Special features that a core has bits for.
const FEATURES: u8 = 12;

/// One TC string. Fields are read when they are asked for.
#[derive(Clone, Copy, Debug)]
pub struct TcString<'a> {
    core: Bits<'a>,
    consents: Vendors<'a>,
    interests: Vendors<'a>,
    /// Where the first publisher restriction begins, and how many there are.
    restrictions: (usize, u64),
    disclosed: Option<Vendors<'a>>,
}

impl<'a> TcString<'a> {
    /// Reads where everything lies, and refuses what is not wholly right.
    ///
    /// # Errors
    /// See [`TcfError`].
    pub fn parse(text: &'a str) -> Result<Self, TcfError> {
        if text.len() > TC_BYTES_MAX {
            return Err(TcfError::TooLong);
        }
        let mut segments = text.split('.');
        let core = Bits::new(segments.next().unwrap_or_default()).ok_or(TcfError::Letter)?;
        match core.get(0, 6).ok_or(TcfError::Short)? {
            2 => {}
            version => return Err(TcfError::Version(version as u8)),
        }
        let (consents, end) = Vendors::read(core, VENDORS)?;
        let (interests, end) = Vendors::read(core, end)?;
        let count = core.get(end, 12).ok_or(TcfError::Short)?;
        let mut restrictions = Restrictions { bits: core, at: end + 12, left: count };
        while restrictions.read()?.is_some() {}
        let disclosed = disclosed(segments)?;
        Ok(Self { core, consents, interests, restrictions: (end + 12, count), disclosed })
    }

    fn field(&self, at: usize, width: usize) -> u64 {
        // The core is longer than its fixed fields, or it would not have been parsed.
        self.core.get(at, width).unwrap_or(0)
    }

    /// When the user was first asked, in Unix milliseconds.
    #[must_use]
    pub fn created_ms(&self) -> u64 {
        self.field(CREATED, 36) * 100
    }

    /// When the user last answered, in Unix milliseconds.
    #[must_use]
    pub fn updated_ms(&self) -> u64 {
        self.field(UPDATED, 36) * 100
    }

    /// Who asked: the consent platform's id.
    #[must_use]
    pub fn cmp_id(&self) -> u16 {
        self.field(CMP_ID, 12) as u16
    }

    /// The language that was asked in: two capital letters.
    #[must_use]
    pub fn consent_language(&self) -> [u8; 2] {
        self.letters(LANGUAGE)
    }

    /// Version of the vendor list that was shown.
    #[must_use]
    pub fn vendor_list_version(&self) -> u16 {
        self.field(VENDOR_LIST, 12) as u16
    }

    /// Version of the framework's policies.
    #[must_use]
    pub fn policy_version(&self) -> u8 {
        self.field(POLICY, 6) as u8
    }

    /// Whether the answer is for this publisher alone.
    #[must_use]
    pub fn is_service_specific(&self) -> bool {
        self.core.is_set(SERVICE_SPECIFIC)
    }

    /// Whether purpose 1 was not shown to the user at all.
    #[must_use]
    pub fn purpose_one_treatment(&self) -> bool {
        self.core.is_set(PURPOSE_ONE_TREATMENT)
    }

    /// Where the publisher is at home: two capital letters, `AA` where unknown.
    #[must_use]
    pub fn publisher_country(&self) -> [u8; 2] {
        self.letters(PUBLISHER_COUNTRY)
    }

    fn letters(&self, at: usize) -> [u8; 2] {
        [at, at + 6].map(|at| b'A' + (self.field(at, 6) as u8))
    }

    /// Whether the user opted in to this special feature, 1 to 12.
    #[must_use]
    pub fn opts_in(&self, feature: u8) -> bool {
        (1..=FEATURES).contains(&feature)
            && self.core.is_set(SPECIAL_FEATURES + usize::from(feature) - 1)
    }

    /// Whether the user consents to this purpose, 1 to 24.
    #[must_use]
    pub fn consents_to(&self, purpose: u8) -> bool {
        (1..=PURPOSES).contains(&purpose)
            && self.core.is_set(PURPOSE_CONSENTS + usize::from(purpose) - 1)
    }

    /// Whether legitimate interest in this purpose, 1 to 24, was shown and not objected to.
    #[must_use]
    pub fn accepts_interest_in(&self, purpose: u8) -> bool {
        (1..=PURPOSES).contains(&purpose)
            && self.core.is_set(PURPOSE_INTERESTS + usize::from(purpose) - 1)
    }

    /// Vendors with the user's consent.
    #[must_use]
    pub const fn vendor_consents(&self) -> Vendors<'a> {
        self.consents
    }

    /// Vendors whose legitimate interest was shown and not objected to.
    #[must_use]
    pub const fn vendor_interests(&self) -> Vendors<'a> {
        self.interests
    }

    /// Vendors that were shown to the user, where the string says so.
    #[must_use]
    pub const fn vendors_disclosed(&self) -> Option<Vendors<'a>> {
        self.disclosed
    }

    /// What the publisher restricts.
    #[must_use]
    pub const fn publisher_restrictions(&self) -> Restrictions<'a> {
        let (at, left) = self.restrictions;
        Restrictions { bits: self.core, at, left }
    }
}

/// The disclosed vendors among the segments behind the core; each type may come once.
fn disclosed<'a>(segments: impl Iterator<Item = &'a str>) -> Result<Option<Vendors<'a>>, TcfError> {
    const DISCLOSED: u64 = 1;
    let (mut found, mut seen) = (None, 0_u8);
    for segment in segments {
        let bits = Bits::new(segment).ok_or(TcfError::Letter)?;
        let kind = bits.get(0, 3).ok_or(TcfError::Short)?;
        if !(1..=3).contains(&kind) || seen & 1 << kind != 0 {
            return Err(TcfError::Segment);
        }
        seen |= 1 << kind;
        if kind == DISCLOSED {
            found = Some(Vendors::read(bits, 3)?.0);
        }
    }
    Ok(found)
}

/// A set of vendors: one bit for each, or ranges.
#[derive(Clone, Copy, Debug)]
pub struct Vendors<'a>(Set<'a>);

#[derive(Clone, Copy, Debug)]
enum Set<'a> {
    /// The bit of vendor 1 is at `at`.
    Field {
        bits: Bits<'a>,
        at: usize,
        max: u16,
    },
    Ranges(Ranges<'a>),
}

impl<'a> Vendors<'a> {
    /// The set that begins at `at`, and where what follows it begins.
    fn read(bits: Bits<'a>, at: usize) -> Result<(Self, usize), TcfError> {
        let head = bits.get(at, 17).ok_or(TcfError::Short)?;
        if head & 1 == 1 {
            let (ranges, end) = Ranges::read(bits, at + 17)?;
            return Ok((Self(Set::Ranges(ranges)), end));
        }
        let (at, max) = (at + 17, (head >> 1) as u16);
        let end = at + usize::from(max);
        if end > bits.len() {
            return Err(TcfError::Short);
        }
        Ok((Self(Set::Field { bits, at, max }), end))
    }

    /// Whether `vendor` is in it.
    #[must_use]
    pub fn contains(&self, vendor: u16) -> bool {
        match self.0 {
            Set::Field { bits, at, max } => {
                (1..=max).contains(&vendor) && bits.is_set(at + usize::from(vendor) - 1)
            }
            Set::Ranges(ranges) => ranges.contains(vendor),
        }
    }
}

/// Ranges of vendors, each with its first and last.
#[derive(Clone, Copy, Debug)]
pub struct Ranges<'a> {
    bits: Bits<'a>,
    at: usize,
    left: u64,
}

impl<'a> Ranges<'a> {
    /// The ranges whose count is at `at`, and where what follows them begins.
    fn read(bits: Bits<'a>, at: usize) -> Result<(Self, usize), TcfError> {
        let left = bits.get(at, 12).ok_or(TcfError::Short)?;
        let ranges = Self { bits, at: at + 12, left };
        let mut rest = ranges;
        while let Some((first, last)) = rest.read_one()? {
            if first == 0 || first > last {
                return Err(TcfError::Range);
            }
        }
        Ok((ranges, rest.at))
    }

    fn read_one(&mut self) -> Result<Option<(u16, u16)>, TcfError> {
        if self.left == 0 {
            return Ok(None);
        }
        let one = self.bits.get(self.at, 17).ok_or(TcfError::Short)?;
        let first = one as u16;
        self.at += 17;
        self.left -= 1;
        if one >> 16 == 0 {
            return Ok(Some((first, first)));
        }
        let last = self.bits.get(self.at, 16).ok_or(TcfError::Short)? as u16;
        self.at += 16;
        Ok(Some((first, last)))
    }

    /// Whether `vendor` is in one of them.
    #[must_use]
    pub fn contains(&self, vendor: u16) -> bool {
        let mut ranges = *self;
        ranges.any(|(first, last)| (first..=last).contains(&vendor))
    }
}

impl Iterator for Ranges<'_> {
    type Item = (u16, u16);

    fn next(&mut self) -> Option<(u16, u16)> {
        // They were read to their end before.
        self.read_one().ok().flatten()
    }
}

/// What a publisher restricts for some vendors.
#[derive(Clone, Copy, Debug)]
pub struct PublisherRestriction<'a> {
    /// The purpose.
    pub purpose: u8,
    /// 0 forbids it, 1 requires consent, 2 requires legitimate interest; 3 is not defined.
    pub kind: u8,
    /// For whom.
    pub vendors: Ranges<'a>,
}

/// The publisher restrictions of one string.
#[derive(Clone, Copy, Debug)]
pub struct Restrictions<'a> {
    bits: Bits<'a>,
    at: usize,
    left: u64,
}

impl<'a> Restrictions<'a> {
    fn read(&mut self) -> Result<Option<PublisherRestriction<'a>>, TcfError> {
        if self.left == 0 {
            return Ok(None);
        }
        let head = self.bits.get(self.at, 8).ok_or(TcfError::Short)?;
        let (vendors, end) = Ranges::read(self.bits, self.at + 8)?;
        self.at = end;
        self.left -= 1;
        Ok(Some(PublisherRestriction { purpose: (head >> 2) as u8, kind: head as u8 & 3, vendors }))
    }
}

impl<'a> Iterator for Restrictions<'a> {
    type Item = PublisherRestriction<'a>;

    fn next(&mut self) -> Option<PublisherRestriction<'a>> {
        // They were read to their end before.
        self.read().ok().flatten()
    }
}
