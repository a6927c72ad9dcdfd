//! What no ad of a campaign scores above, without a look at their rows.
//!
//! `<U, Q_a>` is the sum over the ad's fields of `<U_g, v_g>`, none of which exceeds `|U_g| |v_g|`
//! (Cauchy-Schwarz). So a campaign keeps the highest own terms and, field by field, the longest
//! vector of its ads: 16 bytes in place of a line for each of them.

use super::features::{AD_FIELDS, AdFeatures};
use super::row::AdRow;
use super::tables::Chunked;
use std::ops::Range;

/// Bounds a chunk: 4 kB.
pub(super) const BOUND_CHUNK: usize = 256;

/// The bound of some ads: own terms, and lengths field by field. For whoever bounds many campaigns at
/// each of many requests, and so keeps it beside what else he reads of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    own: f32,
    /// The upper halves of 32-bit floats, rounded up.
    lengths: [u16; AD_FIELDS],
}
const _: () = assert!(size_of::<Bound>() <= 16);

impl Bound {
    /// Of no ad at all.
    const NOBODY: Self = Self { own: f32::NEG_INFINITY, lengths: [0; AD_FIELDS] };
    /// Of ads that nothing is known of.
    pub const UNKNOWN: Self = Self { own: f32::INFINITY, lengths: [0; AD_FIELDS] };

    /// Of one ad.
    fn of<const K: usize>(row: &AdRow<K>) -> Self {
        Self { own: row.own.logit, lengths: row.lengths().map(rounded_up) }
    }

    /// Of these ads and those.
    fn with(self, other: &Self) -> Self {
        let lengths = std::array::from_fn(|field| self.lengths[field].max(other.lengths[field]));
        Self { own: self.own.max(other.own), lengths }
    }

    /// The most that own terms and product add up to, for vectors `U_g` of these lengths.
    #[inline(always)]
    pub(super) fn most(&self, lengths: &[f32; AD_FIELDS]) -> f32 {
        // In pairs: one sum after the other would wait for the one before.
        let [a, b, c, d, e, f] = std::array::from_fn(|field| {
            f32::from_bits(u32::from(self.lengths[field]) << 16) * lengths[field]
        });
        self.own + ((a + b) + (c + d) + (e + f))
    }
}

/// The upper half of a float of at least 0, rounded up.
fn rounded_up(length: f32) -> u16 {
    (length.to_bits().saturating_add(0xffff) >> 16) as u16
}

/// What no ad scores above for any of several requests, but for the ad's own part.
#[derive(Clone, Copy, Debug)]
pub struct Ceiling {
    /// The highest sum of a request's own terms and those of any interest.
    pub(super) context: f32,
    /// The longest `U_g`.
    pub(super) lengths: [f32; AD_FIELDS],
}

/// The bounds of campaigns, each found by the slot of any of its ads.
pub(super) struct Bounds {
    pub(super) served: Chunked<Bound, BOUND_CHUNK>,
    /// By slot index, of the ad alone.
    own: Vec<Bound>,
    /// By slot index: the campaign's part of `slots`, empty for ads of a campaign without a bound.
    campaigns: Vec<Range<u32>>,
    slots: Vec<u32>,
}

impl Bounds {
    /// Of these ads, whose slots lie below `len` where they have a row. A campaign with an ad that
    /// has none scores like nobody knows what, and is not bounded.
    pub(super) fn new(
        ads: &[AdFeatures],
        len: usize,
        has_row: impl Fn(&AdFeatures) -> bool,
    ) -> Self {
        let mut by_campaign: Vec<&AdFeatures> = ads.iter().collect();
        by_campaign.sort_unstable_by_key(|ad| (ad.campaign, ad.slot.index));
        let mut bounds = Self {
            served: Chunked::filled(len, Bound::UNKNOWN),
            own: vec![Bound::UNKNOWN; len],
            campaigns: vec![0..0; len],
            slots: Vec::with_capacity(ads.len()),
        };
        for ads in by_campaign.chunk_by(|one, next| one.campaign == next.campaign) {
            if !ads.iter().all(|ad| has_row(ad)) {
                continue;
            }
            let start = bounds.slots.len() as u32;
            bounds.slots.extend(ads.iter().map(|ad| ad.slot.index));
            for ad in ads {
                bounds.campaigns[ad.slot.index as usize] = start..bounds.slots.len() as u32;
            }
        }
        bounds
    }

    /// Takes note of the rows in these slots, and bounds their campaigns anew.
    pub(super) fn follow<'a, const K: usize>(
        &mut self,
        rows: impl Iterator<Item = (u32, &'a AdRow<K>)> + Clone,
    ) {
        for (slot, row) in rows.clone() {
            self.own[slot as usize] = Bound::of(row);
        }
        for (slot, _) in rows {
            let campaign = self.campaigns[slot as usize].clone();
            let slots = &self.slots[campaign.start as usize..campaign.end as usize];
            let own = slots.iter().map(|slot| &self.own[*slot as usize]);
            let bound = own.fold(Bound::NOBODY, |bound, own| bound.with(own));
            for slot in slots {
                self.served.set(*slot as usize, bound);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_kept_length_is_never_shorter(length in 0f32..1e6) {
            let bound = Bound { own: 0.0, lengths: [rounded_up(length); AD_FIELDS] };
            let kept = bound.most(&std::array::from_fn(|field| f32::from(u8::from(field == 0))));
            prop_assert!(kept >= length && kept <= length * 1.01 + f32::MIN_POSITIVE, "{kept}");
        }
    }
}
