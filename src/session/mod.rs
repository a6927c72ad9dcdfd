//! User sessions: interest, recent items, frequency; hosted in shards.
//!
//! What this room promises:
//! * It holds no raw user id: a user is a keyed hash ([`UserKey`](crate::units::UserKey)).
//! * A session is 192 bytes (asserted where it is declared) and some 216 with its share of the
//!   places and no shows; shows cost 20 bytes each, and a user keeps at most 32 records.
//! * With the state of a sequence model it stays below 512.
//! * The table never holds more than `sessions_max` sessions; the least recently used goes first.
//! * A frequency cap is never exceeded in silence. Whatever memory forces us to forget (merged
//!   shows, evicted sessions, a stripe that is locked while a bid reads) refuses, never permits. What
//!   several threads bid to one user before they hear of each other is counted.
//! * What an advertiser's events say about a user serves that advertiser's ads alone, unless it
//!   opted into the pool and the user consented.
//! * A bid reads without waiting and without allocating; it never creates a session by reading.
//!
//! [`SessionTable`] is shared by all cores and read by any; each of its partitions has one writer,
//! the [`SessionShard`] that [`ShardMap`] names. [`ShardState`] is that actor's logic without actix.

mod alias;
mod announced;
mod behaviour;
mod dedupe;
mod extra;
mod find;
mod frequency;
mod hand_over;
mod identity;
mod interest;
mod journal;
mod level;
mod places;
mod profile;
mod replay;
mod saved;
mod shard;
mod slab;
mod state;
mod stripe;
mod table;
#[cfg(test)]
mod tests;
mod user;

pub use alias::{AliasConfig, AliasStatus, Aliases, IDS_MAX, Ids, Join};
pub use announced::{Announced, Batch, Due};
pub use behaviour::{Behaviour, Conversion, Event};
pub use extra::Sequencer;
pub use find::{Found, find};
pub use frequency::{CapKey, CapWindow, Caps, SHOWS_MAX, WINDOW_S_MAX, campaign_tag};
pub use hand_over::Relay;
pub use identity::{ID_BYTES_MAX, Namespace, UserId};
pub use interest::{HALF_LIFE_FAST_S, HALF_LIFE_SLOW_S, SLOW_WEIGHT};
pub use journal::{Change, Changes, PIECE_BYTES_MAX, read_changes};
pub use profile::{Profile, ReadOutcome};
pub use replay::Replay;
pub use saved::{Malformed, Restorer, save};
pub use shard::{
    ApplyEvents, Carry, ChangeShows, ForgetUsers, JoinIds, Reached, SHARD_MAILBOX_MAX, SendRelays,
    SessionShard, Status, TellVisits, Tick,
};
pub use state::{
    CancelShow, ConfirmShow, PendShow, ShardCounters, ShardState, ShardStatus, ShowChange,
};
pub use table::{Cut, PARTITIONS, STRIPES_PER_PARTITION, SessionConfig, SessionTable, ShardMap};
