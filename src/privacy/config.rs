//! The privacy configuration, and the plan that a valid one becomes.
//!
//! [`Config`] is what an operator writes; [`Plan`] can only be made from one that passed every
//! check, so whoever holds a `Plan` holds bounds, shares and noise that fit together.

use super::accountant::Rho;
use super::bound::Bound;
use super::cell::{KINDS, Kind};
pub use super::claim::{Claim, Part};
use super::mechanism::{Continual, Scale};
use super::mode::Mode;
use super::model::{self, ModelKind};
use super::segments;
use crate::units::Micros;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The largest epsilon of a user-day that needs no `allow_weak`.
const EPSILON_STRONG_MAX: f64 = 4.0;
/// The largest epsilon at all: beyond it the claim would say nothing.
const EPSILON_MAX: f64 = 32.0;
/// Most releases a day: one a minute. Each costs one draw per cell and kind.
const RELEASES_PER_DAY_MAX: u16 = 1_440;
/// Most cells that a bound may allow a user: it is what a user's entry can grow to.
const CELLS_MAX: u8 = 32;
/// Most users tracked in a day: at about 150 bytes each this is 10 GB, an operator's choice.
const USERS_MAX: u32 = 1 << 26;
/// Longest half-life of the released sums: a year, after which nothing is "recent".
const HALF_LIFE_HOURS_MAX: u32 = 8_760;
/// The part of the day's rho that pays for saying when the day is full: a thousandth is an epsilon of
/// 0.02 at the default budget.
const USERS_PART: u64 = 1_000;
/// `users_max` in units of `1 / epsilon` of that comparison: with fewer its noise alone could close
/// the day, or open it beyond twice `users_max`.
const USERS_PER_SCALE_MIN: f64 = 100.0;
/// Most levels of an impression's price: `c` in units of spend then fits 16 bits.
const SPEND_LEVELS_MAX: u16 = 256;
/// Highest price that can be the clamp: a thousand units of currency a thousand impressions.
const SPEND_CPM_MICROS_MAX: u64 = 1_000_000_000;

/// The click rate before any release, where nobody says better: a display ad's, to a factor of
/// three.
pub(super) const BASE_RATE: f64 = 0.002;

/// What an operator may set. Unknown keys are refused, and a kind's table must be complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `standard` (default) or `strict`.
    pub mode: Mode,
    /// Epsilon of one user-day, (0, 4], or up to 32 with `allow_weak`. Default 4.
    pub epsilon: f64,
    /// Delta of one user-day, (0, 1e-3]. Default 1e-6.
    pub delta: f64,
    /// Accepts an epsilon above 4. Default false.
    pub allow_weak: bool,
    /// Releases in a UTC day, 1 to 1,440, evenly spaced. Default 288.
    pub releases_per_day: u16,
    /// What counts through the day. Default `toeplitz`.
    pub mechanism: MechanismKind,
    /// Half-life of the released sums that priors are made of, in hours, 1 to 8,760. Default 72.
    pub half_life_hours: u32,
    /// Users counted in a day, some 5,000 to 2^26, about: a noisy comparison says when they are
    /// enough, and later ones are not counted. At most `1 / delta`. Default 1,000,000.
    pub users_max: u32,
    /// Percent of the day's rho for the sizes of segments, 0 to 100. Default 0: none are released.
    pub segments_rho_percent: u8,
    /// `L0`: segments in which a user counts in a day, the first ones, 1 to 16. Default 3.
    pub segments_per_user: u8,
    /// What the click model may see of others' shows. Default `plain`: all of them.
    pub model: ModelKind,
    /// Percent of the day's rho for learning, 1 to 100 with `dp-ftrl`, else 0. Default 0.
    pub model_rho_percent: u8,
    /// Shown ads of a user that teach in a day, 1 to 64; the noise grows with it. Default 3.
    pub model_examples: u16,
    /// Log2 of the number of hashed features of a model that learns from releases, 10 to 16: each is a
    /// number that every tick releases. Default 12.
    pub model_bits: u8,
    /// The price per thousand at which an impression's spend is clamped, in micros of the account's
    /// currency, up to 10^9. Default 20,000,000.
    pub spend_cpm_micros_max: u64,
    /// Units that the clamped price is divided into, 1 to 256; spend is rounded to them. Default 200.
    pub spend_levels: u16,
    /// Bound and share of impressions.
    pub impressions: KindConfig,
    /// Bound and share of clicks.
    pub clicks: KindConfig,
    /// Bound and share of conversions.
    pub conversions: KindConfig,
    /// Bound and share of spend; its bounds are in impressions at the clamped price.
    pub spend: KindConfig,
}

