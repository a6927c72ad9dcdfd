//! Limits of one auction: what is scored, and what keeps pages and users from being flooded.

use super::Problem;
use serde::Deserialize;

/// Ads of one category on a page; more would be no limit, since a page has few imps.
const CATEGORY_MAX_PER_PAGE: std::ops::RangeInclusive<u8> = 1..=16;

/// `[auction]`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auction {
    /// Ads of one product category on a page, 1 to 16; 1 keeps competitors apart. In a pod always 1.
    pub category_max_per_page: u8,
    /// Of one user's shows.
    pub diversity: Diversity,
    /// Pairs of an ad and an imp that are scored, those first that visits speak for; 0 scores all.
    pub candidates_max: usize,
}

impl Default for Auction {
    fn default() -> Self {
        Self { category_max_per_page: 1, diversity: Diversity::default(), candidates_max: 0 }
    }
}

/// `[auction.diversity]`: a category that filled too much of what a user saw lately is ranked down.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Diversity {
    /// How many of a user's last shows are looked at, 1 to 100.
    pub shows: u16,
    /// With fewer shows than this nothing is ranked down: one show would be the whole of one.
    pub shows_min: u16,
    /// Per cent of them that one category may fill; 100 is all. A domain may allow less.
    pub category_share_max_percent: u8,
    /// What the rank of a category above that is multiplied by, above 0 and up to 1.
    pub rank_factor: f64,
}

impl Default for Diversity {
    fn default() -> Self {
        Self { shows: 20, shows_min: 4, category_share_max_percent: 100, rank_factor: 0.8 }
    }
}

impl Auction {
    pub(super) fn check(&self) -> Result<(), Problem> {
        let Diversity { shows, shows_min, category_share_max_percent, rank_factor } =
            self.diversity;
        for (holds, key, reason) in [
            (
                CATEGORY_MAX_PER_PAGE.contains(&self.category_max_per_page),
                "auction.category_max_per_page",
                "it lies between 1 and 16",
            ),
            ((1..=100).contains(&shows), "auction.diversity.shows", "it lies between 1 and 100"),
            (
                (1..=shows).contains(&shows_min),
                "auction.diversity.shows_min",
                "it lies between 1 and `shows`",
            ),
            (
                (1..=100).contains(&category_share_max_percent),
                "auction.diversity.category_share_max_percent",
                "it lies between 1 and 100",
            ),
            (
                rank_factor > 0.0 && rank_factor <= 1.0,
                "auction.diversity.rank_factor",
                "it lies above 0 and up to 1",
            ),
        ] {
            if !holds {
                return Err(Problem::at(key, reason.to_owned()));
            }
        }
        Ok(())
    }
}
