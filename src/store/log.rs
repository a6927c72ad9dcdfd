//! The ordered log: the port through which everything that moves money goes.

use crate::units::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

/// A record's place in the log: from 1, without gaps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

/// One record, as every reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it is.
    pub position: Position,
    /// When the log took it; never before the record ahead of it.
    pub at: Timestamp,
    /// The key under which it was appended.
    pub idem: u128,
    /// What was appended.
    pub body: Bytes,
}

/// Why an append did not end in a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// It may or may not be in the log: append again under the same key.
    #[error("the outcome of the append is unknown")]
    Unknown,
    /// It is not in the log; it may be tried again.
    #[error("the log refused the append")]
    Refused,
    /// It is not in the log and never will be: longer than [`BODY_BYTES_MAX`].
    #[error("the record is longer than {BODY_BYTES_MAX} bytes")]
    TooLong,
    /// The log is shut.
    #[error("the log is closed")]
    Closed,
}

/// What is called, once, with the outcome of an append: on the log's own thread, or on the
/// caller's where the log refuses at the door.
pub type Done = Box<dyn FnOnce(Result<Position, AppendError>) + Send>;

/// Records that became durable together, in order; never none. All tails share one.
pub type Batch = Arc<[Record]>;

/// Records from a position on, in order, a batch at a time: a reader is woken once for all that
/// the log took at once. Unbounded: it holds references to bodies that the log holds anyway, and a
/// bound would let one slow reader stop everybody's appends.
pub type Tail = UnboundedReceiver<Batch>;

/// Longest body. A command takes tens of bytes; the bound keeps a defect from filling the log.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The records asked for are no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log starts at position {}", first.0)]
pub struct Trimmed {
    /// The oldest position that can be read.
    pub first: Position,
}

/// An append-only log with one order for all.
pub trait OrderedLog: Send + Sync {
    /// Appends `body` under the key `idem` and tells `done` where. A key that is in the log
    /// already gets its old position, and the log stays as it was.
    fn append(&self, idem: u128, body: Bytes, done: Done);

    /// Every record from `from` on, those to come included.
    ///
    /// # Errors
    /// [`Trimmed`] when `from` was trimmed away.
    fn tail(&self, from: Position) -> Result<Tail, Trimmed>;

    /// The last position; 0 in an empty log.
    fn head(&self) -> Position;

    /// Lets go of the records up to and including `upto`, and of their keys.
    fn trim(&self, upto: Position);
}
