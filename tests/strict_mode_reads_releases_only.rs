//! Promise: in strict mode one user's day reaches others with a release and never before. Two servers
//! get the same traffic, one of them a user more: what he visits, the ads that he is shown, his clicks,
//! his purchases. Everybody else gets the same answers until the release. As soon as one way around
//! releases is open, which no file can ask for, the same comparison tells the two apart. What clicks
//! become is released too, and prices follow it.

mod common;

use common::{Campaign, Engine, Site, request};
use outbid::config::Config;
use outbid::privacy::{Mode, ModelKind};
use serde_json::{Value, json};
use std::fs;

/// Midnight UTC of Monday, 2 March 2026.
const MIDNIGHT: i64 = 1_772_409_600_000;
const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;
/// Others who are shown an ad before the first release: so many that the multiplier of conversions
/// has begun to move.
const OTHERS: i64 = 150;

const ITEMS: &str = "
[[item]]
advertiser = \"acme\"
id = \"shoe-1\"
category = \"running-shoes\"
text = \"light trail shoe\"
[[item]]
advertiser = \"acme\"
id = \"tent-1\"
category = \"tents\"
text = \"tent for two\"
";

/// Two campaigns, of which a request may block one: shoes pay for clicks, tents for conversions. Neither
/// is paced by its budget, since bills are outside of what strict mode claims.
fn site(privacy: &str) -> Site {
    let campaigns = [
        Campaign {
            strategy: "clicks",
            daily_budget: "1000000",
            bid: "max_cpm = \"900\"\ncpc = \"1.20\"",
            more: "pooled_interest = true",
            ..Campaign::default()
        },
        Campaign {
            name: "tents",
            category: "tents",
            strategy: "eager",
            daily_budget: "1000000",
            bid: "max_cpm = \"900\"\ntarget_cpa = \"1.00\"\nexpected_cvr_ppm = 500_000",
            more: "pooled_interest = true\niab_cats = [\"IAB17\"]",
            ..Campaign::default()
        },
    ];
    let more = format!(
        "[prediction]\nbase_click_rate = 0.4\nclick_window_s = 60\n[budget]\ntick_ms = 60_000\n\
         [relevance]\ncollaborative = false\nusers_min = 1\n\
         [privacy]\nmode = \"strict\"\nmodel = \"dp-ftrl\"\nmodel_bits = 10\nreleases_per_day = 24\n{privacy}"
    );
    let site = Site::new(&campaigns, "", &more);
    let write = |path: &str, text: &str| fs::write(site.folder().join(path), text).expect("a file");
    write("catalog/items.toml", ITEMS);
    write(
        "strategies/eager.toml",
        "version = 1\nobjective = \"target_cpa\"\npacing = \"asap\"\nmultiplier_min = 0.01\n\
         multiplier_max = 5.0\nexploration = \"none\"\n",
    );
    for (campaign, shown) in [("shoes", "shoe-1"), ("tents", "tent-1")] {
        let path = format!("catalog/campaigns/{campaign}.toml");
        let text = fs::read_to_string(site.folder().join(&path)).expect("a file");
        write(&path, &format!("{text}items = [\"{shown}\"]\n"));
    }
    site
}

fn asked(id: &str, user: &str, blocked: &str) -> Value {
    let mut asked = request(id, user);
    if !blocked.is_empty() {
        asked["bcat"] = json!([blocked]);
    }
    asked
}

const ONLY_SHOES: &str = "IAB17";
const ONLY_TENTS: &str = "IAB22";

fn send(engine: &mut Engine, event: &Value) {
    let reply = engine.public.post("/events", event.to_string().as_bytes());
    assert_eq!(reply.json()["accepted"], 1, "{}", reply.text());
}

fn visit(engine: &mut Engine, user: &str, now: i64, (item, category): (&str, &str)) {
    send(
        engine,
        &json!({
            "id": format!("{user}-{item}"), "ts": now, "user": { "id": user }, "type": "view",
            "consent": true, "advertiser": "acme", "category": category, "item": item,
        }),
    );
}

