use super::*;
use crate::auction::explain::DryPurse;
use crate::auction::extract::{Context, extract};
use crate::auction::input::{BannerSlot, ImpInput, SizeRule};
use crate::auction::outcome::Pick;
use crate::auction::policy::Policy;
use crate::auction::world::Published;
use crate::budget::{Held, Purpose, Windows};
use crate::catalog::{Catalog, TermsNeeded, generated, generated_facts};
use crate::consent::Permissions;
use crate::latency::LatencyBoard;
use crate::openrtb;
use crate::prediction::{
    AdFeatures, Config, ContextInput, Cross, Example, Learner, ModelSnapshot, Rates, SlotFormat,
};
use crate::privacy::Releases;
use crate::rates::{self, Rate};
use crate::relevance::RelevanceSnapshot;
use crate::strategy::Strategies;
use crate::strategy::pacing::{Pace, PacingSnapshot};
use crate::units::{CampaignId, CurrencyCode, HoldId, LeaseId, Timestamp};
use arc_swap::ArcSwap;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub(super) fn strategies(exploration: &str) -> Strategies {
    let folder = tempfile::tempdir().expect("a folder");
    let cpc = Path::new(env!("CARGO_MANIFEST_DIR")).join("strategies/cpc.toml");
    let text = std::fs::read_to_string(cpc).expect("the strategy");
    let text = text.replace("exploration = \"none\"", &format!("exploration = \"{exploration}\""));
    std::fs::write(folder.path().join("generated.toml"), text).expect("the strategy");
    Strategies::load(folder.path()).expect("it loads")
}

/// A world of generated campaigns that are paced each in its own way.
pub(super) fn world(seed: u64) -> World {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    world_of(generated(600, seed, 0.1), || rng.random_range(-4.0..0.0))
}

fn world_of(catalog: Catalog, ln_budget: impl FnMut() -> f32) -> World {
    world_by(strategies("none"), catalog, ln_budget)
}

pub(super) fn world_by(
    strategies: Strategies,
    catalog: Catalog,
    ln_budget: impl FnMut() -> f32,
) -> World {
    World::now(&published_by(strategies, catalog, ln_budget))
}

pub(super) fn published_by(
    strategies: Strategies,
    catalog: Catalog,
    mut ln_budget: impl FnMut() -> f32,
) -> Published {
    let slots = catalog.campaigns.iter().map(|campaign| {
        campaign.as_ref().map_or(Pace::NEUTRAL, |campaign| Pace {
            generation: campaign.slot.generation,
            ln_budget: ln_budget(),
            ..Pace::NEUTRAL
        })
    });
    let mut paces: Vec<_> = slots.collect();
    let arms = catalog.splits().flat_map(|(_, arms)| arms);
    paces.extend(arms.map(|Slot { generation, .. }| Pace {
        generation,
        ln_budget: ln_budget(),
        ..Pace::NEUTRAL
    }));
    let pacing = PacingSnapshot { epoch: 1, paces, ..PacingSnapshot::default() };
    let model = Arc::new(ArcSwap::new(taught(&catalog, f32::NAN)));
    Published {
        sequence: None,
        market: Arc::default(),
        catalog: Arc::new(ArcSwap::from_pointee(catalog)),
        model,
        pacing: Arc::new(ArcSwap::from_pointee(pacing)),
        releases: Arc::new(ArcSwap::from_pointee(Releases::none(0.01))),
        strategies: Arc::new(ArcSwap::from_pointee(strategies)),
        rates: Arc::new(ArcSwap::from_pointee(
            rates::Rates::parse(CurrencyCode::USD, &BTreeMap::new()).expect("no rates"),
        )),
        relevance: Arc::new(ArcSwap::from_pointee(RelevanceSnapshot::empty())),
        fits_max: 0,
        base_logit: -4.6,
        limits: crate::config::Auction::default(),
        #[cfg(feature = "onnx")]
        reranker: None,
    }
}

