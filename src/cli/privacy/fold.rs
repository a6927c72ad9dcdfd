//! The privacy ledger folded again.

use crate::privacy::{Books, Entry, Record};
use crate::server::PRIVACY_FILE;
use crate::store::Position;
use crate::store::embedded::{StoreError, open_reader};
use std::collections::BTreeMap;
use std::path::Path;

/// What an operator may do about damage.
const WAY_OUT: &str = "`outbid privacy repair` keeps what is sound";

/// What one day's records were.
#[derive(Default)]
pub struct Day {
    /// Intervals that were released.
    pub releases: u32,
    /// Runs of mechanisms.
    pub segments: u16,
    /// Processes that wrote of it.
    pub owners: Vec<u32>,
    /// Records without a commit behind them: of a process that died, never shown.
    pub uncommitted: u32,
}

/// A ledger, read as far as its records fit one another.
pub struct Folded {
    /// What they lead to.
    pub books: Books,
    /// Day by day.
    pub days: BTreeMap<i32, Day>,
    /// Positions of the first and the last record; 0 where there is none.
    pub ends: (u64, u64),
    /// The first record that does not fit, and why.
    pub wrong: Option<String>,
}

/// Folds the ledger in a state folder, also beside the server that writes it, and shows the state
/// after each record.
pub fn fold(state: &Path, mut seen: impl FnMut(&Books)) -> anyhow::Result<Folded> {
    let reader = open_reader(&state.join(PRIVACY_FILE)).map_err(|error| match error {
        StoreError::Damaged { .. } => anyhow::anyhow!("{}; {WAY_OUT}", error.finding()),
        error => error.into(),
    })?;
    let ends = reader.ends()?.map_or((0, 0), |(first, last)| (first.0, last.0));
    let mut folded = Folded { books: Books::new(), days: BTreeMap::new(), ends, wrong: None };
    for record in reader.records(Position(1)) {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                folded.wrong = Some(format!("{}; {WAY_OUT}", error.finding()));
                break;
            }
        };
        if let Err(wrong) = folded.books.fold(record.position.0, &record.body) {
            folded.wrong = Some(format!("position {}: {wrong}; {WAY_OUT}", record.position.0));
            break;
        }
        // It was read a moment ago.
        if let Ok(entry) = Entry::decode(&record.body) {
            folded.days.entry(entry.day).or_default().note(&entry);
        }
        seen(&folded.books);
    }
    Ok(folded)
}

impl Day {
    fn note(&mut self, entry: &Entry) {
        if self.owners.last() != Some(&entry.owner) {
            self.owners.push(entry.owner);
        }
        match entry.record {
            Record::DayCharged(_) => {}
            Record::Committed(_) => {
                self.releases += 1;
                self.segments = self.segments.max(entry.segment);
                self.uncommitted = 0;
            }
            _ => self.uncommitted += 1,
        }
    }
}
