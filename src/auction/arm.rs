//! Experiment arms: how a user's ads are ranked, so that what each part is worth can be measured.

use crate::hash;
use std::collections::BTreeMap;

/// How ads are ranked for a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Arm {
    /// Everything on.
    #[default]
    Full = 0,
    /// A random eligible ad, priced at the average click probability.
    Random = 1,
    /// By released click rate alone: the same for every user.
    Popularity = 2,
    /// The model without the user's interest.
    NoInterest = 3,
    /// The model as it was before it learned anything.
    NoLearning = 4,
    /// The model and the user's interest in categories, without what the items that he looked at speak
    /// for and without what the order of his acts says.
    NoRelevance = 5,
}

impl Arm {
    /// All arms, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Full,
        Self::Random,
        Self::Popularity,
        Self::NoInterest,
        Self::NoLearning,
        Self::NoRelevance,
    ];

    /// The name in configuration, answers and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Random => "random",
            Self::Popularity => "popularity",
            Self::NoInterest => "no-interest",
            Self::NoLearning => "no-learning",
            Self::NoRelevance => "no-relevance",
        }
    }

    /// The arm with this number, as a token carries it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether the model as it has learned ranks the ads, with all that the arm lets it know.
    #[must_use]
    pub const fn is_by_model(self) -> bool {
        matches!(self, Self::Full | Self::NoInterest | Self::NoRelevance)
    }
}

/// Which share of the users each arm gets.
#[derive(Clone, Debug)]
pub struct Arms {
    /// The arm of each percent.
    by_percent: [Arm; 100],
}

impl Default for Arms {
    fn default() -> Self {
        Self { by_percent: [Arm::Full; 100] }
    }
}

impl Arms {
    /// From shares in percent by arm name; empty means that all are in `full`.
    ///
    /// # Errors
    /// Names an arm that does not exist, or shares that do not add up to 100.
    pub fn from_shares(shares: &BTreeMap<String, u8>) -> Result<Self, String> {
        if shares.is_empty() {
            return Ok(Self::default());
        }
        let mut arms = Vec::with_capacity(100);
        for (name, share) in shares {
            let arm = Arm::ALL.into_iter().find(|arm| arm.as_str() == name);
            let arm = arm.ok_or_else(|| format!("experiment.arms: there is no arm `{name}`"))?;
            arms.extend(std::iter::repeat_n(arm, usize::from(*share)));
        }
        let by_percent =
            arms.try_into().map_err(|_| "experiment.arms must add up to 100".to_owned())?;
        Ok(Self { by_percent })
    }

    /// The arm of the user (or, without one, of the request) with this hash.
    #[must_use]
    pub fn of(&self, user_or_request: u64) -> Arm {
        // A salt of its own, so that arms do not line up with session partitions.
        self.by_percent[(hash::combine(0xa57, user_or_request) % 100) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_a_user_stays_in_his_arm() {
        let shares = BTreeMap::from([("full".to_owned(), 60), ("random".to_owned(), 40)]);
        let arms = Arms::from_shares(&shares).expect("good shares");
        let random = (0..100_000).filter(|user| arms.of(*user) == Arm::Random).count();
        assert!((39_000..41_000).contains(&random), "{random}");
        assert_eq!(arms.of(7), arms.of(7));
        assert!(Arms::from_shares(&BTreeMap::from([("best".to_owned(), 100)])).is_err());
        assert!(Arms::from_shares(&BTreeMap::from([("full".to_owned(), 99)])).is_err());
    }

    #[test]
    fn numbers_and_arms_agree() {
        for arm in Arm::ALL {
            assert_eq!(Arm::from_number(arm as u8), Some(arm));
        }
        assert_eq!(Arm::from_number(6), None);
    }
}