/// A model that knows the catalog's ads, and has learned something about each. Where what was bid on
/// had this logit, that was calibrated too.
pub(super) fn taught(catalog: &Catalog, logit: f32) -> Arc<ModelSnapshot> {
    let mut rng = ChaCha8Rng::seed_from_u64(catalog.campaigns.len() as u64);
    let mut ads = Vec::new();
    for campaign in catalog.all_campaigns() {
        ads.extend(catalog.ads_of(campaign).map(|ad| AdFeatures {
            slot: ad.slot,
            campaign: campaign.id,
            ids: std::array::from_fn(|_| rng.random_range(0..4_000)),
            is_active: true,
        }));
    }
    let rates = Rates { vector_init: 0.1, linear_rate: 0.3, ..Rates::default() };
    let config = Config {
        // Catalogs differ in it, so both sizes of rows take part.
        dim: if ads.len().is_multiple_of(2) { 8 } else { 16 },
        rates: vec![rates],
        linear_bits: 12,
        vector_bits: 8,
        click_window_ms: 1,
        ..Config::default()
    };
    let mut learner = Learner::new(&config).expect("a model");
    learner.replace_ads(&ads);
    learner.follow(catalog.epoch);
    for (sequence, ad) in (0..).zip(ads.iter().step_by(8)) {
        let hold = HoldId { lease: LeaseId::default(), sequence };
        let context = ContextInput { publisher: sequence.into(), ..ContextInput::default() };
        learner.impression(Box::new(Example {
            hold,
            context: ContextFeatures::from(&context),
            ad: ad.ids,
            cross: Cross::NEUTRAL,
            logit,
            predicted: 0.01,
            conversion_prior_logit: f32::NAN,
            calibration_group: 0,
            user: None,
            at: Timestamp(sequence.into()),
            arm: 0,
            learn: true,
        }));
        if sequence % 50 == 0 {
            learner.click(hold, Timestamp(sequence.into()));
        }
    }
    learner.expire(Timestamp(i64::MAX));
    learner.publish()
}

/// A banner of any size.
pub(super) fn imp() -> ImpInput {
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
        quantity: Rate::ONE,
        pod: None,
        is_private: false,
        deals: smallvec::SmallVec::new(),
        given_p_click: None,
        given_p_conversion: None,
        format: SlotFormat::Banner,
        size: (300, 250),
        screen_position: 0,
        placement: 0,
    }
}

/// The highest of the prices of all ads that were scored, each by the strategy of its user's arm.
fn dearest(world: &World, input: &AuctionInput, auctioneer: &Auctioneer) -> Option<Micros> {
    let price = |scored: &Scored| {
        let row = world.catalog.row(scored.campaign)?;
        let seated = world.seated(row, input);
        let multiplier = world.pacing.pace(world.pace_slot(seated)).multiplier().into();
        let terms = Terms::of(world, input, (row, seated), multiplier)?;
        match terms.price(scored) {
            Priced::Bid(price) => Some(price),
            _ => None,
        }
    };
    auctioneer.scored().iter().filter_map(price).max()
}

/// Scores and prices are worked out for those alone who could be among the best: nobody who was
/// skipped may have had a higher one.
#[test]
fn the_dearest_of_all_that_fit_is_picked() {
    let mut recorder = LatencyBoard::default().recorder();
    let (mut auctioneer, mut thorough) = (Auctioneer::default(), Auctioneer::thorough());
    let (mut contended, mut left_out) = (0, 0);
    for seed in 0..24 {
        let world = world(seed);
        let mut decide = |auctioneer: &mut Auctioneer, imps: u64| {
            let mut input = AuctionInput::new();
            input.facts = generated_facts(seed);
            input.imps.extend((0..imps).map(|position| ImpInput {
                position: position as u8,
                placement: position,
                size: (300, 250 * position as u16),
                ..imp()
            }));
            auctioneer.decide(&world, &mut DryPurse, &mut input, &mut recorder);
            input
        };
        for imps in [1 + seed % 3, 1] {
            let picks = |input: &AuctionInput| {
                let picks = input.outcome.picks.iter();
                let picked = |pick: &Pick| (pick.imp, pick.ad, pick.price, pick.logit.to_bits());
                (picks.map(picked).collect::<Vec<_>>(), input.outcome.no_bid)
            };
            let (input, all) = (decide(&mut auctioneer, imps), decide(&mut thorough, imps));
            assert_eq!(picks(&input), picks(&all), "seed {seed}, {imps} imps");
            let paces = |auctioneer: &Auctioneer| auctioneer.paced(&world).collect::<Vec<_>>();
            assert_eq!(paces(&auctioneer), paces(&thorough), "everybody who contends is paced");
            if imps == 1 {
                let picked = input.outcome.picks.first().map(|pick| pick.price);
                assert_eq!(picked, dearest(&world, &all, &thorough), "seed {seed}");
                contended += thorough.scored().len();
                left_out += thorough.scored().len() - auctioneer.scored().len();
            }
        }
    }
    assert!(contended > 24 * 36, "{contended} ads put nothing to the test");
    assert!(left_out * 3 > contended, "of {contended} ads only {left_out} were left out");
}

