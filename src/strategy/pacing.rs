//! Pacing controllers: pure, in log space, one multiplier for the budget and one for the CPA.
//!
//! A bid is `value * exp(min(ln_budget, ln_cpa))`: the smaller of the two, which is close to the
//! joint optimum where one after the other can violate a constraint badly (Feng, Padmanabhan,
//! Wang 2023, arXiv 2302.08530). The budget's is the dual of "spend evenly over the day"
//! (Balseiro, Lu, Mirrokni 2020, arXiv 2011.10124), with the rate always taken from what remains.
//! Controllers see *expected* spend, what is in flight included; whether a bid may be made at all
//! is decided elsewhere, by full holds. Floats live here and touch no account.

use crate::prefetch::prefetch;
use crate::units::{Micros, Nanos, Slot, Timestamp};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// Lowest multiplier: a thousandth of the value, in logs. Below it a campaign is as good as off.
pub const LN_MIN: f64 = -6.907_755_278_982_137;
/// The CPA multiplier lies within 0.3 and 3.
const LN_CPA_MIN: f64 = -1.203_972_804_325_936;
/// Three times the value: above it a target is out of reach, not underbid.
const LN_CPA_MAX: f64 = 1.098_612_288_668_109_8;
/// Largest step an auction takes: `0.3 / sqrt(auctions of a day)` where that is smaller.
const AUCTION_GAIN_MAX: f64 = 0.01;
const AUCTION_GAIN: f64 = 0.3;
/// Gain of the tick's correction for spend off the plan.
const TICK_GAIN: f64 = 0.10;
/// Ticks of the controllers in a day: three minutes each, long enough to hold several wins.
const PERIODS_PER_DAY: i64 = 480;
/// The plan ends at least this part of the day before the day does (22 minutes of 24 hours), so
/// that bids which lose, or bills which are late, do not leave a remainder that nobody can spend.
const PLAN_SLACK: i64 = 64;
/// And at most this part: an hour of 24, however long an exchange may take to bill.
const PLAN_SLACK_MAX: i64 = 24;
/// Spend, in bids at cap, that a period must expect for its error to be believed in full: some
/// thirty wins, which cost about a third of the cap.
const BELIEVED_BIDS: f64 = 10.0;
/// Bids at cap for which the first guess of the cost ratio stands.
const RATIO_PRIOR_BIDS: f64 = 20.0;
/// First guess of what a held nano will cost: half, as if half of the bids won at full price.
const RATIO_PRIOR: f64 = 0.5;
/// Gain of the CPA multiplier in a period.
const CPA_GAIN: f64 = 0.05;
/// Conversions that the first guess (the model is right) weighs.
const CPA_PRIOR: f64 = 10.0;
/// Estimated conversions below which the CPA multiplier rests.
const CPA_CONVERSIONS_MIN: f64 = 10.0;
/// Half-life of evidence on conversions, in milliseconds: 0.15 of a day.
const CPA_HALF_LIFE_MS: f64 = 0.15 * DAY_MS;
/// First guess of the mean delay of a conversion, in milliseconds, and its weight in conversions.
const DELAY_PRIOR_MS: f64 = 1_800_000.0;
const DELAY_PRIOR: f64 = 5.0;
/// Cohorts kept: a day of periods, seven half-lives.
const COHORTS_MAX: usize = PERIODS_PER_DAY as usize;
const DAY_MS: f64 = 86_400_000.0;

/// Which controller paces a campaign's budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PacingKind {
    /// None: as fast as the market allows.
    None,
    /// The dual of an even plan.
    #[default]
    Dual,
}

/// A campaign's multipliers, as the auction reads them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Generation of the campaign's slot.
    pub generation: u32,
    /// Log of the budget's multiplier.
    pub ln_budget: f32,
    /// Log of the CPA's multiplier; at the cap where there is no target.
    pub ln_cpa: f32,
    /// Highest `ln_budget`.
    pub ln_cap: f32,
    /// Step of one auction; 0 where nothing is paced.
    pub gain: f32,
    /// Nanos that the plan spends in one eligible auction; 0 when not known.
    pub plan_nanos: f32,
    /// Expected cost of a held nano.
    pub cost_ratio: f32,
}

