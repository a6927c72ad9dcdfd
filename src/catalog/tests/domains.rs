//! Files of `domains/`: stricter than a sector's own rules, never laxer, and kept at every door.

use super::{CAMPAIGN, Folder};
use crate::catalog::{Campaign, CampaignEdit, Catalog, FeatureGroups, Minors, Sector};
use crate::units::AdvertiserId;

const SHOPS: &str = "sector = \"ecommerce\"\nfeatures = [\"request\", \"interest\"]\n";

/// A catalog of `campaign` with these domain files.
fn with(domains: &[&str], campaign: &str) -> Result<Catalog, Vec<String>> {
    let folder = Folder::new(&[campaign]);
    std::fs::create_dir(folder.path().join("domains")).expect("a folder");
    for (number, text) in domains.iter().enumerate() {
        folder.write(&format!("domains/{number}.toml"), text);
    }
    folder.load(None).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn run(catalog: &Catalog) -> &Campaign {
    catalog.campaign_by_name("run").expect("there")
}

/// `CAMPAIGN` of another advertiser, with more keys.
fn of(advertiser: &str, more: &str) -> String {
    CAMPAIGN
        .replace("\"shoes\"", &format!("\"{advertiser}\""))
        .replace("name = \"run-300x250\"", "name = \"x\"\nadomain = [\"a.example\"]")
        .replace("time_zone", &format!("{more}\ntime_zone"))
}

/// (file, its error)
#[test]
fn a_wrong_file_is_refused_with_its_line() {
    let health = "sector = \"health\"\nfeatures = [\"request\"";
    let finance = "sector = \"finance\"\nfeatures = [\"request\"]\n";
    for (text, expected) in [
        (
            format!("{health}, \"interest\"]"),
            "0.toml:2: features: `interest` is never used for Health",
        ),
        (
            format!("{health}, \"content\"]"),
            "0.toml:2: features: `content` is never used for Health",
        ),
        (format!("{health}]\nbehaviour = \"interest\""), "0.toml:3: behaviour: is never kept"),
        (format!("{finance}minors = \"contextual\""), "0.toml:3: minors: Finance excludes them"),
        (
            format!("{SHOPS}frequency_cap = {{ count = 0, window_s = 60 }}"),
            "0.toml:3: frequency_cap",
        ),
        (format!("{SHOPS}category_share_max_percent = 0"), "0.toml:3: category_share_max_percent"),
        (format!("{SHOPS}forbids = [\"fun\"]"), "0.toml:3: unknown variant `fun`"),
        (format!("{SHOPS}colour = 1"), "0.toml:3: unknown field `colour`"),
        ("sector = \"other\"\nfeatures = []".to_owned(), "0.toml:2: features: `request` is always"),
        (
            "sector = \"other\"\nfeatures = [\"request\", \"x\"]".to_owned(),
            "2: features: `x` is not known",
        ),
    ] {
        let errors = with(&[&text], CAMPAIGN).expect_err(&text);
        assert!(errors.iter().any(|error| error.contains(expected)), "{errors:?}: {expected}");
    }
    let errors = with(&[SHOPS, SHOPS], CAMPAIGN).expect_err("declared twice");
    assert_eq!(errors, ["domains/1.toml:1: sector: domains/0.toml declares Ecommerce"]);
}

#[test]
fn a_file_takes_features_away_and_leaves_other_sectors_alone() {
    let features = |catalog: Catalog| run(&catalog).domain().features;
    let plain = features(Folder::new(&[CAMPAIGN]).load(None).expect("good"));
    assert_eq!(plain, FeatureGroups::ALL);
    let declared = with(&[SHOPS], CAMPAIGN).expect("good");
    let row = declared.row(run(&declared).slot.index).expect("a row");
    assert_eq!(row.features, FeatureGroups::INTEREST);
    assert_eq!(features(with(&[SHOPS], &of("bank", "")).expect("good")).names().count(), 4);
    let pills = "sector = \"health\"\nfeatures = [\"request\"]";
    assert_eq!(features(with(&[pills], &of("pills", "")).expect("good")), FeatureGroups::default());
}

/// (advertiser, targeting, error)
#[test]
fn campaigns_are_held_to_their_domain() {
    let finance = "sector = \"finance\"\nfeatures = [\"request\"]\nprotected = [\"Religion\"]\n\
                   forbids = [\"user_keywords\"]\n";
    let geo = "geo = { include = ['USA'] }\n";
    for (advertiser, targeting, expected) in [
        (
            "bank",
            "postal_codes = { include = ['USA/94107'] }",
            "13: postal_codes: a campaign of finance has no postal codes",
        ),
        (
            "bank",
            "circles = { exclude = ['52.5,13.4,5'] }",
            "circles: a campaign of finance has no circles",
        ),
        ("bank", "user_keywords = ['a']", "user_keywords: a campaign of finance has no keywords"),
        (
            "bank",
            "segments = { include = ['religion '] }",
            "13: segments: `religion ` is protected",
        ),
        ("bank", "segments = { exclude = ['religion'] }", ""),
        ("shoes", "segments = { include = ['religion'] }", ""),
        ("pills", "circles = { include = ['52.5,13.4,5'] }", "contextual only: no circles"),
    ] {
        let text = of(advertiser, "")
            .replace("geo = { include = [\"USA\"] }", &format!("{geo}{targeting}"));
        match with(&[finance], &text) {
            Ok(_) => assert_eq!(expected, "", "{advertiser} {targeting}"),
            Err(errors) => {
                assert!(
                    errors.iter().any(|error| error.contains(expected)),
                    "{errors:?}: {expected}"
                );
                assert_ne!(expected, "", "{errors:?}");
            }
        }
    }
    let faithful = of("bank", "").replace("\"running-shoes\"", "\"religion\"");
    let errors = with(&[finance], &faithful).expect_err("protected");
    assert_eq!(errors, ["campaigns/0.toml:4: category: `religion` is protected in finance"]);
    let schools = "sector = \"education\"\nfeatures = [\"request\"]\ncategories = [\"IAB18\"]";
    let errors = with(&[schools], CAMPAIGN).expect_err("its ad is of a school's category");
    assert!(errors[0].contains("IAB18 needs `sector` to be Education"), "{errors:?}");
}

#[test]
fn a_domains_cap_is_among_those_of_its_campaigns_once() {
    let capped = format!("{SHOPS}frequency_cap = {{ count = 5, window_s = 3600 }}");
    let own = |count, window_s| {
        format!("frequency_caps = [{{ count = {count}, window_s = {window_s} }}]")
    };
    for (more, expected) in [
        (String::new(), vec![5]),
        (own(5, 3_600), vec![5]),
        (own(2, 7_200), vec![2]),
        (own(2, 60), vec![2, 5]),
        (own(9, 3_600), vec![9, 5]),
    ] {
        let catalog = with(&[&capped], &of("shoes", &more)).expect("good");
        let counts = |catalog: &Catalog| {
            run(catalog).frequency_caps.iter().map(|cap| cap.count).collect::<Vec<_>>()
        };
        assert_eq!(counts(&catalog), expected, "{more}");
        let edit = CampaignEdit { pooled_interest: Some(true), ..CampaignEdit::default() };
        let edited = catalog.with_campaign_edit("run", &edit).expect("allowed");
        assert_eq!(counts(&edited), expected, "an edit of {more}");
        let edit = CampaignEdit { frequency_caps: Some(Vec::new()), ..CampaignEdit::default() };
        let edited = edited.with_campaign_edit("run", &edit).expect("allowed");
        assert_eq!(counts(&edited), [5], "an edit that takes caps away");
    }
}

#[test]
fn behaviour_is_kept_where_neither_its_tenant_nor_its_category_forbids() {
    let health = "sector = \"health\"\nfeatures = [\"request\"]\ncategories = [\"Yoga\"]";
    let catalog = with(&[health], &of("shoes", "sector = \"health\"")).expect("good");
    for (advertiser, category, expected) in [
        ("shoes", "tents", true),
        ("shoes", "IAB70", true),
        ("shoes", "IAB7", false),
        ("shoes", " iab7-12 ", false),
        ("shoes", "yoga", false),
        ("shoes", "yoga-mats", true),
        ("shoes", "Running-Shoes", false),
        ("bank", "running-shoes", false),
        ("bank", "savings", true),
        ("pills", "tents", false),
        ("nobody", "tents", false),
    ] {
        let keeps = catalog.keeps_behaviour(AdvertiserId::of(advertiser), category);
        assert_eq!(keeps, expected, "{advertiser} {category}");
    }
    let edit = CampaignEdit { pooled_interest: Some(false), ..CampaignEdit::default() };
    let edited = catalog.with_campaign_edit("run", &edit).expect("allowed");
    assert!(!edited.keeps_behaviour(AdvertiserId::of("bank"), "running-shoes"));
}

#[test]
fn our_domains_have_their_campaigns() {
    let catalog = Catalog::load(&super::fixtures(), &super::strategies(), None).expect("ours");
    for sector in [Sector::Ecommerce, Sector::Finance, Sector::Education, Sector::Health] {
        let campaigns: Vec<_> =
            catalog.all_campaigns().filter(|one| one.sector == sector).collect();
        let ads: Vec<_> = campaigns.iter().map(|one| one.ads.len()).collect();
        assert!(ads.len() >= 6 && ads.iter().all(|ads| *ads > 1), "{sector:?}: {ads:?}");
        let domain = campaigns[0].domain();
        assert!(domain.frequency_cap.is_some(), "{sector:?} has no file");
        assert_eq!(domain.minors == Minors::Excluded, sector == Sector::Finance);
    }
}
