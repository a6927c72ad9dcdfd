//! What an auction decided.

use crate::auction::explain::Controllers;
use crate::auction::price::Promise;
use crate::auction::reason::NoBid;
use crate::budget::Held;
use crate::catalog::Catalog;
use crate::prediction::Strengths;
use crate::rates::Rate;
use crate::units::Micros;
use smallvec::SmallVec;
use std::sync::Arc;

/// The decision on one request.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The bids: one an imp, but several for a pod that ads share.
    pub picks: SmallVec<[Pick; 4]>,
    /// Why there is none, when there is none.
    pub no_bid: Option<NoBid>,
    /// Campaigns that were ranked down, since their category filled too much of what the user saw.
    pub ranked_down: u32,
    /// The catalog that slots refer to.
    pub catalog: Option<Arc<Catalog>>,
}

/// One bid.
#[derive(Clone, Copy, Debug)]
pub struct Pick {
    /// Position of the imp in the request.
    pub imp: u8,
    /// Position of the deal in the imp's list.
    pub deal: Option<u8>,
    /// The campaign's slot index.
    pub campaign: u32,
    /// Which of the campaign's strategies made it; 0 where there is one.
    pub strategy_arm: u8,
    /// The ad's slot index.
    pub ad: u32,
    /// The bid, in the currency of the answer.
    pub price: Micros,
    /// What would have been bid without shading, which ranked it, in the same.
    pub paced: Micros,
    /// Whether it is made to learn: it has its place by a draw of what its click probability may be,
    /// and holds money of its own. Its logit is that of the prediction.
    pub is_exploration: bool,
    /// Whether the winner pays what it bid, as in the open market of a first-price auction.
    pub is_first_price: bool,
    /// What is held for it, in the account's currency, and the claim on the lease.
    pub held: Held,
    /// By what the price became what is held: from the bid's currency to the account's, times the
    /// impressions that one play counts for. A told price is converted by the same.
    pub rate: Rate,
    /// Logit of its click probability.
    pub logit: f32,
    /// Conversions predicted of a million clicks, where its strategy pays for conversions; else what
    /// the campaign declares.
    pub conversions_ppm: u32,
    /// The released prior's logit that went into it.
    pub prior_logit: f32,
    /// Strength of the user's interest in its category.
    pub interest: f32,
    /// What speaks for it beside.
    pub strengths: Strengths,
    /// The floor that its price keeps, in the currency of the answer.
    pub floor: Micros,
    /// What its campaign's controllers said, once the auction is over.
    pub controllers: Controllers,
}

impl Pick {
    /// What was predicted of it.
    #[must_use]
    pub const fn promise(&self) -> Promise {
        Promise { logit: self.logit, conversions_ppm: self.conversions_ppm }
    }
}

impl Outcome {
    /// Empties it and keeps its buffer.
    pub fn clear(&mut self) {
        self.picks.clear();
        self.no_bid = None;
        self.ranked_down = 0;
        self.catalog = None;
    }
}
