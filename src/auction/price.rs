//! From click probability to a bid: value, pacing, cap, currency, floor.

use crate::auction::decide::{Purse, Scored};
use crate::auction::input::AuctionInput;
use crate::auction::world::World;
use crate::catalog::Campaign;
use crate::hash;
use crate::prediction::sigmoid;
use crate::rates::Rate;
use crate::strategy::{Strategy, ValueInput};
use crate::units::Micros;

/// The price of one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priced {
    /// It bids this, in the currency of the answer.
    Bid(Micros),
    /// What it would bid stays below its floor.
    BelowFloor(Micros),
    /// Its currency, or its strategy, is not known.
    Unpriced,
}

/// What all ads of a campaign are priced by in one auction.
pub struct Terms<'w> {
    strategy: &'w Strategy,
    input: ValueInput,
    multiplier: f64,
    rate: Rate,
}

impl<'w> Terms<'w> {
    /// The terms of `campaign`; `None` where its strategy or the rate of its currency is unknown.
    pub fn of(
        world: &'w World,
        purse: &impl Purse,
        input: &AuctionInput,
        campaign: &Campaign,
    ) -> Option<Self> {
        Some(Self {
            strategy: world.strategy_of(campaign)?,
            input: value_input(world, campaign),
            multiplier: multiplier(world, purse, campaign),
            rate: world.rates.rate(input.currency, campaign.currency)?,
        })
    }

    /// Value x pacing multiplier, capped, in the currency of the answer (rounded down: never more
    /// than the advertiser's terms), held against the floor.
    pub fn price(&self, scored: &Scored) -> Priced {
        let paced = self.strategy.price(&self.input_of(scored), self.multiplier);
        match self.rate.largest_within(paced) {
            None => Priced::Unpriced,
            Some(price) if price.0 == 0 || price < scored.floor => Priced::BelowFloor(price),
            Some(price) => Priced::Bid(price),
        }
    }

    /// What the strategy finds an impression worth before pacing, in the account's currency.
    pub fn value(&self, scored: &Scored) -> Micros {
        self.strategy.value(&self.input_of(scored))
    }

    /// What pacing leaves of the value.
    pub const fn multiplier(&self) -> f64 {
        self.multiplier
    }

    fn input_of(&self, scored: &Scored) -> ValueInput {
        ValueInput { p_click: f64::from(sigmoid(scored.logit)), ..self.input }
    }
}

/// The pacing multiplier: exp of the smaller of the budget's and the CPA's logarithm, the budget's
/// moved by what this core has seen since the snapshot.
fn multiplier(world: &World, purse: &impl Purse, campaign: &Campaign) -> f64 {
    f64::from(purse.pace(campaign, &world.pacing).multiplier())
}

/// What a strategy is told, but for the click probability.
fn value_input(world: &World, campaign: &Campaign) -> ValueInput {
    ValueInput {
        p_click: 0.0,
        average_p_click: f64::from(world.releases.campaign_prior(campaign.id).rate),
        max_cpm: campaign.bid.max_cpm,
        cpc_micros: campaign.bid.cpc,
        target_cpa_micros: campaign.bid.target_cpa,
        expected_cvr: f64::from(campaign.bid.expected_cvr_ppm) / 1e6,
    }
}

/// A rank that is random over ads and requests, and the same for the same request.
pub fn random_rank(seed: u64, scored: &Scored) -> f64 {
    let place = u64::from(scored.ad) << 8 | u64::from(scored.imp);
    hash::combine(seed, place) as f64
}
