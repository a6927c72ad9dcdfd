//! Bid requests that fit the generated catalog, in the size of real ones.

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// Users with a session.
pub const USERS: u32 = 1_000_000;

/// `count` different requests, users drawn at random.
pub fn bodies(count: usize) -> Vec<Bytes> {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    (0..count).map(|number| Bytes::from(body(number, &mut rng).to_string())).collect()
}

fn body(number: usize, rng: &mut ChaCha8Rng) -> Value {
    let mut pick = |bound: usize| rng.random_range(0..bound);
    let (device, os) = [(4, "ios"), (4, "android"), (2, "windows"), (5, "ios")][pick(4)];
    let site = format!("site-{}.example", pick(2_000));
    let cats: Vec<_> = (0..2).map(|_| format!("IAB{}-{}", 1 + pick(26), 1 + pick(9))).collect();
    let words: Vec<_> = (0..5).map(|_| format!("word-{}", pick(500))).collect();
    let segments: Vec<_> =
        (0..5).map(|_| json!({ "id": format!("segment-{}", pick(400)), "name": "s" })).collect();
    let sizes = [(300, 250), (728, 90), (320, 50), (160, 600), (300, 600)];
    let formats: Vec<_> =
        (0..2).map(|_| sizes[pick(5)]).map(|(w, h)| json!({ "w": w, "h": h })).collect();
    let banner = json!({
        "w": formats[0]["w"], "h": formats[0]["h"], "format": formats, "battr": [1, 2, 5, 8, 9, 14],
        "mimes": ["image/jpeg", "image/png", "image/gif", "text/html"], "pos": 1, "api": [5, 6, 7],
    });
    let blocked: Vec<_> = (0..30).map(|_| format!("blocked-{}.example", pick(5_000))).collect();
    json!({
        "id": format!("{number:08x}-6b1d-4c39-9d1e-0f2c5a7b8e90"), "at": 1, "tmax": 150,
        "cur": ["USD"], "bcat": ["IAB25", "IAB26", "IAB7-39", "IAB8-5", "IAB9-9"], "badv": blocked,
        "imp": [{
            "id": "1", "banner": banner, "tagid": format!("tag-{}", pick(300)), "secure": 1,
            "bidfloor": 0.01, "bidfloorcur": "USD", "instl": 0, "exp": 300,
            "ext": { "gpid": format!("/1234/{site}/top"), "data": { "pbadslot": "top" } },
        }],
        "site": {
            "id": "s-77", "domain": site, "page": format!("https://www.{site}/a/long/path?q=1"),
            "cat": cats, "keywords": words.join(","), "publisher": { "id": "p-9", "name": "Pub" },
            "content": { "language": "en", "title": "A title of some length for the page" },
        },
        "device": {
            "ua": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like \
                   Gecko) Chrome/120.0.0.0 Safari/537.36",
            "ip": "203.0.113.7", "devicetype": device, "os": os, "osv": "17.1", "language": "en",
            "w": 1_920, "h": 1_080, "js": 1, "dnt": 0, "lmt": 0, "connectiontype": 2,
            "geo": {
                "country": "USA", "region": format!("R{}", pick(200)), "city": "Springfield",
                "zip": "12345", "type": 2, "utcoffset": -300,
            },
        },
        "user": {
            "id": format!("user-{}", pick(USERS as usize)), "data": [{ "id": "dmp", "segment": segments }],
            "ext": { "eids": [
                { "source": "ids.example", "uids": [{ "id": "a1b2c3d4e5f6a7b8c9d0", "atype": 1 }] },
                { "source": "other.example", "uids": [{ "id": "0d9c8b7a6f5e4d3c2b1a", "atype": 3 }] },
            ] },
        },
        "regs": { "coppa": 0, "ext": { "gdpr": 0, "us_privacy": "1YNN" } },
        "source": { "tid": "7a1c", "ext": { "schain": { "ver": "1.0", "complete": 1, "nodes": [
            { "asi": "exchange.example", "sid": "1234", "hp": 1 }] } } },
    })
}
