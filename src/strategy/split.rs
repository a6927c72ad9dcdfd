//! Which arm of a campaign's traffic split a user is in.
//!
//! Each arm draws a waiting time from a hash of (campaign, strategy, user), exponential with its share
//! as the rate; the shortest wins (weighted rendezvous hashing). So the shares hold, a user stays where
//! he is over restarts and reloads, campaigns split their users independently of each other, the order
//! of arms means nothing, and where shares change users move to arms that gain only, or out of arms
//! that lose: between two arms not one more than must.

use crate::catalog::{ARMS_MAX, StrategyShare};
use crate::hash::{combine, stable};
use crate::units::CampaignId;
use smallvec::SmallVec;

/// A salt of its own, so that arms do not line up with anything else that users are split by.
const SALT: u64 = 0x5b1_17a5;

/// The arms of one campaign.
#[derive(Clone, Debug)]
pub struct Split {
    /// The key of each arm's draws, and its share.
    arms: SmallVec<[(u64, f64); ARMS_MAX]>,
}

impl Split {
    /// The split of a campaign between these strategies.
    #[must_use]
    pub fn new(campaign: CampaignId, shares: &[StrategyShare]) -> Self {
        let of = combine(SALT, campaign.0);
        let arms = shares
            .iter()
            .map(|arm| (combine(of, stable(arm.name.as_bytes())), f64::from(arm.share)));
        Self { arms: arms.collect() }
    }

    /// The arm of the user (or, without one, of the request) with this hash.
    #[must_use]
    pub fn arm_of(&self, user_or_request: u64) -> u8 {
        let waits = self.arms.iter().map(|(key, share)| {
            let drawn = combine(*key, user_or_request) >> 11;
            -((drawn as f64 + 0.5) / (1_u64 << 53) as f64).ln() / share
        });
        let waits = waits.zip(0..);
        waits
            .reduce(|best, next| if next.0 < best.0 { next } else { best })
            .map_or(0, |best| best.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: u64 = 100_000;

    fn split(campaign: u64, shares: &[(&str, u8)]) -> Split {
        let shares = shares
            .iter()
            .map(|(name, share)| StrategyShare { name: (*name).to_owned(), share: *share });
        Split::new(CampaignId(campaign), &shares.collect::<Vec<_>>())
    }

    fn counts(split: &Split) -> [f64; ARMS_MAX] {
        let mut counts = [0.0; ARMS_MAX];
        (0..USERS).for_each(|user| counts[usize::from(split.arm_of(user))] += 1.0);
        counts
    }

    #[test]
    fn shares_are_kept() {
        for shares in [
            &[("a", 50), ("b", 50)][..],
            &[("a", 1), ("b", 99)],
            &[("a", 10), ("b", 20), ("c", 70)],
            &[("a", 25), ("b", 25), ("c", 25), ("d", 25)],
        ] {
            let found = counts(&split(7, shares));
            let chi_square: f64 = shares
                .iter()
                .zip(found)
                .map(|((_, share), found)| {
                    let expected = f64::from(*share) / 100.0 * USERS as f64;
                    (found - expected).powi(2) / expected
                })
                .sum();
            // One in a thousand of true splits of four arms is above 16.3.
            assert!(chi_square < 16.3, "{shares:?}: {found:?}, {chi_square}");
        }
    }

    #[test]
    fn campaigns_split_their_users_independently() {
        let (one, other) = (split(1, &[("a", 50), ("b", 50)]), split(2, &[("a", 50), ("b", 50)]));
        let equal = (0..USERS).filter(|user| one.arm_of(*user) == other.arm_of(*user)).count();
        assert!((49_000..51_000).contains(&equal), "{equal}");
    }

    #[test]
    fn changed_shares_move_only_who_must_move() {
        let moved = |from: &[(&str, u8)], to: &[(&str, u8)]| {
            let (before, after) = (split(7, from), split(7, to));
            let mut moves = std::collections::BTreeMap::new();
            for user in 0..USERS {
                let was = from[usize::from(before.arm_of(user))].0;
                let is = to[usize::from(after.arm_of(user))].0;
                if was != is {
                    *moves.entry(format!("{was}{is}")).or_insert(0_u64) += 1;
                }
            }
            moves
        };
        let moves = moved(&[("a", 50), ("b", 50)], &[("a", 60), ("b", 40)]);
        assert_eq!(moves.keys().collect::<Vec<_>>(), ["ba"], "nobody leaves the arm that gains");
        assert!((9_500..10_500).contains(&moves["ba"]), "{moves:?}");
        let moves = moved(&[("a", 50), ("b", 50)], &[("a", 40), ("b", 40), ("c", 20)]);
        assert_eq!(moves.keys().collect::<Vec<_>>(), ["ac", "bc"], "the new arm takes from all");
        assert!(moves.values().all(|count| (9_500..10_500).contains(count)), "{moves:?}");
        let same = moved(&[("a", 30), ("b", 70)], &[("b", 70), ("a", 30)]);
        assert!(same.is_empty(), "the order means nothing: {same:?}");
    }
}
