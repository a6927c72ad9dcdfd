//! From a closed interval to a published snapshot: charge, noise, ledger, and then the numbers.
//!
//! The order is the ledger's (see [`ledger`](super::ledger)): nothing is drawn before its day is paid
//! for, nothing is shown before it is durable, and what was drawn is written again under the same
//! bytes until it is, never drawn again.

use super::accountant::{Account, Figures, PaidDay};
use super::config::{Error, Part, Plan};
use super::day_key::{Admission, DayKey, KeyFile};
use super::gradient::{GradientReleases, GradientSums, GradientTotals};
use super::ledger::record::{CHUNK_BYTES, Digest, digest_of};
use super::ledger::{Books, DayCharged, Entry, Journal, Mark, NotKept, Record};
use super::mechanism::{AboveThreshold, Mechanism, NoiseSource, RawCounts};
use super::opening::Opening;
use super::prior::{Releases, sum_of};
use super::segments::{Joined, SegmentCounts, SegmentPlan, joined_records, size_records};
use super::stop::{Stop, Why};
use crate::units::{CampaignId, Timestamp};
use std::collections::BTreeMap;

/// Bytes that an integer takes at most.
const INTEGER_BYTES: usize = 10;
/// Slots of one record, at 13 bytes each.
const SLOTS_MAX: usize = CHUNK_BYTES / 16;
/// Campaigns of one record that carries earlier days: each has 64 pairs of floats.
const CARRIED_MAX: usize = 40;

/// A closed interval on its way to release: counts that nobody can read.
pub(super) struct Closing {
    /// The day that it belongs to.
    pub day: i32,
    /// Which interval of the day it is.
    pub tick: u16,
    /// The declared campaigns and their slots.
    pub declared: BTreeMap<u32, CampaignId>,
    /// What was counted.
    pub raw: RawCounts,
    /// What was taught, where the model learns from releases.
    pub gradients: Option<GradientSums>,
    /// What the bounder admitted for it.
    pub admissions: Vec<Admission>,
    /// The day's users by segment, where it ends the day.
    pub segments: Option<SegmentCounts>,
    /// Who came into one.
    pub joined: Vec<Joined>,
    /// Users of the day so far: raw, for the noisy comparison alone.
    pub users: u64,
    /// The day's key.
    pub key: DayKey,
    /// When the interval was closed.
    pub at: Timestamp,
}

/// Why an interval was not released.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreleased {
    /// Nothing is lost: it will be written again.
    #[error("{0}")]
    Later(String),
    /// The interval is lost, the day goes on.
    #[error("an interval is lost: {0}")]
    Lost(#[from] Error),
    /// Nothing is released any more, for a day or for good.
    #[error("{0}")]
    Stopped(Stop),
}

/// Records on their way into the ledger.
struct Pending {
    parts: Vec<Vec<u8>>,
    commit: Vec<u8>,
    /// The released gradients among the parts.
    gradients: Option<Vec<i64>>,
    day: i32,
    at: Timestamp,
    is_folded: bool,
}

/// What the ledger says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LedgerStatus {
    /// The day that was charged last.
    pub day: Option<i32>,
    /// Its segments so far.
    pub segment: u16,
    /// The last interval that is in it.
    pub tick: Option<u16>,
    /// Whether that day takes nobody new.
    pub is_full: bool,
    /// The last position.
    pub position: u64,
    /// Digest of the last charge or commit.
    pub digest: u64,
    /// What the days cost.
    pub account: Account,
}

impl LedgerStatus {
    pub(super) fn of(books: &Books) -> Self {
        let today = books.today();
        Self {
            day: today.map(|today| today.day),
            segment: today.map_or(0, |today| today.segment),
            tick: today.and_then(|today| today.tick),
            is_full: today.is_some_and(|today| today.is_full),
            position: books.position(),
            digest: books.mark().map_or(0, |(_, digest)| digest),
            account: books.account().clone(),
        }
    }

