//! Pacing controllers: pure, in log space, one multiplier for the budget and one for the CPA.
//!
//! A bid is `value * exp(min(ln_budget, ln_cpa))`: the smaller of the two, which is close to the
//! joint optimum where one after the other can violate a constraint badly (Feng, Padmanabhan,
//! Wang 2023, arXiv 2302.08530). The budget's is the dual of "spend evenly over the day"
//! (Balseiro, Lu, Mirrokni 2020, arXiv 2011.10124), with the rate always taken from what remains.
//! Controllers see *expected* spend, what is in flight included; whether a bid may be made at all
//! is decided elsewhere, by full holds. Floats live here and touch no account.

mod cpa;
mod local;
mod snapshot;
#[cfg(test)]
mod tests;

pub use local::{LocalEntry, LocalPacing, LocalReport};
pub use snapshot::{Pace, PacingSnapshot};

use crate::units::{Micros, Nanos, Timestamp};
use cpa::Cpa;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

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
