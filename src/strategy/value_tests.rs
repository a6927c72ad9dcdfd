use super::{Strategy, *};
use crate::units::Nanos;
use proptest::prelude::*;

fn strategy(objective: Objective) -> Strategy {
    Strategy {
        objective,
        pacing: PacingKind::Dual,
        plan: PlanKind::Traffic,
        multiplier_min: 0.1,
        multiplier_max: 2.0,
        max_cpm: None,
        prefer_deals: false,
        shading: Shading::None,
        exploration: Exploration::None,
    }
}

fn input() -> ValueInput {
    ValueInput {
        p_click: 0.01,
        average_p_click: 0.005,
        max_cpm: Micros(20_000_000),
        cpc_micros: Some(500_000),
        target_cpa_micros: Some(10_000_000),
        expected_cvr_ppm: 50_000,
        order_value_micros: 40_000_000,
        target_roas_ppm: 4_000_000,
    }
}

const BASE: Micros = Micros(1_000_000);

#[test]
fn each_objective_values_by_its_formula() {
    let linear = Objective::Linear { base_bid: BASE, average_p_click: None };
    let fixed = Objective::Linear { base_bid: BASE, average_p_click: Some(0.02) };
    for (objective, change, expected) in [
        (fixed, input(), 500_000),
        (fixed, ValueInput { average_p_click: 0.0, ..input() }, 500_000),
        (Objective::FixedCpm { base_bid: Some(BASE) }, input(), 1_000_000),
        (Objective::FixedCpm { base_bid: None }, input(), 20_000_000),
        (Objective::Cpc, input(), 5_000_000),
        (linear, input(), 2_000_000),
        (linear, ValueInput { average_p_click: 0.0, ..input() }, 1_000_000),
        (Objective::TargetCpa, input(), 5_000_000),
        // 40 of value at 4 for 1: what a conversion may cost is 10.
        (Objective::TargetRoas, input(), 5_000_000),
        (Objective::TargetRoas, ValueInput { target_roas_ppm: 500_000, ..input() }, 20_000_000),
        // Rounded to the nearest micro: 1e6 / 3 and 2e6 / 3.
        (linear, ValueInput { average_p_click: 0.03, ..input() }, 333_333),
        (linear, ValueInput { p_click: 0.02, average_p_click: 0.03, ..input() }, 666_667),
        // Capped.
        (Objective::Cpc, ValueInput { p_click: 0.9, ..input() }, 20_000_000),
        (Objective::Cpc, ValueInput { p_click: 7.0, cpc_micros: Some(1), ..input() }, 1_000),
        // What is missing or no number is no bid.
        (Objective::Cpc, ValueInput { cpc_micros: None, ..input() }, 0),
        (Objective::TargetCpa, ValueInput { target_cpa_micros: None, ..input() }, 0),
        (Objective::TargetCpa, ValueInput { expected_cvr_ppm: 0, ..input() }, 0),
        (Objective::TargetRoas, ValueInput { target_roas_ppm: 0, ..input() }, 0),
        (Objective::TargetRoas, ValueInput { order_value_micros: 0, ..input() }, 0),
        (Objective::Cpc, ValueInput { p_click: f64::NAN, ..input() }, 0),
        (linear, ValueInput { average_p_click: f64::NAN, ..input() }, 1_000_000),
        (Objective::TargetCpa, ValueInput { p_click: -1.0, ..input() }, 0),
        (Objective::Cpc, ValueInput { p_click: -0.5, ..input() }, 0),
        (linear, ValueInput { average_p_click: 5e-324, ..input() }, 0),
    ] {
        assert_eq!(
            strategy(objective).value(&change),
            Micros(expected),
            "{objective:?} {change:?}"
        );
    }
}

#[test]
fn pacing_comes_before_the_cap_and_keeps_its_bounds() {
    let cpc = strategy(Objective::Cpc);
    let unpaced = Strategy { pacing: PacingKind::None, ..cpc };
    let own_cap = Strategy { max_cpm: Some(Micros(3_000_000)), ..cpc };
    let dear = ValueInput { p_click: 0.08, ..input() }; // worth 40 CPM, capped at 20
    for (strategy, input, multiplier, expected) in [
        (cpc, input(), 0.5, 2_500_000),
        (cpc, input(), 0.01, 500_000),
        (cpc, input(), 9.0, 10_000_000),
        (cpc, input(), f64::NAN, 0),
        (cpc, dear, 1.0, 20_000_000),
        (cpc, dear, 0.6, 20_000_000),
        (cpc, dear, 0.25, 10_000_000),
        (unpaced, input(), 0.5, 5_000_000),
        (own_cap, input(), 1.0, 3_000_000),
    ] {
        assert_eq!(strategy.price(&input, multiplier), Micros(expected), "{input:?} {multiplier}");
    }
}

#[test]
fn factors_tell_the_whole_price() {
    let strategy = strategy(Objective::Linear { base_bid: BASE, average_p_click: None });
    let factors = strategy.factors(&input(), 0.5);
    let names: Vec<_> = factors.iter().map(|factor| factor.0).collect();
    let expected = [
        "base_bid_micros",
        "p_click",
        "average_p_click",
        "value_micros",
        "multiplier",
        "cap_micros",
        "price_micros",
    ];
    assert_eq!(names, expected);
    let of = |name| factors.iter().find(|factor| factor.0 == name).expect("a factor").1;
    assert_eq!(of("value_micros"), of("base_bid_micros") * of("p_click") / of("average_p_click"));
    assert_eq!(of("price_micros"), of("value_micros") * of("multiplier"));
}

