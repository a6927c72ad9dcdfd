//! Learning on a planted stream, whose true click probabilities are known.
//!
//! Publishers, hours and ads have effects of their own; publishers and categories attract each
//! other through hidden vectors; a user interested in an ad's category clicks more.

use super::config::{Config, Rates};
use super::features::{
    AdFeatures, AdInput, ContextFeatures, ContextInput, Cross, Interest, SlotFormat,
};
use super::join::Example;
use super::learner::Learner;
use super::score::{ModelSnapshot, ScoreScratch, sigmoid};
use crate::hash;
use crate::units::{AdvertiserId, CampaignId, CategoryId, CreativeId, HoldId, Slot, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

const PUBLISHERS: usize = 24;
const CATEGORIES: usize = 8;
const ADS: usize = 40;
const LATENT: usize = 3;
const WINDOW_MS: i64 = 1_000;

/// One opportunity with one ad.
struct Draw {
    input: ContextInput,
    ad: usize,
    interest: f32,
    truth: f32,
    is_clicked: bool,
}

/// The hidden truth.
struct World {
    random: ChaCha8Rng,
    publisher: Vec<f32>,
    hour: Vec<f32>,
    ad: Vec<f32>,
    publisher_latent: Vec<[f32; LATENT]>,
    category_latent: Vec<[f32; LATENT]>,
    ads: Vec<AdFeatures>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut spread = |width: f32| width * (2.0 * random.random::<f32>() - 1.0);
        let publisher = (0..PUBLISHERS).map(|_| spread(0.6)).collect();
        let hour = (0..24).map(|_| spread(0.3)).collect();
        let ad = (0..ADS).map(|_| spread(0.5)).collect();
        let mut latent = |rows| (0..rows).map(|_| [(); LATENT].map(|()| spread(1.4))).collect();
        Self {
            publisher,
            hour,
            ad,
            publisher_latent: latent(PUBLISHERS),
            category_latent: latent(CATEGORIES),
            ads: (0..ADS).map(planted_ad).collect(),
            random,
        }
    }

    fn draw(&mut self) -> Draw {
        let random = &mut self.random;
        let publisher = random.random_range(0..PUBLISHERS);
        let hour = random.random_range(0..24usize);
        let ad = random.random_range(0..ADS);
        let liked = random.random_range(0..CATEGORIES);
        let also = random.random_range(0..CATEGORIES);
        let category = ad % CATEGORIES;
        let (interest, effect) = match category {
            category if category == liked => (2.0, 1.6),
            category if category == also => (0.2, 0.6),
            _ => (0.0, 0.0),
        };
        let pairs = self.publisher_latent[publisher].iter();
        let affinity: f32 = pairs.zip(&self.category_latent[category]).map(|(a, b)| a * b).sum();
        let effects = self.publisher[publisher] + self.hour[hour] + self.ad[ad];
        let truth = sigmoid(-2.4 + effects + affinity + effect);
        let is_clicked = random.random::<f32>() < truth;
        let input = ContextInput {
            publisher: hash::mix(publisher as u64 + 1),
            hour: hour as u8,
            interest: Interest::Known {
                top: [Some(category_id(liked)), Some(category_id(also)), None],
                last_event: None,
            },
            ..ContextInput::default()
        };
        Draw { input, ad, interest, truth, is_clicked }
    }
}

fn category_id(category: usize) -> CategoryId {
    CategoryId::of(&format!("category-{category}"))
}

fn planted_ad(number: usize) -> AdFeatures {
    let slot = Slot { index: number as u32, generation: 3 };
    AdFeatures::new(
        slot,
        &AdInput {
            advertiser: AdvertiserId(number as u64 / 4),
            campaign: CampaignId(number as u64 / 2),
            creative: CreativeId(number as u64),
            category: category_id(number % CATEGORIES),
            format: SlotFormat::Banner,
            size: (300, 250),
            content: [0; 6],
            is_active: true,
        },
    )
}

