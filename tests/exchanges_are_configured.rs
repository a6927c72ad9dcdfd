//! Each key of `[exchange.NAME]` does what it says, over real sockets.

mod common;

use common::{
    Campaign, Engine, Http, MINUTE, NOON, Reply, Site, account, connect, counter, read_reply,
    request, until,
};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::io::{BufReader, Read, Write};

const PATH: &str = "/openrtb2/x/bid";

/// An engine whose exchange `x` has these lines, warmed by one bid so that it has money.
fn engine(lines: &str) -> Engine {
    let mut engine = Engine::start(Site::new(&[Campaign::default()], "", lines), Some(NOON));
    engine.at(NOON + MINUTE);
    engine
}

fn body(id: &str) -> Vec<u8> {
    request(id, "").to_string().into_bytes()
}

fn metrics(engine: &mut Engine) -> String {
    engine.admin.get("/metrics").text()
}

fn post(engine: &mut Engine, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    engine.exchange.call("POST", PATH, headers, body)
}

#[test]
fn it_posts_to_its_own_path() {
    let mut engine = engine("path = '/rtb/x'\nseat = 'seat-9'");
    let reply = engine.exchange.post("/rtb/x", &body("r"));
    assert_eq!((reply.status, reply.json()["seatbid"][0]["seat"].as_str()), (200, Some("seat-9")));
    assert_eq!(engine.exchange.post(PATH, &body("r")).status, 404);
}

#[test]
fn too_little_time_is_an_immediate_no_bid() {
    let mut engine = engine("margin_ms = 40\nno_bid = 'nbr'");
    let mut with_tmax = |tmax: u64| {
        let mut request = request("r", "");
        request["tmax"] = json!(tmax);
        let reply = engine.exchange.post(PATH, request.to_string().as_bytes());
        (reply.status, reply.json()["nbr"].as_u64())
    };
    assert_eq!(with_tmax(39), (200, Some(15)));
    assert_eq!(with_tmax(40), (200, Some(15)));
    assert_eq!(with_tmax(5_000), (200, None));
    let text = metrics(&mut engine);
    assert_eq!(counter(&text, "outbid_no_bids_total{what=\"too_little_time\"}"), 2);
}

#[test]
fn other_attributes_than_it_allows_are_no_fit() {
    let mut bare = engine("allowed_attributes = []");
    assert!(bare.bid(&request("r", "")).is_some(), "an ad without attributes fits everywhere");
    let with_attr = |lines: &str| {
        let site = Site::new(&[Campaign::default()], "", lines);
        let file = site.folder().join("catalog/campaigns/shoes.toml");
        let text = std::fs::read_to_string(&file).expect("the campaign");
        std::fs::write(&file, format!("{text}attr = [6, 13]\n")).expect("written");
        let mut engine = Engine::start(site, Some(NOON));
        engine.at(NOON + MINUTE);
        let bid = engine.bid(&request("r", "")).is_some();
        (bid, engine.explained(&request("r", ""), "shoes").to_string())
    };
    assert!(with_attr("").0);
    assert!(with_attr("allowed_attributes = [1, 6, 13]").0);
    let (bid, explained) = with_attr("allowed_attributes = [6]");
    assert!(!bid && explained.contains("attribute"), "{explained}");
}

/// `count` imps, each with a floor that only one bid keeps.
fn imps(count: usize) -> Value {
    let mut request = request("several", "reader");
    let imps = (0..count).map(
        |at| json!({ "id": at.to_string(), "bidfloor": 0.01, "banner": { "w": 300, "h": 250 } }),
    );
    request["imp"] = imps.collect();
    request
}

