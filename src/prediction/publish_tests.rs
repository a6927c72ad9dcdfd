//! What is published is what was learned: at once where few ads share it, in turn where many do; and
//! bounds are never passed.

use super::bound::Ceiling;
use super::features::{AD_SINGLE, AdFeatures, Cross};
use super::learner::Learner;
use super::online::OnlineSample;
use super::score::{ModelSnapshot, ScoreScratch};
use super::stale::ROWS_A_TICK_MAX;
use super::tests::{
    example, learn, random_ad, random_context, random_cross, random_learner, score, small,
};
use crate::units::{CampaignId, Slot, Timestamp};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Ads of one shape and without content, and each with its own values of the other fields.
fn of_one_shape(ads: u32) -> Vec<AdFeatures> {
    let ad = |index: u32| AdFeatures {
        slot: Slot { index, generation: 0 },
        campaign: CampaignId(index.into()),
        ids: std::array::from_fn(|place| match place + 1 {
            ..AD_SINGLE => 100 + index * 8 + place as u32,
            AD_SINGLE => 77,
            _ => 0,
        }),
        is_active: true,
    };
    (0..ads).map(ad).collect()
}

/// By how much snapshot and model differ about an ad at most.
fn error(learner: &Learner, snapshot: &ModelSnapshot, ad: &AdFeatures, seed: u64) -> f32 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let errors = (0..4).map(|_| {
        let context = random_context(&mut random);
        let model = learner.model();
        let online = OnlineSample::new(&context, &ad.ids, Cross::NEUTRAL, model.base_logit());
        let full = model.logit(&online.sample());
        (full - score(snapshot, &context, ad.slot, Cross::NEUTRAL)).abs()
    });
    errors.fold(0.0, f32::max)
}