impl Pace {
    /// What an unknown campaign has: its value, as it is.
    pub const NEUTRAL: Self = Self {
        generation: 0,
        ln_budget: 0.0,
        ln_cpa: 0.0,
        ln_cap: 0.0,
        gain: 0.0,
        plan_nanos: 0.0,
        cost_ratio: RATIO_PRIOR as f32,
    };

    /// The factor on the value.
    #[must_use]
    pub fn multiplier(&self) -> f32 {
        self.ln_budget.min(self.ln_cpa).exp()
    }
}

/// All multipliers, by slot index, with the reports of each core that went into them.
#[derive(Clone, Debug, Default)]
pub struct PacingSnapshot {
    /// Grows with each publication.
    pub epoch: u64,
    /// The number of the last report that was folded, by core.
    pub folded: Vec<(u16, u32)>,
    /// By slot index.
    pub paces: Vec<Pace>,
}

impl PacingSnapshot {
    /// The pace of a slot; neutral when its generation is not the published one.
    #[must_use]
    pub fn pace(&self, slot: Slot) -> Pace {
        let found = self.paces.get(slot.index as usize);
        found.filter(|pace| pace.generation == slot.generation).map_or(Pace::NEUTRAL, |pace| *pace)
    }

    fn folded(&self, core: u16) -> u32 {
        self.folded.iter().find(|(of, _)| *of == core).map_or(0, |(_, number)| *number)
    }
}

/// One core's own change of the multipliers, until a tick has folded it in.
#[derive(Debug)]
pub struct LocalPacing {
    core: u16,
    number: u32,
    adopted: u32,
    entries: Vec<Local>,
    touched: Vec<u32>,
}

/// No snapshot's epoch: they count from 0, and a process ends before it has published this many.
const NEVER_READ: u32 = u32::MAX;

/// One campaign: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Local {
    /// As published at `epoch`; its generation is this line's.
    published: Pace,
    /// The low half of the snapshot's epoch; [`NEVER_READ`] before the first look.
    epoch: u32,
    change: f32,
    reported: f32,
    auctions: u32,
    placed: u64,
    is_touched: bool,
}

const _: () = assert!(size_of::<Local>() == 64);

impl Local {
    /// Nothing changed, and nothing published that it knows of.
    const EMPTY: Self = Self {
        published: Pace::NEUTRAL,
        epoch: NEVER_READ,
        change: 0.0,
        reported: 0.0,
        auctions: 0,
        placed: 0,
        is_touched: false,
    };

    /// Begins anew for the campaign of `slot`, unless it is its own already.
    fn become_slots(&mut self, slot: Slot) {
        if self.published.generation != slot.generation {
            let published = Pace { generation: slot.generation, ..Pace::NEUTRAL };
            *self = Self { published, is_touched: self.is_touched, ..Self::EMPTY };
        }
    }
}

/// What one core did since its last report.
#[derive(Clone, Debug)]
pub struct LocalReport {
    /// Which core.
    pub core: u16,
    /// Grows with each report.
    pub number: u32,
    /// One for each campaign that had an auction or has holds.
    pub entries: Box<[LocalEntry]>,
}

/// One campaign's part of a report.
#[derive(Clone, Copy, Debug)]
pub struct LocalEntry {
    /// The campaign's slot.
    pub slot: Slot,
    /// Change of `ln_budget`.
    pub change: f32,
    /// Auctions in which it could have bid.
    pub auctions: u32,
    /// Held since the last report, in nanos.
    pub placed: u64,
    /// Held at present by bids that may still win.
    pub held: Nanos,
}

impl LocalPacing {
    /// Nothing changed yet.
    #[must_use]
    pub const fn new(core: u16) -> Self {
        Self { core, number: 0, adopted: 0, entries: Vec::new(), touched: Vec::new() }
    }

