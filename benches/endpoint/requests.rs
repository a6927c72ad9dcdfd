//! Users and requests of the bench, in the shape of real ones and with the values that generated
//! campaigns wish for.

use outbid::auction::{AuctionInput, Context, Policy, extract};
use outbid::catalog::{Catalog, EligibilityScratch};
use outbid::consent;
use outbid::hash::mix;
use outbid::openrtb::{self, Limits};
use outbid::rates::Rates;
use outbid::units::{CurrencyCode, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Users with a session.
pub const USERS: u64 = 1_000_000;
const SIZES: [(u32, u32); 5] = [(300, 250), (728, 90), (320, 50), (160, 600), (300, 600)];

/// The advertising id of user `number`.
pub fn ifa(number: u64) -> String {
    format!("{:08x}-7c1e-4b2a-9d3f-{number:012x}", mix(number) >> 32)
}

/// `count` different requests of about 2.5 kB, each of a user drawn at random.
pub fn bodies(count: usize, seed: u64) -> Vec<bytes::Bytes> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|number| request(number, &mut rng).to_string().into()).collect()
}

fn request(number: usize, rng: &mut ChaCha8Rng) -> Value {
    let user = rng.random_range(0..USERS);
    let (device, os) = [(4, "ios"), (4, "android"), (2, "windows"), (5, "ios")][below(rng, 4)];
    let site = format!("site-{}.example", below(rng, 2_000));
    let category =
        |rng: &mut ChaCha8Rng| format!("IAB{}-{}", 1 + below(rng, 26), 1 + below(rng, 9));
    let words: Vec<_> = (0..5).map(|_| format!("word-{}", below(rng, 500))).collect();
    let segments: Vec<_> =
        (0..5).map(|_| json!({"id": format!("segment-{}", below(rng, 400))})).collect();
    let eid = |source: &str| json!({"source": source, "uids": [{"id": format!("{:032x}", mix(user)), "atype": 1}]});
    json!({
        "id": format!("9f2c1a7e-5b0d-4c1e-8f3a-{number:012x}"),
        "at": 1, "tmax": 300, "cur": ["USD"],
        "bcat": ["IAB25", "IAB26", "IAB7-39", "IAB8-18"],
        "badv": ["blocked-one.example", "blocked-two.example"],
        "imp": [imp(rng)],
        "site": {
            "id": "102855", "domain": site, "ref": "https://search.example/",
            "page": format!("https://{site}/world/2026/a-long-headline-about-something"),
            "pagecat": [category(rng), category(rng)],
            "keywords": words.join(","),
            "publisher": {"id": "8953", "name": "Example News", "domain": "news.example"},
            "content": {"language": "en"},
        },
        "device": {
            "ua": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 \
                   (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
            "ip": "203.0.113.0", "language": "en", "os": os, "osv": "18.1", "devicetype": device,
            "ifa": ifa(user), "make": "Example", "model": "One", "js": 1, "w": 390, "h": 844,
            "dnt": 0, "lmt": 0, "connectiontype": 2, "carrier": "310-410",
            "geo": {"country": "USA", "region": format!("R{}", below(rng, 200)),
                "city": "Springfield", "zip": "10001", "lat": 40.7128, "lon": -74.006, "type": 2,
                "utcoffset": -300},
            "sua": {"browsers": [{"brand": "Chromium", "version": ["130", "0", "6723", "58"]}],
                "platform": {"brand": "iOS", "version": ["18", "1"]}, "mobile": 1},
        },
        "user": {
            "id": format!("u-{user}"), "buyeruid": format!("b-{user}"),
            "eids": [eid("one.example"), eid("two.example")],
            "data": [{"id": "segment-provider", "segment": segments}],
        },
        "regs": {"coppa": 0, "gdpr": 0, "us_privacy": "1YNN", "gpp_sid": [-1]},
        "source": {"tid": format!("5c8a1b9e-{number:08x}"), "schain": {
            "ver": "1.0", "complete": 1,
            "nodes": [{"asi": "exchange.example", "sid": "8953", "hp": 1}],
        }},
    })
}

fn imp(rng: &mut ChaCha8Rng) -> Value {
    let mut imp = json!({
        "id": "1", "tagid": "/1234567/section/leaderboard", "secure": 1, "bidfloor": 0.01,
        "bidfloorcur": "USD", "exp": 300, "pmp": {"private_auction": 0, "deals": [
            {"id": "deal-2291-a", "bidfloor": 1.2, "bidfloorcur": "USD", "wseat": ["seat-1"]}]},
        "ext": {"gpid": "/1234567/section/leaderboard#1"},
    });
    if below(rng, 10) == 0 {
        imp["video"] = json!({
            "mimes": ["video/mp4", "video/webm"], "minduration": 5, "maxduration": 30,
            "protocols": [2, 3, 5, 6, 7, 8], "w": 1_280, "h": 720, "startdelay": 0, "plcmt": 2,
            "linearity": 1, "skip": 1, "playbackmethod": [2, 6], "delivery": [2], "api": [1, 2, 7],
        });
        return imp;
    }
    let sizes: Vec<_> = (0..2).map(|_| SIZES[below(rng, SIZES.len())]).collect();
    let formats: Vec<_> = sizes.iter().map(|(w, h)| json!({"w": w, "h": h})).collect();
    imp["banner"] = json!({
        "w": sizes[0].0, "h": sizes[0].1, "pos": 1, "battr": [1, 2, 3, 6, 7],
        "mimes": ["image/jpeg", "image/png", "text/html"], "api": [3, 5, 6], "format": formats,
    });
    imp
}

fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    rng.random_range(0..bound)
}

/// How many campaigns of `catalog` are eligible for each of `bodies` at `now`.
pub fn eligible(catalog: &Catalog, bodies: &[bytes::Bytes], now: Timestamp) -> Vec<usize> {
    let rates = Rates::parse(CurrencyCode::USD, &BTreeMap::new()).expect("no rates to be wrong");
    let (mut scratch, mut out) = (EligibilityScratch::default(), Vec::new());
    let count = |body: &bytes::Bytes| {
        let request = openrtb::parse(body, &Limits::default()).expect("own requests parse");
        let mut input = AuctionInput::new();
        input.now = now;
        let context = Context {
            exchange: "alpha",
            seat: "outbid",
            rates: &rates,
            policy: &Policy::default(),
            permissions: consent::decide(&consent::Policy::default(), &request).permissions(),
            is_simulation: false,
            is_https: true,
        };
        extract(&request, &context, &mut input)
            .map_err(outbid::auction::NoBid::as_str)
            .expect("fits");
        catalog.eligible(&input.facts, &mut scratch, &mut out);
        out.len()
    };
    bodies.iter().map(count).collect()
}
