//! From a closed interval to a published snapshot: noise, then decayed sums, then priors.

use super::accountant::Charge;
use super::cell::{CONTEXT_BUCKETS, KINDS};
use super::config::{Error, Plan};
use super::mechanism::{Mechanism, NoiseSource, RawCounts};
use super::prior::{CampaignSums, CellSums, Estimate, Releases};
use crate::units::{CampaignId, Timestamp};
use rustc_hash::FxHashMap;

/// Half-lives after which a campaign that is no longer declared is forgotten: a sixteenth is left.
const FORGET_HALF_LIVES: i64 = 4;

/// A closed interval on its way to release: counts that nobody can read, and what pays for them.
pub(super) struct Closing {
    /// The declared campaigns.
    pub campaigns: Vec<CampaignId>,
    /// Their slots in the raw counts.
    pub slots: Vec<u32>,
    /// What was counted.
    pub raw: RawCounts,
    /// One charge a kind.
    pub charges: [Charge; KINDS],
    /// The UTC day that was counted, since 1970.
    pub day: i32,
    /// When the interval was closed.
    pub at: Timestamp,
}

/// Turns closed intervals into snapshots. Lives on the release thread.
pub(super) struct Publisher {
    mechanism: Mechanism,
    half_life_ms: i64,
    base_rate: f64,
    sums: FxHashMap<CampaignId, Known>,
    epoch: u64,
    at: Timestamp,
    /// The day of the last release.
    day: i32,
}

struct Known {
    sums: CampaignSums,
    /// Of the day of the last release over all contexts, not decayed.
    today: CellSums,
    declared: Timestamp,
}

impl Publisher {
    /// A publisher that has released nothing.
    pub fn new(plan: &Plan, noise: NoiseSource) -> Self {
        Self {
            mechanism: Mechanism::new(plan, noise),
            half_life_ms: plan.half_life_ms(),
            base_rate: plan.base_rate(),
            sums: FxHashMap::default(),
            epoch: 0,
            at: Timestamp::default(),
            day: 0,
        }
    }

    /// Noises one closed interval and folds it into the decayed sums.
    ///
    /// # Errors
    /// [`Error::Noise`]: nothing of the interval is released, since clicks without their
    /// impressions would bias every rate.
    pub fn publish(&mut self, closing: Closing) -> Result<Releases, Error> {
        let mut released = Vec::with_capacity(KINDS);
        for charge in closing.charges {
            let slots = &closing.slots;
            released.push(self.mechanism.release(&closing.raw, slots, charge)?);
        }
        self.decay(closing.at);
        if self.day != closing.day {
            self.sums.values_mut().for_each(|known| known.today = CellSums::default());
            self.day = closing.day;
        }
        for (index, &campaign) in closing.campaigns.iter().enumerate() {
            let known = self.sums.entry(campaign).or_insert_with(|| Known {
                sums: CampaignSums::default(),
                today: CellSums::default(),
                declared: closing.at,
            });
            known.declared = closing.at;
            for release in &released {
                let values = &release.values()[index * CONTEXT_BUCKETS..][..CONTEXT_BUCKETS];
                for (cell, &value) in known.sums.iter_mut().zip(values) {
                    let kind = release.kind().index();
                    let one = Estimate { value: value as f64, variance: release.variance() };
                    cell[kind] = cell[kind].plus(one);
                    known.today[kind] = known.today[kind].plus(one);
                }
            }
        }
        self.epoch += 1;
        let sums = self.sums.iter().map(|(&id, known)| (id, &known.sums));
        let today = self.sums.iter().map(|(&id, known)| (id, known.today));
        let releases = Releases::of(self.base_rate, self.epoch, closing.at, sums);
        Ok(releases.with_today(closing.day, today))
    }

    /// Ages every sum to `at` and forgets campaigns that were long not declared.
    fn decay(&mut self, at: Timestamp) {
        let elapsed = at.millis_since(self.at).max(0);
        let factor = (-(elapsed as f64) / self.half_life_ms as f64).exp2();
        let kept_ms = self.half_life_ms.saturating_mul(FORGET_HALF_LIVES);
        self.at = at;
        self.sums.retain(|_, known| {
            for estimate in known.sums.iter_mut().flatten() {
                *estimate = estimate.times(factor);
            }
            at.millis_since(known.declared) <= kept_ms
        });
    }
}
