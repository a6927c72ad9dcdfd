//! What holder and ledger tell each other, and where it lies until the holder takes it.
//!
//! A mailbox dies with its actor, and with it whatever lies in it. A grant that got lost so would
//! leave a step open for ever; a charge, a book that bids the same money twice. So events lie in an
//! inbox beside the book, outside of both actors, and a mailbox carries only the word that there is
//! something: a successor over the same book takes what its predecessor did not.

use super::command::LeaseOp;
use super::day::DayNumber;
use super::line::Held;
use super::plan::Purpose;
use super::view::{Answer, as_text};
use crate::units::{CampaignId, LeaseId, Micros, Nanos, Timestamp};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;

/// Events above which a hint is not added. Answers and charges are bounded by steps and holds;
/// hints come for as long as nobody takes them, and whoever gives them gives them again.
const HINTS_MAX: usize = 1_024;

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
    /// The share of it that a lease for exploration keeps at hand, in millionths; 0 where there is
    /// none.
    pub exploration_ppm: u32,
    /// Whether it bids at all.
    pub is_active: bool,
    /// Whether other campaigns draw on an account above it: money that they return is no word to it.
    pub shares_bound: bool,
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

/// What a holder is told.
#[derive(Clone, Debug)]
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
    /// A hold was charged; so much of it came from its lease.
    Settled {
        /// Which hold.
        held: Held,
        /// Moved from leased to billed.
        from_lease: Nanos,
    },
    /// Somebody needs money: return what the lease for this purpose does not use.
    Recall(CampaignId, Purpose),
    /// A budget was cut below what is committed: return whatever no bid holds, at once.
    Cut(CampaignId),
    /// An account that had too little has some again: new money, or what somebody returned.
    Available {
        /// Whose account.
        campaign: CampaignId,
        /// Whether nobody had it before.
        is_new: bool,
    },
    /// Whoever writes steps into the log has died, perhaps with some of this book's: ask again.
    AskAgain,
}

impl LeaseEvent {
    /// Whether its loss costs time and nothing else.
    const fn is_hint(&self) -> bool {
        matches!(self, Self::Recall(..) | Self::Available { .. })
    }
}

/// What one book has in all campaigns together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeaseTotals {
    /// Held by bids that may still be billed, in nanos.
    #[serde(serialize_with = "as_text")]
    pub held: Nanos,
    /// Leased beyond that, in nanos.
    #[serde(serialize_with = "as_text")]
    pub at_hand: Nanos,
    /// Steps that wait for the ledger's answers.
    pub open_steps: usize,
}

/// Says that there is something in a holder's inbox.
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "()")]
pub struct LeaseNews;

/// The events of one book, in order, each taken once. Cheap to clone; all clones are one inbox.
#[derive(Clone, Debug, Default)]
pub struct LeaseInbox(Arc<Mutex<VecDeque<LeaseEvent>>>);

impl LeaseInbox {
    /// Adds an event. Whether it is the first, so that the holder must be told: it takes all that
    /// it finds.
    pub(super) fn put(&self, event: LeaseEvent) -> bool {
        let mut events = self.0.lock();
        if event.is_hint() && events.len() >= HINTS_MAX {
            return false;
        }
        events.push_back(event);
        events.len() == 1
    }

    /// The oldest event.
    pub fn take(&self) -> Option<LeaseEvent> {
        self.0.lock().pop_front()
    }
}
