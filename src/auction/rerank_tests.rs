use super::*;
use crate::auction::arm::Arm;
use crate::auction::decide::tests::{imp, taught, world};
use crate::auction::explain::{DryPurse, explain};
use crate::auction::input::ImpInput;
use crate::auction::outcome::Pick;
use crate::catalog::generated_facts;
use crate::latency::LatencyBoard;
use crate::prediction::onnx_sample::by_column;
use crate::prediction::{ONNX_COLUMNS, OnnxAsked, sigmoid};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

const VOCABULARY: u32 = 4_096;

/// One weight an id, which add up to some -4 over all columns.
fn weights(seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..VOCABULARY).map(|_| random.random_range(-0.4..0.1)).collect()
}

/// What a column counts, so that none stands for another.
fn factor(column: usize) -> f32 {
    0.5 + column as f32 / ONNX_COLUMNS as f32
}

/// A world whose click probabilities were far too high, which its calibration knows.
fn calibrated(seed: u64) -> World {
    let mut world = world(seed);
    world.go_on_by(taught(&world.catalog, 0.5));
    world
}

fn reranker(weights: &[f32], top: usize) -> Arc<Reranker> {
    let asked = OnnxAsked {
        input: "ids".into(),
        output: "logit".into(),
        columns: ONNX_COLUMNS,
        vocabulary: VOCABULARY,
        batch: top,
        budget_us: u64::MAX,
    };
    let factors: Vec<f32> = (0..ONNX_COLUMNS).map(factor).collect();
    let model = OnnxModel::parse(&by_column(&factors, weights), asked);
    Arc::new(Reranker::new(model.expect("a model"), top, 1_000))
}

/// A request for so many imps, with this time left.
fn input(seed: u64, imps: u8, millis: u64) -> AuctionInput {
    let mut input = AuctionInput::new();
    input.facts = generated_facts(seed);
    input.deadline = Mono::now().plus_millis(millis);
    input.imps.extend((0..imps).map(|position| ImpInput {
        position,
        placement: position.into(),
        ..imp()
    }));
    input
}

fn picks(input: &AuctionInput) -> Vec<(u8, u32, u64, u32)> {
    let picked = |pick: &Pick| (pick.imp, pick.ad, pick.price.0, pick.logit.to_bits());
    input.outcome.picks.iter().map(picked).collect()
}

/// Decides; what was decided, and by whom.
fn decide(world: &World, mut input: AuctionInput, is_thorough: bool) -> (AuctionInput, Auctioneer) {
    let mut auctioneer = if is_thorough { Auctioneer::thorough() } else { Auctioneer::default() };
    let mut recorder = LatencyBoard::default().recorder();
    auctioneer.decide(world, &mut DryPurse, &mut input, &mut recorder);
    (input, auctioneer)
}

/// What the model says of a pick, from its ids by hand.
fn said(world: &World, auctioneer: &Auctioneer, pick: &Pick, weights: &[f32]) -> f32 {
    let context = auctioneer.context(pick.imp.into(), pick.campaign).expect("a context");
    let ad = world.catalog.ad(pick.ad).and_then(|ad| world.model.ad_ids(ad.slot)).expect("an ad");
    let ids = context.ids.iter().chain(&ad).enumerate();
    ids.map(|(column, id)| factor(column) * weights[(id % VOCABULARY) as usize]).sum()
}

#[test]
fn the_imported_model_decides_among_the_best() {
    let (mut changed, mut asked) = (0, 0);
    for seed in 0..12 {
        let imps = 1 + (seed % 3) as u8;
        let top = [10, 3][seed as usize % 2];
        let mut world = calibrated(seed);
        let ours = decide(&world, input(seed, imps, 10_000), false);
        let weights = weights(seed);
        let reranker = reranker(&weights, top);
        world.reranker = Some(reranker.clone());
        let (one, auctioneer) = decide(&world, input(seed, imps, 10_000), false);
        let (all, _) = decide(&world, input(seed, imps, 10_000), true);
        assert_eq!(picks(&one), picks(&all), "seed {seed}: those left out change nothing");
        let seen = &auctioneer.rerank.seen;
        assert!(seen.len() <= top);
        if imps == 1 {
            let best = ours.0.outcome.picks.first().map(|pick| pick.ad);
            assert_eq!(
                seen.first().map(|seen| seen.ad),
                best,
                "seed {seed}: our best is asked about"
            );
        }
        for pick in &one.outcome.picks {
            let is_seen = seen.iter().any(|seen| (seen.imp, seen.ad) == (pick.imp, pick.ad));
            assert!(is_seen || seen.iter().all(|seen| seen.imp != pick.imp), "seed {seed}");
            if is_seen {
                let row = world.catalog.row(pick.campaign).expect("a row");
                let platt = auctioneer.calibration(&world, &one, pick.imp.into(), row);
                let said = said(&world, &auctioneer, pick, &weights);
                let calibrated = platt.expect("the model made it").apply(said);
                assert!((pick.logit - calibrated).abs() < 1e-3, "{} {calibrated}", pick.logit);
                assert!((calibrated - said).abs() > 0.1, "{calibrated} {said}");
                asked += 1;
            }
        }
        // Explanations are not counted.
        let [done, late, failed] = reranker.outcomes().map(|(_, count)| count);
        assert_eq!((done, late, failed), (u64::from(!seen.is_empty()), 0, 0), "seed {seed}");
        assert_eq!(reranker.took().1.iter().sum::<u64>(), done);
        changed += u32::from(picks(&one) != picks(&ours.0));
    }
    assert!(changed >= 6 && asked >= 6, "{changed} changed, {asked} by the imported model");
}