/// One that could be the best by a draw is not left out either.
#[test]
fn nobody_is_left_out_who_could_win_by_a_draw() {
    let mut recorder = LatencyBoard::default().recorder();
    let (mut explored, mut left_out) = (0, 0);
    for seed in 0..15 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let ln_budget = || rng.random_range(-4.0..0.0);
        let world = world_by(strategies("thompson"), generated(150, seed, 0.5), ln_budget);
        let mut decide = |mut auctioneer: Auctioneer| {
            let mut input = AuctionInput::new();
            (input.facts, input.seed) = (generated_facts(seed), seed);
            input.imps.push(imp());
            let mut purse = Purses { explores: true, explored: 0 };
            auctioneer.decide(&world, &mut purse, &mut input, &mut recorder);
            let picks = input.outcome.picks.iter();
            let picks = picks.map(|pick| (pick.ad, pick.price, pick.is_exploration));
            (picks.collect::<Vec<_>>(), auctioneer.scored().len())
        };
        let (some, all) = (decide(Auctioneer::default()), decide(Auctioneer::thorough()));
        assert_eq!(some.0, all.0, "seed {seed}");
        explored += some.0.iter().filter(|pick| pick.2).count();
        left_out += all.1 - some.1;
    }
    assert!(explored > 0 && left_out > 0, "{explored} explored, {left_out} left out");
}

/// Money for everything, but for exploring only where that is said.
struct Purses {
    explores: bool,
    explored: usize,
}

impl Purse for Purses {
    fn hold(
        &mut self,
        _: CampaignId,
        purpose: Purpose,
        price: Micros,
        _: Windows,
        _: Timestamp,
    ) -> Result<Held, Micros> {
        let is_exploration = purpose == Purpose::Explore;
        self.explored += usize::from(is_exploration && self.explores);
        let held = Held { price, ..Held::default() };
        if is_exploration && !self.explores { Err(Micros::ZERO) } else { Ok(held) }
    }

    fn pace(&mut self, slot: Slot, published: &PacingSnapshot) -> Pace {
        published.pace(slot)
    }
}