#[test]
fn an_answer_is_never_longer_than_it_takes() {
    let names: Vec<String> = (0..3).map(|at| format!("campaign{at}")).collect();
    let prices = ["max_cpm = \"1.00\"", "max_cpm = \"3.00\"", "max_cpm = \"2.00\""];
    let campaigns: Vec<_> = names
        .iter()
        .zip(prices)
        .map(|(name, bid)| Campaign {
            name,
            advertiser: name,
            category: name,
            bid,
            more: "frequency_caps = [{ count = 1, window_s = 86_400 }]",
            ..Campaign::default()
        })
        .collect();
    let site = |lines: &str| Site::new(&campaigns, "", lines);
    let mut free = Engine::start(site(""), Some(NOON));
    free.at(NOON + MINUTE);
    let whole = free.exchange.post(PATH, imps(3).to_string().as_bytes());
    let bids = whole.json()["seatbid"][0]["bid"].as_array().map_or(0, Vec::len);
    assert_eq!(bids, 3, "{}", whole.text());

    let bytes_max = whole.body.len() - 1;
    let mut bound = Engine::start(site(&format!("answer_bytes_max = {bytes_max}")), Some(NOON));
    bound.at(NOON + MINUTE);
    let cut = bound.exchange.post(PATH, imps(3).to_string().as_bytes());
    assert!(cut.body.len() <= bytes_max);
    let answer = cut.json();
    let prices = answer["seatbid"][0]["bid"].as_array().expect("bids");
    let prices: Vec<_> = prices.iter().filter_map(|bid| bid["price"].as_f64()).collect();
    assert_eq!(prices.len(), 2);
    assert!(prices.iter().all(|price| *price > 1.5), "the cheapest went: {prices:?}");
    let text = metrics(&mut bound);
    assert_eq!(counter(&text, "outbid_bids_cut_total"), 1);
    // What is held at once is what the two bids stand for: 1 CPM is back.
    let held = until("the hold is back", || {
        let report = bound.report();
        let held = report["cores"][0]["leases"]["held"].to_string();
        held.contains("5000000").then_some(held)
    });
    assert!(held.contains("5000000"), "{held}");
    // Nor was it shown: of the three it alone may bid again.
    bound.at(NOON + 3 * MINUTE);
    let again = bound.bid(&request("again", "reader")).map(|bid| bid.campaign);
    assert_eq!(again.as_deref(), Some("campaign0"));

    let mut tiny = Engine::start(site("answer_bytes_max = 512\nno_bid = 'nbr'"), Some(NOON));
    tiny.at(NOON + MINUTE);
    let none = tiny.exchange.post(PATH, imps(3).to_string().as_bytes());
    assert_eq!((none.status, none.json()["nbr"].as_u64()), (200, Some(0)));
    let text = metrics(&mut tiny);
    assert_eq!(counter(&text, "outbid_no_bids_total{what=\"answer_too_large\"}"), 1);
    assert_eq!(counter(&text, "outbid_bids_cut_total"), 3);
}

#[test]
fn more_than_its_limit_gets_no_bid() {
    let mut engine = engine("qps_max = 1");
    let (mut bids, mut refused) = (0, 0);
    // However slow the machine is: both happen in the end.
    until("a bid and a refusal", || {
        let reply = post(&mut engine, &[], &body("r"));
        assert_eq!(reply.header("connection"), None, "it stays open");
        match reply.status {
            200 => bids += 1,
            status => {
                assert_eq!(status, 204);
                refused += 1;
            }
        }
        (bids > 1 && refused > 0).then_some(())
    });
    let text = metrics(&mut engine);
    assert_eq!(counter(&text, "outbid_no_bids_total{what=\"rate_limited\"}"), refused);
    assert_eq!(counter(&text, "outbid_bid_answers_total"), bids);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::read::GzEncoder::new(bytes, flate2::Compression::best());
    let mut packed = Vec::new();
    encoder.read_to_end(&mut packed).expect("packed");
    packed
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 19).expect("packed")
}

/// The answer without what differs from one bid to the next: its sealed tokens.
fn without_tokens(text: &[u8]) -> String {
    let text = String::from_utf8(text.to_vec()).expect("UTF-8");
    let mut parts = text.split("t=Ag");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + &part[196.min(part.len())..])
}

