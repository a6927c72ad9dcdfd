//! `outbid demo` as a user runs it, on a small day: it ends, its books agree with the exchange's to
//! the nano, no budget is passed, and its JSON carries what readers rely on. The promises that need
//! a whole day (pacing, lift) are held by `outbid demo --check` in `.ci/run`; here, that it speaks up.

use serde_json::Value;
use std::process::{Command, Output};

/// Plays a small day, paced and unpaced.
fn play(more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_outbid"))
        .args(["demo", "--json", "--users", "400"])
        .args(more)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the binary starts")
}

/// Money is text: a JSON number loses nanos.
fn nanos(campaign: &Value, key: &str) -> i128 {
    let text = campaign[key].as_str().unwrap_or_else(|| panic!("{key} in {campaign}"));
    text.parse().unwrap_or_else(|error| panic!("{key} `{text}`: {error}"))
}

#[test]
fn a_small_day_keeps_the_books_and_tells_everything() {
    let output = play(&["--requests", "4000"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    for key in ["requests", "bids", "wins"] {
        assert!(summary[key].as_u64().is_some_and(|count| count > 500), "{key}: {}", summary[key]);
    }
    for key in ["auc", "predicted_over_actual", "epsilon_spent"] {
        assert!(summary[key].as_f64().is_some_and(f64::is_finite), "{key}: {}", summary[key]);
    }
    assert!(summary["epsilon_spent"].as_f64().is_some_and(|spent| spent <= 4.0));
    assert!(summary["no_bid_reasons"].is_object());
    let others = ["random", "popularity", "no-interest", "no-learning", "no-relevance"];
    for arm in ["full"].into_iter().chain(others) {
        let arm = &summary["arms"][arm];
        assert!(arm["impressions"].as_u64().is_some_and(|count| count > 0), "{arm}");
        assert!(arm["clicks"].is_u64() && arm["ctr"].is_f64(), "{arm}");
    }
    let stages = summary["latency_us"].as_object().expect("stages");
    assert!(!stages.is_empty());
    for (name, stage) in stages {
        for key in ["p50", "p99", "p999", "max"] {
            assert!(stage[key].is_f64(), "{name}: {key} in {stage}");
        }
    }
    money(summary["campaigns"].as_array().expect("campaigns"));
}

#[test]
fn a_check_fails_and_names_what_was_not_kept() {
    // So few requests cannot use up half of the budgets.
    let output = play(&["--requests", "300", "--check"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{errors}");
    assert!(errors.contains("90 % of the day: less than half of all"), "{errors}");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("the object all the same");
    let campaigns = summary["campaigns"].as_array().expect("campaigns");
    assert!(campaigns.iter().all(|campaign| campaign["is_tight"].is_boolean()), "{campaigns:?}");
}

fn money(campaigns: &[Value]) {
    assert!(campaigns.len() >= 30, "{}", campaigns.len());
    let mut compared = 0;
    for campaign in campaigns {
        let name = campaign["id"].as_str().expect("a name");
        let [budget, billed, late, leased, absorbed, exchange] = [
            "budget_nanos",
            "billed_nanos",
            "late_nanos",
            "leased_nanos",
            "absorbed_nanos",
            "exchange_billed_nanos",
        ]
        .map(|key| nanos(campaign, key));
        assert!(billed + late + leased <= budget, "{name}: {billed}, {late}, {leased} of {budget}");
        assert!(late >= 0 && leased >= 0 && absorbed >= 0, "{campaign}");
        // The exchange counts in dollars, so these are the campaigns that do too.
        if !name.starts_with("bytehaus-") && absorbed == 0 {
            assert_eq!(exchange, billed, "{name}");
            compared += usize::from(billed > 0);
        }
    }
    assert!(compared >= 5, "only {compared} campaigns spent anything");
}
