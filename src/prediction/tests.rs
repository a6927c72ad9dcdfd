//! The room's promises: factorised scoring is the full sum, an unknown ad is neutral, snapshots do
//! not move, shows and clicks join once, and the actor publishes what it learned.

use super::actor::{
    AdsChanged, Click, Impressions, LEARNED_MAX, LearnerActor, LearnerState, Status, Tick,
};
use super::config::{Config, Rates, Rule};
use super::contributions::keep_strongest_pairs;
use super::features::{
    AD_FIELDS, AdFeatures, AdInput, CONTENT_MAX, CONTEXT_FIELDS, ContextFeatures, Cross, FIELDS,
    SlotFormat,
};
use super::join::Example;
use super::learner::Learner;
use super::online::OnlineSample;
use super::score::{Asked, ModelSnapshot, ScoreScratch};
use super::served::Served;
use super::strength::{Strength, Strengths};
use crate::units::{
    AdvertiserId, CampaignId, CategoryId, CreativeId, HoldId, LeaseId, Slot, Timestamp,
};
use actix::prelude::*;
use proptest::prelude::*;
use pulp::Arch;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;
use std::sync::Arc;

/// Small tables, so that features collide: what must hold, must hold then too. Seeds have both rules
/// with both sizes of vectors.
pub(super) fn small(seed: u64) -> Config {
    Config {
        dim: if seed & 2 == 0 { 8 } else { 16 },
        linear_bits: 10,
        vector_bits: 8,
        seed,
        rates: vec![Rates {
            rule: if seed.is_multiple_of(2) { Rule::Gaussian } else { Rule::Ftrl },
            vector_init: 0.3,
            vector_rate: 0.1,
            linear_rate: 0.3,
            field_rate: 0.1,
            prior_rate: 0.1,
            ..Rates::default()
        }],
        click_window_ms: 1_000,
        join_max: 64,
        ..Config::default()
    }
}

pub(super) fn hold(sequence: u32) -> HoldId {
    HoldId { lease: LeaseId::default(), sequence }
}

pub(super) fn random_context(random: &mut ChaCha8Rng) -> ContextFeatures {
    ContextFeatures {
        ids: [(); CONTEXT_FIELDS].map(|()| random.random_range(0..2_000)),
        bucket: 0,
        format: SlotFormat::ALL[random.random_range(0..4)],
    }
}

pub(super) fn random_ad(random: &mut ChaCha8Rng, index: u32) -> AdFeatures {
    AdFeatures {
        slot: Slot { index, generation: random.random_range(0..3) },
        campaign: CampaignId(index.into()),
        // An ad has up to six contents.
        ids: std::array::from_fn(|place| match place {
            AD_FIELDS.. if random.random_bool(0.4) => 0,
            _ => random.random_range(1..2_000),
        }),
        is_active: true,
    }
}

pub(super) fn random_cross(random: &mut ChaCha8Rng) -> Cross {
    Cross {
        interest: [-1.0, 0.0, 0.02, 1.5, 50.0][random.random_range(0..5)],
        prior_logit: [f32::NAN, -5.0, -2.0, 40.0][random.random_range(0..4)],
        strengths: Strengths {
            collaborative: Strength::of([0.0, 0.03, 0.9][random.random_range(0..3)]),
            content: Strength::of([0.0, 0.2][random.random_range(0..2)]),
            sequence: Strength::of([0.0, 0.5][random.random_range(0..2)]),
        },
    }
}

pub(super) fn example(
    sequence: u32,
    at: i64,
    context: ContextFeatures,
    ad: &AdFeatures,
) -> Box<Example> {
    Box::new(Example {
        hold: hold(sequence),
        context,
        ad: ad.ids,
        cross: Cross::NEUTRAL,
        logit: f32::NAN,
        conversion_prior_logit: f32::NAN,
        predicted: 0.01,
        calibration_group: 0,
        user: None,
        at: Timestamp(at),
        arm: 0,
        learn: true,
    })
}

