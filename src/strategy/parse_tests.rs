use super::*;
use proptest::prelude::*;

const GOOD: &str = "version = 1\nobjective = \"linear\"\nbase_bid_micros = 2_000_000\n\
                    pacing = \"dual\"\nmultiplier_min = 0.5\nmultiplier_max = 2.0\n";

#[test]
fn the_shipped_strategies_load() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("strategies");
    let strategies = Strategies::load(&folder).expect("good files");
    let names: Vec<_> = strategies.names().collect();
    for name in
        ["cpc", "cpc_asap", "fixed_cpm", "fixed_cpm_ahead", "linear", "target_cpa", "target_roas"]
    {
        assert!(names.contains(&name), "{name}");
    }
    for name in names {
        let id = strategies.get(name).expect("an id");
        let strategy = strategies.strategy(id).expect("a strategy");
        assert!(name.starts_with(strategy.objective().name()));
        let pacing = match name {
            "cpc_asap" => PacingKind::Asap,
            "fixed_cpm_ahead" => PacingKind::Ahead,
            _ => PacingKind::Dual,
        };
        assert_eq!(strategy.pacing(), pacing, "{name}");
        assert_eq!(strategy.shading() == Shading::Auto, name.ends_with("_first_price"), "{name}");
        let explores = strategy.exploration() != Exploration::None;
        assert_eq!(explores, name.ends_with("_explore"), "{name}");
        let text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).expect("a file");
        assert!(
            text.starts_with('#') && text.contains("Choose it"),
            "{name} says when to choose it"
        );
    }
    assert_eq!(strategies.get("none"), None);
    assert_eq!(strategies.strategy(StrategyId(256)), None);
}

#[test]
fn a_good_file_is_read_as_written() {
    let strategy = parse(GOOD).expect("good");
    assert_eq!(
        strategy.objective(),
        Objective::Linear { base_bid: Micros(2_000_000), average_p_click: None }
    );
    assert_eq!(strategy.multiplier_bounds(), (0.5, 2.0));
    assert_eq!(strategy.shading(), Shading::None);
    assert_eq!(strategy.exploration(), Exploration::None);
    let more =
        format!("{GOOD}average_p_click = 0.002\nshading = 'auto'\nexploration = 'thompson'\n");
    let strategy = parse(&more).expect("good");
    let average_p_click = Some(0.002);
    let linear = Objective::Linear { base_bid: Micros(2_000_000), average_p_click };
    assert_eq!(strategy.objective(), linear);
    assert_eq!(strategy.shading(), Shading::Auto);
    assert_eq!(strategy.exploration(), Exploration::Thompson { share_ppm: 50_000 });
    let share = parse(&format!("{more}exploration_share = 0.1\n")).expect("good").exploration();
    assert_eq!(share, Exploration::Thompson { share_ppm: 100_000 });
    let short = parse("version = 1\nobjective = 'cpc'\npacing = 'none'\n").expect("good");
    assert_eq!(short.multiplier_bounds(), (1.0, 1.0));
}

