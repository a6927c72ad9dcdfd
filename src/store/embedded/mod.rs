//! The embedded store: one SQLite file a log and one for settings, nothing to install beside it.
//!
//! What it promises, beyond [`OrderedLog`](crate::store::OrderedLog):
//! - an append completes after the commit that holds it was synced (`synchronous=FULL`); up to
//!   1,024 appends share a commit;
//! - after a crash the file holds every completed record, perhaps some that were under way, and
//!   never one without all before it;
//! - each record and snapshot carries a CRC-32 that is checked on every reading; what is damaged is
//!   refused with file, position and the command that salvages the rest, and never skipped;
//! - a failed write or sync is final for the process: nothing is acknowledged after it, and the file
//!   is never synced again, since the kernel may have dropped what it could not write;
//! - a full or read-only disk refuses appends at once and is tried again every 200 ms;
//! - one process at a time: the lock is on the file beside it that ends in `.lock`.

mod config;
mod error;
mod file;
mod log;
mod meter;
mod reader;
mod repair;
mod rows;
mod snapshots;
mod wal;
mod writer;

#[cfg(test)]
mod tests;

pub use config::{ConfigRepair, SqliteConfig, read_config, repair_config};
pub use error::{Place, StoreError};
pub use log::{Opened, SqliteLog};
pub use reader::{Reader, Records, open_reader};
pub use repair::{Repair, repair, repair_where, set_aside};
