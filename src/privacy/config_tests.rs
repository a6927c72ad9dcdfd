use super::*;

#[test]
fn configurations_that_promise_nothing_are_refused() {
    type Change = fn(&mut Config);
    let cases: [(&str, Change); 23] = [
        ("epsilon", |config| config.epsilon = 0.0),
        ("epsilon", |config| config.epsilon = -1.0),
        ("epsilon", |config| config.epsilon = f64::NAN),
        ("epsilon", |config| config.epsilon = f64::INFINITY),
        ("epsilon", |config| config.epsilon = 4.01),
        ("epsilon", |config| {
            config.epsilon = 33.0;
            config.allow_weak = true;
        }),
        ("delta", |config| config.delta = 0.0),
        ("delta", |config| config.delta = f64::NAN),
        ("delta", |config| config.delta = 1.1e-6),
        ("delta", |config| config.users_max = 1_000_001),
        ("releases_per_day", |config| config.releases_per_day = 0),
        ("releases_per_day", |config| config.releases_per_day = 1_441),
        ("half_life_hours", |config| config.half_life_hours = 0),
        ("users_max", |config| config.users_max = 0),
        ("users_max", |config| config.users_max = 4_000),
        ("users_max", |config| config.epsilon = 1e-5),
        ("clicks.rho_percent", |config| config.model_rho_percent = 1),
        ("spend_levels", |config| config.spend_levels = 257),
        ("spend_cpm_micros_max", |config| config.spend_cpm_micros_max = 199),
        ("clicks", |config| config.clicks.per_cell = 0),
        ("clicks", |config| config.clicks.cells = 33),
        ("clicks", |config| config.clicks.total = 0),
        ("conversions", |config| config.conversions.rho_percent = 0),
    ];
    for (expected, change) in cases {
        let mut config = Config::default();
        change(&mut config);
        let Err(Error::Config { key, .. }) = Plan::try_from(&config) else {
            panic!("accepted: {config:?}");
        };
        assert_eq!(key, expected, "{config:?}");
    }
    let mut weak = Config::default();
    (weak.epsilon, weak.allow_weak) = (8.0, true);
    assert!(Plan::try_from(&weak).is_ok());
    for text in ["epsylon = 1.0", "clicks = { per_cell = 1 }"] {
        assert!(toml::from_str::<Config>(text).is_err(), "{text}");
    }
}

#[test]
fn the_noise_costs_no_more_than_its_share() {
    let plan = Plan::try_from(&Config::default()).unwrap();
    assert!(plan.scheduled() <= plan.budget());
    for kind in Kind::ALL {
        let KindPlan { bound, rho, scale } = plan.kind(kind);
        let norm_squared = plan.continual().norm_squared() as f64;
        let cost = bound.sensitivity_squared() as f64 * norm_squared / (2.0 * scale.variance());
        assert!(cost <= rho.as_f64(), "{kind:?} costs {cost}, above {rho:?}");
        assert!(cost > rho.as_f64() * 0.999, "{kind:?} wastes its share");
    }
}

#[test]
fn a_price_is_clamped_and_rounded() {
    let plan = Plan::try_from(&Config::default()).unwrap();
    assert_eq!(plan.spend_unit_nanos(), 100_000);
    for (price, units) in [
        (0, 0),
        (49_999, 0),
        (50_000, 1),
        (1_000_000, 10),
        (20_000_000, 200),
        (20_100_000, 200),
        (u64::MAX, 200),
    ] {
        assert_eq!(plan.spend_units(Micros(price)), units, "{price}");
    }
}
