//! The ordered log: the port through which everything that moves money goes.

use crate::units::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
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
/// bound would let one slow reader stop everybody's appends. It ends with the log, where a record
/// cannot be read any more, and where trimming overtakes it.
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

/// How a log is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It takes appends.
    #[default]
    Good,
    /// It takes them, but the last commit took longer than a second, or the present one does.
    Slow,
    /// The disk is full: appends are refused until there is room, which the log sees by itself.
    Full,
    /// The file cannot be written: appends are refused until it can, which the log sees by itself.
    ReadOnly,
    /// A write or sync has failed. What the file holds is not known, so nothing is acknowledged any
    /// more: the process must end and read the file again.
    Poisoned,
    /// A record that was durable cannot be read any more.
    Damaged {
        /// The file that holds it.
        file: PathBuf,
        /// The first record that is not as it was written.
        position: Position,
    },
}

impl Health {
    /// Every label, in the order of the variants.
    pub const LABELS: [&str; 6] = ["good", "slow", "full", "read_only", "poisoned", "damaged"];

    /// Its name in metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Good => Self::LABELS[0],
            Self::Slow => Self::LABELS[1],
            Self::Full => Self::LABELS[2],
            Self::ReadOnly => Self::LABELS[3],
            Self::Poisoned => Self::LABELS[4],
            Self::Damaged { .. } => Self::LABELS[5],
        }
    }

    /// Whether appends are taken.
    #[must_use]
    pub const fn takes(&self) -> bool {
        self.refusal().is_none()
    }

    /// What is said to whoever appends; `None` where appends are taken.
    #[must_use]
    pub const fn refusal(&self) -> Option<AppendError> {
        match self {
            Self::Good | Self::Slow => None,
            Self::Full | Self::ReadOnly => Some(AppendError::Refused),
            Self::Poisoned | Self::Damaged { .. } => Some(AppendError::Closed),
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("takes records"),
            Self::Slow => f.write_str("is slow"),
            Self::Full => f.write_str("has no room on its disk"),
            Self::ReadOnly => f.write_str("cannot be written"),
            Self::Poisoned => f.write_str("failed to write: restart the server"),
            Self::Damaged { file, position } => {
                write!(f, "is damaged at position {} of {}", position.0, file.display())
            }
        }
    }
}

/// Upper bounds of the commits counted in [`LogStatus::commits`], in microseconds; one more counts
/// the longer ones.
pub const COMMIT_BOUNDS_US: [u64; 10] =
    [200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 200_000, 1_000_000, 5_000_000];

/// What a log says of itself, for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStatus {
    /// How it is.
    pub health: Health,
    /// Records that became durable since it was opened.
    pub appends: u64,
    /// Commits by how long they took; not summed up.
    pub commits: [u64; COMMIT_BOUNDS_US.len() + 1],
    /// What all commits took together, in nanoseconds.
    pub commit_nanos: u64,
    /// How long the write that is under way takes already, in nanoseconds; 0 where none is.
    pub lag_nanos: u64,
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

    /// Lets go, sooner or later, of the records that it took before `at`. A log that does not
    /// outlive its process need not.
    fn trim_before(&self, at: Timestamp) {
        let _ = at;
    }

    /// How it is and what it has done. A log that cannot fail says nothing.
    fn status(&self) -> LogStatus {
        LogStatus::default()
    }
}
