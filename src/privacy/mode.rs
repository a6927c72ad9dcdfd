//! What the claim is of: everything that is read of others' behaviour, or most of it.

use serde::{Deserialize, Serialize};

/// How much of what others did may decide about a user's bid without being a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The learned model, co-visitation and observed conversions in the pacer, as the claim says.
    #[default]
    Standard,
    /// Nothing: whatever scoring, pacing and reports read of others is a release.
    Strict,
}

impl Mode {
    /// What it leaves outside of the claim, in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Standard => {
                "standard mode: the learned model, what users visit together and observed conversions \
                 in pacing are outside of it"
            }
            Self::Strict => "strict mode: whatever is read of others' behaviour is a release",
        }
    }

    /// Whether it is [`Mode::Strict`].
    #[must_use]
    pub const fn is_strict(self) -> bool {
        matches!(self, Self::Strict)
    }
}
