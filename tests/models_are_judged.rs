//! `outbid evaluate` and `outbid train` from the outside: the marks on public data that the model must
//! reach with its one default setting, and what the subcommands say of small files.
//!
//! The public data lies in the folder that `OUTBID_SHARED` names (default `../shared`); without it the
//! tests of marks say that they skip.

use outbid::evaluate::{Example, Examples, FeatureMap, Metrics, Model, Scored, Tolerance};
use outbid::prediction::{Config, FwfmConfig, Shadows};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn shared(name: &str) -> Option<PathBuf> {
    let shared =
        std::env::var_os("OUTBID_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let file = shared.join("data").join(name);
    if !file.exists() {
        println!("SKIPPED: {} is not there (set OUTBID_SHARED)", file.display());
    }
    file.exists().then_some(file)
}

/// Progressive predictions of the default model with 8 components; tables are smaller than those of the
/// command line, which changes little for so few rows.
fn progressive(file: &Path, map: &str) -> Vec<Scored> {
    let map = FeatureMap::read(&root().join("fixtures/maps").join(map)).expect("a map");
    let config = FwfmConfig {
        base_rate: 0.5,
        linear_bits: 18,
        vector_bits: 17,
        ..FwfmConfig::new(map.width(), 8)
    };
    let models = Shadows::new(&config, &Config::default().rates).expect("models");
    let mut model = Model::Shadows(Box::new(models));
    let mut examples = Examples::open(file, &map, &mut Tolerance::new(false)).expect("open");
    let (mut scored, mut example) = (Vec::new(), Example::default());
    while let Some(read) = examples.advance(&mut example) {
        read.expect("a good row");
        scored.push(model.learn(&example));
    }
    scored
}

#[test]
fn criteo_reaches_its_mark() {
    let Some(file) = shared("criteo_8k/train.tsv") else { return };
    let scored = progressive(&file, "criteo.toml");
    let metrics = Metrics::of(&scored, 10);
    println!("{metrics:?}");
    assert_eq!(metrics.rows, 7_200);
    assert!(metrics.log_loss <= 0.4666, "the peer's best: {}", metrics.log_loss);
}

#[test]
fn talking_data_reaches_its_mark() {
    let Some(file) = shared("talkingdata_100k/train_sample.csv") else { return };
    let scored = progressive(&file, "talkingdata.toml");
    let metrics = Metrics::of(&scored[scored.len() / 2..], 10);
    println!("{metrics:?}");
    assert_eq!(metrics.rows, 50_000);
    assert!(metrics.auc.expect("both labels") >= 0.957, "{metrics:?}");
    assert!(metrics.log_loss <= 0.0075, "{metrics:?}");
}

fn outbid(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_outbid"))
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("the binary runs")
}

/// The JSON that a command prints.
fn told(folder: &Path, arguments: &str) -> Value {
    let output = outbid(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {errors}");
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// What a command that must fail says.
fn refused(folder: &Path, arguments: &str) -> String {
    let output = outbid(folder, arguments);
    assert!(!output.status.success(), "{arguments} went well");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Rows in which `a` and `b` decide the label only together.
fn rows(from: u32, to: u32) -> String {
    let mut text = String::new();
    for row in from..to {
        let (a, b) = (row % 2, row / 2 % 2);
        let label = if a == b { 1 } else { -1 };
        writeln!(text, "{label} |a a{a} |b b{b} |c c{}", row % 7).expect("a line");
    }
    text
}

const SMALL: &str = "--linear-bits 12 --vector-bits 10 --json";

#[test]
fn a_trained_model_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    std::fs::write(at.join("first.vw"), rows(0, 1_500)).expect("written");
    std::fs::write(at.join("second.vw"), rows(1_500, 3_000)).expect("written");
    std::fs::write(at.join("all.vw"), rows(0, 3_000)).expect("written");
    let trained = told(at, &format!("train ctr --file first.vw --model m {SMALL}"));
    assert_eq!(trained["learned"], 1_500);
    told(at, "train ctr --file second.vw --load m --model n --json");
    told(at, &format!("train ctr --file all.vw --model whole {SMALL}"));
    let loss = |model: &str, file: &str| {
        let said = told(at, &format!("evaluate ctr --file {file} --load {model} --json"));
        said["models"][0]["progressive"]["log_loss"].as_f64().expect("a loss")
    };
    assert_eq!(loss("n", "all.vw"), loss("whole", "all.vw"), "in two parts or in one");
    assert!(loss("n", "all.vw") < 0.1, "the pair was learned");
    let fresh = told(at, &format!("evaluate ctr --file all.vw --from 0.5 {SMALL}"));
    let fresh = fresh["models"][0]["progressive"]["log_loss"].as_f64().expect("a loss");
    assert!(loss("n", "first.vw") < fresh * 2.0, "and nothing was lost on the way");
    // Neither part is used without the other.
    std::fs::copy(at.join("n"), at.join("alone")).expect("copied");
    assert!(refused(at, "evaluate ctr --file all.vw --load alone").contains("alone.map.toml"));
    let map = std::fs::read_to_string(at.join("n.map.toml")).expect("a map");
    std::fs::write(at.join("alone.map.toml"), map.replace("\"c\"", "\"d\"")).expect("written");
    let said = refused(at, "evaluate ctr --file all.vw --load alone");
    assert!(said.contains("another feature map"), "{said}");
    let mut bytes = std::fs::read(at.join("n")).expect("a model");
    bytes[60] ^= 1;
    std::fs::write(at.join("n"), bytes).expect("written");
    let said = refused(at, "evaluate ctr --file all.vw --load n");
    assert!(said.contains("damaged"), "{said}");
}

#[test]
fn faults_are_named_and_skipped_where_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    std::fs::write(at.join("d.vw"), rows(0, 50) + "7 |a x\n" + &rows(50, 100)).expect("written");
    let said = refused(at, &format!("evaluate ctr --file d.vw {SMALL}"));
    assert!(said.contains("d.vw, line 51: label 7 is none of 1, 0 and -1"), "{said}");
    let said = told(at, &format!("evaluate ctr --file d.vw --lenient --plot r.svg {SMALL}"));
    assert_eq!(said["skipped"], 1);
    assert_eq!(said["models"][0]["progressive"]["rows"], 100);
    let drawn = std::fs::read_to_string(at.join("r.svg")).expect("a diagram");
    assert!(drawn.contains("<svg") && drawn.contains("as predicted"));
    assert!(refused(at, "evaluate ctr --file nowhere.vw").contains("nowhere.vw"));
    assert!(refused(at, "evaluate ctr --file d.csv").contains("--map"));
}

#[test]
fn a_user_teaches_a_private_model_so_often_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let map = "format = \"csv\"\n[label]\ncolumn = \"clicked\"\n[[field]]\nkind = \"category\"\n\
               columns = [\"a\"]\n";
    std::fs::write(at.join("m.toml"), map).expect("written");
    let mut text = "who,other,clicked,a\n".to_owned();
    for row in 0..60 {
        writeln!(text, "same,u{},{},a{}", row / 2, row % 2, row % 3).expect("a line");
    }
    std::fs::write(at.join("d.csv"), text).expect("written");
    let judged = |more: &str| {
        let small = format!("{SMALL} --dp-epsilon 8 --dp-ticks 4 --dp-bits 8");
        told(at, &format!("evaluate ctr --file d.csv --map m.toml {small} {more}"))
    };
    for (more, beyond) in [
        ("", 0),
        ("--dp-users who", 59),
        ("--dp-users who --dp-examples 4", 56),
        ("--dp-users other", 30),
        ("--dp-users other --dp-examples 2 --test d.csv", 0),
    ] {
        let said = judged(more);
        assert_eq!(said["beyond_bound"], beyond, "{more}: {said}");
        assert_eq!(said["models"][2]["progressive"]["rows"], 60, "all are predicted: {more}");
    }
    let asked = "evaluate ctr --file d.csv --map m.toml --dp-epsilon 1 --dp-users";
    assert!(refused(at, &format!("{asked} nobody")).contains("no column `nobody`"));
    assert!(
        refused(at, "evaluate ctr --file d.csv --map m.toml --dp-users who").contains("--dp-eps")
    );
    std::fs::write(at.join("d.csv"), "who,other,clicked,a\nx,y,1,a\n,y,0,a\n").expect("written");
    let said = refused(at, &format!("{asked} who"));
    assert!(said.contains("d.csv, line 3: no user"), "{said}");
    std::fs::write(at.join("d.vw"), rows(0, 9)).expect("written");
    let said = refused(at, "evaluate ctr --file d.vw --dp-epsilon 1 --dp-users who");
    assert!(said.contains("a column of a table"), "{said}");
}

#[test]
fn a_policy_is_worth_what_its_actions_earn() {
    // `a` earns 1 in the context x and nothing in y, `b` the other way round; logged at random.
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let (mut bare, mut known) = (String::new(), String::new());
    bare += "user,action,propensity,reward\n";
    known += "user,action,propensity,reward,predicted.a,predicted.b\n";
    let mut target = String::from("b,a\n");
    for row in 0..2_000_u32 {
        let user = if row / 2 % 2 == 0 { "x" } else { "y" };
        let action = if row % 2 == 0 { "a" } else { "b" };
        let reward = u8::from((user == "x") == (action == "a"));
        writeln!(bare, "{user},{action},0.5,{reward}").expect("a line");
        let predicted = if user == "x" { "0.9,0.2" } else { "0.1,0.7" };
        writeln!(known, "{user},{action},0.5,{reward},{predicted}").expect("a line");
        target += "0.25,0.75\n";
    }
    std::fs::write(at.join("bare.csv"), bare).expect("written");
    std::fs::write(at.join("known.csv"), known).expect("written");
    std::fs::write(at.join("target.csv"), target).expect("written");
    let value = |arguments: &str, estimate: &str| {
        let said = told(at, &format!("evaluate policy {arguments} --replicates 50 --json"));
        said["value"][estimate]["value"].as_f64().expect("a value")
    };
    assert_eq!(value("--file known.csv --target uniform", "ips"), 0.5);
    for estimate in ["ips", "snips", "dr"] {
        let greedy = value("--file known.csv --target greedy", estimate);
        assert!((greedy - 1.0).abs() < 1e-9, "{estimate} {greedy}");
        let half = value("--file known.csv --target epsilon:0.5", estimate);
        assert!((half - 0.75).abs() < 1e-9, "{estimate} {half}");
        let fixed = value("--file known.csv --target-file target.csv", estimate);
        assert!((fixed - 0.5).abs() < 1e-9, "{estimate} {fixed}");
    }
    // Nothing is predicted: the engine's own model learns it.
    let learned = value("--file bare.csv --target greedy --vector-bits 10", "dr");
    assert!((learned - 1.0).abs() < 0.02, "{learned}");
    let said = refused(at, "evaluate policy --file bare.csv --target greedy --fit 0");
    assert!(said.contains("predicted rewards"), "{said}");
    let clipped = value("--file known.csv --target greedy --clip 1", "ips");
    assert!((clipped - 0.5).abs() < 1e-9, "clipping halves every weight: {clipped}");
}