/// A learner with `ads` ads after `examples` random outcomes, half of them clicks.
pub(super) fn random_learner(
    seed: u64,
    ads: u32,
    examples: u32,
) -> (Learner, Vec<AdFeatures>, ChaCha8Rng) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut learner = Learner::new(&small(seed)).unwrap();
    let ads: Vec<_> = (0..ads).map(|index| random_ad(&mut random, index)).collect();
    learner.replace_ads(&ads);
    learn(&mut learner, &ads, &mut random, 0..examples);
    (learner, ads, random)
}

/// Learns from random outcomes, half of them clicks.
pub(super) fn learn(
    learner: &mut Learner,
    ads: &[AdFeatures],
    random: &mut ChaCha8Rng,
    sequences: std::ops::Range<u32>,
) {
    for sequence in sequences {
        let at = i64::from(sequence) * 1_000;
        let ad = &ads[random.random_range(0..ads.len())];
        let mut shown = example(sequence, at, random_context(random), ad);
        shown.cross = random_cross(random);
        learner.impression(shown);
        if random.random() {
            learner.click(hold(sequence), Timestamp(at));
        }
        learner.expire(Timestamp(at + 1_000));
    }
}

pub(super) fn score(
    snapshot: &ModelSnapshot,
    context: &ContextFeatures,
    slot: Slot,
    cross: Cross,
) -> f32 {
    let mut scratch = ScoreScratch::default();
    snapshot.prepare(context, &mut scratch);
    snapshot.logit(&scratch, slot, cross)
}

/// How many pairs there are of so many fields.
const fn pairs_of(fields: usize) -> usize {
    fields * (fields - 1) / 2
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn factorised_scores_are_the_full_sum(seed in any::<u64>(), examples in 0u32..120) {
        let (mut learner, ads, mut random) = random_learner(seed, 5, examples / 2);
        // Twice, so that incremental publication is put to the test too.
        learner.publish();
        learn(&mut learner, &ads, &mut random, examples / 2..examples);
        let snapshot = learner.publish();
        for ad in &ads {
            let (context, cross) = (random_context(&mut random), random_cross(&mut random));
            let model = learner.model();
            let online = OnlineSample::new(&context, &ad.ids, cross, model.base_logit());
            let full = model.logit(&online.sample());
            let mut scratch = ScoreScratch::default();
            snapshot.prepare(&context, &mut scratch);
            let factorised = snapshot.logit(&scratch, ad.slot, cross);
            let most = snapshot.rounding_max(&scratch, ad.slot) + 1e-4;
            prop_assert!((full - factorised).abs() < most, "{full} against {factorised}, {most}");
            // How much that is depends on how far training took the vectors: of what the product
            // can be at most, 8 bits lose at most the 254th part.
            let largest = snapshot.product_max(&scratch, ad.slot);
            prop_assert!(most <= largest / 250.0 + 1e-4, "{most} of {largest}");
            let explained = snapshot.contributions(&context, ad.slot, cross);
            let total: f32 = explained.iter().map(|(_, term)| term).sum();
            prop_assert!((factorised - total).abs() < 1e-3, "{factorised}, {total} explained");
            // Each pair of fields, once: the request's, the ad's, and one of each.
            let pairs: Vec<_> = explained.iter().filter(|(name, _)| name.contains(" x ")).collect();
            let names: HashSet<_> = pairs.iter().map(|(name, _)| name).collect();
            prop_assert_eq!((pairs.len(), names.len()), (pairs_of(FIELDS), pairs_of(FIELDS)));
            prop_assert!(pairs.is_sorted_by(|left, right| left.1.abs() >= right.1.abs()));
            let whole = explained.len();
            let mut kept = explained;
            keep_strongest_pairs(&mut kept, 20);
            prop_assert_eq!(kept.len(), whole - (pairs_of(FIELDS) - 20) + 1);
            let total: f32 = kept.iter().map(|(_, term)| term).sum();
            prop_assert!((factorised - total).abs() < 1e-3, "{factorised}, {total} kept");
        }
    }

    #[test]
    fn every_instruction_set_and_batch_scores_alike(seed in any::<u64>(), ads in 1u32..70) {
        let (mut learner, mut ads, mut random) = random_learner(seed, ads, 60);
        let unknown = random_ad(&mut random, 1 << 20);
        ads.push(unknown);
        let snapshot = learner.publish();
        let mut scratches = [(); 3].map(|()| ScoreScratch::default());
        for scratch in &mut scratches {
            let context = random_context(&mut random);
            let mut portable = ScoreScratch::default();
            snapshot.prepare_by(Arch::Scalar, &context, &mut portable);
            snapshot.prepare(&context, scratch);
            prop_assert_eq!(&portable, &*scratch);
        }
        let asked: Vec<_> = (0..ads.len() * 2).map(|_| Asked {
            request: random.random_range(0..4),
            ad: ads[random.random_range(0..ads.len())].slot,
            cross: random_cross(&mut random),
        }).collect();
        let (mut portable, mut fastest) = (vec![0.0; 7], Vec::new());
        snapshot.logits_by(Arch::Scalar, &scratches, &asked, &mut portable);
        snapshot.logits(&scratches, &asked, &mut fastest);
        let bits = |logits: &[f32]| logits.iter().map(|logit| logit.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&portable), bits(&fastest));
        // A request that nobody prepared has the base rate.
        let one_by_one = asked.iter().map(|one| match scratches.get(usize::from(one.request)) {
            Some(scratch) => snapshot.logit(scratch, one.ad, one.cross),
            None => learner.model().base_logit(),
        });
        prop_assert_eq!(bits(&one_by_one.collect::<Vec<_>>()), bits(&fastest));
    }

    #[test]
    fn an_unknown_ad_scores_as_the_request_alone(seed in any::<u64>()) {
        let (mut learner, mut ads, mut random) = random_learner(seed, 4, 20);
        ads[3].is_active = false;
        learner.replace_ads(&ads);
        let snapshot = learner.publish();
        let (context, cross) = (random_context(&mut random), random_cross(&mut random));
        let neutral = score(&snapshot, &context, Slot { index: 1 << 30, generation: 0 }, cross);
        let reused = Slot { generation: ads[0].slot.generation + 1, ..ads[0].slot };
        for slot in [reused, ads[3].slot, Slot { index: 63, generation: 0 }] {
            prop_assert_eq!(score(&snapshot, &context, slot, cross), neutral);
            prop_assert_eq!(snapshot.ad_ids(slot), None);
            let explained = snapshot.contributions(&context, slot, cross);
            let total: f32 = explained.iter().map(|(_, term)| term).sum();
            prop_assert!((neutral - total).abs() < 1e-4);
        }
        prop_assert_ne!(score(&snapshot, &context, ads[0].slot, cross), neutral);
        prop_assert_eq!(snapshot.ad_ids(ads[1].slot), Some(ads[1].ids));
        prop_assert_eq!(snapshot.ads(), 3);
    }
}

