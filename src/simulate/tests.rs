//! Whole days and loads against a small bidder of our own, over real sockets.

use super::*;
use crate::units::{Nanos, Timestamp};
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

const START: Timestamp = Timestamp(1_750_032_000_000);

/// What the bidder knows and what it was told.
#[derive(Default)]
struct Bidder {
    address: Mutex<Option<SocketAddr>>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    requests: u64,
    holds: u64,
    wins: u64,
    losses: u64,
    clicks: u64,
    purchases: u64,
    /// Price by hold: a second notice of one hold changes nothing.
    billed: BTreeMap<String, i128>,
    interest: BTreeMap<String, String>,
    clock: i64,
    went_back: bool,
    orders: BTreeSet<String>,
}

impl Heard {
    fn tick(&mut self, request: &HttpRequest) {
        let header = request.headers().get("X-Outbid-Now").and_then(|now| now.to_str().ok());
        let now = header.and_then(|now| now.parse().ok()).unwrap_or(0);
        self.went_back |= now < self.clock;
        self.clock = now;
    }
}

fn categories() -> Vec<String> {
    let spec = Spec::built_in().expect("good");
    spec.category.into_iter().map(|category| category.name).collect()
}

fn ads() -> Ads {
    let ad = |name: String| {
        (format!("c-{name}"), Ad { advertiser: format!("a-{name}"), category: name })
    };
    categories().into_iter().map(ad).collect()
}

/// Half of the users get the ad of the category that they last touched, the others any.
async fn bid(bidder: web::Data<Bidder>, http: HttpRequest, body: web::Bytes) -> HttpResponse {
    let request: Value = serde_json::from_slice(&body).expect("JSON");
    let mut heard = bidder.heard.lock();
    heard.tick(&http);
    heard.requests += 1;
    heard.holds += 1;
    let user = [&request["device"]["ifa"], &request["user"]["id"], &request["user"]["buyeruid"]];
    let user = user.into_iter().find_map(Value::as_str).unwrap_or("").to_owned();
    let id = request["id"].as_str().expect("an id");
    let names = categories();
    let any = crate::hash::stable(id.as_bytes()) as usize;
    if any.is_multiple_of(10) {
        return HttpResponse::NoContent().finish();
    }
    let arm = ["full", "random"][crate::hash::stable(user.as_bytes()) as usize % 2];
    let known = heard.interest.get(&user).filter(|_| arm == "full");
    let category = known.unwrap_or(&names[any / 10 % names.len()]);
    let imp = &request["imp"][0];
    let deal = &imp["pmp"]["deals"][0]["id"];
    let hold = heard.holds.to_string();
    let base = format!("http://{}", bidder.address.lock().expect("bound"));
    let notice = |kind: &str| format!("{base}/notice/{kind}?t={hold}&p=${{AUCTION_PRICE}}");
    HttpResponse::Ok().json(json!({ "id": id, "cur": "USD", "seatbid": [{ "bid": [{
        "id": hold, "impid": imp["id"], "price": 9.123456, "dealid": deal,
        "cid": format!("c-{category}"), "crid": format!("ad-{category}"),
        "nurl": notice("win"), "burl": notice("billing"), "lurl": notice("loss"),
        "ext": { "outbid": { "arm": arm, "pctr": if known.is_some() { 0.06 } else { 0.02 },
                             "click": format!("{base}/click?t={hold}") } },
    }] }] }))
}

async fn notice(
    bidder: web::Data<Bidder>,
    http: HttpRequest,
    kind: web::Path<String>,
    query: web::Query<BTreeMap<String, String>>,
) -> HttpResponse {
    let mut heard = bidder.heard.lock();
    heard.tick(&http);
    let price = crate::units::Micros::parse_decimal(&query["p"]).expect("a decimal");
    match kind.as_str() {
        "win" => heard.wins += 1,
        "loss" => heard.losses += 1,
        _ => {
            heard.billed.insert(query["t"].clone(), price.per_impression().0);
        }
    }
    HttpResponse::Ok().finish()
}

async fn click(bidder: web::Data<Bidder>, http: HttpRequest) -> HttpResponse {
    let mut heard = bidder.heard.lock();
    heard.tick(&http);
    heard.clicks += 1;
    let landing = "https://shop.example/?x=1&obclid=token";
    HttpResponse::Found().insert_header(("Location", landing)).finish()
}

async fn events(bidder: web::Data<Bidder>, http: HttpRequest, body: web::Bytes) -> HttpResponse {
    let key = http.headers().get("Authorization").and_then(|key| key.to_str().ok());
    if key != Some("Bearer events") {
        return HttpResponse::Unauthorized().body("no key");
    }
    let mut heard = bidder.heard.lock();
    heard.tick(&http);
    let mut accepted = 0;
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: Value = serde_json::from_slice(line).expect("JSON");
        accepted += 1;
        if event["type"] == "purchase" {
            assert!(heard.orders.insert(event["order_id"].to_string()), "an order comes once");
            heard.purchases += u64::from(event["click"] == "token");
        }
        let user = &event["user"];
        let id = [&user["ifa"], &user["id"], &user["buyeruid"]["id"]];
        if let (Some(id), Some(category)) =
            (id.into_iter().find_map(Value::as_str), event["category"].as_str())
        {
            heard.interest.insert(id.to_owned(), category.to_owned());
        }
    }
    HttpResponse::Ok().json(json!({ "accepted": accepted, "rejected": [] }))
}

