//! A campaign's traffic split: which strategies share its users, and where the pace of each arm is
//! published. Arms are kept in the order of their names, so that the order of a file means nothing.

use super::campaign::Campaign;
use super::filters::Fault;
use crate::units::Slot;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Arms of one campaign: two bits of a token tell them apart.
pub const ARMS_MAX: usize = 4;
/// Campaigns with a split in one catalog: each arm has time series of its own, three of them.
pub const SPLITS_MAX: usize = 256;

/// A strategy, and which part of a campaign's users and budget it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrategyShare {
    /// Name of `strategies/NAME.toml`.
    pub name: String,
    /// Percent; the shares of a campaign add up to 100.
    pub share: u8,
}

/// Terms without which a strategy finds no impression worth anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TermsNeeded {
    /// `bid.cpc`.
    pub cpc: bool,
    /// `bid.target_cpa`.
    pub target_cpa: bool,
    /// `bid.target_roas`.
    pub target_roas: bool,
}

/// The strategies that campaigns may name, each with what it needs of them.
pub type KnownStrategies = BTreeMap<String, TermsNeeded>;

/// The strategies of a campaign that names one, or several with shares.
///
/// # Errors
/// Both or neither are named, or the shares are none.
pub(super) fn shares(
    one: Option<String>,
    several: Option<Vec<StrategyShare>>,
) -> Result<Vec<StrategyShare>, Fault> {
    let refuse = |key: &str, reason: String| Err((key.to_owned(), reason));
    let mut shares = match (one, several) {
        (Some(name), None) => return Ok(vec![StrategyShare { name, share: 100 }]),
        (None, Some(shares)) => shares,
        (Some(_), Some(_)) => {
            return refuse("strategies", "stands beside `strategy`; one of them only".to_owned());
        }
        (None, None) => {
            return refuse("strategy", "is missing; `strategies` names several".to_owned());
        }
    };
    if !(2..=ARMS_MAX).contains(&shares.len()) {
        return refuse("strategies", format!("2 to {ARMS_MAX} of them, not {}", shares.len()));
    }
    if let Some(none) = shares.iter().find(|arm| arm.share == 0) {
        return refuse("strategies", format!("`{}` has a share of 0; leave it out", none.name));
    }
    let total: u32 = shares.iter().map(|arm| u32::from(arm.share)).sum();
    if total != 100 {
        return refuse("strategies", format!("the shares add up to {total}, not to 100"));
    }
    shares.sort_by(|one, other| one.name.cmp(&other.name));
    match shares.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => refuse("strategies", format!("`{}` is named twice", pair[0].name)),
        None => Ok(shares),
    }
}

impl Campaign {
    /// Whether several strategies share its users.
    #[must_use]
    pub fn is_split(&self) -> bool {
        self.strategies.len() > 1
    }

    /// The key under which its strategies were written.
    pub(super) fn strategy_key(&self) -> &'static str {
        if self.is_split() { "strategies" } else { "strategy" }
    }

    /// The names of its strategies, for people.
    #[must_use]
    pub fn strategy_names(&self) -> String {
        let names: Vec<_> = self.strategies.iter().map(|arm| arm.name.as_str()).collect();
        names.join(", ")
    }
}

/// The split campaigns in the order of their slots, each with the places of its arms' paces: past
/// those of all campaigns. The generation tells an arm from whoever had the place before.
pub(super) fn splits(
    campaigns: &[Option<Campaign>],
) -> impl Iterator<Item = (&Campaign, SmallVec<[Slot; ARMS_MAX]>)> {
    let mut next = campaigns.len() as u32;
    campaigns.iter().flatten().filter(|campaign| campaign.is_split()).map(move |campaign| {
        let arms = campaign.strategies.iter().map(|arm| {
            let arm = crate::hash::stable(arm.name.as_bytes());
            let of = crate::hash::combine(campaign.id.0, u64::from(campaign.slot.generation));
            let slot = Slot { index: next, generation: crate::hash::combine(of, arm) as u32 };
            next += 1;
            slot
        });
        (campaign, arms.collect())
    })
}

/// Why a catalog with so many splits is refused, if it is.
pub(super) fn too_many<'a>(campaigns: impl Iterator<Item = &'a Campaign>) -> Option<String> {
    let splits = campaigns.filter(|campaign| campaign.is_split()).count();
    (splits > SPLITS_MAX)
        .then(|| format!("{splits} campaigns split their users, more than {SPLITS_MAX}"))
}
