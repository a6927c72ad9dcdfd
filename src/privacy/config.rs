//! The privacy configuration, and the plan that a valid one becomes.
//!
//! [`Config`] is what an operator writes; [`Plan`] can only be made from one that passed every
//! check, so whoever holds a `Plan` holds bounds, shares and noise that fit together.

use super::accountant::Rho;
use super::bound::Bound;
use super::cell::{KINDS, Kind};
use super::zcdp;
use dashu::integer::UBig;
use dashu::rational::RBig;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The largest epsilon of a user-day that needs no `allow_weak`.
const EPSILON_STRONG_MAX: f64 = 4.0;
/// The largest epsilon at all: beyond it the claim would say nothing.
const EPSILON_MAX: f64 = 32.0;
/// The largest delta: with a thousand users, each would be exposed outright by one release.
const DELTA_MAX: f64 = 1e-3;
/// Most releases a day: every five minutes. Each costs one draw per cell and kind.
const RELEASES_PER_DAY_MAX: u16 = 288;
/// Most cells that a bound may allow a user: it is what a user's entry can grow to.
const CELLS_MAX: u8 = 32;
/// Most users tracked in a day: at about 100 bytes each this is 6.4 GB, an operator's choice.
const USERS_MAX: u32 = 1 << 26;
/// Longest half-life of the released sums: a year, after which nothing is "recent".
const HALF_LIFE_HOURS_MAX: u32 = 8_760;

/// The click rate before any release, where nobody says better: a display ad's, to a factor of
/// three.
pub(super) const BASE_RATE: f64 = 0.002;

/// What an operator may set. Unknown keys are refused, and a kind's table must be complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Epsilon of one user-day, (0, 4], or up to 32 with `allow_weak`. Default 4.
    pub epsilon: f64,
    /// Delta of one user-day, (0, 1e-3]. Default 1e-6.
    pub delta: f64,
    /// Accepts an epsilon above 4. Default false.
    pub allow_weak: bool,
    /// Releases in a UTC day, 1 to 288, evenly spaced. Default 24.
    pub releases_per_day: u16,
    /// Half-life of the released sums that priors are made of, in hours, 1 to 8,760. Default 72.
    pub half_life_hours: u32,
    /// Users tracked in a day, 1 to 2^26; contributions of later ones are not counted. Default 2^20.
    pub users_max: u32,
    /// Percent of the day's rho kept back for draws beyond the schedule. Default 0.
    pub reserve_percent: u8,
    /// Bound and share of impressions.
    pub impressions: KindConfig,
    /// Bound and share of clicks.
    pub clicks: KindConfig,
    /// Bound and share of conversions.
    pub conversions: KindConfig,
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
    /// reads yet, get a tenth, taken from the clicks.
    fn default() -> Self {
        let kind = |per_cell, cells, total, rho_percent| KindConfig {
            per_cell,
            cells,
            total,
            rho_percent,
        };
        Self {
            epsilon: EPSILON_STRONG_MAX,
            delta: 1e-6,
            allow_weak: false,
            releases_per_day: 24,
            half_life_hours: 72,
            users_max: 1 << 20,
            reserve_percent: 0,
            impressions: kind(4, 8, 12, 4),
            clicks: kind(1, 3, 3, 86),
            conversions: kind(1, 2, 2, 10),
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
    /// The release thread could not be started.
    #[error("the privacy release thread could not be started: {0}")]
    Thread(String),
}

/// The noise's standard parameter sigma as a rational, rounded up to a 1,024th.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    numerator: u64,
}

impl Scale {
    /// Denominator of sigma: rounding up costs at most a 1,024th of one count.
    const DENOMINATOR: u64 = 1 << 10;