async fn report(bidder: web::Data<Bidder>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "requests": bidder.heard.lock().requests }))
}

/// Starts a bidder; its three listeners are one.
fn start() -> (Arc<Bidder>, SocketAddr, ServerHandle) {
    let bidder = web::Data::new(Bidder::default());
    let shared = bidder.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .route("/openrtb2/sim/bid", web::post().to(bid))
            .route("/notice/{kind}", web::get().to(notice))
            .route("/click", web::get().to(click))
            .route("/events", web::post().to(events))
            .route("/api/v1/simulation/clock", web::post().to(HttpResponse::NoContent))
            .route("/api/v1/report", web::get().to(report))
    });
    let server = server.workers(1).disable_signals().bind("127.0.0.1:0").expect("a free port");
    let address = server.addrs()[0];
    *bidder.address.lock() = Some(address);
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (bidder.into_inner(), address, handle)
}

fn endpoints(address: SocketAddr) -> Endpoints {
    Endpoints {
        exchange: address,
        exchange_name: "sim".to_owned(),
        public: address,
        events_key: "events".to_owned(),
        admin: Some((address, "admin".to_owned())),
    }
}

fn world(seed: u64) -> World {
    World::new(Spec::built_in().expect("good"), ads(), 150, seed)
}

#[actix_web::test]
async fn a_day_agrees_with_the_bidders_books() {
    let (bidder, address, _handle) = start();
    let mut told = Vec::new();
    let plan = DayPlan::new(START, 4_000);
    let mut progress = |progress: &Progress| told.push(*progress);
    let day = run_day(&world(3), &plan, &endpoints(address), &mut progress).await.expect("a day");
    let heard = bidder.heard.lock();
    let totals = &day.totals;
    assert!((3_300..4_700).contains(&totals.requests), "{totals:?}");
    assert_eq!(totals.requests, heard.requests);
    assert_eq!(
        totals.requests,
        totals.answered + totals.no_bids + day.defects.values().sum::<u64>()
    );
    assert_eq!(totals.bids, totals.wins + totals.losses);
    assert!(totals.wins > 1_000 && totals.losses > 50, "{totals:?}");
    // The bidder's own sum over holds is the exchange's to the nano, duplicates and all.
    assert_eq!(day.billed(), Nanos(heard.billed.values().sum()));
    assert!(totals.notices_lost > 0 && totals.notices_duplicated > 0 && totals.notices_late > 0);
    let unnotified: Nanos = day.campaigns.values().map(|books| books.unnotified).sum();
    assert!(unnotified < day.billed());
    let curve: Nanos = day.campaigns.values().flat_map(|books| books.curve.iter().copied()).sum();
    assert_eq!(curve, day.billed());
    assert_eq!(heard.clicks, totals.clicks);
    assert_eq!(heard.purchases, totals.conversions);
    assert!(totals.conversions > 0 && totals.clicks_refused == 0 && totals.notices_refused == 0);
    assert!(!heard.went_back, "simulated time only goes forward");
    assert_eq!(day.engine_report.as_ref().expect("a report")["requests"], totals.requests);
    assert!((150..=203).contains(&told.len()), "{}", told.len());
    assert!(told.is_sorted_by_key(|progress| progress.requests));
    assert_eq!(told.last().expect("told").spend, day.billed());
}

#[actix_web::test]
async fn whoever_learns_interest_gets_the_clicks() {
    let (_bidder, address, _handle) = start();
    let plan = DayPlan::new(START, 6_000);
    let day = run_day(&world(4), &plan, &endpoints(address), &mut |_| {}).await.expect("a day");
    let rate = |arm: &str| day.arms[arm].expected_clicks / day.arms[arm].impressions as f64;
    assert!(rate("full") > 1.8 * rate("random"), "{:?}", day.arms);
    assert!(day.auc_of_truth().expect("clicks") > day.auc().expect("clicks"));
    let by_model = day.scored.iter().filter(|one| one.by_model).count();
    let deciles = deciles(&day.model_and_truth(0).collect::<Vec<_>>());
    assert_eq!(deciles.iter().map(|part| part.count).sum::<usize>(), by_model);
}

#[actix_web::test]
async fn a_day_repeats_to_the_last_click() {
    let mut days = Vec::new();
    for _ in 0..2 {
        let (_bidder, address, _handle) = start();
        let plan = DayPlan::new(START, 1_000);
        let day = run_day(&world(5), &plan, &endpoints(address), &mut |_| {}).await.expect("a day");
        days.push((day.totals.clone(), day.campaigns.clone(), day.scored.clone()));
    }
    assert_eq!(days[0], days[1]);
}

