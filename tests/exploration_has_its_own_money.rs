//! Exploration has its own money: a campaign that predictions always beat is bid now and then by a
//! draw, what that costs stands in its exploration account, and it stays within its share of the day.

mod common;

use common::{Campaign, Engine, Site, counter, request};
use serde_json::json;

/// Midnight UTC of Monday, 2 March 2026.
const MIDNIGHT: i64 = 1_772_409_600_000;

const STRATEGY: &str = "version = 1\nobjective = \"cpc\"\npacing = \"none\"\n\
                        exploration = \"thompson\"\nexploration_share = 0.001\n";

#[test]
fn a_campaign_that_is_always_beaten_is_tried_within_its_share() {
    let strong = Campaign {
        strategy: "clicks",
        bid: "max_cpm = \"900\"\ncpc = \"2.00\"",
        daily_budget: "1000",
        ..Campaign::default()
    };
    let weak = Campaign {
        advertiser: "bolt",
        name: "bikes",
        category: "bikes",
        strategy: "tries",
        bid: "max_cpm = \"900\"\ncpc = \"1.00\"",
        ..strong
    };
    let site = Site::new(&[strong, weak], "", "[budget]\ntick_ms = 1_000");
    std::fs::write(site.folder().join("strategies/tries.toml"), STRATEGY).expect("a file");
    let mut engine = Engine::start(site, Some(MIDNIGHT));
    let (mut tried, mut cost) = (0_u64, 0.0);
    for number in 0..400 {
        engine.at(MIDNIGHT + number * 1_000);
        let mut asked = request(&format!("r-{number}"), "");
        asked["imp"][0]["ext"] = json!({ "outbid": { "pctr": 0.02 } });
        let bid = engine.bid(&asked).expect("a bid");
        if bid.campaign == "bikes" {
            tried += 1;
            cost += bid.price;
            // It is worth 20 CPM by the prediction, the other 40; a draw is at most three times that.
            assert!((39.999..=60.001).contains(&bid.price), "{}", bid.price);
        } else {
            assert!((bid.price - 40.0).abs() < 0.001, "{}", bid.price);
        }
        assert_eq!(engine.fetch(&bid.billed_at(&bid.price.to_string())).status, 200);
    }
    engine.at(MIDNIGHT + 500_000);
    assert!(tried >= 5, "{tried}");
    let report = engine.report();
    let accounts = report["budget"]["campaigns"].as_array().expect("accounts");
    let billed = |account: &serde_json::Value, kind: &str| -> i128 {
        account["account"][kind]["billed"].as_str().and_then(|text| text.parse().ok()).unwrap_or(-1)
    };
    let explored: i128 = accounts.iter().map(|account| billed(account, "explore")).sum();
    assert_eq!(explored, (cost * 1e6).round() as i128, "{accounts:?}");
    assert!(explored <= 1_000_000_000, "a thousandth of the day's 1,000: {explored}");
    let metrics = engine.admin.get("/metrics").text();
    assert_eq!(counter(&metrics, "outbid_explorations_total"), tried);
}
