use super::*;
use crate::hash::mix;

fn place(at_ms: i64) -> Place {
    Place {
        exchange: 7,
        currency: CurrencyCode::USD,
        size: SizeClass::banner(300, 250),
        at: Timestamp(at_ms),
    }
}

fn seen(place: Place, bid: u64, min_to_win: Option<u64>) -> Observation {
    let is_won = min_to_win.is_none_or(|price| price <= bid);
    Observation { place, bid: Micros(bid), is_won, min_to_win: min_to_win.map(Micros) }
}

fn unit(n: u64) -> f64 {
    (mix(n) >> 11) as f64 / (1_u64 << 53) as f64
}

#[test]
fn every_size_has_a_class_that_survives_its_number() {
    let sizes = SIZES.iter().copied().chain([(0, 0), (1, 1), (200, 300), (u16::MAX, u16::MAX)]);
    let banners = sizes.map(|(w, h)| SizeClass::banner(w, h));
    let videos = [0, 320, 640, 1_920].map(SizeClass::video);
    let all = banners.chain(videos).chain([SizeClass::NATIVE, SizeClass::AUDIO]);
    let numbers: FxHashSet<u8> = all
        .map(|class| {
            assert!(class.number() < 32);
            assert_eq!(SizeClass::from_number(class.number()), class);
            class.number()
        })
        .collect();
    assert_eq!(numbers.len(), 32);
}

#[test]
fn a_segment_speaks_from_200_observations_on_and_a_broader_one_until_then() {
    let mut market = Market::default();
    let (narrow, other_hour) = (place(0), place(BLOCK_MS));
    let other_size = Place { size: SizeClass::NATIVE, ..narrow };
    let bid = |market: &mut Market, place: &Place| {
        market.snapshot(1).shade(place, Micros(10_000_000), Micros::ZERO, 1).price
    };
    assert_eq!(bid(&mut market, &narrow), Micros(10_000_000), "nothing is known");
    // Prices of 5 in the one hour; 19 losses are no proof that losses are told.
    (0..19).for_each(|_| _ = market.observe(&seen(narrow, 4_000_000, Some(5_000_000))));
    assert_eq!(bid(&mut market, &narrow), Micros(10_000_000));
    (0..6).for_each(|_| _ = market.observe(&seen(narrow, 4_000_000, Some(5_000_000))));
    // From 20 on, the exchange's are taken to be log-normal.
    let thin = bid(&mut market, &narrow).0;
    assert!((5_000_000..7_000_000).contains(&thin), "{thin}");
    (0..400).for_each(|_| _ = market.observe(&seen(narrow, 6_000_000, Some(5_000_000))));
    // Then in the other hour prices of 8, too few to speak for themselves.
    (0..150).for_each(|_| _ = market.observe(&seen(other_hour, 9_000_000, Some(8_000_000))));
    let within_a_bin = |price: u64, of: u64| price >= of && (price as f64) < of as f64 * 1.1;
    assert!(within_a_bin(bid(&mut market, &narrow).0, 5_000_000));
    assert!(within_a_bin(bid(&mut market, &other_hour).0, 5_000_000), "the size's prices");
    (0..80).for_each(|_| _ = market.observe(&seen(other_hour, 9_000_000, Some(8_000_000))));
    assert!(within_a_bin(bid(&mut market, &other_hour).0, 8_000_000), "its own prices");
    // A size never seen goes by the exchange, another exchange tells of no losses.
    assert!(bid(&mut market, &other_size).0 < 10_000_000);
    let elsewhere = Place { exchange: 8, ..narrow };
    assert_eq!(bid(&mut market, &elsewhere), Micros(10_000_000));
    let other_currency = Place { currency: CurrencyCode::parse("EUR").expect("a code"), ..narrow };
    assert_eq!(bid(&mut market, &other_currency), Micros(10_000_000));
}

#[test]
fn an_exchange_without_losses_is_never_shaded() {
    let mut market = Market::default();
    let place = place(0);
    for n in 0..5_000 {
        let min_to_win = (n % 2 == 0).then_some(Micros(1_000_000));
        let bid = Micros(5_000_000);
        _ = market.observe(&Observation { place, bid, is_won: true, min_to_win });
    }
    let shaded = market.snapshot(1).shade(&place, Micros(5_000_000), Micros::ZERO, 1);
    assert_eq!(shaded.price, Micros(5_000_000));
}

