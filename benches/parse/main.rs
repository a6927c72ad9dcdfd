//! What parsing costs, the guard before it included, beside the parsers that others use.
//!
//! Hot path: every bid request is guarded and parsed once, on the worker that answers it. Input: the
//! collected requests (in place, from the folder that `OUTBID_SHARED` names), one request of 2.4 kB
//! as exchanges send them, and many different ones of 2.2 kB (one repeated body flatters the
//! branch prediction). Ours fills the view, the others a model of all of OpenRTB 2.6, interleaved
//! round by round, so that a noisy neighbour disturbs them alike; the median over the
//! rounds is what to compare. A regression here is paid by every request: 1 us is a tenth of the
//! whole.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use outbid::clock::Mono;
use outbid::openrtb::{Limits, guard, parse};
use std::hint::black_box;
use std::path::PathBuf;

mod model;
#[path = "../endpoint/requests.rs"]
#[allow(dead_code, reason = "the endpoint bench needs more of it")]
mod requests;

/// Rounds of the interleaved comparison: many and short (a round of one parser stays within a time
/// slice), so that the median does not see what else the machine does.
const ROUNDS: usize = 201;

type Parser = (&'static str, fn(&str, &mut Vec<u8>) -> bool);

fn serde_json_value(body: &str, _: &mut Vec<u8>) -> bool {
    serde_json::from_str::<serde_json::Value>(body).is_ok()
}
fn serde_json_full(body: &str, _: &mut Vec<u8>) -> bool {
    black_box(serde_json::from_str::<model::Request>(body)).is_ok()
}
fn sonic_full(body: &str, _: &mut Vec<u8>) -> bool {
    black_box(sonic_rs::from_str::<model::Request>(body)).is_ok()
}
/// simd-json unescapes in place, so the body is copied first, into a reused buffer.
fn simd_json_full(body: &str, copy: &mut Vec<u8>) -> bool {
    copy.clear();
    copy.extend_from_slice(body.as_bytes());
    black_box(simd_json::serde::from_slice::<model::Request>(copy)).is_ok()
}
fn guard_alone(body: &str, _: &mut Vec<u8>) -> bool {
    guard(body.as_bytes(), &Limits::default()).is_ok()
}
fn guarded(body: &str, _: &mut Vec<u8>) -> bool {
    parse(body.as_bytes(), &Limits::default()).is_ok()
}

const PARSERS: [Parser; 6] = [
    ("serde_json, full model", serde_json_full),
    ("sonic-rs, full model", sonic_full),
    ("simd-json, full model", simd_json_full),
    ("serde_json::Value", serde_json_value),
    ("guard alone", guard_alone),
    ("parse (guard + view + limits)", guarded),
];

/// A request with what exchanges send for one display and video placement.
fn typical() -> String {
    let eids = |source: &str| {
        format!(
            r#"{{"source":"{source}","uids":[{{"id":"0a1b2c3d-4e5f-6789-abcd-ef0123456789","atype":1}}]}}"#
        )
    };
    format!(
        r#"{{"id":"9f2c1a7e-5b0d-4c1e-8f3a-2d7b6c5e4f10","at":1,"tmax":120,"cur":["USD"],"bcat":["IAB25","IAB26","IAB7-39","IAB8-18"],"badv":["blocked-one.example","blocked-two.example"],"imp":[{{"id":"1","tagid":"/1234567/section/leaderboard","secure":1,"bidfloor":0.35,"bidfloorcur":"USD","exp":300,"banner":{{"w":728,"h":90,"pos":1,"battr":[1,2,3,6,7],"mimes":["image/jpeg","image/png","text/html"],"api":[3,5,6],"format":[{{"w":728,"h":90}},{{"w":970,"h":250}},{{"w":970,"h":90}}]}},"video":{{"mimes":["video/mp4","video/webm"],"minduration":5,"maxduration":30,"protocols":[2,3,5,6,7,8],"w":640,"h":360,"startdelay":0,"plcmt":2,"linearity":1,"skip":1,"skipmin":15,"skipafter":5,"playbackmethod":[2,6],"delivery":[2],"api":[1,2,7]}},"pmp":{{"private_auction":0,"deals":[{{"id":"deal-2291-a","bidfloor":1.2,"bidfloorcur":"USD","at":1,"wseat":["seat-1","seat-2"]}}]}},"ext":{{"gpid":"/1234567/section/leaderboard#1","data":{{"pbadslot":"/1234567/section/leaderboard"}}}}}}],"site":{{"id":"102855","domain":"news.example","page":"https://news.example/world/2026/11/a-long-headline-about-something-that-happened","ref":"https://search.example/","cat":["IAB12","IAB12-2"],"pagecat":["IAB12-2"],"publisher":{{"id":"8953","name":"Example News","domain":"news.example"}},"content":{{"language":"en","keywords":"world,politics,economy"}}}},"device":{{"ua":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36","ip":"203.0.113.0","language":"en","os":"Windows","osv":"10","devicetype":2,"js":1,"w":1920,"h":1080,"dnt":0,"lmt":0,"connectiontype":2,"geo":{{"country":"USA","region":"NY","city":"New York","zip":"10001","lat":40.7128,"lon":-74.006,"type":2}},"sua":{{"browsers":[{{"brand":"Chromium","version":["130","0","6723","58"]}}],"platform":{{"brand":"Windows","version":["10"]}},"mobile":0}}}},"user":{{"id":"u-59f1c2","buyeruid":"b-7d31c8aa01","eids":[{},{}],"data":[{{"id":"seg-provider","segment":[{{"id":"1021"}},{{"id":"873"}}]}}]}},"regs":{{"gdpr":0,"us_privacy":"1YNN","gpp":"DBABBg~BVQqAAAAAgA.QA","gpp_sid":[-1]}},"source":{{"tid":"5c8a1b9e-0d2f","schain":{{"ver":"1.0","complete":1,"nodes":[{{"asi":"exchange.example","sid":"8953","hp":1}}]}}}}}}"#,
        eids("id-one.example"),
        eids("id-two.example"),
    )
}

/// The collected bodies that are accepted; nothing (said aloud) when the collection is not there.
fn collected() -> Vec<String> {
    let shared = std::env::var("OUTBID_SHARED").map_or_else(
        |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let path = shared.join("corpus/requests.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: {} is not there (set OUTBID_SHARED)", path.display());
        return Vec::new();
    };
    text.lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|line| line["body"].as_str().map(str::to_owned))
        .filter(|body| parse(body.as_bytes(), &Limits::default()).is_ok())
        .collect()
}

