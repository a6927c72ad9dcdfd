//! From the learner's weights to snapshots, copying only what changed.

use super::bound::Bounds;
use super::calibration::Calibration;
use super::evidence::Evidence;
use super::features::{AD_FIELDS, AdFeatures, AdIds, CREATIVE, SlotFormat, valued};
use super::fwfm::Fwfm;
use super::online::{interest_weights, relevance_weights};
use super::row::AdRow;
use super::score::{LINEAR_CHUNK, ModelSnapshot};
use super::served::{Factors, ROW_CHUNK, Served, VECTOR_CHUNK};
use super::stale::{Stale, Users};
use super::tables::{Chunked, Touched};
use super::vectors::add_scaled;
use crate::units::Slot;
use ndarray::Array2;
use serde::Serialize;
use std::sync::Arc;

/// Most ad slots with a row: 2^18 rows are 16 MB a snapshot (32 at 16 components). An ad beyond scores as neutral.
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
    served: Served,
    ids: Chunked<AdIds, ROW_CHUNK>,
    bounds: Bounds,
    stale: Stale,
    /// The epoch of the catalog that the ads are from.
    pub(super) catalog: Option<u64>,
    /// Ads whose slot lies beyond [`AD_SLOTS_MAX`].
    pub(super) ads_refused: u64,
}