    /// The published pace with this core's own change on it. What was published is copied on the
    /// first look after a publication, so that later ones find it beside the change.
    pub fn pace(&mut self, slot: Slot, snapshot: &PacingSnapshot) -> Pace {
        let local = self.local(slot);
        let epoch = snapshot.epoch as u32;
        if local.epoch != epoch {
            let published = snapshot.pace(slot);
            local.published = Pace { generation: slot.generation, ..published };
            local.epoch = epoch;
        }
        let mut pace = local.published;
        let moved = pace.ln_budget + local.change + local.reported;
        pace.ln_budget = moved.clamp(LN_MIN as f32, pace.ln_cap);
        pace
    }

    /// The line of a slot, empty where another campaign had it.
    fn local(&mut self, slot: Slot) -> &mut Local {
        let index = slot.index as usize;
        if self.entries.len() <= index {
            self.entries.resize(index + 1, Local::EMPTY);
        }
        let local = &mut self.entries[index];
        local.become_slots(slot);
        local
    }

    /// Asks for what [`LocalPacing::pace`] will read.
    pub fn prefetch(&self, slot: Slot) {
        prefetch(&self.entries, slot.index as usize);
    }

    /// An auction in which the campaign could have bid, and what it holds for it: the step
    /// `ln_budget -= gain * (expected cost / planned cost - 1)`.
    pub fn on_auction(&mut self, slot: Slot, pace: &Pace, held: Option<Micros>) {
        let local = self.local(slot);
        let is_new = !std::mem::replace(&mut local.is_touched, true);
        local.auctions = local.auctions.saturating_add(1);
        let held = held.map_or(0, |price| price.0);
        local.placed = local.placed.saturating_add(held);
        if pace.gain > 0.0 && pace.plan_nanos > 0.0 {
            let cost = held as f32 * pace.cost_ratio;
            let step = pace.gain * (1.0 - cost / pace.plan_nanos);
            // One bid may cost a hundred times the plan of one auction where budgets are small.
            local.change += step.max(-1.0);
            let moved = pace.ln_budget + step;
            if moved > pace.ln_cap {
                local.change -= moved - pace.ln_cap; // nothing winds up at the cap
            }
        }
        if is_new {
            self.touched.push(slot.index);
        }
    }

    /// What happened since the last report; `held` says what a campaign holds at present.
    pub fn report(&mut self, held: impl Fn(Slot) -> Nanos) -> LocalReport {
        self.number += 1;
        let touched = std::mem::take(&mut self.touched);
        let mut entries = Vec::with_capacity(touched.len());
        for index in touched {
            let local = &mut self.entries[index as usize];
            let slot = Slot { index, generation: local.published.generation };
            let held = held(slot);
            let &mut Local { change, auctions, placed, .. } = local;
            entries.push(LocalEntry { slot, change, auctions, placed, held });
            local.reported += change;
            (local.change, local.auctions, local.placed) = (0.0, 0, 0);
            // What holds money is reported until it does no more.
            local.is_touched = held > Nanos::ZERO;
            if local.is_touched {
                self.touched.push(index);
            }
        }
        LocalReport { core: self.core, number: self.number, entries: entries.into() }
    }

    /// Drops the changes that `snapshot` contains.
    pub fn adopt(&mut self, snapshot: &PacingSnapshot) {
        let folded = snapshot.folded(self.core);
        if folded >= self.number && self.adopted < folded {
            self.adopted = folded;
            self.entries.iter_mut().for_each(|local| local.reported = 0.0);
        }
    }
}

/// What a tick of the controllers knows of a campaign's money.
#[derive(Clone, Copy, Debug)]
pub struct TickInput {
    /// The time.
    pub now: Timestamp,
    /// When the campaign's day began.
    pub day_starts: Timestamp,
    /// When it ends.
    pub day_ends: Timestamp,
    /// Billed over all days: it only grows, but for a rare correction.
    pub billed: Nanos,
    /// What may still be billed on this day.
    pub unbilled: Nanos,
    /// For how long a bid that nobody tells of holds its money, in milliseconds.
    pub window_ms: i64,
}