/// Which signals an experiment's arm may see.
#[derive(Clone, Copy)]
enum Arm {
    Full,
    NoCross,
    NoInterest,
}

fn features(draw: &Draw, arm: Arm) -> (ContextFeatures, Cross) {
    let known = Cross { interest: draw.interest, prior_logit: f32::NAN, ..Cross::NEUTRAL };
    match arm {
        Arm::Full => ((&draw.input).into(), known),
        Arm::NoCross => ((&draw.input).into(), Cross::NEUTRAL),
        Arm::NoInterest => ((&draw.input.without_interest()).into(), Cross::NEUTRAL),
    }
}

/// The show of a draw, one a millisecond.
fn shown(world: &World, draw: &Draw, arm: Arm, number: u32) -> Box<Example> {
    let (context, cross) = features(draw, arm);
    Box::new(Example {
        hold: HoldId { sequence: number, ..HoldId::default() },
        context,
        ad: world.ads[draw.ad].ids,
        cross,
        logit: f32::NAN,
        conversion_prior_logit: f32::NAN,
        predicted: 0.1,
        calibration_group: 0,
        user: None,
        at: Timestamp(number.into()),
        arm: 0,
        learn: true,
    })
}

/// Shows `examples` ads, clicking as planted.
fn run(config: Config, arm: Arm, examples: usize) -> (Arc<ModelSnapshot>, World, u64) {
    let mut world = World::new(11);
    let mut learner = Learner::new(&config).unwrap();
    learner.replace_ads(&world.ads);
    for number in 0..examples {
        let draw = world.draw();
        let shown = shown(&world, &draw, arm, number as u32);
        let (hold, at) = (shown.hold, shown.at);
        learner.impression(shown);
        if draw.is_clicked {
            learner.click(hold, at);
        }
        learner.expire(at);
    }
    learner.expire(Timestamp(examples as i64 + WINDOW_MS));
    let counters = learner.status().counters;
    assert_eq!(counters.learned + counters.sampled_out, examples as u64);
    (learner.publish(), world, counters.learned)
}

fn config() -> Config {
    Config {
        linear_bits: 14,
        vector_bits: 12,
        click_window_ms: WINDOW_MS,
        base_rate: 0.1,
        // The one for interactions, which this stream is full of; alone, since three take longer.
        rates: vec![Rates::shadows()[1]],
        ..Config::default()
    }
}

/// What a model does on examples it never saw.
#[derive(Debug)]
struct Scores {
    auc: f64,
    log_loss: f64,
    bayes_auc: f64,
    bayes_log_loss: f64,
    predicted_over_actual: f64,
}

fn evaluate(snapshot: &ModelSnapshot, world: &mut World, arm: Arm) -> Scores {
    let mut scratch = ScoreScratch::default();
    let mut outcomes = Vec::new();
    for _ in 0..10_000 {
        let draw = world.draw();
        let (context, cross) = features(&draw, arm);
        snapshot.prepare(&context, &mut scratch);
        let logit = snapshot.logit(&scratch, world.ads[draw.ad].slot, cross);
        outcomes.push((f64::from(sigmoid(logit)), f64::from(draw.truth), draw.is_clicked));
    }
    let log_loss = |pick: fn(&(f64, f64, bool)) -> f64| {
        let losses = outcomes.iter().map(|outcome| {
            let predicted = pick(outcome);
            -(if outcome.2 { predicted } else { 1.0 - predicted }).ln()
        });
        losses.sum::<f64>() / outcomes.len() as f64
    };
    let auc = |pick: fn(&(f64, f64, bool)) -> f64| {
        let mut ranked: Vec<_> = outcomes.iter().map(|o| (pick(o), o.2)).collect();
        ranked.sort_by(|left, right| left.0.total_cmp(&right.0));
        let (mut ordered, mut lower, mut clicks) = (0.0, 0.0, 0.0);
        for (_, is_clicked) in ranked {
            if is_clicked {
                ordered += lower;
                clicks += 1.0;
            } else {
                lower += 1.0;
            }
        }
        ordered / (lower * clicks)
    };
    let clicks = outcomes.iter().filter(|outcome| outcome.2).count() as f64;
    Scores {
        auc: auc(|outcome| outcome.0),
        log_loss: log_loss(|outcome| outcome.0),
        bayes_auc: auc(|outcome| outcome.1),
        bayes_log_loss: log_loss(|outcome| outcome.1),
        predicted_over_actual: outcomes.iter().map(|outcome| outcome.0).sum::<f64>() / clicks,
    }
}

