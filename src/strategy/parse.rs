//! Reads a folder of strategies: all of it or nothing, each mistake with file, line and reason.
//!
//! A strategy's name is its file's stem. Keys (unknown ones are refused):
//!
//! | key | unit | meaning |
//! |---|---|---|
//! | `version` | | 1 |
//! | `objective` | | `fixed_cpm`, `cpc`, `linear`, `target_cpa`, `target_roas` |
//! | `base_bid_micros` | CPM micros | needed by `linear`, allowed for `fixed_cpm` |
//! | `average_p_click` | probability | fixes the average of `linear`, which else is the campaign's released one |
//! | `pacing` | | `dual`, `pi`, `ahead`, `asap` or `none` |
//! | `plan` | | what spending follows: the expected `traffic`, which is what holds unless said otherwise, or the clock, `even` |
//! | `multiplier_min`, `multiplier_max` | factor | bounds of the pacing multiplier; 0.01 and 1 |
//! | `max_cpm_micros` | CPM micros | a cap beside the campaign's |
//! | `prefer_deals` | | `true`: bid on a deal where one clears, and before every open bid; `false` |
//! | `shading` | | first-price auctions: `auto` bids below the value, `none` (default) the value |
//! | `exploration` | | `thompson` tries ads by what is not known of them; `none` (default) |
//! | `exploration_share` | part of the budget | what `thompson` may spend on trying, 0 to 0.1; 0.05 |

use super::pacing::{PacingKind, PlanKind};
use super::value::{Objective, Strategy};
use crate::catalog::{KnownStrategies, TermsNeeded};
use crate::units::Micros;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Strategies in a folder: a person cannot tell more apart, and an id is 16 bits.
const STRATEGIES_MAX: usize = 256;
/// Bytes of one file: a page of comments fits thrice.
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// Prices outside of this are taken for a mistake of units: 0.001 to 1,000,000 CPM.
const PRICE_MICROS: std::ops::RangeInclusive<u64> = 1_000..=1_000_000_000_000;
/// Multipliers outside of this are no pacing: a millionth to a million.
const MULTIPLIERS: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

/// Averages outside of this are taken for a mistake of units, such as percent.
const AVERAGES: std::ops::RangeInclusive<f64> = 1e-7..=1.0;
/// Parts of a budget that may go into trying: beyond a tenth it is no longer the strategy's budget.
const EXPLORATION_SHARES: std::ops::RangeInclusive<f64> = 0.0..=0.1;
/// The usual part.
const EXPLORATION_SHARE: f64 = 0.05;

/// What becomes of a bid in a first-price auction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shading {
    /// It is the paced value.
    #[default]
    None,
    /// It is what the segment's prices make best of the paced value.
    Auto,
}

/// How ads of which little is known come to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exploration {
    /// By their mean alone.
    #[default]
    None,
    /// By a draw from what their click rate may be.
    Thompson {
        /// Millionths of the budget that bids which the mean would not have made may spend.
        share_ppm: u32,
    },
}

/// What is wrong with a strategy's file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct StrategyError {
    /// The file, or the folder.
    pub file: String,
    /// The line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// A strategy by its place in its [`Strategies`]: another folder gives other ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StrategyId(pub u16);

/// A folder of strategies, in the order of their names.
#[derive(Clone, Debug, Default)]
pub struct Strategies {
    entries: Vec<(String, Strategy)>,
    prefer_deals: bool,
}

impl Strategies {
    /// Reads every `*.toml` of a folder.
    ///
    /// # Errors
    /// Every mistake of every file; then nothing is loaded.
    pub fn load(folder: &Path) -> Result<Self, Vec<StrategyError>> {
        let files = files(folder).map_err(|error| vec![error])?;
        if files.is_empty() || files.len() > STRATEGIES_MAX {
            let reason = format!("holds {} strategies, not 1 to {STRATEGIES_MAX}", files.len());
            return Err(vec![whole(folder, reason)]);
        }
        let (mut entries, mut errors) = (Vec::new(), Vec::new());
        for file in &files {
            match read(file) {
                Ok(entry) => entries.push(entry),
                Err((line, reason)) => errors.push(StrategyError { line, ..whole(file, reason) }),
            }
        }
        let prefer_deals = entries.iter().any(|(_, strategy)| strategy.prefers_deals());
        if errors.is_empty() { Ok(Self { entries, prefer_deals }) } else { Err(errors) }
    }

    /// The names that campaigns may use of a folder that does not load, so that they can be checked beside
    /// it: of a wrong strategy nothing is known but its name, and it needs no terms.
    #[must_use]
    pub fn named_in(folder: &Path) -> KnownStrategies {
        let files = files(folder).unwrap_or_default();
        let named = files.iter().map(|file| match read(file) {
            Ok((name, strategy)) => (name, strategy.terms_needed()),
            Err(_) => (stem(file).to_owned(), TermsNeeded::default()),
        });
        named.collect()
    }

