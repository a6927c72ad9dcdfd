use super::books::Books;
use super::*;
use crate::budget::{DayNumber, Windows};
use crate::strategy::pacing::{CampaignPacing, PacingKind};
use crate::strategy::{Strategies, Strategy, ValueInput};
use crate::units::{Micros, Nanos, Timestamp};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn flat(pacing: &str) -> Strategy {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "version = 1\nobjective = \"fixed_cpm\"\nbase_bid_micros = 5_000_000\npacing = \"{pacing}\"\n"
    );
    std::fs::write(folder.path().join("flat.toml"), text).expect("a file");
    let strategies = Strategies::load(folder.path()).expect("a good strategy");
    *strategies.strategy(strategies.get("flat").expect("an id")).expect("a strategy")
}

fn terms() -> ValueInput {
    ValueInput {
        p_click: 0.0,
        average_p_click: 0.0,
        max_cpm: Micros(10_000_000),
        cpc_micros: None,
        ..ValueInput::default()
    }
}

/// Prices 1.00 to 9.00 in turns, every tenth impression clicked.
fn log(auctions: usize, per_day: usize, shape: &Shape) -> Vec<Logged> {
    let auction = |number: usize| Logged {
        at: Timestamp(0),
        market: Micros(1_000_000 * (1 + number as u64 * 7 % 9)),
        p_click: 0.1,
        is_click: number.is_multiple_of(10),
    };
    let mut log: Vec<_> = (0..auctions).map(auction).collect();
    spread(&mut log, Timestamp(DAY), per_day, shape);
    log
}

fn run(log: &[Logged], market: &Market, setup: &Setup<'_>) -> Report {
    let mut pacing = CampaignPacing::new(PacingKind::None, None);
    replay(log, market, setup, &mut pacing)
}

#[test]
fn the_market_decides_and_the_report_counts() {
    let (log, strategy) = (log(900, 900, &Shape::even()), flat("none"));
    let mut setup = Setup::new(&strategy, terms(), Nanos(1_000_000_000_000));
    setup.tick_ms = 60_000;
    // A bid of 5 wins prices 1 to 5, a hundred of each.
    let report = run(&log, &Market::second_price(), &setup);
    assert_eq!((report.bids, report.impressions), (900, 500));
    assert_eq!(report.cost_nanos, 100 * (1 + 2 + 3 + 4 + 5) * 1_000_000);
    let won = log.iter().filter(|auction| auction.market.0 <= 5_000_000);
    assert_eq!(report.clicks, won.filter(|auction| auction.is_click).count() as u64);
    assert!((report.value - 50.0).abs() < 1e-9 && report.is_sound);
    assert_eq!(run(&log, &Market::first_price(), &setup).cost_nanos, 500 * 5_000_000);
    // Half of that money lasts for half of the day, and not for a nano more.
    setup.daily = Nanos(750_000_000);
    let report = run(&log, &Market::second_price(), &setup);
    assert_eq!((report.cost_nanos, report.overspend_nanos), (750_000_000, 0));
    assert!((report.early_out - 0.5).abs() < 0.01, "{}", report.early_out);
    // Spent twice as fast as planned until half, then nothing: a mean distance of a quarter.
    assert!((report.smoothness - 0.25).abs() < 0.01, "{}", report.smoothness);
}

#[test]
fn days_begin_with_new_money() {
    // The fourth day has fifty auctions: their 27 wins take 82 of its 100.
    let (log, strategy) = (log(950, 300, &Shape::even()), flat("none"));
    let mut setup = Setup::new(&strategy, terms(), Nanos(100_000_000));
    setup.tick_ms = 60_000;
    let report = run(&log, &Market::second_price(), &setup);
    assert_eq!((report.budget_nanos, report.cost_nanos), (400_000_000, 382_000_000));
    assert_eq!(report.series.len(), 481, "480 parts, and the end");
}

#[test]
fn late_notices_hold_money_and_cost_none() {
    let (log, strategy) = (log(9_000, 9_000, &Shape::even()), flat("none"));
    let mut setup = Setup::new(&strategy, terms(), Nanos(7_500_000_000));
    setup.tick_ms = 60_000;
    let hour_ms = HOUR as u32;
    setup.windows = Windows { decision_ttl_ms: hour_ms, billing_window_ms: hour_ms };
    let at_once = run(&log, &Market::second_price(), &setup);
    let mut market = Market::second_price();
    market.win_delay = Delay::Exponential { mean_ms: 600_000.0, most_ms: HOUR };
    for loss_delay in [Some(Delay::Fixed(900_000)), None] {
        market.loss_delay = loss_delay;
        let report = run(&log, &market, &setup);
        assert_eq!((report.overspend_nanos, report.absorbed_nanos), (0, 0));
        assert!(report.is_sound && report.cost_nanos > 0);
        // It spends nearly all, later: what bids hold nobody else can spend.
        assert!(report.early_out > at_once.early_out, "{loss_delay:?}");
        assert!(report.blocked_share > 0.0, "{loss_delay:?}");
    }
}

#[test]
fn a_cut_below_what_is_spent_stops_at_once() {
    let (log, strategy) = (log(9_000, 9_000, &Shape::even()), flat("none"));
    let mut setup = Setup::new(&strategy, terms(), Nanos(20_000_000_000));
    setup.tick_ms = 10_000;
    let noon = Timestamp(DAY + DAY / 2);
    setup.edits = vec![Edit { at: noon, daily: Nanos(1_000_000_000) }];
    let report = run(&log, &Market::second_price(), &setup);
    let spent = log.iter().filter(|a| a.at < noon && a.market.0 <= 5_000_000);
    assert_eq!(report.cost_nanos, spent.map(|a| a.market.per_impression().0).sum::<i128>());
    assert_eq!(report.overspend_nanos, 0, "what was spent before the cut is no fault");
    // And more money is spent as it comes.
    setup.edits.push(Edit { at: noon.plus_millis(HOUR), daily: Nanos(20_000_000_000) });
    assert!(run(&log, &Market::second_price(), &setup).cost_nanos > report.cost_nanos);
}

