//! Pacing controllers: pure, in log space, one multiplier for the budget and one for the CPA.
//!
//! A bid is `value * exp(min(ln_budget, ln_cpa))`: the smaller of the two, which is close to the
//! joint optimum where one after the other can violate a constraint badly (Feng, Padmanabhan,
//! Wang 2023, arXiv 2302.08530). The rate of spending always comes from what remains, over the
//! traffic that is still expected ([`PlanKind`]). Controllers see *expected* spend, what is in flight
//! included; whether a bid may be made at all is decided elsewhere, by full holds. Floats live here
//! and touch no account.

mod arms;
mod cpa;
mod in_flight;
mod local;
mod pi;
mod plan;
mod search;
mod snapshot;
mod target;
#[cfg(test)]
mod tests;

pub use arms::{ArmPacing, ArmTerms};
pub use cpa::ReleasedSum;
pub use local::{LocalEntry, LocalPacing, LocalReport};
pub use plan::{DaySpan, PlanKind, Traffic};
pub use snapshot::{Pace, PacingSnapshot};
pub use target::Target;

use crate::catalog::HourMask;
use crate::units::{Nanos, Timestamp};
use cpa::Cpa;
use in_flight::{InFlight, spendable_ms};
use pi::Pi;
use plan::Plan;
use search::Search;
use serde::{Deserialize, Serialize};

/// Lowest multiplier: a thousandth of the value, in logs. Below it a campaign is as good as off.
pub const LN_MIN: f64 = -6.907_755_278_982_137;
/// The feedback on the cost of conversions lies within 0.3 and 3.
const LN_CPA_MIN: f64 = -1.203_972_804_325_936;
/// Three times the value: above it a target is out of reach, not underbid.
const LN_CPA_MAX: f64 = 1.098_612_288_668_109_8;
/// Largest step an auction takes: `0.3 / sqrt(auctions of a day)` where that is smaller.
const AUCTION_GAIN_MAX: f64 = 0.01;
const AUCTION_GAIN: f64 = 0.3;
/// Periods of the controllers in a day: three minutes each, long enough to hold several wins.
const PERIODS_PER_DAY: i64 = 480;
/// What of a day's budget may be left over so that spending can stay even where much is in flight.
const LEAVE: f64 = 0.005;
/// The plan ends before the day does, by the time of so many average bids: the last few wins of a
/// small budget come or do not come by chance, and what they leave must find takers.
const SLACK_BIDS: f64 = 8.0;
/// But by no more than this part of the day: the rest of a budget of few bids is left to chance.
const SLACK_MAX: f64 = 0.04;
/// What is left then is spent over a fifth of that time, and at least over a tenth of a period.
const LAST_SLACKS: f64 = 5.0;
const LAST_PARTS: f64 = 10.0;
/// How far ahead of the plan `ahead` spends: of what remains, so much of its even part and a fifth.
const AHEAD: f64 = 1.2;
/// First guess of what a held nano will cost: half, as if half of the bids won at full price.
const RATIO_PRIOR: f64 = 0.5;
const DAY_MS: f64 = 86_400_000.0;

/// Which controller paces a campaign's budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PacingKind {
    /// None: the value as it is.
    None,
    /// The dual of the plan, moved by each auction (Balseiro, Lu, Mirrokni 2020, arXiv 2011.10124).
    #[default]
    Dual,
    /// Proportional and integral, moved by each period: smoother spend for a little less value.
    Pi,
    /// The dual of a plan that spends early: `1 - (1 - t)^1.2` of the money by a part `t` of the
    /// plan.
    Ahead,
    /// As fast as the market allows: the highest multiplier that the strategy has.
    Asap,
}

impl PacingKind {
    /// Whether the multiplier follows the budget.
    const fn is_controlled(self) -> bool {
        matches!(self, Self::Dual | Self::Pi | Self::Ahead)
    }
}

/// What a tick of the controllers knows of a campaign's money.
#[derive(Clone, Copy, Debug)]
pub struct TickInput {
    /// The time.
    pub now: Timestamp,
    /// The campaign's day.
    pub day: DaySpan,
    /// Billed over all days: it only grows, but for a rare correction.
    pub billed: Nanos,
    /// What may still be billed on this day.
    pub unbilled: Nanos,
}