/// What counts through the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MechanismKind {
    /// The integer square-root-Toeplitz matrix: the smallest error.
    #[default]
    Toeplitz,
    /// Honaker's tree: some 1.7 times the error, and memory that hardly grows with the releases.
    Tree,
}

/// Bound and share of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindConfig {
    /// `c`: counted per user, day and cell, 1 to 255. Best set to the campaigns' frequency cap.
    pub per_cell: u8,
    /// `K`: cells counted per user and day, 1 to 32.
    pub cells: u8,
    /// `B`: counted per user and day in all, 1 to 65,535.
    pub total: u16,
    /// Percent of the day's rho, 1 to 100.
    pub rho_percent: u8,
}

impl Default for Config {
    /// The split follows relative error: rho in proportion to sensitivity over expected count. At a
    /// click rate of 1 % that is 96:4 between clicks and impressions; conversions, which no prior
    /// reads yet, get a tenth and spend as much as impressions, both taken from the clicks.
    fn default() -> Self {
        let kind = |per_cell, cells, total, rho_percent| KindConfig {
            per_cell,
            cells,
            total,
            rho_percent,
        };
        Self {
            mode: Mode::default(),
            epsilon: EPSILON_STRONG_MAX,
            delta: 1e-6,
            allow_weak: false,
            releases_per_day: 288,
            mechanism: MechanismKind::Toeplitz,
            half_life_hours: 72,
            users_max: 1_000_000,
            segments_rho_percent: 0,
            segments_per_user: 3,
            model: ModelKind::Plain,
            model_rho_percent: 0,
            model_examples: 3,
            model_bits: 12,
            spend_cpm_micros_max: 20_000_000,
            spend_levels: 200,
            impressions: kind(4, 8, 12, 4),
            clicks: kind(1, 3, 3, 82),
            conversions: kind(1, 2, 2, 10),
            spend: kind(4, 8, 12, 4),
        }
    }
}

/// Why a configuration is refused, or a release cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value outside its range; the operator must change it.
    #[error("privacy.{key}: {problem}")]
    Config {
        /// The configuration key, below `privacy.`.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The sampler failed or returned a number that does not fit; nothing was released.
    #[error("privacy noise could not be drawn: {0}")]
    Noise(String),
    /// A counter was asked for more steps than its day has; nothing was released.
    #[error("all steps of the day were released already")]
    StepsUsedUp,
    /// A step with another number of released integers than it has: the record is not of this plan.
    #[error("a step released {found} integers instead of {expected}")]
    Released {
        /// How many there were.
        found: usize,
        /// How many a step has there.
        expected: usize,
    },
    /// The release thread could not be started.
    #[error("the privacy release thread could not be started: {0}")]
    Thread(String),
}

/// Bound, cost and noise of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindPlan {
    /// What a user may contribute in a day.
    pub bound: Bound,
    /// What a day of releases costs.
    pub rho: Rho,
    /// The noise of one released integer.
    pub scale: Scale,
}

/// A configuration that passed every check.
#[derive(Clone, Debug)]
pub struct Plan {
    continual: Arc<Continual>,
    kinds: [KindPlan; KINDS],
    budget: Rho,
    users: Rho,
    segments: Rho,
    model: Rho,
    pub(super) model_examples: u16,
    /// Coordinates of the model's gradients; 0 where nothing is learned from releases.
    pub(super) model_dimensions: usize,
    delta: f64,
    segments_delta: f64,
    pub(super) segments_per_user: u8,
    spend_unit_nanos: u64,
    spend_levels: u16,
    releases_per_day: u16,
    half_life_ms: i64,
    users_max: usize,
    base_rate: f64,
}

impl Plan {
    /// The plan with another click rate before any release: the model's, so that priors and model
    /// start from one belief.
    #[must_use]
    pub const fn with_base_rate(mut self, base_rate: f64) -> Self {
        self.base_rate = base_rate;
        self
    }

    /// The click rate that is believed before any release.
    #[must_use]
    pub const fn base_rate(&self) -> f64 {
        self.base_rate
    }

    /// Bound, cost and noise of `kind`.
    #[must_use]
    pub const fn kind(&self, kind: Kind) -> &KindPlan {
        &self.kinds[kind.index()]
    }

    /// Rho of a user-day that is never exceeded.
    #[must_use]
    pub const fn budget(&self) -> Rho {
        self.budget
    }

    /// What a day costs, part by part; together at most the budget.
    #[must_use]
    pub fn parts(&self) -> [(Part, Rho); Part::COUNT] {
        Part::ALL.map(|part| {
            let rho = match part {
                Part::Kind(kind) => self.kind(kind).rho,
                Part::Users => self.users,
                Part::Segments => self.segments,
                Part::Model => self.model,
            };
            (part, rho)
        })
    }