#[test]
fn bodies_are_read_and_written_in_both_codings() {
    let mut engine = engine("compress_above_bytes = 600");
    let plain = post(&mut engine, &[], &body("r"));
    assert_eq!((plain.status, plain.header("content-encoding")), (200, None));
    let expected = without_tokens(&plain.body);
    assert!(expected.contains("seatbid"));
    for (coding, packed) in [("gzip", gzip(&body("r"))), ("zstd", zstd(&body("r")))] {
        let headers = [("content-encoding", coding)];
        let reply = post(&mut engine, &headers, &packed);
        assert_eq!((reply.status, reply.header("content-encoding")), (200, None), "not asked for");
        assert_eq!(without_tokens(&reply.body), expected, "{coding} in");

        let headers = [("content-encoding", coding), ("accept-encoding", coding)];
        let reply = post(&mut engine, &headers, &packed);
        assert_eq!((reply.status, reply.header("content-encoding")), (200, Some(coding)));
        assert!(reply.body.len() < plain.body.len());
        let mut unpacked = Vec::new();
        match coding {
            "gzip" => _ = GzDecoder::new(&reply.body[..]).read_to_end(&mut unpacked).expect("gzip"),
            _ => unpacked = zstd::stream::decode_all(&reply.body[..]).expect("zstd"),
        }
        assert_eq!(without_tokens(&unpacked), expected, "{coding} in and out");
    }
    let weighted = [("accept-encoding", "zstd;q=0.1, gzip;q=0.9")];
    assert_eq!(post(&mut engine, &weighted, &body("r")).header("content-encoding"), Some("gzip"));
}

#[test]
fn what_gains_nothing_is_not_compressed() {
    let accepts = [("accept-encoding", "gzip, zstd")];
    let mut high = engine("compress_above_bytes = 100000");
    let reply = post(&mut high, &accepts, &body("r"));
    assert_eq!((reply.status, reply.header("content-encoding")), (200, None));
    let mut low = engine("compress_above_bytes = 0");
    let mut nothing = request("r", "");
    nothing["imp"][0]["bidfloor"] = json!(99);
    let reply = post(&mut low, &accepts, nothing.to_string().as_bytes());
    assert_eq!((reply.status, reply.header("content-encoding"), reply.body.len()), (204, None, 0));
    let mut off = engine("compression = false\ncompress_above_bytes = 0");
    let reply = post(&mut off, &accepts, &body("r"));
    assert_eq!((reply.status, reply.header("content-encoding")), (200, None));
    let reply = post(&mut off, &[("content-encoding", "gzip")], &gzip(&body("r")));
    assert_eq!(reply.status, 415);
    assert!(reply.text().contains("switched off"), "{}", reply.text());
}

#[test]
fn wrong_codings_and_bombs_are_refused() {
    let mut engine = engine("");
    let bomb = vec![b' '; 1 << 26];
    let whole = gzip(&body("r"));
    let cases: &[(&str, Vec<u8>, u16, &str)] = &[
        ("br", body("r"), 415, "coding_unknown"),
        ("gzip, gzip", gzip(&whole), 415, "coding_unknown"),
        ("gzip", body("r"), 400, "coding_broken"),
        ("zstd", whole.clone(), 400, "coding_broken"),
        ("gzip", whole[..whole.len() - 9].to_vec(), 400, "coding_broken"),
        ("gzip", gzip(&bomb), 413, "coding_too_large"),
        ("zstd", zstd(&bomb), 413, "coding_too_large"),
    ];
    for (coding, body, status, label) in cases {
        let name = format!("outbid_exchange_refusals_total{{exchange=\"x\",what=\"{label}\"}}");
        let before = counter(&metrics(&mut engine), &name);
        let reply = post(&mut engine, &[("content-encoding", coding)], body);
        assert_eq!(reply.status, *status, "{coding}: {}", reply.text());
        assert!(reply.json()["error"].as_str().is_some_and(|reason| !reason.is_empty()));
        assert_eq!(counter(&metrics(&mut engine), &name), before + 1, "{name}");
    }
    assert_eq!(post(&mut engine, &[("content-encoding", "gzip")], &whole).status, 200);
    let twice = [("content-encoding", "gzip"), ("content-encoding", "gzip")];
    assert_eq!(post(&mut engine, &twice, &gzip(&whole)).status, 415, "one on top of the other");
    assert_eq!(post(&mut engine, &twice, &whole).status, 415, "or one that is said twice");
}

/// Behind a proxy that believes the other length, what follows would be a client's request under the
/// proxy's name. The HTTP library refuses it; this holds it to that.
#[test]
fn a_body_with_two_lengths_ends_the_connection() {
    let engine = engine("");
    let next = [engine.exchange.head("POST", PATH, &[], body("r").len()).into_bytes(), body("r")];
    let next = next.concat();
    let chunked = [("transfer-encoding", "chunked")];
    let head = engine.exchange.head("POST", PATH, &chunked, 5 + next.len());
    let mut stream = BufReader::new(connect(engine.exchange.address).expect("a connection"));
    let both = [head.as_bytes(), b"0\r\n\r\n", &next].concat();
    stream.get_mut().write_all(&both).expect("sent");
    let reply = read_reply(&mut stream).expect("an answer");
    assert_eq!((reply.status, reply.header("connection")), (400, Some("close")));
    let mut rest = Vec::new();
    // The server may end it with a reset, since it leaves the rest unread.
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(String::from_utf8_lossy(&rest), "", "nobody asked for more");
}

