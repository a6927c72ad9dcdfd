//! What a server keeps, opened and read before it listens: the ledger's log with the ledger that it
//! leads to, the privacy ledger, the log of events with the orders that were counted, and what was changed
//! over the API. The behaviour log is taken here, and read when there are sessions to apply it to.

use crate::budget::{Ledger, SNAPSHOT_KEY, Saver, Saving};
use crate::clock::{Civil, Mono};
use crate::config::{Config, Store, StoreKind};
use crate::notice::entry::{Entry, Order};
use crate::server::behaviour_replay;
use crate::server::event_log::ENTRIES_MAX;
use crate::server::privacy_ledger::{PRIVACY_FILE, PrivacyLedger};
use crate::store::embedded::{Opened, SqliteConfig, SqliteLog};
use crate::store::{
    ConfigStore, Faults, MemoryConfig, MemoryLog, OrderedLog, Pauses, Position, Record,
};
use crate::units::HoldId;
use anyhow::Context as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Milliseconds for which the log gathers appends. Nobody waits for the answer to a notice, and a
/// lease asks for more while a quarter of a second's money is left.
const LOG_GATHER_MS: u64 = 2;

/// How long the event log gathers entries: nobody waits for them, and a tenth of a second of them
/// may be lost.
const EVENTS_GATHER: Duration = Duration::from_millis(10);

/// Logs that are open, and what they led to.
pub struct Stores {
    /// The ledger's log.
    pub ledger_log: Arc<dyn OrderedLog>,
    /// The log of events.
    pub events_log: Arc<dyn OrderedLog>,
    /// The privacy ledger; `None` in memory.
    pub privacy: Option<PrivacyLedger>,
    /// What was changed over the API.
    pub settings: Arc<dyn ConfigStore>,
    /// Users who asked to be forgotten, and which saving of sessions was the last.
    pub forgotten: Arc<dyn ConfigStore>,
    /// The ledger as of its log.
    pub ledger: Ledger,
    /// What saves the ledger, where that has a use.
    pub saver: Option<Saver>,
    /// Milliseconds that events are kept; `None` in memory.
    pub events_keep_ms: Option<i64>,
    /// The behaviour log, taken and not read; `None` in memory.
    pub behaviour: Option<Opened>,
    /// Orders that were counted, and the bids that they are owed to; the oldest first.
    pub orders: Vec<(Order, Option<HoldId>)>,
}

impl Stores {
    /// Logs in memory, but for one that is brought along.
    ///
    /// # Errors
    /// What the operating system says when it has no thread left.
    pub fn in_memory(
        config: &Config,
        civil: &Civil,
        ledger_log: Option<Arc<dyn OrderedLog>>,
    ) -> std::io::Result<Self> {
        let memory = |pauses| MemoryLog::with_faults(civil.clone(), pauses, Faults::default());
        let ledger_log = match ledger_log {
            Some(log) => log,
            None => Arc::new(memory(ledger_pauses(config, civil))?),
        };
        Ok(Self {
            ledger_log,
            events_log: Arc::new(memory(events_pauses())?),
            privacy: None,
            settings: Arc::new(MemoryConfig::default()),
            forgotten: Arc::new(MemoryConfig::default()),
            ledger: Ledger::default(),
            saver: None,
            events_keep_ms: None,
            behaviour: None,
            orders: Vec::new(),
        })
    }

    /// The logs that the configuration names, read to their ends.
    ///
    /// # Errors
    /// A log that is in use, damaged or of a later version, in words for a person.
    pub fn open(config: &Config, civil: &Civil) -> anyhow::Result<Self> {
        if config.store.kind == StoreKind::Memory {
            return Ok(Self::in_memory(config, civil, None)?);
        }
        let state = &config.paths.state;
        let began = Mono::now();
        let pauses = ledger_pauses(config, civil);
        let [ledger_file, events_file] = LOG_FILES.map(|name| state.join(name));
        let (log, ledger, last) = open_ledger(&ledger_file, civil, pauses)?;
        let (events, orders) = open_events(&events_file, civil)?;
        let settings = SqliteConfig::open(&state.join(SETTINGS_FILE))?;
        let forgotten = SqliteConfig::open(&state.join(FORGOTTEN_FILE))?;
        let behaviour = behaviour_replay::take(state)?;
        let privacy = PrivacyLedger::open(&state.join(PRIVACY_FILE), civil, &settings)?;
        let log = Arc::new(log);
        let position = ledger.position().0;
        let took_ms = Mono::now().nanos_since(began) / 1_000_000;
        tracing::info!(position, snapshot = last.0, took_ms, "the logs are read");
        let saver = Saver::new(log.clone(), log.clone(), saving(&config.store), last);
        Ok(Self {
            ledger_log: log,
            events_log: Arc::new(events),
            privacy: Some(privacy),
            settings: Arc::new(settings),
            forgotten: Arc::new(forgotten),
            ledger,
            saver: Some(saver),
            events_keep_ms: Some(i64::from(config.store.events_keep_days) * 86_400_000),
            behaviour: Some(behaviour),
            orders,
        })
    }
}