#[test]
fn hostile_prices_are_refused_and_counted() {
    let mut market = Market::default();
    let place = place(0);
    let mut observe = |bid: u64, is_won: bool, price: u64| {
        let min_to_win = Some(Micros(price));
        market.observe(&Observation { place, bid: Micros(bid), is_won, min_to_win })
    };
    assert_eq!(observe(5, true, 6), Learned::Contradiction);
    assert_eq!(observe(5, false, 4), Learned::Contradiction);
    assert_eq!(observe(5, false, u64::MAX), Learned::Outcome);
    assert_eq!(observe(5, false, 0), Learned::Outcome);
    assert_eq!(observe(5, true, 5), Learned::Price);
    for n in 0..10_000 {
        let place = Place { exchange: n, ..place };
        _ = market.observe(&seen(place, 5_000_000, Some(1_000_000)));
    }
    let status = market.status(3);
    assert_eq!(status.segments, SEGMENTS_MAX);
    assert!(status.segments_refused > 0);
    assert_eq!((status.contradictions, status.dropped), (2, 3));
    assert_eq!((status.prices, status.outcomes), (10_001, 2));
}

/// How a bid is made of its paced value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Value,
    Flat,
    Shaded,
    Censored,
    Thin,
}

/// A day of first-price auctions under a budget: values and prices log-normal, the latter of two
/// kinds of buyers. Returns the sum of the values won, and what was spent.
fn day(way: Way, budget: f64) -> (f64, f64) {
    const AUCTIONS: u64 = 40_000;
    let normal = |n: u64| {
        let radius = (-2.0 * unit(2 * n).max(1e-12).ln()).sqrt();
        radius * (std::f64::consts::TAU * unit(2 * n + 1)).cos()
    };
    let mut market = Market::default();
    let mut snapshot = market.snapshot(0);
    let (mut ln_multiplier, mut value_won, mut spent) = (0.0_f64, 0.0, 0.0);
    for n in 0..AUCTIONS {
        let value = 2e6 * (0.7 * normal(3 * n)).exp();
        let buyers = if unit(n ^ 0xbeef) < 0.6 { (1e6_f64, 0.15) } else { (4e6, 0.3) };
        let price = Micros((buyers.0 * (buyers.1 * normal(3 * n + 1)).exp()) as u64);
        let paced = Micros((value * ln_multiplier.exp()) as u64);
        let place = place(0);
        let bid = match way {
            Way::Value => paced,
            Way::Flat => Micros(paced.0 * 4 / 5),
            Way::Shaded | Way::Censored | Way::Thin => {
                snapshot.shade(&place, paced, Micros::ZERO, mix(n)).price
            }
        };
        let is_won = bid >= price && spent + bid.0 as f64 <= budget;
        let cost = if is_won { bid.0 as f64 } else { 0.0 };
        value_won += if is_won { value } else { 0.0 };
        spent += cost;
        // The dual of an even plan, its rate taken from what remains.
        let rate = (budget - spent).max(1.0) / (AUCTIONS - n) as f64;
        ln_multiplier -= 0.0015 * (cost / rate - 1.0).clamp(-1.0, 200.0);
        let min_to_win = (way != Way::Censored).then_some(price);
        let is_seen = way != Way::Thin || n % 100 == 0 && market.prices < 150;
        if is_seen {
            let is_won = bid >= price;
            _ = market.observe(&Observation { place, bid, is_won, min_to_win });
        }
        if n % 250 == 0 {
            snapshot = market.snapshot(n);
        }
    }
    (value_won, spent)
}

#[test]
fn shading_buys_more_value_with_the_same_budget() {
    for part in [4.0, 16.0, 64.0] {
        let budget = 40_000.0 * 2e6 / part;
        let ways = [Way::Value, Way::Flat, Way::Shaded, Way::Censored, Way::Thin];
        let days = ways.map(|way| day(way, budget));
        let [none, flat, shaded, censored, thin] = days.map(|(value, _)| value / days[0].0);
        assert!((flat - 1.0).abs() < 0.01, "pacing takes a factor back: {flat} of {none}");
        assert!(shaded > 1.08, "1/{part}: {shaded}");
        assert!(censored > 1.02, "1/{part}: {censored}");
        assert!(thin > 1.04, "1/{part}: {thin}");
        for (_, spent) in days {
            assert!((0.995..=1.0).contains(&(spent / budget)), "1/{part}: {}", spent / budget);
        }
    }
}
