//! The ledger as bytes, and when it is saved: a start reads the log from there and not from its
//! beginning. A snapshot only saves time; the log alone says what is true.

use super::ledger::Ledger;
use super::view::House;
use crate::store::{OrderedLog, Position, Snapshots};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Version of the encoding. It must grow with every change of what the ledger consists of: a
/// snapshot of another version is passed over, and the log is folded from its beginning.
const VERSION: u8 = 2;
/// Under which key the store keeps it.
pub const SNAPSHOT_KEY: &str = "ledger";

impl Ledger {
    /// All of it as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // It cannot fail: every field has a postcard form and the vector grows. Should it, the lone
        // version byte is a snapshot that every reader passes over.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_else(|_| vec![VERSION])
    }

    /// The ledger of a snapshot at `at`; `None` for any other version and for anything malformed.
    #[must_use]
    pub fn decode(bytes: &[u8], at: Position) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        if version != VERSION {
            return None;
        }
        match postcard::take_from_bytes::<Self>(rest) {
            Ok((ledger, [])) if ledger.position() == at => Some(ledger),
            _ => None,
        }
    }
}

/// The house's numbers in a snapshot: as numbers, where people get text.
pub(super) mod house {
    use super::House;
    use crate::units::Nanos;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Fields = (Nanos, [u64; 5], bool);

    pub(in crate::budget) fn serialize<S: Serializer>(
        house: &House,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        // Whole, so that a new number is not forgotten here.
        let House {
            absorbed,
            absorbed_notices,
            duplicates,
            contradictions,
            forgotten_leases,
            refused,
            is_poisoned,
        } = *house;
        let counts = [absorbed_notices, duplicates, contradictions, forgotten_leases, refused];
        (absorbed, counts, is_poisoned).serialize(serializer)
    }

    pub(in crate::budget) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<House, D::Error> {
        let (absorbed, counts, is_poisoned) = Fields::deserialize(deserializer)?;
        let [absorbed_notices, duplicates, contradictions, forgotten_leases, refused] = counts;
        Ok(House {
            absorbed,
            absorbed_notices,
            duplicates,
            contradictions,
            forgotten_leases,
            refused,
            is_poisoned,
        })
    }
}

/// How often the ledger is saved, and how much of its log is kept.
#[derive(Clone, Copy, Debug)]
pub struct Saving {
    /// Records from one snapshot to the next.
    pub every: u64,
    /// Records of the log to keep; `None` keeps all.
    pub keep: Option<u64>,
}

/// Saves the ledger beside its log.
pub struct Saver {
    snapshots: Arc<dyn Snapshots>,
    log: Arc<dyn OrderedLog>,
    saving: Saving,
    state: Arc<Mutex<State>>,
}

/// The last two snapshots, and whether one is on its way.
#[derive(Default)]
struct State {
    last: Position,
    before: Position,
    is_busy: bool,
}

impl Saver {
    /// Saves into `snapshots`, which has one at `last` already, or none at 0.
    #[must_use]
    pub fn new(
        snapshots: Arc<dyn Snapshots>,
        log: Arc<dyn OrderedLog>,
        saving: Saving,
        last: Position,
    ) -> Self {
        let state = State { last, ..State::default() };
        Self { snapshots, log, saving, state: Arc::new(Mutex::new(state)) }
    }

    /// Saves `ledger` if it is time to: what the caller waits for is a copy of it.
    pub(super) fn offer(&self, ledger: &Ledger) {
        if ledger.position().0 >= self.state.lock().last.0 + self.saving.every {
            drop(self.save(ledger));
        }
    }

    /// Saves `ledger` in any case, unless it is saved already or one is on its way. The answer
    /// comes when that has ended, and says nothing of how.
    pub(super) fn save(&self, ledger: &Ledger) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let at = ledger.position();
        {
            let mut state = self.state.lock();
            if state.is_busy || at == state.last {
                return receiver; // the sender is gone: that is the answer
            }
            state.is_busy = true;
        }
        let ledger = ledger.clone();
        let (snapshots, log) = (Arc::clone(&self.snapshots), Arc::clone(&self.log));
        let (state, keep) = (Arc::clone(&self.state), self.saving.keep);
        let spawned = std::thread::Builder::new().name("snapshot".to_owned()).spawn(move || {
            let bytes = ledger.encode();
            // Freed on this thread too: it may be large.
            drop(ledger);
            let done = move |outcome: Result<(), _>| {
                let mut state = state.lock();
                state.is_busy = false;
                match outcome {
                    Ok(()) => {
                        state.before = std::mem::replace(&mut state.last, at);
                        if let Some(keep) = keep {
                            let upto = log.head().0.saturating_sub(keep).min(state.before.0);
                            log.trim(Position(upto));
                        }
                    }
                    Err(error) => tracing::warn!(%error, "the next start will take longer"),
                }
                // Nobody may be waiting.
                let _ = sender.send(());
            };
            snapshots.save(SNAPSHOT_KEY, at, bytes.into(), Box::new(done));
        });
        if let Err(error) = spawned {
            self.state.lock().is_busy = false;
            tracing::warn!(%error, "there is no thread to save the ledger with");
        }
        receiver
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{
        AdjustReason, Budget, Command, DayNumber, Due, Flight, Held, LeaseOp, Notice, Outcome,
        Purpose, Windows, apply,
    };
    use crate::clock::Civil;
    use crate::store::{MemoryLog, NotSaved, Record, Saved};
    use crate::units::{AdvertiserId, CampaignId, HoldId, LeaseId, Micros, Nanos, Timestamp};
    use bytes::Bytes;

