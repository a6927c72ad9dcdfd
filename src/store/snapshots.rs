//! The port for states that a fold has reached, so that the next process need not begin at zero.

use super::log::Position;
use bytes::Bytes;

/// What is called, once, when a snapshot is durable, or could not be made so.
pub type Saved = Box<dyn FnOnce(Result<(), NotSaved>) + Send>;

/// A snapshot was not saved. Nothing is lost: the fold starts from an older one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot was not saved: {reason}")]
pub struct NotSaved {
    /// Why.
    pub reason: String,
}

/// Keeps the last two snapshots of each key.
pub trait Snapshots: Send + Sync {
    /// Keeps `bytes` as the state of `key` after the record at `at`, and tells `done`.
    fn save(&self, key: &str, at: Position, bytes: Bytes, done: Saved);

    /// The snapshots of `key` that are as they were saved, the newest first.
    fn load(&self, key: &str) -> Vec<(Position, Bytes)>;
}
