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
            let recent = opened.first_since(at.plus_millis(-BACK_MS))?;
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
            Err(Closed::NoKey) => self.done.no_key += 1,
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
            |user: &UserKey| self.start.forgotten.is_forgotten_since(*user, record.at);
        let is_passed_over = match change {
            Change::Event(event) => is_forgotten(&event.user),
            Change::Show(show) => is_forgotten(&show.user),
            Change::Join(join) => join.ids.iter().any(is_forgotten),
        };
        if is_passed_over {
            self.done.forgotten += 1;
            return;
        }
        let is_covered =
            |covered: Covered| record.position.0 <= covered.journaled && record.at <= covered.at;
        if self.start.covered.is_some_and(is_covered) {
            return self.start.replay.recall(change, record.at);
        }
        self.start.replay.apply(change, record.at);
        *match change {
            Change::Event(_) => &mut self.done.events,
            Change::Show(_) => &mut self.done.shows,
            Change::Join(_) => &mut self.done.joins,
        } += 1;
    }

    fn ended(mut self) -> Replayed {
        self.done.took_ms = Mono::now().nanos_since(self.began) / 1_000_000;
        let Replayed { records, events, shows, joins, forgotten, no_key, damaged, took_ms } =
            self.done;
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
