//! Sessions in the state folder: sealed, saved now and then and at the end, read at the start.
//!
//! What was saved is back after a crash, and what came later is in the behaviour log, which a start
//! applies to it. A file that is damaged, of another version or key, or older than the last that was
//! saved is put aside, and sessions begin anew, with what that log still has: half of them would be caps
//! that hold for some, which nobody could tell from a fault.

use crate::clock::{Civil, Mono};
use crate::config::Config;
use crate::hash;
use crate::privacy::magnitude;
use crate::server::behaviour_log::BehaviourLog;
use crate::server::behaviour_replay::Covered;
use crate::server::forgotten::Forgotten;
use crate::server::keys::Keys;
use crate::session::{self, Aliases, Restorer, SessionShard, SessionTable};
use crate::store::{Head, SealKey, SealedError, SealedReader, SealedWriter};
use crate::units::Timestamp;
use actix::Addr;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::UNIX_EPOCH;

/// Sessions within the state folder.
pub const SESSIONS_FILE: &str = "sessions.outbid";
/// What the file holds, in its version.
const KIND: u64 = hash::mix(0x7365_7373_696f_6e01);

/// Why saved sessions were refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The file as such.
    #[error("{0}")]
    Sealed(#[from] SealedError),
    /// What it holds.
    #[error("{0}")]
    Malformed(#[from] session::Malformed),
    /// A copy of before.
    #[error("it is saving {found}, and saving {last} was the last: an older copy came back")]
    Older {
        /// Its number.
        found: u64,
        /// The last one's.
        last: u64,
    },
}

/// How a start found saved sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Sessions,
    /// A file that was refused, and put aside.
    Refused,
}

/// The tables of users.
#[derive(Clone)]
pub struct Users {
    /// Their sessions.
    pub sessions: Arc<SessionTable>,
    /// Ids that are one user; none where nobody may join them.
    pub aliases: Option<Arc<Aliases>>,
}

/// The tables of users, and where they are saved.
pub struct SavedSessions {
    saver: Arc<Saver>,
    /// Whether anything is kept.
    is_kept: bool,
    /// What the start found in the saved sessions.
    covered: Option<Covered>,
    every_s: u64,
    last: Mutex<(Mono, Option<JoinHandle<()>>)>,
}

struct Saver {
    users: Users,
    file: PathBuf,
    key: SealKey,
    boot: u32,
    /// Digest of the sequence model, 0 for none.
    model: u64,
    civil: Civil,
    forgotten: Arc<Forgotten>,
    /// Milliseconds that a file that was refused is kept.
    refused_keep_ms: i64,
    metrics: SessionMetrics,
}

/// How the start went and what became of savings, read when somebody looks.
#[derive(Clone, Debug)]
pub struct SessionMetrics {
    found: Found,
    restored: u64,
    done: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
    millis: Arc<AtomicU64>,
}

impl SavedSessions {
    /// The tables that `make` makes, with what the state folder has for them. `model` is the digest of
    /// the sequence model, 0 for none.
    pub fn open(
        (config, keys): (&Config, &Keys),
        (civil, is_kept): (&Civil, bool),
        forgotten: Arc<Forgotten>,
        model: u64,
        make: impl Fn() -> Users,
    ) -> Self {
        let file = config.paths.state.join(SESSIONS_FILE);
        let seal_keys = seal_keys(config, keys);
        let mut users = make();
        let read = |users: &Users| read(&file, &seal_keys, users, (model, civil), &forgotten);
        let restored = if is_kept { read(&users) } else { Ok(None) };
        let (found, restored, covered) = match restored {
            Ok(None) => (Found::Nothing, 0, None),
            Ok(Some((restored, covered))) => (Found::Sessions, restored, Some(covered)),
            Err(error) => {
                put_aside(&file, &error);
                // What was taken from it before the fault was seen is dropped with the tables.
                users = make();
                (Found::Refused, 0, None)
            }
        };
        let [done, failed, bytes, millis] = std::array::from_fn(|_| Arc::default());
        let metrics = SessionMetrics { found, restored, done, failed, bytes, millis };
        let [key, ..] = seal_keys;
        let boot = keys.boot;
        let saver = Saver {
            users,
            file,
            key,
            boot,
            model,
            civil: civil.clone(),
            forgotten,
            refused_keep_ms: i64::from(config.session.idle_s) * 1_000,
            metrics,
        };
        Self {
            saver: Arc::new(saver),
            is_kept,
            covered,
            every_s: config.session.save_every_s.into(),
            last: Mutex::new((Mono::now(), None)),
        }
    }

