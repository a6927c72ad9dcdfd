//! What an impression is worth to a campaign: pure arithmetic.
//!
//! Floats inside, because predictions are floats; out comes a whole number of CPM micros, rounded
//! to the nearest (an error of at most half a micro, 5e-10 of a currency unit an impression), capped
//! after pacing and never from NaN: an input that is no finite, non-negative number makes the value
//! zero, which is no bid. The cap comes last, so that an impression worth ten times the cap is paced
//! by its worth and not by the cap.

use super::exploration::OVER_MEAN_MAX;
use super::pacing::{PacingKind, PlanKind, Target};
use super::parse::{Exploration, Shading};
use crate::catalog::TermsNeeded;
use crate::units::Micros;
use smallvec::{SmallVec, smallvec};

/// A thousand impressions to the CPM.
const PER_MILLE: f64 = 1_000.0;

/// How the value of an impression is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// The same CPM for all: this one, or the campaign's cap.
    FixedCpm {
        /// CPM micros.
        base_bid: Option<Micros>,
    },
    /// `cpc x pCTR x 1000`.
    Cpc,
    /// `base x pCTR / average pCTR` (Perlich et al. 2012). Before there is an average: `base`.
    Linear {
        /// CPM micros for an impression of average promise.
        base_bid: Micros,
        /// The average, where the strategy fixes it.
        average_p_click: Option<f64>,
    },
    /// `target CPA x CVR x pCTR x 1000`.
    TargetCpa,
    /// `order value / target ROAS x CVR x pCTR x 1000`.
    TargetRoas,
}

impl Objective {
    /// The name in files.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::FixedCpm { .. } => "fixed_cpm",
            Self::Cpc => "cpc",
            Self::Linear { .. } => "linear",
            Self::TargetCpa => "target_cpa",
            Self::TargetRoas => "target_roas",
        }
    }
}

/// What a value is computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ValueInput {
    /// Predicted click probability, 0 to 1.
    pub p_click: f64,
    /// Its average over the campaign's recent auctions; 0 while unknown.
    pub average_p_click: f64,
    /// The campaign's cap, CPM micros.
    pub max_cpm: Micros,
    /// What a click may cost, micros of the account's currency.
    pub cpc_micros: Option<u64>,
    /// What a conversion may cost, micros of the account's currency.
    pub target_cpa_micros: Option<u64>,
    /// Expected conversions of a million clicks.
    pub expected_cvr_ppm: u32,
    /// What an order is expected to be worth, micros of the account's currency; 0 while unknown.
    pub order_value_micros: u64,
    /// Value of orders wanted for a million of cost; 0 for no target.
    pub target_roas_ppm: u32,
}

impl ValueInput {
    fn expected_cvr(&self) -> f64 {
        probability(f64::from(self.expected_cvr_ppm) / 1e6)
    }
}

/// The logarithm of a campaign's price, as a function of that of the click probability: enough to see,
/// without an exponential, that a price cannot reach a bar. The caps are in it, since many a campaign
/// would pay far more for a click than it lets an impression cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LnWorth {
    /// At a click probability of 1; -infinity where there can be no bid.
    at_one: f32,
    /// 1 where the worth grows with the probability, 0 where it does not depend on it.
    slope: f32,
    ln_multiplier_min: f32,
    ln_multiplier_max: f32,
    ln_cap: f32,
}

impl LnWorth {
    /// Of a campaign that cannot bid.
    pub const NEVER: Self = Self {
        at_one: f32::NEG_INFINITY,
        slope: 0.0,
        ln_multiplier_min: 0.0,
        ln_multiplier_max: 0.0,
        ln_cap: f32::NEG_INFINITY,
    };

    /// The same where nothing but the cap is known of a price: conversions are paid for, and how many
    /// there will be is still to be predicted.
    #[must_use]
    pub const fn up_to_its_cap(self) -> Self {
        let is_ever = self.at_one > f32::NEG_INFINITY;
        Self { at_one: if is_ever { f32::INFINITY } else { self.at_one }, ..self }
    }

    /// The logarithm of [`Strategy::price`] in CPM micros, never NaN.
    #[inline]
    #[must_use]
    pub fn price(&self, ln_p_click: f32, ln_multiplier: f32) -> f32 {
        let (least, most) = (self.ln_multiplier_min, self.ln_multiplier_max);
        let multiplier = if ln_multiplier > least { ln_multiplier } else { least };
        let multiplier = if multiplier < most { multiplier } else { most };
        let price = self.at_one + self.slope * ln_p_click + multiplier;
        if price < self.ln_cap { price } else { self.ln_cap }
    }
}

