//! The tables that are as wide as a factor vector. What runs over them is compiled for 8 and for 16
//! components, and which of the two is asked once a batch.

use super::features::{AD_FIELDS, AdIds, CONTEXT_FIELDS, ContextFeatures, valued};
use super::row::{AdOwn, AdRow};
use super::tables::Chunked;
use super::vectors::add_scaled;
use crate::units::Slot;

/// Vectors a chunk: 4 kB of 8 components.
pub(super) const VECTOR_CHUNK: usize = 128;
/// Ad rows a chunk: 4 kB of 8 components.
pub(super) const ROW_CHUNK: usize = 64;

/// Vectors of `K` components, and the ad rows made of them.
#[derive(Clone)]
pub(super) struct Factors<const K: usize> {
    pub(super) vectors: Chunked<[f32; K], VECTOR_CHUNK>,
    pub(super) rows: Chunked<AdRow<K>, ROW_CHUNK>,
}

/// Factors of one of the two sizes.
#[derive(Clone)]
pub(super) enum Served {
    Eight(Factors<8>),
    Sixteen(Factors<16>),
}

impl Served {
    /// `len` vectors of `dim` components, all zero, and no ads.
    pub(super) fn filled(dim: u8, len: usize) -> Self {
        match dim {
            8 => Self::Eight(Factors::filled(len)),
            _ => Self::Sixteen(Factors::filled(len)),
        }
    }

    /// What the row at a slot index says beside its vectors.
    pub(super) fn own(&self, index: usize) -> Option<&AdOwn> {
        match self {
            Self::Eight(factors) => factors.rows.get(index).map(|row| &row.own),
            Self::Sixteen(factors) => factors.rows.get(index).map(|row| &row.own),
        }
    }

    /// How many places for rows there are.
    pub(super) fn places(&self) -> usize {
        match self {
            Self::Eight(factors) => factors.rows.len(),
            Self::Sixteen(factors) => factors.rows.len(),
        }
    }
}

impl<const K: usize> Factors<K> {
    fn filled(len: usize) -> Self {
        Self { vectors: Chunked::filled(len, [0.0; K]), rows: Chunked::filled(0, AdRow::ABSENT) }
    }

    /// The row of the ad that `ad` means.
    #[inline(always)]
    pub(super) fn row(&self, ad: Slot) -> Option<&AdRow<K>> {
        match self.rows.get(ad.index as usize) {
            Some(row) if row.own.is_of(ad) => Some(row),
            _ => None,
        }
    }

    /// Asks for the row at the index of `ad`.
    #[inline(always)]
    pub(super) fn prefetch(&self, ad: Slot) {
        self.rows.prefetch(ad.index as usize);
    }

    /// Asks for the vectors of a request's features.
    pub(super) fn prefetch_context(&self, context: &ContextFeatures) {
        context.ids.iter().for_each(|id| self.vectors.prefetch(self.vector_place(*id)));
    }

    /// The vectors of a request's features.
    pub(super) fn context_vectors(&self, context: &ContextFeatures) -> [[f32; K]; CONTEXT_FIELDS] {
        context.ids.map(|id| self.vector(id))
    }

    /// The vectors of an ad's features, as exact as the request's.
    pub(super) fn ad_vectors(&self, ids: &AdIds) -> [[f32; K]; AD_FIELDS] {
        let mut vectors = [[0.0; K]; AD_FIELDS];
        for (field, id, value) in valued(ids) {
            add_scaled(&mut vectors[field], value, &self.vector(id));
        }
        vectors
    }

    fn vector(&self, id: u32) -> [f32; K] {
        self.vectors.get(self.vector_place(id)).copied().unwrap_or([0.0; K])
    }

    fn vector_place(&self, id: u32) -> usize {
        id as usize & (self.vectors.len() - 1)
    }
}