    /// What the `span` days that end with `today` cost.
    #[must_use]
    pub fn figures(&self, today: i32, span: i32) -> Figures {
        self.account.figures(today, span)
    }

    /// What `part` has cost of `today`, as rho.
    #[must_use]
    pub fn spent(&self, today: i32, part: Part) -> f64 {
        let last = self.account.last().filter(|last| last.day == today);
        last.map_or(0.0, |cost| cost.part(part).as_f64())
    }
}

/// Turns closed intervals into snapshots. Lives on the release thread.
pub(super) struct Publisher {
    plan: Plan,
    mechanism: Mechanism,
    gradients: Option<GradientReleases>,
    books: Books,
    journal: Box<dyn Journal>,
    key_file: KeyFile,
    /// The day whose key may be in that file.
    key_day: Option<i32>,
    owner: u32,
    segment: u16,
    paid: Option<PaidDay>,
    above: Option<AboveThreshold>,
    waiting: Option<Closing>,
    pending: Option<Pending>,
    epoch: u64,
}

impl Publisher {
    /// A publisher that goes on where `opening` stands.
    pub fn new(plan: &Plan, noise: NoiseSource, opening: Opening) -> Self {
        let Opening { journal, key_file, owner, mut books, key, .. } = opening;
        let bar = key.as_ref().and_then(DayKey::bar);
        let epsilon = plan.users_epsilon();
        let gradients = resumed_gradients(plan, &books);
        // Whatever was to be gone on with is taken by now: from here on nothing is kept twice.
        drop(books.take_bounds());
        let today = books.today();
        Self {
            plan: plan.clone(),
            mechanism: Mechanism::new(plan, noise),
            gradients,
            key_day: today.map(|today| today.day),
            segment: today.map_or(1, |today| today.segment.saturating_add(1)),
            paid: None,
            above: bar.and_then(|bar| AboveThreshold::resume(bar, epsilon)),
            waiting: None,
            pending: None,
            epoch: 0,
            journal,
            key_file,
            owner,
            books,
        }
    }

    /// What the ledger says of itself.
    pub fn status(&self) -> LedgerStatus {
        LedgerStatus::of(&self.books)
    }

    /// Whether something waits for the ledger: no interval may be closed meanwhile.
    pub const fn is_blocked(&self) -> bool {
        self.waiting.is_some() || self.pending.is_some()
    }

    /// The snapshot of all that was released.
    pub fn snapshot(&self, at: Timestamp) -> Releases {
        let of_today = self.books.of_today();
        let sums = self.books.sums_with(&of_today);
        let sums = sums.iter().map(|(id, sums)| (*id, sums));
        let releases = Releases::of(self.plan.base_rate(), self.epoch, at, sums);
        let today = of_today.iter().map(|(id, sums)| (*id, sum_of(sums.iter())));
        let releases = releases.with_today(self.books.today().map_or(0, |today| today.day), today);
        // Until a day is charged by this plan, sums are in units of the plan before.
        let unit = self.books.today().map(|today| today.charged.spend_unit_nanos);
        let releases = releases.with_segments(self.books.segments().cloned());
        releases.with_spend_unit(unit.unwrap_or(self.plan.spend_unit_nanos()))
    }

    /// The gradients of the day as far as they were released; `None` where the model does not learn
    /// from releases.
    pub fn gradients(&self) -> Option<GradientTotals> {
        self.gradients.as_ref().map(GradientReleases::totals)
    }

