//! Loading: what a good folder gives, and a table of wrong ones.

use super::{ADVERTISERS, CAMPAIGN, Folder, fixtures, strategies};
use crate::catalog::{
    AdKind, Catalog, Dimension, FeatureGroups, RequestFacts, SLOT_GRACE_EPOCHS, Sector,
    category_key, domain_key,
};
use crate::units::{CurrencyCode, Micros, Nanos, Slot};

#[test]
fn a_good_file_gives_what_it_says() {
    let catalog = Folder::new(&[CAMPAIGN]).load(None).expect("good");
    let campaign = catalog.campaign_by_name("run").expect("there");
    assert_eq!(campaign.daily_budget, Nanos(20_500_000_000));
    assert_eq!((campaign.bid.max_cpm, campaign.bid.cpc), (Micros(5_000_000), Some(500_000)));
    assert_eq!(campaign.time_zone_name(), "Europe/Berlin");
    let ad = catalog.ads_of(campaign).next().expect("an ad");
    assert_eq!((ad.name.as_str(), ad.kind.size()), ("run-300x250", (300, 250)));
    assert_eq!(ad.adomain.as_slice(), ["shoes.example"]);
    assert!(ad.adomain_keys.contains(&domain_key("www.Shoes.example")));
    assert!(matches!(&ad.kind, AdKind::Banner(banner) if banner.mime == "image/png"));
}

