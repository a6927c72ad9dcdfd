//! What the conversion head promises: clicks and conversions join once, delays do not bend the rate,
//! and a prior that is wrong is left.

use super::*;
use crate::prediction::features::{CONTEXT_FIELDS, ContextFeatures, SlotFormat};
use crate::prediction::score::{ScoreScratch, sigmoid};
use crate::units::LeaseId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const MINUTE_MS: i64 = 60_000;
const DECLARED_PPM: u32 = 200_000;

fn head(config: &Config) -> ConversionHead {
    ConversionHead::new(config).unwrap()
}

/// A clicked show on one of two publishers.
fn clicked(sequence: u32, publisher: u32) -> Example {
    let mut ids = [0; CONTEXT_FIELDS];
    for (field, id) in ids.iter_mut().enumerate() {
        *id = 100 * field as u32 + if field == 1 { publisher } else { 0 };
    }
    Example {
        hold: HoldId { lease: LeaseId::default(), sequence },
        context: ContextFeatures { ids, bucket: 0, format: SlotFormat::Banner },
        // One value in each field, and nothing of what it is about.
        ad: std::array::from_fn(|place| if place < 5 { 50_000 + place as u32 } else { 0 }),
        cross: Cross::NEUTRAL,
        logit: f32::NAN,
        conversion_prior_logit: conversion_prior_logit(DECLARED_PPM),
        predicted: 0.01,
        calibration_group: 0,
        user: None,
        at: Timestamp(0),
        arm: 0,
        learn: true,
    }
}

fn predicted(head: &mut ConversionHead, publisher: u32) -> f32 {
    let snapshot = head.publish();
    let mut scratch = ScoreScratch::default();
    snapshot.prepare(&clicked(0, publisher).context, &mut scratch);
    let cross = Cross { prior_logit: conversion_prior_logit(DECLARED_PPM), ..Cross::NEUTRAL };
    sigmoid(snapshot.logit(&scratch, crate::units::Slot::default(), cross))
}

#[test]
fn clicks_and_conversions_join_once() {
    let config = Config { conversion_window_ms: 1_000, conversions_max: 2, ..Config::default() };
    let mut head = head(&config);
    for (what, hold, at) in [
        ("click", 1, 0),
        ("click", 1, 0), // its repeat teaches nothing
        ("convert", 1, 500),
        ("convert", 1, 600), // duplicate
        ("convert", 9, 600), // unknown
        ("click", 2, 100),
        ("click", 3, 200),     // dropped: two wait
        ("convert", 3, 300),   // so it is unknown
        ("convert", 2, 1_100), // late: the window ended at 1,100
        ("tick", 0, 1_100),
        ("convert", 1, 1_100), // unknown by now
        ("tick", 0, 500),      // time does not go back
    ] {
        match what {
            "click" => head.click(&clicked(hold, 0), Timestamp(at)),
            "convert" => {
                head.convert(HoldId { sequence: hold, ..HoldId::default() }, Timestamp(at))
            }
            _ => {
                head.advance(Timestamp(at));
                while head.expire(1) {}
            }
        }
    }
    let counters = head.counters();
    assert_eq!((counters.clicks, counters.conversions, counters.dropped_clicks), (2, 1, 1));
    assert_eq!((counters.duplicate, counters.late, counters.unknown), (1, 1, 3));
    assert_eq!(head.waiting(), 0);
}

#[test]
fn no_declared_rate_teaches_nothing_and_a_fresh_head_predicts_the_declared_one() {
    let mut head = head(&Config::default());
    let fresh = predicted(&mut head, 0);
    assert!((fresh - 0.2).abs() < 0.02, "{fresh}");
    let silent = Example { conversion_prior_logit: conversion_prior_logit(0), ..clicked(1, 0) };
    head.click(&silent, Timestamp(0));
    assert_eq!((head.counters().clicks, head.waiting()), (0, 0));
}

#[test]
fn what_was_not_clicked_for_so_long_is_forgotten() {
    const HOUR_MS: i64 = 60 * MINUTE_MS;
    const SWEEPS: usize = 32;
    let mut head = head(&Config { ttl_hours: 2, ..Config::default() });
    let start = 100_000 * HOUR_MS;
    head.advance(Timestamp(start));
    head.click(&clicked(1, 0), Timestamp(start));
    let index = head.model.linear_index(100);
    let mut is_known_after = |hours: i64| {
        (0..SWEEPS).for_each(|_| head.advance(Timestamp(start + hours * HOUR_MS)));
        head.model.linear_squares(index) > 0.0
    };
    assert!(is_known_after(2));
    assert!(!is_known_after(3));
}

/// Conversions come as late as TalkingData's installs do (half within 3 minutes, a quarter after 82,
/// a tenth after 249), one click a minute, and the declared rate is four times and 1.3 times too high.
#[test]
fn a_stream_with_delays_converges_to_the_truth() {
    const CLICKS: u32 = 20_000;
    const TRUTHS: [f32; 2] = [0.05, 0.15];
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut head = head(&Config::default());
    let mut coming = BTreeSet::new();
    let mut halfway = 0.0;
    for number in 0..CLICKS {
        let now = i64::from(number) * MINUTE_MS;
        while let Some((at, sequence)) = coming.first().copied().filter(|(at, _)| *at <= now) {
            coming.pop_first();
            head.convert(HoldId { sequence, ..HoldId::default() }, Timestamp(at));
        }
        head.advance(Timestamp(now));
        head.expire(16);
        let publisher = number % 2;
        head.click(&clicked(number, publisher), Timestamp(now));
        if random.random::<f32>() < TRUTHS[publisher as usize] {
            let (least, most) = match random.random_range(0..100) {
                0..50 => (0, 3),
                50..75 => (3, 82),
                75..90 => (82, 249),
                _ => (249, 1_440),
            };
            let delay_ms = random.random_range(least * MINUTE_MS..most * MINUTE_MS);
            coming.insert((now + delay_ms, number));
        }
        if number == CLICKS / 2 {
            halfway = predicted(&mut head, 1) / TRUTHS[1];
        }
    }
    assert!((0.75..1.25).contains(&halfway), "{halfway} of the truth halfway");
    for (publisher, truth) in (0..).zip(TRUTHS) {
        let found = predicted(&mut head, publisher) / truth;
        println!("publisher {publisher}: {found:.3} of the truth");
        assert!((0.75..1.25).contains(&found), "{found} of the truth");
    }
    let ratio = head.counters().predicted_over_actual();
    println!("predicted over actual of all clicks {ratio:.3}");
    assert!((0.9..1.15).contains(&ratio), "{ratio}");
}