    /// Takes one closed interval through the protocol; without one it goes on with what waits.
    /// `None` where nothing did.
    ///
    /// # Errors
    /// [`Unreleased`].
    pub fn publish(&mut self, closing: Option<Closing>) -> Result<Option<Releases>, Unreleased> {
        if closing.is_some() {
            self.waiting = closing;
        }
        if self.pending.is_none()
            && let Some(mut closing) = self.waiting.take()
        {
            if let Err(error) = self.pay(&mut closing) {
                // Its counts have met no noise yet: they wait, unless nothing comes any more.
                if matches!(error, Unreleased::Later(_)) {
                    self.waiting = Some(closing);
                }
                return Err(error);
            }
            let drawn = self.draw(closing);
            self.pending = Some(drawn.inspect_err(|_| self.begin_segment())?);
        }
        let Some(mut pending) = self.pending.take() else { return Ok(None) };
        match self.keep(&mut pending) {
            Ok(()) => {}
            Err(Unreleased::Later(why)) => {
                self.pending = Some(pending);
                return Err(Unreleased::Later(why));
            }
            Err(error) => return Err(error),
        }
        if let Some((releases, taught)) = self.gradients.as_mut().zip(pending.gradients.take()) {
            releases.publish(&taught)?;
        }
        self.epoch += 1;
        Ok(Some(self.snapshot(pending.at)))
    }

    /// `day` is open. The key of one before it is destroyed, whether or not that day's last interval
    /// was released; while something waits it is kept, or a restart could not tell what was admitted.
    pub fn enter(&mut self, day: i32) {
        if self.key_day.is_some_and(|of| of < day) && !self.is_blocked() {
            self.destroy_key();
        }
    }

    /// A run of mechanisms ends: what it released stays, and the next counts from zero.
    fn begin_segment(&mut self) {
        self.mechanism.begin_segment();
        self.gradients.iter_mut().for_each(GradientReleases::begin_segment);
        self.segment = self.segment.saturating_add(1);
    }

    /// Sees to it that the interval's day is charged, durably.
    fn pay(&mut self, closing: &mut Closing) -> Result<(), Unreleased> {
        let day = closing.day;
        if self.paid.as_ref().is_some_and(|paid| paid.day() == day) {
            return Ok(());
        }
        let charged = self.books.today().filter(|today| today.day == day);
        if charged.is_none() {
            self.charge(closing)?;
        }
        let from = charged_from(&self.books);
        self.paid = self.books.account().paid(self.plan.releases_per_day(), from);
        Ok(())
    }

    fn charge(&mut self, closing: &mut Closing) -> Result<(), Unreleased> {
        let day = closing.day;
        let cost = self.books.account().ask(&self.plan, day).map_err(|error| {
            Unreleased::Stopped(Stop::for_day(Why::ClockBack, day, error.to_string()))
        })?;
        if self.above.is_none() || closing.key.bar().is_none() {
            let limit = self.plan.users_max() as u64;
            let epsilon = self.plan.users_epsilon();
            let above = AboveThreshold::begin(limit, epsilon, self.mechanism.noise())?;
            if let Some(above) = &above {
                closing.key.set_bar(above.bar());
            }
            self.above = above;
        }
        self.key_day = Some(day);
        let stored = self.key_file.store(day, &closing.key);
        stored.map_err(|error| Unreleased::Later(format!("the day's key: {error}")))?;
        let history = self.books.account().days().to_vec();
        let charged = self.plan.charged(cost, closing.key.digest(), history);
        let entry = self.entry(day, 1, closing.tick, Record::DayCharged(charged));
        let body = entry.encode();
        let position = self.journal.append(std::slice::from_ref(&body)).map_err(not_kept)?;
        let before = self.books.today().map(|today| today.position);
        self.fold(position, &body)?;
        self.mechanism.begin_segment();
        self.segment = 1;
        // The day before stays for whoever verifies.
        if let Some(before) = before {
            self.journal.trim_before(before);
        }
        self.mark(day)
    }