/// Named factors of a price, in the order of the computation.
pub type Factors = SmallVec<[(&'static str, f64); 8]>;

/// One strategy, checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strategy {
    pub(super) objective: Objective,
    pub(super) pacing: PacingKind,
    pub(super) plan: PlanKind,
    pub(super) multiplier_min: f64,
    pub(super) multiplier_max: f64,
    pub(super) max_cpm: Option<Micros>,
    pub(super) prefer_deals: bool,
    pub(super) shading: Shading,
    pub(super) exploration: Exploration,
}

impl Strategy {
    /// How values are computed.
    #[must_use]
    pub const fn objective(&self) -> Objective {
        self.objective
    }

    /// Who controls the multiplier.
    #[must_use]
    pub const fn pacing(&self) -> PacingKind {
        self.pacing
    }

    /// What its spending follows.
    #[must_use]
    pub const fn plan(&self) -> PlanKind {
        self.plan
    }

    /// Whether a bid on a deal goes before any open bid.
    #[must_use]
    pub const fn prefers_deals(&self) -> bool {
        self.prefer_deals
    }

    /// What becomes of its bids in first-price auctions.
    #[must_use]
    pub const fn shading(&self) -> Shading {
        self.shading
    }

    /// How it comes to show ads of which little is known.
    #[must_use]
    pub const fn exploration(&self) -> Exploration {
        self.exploration
    }

    /// The bounds of the pacing multiplier, lower and upper; (1, 1) without pacing.
    #[must_use]
    pub const fn multiplier_bounds(&self) -> (f64, f64) {
        (self.multiplier_min, self.multiplier_max)
    }

    /// What an impression is worth unpaced: CPM micros, at most the caps.
    #[must_use]
    pub fn value(&self, input: &ValueInput) -> Micros {
        self.price(input, 1.0)
    }

    /// The value times the pacing multiplier, which is first brought within its bounds (1 without
    /// pacing); then capped by the campaign's and the strategy's caps. Zero is no bid.
    #[must_use]
    pub fn price(&self, input: &ValueInput, multiplier: f64) -> Micros {
        self.paced(input, multiplier).min(self.cap(input))
    }

    /// The same without the caps: a cap bounds what is bid, and a bid that is shaded lies below what
    /// it is made of.
    #[must_use]
    pub fn paced(&self, input: &ValueInput, multiplier: f64) -> Micros {
        let micros = self.worth(input) * self.bounded(multiplier);
        // A comparison with NaN is false; the cast of a finite float saturates.
        let finite = micros >= 0.0 && micros.is_finite();
        // To the nearest by a shift and the cast's cut: `round` is a call where the processor has no
        // instruction for it.
        Micros(if finite { (micros + 0.5) as u64 } else { 0 })
    }

    /// No bid is above this: the lower of the campaign's and the strategy's caps.
    #[must_use]
    pub fn cap(&self, input: &ValueInput) -> Micros {
        self.max_cpm.map_or(input.max_cpm, |cap| cap.min(input.max_cpm))
    }

    /// The worth's logarithm for a campaign with these terms, whatever their click probability.
    #[must_use]
    pub fn ln_worth(&self, input: &ValueInput) -> LnWorth {
        let at = |p_click| self.worth(&ValueInput { p_click, ..*input });
        let (at_half, at_one) = (at(0.5), at(1.0));
        let is_worth_something = at_one > 0.0;
        if !is_worth_something {
            return LnWorth::NEVER;
        }
        let (least, most) = (self.bounded(0.0), self.bounded(f64::MAX));
        LnWorth {
            at_one: (at_one * self.most_over_mean()).ln() as f32,
            slope: if at_half < at_one { 1.0 } else { 0.0 },
            ln_multiplier_min: least.ln() as f32,
            ln_multiplier_max: most.ln() as f32,
            ln_cap: (self.cap(input).0 as f64).ln() as f32,
        }
    }

    /// Why the price is what it is: each input of the formula, its result and the caps, in CPM
    /// micros where the name ends so.
    #[must_use]
    pub fn factors(&self, input: &ValueInput, multiplier: f64) -> Factors {
        let micros = |value: Option<u64>| value.unwrap_or(0) as f64;
        let mut factors: Factors = match self.objective {
            Objective::FixedCpm { base_bid } => {
                smallvec![("base_bid_micros", base_bid.unwrap_or(input.max_cpm).0 as f64)]
            }
            Objective::Cpc => {
                smallvec![("cpc_micros", micros(input.cpc_micros)), ("p_click", input.p_click)]
            }
            Objective::Linear { base_bid, average_p_click } => smallvec![
                ("base_bid_micros", base_bid.0 as f64),
                ("p_click", input.p_click),
                ("average_p_click", average_p_click.unwrap_or(input.average_p_click)),
            ],
            Objective::TargetCpa => smallvec![
                ("target_cpa_micros", micros(input.target_cpa_micros)),
                ("expected_cvr", input.expected_cvr()),
                ("p_click", input.p_click),
            ],
            Objective::TargetRoas => smallvec![
                ("expected_order_value_micros", input.order_value_micros as f64),
                ("target_roas", f64::from(input.target_roas_ppm) / 1e6),
                ("expected_cvr", input.expected_cvr()),
                ("p_click", input.p_click),
            ],
        };
        factors.push(("value_micros", self.worth(input)));
        factors.push(("multiplier", self.bounded(multiplier)));
        factors.push(("cap_micros", self.cap(input).0 as f64));
        factors.push(("price_micros", self.price(input, multiplier).0 as f64));
        factors
    }

    /// Whether it pays for conversions, so that their rate is in its price.
    #[must_use]
    pub const fn prices_conversions(&self) -> bool {
        matches!(self.objective, Objective::TargetCpa | Objective::TargetRoas)
    }

    /// The terms without which a campaign cannot be bid for at all.
    #[must_use]
    pub const fn terms_needed(&self) -> TermsNeeded {
        TermsNeeded {
            cpc: matches!(self.objective, Objective::Cpc),
            target_cpa: matches!(self.objective, Objective::TargetCpa),
            target_roas: matches!(self.objective, Objective::TargetRoas),
        }
    }

    /// What conversions may cost a campaign with these terms: a target CPA holds under any objective
    /// but `target_roas`, which has its own.
    #[must_use]
    pub fn target(&self, input: &ValueInput) -> Option<Target> {
        let &ValueInput { expected_cvr_ppm, order_value_micros, target_roas_ppm, .. } = input;
        match self.objective {
            Objective::TargetRoas => {
                Target::roas(target_roas_ppm.into(), order_value_micros, expected_cvr_ppm)
            }
            _ => Target::cpa(input.target_cpa_micros?, expected_cvr_ppm),
        }
    }

    /// How far a draw may be above the worth.
    const fn most_over_mean(&self) -> f64 {
        match self.exploration {
            Exploration::None => 1.0,
            Exploration::Thompson { .. } => OVER_MEAN_MAX,
        }
    }

    /// The objective's formula, in CPM micros, uncapped; NaN for a missing term.
    fn worth(&self, input: &ValueInput) -> f64 {
        let micros = |value: Option<u64>| value.map_or(f64::NAN, |value| value as f64);
        let p_click = probability(input.p_click);
        match self.objective {
            Objective::FixedCpm { base_bid } => base_bid.unwrap_or(input.max_cpm).0 as f64,
            Objective::Cpc => micros(input.cpc_micros) * p_click * PER_MILLE,
            Objective::Linear { base_bid, average_p_click } => {
                let average = average_p_click.unwrap_or(input.average_p_click);
                let base = base_bid.0 as f64;
                if average > 0.0 { base * p_click / average } else { base }
            }
            Objective::TargetCpa => {
                micros(input.target_cpa_micros) * input.expected_cvr() * p_click * PER_MILLE
            }
            Objective::TargetRoas => {
                let roas = Some(input.target_roas_ppm).filter(|ppm| *ppm > 0).map(u64::from);
                let cost = input.order_value_micros as f64 * 1e6 / micros(roas);
                cost * input.expected_cvr() * p_click * PER_MILLE
            }
        }
    }

    const fn bounded(&self, multiplier: f64) -> f64 {
        match self.pacing {
            PacingKind::None => 1.0,
            // Both bounds are finite and in order: the file was checked.
            _ => multiplier.clamp(self.multiplier_min, self.multiplier_max),
        }
    }
}

/// A probability above 1 is 1; what is no number or negative stays no number, hence no bid.
const fn probability(p: f64) -> f64 {
    // `f64::min` alone would turn NaN into 1.
    if p >= 0.0 { p.min(1.0) } else { f64::NAN }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
