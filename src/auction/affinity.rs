//! What the sequence model says of one request's user: a category at a time, and each once.

use crate::auction::input::AuctionInput;
use crate::auction::world::World;
use crate::catalog::CampaignRow;

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
    /// the user. Whether it may count is the caller's to ask.
    pub(super) fn of(&mut self, world: &World, input: &AuctionInput, row: &CampaignRow) -> f32 {
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