    /// What a whole day costs: the sum of its parts, at most the budget.
    #[must_use]
    pub fn scheduled(&self) -> Rho {
        self.parts().iter().fold(Rho::ZERO, |sum, (_, rho)| sum.saturating_add(*rho))
    }

    /// Delta of a user-day, all in all.
    #[must_use]
    pub const fn delta(&self) -> f64 {
        self.delta
    }

    /// The part of delta that the thresholds of segments may use; 0 where none are released.
    #[must_use]
    pub const fn segments_delta(&self) -> f64 {
        self.segments_delta
    }

    /// Rho of the comparison that says when the day is full. It is noised by a discrete Laplace, so
    /// its epsilon is `sqrt(2 rho)`.
    #[must_use]
    pub const fn users_rho(&self) -> Rho {
        self.users
    }

    /// The epsilon of that comparison.
    #[must_use]
    pub fn users_epsilon(&self) -> f64 {
        // Rounded down by more than the root's own rounding.
        (2.0 * self.users.as_f64()).sqrt() * (1.0 - 1e-12)
    }

    /// What counts through the day.
    #[must_use]
    pub fn continual(&self) -> &Continual {
        &self.continual
    }

    /// Whether that is the tree.
    #[must_use]
    pub fn is_tree(&self) -> bool {
        matches!(&*self.continual, Continual::Honaker(_))
    }

    /// Rho of the segments' sizes.
    #[must_use]
    pub const fn segments_rho(&self) -> Rho {
        self.segments
    }

    /// Rho of what is learned in a day.
    #[must_use]
    pub const fn model_rho(&self) -> Rho {
        self.model
    }

    /// What one unit of spend is worth, in nanos of the account's currency.
    #[must_use]
    pub const fn spend_unit_nanos(&self) -> u64 {
        self.spend_unit_nanos
    }

    /// What an impression at this price per thousand counts as spend: clamped, and rounded to the
    /// nearest unit.
    #[must_use]
    pub fn spend_units(&self, price: Micros) -> u16 {
        // A price per thousand in micros is what one impression costs in nanos.
        let units = price.0.saturating_add(self.spend_unit_nanos / 2) / self.spend_unit_nanos;
        u16::try_from(units).unwrap_or(u16::MAX).min(self.spend_levels)
    }

    /// Releases in a UTC day.
    #[must_use]
    pub const fn releases_per_day(&self) -> u16 {
        self.releases_per_day
    }

    /// Half-life of released sums, in milliseconds.
    #[must_use]
    pub const fn half_life_ms(&self) -> i64 {
        self.half_life_ms
    }

    /// Users tracked in a day.
    #[must_use]
    pub const fn users_max(&self) -> usize {
        self.users_max
    }

    /// The claim that the whole budget amounts to.
    #[must_use]
    pub const fn claim(&self) -> Claim {
        Claim { rho: self.budget, delta: self.delta, segments_delta: self.segments_delta }
    }

    /// The plan for so many users, which a unit test may have fewer of than a claim needs.
    #[cfg(test)]
    pub(super) const fn with_users_max(mut self, users_max: usize) -> Self {
        self.users_max = users_max;
        self
    }
}

impl TryFrom<&Config> for Plan {
    type Error = Error;

    fn try_from(config: &Config) -> Result<Self, Error> {
        check_claim(config)?;
        in_range("releases_per_day", config.releases_per_day, 1, RELEASES_PER_DAY_MAX)?;
        in_range("half_life_hours", config.half_life_hours, 1, HALF_LIFE_HOURS_MAX)?;
        in_range("users_max", config.users_max, 1, USERS_MAX)?;
        in_range("spend_levels", config.spend_levels, 1, SPEND_LEVELS_MAX)?;
        let levels = u64::from(config.spend_levels);
        in_range(
            "spend_cpm_micros_max",
            config.spend_cpm_micros_max,
            levels,
            SPEND_CPM_MICROS_MAX,
        )?;
        check_shares(config)?;
        model::check(config)?;
        segments::check(config)?;
        let segments_delta = if config.segments_rho_percent > 0 { config.delta / 2.0 } else { 0.0 };
        let budget = Rho::within(config.epsilon, config.delta - segments_delta);
        let users = Rho::from_picos(budget.picos() / USERS_PART);
        check_users(config, users)?;
        let shared = Rho::from_picos(budget.picos() - users.picos());
        let steps = usize::from(config.releases_per_day);
        let continual = match config.mechanism {
            MechanismKind::Toeplitz => Continual::toeplitz(steps),
            MechanismKind::Tree => Continual::honaker(steps),
        };
        let continual = continual
            .ok_or_else(|| refuse("releases_per_day", "no mechanism has so many steps"))?;
        let kind = |key, config, levels| plan_kind(key, config, levels, (&continual, shared));
        Self {
            kinds: [
                kind("impressions", config.impressions, 1)?,
                kind("clicks", config.clicks, 1)?,
                kind("conversions", config.conversions, 1)?,
                kind("spend", config.spend, config.spend_levels)?,
            ],
            continual: Arc::new(continual),
            budget,
            users,
            segments: shared.percent(config.segments_rho_percent),
            model: shared.percent(config.model_rho_percent),
            model_examples: config.model_examples,
            model_dimensions: 0,
            delta: config.delta,
            segments_delta,
            segments_per_user: config.segments_per_user,
            spend_unit_nanos: config.spend_cpm_micros_max.div_ceil(levels),
            spend_levels: config.spend_levels,
            releases_per_day: config.releases_per_day,
            half_life_ms: i64::from(config.half_life_hours) * 3_600_000,
            users_max: config.users_max as usize,
            base_rate: BASE_RATE,
        }
        .with_segments()
    }
}

