//! Whoever is not visited could not have won: decisions are those of an auctioneer that scores and
//! prices all, whatever is asked for, refused and tried.

use super::tests::{imp, strategies, world_by};
use super::*;
use crate::auction::input::{
    DealInput, ImpInput, LengthFloors, MediaSlot, NativeSlot, PodRoom, SizeRule,
};
use crate::auction::outcome::Pick;
use crate::budget::{Held, Purpose, Windows};
use crate::catalog::{category_key, generated, generated_facts};
use crate::hash;
use crate::latency::LatencyBoard;
use crate::strategy::pacing::{Pace, PacingSnapshot};
use crate::units::{CampaignId, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

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

#[test]
fn whoever_is_not_visited_could_not_have_won() {
    let (mut some, mut all) = (Auctioneer::default(), Auctioneer::thorough());
    let (mut bids, mut explored, mut scored, mut left_out) = (0, 0, 0, 0);
    for seed in 0..8 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let exploration = if seed % 2 == 0 { "none" } else { "thompson" };
        let mut paces = ChaCha8Rng::seed_from_u64(seed);
        let ln_budget = || paces.random_range(-4.0..0.0);
        let world = world_by(strategies(exploration), generated(300, seed, 0.1), ln_budget);
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
    assert!(bids > 300 && explored > 20, "{bids} bids, {explored} by a draw");
    assert!(left_out * 3 > scored, "of {scored} ads only {left_out} were left out");
}