    /// Draws an interval's noise and makes its records.
    fn draw(&mut self, closing: Closing) -> Result<Pending, Unreleased> {
        let Closing { day, tick, declared, raw, admissions, .. } = closing;
        let Closing { segments, joined, users, key, at, gradients, .. } = closing;
        let charge = match self.paid.as_mut().map(|paid| paid.take(tick)) {
            Some(Ok(charge)) => charge,
            Some(Err(error)) => {
                return Err(Error::Noise(error.to_string()).into());
            }
            None => return Err(Error::Noise("the day is not paid for".to_owned()).into()),
        };
        let slots: Vec<u32> = declared.keys().copied().collect();
        let sizes = match SegmentPlan::of(&self.plan).zip(segments) {
            Some((plan, counts)) => {
                Some(plan.release(day, counts, &charge, self.mechanism.noise())?)
            }
            None => None,
        };
        let released = self.mechanism.release(&raw, &slots, charge)?;
        let taught = match self.gradients.as_mut().zip(gradients) {
            Some((releases, sums)) => Some(releases.release(day, &sums, self.mechanism.noise())?),
            None => None,
        };
        // "Full" ends the questions, whichever process heard it: another answer would cost again.
        let was_full = self.books.today().is_some_and(|today| today.is_full);
        let is_full = match &mut self.above {
            Some(above) if !was_full => above.ask(users, self.mechanism.noise())?,
            _ => was_full,
        };
        let known = self.books.today();
        let known = |slot: &u32| known.is_some_and(|today| today.slots().contains_key(slot));
        let new: Vec<_> = declared
            .iter()
            .filter(|(slot, _)| !known(slot))
            .map(|(slot, id)| (*slot, id.0))
            .collect();
        let mut records = Vec::new();
        if !self.books.today().is_some_and(super::ledger::Today::is_carried) {
            records.extend(self.books.carried(CARRIED_MAX));
        }
        records.extend(new.chunks(SLOTS_MAX).map(|slots| Record::Slots(slots.to_vec())));
        records.extend(key.seal(admissions)?.into_iter().map(Record::Bounds));
        records.extend(joined_records(&key, joined)?);
        records.extend(sizes.iter().flat_map(size_records));
        values(&released, &mut records);
        let taught_parts = taught.iter().flat_map(|taught| {
            let records = GradientReleases::records(self.segment, tick, taught);
            records.into_iter().map(|bytes| Record::Other { part: Part::Model.place(), bytes })
        });
        records.extend(taught_parts);
        let bodies = |record| self.entry(day, self.segment, tick, record).encode();
        let parts: Vec<_> = records.into_iter().map(bodies).collect();
        let mut digest = Digest::default();
        parts.iter().for_each(|part| digest.add(part));
        let commit = bodies(Record::Committed(digest.commit(is_full)));
        Ok(Pending { parts, commit, gradients: taught, day, at, is_folded: false })
    }

    /// Makes an interval's records durable, and the mark behind them.
    fn keep(&mut self, pending: &mut Pending) -> Result<(), Unreleased> {
        if !pending.is_folded {
            self.journal.append(&pending.parts).map_err(not_kept)?;
            let commit = std::slice::from_ref(&pending.commit);
            let last = self.journal.append(commit).map_err(not_kept)?;
            let first = last.saturating_sub(pending.parts.len() as u64);
            let bodies = pending.parts.iter().chain([&pending.commit]);
            for (position, body) in (first..).zip(bodies) {
                self.fold(position, body)?;
            }
            pending.is_folded = true;
        }
        self.mark(pending.day)
    }

    fn fold(&mut self, position: u64, body: &[u8]) -> Result<(), Unreleased> {
        // What we wrote ourselves does not fit: whatever it is, it is no ledger any more.
        let folded = self.books.fold(position, body);
        folded.map_err(|wrong| Unreleased::Stopped(Stop::for_good(Why::Damaged, wrong.to_string())))
    }

    fn mark(&mut self, day: i32) -> Result<(), Unreleased> {
        let Some((position, digest)) = self.books.mark() else { return Ok(()) };
        let mark = Mark { day, position, digest, owner: self.owner };
        self.journal.mark(mark).map_err(not_kept)
    }

