//! What may safely be done with a privacy ledger that is damaged, gone or an older copy.
//!
//! What is sound of it stays, the old file is kept beside the new one, and every day of which something
//! may have been shown is charged, by the mark among the settings: so no day is charged twice, and what
//! was spent is remembered. What the last of them admitted and drew is not known to its end, so it is
//! closed: its key is destroyed, and releases go on with the day behind it.
//!
//! The mark is written last. Broken off before, a start finds a ledger that does not reach its mark and
//! releases nothing on that day, and the next repair goes on.

use crate::clock::Civil;
use crate::privacy::{Books, Journal as _, KeyFile, Mark, Plan, Why, amends, lack, unknown_days};
use crate::server::privacy_ledger::{KEY_FILE, LogJournal, PRIVACY_FILE, PrivacyLedger, mark};
use crate::server::stores::SETTINGS_FILE;
use crate::store::embedded::{SqliteConfig, StoreError, repair_where, set_aside};
use crate::store::{ConfigStore, Record};
use crate::units::Timestamp;
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Milliseconds in a UTC day.
const DAY_MS: i64 = 86_400_000;

/// What became of a privacy ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairedPrivacy {
    /// What was wrong.
    pub damage: String,
    /// The last position of what is as it was; 0 where nothing is.
    pub kept: u64,
    /// Days (UTC days since 1970) that are charged now because their own charge is not there.
    pub charged: Vec<i32>,
    /// The last day that is charged: releases go on with the one behind it.
    pub closed: i32,
    /// The old file as it was, where there is another now.
    pub kept_as: Option<PathBuf>,
}

/// Repairs the privacy ledger in `state`; `None` where nothing is wrong with it. `plan` says what a day
/// costs where no record does, and releases had come to `today` (UTC, since 1970) where no mark says it.
///
/// # Errors
/// A folder without a ledger, a server that runs on it, settings that are damaged themselves, a ledger of
/// another installation, costs that nobody knows; and what kept anything from being written.
pub fn repair_privacy(
    state: &Path,
    plan: Option<&Plan>,
    today: i32,
) -> anyhow::Result<Option<RepairedPrivacy>> {
    let (file, settings) = (state.join(PRIVACY_FILE), state.join(SETTINGS_FILE));
    let is_ours = file.exists() || settings.exists();
    anyhow::ensure!(is_ours, "{} holds no privacy ledger", state.display());
    let settings: Arc<dyn ConfigStore> = Arc::new(SqliteConfig::open(&settings)?);
    let marked = mark(&*settings);
    let mark = marked.clone().unwrap_or_default();
    let until = mark.map_or(today, |mark| mark.day);
    let (salvaged, kept_as) = salvage(&file, plan)?;
    // What is written belongs to that day, whatever the time is now: a simulation goes on from there.
    let civil = Civil::simulated(Timestamp(i64::from(until) * DAY_MS));
    let PrivacyLedger { log, found } = PrivacyLedger::open(&file, &civil, &*settings)?;
    if let (None, Some(damage)) = (&log, &found.damage) {
        anyhow::bail!("it cannot be written: {damage}");
    }
    let mut books = found.books;
    let kept = books.position();
    let lacks = lack(&books, mark);
    let is_foreign = lacks.as_ref().is_some_and(|(why, _)| *why == Why::Foreign);
    anyhow::ensure!(
        !is_foreign,
        "{} is another installation's: put this one's in its place, or move it away and repair again",
        file.display()
    );
    let Some(damage) = salvaged.or(marked.err()).or(lacks.map(|(_, what)| what)) else {
        return Ok(None);
    };
    let owner = books.owner().max(mark.map_or(1, |mark| mark.owner));
    let charged = unknown_days(&books, until).collect();
    let records = amends(&books, until, owner, plan).context(COST_IS_UNKNOWN)?;
    KeyFile::at(state.join(KEY_FILE)).destroy().context("the day's key")?;
    let mut journal = LogJournal { log, settings, last: kept };
    for record in &records {
        let position = journal.append(std::slice::from_ref(record))?;
        books.fold(position, record)?;
    }
    let closed = books.today().map_or(until, |today| today.day);
    if let Some((position, digest)) = books.mark() {
        journal.mark(Mark { day: closed, position, digest, owner })?;
    }
    Ok(Some(RepairedPrivacy { damage, kept, charged, closed, kept_as }))
}

const COST_IS_UNKNOWN: &str =
    "no record says what a day costs: name the configuration (--config FILE)";

/// Keeps the records that are sound: what is wrong behind them, and where the old file is, if anything is.
fn salvage(file: &Path, plan: Option<&Plan>) -> anyhow::Result<(Option<String>, Option<PathBuf>)> {
    if std::fs::metadata(file).map_or(0, |metadata| metadata.len()) == 0 {
        return Ok((None, None));
    }
    let mut books = Books::new();
    let mut fits = |record: &Record| {
        let folded = books.fold(record.position.0, &record.body);
        folded.map_err(|wrong| wrong.to_string())
    };
    match repair_where(file, &mut fits) {
        Ok(repaired) => Ok(repaired.map(|repaired| (repaired.damage, repaired.kept_as)).unzip()),
        Err(error @ StoreError::Damaged { .. }) => {
            // Before anything is moved.
            anyhow::ensure!(plan.is_some(), COST_IS_UNKNOWN);
            Ok((Some(error.finding()), Some(set_aside(file)?)))
        }
        Err(error) => Err(error.into()),
    }
}
