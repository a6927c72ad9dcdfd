//! Whole requests: sites, apps and screens, users with and without consent, blocks, currencies.

use super::draw::Draw;
use super::imp::imp;
use serde_json::{Value, json};

pub const CURRENCIES: [&str; 6] = ["USD", "EUR", "GBP", "JPY", "usd", "XXX"];
pub const SEATS: [&str; 3] = ["outbid", "other", "outbid-not"];
const CATEGORIES: [&str; 8] =
    ["IAB22", "IAB22-1", "IAB22-2", "IAB25", "IAB7-39", "iab22-1", "1001", ""];
const DOMAINS: [&str; 6] = [
    "plain0.example",
    "WWW.plain1.example",
    "https://plain2.example/path",
    "example",
    "ford.com",
    "www.plain3.example.",
];

/// One request. It always has an id and an imp, so it is one that must be answered.
pub fn request(draw: &mut Draw) -> Value {
    let imps: Vec<_> = (0..draw.one(&[1, 1, 1, 2, 3, 5])).map(|number| imp(draw, number)).collect();
    let mut request = json!({ "id": draw.id(), "imp": imps, "tmax": 5_000 });
    let at = draw.number(1, 3);
    draw.put(&mut request, 70, "at", json!(at));
    let currencies = draw.some(&CURRENCIES, 3);
    draw.put(&mut request, 50, "cur", json!(currencies));
    let (wanted, unwanted) = (draw.some(&SEATS, 2), draw.some(&SEATS[1..], 1));
    draw.put(&mut request, 10, "wseat", json!(wanted));
    draw.put(&mut request, 10, "bseat", json!(unwanted));
    blocks(draw, &mut request);
    match draw.number(0, 9) {
        0..6 => request["site"] = inventory(draw, "site"),
        6..9 => request["app"] = inventory(draw, "app"),
        _ => request["dooh"] = inventory(draw, "dooh"),
    }
    request["device"] = device(draw);
    if draw.often(70) {
        request["user"] = user(draw);
    }
    if draw.often(40) {
        request["regs"] = regs(draw);
    }
    if draw.often(30) {
        request["source"] = source(draw);
    }
    request
}

fn blocks(draw: &mut Draw, request: &mut Value) {
    let domains = draw.some(&DOMAINS, 4);
    draw.put(request, 50, "badv", json!(domains));
    let categories = draw.some(&CATEGORIES[2..], 3);
    draw.put(request, 40, "bcat", json!(categories));
    let allowed = draw.some(&CATEGORIES[..5], 3);
    draw.put(request, 4, "acat", json!(allowed));
    let taxonomy = draw.one(&[1, 1, 1, 2, 6, 7]);
    draw.put_either(request, 10, "cattax", json!(taxonomy));
    let apps = draw.some(&["com.foo", "com.example.app", "123456"], 2);
    draw.put(request, 20, "bapp", json!(apps));
    let languages = draw.some(&["en", "de", "fr"], 2);
    draw.put(request, 8, "wlang", json!(languages));
}

fn inventory(draw: &mut Draw, kind: &str) -> Value {
    let mut place = json!({ "id": draw.id() });
    if kind == "app" {
        place["bundle"] = json!(draw.text("com.game.app"));
    } else {
        place["domain"] = json!(draw.text("news.example"));
        place["page"] = json!(draw.text("https://news.example/a?b=c&d=<e>"));
    }
    let categories = draw.some(&["IAB1", "IAB12-3", "IAB7"], 2);
    draw.put(&mut place, 50, "cat", json!(categories));
    let words = draw.text("shoes, running ,\"quoted\"");
    draw.put(&mut place, 30, "keywords", json!(words));
    draw.put(&mut place, 10, "kwarray", json!(["shoes", "tents"]));
    let content = json!({ "cat": ["IAB1-2"], "language": "en", "title": draw.text("A show") });
    draw.put(&mut place, 20, "content", content);
    let publisher = json!({ "id": draw.id(), "name": draw.text("A publisher") });
    draw.put(&mut place, 50, "publisher", publisher);
    place
}

