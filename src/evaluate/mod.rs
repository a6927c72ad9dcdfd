//! Models and policies held against data of others: readers, metrics and values, pure but for the
//! files that they read.
//!
//! What this room promises:
//! * **Bounded.** Files are streamed, packed or not: what is kept of a row is what its metric needs
//!   (8 bytes of a prediction). A record has at most 1 MiB. Only rows that must be put into the order
//!   of time are held, as features of 12 bytes.
//! * **Wrong data has a place.** Every error names file and line; whoever wants to go on counts and
//!   skips such lines ([`Tolerance`]).
//! * **Reproducible.** What is drawn comes from a seed, and nothing depends on the order of a hash map.

mod bandit;
mod choices;
mod combine;
mod error;
mod example;
mod examples;
#[cfg(feature = "onnx")]
mod imported;
mod input;
mod libsvm;
mod lines;
mod map;
mod metrics;
#[cfg(test)]
mod metrics_tests;
mod next;
mod planted;
mod policy;
#[cfg(test)]
mod policy_tests;
mod private;
mod progressive;
mod ranking;
#[cfg(test)]
mod reader_tests;
mod reward;
mod rows;
mod split;
mod stream;
mod table;
mod vw;

pub use bandit::{ACTIONS_MAX, Actions, BanditLog, Columns, Decision, Survey, TargetFile};
pub use choices::{ChoiceSetting, ChoiceValue, choice_value};
pub use error::{Error, Tolerance};
pub use example::{Example, FEATURES_MAX};
pub use examples::Examples;
#[cfg(feature = "onnx")]
pub use imported::{Imported, Latency, ids_of};
pub use input::Position;
pub use map::{Cross, FeatureMap, Field, Format, Label, Scale, Time};
pub use metrics::{Bin, Metrics, Scored};
pub use next::{RankerRow, next_category};
pub use planted::Planted;
pub use policy::{Estimate, Estimator, Terms, Value};
pub use private::{PrivateModel, PrivateSetting};
pub use progressive::Model;
pub use ranking::{RankQuality, Ranking, rank_of};
pub use reward::RewardModel;
pub use split::{Split, hold_out};
pub use stream::{EVENTS_MAX, EventColumns, Stream, StreamEvent};
pub use table::Dialect;
