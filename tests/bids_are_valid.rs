//! Promise: with a catalog built for them, most real requests get a bid, and every bid is valid.
//!
//! The collected requests go to a real engine over a real socket. Which of them can be answered at
//! all is read from their raw JSON, with a reason for each that cannot; every answer is held against
//! the standard by a checker that shares nothing with the engine. One wrong bid planted for each rule
//! shows that the checker sees what it is there for. The JSON schema of 2.5 is held against every answer
//! too.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;

#[path = "bids_are_valid/catalog.rs"]
mod catalog;
#[path = "bids_are_valid/corpus.rs"]
mod corpus;
#[path = "bids_are_valid/media.rs"]
mod media;
#[path = "bids_are_valid/planted.rs"]
mod planted;
#[path = "bids_are_valid/read.rs"]
mod read;
#[path = "bids_are_valid/rules.rs"]
mod rules;
#[path = "bids_are_valid/schema.rs"]
mod schema;

use catalog::{SEATS, Wishes, bait_exchange};
use common::{Engine, NOON};
use corpus::{Collected, Slot, complete_requests, slots};
use planted::{PLANTS, bases};
use read::{MEDIA, floor_currency, objects, text, texts};
use rules::{RULES, broken};
use schema::schema_faults;
use serde_json::Value;
use std::collections::BTreeMap;

/// The exchange on which a request is for us: the one whose seat it names, else the first.
fn exchange_of(request: &Value) -> (&'static str, &'static str) {
    let names = |of: &Value, seat: &str| texts(&of["wseat"]).iter().any(|one| one == seat);
    let imps = objects(&request["imp"]);
    let deals: Vec<_> = imps.iter().flat_map(|imp| objects(&imp["pmp"]["deals"])).collect();
    let named = SEATS
        .into_iter()
        .find(|(_, seat)| names(request, seat) || deals.iter().any(|deal| names(deal, seat)));
    named.unwrap_or(SEATS[0])
}

/// How often a request is sent: a machine that stalls for a tenth of a second makes an answer late
/// that has a short `tmax`, and a first bid may be ahead of the lease that it asks for. Neither is
/// what is asked here.
const SENT_MAX: usize = 3;

/// The engine's answer, if it bids. Each time that it is asked a second has passed, so that its
/// leases are renewed.
fn answer(engine: &mut Engine, exchange: &str, body: &str) -> Option<Value> {
    let path = format!("/openrtb2/{exchange}/bid");
    (0..SENT_MAX).find_map(|_| {
        engine.at(engine.exchange.now.unwrap_or(NOON) + 1_000);
        let reply = engine.exchange.post(&path, body.as_bytes());
        (reply.status == 200).then(|| reply.json())
    })
}

/// Why the engine does not bid, in its own words.
fn own_reason(engine: &mut Engine, exchange: &str, body: &str) -> String {
    let reply = engine.admin.post(&format!("/explain?exchange={exchange}"), body.as_bytes());
    if reply.status != 200 {
        return format!("refused: {}", reply.text());
    }
    reply.json()["no_bid"]
        .as_str()
        .unwrap_or("it bids when explained (late, or no money on the core)")
        .to_owned()
}

/// The rows of the table of counts, each with the share of its requests, in thousandths, that must
/// be answered: a little below what is reached.
const ROWS: [(&str, usize); 8] = [
    ("all", 980),
    ("banner", 980),
    ("video", 980),
    ("native", 980),
    ("audio", 950),
    ("deals", 900),
    ("multi-imp", 930),
    ("non-USD", 970),
];

/// Counts of one row.
#[derive(Default)]
struct Count {
    requests: usize,
    answered: usize,
    bids: usize,
}

/// Notes one eligible request and its answer in the rows that it belongs to.
fn note(
    counts: &mut BTreeMap<&'static str, Count>,
    request: &Value,
    slots: &[Slot],
    response: Option<&Value>,
) {
    let imps = objects(&request["imp"]);
    let seats = response.map(|response| objects(&response["seatbid"])).unwrap_or_default();
    let bids: Vec<_> = seats.iter().flat_map(|seat| objects(&seat["bid"])).collect();
    let open = |slot: &&Slot| slot.excluded.is_none();
    let mut row = |name: &'static str, is_answered: bool, bids: usize| {
        let count = counts.entry(name).or_default();
        count.requests += 1;
        count.answered += usize::from(is_answered);
        count.bids += bids;
    };
    row("all", !bids.is_empty(), bids.len());
    for medium in MEDIA {
        let slots: Vec<_> =
            slots.iter().filter(open).filter(|slot| slot.medium == medium).collect();
        if slots.is_empty() {
            continue;
        }
        let ids: Vec<_> = slots.iter().map(|slot| texts(&imps[slot.imp]["id"])).collect();
        let is_answered = bids.iter().any(|bid| ids.contains(&texts(&bid["impid"])));
        let of_medium = bids.iter().filter(|bid| media::form(text(bid, "adm")) == Some(medium));
        row(medium, is_answered, of_medium.count());
    }
    if slots.iter().filter(open).any(|slot| slot.has_deal) {
        let deals = bids.iter().filter(|bid| !text(bid, "dealid").is_empty()).count();
        row("deals", !bids.is_empty(), deals);
    }
    if imps.len() > 1 {
        row("multi-imp", !bids.is_empty(), bids.len());
    }
    let currencies = texts(&request["cur"]);
    let is_foreign = !currencies.is_empty() && !currencies.contains(&"USD".to_owned());
    if is_foreign || imps.iter().any(|imp| floor_currency(imp) != "USD") {
        row("non-USD", !bids.is_empty(), bids.len());
    }
}

