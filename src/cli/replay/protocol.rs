//! The protocol of Cai et al. (WSDM 2017) for the iPinYou logs: episodes of a thousand auctions, each
//! with a budget of its own. `info.json` beside a log tells the totals of its training part; prices
//! are in the log's units, of which one is 1,000,000 CPM micros.

use crate::units::Nanos;
use anyhow::Context as _;
use serde::Deserialize;
use std::path::Path;

/// CPM micros of one unit of the log.
pub const UNIT_MICROS: u64 = 1_000_000;
/// Auctions of an episode in the published table.
pub const EPISODE: usize = 1_000;
/// Highest bid of the published table, in units.
pub const BID_MAX: u64 = 300;

/// Totals of the training part.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Training {
    clk_train: u64,
    imp_train: u64,
    cost_train: u64,
}

/// What of a training impression's mean cost an auction may cost: the published `c0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Above the line.
    pub part: u64,
    /// Below the line.
    pub of: u64,
}

impl std::str::FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (part, of) = text.split_once('/').unwrap_or((text, "1"));
        let read =
            |text: &str| text.trim().parse::<u64>().ok().filter(|n| (1..=1_000_000).contains(n));
        let share = read(part).zip(read(of)).map(|(part, of)| Self { part, of });
        share.ok_or_else(|| format!("`{text}` is no share: 1/32 is one"))
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.part, self.of)
    }
}

impl Training {
    /// Reads `info.json` beside the log.
    pub fn beside(log: &Path) -> anyhow::Result<Self> {
        let file = log.with_file_name("info.json");
        let shown = file.display().to_string();
        let text = std::fs::read_to_string(&file).with_context(|| shown.clone())?;
        let training: Self = serde_json::from_str(&text).with_context(|| shown.clone())?;
        let is_usable = training.clk_train > 0 && training.imp_train > 0 && training.cost_train > 0;
        anyhow::ensure!(
            is_usable,
            "{shown}: the training part has no clicks, impressions or costs"
        );
        Ok(training)
    }

    /// The click rate of the training part: what a prediction is held against.
    pub fn average_p_click(&self) -> f64 {
        self.clk_train as f64 / self.imp_train as f64
    }

    /// An episode's budget: `int(CPM_train x c0 x N)` units.
    pub fn budget(&self, share: Share, auctions: usize) -> Nanos {
        let above = u128::from(self.cost_train) * u128::from(share.part) * auctions as u128;
        let units = above / (u128::from(self.imp_train) * u128::from(share.of));
        Nanos(i128::try_from(units).unwrap_or(i128::MAX).saturating_mul(i128::from(UNIT_MICROS)))
    }

    /// What a click of the training part cost, in micros of the account's currency.
    pub fn cost_per_click_micros(&self) -> u64 {
        // A unit is a CPM: a thousandth of it an impression.
        let micros = u128::from(self.cost_train) * u128::from(UNIT_MICROS) / 1_000;
        u64::try_from(micros / u128::from(self.clk_train)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_budgets_and_shares() {
        let training = Training { clk_train: 1386, imp_train: 312_437, cost_train: 19_689_072 };
        for (text, units) in [("1/32", 1_969), ("1/16", 3_938), ("1/4", 15_754), ("1", 63_017)] {
            let share: Share = text.parse().expect("a share");
            assert_eq!(training.budget(share, EPISODE), Nanos(units * 1_000_000), "{text}");
        }
        for text in ["", "1/0", "0/1", "-1/2", "a/b", "1/2/3", "1.5"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
