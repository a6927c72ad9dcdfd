//! The privacy ledger as a log of the store's port: what the privacy room asks of its journal, in the
//! port's words, and how a start reads it.

use crate::clock::Civil;
use crate::privacy::{Books, Found, Journal, KeyFile, Mark, NotKept, Opening, Plan};
use crate::store::embedded::{Opened, StoreError};
use crate::store::{AppendError, ConfigError, ConfigStore, OrderedLog, Pauses, Position};
use crate::units::Timestamp;
use bytes::Bytes;
use ring::digest::{SHA256, digest};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

/// The ledger within the state folder.
pub const PRIVACY_FILE: &str = "privacy.db";
/// The open day's key within the state folder.
pub(super) const KEY_FILE: &str = "privacy.key";
/// The name of the mark among the settings.
pub const MARK_KEY: &str = "privacy.mark";
/// Attempts at a record of unknown outcome, before it waits for the next tick.
const ATTEMPTS_MAX: u32 = 5;

/// The ledger of a state folder, read to its end.
pub struct PrivacyLedger {
    /// Its log; none where the file cannot be used.
    pub log: Option<Arc<dyn OrderedLog>>,
    /// What it leads to.
    pub found: Found,
}

impl PrivacyLedger {
    /// Reads the file, making it where there is none, and its mark among the settings. What cannot be
    /// read stops releases and nothing else.
    ///
    /// # Errors
    /// A file that another process writes.
    pub fn open(
        file: &Path,
        civil: &Civil,
        settings: &dyn ConfigStore,
    ) -> Result<Self, StoreError> {
        let mut books = Books::to_resume();
        let mut damage = None;
        let opened = Opened::open(file).and_then(|opened| {
            opened.start(civil.clone(), Pauses::default(), Position(1), &mut |record| {
                if damage.is_none() {
                    let folded = books.fold(record.position.0, &record.body);
                    let place = record.position.0;
                    damage = folded.err().map(|wrong| format!("position {place}: {wrong}"));
                }
            })
        });
        let log = match opened {
            Ok(log) => Some(Arc::new(log) as Arc<dyn OrderedLog>),
            Err(error @ StoreError::InUse { .. }) => return Err(error),
            Err(error) => {
                damage = Some(error.finding());
                None
            }
        };
        let mark = match mark(settings) {
            Ok(mark) => mark,
            Err(error) => {
                damage.get_or_insert(error);
                None
            }
        };
        Ok(Self { log, found: Found { books, damage, mark } })
    }

    /// Where releases go on, in the process of this owner.
    pub fn opening(
        self,
        plan: &Plan,
        now: Timestamp,
        state: &Path,
        settings: &Arc<dyn ConfigStore>,
        owner: u32,
    ) -> Opening {
        let last = self.found.books.position();
        let journal = LogJournal { log: self.log, settings: settings.clone(), last };
        let key_file = KeyFile::at(state.join(KEY_FILE));
        Opening::of(plan, now, self.found, (Box::new(journal), key_file, owner))
    }
}

/// How far the ledger came, as the settings have it.
///
/// # Errors
/// In words for a person.
pub(super) fn mark(settings: &dyn ConfigStore) -> Result<Option<Mark>, String> {
    let entries = settings.all(MARK_KEY).map_err(|error| error.to_string())?;
    let Some(entry) = entries.into_iter().find(|entry| entry.key == MARK_KEY) else {
        return Ok(None);
    };
    let read = postcard::from_bytes(&entry.value);
    read.map(Some).map_err(|_| "its mark among the settings cannot be read".to_owned())
}

/// A log and settings as a journal.
pub(super) struct LogJournal {
    /// None where the file cannot be used.
    pub log: Option<Arc<dyn OrderedLog>>,
    /// Where the mark is.
    pub settings: Arc<dyn ConfigStore>,
    /// The last position that is ours: records of another owner would stand behind it.
    pub last: u64,
}

impl Journal for LogJournal {
    fn append(&mut self, bodies: &[Vec<u8>]) -> Result<u64, NotKept> {
        let Some(log) = &self.log else {
            return Err(NotKept::Never("its file cannot be used".to_owned()));
        };
        let mut last = self.last;
        for body in bodies {
            let Position(position) = append_one(&**log, body).map_err(not_kept)?;
            // One that was appended before stays where it was.
            if position > last + 1 {
                let stranger = format!("a record stands between {last} and {position}");
                return Err(NotKept::Fenced(stranger));
            }
            self.last = last.max(position);
            last = self.last;
        }
        Ok(last)
    }

