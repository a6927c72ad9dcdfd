//! Shading pays: on iPinYou's auctions, sold for the winner's bid, the default strategy with shading
//! gets more value out of the same budget than without. Value share is what was won against the best
//! that hindsight could have bought at the market's prices; that optimum is a sort here.
//!
//! `OUTBID_TABLE=1 OUTBID_SHARED=../shared cargo test --test shading_pays -- --nocapture` prints the
//! table.

use outbid::replay::{Logged, Market, Setup, Shape, read_ipinyou, replay, spread};
use outbid::strategy::pacing::{CampaignPacing, PacingKind};
use outbid::strategy::{Strategies, Strategy, ValueInput};
use outbid::units::{Micros, Nanos, Timestamp};
use std::path::PathBuf;

/// The dearest price of the log, in CPM micros.
const PRICE_MAX: u64 = 300_000_000;

fn strategy(shading: &str, average_p_click: f64, base: u64) -> Strategy {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "version = 1\nobjective = \"linear\"\nbase_bid_micros = {base}\npacing = \"dual\"\n\
         average_p_click = {average_p_click:.9}\nshading = \"{shading}\"\n\
         multiplier_min = 0.001\nmultiplier_max = 1000.0\n"
    );
    std::fs::write(folder.path().join("linear.toml"), text).expect("a file");
    let strategies = Strategies::load(folder.path()).expect("a good strategy");
    *strategies.strategy(strategies.get("linear").expect("an id")).expect("a strategy")
}

/// The most value that `budget` buys at the market's prices, the last auction in part.
fn best(log: &[Logged], budget: i128) -> f64 {
    let mut by_worth: Vec<_> = log.iter().collect();
    let worth = |auction: &Logged| auction.p_click / (auction.market.0.max(1) as f64);
    by_worth.sort_by(|one, other| worth(other).total_cmp(&worth(one)));
    let (mut left, mut value) = (budget as f64, 0.0);
    for auction in by_worth {
        let price = auction.market.0 as f64;
        let part = if price <= left { 1.0 } else { left / price };
        value += part * auction.p_click;
        left -= part * price;
        if part < 1.0 {
            break;
        }
    }
    value
}

#[test]
fn the_optimum_is_that_of_a_case_by_hand() {
    let auction = |market, p_click| Logged {
        at: Timestamp(0),
        market: Micros(market),
        p_click,
        is_click: false,
    };
    // For 4: the one of 0.5 for 2, the one of 0.3 for 1, and a third of the one of 0.6 for 3.
    let log = [auction(3, 0.6), auction(2, 0.5), auction(1, 0.3)];
    assert!((best(&log, 4) - 1.0).abs() < 1e-12);
}

#[test]
fn shading_buys_more_of_ipinyous_value() {
    let shared = std::env::var("OUTBID_SHARED").unwrap_or_else(|_| "../shared".to_owned());
    let path = PathBuf::from(shared).join("data/ipinyou_2997_rlb/test.theta.txt");
    let Ok(mut log) = read_ipinyou(&path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let count = log.len();
    spread(&mut log, Timestamp(20_000 * 86_400_000), count, &Shape::even());
    let average = log.iter().map(|auction| auction.p_click).sum::<f64>() / count as f64;
    let total: u64 = log.iter().map(|auction| auction.market.0).sum();
    let terms = ValueInput {
        p_click: 0.0,
        average_p_click: 0.0,
        max_cpm: Micros(PRICE_MAX),
        cpc_micros: None,
        target_cpa_micros: None,
        expected_cvr_ppm: 0,
        order_value_micros: 0,
        target_roas_ppm: 0,
    };
    // A run takes ten seconds unoptimised, so the whole table is for who asks.
    let parts: &[i128] =
        if std::env::var_os("OUTBID_TABLE").is_some() { &[4, 16, 64] } else { &[64] };
    for &part in parts {
        let budget = i128::from(total) / part;
        let best = best(&log, budget);
        let run = |shading: &str, tells_price: bool| {
            let strategy = strategy(shading, average, total / count as u64);
            let mut setup = Setup::new(&strategy, terms, Nanos(budget));
            setup.tick_ms = 10_000;
            let mut market = Market::first_price();
            market.tells_price = tells_price;
            let mut pacing = CampaignPacing::new(PacingKind::Dual, None);
            pacing = pacing.up_to(1_000_000_000);
            let report = replay(&log, &market, &setup, &mut pacing);
            assert_eq!(report.overspend_nanos, 0);
            assert!(report.cost_nanos * 100 >= budget * 98, "{} of {budget}", report.cost_nanos);
            report.value / best
        };
        let (none, shaded) = (run("none", true), run("auto", true));
        println!("1/{part}: none {none:.3}, shaded {shaded:.3}");
        let least = if part == 64 { 0.08 } else { 0.005 };
        assert!(shaded >= none + least, "1/{part}: {shaded} against {none}");
        if parts.len() > 1 {
            println!("1/{part}: only outcomes told {:.3}", run("auto", false));
        }
    }
}
