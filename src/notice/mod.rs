//! What comes back: sealed tokens, win, billing, loss, click, events.
//!
//! A notice URL carries everything that its notice needs, sealed (`token`), so that nothing has to
//! be remembered between a bid and its bill but the hold itself. What a notice does to the money is
//! decided by a pure table (`effect`); whether it is the first of its hold is the ledger's to say.
//! Behaviour events are cleaned at the door (`event`), where raw ids become keyed hashes.

pub mod effect;
pub mod event;
pub mod token;

pub use crate::config::ChargeOn;
pub use effect::{Effect, Price, Query, QueryError, decide, write_url};
pub use token::{BidToken, NonceSequence, Purpose, Sealed, Sealer, TokenError};
