//! The rows that auctions read say what the campaigns and ads say that they were made from.

use super::{CAMPAIGN, Folder, fixtures, strategies};
use crate::catalog::{
    Ad, AdRow, Campaign, CampaignEdit, CampaignRow, Caps, Catalog, CatalogKeeper, FeatureGroups,
    Shape, Status, block_bit, generated,
};
use crate::units::Micros;
use serde_json::{Value, json};

fn catalogs() -> [Catalog; 3] {
    let keeper = CatalogKeeper::open(fixtures(), strategies()).expect("our own catalog loads");
    let full =
        "bundle = \"com.shoes\"\nlanguage = \"pt-BR\"\nattr = [1, 63]\napi = [5]\niab_cats =";
    let full = Folder::new(&[&CAMPAIGN.replace("iab_cats =", full)]).load(None).expect("good");
    [generated(500, 3, 0.02), (*keeper.published().load_full()).clone(), full]
}

/// What bids say of an ad, written when it was loaded, is what the auction looks at.
fn is_told(campaign: &Campaign, ad: &Ad) {
    let told = format!("{{{}}}", String::from_utf8_lossy(&ad.json.as_bytes()[1..]));
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let codes = |bits: u64| (0..64u8).filter(|bit| bits >> bit & 1 == 1).collect::<Vec<_>>();
    let mut fields = json!({
        "adid": ad.name, "crid": ad.name, "cid": campaign.name, "bundle": ad.bundle,
        "adomain": ad.adomain.as_slice(), "cat": ad.iab_cats.as_slice(),
        "attr": codes(ad.attr), "apis": codes(ad.api),
    });
    fields[if ad.language.len() == 2 { "language" } else { "langb" }] = json!(ad.language);
    let is_empty = |value: &Value| *value == json!("") || *value == json!([]);
    let fields = fields.as_object().expect("an object").clone();
    let fields: Value = fields.into_iter().filter(|(_, value)| !is_empty(value)).collect();
    assert_eq!(told, fields);
}

fn agree(catalog: &Catalog, campaign: &Campaign) {
    let row: &CampaignRow = catalog.row(campaign.slot.index).expect("a row each");
    assert_eq!(
        (row.id, row.slot, row.advertiser),
        (campaign.id, campaign.slot, campaign.advertiser)
    );
    assert_eq!((row.category, row.currency), (campaign.category, campaign.currency));
    assert_eq!((row.bid, row.pooled_interest), (campaign.bid, campaign.pooled_interest));
    let features = campaign.domain().features;
    let of_others = features.has(FeatureGroups::COLLABORATIVE) && campaign.pooled_interest;
    assert_eq!(row.features.has(FeatureGroups::COLLABORATIVE), of_others, "others' visits");
    assert_eq!(row.features.unpooled(), features.unpooled());
    assert_eq!(row.requires_deal, campaign.filters.requires_deal());
    match row.caps {
        Caps::None => assert!(campaign.frequency_caps.is_empty()),
        Caps::Campaign(cap) => assert_eq!(campaign.frequency_caps[..], [cap]),
        Caps::Others => assert!(!campaign.frequency_caps.is_empty()),
    }
    let rows: &[AdRow] = catalog.ad_rows(row);
    assert_eq!(rows.len(), campaign.ads.len(), "{}", campaign.name);
    for (row, ad) in rows.iter().zip(catalog.ads_of(campaign)) {
        assert_eq!(row.slot, ad.slot);
        assert_eq!(catalog.shapes()[row.shape as usize], Shape::of(ad));
    }
    for ad in catalog.ads_of(campaign) {
        let keys = ad.adomain_keys.iter().chain(&ad.iab_cat_keys);
        assert!(keys.clone().all(|key| row.may_be_blocked(block_bit(*key))), "{}", ad.name);
        assert!(keys.copied().chain(ad.bundle_key()).all(|key| catalog.may_block(key)));
        is_told(campaign, ad);
        if let Some(keys) = catalog.block_keys(row) {
            assert_eq!(keys.domains(), &ad.adomain_keys[..]);
            assert_eq!(keys.categories(), &ad.iab_cat_keys[..]);
        }
    }
}

#[test]
fn rows_are_what_they_were_made_from() {
    for catalog in catalogs() {
        catalog.all_campaigns().for_each(|campaign| agree(&catalog, campaign));
        assert!(catalog.row(u32::MAX).is_none());
        let is_shared = |campaign: &Campaign| {
            catalog.row(campaign.slot.index).is_some_and(|row| catalog.block_keys(row).is_some())
        };
        assert!(catalog.all_campaigns().any(is_shared), "no campaign has a line of block keys");
    }
}

#[test]
fn an_edit_is_in_the_rows_too() {
    let [catalog, ..] = catalogs();
    let campaign = catalog.all_campaigns().next().expect("a campaign").clone();
    let edit: CampaignEdit =
        serde_json::from_str(r#"{"bid": {"max_cpm_micros": 1230000}}"#).expect("an edit");
    let edited = catalog.with_campaign_edit(&campaign.name, &edit).expect("allowed");
    edited.all_campaigns().for_each(|campaign| agree(&edited, campaign));
    let row = edited.row(campaign.slot.index).expect("it stays");
    assert_eq!(row.bid.max_cpm, Micros(1_230_000));
    assert_ne!(campaign.bid.max_cpm, row.bid.max_cpm);
    assert_eq!(
        edited.campaign(campaign.slot.index).map(|campaign| campaign.status),
        Some(Status::Active)
    );
}
