//! Promise: an advertiser learns how many users a day were interested in what, and not of a few. Over
//! real sockets: hundreds of users visit one category and a dozen another; nothing is told before the
//! day ends, then the first with its noise and the other not at all.

mod common;

use common::{Campaign, Engine, NOON, Site};
use serde_json::{Value, json};

const MIDNIGHT: i64 = NOON + 43_200_000;
const MANY: usize = 400;
const FEW: usize = 12;

fn visits(engine: &mut Engine, category: &str, users: usize, consent: bool) {
    for user in 0..users {
        // Twice: a user counts once.
        for time in 0..2 {
            let event = json!({
                "id": format!("{category}-{user}-{time}-{consent}"), "type": "view", "ts": NOON,
                "user": { "id": format!("{category}-{user}") }, "consent": consent,
                "advertiser": "acme", "category": category,
            });
            let reply = engine.public.post("/events", event.to_string().as_bytes()).json();
            assert_eq!(reply["accepted"], 1, "{reply}");
        }
    }
}

fn segments(engine: &mut Engine) -> Value {
    engine.admin.get("/api/v1/segments").json()
}

#[test]
fn many_users_are_told_at_the_days_end_and_few_are_not() {
    let campaign = |name, category| Campaign { name, category, ..Campaign::default() };
    let more = "[budget]\ntick_ms = 600_000\n[privacy]\nsegments_rho_percent = 20\n\
                [privacy.clicks]\nper_cell = 1\ncells = 3\ntotal = 3\nrho_percent = 62";
    let campaigns = [campaign("shoes", "running-shoes"), campaign("tents", "tents")];
    let mut engine = Engine::start(Site::new(&campaigns, "", more), Some(NOON));
    engine.at(NOON);
    visits(&mut engine, "running-shoes", MANY, true);
    visits(&mut engine, "tents", FEW, true);
    visits(&mut engine, "unnamed", MANY, true);
    visits(&mut engine, "refusers", MANY, false);
    engine.at(MIDNIGHT - 1);
    assert_eq!(segments(&mut engine)["segments"], json!([]), "the day is not over");
    engine.at(MIDNIGHT);
    let told = segments(&mut engine);
    println!("{told}");
    let all = told["segments"].as_array().expect("segments");
    assert_eq!(all.len(), 1, "neither a few, nor what no catalog names, nor who refused: {told}");
    assert_eq!(
        (&all[0]["category"], &all[0]["advertiser"]),
        (&json!("running-shoes"), &json!("acme"))
    );
    let users = all[0]["users"].as_f64().expect("a size");
    let high = all[0]["interval_95"][1].as_f64().expect("a bound");
    // Eight parameters of its noise: once in three thousand it is farther off.
    assert!((users - MANY as f64).abs() < 8.0 * (high - users) / 20_f64.ln(), "{told}");
    assert!(told["least"].as_u64() >= Some(50), "{told}");
    engine.at(MIDNIGHT + 3_600_000);
    assert_eq!(segments(&mut engine), told, "the same until the next day ends");
    assert_eq!(engine.admin.get("/metrics").status, 200);
    engine.admin.key = None;
    assert_eq!(engine.admin.get("/api/v1/segments").status, 401);
}
