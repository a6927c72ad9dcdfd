//! A better ad that comes into a campaign of known ones is found, for a share of the money.

use super::tests::{imp, strategies, world_by};
use super::*;
use crate::auction::actor::example_of;
use crate::budget::{Held, Purpose, Windows};
use crate::catalog::{Catalog, TermsNeeded, generated_facts};
use crate::hash;
use crate::latency::LatencyBoard;
use crate::prediction::{AdFeatures, AdInput, Config, Learner, Rates, SlotFormat};
use crate::strategy::pacing::{Pace, PacingSnapshot};
use crate::units::{CampaignId, HoldId, LeaseId, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// True click rates, by whether the ad is the new one.
const RATES: [f64; 2] = [0.04, 0.10];
/// Auctions before the new ad comes, and after.
const BEFORE: u32 = 1_500;
const AFTER: u32 = 4_000;
/// Auctions between two snapshots of the model.
const PUBLISH_EVERY: u32 = 20;
/// One part of so many is the most that exploring may cost.
const SHARE: u64 = 20;

/// Money for everything, and for exploring within its share of what was spent.
#[derive(Default)]
struct Shared {
    holds: u32,
    spent: u64,
    explored: u64,
}

impl Purse for Shared {
    fn hold(
        &mut self,
        _: CampaignId,
        purpose: Purpose,
        price: Micros,
        _: Windows,
        _: Timestamp,
    ) -> Result<Held, Micros> {
        if purpose == Purpose::Explore {
            if (self.explored + price.0) * SHARE > self.spent + price.0 {
                return Err(Micros::ZERO);
            }
            self.explored += price.0;
        }
        self.spent += price.0;
        self.holds += 1;
        let hold = HoldId { lease: LeaseId::default(), sequence: self.holds };
        Ok(Held { hold, price, ..Held::default() })
    }

    fn pace(&mut self, slot: Slot, published: &PacingSnapshot) -> Pace {
        published.pace(slot)
    }
}

/// One campaign of these ads, in the slots that they had.
fn campaign(folder: &Path, ads: &[&str], previous: Option<&Catalog>) -> Catalog {
    let mut text = "advertiser = \"a\"\n[[campaign]]\nname = \"boots\"\ncategory = \"boots\"\n\
                    iab_cats = [\"IAB18\"]\nstrategy = \"generated\"\ndaily_budget = 1000\n\
                    landing_url = \"https://a.example/\"\nbid = { max_cpm = 900, cpc = 1 }\n"
        .to_owned();
    for name in ads {
        let banner = "{ w = 300, h = 250, image_url = \"https://c.example/a.png\" }";
        text += &format!("[[campaign.ad]]\nname = \"{name}\"\nbanner = {banner}\n");
    }
    let advertiser = "[[advertiser]]\nname = \"a\"\ncurrency = \"USD\"\nsector = \"ecommerce\"\n\
                      domains = [\"a.example\"]\n";
    std::fs::create_dir_all(folder.join("campaigns")).expect("a folder");
    std::fs::write(folder.join("advertisers.toml"), advertiser).expect("a file");
    std::fs::write(folder.join("campaigns/a.toml"), text).expect("a file");
    let known = [("generated".to_owned(), TermsNeeded::default())].into();
    Catalog::load(folder, &known, previous).expect("a good catalog")
}

fn features(catalog: &Catalog) -> Vec<AdFeatures> {
    let campaign = catalog.all_campaigns().next().expect("one");
    let ads = catalog.ads_of(campaign).map(|ad| {
        let input = AdInput {
            advertiser: campaign.advertiser,
            campaign: campaign.id,
            creative: ad.id,
            category: campaign.category,
            format: SlotFormat::Banner,
            size: (300, 250),
            content: Default::default(),
            is_active: true,
        };
        AdFeatures::new(ad.slot, &input)
    });
    ads.collect()
}

/// What a campaign's days look like.
struct Course {
    /// Auctions until the prediction had chosen the new ad a hundred times; `None`: never.
    found: Option<u32>,
    purse: Shared,
    explored: u32,
    /// Shows that the new ad is known by in the end, and how many it had.
    known: (f64, u32),
}

fn course(exploration: &str, rates: Rates, seed: u64) -> Course {
    let folder = tempfile::tempdir().expect("a folder");
    let mut recorder = LatencyBoard::default().recorder();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let config = Config {
        linear_bits: 12,
        vector_bits: 10,
        base_rate: 0.02,
        click_window_ms: 1,
        seed,
        rates: vec![rates],
        ..Config::default()
    };
    let mut learner = Learner::new(&config).expect("a model");
    let (mut auctioneer, mut purse) = (Auctioneer::default(), Shared::default());
    let (mut found, mut by_prediction, mut explored, mut shown) = (None, 0, 0, 0);
    let first = campaign(folder.path(), &["old"], None);
    let second = campaign(folder.path(), &["old", "new"], Some(&first));
    let mut world = None;
    for number in 0..BEFORE + AFTER {
        if number == 0 || number == BEFORE {
            let catalog = if number == 0 { &first } else { &second };
            learner.replace_ads(&features(catalog));
            world = Some(world_by(strategies(exploration), catalog.clone(), || 0.0));
        }
        let world = world.as_mut().expect("made at first");
        if number % PUBLISH_EVERY == 0 {
            world.go_on_by(learner.publish());
        }
        let mut input = AuctionInput::new();
        input.facts = generated_facts(0);
        input.facts.push_banner_size(300, 250);
        input.now = Timestamp(1_000_000 + i64::from(number) * 1_000);
        input.seed = hash::mix(u64::from(number) ^ seed << 32);
        input.imps.push(imp());
        auctioneer.decide(world, &mut purse, &mut input, &mut recorder);
        let pick = *input.outcome.picks.first().expect("a bid");
        let is_new = world.catalog.ad(pick.ad).is_some_and(|ad| ad.name == "new");
        shown += u32::from(is_new);
        explored += u32::from(pick.is_exploration);
        by_prediction += u32::from(is_new && !pick.is_exploration);
        if found.is_none() && by_prediction == 100 {
            found = Some(number - BEFORE);
        }
        let example = example_of(&auctioneer, world, &input, &pick).expect("known");
        let (hold, at) = (example.hold, example.at);
        learner.impression(Box::new(example));
        if rng.random_bool(RATES[usize::from(is_new)]) {
            learner.click(hold, at);
        }
        learner.expire(at.plus_millis(500));
    }
    let new = second.ads.iter().flatten().find(|ad| ad.name == "new").expect("there");
    let known = learner.publish().shows_known(new.slot.index, RATES[1]);
    Course { found, purse, explored, known: (known, shown) }
}

#[test]
fn a_better_newcomer_is_found_within_its_share_of_the_money() {
    let mut late = 0;
    for (rates, seed) in [(Rates::default(), 1), (Rates::ftrl(), 1), (Rates::ftrl(), 2)] {
        let tried = course("thompson", rates, seed);
        let found = tried.found.expect("it is found");
        assert!(found < AFTER, "seed {seed}: after {found} auctions");
        assert!(tried.explored > 0 && tried.purse.explored * SHARE <= tried.purse.spent);
        let (known, shown) = tried.known;
        assert!((0.3..3.0).contains(&(known / f64::from(shown))), "{known} of {shown}");
        if rates != Rates::ftrl() {
            continue; // to this rule a newcomer looks no worse than who is known
        }
        let greedy = course("none", rates, seed);
        assert_eq!((greedy.explored, greedy.purse.explored), (0, 0));
        late += u32::from(greedy.found.is_none_or(|without| without > found));
    }
    assert!(late > 0, "without trying it is found as soon");
}