/// What became of an ad.
#[derive(Clone, Copy)]
struct Then {
    billed: bool,
    clicked: bool,
    bought: bool,
}

fn show(engine: &mut Engine, (id, user): (&str, &str), now: i64, blocked: &str, then: Then) {
    engine.at(now);
    let bid = engine.bid(&asked(id, user, blocked)).expect("a bid");
    if then.billed {
        assert_eq!(engine.fetch(&bid.billed_at(&bid.price.to_string())).status, 200);
    }
    if then.clicked {
        let clicked = engine.fetch(&bid.click);
        assert_eq!(clicked.status, 302);
        if then.bought {
            let landing = clicked.header("location").unwrap_or_default();
            let click = landing.split("obclid=").nth(1).expect("a click token");
            send(
                engine,
                &json!({
                    "id": format!("bought-{id}"), "type": "purchase", "ts": now,
                    "user": { "id": user }, "consent": true, "advertiser": "acme",
                    "category": "tents", "price": "20.00", "order_id": format!("o-{id}"),
                    "click": click,
                }),
            );
        }
    }
}

/// Others' first hour, and within it the day of one more user where there is one. His tents are not
/// billed: bills, and how they move the price of a conversion, are outside of the claim.
fn play(engine: &mut Engine, has_one_more: bool) {
    for reader in 0..3 {
        visit(engine, &format!("reader-{reader}"), MIDNIGHT, ("shoe-1", "running-shoes"));
    }
    for number in 0..OTHERS {
        let now = MIDNIGHT + MINUTE + number * 45 * MINUTE / OTHERS;
        let user = format!("other-{number}");
        let clicked = number % 5 < 2;
        let then = Then { billed: true, clicked, bought: clicked && number % 2 == 1 };
        let blocked = if number % 3 == 0 { ONLY_SHOES } else { ONLY_TENTS };
        show(
            engine,
            (&user, &user),
            now,
            blocked,
            Then { bought: then.bought && number % 3 > 0, ..then },
        );
        if has_one_more && number % 10 == 5 {
            let id = format!("one-{number}");
            let all = Then { billed: true, clicked: true, bought: false };
            show(engine, (&id, "one"), now, ONLY_SHOES, all);
            let id = format!("one-{number}-tents");
            let unbilled = Then { billed: false, clicked: true, bought: true };
            show(engine, (&id, "one"), now, ONLY_TENTS, unbilled);
        }
        if has_one_more && number == 20 {
            visit(engine, "one", now, ("shoe-1", "running-shoes"));
            visit(engine, "one", now, ("tent-1", "tents"));
        }
    }
}

/// Everybody else's answers: who bids what, and how each campaign's ad was scored.
fn answers(engine: &mut Engine, now: i64) -> Vec<Value> {
    engine.at(now);
    let mut answers = Vec::new();
    for user in ["reader-0", "reader-1", "reader-2", "newcomer", "other-7", ""] {
        for blocked in ["", ONLY_SHOES, ONLY_TENTS] {
            let bid = engine.bid(&asked(&format!("asks-{now}-{user}-{blocked}"), user, blocked));
            answers.push(json!(bid.map(|bid| (bid.campaign, bid.price.to_bits()))));
        }
        for campaign in ["shoes", "tents"] {
            let price = engine.explained(&asked("why", user, ""), campaign)["price"].take();
            let said = ["p_click", "prior_p_click", "price_micros", "relevance", "factors"];
            answers.push(said.iter().map(|key| price[key].clone()).collect());
        }
    }
    answers
}

/// Answers shortly before the first release and with it, from one server without the user and one with
/// him.
fn compared(change: impl Fn(&mut Config)) -> [[Vec<Value>; 2]; 2] {
    [false, true].map(|has_one_more| {
        let site = site(
            "model_rho_percent = 60\n\
             clicks = { per_cell = 1, cells = 3, total = 3, rho_percent = 22 }",
        );
        let mut config = site.config();
        change(&mut config);
        let mut engine = Engine::start_as(config, site, Some(MIDNIGHT));
        engine.at(MIDNIGHT);
        play(&mut engine, has_one_more);
        [MIDNIGHT + HOUR - 1, MIDNIGHT + HOUR].map(|now| answers(&mut engine, now))
    })
}