    /// The smallest sigma with `sigma^2 >= sensitivity_squared / (2 rho)`. `None` where it does not
    /// fit, or `rho` is zero.
    fn for_cost(sensitivity_squared: u64, rho: Rho) -> Option<Self> {
        let wanted = u128::from(sensitivity_squared)
            .checked_mul(u128::from(Rho::PER_UNIT))?
            .checked_mul(u128::from(Self::DENOMINATOR).pow(2))?;
        let doubled = u128::from(rho.picos()).checked_mul(2)?;
        let squared = wanted.checked_add(doubled.checked_sub(1)?)? / doubled;
        let floor = squared.isqrt();
        let ceiling = floor + u128::from(floor * floor < squared);
        let numerator = u64::try_from(ceiling).ok()?;
        // A sigma above 2^40 would drown any count: the configuration is a mistake.
        (numerator > 0 && numerator < 1 << 50).then_some(Self { numerator })
    }

    /// Sigma as the sampler takes it.
    pub(super) fn rational(self) -> RBig {
        RBig::from_parts(UBig::from(self.numerator).into(), UBig::from(Self::DENOMINATOR))
    }

    /// Sigma squared: the declared variance of one released cell. The discrete Gaussian's own
    /// variance is never above it, and equal within 1e-6 from sigma 1 on.
    #[must_use]
    pub fn variance(self) -> f64 {
        (self.numerator as f64 / Self::DENOMINATOR as f64).powi(2)
    }
}

/// Bound, cost and noise of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindPlan {
    /// What a user may contribute in a day.
    pub bound: Bound,
    /// What a day of scheduled releases costs; also what one draw beyond the schedule costs.
    pub rho: Rho,
    /// The noise of one cell in one interval.
    pub scale: Scale,
}

/// A configuration that passed every check.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    kinds: [KindPlan; KINDS],
    budget: Rho,
    delta: f64,
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

    /// What a day's schedule costs: the sum over kinds, at most the budget.
    #[must_use]
    pub fn scheduled(&self) -> Rho {
        self.kinds.iter().fold(Rho::ZERO, |sum, kind| sum.saturating_add(kind.rho))
    }

    /// Delta at which epsilon is stated.
    #[must_use]
    pub const fn delta(&self) -> f64 {
        self.delta
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
        Claim { rho: self.budget, delta: self.delta }
    }
}

/// What is promised about a user-day; prints itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    /// The day's rho.
    pub rho: Rho,
    /// Delta at which epsilon is stated.
    pub delta: f64,
}

impl Claim {
    /// Epsilon of one user-day.
    #[must_use]
    pub fn epsilon(&self) -> f64 {
        self.over_days(1)
    }

    /// Epsilon of `days` days of one user together, at the same delta.
    #[must_use]
    pub fn over_days(&self, days: u32) -> f64 {
        zcdp::epsilon(self.rho.as_f64() * f64::from(days), self.delta)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded up: a printed epsilon is never below the real one.
        let up = |epsilon: f64| (epsilon * 1e3).ceil() / 1e3;
        write!(
            formatter,
            "epsilon {:.3} and delta {:e} a user-day (rho {:.6}); epsilon {:.3} over 30 days",
            up(self.epsilon()),
            self.delta,
            self.rho.as_f64(),
            up(self.over_days(30)),
        )
    }
}

impl TryFrom<&Config> for Plan {
    type Error = Error;

    fn try_from(config: &Config) -> Result<Self, Error> {
        check_claim(config)?;
        in_range("releases_per_day", config.releases_per_day, 1, RELEASES_PER_DAY_MAX)?;
        in_range("half_life_hours", config.half_life_hours, 1, HALF_LIFE_HOURS_MAX)?;
        in_range("users_max", config.users_max, 1, USERS_MAX)?;
        let kinds = [config.impressions, config.clicks, config.conversions];
        let percent: u32 = kinds.iter().map(|kind| u32::from(kind.rho_percent)).sum();
        if percent + u32::from(config.reserve_percent) != 100 {
            return Err(refuse(
                "reserve_percent",
                "the shares of the three kinds and the reserve must add up to 100",
            ));
        }
        let budget = Rho::within(config.epsilon, config.delta);
        let [impressions, clicks, conversions] = kinds;
        Ok(Self {
            kinds: [
                plan_kind("impressions", impressions, budget)?,
                plan_kind("clicks", clicks, budget)?,
                plan_kind("conversions", conversions, budget)?,
            ],
            budget,
            delta: config.delta,
            releases_per_day: config.releases_per_day,
            half_life_ms: i64::from(config.half_life_hours) * 3_600_000,
            users_max: config.users_max as usize,
            base_rate: BASE_RATE,
        })
    }
}