fn device(draw: &mut Draw) -> Value {
    let mut device = json!({ "ua": draw.text("Mozilla/5.0"), "ip": "203.0.113.7" });
    let kind = draw.number(0, 9);
    draw.put(&mut device, 70, "devicetype", json!(kind));
    let os = draw.one(&["iOS", "Android", "Windows", "OS X"]);
    draw.put(&mut device, 60, "os", json!(os));
    let country = draw.one(&["USA", "DEU", "FRA", "us", "GBR"]);
    let mut geo = json!({ "country": country });
    draw.put(&mut geo, 40, "region", json!("CA"));
    draw.put(&mut geo, 40, "city", json!("Berlin"));
    draw.put(&mut geo, 20, "lat", json!(52.5));
    draw.put(&mut geo, 20, "lon", json!(13.4));
    draw.put(&mut geo, 30, "utcoffset", json!(-300));
    draw.put(&mut device, 70, "geo", geo);
    let (lmt, dnt) = (draw.flag(30), draw.flag(20));
    draw.put(&mut device, 30, "lmt", lmt);
    draw.put(&mut device, 30, "dnt", dnt);
    let ifa = draw.one(&[
        "6D92078A-8246-4BA4-AE5B-76104861E7DC",
        "00000000-0000-0000-0000-000000000000",
        "",
    ]);
    draw.put(&mut device, 40, "ifa", json!(ifa));
    device
}

fn user(draw: &mut Draw) -> Value {
    let mut user = json!({});
    let (id, buyer) = (draw.number(1, 200).to_string(), draw.number(1, 200).to_string());
    draw.put(&mut user, 60, "id", json!(id));
    draw.put(&mut user, 40, "buyeruid", json!(buyer));
    let year = draw.number(1940, 2020);
    draw.put(&mut user, 20, "yob", json!(year));
    let words = draw.text("sports,cars");
    draw.put(&mut user, 20, "keywords", json!(words));
    let data = json!([{ "name": "provider", "segment": [{ "id": draw.text("seg-1") }] }]);
    draw.put(&mut user, 20, "data", data);
    let eids = json!([{ "source": "id.example", "uids": [{ "id": draw.id(), "atype": 1 }] }]);
    draw.put_either(&mut user, 30, "eids", eids);
    let consent = draw.one(&[
        "COtybn4PA_zT4KjACBENAPCIAEBAAECAAIAAAAAAAAAA",
        "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA",
        "no consent string",
        "",
    ]);
    draw.put_either(&mut user, 30, "consent", json!(consent));
    user
}

fn regs(draw: &mut Draw) -> Value {
    let mut regs = json!({});
    let coppa = draw.flag(20);
    draw.put(&mut regs, 40, "coppa", coppa);
    let gdpr = draw.flag(50);
    draw.put_either(&mut regs, 50, "gdpr", gdpr);
    let privacy = draw.one(&["1YNN", "1YYN", "1---", "nonsense"]);
    draw.put_either(&mut regs, 30, "us_privacy", json!(privacy));
    let gpp =
        draw.one(&["DBABTA~1YNN", "DBACNY~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN", "D"]);
    draw.put_either(&mut regs, 20, "gpp", json!(gpp));
    let sections = draw.some(&[-1, 0, 2, 6, 7, 8], 2);
    draw.put_either(&mut regs, 20, "gpp_sid", json!(sections));
    let dsa = json!({ "dsarequired": draw.number(0, 3) });
    draw.put_either(&mut regs, 5, "dsa", dsa);
    regs
}

fn source(draw: &mut Draw) -> Value {
    let mut source = json!({ "tid": draw.id() });
    let node = json!({ "asi": "seller.example", "sid": draw.id(), "hp": 1 });
    let chain = json!({ "ver": "1.0", "complete": draw.number(0, 1), "nodes": [node] });
    draw.put_either(&mut source, 70, "schain", chain);
    source
}