#[test]
fn a_published_snapshot_never_moves() {
    let (mut learner, ads, mut random) = random_learner(5, 4, 50);
    let snapshot = learner.publish();
    let context = random_context(&mut random);
    let score_of =
        |snapshot: &ModelSnapshot| score(snapshot, &context, ads[2].slot, Cross::NEUTRAL);
    let before = score_of(&snapshot);
    assert_eq!(learner.publish().epoch(), snapshot.epoch(), "nothing was learned");
    learn(&mut learner, &ads, &mut random, 50..100);
    let next = learner.publish();
    assert_eq!(score_of(&snapshot), before);
    assert_ne!(score_of(&next), before);
    assert_eq!(next.epoch(), snapshot.epoch() + 1);
}

#[test]
fn publication_writes_only_what_was_touched() {
    let config = Config::default();
    let mut learner = Learner::new(&config).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut ads: Vec<_> = (0..100).map(|index| random_ad(&mut random, index)).collect();
    for (number, ad) in ads.iter_mut().enumerate() {
        ad.ids = std::array::from_fn(|field| (10_000 + number * 20 + field) as u32);
    }
    learner.replace_ads(&ads);
    let before = learner.publish();
    learner.impression(example(1, 0, random_context(&mut random), &ads[7]));
    learner.expire(Timestamp(config.click_window_ms));
    let after = learner.publish();
    let rebuilt = learner.status().rebuilt;
    assert_eq!((rebuilt.linear, rebuilt.vectors, rebuilt.rows), (28, 28, 1));
    let (Served::Eight(after), Served::Eight(before)) = (&after.served, &before.served) else {
        panic!("the default has 8 components");
    };
    assert_eq!(after.rows.chunks_unshared_with(&before.rows), 1);
    assert!(after.vectors.chunks_unshared_with(&before.vectors) <= 28);
}

