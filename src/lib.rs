//! Outbid: a real-time bidding engine. `ARCHITECTURE.md` is the map of these rooms.
// `deny` and not `forbid`: one file, `prefetch.rs`, has a reason of its own.
#![deny(unsafe_code)]

// Level 0: known by all, knowing nobody above.
pub mod base64;
pub mod clock;
pub mod hash;
pub mod latency;
pub mod openrtb;
pub mod prefetch;
pub mod priority;
pub mod privacy;
pub mod rates;
pub mod retired;
pub mod units;
// Level 1.
pub mod catalog;
pub mod config;
pub mod consent;
pub mod store;
// Level 2.
pub mod budget;
pub mod exchange;
pub mod market;
pub mod prediction;
pub mod relevance;
pub mod session;
pub mod strategy;
// Level 3.
pub mod auction;
pub mod notice;
// Level 4.
pub mod evaluate;
pub mod replay;
// Levels 5 and 6: the wiring; nothing imports it.
pub mod cli;
pub mod server;
pub mod simulate;
