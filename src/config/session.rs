//! User sessions, and the ids that lead to them.

use serde::Deserialize;

/// Ids beyond are gigabytes; fewer than the table's least bound would not be kept to.
const ALIASES: std::ops::RangeInclusive<usize> = 1_024..=50_000_000;

/// User sessions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Session {
    /// Hard bound on sessions; the least recently used go first.
    pub sessions_max: usize,
    /// Seconds without a touch after which a session is dropped.
    pub idle_s: u32,
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
            alias_from: AliasFrom::Both,
            alias_max: 1_000_000,
            alias_ttl_s: 30 * 86_400,
            alias_joins_per_s: 1_000,
        }
    }
}

impl Session {
    /// The first wrong key, and why.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        if !ALIASES.contains(&self.alias_max) {
            let reason = format!("it lies between {} and {}", ALIASES.start(), ALIASES.end());
            return Some(("session.alias_max", reason));
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
