//! What strategies/*.toml composes: value and pacing.
//!
//! A strategy turns predictions and a campaign's terms into a CPM (`value`); its file is checked as
//! a whole when it is read, with file, line and reason for each mistake (`parse`).

pub mod exploration;
pub mod pacing;
pub mod parse;
pub mod split;
pub mod value;

pub use parse::{Exploration, Shading, Strategies, StrategyError, StrategyId};
pub use split::Split;
pub use value::{Factors, LnWorth, Objective, Strategy, ValueInput};
