//! Promise: what was saved of users is back after the process was killed, so that caps hold; nobody can
//! read it without its key; and a file that is not the last one, whole and ours is put aside, said and
//! counted, while the server bids all the same, with what the behaviour log has.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;

use common::{Campaign, Process, Site, until};
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;

const CAPPED: Campaign = Campaign {
    advertiser: "acme",
    name: "shoes",
    category: "running-shoes",
    strategy: "fixed",
    daily_budget: "100",
    bid: "max_cpm = \"2.50\"",
    more: "frequency_caps = [{ count = 1, window_s = 86_400 }]",
};

type Keys = Option<(String, String)>;

fn site(save_every_s: u32) -> Site {
    let more = format!("[session]\nsave_every_s = {save_every_s}\n");
    Site::new(&[CAPPED], "workers = 2", &more)
}

fn sessions_file(site: &Site) -> PathBuf {
    site.folder().join("state/sessions.outbid")
}

fn found(process: &mut Process, what: &str) -> bool {
    process.metric(&format!("outbid_sessions_found{{found=\"{what}\"}} ")) == 1
}

/// Shows `user` the ad, which reaches its cap.
fn show(process: &mut Process, user: &str) {
    process.show(user);
    until("the cap is reached", || process.asked(user).is_none().then_some(()));
}

fn saved(process: &mut Process) {
    const DONE: &str = "outbid_session_saves_total{outcome=\"done\"} ";
    let before = process.metric(DONE);
    until("a saving", || (process.metric(DONE) >= before + 2).then_some(()));
}

fn end(mut process: Process) {
    process.signal("-TERM");
    assert!(process.ended().success());
}

fn with_key(site: &Site, key: &str) -> Command {
    let mut command = Process::command(site);
    command.env("OUTBID_SESSION_KEY", key);
    command
}

#[test]
fn what_was_saved_is_back_after_a_kill() {
    let site = site(1);
    let mut process = Process::serve(&site, None);
    let keys = process.keys.clone();
    assert!(found(&mut process, "nothing"));
    show(&mut process, "reader-7");
    let event = json!({
        "id": "e-1", "type": "view", "ts": now_ms(), "user": { "id": "looker-7" },
        "advertiser": "acme", "category": "running-shoes", "consent": true,
    });
    assert_eq!(process.public.post("/events", event.to_string().as_bytes()).status, 200);
    let interest = process.interest("looker-7");
    assert!(interest > 0.0);
    saved(&mut process);
    process.kill();
    let mut process = Process::serve(&site, keys.clone());
    assert!(found(&mut process, "sessions"));
    process.assert_capped("reader-7");
    let after = process.interest("looker-7");
    assert!(after > 0.0 && after <= interest, "it decays: {after} of {interest}");
    process.kill();
    let held = held_in_files(&site, &[b"reader-7", b"looker-7", b"stranger-"]);
    assert!(held.is_empty(), "{held:?}");
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_millis()).expect("a time")
}

/// The files of the state folder in which one of the texts stands.
fn held_in_files(site: &Site, texts: &[&[u8]]) -> Vec<String> {
    let files = std::fs::read_dir(site.folder().join("state")).expect("the state folder");
    let holds = |path: &PathBuf| {
        let bytes = std::fs::read(path).expect("a file");
        texts.iter().any(|text| bytes.windows(text.len()).any(|part| part == *text))
    };
    let paths = files.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    paths.filter(holds).map(|path| path.display().to_string()).collect()
}

#[test]
fn a_file_that_is_damaged_older_or_under_another_key_is_put_aside() {
    let site = site(0);
    let file = sessions_file(&site);
    let mut keys: Keys = None;
    let mut run = |show_to: &str, command: Command, expected: &str| {
        let mut process = Process::start(command, keys.clone());
        keys = process.keys.clone().or(keys.take());
        assert!(found(&mut process, expected), "{expected}");
        if expected == "refused" {
            assert!(file.with_extension("refused").exists());
            // From the behaviour log, which still has his show.
            process.assert_capped("first");
        }
        if !show_to.is_empty() {
            show(&mut process, show_to);
        }
        end(process);
        std::fs::read(&file).expect("saved at the end")
    };
    let first = run("first", Process::command(&site), "nothing");
    let second = run("second", Process::command(&site), "sessions");
    assert_ne!(first, second);
    std::fs::write(&file, &first).expect("an older copy comes back");
    let third = run("", Process::command(&site), "refused");
    // Head, first frame, middle, end.
    for at in [3, 20, 60, 90, third.len() / 2, third.len() - 1] {
        let mut damaged = std::fs::read(&file).expect("a file");
        let at = at.min(damaged.len() - 1);
        damaged[at] ^= 1;
        std::fs::write(&file, &damaged).expect("damaged");
        run("", Process::command(&site), "refused");
    }
    let other = run("", with_key(&site, &"5c".repeat(32)), "sessions");
    std::fs::write(&file, &other).expect("the same");
    run("", Process::command(&site), "refused");
    let refused = with_key(&site, "no key").output().expect("it ends");
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("session.key_file"), "{said}");
}

#[test]
fn a_second_process_on_the_folder_touches_nothing() {
    let site = site(1);
    let mut process = Process::serve(&site, None);
    show(&mut process, "reader");
    saved(&mut process);
    let second = Process::command(&site).output().expect("it ends");
    assert!(!second.status.success(), "the folder is another's");
    let before = process.metric("outbid_session_saves_total{outcome=\"failed\"} ");
    saved(&mut process);
    assert_eq!(before, 0);
}