/// A campaign's controllers as people see them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PacingStatus {
    /// Log of the budget's multiplier.
    pub ln_budget: f64,
    /// Log of the CPA's multiplier.
    pub ln_cpa: f64,
    /// Expected cost of a held nano.
    pub cost_ratio: f64,
    /// Eligible auctions in a second, smoothed.
    pub auctions_per_s: f64,
    /// Conversions seen. Not for reports: what users did leaves as private releases only.
    #[serde(skip)]
    pub conversions: u64,
    /// Conversions per expected conversion, delays taken into account; from it they could be told.
    #[serde(skip)]
    pub conversion_ratio: f64,
}

/// One campaign's controllers.
#[derive(Debug)]
pub struct CampaignPacing {
    kind: PacingKind,
    cpa: Option<Cpa>,
    ln_budget: f64,
    ln_cap: f64,
    cap_nanos: f64,
    /// Held now, by core.
    held: FxHashMap<u16, f64>,
    placed: f64,
    auctions: f64,
    auctions_per_ms: f64,
    plan_nanos: f64,
    gain: f64,
    first_billed: Option<f64>,
    billed: f64,
    ticked: Timestamp,
    period: Option<Period>,
}

#[derive(Clone, Copy, Debug)]
struct Period {
    began: Timestamp,
    spent: f64,
    target_per_ms: f64,
}

impl CampaignPacing {
    /// Controllers at rest, for a campaign whose bids are capped at `max_price`.
    #[must_use]
    pub fn new(kind: PacingKind, target_cpa: Option<Nanos>, max_price: Micros) -> Self {
        let cpa = target_cpa.filter(|target| *target > Nanos::ZERO).map(Cpa::new);
        let ln_cap = if cpa.is_some() { LN_CPA_MAX } else { 0.0 };
        Self {
            kind,
            ln_budget: ln_cap.min(0.0).max(if kind == PacingKind::None { ln_cap } else { 0.0 }),
            cpa,
            ln_cap,
            cap_nanos: (max_price.0 as f64).max(1.0),
            held: FxHashMap::default(),
            placed: 0.0,
            auctions: 0.0,
            auctions_per_ms: 0.0,
            plan_nanos: 0.0,
            gain: 0.0,
            first_billed: None,
            billed: 0.0,
            ticked: Timestamp(0),
            period: None,
        }
    }

    /// The same for a strategy whose bids may be paced up to `max_ppm` millionths of the value.
    #[must_use]
    pub fn up_to(mut self, max_ppm: u64) -> Self {
        if self.kind == PacingKind::Dual && max_ppm > 0 {
            // A target needs room above the value, whatever the strategy says of the budget.
            let least = if self.cpa.is_some() { LN_CPA_MAX } else { LN_MIN };
            self.ln_cap = (max_ppm as f64 / 1e6).ln().clamp(least, -LN_MIN);
            self.ln_budget = self.ln_budget.min(self.ln_cap);
        }
        self
    }

    /// Adds what a core reports.
    pub fn fold(&mut self, core: u16, entry: &LocalEntry) {
        self.ln_budget = (self.ln_budget + f64::from(entry.change)).clamp(LN_MIN, self.ln_cap);
        self.auctions += f64::from(entry.auctions);
        self.placed += entry.placed as f64;
        self.held.insert(core, entry.held.0 as f64);
    }

    /// A conversion, of a click at `click_at` where that is known.
    pub fn convert(&mut self, at: Timestamp, click_at: Option<Timestamp>) {
        if let Some(cpa) = &mut self.cpa {
            cpa.convert(at, click_at);
        }
    }

