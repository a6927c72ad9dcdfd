//! An imported model has the last word, over sockets: it changes who is bid, is timed and counted, and a
//! file that cannot be used is named before anything is served.
#![cfg(feature = "onnx")]

mod common;
#[path = "common/onnx.rs"]
#[allow(dead_code, reason = "each test file uses its own part")]
mod onnx;

use common::{Campaign, Engine, Site, counter, request, until};
use onnx::{additive, by_column};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const COLUMNS: u64 = outbid::prediction::ONNX_COLUMNS as u64;
const KEYS: &str =
    "[prediction.onnx]\nfile = \"clicks.onnx\"\nvocabulary = 64\ntop = 4\nbudget_us = 1000000\n";

/// Two campaigns that bid alike for one banner.
fn site(model: &[u8]) -> Site {
    let campaigns = ["alder", "birch"].map(|name| Campaign {
        name,
        advertiser: name,
        strategy: "clicks",
        bid: "max_cpm = \"900\"\ncpc = \"2.00\"",
        ..Campaign::default()
    });
    let site = Site::new(&campaigns, "", KEYS);
    std::fs::write(site.folder().join("clicks.onnx"), model).expect("a model");
    site
}

fn outbid(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_outbid"))
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("the binary runs")
}

fn contribution(explained: &Value, name: &str) -> Option<f64> {
    let parts = explained["price"]["contributions"].as_array()?;
    parts.iter().find(|part| part[0] == name)?[1].as_f64()
}

#[test]
fn an_imported_model_is_asked_timed_and_counted() {
    let weights: Vec<f32> = (0..64).map(|id| -0.2 + (id as f32).sqrt() * 0.02).collect();
    let mut engine = Engine::start(site(&additive(COLUMNS, &weights)), None);
    until("a bid", || engine.bid(&request("r", "reader-1")));
    let mut explain =
        || ["alder", "birch"].map(|name| engine.explained(&request("r", "reader-1"), name));
    let said = |explained: &[Value; 2]| {
        explained.each_ref().map(|one| contribution(one, "onnx").expect("both were asked about"))
    };
    // Ads have ids as soon as our model knows them, which may be after the first bid.
    until("two ads", || {
        let said = said(&explain());
        (said[0] != said[1]).then_some(())
    });
    let explained = explain();
    let said = said(&explained);
    assert!(said.iter().all(|nats| nats.is_finite()), "{said:?}");
    // It decides: the ad that it thinks more of is bid.
    let p =
        explained.each_ref().map(|one| one["price"]["p_click"].as_f64().expect("a probability"));
    let ends = explained.each_ref().map(|one| one["end"] == "bid");
    assert_eq!(ends, [p[0] > p[1], p[1] > p[0]], "{p:?}");
    let metrics = engine.admin.get("/metrics").text();
    let done = counter(&metrics, "outbid_reranks_total{outcome=\"done\"}");
    assert!(done >= 1, "{metrics}");
    assert_eq!(counter(&metrics, "outbid_rerank_seconds_count"), done);
    let latency = engine.admin.get("/latency").json();
    assert!(latency["rerank"]["count"].as_u64() >= Some(1), "{latency}");
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let site = site(b"no model");
    let checked = outbid(site.folder(), "check --config outbid.toml");
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        !checked.status.success()
            && said.contains("prediction.onnx")
            && said.contains("clicks.onnx"),
        "{said}"
    );
    let started = outbid(site.folder(), "serve --config outbid.toml");
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(!started.status.success() && said.contains("prediction.onnx"), "{said}");
}

/// `evaluate ctr --onnx` judges it beside ours, on what `--ids` says that it is asked.
#[test]
fn an_imported_model_is_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let rows: String = (0..400)
        .map(|row| {
            format!("{} |a a{} |b b{}\n", if row % 2 == 0 { 1 } else { -1 }, row % 2, row % 7)
        })
        .collect();
    std::fs::write(at.join("rows.vw"), rows).expect("rows");
    let run = |arguments: &str| {
        let output = outbid(at, arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments}: {errors}");
        serde_json::from_slice::<Value>(&output.stdout).expect("one JSON object")
    };
    let small = "--linear-bits 12 --vector-bits 10 --vocabulary 64 --json";
    run(&format!("evaluate ctr --file rows.vw --ids ids.csv {small}"));
    let ids = std::fs::read_to_string(at.join("ids.csv")).expect("ids");
    let lines: Vec<&str> = ids.lines().collect();
    assert_eq!((lines.len(), lines[0]), (401, "label,a,b"));
    let cell = |line: &str, place: usize| -> usize {
        line.split(',').nth(place).and_then(|cell| cell.parse().ok()).expect("a number")
    };
    // A model that knows what the label follows.
    let mut weights = vec![0.0; 64];
    (weights[cell(lines[1], 1)], weights[cell(lines[2], 1)]) = (4.0, -4.0);
    std::fs::write(at.join("clicks.onnx"), by_column(&[1.0, 0.0], &weights)).expect("a model");
    let told = run(&format!("evaluate ctr --file rows.vw --onnx clicks.onnx {small}"));
    let models = told["models"].as_array().expect("models");
    assert_eq!((models.len(), &models[1]["model"]), (2, &Value::from("onnx")));
    assert_eq!(models[1]["progressive"]["auc"], 1.0);
    assert_eq!(models[1]["imported"]["failed"], 0);
    assert!(models[1]["imported"]["latency_us"]["ten"][0].as_f64() > Some(0.0), "{told}");
    assert_eq!(models[0]["imported"], Value::Null);
    std::fs::write(at.join("clicks.onnx"), additive(3, &weights)).expect("a model");
    let refused = outbid(at, &format!("evaluate ctr --file rows.vw --onnx clicks.onnx {small}"));
    assert!(!refused.status.success(), "another number of columns");
}
