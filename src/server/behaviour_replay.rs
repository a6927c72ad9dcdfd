//! The behaviour log at a start: whatever the saved sessions do not have is applied once more, without
//! users who asked to be forgotten since. What is damaged is said, counted and passed over: users are
//! then known a little less, and bids go on.

use crate::clock::{Civil, Mono};
use crate::config::Config;
use crate::privacy::magnitude;
use crate::server::behaviour_keys::{Closed, DayKeys, Opener};
use crate::server::behaviour_log::{BehaviourLog, days_of};
use crate::server::forgotten::Forgotten;
use crate::server::keys::Keys;
use crate::server::saved_sessions::{SavedSessions, seal_keys};
use crate::session::{Aliases, Change, Replay, read_changes};
use crate::store::embedded::{Opened, SqliteLog, StoreError, repair};
use crate::store::{Pauses, Position, Record};
use crate::units::{Timestamp, UserKey};
use anyhow::Context as _;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The log within the state folder.
const FILE: &str = "behaviour.db";
/// The keys that seal it, within the state folder.
const KEYS_FILE: &str = "behaviour.key";
/// Milliseconds before a saving from which records are looked at again: shows may have been under way,
/// and who repeats an event does so within minutes.
const BACK_MS: i64 = 600_000;
/// How long the log gathers records: less than a sync takes.
const GATHER: Duration = Duration::from_millis(1);
/// Milliseconds between two words on how far it has come.
const PROGRESS_MS: u64 = 5_000;

/// What is in the saved sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// The last position.
    pub journaled: u64,
    /// When they were saved. A log that was begun anew has no such positions, but later times.
    pub at: Timestamp,
}

/// What a start needs to apply records.
struct Start<'a> {
    /// Opens them.
    keys: &'a DayKeys,
    /// What need not be applied; `None` where no sessions were found.
    covered: Option<Covered>,
    /// Whose records are passed over.
    forgotten: &'a Forgotten,
    /// Where they go.
    replay: Replay<'a>,
    /// Ids that are one user.
    aliases: Option<&'a Aliases>,
    /// The present.
    civil: &'a Civil,
}

/// How that went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replayed {
    records: u64,
    events: u64,
    shows: u64,
    joins: u64,
    forgotten: u64,
    no_key: u64,
    damaged: u64,
    took_ms: u64,
}

/// Takes the log in `state` for this process, without what is damaged in it.
///
/// # Errors
/// It is in use, or of a later version, or the folder cannot be written.
pub fn take(state: &Path) -> Result<Opened, StoreError> {
    let file = state.join(FILE);
    match Opened::open(&file) {
        Err(damage @ StoreError::Damaged { .. }) => {
            salvage(&file, &damage)?;
            Opened::open(&file)
        }
        opened => opened,
    }
}

