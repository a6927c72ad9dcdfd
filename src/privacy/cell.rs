//! What is counted, and where: four kinds of quantity per campaign and coarse context.

use crate::units::CampaignId;

/// How many coarse contexts there are: four device classes by four formats. Few on purpose: each
/// cell gets its own noise, so sixteen times the cells is four times the relative error.
pub const CONTEXT_BUCKETS: usize = 16;

/// A coarse context: device class by ad format, always below [`CONTEXT_BUCKETS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextBucket(u8);

impl ContextBucket {
    /// The bucket of an OpenRTB `device.devicetype` (any number; unknown ones fall into "other")
    /// and a format (0 banner, 1 video, 2 native, 3 audio; anything else counts as banner).
    ///
    /// Device classes: phone (1, 4), tablet (5), personal computer (2), other (televisions, set-top
    /// boxes, unknown).
    #[must_use]
    pub const fn of(device_type: u8, format: u8) -> Self {
        let device = match device_type {
            1 | 4 => 0,
            5 => 1,
            2 => 2,
            _ => 3,
        };
        let format = if format < 4 { format } else { 0 };
        Self(device * 4 + format)
    }

    /// The bucket with this number; `None` from [`CONTEXT_BUCKETS`] on.
    #[must_use]
    pub const fn from_index(index: u8) -> Option<Self> {
        if (index as usize) < CONTEXT_BUCKETS { Some(Self(index)) } else { None }
    }

    /// Its device class and format, for people.
    #[must_use]
    pub const fn names(self) -> (&'static str, &'static str) {
        let devices = ["phone", "tablet", "computer", "other"];
        let formats = ["banner", "video", "native", "audio"];
        (devices[self.index() / 4], formats[self.index() % 4])
    }

    /// All buckets, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CONTEXT_BUCKETS as u8).map(Self)
    }

    /// The bucket's number, below [`CONTEXT_BUCKETS`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a contribution is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// The campaign whose ad it was.
    pub campaign: CampaignId,
    /// The coarse context in which it was shown.
    pub bucket: ContextBucket,
}

/// How many kinds of contribution there are.
pub const KINDS: usize = 4;

/// Counters of one campaign: each kind in each context.
pub const COUNTERS: usize = KINDS * CONTEXT_BUCKETS;

/// What is counted. Each kind has its own bound, its own share of the budget and its own noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An ad was shown.
    Impression,
    /// It was clicked.
    Click,
    /// The click led to a conversion.
    Conversion,
    /// What an impression cost, in units of [`Plan::spend_unit_nanos`](super::Plan::spend_unit_nanos),
    /// clamped at the configured price.
    Spend,
}

impl Kind {
    /// All kinds, in the order of [`Kind::index`].
    pub const ALL: [Self; KINDS] = [Self::Impression, Self::Click, Self::Conversion, Self::Spend];

    /// Its name in configuration, metrics and tables.
    #[must_use]
    pub const fn label(self) -> &'static str {
        ["impressions", "clicks", "conversions", "spend"][self as usize]
    }

    /// The kind's number, below [`KINDS`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_and_format_has_a_bucket() {
        let mut seen = [false; CONTEXT_BUCKETS];
        for device in 0..=u8::MAX {
            for format in 0..=u8::MAX {
                seen[ContextBucket::of(device, format).index()] = true;
            }
        }
        assert_eq!(seen, [true; CONTEXT_BUCKETS]);
        assert_ne!(ContextBucket::of(4, 0), ContextBucket::of(2, 0));
        assert_ne!(ContextBucket::of(4, 0), ContextBucket::of(4, 1));
        assert_eq!(ContextBucket::from_index(16), None);
    }
}
