//! Eligible, score, price, select, hold: a request becomes a decision.
//!
//! What this room promises:
//! * A decision depends on the request, the pinned [`World`] and the core's leases, and on nothing
//!   else: the same three give the same bids.
//! * No await, no lock, no allocation once warm; one box crosses the mailbox.
//! * Each request without a bid has a reason ([`NoBid`]), each excluded ad a name ([`Misfit`]).
//! * No ad and no advertiser stands twice on a page, and competitors are kept apart.

mod actor;
mod affinity;
mod arm;
mod audit;
mod contenders;
mod conversions;
mod decide;
mod diversity;
mod explain;
mod explore;
mod extract;
mod fill;
mod fits;
mod input;
mod outcome;
mod pod;
mod policy;
mod price;
mod purse;
mod reason;
mod relevant;
mod ring;
mod scoring;
mod select;
mod verdicts;
mod world;

pub use actor::{
    AuctionActor, BidClicked, BidEnd, BidShown, Core, CoreStatus, EndBids, Outbox, Status, Tick,
};
pub use arm::{Arm, Arms};
pub use audit::{AUDITS_MAX, Audit, FindAudits};
pub use decide::{Auctioneer, Scored};
#[cfg(feature = "onnx")]
pub use decide::{RERANK_BOUNDS_US, Reranker};
pub use explain::{
    Controllers, End, ExplainedAd, ExplainedBid, ExplainedCampaign, ExplainedPrice, Explanation,
    explain,
};
pub use extract::{Context, extract};
pub use fits::Misfit;
pub use input::{
    AuctionInput, BannerSlot, Blocks, DealInput, ImpInput, KeySet, LengthFloors, MediaSlot,
    NativeSlot, PodRoom, SizeRule,
};
pub use outcome::{Outcome, Pick};
pub use policy::Policy;
pub use price::input_of_terms;
pub use purse::Purse;
pub use reason::NoBid;
pub use relevant::ExplainedRelevance;
pub use ring::{RING_MAX, Ring};
pub use select::{Candidate, KEPT_MAX, Page, Shortlist};
pub use world::{Epochs, Published, World, WorldCache};
