//! Strategies are read again while bids go on: all of them or none, and what is wrong is answered with
//! file, line and reason.

mod common;

use common::{Campaign, Engine, Site, request};

const MIDNIGHT: i64 = 1_772_409_600_000;

#[test]
fn a_reload_takes_all_strategies_or_keeps_the_old() {
    let site = Site::new(&[Campaign::default()], "", "");
    let folder = site.folder().to_owned();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("a file");
    };
    let mut engine = Engine::start(site, Some(MIDNIGHT));
    let mut number = 0;
    let mut price = |engine: &mut Engine| {
        number += 1;
        engine.bid(&request(&format!("r-{number}"), "")).expect("a bid").price
    };
    assert_eq!(price(&mut engine), 2.5);
    let good =
        "version = 1\nobjective = \"fixed_cpm\"\nbase_bid_micros = 1_000_000\npacing = \"none\"\n";
    write("strategies/fixed.toml", good);
    assert_eq!(price(&mut engine), 2.5, "nobody has asked for it yet");
    assert_eq!(engine.admin.post("/api/v1/reload", b"").status, 200);
    assert_eq!(price(&mut engine), 1.0);
    // One wrong file keeps all of them, also the one that is right.
    write("strategies/fixed.toml", &good.replace("1_000_000", "2_000_000"));
    write("strategies/wrong.toml", &good.replace("1_000_000", "5"));
    let refused = engine.admin.post("/api/v1/reload", b"");
    assert_eq!(refused.status, 422);
    let text = refused.text();
    assert!(text.contains("wrong.toml:3: base_bid_micros is 5 CPM micros"), "{text}");
    assert_eq!(price(&mut engine), 1.0);
    // A campaign may name a strategy that comes with the same reload, and none that went.
    std::fs::remove_file(folder.join("strategies/wrong.toml")).expect("gone");
    std::fs::rename(folder.join("strategies/fixed.toml"), folder.join("strategies/other.toml"))
        .expect("renamed");
    let refused = engine.admin.post("/api/v1/reload", b"");
    assert_eq!(refused.status, 422);
    assert_eq!(price(&mut engine), 1.0, "the strategies stay with the catalog: {}", refused.text());
    let file = "catalog/campaigns/shoes.toml";
    let campaign = std::fs::read_to_string(folder.join(file)).expect("a file");
    write(file, &campaign.replace("strategy = \"fixed\"", "strategy = \"other\""));
    assert_eq!(engine.admin.post("/api/v1/reload", b"").status, 200);
    assert_eq!(price(&mut engine), 2.0);
}