/// Different requests of one shape, as the endpoint bench sends them.
fn generated() -> Vec<String> {
    let text = |body: bytes::Bytes| String::from_utf8_lossy(&body).into_owned();
    requests::bodies(1_000, 1).into_iter().map(text).collect()
}

/// Prints median and quartiles of the mean nanoseconds a request, over interleaved rounds.
fn compare(name: &str, bodies: &[String], repeat: usize) {
    if bodies.is_empty() {
        return;
    }
    let mut copy = Vec::new();
    let mut nanos = [const { Vec::new() }; PARSERS.len()];
    for _ in 0..ROUNDS {
        for ((parser, run), nanos) in PARSERS.iter().zip(&mut nanos) {
            let start = Mono::now();
            for _ in 0..repeat {
                for body in bodies {
                    assert!(run(black_box(body), &mut copy), "{parser} refused a request");
                }
            }
            nanos.push(Mono::now().nanos_since(start) as f64 / (repeat * bodies.len()) as f64);
        }
    }
    let bytes: usize = bodies.iter().map(String::len).sum();
    println!(
        "{name}: {} requests of {} bytes on average, ns a request",
        bodies.len(),
        bytes / bodies.len()
    );
    for ((parser, _), mut nanos) in PARSERS.iter().zip(nanos) {
        nanos.sort_by(f64::total_cmp);
        let quantile = |part: usize| nanos[(ROUNDS - 1) * part / 4];
        println!(
            "  {parser:<36} median {:>7.0}   quartiles {:>7.0} .. {:>7.0}   least {:>7.0}",
            quantile(2),
            quantile(1),
            quantile(3),
            quantile(0)
        );
    }
}

fn parsing(criterion: &mut Criterion) {
    let typical = typical();
    let bodies = collected();
    // A model of plain types refuses what the wild writes otherwise; all parsers must take all.
    let all = bodies.len();
    let plain: Vec<String> =
        bodies.into_iter().filter(|body| serde_json_full(body, &mut Vec::new())).collect();
    println!("{} of {all} collected requests fit the full model", plain.len());
    compare("collected requests that it takes", &plain, 1);
    compare("one typical request", std::slice::from_ref(&typical), 50);
    compare("many different requests", &generated(), 1);
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Bytes(typical.len() as u64));
    for (name, run) in PARSERS {
        let mut copy = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| run(black_box(&typical), &mut copy));
        });
    }
    group.finish();
}

criterion_group!(benches, parsing);
criterion_main!(benches);
