//! Differential privacy: what one user did on one day is visible to others only through noise.
//!
//! # The claim
//! Everything that this room counts about one user on one UTC day reaches anybody else (the scorer,
//! reports, metrics) only through releases that together are `rho`-zCDP, hence `(epsilon, delta)`-DP
//! ([`Claim`] prints both; by default epsilon 4 and delta 1e-6 a user-day). Two worlds are
//! neighbours when one user's day is replaced by the *empty* day; to replace it by another day costs
//! twice the distance (at most four times rho), since both lie one step from the empty one. The day
//! is the one on which a contribution is **counted**: an event of 23:59:59 that arrives at 00:00:01
//! belongs to the second day. A user is one `UserKey`: a person with two keys has half of the
//! protection. Days compose: thirty of them cost what [`Claim::over_days`] says.
//!
//! # Why it holds: sensitivity, in five lines
//! 1. [`bound`](Bounder) admits per user, day and kind at most `c` in a cell, `K` cells and `B` in
//!    all, so a user's day `d` (over all intervals and cells) has `|d|^2 <= min(K c^2, B c)`: within
//!    a cell `sum_t d_t^2 <= (sum_t d_t)^2 <= c^2`, and `sum v^2 <= c sum v <= c B`.
//! 2. Each contribution is counted in exactly one interval of one segment, and the mechanism's
//!    columns have at most the norm `|c'|`: the released vector changes by at most `c |c'|` a cell,
//!    whenever in the day it happened (the module [`mechanism`] and `docs/privacy.md`).
//! 3. Whether one user is counted depends on no other, so taking a day away changes those sums by
//!    the user's own `d` alone: `S^2 = min(K c^2, B c)`. A day with more users than twice
//!    `users_max` is not released, which is outside of the claim.
//! 4. The discrete Gaussian of parameter `sigma` is `S^2 |c'|^2 / (2 sigma^2)`-zCDP (Canonne, Kamath,
//!    Steinke 2020, theorem 4 and its multivariate form); the kinds add up (`sum rho_kind <= rho_day`).
//! 5. Our ads feed back on the data, so inputs depend on earlier outputs; the bounds are enforced on
//!    every path, hence the costs of the steps sum to at most `rho_day` on every path, which is what
//!    the Renyi filter needs (Feldman, Zrnic 2021; Whitehouse et al. 2023).
//!
//! # What it does not cover
//! The answer to the user's own request (his session serves him), the exchange seeing our bid,
//! exact billing and the exact budget stop; the magnitudes of dropped contributions in
//! [`AggregateStatus`] (operational, as magnitudes, about no campaign); that a day was
//! stopped; and a state folder that was put back whole to an earlier hour of the same day, which
//! nothing in it can tell. Without a state folder a restart forgets what was spent.
//!
//! # Randomness
//! Noise comes from OpenDP's exact samplers. Built without its OpenSSL feature, as here, OpenDP
//! draws from the `rand` crate's `thread_rng`, a ChaCha generator seeded by the operating system.
//! No constructor outside unit tests takes a seed.

mod accountant;
mod actor;
mod aggregate;
mod amends;
mod bound;
mod cell;
mod claim;
mod config;
mod day_key;
mod gaussian;
mod gradient;
mod ledger;
mod magnitude;
mod mechanism;
mod mode;
mod model;
mod opening;
mod prior;
mod release;
mod segments;
mod stop;
mod zcdp;

#[cfg(test)]
mod falsifier_tests;
#[cfg(test)]
mod ledger_tests;
#[cfg(test)]
mod tests;

pub use accountant::{Account, Charge, Figures, PaidDay, Refused, Rho};
pub use actor::{
    AggregateActor, Aggregates, Contribute, ContributeAll, CountDropped, DeclareCells, Status, Tick,
};
pub use aggregate::{AggregateStatus, CAMPAIGNS_MAX, Dropped};
pub use amends::{amends, unknown_days};
pub use bound::{Admitted, Bound, Bounder, NotAdmitted};
pub use cell::{CONTEXT_BUCKETS, COUNTERS, Cell, ContextBucket, KINDS, Kind};
pub use config::{Claim, Config, Error, KindConfig, KindPlan, MechanismKind, Part, Plan};
pub use day_key::{DayKey, KeyFile, Pseudonym};
pub use gaussian::epsilon as gaussian_epsilon;
pub use gradient::{
    Gradient, GradientPlan, GradientSums, GradientTotals, RawGradients, ReleasedGradients, Taught,
};
pub use ledger::{
    Books, Carried, Committed, DayCharged, DayCost, Entry, Forgetful, Journal, Mark, NotARecord,
    NotKept, Record, Today, Wrong,
};
pub use magnitude::{MAGNITUDE_MIN, magnitude, rounded};
pub use mechanism::{
    AboveThreshold, Continual, Draws, Honaker, Mechanism, NoiseSource, RawCounts, RawStream,
    ReleasedStream, Scale, Tail, Threshold, Toeplitz, keep_probability,
};
pub use mode::Mode;
pub use model::ModelKind;
pub use opening::{Found, Opening, lack};
pub use prior::{
    CampaignSums, CellSums, ConversionRates, Estimate, Prior, PriorBounds, PriorLogits, Releases,
};
pub use release::LedgerStatus;
pub use segments::{JoinSegment, Segment, SegmentSize, SegmentSizes, USERS_MIN};
pub use stop::{Stop, Why};
pub use zcdp::{delta, epsilon, epsilon_with_pure};
