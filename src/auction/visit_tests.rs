//! Whoever is not visited could not have won: decisions are those of an auctioneer that scores and
//! prices all, whatever is asked for, refused and tried.

use super::tests::{imp, published_by, strategies, taught};
use super::*;
use crate::auction::input::{
    DealInput, ImpInput, LengthFloors, MediaSlot, NativeSlot, PodRoom, SizeRule,
};
use crate::auction::outcome::Pick;
use crate::auction::world::{Seated, WorldCache};
use crate::budget::{Held, Purpose, Windows};
use crate::catalog::{ARMS_MAX, Catalog, category_key, generated, generated_facts};
use crate::hash;
use crate::latency::LatencyBoard;
use crate::prediction::Bound;
use crate::privacy::{CampaignSums, ContextBucket, Estimate, Kind, Releases};
use crate::strategy::pacing::{Pace, PacingSnapshot};
use crate::units::{CampaignId, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// Money for most, too little or none for some, and for each the same whenever it asks.
struct Fickle(u64);

impl Purse for Fickle {
    fn hold(
        &mut self,
        campaign: CampaignId,
        purpose: Purpose,
        price: Micros,
        _: Windows,
        _: Timestamp,
    ) -> Result<Held, Micros> {
        let place = hash::combine(self.0, campaign.0 ^ u64::from(purpose == Purpose::Explore));
        match place % 4 {
            0 => Err(Micros::ZERO),
            1 if price.0 > 1_000 => Err(Micros(1_000)),
            _ => Ok(Held { price, campaign, ..Held::default() }),
        }
    }

    fn pace(&mut self, slot: Slot, published: &PacingSnapshot) -> Pace {
        let pace = published.pace(slot);
        if slot.index.is_multiple_of(17) { pace.spent() } else { pace }
    }
}

fn media(pod_seconds: u32) -> MediaSlot {
    MediaSlot {
        protocols: u64::MAX,
        seconds_max: 60,
        pod_seconds,
        accepts_linear: true,
        delivery: u64::MAX,
        bitrates: (0, u32::MAX),
        skip_longer_than_s: Some(0),
        ..MediaSlot::default()
    }
}

/// An imp of any kind that decisions depend on.
fn any_imp(position: u8, rng: &mut ChaCha8Rng) -> ImpInput {
    let mut imp = ImpInput { position, placement: rng.random_range(0..9), ..imp() };
    imp.floor = Micros(rng.random_range(0..4) * rng.random_range(1..3_000_000));
    match rng.random_range(0..6) {
        0 => imp.banner = None,
        1 => {
            let sizes = [(300, 250), (728, 90), (320, 50)]
                .map(|(w, h)| SizeRule::Range { w: (w, w), h: (h, h) });
            imp.banner.iter_mut().for_each(|slot| slot.sizes = sizes.into_iter().collect());
        }
        _ => {}
    }
    if rng.random_bool(0.4) {
        imp.native = Some(NativeSlot::default());
    }
    if rng.random_bool(0.4) {
        imp.video = Some(media(u32::MAX));
        if rng.random_bool(0.3) {
            let (seconds, ads) = (rng.random_range(15..90), rng.random_range(1..5));
            imp.video = Some(media(seconds));
            imp.pod = Some(PodRoom { is_audio: false, seconds, ads });
        }
    }
    if rng.random_bool(0.3) {
        imp.deals.push(DealInput {
            key: hash::mix(position.into()),
            position: 0,
            floor: Micros(rng.random_range(0..2_000_000)),
            length_floors: LengthFloors::default(),
            is_fixed: rng.random_bool(0.3),
            is_guaranteed: rng.random_bool(0.3),
            advertisers: Default::default(),
        });
        imp.is_private = rng.random_bool(0.2);
    }
    imp.has_length_floors = rng.random_bool(0.1);
    if rng.random_bool(0.05) {
        imp.given_p_click = Some(0.02);
    }
    imp
}

/// A request of any kind.
fn any_input(seed: u64, rng: &mut ChaCha8Rng) -> AuctionInput {
    let mut input = AuctionInput::new();
    (input.facts, input.seed) = (generated_facts(seed), rng.random());
    input.facts.push_video();
    input.facts.push_native();
    let imps = [1, 1, 2, 3, 70][rng.random_range(0..if seed.is_multiple_of(5) { 5 } else { 4 })];
    input.imps.extend((0..imps).map(|position| any_imp(position, rng)));
    input.is_first_price = rng.random_bool(0.5);
    if rng.random_bool(0.3) {
        let blocked = ["IAB1", "IAB3", "IAB18"].map(category_key);
        input.blocks.bcat = blocked.into_iter().take(rng.random_range(1..4)).collect();
    }
    if rng.random_bool(0.2) {
        input.arm = Arm::ALL[rng.random_range(0..Arm::ALL.len())];
    }
    input
}

type Picked = (u8, u32, u64, Option<u8>, bool, u32);

fn decide(auctioneer: &mut Auctioneer, world: &World, input: &mut AuctionInput) -> Vec<Picked> {
    let mut recorder = LatencyBoard::default().recorder();
    auctioneer.decide(world, &mut Fickle(input.seed), input, &mut recorder);
    let picked = |pick: &Pick| {
        let logit = pick.logit.to_bits();
        (pick.imp, pick.ad, pick.price.0, pick.deal, pick.is_exploration, logit)
    };
    input.outcome.picks.iter().map(picked).collect()
}

/// Releases that believe of each campaign and context something else.
fn released(catalog: &Catalog, seed: u64) -> Arc<Releases> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let shown = |value| Estimate { value, variance: 100.0 };
    let sums = catalog.all_campaigns().map(|campaign| {
        let mut sums = CampaignSums::default();
        for cell in &mut sums {
            cell[Kind::Impression.index()] = shown(1e6);
            cell[Kind::Click.index()] = shown(1e6 * rng.random_range(0.001..0.1));
        }
        (campaign.id, sums)
    });
    let sums: Vec<_> = sums.collect();
    let pairs = sums.iter().map(|(campaign, sums)| (*campaign, sums));
    Arc::new(Releases::of(0.01, seed, Timestamp(0), pairs))
}