    /// One tick: corrects for spend off the plan, and plans what comes.
    pub fn tick(&mut self, input: &TickInput) {
        let billed = input.billed.0 as f64;
        self.billed = billed;
        let first = *self.first_billed.get_or_insert(billed);
        let period_ms = (input.day_ends.millis_since(input.day_starts) / PERIODS_PER_DAY).max(1);
        if let Some(cpa) = &mut self.cpa {
            cpa.tick(input.now, billed - first, period_ms);
        }
        // The plan is done a little before the day: what is left by then goes out at once. What a
        // bid holds without news comes back a window later, and must do so before midnight.
        let day_ms = input.day_ends.millis_since(input.day_starts);
        let slack_ms = input.window_ms.clamp(day_ms / PLAN_SLACK, day_ms / PLAN_SLACK_MAX);
        let left_ms = input.day_ends.millis_since(input.now) - slack_ms;
        let left_ms = left_ms.max(period_ms) as f64;
        let in_flight = self.held.values().sum::<f64>() * self.cost_ratio();
        let spent = billed + in_flight;
        let target_per_ms = (input.unbilled.0 as f64 - in_flight).max(0.0) / left_ms;
        self.measure_traffic(input.now, period_ms);
        let length_ms = (period_ms as f64 + left_ms).max(DAY_MS / 2.0);
        let auctions = self.auctions_per_ms * length_ms;
        if self.kind == PacingKind::Dual && auctions > 0.0 {
            self.gain = (AUCTION_GAIN / auctions.sqrt()).min(AUCTION_GAIN_MAX);
            self.plan_nanos = target_per_ms / self.auctions_per_ms;
        }
        let period = *self.period.get_or_insert(Period { began: input.now, spent, target_per_ms });
        let elapsed_ms = input.now.millis_since(period.began);
        if elapsed_ms >= period_ms {
            let target = period.target_per_ms * elapsed_ms as f64;
            if self.kind == PacingKind::Dual && target > 0.0 {
                let error = ((spent - period.spent) / target - 1.0).clamp(-1.0, 1.5);
                let belief = (target / (BELIEVED_BIDS * self.cap_nanos)).min(1.0);
                let moved = self.ln_budget - TICK_GAIN * belief * error;
                self.ln_budget = moved.clamp(LN_MIN, self.ln_cap);
            }
            self.period = Some(Period { began: input.now, spent, target_per_ms });
        }
    }

    /// What the auction is to read.
    #[must_use]
    pub fn pace(&self, generation: u32) -> Pace {
        Pace {
            generation,
            ln_budget: self.ln_budget as f32,
            ln_cpa: self.ln_cpa() as f32,
            ln_cap: self.ln_cap as f32,
            gain: self.gain as f32,
            plan_nanos: self.plan_nanos as f32,
            cost_ratio: self.cost_ratio() as f32,
        }
    }

    /// The state, for people.
    #[must_use]
    pub fn status(&self) -> PacingStatus {
        PacingStatus {
            ln_budget: self.ln_budget,
            ln_cpa: self.ln_cpa(),
            cost_ratio: self.cost_ratio(),
            auctions_per_s: self.auctions_per_ms * 1_000.0,
            conversions: self.cpa.as_ref().map_or(0, |cpa| cpa.seen),
            conversion_ratio: self.cpa.as_ref().map_or(1.0, |cpa| cpa.ratio),
        }
    }

    fn ln_cpa(&self) -> f64 {
        self.cpa.as_ref().map_or(self.ln_cap, |cpa| cpa.ln)
    }

    /// Billed per nano held, over holds that are decided, with a prior.
    fn cost_ratio(&self) -> f64 {
        let decided = (self.placed - self.held.values().sum::<f64>()).max(0.0);
        let prior = RATIO_PRIOR_BIDS * self.cap_nanos;
        let billed = self.billed - self.first_billed.unwrap_or(self.billed);
        ((billed + RATIO_PRIOR * prior) / (decided + prior)).clamp(1e-3, 1.0)
    }