/// (replace, by, the error as "line: part of the reason")
const WRONG: &[(&str, &str, &str)] = &[
    ("strategy = \"cpc\"", "strategy = \"cpx\"", "5: strategy: `cpx` is not known; there are: cpc"),
    ("strategy = \"cpc\"", "", "2: strategy: is missing; `strategies` names several"),
    (
        "strategy = \"cpc\"",
        "strategy = \"cpc\"\nstrategies = [{ name = \"cpc\", share = 100 }]",
        "6: strategies: stands beside `strategy`",
    ),
    (
        "strategy = \"cpc\"",
        "strategies = [{ name = \"cpc\", share = 100 }]",
        "5: strategies: 2 to 4 of them, not 1",
    ),
    (
        "strategy = \"cpc\"",
        "strategies = [{ name = \"cpc\", share = 50 }, { name = \"linear\", share = 49 }]",
        "5: strategies: the shares add up to 99, not to 100",
    ),
    (
        "strategy = \"cpc\"",
        "strategies = [{ name = \"cpc\", share = 100 }, { name = \"linear\", share = 0 }]",
        "5: strategies: `linear` has a share of 0",
    ),
    (
        "strategy = \"cpc\"",
        "strategies = [{ name = \"cpc\", share = 50 }, { name = \"cpc\", share = 50 }]",
        "5: strategies: `cpc` is named twice",
    ),
    (
        "strategy = \"cpc\"",
        "strategies = [{ name = \"cpc\", share = 50 }, { name = \"cpx\", share = 50 }]",
        "5: strategies: `cpx` is not known; there are: cpc",
    ),
    (
        "strategy = \"cpc\"",
        "strategies = [{ name = \"cpc\", share = 50 }, { name = \"target_cpa\", share = 50 }]",
        "5: strategies: `target_cpa` needs `bid.target_cpa`",
    ),
    (
        "strategy = \"cpc\"",
        "strategies = [{ name = \"cpc\", share = 256 }, { name = \"linear\", share = 50 }]",
        "5: invalid value: integer `256`",
    ),
    (
        "bid = { max_cpm = 5, cpc = \"0.5\" }",
        "bid = { max_cpm = 5 }",
        "5: strategy: `cpc` needs `bid.cpc`",
    ),
    ("daily_budget = \"20.50\"", "daily_budget = 20.5", "6: invalid type: floating point `20.5`"),
    ("daily_budget = \"20.50\"", "daily_budget = 0", "6: daily_budget: lies above 0"),
    ("daily_budget = \"20.50\"", "daily_budget = -1", "6: an amount is not negative"),
    ("daily_budget = \"20.50\"", "daily_budget = \"x\"", "6: `x` is no amount"),
    ("daily_budget = \"20.50\"", "", "2: missing field `daily_budget`"),
    (
        "daily_budget =",
        "flights = [{ start = \"2026-02-30\", end = \"2026-03-01\", budget = 1 }]\ndaily_budget =",
        "6: `2026-02-30` is no date such as",
    ),
    (
        "daily_budget =",
        "flights = [{ start = \"2026-03-01T00:00\", end = \"2026-03-01\", budget = 1 }]\ndaily_budget =",
        "6: `2026-03-01T00:00` is no date such as",
    ),
    (
        "daily_budget =",
        "flights = [{ start = \"2026-03-02\", end = \"2026-03-01\", budget = 1 }]\ndaily_budget =",
        "6: flights[0]: 2026-03-02 to 2026-03-01 is no run of 1 to 366 days",
    ),
    (
        "daily_budget =",
        "flights = [{ start = \"2026-03-02\", end = \"2027-03-03\", budget = 1 }]\ndaily_budget =",
        "6: flights[0]: 2026-03-02 to 2027-03-03 is no run",
    ),
    (
        "daily_budget =",
        "flights = [\n{ start = \"2026-03-05\", end = \"2026-03-09\", budget = 1 },\n{ start = \"2026-03-01\", end = \"2026-03-05\", budget = 1 },\n]\ndaily_budget =",
        "8: flights[1]: overlaps the flight from 2026-03-05 to 2026-03-09",
    ),
    (
        "daily_budget =",
        "flights = [{ start = \"2026-03-01\", end = \"2026-03-01\", budget = 0 }]\ndaily_budget =",
        "6: flights[0]: budget lies above 0",
    ),
    (
        "daily_budget =",
        "flights = [{ start = \"2026-03-01\", end = \"2026-03-01\", budget = -1 }]\ndaily_budget =",
        "6: an amount is not negative",
    ),
    (
        "daily_budget =",
        "overdelivery = { daily_max_ratio = 2.1 }\ndaily_budget =",
        "6: a ratio lies between 1",
    ),
    (
        "daily_budget =",
        "overdelivery = { daily_max_ratio = 0.9 }\ndaily_budget =",
        "6: a ratio lies between 1",
    ),
    (
        "daily_budget =",
        "overdelivery = { daily_max_ratio = nan }\ndaily_budget =",
        "6: a ratio lies between 1",
    ),
    ("daily_budget =", "overdelivery = { ratio = 1 }\ndaily_budget =", "6: unknown field `ratio`"),
    ("max_cpm = 5,", "max_cpm = 0,", "9: max_cpm: lies above 0"),
    ("cpc = \"0.5\" }", "target_cpa = 3 }", "9: target_cpa: needs expected_cvr_ppm"),
    ("cpc = \"0.5\" }", "target_roas = 4 }", "9: target_roas: needs expected_cvr_ppm and expected"),
    (
        "cpc = \"0.5\" }",
        "target_roas = 400_000, expected_cvr_ppm = 1, expected_order_value = 3 }",
        "9: target_roas: lies between 0.01 and 1000",
    ),
    (
        "cpc = \"0.5\" }",
        "target_roas = 4.0, expected_cvr_ppm = 1, expected_order_value = 3 }",
        "9: ",
    ),
    ("cpc = \"0.5\" }", "expected_order_value = 2_000_000_000 }", "9: expected_order_value: lies"),
    ("category =", "colour = 1\ncategory =", "4: unknown field `colour`"),
    ("Europe/Berlin", "Europe/Atlantis", "8: time_zone: `Europe/Atlantis` is no IANA time zone"),
    ("advertiser = \"shoes\"", "advertiser = \"hats\"", "1: advertiser `hats` is not in"),
    ("include = [\"USA\"]", "include = [\"US\"]", "11: include: `US` needs a three-letter"),
    ("mon-fri 08-20", "mon-fri 8h", "12: hours: hours `mon-fri 8h`: hours need a start and an end"),
    (
        "https://cdn",
        "http://cdn",
        "15: image_url: `http://cdn.shoes.example/a.png` is no https URL",
    ),
    ("https://shoes.example/run", "https://a b", "13: landing_url: `https://a b` is no https URL"),
    ("w = 300", "w = 0", "15: banner: is 0"),
    ("name = \"run-300x250\"", "name = \"r r\"", "14: name: `r r` is not made of"),
    ("banner = {", "native = {", "15: unknown field `h`, expected one of `title`"),
    (
        "banner = { w = 300, h = 250, image_url = \"https://cdn.shoes.example/a.png\" }",
        "",
        "14: name: an ad has exactly one of",
    ),
    ("[[campaign.ad]]", "[[campaign.add]]", "13: unknown field `add`"),
    (
        "time_zone =",
        "iab_cats = [\"IAB7-39\"]\ntime_zone =",
        "8: iab_cats: IAB7-39 needs `sector` to be Health",
    ),
    (
        "time_zone =",
        "iab_cats = [\"sport\"]\ntime_zone =",
        "8: iab_cats: `sport` is no IAB category",
    ),
    (
        "time_zone =",
        "frequency_caps = [{ count = 0, window_s = 60 }]\ntime_zone =",
        "8: frequency_caps: a count of 0",
    ),
    ("bid = {", "bid = = {", "9: "),
];

