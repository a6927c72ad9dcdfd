//! The event log: what happened, in order, for an operator to look up.
//!
//! Entries go through the same asynchronous port as money does, into a log of their own. Nobody
//! waits for them: what matters is acknowledged elsewhere. Two bounds keep strangers from growing
//! or flushing it: its last [`ENTRIES_MAX`] entries are read, and of entries of which nothing
//! came (refusals, repetitions), which anybody can cause, [`IDLE_PER_S_MAX`] a second are written;
//! the others are counted, and their number follows as one entry. So strangers alone need more than
//! half an hour to push an entry out.

use crate::auction::{FindAudits, Published};
use crate::clock::Civil;
use crate::notice::effect::unescape;
use crate::notice::entry::{Entry, Subject};
use crate::server::engine::Engine;
use crate::server::explain::hold_text;
use crate::store::{AppendError, OrderedLog, Position, Record};
use crate::units::{HoldId, LeaseId, Timestamp};
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Entries that can be read: some 20 MB.
pub const ENTRIES_MAX: u64 = 1 << 17;
/// Entries after which the oldest are let go: trimming one by one would take the log's lock as
/// often as writing does.
const TRIM_EVERY: u64 = 1 << 10;
/// Entries of one second of which nothing came.
const IDLE_PER_S_MAX: u32 = 64;
/// Entries that one question is answered with, where it does not say.
const LIMIT: usize = 100;
/// Most entries that one question is answered with: 2 MB of text.
const LIMIT_MAX: usize = 10_000;
/// Milliseconds that a question waits for entries on their way into the log.
const SETTLE_MS_MAX: u64 = 1_000;

/// What became of entries. How many were written is not shown: beside the known number of bills it
/// would count clicks and conversions.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// In the log.
    pub written: Counter,
    /// Not written, for there were too many of which nothing came.
    pub suppressed: Counter,
    /// The log did not take them.
    pub lost: Counter,
}

impl Collector for Counters {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let help = "Entries that the event log does not have, by outcome";
        let mut family =
            encoder.encode_descriptor("event_entries", help, None, MetricType::Counter)?;
        for (what, count) in [("suppressed", self.suppressed.get()), ("lost", self.lost.get())] {
            family
                .encode_family(&[("what", what)])?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }
}

/// Writes and reads entries.
pub struct EventLog {
    ends: Arc<Ends>,
    clock: Civil,
    boot: u32,
    /// Milliseconds that entries are kept; in memory, the last [`ENTRIES_MAX`] are.
    keep_ms: Option<i64>,
    idle: Mutex<Idle>,
    /// Entries given to the log.
    begun: AtomicU64,
}

/// What the log's thread does with each entry: shared as one, since every entry takes it along.
struct Ends {
    log: Arc<dyn OrderedLog>,
    counters: Counters,
    /// Entries of which the log has said what became of them. Its thread adds when an entry can be
    /// read (release), a reader looks (acquire).
    ended: AtomicU64,
}