/// Configuration, headers, status, counter.
type AuthCase<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, &'a str);

#[test]
fn only_who_proves_it_is_the_exchange() {
    let secret = "auth = { kind = 'shared_secret', header = 'X-Key', secret_file = 'secret' }";
    let mtls = "auth = { kind = 'mtls_header', header = 'X-Client', allowed = ['CN=x'], \
                trusted_proxies = ['127.0.0.0/8'] }";
    let elsewhere = mtls.replace("127.0.0.0/8", "10.0.0.0/8");
    let here = "auth = { kind = 'addresses', allowed = ['127.0.0.1'] }";
    let there = "auth = { kind = 'addresses', allowed = ['10.0.0.0/8'] }";
    let good = "a secret of some length";
    let cases: &[AuthCase] = &[
        (secret, &[("x-key", good)], 200, ""),
        (secret, &[], 401, "auth_missing"),
        (secret, &[("x-key", "another")], 403, "auth_wrong"),
        (secret, &[("x-key", good), ("x-key", good)], 403, "auth_wrong"),
        (mtls, &[("x-client", "CN=x")], 200, ""),
        (mtls, &[("x-client", "CN=y")], 403, "auth_wrong"),
        (mtls, &[("x-client", "CN=evil"), ("x-client", "CN=x")], 403, "auth_wrong"),
        (mtls, &[], 401, "auth_missing"),
        (&elsewhere, &[("x-client", "CN=x")], 403, "foreign_address"),
        (here, &[], 200, ""),
        (there, &[], 403, "foreign_address"),
        (there, &[("x-forwarded-for", "10.0.0.1")], 403, "foreign_address"),
    ];
    for (lines, headers, status, label) in cases {
        let site = Site::new(&[Campaign::default()], "", lines);
        std::fs::write(site.folder().join("secret"), format!("{good}\n")).expect("written");
        let mut engine = Engine::start(site, Some(NOON));
        engine.at(NOON + MINUTE);
        let reply = post(&mut engine, headers, &body("r"));
        assert_eq!(reply.status, *status, "{lines} {headers:?}: {}", reply.text());
        if *status != 200 {
            assert!(reply.json()["error"].is_string());
            let name = format!("outbid_exchange_refusals_total{{exchange=\"x\",what=\"{label}\"}}");
            assert_eq!(counter(&metrics(&mut engine), &name), 1, "{lines}");
        }
    }
}

#[test]
fn beyond_loopback_it_bids_only_for_who_proves_it() {
    let server = "exchange_listen = \"0.0.0.0:0\"";
    let there = "auth = { kind = 'addresses', allowed = ['10.0.0.0/8'] }";
    let site = |lines: &str| {
        let site = Site::new(&[Campaign::default()], "", lines);
        let file = site.config_file();
        let text = std::fs::read_to_string(&file).expect("a configuration");
        let text = text.replacen("exchange_listen = \"127.0.0.1:0\"", server, 1);
        std::fs::write(&file, text).expect("written");
        site
    };
    let refused = outbid::config::Config::load(&site("").config_file()).expect_err("no auth");
    assert!(refused.to_string().contains("server.exchange_listen"), "{refused}");
    let engine = Engine::start(site(there), None);
    let port = engine.exchange.address.port();
    let mut client = Http::new(([127, 0, 0, 1], port).into(), None);
    assert_eq!(client.post(PATH, &body("r")).status, 403);
}

/// Google's published keys, and its price of 1.2 under them.
const PRICE_KEYS: &str = "\
    encryption_key = 'b08c70cfbcb0eb6cab7e82c6b75da52072ae62b2bf4b990bb80a48d8141eec07'\n\
    integrity_key = 'bf77ec55c30130c1d8cd1862ed2a4cd2c76ac33bc0c4ce8a3d3bbd3ad5687792'\n";
const PRICE_1_2: &str = "OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ==";

