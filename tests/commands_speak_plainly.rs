//! Promise: what a command says can be relied on by whoever reads it, a person or a program: every problem
//! with a path that opens, one JSON object and nothing after it, no colours in files, an end without noise
//! when nobody reads any more, and an exit code that is true.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;

use common::{Campaign, Process, Site, until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Longer than a day of 200 requests takes.
const A_SHORT_DAY: Duration = Duration::from_secs(60);

fn outbid(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbid"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn check(site: &Site) -> (bool, Vec<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbid"));
    let parent = site.folder().parent().expect("a folder of folders");
    let file = site.config_file();
    let file = file.strip_prefix(parent).expect("below it");
    let output = command.args(["check", "--json", "--config"]).arg(file).current_dir(parent);
    let output = output.output().expect("it runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let problems = report["problems"].as_array().expect("a list").iter();
    let problems = problems.map(|problem| problem.as_str().expect("a text").to_owned());
    (output.status.success(), problems.collect())
}

fn spoil(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).expect("a file");
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replace(from, to)).expect("written");
}

#[test]
fn a_check_names_wrong_strategies_and_wrong_campaigns_at_once() {
    let campaigns =
        [Campaign::default(), Campaign { name: "b", strategy: "clicks", ..Campaign::default() }];
    let site = Site::new(&campaigns, "", "");
    spoil(&site.folder().join("strategies/clicks.toml"), "pacing = \"none\"", "pacing = \"fast\"");
    spoil(&site.folder().join("catalog/campaigns/shoes.toml"), "fixed", "fixt");
    let (is_good, problems) = check(&site);
    assert!(!is_good && problems.len() == 2, "one each, and none that follows: {problems:?}");
    assert!(problems[0].contains("strategies/clicks.toml:"), "{problems:?}");
    assert!(problems[1].contains("`fixt` is not known; there are: clicks,"), "{problems:?}");
    let parent = site.folder().parent().expect("a folder of folders");
    for problem in &problems {
        let (file, _) = problem.split_once(".toml:").expect("a file and a line");
        assert!(parent.join(format!("{file}.toml")).exists(), "it can be opened: {problem}");
    }
}

#[test]
fn a_catalog_that_is_not_there_is_named() {
    let site = Site::new(&[Campaign::default()], "", "");
    spoil(&site.config_file(), "catalog = \"catalog\"", "catalog = \"katalog\"");
    let (is_good, problems) = check(&site);
    assert!(!is_good && problems.len() == 1, "{problems:?}");
    let name = site.folder().file_name().expect("a name").to_string_lossy().into_owned();
    assert!(problems[0].contains(&format!("{name}/katalog")), "{problems:?}");
    assert!(problems[0].contains("the catalog's folder is missing"), "{problems:?}");
    let served = Process::command(&site).output().expect("it ends");
    let said = String::from_utf8_lossy(&served.stderr);
    assert!(!served.status.success() && said.contains("katalog"), "{said}");
}

#[test]
fn the_example_of_one_campaign_explains_it() {
    let arguments = ["explain", "--request", "fixtures/request.json", "--json"];
    let name = "northtrail-running-shoes";
    let output = outbid(&arguments).args(["--campaign", name]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let explanation: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let campaigns = explanation["campaigns"].as_array().expect("a list");
    assert!(campaigns.len() == 1 && campaigns[0]["campaign"] == name, "{campaigns:?}");
}

#[test]
fn a_reader_who_left_is_no_mistake() {
    for arguments in [
        &["explain", "--request", "fixtures/request.json", "--json"][..],
        &["explain", "--request", "fixtures/request.json"],
        &["check", "--config", "fixtures/outbid.toml"],
    ] {
        let mut command = outbid(arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        // Long before it has anything to say.
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(141), "{arguments:?}: as SIGPIPE would end it");
    }
}

#[test]
fn a_demo_that_stays_up_says_where_beside_its_json() {
    let arguments = ["demo", "--json", "--serve", "--users", "50", "--requests", "200"];
    let mut command = outbid(&arguments);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let said = BufReader::new(child.stderr.take().expect("its errors"));
    let (sender, told) = mpsc::channel();
    std::thread::spawn(move || {
        said.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    let told: Vec<_> = (0..3).map_while(|_| told.recv_timeout(A_SHORT_DAY).ok()).collect();
    child.kill().expect("it runs until then");
    child.wait().expect("it ends");
    let mut printed = String::new();
    child.stdout.take().expect("its output").read_to_string(&mut printed).expect("a text");
    assert!(told.last().is_some_and(|line| line.starts_with("admin key")), "{told:?}");
    let summary: Value = serde_json::from_str(&printed).expect("one JSON object, and no more");
    assert!(summary["requests"].is_u64(), "{summary}");
}

/// Whatever comes, `head` is the answer; the load against it for a second.
fn load(head: &'static str) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
                let mut length = 0;
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                    let text = line.trim().to_ascii_lowercase();
                    if let Some(bytes) = text.strip_prefix("content-length:") {
                        length = bytes.trim().parse().expect("a number");
                    }
                    if text.is_empty() {
                        reader.read_exact(&mut vec![0; length]).expect("a body");
                        stream.write_all(head.as_bytes()).expect("it listens");
                    }
                    line.clear();
                }
            });
        }
    });
    let url = format!("http://{address}/openrtb2/demo/bid");
    let few = ["--rate", "50", "--seconds", "1", "--warmup", "0", "--users", "50", "--bodies", "5"];
    let mut command = outbid(&["exchange", "--json", "--connections", "1", "--url", &url]);
    command.args(few).output().expect("it runs")
}

#[test]
fn an_endpoint_that_takes_no_request_fails_the_load() {
    let output = load("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("answered no request with 200 or 204"));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(report["by_status"]["404"].as_u64().is_some_and(|count| count > 0), "{report}");
    let output = load("HTTP/1.1 204 No Content\r\n\r\n");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_log_that_is_no_terminal_has_no_colours() {
    let site = Site::new(&[Campaign::default()], "", "");
    let mut command = Process::command(&site);
    command.env_remove("NO_COLOR").env("OUTBID_LOG", "info");
    let process = Process::start(command, None);
    let line = until("a line of the log", || process.log.try_recv().ok());
    assert!(line.contains("INFO") && !line.contains('\u{1b}'), "{line:?}");
}