    fn ledger_at(position: u64) -> Ledger {
        let mut ledger = Ledger::default();
        for position in 1..=position {
            let (body, idem) = (Command::Expire.encode(), u128::from(position));
            let at = Timestamp(0);
            let record = Record { position: Position(position), at, idem, body };
            ledger.fold(&record).expect("folded");
        }
        ledger
    }

    #[test]
    fn a_snapshot_of_another_version_or_position_is_passed_over() {
        let ledger = ledger_at(3);
        let bytes = ledger.encode();
        assert_eq!(Ledger::decode(&bytes, Position(3)), Some(ledger));
        assert_eq!(Ledger::decode(&bytes, Position(2)), None);
        let newer = [&[VERSION + 1], &bytes[1..]].concat();
        let longer = [&bytes[..], &[0]].concat();
        for bad in [&b""[..], &newer, &longer, &bytes[..bytes.len() - 1]] {
            assert_eq!(Ledger::decode(bad, Position(3)), None);
        }
    }

    /// Who changes what the ledger consists of lets VERSION grow, or old snapshots are misread.
    #[test]
    fn the_encoding_is_that_of_its_version() {
        let mut ledger = ledger_at(1);
        let (campaign, day) = (CampaignId(1), DayNumber(20_000));
        let flight = Flight { first: day, last: day, bound: Nanos(900) };
        let budget = Budget { flights: vec![flight], ..Budget::daily(Nanos(1_000)) };
        let lease = LeaseId { node: 1, core: 2, boot: 3, number: 4 };
        let open = LeaseOp::Open { campaign, day, purpose: Purpose::Serve, asked: Nanos(600) };
        let windows = Windows { decision_ttl_ms: 10_000, billing_window_ms: 50_000 };
        let hold = HoldId { lease, sequence: 5 };
        let due = Due::of(Timestamp(0), windows);
        let held = Held { hold, campaign, day, due, price: Micros(200) };
        let key = "refund".to_owned();
        let reason = AdjustReason::Goodwill;
        let commands = [
            Command::SetCampaign {
                campaign,
                advertiser: AdvertiserId(9),
                budget,
                from: day,
                edition: 7,
            },
            Command::Lease { lease, step: 0, op: open },
            Command::settle(&held, Micros(100), Notice::Billing),
            Command::Adjust { campaign, day, amount: Nanos(-10), reason, key },
            Command::HolderLost { node: 1, core: None, boot_upto: 3, window_ms: 1_000 },
        ];
        for command in &commands {
            let outcome = apply(&mut ledger, Timestamp(1), command);
            assert!(!matches!(outcome, Outcome::Refused(_)), "{command:?}: {outcome:?}");
        }
        let bytes = ledger.encode();
        assert_eq!((VERSION, bytes.len(), crc32fast::hash(&bytes)), (2, 208, 2_733_451_530));
    }

    /// Keeps what it is given, and fails when told to.
    #[derive(Default)]
    struct Shelf {
        saved: Mutex<Vec<(Position, Bytes)>>,
        is_full: Mutex<bool>,
    }

    impl Snapshots for Shelf {
        fn save(&self, _: &str, at: Position, bytes: Bytes, done: Saved) {
            if *self.is_full.lock() {
                return done(Err(NotSaved { reason: "no room".to_owned() }));
            }
            self.saved.lock().push((at, bytes));
            done(Ok(()));
        }

        fn load(&self, _: &str) -> Vec<(Position, Bytes)> {
            self.saved.lock().iter().rev().cloned().collect()
        }
    }

    #[test]
    fn the_ledger_is_saved_every_so_often_and_its_log_kept_from_the_older_snapshot_on() {
        let clock = Civil::simulated(Timestamp(0));
        let log = Arc::new(MemoryLog::open(clock).expect("a thread"));
        for idem in 0..30 {
            let (sender, receiver) = std::sync::mpsc::channel();
            let done = move |outcome| sender.send(outcome).expect("the test waits");
            log.append(idem, Bytes::new(), Box::new(done));
            receiver.recv().expect("completed").expect("in the log");
        }
        let shelf = Arc::new(Shelf::default());
        let saving = Saving { every: 10, keep: Some(5) };
        let saver = Saver::new(shelf.clone(), log.clone(), saving, Position(0));
        saver.offer(&ledger_at(9));
        assert!(saver.save(&Ledger::default()).blocking_recv().is_err(), "nothing to save");
        assert_eq!(shelf.load("").len(), 0, "too early");
        let first = |log: &MemoryLog| match log.tail(Position(1)) {
            Ok(_) => 1,
            Err(trimmed) => trimmed.first.0,
        };
        for (at, kept_from) in [(10, 1), (20, 11), (30, 21)] {
            saver.save(&ledger_at(at)).blocking_recv().expect("saved");
            assert_eq!(first(&log), kept_from, "after the snapshot at {at}");
        }
        let (at, bytes) = shelf.load("").swap_remove(0);
        assert_eq!(Ledger::decode(&bytes, at), Some(ledger_at(30)));
        *shelf.is_full.lock() = true;
        saver.save(&ledger_at(40)).blocking_recv().expect("it has ended");
        *shelf.is_full.lock() = false;
        saver.save(&ledger_at(40)).blocking_recv().expect("it may be tried again");
        assert_eq!(shelf.load("").len(), 4);
    }
}
