//! From the learner's weights to snapshots, copying only what changed.

use super::calibration::Calibration;
use super::evidence::Evidence;
use super::features::{AD_FIELDS, AdFeatures, AdIds, CREATIVE, SlotFormat, valued};
use super::fwfm::Fwfm;
use super::online::{interest_weights, relevance_weights};
use super::score::{AdRow, DIM, LINEAR_CHUNK, ModelSnapshot, ROW_CHUNK, VECTOR_CHUNK, Vector};
use super::tables::{Chunked, Touched};
use super::vectors::add_scaled;
use ndarray::Array2;
use serde::Serialize;
use std::sync::Arc;

/// Most ad slots with a row: 2^18 rows are 16 MB a snapshot. An ad beyond scores as neutral.
const AD_SLOTS_MAX: usize = 1 << 18;

/// What a publication had to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Linear weights.
    pub linear: usize,
    /// Vectors.
    pub vectors: usize,
    /// Ad rows.
    pub rows: usize,
}

/// The serving tables as last published, and the ads to keep rows of.
pub(super) struct Publisher {
    epoch: u64,
    linear: Chunked<f32, LINEAR_CHUNK>,
    vectors: Chunked<[f32; DIM], VECTOR_CHUNK>,
    rows: Chunked<AdRow, ROW_CHUNK>,
    ids: Chunked<AdIds, ROW_CHUNK>,
    /// Ads whose slot lies beyond [`AD_SLOTS_MAX`].
    pub(super) ads_refused: u64,
}

impl Publisher {
    /// Tables that serve what `model` holds now, without ads.
    pub(super) fn new(model: &Fwfm) -> Self {
        let mut publisher = Self {
            epoch: 0,
            linear: Chunked::filled(model.linear_len(), 0.0),
            vectors: Chunked::filled(model.vector_len(), [0.0; DIM]),
            rows: Chunked::filled(0, AdRow::ABSENT),
            ids: Chunked::filled(0, AdIds::default()),
            ads_refused: 0,
        };
        publisher.copy_vectors(model, &Touched::all(model.vector_len()));
        publisher
    }

    /// Counts on from the publications of an earlier process.
    pub(super) fn count_from(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Replaces the ads. Their rows are built at once; slots that no active ad names are emptied.
    pub(super) fn replace_ads(&mut self, model: &Fwfm, ads: &[AdFeatures]) -> usize {
        let is_kept = |ad: &&AdFeatures| ad.is_active && (ad.slot.index as usize) < AD_SLOTS_MAX;
        let kept = ads.iter().filter(is_kept);
        let slots = kept.clone().map(|ad| ad.slot.index as usize + 1).max();
        self.rows = Chunked::filled(slots.unwrap_or(0), AdRow::ABSENT);
        self.ids = Chunked::filled(slots.unwrap_or(0), AdIds::default());
        let mut built = 0;
        let field_weights = model.field_weights();
        for ad in kept {
            let row = build_row(model, &field_weights, ad.ids, ad.slot.generation);
            self.rows.set(ad.slot.index as usize, row);
            self.ids.set(ad.slot.index as usize, ad.ids);
            built += 1;
        }
        let active = ads.iter().filter(|ad| ad.is_active).count();
        self.ads_refused += (active - built) as u64;
        built
    }

    /// Brings the tables up to `model`, by its marks.
    pub(super) fn refresh(&mut self, model: &Fwfm) -> Rebuilt {
        Rebuilt {
            linear: self.copy_linear(model),
            vectors: self.copy_vectors(model, model.touched_vectors()),
            rows: self.rebuild_rows(model),
        }
    }

    /// A snapshot of the tables, under the next epoch.
    pub(super) fn snapshot(
        &mut self,
        model: &Fwfm,
        calibration: Calibration,
        conversions: Option<Arc<ModelSnapshot>>,
    ) -> Arc<ModelSnapshot> {
        self.epoch += 1;
        Arc::new(ModelSnapshot {
            epoch: self.epoch,
            calibration,
            conversions,
            base_logit: model.base_logit(),
            bias: model.bias(),
            prior_weight: model.prior_weight(),
            interest: SlotFormat::ALL.map(|format| interest_weights(model, format)),
            relevance: relevance_weights(model),
            field_weights: model.field_weights(),
            linear: self.linear.clone(),
            vectors: self.vectors.clone(),
            rows: self.rows.clone(),
            ids: self.ids.clone(),
        })
    }

    fn copy_linear(&mut self, model: &Fwfm) -> usize {
        let copied = model.touched_linear().iter().map(|index| {
            self.linear.set(index, model.linear(index));
        });
        copied.count()
    }

    fn copy_vectors(&mut self, model: &Fwfm, touched: &Touched) -> usize {
        let copied = touched.iter().map(|index| {
            self.vectors.set(index, vector_of(model, index));
        });
        copied.count()
    }

    fn rebuild_rows(&mut self, model: &Fwfm) -> usize {
        let mut rebuilt = 0;
        let field_weights = model.field_weights();
        for index in 0..self.rows.len() {
            let Some(row) = self.rows.get(index).filter(|row| row.is_present) else {
                continue;
            };
            let ids = self.ids.get(index).copied().unwrap_or_default();
            let is_stale = valued(&ids).any(|(_, id, _)| {
                model.touched_linear().is_marked(model.linear_index(id))
                    || model.touched_vectors().is_marked(model.vector_index(id))
            });
            if is_stale {
                let row = build_row(model, &field_weights, ids, row.generation);
                self.rows.set(index, row);
                rebuilt += 1;
            }
        }
        rebuilt
    }
}

/// The row of an ad under the model's present weights.
fn build_row(model: &Fwfm, field_weights: &Array2<f32>, ids: AdIds, generation: u32) -> AdRow {
    let (mut linear, mut vectors) = ([0.0; AD_FIELDS], [[0.0; DIM]; AD_FIELDS]);
    for (field, id, value) in valued(&ids) {
        linear[field] += value * model.linear(model.linear_index(id));
        let vector = vector_of(model, model.vector_index(id));
        add_scaled(&mut vectors[field], value, &vector);
    }
    let mut row = AdRow::new(generation, linear, &vectors, field_weights);
    let squares = model.linear_squares(model.linear_index(ids[CREATIVE]));
    row.evidence = Evidence::of(squares);
    row
}

/// The vector at `index`; the online core has [`DIM`] components.
fn vector_of(model: &Fwfm, index: usize) -> Vector {
    model.vector(index).try_into().unwrap_or_default()
}

// The smallest tables that a configuration may ask for are whole numbers of chunks.
const _: () = assert!(1 << 10 == LINEAR_CHUNK && (1 << 8) % VECTOR_CHUNK == 0);