    /// What the ledger leads to.
    #[cfg(test)]
    pub const fn books(&mut self) -> &mut Books {
        &mut self.books
    }

    /// The day is over: nothing that was kept under its key can be read any more.
    fn destroy_key(&mut self) {
        self.above = None;
        self.key_day = None;
        if let Err(error) = self.key_file.destroy() {
            // The next day's key will overwrite it, or the next start.
            tracing::error!(%error, "the day's key could not be destroyed");
        }
    }

    const fn entry(&self, day: i32, segment: u16, tick: u16, record: Record) -> Entry {
        Entry { owner: self.owner, day, segment, tick, record }
    }
}

/// What the ledger has of the open day's gradients. What does not fit the plan is passed over: it is
/// charged all the same, and learning begins anew.
fn resumed_gradients(plan: &Plan, books: &Books) -> Option<GradientReleases> {
    let gradients = plan.gradients()?;
    let day = books.today().map_or(i32::MIN, |today| today.day);
    let model = books.others().iter().filter(|(part, _)| *part == Part::Model.place());
    let resumed = GradientReleases::resume(&gradients, day, model.map(|(_, bytes)| &bytes[..]));
    Some(resumed.unwrap_or_else(|error| {
        tracing::warn!(%error, "what was learned today is not gone on with");
        GradientReleases::begin(&gradients, day)
    }))
}

/// The first interval that the open day has not released.
pub(super) fn charged_from(books: &Books) -> u16 {
    books.today().and_then(|today| today.tick).map_or(0, |tick| tick.saturating_add(1))
}

fn not_kept(error: NotKept) -> Unreleased {
    match error {
        NotKept::Later(why) => Unreleased::Later(why),
        NotKept::Fenced(why) => Unreleased::Stopped(Stop::for_good(Why::NewerOwner, why)),
        NotKept::Never(why) => Unreleased::Stopped(Stop::for_good(Why::LedgerClosed, why)),
    }
}

/// Released integers as records, as many slots to each as surely fit.
fn values(released: &[(u32, Vec<i64>)], records: &mut Vec<Record>) {
    let mut rest = released;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|(_, values)| {
            bytes += (values.len() + 1) * INTEGER_BYTES;
            bytes <= CHUNK_BYTES
        });
        let (chunk, others) = rest.split_at(fits.count().max(1));
        records.push(Record::Values {
            slots: chunk.iter().map(|(slot, _)| *slot).collect(),
            values: chunk.iter().flat_map(|(_, values)| values.iter().copied()).collect(),
        });
        rest = others;
    }
}

impl Plan {
    /// A day's charge as the ledger has it.
    pub(super) fn charged(
        &self,
        cost: super::ledger::DayCost,
        key: u64,
        history: Vec<super::ledger::DayCost>,
    ) -> DayCharged {
        let noise = super::cell::Kind::ALL.map(|kind| self.kind(kind).scale.variance());
        DayCharged {
            cost,
            plan: self.digest(),
            steps: self.releases_per_day(),
            noise: noise.to_vec(),
            is_tree: self.is_tree(),
            spend_unit_nanos: self.spend_unit_nanos(),
            half_life_ms: self.half_life_ms(),
            key,
            history,
        }
    }

    /// A digest of all that decides what a day's releases are and cost: within a day it stays.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let kinds = super::cell::Kind::ALL.map(|kind| *self.kind(kind));
        let sizes = (self.releases_per_day(), self.is_tree(), self.users_max());
        let spend = (self.spend_unit_nanos(), self.spend_units(crate::units::Micros(u64::MAX)));
        let model = (self.model_examples, self.model_dimensions);
        let bounds = (model, self.segments_per_user());
        let text = format!("{:?}", (kinds, self.parts(), sizes, spend, bounds, self.delta()));
        digest_of(text.as_bytes())
    }
}
