//! A public auction log over HTTP against the real binary gives the published figures: linear bidding
//! on iPinYou 2997 at c0 = 1/32 buys 71 clicks with 32,208 impressions for 203,610 (Cai et al., WSDM
//! 2017), with tokens, notices, leases and the ledger taking part, and the server's books agree with
//! the exchange's to the nano.
//!
//! The first five of its 157 episodes are played, and held against a computation of their own, and two
//! at c0 = 1/2, where nearly every episode spends all that it has; `OUTBID_FULL=1` plays all of them,
//! which takes half an hour unoptimised.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Episodes of a thousand auctions that are played by default.
const EPISODES: usize = 5;

/// The log, or `None` with a word of what is skipped.
fn log_file() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared =
        std::env::var_os("OUTBID_SHARED").map_or_else(|| "../shared".into(), PathBuf::from);
    let file = root.join(shared).join("data/ipinyou_2997_rlb/test.theta.txt");
    if file.is_file() {
        return Some(file);
    }
    eprintln!("skipped: {} is not there; set OUTBID_SHARED", file.display());
    None
}

fn replay(file: &Path, args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_outbid"))
        .arg("replay")
        .arg("--file")
        .arg(file)
        .args(args)
        .arg("--json")
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Whether `outbid ledger verify` finds that the exchange is owed what it says.
fn is_verified(state: &Path, bills: &Path) -> bool {
    let verify = Command::new(env!("CARGO_BIN_EXE_outbid"))
        .args(["ledger", "verify", "--state"])
        .arg(state)
        .arg("--exchange-ledger")
        .arg(bills)
        .output()
        .expect("the binary starts");
    verify.status.success()
}

/// The published protocol in ten lines, at c0 = 1/`of` with the base bid that its authors tuned for it:
/// clicks, impressions, cost.
fn expected(log: &str, auctions: usize, of: u64, base: f64) -> (u64, u64, u64) {
    let (theta, budget) = (1386.0 / 312_437.0, 19_689_072 * 1_000 / 312_437 / of);
    let (mut clicks, mut impressions, mut cost, mut left) = (0, 0, 0, 0);
    for (number, line) in log.lines().take(auctions).enumerate() {
        let mut fields = line.split(' ');
        let mut field = || fields.next().expect("three fields").parse::<f64>().expect("a number");
        let (click, price, p_click) = (field() as u64, field() as u64, field());
        left = if number % 1_000 == 0 { budget } else { left };
        if ((p_click * base / theta) as u64).min(300).min(left) >= price {
            (clicks, impressions, cost) = (clicks + click, impressions + 1, cost + price);
            left -= price;
        }
    }
    (clicks, impressions, cost)
}

fn figures(played: &Value) -> (u64, u64, u64) {
    let count = |key: &str| played[key].as_u64().expect("a count");
    let cost = played["cost_units"].as_str().and_then(|text| text.parse().ok());
    (count("clicks"), count("impressions"), cost.expect("whole units"))
}

#[test]
fn linear_bidding_over_http_buys_what_is_published() {
    let Some(file) = log_file() else { return };
    let log = std::fs::read_to_string(&file).expect("the log");
    let published = expected(&log, usize::MAX, 32, 10.0);
    assert_eq!(published, (71, 32_208, 203_610), "the published row");
    let is_full = std::env::var_os("OUTBID_FULL").is_some();
    let episodes = if is_full { log.lines().count().div_ceil(1_000) } else { EPISODES };
    let episodes_text = episodes.to_string();
    let args = ["--strategy", "lin", "--budget", "1/32", "--episodes", &episodes_text];
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("kept");
    let http = ["--http", "--keep", kept.to_str().expect("a name")];
    let over_http = replay(&file, &[&args[..], &http].concat());
    assert_eq!(figures(&over_http), expected(&log, episodes * 1_000, 32, 10.0));
    let due = over_http["cost_nanos"].as_str().expect("nanos");
    assert_eq!(over_http["server_billed_nanos"].as_str(), Some(due), "the server's ledger");
    // And the log of the ledger, read again after the server was killed.
    let bills = kept.join("exchange-ledger.csv");
    assert!(is_verified(&kept.join("state"), &bills), "the ledger's log");
    let more = due.parse::<i128>().expect("a number") + 1;
    std::fs::write(&bills, format!("campaign,billed_nanos\nlog,{more}\n")).expect("a file");
    assert!(!is_verified(&kept.join("state"), &bills), "a nano more is a difference");
    // The same by the parts alone, an episode a day.
    assert_eq!(figures(&replay(&file, &args)), figures(&over_http));
}

#[test]
fn a_budget_that_is_spent_in_each_episode_is_spent_to_its_end() {
    let Some(file) = log_file() else { return };
    let log = std::fs::read_to_string(&file).expect("the log");
    let episodes = if std::env::var_os("OUTBID_FULL").is_some() { 157 } else { 2 };
    let count = episodes.to_string();
    let args = ["--strategy", "lin", "--budget", "1/2", "--episodes", &count, "--http"];
    assert_eq!(figures(&replay(&file, &args)), expected(&log, episodes * 1_000, 2, 130.0));
}

#[test]
fn what_cannot_be_replayed_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("a file");
        file
    };
    let training = "{\"clk_train\":1,\"imp_train\":100,\"cost_train\":5000}";
    let (log, _) = (write("log.txt", "0 70 0.01\n1 7 0.02\n"), write("info.json", training));
    let bad = write("bad.txt", "0 70 0.01\n0 seventy 0.01\n");
    let unpriced = write("unpriced.toml", "version = 1\nobjective = \"cpx\"\npacing = \"none\"\n");
    let unpriced = unpriced.display().to_string();
    for (file, args, reason) in [
        (&bad, vec![], "bad.txt:2"),
        (&log, vec!["--strategy", "lin", "--budget", "1/7"], "tuned `lin` for"),
        (&log, vec!["--strategy", "absent"], "no such strategy"),
        (&log, vec!["--strategy", &unpriced], "unknown variant `cpx`"),
        (&log, vec!["--budget", "0/1"], "1/32 is one"),
        (&log, vec!["--episode", "0"], "--episode is at least 1"),
        (
            &log,
            vec!["--strategy", "lin", "--http", "--server", "/bin/false"],
            "did not say where it listens",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_outbid"))
            .current_dir(folder.path())
            .args(["replay", "--file"])
            .arg(file)
            .args(&args)
            .output()
            .expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{args:?}: {said}");
    }
}
