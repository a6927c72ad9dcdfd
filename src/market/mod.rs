//! What bids win at: the prices of first-price auctions, and how far below its value a bid should
//! stay.
//!
//! Where the winner pays what it bid, bidding the value `V` earns nothing. A bid `b` earns
//! `(V - b) * F(b)`, with `F` the chance that the least winning bid lies below `b`. A factor on all
//! bids is no shading, since pacing takes it back at once; the gain lies in bidding where `F` is
//! steep, which is another part of the value at each value. `F` is learned by segment (`segments`):
//!
//! | what exchanges tell | `F` | |
//! |---|---|---|
//! | the least winning bid, often | a decayed histogram | `histogram` |
//! | the same, seldom so far | a log-normal fitted to it | `lognormal` |
//! | only who won | a logistic in the bid's logarithm, and 2 % of bids drawn to keep it learning | `logistic` |
//!
//! `shade` makes of each `F` the list of values at which the best bid changes, so that the bid path
//! searches 64 numbers and computes nothing. Figures: 64 bins of an eighth of an octave (factors of
//! 1.09, 256 in all), decay 0.9995 an observation, a segment counts from 200 observations on.
//!
//! The room is pure but for [`MarketActor`], which only takes batches in and publishes. Nothing in
//! it knows users, campaigns or money.

mod actor;
mod histogram;
mod logistic;
mod lognormal;
mod segments;
mod shade;
mod snapshot;

pub use actor::{Inbox, MarketActor, Status, Tick};
pub use segments::{Learned, Market, MarketStatus, Observation, Place, SizeClass};
pub use shade::Curve;
pub use snapshot::{MarketSnapshot, Shaded};
