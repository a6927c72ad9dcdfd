//! What is known of one request's user and a campaign: interest, and what the sequence model says, a
//! category at a time and each once.

use crate::auction::arm::Arm;
use crate::auction::input::AuctionInput;
use crate::auction::world::World;
use crate::catalog::{CampaignRow, FeatureGroups};
use crate::prediction::{Cross, Interest};

/// Whether the user's interest may enter this auction at all.
pub(super) fn knows_interest(input: &AuctionInput) -> bool {
    input.permissions.personalise && !input.facts.minor && input.arm != Arm::NoInterest
}

/// Whether the items that the user looked at, and the order of his acts, may enter it.
pub(super) fn knows_relevance(input: &AuctionInput) -> bool {
    knows_interest(input) && input.arm != Arm::NoRelevance
}

/// What is known of the user, for the model's context.
pub(super) fn interest_of(input: &AuctionInput) -> Interest {
    if knows_interest(input) {
        Interest::Known { top: input.profile.top_categories(input.now), last_event: None }
    } else {
        Interest::Off
    }
}

/// How strongly the user is drawn to what the campaign sells; negative where that may not count.
pub(super) fn interest_in(input: &AuctionInput, row: &CampaignRow) -> f32 {
    if !(knows_interest(input) && row.features.has(FeatureGroups::INTEREST)) {
        return Cross::NEUTRAL.interest;
    }
    input.profile.strength(row.category, row.advertiser, row.pooled_interest, input.now)
}

/// Affinities by the number of a category's row; NaN where nobody asked yet.
#[derive(Default)]
pub(super) struct Affinities(Vec<f32>);

impl Affinities {
    /// Forgets the last request's user.
    pub(super) fn clear(&mut self, world: &World) {
        self.0.clear();
        self.0.resize(world.sequence_rows().len(), f32::NAN);
    }

    /// The affinity to what the campaign sells, `[0, 1]`; negative where nothing is known of it or of
    /// the user, or it may not count.
    pub(super) fn of(&mut self, world: &World, input: &AuctionInput, row: &CampaignRow) -> f32 {
        if !(knows_relevance(input) && row.features.has(FeatureGroups::SEQUENCE)) {
            return -1.0;
        }
        let known = world
            .sequence_row(row.slot.index)
            .and_then(|number| Some((number, self.0.get_mut(usize::from(number))?)));
        let Some((number, known)) = known else { return -1.0 };
        if known.is_nan() {
            let affinity = world.sequence_rows().affinity(input.profile.sequence(), number);
            *known = affinity.unwrap_or(-1.0);
        }
        *known
    }
}