/// A draw wins a place only with money of its own, and is told from a prediction ever after; without
/// that money the predictions decide as if nobody explored.
#[test]
fn draws_win_places_with_their_own_money_alone() {
    let mut recorder = LatencyBoard::default().recorder();
    let mut decide = |exploration: &str, explores: bool, seed: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let ln_budget = || rng.random_range(-4.0..0.0);
        let world = world_by(strategies(exploration), generated(150, seed, 0.3), ln_budget);
        let mut purse = Purses { explores, explored: 0 };
        let mut input = AuctionInput::new();
        input.facts = generated_facts(seed);
        input.seed = seed;
        input.imps.push(imp());
        Auctioneer::default().decide(&world, &mut purse, &mut input, &mut recorder);
        let pick = input
            .outcome
            .picks
            .first()
            .map(|pick| (pick.ad, pick.price, pick.is_exploration, pick.logit.to_bits()));
        (pick, purse.explored)
    };
    let (mut draws, mut means) = (0, 0);
    for seed in 0..15 {
        let (by_mean, none) = decide("none", true, seed);
        assert_eq!((decide("thompson", false, seed).0, none), (by_mean, 0), "seed {seed}");
        let (pick, explored) = decide("thompson", true, seed);
        assert_eq!((pick, explored), decide("thompson", true, seed), "seed {seed} again");
        let (Some(pick), Some(by_mean)) = (pick, by_mean) else { continue };
        assert_eq!(explored, usize::from(pick.2));
        if pick.2 {
            draws += 1;
            assert!(pick.0 != by_mean.0 && pick.1 > by_mean.1, "it is worth more: seed {seed}");
            assert!(f32::from_bits(pick.3) < -3.0, "the logit is the prediction's");
        } else {
            means += 1;
            assert_eq!(pick, by_mean, "seed {seed}");
        }
    }
    assert!(draws > 3, "{draws} draws, {means} means");
}

/// What a campaign shows in each of the four forms, all of which fit [`every_form`].
const FORMS: [(&str, &str); 4] = [
    ("banner", "banner = { w = 300, h = 250, image_url = \"https://c.example/a.png\" }"),
    (
        "video",
        "video = { duration_s = 15, mime = \"video/mp4\", w = 640, h = 360, media_url = \"https://c.example/a.mp4\" }",
    ),
    (
        "audio",
        "audio = { duration_s = 15, mime = \"audio/mpeg\", media_url = \"https://c.example/a.mp3\" }",
    ),
    ("native", "native = { title = \"Boots\" }"),
];

const ADVERTISER: &str = "[[advertiser]]\nname = \"a\"\ncurrency = \"USD\"\n\
                          sector = \"ecommerce\"\ndomains = [\"a.example\"]\n";

/// A catalog of one campaign a form, whose highest CPMs are these.
fn campaigns(max_cpm: [u32; 4]) -> Catalog {
    let folder = tempfile::tempdir().expect("a folder");
    let campaign = |((name, ad), max_cpm): ((&str, &str), u32)| {
        format!(
            "[[campaign]]\nname = \"{name}\"\ncategory = \"boots\"\niab_cats = [\"IAB18\"]\n\
             strategy = \"generated\"\ndaily_budget = 1000\nlanding_url = \"https://a.example/\"\n\
             bid = {{ max_cpm = {max_cpm}, cpc = 100_000 }}\n\
             [[campaign.ad]]\nname = \"{name}\"\n{ad}\n"
        )
    };
    let campaigns: String = FORMS.into_iter().zip(max_cpm).map(campaign).collect();
    std::fs::create_dir(folder.path().join("campaigns")).expect("a folder");
    std::fs::write(folder.path().join("advertisers.toml"), ADVERTISER).expect("a file");
    let campaigns = format!("advertiser = \"a\"\n{campaigns}");
    std::fs::write(folder.path().join("campaigns/a.toml"), campaigns).expect("a file");
    Catalog::load(folder.path(), &[("generated".to_owned(), TermsNeeded::default())].into(), None)
        .expect("a good catalog")
}

/// An imp that may be filled in each of the forms, and what of it is taken away.
fn every_form(without: &str) -> AuctionInput {
    let mut imp = serde_json::json!({
        "id": "1", "banner": {}, "video": { "mimes": ["video/mp4"] },
        "audio": { "mimes": ["audio/mpeg", "audio/mp4"] },
        "native": { "request": { "assets": [{ "id": 1, "required": 1, "title": {} }] } },
    });
    imp[without] = serde_json::Value::Null;
    let body = serde_json::json!({ "id": "r", "imp": [imp] }).to_string();
    let request = openrtb::parse(body.as_bytes(), &openrtb::Limits::default()).expect("parses");
    let rates = rates::Rates::parse(CurrencyCode::USD, &BTreeMap::new()).expect("no rates");
    let context = Context {
        exchange: "x",
        seat: "seat",
        rates: &rates,
        policy: &Policy::default(),
        permissions: Permissions::CONTEXTUAL,
        is_simulation: false,
        is_https: true,
    };
    let mut input = AuctionInput::new();
    assert!(extract(&request, &context, &mut input).is_ok());
    input
}

