//! Where the privacy ledger is kept: what this room asks of a log, in its own words.

use serde::{Deserialize, Serialize};

/// Why records were not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotKept {
    /// They may be by now, or not: append the same bytes again later.
    #[error("the privacy ledger takes nothing for now: {0}")]
    Later(String),
    /// Another process has written: this one may not any more.
    #[error("another process writes the privacy ledger: {0}")]
    Fenced(String),
    /// This process can write no more.
    #[error("the privacy ledger is closed to this process: {0}")]
    Never(String),
}

/// How far a ledger came, kept apart from it: a ledger that does not reach its mark is an older copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The UTC day, since 1970.
    pub day: i32,
    /// The position of the day's charge, or of the last commit.
    pub position: u64,
    /// Digest of that record.
    pub digest: u64,
    /// Who wrote it.
    pub owner: u32,
}

/// A log for this ledger alone, and a place for its mark. Calls block until the disk has it; they are
/// made from the release thread.
pub trait Journal: Send {
    /// Appends `bodies` in their order; durable when it returns, at the position that it names for
    /// the last. Bytes that were appended before stay where they were.
    ///
    /// # Errors
    /// [`NotKept`].
    fn append(&mut self, bodies: &[Vec<u8>]) -> Result<u64, NotKept>;

    /// Replaces the mark; durable when it returns.
    ///
    /// # Errors
    /// [`NotKept`].
    fn mark(&mut self, mark: Mark) -> Result<(), NotKept>;

    /// Lets go of the records before `position`, sooner or later.
    fn trim_before(&mut self, position: u64);
}

/// A journal that keeps nothing: for a process whose ledger ends with it.
pub struct Forgetful(u64);

impl Forgetful {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }
}

impl Default for Forgetful {
    fn default() -> Self {
        Self::new()
    }
}

impl Journal for Forgetful {
    fn append(&mut self, bodies: &[Vec<u8>]) -> Result<u64, NotKept> {
        self.0 += bodies.len() as u64;
        Ok(self.0)
    }

    fn mark(&mut self, _: Mark) -> Result<(), NotKept> {
        Ok(())
    }

    fn trim_before(&mut self, _: u64) {}
}