impl Ends {
    /// The log has said what became of an entry; what is older than `kept_since` may go.
    fn end(&self, outcome: Result<Position, AppendError>, kept_since: Option<Timestamp>) {
        match outcome {
            Ok(Position(at)) => {
                self.counters.written.inc();
                match kept_since {
                    _ if at % TRIM_EVERY != 0 => {}
                    Some(since) => self.log.trim_before(since),
                    None => self.log.trim(Position(at.saturating_sub(ENTRIES_MAX))),
                }
            }
            Err(_) => {
                self.counters.lost.inc();
            }
        }
        self.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// Entries of the present second of which nothing came.
#[derive(Default)]
struct Idle {
    second: i64,
    written: u32,
    suppressed: u64,
}

impl Idle {
    /// Whether one more may be written at `now`, and how many before it were not.
    fn admit(&mut self, now: Timestamp) -> (bool, u64) {
        let second = now.0.div_euclid(1_000);
        let mut missed = 0;
        if second != self.second {
            missed = self.suppressed;
            *self = Self { second, ..Self::default() };
        }
        if self.written < IDLE_PER_S_MAX {
            self.written += 1;
            return (true, missed);
        }
        self.suppressed += 1;
        (false, missed)
    }
}

impl EventLog {
    /// A writer into `log`. `boot` must differ from run to run on a log that lasts, and that keeps
    /// entries for `keep_ms`; `None` is one in memory.
    pub fn new(
        log: Arc<dyn OrderedLog>,
        clock: Civil,
        boot: u32,
        keep_ms: Option<i64>,
        counters: Counters,
    ) -> Self {
        let ends = Arc::new(Ends { log, counters, ended: AtomicU64::new(0) });
        Self { ends, clock, boot, keep_ms, idle: Mutex::default(), begun: AtomicU64::new(0) }
    }

    /// Writes an entry, without waiting.
    pub fn write(&self, entry: &Entry) {
        if entry.subject.is_idle() {
            let (is_admitted, missed) = self.idle.lock().admit(self.clock.now());
            if missed > 0 {
                self.append(&Entry { count: missed, ..Entry::of(Subject::Suppressed) });
            }
            if !is_admitted {
                self.ends.counters.suppressed.inc();
                return;
            }
        }
        self.append(entry);
    }

    fn append(&self, entry: &Entry) {
        let number = self.begun.fetch_add(1, Ordering::AcqRel);
        let idem = u128::from(self.boot) << 64 | u128::from(number);
        let kept_since = self.keep_ms.map(|keep| self.clock.now().plus_millis(-keep));
        let ends = self.ends.clone();
        let done = move |outcome| ends.end(outcome, kept_since);
        self.ends.log.append(idem, entry.encode(), Box::new(done));
    }

    /// Waits until what was written before this call can be read, but not for ever.
    pub async fn settle(&self) {
        let begun = self.begun.load(Ordering::Acquire);
        for _ in 0..SETTLE_MS_MAX {
            if self.ends.ended.load(Ordering::Acquire) >= begun {
                return;
            }
            actix_web::rt::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The last entries that the log has, oldest first.
    async fn records(&self) -> Vec<Record> {
        let log = &self.ends.log;
        let head = log.head();
        let from = Position((head.0 + 1).saturating_sub(ENTRIES_MAX).max(1));
        let (from, tail) = match log.tail(from) {
            // Trimmed once more in between: then what is there is read at the next question.
            Err(trimmed) => (trimmed.first, log.tail(trimmed.first)),
            found => (from, found),
        };
        let mut records: Vec<Record> = Vec::new();
        let Ok(mut tail) = tail else { return records };
        while records.last().map_or(from <= head, |last| last.position < head) {
            let Some(batch) = tail.recv().await else { break };
            records.extend(batch.iter().cloned());
        }
        records
    }
}

/// What an operator asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    limit: usize,
    kind: Option<&'static str>,
    hold: Option<HoldId>,
    auction: Option<String>,
}

impl Question {
    /// Reads the part of the URL after `?`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut question = Self { limit: LIMIT, kind: None, hold: None, auction: None };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    question.limit =
                        limit.ok_or(format!("limit lies between 1 and {LIMIT_MAX}"))?;
                }
                "kind" => {
                    let kind = Subject::KINDS.into_iter().find(|kind| *kind == value);
                    let known = || format!("kind is one of {}", Subject::KINDS.join(", "));
                    question.kind = Some(kind.ok_or_else(known)?);
                }
                "hold" => {
                    let hold = hold_of(value).ok_or("hold is NODE-BOOT-CORE-LEASE-SEQUENCE")?;
                    question.hold = Some(hold);
                }
                "auction" => question.auction = Some(unescape(value).into_owned()),
                _ => return Err("only limit, kind, hold and auction can be asked for".to_owned()),
            }
        }
        Ok(question)
    }

    /// Whether it is about an entry, if the auction that it names brought `bids`. What users did is
    /// shown of a bid that somebody asks for, so that nobody counts it by looking at a list.
    fn is_about(&self, entry: &Entry, bids: Option<&[HoldId]>) -> bool {
        let hold = entry.of.map(|of| of.hold);
        let is_list = self.hold.is_none() && bids.is_none();
        !(is_list && entry.subject.is_behaviour())
            && self.kind.is_none_or(|kind| entry.subject.kind() == kind)
            && self.hold.is_none_or(|asked| hold == Some(asked))
            && bids.is_none_or(|bids| hold.is_some_and(|hold| bids.contains(&hold)))
    }
}