#[test]
fn the_same_stream_teaches_the_same_model() {
    let scores = || {
        let (mut learner, ads, mut random) = random_learner(77, 6, 200);
        let snapshot = learner.publish();
        let context = random_context(&mut random);
        let slots = ads.iter().map(|ad| score(&snapshot, &context, ad.slot, Cross::NEUTRAL));
        slots.map(f32::to_bits).collect::<Vec<_>>()
    };
    assert_eq!(scores(), scores());
}

#[test]
fn a_fresh_model_predicts_the_prior_or_else_the_base_rate() {
    let config = Config::default();
    let mut learner = Learner::new(&config).unwrap();
    let snapshot = learner.publish();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let context = random_context(&mut random);
    for (prior_logit, expected) in [(f32::NAN, config.base_logit()), (-3.0, -3.0), (-6.5, -6.5)] {
        let cross = Cross { interest: 1.0, prior_logit, ..Cross::NEUTRAL };
        let logit = score(&snapshot, &context, Slot::default(), cross);
        // What is left is the vectors' first values: a tenth of a logit would be a bid 10 % off.
        assert!((logit - expected).abs() < 0.1, "{logit} against {expected}");
    }
}

#[test]
fn shows_and_clicks_join_once() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let ad = random_ad(&mut random, 0);
    let context = random_context(&mut random);
    let mut learner = Learner::new(&Config { join_max: 3, ..small(1) }).unwrap();
    // Each line: what happens, when, to which hold.
    for (what, at, sequence) in [
        ("show", 0, 1),
        ("show", 0, 1), // duplicate
        ("click", 10, 1),
        ("click", 11, 1), // duplicate
        ("show", 12, 1),  // duplicate, after its click
        ("click", 12, 9), // unknown
        ("show", 20, 2),
        ("show", 30, 3),
        ("show", 40, 4),     // dropped: the table holds 1, 2 and 3
        ("click", 1_020, 2), // late: the window ended at 1,020
        ("tick", 1_020, 0),  // 1 is a positive, 2 a negative
        ("show", 20, 2),     // stale
        ("click", 1_021, 2), // unknown by now
        ("tick", 900, 0),    // time does not go back
        ("show", 1_021, 5),
        ("tick", 5_000, 0), // 3 and 5 are negatives
    ] {
        match what {
            "show" => learner.impression(example(sequence, at, context, &ad)),
            "click" => learner.click(hold(sequence), Timestamp(at)),
            _ => learner.expire(Timestamp(at)),
        }
    }
    let status = learner.status();
    let counters = status.counters;
    assert_eq!(counters.impressions, 4);
    assert_eq!(counters.duplicate_impressions, 2);
    assert_eq!(counters.stale_impressions, 1);
    assert_eq!(counters.dropped_impressions, 1);
    assert_eq!(counters.clicks, 1);
    assert_eq!(counters.duplicate_clicks, 1);
    assert_eq!(counters.late_clicks, 1);
    assert_eq!(counters.unknown_clicks, 2);
    assert_eq!((counters.positives, counters.negatives), (1, 3));
    assert_eq!(counters.learned, 4);
    assert_eq!((status.served.examples, status.served.clicks), (4, 1));
    assert_eq!(status.waiting, 0);
}

#[test]
fn what_is_sampled_is_measured_among_what_is_seen() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (ad, context) = (random_ad(&mut random, 0), random_context(&mut random));
    let mut learner = Learner::new(&Config { negative_rate: 0.1, ..small(1) }).unwrap();
    for sequence in 0..3_000 {
        let at = i64::from(sequence) * 20;
        learner.impression(example(sequence, at, context, &ad));
        if random.random_bool(0.1) {
            learner.click(hold(sequence), Timestamp(at));
        }
        learner.expire(Timestamp(at));
    }
    let status = learner.status();
    assert!(status.counters.sampled_out > 2_000);
    let ratio = status.progressive.predicted_over_actual;
    assert!((0.8..1.2).contains(&ratio), "{ratio}");
}

