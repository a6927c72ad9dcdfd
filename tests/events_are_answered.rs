//! Promise: whoever sends events is told what became of each: taken, known already, wrong, or not read; and
//! a search counts where its words say, as the page for operators has it.

mod common;

use common::{Campaign, Engine, NOON, Site, request};
use outbid::notice::event::{BODY_BYTES_MAX, LINE_BYTES_MAX, LINES_MAX};
use serde_json::{Value, json};

fn engine() -> Engine {
    let campaigns = [
        Campaign {
            more: "targeting = { keywords = [\"marathon\", \"news\"] }",
            ..Campaign::default()
        },
        Campaign { name: "tents", category: "tents", ..Campaign::default() },
    ];
    let mut engine = Engine::start(Site::new(&campaigns, "workers = 2", ""), Some(NOON));
    engine.at(NOON);
    engine
}

fn view(id: &str, user: &str) -> Value {
    json!({
        "id": id, "type": "view", "ts": NOON, "user": { "id": user }, "consent": true,
        "advertiser": "acme", "category": "tents",
    })
}

fn search(id: &str, query: &str) -> Value {
    let mut event = view(id, "seeker");
    event["type"] = json!("search");
    event["query"] = json!(query);
    event.as_object_mut().expect("an object").remove("category");
    event
}

fn send(engine: &mut Engine, body: &str) -> Value {
    let reply = engine.public.post("/events", body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[test]
fn a_repetition_is_told() {
    let mut engine = engine();
    let first = format!("{}\n{}\n{}", view("a", "one"), view("b", "two"), view("a", "one"));
    let reply = send(&mut engine, &first);
    assert_eq!((&reply["accepted"], &reply["duplicates"]), (&json!(3), &json!(1)), "{reply}");
    let again = format!("{}\n{}\n{}", view("a", "one"), view("b", "two"), view("c", "three"));
    let reply = send(&mut engine, &again);
    assert_eq!((&reply["accepted"], &reply["duplicates"]), (&json!(3), &json!(2)), "{reply}");
    assert_eq!(reply["not_read_from"], Value::Null, "{reply}");
    let applied: u64 = engine.shards().iter().map(|shard| shard.counters.events_applied).sum();
    assert_eq!(applied, 3, "each id once");
}

#[test]
fn what_was_not_read_can_be_sent_again() {
    let mut engine = engine();
    let lines: Vec<_> = (0..1_500).map(|id| view(&id.to_string(), "reader").to_string()).collect();
    let reply = send(&mut engine, &lines.join("\n"));
    assert_eq!((&reply["accepted"], &reply["not_read_from"]), (&json!(1_000), &json!(1_001)));
    let next = reply["not_read_from"].as_u64().expect("a line") as usize;
    let reply = send(&mut engine, &lines[next - 1..].join("\n"));
    let (accepted, rejected) = (&reply["accepted"], &reply["rejected"]);
    assert_eq!((accepted, rejected), (&json!(500), &json!([])), "{reply}");
    let (duplicates, not_read_from) = (&reply["duplicates"], &reply["not_read_from"]);
    assert_eq!((duplicates, not_read_from), (&json!(0), &Value::Null), "{reply}");
}

#[test]
fn a_body_that_is_too_large_is_413() {
    let mut engine = engine();
    for (bytes, status) in [(BODY_BYTES_MAX, 200), (BODY_BYTES_MAX + 1, 413)] {
        let reply = engine.public.post("/events", &vec![b' '; bytes]);
        assert_eq!(reply.status, status, "{bytes}: {}", reply.text());
    }
}

/// Interest of the seeker in the campaign's category.
fn interest(engine: &mut Engine, campaign: &str) -> f64 {
    let mut asked = request("r", "seeker");
    asked["site"]["keywords"] = json!("news");
    engine.explained(&asked, campaign)["price"]["interest"].as_f64().expect("an interest")
}

#[test]
fn a_search_raises_the_category_that_its_words_name() {
    let mut engine = engine();
    let reply = send(&mut engine, &search("s", "Where to go").to_string());
    let rejected = json!([{ "line": 1, "field": "query", "reason": "not_one_category" }]);
    assert_eq!((&reply["accepted"], &reply["rejected"]), (&json!(0), &rejected), "{reply}");
    for (id, query, [shoes, tents]) in
        [("a", "cheap TENT", [false, true]), ("b", "marathon training", [true, true])]
    {
        let reply = send(&mut engine, &search(id, query).to_string());
        assert_eq!(reply["accepted"], 1, "{query}: {reply}");
        assert_eq!(interest(&mut engine, "shoes") > 0.0, shoes, "{query}");
        assert_eq!(interest(&mut engine, "tents") > 0.0, tents, "{query}");
    }
}

#[test]
fn the_page_tells_the_limits_and_the_answer() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/serving.md");
    let page = std::fs::read_to_string(page).expect("the page");
    for limit in [LINES_MAX, BODY_BYTES_MAX, LINE_BYTES_MAX] {
        let digits = limit.to_string();
        let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
        let row = format!("| {}", groups.collect::<Vec<_>>().join(","));
        assert!(page.contains(&row), "the page lacks `{row}`");
    }
    let reply = send(&mut engine(), &view("a", "one").to_string());
    for key in reply.as_object().expect("an object").keys() {
        assert!(page.contains(&format!("`{key}`")), "the page lacks `{key}`");
    }
}
