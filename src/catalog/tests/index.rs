//! The index against the predicates that it is made from, over random catalogs and requests.

use super::{CAMPAIGN, Folder};
use crate::catalog::campaign::{Campaign, Sector, Status};
use crate::catalog::filters::{DIMENSIONS, Dimension, Filters, Reason};
use crate::catalog::hours::HourMask;
use crate::catalog::index::{EligibilityIndex, EligibilityScratch};
use crate::catalog::{Catalog, RequestFacts, generated, generated_facts};
use crate::units::{Micros, Slot, Timestamp};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use std::sync::Arc;

/// What a case adds to a request.
type Change<'a> = &'a dyn Fn(&mut RequestFacts);

/// Values per dimension: few, so that requests and campaigns meet.
const VALUES: u64 = 6;

/// Shape of a random campaign: lists by dimension, pause, sector, hours, price.
type Shape = (Vec<(Vec<u64>, Vec<u64>)>, bool, bool, Option<usize>, u64);

fn shape() -> impl Strategy<Value = Shape> {
    let list = || prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(0..VALUES, 1..4)];
    let lists = prop::collection::vec((list(), list()), DIMENSIONS);
    let hours = prop_oneof![2 => Just(None), 1 => (0usize..3).prop_map(Some)];
    (lists, prop::bool::weighted(0.1), prop::bool::weighted(0.2), hours, 1u64..5)
}

fn campaign(base: &Campaign, index: usize, shape: &Shape) -> Campaign {
    let (lists, is_paused, adults_only, hours, price) = shape;
    let mut filters = Filters::default();
    let tidy = |mut keys: Vec<u64>| {
        keys.sort_unstable();
        keys.dedup();
        keys.into_boxed_slice()
    };
    for (dimension, (include, exclude)) in lists.iter().enumerate() {
        filters.include[dimension] = tidy(include.clone());
        filters.exclude[dimension] = tidy(exclude.clone());
    }
    let zones = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu"];
    if let Some(choice) = hours {
        let entry = ["daily 08-20", "mon-wed 00-12", "sat,sun 10-02"][*choice].to_owned();
        filters.hours = HourMask::parse(&[entry]).expect("hours");
        filters.time_zone = TimeZone::get(zones[*choice]).ok();
    }
    filters.adults_only = *adults_only;
    Campaign {
        slot: Slot { index: u32::try_from(index).expect("small"), generation: 0 },
        status: if *is_paused { Status::Paused } else { Status::Active },
        sector: if *adults_only { Sector::Finance } else { Sector::Other },
        time_zone: filters.time_zone.clone().unwrap_or(TimeZone::UTC),
        bid: crate::catalog::BidTerms { max_cpm: Micros(*price), ..base.bid },
        filters: Arc::new(filters),
        ..base.clone()
    }
}

fn facts() -> impl Strategy<Value = RequestFacts> {
    let values = prop::collection::vec(
        prop_oneof![1 => Just(Vec::new()), 3 => prop::collection::vec(0..VALUES + 2, 1..4)],
        DIMENSIONS,
    );
    let hour = 0i64..24 * 7 * 60;
    (values, any::<bool>(), any::<bool>(), hour).prop_map(|(values, personalised, minor, hour)| {
        let mut facts = RequestFacts::default();
        for (dimension, values) in Dimension::ALL.into_iter().zip(values) {
            values.into_iter().for_each(|value| facts.push_key(dimension, value));
        }
        facts.personalised = personalised;
        facts.minor = minor;
        facts.now = Timestamp(1_781_708_400_000 + hour * 60_000);
        facts
    })
}

/// Slots that pass every predicate, dearest first.
fn expected(campaigns: &[Option<Campaign>], facts: &RequestFacts) -> Vec<u32> {
    let mut fit: Vec<_> = campaigns
        .iter()
        .flatten()
        .filter(|one| one.status == Status::Active && one.filters.reasons(facts).is_empty())
        .collect();
    fit.sort_by_key(|one| (std::cmp::Reverse(one.bid.max_cpm), one.slot.index));
    fit.iter().map(|one| one.slot.index).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Dense and sparse postings, several requests through one scratch, holes between slots.
    #[test]
    fn eligible_are_exactly_those_without_a_reason(
        shapes in prop::collection::vec(prop::option::weighted(0.95, shape()), 1..700),
        requests in prop::collection::vec(facts(), 1..8),
        dense_from in 0usize..40,
    ) {
        let catalog = Folder::new(&[CAMPAIGN]).load(None).expect("good");
        let base = catalog.campaign_by_name("run").expect("there");
        let campaigns: Vec<_> = shapes
            .iter()
            .enumerate()
            .map(|(index, shape)| shape.as_ref().map(|shape| campaign(base, index, shape)))
            .collect();
        let index = EligibilityIndex::build_with(&campaigns, 1, dense_from);
        let (mut scratch, mut out) = (EligibilityScratch::default(), Vec::new());
        for facts in &requests {
            index.eligible(facts, &mut scratch, &mut out);
            prop_assert_eq!(&out, &expected(&campaigns, facts));
        }
    }
}