#[test]
fn conversions_come_by_their_rate_in_any_case() {
    let (log, strategy) = (log(30_000, 30_000, &Shape::even()), flat("none"));
    let mut setup = Setup::new(&strategy, terms(), Nanos(1_000_000_000_000));
    setup.tick_ms = 60_000;
    let mut market = Market::second_price();
    market.conversions = Some(Conversions {
        expected_cvr: 0.2,
        factors: vec![(0.0, 1.0), (0.5, 0.5)],
        delay: Delay::Exponential { mean_ms: 5.0 * HOUR as f64, most_ms: 3 * DAY },
        value_micros: 1_000_000,
    });
    let report = run(&log, &market, &setup);
    // 16,667 impressions of 0.02 conversions, the later half of 0.01: 250.
    assert!((200..300).contains(&report.conversions), "{}", report.conversions);
    let half = report.series[240].conversions as f64 / report.conversions as f64;
    assert!((half - 2.0 / 3.0).abs() < 0.08, "{half}");
    assert_eq!(run(&log, &market, &setup), report, "the same seed, the same report");
    market.seed = 2;
    assert_ne!(run(&log, &market, &setup).series, report.series);
}

#[test]
fn shapes_are_their_own_inverse() {
    let shape = Shape::of(&[1.0, 0.0, 3.0, 4.0]).expect("a shape");
    for (part, share) in [(0.0, 0.0), (0.25, 0.125), (0.5, 0.125), (0.75, 0.5), (1.0, 1.0)] {
        assert!((shape.before(part) - share).abs() < 1e-12, "{part}");
    }
    for share in [0.05, 0.3, 0.6, 0.99] {
        assert!((shape.before(shape.at(share)) - share).abs() < 1e-12, "{share}");
    }
    for wrong in [&[][..], &[0.0], &[-1.0, 2.0], &[f64::NAN], &[f64::INFINITY]] {
        assert!(Shape::of(wrong).is_none(), "{wrong:?}");
    }
}

#[test]
fn wrong_logs_are_refused_with_their_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.txt");
    for (text, expected) in [
        ("", "log.txt:0: the log is empty"),
        ("0 70 0.002\n0 70\n", "log.txt:2: a line has three fields"),
        ("0 70 0.002 9\n", "log.txt:1: a line has three fields"),
        ("2 70 0.002\n", "log.txt:1: the first field"),
        ("0 -70 0.002\n", "log.txt:1: the market price"),
        ("0 1000001 0.002\n", "log.txt:1: the market price"),
        ("0 70 1.5\n", "log.txt:1: the pCTR"),
        ("0 70 NaN\n", "log.txt:1: the pCTR"),
    ] {
        std::fs::write(&path, text).expect("a file");
        let error = read_ipinyou(&path).expect_err(text).to_string();
        assert!(error.contains(expected), "{error}");
    }
    std::fs::write(&path, "1 70 0.5\n").expect("a file");
    let log = read_ipinyou(&path).expect("good");
    assert_eq!((log[0].market, log[0].is_click), (Micros(70_000_000), true));
    assert!(read_ipinyou(&folder.path().join("absent")).is_err());
}

/// An account bids whole only while one lease has what it has: surplus that went back, a budget that
/// was raised and a grant that was short must not leave it with less than the account's last nano.
#[test]
fn a_bid_takes_what_the_account_has_however_fast_auctions_come() {
    let cap = Micros(300_000_000);
    for (step_ms, seed) in [(20, 1), (60, 2), (100, 3), (100, 4), (400, 5), (1_100, 6)] {
        let windows = Windows { decision_ttl_ms: 3_600_000, billing_window_ms: 3_600_000 };
        let (mut books, day) = (Books::new(windows, cap), DayNumber(1));
        let mut random = seed;
        let mut draw = |below: u64| {
            random = crate::hash::mix(random);
            Micros(1_000_000 * (random % below))
        };
        let (mut now, mut spent) = (Timestamp(DAY), Nanos::ZERO);
        books.set_budget(day, Nanos::ZERO, now);
        books.turn(day, Timestamp(2 * DAY), Nanos::ZERO, now);
        for episode in 0..200 {
            let mut left = Nanos(draw(4_000).per_impression().0 + 1);
            books.set_budget(day, spent + left, now);
            for auction in 0..draw(60).0 / 1_000_000 {
                let (price, market) = (Micros(1 + draw(300).0), draw(150));
                let held = books.hold(price, now);
                let all = Micros(u64::try_from(left.0).expect("a small sum"));
                let bid = held.map_or(Micros::ZERO, |held| held.price);
                assert_eq!(bid, price.min(all), "{step_ms} ms, {episode}, {auction}");
                match held {
                    Some(held) if market <= held.price => {
                        books.settle(&held, market, now);
                        left -= market.per_impression();
                        spent += market.per_impression();
                    }
                    Some(held) => books.release(&held),
                    None => {}
                }
                let before = now.0;
                now = now.plus_millis(step_ms);
                if before / 1_000 < now.0 / 1_000 {
                    books.tick(Timestamp(now.0 / 1_000 * 1_000));
                }
            }
        }
        assert!(books.is_sound(), "{step_ms} ms");
    }
}