#[test]
fn terms_that_an_objective_needs_are_demanded() {
    for (objective, cpc, target_cpa, target_roas) in [
        (Objective::Cpc, true, false, false),
        (Objective::TargetCpa, false, true, false),
        (Objective::TargetRoas, false, false, true),
        (Objective::FixedCpm { base_bid: None }, false, false, false),
    ] {
        let strategy = strategy(objective);
        assert_eq!(strategy.terms_needed(), TermsNeeded { cpc, target_cpa, target_roas });
        let none =
            ValueInput { cpc_micros: None, target_cpa_micros: None, target_roas_ppm: 0, ..input() };
        let lacks_one = cpc || target_cpa || target_roas;
        assert_eq!(strategy.value(&none).0 == 0, lacks_one, "{objective:?}");
    }
}

#[test]
fn a_target_is_what_the_objective_seeks() {
    let cpa = Target::cpa(10_000_000, 50_000);
    assert_eq!(strategy(Objective::TargetCpa).target(&input()), cpa);
    assert_eq!(strategy(Objective::Cpc).target(&input()), cpa, "which holds under any objective");
    let roas = strategy(Objective::TargetRoas).target(&input()).expect("a target");
    assert_eq!(
        (roas.cost, roas.order_value),
        (cpa.expect("one").cost, Some(Nanos(40_000_000_000)))
    );
    for lacking in [
        ValueInput { target_roas_ppm: 0, ..input() },
        ValueInput { order_value_micros: 0, ..input() },
        ValueInput { expected_cvr_ppm: 0, ..input() },
    ] {
        assert_eq!(strategy(Objective::TargetRoas).target(&lacking), None, "{lacking:?}");
    }
}

proptest! {
    /// Whatever the numbers: never above a cap, and monotone in the multiplier.
    #[test]
    fn a_price_is_never_above_its_caps(
        floats in any::<[f64; 3]>(), caps in any::<[u64; 2]>(), terms in any::<[Option<u64>; 2]>(),
        which in 0..5usize, base in any::<u64>(),
        (expected_cvr_ppm, target_roas_ppm, order_value_micros) in any::<(u32, u32, u64)>(),
    ) {
        let base_bid = Micros(base);
        let objective = [
            Objective::FixedCpm { base_bid: Some(base_bid) },
            Objective::Cpc,
            Objective::Linear { base_bid, average_p_click: None },
            Objective::TargetCpa,
            Objective::TargetRoas,
        ][which];
        let strategy = Strategy { max_cpm: Some(Micros(caps[1])), ..strategy(objective) };
        let input = ValueInput {
            p_click: floats[0],
            average_p_click: floats[1],
            max_cpm: Micros(caps[0]),
            cpc_micros: terms[0],
            target_cpa_micros: terms[1],
            expected_cvr_ppm,
            order_value_micros,
            target_roas_ppm,
        };
        let price = strategy.price(&input, floats[2]);
        prop_assert!(price.0 <= caps[0].min(caps[1]));
        prop_assert!(strategy.price(&input, 0.5) <= strategy.price(&input, 1.5));
        let told = strategy.factors(&input, floats[2]).last().copied();
        prop_assert_eq!(told, Some(("price_micros", price.0 as f64)));
    }
}

proptest! {
    /// Whoever skips a price by its bound must never skip one that would have been higher.
    #[test]
    fn no_price_is_above_its_bound(
        kind in 0..6,
        p_click in 1e-7f64..1.0,
        average in prop_oneof![Just(0.0), 1e-5f64..0.5],
        multiplier in 1e-4f64..10.0,
        is_paced in any::<bool>(),
        max_cpm in prop_oneof![Just(1_000_000_000_000_000), 1..20_000_000u64],
    ) {
        let objective = match kind {
            0 => Objective::FixedCpm { base_bid: None },
            1 => Objective::FixedCpm { base_bid: Some(BASE) },
            2 => Objective::Linear { base_bid: BASE, average_p_click: None },
            3 => Objective::TargetCpa,
            4 => Objective::TargetRoas,
            _ => Objective::Cpc,
        };
        let pacing = if is_paced { PacingKind::Dual } else { PacingKind::None };
        let strategy = Strategy { pacing, ..strategy(objective) };
        let max_cpm = Micros(max_cpm);
        let input = ValueInput { p_click, average_p_click: average, max_cpm, ..input() };
        let ln_price = strategy.ln_worth(&input).price(p_click.ln() as f32, multiplier.ln() as f32);
        let bound = f64::from(ln_price + 1e-3).exp();
        let price = strategy.price(&input, multiplier).0 as f64;
        prop_assert!(price <= bound + 0.5, "{price} above {bound}");
        // And it is no idle bound.
        prop_assert!(price >= 0.99 * bound - 0.5, "{price} far below {bound}");
    }
}

#[test]
fn what_cannot_bid_is_worth_nothing() {
    let never = strategy(Objective::Cpc).ln_worth(&ValueInput { cpc_micros: None, ..input() });
    assert_eq!(never, LnWorth::NEVER);
    assert_eq!(never.price(0.0, 0.0), f32::NEG_INFINITY);
}
