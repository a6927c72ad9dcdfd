//! User sessions, and the ids that lead to them.

use super::secret::Secret;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Ids beyond are gigabytes; fewer than the table's least bound would not be kept to.
const ALIASES: std::ops::RangeInclusive<usize> = 1_024..=50_000_000;

/// Beyond, a session's place has no number; they would be 216 GB.
const SESSIONS_MAX: usize = 1_000_000_000;

/// User sessions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Session {
    /// Hard bound on sessions, at most 1,000,000,000; the least recently used go first.
    pub sessions_max: usize,
    /// Seconds without a touch after which a session is dropped.
    pub idle_s: u32,
    /// Seconds between savings of all sessions; 0 saves them at a graceful end alone.
    pub save_every_s: u32,
    /// The file with the key that seals saved sessions: 32 bytes in base64 or hexadecimal, relative to
    /// the configuration. A second line may hold the key before, which opens and does not seal. Without
    /// it, and without `OUTBID_SESSION_KEY`, the state folder has a key of its own.
    pub key_file: Option<PathBuf>,
    /// The keys, once [`super::Config::load`] has read them; the first seals.
    #[serde(skip)]
    pub seal_keys: Vec<Secret>,
    /// Days after which users get names under a new key; 0 for never.
    pub user_key_days: u32,
    /// Seconds for which who was known under the key before is still found, and moves to the new one.
    /// Then the old key is destroyed.
    pub user_key_grace_s: u32,
    /// Who may say that several ids are one user.
    pub alias_from: AliasFrom,
    /// Ids that are joined to others, at most; the least recently used go first.
    pub alias_max: usize,
    /// Seconds without use after which an id names a user of its own again.
    pub alias_ttl_s: u32,
    /// New joins that one exchange or advertiser may make in a second.
    pub alias_joins_per_s: u32,
}

/// Who may say that several ids are one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AliasFrom {
    /// Events alone, which need a key.
    Events,
    /// Bid requests alone, of exchanges that prove who they are.
    Requests,
    /// Both.
    Both,
    /// Nobody: a user known under several ids is several users.
    Off,
}

impl AliasFrom {
    /// Whether events may.
    #[must_use]
    pub const fn events(self) -> bool {
        matches!(self, Self::Events | Self::Both)
    }

    /// Whether bid requests may.
    #[must_use]
    pub const fn requests(self) -> bool {
        matches!(self, Self::Requests | Self::Both)
    }
}

impl Default for Session {
    fn default() -> Self {
        Self {
            sessions_max: 2_000_000,
            idle_s: 14 * 86_400,
            save_every_s: 300,
            key_file: None,
            seal_keys: Vec::new(),
            user_key_days: 0,
            user_key_grace_s: 30 * 86_400,
            alias_from: AliasFrom::Both,
            alias_max: 1_000_000,
            alias_ttl_s: 30 * 86_400,
            alias_joins_per_s: 1_000,
        }
    }
}

impl Session {
    /// Reads the keys that seal saved sessions, where the environment or a file has them.
    pub(super) fn read_secrets(
        &mut self,
        folder: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        warnings: &mut Vec<String>,
    ) -> Result<(), String> {
        let text = match (env("OUTBID_SESSION_KEY"), &self.key_file) {
            (Some(text), _) => text,
            (None, Some(file)) => super::secret::read(&folder.join(file), warnings)?,
            (None, None) => return Ok(()),
        };
        let keys: Option<Vec<_>> = text.split_whitespace().map(Secret::of_key).collect();
        self.seal_keys = keys
            .filter(|keys| matches!(keys.len(), 1 | 2))
            .ok_or("one or two keys of 32 bytes are needed, in base64 or hexadecimal")?;
        Ok(())
    }

    /// The first wrong key, and why.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        if self.sessions_max > SESSIONS_MAX {
            return Some(("session.sessions_max", format!("it is at most {SESSIONS_MAX}")));
        }
        if !ALIASES.contains(&self.alias_max) {
            let reason = format!("it lies between {} and {}", ALIASES.start(), ALIASES.end());
            return Some(("session.alias_max", reason));
        }
        if self.user_key_days > 0
            && u64::from(self.user_key_grace_s) > u64::from(self.user_key_days) * 86_400
        {
            // Two keys before the newest would have to be tried.
            let reason = "it is longer than user_key_days".to_owned();
            return Some(("session.user_key_grace_s", reason));
        }
        let zero = [
            ("session.alias_ttl_s", self.alias_ttl_s),
            ("session.alias_joins_per_s", self.alias_joins_per_s),
        ];
        let zero = zero.into_iter().find(|(_, value)| *value == 0);
        zero.map(|(key, _)| {
            (key, "it must be positive; alias_from = \"off\" joins none".to_owned())
        })
    }
}
