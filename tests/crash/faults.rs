//! Faults below the server: its syncs are slow or fail, its clock is set, it dies at a sync. By a
//! library that the test compiles and loads before the server's own (`faults.c`).

use crate::common::{Process, Site};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

/// The orders, in the order of `faults.c`.
#[derive(Clone, Copy)]
pub enum Order {
    SyncMs,
    SyncFails,
    ClockMs,
    DiesAt,
    EventsFail,
    Syncs,
    BehaviourFails,
    BehaviourMs,
}

/// What the servers of a site suffer.
pub struct Faults {
    library: PathBuf,
    orders: PathBuf,
    file: File,
}

impl Faults {
    /// None yet; `None` where there is no compiler, or no such loader.
    pub fn of(site: &Site) -> Option<Self> {
        let (library, orders) = (site.folder().join("faults.so"), site.folder().join("faults"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/faults.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
        if !cfg!(target_os = "linux") || !compiler.status().is_ok_and(|status| status.success()) {
            println!("skipped: no library of faults can be made here");
            return None;
        }
        std::fs::write(&orders, [0; 64]).expect("written");
        let file = File::options().read(true).write(true).open(&orders).expect("opened");
        Some(Self { library, orders, file })
    }

    /// From now on, also in the process that runs.
    pub fn set(&self, order: Order, value: i64) {
        let at = order as u64 * 8;
        self.file.write_all_at(&value.to_ne_bytes(), at).expect("written");
    }

    /// Syncs of the ledger that have begun.
    pub fn syncs(&self) -> i64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, Order::Syncs as u64 * 8).expect("read");
        i64::from_ne_bytes(bytes)
    }

    /// The command that starts a server that suffers them.
    pub fn command(&self, site: &Site) -> Command {
        let mut command = Process::command(site);
        command.env("LD_PRELOAD", &self.library).env("OUTBID_TEST_FAULTS", &self.orders);
        command
    }
}
