//! Promise: what a release said stands in the privacy ledger for good, whenever the process is killed;
//! no day is charged twice; and a ledger that is not what it was stops releases, never bids.

mod common;

use common::{Campaign, Http, Process, Site, request, until};
use outbid::privacy::{Books, Entry, Kind};
use outbid::store::Position;
use outbid::store::embedded::open_reader;
use outbid::units::CampaignId;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Midnight UTC of Monday, 2 March 2026.
const MIDNIGHT: i64 = 1_772_409_600_000;
const HOUR: i64 = 3_600_000;

struct House {
    process: Option<Process>,
    keys: (String, String),
    state: PathBuf,
    site: Site,
    /// What was shown, by the position up to which it is in the ledger.
    shown: Vec<(u64, Value)>,
}

fn serve(site: &Site, keys: Option<(String, String)>) -> Process {
    let mut command = Process::command(site);
    command.arg("--simulation");
    Process::start(command, keys)
}

impl House {
    fn open() -> Self {
        let more = "[privacy]\nreleases_per_day = 24\n[budget]\ntick_ms = 600000";
        let site = Site::new(&[Campaign::default()], "workers = 1", more);
        let process = serve(&site, None);
        let keys = process.keys.clone().expect("the first start shows them");
        let state = site.folder().join("state");
        Self { process: Some(process), keys, state, site, shown: Vec::new() }
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it runs")
    }

