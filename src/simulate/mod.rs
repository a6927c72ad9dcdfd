//! A simulated exchange with users and a market; it reaches the engine over sockets only.
//!
//! Promises: one seed, one world (users, traffic, market, and the chance in every click), whatever
//! the engine does; the truth (tastes, intents, click and purchase probabilities) never leaves this
//! room but through behaviour; the exchange keeps its own books, in integers, from the notices that
//! it sent, so that the engine's can be held against them. No room of the engine is imported: units,
//! clocks and hashes only.
//!
//! Three drivers: [`run_day`] plays a compressed day call by call, in order of simulated time;
//! [`run_log`] plays a public auction log; [`run_load`] sends prepared requests at a rate, open loop,
//! and stamps them from their intended time.

mod answer;
mod books;
mod client;
mod connection;
mod consent;
mod day;
mod error;
mod goods;
mod load;
mod market;
mod outcome;
mod random;
mod replay;
mod request;
mod shop;
mod slot;
mod spec;
mod stats;
#[cfg(test)]
mod tests;
mod traffic;
mod truth;
mod world;

pub use answer::{Answer, AnsweredBid, Defect};
pub use books::{ArmBooks, CampaignBooks, DayResult, Scored, Totals};
pub use client::{Client, Reply};
pub use consent::Choice;
pub use day::{DayPlan, Endpoints, Faults, Progress, run_day};
pub use error::Error;
pub use goods::{Item, Seen, Stock};
pub use load::{LoadPlan, LoadReport, Mode, run_load};
pub use market::{Sale, sell};
pub use replay::{Episodes, LogPlan, LogResult, Logged, run_log};
pub use request::{Imp, Opportunity, Rendered};
pub use shop::{Behaviour, ShopEvent};
pub use slot::SlotKind;
pub use spec::{Category, Click, Conversion, Country, Deal, Dialect, Law, Medium, Publisher, Spec};
pub use stats::{Decile, Lift, auc, deciles, lift};
pub use traffic::{Kind, Step};
pub use truth::Showing;
pub use world::{Ad, Ads, Device, User, UserId, World};
