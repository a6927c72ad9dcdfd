//! Promise: flights, days, months, the campaign's life and the advertiser each bound what is spent,
//! over the real server; edits, pauses and adjustments are in force when they are answered, and the
//! ledger shows each of them.

mod common;

use common::{Campaign, Engine, MINUTE, Site, counter, request};
use serde_json::{Value, json};

/// 2026-03-28 at noon in Berlin; the next day has 23 hours there.
const SATURDAY: i64 = 1_774_695_600_000;
const HOUR: i64 = 60 * MINUTE;

struct House {
    engine: Engine,
    now: i64,
    count: u32,
}

impl House {
    fn open(campaigns: &[Campaign], now: i64) -> Self {
        let site = Site::new(campaigns, "", "[budget]\ntick_ms = 60_000");
        let mut house = Self { engine: Engine::start(site, Some(now)), now, count: 0 };
        house.at(now);
        house
    }

    fn at(&mut self, now: i64) {
        self.now = now;
        self.engine.at(now);
    }

    /// Bids and bills until no bid comes for three ticks; what was billed, in nanos.
    fn spend(&mut self) -> i64 {
        let (mut billed, mut quiet) = (0, 0);
        while quiet < 3 {
            self.count += 1;
            match self.engine.bid(&request(&format!("r-{}", self.count), "reader")) {
                Some(bid) => {
                    let price = format!("{}", bid.price);
                    assert_eq!(self.engine.fetch(&bid.billed_at(&price)).status, 200);
                    (billed, quiet) = (billed + (bid.price * 1e6).round() as i64, 0);
                }
                None => quiet += 1,
            }
            self.at(self.now + if quiet > 0 { MINUTE + 1_000 } else { 1_000 });
        }
        billed
    }