    /// Smooths the rate of eligible auctions over about twenty periods.
    fn measure_traffic(&mut self, now: Timestamp, period_ms: i64) {
        let elapsed_ms = now.millis_since(self.ticked);
        if self.ticked == Timestamp(0) || elapsed_ms <= 0 {
            self.ticked = now;
            return;
        }
        let rate = self.auctions / elapsed_ms as f64;
        let share = (elapsed_ms as f64 / (20.0 * period_ms as f64)).min(1.0);
        // The first rate stands for itself.
        let share = if self.auctions_per_ms == 0.0 { 1.0 } else { share };
        self.auctions_per_ms += share * (rate - self.auctions_per_ms);
        self.auctions = 0.0;
        self.ticked = now;
    }
}

/// Holds the cost of a conversion at its target, corrected for conversions still to come: the cost
/// of a cohort stands for the conversions it should bring, `G(age) = 1 - exp(-age / delay)` for
/// the share of them that should have come.
#[derive(Debug)]
struct Cpa {
    target: f64,
    ln: f64,
    ratio: f64,
    cohorts: VecDeque<Cohort>,
    cost: f64,
    delay_ms: f64,
    delays: f64,
    seen: u64,
    moved: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Cohort {
    began: Timestamp,
    expected: f64,
    seen: f64,
    /// The multiplier under which it was bought.
    ln: f64,
}

impl Cpa {
    fn new(target: Nanos) -> Self {
        Self {
            target: target.0 as f64,
            ln: 0.0,
            ratio: 1.0,
            cohorts: VecDeque::new(),
            cost: 0.0,
            delay_ms: DELAY_PRIOR_MS,
            delays: DELAY_PRIOR,
            seen: 0,
            moved: None,
        }
    }

    fn convert(&mut self, at: Timestamp, click_at: Option<Timestamp>) {
        self.seen += 1;
        let began = click_at.unwrap_or(at).min(at);
        self.delays += 1.0;
        self.delay_ms += (at.millis_since(began) as f64 - self.delay_ms) / self.delays;
        let cohorts = self.cohorts.iter_mut().rev();
        if let Some(cohort) = cohorts.into_iter().find(|cohort| cohort.began <= began) {
            cohort.seen += 1.0;
        } else if let Some(oldest) = self.cohorts.front_mut() {
            oldest.seen += 1.0;
        }
    }

    fn tick(&mut self, now: Timestamp, cost: f64, period_ms: i64) {
        if let Some(current) = self.cohorts.back_mut() {
            current.expected += (cost - self.cost).max(0.0) / self.target;
        }
        self.cost = cost;
        let moved = *self.moved.get_or_insert(now);
        if !self.cohorts.is_empty() && now.millis_since(moved) < period_ms {
            return;
        }
        self.moved = Some(now);
        let (mut seen, mut matured, mut expected) = (0.0, 0.0, 0.0);
        for cohort in &self.cohorts {
            let age_ms = (now.millis_since(cohort.began) - period_ms / 2).max(0) as f64;
            let weight = (-age_ms / CPA_HALF_LIFE_MS).exp2();
            let due = 1.0 - (-age_ms / self.delay_ms.max(1.0)).exp();
            // What it would have cost at today's multiplier. Without this the controller would go
            // on answering to prices that it has stopped paying, and swing.
            let cost = cohort.expected * (self.ln - cohort.ln).exp();
            seen += weight * cohort.seen;
            matured += weight * due * cost;
            expected += weight * cost;
        }
        self.ratio = (seen + CPA_PRIOR) / (matured + CPA_PRIOR);
        let estimated = seen + self.ratio * (expected - matured).max(0.0);
        if matured >= CPA_CONVERSIONS_MIN && estimated > 0.0 {
            let error = (estimated / expected).ln().clamp(-1.0, 1.0);
            self.ln = (self.ln + CPA_GAIN * error).clamp(LN_CPA_MIN, LN_CPA_MAX);
        }
        self.cohorts.push_back(Cohort { began: now, expected: 0.0, seen: 0.0, ln: self.ln });
        if self.cohorts.len() > COHORTS_MAX {
            self.cohorts.pop_front();
        }
    }
}