#[test]
fn wrong_files_are_refused_with_their_line() {
    for (what, by, expected) in WRONG {
        assert!(CAMPAIGN.contains(what), "{what}");
        let text = CAMPAIGN.replacen(what, by, 1);
        let errors = Folder::new(&[&text]).load(None).expect_err(expected);
        let lines: Vec<_> =
            errors.iter().map(|error| format!("{}: {}", error.line, error.reason)).collect();
        assert!(
            lines.iter().any(|line| line.starts_with(expected)),
            "{lines:?} against {expected}"
        );
        assert!(errors.iter().all(|error| error.file == "campaigns/0.toml"), "{errors:?}");
    }
}

#[test]
fn budgets_beyond_the_daily_one_are_read() {
    let more = "lifetime_budget = 300\nflights = [{ start = \"2026-03-01\", end = \"2026-03-31\", \
                budget = \"150.5\" }]\noverdelivery = { daily_max_ratio = 1.25 }\ntime_zone =";
    let folder = Folder::new(&[&CAMPAIGN.replace("time_zone =", more)]);
    let paid = ADVERTISERS.replacen("currency", "budget = \"1000.25\"\ncurrency", 1);
    folder.write("advertisers.toml", &paid);
    let catalog = folder.load(None).expect("good");
    let campaign = catalog.campaign_by_name("run").expect("there");
    let flight = &campaign.flights[0];
    assert_eq!(
        (flight.start.to_string(), flight.budget),
        ("2026-03-01".into(), Nanos(150_500_000_000))
    );
    assert_eq!(campaign.overdelivery.daily_max_ratio.ppm, 1_250_000);
    let advertiser = catalog.advertiser(campaign.advertiser).expect("there");
    assert_eq!(advertiser.budget, Some(Nanos(1_000_250_000_000)));
    folder.write("advertisers.toml", &paid.replace("\"1000.25\"", "0"));
    let errors = folder.load(None).expect_err("nothing");
    assert_eq!(
        (errors[0].line, errors[0].reason.as_str()),
        (3, "budget: lies above 0 and up to a billion")
    );
}

#[test]
fn a_creative_id_is_at_most_64_bytes() {
    let text = |length| CAMPAIGN.replace("run-300x250", &"a".repeat(length));
    assert!(Folder::new(&[&text(64)]).load(None).is_ok());
    let errors = Folder::new(&[&text(65)]).load(None).expect_err("too long");
    assert_eq!((errors.len(), errors[0].line), (1, 14));
}

#[test]
fn several_errors_come_at_once_and_names_are_unique() {
    let second = CAMPAIGN.replace("\"cpc\"", "\"cpx\"").replace("w = 300", "w = 0");
    let errors = Folder::new(&[CAMPAIGN, CAMPAIGN, &second]).load(None).expect_err("wrong");
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "campaigns/1.toml:3: name: `run` exists already",
            "campaigns/1.toml:14: name: `run-300x250` exists already",
            "campaigns/2.toml:15: banner: is 0",
            "campaigns/2.toml:5: strategy: `cpx` is not known; there are: cpc, fixed_cpm, linear, \
             target_cpa",
        ]
    );
    let folder = Folder::new(&[CAMPAIGN]);
    folder.write("advertisers.toml", &format!("{ADVERTISERS}\n{ADVERTISERS}"));
    let errors = folder.load(None).expect_err("wrong");
    assert_eq!((errors.len(), errors[0].line), (3, 19));
}

#[test]
fn an_ad_declares_its_domain() {
    let text = CAMPAIGN.replace("\"shoes\"", "\"pills\"");
    let errors = Folder::new(&[&text]).load(None).expect_err("no domain");
    assert!(errors[0].reason.contains("adomain: is missing"), "{errors:?}");
}

