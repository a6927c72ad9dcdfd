//! The categories that a model knows, by their ids.

use crate::hash;
use crate::units::CategoryId;

/// Known categories, sorted by id. Their place, from 1, is where the model keeps them; 0 stands for
/// all that are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    ids: Box<[CategoryId]>,
}

impl Vocabulary {
    /// The vocabulary of these ids, in any order.
    #[must_use]
    pub fn new(mut ids: Vec<CategoryId>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        Self { ids: ids.into() }
    }

    /// The place of a category: 0 where it is not known.
    #[must_use]
    pub fn place(&self, category: CategoryId) -> usize {
        self.ids.binary_search(&category).map_or(0, |index| index + 1)
    }

    /// All ids, the first in place 1.
    #[must_use]
    pub fn ids(&self) -> &[CategoryId] {
        &self.ids
    }

    /// A hash of all ids: models of one digest mean the same by a place.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.ids.iter().fold(self.ids.len() as u64, |digest, id| hash::combine(digest, id.0.into()))
    }
}
