//! Where a process begins: what the ledger, its mark and the day's key leave it to go on with, and
//! whether they leave it anything. In doubt nothing is released on that day; bids go on with what was
//! released before, or with their priors.

use super::bound::Bounder;
use super::config::Plan;
use super::day_key::{Admission, DayKey, KeyFile};
use super::ledger::{Books, Forgetful, Journal, Mark};
use super::release::charged_from;
use super::segments::{Joined, SegmentCounts, joined_in};
use super::stop::{Stop, Why};
use crate::units::{CampaignId, Timestamp};
use std::collections::BTreeMap;

/// What an earlier process left, and where this one goes on.
pub struct Opening {
    /// Where records go.
    pub(super) journal: Box<dyn Journal>,
    /// Where the day's key is kept.
    pub(super) key_file: KeyFile,
    /// This start of the process, above all before.
    pub(super) owner: u32,
    /// What the ledger's records lead to.
    pub(super) books: Books,
    /// The open day's key, where that day was charged already.
    pub(super) key: Option<DayKey>,
    /// What the bounder admitted on that day.
    pub(super) admissions: Vec<Admission>,
    /// Who was in which segment on that day.
    pub(super) joined: Vec<Joined>,
    /// Why nothing may be released, for the time being.
    pub(super) stop: Option<Stop>,
    /// Whether the release thread lets others go first.
    pub(super) is_background: bool,
}

/// A ledger as it was found.
pub struct Found {
    /// What its records lead to, made by [`Books::to_resume`].
    pub books: Books,
    /// Why it cannot be read to its end.
    pub damage: Option<String>,
    /// What is kept apart from it.
    pub mark: Option<Mark>,
}

impl Opening {
    /// A ledger that ends with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            journal: Box::new(Forgetful::new()),
            key_file: KeyFile::nowhere(),
            owner: 1,
            books: Books::new(),
            key: None,
            admissions: Vec::new(),
            joined: Vec::new(),
            stop: None,
            is_background: false,
        }
    }

    /// The same, where nobody waits for a release: its thread then lets those go first that share a core
    /// with it.
    #[must_use]
    pub fn in_background(self) -> Self {
        Self { is_background: true, ..self }
    }

    /// Goes on with a ledger that was found. `owner` must be above the owner of its last record.
    #[must_use]
    pub fn of(
        plan: &Plan,
        now: Timestamp,
        found: Found,
        (journal, key_file, owner): (Box<dyn Journal>, KeyFile, u32),
    ) -> Self {
        let Found { mut books, damage, mark } = found;
        let today = now.utc_day();
        let mut stop = match damage {
            Some(detail) => Some(Stop::for_good(Why::Damaged, detail)),
            None => doubt(&books, mark, owner, today),
        };
        let (mut key, mut admissions, mut joined) = (None, Vec::new(), Vec::new());
        let is_open = books.today().is_some_and(|open| open.day == today);
        if stop.is_none() && is_open {
            match resume(plan, &mut books, &key_file) {
                Ok(resumed) => (key, admissions, joined) = (Some(resumed.0), resumed.1, resumed.2),
                Err((why, detail)) => stop = Some(Stop::for_day(why, today, detail)),
            }
        }
        if !is_open && let Err(error) = key_file.destroy() {
            tracing::error!(%error, "the key of a day that is over could not be destroyed");
        }
        if let Some(stop) = &stop {
            tracing::error!(%stop, "nothing is released");
        }
        Self {
            journal,
            key_file,
            owner,
            books,
            key,
            admissions,
            joined,
            stop,
            is_background: false,
        }
    }

    /// The first interval that may be open today.
    pub(super) fn first_interval(&self) -> u16 {
        if self.key.is_some() { charged_from(&self.books) } else { 0 }
    }

    /// Which campaign has which slot today.
    pub(super) fn slots(&self) -> BTreeMap<u32, CampaignId> {
        let today = self.books.today().filter(|_| self.key.is_some());
        today.map(|today| today.slots().clone()).unwrap_or_default()
    }

    /// A bounder that remembers what the open day's users have used, and the segments that they are in.
    pub(super) fn bounder(&self, plan: &Plan, day: i32) -> (Bounder, SegmentCounts) {
        let mut bounder = Bounder::new(plan, day);
        // It was admitted by these bounds, so it is again; it counts for nothing but them.
        for one in &self.admissions {
            if let Some((user, cell, kind, units)) = one.parts() {
                let _ = bounder.admit(user, cell, kind, units);
            }
            if let Some(user) = one.taught_by() {
                let _ = bounder.admit_example(user);
            }
        }
        let mut segments = SegmentCounts::default();
        for (user, segment) in self.joined.iter().copied().map(Joined::parts) {
            if bounder.admit_segment(user, segment).is_ok() {
                segments.count(segment);
            }
        }
        if self.key.is_some() && self.books.today().is_some_and(|today| today.is_full) {
            bounder.close();
        }
        (bounder, segments)
    }
}