#[test]
fn wrong_files_are_refused_with_line_and_reason() {
    for (from, to, line, reason) in [
        ("version = 1", "version = 2", 1, "version is not known"),
        ("version = 1\n", "", 0, "missing field `version`"),
        ("linear", "liner", 2, "unknown variant `liner`"),
        ("base_bid_micros", "base_bid", 3, "unknown field `base_bid`"),
        ("2_000_000", "2.5", 3, "invalid type: floating point"),
        ("2_000_000", "\"2.5\"", 3, "invalid type: string"),
        ("2_000_000", "-2", 3, "invalid value: integer"),
        ("2_000_000", "2", 3, "1.00 CPM is 1_000_000"),
        ("2_000_000", "2_000_000_000_000_000", 3, "1.00 CPM is 1_000_000"),
        ("base_bid_micros = 2_000_000", "", 2, "needs base_bid_micros"),
        ("linear", "cpc", 3, "no part in objective `cpc`"),
        ("linear", "target_cpa", 3, "no part in objective `target_cpa`"),
        ("linear", "target_roas", 3, "no part in objective `target_roas`"),
        ("\"dual\"", "\"none\"", 5, "without pacing"),
        ("= 0.5", "= 3.0", 5, "is above multiplier_max"),
        ("= 0.5", "= 0.0", 5, "between 1e-6 and 1e6"),
        ("= 0.5", "= nan", 5, "between 1e-6 and 1e6"),
        ("= 0.5", "= 1e-9", 5, "between 1e-6 and 1e6"),
        ("= 2.0\n", "= 2.0\nmax_cpm_micros = 1_999_999\n", 3, "above max_cpm_micros"),
        ("= 2.0\n", "= 2.0\nmax_cpm_micros = 0\n", 7, "max_cpm_micros is 0"),
        ("= 2.0\n", "= 2.0\nexploration = \"greedy\"\n", 7, "unknown variant `greedy`"),
        ("= 2.0\n", "= 2.0\nshading = \"flat\"\n", 7, "unknown variant `flat`"),
        ("= 2.0\n", "= 2.0\nexploration_share = 0.05\n", 7, "no part without exploration"),
        (
            "= 2.0\n",
            "= 2.0\nexploration = \"none\"\nexploration_share = 0.05\n",
            8,
            "no part without exploration",
        ),
        (
            "= 2.0\n",
            "= 2.0\nexploration = \"thompson\"\nexploration_share = 5.0\n",
            8,
            "between 0 and 0.1",
        ),
        (
            "= 2.0\n",
            "= 2.0\nexploration = \"thompson\"\nexploration_share = nan\n",
            8,
            "between 0 and 0.1",
        ),
        (
            "= \"linear\"\nbase_bid_micros = 2_000_000",
            "= \"fixed_cpm\"\nexploration = \"thompson\"",
            3,
            "reads no prediction",
        ),
        ("= 2.0\n", "= 2.0\naverage_p_click = 5\n", 7, "between 1e-7 and 1"),
        ("= 2.0\n", "= 2.0\naverage_p_click = 1.5\n", 7, "between 1e-7 and 1"),
        ("= 2.0\n", "= 2.0\naverage_p_click = 0.0\n", 7, "between 1e-7 and 1"),
        (
            "= \"linear\"\nbase_bid_micros = 2_000_000",
            "= \"cpc\"\naverage_p_click = 0.001",
            3,
            "average_p_click has no part in objective `cpc`",
        ),
        ("= 2.0\n", "= 2.0\nversion = 1\n", 7, "duplicate key"),
        ("= 2.0\n", "= \n", 6, ""),
    ] {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD, "{from} stands in the good file");
        let refusal = parse(&text).expect_err(&text);
        let ok = refusal.1.contains(reason) && (refusal.0 == line || line == 0);
        assert!(ok, "{refusal:?} instead of {line}: {reason}\n{text}");
    }
}

#[test]
fn a_folder_loads_as_a_whole_or_reports_each_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("a file");
    };
    let load = || Strategies::load(folder.path());
    assert!(load().expect_err("empty")[0].reason.contains("holds 0 strategies"));
    write("good.toml", GOOD);
    write("notes.md", "not a strategy");
    assert_eq!(load().expect("good").names().len(), 1);
    write("wrong.toml", &GOOD.replace("version = 1", "version = 9"));
    write("Upper.toml", GOOD);
    write("vast.toml", &"#".repeat(20_000));
    let errors = load().expect_err("three wrong files");
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 3, "{texts:?}");
    assert!(texts[0].contains("Upper.toml:0: a strategy is named"), "{texts:?}");
    assert!(texts[1].contains("vast.toml:0: is larger"), "{texts:?}");
    assert!(texts[2].contains("wrong.toml:1: this version"), "{texts:?}");
    let absent = Strategies::load(&folder.path().join("absent")).expect_err("no folder");
    assert!(absent[0].reason.contains("cannot be read"));
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}", from in 0..100usize, to in 0..100usize) {
        let _ = parse(&text);
        let mut damaged = GOOD.to_owned();
        damaged.replace_range(from.min(to)..from.max(to), &text);
        let _ = parse(&damaged);
    }
}