    fn edit(&mut self, change: &Value) {
        let reply = self.engine.admin.put("/api/v1/campaigns/shoes", &change.to_string());
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    fn adjust(&mut self, body: &Value) -> (u16, Value) {
        let path = "/api/v1/campaigns/shoes/adjustments";
        let reply = self.engine.admin.post(path, body.to_string().as_bytes());
        (reply.status, reply.json())
    }

    /// The billed nanos of the ledger's first line of this level, and of this day.
    fn billed(&mut self, level: &str, day: Option<&str>) -> i64 {
        let statement = self.engine.admin.get("/api/v1/ledger?campaign=shoes").json();
        let lines = statement["accounts"].as_array().expect("lines");
        let day = day.map(|day| {
            let date: jiff::civil::Date = day.parse().expect("a date");
            (date - jiff::civil::date(1970, 1, 1)).get_days()
        });
        let found = lines
            .iter()
            .find(|line| line["level"] == level && day.is_none_or(|day| line["first"] == day));
        let line = found.unwrap_or_else(|| panic!("no {level} {day:?} in {statement}"));
        line["billed"].as_str().and_then(|text| text.parse().ok()).expect("nanos as text")
    }
}

/// A bid is 2.50 a thousand: 2,500,000 nanos.
const BID: i64 = 2_500_000;

#[test]
fn flights_bound_days_of_a_calendar_with_23_hours() {
    let more = "time_zone = \"Europe/Berlin\"\nflights = [{ start = \"2026-03-28\", \
                end = \"2026-03-29\", budget = \"0.0175\" }]";
    let shoes = Campaign { daily_budget: "0.01", more, ..Campaign::default() };
    let mut house = House::open(&[shoes], SATURDAY);
    assert_eq!(house.spend(), 4 * BID, "the day's budget");
    // Midnight in Berlin is 23:00 UTC; the day after is over at 22:00 UTC already.
    let midnight = SATURDAY + 12 * HOUR;
    house.at(midnight - 10 * MINUTE);
    assert_eq!(house.spend(), 0);
    house.at(midnight + MINUTE);
    assert_eq!(house.spend(), 3 * BID, "the flight's rest");
    house.at(midnight + 23 * HOUR - 10 * MINUTE);
    assert_eq!(house.spend(), 0);
    house.at(midnight + 23 * HOUR + MINUTE);
    assert_eq!(house.spend(), 0, "no flight on Monday");
    house.edit(&json!({"flights": []}));
    assert_eq!(house.spend(), 4 * BID, "none needed any more");
    assert_eq!(house.billed("day", Some("2026-03-28")), 4 * BID);
    assert_eq!(house.billed("day", Some("2026-03-30")), 4 * BID);
    assert_eq!(house.billed("campaign", None), 11 * BID);
    // In any order.
    let flight = json!([
        {"start": "2026-05-01", "end": "2026-05-01", "budget_micros": 10_000},
        {"start": "2026-03-28", "end": "2026-03-31", "budget_micros": 32_500},
    ]);
    house.edit(&json!({"flights": flight}));
    house.at(midnight + 47 * HOUR + MINUTE);
    assert_eq!(house.spend(), 2 * BID, "what three days of the flight left");
    assert_eq!(house.billed("flight", None), 13 * BID);
}

#[test]
fn a_day_takes_more_only_where_it_was_asked_for_and_of_what_was_left() {
    let shoes = Campaign { daily_budget: "0.01", ..Campaign::default() };
    let mut house = House::open(&[shoes], SATURDAY);
    house.edit(&json!({"daily_budget_micros": 5_000}));
    assert_eq!(house.spend(), 2 * BID);
    // It may take a half more from now on, of what this day leaves of its raised budget.
    house.edit(&json!({"daily_budget_micros": 10_000, "status": "paused"}));
    assert_eq!(house.spend(), 0, "paused");
    house.edit(&json!({"overdelivery": {"daily_max_ratio": 1.5}}));
    house.at(SATURDAY + 13 * HOUR);
    house.edit(&json!({"status": "active"}));
    assert_eq!(house.spend(), 6 * BID, "ten and a half of it");
    house.at(SATURDAY + 37 * HOUR);
    assert_eq!(house.spend(), 4 * BID, "nothing is left of the days before");
    assert_eq!(house.billed("month", None), 12 * BID);
    // A budget below what is spent stops at once, and one above goes on.
    house.at(SATURDAY + 61 * HOUR);
    house.engine.bid(&request("before", "reader")).expect("a new day");
    house.edit(&json!({"daily_budget_micros": 1}));
    assert!(house.engine.bid(&request("after", "reader")).is_none());
}

#[test]
fn an_advertiser_bounds_all_his_campaigns_together() {
    let shoes = Campaign { daily_budget: "0.02", ..Campaign::default() };
    let tents = Campaign { name: "tents", category: "tents", ..shoes };
    let site = Site::new(&[shoes, tents], "", "[budget]\ntick_ms = 60_000");
    let advertisers = site.folder().join("catalog/advertisers.toml");
    let text = std::fs::read_to_string(&advertisers).expect("a file");
    let bounded = text.replacen("currency", "budget = \"0.03\"\ncurrency", 1);
    std::fs::write(&advertisers, &bounded).expect("a file");
    let engine = Engine::start(site, Some(SATURDAY));
    let mut house = House { engine, now: SATURDAY, count: 0 };
    house.at(SATURDAY);
    assert_eq!(house.spend(), 12 * BID);
    assert_eq!(house.billed("advertiser", None), 12 * BID);
    std::fs::write(&advertisers, bounded.replace("0.03", "0.035")).expect("a file");
    assert_eq!(house.engine.admin.post("/api/v1/reload", b"").status, 200);
    assert_eq!(house.spend(), 2 * BID, "a new bound is in force when the reload is answered");
}

#[test]
fn a_budget_in_another_currency_is_refused_and_stops_the_campaign() {
    let site = Site::new(&[Campaign::default()], "", "[currency.rates]\nEUR = '1.25'");
    let advertisers = site.folder().join("catalog/advertisers.toml");
    let text = std::fs::read_to_string(&advertisers).expect("a file");
    let engine = Engine::start(site, Some(SATURDAY));
    let mut house = House { engine, now: SATURDAY, count: 0 };
    house.at(SATURDAY);
    assert!(house.engine.bid(&request("dollars", "reader")).is_some());
    std::fs::write(&advertisers, text.replace("USD", "EUR")).expect("a file");
    let change = json!({"daily_budget_micros": 20_000}).to_string();
    for refused in [
        house.engine.admin.post("/api/v1/reload", b""),
        house.engine.admin.put("/api/v1/campaigns/shoes", &change),
        // The budget stays, and so does its refusal.
        house.engine.admin.put("/api/v1/campaigns/shoes", "{}"),
    ] {
        let said = refused.text();
        assert!(refused.status == 409 && said.contains("shoes: the ledger refuses"), "{said}");
        assert!(said.contains("another currency"), "{said}");
    }
    assert!(house.engine.bid(&request("euro", "reader")).is_none());
    assert_eq!(house.engine.report()["budget"]["house"]["refused"], 2);
    std::fs::write(&advertisers, text).expect("a file");
    assert_eq!(house.engine.admin.post("/api/v1/reload", b"").status, 200);
    // The first one may find that there is no lease, and asks for it.
    house.at(SATURDAY + MINUTE);
    let mut tries = (0..2).map(|n| house.engine.bid(&request(&format!("dollars {n}"), "reader")));
    assert!(tries.any(|bid| bid.is_some()));
}

#[test]
fn adjustments_are_made_once_and_refused_clearly() {
    let shoes = Campaign { daily_budget: "0.01", ..Campaign::default() };
    let mut house = House::open(&[shoes], SATURDAY);
    assert_eq!(house.spend(), 4 * BID);
    // One that was refused was not made, however often it comes, and may be made later.
    let early = json!({"amount_micros": -12_500, "reason": "invalid_traffic", "key": "early"});
    assert_eq!((house.adjust(&early).0, house.adjust(&early).0), (422, 422));
    house.edit(&json!({"daily_budget_micros": 22_500}));
    assert_eq!(house.spend(), 5 * BID);
    assert_eq!(house.adjust(&early).1["billed_nanos"], "-12500000");
    house.edit(&json!({"daily_budget_micros": 10_000}));
    assert_eq!(house.spend(), 0);
    let refund = json!({"amount_micros": -5_000, "reason": "invalid_traffic", "key": "r1"});
    let (status, reply) = house.adjust(&refund);
    assert_eq!((status, &reply["billed_nanos"]), (200, &"-5000000".into()), "{reply}");
    assert_eq!(house.adjust(&refund), (200, json!({"repeated": true})));
    assert_eq!(house.billed("day", None), 2 * BID);
    for (change, expected, reason) in [
        (json!({"amount_micros": -4_000}), 409, "the key stands for another"),
        (json!({"key": "r2", "amount_micros": -5_001}), 422, "more would be refunded"),
        (json!({"key": "r2", "amount_micros": 0}), 422, "amount_micros: is 0"),
        (json!({"key": "r2", "day": "2026-03-29"}), 422, "day: has not begun"),
        (json!({"key": ""}), 422, "key: has 1 to 64 bytes"),
        (json!({"key": "r2", "reason": "because"}), 400, "reason: unknown variant"),
        (json!({"key": "r2", "amount_micros": 1.5}), 400, "amount_micros: invalid type"),
    ] {
        let mut body = refund.clone();
        change.as_object().expect("keys").iter().for_each(|(key, value)| body[key] = value.clone());
        let (status, reply) = house.adjust(&body);
        let error = reply["error"].as_str().unwrap_or_default();
        assert!(status == expected && error.contains(reason), "{body}: {status} {reply}");
    }
    // What was refunded can be spent again, and a charge goes no further than the bound.
    assert_eq!(house.spend(), 2 * BID);
    let charge = json!({"amount_micros": 1, "reason": "discrepancy", "key": "c1"});
    let (_, reply) = house.adjust(&charge);
    assert_eq!((&reply["billed_nanos"], &reply["absorbed_nanos"]), (&"0".into(), &"1000".into()));
    let nobody = house.engine.admin.post("/api/v1/campaigns/hats/adjustments", b"{}");
    assert_eq!(nobody.status, 400, "a body comes first");
    let body = refund.to_string();
    let nobody = house.engine.admin.post("/api/v1/campaigns/hats/adjustments", body.as_bytes());
    assert_eq!(nobody.status, 404);
    let metrics = house.engine.admin.get("/metrics").text();
    for (what, times) in [("made", 3), ("repeated", 1), ("contradiction", 1), ("refused", 3)] {
        let name = format!("outbid_adjustments_total{{what=\"{what}\"}}");
        assert_eq!(counter(&metrics, &name), times, "{what}");
    }
    house.engine.admin.key = None;
    assert_eq!(house.adjust(&refund).0, 401);
    assert_eq!(house.engine.admin.get("/api/v1/ledger").status, 401);
}
