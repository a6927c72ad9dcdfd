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
//! let clicks = raw.cells[1][0];
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
//! nor released without a charge, which only the accountant makes:
//! ```compile_fail,E0451
//! use outbid::privacy::{Charge, Kind};
//! let charge = Charge { kind: Kind::Click };
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
use super::cell::{CONTEXT_BUCKETS, KINDS, Kind};
use super::config::{Error, Plan};

/// Counts of one interval that nobody has noised yet, by kind and cell index.
#[derive(Default)]
pub struct RawCounts {
    cells: [Vec<u64>; KINDS],
}

impl RawCounts {
    /// Counts one contribution.
    pub fn count(&mut self, admitted: Admitted) {
        let cells = &mut self.cells[admitted.kind().index()];
        if cells.len() <= admitted.cell() {
            cells.resize(admitted.cell() + 1, 0);
        }
        // Saturation never widens a difference, so it keeps the sensitivity.
        cells[admitted.cell()] = cells[admitted.cell()].saturating_add(admitted.units().into());
    }
}

/// Noised integers of one kind and interval: what may be shown, logged and computed with.
#[derive(Clone, Debug, PartialEq)]
pub struct Released {
    kind: Kind,
    values: Vec<i64>,
    variance: f64,
}

impl Released {
    /// What was counted.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// By campaign in the order of the release, [`CONTEXT_BUCKETS`] values each. May be negative.
    #[must_use]
    pub fn values(&self) -> &[i64] {
        &self.values
    }

    /// Declared variance of each value's noise.
    #[must_use]
    pub const fn variance(&self) -> f64 {
        self.variance
    }
}

/// Adds the noise that a plan prescribes.
pub struct Mechanism {
    plan: Plan,
    noise: NoiseSource,
}

impl Mechanism {
    /// A mechanism of this plan.
    #[must_use]
    pub fn new(plan: &Plan, noise: NoiseSource) -> Self {
        Self { plan: plan.clone(), noise }
    }

    /// Releases the charged kind's counts of the campaigns in these slots: every cell of every slot
    /// is noised, also where nothing was counted, so that a cell's presence says nothing.
    ///
    /// # Errors
    /// [`Error::Noise`]; nothing is released then, and the charge stays spent.
    pub fn release(
        &mut self,
        raw: &RawCounts,
        slots: &[u32],
        charge: Charge,
    ) -> Result<Released, Error> {
        let kind = charge.kind();
        let scale = self.plan.kind(kind).scale;
        let mut noise = self.noise.gaussian(scale, slots.len() * CONTEXT_BUCKETS)?;
        let counts = &raw.cells[kind.index()];
        let cells = slots.iter().flat_map(|&slot| {
            let first = slot as usize * CONTEXT_BUCKETS;
            first..first + CONTEXT_BUCKETS
        });
        let values: Result<_, _> = cells
            .map(|cell| {
                let count = counts.get(cell).copied().unwrap_or(0);
                noise.noised(i64::try_from(count).unwrap_or(i64::MAX))
            })
            .collect();
        Ok(Released { kind, values: values?, variance: scale.variance() })
    }
}

#[cfg(test)]
mod tests;
