//! The mechanism: raw counts go in, charged; noised integers come out. There is no other way out.
//!
//! [`RawCounts`] has no getter, no `Debug`, no `Serialize` and no `Clone`; its numbers are private to
//! this file, whose one reader is [`Mechanism::release`]. Only admitted contributions get in.
//!
//! ```
//! use outbid::privacy::{Bounder, Config, DayKey, Kind, Plan, RawCounts};
//! use outbid::units::UserKey;
//! let plan = Plan::try_from(&Config::default()).unwrap();
//! let user = DayKey::draw().unwrap().pseudonym(UserKey(1));
//! let mut raw = RawCounts::default();
//! raw.count(Bounder::new(&plan, 0).admit(user, 0, Kind::Click, 1).unwrap());
//! ```
//! That is all that can be done with them. They cannot be read:
//! ```compile_fail,E0616
//! let raw = outbid::privacy::RawCounts::default();
//! let clicks = raw.slots[&0][16];
//! ```
//! nor printed:
//! ```compile_fail,E0277
//! let raw = outbid::privacy::RawCounts::default();
//! println!("{raw:?}");
//! ```
//! nor written:
//! ```compile_fail,E0277
//! let raw = outbid::privacy::RawCounts::default();
//! serde_json::to_string(&raw);
//! ```
//! nor released without a charge, which only a paid day makes:
//! ```compile_fail,E0451
//! let charge = outbid::privacy::Charge { interval: 0 };
//! ```
//!
//! Noise is the discrete Gaussian on integers (Canonne, Kamath, Steinke 2020), sampled exactly by
//! OpenDP: no float is involved before a number is released, hence no float attack (Mironov 2012).
//! A release draws all of its noise first, in one batch, on the release thread: how long that takes
//! does not depend on the counts, and no bid waits for it.

mod above;
mod continual;
mod honaker;
mod noise;
mod threshold;
mod toeplitz;

pub use above::AboveThreshold;
pub use continual::{Continual, RawStream, ReleasedStream};
pub use honaker::Honaker;
pub use noise::{Draws, NoiseSource, Scale};
pub use threshold::{Tail, Threshold, keep_probability};
pub use toeplitz::Toeplitz;

use super::accountant::Charge;
use super::bound::Admitted;
use super::cell::{CONTEXT_BUCKETS, COUNTERS, Kind};
use super::config::{Error, Plan};
use rustc_hash::FxHashMap;

/// Counts of one interval that nobody has noised yet, by slot of a campaign.
#[derive(Default)]
pub struct RawCounts {
    /// Each kind in each context; slots in which nothing was counted are absent.
    slots: FxHashMap<u32, Box<[i64; COUNTERS]>>,
}

impl RawCounts {
    /// Counts one contribution.
    pub fn count(&mut self, admitted: Admitted) {
        let (slot, bucket) = (admitted.cell() / CONTEXT_BUCKETS, admitted.cell() % CONTEXT_BUCKETS);
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        let counts = self.slots.entry(slot).or_insert_with(|| Box::new([0; COUNTERS]));
        let count = &mut counts[admitted.kind().index() * CONTEXT_BUCKETS + bucket];
        // Saturation never widens a difference, so it keeps the sensitivity.
        *count = count.saturating_add(admitted.units().into());
    }

    fn of(&self, slot: u32, place: usize) -> i64 {
        self.slots.get(&slot).map_or(0, |counts| counts[place])
    }
}

/// The continual counters of one segment of a day: what was counted goes in tick by tick, and stays.
pub struct Mechanism {
    plan: Plan,
    noise: NoiseSource,
    streams: FxHashMap<u32, Vec<RawStream>>,
}

impl Mechanism {
    /// A mechanism of this plan, at the beginning of a segment.
    #[must_use]
    pub fn new(plan: &Plan, noise: NoiseSource) -> Self {
        Self { plan: plan.clone(), noise, streams: FxHashMap::default() }
    }

    /// Forgets what was counted: every counter begins at zero.
    pub fn begin_segment(&mut self) {
        self.streams.clear();
    }

    /// Where its noise comes from.
    pub(super) const fn noise(&mut self) -> &mut NoiseSource {
        &mut self.noise
    }

    /// Releases one interval of the campaigns in these slots: for each slot the integers of each kind
    /// in each context, [`Continual::values_at`] its step. Every counter is noised, also where nothing
    /// was counted, so that presence says nothing; a slot that is not among them begins anew when it
    /// comes back.
    ///
    /// # Errors
    /// [`Error`]; the segment is over then, nothing of the interval may be shown, and the charge stays
    /// spent.
    pub fn release(
        &mut self,
        raw: &RawCounts,
        slots: &[u32],
        charge: Charge,
    ) -> Result<Vec<(u32, Vec<i64>)>, Error> {
        let released = self.encode(raw, slots, &charge);
        if released.is_err() {
            self.begin_segment();
        }
        released
    }

    fn encode(
        &mut self,
        raw: &RawCounts,
        slots: &[u32],
        _paid: &Charge,
    ) -> Result<Vec<(u32, Vec<i64>)>, Error> {
        let Self { plan, noise, streams } = self;
        let continual = plan.continual();
        let mut kept: Vec<(u32, Vec<RawStream>)> = slots
            .iter()
            .map(|slot| {
                let fresh = || (0..COUNTERS).map(|_| RawStream::default()).collect();
                (*slot, streams.remove(slot).unwrap_or_else(fresh))
            })
            .collect();
        // Those that are left are not released any more.
        streams.clear();
        let draws: usize = kept.iter().map(|(_, streams)| streams[0].draws(continual)).sum();
        let mut noises = Vec::with_capacity(Kind::ALL.len());
        for kind in Kind::ALL {
            noises.push(noise.gaussian(plan.kind(kind).scale, draws * CONTEXT_BUCKETS)?);
        }
        let mut released = Vec::with_capacity(kept.len());
        for (slot, streams) in &mut kept {
            let mut values = Vec::with_capacity(COUNTERS);
            for (place, stream) in streams.iter_mut().enumerate() {
                let noise = &mut noises[place / CONTEXT_BUCKETS];
                stream.release(continual, raw.of(*slot, place), noise, &mut values)?;
            }
            released.push((*slot, values));
        }
        streams.extend(kept);
        Ok(released)
    }
}

#[cfg(test)]
mod tests;