/// Clicks are worth so much that each campaign bids up to what it pays at most.
#[test]
fn the_dearest_form_wins_an_imp_that_takes_several() {
    let mut recorder = LatencyBoard::default().recorder();
    let mut auctioneer = Auctioneer::default();
    for best in 0..4 {
        let second = (best + 1) % 4;
        let mut max_cpm = [3; 4];
        (max_cpm[best], max_cpm[second]) = (9, 6);
        let world = world_of(campaigns(max_cpm), || 0.0);
        for (without, expected) in [("nothing", best), (FORMS[best].0, second)] {
            let mut input = every_form(without);
            auctioneer.decide(&world, &mut DryPurse, &mut input, &mut recorder);
            let names: Vec<_> = input
                .outcome
                .picks
                .iter()
                .map(|pick| world.catalog.ad(pick.ad).map_or("", |ad| ad.kind.as_str()))
                .collect();
            assert_eq!(names, [FORMS[expected].0], "without {without}");
        }
    }
}

/// The second time, no verdict of the first is left to be noted.
#[test]
fn no_form_that_fits_is_said_each_time() {
    let mut recorder = LatencyBoard::default().recorder();
    let world = world_of(campaigns([3; 4]), || 0.0);
    let mut auctioneer = Auctioneer::default();
    for _ in 0..2 {
        let mut input = every_form("nothing");
        let imp = &mut input.imps[0];
        (imp.banner, imp.video, imp.audio, imp.native) = (None, None, None, None);
        auctioneer.decide(&world, &mut DryPurse, &mut input, &mut recorder);
        assert_eq!(input.outcome.no_bid, Some(NoBid::NoCreativeFits));
    }
}

/// So much money for each campaign, and no more.
struct Left(Micros);

impl Purse for Left {
    fn hold(
        &mut self,
        _: CampaignId,
        _: Purpose,
        price: Micros,
        _: Windows,
        _: Timestamp,
    ) -> Result<Held, Micros> {
        if price > self.0 { Err(self.0) } else { Ok(Held { price, ..Held::default() }) }
    }

    fn pace(&mut self, slot: Slot, published: &PacingSnapshot) -> Pace {
        published.pace(slot)
    }
}

/// With too little left, what is left is bid where it clears the floor, and never more is held; a
/// play that counts for many impressions costs as many times its price.
#[test]
fn what_is_left_is_bid_down_to_the_floor() {
    let mut recorder = LatencyBoard::default().recorder();
    let world = world_of(campaigns([9, 3, 3, 3]), || 0.0);
    let mut auctioneer = Auctioneer::default();
    let mut decide = |purse: &mut Left, floor: u64, times: u64| {
        let mut input = every_form("nothing");
        input.imps[0].floor = Micros(floor);
        input.imps[0].quantity = Rate(Rate::ONE.0 * times);
        auctioneer.decide(&world, purse, &mut input, &mut recorder);
        let pick = input.outcome.picks.first();
        pick.map(|pick| (pick.price.0, pick.held.price.0)).ok_or(input.outcome.no_bid)
    };
    let full = 9_000_000;
    assert_eq!(decide(&mut Left(Micros(u64::MAX)), 1, 1), Ok((full, full)));
    let left = full - 1;
    assert_eq!(decide(&mut Left(Micros(left)), left, 1), Ok((left, left)));
    assert_eq!(decide(&mut Left(Micros(left)), left + 1, 1), Err(Some(NoBid::NoMoney)));
    assert_eq!(decide(&mut Left(Micros(u64::MAX)), 1, 7), Ok((full, 7 * full)));
    assert_eq!(decide(&mut Left(Micros(7 * full - 1)), 1, 7), Ok((full - 1, 7 * (full - 1))));
    assert_eq!(decide(&mut Left(Micros(6)), 1, 7), Err(Some(NoBid::NoMoney)));
}
