//! GPP strings ("Global Privacy Platform String", IAB Tech Lab, version 1): a header that names its
//! sections, and the sections behind it, each after a tilde.
//!
//! The header is 6 bits of type (3), 6 of version (1), and the ids of the sections as ranges of
//! Fibonacci numbers: 12 bits of how many, then for each one bit (a single id, or a first and a
//! last) and the distance from the last id before it, in which two ones in a row end a number. One
//! that names more than [`SECTIONS_MAX`] sections, names them out of order, or names another number
//! of them than follow, is refused.

use super::bits::Bits;
use smallvec::SmallVec;

/// Most sections of one string: 27 are registered.
pub const SECTIONS_MAX: usize = 40;

/// Bits of the largest distance between two ids: more ids than will ever be registered.
const DISTANCE_BITS_MAX: usize = 16;

/// A GPP string, taken apart.
#[derive(Debug)]
pub struct GppString<'a> {
    ids: SmallVec<[u16; SECTIONS_MAX]>,
    sections: &'a str,
}

impl<'a> GppString<'a> {
    /// `None` where the header is not wholly right.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (header, sections) = text.split_once('~')?;
        let ids = ids(Bits::new(header)?)?;
        // A text of tildes alone is as many empty sections: one too many is enough to know.
        let count = sections.split('~').take(ids.len() + 1).count();
        (count == ids.len()).then_some(Self { ids, sections })
    }

    /// The sections with their ids, as the IAB registers them.
    pub fn sections(&self) -> impl Iterator<Item = (u16, &'a str)> {
        self.ids.iter().copied().zip(self.sections.split('~'))
    }
}

fn ids(header: Bits<'_>) -> Option<SmallVec<[u16; SECTIONS_MAX]>> {
    const TYPE_AND_VERSION: u64 = 3 << 6 | 1;
    if header.get(0, 12)? != TYPE_AND_VERSION {
        return None;
    }
    let mut at = 24;
    let (mut ids, mut last) = (SmallVec::new(), 0_u16);
    for _ in 0..header.get(12, 12)? {
        let is_range = header.get(at, 1)? == 1;
        at += 1;
        let first = last.checked_add(distance(header, &mut at)?)?;
        last = first;
        if is_range {
            last = first.checked_add(distance(header, &mut at)?)?;
        }
        if ids.len() + usize::from(last - first) >= SECTIONS_MAX {
            return None;
        }
        ids.extend(first..=last);
    }
    Some(ids)
}

/// A Fibonacci number: each one among its bits adds 1, 2, 3, 5, 8 ..., until two follow each other.
fn distance(header: Bits<'_>, at: &mut usize) -> Option<u16> {
    let (mut worth, mut next) = (1_u16, 2_u16);
    let (mut sum, mut was_one) = (0_u16, false);
    for _ in 0..DISTANCE_BITS_MAX {
        let is_one = header.get(*at, 1)? == 1;
        *at += 1;
        if is_one && was_one {
            return Some(sum);
        }
        if is_one {
            sum = sum.checked_add(worth)?;
        }
        was_one = is_one;
        (worth, next) = (next, worth.checked_add(next)?);
    }
    None
}
