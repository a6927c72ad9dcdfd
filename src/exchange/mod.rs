//! What differs between exchanges, as far as it is more than a number in the configuration: who may
//! send, how much, in which coding, and how prices are hidden.
//!
//! What this room promises:
//! * Whoever does not prove to be the exchange is refused before a byte of the body is looked at;
//!   secrets are compared in constant time.
//! * The limit on requests is one atomic number for all workers: no lock, no timer.
//! * A compressed body takes as much memory as the largest body allowed, whatever it claims to hold.
//! * A price that was not signed with the exchange's key is none.

mod bucket;
pub mod compression;
mod gate;
mod google_price;

pub use bucket::Bucket;
pub use gate::{Gate, Refusal};
pub use google_price::{DecryptError, PriceCipher};
