//! Edits and views, through JSON as the API sends them.

use super::{CAMPAIGN, Folder, strategies};
use crate::catalog::{
    CampaignEdit, Catalog, CatalogKeeper, Change, EditError, EligibilityScratch, RequestFacts,
    Status,
};
use crate::units::{Nanos, Timestamp};
use serde_json::json;

fn edit(body: serde_json::Value) -> CampaignEdit {
    serde_json::from_value(body).expect("an edit")
}

fn change(body: serde_json::Value) -> Change {
    Change::Edit(Box::new(edit(body)))
}

fn eligible(catalog: &Catalog) -> usize {
    let mut facts = RequestFacts::at(Timestamp(1_781_708_400_000));
    facts.set_geo("usa", None, None);
    facts.push_banner_size(300, 250);
    let mut out = Vec::new();
    catalog.eligible(&facts, &mut EligibilityScratch::default(), &mut out);
    out.len()
}

#[test]
fn an_edit_changes_what_it_names_and_nothing_else() {
    let catalog = Folder::new(&[CAMPAIGN]).load(None).expect("good");
    let changes = json!({"daily_budget_micros": 7_000_000, "bid": {"cpc_micros": 900_000}});
    let edited = catalog.with_campaign_edit("run", &edit(changes)).expect("fits");
    let (before, after) =
        (catalog.campaign_view("run").expect("there"), edited.campaign_view("run").expect("there"));
    assert_eq!(edited.epoch, catalog.epoch + 1);
    assert_eq!((after.daily_budget_micros, after.bid.cpc_micros), (7_000_000, Some(900_000)));
    let restored = {
        let mut view = after;
        view.daily_budget_micros = before.daily_budget_micros;
        view.bid.cpc_micros = before.bid.cpc_micros;
        view.edits = None;
        view
    };
    assert_eq!(restored, before);
    let slots = |catalog: &Catalog| catalog.all_campaigns().map(|one| one.slot).collect::<Vec<_>>();
    assert_eq!(slots(&edited), slots(&catalog));
}

#[test]
fn a_return_is_sought_by_an_edit_with_all_that_it_needs() {
    let catalog = Folder::new(&[CAMPAIGN]).load(None).expect("good");
    let bid = json!({"bid": {"target_roas_ppm": 4_000_000, "expected_cvr_ppm": 20_000}});
    let refused = catalog.with_campaign_edit("run", &edit(bid)).expect_err("no order value");
    assert!(refused.to_string().contains("expected_order_value"), "{refused}");
    let bid = json!({"bid": {
        "target_roas_ppm": 4_000_000, "expected_cvr_ppm": 20_000,
        "expected_order_value_micros": 40_000_000,
    }});
    let edited = catalog.with_campaign_edit("run", &edit(bid.clone())).expect("fits");
    let view = edited.campaign_view("run").expect("there").bid;
    assert_eq!(view.target_roas_ppm, Some(4_000_000));
    assert_eq!(view.expected_order_value_micros, Some(40_000_000));
    let row = edited.row(edited.campaign_by_name("run").expect("there").slot.index).expect("a row");
    assert_eq!((row.bid.target_roas_ppm, row.bid.expected_order_value), (4_000_000, 40_000_000));
}

#[test]
fn flights_and_over_delivery_come_and_go_by_edits() {
    let catalog = Folder::new(&[CAMPAIGN]).load(None).expect("good");
    let flights = json!([{"start": "2026-03-01", "end": "2026-03-02", "budget_micros": 5_000_000}]);
    let ratio = json!({"daily_max_ratio": 1.5});
    let changes = json!({"flights": flights, "overdelivery": ratio});
    let edited = catalog.with_campaign_edit("run", &edit(changes)).expect("fits");
    let view = serde_json::to_value(edited.campaign_view("run")).expect("JSON");
    assert_eq!((&view["flights"], &view["overdelivery"]), (&flights, &ratio));
    let back = json!({"flights": [], "overdelivery": {}});
    let back = edited.with_campaign_edit("run", &edit(back)).expect("fits");
    let mut view = back.campaign_view("run").expect("there");
    assert!(view.edits.take().is_some(), "it says what its file says, by an edit");
    assert_eq!(Some(view), catalog.campaign_view("run"));
    for wrong in [json!({"overdelivery": {"daily_max_ratio": 3}}), json!({"flights": [{}]})] {
        assert!(serde_json::from_value::<CampaignEdit>(wrong).is_err());
    }
}

#[test]
fn a_paused_or_retargeted_campaign_leaves_the_index() {
    let catalog = Folder::new(&[CAMPAIGN]).load(None).expect("good");
    assert_eq!(eligible(&catalog), 1);
    let paused = catalog.with_campaign_edit("run", &edit(json!({"status": "paused"})));
    let paused = paused.expect("fits");
    assert_eq!(eligible(&paused), 0);
    let again = paused.with_campaign_edit("run", &edit(json!({"status": "active"})));
    assert_eq!(eligible(&again.expect("fits")), 1);
    let abroad = edit(json!({"targeting": {"geo": {"include": ["FRA"]}}}));
    let abroad = catalog.with_campaign_edit("run", &abroad).expect("fits");
    assert_eq!(eligible(&abroad), 0);
}

