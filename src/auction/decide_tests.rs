use super::*;
use crate::auction::explain::DryPurse;
use crate::auction::input::{BannerSlot, SizeRule};
use crate::auction::world::Published;
use crate::catalog::{generated, generated_facts};
use crate::latency::LatencyBoard;
use crate::prediction::{Config, LearnerState, SlotFormat};
use crate::privacy::Releases;
use crate::rates::Rates;
use crate::strategy::Strategies;
use crate::units::CurrencyCode;
use arc_swap::ArcSwap;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn strategies() -> Strategies {
    let folder = tempfile::tempdir().expect("a folder");
    let cpc = Path::new(env!("CARGO_MANIFEST_DIR")).join("strategies/cpc.toml");
    std::fs::copy(cpc, folder.path().join("generated.toml")).expect("the strategy");
    Strategies::load(folder.path()).expect("it loads")
}

/// A world of generated campaigns that are paced each in its own way.
fn world(seed: u64) -> World {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let catalog = generated(600, seed, 0.1);
    let slots = catalog.campaigns.iter().map(|campaign| {
        campaign.as_ref().map_or(Pace::NEUTRAL, |campaign| Pace {
            generation: campaign.slot.generation,
            ln_budget: rng.random_range(-4.0..0.0),
            ..Pace::NEUTRAL
        })
    });
    let pacing = PacingSnapshot { epoch: 1, paces: slots.collect(), ..PacingSnapshot::default() };
    let model = LearnerState::new(&Config::default()).expect("a model").published();
    World::now(&Published {
        catalog: Arc::new(ArcSwap::from_pointee(catalog)),
        model,
        pacing: Arc::new(ArcSwap::from_pointee(pacing)),
        releases: Arc::new(ArcSwap::from_pointee(Releases::none(0.01))),
        strategies: Arc::new(strategies()),
        rates: Arc::new(ArcSwap::from_pointee(
            Rates::parse(CurrencyCode::USD, &BTreeMap::new()).expect("no rates"),
        )),
        base_logit: -4.6,
    })
}

/// A banner of any size.
fn imp() -> ImpInput {
    let any = SizeRule::Range { w: (0, u32::MAX), h: (0, u32::MAX) };
    ImpInput {
        position: 0,
        banner: Some(BannerSlot { sizes: [any].into_iter().collect(), ..BannerSlot::default() }),
        video: None,
        audio: None,
        native: None,
        languages: smallvec::SmallVec::new(),
        floor: Micros(1),
        has_length_floors: false,
        quantity: crate::rates::Rate::ONE,
        pod: None,
        is_private: false,
        deals: smallvec::SmallVec::new(),
        given_p_click: None,
        format: SlotFormat::Banner,
        size: (300, 250),
        screen_position: 0,
        placement: 0,
    }
}

/// Prices are worked out for those alone who could be among the best: nobody who was skipped may
/// have had a higher one.
#[test]
fn the_dearest_of_all_that_fit_is_picked() {
    let mut recorder = LatencyBoard::default().recorder();
    let (mut auctioneer, mut contended) = (Auctioneer::default(), 0);
    for seed in 0..40 {
        let world = world(seed);
        let mut input = AuctionInput::new();
        input.facts = generated_facts(seed);
        input.imps.push(imp());
        auctioneer.decide(&world, &mut DryPurse, &mut input, &mut recorder);
        let price = |scored: &Scored| {
            let row = world.catalog.row(scored.campaign)?;
            let terms =
                Terms::of(&world, &input, row, world.pacing.pace(row.slot).multiplier().into())?;
            match terms.price(scored) {
                Priced::Bid(price) => Some(price),
                _ => None,
            }
        };
        let dearest = auctioneer.scored().iter().filter_map(price).max();
        let picked = input.outcome.picks.first().map(|pick| pick.price);
        assert_eq!(picked, dearest, "seed {seed}");
        contended += auctioneer.paced().count();
    }
    assert!(contended > 40 * 12, "{contended} contenders put nothing to the test");
}