fn print_reasons(title: &str, reasons: &BTreeMap<String, usize>) {
    println!("{title}: {}", reasons.values().sum::<usize>());
    for (reason, count) in reasons {
        println!("  {count:5} {reason}");
    }
}

#[test]
fn collected_requests_get_bids_and_every_bid_is_valid() {
    let requests = complete_requests();
    if requests.is_empty() {
        return;
    }
    let wishes = Wishes::of(requests.iter().map(|request| &request.value));
    let mut engine = Engine::start(catalog::site(&wishes), Some(NOON));
    engine.at(NOON);
    let mut counts = BTreeMap::new();
    let (mut excluded, mut missed) = (BTreeMap::new(), BTreeMap::new());
    let mut wrong = Vec::new();
    let schema = schema::schema();
    let (baits, mut baited) = (wishes.baits(), 0);
    for Collected { id, body, value } in &requests {
        for number in (0..baits.len()).filter(|number| baits[*number].is_blocked_by(value)) {
            let Some(response) = answer(&mut engine, &bait_exchange(number), body) else {
                continue;
            };
            baited += 1;
            let broken = broken(value, &response);
            if !broken.is_empty() {
                wrong.push(format!("{id}, bait {number}: {broken:?}\n  {body}\n  {response}"));
            }
        }
        let (exchange, seat) = exchange_of(value);
        let slots = slots(value, seat);
        let response = answer(&mut engine, exchange, body);
        if let Some(response) = &response {
            let mut broken: Vec<_> =
                broken(value, response).into_iter().map(str::to_owned).collect();
            broken.extend(schema.iter().flat_map(|schema| schema_faults(schema, response)));
            if !broken.is_empty() {
                wrong.push(format!("{id}: {broken:?}\n  {body}\n  {response}"));
            }
        }
        if slots.iter().all(|slot| slot.excluded.is_some()) {
            let reason = slots.first().and_then(|slot| slot.excluded).unwrap_or("no medium");
            *excluded.entry(reason.to_owned()).or_default() += 1;
            continue;
        }
        if response.is_none() {
            let reason = own_reason(&mut engine, exchange, body);
            if std::env::var_os("OUTBID_SHOW_MISSES").is_some() {
                println!("missed {id}: {reason}\n  {body}");
            }
            *missed.entry(reason).or_default() += 1;
        }
        note(&mut counts, value, &slots, response.as_ref());
    }
    println!("{} complete requests", requests.len());
    print_reasons("cannot be answered", &excluded);
    print_reasons("not answered, by the engine's reason", &missed);
    println!("{:>10} {:>8} {:>8} {:>8}", "", "requests", "answered", "bids");
    for (name, Count { requests, answered, bids }) in &counts {
        println!("{name:>10} {requests:8} {answered:8} {bids:8}");
    }
    println!("{baited} bids where one bait was offered and blocked");
    assert!(baited > 100, "{baited} bids beside a bait put nothing to the test");
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
    for (name, least) in ROWS {
        let Count { requests, answered, bids } = counts.remove(name).unwrap_or_default();
        assert!(bids > 0 && answered * 1_000 >= requests * least, "{name}: too few answers");
    }
}

#[test]
fn one_wrong_bid_of_each_kind_is_caught() {
    let wishes = Wishes::of([].iter());
    let mut engine = Engine::start(catalog::site(&wishes), Some(NOON));
    engine.at(NOON);
    let pairs: BTreeMap<&str, (Value, Value)> = bases()
        .into_iter()
        .map(|(name, request)| {
            let response = answer(&mut engine, "x", &request.to_string());
            let response = response.unwrap_or_else(|| panic!("no bid on `{name}`"));
            assert_eq!(broken(&request, &response), Vec::<&str>::new(), "{name}: {response}");
            (name, (request, response))
        })
        .collect();
    for (rule, base, plant) in PLANTS {
        let (mut request, mut response) = pairs[base].clone();
        plant(&mut request, &mut response);
        assert_eq!(broken(&request, &response), [*rule], "planted in `{base}`: {response}");
    }
    let unplanted: Vec<_> =
        RULES.iter().filter(|rule| !PLANTS.iter().any(|(planted, ..)| planted == *rule)).collect();
    assert!(unplanted.is_empty(), "no wrong bid is planted for {unplanted:?}");
}