/// What [`hold_text`] wrote.
#[must_use]
pub fn hold_of(text: &str) -> Option<HoldId> {
    let mut parts = text.split('-');
    let lease = LeaseId {
        node: parts.next()?.parse().ok()?,
        boot: parts.next()?.parse().ok()?,
        core: parts.next()?.parse().ok()?,
        number: parts.next()?.parse().ok()?,
    };
    let sequence = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some(HoldId { lease, sequence })
}

impl Engine {
    /// The entries that a question is about, newest first, a line of JSON each. An auction is known
    /// while its bids are remembered by the cores that made them.
    pub async fn events_about(&self, question: &Question) -> String {
        let bids = match &question.auction {
            Some(auction) => Some(self.bids_of(auction).await),
            None => None,
        };
        let is_asked = |entry: &Entry| question.is_about(entry, bids.as_deref());
        let mut text = String::new();
        for line in self.event_lines(question.limit, is_asked).await {
            text.push_str(&line.to_string());
            text.push('\n');
        }
        text
    }

    /// The last entries that `is_asked` picks, newest first; of all of them none but this process may
    /// know, see [`Subject::is_behaviour`].
    pub async fn event_lines(&self, limit: usize, is_asked: impl Fn(&Entry) -> bool) -> Vec<Value> {
        self.event_log.settle().await;
        let records = self.event_log.records().await;
        let entries = records.iter().rev().filter_map(|record| {
            let entry = Entry::decode(&record.body)?;
            is_asked(&entry).then(|| self.event_json(record, &entry))
        });
        entries.take(limit).collect()
    }

    async fn bids_of(&self, auction: &str) -> Vec<HoldId> {
        let mut bids = Vec::new();
        for worker in self.workers() {
            let audits = worker.auction.send(FindAudits::of(auction)).await.unwrap_or_default();
            bids.extend(audits.iter().map(|audit| audit.held.hold));
        }
        bids
    }

    fn event_json(&self, record: &Record, entry: &Entry) -> Value {
        let exchange = entry.exchange.and_then(|key| {
            let desk = self.desks().find(|desk| desk.key == key)?;
            Some(desk.name.clone())
        });
        let mut line = json!({
            // Not the position: gaps would count what a list leaves out.
            "at": record.at,
            "kind": entry.subject.kind(),
            "outcome": entry.subject.outcome(),
        });
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                line[key] = value;
            }
        };
        put("count", (entry.count != 1).then(|| entry.count.into()));
        put("exchange", exchange.map(Value::from));
        put("hold", entry.of.map(|of| hold_text(of.hold).into()));
        let (advertiser, campaign, creative) = names(&self.published, entry);
        put("advertiser", advertiser.map(Value::from));
        put("campaign", campaign.map(Value::from));
        put("creative", creative.map(Value::from));
        let amount = if matches!(entry.subject, Subject::Conversion(_)) {
            "value_micros"
        } else {
            "price_micros"
        };
        put(amount, entry.price.map(|price| price.0.into()));
        put("price_source", entry.source.map(|source| source.label().into()));
        line
    }
}

type Name = Option<String>;