#[test]
fn generated_catalogs_agree_too() {
    // The second is longer than the words of which one word says whether they are empty.
    for (campaigns, selectivity) in [(2_000, 0.03), (9_000, 0.01)] {
        let catalog = generated(campaigns, 3, selectivity);
        let (mut scratch, mut out) = (EligibilityScratch::default(), Vec::new());
        let mut total = 0;
        for seed in 0..40 {
            let facts = generated_facts(seed);
            catalog.eligible(&facts, &mut scratch, &mut out);
            total += out.len();
            for one in catalog.all_campaigns() {
                let is_out = !catalog.exclusion_reasons(&facts, one.slot.index).is_empty();
                assert_ne!(out.contains(&one.slot.index), is_out, "{}", one.name);
            }
        }
        assert!(total > 400, "{total}");
    }
}

/// (what the request says, the first reason against the campaign; `None`: eligible)
#[test]
fn reasons_name_the_filter() {
    let text = CAMPAIGN.replace(
        "geo = { include = [\"USA\"] }",
        "geo = { include = ['USA/CA', 'FRA/*/Lyon'], exclude = ['USA/CA/Reno'] }\n\
         domains = { include = ['news.example'], exclude = ['bad.news.example'] }\n\
         bundles = { include = ['com.Game'] }\nsegments = { exclude = ['buyers'] }",
    );
    let catalog = Folder::new(&[&text]).load(None).expect("good");
    let first = |change: &dyn Fn(&mut RequestFacts)| {
        let mut facts = RequestFacts::at(Timestamp(1_781_708_400_000));
        facts.push_banner_size(300, 250);
        facts.personalised = true;
        change(&mut facts);
        let reasons = catalog.exclusion_reasons(&facts, 0);
        let mut out = Vec::new();
        catalog.eligible(&facts, &mut EligibilityScratch::default(), &mut out);
        assert_eq!(out.is_empty(), !reasons.is_empty());
        reasons.first().copied()
    };
    let good = |facts: &mut RequestFacts| {
        facts.set_geo("usa", Some("US-CA"), None);
        facts.push_domain("www.sport.news.example");
    };
    assert_eq!(first(&good), None);
    assert_eq!(
        first(&|facts| {
            facts.set_geo("FRA", Some("ARA"), Some("lyon"));
            facts.set_bundle("COM.game");
        }),
        None
    );
    let cases: [(Change, Reason); 4] = [
        (&|facts| facts.now = Timestamp(1_781_740_800_000), Reason::Hours),
        (&|facts| facts.set_geo("USA", Some("CA"), Some("Reno")), Reason::Excluded(Dimension::Geo)),
        (&|facts| facts.push_domain("x.bad.news.example"), Reason::Excluded(Dimension::Inventory)),
        (&|facts| facts.push_segment("Buyers"), Reason::Excluded(Dimension::Segment)),
    ];
    for (change, expected) in cases {
        let both = |facts: &mut RequestFacts| {
            good(facts);
            change(facts);
        };
        assert_eq!(first(&both), Some(expected));
    }
    assert_eq!(first(&|_| {}), Some(Reason::NotIncluded(Dimension::Geo)));
    assert_eq!(
        catalog.exclusion_reasons(&RequestFacts::default(), 9).as_slice(),
        [Reason::Unknown]
    );
}

/// Finance is not shown to minors; without consent nobody's segments count.
#[test]
fn minors_and_consent() {
    let bank = CAMPAIGN.replace("\"shoes\"", "\"bank\"");
    let catalog = Folder::new(&[&bank]).load(None).expect("good");
    let mut facts = RequestFacts::at(Timestamp(1_781_708_400_000));
    facts.set_geo("USA", None, None);
    facts.push_banner_of_any_size();
    assert!(catalog.exclusion_reasons(&facts, 0).is_empty());
    facts.minor = true;
    assert_eq!(catalog.exclusion_reasons(&facts, 0).as_slice(), [Reason::Minor]);
}

#[test]
fn a_warm_scratch_serves_the_next_epoch() {
    let first = generated(600, 1, 0.1);
    let paused = crate::catalog::CampaignEdit {
        status: Some(Status::Paused),
        ..crate::catalog::CampaignEdit::default()
    };
    let (mut scratch, mut out) = (EligibilityScratch::default(), Vec::new());
    let facts = generated_facts(1);
    first.eligible(&facts, &mut scratch, &mut out);
    let dearest = *out.first().expect("some are eligible");
    let name = first.campaign(dearest).map(|one| one.name.clone()).expect("there");
    let second: Catalog = first.with_campaign_edit(&name, &paused).expect("fits");
    let before = out.clone();
    second.eligible(&facts, &mut scratch, &mut out);
    assert_eq!(out, before[1..]);
}
