//! Large catalogs and requests that fit them, from a seed: for benches and tests.
//!
//! Campaigns wish for what real ones do, most of them for little; the regions they wish for are
//! many or few so that the wanted share of campaigns is eligible for a generated request.

use super::campaign::{Advertiser, FrequencyCap, Sector, Status};
use super::check;
use super::domain::Domains;
use super::facts::RequestFacts;
use super::raw::{Amount, RawBid, RawCampaign};
use super::raw_ad::{RawAd, RawBanner, RawImage, RawLinear, RawNative};
use super::snapshot::{Catalog, Parts};
use super::split::{KnownStrategies, TermsNeeded};
use super::targeting::{Lists, Targeting};
use crate::units::{AdvertiserId, CurrencyCode, Timestamp};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// The share of campaigns that fit a generated request by all but its region; measured by the test
/// below, which holds the generator to it.
const SHARE_WITHOUT_REGIONS: f64 = 0.159;
/// Regions that requests come from, equally often.
const REGIONS: usize = 200;
const SITES: usize = 2_000;
const SEGMENTS: usize = 400;
const KEYWORDS: usize = 500;
const SIZES: [(u32, u32); 5] = [(300, 250), (728, 90), (320, 50), (160, 600), (300, 600)];
const ZONES: [&str; 4] = ["America/New_York", "America/Chicago", "America/Los_Angeles", "UTC"];
/// Wednesday, 2026-06-17, 15:00 UTC: within office hours from coast to coast.
const NOON: i64 = 1_781_708_400_000;

/// A catalog of `campaigns` campaigns, of which about the share `selectivity` (0 to 0.1) is
/// eligible for each of [`generated_facts`]. The same seed gives the same catalog.
#[must_use]
pub fn generated(campaigns: usize, seed: u64, selectivity: f64) -> Catalog {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let domains: Arc<Domains> = Arc::default();
    let strategies = KnownStrategies::from([("generated".to_owned(), TermsNeeded::default())]);
    let advertisers: Vec<Advertiser> = (0..campaigns.div_ceil(20)).map(advertiser).collect();
    // Regions are drawn with replacement: n draws of N hit the share 1 - exp(-n / N).
    let share = (selectivity / SHARE_WITHOUT_REGIONS).clamp(0.0, 0.99);
    let regions = -(1.0 - share).ln() * REGIONS as f64;
    let made = (0..campaigns).filter_map(|number| {
        let raw = campaign(number, regions, &mut rng);
        check::campaign(raw, &advertisers[number / 20], &strategies, &domains).ok()
    });
    let campaigns = made.collect();
    let parts = Parts { advertisers, campaigns, domains, items: Arc::default() };
    Catalog::assemble(parts, Arc::new(strategies), None)
}

/// The facts of a request that fits [`generated`] catalogs, different for each seed. All lie in one
/// quarter hour.
#[must_use]
pub fn generated_facts(seed: u64) -> RequestFacts {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x66_6163_7473);
    let rng = &mut rng;
    let mut facts = RequestFacts::at(Timestamp(NOON));
    facts.personalised = rng.random_bool(0.7);
    facts.set_exchange(if rng.random_bool(0.5) { "alpha" } else { "beta" });
    facts.set_geo("USA", Some(&region(rng)), Some("Springfield"));
    let (device, os) = [(4, "ios"), (4, "android"), (2, "windows"), (5, "ios")][below(rng, 4)];
    facts.set_device_type(device);
    facts.set_os(os);
    facts.push_domain(&format!("www.{}", site(rng)));
    for _ in 0..2 {
        facts.push_page_category(&format!("IAB{}-{}", 1 + below(rng, 26), 1 + below(rng, 9)));
    }
    for _ in 0..5 {
        facts.push_keywords(&keyword(rng));
        facts.push_segment(&segment(rng));
    }
    match below(rng, 10) {
        0 => facts.push_video(),
        1 => facts.push_native(),
        _ => {
            for _ in 0..1 + below(rng, 2) {
                let (width, height) = SIZES[below(rng, SIZES.len())];
                facts.push_banner_size(width, height);
            }
        }
    }
    facts
}

fn advertiser(number: usize) -> Advertiser {
    let name = format!("advertiser-{number}");
    Advertiser {
        id: AdvertiserId::of(&name),
        domains: vec![format!("{name}.example")],
        name,
        currency: CurrencyCode::USD,
        budget: None,
        sector: Sector::Ecommerce,
    }
}

fn campaign(number: usize, regions: f64, rng: &mut ChaCha8Rng) -> RawCampaign {
    let name = format!("campaign-{number}");
    let cents =
        |rng: &mut ChaCha8Rng, low: u64, high: u64| Amount(rng.random_range(low..high) * 10_000);
    RawCampaign {
        status: if rng.random_bool(0.02) { Status::Paused } else { Status::Active },
        category: format!("category-{}", below(rng, 300)),
        iab_cats: vec![format!("IAB{}", [1, 2, 3, 5, 17, 18, 19, 22][below(rng, 8)])],
        sector: None,
        strategy: Some("generated".to_owned()),
        strategies: None,
        daily_budget: cents(rng, 1_000, 100_000),
        lifetime_budget: None,
        flights: Vec::new(),
        overdelivery: super::Overdelivery::default(),
        time_zone: ZONES[below(rng, ZONES.len())].to_owned(),
        pooled_interest: rng.random_bool(0.5),
        calibration_group: None,
        landing_url: Some(format!("https://{name}.example/")),
        frequency_caps: vec![FrequencyCap {
            scope: super::CapScope::Campaign,
            count: 5,
            window_s: 86_400,
        }],
        bid: RawBid {
            max_cpm: cents(rng, 50, 1_500),
            cpc: Some(cents(rng, 5, 300)),
            target_cpa: None,
            expected_cvr_ppm: 0,
            target_roas: None,
            expected_order_value: None,
        },
        targeting: targeting(regions, rng),
        ad: ads(&name, rng),
        name,
    }
}

