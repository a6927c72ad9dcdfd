//! The journal folded again.

use crate::budget::{Command, Ledger, Outcome, SNAPSHOT_KEY};
use crate::server::LEDGER_FILE;
use crate::store::embedded::{Reader, open_reader};
use crate::store::{Position, Record};
use anyhow::Context as _;
use std::path::Path;

/// Records between two lines of progress: some seconds of folding.
const PROGRESS_RECORDS: u64 = 250_000;

/// Where the fold begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At nothing, or at the oldest snapshot where the log was trimmed.
    Oldest,
    /// At the newest snapshot.
    Newest,
}

/// A ledger's log, and the snapshots beside it.
pub struct Journal {
    reader: Reader,
    /// Positions of the first and the last record.
    pub ends: Option<(Position, Position)>,
    /// Snapshots that can be read, the oldest first.
    pub snapshots: Vec<Ledger>,
}

/// One record, and what it did.
pub struct Folded<'a> {
    /// The record.
    pub record: &'a Record,
    /// What it says.
    pub command: &'a Command,
    /// What came of it.
    pub outcome: Outcome,
}

impl Journal {
    /// Opens the log in a state folder, also beside the server that writes it.
    pub fn open(state: &Path) -> anyhow::Result<Self> {
        let reader = open_reader(&state.join(LEDGER_FILE))?;
        let ends = reader.ends()?;
        let saved = reader.snapshots(SNAPSHOT_KEY);
        let read = saved.into_iter().filter_map(|(at, bytes)| Ledger::decode(&bytes, at));
        let mut snapshots: Vec<_> = read.collect();
        snapshots.sort_by_key(Ledger::position);
        Ok(Self { reader, ends, snapshots })
    }

    /// The ledger that the fold begins with.
    pub fn base(&self, from: From) -> anyhow::Result<Ledger> {
        let first = self.ends.map_or(1, |(first, _)| first.0);
        let reaches = |ledger: &&Ledger| ledger.position().0 + 1 >= first;
        let found = match from {
            From::Oldest if first == 1 => return Ok(Ledger::default()),
            From::Oldest => self.snapshots.iter().find(reaches),
            From::Newest => self.snapshots.iter().rfind(reaches),
        };
        match found {
            Some(ledger) => Ok(ledger.clone()),
            None if first == 1 => Ok(Ledger::default()),
            None => {
                anyhow::bail!("the log begins at position {first}, and no snapshot leads there")
            }
        }
    }

    /// Folds all records behind `ledger`, and shows each to `seen`.
    pub fn fold(
        &self,
        ledger: &mut Ledger,
        mut seen: impl FnMut(&Ledger, &Folded),
    ) -> anyhow::Result<()> {
        let last = self.ends.map_or(0, |(_, last)| last.0);
        let from = Position(ledger.position().0 + 1);
        for record in self.reader.records(from) {
            let record = record?;
            let folded = ledger.fold(&record);
            let (command, outcome) =
                folded.with_context(|| format!("record {} does not fold", record.position.0))?;
            seen(ledger, &Folded { record: &record, command: &command, outcome });
            if record.position.0 % PROGRESS_RECORDS == 0 {
                eprintln!("{} of {last} records", record.position.0);
            }
        }
        Ok(())
    }
}
