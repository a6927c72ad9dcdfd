//! Feeds of items, and what ads say of themselves: good ones, and a table of wrong ones.

use super::{CAMPAIGN, Folder};
use crate::catalog::{AdKind, item_key};
use crate::units::{AdvertiserId, CategoryId};

const TOML: &str = r#"[[item]]
advertiser = "shoes"
id = "sku-1"
category = "running-shoes"
brand = "Fleet"
price = "89.90"
text = "Light trail shoe"
vector = [1, 0.5]

[[item]]
advertiser = "shoes"
id = "sku-2"
category = "running-shoes"
"#;

const CSV: &str = "advertiser,id,category,brand,price,text,vector
shoes,sku-3,running-shoes,Fleet,89.90,\"Light, trail shoe\",1 0.5
shoes,sku-4,socks,,,,
";

#[test]
fn both_forms_say_the_same() {
    let folder = Folder::new(&[CAMPAIGN]);
    assert!(folder.load(None).expect("good").items().is_empty());
    folder.write("items.toml", TOML);
    folder.write("items.csv", CSV);
    let catalog = folder.load(None).expect("good");
    assert_eq!(catalog.items().len(), 4);
    let item = |id| catalog.item(item_key(AdvertiserId::of("shoes"), id)).expect("there");
    assert_eq!(item("sku-1").about, item("sku-3").about);
    assert_eq!(item("sku-4").category, CategoryId::of("socks"));
    assert_eq!(item("sku-2").about.tokens().len(), 1, "its category alone");
    assert_eq!(item("sku-1").id, "sku-1");
    assert!(catalog.item(0).is_none());
}

/// (file, replace, by, the error as "line: part of the reason")
const WRONG: &[(&str, &str, &str, &str)] = &[
    ("items.toml", "id = \"sku-2\"", "id = \"sku-1\"", "12: id: `sku-1` exists already"),
    ("items.toml", "id = \"sku-2\"", "id = \"\"", "12: id: is empty"),
    ("items.toml", "id = \"sku-2\"", "id = \"sku-2\"\ncolour = 1", "13: unknown field `colour`"),
    ("items.toml", "\"89.90\"", "89.90", "6: invalid type: floating point `89.9`"),
    ("items.toml", "\"89.90\"", "0", "6: price: is 0"),
    ("items.toml", "[1, 0.5]", "[0, 0.0]", "8: vector: needs numbers"),
    ("items.toml", "[1, 0.5]", "[nan]", "8: vector: needs numbers"),
    (
        "items.toml",
        "advertiser = \"shoes\"\nid = \"sku-2\"",
        "advertiser = \"x\"\nid = \"sku-2\"",
        "11: advertiser: `x` is not in",
    ),
    ("items.csv", "sku-4", "sku-3", "3: id: `sku-3` exists already"),
    ("items.csv", "89.90", "cheap", "2: price: `cheap` is no amount"),
    ("items.csv", "1 0.5", "1 half", "2: vector: `half` is no number"),
    ("items.csv", "brand", "colour", "unknown field `colour`"),
    ("items.csv", "sku-4,socks,,,,", "sku-4,socks", "3: CSV error"),
    ("items.csv", "id,", "sku,", "unknown field `sku`"),
    ("items.csv", ",category", "", "found record with 7 fields"),
];

#[test]
fn what_is_wrong_is_refused_by_line() {
    for (file, replace, by, expected) in WRONG {
        let folder = Folder::new(&[CAMPAIGN]);
        let text = if *file == "items.csv" { CSV } else { TOML };
        assert!(text.contains(replace), "{replace}");
        let at = text.rfind(replace).unwrap_or(0);
        let wrong = format!("{}{by}{}", &text[..at], &text[at + replace.len()..]);
        folder.write(file, &wrong);
        let errors = folder.load(None).expect_err(expected);
        let lines: Vec<_> =
            errors.iter().map(|error| format!("{}: {}", error.line, error.reason)).collect();
        assert!(lines.iter().any(|line| line.contains(expected)), "{expected}: {lines:?}");
        assert!(errors.iter().all(|error| error.file == *file));
    }
}

#[test]
fn an_ad_says_which_items_it_shows_and_what_it_is_about() {
    let said = "name = \"run-300x250\"\nitems = [\"sku-1\", \"sku-2\"]\nbrand = \"Fleet\"\nprice = 90\n\
                text = \"Light trail shoe\"\nvector = [1.0]";
    let text = CAMPAIGN.replace("name = \"run-300x250\"", said);
    let catalog = Folder::new(&[&text]).load(None).expect("good");
    let campaign = catalog.campaign_by_name("run").expect("there");
    let ad = catalog.ads_of(campaign).next().expect("an ad");
    let shoes = AdvertiserId::of("shoes");
    assert_eq!(*ad.items, [item_key(shoes, "sku-1"), item_key(shoes, "sku-2")]);
    assert_eq!(ad.about.tokens().len(), 5, "brand, price and three words");
    assert!(matches!(ad.kind, AdKind::Banner(_)));
    for (replace, by, expected) in [
        ("text = \"Light trail shoe\"", "text = \" \"", "text: is empty"),
        ("vector = [1.0]", "vector = [0.0]", "vector: needs numbers"),
        ("price = 90", "price = -1", "an amount is not negative"),
        ("\"sku-2\"]", "\"\"]", "items: is empty"),
    ] {
        let errors = Folder::new(&[&text.replace(replace, by)]).load(None).expect_err(expected);
        assert!(errors.iter().any(|error| error.reason.contains(expected)), "{errors:?}");
        assert!(errors.iter().all(|error| error.line > 0));
    }
}
