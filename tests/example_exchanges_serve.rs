//! The example configurations pass the check and serve: a bid, and a bill for it.

mod common;

use common::{Bid, Http, counter, path_of, until};
use outbid::config::Config;
use outbid::server::{self, Keys, Options, Running};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// What `outbid check` says of a file.
fn checked(file: &Path) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbid"));
    let output = command.args(["check", "--json", "--config"]).arg(file).output().expect("it runs");
    let report = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(output.status.success(), "{report}");
    report
}

/// A server with the file's exchanges on free ports, and the admin key.
fn serve(file: &Path) -> (Running, String) {
    let mut config = Config::load(file).expect("checked");
    let anywhere = ([127, 0, 0, 1], 0).into();
    config.server.exchange_listen = anywhere;
    config.server.public_listen = anywhere;
    config.server.admin_listen = anywhere;
    let (keys, fresh) = Keys::ephemeral().expect("keys");
    let options = Options { keys: Some(keys), ..Options::default() };
    (server::start(config, options).expect("the server starts"), fresh.admin)
}

/// A bid for the example request, and its bill at this price; the counters after that.
fn bid_and_bill(file: &str, path: &str, proof: (&str, &str), told: &str) -> String {
    let file = fixture(file);
    assert_eq!(checked(&file)["ok"], true);
    let (running, admin) = serve(&file);
    let at = running.addresses();
    let mut exchange = Http::new(at.exchange, None);
    let body = std::fs::read_to_string(fixture("request.json")).expect("a request");
    let body = body.replace("\"tmax\": 150", "\"tmax\": 5000").into_bytes();
    assert_eq!(exchange.post(path, &body).status, 401, "without its proof it is nobody");
    // The first request may come before the first grant of money.
    let bid = until("a bid", || {
        let reply = exchange.call("POST", path, &[proof], &body);
        (reply.status == 200 && reply.json().get("seatbid").is_some()).then(|| reply.json())
    });
    let bill = Bid::of(&bid).billing.replace("${AUCTION_PRICE}", told);
    assert_eq!(Http::new(at.public, None).get(path_of(&bill)).status, 200);
    Http::new(at.admin, Some(&admin)).get("/metrics").text()
}

#[test]
fn the_generic_exchange_serves() {
    let proof = ("x-exchange-key", "example-only-replace-me-before-serving");
    let path = "/openrtb2/generic/bid";
    let metrics = bid_and_bill("exchanges/generic-2.6.toml", path, proof, "0.31");
    assert_eq!(counter(&metrics, "outbid_charges_total{what=\"told\"}"), 1);
}

#[test]
fn the_google_style_exchange_serves_and_its_price_is_decrypted() {
    let proof = ("x-client-subject", "CN=bidder-client.exchange.example");
    // Google's published example: a price of 1.2 under the keys of the example file.
    let told = "OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ==";
    let metrics = bid_and_bill("exchanges/google-style.toml", "/google/bid", proof, told);
    let (plain, bounded) = ("{what=\"told\"}", "{what=\"bounded\"}");
    let of = |label: &str| counter(&metrics, &format!("outbid_charges_total{label}"));
    assert_eq!(of(plain) + of(bounded), 1, "{metrics}");
}
