//! The running engine's feature map, as the general core takes it.

use super::config::{Config, FwfmConfig};
use super::features::{
    AdIds, CONTEXT_FIELDS, ContextFeatures, Cross, FIELDS, FORMATS, INTEREST_BUCKETS, SlotFormat,
    valued,
};
use super::fwfm::Fwfm;
use super::sample::{Feature, Sample};
use super::strength::{FAMILIES, STRENGTHS};

/// Where the weights of relevance begin.
const RELEVANCE_FIRST: usize = INTEREST_BUCKETS * (1 + FORMATS);
/// Dense weights: one a strength of interest, one a strength in each format, and one a step of each
/// family of relevance. Step 0 has a place and stays 0: what speaks for nothing teaches nothing.
pub(super) const DENSE: usize = RELEVANCE_FIRST + FAMILIES * STRENGTHS;

/// The core of a click model, with the first of its rates.
///
/// The pairs inside an ad keep `r = 1`: a creative decides its own campaign, advertiser, category
/// and shape, so their weight adds nothing that `w` and `v` cannot say, and an ad's row then
/// depends on its own features alone. Otherwise each click would change every row.
pub(super) fn fwfm_config(config: &Config) -> FwfmConfig {
    FwfmConfig {
        fields: FIELDS,
        dense: DENSE,
        dim: config.dim,
        linear_bits: config.linear_bits,
        vector_bits: config.vector_bits,
        seed: config.seed,
        base_rate: config.base_rate,
        negative_rate: config.negative_rate,
        admission: config.admission,
        ttl_hours: config.ttl_hours,
        frozen_from: CONTEXT_FIELDS,
        rates: config.rates.first().copied().unwrap_or_default(),
    }
}

/// What the model needs of one shown ad.
pub(super) struct OnlineSample {
    /// By field.
    features: [Feature; CONTEXT_FIELDS + size_of::<AdIds>() / size_of::<u32>()],
    count: usize,
    dense: [u16; 2 + FAMILIES],
    prior_offset: f32,
}

impl OnlineSample {
    /// Of an ad with these ids, shown in this context.
    pub(super) fn new(
        context: &ContextFeatures,
        ad: &AdIds,
        cross: Cross,
        base_logit: f32,
    ) -> Self {
        let of_context = (0..).zip(context.ids).map(|(field, id)| Feature::category(field, id));
        let of_ad = valued(ad).map(|(field, id, value)| {
            let field = (CONTEXT_FIELDS + field) as u16;
            Feature { field, id, value }
        });
        let mut features = [Feature::category(0, 0); _];
        let mut count = 0;
        for (place, feature) in features.iter_mut().zip(of_context.chain(of_ad)) {
            *place = feature;
            count += 1;
        }
        let bucket = cross.interest_bucket();
        let [collaborative, content, sequence] = relevance_steps(cross);
        Self {
            features,
            count,
            dense: [
                interest(bucket),
                format_interest(context.format, bucket),
                collaborative,
                content,
                sequence,
            ],
            prior_offset: cross.prior_offset(base_logit),
        }
    }

    /// As the core takes it.
    pub(super) fn sample(&self) -> Sample<'_> {
        let (features, dense) = (&self.features[..self.count], &self.dense);
        Sample { features, dense, prior_offset: self.prior_offset }
    }
}

/// The weight of each strength of interest in a slot of this format.
pub(super) fn interest_weights(model: &Fwfm, format: SlotFormat) -> [f32; INTEREST_BUCKETS] {
    std::array::from_fn(|bucket| {
        model.dense(interest(bucket)) + model.dense(format_interest(format, bucket))
    })
}

/// The weight of each step of each family of relevance.
pub(super) fn relevance_weights(model: &Fwfm) -> [[f32; STRENGTHS]; FAMILIES] {
    std::array::from_fn(|family| {
        std::array::from_fn(|step| match step {
            0 => 0.0,
            _ => model.dense(relevance(family, step)),
        })
    })
}

/// The dense weights of what speaks for an ad; past the end where nothing does.
fn relevance_steps(cross: Cross) -> [u16; FAMILIES] {
    let steps = cross.strengths.steps();
    std::array::from_fn(|family| match steps[family] {
        0 => u16::MAX,
        step => relevance(family, step),
    })
}

const fn relevance(family: usize, step: usize) -> u16 {
    (RELEVANCE_FIRST + family * STRENGTHS + step) as u16
}

const fn interest(bucket: usize) -> u16 {
    bucket as u16
}

const fn format_interest(format: SlotFormat, bucket: usize) -> u16 {
    ((1 + format as usize) * INTEREST_BUCKETS + bucket) as u16
}
