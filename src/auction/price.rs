//! From click probability to a bid: value, pacing, cap, currency, floor.

use crate::auction::decide::{Purse, Scored};
use crate::auction::input::AuctionInput;
use crate::auction::world::World;
use crate::catalog::Campaign;
use crate::hash;
use crate::prediction::sigmoid;
use crate::strategy::ValueInput;
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

/// Value x pacing multiplier, capped, in the currency of the answer (rounded down: never more than
/// the advertiser's terms), held against the floor.
pub fn price(
    world: &World,
    purse: &impl Purse,
    input: &AuctionInput,
    campaign: &Campaign,
    scored: &Scored,
) -> Priced {
    let Some(strategy) = world.strategy_of(campaign) else { return Priced::Unpriced };
    let input_of = value_input(world, campaign, scored);
    let paced = strategy.price(&input_of, multiplier(world, purse, campaign));
    let rate = world.rates.rate(input.currency, campaign.currency);
    let Some(price) = rate.and_then(|rate| rate.largest_within(paced)) else {
        return Priced::Unpriced;
    };
    if price.0 == 0 || price < scored.floor {
        Priced::BelowFloor(price)
    } else {
        Priced::Bid(price)
    }
}

/// The pacing multiplier: exp of the smaller of the budget's and the CPA's logarithm, the budget's
/// moved by what this core has seen since the snapshot.
pub fn multiplier(world: &World, purse: &impl Purse, campaign: &Campaign) -> f64 {
    f64::from(purse.pace(campaign, &world.pacing).multiplier())
}

/// What a strategy is told.
pub fn value_input(world: &World, campaign: &Campaign, scored: &Scored) -> ValueInput {
    ValueInput {
        p_click: f64::from(sigmoid(scored.logit)),
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