fn targeting(regions: f64, rng: &mut ChaCha8Rng) -> Targeting {
    // Rounded at random, so that the mean is kept also where a campaign wishes for one region.
    let regions = (regions + rng.random_range(0.0..1.0)).floor().max(1.0) as usize;
    Targeting {
        geo: Lists {
            include: some(rng, 1.0, regions, |rng| format!("USA/{}", region(rng))),
            exclude: some(rng, 0.05, 2, |rng| format!("USA/{}", region(rng))),
        },
        postal_codes: Lists::default(),
        circles: Lists::default(),
        devices: match below(rng, 10) {
            0..=2 => vec!["phone".to_owned(), "tablet".to_owned()],
            3 => vec!["desktop".to_owned()],
            _ => Vec::new(),
        },
        os: some(rng, 0.1, 1, |rng| ["ios", "android", "windows"][below(rng, 3)].to_owned()),
        hours: some(rng, 0.3, 1, |rng| {
            ["mon-fri 08-20", "mon-fri 17-23", "daily 09-21", "sat,sun 00-24"][below(rng, 4)]
                .to_owned()
        }),
        domains: Lists { include: some(rng, 0.05, 30, site), exclude: some(rng, 0.2, 10, site) },
        bundles: Lists::default(),
        page_categories: Lists {
            include: some(rng, 0.2, 5, |rng| format!("IAB{}", 1 + below(rng, 26))),
            exclude: some(rng, 0.3, 2, |rng| format!("IAB{}", 1 + below(rng, 26))),
        },
        keywords: some(rng, 0.1, 10, keyword),
        user_keywords: Vec::new(),
        segments: Lists {
            include: some(rng, 0.15, 5, segment),
            exclude: some(rng, 0.1, 2, segment),
        },
        deals: some(rng, 0.02, 1, |rng| format!("deal-{}", below(rng, 50))),
        exchanges: some(rng, 0.1, 1, |rng| ["alpha", "beta"][below(rng, 2)].to_owned()),
    }
}

/// `count` values with this probability, else none.
fn some(
    rng: &mut ChaCha8Rng,
    probability: f64,
    count: usize,
    mut value: impl FnMut(&mut ChaCha8Rng) -> String,
) -> Vec<String> {
    let count = if rng.random_bool(probability) { count } else { 0 };
    (0..count).map(|_| value(rng)).collect()
}

fn ads(name: &str, rng: &mut ChaCha8Rng) -> Vec<RawAd> {
    let named = |ending: &str| RawAd { name: format!("{name}-{ending}"), ..RawAd::default() };
    let url = |file: &str| format!("https://cdn.{name}.example/{file}");
    match below(rng, 8) {
        0 => {
            let video = RawLinear {
                mime: Some("video/mp4".to_owned()),
                duration_s: 15,
                w: 1_280,
                h: 720,
                protocols: vec![2, 3],
                media_url: Some(url("spot.mp4")),
                ..RawLinear::default()
            };
            vec![RawAd { video: Some(video), ..named("video") }]
        }
        1 => {
            let image = |file: &str, w, h| RawImage { url: url(file), w, h, mime: None };
            let native = RawNative {
                title: "A title".to_owned().into(),
                description: "A description".to_owned().into(),
                sponsored: name.to_owned().into(),
                cta: "See more".to_owned().into(),
                icon: image("icon.png", 128, 128).into(),
                image: image("wide.jpg", 1_200, 627).into(),
                ..RawNative::default()
            };
            vec![RawAd { native: Some(native), ..named("native") }]
        }
        _ => {
            let first = below(rng, SIZES.len());
            let sizes = (first..first + 3).map(|place| SIZES[place % SIZES.len()]);
            let banner = |(w, h): (u32, u32)| {
                let image_url = Some(url(&format!("{w}x{h}.jpg")));
                let banner = RawBanner { w, h, image_url, ..RawBanner::default() };
                RawAd { banner: Some(banner), ..named(&format!("{w}x{h}")) }
            };
            sizes.map(banner).collect()
        }
    }
}

fn below(rng: &mut impl Rng, bound: usize) -> usize {
    rng.random_range(0..bound)
}

fn region(rng: &mut impl Rng) -> String {
    format!("R{}", below(rng, REGIONS))
}

fn site(rng: &mut impl Rng) -> String {
    format!("site-{}.example", below(rng, SITES))
}

fn keyword(rng: &mut impl Rng) -> String {
    format!("word-{}", below(rng, KEYWORDS))
}

fn segment(rng: &mut impl Rng) -> String {
    format!("segment-{}", below(rng, SEGMENTS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::EligibilityScratch;

    #[test]
    fn about_the_wanted_share_is_eligible() {
        for (selectivity, low, high) in [(0.005, 10.0, 20.0), (0.042, 100.0, 150.0)] {
            let catalog = generated(3_000, 7, selectivity);
            assert_eq!(catalog.all_campaigns().count(), 3_000);
            let (mut scratch, mut out) = (EligibilityScratch::default(), Vec::new());
            let mut eligible = 0;
            for seed in 0..400 {
                catalog.eligible(&generated_facts(seed), &mut scratch, &mut out);
                eligible += out.len();
            }
            let mean = eligible as f64 / 400.0;
            assert!((low..high).contains(&mean), "{mean} of 3000 at {selectivity}");
        }
    }
}
