//! First prices are shaded: once an exchange's notices have told what bids win at, a campaign whose
//! strategy says so bids just that and not its value; in second-price auctions, and without
//! the strategy, it bids what it did.

mod common;

use common::{Bid, Campaign, Engine, Site, counter, request};
use serde_json::{Value, json};

/// Midnight UTC of Monday, 2 March 2026.
const MIDNIGHT: i64 = 1_772_409_600_000;

const STRATEGY: &str = "version = 1\nobjective = \"fixed_cpm\"\nbase_bid_micros = 8_000_000\n\
                        pacing = \"none\"\nshading = \"auto\"\n";

fn engine(shading: &str) -> Engine {
    let campaign = Campaign {
        strategy: "first_price",
        daily_budget: "1000",
        bid: "max_cpm = \"8.00\"",
        ..Campaign::default()
    };
    let site = Site::new(&[campaign], "", "[budget]\ntick_ms = 60_000");
    let file = site.folder().join("strategies/first_price.toml");
    std::fs::write(file, STRATEGY.replace("auto", shading)).expect("a file");
    Engine::start(site, Some(MIDNIGHT))
}

fn asked(number: i64, at: i64) -> Value {
    let mut asked = request(&format!("r-{number}"), "");
    asked["at"] = json!(at);
    asked
}

/// Lets the exchange sell so many imps at the least winning bid `price`, and tell both sides of it.
fn sell(engine: &mut Engine, from: i64, count: i64, price: f64) -> Vec<f64> {
    let mut bids = Vec::new();
    for number in from..from + count {
        engine.at(MIDNIGHT + number * 60_000);
        let Some(bid) = engine.bid(&asked(number, 1)) else { continue };
        bids.push(bid.price);
        tell(engine, &bid, price);
    }
    bids
}

fn tell(engine: &mut Engine, bid: &Bid, price: f64) {
    let told = |url: &str| {
        let url = url.replace("${AUCTION_MIN_TO_WIN}", &price.to_string());
        let url = url.replace("${AUCTION_PRICE}", &bid.price.to_string());
        url.replace("${AUCTION_LOSS}", "102").replace("${AUCTION_CURRENCY}", "USD")
    };
    let urls = if bid.price >= price { vec![&bid.win, &bid.billing] } else { vec![&bid.loss] };
    for url in urls {
        assert_eq!(engine.fetch(&told(url)).status, 200);
    }
}

#[test]
fn bids_fall_to_what_wins_where_the_strategy_says_so() {
    let mut engine = engine("auto");
    // Losses first, so that the exchange is known to tell of them; then the market calms down.
    assert!(sell(&mut engine, 0, 20, 9.0).iter().all(|bid| *bid == 8.0));
    sell(&mut engine, 20, 5, 9.0);
    sell(&mut engine, 25, 500, 3.0);
    let late = sell(&mut engine, 525, 20, 3.0);
    assert!(late.iter().all(|bid| *bid == 3.0), "{late:?}");
    // In a second-price auction the winner pays another's bid.
    engine.at(MIDNIGHT + 600 * 60_000);
    assert_eq!(engine.bid(&asked(2_000, 2)).expect("a bid").price, 8.0);
    assert_eq!(engine.bid(&request("r-2001", "")).expect("a bid").price, 8.0, "2 is the default");
    // A floor between the prices and the value is kept.
    let mut floored = asked(2_002, 1);
    floored["imp"][0]["bidfloor"] = json!(5.0);
    assert_eq!(engine.bid(&floored).expect("a bid").price, 5.0);
    // On a deal the open market does not tell whom one competes with.
    let mut dealt = asked(2_004, 1);
    let deals = json!([{ "id": "d-1", "bidfloor": 0.5, "at": 1 }]);
    dealt["imp"][0]["pmp"] = json!({ "private_auction": 1, "deals": deals });
    let reply = engine.exchange.post("/openrtb2/x/bid", dealt.to_string().as_bytes()).json();
    let bid = &reply["seatbid"][0]["bid"][0];
    assert_eq!(bid["dealid"], "d-1");
    assert_eq!(bid["price"].as_f64(), Some(8.0));
    let explained = engine.explained(&asked(2_003, 1), "shoes");
    let factors = explained["price"]["factors"].as_array().expect("factors");
    let shading = factors.iter().find(|factor| factor[0] == "shading").expect("the factor");
    let factor = shading[1].as_f64().expect("a number");
    assert!((factor - 3.0 / 8.0).abs() < 1e-9, "{explained}");
    assert_eq!(explained["end"], "bid");
    let report = engine.report();
    assert_eq!(report["market"]["prices"], 545, "a win and its bill are one: {report}");
    assert_eq!(report["market"]["contradictions"], 0);
    let metrics = engine.admin.get("/metrics").text();
    let counted = counter(&metrics, "outbid_market_observations_total{what=\"price\"}");
    assert_eq!(counted, 545);
}

#[test]
fn without_shading_the_value_is_bid() {
    let mut engine = engine("none");
    sell(&mut engine, 0, 25, 9.0);
    let bids = sell(&mut engine, 25, 400, 3.0);
    assert!(bids.iter().all(|bid| *bid == 8.0), "{bids:?}");
}
