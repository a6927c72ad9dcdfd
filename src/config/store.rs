//! Where the server's logs are kept, and how much of them.

use serde::Deserialize;

/// The kinds of store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// SQLite files in the state folder.
    #[default]
    Embedded,
    /// Nothing survives the process.
    Memory,
}

/// Where the server's logs are kept, and how much of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `embedded` or `memory`.
    pub kind: StoreKind,
    /// Records of the ledger's log that are kept at least; 0 keeps all. Whatever a kept snapshot
    /// does not cover is kept in any case.
    pub ledger_keep_records: u64,
    /// Records after which the ledger's state is saved, so that a start reads only those behind it.
    pub snapshot_every_records: u64,
    /// Days that entries of the event log are kept.
    pub events_keep_days: u32,
    /// Days (UTC) after its own for which a record of the behaviour log is kept, sealed under the key
    /// of its day; 0 is until the next saving of sessions has it.
    pub behaviour_keep_days: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            kind: StoreKind::Embedded,
            ledger_keep_records: 0,
            snapshot_every_records: 50_000,
            events_keep_days: 7,
            behaviour_keep_days: 1,
        }
    }
}

impl Store {
    /// The key that is wrong, and why.
    pub(super) fn problem(&self) -> Option<(&'static str, &'static str)> {
        if self.snapshot_every_records == 0 {
            return Some(("store.snapshot_every_records", "it must be positive"));
        }
        (self.events_keep_days == 0).then_some(("store.events_keep_days", "it must be positive"))
    }
}
