//! The privacy ledger: what was charged, what was released, and what the bounder must remember, so
//! that a restart neither forgets a charge, nor draws a released number again, nor lets a user count
//! twice. The log itself is a [`Journal`], which the server brings.
//!
//! # The protocol of an interval
//! 1. Before anything of a day is drawn, its whole cost is durable ([`Record::DayCharged`]).
//! 2. Noise is drawn, and the interval's records are appended: what the bounder admitted (sealed
//!    under the day's key), the released integers, in pieces of [`record::CHUNK_BYTES`].
//! 3. When they are durable, their [`Record::Committed`] is appended: count and digest of all.
//! 4. When that is durable, the [`Mark`] is; then, and not before, the numbers are shown.
//!
//! A process that dies before 3 has shown nothing, and what was counted since the commit before is
//! lost together with what the bounder admitted for it, so it never happened. One that dies after 3
//! has its numbers in the ledger, from where the next one shows them. Nothing is drawn twice.

pub(super) mod books;
mod journal;
pub(super) mod record;

pub use books::{Books, Today, Wrong};
pub use journal::{Forgetful, Journal, Mark, NotKept};
pub use record::{Carried, Committed, DayCharged, DayCost, Entry, NotARecord, Record};
