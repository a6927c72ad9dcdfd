//! What `docs/exchange.md` shows an integrator is what happens: every example request is sent to a
//! server with the configuration that the page names, and the answer must be the page's own; every
//! table of codes and limits is the code's.
//!
//! On the page, a block marked `json request NAME` is a request and `json answer NAME` its answer;
//! `TOKEN` stands in it for a sealed token. Where an answer has changed for good, the failing test
//! prints what the page must say.

mod common;

use common::{Http, NOON, until};
use outbid::auction::NoBid;
use outbid::config::Config;
use outbid::openrtb::Limits;
use outbid::server::{self, Keys, Options, Running};
use outbid::units::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const PROOF: (&str, &str) = ("x-exchange-key", "example-only-replace-me-before-serving");
const PATH: &str = "/openrtb2/generic/bid";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/exchange.md")).expect("the page")
}

/// The fenced blocks of the page by what stands after their fence.
fn blocks(page: &str) -> BTreeMap<String, String> {
    let mut blocks = BTreeMap::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```").filter(|name| !name.is_empty()) else { continue };
        let text: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        assert!(
            blocks.insert(name.to_owned(), text.join("\n")).is_none() || name.starts_with("sh"),
            "`{name}` stands twice"
        );
    }
    blocks
}

/// A server with the page's configuration, in simulation so that noon is noon, on free ports.
fn serve() -> Running {
    let mut config =
        Config::load(&root().join("fixtures/exchanges/generic-2.6.toml")).expect("checked");
    let anywhere = ([127, 0, 0, 1], 0).into();
    config.server.exchange_listen = anywhere;
    config.server.public_listen = anywhere;
    config.server.admin_listen = anywhere;
    let (keys, _) = Keys::ephemeral().expect("keys");
    let options = Options { keys: Some(keys), simulation: Some(Timestamp(NOON)), parts: None };
    server::start(config, options).expect("the server starts")
}

/// The value with `TOKEN` in place of each sealed token, and without what only a simulator is told.
fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_tokens(text)),
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(map) => {
            let kept = map
                .iter()
                .filter(|(key, inner)| !(key.as_str() == "ext" && inner.get("outbid").is_some()));
            Value::Object(kept.map(|(key, inner)| (key.clone(), masked(inner))).collect())
        }
        other => other.clone(),
    }
}

fn without_tokens(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("t=") {
        let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let end = after.find(|c| !is_token(c)).unwrap_or(after.len());
        out += before;
        out += "t=";
        out += if end > 150 { "TOKEN" } else { &after[..end] };
        rest = &after[end..];
    }
    out + rest
}

#[test]
fn every_example_is_answered_as_the_page_says() {
    let page = page();
    let blocks = blocks(&page);
    let running = serve();
    let mut exchange = Http::new(running.addresses().exchange, None);
    let mut now = NOON;
    let requests = blocks.iter().filter_map(|(name, text)| {
        name.strip_prefix("json request ").map(|name| (name.to_owned(), text))
    });
    let mut wrong = Vec::new();
    let mut examples = 0;
    for (name, request) in requests {
        examples += 1;
        let expected = &blocks[&format!("json answer {name}")];
        let expected: Value = serde_json::from_str(expected).expect("an answer in JSON");
        let is_bid = expected.get("seatbid").is_some();
        // A first bid may come before the first grant of money; what is no bid must stay none.
        let answer = until(&format!("an answer to `{name}`"), || {
            now += 1_000;
            exchange.now = Some(now);
            let reply = exchange.call("POST", PATH, &[PROOF], request.as_bytes());
            assert_eq!(reply.status, 200, "{name}: {}", reply.text());
            let answer = masked(&reply.json());
            (answer.get("seatbid").is_some() || !is_bid).then_some(answer)
        });
        if answer != expected {
            let text = serde_json::to_string_pretty(&answer).expect("JSON");
            wrong.push(format!("```json answer {name}\n{text}\n```"));
        }
    }
    assert!(examples >= 6, "{examples} examples show too little");
    assert!(wrong.is_empty(), "the page must say:\n{}", wrong.join("\n"));
}

#[test]
fn the_reasons_are_the_codes_own() {
    let page = page();
    for reason in NoBid::ALL {
        let row = format!("| `{}` | {} |", reason.as_str(), reason.nbr());
        assert!(page.contains(&row), "the page lacks the row `{row} …`");
    }
}

#[test]
fn the_limits_are_the_codes_own() {
    let page = page();
    let limits = Limits::default();
    for (what, limit) in [
        ("bytes of a body", limits.body_bytes),
        ("nesting", limits.depth),
        ("imps", limits.imps),
        ("bytes of a text", limits.string_bytes),
        ("items of a list", limits.list_items),
    ] {
        let row = format!("| {what} | {limit} |");
        assert!(page.contains(&row), "the page lacks the row `{row}`");
    }
}

/// Every key of `[exchange.NAME]` is explained, and no other: the configuration refuses unknown keys
/// by listing those that it knows.
#[test]
fn every_key_of_an_exchange_is_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("outbid.toml");
    let text = "version = 1\n[paths]\ncatalog = \"c\"\nstrategies = \"s\"\nstate = \"s\"\n\
                [exchange.x]\nunknown_key = 1\n";
    std::fs::write(&file, text).expect("a file");
    let error = Config::load(&file).expect_err("an unknown key").to_string();
    let known: Vec<_> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
    assert!(known.len() > 10, "{error}");
    let page = page();
    let explained = |key: &String| page.contains(&format!("| `{key}` |"));
    let missing: Vec<_> = known.iter().filter(|key| !explained(key)).collect();
    assert!(missing.is_empty(), "the page says nothing of {missing:?}");
}

/// Links and files that the page names exist.
#[test]
fn the_files_that_the_page_names_are_there() {
    let page = page();
    let named = page.split('`').filter(|text| text.starts_with("fixtures/"));
    let missing: Vec<_> = named.filter(|file| !root().join(Path::new(file)).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The table of what is stored for how long names the configuration's own defaults.
#[test]
fn what_is_stored_for_how_long_is_what_the_page_says() {
    let page = std::fs::read_to_string(root().join("docs/privacy.md")).expect("the page");
    let (_, section) = page.split_once("## What is stored").expect("the section");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("outbid.toml");
    std::fs::write(
        &file,
        "version = 1\n[paths]\ncatalog = 'c'\nstrategies = 's'\nstate = 'v'\n[exchange.x]\n",
    )
    .expect("written");
    let config = Config::load(&file).expect("defaults");
    let mut expected = BTreeMap::from([
        ("session.idle_s", u64::from(config.session.idle_s)),
        ("session.alias_ttl_s", config.session.alias_ttl_s.into()),
        ("session.save_every_s", config.session.save_every_s.into()),
        ("session.user_key_days", config.session.user_key_days.into()),
        ("session.user_key_grace_s", config.session.user_key_grace_s.into()),
        ("attribution.click_window_s", config.attribution.click_window_s.into()),
        ("attribution.view_window_s", config.attribution.view_window_s.into()),
        ("prediction.click_window_s", config.prediction.click_window_s.into()),
        ("prediction.conversion_window_s", config.prediction.conversion_window_s.into()),
        ("store.events_keep_days", config.store.events_keep_days.into()),
        ("store.behaviour_keep_days", config.store.behaviour_keep_days.into()),
        ("store.ledger_keep_records", config.store.ledger_keep_records),
    ]);
    let rows = section.lines().filter(|line| line.starts_with('|'));
    for row in rows.skip(2) {
        let settings = row.rsplit('|').nth(1).expect("a last column");
        for setting in settings.split("`").skip(1).collect::<Vec<_>>().chunks(2) {
            let default: String = setting[1]
                .chars()
                .skip_while(|c| !c.is_ascii_digit())
                .take_while(char::is_ascii_digit)
                .collect();
            let known = expected.get(setting[0]).copied();
            assert_eq!(Some(default), known.map(|value| value.to_string()), "{}", setting[0]);
        }
    }
    expected.retain(|name, _| !section.contains(&format!("`{name}`")));
    assert!(expected.is_empty(), "not in the table: {expected:?}");
}