/// (advertiser, targeting or campaign key, part of the error; empty: it loads)
#[test]
fn sensitive_sectors_have_their_rules() {
    for (advertiser, key, expected) in [
        ("pills", "keywords = ['pollen']", ""),
        ("pills", "segments = { include = ['a'] }", "contextual only: no user segments"),
        ("pills", "segments = { exclude = ['a'] }", "contextual only: no user segments"),
        ("pills", "user_keywords = ['a']", "contextual only: no keywords of the user"),
        ("pills", "geo = { include = ['USA/CA/Reno'] }", "contextual only: no cities"),
        ("bank", "geo = { include = ['USA'] }", ""),
        ("bank", "keywords = ['money']", "lists its licensed countries"),
        ("shoes", "segments = { include = ['a'] }", ""),
    ] {
        let text = CAMPAIGN
            .replace("\"shoes\"", &format!("\"{advertiser}\""))
            .replace("name = \"run-300x250\"", "name = \"x\"\nadomain = [\"a.example\"]")
            .replace("geo = { include = [\"USA\"] }", key);
        match Folder::new(&[&text]).load(None) {
            Ok(_) => assert_eq!(expected, "", "{advertiser} {key}"),
            Err(errors) => {
                assert!(!expected.is_empty(), "{errors:?}");
                assert!(errors[0].reason.contains(expected), "{errors:?} against {expected}");
            }
        }
    }
    let text = CAMPAIGN
        .replace("\"shoes\"", "\"pills\"")
        .replace("name = \"run-300x250\"", "name = \"x\"\nadomain = [\"a.example\"]")
        .replace("time_zone", "pooled_interest = true\ntime_zone");
    let errors = Folder::new(&[&text]).load(None).expect_err("pooled");
    assert_eq!(errors[0].line, 8);
}

#[test]
fn a_reload_keeps_slots_and_a_newcomer_waits_for_a_free_one() {
    let named = |name: &str| CAMPAIGN.replace("run", name);
    let folder = Folder::new(&[&named("one"), &named("two")]);
    let first = folder.load(None).expect("good");
    let slot = |catalog: &Catalog, name: &str| catalog.campaign_by_name(name).map(|one| one.slot);
    let two = slot(&first, "two");
    folder.write("campaigns/0.toml", &named("three"));
    let second = folder.load(Some(&first)).expect("good");
    assert_eq!(second.epoch, 2);
    assert_eq!((slot(&second, "one"), slot(&second, "two")), (None, two));
    assert_eq!(slot(&second, "three"), Some(Slot { index: 2, generation: 0 }));
    let mut latest = second;
    for _ in 0..SLOT_GRACE_EPOCHS {
        latest = folder.load(Some(&latest)).expect("good");
    }
    folder.write("campaigns/2.toml", &named("four"));
    latest = folder.load(Some(&latest)).expect("good");
    assert_eq!(slot(&latest, "four"), Some(Slot { index: 0, generation: 1 }));
    let four = latest.campaign_by_name("four").expect("there");
    assert!(latest.ads_of(four).all(|ad| ad.campaign == 0 && ad.slot.generation == 1));
    assert_eq!(slot(&latest, "two"), two);
}

#[test]
fn our_fixtures_load_and_compete() {
    let catalog = Catalog::load(&fixtures(), &strategies(), None).expect("our own files");
    assert!(catalog.advertisers.len() >= 8 && catalog.all_campaigns().count() >= 24);
    assert!(catalog.advertisers.iter().any(|one| CurrencyCode::parse("EUR") == Some(one.currency)));
    for category in ["running-shoes", "laptops", "credit-cards", "savings", "hay-fever"] {
        let campaigns = catalog.all_campaigns().filter(|one| one.category_name == category);
        let advertisers: std::collections::BTreeSet<_> =
            campaigns.map(|one| one.advertiser).collect();
        assert!(advertisers.len() >= 3, "{category}: {}", advertisers.len());
    }
    for kind in ["banner", "video", "native", "audio"] {
        assert!(catalog.ads.iter().flatten().filter(|ad| ad.kind.as_str() == kind).count() >= 3);
    }
    let health = catalog.all_campaigns().filter(|one| one.sector == Sector::Health);
    let with_interest: Vec<_> =
        health.map(|one| one.domain().features.has(FeatureGroups::INTEREST)).collect();
    assert!(with_interest.len() >= 3 && !with_interest.contains(&true));
    assert!(catalog.all_campaigns().any(|one| one.filters.requires_deal()));
    assert!(catalog.all_campaigns().filter(|one| one.bid.target_cpa.is_some()).count() >= 2);
}

#[test]
fn page_categories_match_their_children() {
    let text = CAMPAIGN
        .replace("geo = { include = [\"USA\"] }", "page_categories = { include = ['IAB17'] }");
    let catalog = Folder::new(&[&text]).load(None).expect("good");
    let mut facts = RequestFacts::default();
    facts.push_page_category("iab17-3");
    let wanted =
        catalog.campaign_by_name("run").expect("there").filters.included(Dimension::PageCategory);
    assert_eq!(wanted, [category_key("IAB17")]);
    assert!(facts.values(Dimension::PageCategory).contains(&wanted[0]));
}