/// Applies what the log has to the sessions that were found, and begins to write it; one that keeps
/// nothing where none was taken.
///
/// # Errors
/// What keeps the log or its keys from being written at all, in words for a person.
pub fn open(
    taken: Option<Opened>,
    (config, keys, civil): (&Config, &Keys, &Civil),
    (sessions, forgotten, replay): (&SavedSessions, &Forgotten, Replay<'_>),
) -> anyhow::Result<(BehaviourLog, Replayed)> {
    let Some(opened) = taken else { return Ok((BehaviourLog::nothing(), Replayed::default())) };
    let state = &config.paths.state;
    let keep_days = config.store.behaviour_keep_days;
    let masters = seal_keys(config, keys);
    let file = state.join(KEYS_FILE);
    let days = DayKeys::open(&file, &masters, keys.boot, days_of(keep_days));
    let users = sessions.users();
    let start = Start {
        keys: &days,
        covered: sessions.covered(),
        forgotten,
        replay,
        aliases: users.aliases.as_deref(),
        civil,
    };
    let (log, replayed) = run(opened, &state.join(FILE), &start)?;
    let log = BehaviourLog::new(Arc::new(log), days, (civil.clone(), keys.boot), keep_days);
    let log = log.with_context(|| format!("{} cannot be written", file.display()))?;
    Ok((log, replayed))
}

/// Keeps what comes before the damage, or begins anew where nothing can be read; the old file stays
/// beside.
fn salvage(file: &Path, damage: &StoreError) -> Result<(), StoreError> {
    match repair(file) {
        Ok(Some(repaired)) => {
            let (last, kept_as) = (repaired.last.0, repaired.kept_as.display());
            tracing::error!(%damage, last, %kept_as, "the behaviour log goes on from its last sound record");
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(StoreError::Damaged { .. }) => {
            tracing::error!(%damage, "the behaviour log cannot be read, and begins anew");
            for ending in ["", "-wal", "-shm"] {
                let from = named(file, ending);
                let to = named(file, &format!("{ending}.refused"));
                if let Err(error) = std::fs::rename(&from, to)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    return Err(StoreError::Io { file: from, error });
                }
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn named(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Reads `opened`, which is `file`, to its end, and starts its writer.
///
/// # Errors
/// What keeps the log from being read or written at all, in words for a person.
fn run(
    opened: Opened,
    file: &Path,
    start: &Start<'_>,
) -> Result<(SqliteLog, Replayed), StoreError> {
    let now = start.civil.now();
    start.aliases.iter().for_each(|aliases| start.replay.settle(aliases, now));
    let from = match start.covered {
        None => Position(1),
        Some(Covered { journaled, at }) => {
            let next = Position(journaled.saturating_add(1));
            // Where damage is in the way it is met in its order, from the beginning.
            let recent = opened.first_since(at.plus_millis(-BACK_MS)).unwrap_or(Some(Position(1)));
            recent.map_or(next, |recent| recent.min(next))
        }
    };
    let pauses = Pauses {
        gather: if start.civil.is_simulated() { Duration::ZERO } else { GATHER },
        ..Pauses::default()
    };
    let mut reading = Reading::of(start);
    let started = opened.start(start.civil.clone(), pauses, from, &mut |one| reading.take(one));
    let log = match started {
        Err(damage @ StoreError::Damaged { .. }) => {
            salvage(file, &damage)?;
            // What was sound was applied before the damage was met.
            let from = Position(reading.last.0 + 1);
            let opened = Opened::open(file)?;
            opened.start(start.civil.clone(), pauses, from, &mut |one| reading.take(one))?
        }
        started => started?,
    };
    Ok((log, reading.ended()))
}

struct Reading<'a> {
    start: &'a Start<'a>,
    opener: Opener,
    last: Position,
    done: Replayed,
    began: Mono,
    said: Mono,
}

impl<'a> Reading<'a> {
    fn of(start: &'a Start<'a>) -> Self {
        let (opener, now) = (start.keys.opener(), Mono::now());
        let (last, done) = (Position(0), Replayed::default());
        Self { start, opener, last, done, began: now, said: now }
    }

    fn take(&mut self, record: &Record) {
        // After damage the last one is read again.
        if record.position <= self.last {
            return;
        }
        self.last = record.position;
        self.done.records += 1;
        let piece = self.opener.open(&record.body);
        match piece.map(|piece| read_changes(&piece)) {
            Ok(Ok(changes)) => changes.iter().for_each(|change| self.apply(change, record)),
            // Of what is in the saved sessions a key may go, and nothing is lost.
            Err(Closed::NoKey) => self.done.no_key += u64::from(!self.is_covered(record)),
            Ok(Err(_)) | Err(Closed::Damaged) => {
                self.done.damaged += 1;
                if self.done.damaged == 1 {
                    let position = record.position.0;
                    tracing::error!(
                        position,
                        "a record of the behaviour log is not as it was sealed"
                    );
                }
            }
        }
        let now = Mono::now();
        if now.nanos_since(self.said) > PROGRESS_MS * 1_000_000 {
            self.said = now;
            tracing::info!(position = record.position.0, "the behaviour log is being applied");
        }
    }

    fn apply(&mut self, change: &Change, record: &Record) {
        let is_forgotten =
            |user: UserKey, at: Timestamp| self.start.forgotten.is_forgotten_since(user, at);
        let is_passed_over = match change {
            Change::Event(event) => is_forgotten(event.user, record.at),
            // A wish waits for events that are on their way to the log, and not for shows.
            Change::Show(show) => is_forgotten(show.user, show.at),
            Change::Join(join) => join.ids.iter().any(|user| is_forgotten(*user, record.at)),
        };
        if is_passed_over {
            self.done.forgotten += 1;
            return;
        }
        if self.is_covered(record) {
            return self.start.replay.recall(change, record.at);
        }
        self.start.replay.apply(change, record.at);
        *match change {
            Change::Event(_) => &mut self.done.events,
            Change::Show(_) => &mut self.done.shows,
            Change::Join(_) => &mut self.done.joins,
        } += 1;
    }

    /// Whether the saved sessions have it.
    fn is_covered(&self, record: &Record) -> bool {
        let has =
            |covered: Covered| record.position.0 <= covered.journaled && record.at <= covered.at;
        self.start.covered.is_some_and(has)
    }

    fn ended(mut self) -> Replayed {
        self.done.took_ms = Mono::now().nanos_since(self.began) / 1_000_000;
        let Replayed { no_key, damaged, took_ms, .. } = self.done;
        let counts = [self.done.records, self.done.events, self.done.shows, self.done.joins];
        // Of what users did not even a log line has more.
        let [records, events, shows, joins] = counts.map(magnitude);
        let forgotten = magnitude(self.done.forgotten);
        tracing::info!(
            records,
            events,
            shows,
            joins,
            forgotten,
            no_key,
            damaged,
            took_ms,
            "the behaviour log is applied"
        );
        if no_key + damaged > 0 {
            tracing::error!(no_key, damaged, "records of the behaviour log say nothing any more");
        }
        self.done
    }
}

impl Collector for Replayed {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let help = "What the start applied once more";
        let name = "behaviour_log_replayed";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (what, count) in [("events", self.events), ("shows", self.shows), ("joins", self.joins)]
        {
            let shown = magnitude(count);
            if shown > 0 {
                family.encode_family(&[("what", what)])?.encode_gauge(&shown)?;
            }
        }
        let help = "Records that the start passed over";
        let name = "behaviour_log_passed_over";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (why, count) in [("no_key", self.no_key), ("damaged", self.damaged)] {
            family.encode_family(&[("why", why)])?.encode_gauge(&count)?;
        }
        let gauge = ConstGauge::new(self.took_ms);
        let help = "Milliseconds that the start took to apply it";
        let kind = gauge.metric_type();
        gauge.encode(encoder.encode_descriptor("behaviour_log_replay_millis", help, None, kind)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{
        Behaviour, Changes, ConfirmShow, Event, SessionConfig, SessionTable, ShardMap, ShardState,
    };
    use crate::store::{MemoryConfig, OrderedLog, SealKey};
    use crate::units::{AdvertiserId, CampaignId, CategoryId, CreativeId, HoldId, LeaseId};
    use parking_lot::Mutex;

    const NOON: Timestamp = Timestamp(20_000 * 86_400_000 + 43_200_000);
    const MASTERS: [SealKey; 2] = [SealKey::new([1; 32]), SealKey::new([1; 32])];
    const DAY: i64 = 86_400_000;

    fn event(user: u64, id: u64) -> Event {
        Event {
            id,
            user: UserKey(user),
            kind: Behaviour::View,
            at: NOON,
            advertiser: AdvertiserId(1),
            category: CategoryId(2),
            item: None,
            consent: true,
            pooled: false,
            conversion: None,
        }
    }

    fn show(user: u64, at: Timestamp) -> ConfirmShow {
        let lease = LeaseId { node: 1, core: 0, boot: 1, number: 1 };
        let hold = HoldId { lease, sequence: 1 };
        let (campaign, creative) = (CampaignId(3), CreativeId(4));
        ConfirmShow { user: UserKey(user), campaign, creative, hold, at }
    }

    /// A folder with a log that took these records, each at the time of the clock.
    struct House {
        folder: tempfile::TempDir,
        civil: Civil,
        keys: DayKeys,
        forgotten: Forgotten,
        table: Arc<SessionTable>,
    }

    impl House {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let civil = Civil::simulated(NOON);
            let keys = DayKeys::open(&folder.path().join("keys"), &MASTERS, 3, 1);
            let store = Arc::<MemoryConfig>::default();
            let forgotten = Forgotten::open(store, civil.clone(), 40 * DAY).expect("opened");
            let table = Arc::new(SessionTable::new(SessionConfig::default()));
            Self { folder, civil, keys, forgotten, table }
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join("log")
        }

        fn keep(&mut self, records: Vec<Changes>) {
            let sealing = self.keys.begin(self.civil.now()).expect("a key");
            let log = SqliteLog::open(&self.file(), self.civil.clone(), Pauses::default());
            let log = log.expect("opened");
            for (idem, piece) in (0..).zip(records.into_iter().flat_map(Changes::into_pieces)) {
                let (told, outcome) = std::sync::mpsc::channel();
                let done = Box::new(move |position| told.send(position).expect("heard"));
                log.append(idem, sealing.seal(piece).expect("sealed"), done);
                outcome.recv().expect("told").expect("durable");
            }
        }

        /// Starts over it.
        fn start(&self, covered: Option<Covered>) -> Replayed {
            let map = ShardMap::even(1);
            let state = ShardState::new(self.table.clone(), 0, map.clone());
            let shards = [Arc::new(Mutex::new(state))];
            let start = Start {
                keys: &self.keys,
                covered,
                forgotten: &self.forgotten,
                replay: Replay { map: &map, shards: &shards },
                aliases: None,
                civil: &self.civil,
            };
            let opened = Opened::open(&self.file()).expect("opened");
            run(opened, &self.file(), &start).expect("read").1
        }
    }

    fn of(user: u64, id: u64) -> Changes {
        let mut changes = Changes::default();
        changes.add_event(&event(user, id));
        changes
    }

    /// Shows go to the log by a way of their own, so that one of before a wish may reach it after.
    #[test]
    fn a_show_of_before_a_wish_is_passed_over_whenever_the_log_took_it() {
        let mut house = House::new();
        assert_eq!(house.forgotten.remember(&[UserKey(7)]), Ok(true));
        house.civil.advance(NOON.plus_millis(1_000));
        let (mut before, mut after) = (Changes::default(), Changes::default());
        before.add_show(&show(7, NOON));
        after.add_show(&show(8, NOON));
        house.keep(vec![before, after, of(7, 1)]);
        let done = house.start(None);
        assert_eq!((done.shows, done.events, done.forgotten), (1, 1, 1));
    }

    #[test]
    fn damage_that_a_look_for_the_beginning_meets_is_passed_over_too() {
        let mut house = House::new();
        house.keep((1..=9).map(|number| of(number, number)).collect());
        let broken = rusqlite::Connection::open(house.file()).expect("opened");
        broken.execute("DELETE FROM log WHERE pos = 5", []).expect("deleted");
        drop(broken);
        let at = NOON.plus_millis(-DAY);
        let done = house.start(Some(Covered { journaled: 1, at }));
        assert_eq!(done.events, 4, "those before the damage");
        assert!(house.table.knows(UserKey(4)) && !house.table.knows(UserKey(5)));
    }

    #[test]
    fn a_key_that_went_with_what_was_saved_is_no_loss() {
        let mut house = House::new();
        house.keep(vec![of(1, 1), of(2, 2)]);
        house.keys.renew(NOON).expect("drawn");
        house.keys.destroy_before(NOON).expect("destroyed");
        let no_keys = |journaled| house.start(Some(Covered { journaled, at: NOON })).no_key;
        assert_eq!((no_keys(2), no_keys(1)), (0, 1));
    }
}