/// Shows that wait when another of the shadows takes over were scored by the one before.
#[test]
fn a_model_is_not_calibrated_by_what_another_said() {
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let (ad, context) = (random_ad(&mut random, 0), random_context(&mut random));
    let [slow, quick] = [1e-6, 0.05].map(|variance| Rates {
        linear_variance: variance,
        dense_variance: variance,
        // Pairs would learn the rate too.
        vector_init: 0.0,
        ..Rates::default()
    });
    let config = Config { rates: vec![slow, quick], join_max: 1_000, ..small(2) };
    let mut learner = Learner::new(&config).unwrap();
    let mut show = |learner: &mut Learner, sequence: u32, at: i64| {
        let mut shown = example(sequence, at, context, &ad);
        shown.logit = -3.0;
        learner.impression(shown);
        if random.random() {
            learner.click(hold(sequence), Timestamp(at));
        }
    };
    (0..400).for_each(|sequence| show(&mut learner, sequence, 0));
    learner.advance(Timestamp(1_000));
    let said = |learner: &mut Learner| learner.publish().calibration(&context).of(0).apply(-3.0);
    let mut before = said(&mut learner);
    while learner.status().serving == 0 {
        learner.learn_ended(1);
        let after = said(&mut learner);
        assert_ne!(before, after, "it learns while its own shows come");
        before = after;
    }
    assert!(learner.status().counters.learned < 300, "others still wait");
    learner.expire(Timestamp(1_000));
    assert_eq!(said(&mut learner), before);
    show(&mut learner, 1_000, 1_000);
    learner.expire(Timestamp(2_000));
    assert_ne!(said(&mut learner), before, "its own shows");
}

#[test]
fn an_arm_that_may_not_teach_is_still_measured() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let ad = random_ad(&mut random, 0);
    let mut learner = Learner::new(&small(1)).unwrap();
    let epoch = learner.publish().epoch();
    let mut shown = example(1, 0, random_context(&mut random), &ad);
    shown.learn = false;
    shown.arm = 200;
    learner.impression(shown);
    learner.expire(Timestamp(9_999));
    let status = learner.status();
    assert_eq!((status.served.examples, status.progressive.examples), (1, 0));
    assert_eq!(status.arms.iter().map(|arm| arm.examples).collect::<Vec<_>>(), [0, 0, 0, 1]);
    assert_eq!(learner.publish().epoch(), epoch);
}

#[test]
fn senseless_inputs_do_not_spoil_the_model() {
    let (mut learner, ads, mut random) = random_learner(4, 2, 10);
    for (sequence, value) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e38].iter().enumerate() {
        let mut shown = example(sequence as u32, 100_000, random_context(&mut random), &ads[0]);
        shown.predicted = *value;
        shown.cross = Cross { interest: *value, prior_logit: *value, ..Cross::NEUTRAL };
        learner.impression(shown);
    }
    learner.expire(Timestamp(i64::MAX));
    let snapshot = learner.publish();
    let context = random_context(&mut random);
    assert!(score(&snapshot, &context, ads[0].slot, Cross::NEUTRAL).is_finite());
    assert!(learner.status().served.log_loss.is_finite());
}