    /// The tables.
    pub fn users(&self) -> Users {
        self.saver.users.clone()
    }

    /// What of the behaviour log is in what the start found.
    pub const fn covered(&self) -> Option<Covered> {
        self.covered
    }

    /// How the start went and what became of savings.
    pub fn metrics(&self) -> SessionMetrics {
        self.saver.metrics.clone()
    }

    /// Saves on a thread of its own if it is time to, and the time before has ended; with what
    /// `journal` has, and what is on its way to `shards`.
    pub fn tick(
        &self,
        journal: &Arc<BehaviourLog>,
        shards: impl FnOnce() -> Vec<Addr<SessionShard>>,
    ) {
        let mut last = self.last.lock();
        let now = Mono::now();
        let is_due = now.nanos_since(last.0) / 1_000_000_000 >= self.every_s;
        let is_busy = last.1.as_ref().is_some_and(|thread| !thread.is_finished());
        if !self.is_kept || !is_due || is_busy || self.every_s == 0 {
            return;
        }
        let (saver, journal, shards) = (self.saver.clone(), journal.clone(), shards());
        let spawned = std::thread::Builder::new().name("sessions".to_owned());
        *last = (now, spawned.spawn(move || saver.save(&journal, &shards)).ok());
    }

    /// Saves at the end, when nobody writes sessions any more.
    pub fn finish(&self, journal: &BehaviourLog) {
        if !self.is_kept {
            return;
        }
        let before = self.last.lock().1.take();
        // A thread that panicked has saved nothing; this saves all the same.
        let _ = before.map(JoinHandle::join);
        self.saver.save(journal, &[]);
    }
}

/// The keys that seal what is remembered of users: the first seals.
pub fn seal_keys(config: &Config, keys: &Keys) -> [SealKey; 2] {
    let key = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).ok();
    let mut named = config.session.seal_keys.iter().filter_map(|secret| key(secret.bytes()));
    let first = named.next();
    // What was sealed by the folder's own key is still opened where another has come.
    let second = named.next().unwrap_or(keys.seal_key);
    [SealKey::new(first.unwrap_or(keys.seal_key)), SealKey::new(second)]
}

fn read(
    file: &Path,
    keys: &[SealKey],
    users: &Users,
    (model, civil): (u64, &Civil),
    forgotten: &Forgotten,
) -> Result<Option<(u64, Covered)>, Refused> {
    let began = Mono::now();
    let Some(mut reader) = SealedReader::open(file, keys, KIND)? else { return Ok(None) };
    let Head { sequence: saving, at, .. } = *reader.head();
    let mut restorer = Restorer {
        table: &users.sessions,
        aliases: users.aliases.as_deref(),
        model,
        now: civil.now(),
        is_forgotten: &|user| forgotten.concerns(user, saving),
        sessions: 0,
        forgotten: 0,
        keeps_states: false,
        journaled: 0,
    };
    while let Some(piece) = reader.next()? {
        restorer.take(&piece)?;
    }
    let last = forgotten.last_saving();
    if saving < last {
        return Err(Refused::Older { found: saving, last });
    }
    forgotten.found_saving(saving);
    let (sessions, forgotten) = (restorer.sessions, restorer.forgotten);
    let took_ms = Mono::now().nanos_since(began) / 1_000_000;
    tracing::info!(sessions, forgotten, took_ms, "sessions go on where they were saved");
    let covered = Covered { journaled: restorer.journaled, at };
    Ok(Some((sessions, covered)))
}

