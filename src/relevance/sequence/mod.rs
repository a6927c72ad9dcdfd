//! The sequence model: what a user does next, from the order of what the user did.
//!
//! An event's embedding (category, hashed item, kind, time since the event before) goes through one
//! gated recurrent unit; the state's product with a category's embedding, the same one, and a bias
//! are the category's logit. Trained offline (`outbid train sequence`), stepped once an event.
//!
//! What this room promises:
//! * Pure and synchronous; a step and a logit allocate nothing.
//! * A state is 72 bytes, whatever the model.
//! * A model file is refused unless it is whole: version, sizes, vocabulary, checksum, finite numbers.
//! * The same data, settings and seed give the same model on one machine.

mod cell;
mod file;
mod model;
mod rows;
mod shape;
#[cfg(test)]
mod tests;
mod train;
mod vocabulary;

pub use model::{SequenceModel, State, Visit};
pub use rows::CategoryRows;
pub use shape::{CATEGORIES_MAX, HIDDEN_MAX, ITEMS_MAX, KINDS, Shape};
pub use train::{Loss, TrainConfig, Trainer, WINDOW_MAX};
pub use vocabulary::Vocabulary;

/// Why a model cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SequenceError {
    /// Sizes that no model may have.
    #[error(
        "a sequence model has 32 or 64 units, 1 to {CATEGORIES_MAX} categories, and a power of two \
         of items, at most {ITEMS_MAX}, or none"
    )]
    Shape,
    /// Settings that train nothing.
    #[error(
        "training needs a window of 1 to {WINDOW_MAX} events, a rate above 0, and a dropout from 0 to \
         below 1"
    )]
    Settings,
    /// The file cannot be read or written.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// The file is no model of this version, or is damaged.
    #[error("not a sequence model that can be used: {0}")]
    Refused(&'static str),
}
