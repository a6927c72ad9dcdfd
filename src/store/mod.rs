//! Ports to durable things. The core sees only these.
//!
//! The promise of an [`OrderedLog`]: positions start at 1 and have no gaps; an acknowledged record
//! is at its position for good; one idempotency key is in the log at most once, whatever is
//! retried; times never go back. What survives a crash is the adapter's word: [`MemoryLog`] says
//! nothing survives its process, which is right for a demonstration, a simulation and tests.

mod log;
mod memory;
#[cfg(test)]
mod tests;

pub use log::{
    AppendError, BODY_BYTES_MAX, Batch, Done, OrderedLog, Position, Record, Tail, Trimmed,
};
pub use memory::{Faults, MemoryLog, Pauses};