#[actix::test]
async fn the_tick_answers_after_its_effects_are_published() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let input = AdInput {
        advertiser: AdvertiserId(1),
        campaign: CampaignId(2),
        creative: CreativeId(3),
        category: CategoryId(4),
        format: SlotFormat::Native,
        size: (0, 0),
        content: [0; CONTENT_MAX],
        is_active: true,
    };
    let slot = Slot { index: 70, generation: 1 };
    let ad = AdFeatures::new(slot, &input);
    let state = LearnerState::new(&small(2)).unwrap();
    let published = state.published();
    let address = LearnerActor::new(state.clone()).start();
    let first = published.load_full();
    address.send(AdsChanged { ads: Arc::from([ad]), catalog: 7 }).await.unwrap();
    let context = random_context(&mut random);
    address.send(Impressions(vec![example(1, 0, context, &ad)])).await.unwrap();
    let click = Click { hold: hold(1), at: Timestamp(5) };
    address.send(click).await.unwrap();
    assert_eq!(published.load().epoch(), first.epoch(), "published by ticks only");
    let now = Timestamp(1_000);
    let answer = address.send(Tick { now }).await.unwrap();
    let second = published.load_full();
    assert_eq!(answer.epoch, second.epoch());
    assert!(second.epoch() > first.epoch());
    assert_eq!(second.ad_ids(slot), Some(ad.ids));
    assert!(
        score(&second, &context, slot, Cross::NEUTRAL)
            > score(&first, &context, slot, Cross::NEUTRAL)
    );
    let status = address.send(Status).await.unwrap();
    assert_eq!((status.counters.clicks, status.ads), (1, 1));
    assert!(serde_json::to_string(&status).unwrap().contains("\"clicks\":1"));

    // Another actor over the same state goes on where this one stopped.
    let successor = LearnerActor::new(state).start();
    assert_eq!(successor.send(Status).await.unwrap().counters.clicks, 1);
}

/// More shows at once than a tick may learn from: others on the thread are answered meanwhile, the
/// rest waits for the next tick, and how late it is can be seen.
#[actix::test]
async fn a_backlog_gives_way_and_is_told_of() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let ad = random_ad(&mut random, 0);
    let context = random_context(&mut random);
    let shows = LEARNED_MAX as u32 + 1_000;
    let state = LearnerState::new(&Config { join_max: 1 << 16, ..small(2) }).unwrap();
    let figures = state.last_status();
    let address = LearnerActor::new(state).start();
    let all = (0..shows).map(|number| {
        let mut shown = example(number, 0, context, &ad);
        shown.learn = false;
        shown
    });
    address.send(Impressions(all.collect())).await.unwrap();
    let now = Timestamp(61_000);
    let tick = address.send(Tick { now });
    let meanwhile = address.send(Status).await.unwrap();
    assert!(meanwhile.waiting > 1_000, "{} waited", meanwhile.waiting);
    assert!(tick.await.unwrap().has_more);
    let status = figures.load_full();
    assert_eq!((status.waiting, status.lag_ms), (1_000, 60_000));
    assert!(!address.send(Tick { now }).await.unwrap().has_more);
    let status = figures.load_full();
    assert_eq!((status.waiting, status.lag_ms), (0, 0));
    assert_eq!(status.served.examples, u64::from(shows));
}

#[test]
fn a_wrong_setting_makes_no_learner() {
    let config = Config { vector_bits: 40, ..Config::default() };
    assert!(LearnerState::new(&config).is_err());
}

#[test]
fn an_ad_that_nobody_has_seen_scores_by_what_it_is_about() {
    let mut learner =
        Learner::new(&Config { linear_bits: 16, vector_bits: 14, ..small(3) }).unwrap();
    let context = random_context(&mut ChaCha8Rng::seed_from_u64(3));
    let ad = |number: u32, token: u32| {
        let mut content = [0; CONTENT_MAX];
        content[0] = token;
        let input = AdInput {
            advertiser: AdvertiserId(1),
            campaign: CampaignId((number % 40).into()),
            creative: CreativeId(number.into()),
            category: CategoryId(4),
            format: SlotFormat::Banner,
            size: (300, 250),
            content,
            is_active: true,
        };
        AdFeatures::new(Slot { index: number, generation: 0 }, &input)
    };
    // Each ad is shown once; what those have in common that are clicked is a word.
    for number in 0..2_000 {
        let shown = ad(number, 7 + number % 2);
        learner.impression(example(number, i64::from(number), context, &shown));
        if number % 2 == 0 {
            learner.click(hold(number), Timestamp(i64::from(number)));
        }
        learner.expire(Timestamp(i64::from(number)));
    }
    learner.expire(Timestamp(10_000));
    let fresh = [ad(3_000, 7), ad(3_001, 8), ad(3_002, 0)];
    learner.replace_ads(&fresh);
    let snapshot = learner.publish();
    let [liked, disliked, silent] =
        fresh.map(|ad| score(&snapshot, &context, ad.slot, Cross::NEUTRAL));
    assert!(liked > silent + 0.5 && silent > disliked + 0.5, "{liked} {silent} {disliked}");
}
