//! Promise: `outbid ledger verify` folds the journal again and finds whatever differs from it: a
//! server, a snapshot, an exchange's own ledger; `outbid ledger show` shows the same accounts.

mod common;

use common::{Bid, Campaign, Process, Site, path_of, request, until};
use outbid::budget::{
    AdjustReason, Command as LedgerCommand, DayNumber, Ledger, Level, Outcome, SNAPSHOT_KEY, apply,
};
use outbid::clock::Civil;
use outbid::store::embedded::{SqliteLog, open_reader};
use outbid::store::{Pauses, Position, Snapshots};
use outbid::units::{CampaignId, Nanos, Timestamp};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct House {
    process: Process,
    state: PathBuf,
    _site: Site,
    /// What the exchange is owed, in nanos.
    owed: i64,
}

impl House {
    fn open(store: &str) -> Self {
        let more = format!("[store]\n{store}");
        let site = Site::new(&[Campaign::default()], "workers = 1", &more);
        let process = Process::serve(&site, None);
        let state = site.folder().join("state");
        let mut house = Self { process, state, _site: site, owed: 0 };
        house.spend(5);
        house
    }

    fn spend(&mut self, bills: i64) {
        for number in 0..bills {
            let asked = request(&format!("r-{}-{number}", self.owed), "reader").to_string();
            let bid = until("a bid", || {
                let reply = self.process.exchange.post("/openrtb2/x/bid", asked.as_bytes());
                (reply.status == 200).then(|| Bid::of(&reply.json()))
            });
            let bill = bid.billed_at("1.50");
            assert_eq!(self.process.public.get(path_of(&bill)).status, 200);
            self.owed += 1_500_000;
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.state.join(name);
        std::fs::write(&file, text).expect("a file");
        file
    }

    /// A line of the exchange's ledger for each bill.
    fn bills(&mut self) -> Vec<String> {
        until("all bills among the events", || {
            let lines = self.process.admin.get("/api/v1/events?kind=billing&limit=1000").text();
            let lines = lines.lines().map(serde_json::from_str::<Value>);
            let holds = lines.filter_map(|line| Some(line.ok()?["hold"].as_str()?.to_owned()));
            let bills: Vec<_> = holds.map(|hold| format!("{hold},1500000")).collect();
            (bills.len() == 5).then_some(bills)
        })
    }
}

fn ledger(words: &[&str], state: &Path, files: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbid"));
    command.arg("ledger").args(words).arg("--state").arg(state).env_remove("OUTBID_ADMIN_KEY");
    for (flag, file) in files {
        command.arg(flag).arg(file);
    }
    command.output().expect("it runs")
}

fn verified(state: &Path, files: &[(&str, &Path)]) -> (bool, Value) {
    let output = ledger(&["verify", "--json"], state, files);
    let report = serde_json::from_slice(&output.stdout);
    let report: Value = report.unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(output.status.success(), report["differences"] == json!([]), "{report}");
    (output.status.success(), report)
}

#[test]
fn whatever_differs_from_the_journal_is_found_to_the_nano() {
    let mut house = House::open("snapshot_every_records = 8");
    let (state, address) = (house.state.clone(), house.process.admin.address.to_string());
    let key = house.file("admin.key", &house.process.admin.key.clone().expect("a key"));
    let head = "campaign,billed_nanos";
    let right = house.file("right.csv", &format!("{head}\nshoes,{}\n", house.owed));
    let server = Path::new(&address);
    let all = [("--server", server), ("--key-file", &*key), ("--exchange-ledger", &*right)];
    let (is_right, report) = verified(&state, &all);
    assert!(is_right, "{report}");
    let compared = report["compared"].as_array().expect("a list");
    for what in ["the server at", "the snapshot at", "the ledger with itself", "the exchange"] {
        let has = |one: &Value| one.as_str().is_some_and(|one| one.starts_with(what));
        assert!(compared.iter().any(has), "{what}: {report}");
    }
    for (owed, name, difference) in [
        (house.owed - 1, "shoes", vec!["1"]),
        (house.owed + 7, "shoes", vec!["-7"]),
        (house.owed, "hats", vec!["7500000", "-7500000"]),
    ] {
        let wrong = house.file("wrong.csv", &format!("{head}\n{name},{owed}\n"));
        let (is_right, report) = verified(&state, &[("--exchange-ledger", &wrong)]);
        let found = report["differences"].as_array().expect("a list").iter();
        let found: Vec<_> = found.map(|one| one["difference_nanos"].clone()).collect();
        assert!(!is_right && found == difference, "{report}");
    }
    bills_one_by_one(&mut house);
    a_journal_that_lacks_its_end(&mut house, &[all[0], all[1]]);
}

fn bills_one_by_one(house: &mut House) {
    let bills = house.bills();
    for (lines, differences) in [(&bills[..], 0), (&bills[1..], 1)] {
        let file = house.file("bills.csv", &format!("hold,price_micros\n{}\n", lines.join("\n")));
        let (_, report) = verified(&house.state, &[("--exchange-ledger", &file)]);
        assert_eq!(report["differences"].as_array().map(Vec::len), Some(differences), "{report}");
    }
    for text in ["", "hold,price\n", "hold,price_micros\n1-1-1-1,5\n", "campaign,billed_nanos\nx\n"]
    {
        let file = house.file("broken.csv", text);
        let output = ledger(&["verify"], &house.state, &[("--exchange-ledger", &file)]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("broken.csv:"), "{said}");
    }
    let twice = format!("hold,price_micros\n{}\n{}\n", bills[0], bills[0]);
    let file = house.file("twice.csv", &twice);
    let output = ledger(&["verify"], &house.state, &[("--exchange-ledger", &file)]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains(":3:"));
}

fn copy_of(state: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(state).expect("the state").flatten() {
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
    }
    copy
}

#[test]
fn a_snapshot_that_says_otherwise_is_found() {
    let mut house = House::open("");
    house.process.signal("-TERM");
    assert!(house.process.ended().success());
    let campaign = CampaignId::of("shoes");
    let adjust = |day, amount, key: &str| LedgerCommand::Adjust {
        campaign,
        day,
        amount: Nanos(amount),
        reason: AdjustReason::Correction,
        key: key.to_owned(),
    };
    let against = json!("the snapshot");
    // One changes accounts; the other none, but what is remembered beyond them.
    for (adjusted, what, difference) in
        [(&[-3][..], &["billed", "adjusted"][..], json!("3")), (&[-3, 3], &["state"], Value::Null)]
    {
        let copy = copy_of(&house.state);
        let file = copy.path().join("ledger.db");
        let mut ledger = Ledger::default();
        for record in open_reader(&file).expect("readable").records(Position(1)) {
            ledger.fold(&record.expect("sound")).expect("it folds");
        }
        let lines = ledger.statement(None).accounts;
        let day = lines.iter().find(|line| line.level == Level::Day).and_then(|line| line.first);
        for (amount, key) in adjusted.iter().zip(["a", "b"]) {
            let command = adjust(day.expect("a day"), *amount, key);
            let outcome = apply(&mut ledger, Timestamp(0), &command);
            assert!(matches!(outcome, Outcome::Adjusted { .. }), "{outcome:?}");
        }
        let log = SqliteLog::open(&file, Civil::simulated(Timestamp(0)), Pauses::default());
        let log = log.expect("it opens");
        let (sender, saved) = std::sync::mpsc::channel();
        let done = Box::new(move |outcome| sender.send(outcome).expect("awaited"));
        log.save(SNAPSHOT_KEY, ledger.position(), ledger.encode().into(), done);
        saved.recv().expect("answered").expect("saved");
        drop(log);
        let (is_right, report) = verified(copy.path(), &[]);
        let found = report["differences"].as_array().expect("a list");
        assert!(!is_right, "{report}");
        for what in what {
            let is_it = |one: &&Value| one["what"].as_str().is_some_and(|one| one.ends_with(what));
            let one = found.iter().find(is_it).unwrap_or_else(|| panic!("{report}"));
            assert_eq!((&one["against"], &one["difference_nanos"]), (&against, &difference));
        }
    }
}

fn a_journal_that_lacks_its_end(house: &mut House, server: &[(&str, &Path)]) {
    let copy = copy_of(&house.state);
    assert!(verified(copy.path(), server).0);
    house.spend(1);
    let (is_right, report) = verified(copy.path(), server);
    assert!(!is_right && report["differences"][0]["what"] == "log", "{report}");
    assert!(verified(&house.state, server).0);
    let missing = ledger(&["verify"], &copy.path().join("none"), &[]);
    assert!(!missing.status.success());
}

#[test]
fn a_trimmed_log_is_folded_from_its_oldest_snapshot() {
    let mut house = House::open("snapshot_every_records = 6\nledger_keep_records = 3");
    house.spend(15);
    let (is_right, report) = verified(&house.state, &[]);
    assert!(is_right && report["first"].as_u64() > Some(1), "{report}");
    let file = house.file("right.csv", &format!("campaign,billed_nanos\nshoes,{}\n", house.owed));
    assert!(verified(&house.state, &[("--exchange-ledger", &file)]).0);
    let file = house.file("bills.csv", "hold,price_micros\n");
    let output = ledger(&["verify"], &house.state, &[("--exchange-ledger", &file)]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("were trimmed"), "{output:?}");
}

#[test]
fn accounts_and_records_are_shown() {
    let mut house = House::open("");
    let body = r#"{"amount_micros":-1000,"reason":"goodwill","key":"sorry"}"#;
    let path = "/api/v1/campaigns/shoes/adjustments";
    assert_eq!(house.process.admin.post(path, body.as_bytes()).status, 200);
    // What is due to the exchange is not changed by it.
    let file = house.file("right.csv", &format!("campaign,billed_nanos\nshoes,{}\n", house.owed));
    assert!(verified(&house.state, &[("--exchange-ledger", &file)]).0);
    let told = house.process.admin.get("/api/v1/ledger?campaign=shoes").json();
    let lines = told["accounts"].as_array().expect("lines");
    let day = lines.iter().find(|line| line["level"] == "day").expect("a day")["first"].as_i64();
    let day = DayNumber(day.expect("a number") as i32);
    let today = day.to_string();
    let words = ["show", "--json", "--campaign", "shoes", "--day", &today];
    let shown = ledger(&words, &house.state, &[]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(shown["accounts"], told["accounts"]);
    let text = ledger(&["show"], &house.state, &[]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for part in
        ["adjusted by -0.001000000", &format!("day {today}"), "100.000000000", "0.006500000"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let long_ago = DayNumber(day.0 - 40).to_string();
    let other = ledger(&["show", "--json", "--day", &long_ago], &house.state, &[]);
    let other: Value = serde_json::from_slice(&other.stdout).expect("JSON");
    assert_eq!(other["accounts"].as_array().map(Vec::len), Some(2), "advertiser and campaign");
    let nobody = ledger(&["show", "--campaign", "hats"], &house.state, &[]);
    assert!(!nobody.status.success());

    let words = ["show", "--json", "--records", "2", "--campaign", "shoes"];
    let records = ledger(&words, &house.state, &[]);
    let records: Value = serde_json::from_slice(&records.stdout).expect("JSON");
    let records = records["records"].as_array().expect("a list");
    let last = records.last().expect("one")["command"].as_str().unwrap_or_default().to_owned();
    assert!(records.len() == 2 && last.contains("sorry") && last.contains("Goodwill"), "{last}");
    let text = ledger(&["show", "--records"], &house.state, &[]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("SetCampaign") && text.contains("Settle"), "{text}");
}