#[test]
fn encrypted_prices_charge_what_they_hide_and_the_held_price_without_a_signature() {
    let lines = "price = 'google'\nprice_keys_file = 'keys.toml'";
    let site = Site::new(&[Campaign::default()], "", lines);
    std::fs::write(site.folder().join("keys.toml"), PRICE_KEYS).expect("written");
    let mut engine = Engine::start(site, Some(NOON));
    engine.at(NOON + MINUTE);
    let forged = PRICE_1_2.replace("CMQ", "CMA");
    let mut billed = Vec::new();
    for told in [PRICE_1_2, PRICE_1_2, &forged, "0.01"] {
        let bid = engine.bid(&request(&format!("r{}", billed.len()), "")).expect("a bid");
        for _ in 0..2 {
            assert_eq!(engine.fetch(&bid.billed_at(told)).status, 200, "{told}");
        }
        billed.push(account(&engine.report(), 0, "billed"));
    }
    // In nanos: 1.2, and 2.5 for what nobody signed and for what is not encrypted; copies are free.
    assert_eq!(billed, [1_200_000, 2_400_000, 4_900_000, 7_400_000]);
    let text = metrics(&mut engine);
    for (label, count) in [("told", 2), ("bad_signature", 1), ("unreadable", 1)] {
        let name = format!("outbid_charges_total{{what=\"{label}\"}}");
        assert_eq!(counter(&text, &name), count, "{name}");
    }
}

#[test]
fn rates_are_read_again_while_it_serves() {
    let site = Site::new(&[Campaign::default()], "", "[currency]\nfile = 'rates.toml'");
    let file = site.folder().join("rates.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    write("base = 'USD'\n[rates]\nEUR = '1.10'\n");
    let mut engine = Engine::start(site, Some(NOON));
    engine.at(NOON + MINUTE);
    let mut asked = request("r", "");
    asked["cur"] = json!(["EUR"]);
    let price = |engine: &mut Engine| engine.bid(&asked).expect("a bid").price;
    assert!((price(&mut engine) - 2.272_727).abs() < 1e-9, "2.50 USD, rounded down to a micro");

    write("base = 'USD'\n[rates]\nEUR = '1.25'\nGBP = '1.28'\n");
    assert!(price(&mut engine) > 2.2, "nobody asked for it yet");
    engine.at(NOON + 11 * MINUTE);
    let age = |engine: &mut Engine| counter(&metrics(engine), "outbid_rates_age_seconds");
    engine.bid(&request("time passes", ""));
    assert_eq!(age(&mut engine), 660);
    let reply = engine.admin.post("/api/v1/reload/rates", b"");
    assert_eq!((reply.status, reply.json()["rates"].as_u64()), (200, Some(3)));
    assert!((price(&mut engine) - 2.0).abs() < 1e-9);
    assert_eq!(age(&mut engine), 0);

    for (text, reason) in [
        ("base = 'USD'\n[rates]\nEUR = '-1'\n", "rates.toml:3: the rate of EUR is `-1`"),
        ("base = 'EUR'\n[rates]\n", "rates.toml:1: base is EUR, but USD is configured"),
        ("base = 'USD'\nrates = 1\n", "rates.toml:2:"),
    ] {
        write(text);
        for path in ["/api/v1/reload/rates", "/api/v1/reload"] {
            let reply = engine.admin.post(path, b"");
            assert_eq!(reply.status, 422, "{path}");
            assert!(reply.text().contains(reason), "{reason}: {}", reply.text());
        }
        assert!((price(&mut engine) - 2.0).abs() < 1e-9, "the old table stays");
    }
    write("base = 'USD'\n[rates]\nEUR = '2.50'\n");
    assert_eq!(engine.admin.post("/api/v1/reload", b"").json()["rates"], 2);
    assert!((price(&mut engine) - 1.0).abs() < 1e-9);
    let text = metrics(&mut engine);
    assert_eq!(counter(&text, "outbid_rates_reloads_total{what=\"taken\"}"), 2);
    assert_eq!(counter(&text, "outbid_rates_reloads_total{what=\"refused\"}"), 6);

    let mut fixed = Engine::start(Site::new(&[Campaign::default()], "", ""), Some(NOON));
    assert_eq!(fixed.admin.post("/api/v1/reload/rates", b"").status, 409);
}