    /// The names, each with the terms that a campaign must have.
    #[must_use]
    pub fn known(&self) -> KnownStrategies {
        let known = self.entries.iter().map(|(name, one)| (name.clone(), one.terms_needed()));
        known.collect()
    }

    /// The names, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// Whether any of them puts deals first.
    #[must_use]
    pub const fn prefer_deals(&self) -> bool {
        self.prefer_deals
    }

    /// The id of the strategy of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<StrategyId> {
        let found = self.entries.binary_search_by(|(other, _)| other.as_str().cmp(name)).ok()?;
        u16::try_from(found).ok().map(StrategyId)
    }

    /// The strategy with this id; `None` for an id of another folder.
    #[must_use]
    pub fn strategy(&self, id: StrategyId) -> Option<&Strategy> {
        self.entries.get(usize::from(id.0)).map(|(_, strategy)| strategy)
    }
}

fn whole(file: &Path, reason: String) -> StrategyError {
    StrategyError { file: file.display().to_string(), line: 0, reason }
}

/// The files of a folder, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>, StrategyError> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(folder)
        .map_err(|error| whole(folder, format!("cannot be read: {error}")))?;
    for entry in entries {
        let file = entry.map_err(|error| whole(folder, error.to_string()))?.path();
        if file.extension().is_some_and(|ending| ending == "toml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn stem(file: &Path) -> &str {
    file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

/// Line, from 1, and reason.
type Refusal = (usize, String);

fn read(file: &Path) -> Result<(String, Strategy), Refusal> {
    let name = stem(file);
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err((0, "a strategy is named with a-z, 0-9 and _ only".to_owned()));
    }
    let whole = |error: std::io::Error| (0, format!("cannot be read: {error}"));
    if std::fs::metadata(file).map_err(whole)?.len() > FILE_BYTES_MAX {
        return Err((0, format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(file).map_err(whole)?;
    parse(&text).map(|strategy| (name.to_owned(), strategy))
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    version: Spanned<u32>,
    objective: Spanned<RawObjective>,
    base_bid_micros: Option<Spanned<u64>>,
    pacing: Spanned<PacingKind>,
    plan: Option<Spanned<PlanKind>>,
    multiplier_min: Option<Spanned<f64>>,
    multiplier_max: Option<Spanned<f64>>,
    max_cpm_micros: Option<Spanned<u64>>,
    #[serde(default)]
    prefer_deals: bool,
    average_p_click: Option<Spanned<f64>>,
    #[serde(default)]
    shading: Shading,
    exploration: Option<Spanned<RawExploration>>,
    exploration_share: Option<Spanned<f64>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawObjective {
    FixedCpm,
    Cpc,
    Linear,
    TargetCpa,
    TargetRoas,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawExploration {
    None,
    Thompson,
}

/// Reads the text of one file.
fn parse(text: &str) -> Result<Strategy, Refusal> {
    let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    let raw: Raw = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| line(span.start));
        (at, error.message().replace('\n', " "))
    })?;
    raw.check().map_err(|(at, reason)| (line(at), reason))
}

impl Raw {
    /// Byte offset and reason of the first thing that cannot be.
    fn check(&self) -> Result<Strategy, (usize, String)> {
        if *self.version.get_ref() != 1 {
            let reason = "this version is not known; the known one is 1".to_owned();
            return Err((self.version.span().start, reason));
        }
        let base_bid = price("base_bid_micros", self.base_bid_micros.as_ref())?;
        let max_cpm = price("max_cpm_micros", self.max_cpm_micros.as_ref())?;
        if let (Some(base), Some(cap), Some(key)) = (base_bid, max_cpm, &self.base_bid_micros)
            && base > cap
        {
            return Err((key.span().start, "base_bid_micros is above max_cpm_micros".to_owned()));
        }
        let (multiplier_min, multiplier_max) = self.multipliers()?;
        Ok(Strategy {
            objective: self.objective(base_bid)?,
            pacing: *self.pacing.get_ref(),
            plan: self.plan()?,
            multiplier_min,
            multiplier_max,
            max_cpm,
            prefer_deals: self.prefer_deals,
            shading: self.shading,
            exploration: self.exploration()?,
        })
    }

    fn objective(&self, base_bid: Option<Micros>) -> Result<Objective, (usize, String)> {
        let objective = match (self.objective.get_ref(), base_bid) {
            (RawObjective::FixedCpm, base_bid) => Objective::FixedCpm { base_bid },
            (RawObjective::Linear, Some(base_bid)) => {
                Objective::Linear { base_bid, average_p_click: self.average_p_click()? }
            }
            (RawObjective::Linear, None) => {
                let reason = "objective `linear` needs base_bid_micros".to_owned();
                return Err((self.objective.span().start, reason));
            }
            (RawObjective::Cpc, _) => Objective::Cpc,
            (RawObjective::TargetCpa, _) => Objective::TargetCpa,
            (RawObjective::TargetRoas, _) => Objective::TargetRoas,
        };
        if let (Some(key), false) =
            (&self.average_p_click, matches!(objective, Objective::Linear { .. }))
        {
            let reason = format!("average_p_click has no part in objective `{}`", objective.name());
            return Err((key.span().start, reason));
        }
        match (&self.base_bid_micros, objective) {
            (Some(key), Objective::Cpc | Objective::TargetCpa | Objective::TargetRoas) => Err((
                key.span().start,
                format!("base_bid_micros has no part in objective `{}`", objective.name()),
            )),
            _ => Ok(objective),
        }
    }

    fn average_p_click(&self) -> Result<Option<f64>, (usize, String)> {
        let Some(key) = &self.average_p_click else { return Ok(None) };
        if AVERAGES.contains(key.get_ref()) {
            return Ok(Some(*key.get_ref()));
        }
        let reason = "average_p_click is a probability between 1e-7 and 1: 0.1 % is 0.001";
        Err((key.span().start, reason.to_owned()))
    }

    fn exploration(&self) -> Result<Exploration, (usize, String)> {
        let kind = self.exploration.as_ref();
        let is_thompson =
            kind.is_some_and(|kind| matches!(kind.get_ref(), RawExploration::Thompson));
        match (&self.exploration_share, kind) {
            (Some(share), _) if !is_thompson => {
                let reason = "exploration_share has no part without exploration = \"thompson\"";
                Err((share.span().start, reason.to_owned()))
            }
            (Some(share), _) if !EXPLORATION_SHARES.contains(share.get_ref()) => {
                let reason = "exploration_share lies between 0 and 0.1: 5 % of the budget is 0.05";
                Err((share.span().start, reason.to_owned()))
            }
            (_, Some(kind))
                if is_thompson && matches!(self.objective.get_ref(), RawObjective::FixedCpm) =>
            {
                let reason = "objective `fixed_cpm` reads no prediction that could be explored";
                Err((kind.span().start, reason.to_owned()))
            }
            (share, _) if is_thompson => {
                let share = share.as_ref().map_or(EXPLORATION_SHARE, |share| *share.get_ref());
                Ok(Exploration::Thompson { share_ppm: (share * 1e6).round() as u32 })
            }
            _ => Ok(Exploration::None),
        }
    }

    fn plan(&self) -> Result<PlanKind, (usize, String)> {
        let Some(key) = &self.plan else { return Ok(PlanKind::default()) };
        if matches!(self.pacing.get_ref(), PacingKind::None | PacingKind::Asap) {
            let reason = "pacing `none` and `asap` follow no plan".to_owned();
            return Err((key.span().start, reason));
        }
        Ok(*key.get_ref())
    }

    fn multipliers(&self) -> Result<(f64, f64), (usize, String)> {
        let keys = [&self.multiplier_min, &self.multiplier_max];
        for key in keys.into_iter().flatten() {
            let at = key.span().start;
            if *self.pacing.get_ref() == PacingKind::None {
                return Err((at, "without pacing there is no multiplier to bound".to_owned()));
            }
            if !MULTIPLIERS.contains(key.get_ref()) {
                return Err((at, "a multiplier lies between 1e-6 and 1e6".to_owned()));
            }
        }
        let [min, max] = keys.map(|key| key.as_ref().map(|key| *key.get_ref()));
        let (min, max) = match *self.pacing.get_ref() {
            PacingKind::None => (1.0, 1.0),
            _ => (min.unwrap_or(0.01), max.unwrap_or(1.0)),
        };
        if min > max {
            let at = keys.into_iter().flatten().next().map_or(0, |key| key.span().start);
            return Err((at, format!("multiplier_min {min} is above multiplier_max {max}")));
        }
        Ok((min, max))
    }
}

fn price(name: &str, key: Option<&Spanned<u64>>) -> Result<Option<Micros>, (usize, String)> {
    let Some(key) = key else { return Ok(None) };
    if PRICE_MICROS.contains(key.get_ref()) {
        return Ok(Some(Micros(*key.get_ref())));
    }
    let reason = format!(
        "{name} is {} CPM micros; it lies between {} and {}: 1.00 CPM is 1_000_000",
        key.get_ref(),
        PRICE_MICROS.start(),
        PRICE_MICROS.end()
    );
    Err((key.span().start, reason))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
