//! Sizes of segments: how many distinct users a day showed interest in a category, in the pool or at
//! one advertiser.
//!
//! A user counts once in a segment and in at most `L0` (`privacy.segments_per_user`) of them a day, the
//! first ones; the [`Bounder`](super::Bounder) sees to it, so whether he is counted depends on nobody
//! else. Sizes are released once, when the UTC day ends, with discrete Laplace noise of parameter
//! `b = L0 / epsilon`: a user's day is worth at most `L0` in L1 norm, and `epsilon = sqrt(2 rho)`, since
//! a pure epsilon is `epsilon^2 / 2`-zCDP. Which segments exist is a secret too: a size is shown from a
//! bar on, at the day's part of delta ([`Threshold`]), and never below [`USERS_MIN`].
//!
//! Who is in which segment is kept under the day's key as the bounder's other records are, so a restart
//! loses what was counted since the last release and nothing else.

use super::accountant::Charge;
use super::claim::Part;
use super::config::{Config, Error, Plan, in_range, refuse};
use super::day_key::{DayKey, Pseudonym};
use super::ledger::Record;
use super::ledger::record::CHUNK_BYTES;
use super::mechanism::{NoiseSource, Scale, Tail, Threshold};
use crate::units::{AdvertiserId, CategoryId, Timestamp, UserKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most segments that a user may count in: it is what a user's entry can grow to, 24 bytes each.
const PER_USER_MAX: u8 = 16;
/// The least noised size that is shown: whatever the bar, nobody aims at fewer.
pub const USERS_MIN: i64 = 50;
/// Sizes of one record, at 26 bytes each at most.
const SIZES_MAX: usize = CHUNK_BYTES / 32;
/// Memberships of one sealed record, at 26 bytes each at most, with room for the padding.
const JOINED_MAX: usize = CHUNK_BYTES / 36;
/// What sealed memberships are sealed as, so that no other record is taken for one.
const SEALED_AS: &[u8] = b"segments";

/// Users with interest in a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Segment {
    /// At whose shop, for its own campaigns; `None` is the pool.
    pub advertiser: Option<AdvertiserId>,
    /// In what.
    pub category: CategoryId,
}

/// A user showed interest.
#[derive(Clone, Copy, Debug)]
pub struct JoinSegment {
    /// Who.
    pub user: UserKey,
    /// When it happened.
    pub at: Timestamp,
    /// In what.
    pub segment: Segment,
}

/// A released size: it reached the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentSize {
    /// Of which segment.
    pub segment: Segment,
    /// Distinct users, noise included.
    pub users: i64,
}

/// The released sizes of one day, the segments in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentSizes {
    /// The UTC day, since 1970.
    pub day: i32,
    /// What reached the bar.
    pub sizes: Vec<SegmentSize>,
    /// The bar.
    pub least: i64,
    /// `b` of each size's noise.
    pub noise: f64,
}

impl SegmentSizes {
    /// Half the width of the interval around a size in which the true one lies in 19 cases of 20:
    /// the least `k` with `P(|Z| > k) = 2 e^(-(k + 1) / b) / (1 + e^(-1 / b))` at most 0.05.
    #[must_use]
    pub fn margin_95(&self) -> i64 {
        let b = self.noise;
        (b * (40.0 / (1.0 + (-1.0 / b).exp())).ln()).ceil() as i64 - 1
    }
}

/// A user who is in a segment today. No `Debug`: it is as raw as a count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Joined {
    user: u64,
    segment: Segment,
}

impl Joined {
    /// `user` counts in `segment`.
    pub const fn new(user: Pseudonym, segment: Segment) -> Self {
        Self { user: user.0, segment }
    }

    /// Who, and where.
    pub const fn parts(self) -> (Pseudonym, Segment) {
        (Pseudonym(self.user), self.segment)
    }
}

/// Distinct users of the open day by segment. There is no way to read them but [`SegmentPlan::release`].
#[derive(Default)]
pub(super) struct SegmentCounts(BTreeMap<Segment, u64>);

impl SegmentCounts {
    /// Counts a user whom the bounder has admitted to this segment.
    pub fn count(&mut self, segment: Segment) {
        *self.0.entry(segment).or_default() += 1;
    }
}

/// How sizes are released.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SegmentPlan {
    noise: Scale,
    threshold: Threshold,
}

impl SegmentPlan {
    /// By a plan's part for segments; `None` where it has none, or too little for any bar.
    pub fn of(plan: &Plan) -> Option<Self> {
        // Rounded down by more than the root's own rounding.
        let epsilon = (2.0 * plan.segments_rho().as_f64()).sqrt() * (1.0 - 1e-12);
        let per_user = u32::from(plan.segments_per_user);
        let noise = Scale::for_epsilon(per_user, epsilon)?;
        let threshold = Threshold::lowest(Tail::Laplace(noise), per_user, 1, plan.segments_delta());
        Some(Self { noise, threshold: threshold? })
    }