/// The names of advertiser, campaign and creative, as far as the catalog still has them.
fn names(published: &Published, entry: &Entry) -> (Name, Name, Name) {
    let catalog = published.catalog.load();
    let campaign = entry.of.and_then(|of| catalog.campaign_by_id(of.campaign));
    let creative = campaign.and_then(|campaign| {
        let ad =
            catalog.ads_of(campaign).find(|ad| entry.of.is_some_and(|of| of.creative == ad.id));
        Some(ad?.name.clone())
    });
    let advertiser = entry.advertiser.or(campaign.map(|campaign| campaign.advertiser));
    let advertiser = advertiser.and_then(|id| catalog.advertiser(id));
    (
        advertiser.map(|advertiser| advertiser.name.clone()),
        campaign.map(|campaign| campaign.name.clone()),
        creative,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::Purpose;
    use crate::notice::outcome::Outcome;
    use crate::store::MemoryLog;

    fn event_log(clock: &Civil) -> EventLog {
        let log = Arc::new(MemoryLog::open(clock.clone()).expect("a thread"));
        EventLog::new(log, clock.clone(), 1, None, Counters::default())
    }

    fn settle(log: &EventLog) -> Vec<Entry> {
        let records = actix_web::rt::System::new().block_on(async {
            log.settle().await;
            log.records().await
        });
        records.iter().map(|record| Entry::decode(&record.body).expect("ours")).collect()
    }

    #[test]
    fn a_flood_of_refusals_is_sampled_and_its_number_is_written() {
        let clock = Civil::simulated(Timestamp(0));
        let log = event_log(&clock);
        let forged = Entry::of(Subject::Notice(Purpose::Billing, Outcome::Forged));
        let charged = Entry::of(Subject::Notice(Purpose::Billing, Outcome::Charged));
        for _ in 0..1_000 {
            log.write(&forged);
            log.write(&charged);
        }
        clock.advance(Timestamp(1_000));
        log.write(&forged);
        let entries = settle(&log);
        let count = |entry: &Entry| entries.iter().filter(|other| *other == entry).count();
        assert_eq!(count(&charged), 1_000, "what moved something is written");
        let (written, suppressed) = (u64::from(IDLE_PER_S_MAX), 1_000 - u64::from(IDLE_PER_S_MAX));
        assert_eq!(count(&forged) as u64, written + 1);
        assert_eq!(count(&Entry { count: suppressed, ..Entry::of(Subject::Suppressed) }), 1);
        assert_eq!(log.ends.counters.suppressed.get(), suppressed);
    }

    #[test]
    fn the_log_keeps_its_last_entries() {
        let log = event_log(&Civil::simulated(Timestamp(0)));
        let more = ENTRIES_MAX + 2 * TRIM_EVERY;
        for count in 1..=more {
            log.write(&Entry { count, ..Entry::of(Subject::Behaviour) });
            if count % TRIM_EVERY == 0 {
                // The log's queue is bounded too; here is nobody but us to fill it.
                while log.ends.ended.load(Ordering::Acquire) < count {
                    std::thread::yield_now();
                }
            }
        }
        let entries = settle(&log);
        assert_eq!(entries.last().map(|entry| entry.count), Some(more));
        assert_eq!(entries.len() as u64, ENTRIES_MAX);
    }

    #[test]
    fn questions_are_read_or_refused() {
        let hold = HoldId { lease: LeaseId { node: 1, boot: 2, core: 3, number: 4 }, sequence: 5 };
        let asked =
            Question::parse("kind=click&limit=7&hold=1-2-3-4-5&auction=a%20b").expect("good");
        let expected = Question {
            limit: 7,
            kind: Some("click"),
            hold: Some(hold),
            auction: Some("a b".to_owned()),
        };
        assert_eq!(asked, expected);
        assert_eq!(hold_of(&hold_text(hold)), Some(hold));
        for bad in [
            "limit=0",
            "limit=10001",
            "limit=x",
            "hold=1-2-3-4",
            "hold=1-2-3-4-5-6",
            "what=1",
            "kind=clicks",
        ] {
            assert!(Question::parse(bad).is_err(), "{bad}");
        }
        for purpose in Purpose::ALL {
            let subject = Subject::Notice(purpose, Outcome::Duplicate);
            assert!(Question::parse(&format!("kind={}", subject.kind())).is_ok(), "{purpose:?}");
        }
    }
}
