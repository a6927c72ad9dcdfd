//! Promise: told to stop, the process answers what it has taken, gives back the money that no bid
//! holds, and ends well. Under load, over real sockets, with a real signal.

#![allow(clippy::disallowed_methods, reason = "a test outside of the engine waits in real time")]

mod common;

use common::{Bid, Campaign, Http, Process, Site, connect, path_of, read_reply, request, until};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const CONNECTIONS: u64 = 4;
/// Bids before the signal: enough for leases to be renewed all the time.
const BIDS_MIN: u64 = 200;

#[derive(Default)]
struct Load {
    bids: AtomicU64,
    no_bids: AtomicU64,
    is_told: AtomicBool,
}

/// One answer, whole; `None` when the server closed the connection instead of answering.
fn ask(stream: &mut BufReader<TcpStream>, head: &str, body: &[u8]) -> Option<common::Reply> {
    stream.get_mut().write_all(&[head.as_bytes(), body].concat()).ok()?;
    if stream.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
        Some(read_reply(stream).expect("an answer that has begun is finished"))
    } else {
        None
    }
}

/// Bids on one connection for as long as it is served, and bills every other bid at once.
fn bid_on(exchange: SocketAddr, public: SocketAddr, connection: u64, load: &Load) {
    let client = Http::new(exchange, None);
    let mut notices = Http::new(public, None);
    let mut stream = BufReader::new(connect(exchange).expect("a connection"));
    for number in 0.. {
        let id = format!("{connection}-{number}");
        let body = request(&id, &id).to_string().into_bytes();
        let head = client.head("POST", "/openrtb2/x/bid", &[], body.len());
        let Some(reply) = ask(&mut stream, &head, &body) else {
            assert!(load.is_told.load(Ordering::SeqCst), "closed before it was told to stop");
            return;
        };
        match reply.status {
            200 => {
                load.bids.fetch_add(1, Ordering::SeqCst);
                let bid = Bid::of(&reply.json());
                // At the held price, so that a bill leaves nothing of its hold behind.
                let url = bid.billed_at(&bid.price.to_string());
                if number % 2 == 0 {
                    match notices.try_call("GET", path_of(&url), &[], b"") {
                        Ok(reply) => assert_eq!(reply.status, 200),
                        Err(error) => assert!(load.is_told.load(Ordering::SeqCst), "{error}"),
                    }
                }
            }
            204 => _ = load.no_bids.fetch_add(1, Ordering::SeqCst),
            status => panic!("{status}: {}", reply.text()),
        }
        if reply.header("connection").is_some_and(|text| text.contains("close")) {
            assert!(load.is_told.load(Ordering::SeqCst), "closed before it was told to stop");
            return;
        }
    }
}

/// The figure of this name in a line of the log.
fn figure(line: &str, name: &str) -> Option<i128> {
    let rest = line.split(&format!("{name}=")).nth(1)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[test]
fn told_to_stop_under_load_it_answers_everybody_and_leaves_nothing_leased_but_open_holds() {
    // 10 ms until the log acknowledges: at the signal, renewals are on their way.
    let site = Site::new(
        &[Campaign { daily_budget: "1000000", ..Campaign::default() }],
        "workers = 2\nbody_deadline_ms = 5000",
        "[budget]\nlog_delay_ms = 10",
    );
    let mut process = Process::serve(&site, None);
    let (exchange, public) = (process.exchange.address, process.public.address);
    let load = Load::default();
    let slow = request("slow", "slow").to_string().into_bytes();
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let load = &load;
            scope.spawn(move || bid_on(exchange, public, connection, load));
        }
        let bids = || load.bids.load(Ordering::SeqCst);
        until("bids", || (bids() >= BIDS_MIN / 2).then_some(()));
        // Half of a request that is finished after the signal.
        let mut under_way = process.exchange.begin("/openrtb2/x/bid", &slow[..10], slow.len());
        until("more bids", || (bids() >= BIDS_MIN).then_some(()));
        load.is_told.store(true, Ordering::SeqCst);
        process.signal("-TERM");
        until("no new connections", || TcpStream::connect(exchange).is_err().then_some(()));
        assert!(under_way.send(&slow[10..]));
        let reply = under_way.reply().expect("who was there before the signal is answered");
        assert_eq!(reply.status, 204, "and no money is held for it any more");
    });
    let ended = process.ended();
    assert!(ended.success(), "{ended}");
    let lines: Vec<String> = process.log.iter().collect();
    println!("{} bids, {} no-bids", load.bids.into_inner(), load.no_bids.into_inner());
    let report = lines.iter().find(|line| line.contains("leases are given back"));
    let report = report.unwrap_or_else(|| panic!("no report in {lines:?}"));
    println!("{report}");
    assert_eq!(figure(report, "beyond_nanos"), Some(0), "{report}");
    assert!(figure(report, "held_nanos") > Some(0), "half of the bids were not billed: {report}");
    let worse: Vec<_> = lines.iter().filter(|line| line.contains("ERROR")).collect();
    assert!(worse.is_empty(), "{worse:?}");
}