    /// Noises the counts of `day`, which `_paid` says is paid for. Noise is drawn for every segment that
    /// somebody is in, in their order; the bar hides which those are.
    ///
    /// # Errors
    /// [`Error::Noise`]; nothing is released then.
    pub fn release(
        &self,
        day: i32,
        SegmentCounts(counts): SegmentCounts,
        _paid: &Charge,
        noise: &mut NoiseSource,
    ) -> Result<SegmentSizes, Error> {
        let mut draws = noise.laplace(self.noise, counts.len())?;
        let mut sizes = Vec::new();
        for (segment, count) in counts {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            let shown = self.threshold.release(count, &mut draws)?;
            let shown = shown.filter(|users| *users >= USERS_MIN);
            sizes.extend(shown.map(|users| SegmentSize { segment, users }));
        }
        let least = self.threshold.tau().max(USERS_MIN);
        Ok(SegmentSizes { day, sizes, least, noise: self.noise.as_f64() })
    }
}

/// What the ledger has of segments.
#[derive(Serialize, Deserialize)]
enum Kept {
    /// Who came into which since the last release, under the day's key.
    Joined(Vec<u8>),
    /// Sizes that were released, or some of them.
    Sizes(SegmentSizes),
}

impl Kept {
    fn record(&self) -> Record {
        // Writing values of ours to a vector cannot fail; nothing would be refused by a reader.
        let bytes = postcard::to_allocvec(self).unwrap_or_default();
        Record::Other { part: Part::Segments.place(), bytes }
    }
}

/// Records of who came into which segment, sorted so that they tell no order.
///
/// # Errors
/// [`Error::Noise`] where the machine gives no random bytes.
pub(super) fn joined_records(key: &DayKey, mut joined: Vec<Joined>) -> Result<Vec<Record>, Error> {
    joined.sort_unstable();
    let sealed = joined.chunks(JOINED_MAX).map(|chunk| key.seal_list(SEALED_AS, chunk));
    sealed.map(|sealed| sealed.map(|bytes| Kept::Joined(bytes).record())).collect()
}

/// Records of a day's released sizes: at least one, also where nothing is shown.
pub(super) fn size_records(all: &SegmentSizes) -> Vec<Record> {
    let of = |sizes: &[SegmentSize]| {
        Kept::Sizes(SegmentSizes { sizes: sizes.to_vec(), ..all.without_sizes() }).record()
    };
    if all.sizes.is_empty() { vec![of(&[])] } else { all.sizes.chunks(SIZES_MAX).map(of).collect() }
}

/// Adds the sizes that a record of this part has, if any, to those of the records before it. `None`
/// where it is no such record.
pub(super) fn take_sizes(bytes: &[u8], found: &mut Option<SegmentSizes>) -> Option<()> {
    let Kept::Sizes(more) = postcard::from_bytes(bytes).ok()? else { return Some(()) };
    let is_sound = more.noise.is_finite() && more.noise > 0.0 && more.least >= USERS_MIN;
    let all = found.get_or_insert_with(|| more.without_sizes());
    let is_same = (all.day, all.least) == (more.day, more.least);
    all.sizes.extend(more.sizes);
    (is_sound && is_same).then_some(())
}

/// Who is in which segment by the day's records; `None` where one does not open.
pub(super) fn joined_in(others: &[(u8, Vec<u8>)], key: &DayKey) -> Option<Vec<Joined>> {
    let mut all = Vec::new();
    for (_, bytes) in others.iter().filter(|(part, _)| *part == Part::Segments.place()) {
        if let Kept::Joined(sealed) = postcard::from_bytes(bytes).ok()? {
            all.extend(key.open_list::<Joined>(SEALED_AS, &sealed)?);
        }
    }
    Some(all)
}

impl SegmentSizes {
    const fn without_sizes(&self) -> Self {
        Self { day: self.day, sizes: Vec::new(), least: self.least, noise: self.noise }
    }
}

/// Refuses bounds out of their range.
pub(super) fn check(config: &Config) -> Result<(), Error> {
    in_range("segments_per_user", config.segments_per_user, 1, PER_USER_MAX)
}

impl Plan {
    /// `L0`: segments in which a user counts in a day.
    #[must_use]
    pub const fn segments_per_user(&self) -> u8 {
        self.segments_per_user
    }

    /// Whether sizes of segments are released.
    #[must_use]
    pub fn has_segments(&self) -> bool {
        self.segments_rho() > super::accountant::Rho::ZERO
    }

    /// The plan, if what it has for segments is enough for them.
    pub(super) fn with_segments(self) -> Result<Self, Error> {
        if self.has_segments() && SegmentPlan::of(&self).is_none() {
            return Err(refuse("segments_rho_percent", "it is too small for any size to be shown"));
        }
        Ok(self)
    }
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
