//! Models and policies held against data of others: readers, metrics and values, pure but for the
//! files that they read.
//!
//! What this room promises:
//! * **Bounded.** Files are streamed, packed or not: what is kept of a row is what its metric needs
//!   (at most 12 bytes). A record has at most 1 MiB.
//! * **Wrong data has a place.** Every error names file and line; whoever wants to go on counts and
//!   skips such lines ([`Tolerance`]).
//! * **Reproducible.** What is drawn comes from a seed, and nothing depends on the order of a hash map.

mod bandit;
mod combine;
mod error;
mod input;
mod next;
mod policy;
#[cfg(test)]
mod policy_tests;
mod ranking;
mod split;
mod stream;
mod table;

pub use bandit::{ACTIONS_MAX, Actions, BanditLog, Columns, Decision, Survey, TargetFile};
pub use error::{Error, Tolerance};
pub use input::Position;
pub use next::{RankerRow, next_category};
pub use policy::{Estimate, Estimator, Terms, Value};
pub use ranking::{RankQuality, Ranking, rank_of};
pub use split::{Split, hold_out};
pub use stream::{EVENTS_MAX, EventColumns, Stream, StreamEvent};
pub use table::Dialect;
