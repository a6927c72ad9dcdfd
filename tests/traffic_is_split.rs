//! A campaign's users are split between strategies: a user stays in an arm, a bid is what the arm's
//! strategy says, each arm spends its share and no more, and what the arms spent is what the campaign
//! was billed.

mod common;

use common::{Bid, Campaign, Engine, Site, account, counter, request};
use outbid::privacy::magnitude;
use serde_json::{Value, json};

/// Midnight UTC of Monday, 2 March 2026.
const MIDNIGHT: i64 = 1_772_409_600_000;
const TICK: i64 = 60_000;

/// Bids 1 and 2 CPM, so that a price tells the arm.
fn site(shares: [u8; 2], budget: &str) -> Site {
    let campaign = Campaign { daily_budget: budget, ..Campaign::default() };
    let site = Site::new(&[campaign], "", "[budget]\ntick_ms = 60_000");
    for (name, base) in [("low", "1_000_000"), ("high", "2_000_000")] {
        let text = format!(
            "version = 1\nobjective = \"fixed_cpm\"\nbase_bid_micros = {base}\npacing = \"none\"\n"
        );
        let file = site.folder().join(format!("strategies/{name}.toml"));
        std::fs::write(file, text).expect("a file");
    }
    split(&site, "strategy = \"fixed\"", shares);
    site
}