    fn clock(&mut self, now: i64) {
        let body = json!({ "now": now }).to_string();
        let reply = self.process().admin.post("/api/v1/simulation/clock", body.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    fn status(&mut self) -> Value {
        let told = self.process().admin.get("/api/v1/privacy").json();
        let position = told["status"]["position"].as_u64().expect("a position");
        if position > 0 && told["status"]["stopped"].is_null() {
            self.shown.push((position, told["campaigns"].clone()));
        }
        told["status"].clone()
    }

    /// Lets the clock run to `to` and kills the process when its ledger has `records` more records.
    fn die_on_the_way(&mut self, to: i64, records: u64) {
        let before = position(&self.state);
        let process = self.process.take().expect("it runs");
        let mut admin = Http::new(process.admin.address(), Some(&self.keys.0));
        let running = std::thread::spawn(move || {
            let body = json!({ "now": to }).to_string();
            // It is not answered where the process dies first.
            let _ = admin.try_call("POST", "/api/v1/simulation/clock", &[], body.as_bytes());
        });
        until("it releases", || (position(&self.state) >= before + records).then_some(()));
        process.kill();
        running.join().expect("the call ends");
    }

    fn restart(&mut self) {
        self.process = None;
        self.process = Some(serve(&self.site, Some(self.keys.clone())));
    }

    fn outbid(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outbid"));
        command.args(["privacy", args[0], "--json", "--state"]).arg(&self.state).args(&args[1..]);
        command.env("OUTBID_ADMIN_KEY", &self.keys.0).output().expect("it runs")
    }

    /// The ledger is whole, says what the server says, and has all that was ever shown.
    fn verify(&mut self) {
        let address = self.process().admin.address().to_string();
        let output = self.outbid(&["verify", "--server", &address]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        let report: Value = serde_json::from_str(&text).expect("JSON");
        assert!(report["compared_at"].is_u64(), "{report}");
        let reader = open_reader(&self.state.join("privacy.db")).expect("the ledger");
        let mut books = Books::new();
        let mut found = 0;
        for record in reader.records(Position(1)) {
            let record = record.expect("sound");
            books.fold(record.position.0, &record.body).expect("it fits");
            for (_, told) in self.shown.iter().filter(|shown| shown.0 == record.position.0) {
                found += 1;
                for campaign in told.as_array().expect("campaigns") {
                    compare(&books, campaign);
                }
            }
        }
        assert!(found > 0, "something that was shown is still there");
    }
}

fn compare(books: &Books, told: &Value) {
    let id = u64::from_str_radix(told["campaign"].as_str().expect("an id"), 16).expect("an id");
    let sums = &books.sums()[&CampaignId(id)];
    for kind in Kind::ALL {
        let own: f64 = sums.iter().map(|cell| cell[kind.index()].value).sum();
        let told = told["sums"][kind.label()][0].as_f64().expect("a sum");
        assert!((own - told).abs() <= 1e-9 * (1.0 + own.abs()), "{kind:?}: {own} and {told}");
    }
}

fn position(state: &Path) -> u64 {
    // While it is being made there is nothing to read.
    let reader = open_reader(&state.join("privacy.db"));
    reader.ok().and_then(|reader| reader.ends().ok()?).map_or(0, |(_, last)| last.0)
}

#[test]
fn a_killed_process_shows_nothing_twice_and_charges_no_day_twice() {
    let mut house = House::open();
    house.clock(MIDNIGHT + 1);
    let mut now = MIDNIGHT;
    // Up to three records a release: death comes before, among and behind them.
    for records in [1, 2, 3, 4, 5] {
        now += 4 * HOUR;
        house.clock(now);
        house.status();
        house.die_on_the_way(now + 3 * HOUR, records);
        house.restart();
        now += 3 * HOUR;
        house.clock(now);
        let status = house.status();
        assert_eq!(status["stopped"], Value::Null, "{status}");
        assert!(status["segment"].as_u64() >= Some(1));
        house.verify();
    }
    let output = house.outbid(&["show"]);
    let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let days: Vec<_> = shown["days"].as_array().expect("days").iter().collect();
    let names: Vec<_> = days.iter().map(|day| day["day"].as_str().expect("a date")).collect();
    assert_eq!(names, ["1970-01-01", "2026-03-02", "2026-03-03"], "{shown}");
    let rho: Vec<_> = days.iter().map(|day| day["rho"].as_f64()).collect();
    assert!(rho.iter().all(|one| *one == rho[0]), "each day costs the same: {rho:?}");
}

#[test]
fn a_ledger_that_is_not_what_it_was_stops_releases_and_no_bid() {
    let names = ["privacy.db", "privacy.db-wal", "privacy.db-shm"];
    for why in ["older", "missing", "damaged"] {
        let mut house = House::open();
        let files = names.map(|name| house.state.join(name));
        house.clock(MIDNIGHT + 4 * HOUR);
        house.process().signal("-TERM");
        house.process().ended();
        let old: Vec<_> = files.iter().map(|file| std::fs::read(file).ok()).collect();
        house.restart();
        house.clock(MIDNIGHT + 8 * HOUR);
        let before = house.status();
        assert_eq!(before["stopped"], Value::Null, "{before}");
        house.process().signal("-TERM");
        house.process().ended();
        // Those that a clean end has removed are not there.
        files.iter().for_each(|file| drop(std::fs::remove_file(file)));
        match why {
            "older" => {
                for (file, bytes) in files.iter().zip(&old) {
                    bytes.iter().for_each(|bytes| std::fs::write(file, bytes).expect("a copy"));
                }
            }
            "missing" => {}
            _ => std::fs::write(&files[0], [7; 8_192]).expect("damage"),
        }
        house.restart();
        house.clock(MIDNIGHT + 12 * HOUR);
        let status = house.status();
        assert_eq!(status["stopped"], why, "{status}");
        let asked = request("r", "reader").to_string();
        let reply = house.process().exchange.post("/openrtb2/x/bid", asked.as_bytes());
        assert_eq!(reply.status, 200, "{why}: bids flow");
        let metrics = house.process().admin.get("/metrics").text();
        let line = format!("outbid_privacy_stopped{{reason=\"{why}\"}} 1");
        assert!(metrics.contains(&line), "{why}");
        if why != "damaged" {
            house.clock(MIDNIGHT + 26 * HOUR);
            let status = house.status();
            assert_eq!(status["stopped"], Value::Null, "another day: {status}");
        }
    }
}

/// What is done to a ledger that nobody writes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    /// The last record is not as it was written.
    Last,
    /// One of the first day is not.
    FirstDay,
    /// It ends two records before what was shown.
    Shorter,
    /// Not one record can be read.
    Whole,
    /// It is gone.
    Gone,
}

impl House {
    fn stop(&mut self) {
        self.process().signal("-TERM");
        self.process().ended();
    }

    fn file(&self) -> PathBuf {
        self.state.join("privacy.db")
    }

    fn damage(&self, damage: Damage) {
        let last = position(&self.state);
        let write = |sql: String| {
            let file = rusqlite::Connection::open(self.file()).expect("the ledger");
            assert!(file.execute(&sql, []).expect("written") > 0, "{sql}");
        };
        match damage {
            Damage::Last => write(format!("UPDATE log SET crc = 1 - crc WHERE pos = {last}")),
            Damage::FirstDay => {
                let reader = open_reader(&self.file()).expect("the ledger");
                let charge = reader.records(Position(1)).flatten().find(|record| {
                    let entry = Entry::decode(&record.body).expect("an entry");
                    i64::from(entry.day) * 24 * HOUR == MIDNIGHT
                });
                let next = charge.expect("its charge").position.0 + 1;
                drop(reader);
                write(format!("UPDATE log SET crc = 1 - crc WHERE pos = {next}"));
            }
            Damage::Shorter => write(format!("DELETE FROM log WHERE pos > {}", last - 2)),
            Damage::Whole => std::fs::write(self.file(), [7; 8_192]).expect("written"),
            Damage::Gone => std::fs::remove_file(self.file()).expect("removed"),
        }
    }

    /// Dates and costs of the days that were charged.
    fn charged(&self) -> Vec<(String, f64)> {
        let shown: Value = serde_json::from_slice(&self.outbid(&["show"]).stdout).expect("JSON");
        let days = shown["days"].as_array().expect("days").iter();
        let days = days.map(|day| {
            let name = day["day"].as_str().expect("a date").to_owned();
            (name, day["rho"].as_f64().expect("a cost"))
        });
        days.collect()
    }
}

#[test]
fn a_repaired_ledger_has_charged_all_that_may_have_been_shown_and_closed_its_day() {
    let (first, second) = ("2026-03-02", "2026-03-03");
    // What was damaged, what the repair has to charge, and the days that are known behind it.
    let cases = [
        (Damage::Last, vec![], vec![first, second]),
        (Damage::FirstDay, vec![second], vec![first, second]),
        (Damage::Shorter, vec![], vec![first, second]),
        (Damage::Whole, vec![second], vec![second]),
        (Damage::Gone, vec![second], vec![second]),
    ];
    for (damage, charged, known) in cases {
        let mut house = House::open();
        house.clock(MIDNIGHT + 4 * HOUR);
        house.clock(MIDNIGHT + 28 * HOUR);
        let beside = house.outbid(&["repair"]);
        assert!(!beside.status.success(), "{damage:?}: a server runs");
        house.stop();
        let before = house.charged();
        let sound: Value = serde_json::from_slice(&house.outbid(&["repair"]).stdout).expect("JSON");
        assert_eq!(sound, json!({ "repair": null }), "{damage:?}: nothing is wrong");
        house.damage(damage);
        let found = std::fs::read(house.file()).ok();
        let config = house.site.config_file().display().to_string();
        let mut asked = vec!["repair"];
        if known.len() == 1 {
            let refused = house.outbid(&asked);
            assert!(String::from_utf8_lossy(&refused.stderr).contains("--config"), "{damage:?}");
            asked.extend(["--config", &config]);
        }
        let output = house.outbid(&asked);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{damage:?}: {text}");
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let repair = &told["repair"];
        assert_eq!(repair["charged"], json!(charged), "{damage:?}: {told}");
        assert_eq!(repair["closed"], second, "{damage:?}: {told}");
        if let Some(old) = repair["kept_as"].as_str() {
            assert_eq!(std::fs::read(old).ok(), found, "{damage:?}: the old file is kept");
        }
        // The rest of that day: bids flow, nothing is released, and what was spent is known.
        house.restart();
        house.clock(MIDNIGHT + 36 * HOUR);
        let status = house.status();
        assert_eq!(status["stopped"], "key_lost", "{damage:?}: {status}");
        assert_eq!(status["releases"], 0, "{damage:?}: {status}");
        assert_eq!(status["spent_over"]["day"]["rho"].as_f64(), Some(before[0].1), "{damage:?}");
        let asked = request("r", "reader").to_string();
        let reply = house.process().exchange.post("/openrtb2/x/bid", asked.as_bytes());
        assert_eq!(reply.status, 200, "{damage:?}: bids flow");
        // The next day is like any other.
        house.clock(MIDNIGHT + 52 * HOUR);
        let status = house.status();
        assert_eq!(status["stopped"], Value::Null, "{damage:?}: {status}");
        house.verify();
        let days = house.charged();
        let names: Vec<_> = days.iter().map(|day| day.0.as_str()).collect();
        let names = names.into_iter().filter(|name| *name != "1970-01-01");
        assert!(names.eq(known.into_iter().chain(["2026-03-04"])), "{damage:?}: {days:?}");
        assert!(days.iter().all(|day| day.1 == before[0].1), "{damage:?}: {days:?}");
    }
}
