//! Learning within the room's protocol: which gradients are counted, what of an interval goes into the
//! ledger, and how a process goes on with what another one logged.

use super::{GradientPlan, GradientSums, GradientTotals, RawGradients, ReleasedGradients};
use crate::privacy::config::Error;
use crate::privacy::ledger::record::CHUNK_BYTES;
use crate::privacy::mechanism::NoiseSource;
use serde::{Deserialize, Serialize};

/// Integers of one record, at 10 bytes each at most.
const VALUES_MAX: usize = CHUNK_BYTES / 10 - 8;

/// A part of an interval's released integers, as the ledger has it.
#[derive(Serialize, Deserialize)]
struct Chunk {
    segment: u16,
    tick: u16,
    /// The coordinate of the first of them.
    first: u32,
    values: Vec<i64>,
}

/// Both halves of a day's releases, on the release thread.
pub(in crate::privacy) struct GradientReleases {
    plan: GradientPlan,
    day: i32,
    raw: RawGradients,
    public: ReleasedGradients,
}

impl GradientReleases {
    /// A day of which nothing was released.
    pub(in crate::privacy) fn begin(plan: &GradientPlan, day: i32) -> Self {
        let (raw, public) = (RawGradients::begin(plan), ReleasedGradients::begin(plan));
        Self { plan: plan.clone(), day, raw, public }
    }

    /// Goes on with a day of which `logged` is in the ledger, in a segment of its own.
    ///
    /// # Errors
    /// [`Error::Released`] where the records are not of this plan.
    pub(in crate::privacy) fn resume<'a>(
        plan: &GradientPlan,
        day: i32,
        logged: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, Error> {
        let mut releases = Self::begin(plan, day);
        let mut segment = None;
        let mut values = Vec::new();
        for bytes in logged {
            let wrong = Error::Released { found: values.len(), expected: plan.dimensions() };
            let chunk = postcard::from_bytes::<Chunk>(bytes).ok();
            let chunk = chunk.filter(|chunk| chunk.first as usize == values.len()).ok_or(wrong)?;
            values.extend(chunk.values);
            if values.len() < plan.dimensions() {
                continue;
            }
            if segment.replace(chunk.segment).is_some_and(|before| before != chunk.segment) {
                releases.public.begin_segment();
            }
            releases.public.push(&std::mem::take(&mut values))?;
        }
        releases.begin_segment();
        Ok(releases)
    }

    /// A run of mechanisms ends: what it released stays, and the next begins with nothing.
    pub(in crate::privacy) fn begin_segment(&mut self) {
        self.raw = RawGradients::begin(&self.plan);
        self.public.begin_segment();
    }

    /// Noises an interval of `day`. A later day than the one before begins anew.
    ///
    /// # Errors
    /// As [`RawGradients::release`].
    pub(in crate::privacy) fn release(
        &mut self,
        day: i32,
        sums: &GradientSums,
        noise: &mut NoiseSource,
    ) -> Result<Vec<i64>, Error> {
        if day > self.day {
            *self = Self::begin(&self.plan, day);
        }
        self.raw.release(sums, noise)
    }

    /// What is to be logged of an interval before anybody sees it.
    pub(in crate::privacy) fn records(segment: u16, tick: u16, released: &[i64]) -> Vec<Vec<u8>> {
        let parts = (0..).step_by(VALUES_MAX).zip(released.chunks(VALUES_MAX));
        let records = parts.map(|(first, values)| {
            let chunk = Chunk { segment, tick, first, values: values.to_vec() };
            // Writing numbers of ours to a vector cannot fail; nothing would be refused by a reader.
            postcard::to_allocvec(&chunk).unwrap_or_default()
        });
        records.collect()
    }

    /// Takes in what was released, now that it may be shown.
    ///
    /// # Errors
    /// As [`ReleasedGradients::push`].
    pub(in crate::privacy) fn publish(&mut self, released: &[i64]) -> Result<(), Error> {
        self.public.push(released)
    }

    /// The day's totals as far as they may be shown.
    pub(in crate::privacy) fn totals(&self) -> GradientTotals {
        self.public.totals(self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::Gradient;
    use crate::privacy::accountant::Rho;

    #[test]
    fn a_process_goes_on_with_what_was_logged() {
        let dimensions = VALUES_MAX + 3;
        let plan = GradientPlan::new(dimensions, 2, 4, Rho::within(8.0, 1e-6)).unwrap();
        let mut noise = NoiseSource::exact();
        let mut ours = GradientReleases::begin(&plan, 7);
        let mut logged = Vec::new();
        for (segment, tick) in [(1, 0), (1, 1), (2, 2)] {
            if tick == 2 {
                ours.begin_segment();
            }
            let mut sums = GradientSums::new(dimensions);
            sums.add(&Gradient::clipped(&mut vec![(1, 0.5), (VALUES_MAX as u32 + 1, -0.5)]));
            let released = ours.release(7, &sums, &mut noise).unwrap();
            let records = GradientReleases::records(segment, tick, &released);
            assert!(records.len() == 2 && records.iter().all(|one| one.len() <= CHUNK_BYTES));
            logged.extend(records);
            ours.publish(&released).unwrap();
        }
        let records = || logged.iter().map(Vec::as_slice);
        let theirs = GradientReleases::resume(&plan, 7, records()).unwrap();
        assert_eq!(theirs.totals(), ours.totals());
        assert_eq!(theirs.totals().ticks, 3);
        let torn = GradientReleases::resume(&plan, 7, records().skip(1));
        assert!(torn.is_err(), "a half of an interval is not taken for one");
    }
}