/// The ledger's log within the state folder.
pub const LEDGER_FILE: &str = "ledger.db";
/// What was changed over the API, within the state folder.
pub const SETTINGS_FILE: &str = "config.db";
/// Who is to be forgotten, within the state folder.
pub const FORGOTTEN_FILE: &str = "forgotten.db";
/// The ledger's log and the log of events.
pub const LOG_FILES: [&str; 2] = [LEDGER_FILE, "events.db"];

fn ledger_pauses(config: &Config, civil: &Civil) -> Pauses {
    // In simulation each answer waits for the log, and there is nothing to gather.
    let gather_ms = if civil.is_simulated() { 0 } else { LOG_GATHER_MS };
    Pauses {
        gather: Duration::from_millis(gather_ms),
        delay: Duration::from_millis(config.budget.log_delay_ms),
    }
}

fn events_pauses() -> Pauses {
    Pauses { gather: EVENTS_GATHER, ..Pauses::default() }
}

fn saving(store: &Store) -> Saving {
    let keep = Some(store.ledger_keep_records).filter(|keep| *keep > 0);
    Saving { every: store.snapshot_every_records, keep }
}

/// The log, the ledger folded to its end, and the position of the snapshot that the fold began with.
fn open_ledger(
    file: &Path,
    civil: &Civil,
    pauses: Pauses,
) -> anyhow::Result<(SqliteLog, Ledger, Position)> {
    let opened = Opened::open(file)?;
    let (first, head) = opened.ends()?.unwrap_or((Position(1), Position(0)));
    let saved = opened.load(SNAPSHOT_KEY);
    if let Some((at, _)) = saved.iter().find(|(at, _)| *at > head) {
        anyhow::bail!(
            "{} ends at position {}, and a snapshot was taken at {}: records are missing; \
             restore the file, or keep what is there by `outbid ledger repair --state {}`",
            file.display(),
            head.0,
            at.0,
            file.parent().unwrap_or(Path::new(".")).display()
        );
    }
    let mut reaching = saved.iter().filter(|(at, _)| at.0 + 1 >= first.0);
    let mut ledger =
        reaching.find_map(|(at, bytes)| Ledger::decode(bytes, *at)).unwrap_or_default();
    let last = ledger.position();
    if last.0 + 1 < first.0 {
        anyhow::bail!(
            "{} begins at position {}, and this version reads none of its {} sound snapshots: start \
             the version that wrote it, or restore the file",
            file.display(),
            first.0,
            saved.len()
        );
    }
    let mut wrong = None;
    let mut fold = |record: &Record| {
        if record.position > last && wrong.is_none() {
            wrong = ledger.fold(record).err();
        }
    };
    let log = opened.start(civil.clone(), pauses, first, &mut fold)?;
    match wrong {
        None => Ok((log, ledger, last)),
        Some(error) => Err(error).with_context(|| format!("{} cannot be folded", file.display())),
    }
}

type Orders = Vec<(Order, Option<HoldId>)>;

/// The log of events, and the orders among those that can be asked for. What is older is not
/// looked at: nothing depends on it.
fn open_events(file: &Path, civil: &Civil) -> anyhow::Result<(SqliteLog, Orders)> {
    let opened = Opened::open(file)?;
    let head = opened.ends()?.map_or(0, |(_, last)| last.0);
    let from = Position((head + 1).saturating_sub(ENTRIES_MAX).max(1));
    let mut orders = Vec::new();
    let log = opened.start(civil.clone(), events_pauses(), from, &mut |record| {
        // An entry of a later version has nothing to say to us.
        let entry = Entry::decode(&record.body);
        if let Some((entry, order)) = entry.and_then(|entry| Some((entry, entry.order?))) {
            orders.push((order, entry.of.map(|of| of.hold)));
        }
    })?;
    Ok((log, orders))
}
