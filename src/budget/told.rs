//! What holders of leases and the ledger's actor tell each other.

use super::command::LeaseOp;
use super::day::DayNumber;
use super::line::Held;
use super::view::Answer;
use crate::units::{CampaignId, LeaseId, Micros, Nanos, Timestamp};
use std::sync::Arc;

/// What a holder must know about a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// Which campaign.
    pub campaign: CampaignId,
    /// Its day at present.
    pub day: DayNumber,
    /// The first instant that is not this day.
    pub day_ends: Timestamp,
    /// The most that one bid may be.
    pub max_price: Micros,
    /// Money to keep at hand: one second of planned spend.
    pub headroom: Nanos,
    /// Whether it bids at all.
    pub is_active: bool,
}

/// A step that a holder asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The campaign of the lease.
    pub campaign: CampaignId,
    /// Which lease.
    pub lease: LeaseId,
    /// Number of the step within the lease.
    pub step: u32,
    /// What to do.
    pub op: LeaseOp,
}

/// A hold that was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Which hold.
    pub held: Held,
    /// How much of it came from its lease: moved from leased to billed.
    pub from_lease: Nanos,
}

/// What a holder is told.
#[derive(Clone, Debug, actix::Message)]
#[rtype(result = "()")]
pub enum LeaseEvent {
    /// All campaigns, as they are from now on; one that is missing is over.
    Terms(Arc<[LeaseTerms]>),
    /// The answer to a step.
    Answered {
        /// Which lease.
        lease: LeaseId,
        /// Which step.
        step: u32,
        /// What came of it.
        answer: Answer,
    },
    /// Holds were charged, in this order.
    Settled(Box<[Settlement]>),
    /// Another holder needs money: return what is not in use.
    Recall(CampaignId),
    /// A budget was cut below what is committed: return whatever no bid holds, at once.
    Cut(CampaignId),
    /// An account that had too little has some again.
    Available(CampaignId),
}

// Events travel through mailboxes by value.
const _: () = assert!(size_of::<LeaseEvent>() <= 128);
