//! What was bid lately, and why: a bounded list a core, asked by auction id. Written at each bid,
//! so it keeps numbers alone; names are looked up by who asks.

use crate::auction::actor::AuctionActor;
use crate::auction::explain::Controllers;
use crate::auction::input::AuctionInput;
use crate::auction::outcome::Pick;
use crate::auction::price::Terms;
use crate::auction::world::{Epochs, Seated, World};
use crate::budget::Held;
use crate::catalog::Ad;
use crate::consent::Permissions;
use crate::hash::stable_lower;
use crate::prediction::sigmoid;
use crate::units::{CampaignId, CreativeId, CurrencyCode, Micros, Slot, Timestamp};
use actix::prelude::*;
use serde::Serialize;

/// Bids remembered by one core: half a minute at 1,000 bids a second, 8 MB.
pub const AUDITS_MAX: usize = 1 << 15;

/// One bid as it was decided. Whether it was sent, won and billed is the event log's to say.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Audit {
    /// When.
    pub at: Timestamp,
    /// The exchange, by its position in the configuration.
    #[serde(skip)]
    pub exchange: u16,
    /// The user's experiment arm.
    pub arm: &'static str,
    /// What could be done with the user.
    pub permissions: Permissions,
    /// From what it was decided.
    pub epochs: Epochs,
    /// Position of the imp in the request.
    pub imp: u8,
    /// Position of the deal in the imp's list.
    pub deal: Option<u8>,
    /// Which campaign.
    #[serde(skip)]
    pub campaign: CampaignId,
    /// Which of its strategies, in the order of their names, where it has several.
    pub strategy_arm: Option<u8>,
    /// Which ad.
    #[serde(skip)]
    pub creative: CreativeId,
    /// Where the ad stood in the catalog.
    #[serde(skip)]
    pub ad: Slot,
    /// Predicted click probability.
    pub p_click: f32,
    /// Click probability that private releases gave the campaign.
    pub prior_p_click: f32,
    /// Strength of the user's interest in its category.
    pub interest: f32,
    /// What the strategy found it worth: CPM micros of the account's currency.
    #[serde(rename = "value_micros")]
    pub value: Micros,
    /// What its controllers said.
    pub controllers: Controllers,
    /// The bid: CPM micros of `currency`.
    #[serde(rename = "price_micros")]
    pub price: Micros,
    /// Whether it was made to learn: by a draw, and with money of its own.
    pub is_exploration: bool,
    /// What it would have been without shading, in the same.
    #[serde(rename = "paced_micros")]
    pub paced: Micros,
    /// The floor that it kept, in the same.
    #[serde(rename = "floor_micros")]
    pub floor: Micros,
    /// The currency of the answer.
    pub currency: CurrencyCode,
    /// What was held for it, in the account's currency, and the claim on the lease.
    #[serde(skip)]
    pub held: Held,
}

impl Audit {
    /// What is known of one pick at the moment of its decision.
    pub(super) fn of(world: &World, input: &AuctionInput, pick: &Pick, ad: &Ad) -> Option<Self> {
        let row = world.catalog.row(pick.campaign)?;
        let seated = Seated::of(row, pick.strategy_arm);
        let terms = Terms::of(world, input, (row, seated), 1.0)?;
        Some(Self {
            at: input.now,
            exchange: input.exchange,
            arm: input.arm.as_str(),
            permissions: input.permissions,
            epochs: world.epochs(),
            imp: pick.imp,
            deal: pick.deal,
            campaign: row.id,
            strategy_arm: seated.split_arm(),
            creative: ad.id,
            ad: ad.slot,
            p_click: sigmoid(pick.logit),
            prior_p_click: sigmoid(pick.prior_logit),
            interest: pick.interest,
            value: terms.value(pick.promise()),
            controllers: pick.controllers,
            price: pick.price,
            is_exploration: pick.is_exploration,
            paced: pick.paced,
            floor: pick.floor,
            currency: input.currency,
            held: pick.held,
        })
    }
}

/// The last bids of one core, oldest overwritten first. Auction ids are kept as their hashes, apart
/// from the bids: a search reads 256 kB.
#[derive(Debug)]
pub(super) struct Audits {
    keys: Vec<u64>,
    bids: Vec<Audit>,
    next: usize,
}

impl Audits {
    /// An empty list that never grows by moving what it holds.
    pub(super) fn new() -> Self {
        Self { keys: Vec::with_capacity(AUDITS_MAX), bids: Vec::with_capacity(AUDITS_MAX), next: 0 }
    }

    /// Remembers a bid of the auction whose id has the hash `key`.
    pub(super) fn put(&mut self, key: u64, bid: Audit) {
        match (self.keys.get_mut(self.next), self.bids.get_mut(self.next)) {
            (Some(old_key), Some(old_bid)) => (*old_key, *old_bid) = (key, bid),
            _ => {
                self.keys.push(key);
                self.bids.push(bid);
            }
        }
        self.next = (self.next + 1) % AUDITS_MAX;
    }

    /// The remembered bids of one auction.
    fn of(&self, key: u64) -> Vec<Audit> {
        let found = self.keys.iter().zip(&self.bids).filter(|(own, _)| **own == key);
        found.map(|(_, bid)| *bid).collect()
    }
}

/// Asks for the remembered bids of one auction.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Vec<Audit>")]
pub struct FindAudits(u64);

impl FindAudits {
    /// Of the auction with this id (`BidRequest.id`).
    #[must_use]
    pub fn of(auction_id: &str) -> Self {
        Self(stable_lower(auction_id))
    }
}

impl Handler<FindAudits> for AuctionActor {
    type Result = Vec<Audit>;

    fn handle(&mut self, FindAudits(key): FindAudits, _: &mut Self::Context) -> Self::Result {
        self.core().borrow().audits().of(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bid(imp: u8) -> Audit {
        Audit {
            at: Timestamp(0),
            exchange: 0,
            arm: "",
            permissions: Permissions::CONTEXTUAL,
            epochs: Epochs::default(),
            imp,
            deal: None,
            campaign: CampaignId::default(),
            strategy_arm: None,
            creative: CreativeId::default(),
            ad: Slot::default(),
            p_click: 0.0,
            prior_p_click: 0.0,
            interest: 0.0,
            value: Micros::ZERO,
            controllers: Controllers::default(),
            price: Micros::ZERO,
            is_exploration: false,
            paced: Micros::ZERO,
            floor: Micros::ZERO,
            currency: CurrencyCode::USD,
            held: Held::default(),
        }
    }

    #[test]
    fn the_oldest_bid_gives_way() {
        let mut audits = Audits::new();
        audits.put(7, bid(0));
        audits.put(7, bid(1));
        let imps =
            |audits: &Audits, key| audits.of(key).iter().map(|audit| audit.imp).collect::<Vec<_>>();
        assert_eq!(imps(&audits, 7), [0, 1]);
        assert!(audits.of(8).is_empty());
        let room = (audits.keys.capacity(), audits.bids.capacity());
        (2..=AUDITS_MAX as u64).for_each(|_| audits.put(9, bid(2)));
        assert_eq!(imps(&audits, 7), [1], "one of two was overwritten");
        assert_eq!(audits.of(9).len(), AUDITS_MAX - 1);
        assert_eq!((audits.keys.capacity(), audits.bids.capacity()), room, "it never grows");
    }
}
