//! Conversions move the price: a target-CPA campaign whose clicks convert half as often bids less
//! within the same simulated day. Purchases arrive through `/events` with the click's token.

mod common;

use common::{Campaign, Engine, Site, request};
use outbid::privacy::Mode;
use serde_json::{Value, json};

/// Midnight UTC of Monday, 2 March 2026.
const MIDNIGHT: i64 = 1_772_409_600_000;
/// Requests of the day, one every minute and a half.
const REQUESTS: i64 = 960;
const STEP_MS: i64 = 90_000;
/// Requests before ten conversions are expected, below which nothing moves.
const OPENING: i64 = 45;

#[derive(Clone, Copy, Debug, Default)]
struct Third {
    cost: f64,
    bids: f64,
    orders: f64,
}

impl Third {
    fn cpa(&self) -> f64 {
        self.cost / self.orders
    }

    /// What a bid costs at the mean.
    fn price(&self) -> f64 {
        self.cost / self.bids
    }
}

/// Plays the day: every bid wins, two of five are clicked as predicted, every `per`th click buys,
/// each order sent twice. Answers the CPA multiplier's log at the end, and of its opening and by thirds of the day.
fn day(per: usize, mode: Mode) -> (f64, Third, [Third; 3]) {
    let campaign = Campaign {
        strategy: "conversions",
        daily_budget: "1000",
        bid: "max_cpm = \"900\"\ntarget_cpa = \"1.00\"\nexpected_cvr_ppm = 500_000",
        ..Campaign::default()
    };
    // So few users have so few conversions that only weak noise leaves anything of them.
    let more = "[budget]\ntick_ms = 60_000\n[privacy]\nallow_weak = true\nepsilon = 32.0\n\
                [privacy.clicks]\nper_cell = 1\ncells = 3\ntotal = 3\nrho_percent = 12\n\
                [privacy.conversions]\nper_cell = 1\ncells = 1\ntotal = 1\nrho_percent = 80";
    let site = Site::new(&[campaign], "", more);
    let mut config = site.config();
    // The click model is not private, which a file is refused for: each request brings its own here.
    config.privacy.mode = mode;
    let mut engine = Engine::start_as(config, site, Some(MIDNIGHT));
    let mut clicks = 0;
    let (mut opening, mut thirds) = (Third::default(), [Third::default(); 3]);
    for number in 0..REQUESTS {
        if number == OPENING {
            opening = thirds[0];
        }
        let now = MIDNIGHT + number * STEP_MS;
        engine.at(now);
        let mut asked = request(&format!("r-{number}"), &format!("u-{number}"));
        asked["imp"][0]["ext"] = json!({ "outbid": { "pctr": 0.4 } });
        let Some(bid) = engine.bid(&asked) else { continue };
        assert_eq!(engine.fetch(&bid.billed_at(&bid.price.to_string())).status, 200);
        let third = &mut thirds[(number * 3 / REQUESTS) as usize];
        third.cost += bid.price / 1_000.0;
        third.bids += 1.0;
        if number % 5 >= 2 {
            continue;
        }
        let clicked = engine.fetch(&bid.click);
        assert_eq!(clicked.status, 302);
        clicks += 1;
        if clicks % per == 0 {
            third.orders += 1.0;
            buy(&mut engine, now, number, clicked.header("location").unwrap_or_default());
        }
    }
    let report = engine.report();
    let pacing = &report["budget"]["campaigns"][0]["pacing"];
    println!("every {per}th of {clicks} clicks buys: {pacing}");
    let ln_cpa = pacing["ln_cpa"].as_f64().expect("a multiplier");
    assert_eq!(
        (pacing.get("conversions"), pacing.get("conversion_ratio")),
        (None, None),
        "private"
    );
    let counted = engine.inside().metrics.conversions.exact("click_through");
    assert_eq!(counted, (clicks / per) as u64, "a repeated order counts once");
    (ln_cpa, opening, thirds)
}

fn buy(engine: &mut Engine, now: i64, number: i64, landing: &str) {
    let click = landing.split("obclid=").nth(1).expect("a click token");
    for repeated in 0..2 {
        let event: Value = json!({
            "id": format!("e-{number}-{repeated}"), "type": "purchase", "ts": now,
            "user": { "id": format!("u-{number}") }, "consent": true, "advertiser": "acme",
            "category": "running-shoes", "price": "20.00", "order_id": format!("o-{number}"),
            "click": click,
        });
        let reply = engine.public.post("/events", event.to_string().as_bytes());
        assert_eq!(reply.json()["accepted"], 1, "{}", reply.text());
    }
}

#[test]
fn half_the_conversions_lower_the_multiplier_and_bring_the_cpa_back() {
    let (often, _, kept) = day(2, Mode::Standard);
    let (seldom, opening, halved) = day(4, Mode::Standard);
    let cpas = |thirds: &[Third; 3]| thirds.map(|third| third.cpa());
    println!("ln multiplier {often:.3} and {seldom:.3}");
    println!("CPA by thirds {:.2?} and {:.2?}", cpas(&kept), cpas(&halved));
    assert!(seldom < often - 0.3, "ln multiplier {seldom} against {often}");
    // Where the model's rate holds, the target of 1.00 does.
    assert!(cpas(&kept).iter().all(|cpa| (0.7..1.35).contains(cpa)), "{kept:?}");
    // With half the conversions it begins near 2.00 and comes back, because each bid costs less.
    assert!(opening.cpa() > 1.6, "{opening:?}");
    assert!(cpas(&halved).iter().all(|cpa| (0.7..1.35).contains(cpa)), "{halved:?}");
    assert!(halved[2].price() < 0.75 * kept[2].price(), "{halved:?} against {kept:?}");
    assert_eq!(halved[2].bids, kept[2].bids, "on the same traffic");
}

#[test]
fn in_strict_mode_released_conversions_move_the_multiplier() {
    let (often, _, kept) = day(2, Mode::Strict);
    let (seldom, _, halved) = day(4, Mode::Strict);
    println!("ln multiplier {often:.3} and {seldom:.3}");
    assert!(seldom < often - 0.2, "ln multiplier {seldom} against {often}");
    assert!(halved[2].price() < 0.85 * kept[2].price(), "{halved:?} against {kept:?}");
}
