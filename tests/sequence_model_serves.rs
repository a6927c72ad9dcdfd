//! A trained sequence model in the running engine: behaviour events step it, and the very next
//! decision shows what it says, for those whom it may serve.

mod common;

use common::{Campaign, Engine, NOON, Site, request};
use outbid::relevance::sequence::{SequenceModel, TrainConfig, Trainer, Visit, Vocabulary};
use outbid::server::{self, Keys, Options};
use outbid::units::CategoryId;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

const CATEGORIES: [&str; 3] = ["running-shoes", "tents", "socks"];

/// A model of users who look at socks after shoes, and never at tents.
fn model() -> SequenceModel {
    let ids = CATEGORIES.map(CategoryId::of);
    let vocabulary = Arc::new(Vocabulary::new(ids.to_vec()));
    let [shoes, _, socks] = ids.map(|id| vocabulary.place(id));
    let visit = |at: u32| Visit {
        category: if at.is_multiple_of(2) { shoes } else { socks },
        item: 0,
        kind: 0,
        at_s: 1_700_000_000 + 30 * at,
    };
    let sequences = vec![(0..20).map(visit).collect(); 20];
    let config = TrainConfig { hidden: 32, rate: 0.02, dropout: 0.0, ..TrainConfig::default() };
    let mut trainer = Trainer::new(vocabulary, &[1; 4], config).expect("valid sizes");
    for _ in 0..6 {
        trainer.epoch(&sequences, |_| ());
    }
    trainer.into_model()
}

/// Campaigns for each category; that of `alone` shares no interest with other advertisers.
fn site(model: impl FnOnce(&Path)) -> Site {
    let pooled = "pooled_interest = true";
    let campaign = |advertiser, name, category, more| Campaign {
        advertiser,
        name,
        category,
        more,
        ..Campaign::default()
    };
    let campaigns = [
        campaign("acme", "shoes", "running-shoes", pooled),
        campaign("bolt", "tents", "tents", pooled),
        campaign("cord", "socks", "socks", pooled),
        campaign("alone", "own-socks", "socks", ""),
    ];
    let site = Site::new(&campaigns, "", "[relevance]\nsequence_model = \"model.seq\"");
    model(&site.folder().join("model.seq"));
    site
}

fn look(engine: &mut Engine, id: &str, user: &str, advertiser: &str, is_consented: bool) {
    let event = json!({
        "id": id, "ts": NOON, "user": { "id": user }, "type": "view", "consent": is_consented,
        "advertiser": advertiser, "category": "running-shoes",
    });
    let reply = engine.public.post("/events", event.to_string().as_bytes());
    assert_eq!(reply.json()["accepted"], 1, "{}", reply.text());
}

fn sequence(engine: &mut Engine, request: &Value, campaign: &str) -> f64 {
    let ad = engine.explained(request, campaign);
    ad["price"]["sequence"].as_f64().expect("an affinity")
}

#[test]
fn an_event_steps_the_state_that_the_next_decision_reads() {
    let mut engine = Engine::start(site(|path| model().write(path).expect("written")), Some(NOON));
    engine.at(NOON);
    let asked = request("r", "reader");
    assert_eq!(sequence(&mut engine, &asked, "socks"), -1.0, "nothing is known");
    look(&mut engine, "e1", "reader", "acme", true);
    let [socks, tents] = ["socks", "tents"].map(|name| sequence(&mut engine, &asked, name));
    assert!(socks > 0.05 && socks > 2.0 * tents, "socks follow shoes: {socks}, tents {tents}");
    assert_eq!(sequence(&mut engine, &asked, "own-socks"), -1.0, "it is not in the pool");
    assert_eq!(sequence(&mut engine, &request("s", "stranger"), "socks"), -1.0);

    let mut refused = asked.clone();
    refused["device"]["lmt"] = json!(1);
    assert_eq!(sequence(&mut engine, &refused, "socks"), -1.0, "no personalisation");
    look(&mut engine, "e2", "refuser", "acme", false);
    look(&mut engine, "e3", "private", "alone", true);
    for user in ["refuser", "private"] {
        let asked = request(user, user);
        assert_eq!(sequence(&mut engine, &asked, "socks"), -1.0, "{user}");
    }
    let metrics = engine.admin.get("/metrics").text();
    assert!(metrics.contains("outbid_sequence_step_seconds_count 0\n"), "too few to be told");
}

#[test]
fn a_model_that_is_damaged_or_missing_stops_the_start() {
    let damage = |path: &Path| {
        let mut bytes = model().to_bytes();
        bytes[100] ^= 1;
        std::fs::write(path, bytes).expect("written");
    };
    let start = |site: Site| {
        let (keys, _) = Keys::ephemeral().expect("keys");
        let options = Options { keys: Some(keys), simulation: None, parts: None };
        server::start(site.config(), options).err().expect("it must not start")
    };
    let damaged = format!("{:#}", start(site(damage)));
    assert!(damaged.contains("model.seq") && damaged.contains("checksum"), "{damaged}");
    let missing = format!("{:#}", start(site(|_| ())));
    assert!(missing.contains("relevance.sequence_model"), "{missing}");
}