/// Puts a split in place of a line of the campaign's file.
fn split(site: &Site, line: &str, [low, high]: [u8; 2]) {
    let file = site.folder().join("catalog/campaigns/shoes.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    assert!(text.contains(line), "{text}");
    std::fs::write(file, text.replace(line, &arms(low, high))).expect("a file");
}

fn arms(low: u8, high: u8) -> String {
    format!(
        "strategies = [{{ name = \"low\", share = {low} }}, {{ name = \"high\", share = {high} }}]"
    )
}

fn of(user: usize) -> Value {
    request(&format!("r-{user}"), &format!("user-{user}"))
}

fn bids(engine: &mut Engine, users: usize) -> Vec<Bid> {
    (0..users).map(|user| engine.bid(&of(user)).expect("a bid")).collect()
}

fn prices(engine: &mut Engine, users: usize) -> Vec<f64> {
    bids(engine, users).iter().map(|bid| bid.price).collect()
}

fn bill(engine: &mut Engine, bid: &Bid) {
    assert_eq!(engine.fetch(&bid.billed_at(&bid.price.to_string())).status, 200);
}

/// Bids, wins and spend of an arm by its strategy.
fn arm(report: &Value, strategy: &str) -> (u64, u64, i128) {
    let arms = report["campaigns"][0]["split"]["arms"].as_array().expect("arms");
    let arm = arms.iter().find(|arm| arm["strategy"] == strategy).expect("the arm");
    let spend = arm["spend_nanos"].as_str().and_then(|text| text.parse().ok());
    let count = |key: &str| arm[key].as_u64().expect("a count");
    (count("bids"), count("wins"), spend.expect("nanos"))
}

#[test]
fn users_stay_and_a_reload_moves_only_who_must() {
    let site = site([30, 70], "100");
    let folder = site.folder().to_owned();
    let mut engine = Engine::start(site, Some(MIDNIGHT));
    let before = prices(&mut engine, 400);
    assert!(before.iter().all(|price| [1.0, 2.0].contains(price)), "{before:?}");
    let low = before.iter().filter(|price| **price == 1.0).count();
    // 120 on average, and 9.2 around it.
    assert!((80..160).contains(&low), "{low}");
    assert_eq!(prices(&mut engine, 400), before, "a user stays");
    // Where there is no user, the request decides.
    let mut nobody =
        |number| engine.bid(&request(&format!("n-{number}"), "")).expect("a bid").price;
    let low = (0..200).filter(|number| nobody(*number) == 1.0).count();
    assert!((30..90).contains(&low), "{low}");
    let file = folder.join("catalog/campaigns/shoes.toml");
    let text =
        std::fs::read_to_string(&file).expect("a file").replace(&arms(30, 70), &arms(50, 50));
    std::fs::write(file, text).expect("a file");
    assert_eq!(engine.admin.post("/api/v1/reload", b"").status, 200);
    let after = prices(&mut engine, 400);
    let moved = before.iter().zip(&after).filter(|(was, is)| was != is).count();
    assert!((45..115).contains(&moved), "a fifth: {moved}");
    assert!(!before.iter().zip(&after).any(|(was, is)| was < is), "nobody leaves what grows");
}

#[test]
fn the_arms_results_add_up_to_the_bill() {
    let mut engine = Engine::start(site([50, 50], "100"), Some(MIDNIGHT));
    let all = bids(&mut engine, 200);
    for bid in all.iter().step_by(2) {
        bill(&mut engine, bid);
        bill(&mut engine, bid); // said again: nothing changes
    }
    engine.at(MIDNIGHT + 2 * TICK);
    let report = engine.report();
    let (low, high) = (arm(&report, "low"), arm(&report, "high"));
    let of_price = |price: f64| all.iter().filter(move |bid| bid.price == price).count() as u64;
    let bids = [of_price(1.0), of_price(2.0)];
    assert_eq!([low.0, high.0], bids.map(magnitude), "how many is not told, only how much");
    let billed = |price: f64| {
        let billed = all.iter().step_by(2).filter(|bid| bid.price == price).count() as u64;
        (magnitude(billed), i128::from(billed) * (price * 1e6) as i128)
    };
    assert_eq!((low.1, low.2), billed(1.0), "a thousandth of 1 CPM each");
    assert_eq!((high.1, high.2), billed(2.0));
    assert_eq!(low.2 + high.2, account(&report, 0, "billed"));
    let metrics = engine.admin.get("/metrics").text();
    for (what, expected) in [("bids", low.0), ("wins", low.1), ("spend", low.2 as u64)] {
        let line =
            format!("outbid_strategy_arm_{what}_total{{campaign=\"shoes\",strategy=\"low\"}}");
        assert_eq!(counter(&metrics, &line), expected, "{line}");
    }
    // Each arm has a pace of its own.
    let paces = report["budget"]["campaigns"][0]["arms"].as_array().map(Vec::len);
    assert_eq!(paces, Some(2), "{}", report["budget"]);
}

#[test]
fn a_decision_says_whose_it_was() {
    let mut engine = Engine::start(site([50, 50], "100"), Some(MIDNIGHT));
    for user in 0..20 {
        let price = engine.bid(&of(user)).expect("a bid").price;
        let body = of(user).to_string();
        let explained = engine.admin.post("/explain?exchange=x", body.as_bytes()).json();
        let (strategy, arm) = if price == 1.0 { ("low", 1) } else { ("high", 0) };
        let campaign = &explained["campaigns"][0];
        assert_eq!(campaign["strategy"], strategy, "{price}");
        assert_eq!(campaign["strategy_arm"], arm, "by the order of their names");
        assert_eq!(campaign["ads"][0]["price"]["price_micros"], price * 1e6);
        let audit = engine.admin.get(&format!("/api/v1/auctions/r-{user}")).json();
        assert!(audit.to_string().contains(&format!("\"strategy_arm\":{arm}")), "{audit}");
    }
}

#[test]
fn an_arm_stops_at_its_share_and_the_other_goes_on() {
    // Half of it is ten impressions of the low arm and five of the high one.
    let mut engine = Engine::start(site([50, 50], "0.02"), Some(MIDNIGHT));
    engine.at(MIDNIGHT + TICK);
    let is_low = |engine: &mut Engine, user| {
        let explained = engine.admin.post("/explain?exchange=x", of(user).to_string().as_bytes());
        explained.json()["campaigns"][0]["strategy"] == "low"
    };
    let (mut low, mut high) = (Vec::new(), Vec::new());
    for user in 0..60 {
        if is_low(&mut engine, user) { low.push(user) } else { high.push(user) }
    }
    assert!(low.len() > 12 && high.len() > 6, "{low:?} {high:?}");
    let mut now = MIDNIGHT + TICK;
    let mut buy = |engine: &mut Engine, users: &[usize]| {
        let mut bought = 0;
        for user in users {
            now += TICK;
            engine.at(now);
            if let Some(bid) = engine.bid(&of(*user)) {
                bill(engine, &bid);
                bought += 1;
            }
        }
        bought
    };
    assert_eq!(buy(&mut engine, &high[..7]), 5);
    assert_eq!(engine.explained(&of(high[5]), "shoes")["end"], "share_spent");
    assert_eq!(buy(&mut engine, &low[..12]), 10, "the other half is its own");
    let report = engine.report();
    assert_eq!(account(&report, 0, "billed"), 20_000_000);
    let spend = ["low", "high"].map(|name| arm(&report, name).2);
    assert_eq!(spend, [10 * 1_000_000, 5 * 2_000_000]);
    // The next day has shares of its own.
    engine.at(MIDNIGHT + 86_400_000 + TICK);
    assert!(engine.bid(&of(high[5])).is_some());
}

#[test]
fn an_edit_splits_and_what_was_bid_before_is_none_of_the_arms() {
    let mut engine = Engine::start(site([50, 50], "100"), Some(MIDNIGHT));
    let early = engine.bid(&of(1)).expect("a bid");
    engine.at(MIDNIGHT + TICK);
    let path = "/api/v1/campaigns/shoes";
    let wrong =
        json!({"strategies": [{"name": "low", "share": 60}, {"name": "fixed", "share": 50}]});
    let refused = engine.admin.put(path, &wrong.to_string());
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("the shares add up to 110"), "{}", refused.text());
    let right =
        json!({"strategies": [{"name": "low", "share": 60}, {"name": "fixed", "share": 40}]});
    let taken = engine.admin.put(path, &right.to_string());
    assert_eq!(taken.status, 200, "{}", taken.text());
    let late = engine.bid(&of(1)).expect("a bid");
    bill(&mut engine, &early);
    bill(&mut engine, &late);
    let report = engine.report();
    let split = &report["campaigns"][0]["split"];
    let early_nanos = (early.price * 1e6).to_string();
    assert_eq!(split["bid_before"], json!({"wins": 0, "spend_nanos": early_nanos}), "{split}");
    let spend = arm(&report, "low").2 + arm(&report, "fixed").2;
    assert_eq!(spend, (late.price * 1e6) as i128);
    let one = engine.admin.put(path, "{\"strategy\": \"low\"}");
    assert_eq!(one.status, 200, "{}", one.text());
    assert_eq!(engine.report()["campaigns"][0]["split"], Value::Null);
    let view = engine.admin.get(path).json();
    assert_eq!(view["strategy"], "low");
}