pub(super) fn refuse(key: &'static str, problem: impl Into<String>) -> Error {
    Error::Config { key, problem: problem.into() }
}

pub(super) fn in_range<T: PartialOrd + fmt::Display>(
    key: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), Error> {
    if value < least || value > most {
        return Err(refuse(key, format!("{value} is not in {least}..={most}")));
    }
    Ok(())
}

/// Refuses an epsilon or delta that is no number, no promise, or a weak one by accident.
fn check_claim(config: &Config) -> Result<(), Error> {
    let Config { epsilon, delta, .. } = *config;
    if !(epsilon > 0.0 && epsilon <= EPSILON_MAX) {
        return Err(refuse(
            "epsilon",
            format!("{epsilon} is not above 0 and at most {EPSILON_MAX}"),
        ));
    }
    if epsilon > EPSILON_STRONG_MAX && !config.allow_weak {
        return Err(refuse(
            "epsilon",
            format!(
                "{epsilon} a user-day is above {EPSILON_STRONG_MAX}: set allow_weak to mean it"
            ),
        ));
    }
    // With more, "expose one user outright" would keep the promise.
    let delta_max = 1.0 / f64::from(config.users_max.max(1));
    if !(delta > 0.0 && delta <= delta_max) {
        return Err(refuse(
            "delta",
            format!("{delta} is not above 0 and at most one in users_max, {delta_max:e}"),
        ));
    }
    Ok(())
}

/// Refuses shares that come to more than there is.
fn check_shares(config: &Config) -> Result<(), Error> {
    let Config { segments_rho_percent, model_rho_percent, .. } = *config;
    let kinds = [config.impressions, config.clicks, config.conversions, config.spend];
    let kinds = kinds.iter().map(|kind| u32::from(kind.rho_percent));
    let percent =
        kinds.sum::<u32>() + u32::from(segments_rho_percent) + u32::from(model_rho_percent);
    if percent > 100 {
        return Err(refuse(
            "clicks.rho_percent",
            format!("the shares of the day's rho add up to {percent} percent"),
        ));
    }
    Ok(())
}

/// Refuses a number of users that the noise of the comparison with it could hide.
fn check_users(config: &Config, rho: Rho) -> Result<(), Error> {
    let least = USERS_PER_SCALE_MIN / (2.0 * rho.as_f64()).sqrt();
    if f64::from(config.users_max) < least {
        return Err(refuse(
            "users_max",
            format!(
                "{} is below {least:.0}, where noise decides when the day is full",
                config.users_max
            ),
        ));
    }
    Ok(())
}

/// The plan of a kind of which one contribution has up to `levels` units.
fn plan_kind(
    key: &'static str,
    config: KindConfig,
    levels: u16,
    (continual, budget): (&Continual, Rho),
) -> Result<KindPlan, Error> {
    if config.per_cell == 0 || config.total == 0 {
        return Err(refuse(key, "per_cell and total must be at least 1"));
    }
    if config.cells == 0 || config.cells > CELLS_MAX {
        return Err(refuse(key, format!("cells must be 1 to {CELLS_MAX}")));
    }
    if config.rho_percent == 0 || config.rho_percent > 100 {
        return Err(refuse(key, "rho_percent must be 1 to 100"));
    }
    let bound = Bound {
        // Never saturates: `levels` is at most 256.
        per_cell: u16::from(config.per_cell).saturating_mul(levels),
        cells: config.cells,
        total: u32::from(config.total) * u32::from(levels),
    };
    let rho = budget.percent(config.rho_percent);
    let scale = continual
        .scale(bound.sensitivity_squared(), rho)
        .ok_or_else(|| refuse(key, "its share of the budget is too small for its bound"))?;
    if !Continual::fits(u64::from(USERS_MAX) * u64::from(bound.per_cell)) {
        return Err(refuse(key, "a counter could outgrow its mechanism"));
    }
    Ok(KindPlan { bound, rho, scale })
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
