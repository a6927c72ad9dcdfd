//! The ledger, leases, holds, and the actor that owns them.
//!
//! Two inequalities, checked in every transition, also in release builds:
//! for every account `billed + late + leased <= bound`, and for every lease
//! `settled + held <= amount`. All money is whole nanos.
//!
//! [`Ledger`] is a pure fold over the ordered log. [`LeaseBook`] is the holder's side: it says yes
//! or no to a bid within one core's leases, in memory. [`BudgetActor`] carries commands to the log
//! and what the fold answers back to the holders, and runs the pacing controllers.

mod account;
mod actor;
mod audit;
mod command;
mod day;
mod inbox;
mod lease;
mod ledger;
mod line;
mod plan;
mod snapshot;
mod state;
mod statement;
mod tree;
mod view;
mod wallet;
mod writer;

#[cfg(test)]
mod actor_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tree_tests;
#[cfg(test)]
mod unset_tests;

pub use account::{AMOUNT_MAX, Account, Refusal, Sums};
pub use actor::{
    ArmBill, ArmsBilled, BudgetActor, BudgetStatus, CampaignStatus, CampaignTerms, Conversion,
    ConversionsReleased, Quiesce, ReadStatement, ReadUnset, Register, ReleasedConversions, Report,
    Requests, Save, SetCampaigns, Shared, Status, Tick, Unset, WindUp,
};
pub use command::{ADJUST_KEY_BYTES_MAX, AdjustReason, Command, DecodeError, LeaseOp, Notice};
pub use day::DayNumber;
pub use inbox::{LeaseEvent, LeaseInbox, LeaseNews, LeaseRequest, LeaseTerms, LeaseTotals};
pub use lease::LeaseBook;
pub use ledger::{CLOSED_KEPT_MS, FoldError, Ledger, apply};
pub use line::{DUE_STEP_MS, Due, Held, NoHold, Windows};
pub use plan::{Budget, EXPLORATION_PPM_MAX, Flight, Purpose};
pub use snapshot::{SNAPSHOT_KEY, Saver, Saving};
pub use statement::{AccountLine, Level, Statement, id_text};
pub use view::{AccountView, Answer, FlightView, House, Money, Outcome, Settlement};
pub use writer::LedgerWriter;