/// What a ledger lacks beside its mark; `None` where it is what it was.
#[must_use]
pub fn lack(books: &Books, mark: Option<Mark>) -> Option<(Why, String)> {
    let head = books.position();
    match mark {
        Some(mark) if head == 0 => {
            Some((Why::Missing, format!("it had come to position {}", mark.position)))
        }
        Some(mark) if mark.position > head => {
            let detail = format!("it ends at position {head}, and had come to {}", mark.position);
            Some((Why::Older, detail))
        }
        Some(mark) if !books.has_passed(&mark) => {
            Some((Why::Foreign, format!("position {} is another record's", mark.position)))
        }
        // Only the first charge of all is written before there is any mark.
        None if books.commits() > 0 || books.account().days().len() > 1 => {
            Some((Why::Older, "nothing says how far it had come".to_owned()))
        }
        _ => None,
    }
}

/// Why what was found may not be gone on with.
fn doubt(books: &Books, mark: Option<Mark>, owner: u32, today: i32) -> Option<Stop> {
    let last = books.today().map_or(i32::MIN, |open| open.day);
    if books.position() > 0 && books.owner() >= owner {
        let detail = format!("owner {} wrote it, this is start {owner}", books.owner());
        return Some(Stop::for_good(Why::NewerOwner, detail));
    }
    match lack(books, mark) {
        Some((why @ Why::Missing, detail)) => {
            // After its day a lost ledger costs the history alone, which the figures then lack.
            let lost = mark.filter(|mark| mark.day >= today)?;
            return Some(Stop::for_day(why, lost.day, detail));
        }
        Some((why @ Why::Foreign, detail)) => return Some(Stop::for_good(why, detail)),
        Some((why, detail)) => {
            let marked = mark.map_or(last, |mark| mark.day);
            return Some(Stop::for_day(why, marked.max(last).max(today), detail));
        }
        None => {}
    }
    (last > today).then(|| {
        let detail = format!("day {last} was charged, and this is day {today}");
        Stop::for_day(Why::ClockBack, last, detail)
    })
}

type Resumed = (DayKey, Vec<Admission>, Vec<Joined>);

/// The open day's key, and what the bounder wrote under it.
fn resume(plan: &Plan, books: &mut Books, key_file: &KeyFile) -> Result<Resumed, (Why, String)> {
    let sealed = books.take_bounds();
    let Some(open) = books.today() else { return Err((Why::KeyLost, String::new())) };
    if open.charged.plan != plan.digest() {
        let detail = "it takes effect with the next day".to_owned();
        return Err((Why::PlanChanged, detail));
    }
    let key = key_file.load(open.day).filter(|key| key.digest() == open.charged.key);
    let Some(key) = key else {
        return Err((Why::KeyLost, "what users have used is not known".to_owned()));
    };
    let mut admissions = Vec::new();
    for sealed in sealed {
        let opened = key.open(&sealed);
        let opened = opened
            .ok_or_else(|| (Why::KeyLost, "what users have used does not open".to_owned()))?;
        admissions.extend(opened);
    }
    let joined = joined_in(books.others(), &key);
    let joined =
        joined.ok_or_else(|| (Why::KeyLost, "the segments of users do not open".to_owned()))?;
    Ok((key, admissions, joined))
}
