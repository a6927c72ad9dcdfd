//! The port for settings: small values by name, of which the newest counts. Writers are one at a
//! time by the order of their calls, never by comparing revisions: engines promise less of that than
//! they seem to.

use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Longest value: what an engine behind a network takes by default (NATS: 1 MiB, head included).
pub const VALUE_BYTES_MAX: usize = 1_000_000;

/// Grows with each put into a store, over restarts too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A value as it was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// Which put it was.
    pub revision: Revision,
    /// What was put.
    pub value: Bytes,
}

/// Why a store did not do what it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It never will: longer than [`VALUE_BYTES_MAX`].
    #[error("the value is longer than {VALUE_BYTES_MAX} bytes")]
    TooLong,
    /// Nothing is changed; it may be tried again.
    #[error("the store of settings refused: {0}")]
    Refused(String),
    /// It may be there after a restart, or not; until then the store takes nothing.
    #[error("the store of settings failed, restart the server: {0}")]
    Unknown(String),
}

/// Values by name. Names are made of letters, digits and `. _ -`. Calls block until it is done, so
/// they are made from threads that may.
pub trait ConfigStore: Send + Sync {
    /// Puts `value` in the place of what `key` had. Durable when it returns.
    ///
    /// # Errors
    /// [`ConfigError`].
    fn put(&self, key: &str, value: Bytes) -> Result<Revision, ConfigError>;

    /// Lets go of `key`; nothing where there is none. Durable when it returns.
    ///
    /// # Errors
    /// [`ConfigError`].
    fn remove(&self, key: &str) -> Result<(), ConfigError>;

    /// Every value whose key begins with `prefix`, by key.
    ///
    /// # Errors
    /// [`ConfigError`].
    fn all(&self, prefix: &str) -> Result<Vec<Entry>, ConfigError>;
}

/// Settings that end with the process.
#[derive(Default)]
pub struct MemoryConfig {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    // Bounded by who puts: one value a campaign.
    values: BTreeMap<String, (Revision, Bytes)>,
    last: u64,
}

impl ConfigStore for MemoryConfig {
    fn put(&self, key: &str, value: Bytes) -> Result<Revision, ConfigError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(ConfigError::TooLong);
        }
        let mut kept = self.kept.lock();
        kept.last += 1;
        let revision = Revision(kept.last);
        kept.values.insert(key.to_owned(), (revision, value));
        Ok(revision)
    }

    fn remove(&self, key: &str) -> Result<(), ConfigError> {
        self.kept.lock().values.remove(key);
        Ok(())
    }

    fn all(&self, prefix: &str) -> Result<Vec<Entry>, ConfigError> {
        let kept = self.kept.lock();
        let found = kept.values.iter().filter(|(key, _)| key.starts_with(prefix));
        let entry = |(key, (revision, value)): (&String, &(Revision, Bytes))| Entry {
            key: key.clone(),
            revision: *revision,
            value: value.clone(),
        };
        Ok(found.map(entry).collect())
    }
}
