//! What it costs that behaviour is durable, as ratios of what it would be without: `POST /events` against
//! a server that keeps nothing, bills with a user against bills without. The two take turns, so that
//! whatever else the machine does hits both.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;

use common::{Bid, Campaign, Http, Process, Site, path_of, request, until};
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Turns of each side.
const TURNS: usize = 12;
/// Connections at once: one server that sends an event at a time, some, and many.
const CONNECTIONS: [usize; 3] = [1, 8, 64];
/// Requests of one connection in a turn.
const REQUESTS: usize = 40;

#[derive(Default)]
struct Side {
    took: Vec<Duration>,
    wall: Duration,
    cpu_s: f64,
}

impl Side {
    fn quantile_ms(&mut self, quantile: f64) -> f64 {
        self.took.sort_unstable();
        let place = (self.took.len() as f64 * quantile) as usize;
        self.took[place.min(self.took.len() - 1)].as_secs_f64() * 1e3
    }

    fn say(&mut self, name: &str) {
        let count = self.took.len() as f64;
        println!(
            "{name:8} {:6.0} requests/s  p50 {:.2} ms  p99 {:.2} ms  {:.0} us of processor time each",
            count / self.wall.as_secs_f64(),
            self.quantile_ms(0.5),
            self.quantile_ms(0.99),
            self.cpu_s * 1e6 / count,
        );
    }
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_millis()).expect("a time")
}

/// One connection's share of a turn.
fn send(address: SocketAddr, key: &str, name: &str, at: i64) -> Vec<Duration> {
    let mut public = Http::new(address, Some(key));
    let mut took = Vec::with_capacity(REQUESTS);
    for number in 0..REQUESTS {
        let event = json!({
            "id": format!("{name}-{number}"), "type": "view", "ts": at, "consent": true,
            "user": { "id": format!("user-{name}-{}", number % 7) },
            "advertiser": "acme", "category": "running-shoes",
        });
        let began = Instant::now();
        let reply = public.post("/events", event.to_string().as_bytes());
        took.push(began.elapsed());
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    took
}

fn turn((process, key): (&Process, &str), connections: usize, turn: usize, side: &mut Side) {
    let (address, at) = (process.public.address, now_ms());
    let (cpu_s, began) = (process.cpu_s(), Instant::now());
    let took = std::thread::scope(|scope| {
        let one = |number| {
            scope.spawn(move || send(address, key, &format!("{connections}-{turn}-{number}"), at))
        };
        let all: Vec<_> = (0..connections).map(one).collect();
        all.into_iter().flat_map(|one| one.join().expect("sent")).collect::<Vec<_>>()
    });
    side.wall += began.elapsed();
    side.cpu_s += process.cpu_s() - cpu_s;
    // The first turn warms up.
    if turn > 0 {
        side.took.extend(took);
    } else {
        *side = Side::default();
    }
}

/// `cargo test --test durable_behaviour_costs -- --ignored --nocapture`
#[test]
#[ignore = "prints figures"]
fn what_durable_events_cost() {
    let site = |store: &str| Site::new(&[Campaign::default()], "workers = 1", store);
    let sites = [site("[store]\nkind = \"memory\"\n"), site("")];
    let processes = [0, 1].map(|place| Process::serve(&sites[place], None));
    let keys = [0, 1].map(|place: usize| processes[place].keys.clone().expect("keys").1);
    for connections in CONNECTIONS {
        let mut sides = [Side::default(), Side::default()];
        for number in 0..=TURNS {
            for place in [number % 2, 1 - number % 2] {
                let to = (&processes[place], &*keys[place]);
                turn(to, connections, number, &mut sides[place]);
            }
        }
        let [memory, durable] = &mut sides;
        println!("{connections} connections");
        memory.say("memory");
        durable.say("durable");
        let rate = memory.wall.as_secs_f64() / durable.wall.as_secs_f64();
        let p99 = durable.quantile_ms(0.99) / memory.quantile_ms(0.99);
        println!("durable over memory: {rate:.2} of the requests/s, {p99:.2} of the p99");
    }
}

/// `cargo test --test durable_behaviour_costs -- --ignored --nocapture`
#[test]
#[ignore = "prints figures"]
fn what_a_durable_show_costs_its_bill() {
    let site = Site::new(&[Campaign::default()], "workers = 1", "");
    let mut process = Process::serve(&site, None);
    let mut sides = [Side::default(), Side::default()];
    for number in 0..400 {
        for (place, user) in [String::new(), format!("user-{number}")].iter().enumerate() {
            let asked = request(&format!("r-{place}-{number}"), user).to_string();
            let bid = until("a bid", || {
                let reply = process.exchange.post("/openrtb2/x/bid", asked.as_bytes());
                (reply.status == 200).then(|| Bid::of(&reply.json()))
            });
            let billed = bid.billed_at("1.00");
            let (cpu_s, began) = (process.cpu_s(), Instant::now());
            assert_eq!(process.public.get(path_of(&billed)).status, 200);
            let side = &mut sides[place];
            side.took.push(began.elapsed());
            side.wall += began.elapsed();
            side.cpu_s += process.cpu_s() - cpu_s;
        }
    }
    let [without, with] = &mut sides;
    without.say("no user");
    with.say("user");
}

/// `cargo test --test durable_behaviour_costs -- --ignored --nocapture`
#[test]
#[ignore = "prints figures"]
fn what_a_start_takes_to_apply_events() {
    const BODIES: u64 = 200;
    const EVENTS: u64 = 100;
    let site = Site::new(&[Campaign::default()], "workers = 1", "[session]\nsave_every_s = 0\n");
    let mut process = Process::serve(&site, None);
    let (keys, at) = (process.keys.clone(), now_ms());
    for body in 0..BODIES {
        let event = |number: u64| {
            json!({
                "id": format!("{body}-{number}"), "type": "view", "ts": at, "consent": true,
                "user": { "id": format!("user-{}", (body * EVENTS + number) % 5_000) },
                "advertiser": "acme", "category": "running-shoes", "item": format!("i-{number}"),
            })
            .to_string()
        };
        let events: Vec<_> = (0..EVENTS).map(event).collect();
        let reply = process.public.post("/events", events.join("\n").as_bytes());
        assert_eq!(reply.json()["accepted"], EVENTS, "{}", reply.text());
    }
    process.signal("-KILL");
    process.ended();
    let state = site.folder().join("state");
    let bytes = ["behaviour.db", "behaviour.db-wal"]
        .map(|name| std::fs::metadata(state.join(name)).map_or(0, |file| file.len()));
    let mut process = Process::serve(&site, keys);
    let took_ms = process.metric("outbid_behaviour_log_replay_millis ");
    println!(
        "{} events in {BODIES} bodies: {} B in the files, applied in {took_ms} ms",
        BODIES * EVENTS,
        bytes.iter().sum::<u64>(),
    );
}