/// How many campaigns the model bounds; each seat has the bound of the world's own model, and a bound of
/// each of its priors that is near it.
fn bounded(world: &World) -> usize {
    let mut bounded = 0;
    for campaign in world.catalog.all_campaigns() {
        let row = world.catalog.row(campaign.slot.index).expect("a row");
        let priors = world.priors_at(campaign.slot.index).expect("priors");
        let arms = if campaign.is_split() { campaign.strategies.len() } else { 1 };
        for arm in 0..arms.min(ARMS_MAX) as u8 {
            let (_, bound, of_priors) = world.bounds_of(Seated::of(row, arm));
            assert_eq!(*bound, world.model.bound(campaign.ads[0]), "{arm} of {}", campaign.id.0);
            for bucket in (0..).map_while(ContextBucket::from_index) {
                let above = of_priors.in_bucket(bucket) - priors.in_bucket(bucket);
                assert!((0.0..0.06).contains(&above), "{above} of {}", campaign.id.0);
            }
            bounded += usize::from(*bound != Bound::UNKNOWN);
        }
    }
    bounded
}

#[test]
fn what_bounds_a_price_is_of_what_is_published_now() {
    let published = published_by(strategies("none"), generated(100, 1, 0.1), || 0.0);
    let mut cache = WorldCache::new(&published);
    assert!(bounded(cache.refresh()) >= 100);
    let next = generated(120, 2, 0.5);
    let catalog = || published.catalog.load();
    // In each order that publications may come in: a model alone, releases, the catalog before its model.
    published.model.store(taught(&next, 0.5));
    bounded(cache.refresh());
    published.model.store(taught(&catalog(), 0.5));
    published.releases.store(released(&catalog(), 3));
    assert!(bounded(cache.refresh()) >= 100);
    published.catalog.store(Arc::new(next));
    bounded(cache.refresh());
    published.model.store(taught(&catalog(), 0.5));
    assert!(bounded(cache.refresh()) >= 120);
    published.releases.store(released(&catalog(), 4));
    assert!(bounded(cache.refresh()) >= 120);
}

#[test]
fn whoever_is_not_visited_could_not_have_won() {
    let (mut some, mut all) = (Auctioneer::default(), Auctioneer::thorough());
    let (mut bids, mut explored, mut scored, mut left_out) = (0, 0, 0, 0);
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let exploration = if seed % 2 == 0 { "none" } else { "thompson" };
        let mut paces = ChaCha8Rng::seed_from_u64(seed);
        let ln_budget = || paces.random_range(-4.0..0.0);
        let published = published_by(strategies(exploration), generated(300, seed, 0.1), ln_budget);
        published.releases.store(released(&published.catalog.load(), seed));
        let world = World::now(&published);
        for request in 0..60 {
            let kept = rng.clone();
            let mut one = any_input(request, &mut rng);
            let mut other = any_input(request, &mut kept.clone());
            let picks = decide(&mut some, &world, &mut one);
            assert_eq!(picks, decide(&mut all, &world, &mut other), "{seed}, {request}");
            assert_eq!(one.outcome.no_bid, other.outcome.no_bid, "{seed}, {request}");
            assert_eq!(one.outcome.ranked_down, other.outcome.ranked_down, "{seed}, {request}");
            let paced = |auctioneer: &Auctioneer| auctioneer.paced(&world).collect::<Vec<_>>();
            assert_eq!(paced(&some), paced(&all), "{seed}, {request}: who contends is paced");
            bids += picks.len();
            explored += picks.iter().filter(|pick| pick.4).count();
            scored += all.scored().len();
            left_out += all.scored().len() - some.scored().len();
        }
    }
    assert!(bids > 300 && explored > 10, "{bids} bids, {explored} by a draw");
    assert!(left_out * 4 > scored, "of {scored} ads only {left_out} were left out");
}