fn refuse(key: &'static str, problem: impl Into<String>) -> Error {
    Error::Config { key, problem: problem.into() }
}

fn in_range<T: PartialOrd + fmt::Display>(
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
    if !(delta > 0.0 && delta <= DELTA_MAX) {
        return Err(refuse("delta", format!("{delta} is not above 0 and at most {DELTA_MAX}")));
    }
    Ok(())
}

fn plan_kind(key: &'static str, config: KindConfig, budget: Rho) -> Result<KindPlan, Error> {
    if config.per_cell == 0 || config.total == 0 {
        return Err(refuse(key, "per_cell and total must be at least 1"));
    }
    if config.cells == 0 || config.cells > CELLS_MAX {
        return Err(refuse(key, format!("cells must be 1 to {CELLS_MAX}")));
    }
    if config.rho_percent == 0 || config.rho_percent > 100 {
        return Err(refuse(key, "rho_percent must be 1 to 100"));
    }
    let bound = Bound { per_cell: config.per_cell, cells: config.cells, total: config.total };
    let rho = budget.percent(config.rho_percent);
    let scale = Scale::for_cost(bound.sensitivity_squared(), rho)
        .ok_or_else(|| refuse(key, "its share of the budget is too small for its bound"))?;
    Ok(KindPlan { bound, rho, scale })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_that_promise_nothing_are_refused() {
        type Change = fn(&mut Config);
        let cases: [(&str, Change); 18] = [
            ("epsilon", |config| config.epsilon = 0.0),
            ("epsilon", |config| config.epsilon = -1.0),
            ("epsilon", |config| config.epsilon = f64::NAN),
            ("epsilon", |config| config.epsilon = f64::INFINITY),
            ("epsilon", |config| config.epsilon = 4.01),
            ("epsilon", |config| {
                config.epsilon = 33.0;
                config.allow_weak = true;
            }),
            ("delta", |config| config.delta = 0.0),
            ("delta", |config| config.delta = f64::NAN),
            ("delta", |config| config.delta = 1.1e-3),
            ("releases_per_day", |config| config.releases_per_day = 0),
            ("releases_per_day", |config| config.releases_per_day = 289),
            ("half_life_hours", |config| config.half_life_hours = 0),
            ("users_max", |config| config.users_max = 0),
            ("reserve_percent", |config| config.reserve_percent = 1),
            ("clicks", |config| config.clicks.per_cell = 0),
            ("clicks", |config| config.clicks.cells = 33),
            ("clicks", |config| config.clicks.total = 0),
            ("conversions", |config| {
                config.conversions.rho_percent = 0;
                config.clicks.rho_percent = 96;
            }),
        ];
        for (expected, change) in cases {
            let mut config = Config::default();
            change(&mut config);
            let Err(Error::Config { key, .. }) = Plan::try_from(&config) else {
                panic!("accepted: {config:?}");
            };
            assert_eq!(key, expected, "{config:?}");
        }
        let mut weak = Config::default();
        (weak.epsilon, weak.allow_weak) = (8.0, true);
        assert!(Plan::try_from(&weak).is_ok());
        for text in ["epsylon = 1.0", "clicks = { per_cell = 1 }"] {
            assert!(toml::from_str::<Config>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_noise_costs_no_more_than_its_share() {
        let plan = Plan::try_from(&Config::default()).unwrap();
        assert!(plan.scheduled() <= plan.budget());
        for kind in Kind::ALL {
            let KindPlan { bound, rho, scale } = plan.kind(kind);
            let cost = bound.sensitivity_squared() as f64 / (2.0 * scale.variance());
            assert!(cost <= rho.as_f64(), "{kind:?} costs {cost}, above {rho:?}");
            assert!(cost > rho.as_f64() * 0.999, "{kind:?} wastes its share");
        }
    }
}