impl Publisher {
    /// Tables that serve what `model` holds now, without ads.
    pub(super) fn new(model: &Fwfm) -> Self {
        let mut publisher = Self {
            epoch: 0,
            linear: Chunked::filled(model.linear_len(), 0.0),
            served: Served::filled(model.config().dim, model.vector_len()),
            ids: Chunked::filled(0, AdIds::default()),
            bounds: Bounds::new(&[], 0, |_| true),
            stale: Stale::default(),
            catalog: None,
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
        let has_row = |ad: &AdFeatures| ad.is_active && (ad.slot.index as usize) < AD_SLOTS_MAX;
        let kept = ads.iter().filter(|ad| has_row(ad));
        let len = kept.clone().map(|ad| ad.slot.index as usize + 1).max().unwrap_or(0);
        match &mut self.served {
            Served::Eight(factors) => factors.place(len, kept.clone()),
            Served::Sixteen(factors) => factors.place(len, kept.clone()),
        }
        self.ids = Chunked::filled(len, AdIds::default());
        for ad in kept.clone() {
            self.ids.set(ad.slot.index as usize, ad.ids);
        }
        self.catalog = None;
        self.bounds = Bounds::new(ads, len, has_row);
        let used =
            kept.clone().flat_map(|ad| valued(&ad.ids).map(|(_, id, _)| (id, ad.slot.index)));
        let used: Vec<(u32, u32)> = used.collect();
        let linear = used.iter().map(|&(id, slot)| (model.linear_index(id) as u32, slot));
        let vectors = used.iter().map(|&(id, slot)| (model.vector_index(id) as u32, slot));
        let slots: Vec<u32> = kept.map(|ad| ad.slot.index).collect();
        self.stale = Stale::none(Users::new(linear), Users::new(vectors), slots.len(), len);
        self.rebuild(model, &slots);
        let active = ads.iter().filter(|ad| ad.is_active).count();
        self.ads_refused += (active - slots.len()) as u64;
        slots.len()
    }

    /// Brings the tables up to `model`, by its marks.
    pub(super) fn refresh(&mut self, model: &Fwfm) -> Rebuilt {
        Rebuilt {
            linear: self.copy_linear(model),
            vectors: self.copy_vectors(model, model.touched_vectors()),
            rows: self.refresh_rows(model),
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
        let field_weights = model.field_weights();
        Arc::new(ModelSnapshot {
            epoch: self.epoch,
            calibration,
            conversions,
            base_logit: model.base_logit(),
            bias: model.bias(),
            prior_weight: model.prior_weight(),
            interest: SlotFormat::ALL.map(|format| interest_weights(model, format)),
            relevance: relevance_weights(model),
            field_weights: std::array::from_fn(|context| {
                std::array::from_fn(|field| field_weights[(context, field)])
            }),
            linear: self.linear.clone(),
            served: self.served.clone(),
            ids: self.ids.clone(),
            bounds: self.bounds.served.clone(),
            catalog: self.catalog,
        })
    }

    fn copy_linear(&mut self, model: &Fwfm) -> usize {
        let copied = model.touched_linear().iter().map(|index| {
            self.linear.set(index, model.linear(index));
        });
        copied.count()
    }

    fn copy_vectors(&mut self, model: &Fwfm, touched: &Touched) -> usize {
        match &mut self.served {
            Served::Eight(factors) => factors.copy_vectors(model, touched),
            Served::Sixteen(factors) => factors.copy_vectors(model, touched),
        }
        touched.len()
    }

    /// How many rows are older than the weights, and wait for the next publications.
    pub(super) const fn waiting(&self) -> usize {
        self.stale.waiting()
    }

    fn refresh_rows(&mut self, model: &Fwfm) -> usize {
        let (linear, vectors) = (model.touched_linear(), model.touched_vectors());
        let slots = if vectors.len() == model.vector_len() {
            // Another model serves from now on: rows of the one before would be nonsense to it.
            self.stale.take_all()
        } else {
            self.stale.take(linear.iter(), vectors.iter())
        };
        self.rebuild(model, &slots);
        slots.len()
    }

    fn rebuild(&mut self, model: &Fwfm, slots: &[u32]) {
        let Self { served, bounds, ids, .. } = self;
        match served {
            Served::Eight(factors) => factors.rebuild(model, slots, ids, bounds),
            Served::Sixteen(factors) => factors.rebuild(model, slots, ids, bounds),
        }
    }
}

impl<const K: usize> Factors<K> {
    /// Makes room for `len` ads, and gives each of these a row of which nothing is known.
    fn place<'a>(&mut self, len: usize, ads: impl Iterator<Item = &'a AdFeatures>) {
        self.rows = Chunked::filled(len, AdRow::ABSENT);
        for Slot { index, generation } in ads.map(|ad| ad.slot) {
            self.rows.set(index as usize, AdRow::unknown(generation));
        }
    }

    fn copy_vectors(&mut self, model: &Fwfm, touched: &Touched) {
        for index in touched.iter() {
            self.vectors.set(index, vector_of(model, index));
        }
    }

    /// Builds the rows in these slots anew, and tells the bounds.
    fn rebuild(
        &mut self,
        model: &Fwfm,
        slots: &[u32],
        ids: &Chunked<AdIds, ROW_CHUNK>,
        bounds: &mut Bounds,
    ) {
        let field_weights = model.field_weights();
        for &slot in slots {
            let slot = slot as usize;
            let generation = self.rows.get(slot).map_or(0, |row| row.own.generation);
            let ids = ids.get(slot).copied().unwrap_or_default();
            self.rows.set(slot, build_row(model, &field_weights, ids, generation));
        }
        let rows = &self.rows;
        let rebuilt = slots.iter().filter_map(|slot| Some((*slot, rows.get(*slot as usize)?)));
        bounds.follow(rebuilt);
    }
}

/// The row of an ad under the model's present weights.
fn build_row<const K: usize>(
    model: &Fwfm,
    field_weights: &Array2<f32>,
    ids: AdIds,
    generation: u32,
) -> AdRow<K> {
    let (mut linear, mut vectors) = ([0.0; AD_FIELDS], [[0.0; K]; AD_FIELDS]);
    for (field, id, value) in valued(&ids) {
        linear[field] += value * model.linear(model.linear_index(id));
        let vector = vector_of(model, model.vector_index(id));
        add_scaled(&mut vectors[field], value, &vector);
    }
    let mut row = AdRow::new(generation, linear, &vectors, field_weights);
    let squares = model.linear_squares(model.linear_index(ids[CREATIVE]));
    row.own.evidence = Evidence::of(squares);
    row
}

/// The vector at `index`: a model's tables are as wide as itself.
fn vector_of<const K: usize>(model: &Fwfm, index: usize) -> [f32; K] {
    model.vector(index).try_into().unwrap_or([0.0; K])
}

// The smallest tables that a configuration may ask for are whole numbers of chunks.
const _: () = assert!(1 << 10 == LINEAR_CHUNK && (1 << 8) % VECTOR_CHUNK == 0);