#[test]
fn what_it_says_is_explained() {
    let mut explained = 0;
    for seed in 0..6 {
        let mut world = calibrated(seed);
        world.reranker = Some(reranker(&weights(seed), 4));
        // An explanation has no deadline.
        let explanation = explain(&world, &mut input(seed, 1, 0));
        for ad in explanation.campaigns.iter().flat_map(|campaign| &campaign.ads) {
            let Some(price) = &ad.price else { continue };
            let sum: f32 = price.contributions.iter().map(|(_, nats)| nats).sum();
            assert!((sigmoid(sum) - price.p_click).abs() < 1e-3, "{sum} {}", price.p_click);
            explained += usize::from(price.contributions.iter().any(|(name, _)| name == "onnx"));
        }
        let (decided, _) = decide(&world, input(seed, 1, 10_000), false);
        let bids: Vec<u64> = explanation.bids.iter().map(|bid| bid.price_micros).collect();
        let prices: Vec<u64> = decided.outcome.picks.iter().map(|pick| pick.price.0).collect();
        assert_eq!(bids, prices, "seed {seed}");
    }
    assert!(explained > 6, "{explained}");
}

/// A seed whose request for two imps is bid on.
fn bidding() -> u64 {
    let is_bid = |seed: &u64| {
        let (decided, _) = decide(&world(*seed), input(*seed, 2, 10_000), false);
        !decided.outcome.picks.is_empty()
    };
    (0..20).find(is_bid).expect("some are bid on")
}

/// For want of time, or where the model fails, ours decides, and each is counted.
#[test]
fn without_it_ours_decides() {
    let seed = bidding();
    let mut world = world(seed);
    let (ours, _) = decide(&world, input(seed, 2, 10_000), false);
    let late = reranker(&weights(seed), 4);
    world.reranker = Some(late.clone());
    let (decided, _) = decide(&world, input(seed, 2, 1), false);
    assert_eq!(picks(&decided), picks(&ours));
    assert_eq!(late.outcomes(), [("done", 0), ("late", 1), ("failed", 0)]);
    // Numbers at the ids of the probe alone: it is well until it is asked.
    let mut spoilt = vec![f32::NAN; VOCABULARY as usize];
    for at in 0..ONNX_COLUMNS as u32 * 4 {
        spoilt[(at.wrapping_mul(0x9e37_79b9) % VOCABULARY) as usize] = 0.0;
    }
    (spoilt[0], spoilt[VOCABULARY as usize - 1]) = (0.0, 0.0);
    let failing = reranker(&spoilt, 4);
    world.reranker = Some(failing.clone());
    let (decided, _) = decide(&world, input(seed, 2, 10_000), false);
    assert_eq!(picks(&decided), picks(&ours));
    assert_eq!(failing.outcomes(), [("done", 0), ("late", 0), ("failed", 1)]);
}

/// The popularity arm and given probabilities are nobody's to re-rank.
#[test]
fn only_the_models_own_scores_are_ranked_again() {
    let seed = bidding();
    let mut world = world(seed);
    let reranker = reranker(&weights(seed), 4);
    let arms = [Arm::Popularity, Arm::Random];
    for arm in arms {
        world.reranker = None;
        let of = |arm| AuctionInput { arm, ..input(seed, 2, 10_000) };
        let (ours, _) = decide(&world, of(arm), false);
        world.reranker = Some(reranker.clone());
        let (decided, _) = decide(&world, of(arm), false);
        assert_eq!(picks(&decided), picks(&ours));
    }
    let mut given = input(seed, 2, 10_000);
    given.imps[0].given_p_click = Some(0.02);
    decide(&world, given, false);
    assert_eq!(reranker.outcomes().map(|(_, count)| count), [0; 3]);
}