#[test]
fn wrong_edits_are_refused() {
    let catalog = Folder::new(&[CAMPAIGN]).load(None).expect("good");
    for (body, expected) in [
        (json!({"daily_budget_micros": 0}), "daily_budget: lies above 0"),
        (json!({"strategy": "none"}), "strategy: `none` is not known"),
        (json!({"strategy": "target_cpa"}), "strategy: `target_cpa` needs `bid.target_cpa`"),
        (
            json!({"strategies": [{"name": "cpc", "share": 100}]}),
            "strategies: 2 to 4 of them, not 1",
        ),
        (
            json!({"strategy": "cpc", "strategies": [{"name": "cpc", "share": 100}]}),
            "strategies: stands beside `strategy`",
        ),
        (
            json!({"flights": [{"start": "2026-03-02", "end": "2026-03-01", "budget_micros": 1}]}),
            "flights[0]: 2026-03-02 to 2026-03-01 is no run",
        ),
        (json!({"targeting": {"hours": ["never"]}}), "targeting.hours: hours `never`"),
        (json!({"lifetime_budget_micros": 1_000_000}), "lifetime_budget: is below the daily"),
    ] {
        let error = catalog.with_campaign_edit("run", &edit(body)).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let unknown = catalog.with_campaign_edit("walk", &CampaignEdit::default());
    assert_eq!(unknown.err(), Some(EditError::UnknownCampaign("walk".to_owned())));
    assert!(serde_json::from_value::<CampaignEdit>(json!({"budget": 1})).is_err());
}

#[test]
fn edits_stay_on_top_of_the_files_and_go_with_their_campaign() {
    let folder = Folder::new(&[CAMPAIGN]);
    let keeper = CatalogKeeper::open(folder.path().to_owned(), strategies()).expect("good");
    let published = keeper.published();
    let budget = || published.load().campaign_by_name("run").map(|one| one.daily_budget);
    keeper.change("run", &change(json!({"daily_budget_micros": 9_000_000}))).expect("fits");
    let flights = json!([{"start": "2026-03-01", "end": "2026-03-02", "budget_micros": 5_000_000}]);
    let ratio = json!({"daily_max_ratio": 1.5});
    let both = json!({"flights": flights, "overdelivery": ratio});
    keeper.change("run", &change(both)).expect("fits");
    keeper.change("run", &change(json!({"status": "paused"}))).expect("fits");
    folder.write("campaigns/0.toml", &CAMPAIGN.replace("20.50", "30"));
    keeper.reload(None).expect("good");
    assert_eq!(budget(), Some(Nanos::from_micros(9_000_000)));
    let view = serde_json::to_value(published.load().campaign_view("run")).expect("JSON");
    assert_eq!((&view["flights"], &view["overdelivery"]), (&flights, &ratio));
    let paused = published.load().campaign_by_name("run").map(|one| one.status);
    assert_eq!((paused, keeper.edited()), (Some(Status::Paused), 1));
    folder.write("campaigns/0.toml", &CAMPAIGN.replace("\"run\"", "\"walk\""));
    keeper.reload(None).expect("good");
    folder.write("campaigns/0.toml", CAMPAIGN);
    keeper.reload(None).expect("good");
    assert_eq!((budget(), keeper.edited()), (Some(Nanos(20_500_000_000)), 0));
}

#[test]
fn a_wrong_file_leaves_the_published_catalog() {
    let folder = Folder::new(&[CAMPAIGN]);
    let keeper = CatalogKeeper::open(folder.path().to_owned(), strategies()).expect("good");
    folder.write("campaigns/0.toml", "advertiser = \"shoes\"\n[[campaign]]\n");
    assert!(keeper.reload(None).is_err());
    assert_eq!(keeper.published().load().epoch, 1);
    assert_eq!(eligible(&keeper.published().load()), 1);
}

#[test]
fn an_edit_splits_the_users_and_another_ends_that() {
    let folder = Folder::new(&[CAMPAIGN]);
    let keeper = CatalogKeeper::open(folder.path().to_owned(), strategies()).expect("good");
    let shown = || {
        let catalog = keeper.published().load_full();
        let paces: Vec<_> = catalog.splits().flat_map(|(_, paces)| paces.into_vec()).collect();
        let view = catalog.campaign_view("run").expect("there");
        (view.strategy, view.strategies.len(), paces.iter().map(|pace| pace.index).collect())
    };
    assert_eq!(shown(), (Some("cpc".to_owned()), 0, Vec::new()));
    let split = json!({"strategies": [
        {"name": "linear", "share": 30}, {"name": "cpc", "share": 70},
    ]});
    keeper.change("run", &change(split)).expect("fits");
    assert_eq!(shown(), (None, 2, vec![1, 2]), "past the only campaign's slot");
    keeper.reload(None).expect("good");
    assert_eq!(shown().1, 2, "it stays on top of the file");
    keeper.change("run", &change(json!({"strategy": "linear"}))).expect("fits");
    assert_eq!(shown(), (Some("linear".to_owned()), 0, Vec::new()));
}
