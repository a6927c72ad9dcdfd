//! Ports to durable things. The core sees only these.
//!
//! The promise of an [`OrderedLog`]: positions start at 1 and have no gaps; an acknowledged record
//! is at its position for good; one idempotency key is in the log at most once, as long as the log
//! remembers it, whatever is retried; times never go back, over restarts too. What survives a crash
//! is the adapter's word: of [`MemoryLog`] nothing survives its process, which is right for a
//! demonstration, a simulation and tests; of [`embedded::SqliteLog`] everything that was
//! acknowledged. A [`ConfigStore`] keeps values by name, of which the newest counts; [`MemoryConfig`]
//! and [`embedded::SqliteConfig`] stand in the same relation. `conformance` holds every adapter to the same promises.

mod config;
#[cfg(test)]
mod config_tests;
#[cfg(test)]
mod conformance;
pub mod embedded;
mod log;
mod memory;
mod sealed;
mod snapshots;
#[cfg(test)]
mod tests;

pub use config::{ConfigError, ConfigStore, Entry, MemoryConfig, Revision, VALUE_BYTES_MAX};
pub use log::{
    AppendError, BODY_BYTES_MAX, Batch, COMMIT_BOUNDS_US, Done, Health, LogStatus, OrderedLog,
    Position, Record, Tail, Trimmed,
};
pub use memory::{Faults, MemoryLog, Pauses};
pub use sealed::{Head, PIECE_BYTES_MAX, SealKey, SealedError, SealedReader, SealedWriter};
pub use snapshots::{NotSaved, Saved, Snapshots};
