//! No category floods a user: what filled too much of his last shows is ranked down, as in maximal
//! marginal relevance (Carbonell and Goldstein 1998) with a penalty of one step. Only the rank: the
//! price, the prediction and what is learned stay what they are.
//!
//! Shows are those that the session remembers anyway, of campaigns with a frequency cap. Campaigns of
//! domains that keep no behaviour are not among them.

use crate::auction::affinity::knows_interest;
use crate::auction::arm::Arm;
use crate::auction::input::AuctionInput;
use crate::auction::world::World;
use crate::catalog::{Catalog, Kept};
use crate::config::Diversity;
use crate::session::{Profile, campaign_tag};
use crate::units::{CategoryId, Timestamp};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// What campaigns sell, by the tag that sessions know them by; empty where nothing is ranked down.
#[derive(Default)]
pub struct ShownCategories(FxHashMap<u32, CategoryId>);

impl ShownCategories {
    /// Of all campaigns whose shows count.
    #[must_use]
    pub fn of(catalog: &Catalog, diversity: &Diversity) -> Self {
        let is_limited = |percent: u8| percent.min(diversity.category_share_max_percent) < 100;
        let mut campaigns = catalog.all_campaigns().map(|campaign| campaign.domain());
        if !campaigns.any(|domain| is_limited(domain.category_share_max_percent)) {
            return Self::default();
        }
        let counted =
            catalog.all_campaigns().filter(|one| one.domain().behaviour == Kept::Interest);
        Self(counted.map(|one| (campaign_tag(one.id), one.category)).collect())
    }
}

/// How much of a user's last shows each category filled, in per cent. Reused from request to request.
#[derive(Clone, Debug, Default)]
pub struct Shares(SmallVec<[(CategoryId, u32); 8]>);

impl Shares {
    fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether nothing is known of them, so that nobody is ranked down.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks at the last shows of the user, where they may be known and anything depends on them.
    pub fn look_back(&mut self, world: &World, input: &AuctionInput) {
        self.clear();
        if knows_interest(input) && input.arm != Arm::Random {
            self.fill(&input.profile, &world.shown, &world.limits.diversity, input.now);
        }
    }

    fn fill(
        &mut self,
        profile: &Profile,
        categories: &ShownCategories,
        diversity: &Diversity,
        now: Timestamp,
    ) {
        if categories.0.is_empty() {
            return;
        }
        let mut left = u32::from(diversity.shows);
        for (tag, count) in profile.shown(now) {
            let Some(category) = categories.0.get(&tag) else { continue };
            let count = u32::from(count).min(left);
            left -= count;
            match self.0.iter_mut().find(|(known, _)| known == category) {
                Some((_, shows)) => *shows += count,
                None => self.0.push((*category, count)),
            }
            if left == 0 {
                break;
            }
        }
        let total = u32::from(diversity.shows) - left;
        if total < u32::from(diversity.shows_min) {
            self.clear();
        }
        self.0.iter_mut().for_each(|(_, shows)| *shows = *shows * 100 / total);
    }

    /// What the rank of a category is multiplied by, where its domain allows it this share.
    #[inline]
    #[must_use]
    pub fn factor(&self, category: CategoryId, domain_percent: u8, diversity: &Diversity) -> f64 {
        let most = u32::from(domain_percent.min(diversity.category_share_max_percent));
        let is_flooding =
            |(known, percent): &(CategoryId, u32)| *known == category && *percent > most;
        if self.0.iter().any(is_flooding) { diversity.rank_factor } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares(counts: &[u32]) -> Shares {
        let total = counts.iter().sum::<u32>().max(1);
        let share = |(id, count): (u32, &u32)| (CategoryId(id), count * 100 / total);
        Shares((0..).zip(counts).map(share).collect())
    }

    proptest! {
        /// Whoever keeps to his share keeps his rank, and whoever does not loses the declared part;
        /// with all of it allowed nobody loses anything.
        #[test]
        fn ranks_fall_by_the_declared_factor_or_not_at_all(
            counts in prop::collection::vec(0u32..20, 1..6),
            allowed in 1u8..=100,
            domain in 1u8..=100,
            rank_factor in 0.01f64..1.0,
        ) {
            let shares = shares(&counts);
            let strict = Diversity { category_share_max_percent: allowed, rank_factor, ..Diversity::default() };
            let mut ranked_down = 0;
            for (category, percent) in &shares.0 {
                let factor = shares.factor(*category, domain, &strict);
                let is_flooding = *percent > u32::from(allowed.min(domain));
                prop_assert_eq!(factor, if is_flooding { rank_factor } else { 1.0 });
                ranked_down += u32::from(is_flooding) * u32::from(allowed.min(domain));
                prop_assert_eq!(shares.factor(*category, 100, &Diversity::default()), 1.0);
            }
            prop_assert!(ranked_down <= 100, "shares are of one whole");
            prop_assert_eq!(shares.factor(CategoryId(99), 1, &strict), 1.0, "never shown");
        }
    }
}
