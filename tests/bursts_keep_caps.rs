//! Requests of one user that come at once, as a page's ad calls do: what one worker answers keeps a cap
//! exactly, and what several bid beyond it together is bounded and counted.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;

use common::{Campaign, Engine, Site, counter, read_reply, request, until};
use serde_json::json;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::Barrier;

const CAP: usize = 4;
const WORKERS: usize = 4;

/// One campaign whose cap counts by campaign or by creative.
fn engine(scope: &str) -> Engine {
    let more = format!(
        "frequency_caps = [{{ count = {CAP}, window_s = 86_400, scope = \"{scope}\" }}, \
         {{ count = 1_000, window_s = 60 }}]"
    );
    let campaign = Campaign { more: &more, daily_budget: "100000", ..Campaign::default() };
    Engine::start(Site::new(&[campaign], &format!("workers = {WORKERS}"), ""), None)
}

/// One connection, and so one worker, that sends many requests before it reads an answer.
struct Line {
    stream: BufReader<TcpStream>,
    head: Box<dyn Fn(usize) -> String + Send>,
}

impl Line {
    /// A connection whose worker bids to strangers.
    fn open(engine: &Engine, number: usize) -> Self {
        let address = engine.exchange.address;
        let head = move |length| {
            common::Http::new(address, None).head("POST", "/openrtb2/x/bid", &[], length)
        };
        let stream = BufReader::new(common::connect(address).expect("a connection"));
        let mut line = Self { stream, head: Box::new(head) };
        let mut round = 0;
        // Each worker's lease must have come and be as large as is asked for here, or there would be
        // nothing to hold back.
        until("bids", || {
            round += 1;
            let strangers: Vec<_> =
                (0..40).map(|one| format!("stranger-{number}-{round}-{one}")).collect();
            (line.bids(&strangers) == strangers.len()).then_some(())
        });
        line
    }

    /// Bids on so many requests of one user at once.
    fn burst(&mut self, user: &str, requests: usize) -> usize {
        self.bids(&vec![user.to_owned(); requests])
    }

    /// Bids on requests of these users at once, each with three places for an ad.
    fn bids(&mut self, users: &[String]) -> usize {
        let mut bytes = Vec::new();
        for (number, user) in users.iter().enumerate() {
            let mut request = request(&number.to_string(), user);
            let imp = request["imp"][0].clone();
            for id in ["2", "3"] {
                let mut imp = imp.clone();
                imp["id"] = json!(id);
                request["imp"].as_array_mut().expect("a list").push(imp);
            }
            let body = request.to_string();
            bytes.extend((self.head)(body.len()).bytes().chain(body.bytes()));
        }
        self.stream.get_mut().write_all(&bytes).expect("sent");
        let bids = users.iter().map(|_| {
            let reply = read_reply(&mut self.stream).expect("an answer");
            match reply.status {
                200 => reply.json()["seatbid"][0]["bid"].as_array().map_or(0, Vec::len),
                204 => 0,
                status => panic!("{status}: {}", reply.text()),
            }
        });
        bids.sum()
    }
}

/// Bids that were counted as beyond a cap, once all announcements are written: so many were bid.
fn beyond_cap(engine: &mut Engine) -> u64 {
    let metrics = engine.admin.get("/metrics").text();
    let bids = counter(&metrics, "outbid_bids_total");
    until("all are written", || {
        let shards = engine.shards();
        let pended: u64 = shards.iter().map(|shard| shard.counters.shows_pended).sum();
        assert!(pended <= bids, "{pended} of {bids}");
        (pended == bids).then_some(())
    });
    let metrics = engine.admin.get("/metrics").text();
    assert_eq!(counter(&metrics, "outbid_messages_refused_total{what=\"shows\"}"), 0);
    assert!(metrics.contains("\noutbid_bids_beyond_cap_total "), "{metrics}");
    counter(&metrics, "outbid_bids_beyond_cap_total")
}

#[test]
fn what_one_worker_answers_keeps_a_cap_however_close_it_comes() {
    for scope in ["campaign", "creative"] {
        let mut engine = engine(scope);
        let mut line = Line::open(&engine, 0);
        // Three of four of these users are another worker's.
        for user in 0..20 {
            let bids = line.burst(&format!("reader-{user}"), 40);
            assert_eq!(bids, CAP, "of {scope}, to user {user}");
        }
        assert_eq!(beyond_cap(&mut engine), 0);
    }
}

#[test]
fn what_workers_bid_beyond_a_cap_together_is_bounded_and_counted() {
    const ROUNDS: usize = 30;
    const LINES: usize = 8;
    for scope in ["campaign", "creative"] {
        let mut engine = engine(scope);
        let lines: Vec<_> = (0..LINES).map(|number| Line::open(&engine, number)).collect();
        let (barrier, mut bids) = (Barrier::new(LINES), [0; ROUNDS]);
        std::thread::scope(|scope| {
            let play = |mut line: Line| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let round = |round| {
                        barrier.wait();
                        line.burst(&format!("reader-{round}"), 10)
                    };
                    (0..ROUNDS).map(round).collect::<Vec<_>>()
                })
            };
            let players: Vec<_> = lines.into_iter().map(play).collect();
            for player in players {
                let own = player.join().expect("it ends");
                bids.iter_mut().zip(own).for_each(|(bids, own)| *bids += own);
            }
        });
        assert!(bids.iter().all(|bids| *bids <= CAP * WORKERS), "{scope}: {bids:?}");
        let beyond: usize = bids.iter().map(|bids| bids.saturating_sub(CAP)).sum();
        println!("by {scope}: {beyond} beyond caps of {}: {bids:?}", CAP * ROUNDS);
        assert!(beyond > 0, "the workers never met");
        assert_eq!(beyond_cap(&mut engine), beyond as u64, "{scope}: {bids:?}");
    }
}