/// A change that thousands of ads share reaches each of them within a bounded number of ticks, and
/// the ad that it came from at once.
#[test]
fn what_many_ads_share_reaches_them_in_turn() {
    let mut config = small(3);
    (config.linear_bits, config.vector_bits) = (16, 16);
    let mut learner = Learner::new(&config).unwrap();
    let ads = of_one_shape(3 * ROWS_A_TICK_MAX as u32 + 100);
    learner.replace_ads(&ads);
    learner.publish();
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let shown = ads.len() - 1;
    for sequence in 0..20 {
        let at = i64::from(sequence) * 1_000;
        let context = random_context(&mut random);
        let shown = example(sequence, at, context, &ads[shown]);
        let hold = shown.hold;
        learner.impression(shown);
        learner.click(hold, Timestamp(at));
        learner.expire(Timestamp(at + 1_000));
    }
    let first = learner.publish();
    let status = learner.status();
    assert_eq!(status.rebuilt.rows, ROWS_A_TICK_MAX);
    assert_eq!(status.rows_waiting, ads.len() - ROWS_A_TICK_MAX);
    let tolerance = 0.02;
    assert!(error(&learner, &first, &ads[shown], 1) < tolerance, "the ad that was shown");
    assert!(error(&learner, &first, &ads[shown - 1], 1) > 5.0 * tolerance, "one that waits");
    for waiting in [ads.len() - 2 * ROWS_A_TICK_MAX, 100, 0] {
        learner.publish();
        assert_eq!(learner.status().rows_waiting, waiting);
    }
    let last = learner.publish();
    assert_eq!(last.epoch(), first.epoch() + 3, "nothing is left to publish");
    for ad in ads.iter().step_by(101) {
        let error = error(&learner, &last, ad, 2);
        assert!(error < tolerance, "{error} in slot {}", ad.slot.index);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever was learned between publications, once nothing waits each row is as if it was built
    /// anew.
    #[test]
    fn no_row_stays_stale(seed in any::<u64>(), rounds in 1u32..6) {
        let (mut learner, ads, mut random) = random_learner(seed, 40, 5);
        for round in 1..=rounds {
            learner.publish();
            learn(&mut learner, &ads, &mut random, round * 10..round * 10 + 4);
        }
        let published = learner.publish();
        prop_assert_eq!(learner.status().rows_waiting, 0);
        learner.replace_ads(&ads);
        let anew = learner.publish();
        let context = random_context(&mut random);
        for ad in &ads {
            let of = |snapshot| score(snapshot, &context, ad.slot, Cross::NEUTRAL).to_bits();
            prop_assert_eq!(of(&published), of(&anew), "slot {}", ad.slot.index);
        }
    }

    /// No ad of a campaign scores above its bound, for any of the requests.
    #[test]
    fn no_logit_is_above_its_bound(seed in any::<u64>(), examples in 0u32..80) {
        let (mut learner, mut ads, mut random) = random_learner(seed, 12, 0);
        ads.iter_mut().for_each(|ad| ad.campaign = CampaignId(u64::from(ad.slot.index / 3)));
        ads[10].is_active = false;
        learner.replace_ads(&ads);
        learn(&mut learner, &ads, &mut random, 0..examples);
        let snapshot = learner.publish();
        let mut requests = [(); 2].map(|()| ScoreScratch::default());
        for request in &mut requests {
            snapshot.prepare(&random_context(&mut random), request);
        }
        let ceiling = snapshot.ceiling(&requests);
        for _ in 0..200 {
            let (one, other) = (random.random_range(0..12), random.random_range(0..3));
            let cross = random_cross(&mut random);
            let bound = snapshot.bound(ads[one].slot.index);
            let bound = snapshot.logit_bound(&ceiling, &bound, cross.prior_logit);
            prop_assert_eq!(bound.is_infinite(), one >= 9, "one of its ads has no row");
            let ad = ads[one / 3 * 3 + other].slot;
            let logit = snapshot.logit(&requests[random.random_range(0..2)], ad, cross);
            prop_assert!(logit <= bound + 1e-4, "{logit} above {bound}");
        }
    }
}

/// A bound that lies far above what it bounds skips nobody.
#[test]
fn bounds_are_near_what_they_bound() {
    let (mut learner, ads, mut random) = random_learner(8, 40, 300);
    let snapshot = learner.publish();
    let mut request = [ScoreScratch::default()];
    let (mut gap, mut spread) = (0.0, 0.0);
    for _ in 0..50 {
        snapshot.prepare(&random_context(&mut random), &mut request[0]);
        let ceiling: Ceiling = snapshot.ceiling(&request);
        let best = Cross { interest: 1.5, prior_logit: f32::NAN, ..Cross::NEUTRAL };
        let logits = ads.iter().map(|ad| snapshot.logit(&request[0], ad.slot, best));
        let bounds = ads.iter().map(|ad| snapshot.bound(ad.slot.index));
        let bounds = bounds.map(|bound| snapshot.logit_bound(&ceiling, &bound, f32::NAN));
        let pairs: Vec<(f32, f32)> = logits.zip(bounds).collect();
        let mean = pairs.iter().map(|(logit, _)| logit).sum::<f32>() / 40.0;
        gap += pairs.iter().map(|(logit, bound)| bound - logit).sum::<f32>();
        spread += pairs.iter().map(|(logit, _)| (logit - mean).abs()).sum::<f32>();
    }
    assert!(gap < 6.0 * spread, "{gap} above, where logits differ by {spread}");
}

/// Another ad of the same campaign may have no row yet: then nobody knows what it will score.
#[test]
fn the_catalog_of_the_bounds_is_named() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let ad = random_ad(&mut random, 0);
    let mut learner = Learner::new(&small(1)).unwrap();
    learner.replace_ads(&[ad]);
    assert_eq!(learner.publish().catalog(), None);
    learner.follow(7);
    assert_eq!(learner.publish().catalog(), Some(7));
    learner.replace_ads(&[ad]);
    assert_eq!(learner.publish().catalog(), None, "of nobody knows which");
}