#[actix_web::test]
async fn a_wrong_key_or_name_stops_the_day() {
    let (_bidder, address, _handle) = start();
    let plan = DayPlan::new(START, 200);
    let mut wrong = endpoints(address);
    wrong.events_key = "wrong".to_owned();
    let error = run_day(&world(6), &plan, &wrong, &mut |_| {}).await.expect_err("refused");
    assert_eq!(error.to_string(), "/events answered 401: no key");
    let mut wrong = endpoints(address);
    wrong.exchange_name = "nobody".to_owned();
    let error = run_day(&world(6), &plan, &wrong, &mut |_| {}).await.expect_err("refused");
    assert!(error.to_string().starts_with("/openrtb2/nobody/bid answered 404"), "{error}");
}

fn load(address: SocketAddr, mode: Mode) -> LoadPlan {
    LoadPlan {
        address,
        path: "/openrtb2/sim/bid".to_owned(),
        headers: vec![("x-openrtb-version".to_owned(), "2.6".to_owned())],
        bodies: world(7).request_bodies(START, 50),
        connections: 8,
        mode,
        warmup_ms: 100,
        duration_ms: 500,
        notices: None,
        seed: 1,
    }
}

async fn run(plan: LoadPlan) -> Result<LoadReport, Error> {
    actix_web::rt::task::spawn_blocking(move || run_load(&plan)).await.expect("no panic")
}

#[actix_web::test]
async fn an_open_loop_sends_what_was_meant_and_no_more() {
    let (bidder, address, _handle) = start();
    let plan = load(address, Mode::Open { rate: 400.0 });
    assert_eq!(plan.bodies.len(), 50);
    let report = run(plan).await.expect("a load");
    let answered: u64 = report.by_status.values().sum();
    // 240 requests in 600 ms, 200 of them counted.
    assert_eq!(answered + report.unanswered + report.unsent + report.errors, 200);
    assert_eq!(report.errors, 0);
    assert!(report.by_status[&200] > report.by_status[&204]);
    assert_eq!(bidder.heard.lock().requests, 240 - report.unsent);
    assert_eq!(report.latency.len(), 200);
    assert!(report.latency.max() >= report.service.max());
}

#[actix_web::test]
async fn a_closed_loop_keeps_connections_busy_and_winners_are_told() {
    let (bidder, address, _handle) = start();
    let mut plan = load(address, Mode::Closed);
    plan.notices = Some((address, 0.25));
    let report = run(plan).await.expect("a load");
    assert!(report.rate() > 200.0, "{}", report.rate());
    let heard = bidder.heard.lock();
    assert!(heard.wins > 10 && heard.wins.abs_diff(heard.billed.len() as u64) <= 1);
    let bids = report.by_status[&200] as f64;
    assert!((0.15..0.40).contains(&(heard.wins as f64 / bids)), "{} of {bids}", heard.wins);
    assert_eq!(report.notices_failed, 0);
}

/// A server that stalls once is charged for all requests that were meant for that time, not for
/// one: the figure that closed loops leave out.
#[test]
fn a_stall_counts_for_every_request_that_it_delays() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut buffer = vec![0; 64 * 1024];
        let mut answered = 0;
        while let Ok(1..) = stream.read(&mut buffer) {
            answered += 1;
            if answered == 20 {
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
            if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
                break;
            }
        }
    });
    let mut plan = load(address, Mode::Open { rate: 200.0 });
    plan.connections = 1;
    plan.warmup_ms = 0;
    let report = run_load(&plan).expect("a load");
    server.join().expect("no panic");
    assert_eq!(report.latency.len(), 100);
    let slow = |histogram: &hdrhistogram::Histogram<u64>| {
        histogram.count_between(50_000_000, 60_000_000_000)
    };
    // 40 requests were meant for those 200 ms; 30 of them waited for more than 50 ms.
    assert!((25..60).contains(&slow(&report.latency)), "{}", slow(&report.latency));
    assert!(slow(&report.service) <= 5, "{}", slow(&report.service));
    assert!(report.lateness.max() > 150_000_000);
}

#[test]
fn impossible_plans_are_refused() {
    let address = ([127, 0, 0, 1], 1).into();
    for change in [
        (|plan| plan.bodies.clear()) as fn(&mut LoadPlan),
        |plan| plan.connections = 0,
        |plan| plan.duration_ms = 0,
        |plan| plan.mode = Mode::Open { rate: f64::NAN },
    ] {
        let mut plan = load(address, Mode::Closed);
        change(&mut plan);
        assert!(matches!(run_load(&plan), Err(Error::Plan(_))));
    }
    let error = run_load(&load(address, Mode::Closed)).expect_err("nobody there");
    assert!(error.to_string().starts_with("127.0.0.1:1: "), "{error}");
}
