//! Promise: an edit that was answered with 200 holds after the process is killed, before the first
//! bid; one that was not is not there; and an edit that its campaign's file no longer fits stops the
//! campaign instead of letting it run on what the file says.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;

use common::{Campaign, Http, Process, Reply, Site, counter, request, until};
use serde_json::{Value, json};
use std::process::Command;

const SHOES: &str = "/api/v1/campaigns/shoes";
const RESET: &str = "/api/v1/campaigns/shoes/edits";

fn site() -> Site {
    let boots = Campaign { name: "boots", bid: "max_cpm = \"2\"", ..Campaign::default() };
    Site::new(&[Campaign::default(), boots], "workers = 1", "")
}

fn put(admin: &mut Http, path: &str, edit: &Value) -> Reply {
    admin.put(path, &edit.to_string())
}

fn edited(admin: &mut Http, path: &str, edit: &Value) -> Value {
    let reply = put(admin, path, edit);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// Campaign, price and creative of the next bid.
fn bid(process: &mut Process) -> (String, f64, String) {
    let bid = until("a bid", || {
        let asked = request("r", "").to_string();
        let reply = process.exchange.post("/openrtb2/x/bid", asked.as_bytes());
        (reply.status == 200).then(|| reply.json()["seatbid"][0]["bid"][0].clone())
    });
    let text = |key: &str| bid[key].as_str().unwrap_or_default().to_owned();
    (text("cid"), bid["price"].as_f64().unwrap_or_default(), text("crid"))
}

/// Price and creative of the campaign's next bid; others may bid while it waits for its first lease.
fn bid_of(process: &mut Process, campaign: &str) -> (f64, String) {
    until(campaign, || {
        let (name, price, creative) = bid(process);
        (name == campaign).then_some((price, creative))
    })
}

/// The next process on the same folder, after the present one was killed.
fn killed(site: &Site, process: Process, keys: &Option<(String, String)>) -> Process {
    process.kill();
    Process::serve(site, keys.clone())
}

#[test]
fn what_was_answered_is_in_force_before_the_first_bid() {
    let site = site();
    let mut process = Process::serve(&site, None);
    let keys = process.keys.clone();
    assert_eq!(bid_of(&mut process, "shoes"), (2.5, "shoes-300x250".to_owned()));
    let ads = json!([{
        "name": "new-300x250", "landing_url": "https://acme.example/new", "iab_cats": ["IAB22"],
        "banner": { "w": 300, "h": 250, "image_url": "https://cdn.example/new.jpg" },
    }]);
    let terms = json!({ "daily_budget_micros": 7_000_000, "bid": { "max_cpm_micros": 1_500_000 } });
    edited(&mut process.admin, SHOES, &terms);
    edited(&mut process.admin, SHOES, &json!({ "ads": ads }));
    let view =
        edited(&mut process.admin, "/api/v1/campaigns/boots", &json!({ "status": "paused" }));
    assert_eq!(view["edits"], json!({ "changes": { "status": "paused" }, "fault": null }));
    let mut process = killed(&site, process, &keys);
    // A campaign that is paused by its file's measure would win, and an older price would show.
    assert_eq!(bid(&mut process), ("shoes".to_owned(), 1.5, "new-300x250".to_owned()));
    let view = process.admin.get(SHOES).json();
    assert_eq!(view["daily_budget_micros"], 7_000_000);
    assert_eq!(view["edits"]["changes"]["ads"], ads);
    assert_eq!(view["edits"]["changes"]["bid"]["max_cpm_micros"], 1_500_000);
    // Right after the answer, each time.
    for budget in 1..=5_u64 {
        let edit = json!({ "daily_budget_micros": budget * 1_000_000 });
        edited(&mut process.admin, SHOES, &edit);
        process = killed(&site, process, &keys);
        assert_eq!(process.admin.get(SHOES).json()["daily_budget_micros"], budget * 1_000_000);
    }
    let back = process.admin.call("DELETE", RESET, &[], b"");
    assert_eq!((back.status, &back.json()["edits"]), (200, &Value::Null));
    let again = process.admin.call("DELETE", RESET, &[], b"");
    assert_eq!((again.status, again.json()), (200, back.json()), "nothing is left to take back");
    assert_eq!(process.admin.call("DELETE", "/api/v1/campaigns/hats/edits", &[], b"").status, 404);
    assert_eq!(bid(&mut process), ("shoes".to_owned(), 2.5, "shoes-300x250".to_owned()));
    let mut process = killed(&site, process, &keys);
    assert_eq!(bid(&mut process), ("shoes".to_owned(), 2.5, "shoes-300x250".to_owned()));
    let boots = process.admin.get("/api/v1/campaigns/boots").json();
    assert_eq!(
        (&boots["status"], &back.json()["daily_budget_micros"]),
        (&json!("paused"), &json!(100_000_000))
    );
}

#[test]
fn an_edit_that_the_store_does_not_take_changes_nothing() {
    let site = site();
    let mut process = Process::serve(&site, None);
    let keys = process.keys.clone();
    let before =
        edited(&mut process.admin, SHOES, &json!({ "bid": { "max_cpm_micros": 2_400_000 } }));
    // Whoever holds the file keeps the server from writing it.
    let holder = rusqlite::Connection::open(site.folder().join("state/config.db")).expect("opened");
    holder.execute_batch("BEGIN IMMEDIATE").expect("taken");
    let refused = put(&mut process.admin, SHOES, &json!({ "status": "paused" }));
    assert_eq!(refused.status, 503, "{}", refused.text());
    let reset = process.admin.call("DELETE", RESET, &[], b"");
    assert_eq!(reset.status, 503, "{}", reset.text());
    assert_eq!(process.admin.get(SHOES).json(), before);
    assert_eq!(bid_of(&mut process, "shoes").0, 2.4);
    // What needs no store is answered.
    let checked =
        process.admin.put(&format!("{SHOES}?validate_only=true"), "{\"status\":\"paused\"}");
    assert_eq!((checked.status, &checked.json()["status"]), (200, &json!("paused")));
    let metrics = process.admin.get("/metrics").text();
    assert_eq!(counter(&metrics, "outbid_edits_total{what=\"not_kept\"}"), 2);
    assert_eq!(counter(&metrics, "outbid_edits_total{what=\"done\"}"), 1);
    holder.execute_batch("ROLLBACK").expect("let go");
    drop(holder);
    let mut process = killed(&site, process, &keys);
    assert_eq!(process.admin.get(SHOES).json(), before, "nor is it there later");
    edited(&mut process.admin, SHOES, &json!({ "status": "paused" }));
    assert_eq!(bid(&mut process).0, "boots");
}

#[test]
fn edits_from_two_sides_lose_nothing() {
    let site = site();
    let process = Process::serve(&site, None);
    let keys = process.keys.clone();
    let (address, key) = (process.admin.address, process.admin.key.clone());
    let edit = |edit: fn(u64) -> Value| {
        let mut admin = Http::new(address, key.as_deref());
        std::thread::spawn(move || {
            (1..=20).for_each(|number| drop(edited(&mut admin, SHOES, &edit(number))));
        })
    };
    let sides = [
        edit(|number| json!({ "daily_budget_micros": number * 1_000_000 })),
        edit(|number| json!({ "bid": { "max_cpm_micros": number * 100_000 } })),
        edit(|number| json!({ "bid": { "cpc_micros": number * 1_000 } })),
    ];
    sides.into_iter().for_each(|side| side.join().expect("all were taken"));
    let mut process = killed(&site, process, &keys);
    let changes = process.admin.get(SHOES).json()["edits"]["changes"].clone();
    assert_eq!(changes["daily_budget_micros"], 20_000_000);
    let bid = &changes["bid"];
    assert_eq!((&bid["max_cpm_micros"], &bid["cpc_micros"]), (&json!(2_000_000), &json!(20_000)));
}

fn check(site: &Site) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbid"));
    command.args(["check", "--config"]).arg(site.config_file()).current_dir(site.folder());
    let output = command.output().expect("the binary starts");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn an_edit_that_fits_no_more_stops_its_campaign() {
    let site = site();
    let mut process = Process::serve(&site, None);
    let keys = process.keys.clone();
    edited(&mut process.admin, SHOES, &json!({ "lifetime_budget_micros": 150_000_000 }));
    edited(&mut process.admin, "/api/v1/campaigns/boots", &json!({ "pooled_interest": true }));
    let (is_good, said) = check(&site);
    assert!(is_good && said.starts_with("ok: 5 strategies, 2 campaigns, 2 ads\n"), "{said}");
    let file = site.folder().join("catalog/campaigns/shoes.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(&file, text.replace("\"100\"", "\"200\"")).expect("written");
    let reason = "campaigns/shoes.toml:0: the API's edit of `shoes` does not fit: lifetime_budget: \
                  is below the daily";
    let (is_good, said) = check(&site);
    assert!(!is_good && said.contains(reason), "{said}");
    // While the server runs, the old catalog stays.
    let refused = process.admin.post("/api/v1/reload", b"");
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("does not fit"), "{}", refused.text());
    bid_of(&mut process, "shoes");
    let mut process = killed(&site, process, &keys);
    assert_eq!(bid(&mut process).0, "boots");
    let warned = until("a line of the log", || process.log.try_iter().next());
    assert!(warned.contains("shoes.toml") && warned.contains("is stopped"), "{warned}");
    let view = process.admin.get(SHOES).json();
    assert_eq!((&view["status"], view["edits"]["fault"].is_string()), (&json!("paused"), true));
    let metrics = process.admin.get("/metrics").text();
    assert_eq!(counter(&metrics, "outbid_campaigns_stopped"), 1);
    // It does not run by being told to, and other campaigns can be reloaded.
    assert_eq!(put(&mut process.admin, SHOES, &json!({ "status": "active" })).status, 422);
    assert_eq!(process.admin.post("/api/v1/reload", b"").status, 200);
    assert_eq!(bid(&mut process).0, "boots");
    edited(&mut process.admin, SHOES, &json!({ "lifetime_budget_micros": 300_000_000 }));
    bid_of(&mut process, "shoes");
    // With its file an edit goes.
    std::fs::remove_file(site.folder().join("catalog/campaigns/boots.toml")).expect("gone");
    let (is_good, said) = check(&site);
    assert!(is_good && said.contains("warning: campaign `boots` is in no file"), "{said}");
    let mut process = killed(&site, process, &keys);
    let warned = until("a line of the log", || process.log.try_iter().next());
    assert!(warned.contains("boots") && warned.contains("let go of"), "{warned}");
    assert_eq!(bid(&mut process).0, "shoes");
}