/// A campaign's controllers as people see them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PacingStatus {
    /// Log of the budget's multiplier.
    pub ln_budget: f64,
    /// Log of the multiplier that holds the target of conversions.
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
    is_on_releases: bool,
    ln_budget: f64,
    ln_cap: f64,
    flight: InFlight,
    plan: Plan,
    pi: Pi,
    search: Search,
    plan_nanos: f64,
    gain: f64,
    /// Billed at the first tick, at the last one, and when the day began.
    first_billed: Option<f64>,
    billed: f64,
    day_billed: f64,
    ticked: Option<(Timestamp, DaySpan)>,
    /// The multiplier's log before the last minutes of the day, in which what is left goes out.
    resume: Option<f64>,
}

impl CampaignPacing {
    /// Controllers at rest.
    #[must_use]
    pub fn new(kind: PacingKind, target: Option<Target>) -> Self {
        let cpa = target.map(Cpa::new);
        let ln_cap = if cpa.is_some() { LN_CPA_MAX } else { 0.0 };
        Self {
            kind,
            ln_budget: if kind.is_controlled() { 0.0 } else { ln_cap },
            cpa,
            is_on_releases: false,
            ln_cap,
            flight: InFlight::default(),
            plan: Plan::new(PlanKind::default(), None),
            pi: if kind == PacingKind::Pi { Pi::alone() } else { Pi::beside_the_dual() },
            search: Search::default(),
            plan_nanos: 0.0,
            gain: 0.0,
            first_billed: None,
            billed: 0.0,
            day_billed: 0.0,
            ticked: None,
            resume: None,
        }
    }

    /// The same for a strategy whose bids may be paced up to `max_ppm` millionths of the value.
    #[must_use]
    pub fn up_to(mut self, max_ppm: u64) -> Self {
        if self.kind != PacingKind::None && max_ppm > 0 {
            // A target needs room above the value, whatever the strategy says of the budget.
            let least = if self.cpa.is_some() { LN_CPA_MAX } else { LN_MIN };
            self.ln_cap = (max_ppm as f64 / 1e6).ln().clamp(least, -LN_MIN);
            self.ln_budget = if self.kind.is_controlled() {
                self.ln_budget.min(self.ln_cap)
            } else {
                self.ln_cap
            };
        }
        self
    }

    /// The same on another plan, for a campaign that bids only in `hours` of the week.
    #[must_use]
    pub fn on_plan(mut self, plan: PlanKind, hours: Option<HourMask>) -> Self {
        self.plan = Plan::new(plan, hours);
        self
    }

    /// The same, counting released conversions in place of observed ones.
    #[must_use]
    pub fn on_releases(mut self) -> Self {
        self.is_on_releases = true;
        self.cpa = self.cpa.map(Cpa::on_releases);
        self
    }

    /// Takes another target, or none, and keeps all that does not depend on it. What is known of
    /// conversions stays where the new target counts them in the same way.
    pub fn aim_at(&mut self, target: Option<Target>) {
        let before = self.cpa.take();
        self.cpa = target.map(|target| {
            let kept = before.and_then(|cpa| cpa.aimed_at(target));
            kept.unwrap_or_else(|| {
                let fresh = Cpa::new(target);
                if self.is_on_releases { fresh.on_releases() } else { fresh }
            })
        });
    }

    /// Adds what a core reports.
    pub fn fold(&mut self, core: u16, entry: &LocalEntry) {
        let change = f64::from(entry.change);
        self.ln_budget = (self.ln_budget + change).clamp(LN_MIN, self.ln_cap);
        self.search.fold(entry.auctions, change);
        self.plan.fold(entry.auctions);
        if let Some(cpa) = &mut self.cpa {
            cpa.show(f64::from(entry.clicks_predicted));
        }
        let (held, late) = (entry.held.0 as f64, entry.late.0 as f64);
        self.flight.fold(core, entry.placed as f64, entry.bids, held, late);
    }

    /// A conversion of `value`, owed to a click or a view at `touched_at`.
    pub fn convert(&mut self, at: Timestamp, touched_at: Timestamp, value: Nanos) {
        if let Some(cpa) = &mut self.cpa {
            cpa.convert(at, touched_at, value);
        }
    }