fn scores(config: Config, arm: Arm, examples: usize) -> Scores {
    let (snapshot, mut world, _) = run(config, arm, examples);
    evaluate(&snapshot, &mut world, arm)
}

#[test]
fn factors_find_what_linear_weights_cannot() {
    const EXAMPLES: usize = 30_000;
    let rates = vec![Rates { vector_init: 0.0, ..Rates::shadows()[1] }];
    let linear_only = Config { rates, ..config() };
    let linear = scores(linear_only, Arm::NoCross, EXAMPLES);
    let factors = scores(config(), Arm::NoCross, EXAMPLES);
    assert!(factors.log_loss < linear.log_loss - 0.05, "{factors:?} against {linear:?}");
    assert!(factors.auc > linear.auc + 0.1, "{factors:?} against {linear:?}");
}

#[test]
fn the_full_model_comes_near_the_truth_and_is_calibrated() {
    let full = scores(config(), Arm::Full, 30_000);
    assert!(full.log_loss < full.bayes_log_loss + 0.025, "{full:?}");
    assert!(full.auc > full.bayes_auc - 0.025, "{full:?}");
    assert!((0.93..1.07).contains(&full.predicted_over_actual), "{full:?}");
}

/// One negative in ten: what is lost is a little certainty.
#[test]
fn sampled_negatives_keep_the_calibration() {
    const EXAMPLES: usize = 30_000;
    let full = scores(config(), Arm::Full, EXAMPLES);
    let sampled = Config { negative_rate: 0.1, ..config() };
    let (snapshot, mut world, learned) = run(sampled, Arm::Full, EXAMPLES);
    let sampled = evaluate(&snapshot, &mut world, Arm::Full);
    println!("{full:?}, sampled {sampled:?} of {learned}");
    assert!((learned as usize) < EXAMPLES / 2, "{learned}");
    assert!((0.88..1.12).contains(&sampled.predicted_over_actual), "{sampled:?}");
    assert!(sampled.log_loss < full.log_loss + 0.03, "{sampled:?} against {full:?}");
}

#[test]
fn a_users_interest_is_worth_having() {
    const EXAMPLES: usize = 15_000;
    let full = scores(config(), Arm::Full, EXAMPLES);
    let without = scores(config(), Arm::NoInterest, EXAMPLES);
    assert!(full.log_loss < without.log_loss - 0.01, "{full:?} against {without:?}");
    assert!(full.auc > without.auc + 0.01, "{full:?} against {without:?}");
}

/// The first window of a run, in which no show can have been given up yet: were clicks learned
/// before the shows that they are a share of, every prediction would rise towards 1.
#[test]
fn a_run_that_is_younger_than_its_window_keeps_the_prior() {
    let mut world = World::new(11);
    let mut learner = Learner::new(&config()).unwrap();
    learner.replace_ads(&world.ads);
    for number in 0..(WINDOW_MS - 1) as u32 {
        let draw = world.draw();
        let shown = shown(&world, &draw, Arm::Full, number);
        let (hold, at) = (shown.hold, shown.at);
        learner.impression(shown);
        if draw.is_clicked {
            learner.click(hold, at);
        }
        learner.expire(at);
    }
    assert!(learner.status().counters.clicks > 100);
    let early = evaluate(&learner.publish(), &mut world, Arm::Full);
    let base_rate_over_actual = 0.6;
    assert!((early.predicted_over_actual - base_rate_over_actual).abs() < 0.1, "{early:?}");
}