fn put_aside(file: &Path, error: &Refused) {
    let aside = file.with_extension("refused");
    let moved = std::fs::rename(file, &aside);
    let (file, aside) = (file.display(), aside.display());
    tracing::error!(%error, %file, %aside, ?moved, "saved sessions are refused, and begin anew");
}

/// When a file was written last, if there is one.
pub fn written(file: &Path) -> Option<Timestamp> {
    let since = std::fs::metadata(file).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(Timestamp)
}

impl Saver {
    fn save(&self, journal: &BehaviourLog, shards: &[Addr<SessionShard>]) {
        let began = Mono::now();
        let metrics = &self.metrics;
        let counter = match self.write(journal, shards) {
            Ok(bytes) => {
                let took_ms = Mono::now().nanos_since(began) / 1_000_000;
                metrics.bytes.store(bytes, Ordering::Relaxed);
                metrics.millis.store(took_ms, Ordering::Relaxed);
                &metrics.done
            }
            Err(error) => {
                tracing::warn!(%error, "sessions were not saved: those of before stay");
                &metrics.failed
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let aside = self.file.with_extension("refused");
        if written(&aside)
            .is_some_and(|at| self.civil.now().millis_since(at) > self.refused_keep_ms)
        {
            let removed = std::fs::remove_file(&aside);
            tracing::info!(file = %aside.display(), ?removed, "a refused file has had its time");
        }
    }

    fn write(&self, journal: &BehaviourLog, shards: &[Addr<SessionShard>]) -> anyhow::Result<u64> {
        // Before the cut: who is forgotten from there on may be in it.
        let sequence = self.forgotten.begin_saving();
        let Users { sessions, aliases } = &self.users;
        let cut = journal.cut(shards, |journaled| sessions.cut(journaled, self.civil.now()))?;
        let head = Head { kind: KIND, boot: self.boot, sequence, at: cut.at };
        let mut writer = SealedWriter::begin(&self.file, &self.key, &head);
        let walked =
            session::save((sessions, aliases.as_deref()), &cut, self.model, &mut |piece| {
                // A file that could not be begun is an error after the walk.
                writer.as_mut().map_or(Ok(()), |writer| writer.add(piece))
            });
        let writer = writer?;
        walked?;
        let bytes = writer.finish()?;
        self.forgotten.end_saving(sequence)?;
        journal.saved(&cut)?;
        Ok(bytes)
    }
}

impl Collector for SessionMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let help = "Savings of sessions since the start";
        let mut family =
            encoder.encode_descriptor("session_saves", help, None, MetricType::Counter)?;
        for (outcome, count) in [("done", &self.done), ("failed", &self.failed)] {
            let count = count.load(Ordering::Relaxed);
            let labels = [("outcome", outcome)];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let help = "1 at what the start found in the saved sessions' place";
        let mut family =
            encoder.encode_descriptor("sessions_found", help, None, MetricType::Gauge)?;
        for (label, found) in [
            ("nothing", Found::Nothing),
            ("sessions", Found::Sessions),
            ("refused", Found::Refused),
        ] {
            let is_it = u64::from(self.found == found);
            family.encode_family(&[("found", label)])?.encode_gauge(&is_it)?;
        }
        let [bytes, millis] =
            [&self.bytes, &self.millis].map(|count| count.load(Ordering::Relaxed));
        for (name, help, value) in [
            ("sessions_restored", "Sessions that the start brought back", magnitude(self.restored)),
            ("session_save_bytes", "Bytes of the last saving", magnitude(bytes)),
            ("session_save_millis", "Milliseconds that the last saving took", millis),
        ] {
            let gauge = ConstGauge::new(value);
            let family = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(family)?;
        }
        Ok(())
    }
}
