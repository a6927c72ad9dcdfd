//! Where an auction takes money from.

use crate::budget::{Held, LeaseBook, NoHold, Purpose, Windows};
use crate::strategy::pacing::{LocalPacing, Pace, PacingSnapshot};
use crate::units::{CampaignId, Micros, Slot, Timestamp};

/// Where an auction takes money from: a core's leases, or, to explain, nowhere.
pub trait Purse {
    /// Holds `price` (account currency) of the campaign's money for this purpose.
    ///
    /// # Errors
    /// What is left, when that is less than the price; zero when there is none.
    fn hold(
        &mut self,
        campaign: CampaignId,
        purpose: Purpose,
        price: Micros,
        windows: Windows,
        now: Timestamp,
    ) -> Result<Held, Micros>;

    /// The pace of the campaign in a slot: as published, with what this core has seen since.
    fn pace(&mut self, slot: Slot, published: &PacingSnapshot) -> Pace;

    /// Asks for what `pace` will read of the campaign at a slot index.
    fn prefetch(&self, _index: u32) {}
}

/// The leases of one core, and what it has changed in its campaigns' pacing since the last snapshot.
pub struct LeasePurse<'a> {
    /// The leases.
    pub leases: &'a mut LeaseBook,
    /// The local part of the multipliers.
    pub pacing: &'a mut LocalPacing,
}

impl Purse for LeasePurse<'_> {
    fn hold(
        &mut self,
        campaign: CampaignId,
        purpose: Purpose,
        price: Micros,
        windows: Windows,
        now: Timestamp,
    ) -> Result<Held, Micros> {
        self.leases.hold(campaign, purpose, price, windows, now).map_err(|no_hold| match no_hold {
            NoHold::OnlyLeft(left) => left,
            NoHold::NoLease | NoHold::Exhausted => Micros::ZERO,
        })
    }

    #[inline(always)]
    fn pace(&mut self, slot: Slot, published: &PacingSnapshot) -> Pace {
        self.pacing.pace(slot, published)
    }

    #[inline]
    fn prefetch(&self, index: u32) {
        self.pacing.prefetch(index);
    }
}
