//! Listeners, admission, routes: the wiring. Nothing imports it but the command line.
//!
//! What this room promises:
//! * Three listeners apart: exchanges, public, admin; loopback unless configured.
//! * A bid request is taken only below its worker's in-flight limit; what comes above gets an empty
//!   answer at once. Nothing is queued that could be late.
//! * A notice is acknowledged when the log has it.
//! * Every refusal has one clear line for its sender and a counter for the operator.

mod admin;
mod again;
mod alias_metrics;
mod answer;
mod arm_books;
mod assemble;
mod astray;
mod behaviour;
mod behaviour_keys;
mod behaviour_log;
mod behaviour_replay;
mod bid;
mod body;
mod conversions;
mod door;
mod engine;
mod event_log;
mod events;
mod explain;
mod follow;
mod forget;
mod forgotten;
mod keys;
mod learner_metrics;
mod ledger;
mod log_metrics;
mod metrics;
mod notices;
mod post;
mod privacy_ledger;
mod privacy_metrics;
mod privacy_repair;
mod privacy_status;
mod rates;
mod recent;
mod relevance_metrics;
mod report;
#[cfg(feature = "onnx")]
mod reranker;
mod run;
mod saved_model;
mod saved_sessions;
mod searched;
mod segments;
mod shows;
mod simulation;
mod stores;
mod supervised;
mod tick_metrics;
mod user_keys;
mod users;
mod wind_up;
mod worker;

pub use assemble::Parts;
pub use engine::Engine;
pub use event_log::hold_of;
pub use explain::{Asked, Pairs, hold_text};
pub use keys::{FreshKeys, Keys, Scope};
pub use privacy_ledger::{MARK_KEY, PRIVACY_FILE};
pub use privacy_repair::{RepairedPrivacy, repair_privacy};
#[cfg(feature = "onnx")]
pub use reranker::open as open_reranker;
pub use run::{Addresses, Options, Running, start, start_unheard};
pub use stores::{LEDGER_FILE, LOG_FILES, SETTINGS_FILE};
