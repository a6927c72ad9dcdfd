//! A category that filled too much of what a user saw lately stands back for another that is worth
//! nearly as much: its rank falls, and its price does not.

mod common;

use common::{Campaign, Engine, NOON, Site, counter, request};
use serde_json::json;

/// Shoes, which pay a tenth more than tents; both have shows that sessions remember.
fn engine(limits: &str, shoes_sector: &str) -> Engine {
    let more = "frequency_caps = [{ count = 50, window_s = 86400 }]";
    let shoes = Campaign { more, bid: "max_cpm = \"2.20\"", ..Campaign::default() };
    let tents = Campaign {
        advertiser: "bolt",
        name: "tents",
        category: "tents",
        bid: "max_cpm = \"2.00\"",
        ..shoes
    };
    let health = format!("{more}\nsector = \"{shoes_sector}\"");
    let shoes = Campaign { more: &health, ..shoes };
    let mut engine = Engine::start(Site::new(&[shoes, tents], "", limits), Some(NOON));
    engine.at(NOON);
    engine
}

/// Bids for the reader until he has seen this many; what was shown.
fn shown(engine: &mut Engine, count: usize) -> Vec<(String, f64)> {
    let show = |number| {
        engine.at(NOON + number as i64 * 1_000);
        let bid = engine.bid(&request(&format!("r-{number}"), "reader")).expect("a bid");
        assert_eq!(engine.fetch(&bid.billed_at("1.00")).status, 200);
        (bid.campaign, bid.price)
    };
    (0..count).map(show).collect()
}

fn tents(shown: &[(String, f64)]) -> usize {
    shown.iter().filter(|(name, _)| name == "tents").count()
}

const LIMITS: &str = "[auction.diversity]\nshows = 10\nshows_min = 4\n\
                      category_share_max_percent = 50\nrank_factor = 0.8";

#[test]
fn a_flooding_category_stands_back_at_its_own_price() {
    let mut engine = engine(LIMITS, "ecommerce");
    let seen = shown(&mut engine, 12);
    assert_eq!(tents(&seen[..4]), 0, "too few shows to say: {seen:?}");
    assert_eq!(seen[4], ("tents".to_owned(), 2.0), "four of four were shoes");
    assert!((4..=6).contains(&tents(&seen)), "about half of twelve: {seen:?}");
    assert!(seen.iter().all(|(name, price)| *price == if name == "shoes" { 2.2 } else { 2.0 }));
    let asked = request("r", "reader");
    let shoes = engine.explained(&asked, "shoes");
    let tents = engine.explained(&asked, "tents");
    let (down, up) = if shoes["end"] == "bid" { (&tents, &shoes) } else { (&shoes, &tents) };
    assert_eq!(up["price"]["diversity"], 1.0);
    if down == &shoes {
        assert_eq!((&down["end"], &down["price"]["diversity"]), (&json!("diversity"), &json!(0.8)));
    }
    let stranger = engine.bid(&request("s", "stranger")).expect("a bid");
    assert_eq!(stranger.campaign, "shoes", "nobody else's shows count");
    let metrics = engine.admin.get("/metrics").text();
    assert!(counter(&metrics, "outbid_ranked_down_total ") >= 4);
}

#[test]
fn what_is_far_better_is_shown_although_it_floods() {
    let mut engine = engine(&LIMITS.replace("0.8", "0.95"), "ecommerce");
    assert_eq!(tents(&shown(&mut engine, 8)), 0, "a tenth outweighs a twentieth");
}

#[test]
fn without_a_limit_nothing_is_ranked_down() {
    let mut engine = engine("", "ecommerce");
    assert_eq!(tents(&shown(&mut engine, 12)), 0);
    let metrics = engine.admin.get("/metrics").text();
    assert_eq!(counter(&metrics, "outbid_ranked_down_total "), 0);
}

#[test]
fn health_shows_rank_nobody_and_nothing_of_a_refuser_counts() {
    let mut health = engine(LIMITS, "health");
    assert_eq!(tents(&shown(&mut health, 8)), 0);
    let mut engine = engine(LIMITS, "ecommerce");
    shown(&mut engine, 4);
    let mut asked = request("r", "reader");
    asked["device"]["lmt"] = json!(1);
    assert_eq!(engine.explained(&asked, "shoes")["price"]["diversity"], 1.0);
}
