//! Public auction logs against the real parts of the engine, in one thread and without a network.
//!
//! A [`Logged`] auction says what the market was; [`Market`] decides who wins, what is paid and when
//! anybody hears of it; [`replay`] lets a strategy, its controllers, a lease book and the ledger meet
//! it in the order of time and returns a [`Report`]. Nothing here controls or accounts by itself:
//! multipliers come from `strategy::pacing`, prices from `strategy`, money from `budget`. The same
//! log, set-up and seed give the same report.
//!
//! It differs from the served engine in three things: one core, a log of commands that answers at
//! once, and predictions that are read from the log.

mod auction;
mod books;
mod market;
mod report;
mod run;
#[cfg(test)]
mod tests;

pub use auction::{LogError, Logged, Shape, read_ipinyou, spread};
pub use market::{Conversions, Delay, Market, PriceRule};
pub use report::{Point, Report};
pub use run::{Edit, Setup, replay};