    /// Conversions that were released. Without [`CampaignPacing::on_releases`] they are not heard, as with
    /// it observed ones are not.
    pub fn release(&mut self, released: ReleasedSum) {
        if let Some(cpa) = &mut self.cpa {
            cpa.release(released);
        }
    }

    /// One tick: takes in what happened, and plans what comes.
    pub fn tick(&mut self, input: &TickInput) {
        let TickInput { now, day, .. } = *input;
        let billed = input.billed.0 as f64;
        let first = *self.first_billed.get_or_insert(billed);
        let period_ms = (day.ends.millis_since(day.starts) / PERIODS_PER_DAY).max(1);
        if let Some(cpa) = &mut self.cpa {
            let is_held_lower = self.ln_budget < cpa.ln();
            cpa.tick(now, billed - first, period_ms, is_held_lower);
        }
        let before = self.ticked.replace((now, day));
        if before.is_none_or(|(_, before)| before != day) {
            self.day_billed = if before.is_some() { self.billed.min(billed) } else { billed };
            self.ln_budget = self.resume.take().unwrap_or(self.ln_budget);
        }
        let elapsed_ms = before.map_or(0, |(at, _)| now.millis_since(at)).max(0) as f64;
        let newly = if before.is_some() { (billed - self.billed).max(0.0) } else { 0.0 };
        self.flight.tick(newly, elapsed_ms, day.length_ms());
        self.billed = billed;
        self.plan.tick(now, day);
        if !self.kind.is_controlled() {
            return;
        }
        let in_flight = self.flight.expected();
        let per_ms = self.rate(input, in_flight, period_ms as f64);
        let spent = billed + in_flight;
        let moved = self.pi.tick(now, period_ms, spent, per_ms, self.flight.mean_bid());
        self.ln_budget = (self.ln_budget + moved).clamp(LN_MIN, self.ln_cap);
        if self.kind == PacingKind::Pi {
            return;
        }
        let auctions = self.plan.auctions_per_day();
        if auctions > 0.0 {
            self.search.tick(auctions);
            let gain = (AUCTION_GAIN / auctions.sqrt()).min(AUCTION_GAIN_MAX);
            self.gain = gain * self.search.factor();
            let traffic = self.plan.auctions_per_ms();
            self.plan_nanos = if traffic > 0.0 { per_ms / traffic } else { 0.0 };
        }
    }

    /// Nanos to be spent in a millisecond now.
    fn rate(&mut self, input: &TickInput, in_flight: f64, period_ms: f64) -> f64 {
        let remaining = (input.unbilled.0 as f64 - in_flight).max(0.0);
        let budget = input.unbilled.0 as f64 + (self.billed - self.day_billed).max(0.0);
        let least_ms = period_ms / LAST_PARTS;
        let day_left_ms = (input.day.ends.millis_since(input.now) as f64).max(least_ms);
        let tied_ms = self.flight.tied_for_ms();
        let spendable_ms = spendable_ms(day_left_ms, tied_ms, remaining, LEAVE * budget);
        let left_ms = self.plan.left_ms(input.now) * spendable_ms / day_left_ms;
        let slack = (SLACK_BIDS * self.flight.mean_bid() / budget.max(1.0)).min(SLACK_MAX);
        let slack_ms = slack * input.day.length_ms();
        let least_ms = least_ms.max(slack_ms / LAST_SLACKS);
        if left_ms < slack_ms + least_ms && self.resume.is_none() {
            self.resume = Some(self.ln_budget);
        }
        let factor = if self.kind == PacingKind::Ahead { AHEAD } else { 1.0 };
        factor * remaining / (left_ms - slack_ms).max(least_ms)
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
            cost_ratio: self.flight.cost_ratio() as f32,
        }
    }

    /// The state, for people.
    #[must_use]
    pub fn status(&self) -> PacingStatus {
        PacingStatus {
            ln_budget: self.ln_budget,
            ln_cpa: self.ln_cpa(),
            cost_ratio: self.flight.cost_ratio(),
            auctions_per_s: self.plan.auctions_per_ms() * 1_000.0,
            conversions: self.cpa.as_ref().map_or(0, |cpa| cpa.seen),
            conversion_ratio: self.cpa.as_ref().map_or(1.0, |cpa| cpa.ratio),
        }
    }

    fn ln_cpa(&self) -> f64 {
        self.cpa.as_ref().map_or(self.ln_cap, Cpa::ln)
    }
}