    fn mark(&mut self, mark: Mark) -> Result<(), NotKept> {
        let bytes = postcard::to_allocvec(&mark)
            .map_err(|error| NotKept::Never(format!("its mark: {error}")))?;
        let put = self.settings.put(MARK_KEY, Bytes::from(bytes));
        put.map(|_| ()).map_err(|error| match error {
            ConfigError::Refused(_) => NotKept::Later(error.to_string()),
            _ => NotKept::Never(error.to_string()),
        })
    }

    fn trim_before(&mut self, position: u64) {
        if let Some(log) = &self.log {
            log.trim(Position(position.saturating_sub(1)));
        }
    }
}

/// Appends one record, again while its outcome is unknown, and waits for it. Several at once would
/// lose their order where one among them is refused.
fn append_one(log: &dyn OrderedLog, body: &[u8]) -> Result<Position, AppendError> {
    for _ in 0..ATTEMPTS_MAX {
        let (sender, receiver) = channel();
        let done = move |outcome| {
            // The receiver is below, and waits.
            let _ = sender.send(outcome);
        };
        log.append(idem(body), Bytes::copy_from_slice(body), Box::new(done));
        match receiver.recv() {
            Ok(Err(AppendError::Unknown)) | Err(_) => {}
            Ok(outcome) => return outcome,
        }
    }
    Err(AppendError::Unknown)
}

/// No two records are the same bytes: each has its owner, segment and interval, and its content.
fn idem(body: &[u8]) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&digest(&SHA256, body).as_ref()[..16]);
    u128::from_le_bytes(half)
}

fn not_kept(error: AppendError) -> NotKept {
    match error {
        AppendError::Unknown | AppendError::Refused => NotKept::Later(error.to_string()),
        _ => NotKept::Never(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Faults, MemoryConfig, MemoryLog};

    fn journal(faults: Faults) -> LogJournal {
        let civil = Civil::simulated(Timestamp(0));
        let log = MemoryLog::with_faults(civil, Pauses::default(), faults).expect("a thread");
        let settings = Arc::new(MemoryConfig::default());
        LogJournal { log: Some(Arc::new(log)), settings, last: 0 }
    }

    #[test]
    fn a_record_of_unknown_outcome_is_appended_again_and_stands_once() {
        let faults =
            Faults { seed: 3, unknown_ppm: 300_000, duplicate_ppm: 200_000, refuse_ppm: 0 };
        let mut journal = journal(faults);
        let mut last = 0;
        for number in 0..20_u8 {
            let body = vec![number; 9];
            while let Err(error) = journal.append(std::slice::from_ref(&body)) {
                assert!(matches!(error, NotKept::Later(_)), "{error}");
            }
            last += 1;
            assert_eq!(journal.last, last);
        }
    }

    #[test]
    fn records_that_are_refused_now_and_then_keep_their_order() {
        let mut journal = journal(Faults {
            seed: 5,
            unknown_ppm: 100_000,
            duplicate_ppm: 0,
            refuse_ppm: 300_000,
        });
        let bodies: Vec<_> = (0..9_u8).map(|number| vec![number; 7]).collect();
        let mut refusals = 0;
        while let Err(error) = journal.append(&bodies) {
            assert!(matches!(error, NotKept::Later(_)), "{error}");
            refusals += 1;
        }
        assert!(refusals > 0, "the faults came");
        assert_eq!(journal.last, 9);
    }

    #[test]
    fn a_strangers_record_fences_this_process_off() {
        let mut journal = journal(Faults::default());
        assert_eq!(journal.append(&[vec![1], vec![2]]), Ok(2));
        assert_eq!(journal.append(&[vec![1], vec![2]]), Ok(2), "the same again");
        let (sender, receiver) = channel();
        let done = move |outcome| sender.send(outcome).expect("it is waited for");
        let log = journal.log.clone().expect("a log");
        log.append(7, Bytes::from_static(b"stranger"), Box::new(done));
        assert_eq!(receiver.recv(), Ok(Ok(Position(3))));
        assert!(matches!(journal.append(&[vec![3]]), Err(NotKept::Fenced(_))));
    }

    #[test]
    fn a_mark_comes_back() {
        let mut journal = journal(Faults::default());
        assert_eq!(mark(&*journal.settings), Ok(None));
        let last = Mark { day: 20_000, position: 7, digest: u64::MAX, owner: 3 };
        assert_eq!(journal.mark(last), Ok(()));
        assert_eq!(mark(&*journal.settings), Ok(Some(last)));
    }
}