#[test]
fn one_users_day_changes_nobody_elses_answers_before_a_release() {
    let [[without, released_without], [with, released_with]] = compared(|_| {});
    assert_eq!(without, with);
    assert!(without.iter().filter(|answer| !answer.is_null()).count() >= 30, "{without:?}");
    assert_ne!(without, released_without, "a release moves answers");
    assert_ne!(with, released_with, "a release moves answers");
}

/// What opens a way around the releases.
type Change = fn(&mut Config);

#[test]
fn each_way_around_releases_tells_the_two_apart() {
    let ways: [(&str, Change); 3] = [
        ("a model, its calibration and its conversion head", |config| {
            config.privacy.model = ModelKind::Plain;
            config.privacy.model_rho_percent = 0;
        }),
        ("observed conversions in the pacer", |config| config.privacy.mode = Mode::Standard),
        ("what is visited together", |config| config.relevance.collaborative = true),
    ];
    for (way, open) in ways {
        let [[without, _], [with, _]] = compared(open);
        assert_ne!(without, with, "{way}");
    }
}

/// The tents' released conversion rate, what they bid, and the log of the multiplier of conversions,
/// after two hours in which everybody is shown them and clicks, and every `per`th click buys.
fn after_two_hours(per: Option<i64>) -> (f64, f64, f64) {
    // So few users have so few conversions that only weak noise leaves anything of them.
    let mut engine = Engine::start(
        site(
            "allow_weak = true\nepsilon = 32.0\nmodel_rho_percent = 20\n\
             clicks = { per_cell = 1, cells = 3, total = 3, rho_percent = 32 }\n\
             conversions = { per_cell = 1, cells = 1, total = 1, rho_percent = 40 }",
        ),
        Some(MIDNIGHT),
    );
    let rate = |engine: &mut Engine| {
        let price = engine.explained(&asked("why", "reader", ""), "tents")["price"].take();
        let factors = price["factors"].as_array().cloned().expect("factors");
        let rate = factors.iter().find(|pair| pair[0] == "expected_cvr").expect("a rate");
        (rate[1].as_f64().expect("a rate"), price["price_micros"].as_f64().expect("a price"))
    };
    for number in 0..240 {
        let now = MIDNIGHT + number * HOUR / 120;
        let user = format!("user-{number}");
        let bought = per.is_some_and(|per| number % per == 0);
        let then = Then { billed: true, clicked: true, bought };
        show(&mut engine, (&user, &user), now, ONLY_TENTS, then);
        if number == 100 {
            assert_eq!(rate(&mut engine).0, 0.5, "as declared, before a release");
        }
    }
    engine.at(MIDNIGHT + 2 * HOUR);
    engine.at(MIDNIGHT + 2 * HOUR + 5 * MINUTE);
    let (rate, price) = rate(&mut engine);
    let report = engine.report();
    let campaigns = report["budget"]["campaigns"].as_array().cloned().expect("campaigns");
    let multipliers = campaigns.iter().filter_map(|one| one["pacing"]["ln_cpa"].as_f64());
    // That of the shoes rests.
    (
        rate,
        price,
        multipliers.fold(0.0, |most: f64, one| if one.abs() > most.abs() { one } else { most }),
    )
}

#[test]
fn released_conversions_move_the_rate_the_price_and_the_multiplier() {
    let (often, dear, up) = after_two_hours(Some(2));
    let (none, cheap, down) = after_two_hours(None);
    println!("rates {often:.3} {none:.3}, prices {dear} {cheap}, multipliers {up:.3} {down:.3}");
    assert!((0.35..0.65).contains(&often), "of 0.5 declared and true: {often}");
    assert!(none < 0.2, "where nobody buys: {none}");
    assert!(cheap < 0.5 * dear, "{cheap} {dear}");
    assert!(down < up - 0.1, "{down} {up}");
}
