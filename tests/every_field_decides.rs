//! Promise: every field of a request that we read decides something, in each of its spellings.
//!
//! `rows.rs` is the table: for each field of the view where it may stand, a value, and what that value
//! changes. A field of the view that no row names fails the test, and so does a spelling that is left
//! out. What is compared is the decision taken apart (`POST /explain`): it holds no money, so that
//! hundreds of them do not disturb one another.

mod common;
#[path = "every_field_decides/declared.rs"]
mod declared;
#[path = "every_field_decides/native_rows.rs"]
mod native_rows;
#[path = "every_field_decides/rows.rs"]
mod rows;

use common::{Bid, Campaign, Engine, NOON, Site, account, counter, until};
use declared::declared;
use native_rows::NATIVE_ROWS;
use rows::{Base, Effect, MARKUP_DECIDES, PARENTS, ROWS, Row, SERVED};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A campaign of its own advertiser that bids `cpm` for everything its ads fit and its targeting lets
/// through.
fn campaign(name: &str, cpm: &str, ads: &str, more: &str) -> [String; 4] {
    let bid = format!("max_cpm = \"{cpm}\"\n{ads}");
    [format!("of-{name}"), name.to_owned(), bid, more.to_owned()]
}

fn ad(name: &str, medium: &str) -> String {
    format!("[[campaign.ad]]\nname = \"{name}\"\nattr = [16]\n{medium}\n")
}

fn campaigns() -> Vec<[String; 4]> {
    let banner = |name: &str| {
        let image = "image_url = \"https://cdn.example/a.jpg\"";
        ad(name, &format!("banner = {{ w = 728, h = 90, {image} }}"))
    };
    let video = |name: &str, seconds: u32| {
        let file =
            "w = 640, h = 360, protocols = [2, 3], media_url = \"https://cdn.example/a.mp4\"";
        ad(name, &format!("video = {{ mime = \"video/mp4\", duration_s = {seconds}, {file} }}"))
    };
    let audio = |name: &str, seconds: u32| {
        let file = "media_url = \"https://cdn.example/a.mp3\"";
        ad(name, &format!("audio = {{ mime = \"audio/mpeg\", duration_s = {seconds}, {file} }}"))
    };
    let native = "[[campaign.ad]]\nname = \"letters-native\"\nattr = [16]\n[campaign.ad.native]\n\
        title = \"Letters\"\ndescription = \"By hand\"\nsponsored = \"Erde\"\ncta = \"Write\"\n\
        icon = { url = \"https://cdn.example/i.png\", w = 80, h = 80 }\n\
        image = { url = \"https://cdn.example/w.jpg\", w = 1200, h = 627 }\n\
        video = { mime = \"video/mp4\", duration_s = 15, w = 640, h = 360, protocols = [2, 3], \
        media_url = \"https://cdn.example/n.mp4\" }\n";
    // What an ad needs of its placement stands beside its medium.
    let with =
        |more: &str, ad: String| ad.replacen("attr = [16]", &format!("attr = [16]\n{more}"), 1);
    let shoes = with("language = \"fr\"\nbundle = \"com.shoes\"", banner("shoes-728x90"));
    let needy = |name: &str, needs: &str| {
        let html = "html = '<a href=\"${OUTBID_CLICK}\">Look</a>'";
        ad(name, &format!("banner = {{ w = 728, h = 90, {html}, {needs} }}"))
    };
    let long_video =
        video("long-video", 120).replacen(" }", ", skip_after_s = 5, bitrate = 1000 }", 1);
    let long_audio = audio("long-audio", 120).replacen(" }", ", bitrate = 128 }", 1);
    let measured = native.replace("letters", "measured");
    let measured_native = with("api = [7]", measured);
    let target = |line: &str| format!("[campaign.targeting]\n{line}");
    let mut all = vec![
        campaign("shoes", "2.50", &shoes, "iab_cats = [\"IAB17-3\"]"),
        campaign("tents", "2.00", &banner("tents-728x90"), "iab_cats = [\"IAB20\"]"),
        campaign("cinema", "4.00", &video("cinema-30s", 30), ""),
        campaign("spot", "3.00", &video("spot-15s", 15), ""),
        campaign("radio", "3.00", &audio("radio-20s", 20), ""),
        campaign("jingle", "2.50", &audio("jingle-10s", 10), ""),
        campaign("letters", "3.50", native, ""),
        campaign("rich", "3.00", &with("api = [5]", banner("rich-728x90")), ""),
        campaign("wide", "3.00", &needy("wide-728x90", "expand = [2]"), ""),
        campaign("top", "3.00", &needy("top-728x90", "topframe = true"), ""),
        campaign("measured-video", "5.00", &with("api = [7]", video("measured-15s", 15)), ""),
        campaign("measured-audio", "5.00", &with("api = [7]", audio("measured-10s", 10)), ""),
        campaign("measured-native", "5.00", &measured_native, ""),
        campaign("long-video", "0.50", &long_video, ""),
        campaign("long-audio", "0.50", &long_audio, ""),
    ];
    for (name, line) in [
        ("to-phones", "devices = [\"phone\"]"),
        ("to-ios", "os = [\"ios\"]"),
        ("to-france", "geo = { include = [\"FRA\"] }"),
        ("to-texas", "geo = { include = [\"USA/TX\"] }"),
        ("to-boston", "geo = { include = [\"USA/*/Boston\"] }"),
        ("to-site", "domains = { include = [\"shop.example\"] }"),
        ("to-app", "bundles = { include = [\"com.example.game\"] }"),
        ("to-cars", "page_categories = { include = [\"IAB2\"] }"),
        ("to-word", "keywords = [\"marathon\"]"),
        ("to-fans", "user_keywords = [\"climber\"]"),
        ("to-segment", "segments = { include = [\"s-77\"] }"),
        ("to-zip", "postal_codes = { include = [\"USA/94107\"] }"),
        ("to-berlin", "circles = { include = [\"52.52,13.40,5\"] }"),
        ("on-deal", "deals = [\"d1\", \"d2\"]"),
    ] {
        all.push(campaign(name, "9.00", &banner(&format!("{name}-728x90")), &target(line)));
    }
    let adults = "sector = \"finance\"\n[campaign.targeting]\ngeo = { include = [\"CAN\"] }";
    let converts =
        format!("target_cpa = \"100\"\nexpected_cvr_ppm = 500_000\n{}", banner("converts-728x90"));
    all.push(campaign(
        "converts",
        "9.00",
        &converts,
        &target("domains = { include = [\"paid.example\"] }"),
    ));
    all.push(campaign("to-adults", "9.00", &banner("to-adults-728x90"), adults));
    all
}

/// What the exchange and the table of rates say.
const CONFIGURATION: &str = "schain = \"complete_if_present\"\n\
    blocked_sellers = [\"evil.example\", \"good.example!666\"]\n\
    eid_sources = [\"trusted.example\"]\n\
    [currency]\nrates = { EUR = \"2\" }\n\
    [prediction]\nclick_window_s = 1\n";

fn engine() -> Engine {
    let campaigns = campaigns();
    let campaigns: Vec<_> = campaigns
        .iter()
        .map(|[advertiser, name, bid, more]| Campaign {
            advertiser,
            name,
            category: name,
            bid,
            more,
            strategy: if name == "converts" { "conversions" } else { "fixed" },
            ..Campaign::default()
        })
        .collect();
    let mut engine = Engine::start(Site::new(&campaigns, "", CONFIGURATION), Some(NOON));
    engine.at(NOON);
    engine
}

/// Lets the model learn of a show of each kind whose features rows change: to a model that has
/// learned nothing all requests are alike.
fn teach(engine: &mut Engine) {
    for base in [Base::Banner, Base::Video] {
        let request = base.request();
        let bid = until("a bid", || engine.bid(&request));
        assert_eq!(engine.fetch(&bid.billed_at("1")).status, 200);
    }
    engine.at(NOON + 2_000);
    let shown = engine.report()["learner"]["progressive"]["log_loss"].take();
    assert!(engine.learner().progressive.log_loss > 0.0);
    assert!(shown.is_null(), "figures over so few are not told: {shown}");
}

/// Puts `value` where the pointer says, making the objects on the way.
fn put(request: &mut Value, pointer: &str, value: Value) {
    let keys = pointer.split('/').skip(1);
    let place = keys.fold(request, |place, key| match key.parse::<usize>() {
        Ok(index) => {
            if !place.is_array() {
                *place = json!([{}]);
            }
            &mut place[index]
        }
        Err(_) => &mut place[key],
    });
    *place = value;
}

/// The decision taken apart, without the time at which it was taken.
fn decision(engine: &mut Engine, request: &Value) -> Value {
    let reply = engine.admin.post("/explain?exchange=x", request.to_string().as_bytes());
    if reply.status != 200 {
        return json!({ "refused": reply.json()["error"] });
    }
    let mut decision = reply.json();
    let bids: BTreeSet<String> = listed(&decision["bids"])
        .iter()
        .map(|bid| bid["campaign"].as_str().unwrap_or_default().to_owned())
        .collect();
    // Of those who did not bid, only that matters.
    if let Some(campaigns) = decision["campaigns"].as_array_mut() {
        campaigns.retain(|one| bids.contains(one["campaign"].as_str().unwrap_or_default()));
        campaigns.iter_mut().for_each(|one| one["account"] = Value::Null);
    }
    decision["epochs"] = Value::Null;
    decision
}

fn listed(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// The campaigns that bid, in order of their choice, each with its price.
fn bids(decision: &Value) -> Vec<(String, u64)> {
    let bid = |bid: &Value| {
        let name = bid["campaign"].as_str().unwrap_or_default().to_owned();
        (name, bid["price_micros"].as_u64().unwrap_or_default())
    };
    listed(&decision["bids"]).iter().map(bid).collect()
}

/// Holds one changed decision against what its row expects; what was found where that is not it.
fn judge(base: &Value, changed: &Value, effect: Effect) -> Result<(), String> {
    let names: Vec<_> = bids(changed).into_iter().map(|(name, _)| name).collect();
    let holds = match effect {
        Effect::NoBid(reason) => changed["no_bid"] == reason,
        Effect::Refused => changed["refused"].is_string(),
        Effect::Wins(expected) => names == expected && *base != *changed,
        Effect::Price(micros) => bids(changed).first().is_some_and(|(_, price)| *price == micros),
        Effect::Differs => base != changed && changed["no_bid"].is_null(),
    };
    let is_changed = base["no_bid"].is_null() && base != changed;
    if holds && is_changed {
        return Ok(());
    }
    let (no_bid, refused) = (&changed["no_bid"], &changed["refused"]);
    Err(format!("no bid {no_bid}, refused {refused}, bids {:?}", bids(changed)))
}

fn all_rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().chain(NATIVE_ROWS)
}

#[test]
fn every_field_changes_a_decision_in_each_of_its_spellings() {
    let mut engine = engine();
    teach(&mut engine);
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for Row { field, base, places, value, effect } in all_rows() {
        let value: Value = serde_json::from_str(value).expect(field);
        for place in *places {
            // Each request its own id, or its explanation would tell of the one before.
            let asked = base.request();
            let mut changed = asked.clone();
            put(&mut changed, place, value.clone());
            let (before, after) = (decision(&mut engine, &asked), decision(&mut engine, &changed));
            if let Err(found) = judge(&before, &after, *effect) {
                let before = (&before["no_bid"], bids(&before));
                wrong.push(format!("{field} at {place}: {found}; before {before:?}"));
            }
            checked += 1;
        }
    }
    println!("{checked} places of {} rows", all_rows().count());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_field_is_read_that_decides_nothing() {
    let declared = declared();
    let mut wrong = Vec::new();
    for (field, spellings) in &declared {
        let elsewhere =
            [PARENTS, MARKUP_DECIDES, SERVED].iter().any(|list| list.contains(&field.as_str()));
        let places: Vec<_> =
            all_rows().filter(|row| row.field == field).flat_map(|row| row.places).collect();
        for spelling in spellings {
            let is_named = places.iter().any(|place| {
                let place = place.trim_end_matches(|end: char| end.is_ascii_digit() || end == '/');
                let place = if place.is_empty() { "/" } else { place };
                let has_key = place.ends_with(&format!("/{spelling}"));
                has_key
                    && (spelling.starts_with("ext/")
                        || !place.contains(&format!("/ext/{spelling}")))
            });
            if !is_named && !elsewhere {
                wrong.push(format!("{field} as `{spelling}`"));
            }
        }
    }
    for row in all_rows() {
        if !declared.iter().any(|(field, _)| field == row.field) {
            wrong.push(format!("{} is in the table and not in the view", row.field));
        }
    }
    assert!(wrong.is_empty(), "no row shows what these decide:\n{}", wrong.join("\n"));
}

/// Each base must get a bid, or no row could take it away.
#[test]
fn each_base_gets_the_bids_that_its_rows_start_from() {
    let mut engine = engine();
    for (base, expected) in [
        (Base::Banner, &["shoes"][..]),
        (Base::Video, &["cinema"]),
        (Base::Audio, &["radio"]),
        (Base::Native, &["letters"]),
        (Base::Deal, &["on-deal"]),
        (Base::VideoPod, &["spot", "cinema"]),
        (Base::AudioPod, &["radio", "jingle"]),
        (Base::Canada, &["to-adults"]),
        (Base::Converts, &["converts"]),
        (Base::NativeParts, &["letters"]),
        (Base::Located, &["to-berlin"]),
        (Base::LongVideo, &["long-video"]),
        (Base::LongAudio, &["long-audio"]),
    ] {
        let decision = decision(&mut engine, &base.request());
        let names: Vec<_> = bids(&decision).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected, "{base:?}: {}", decision["no_bid"]);
    }
}

/// `tmax` less the margin is what is left for the answer.
#[test]
fn an_exchange_that_does_not_wait_gets_no_bid() {
    let mut engine = engine();
    let mut asked = Base::Banner.request();
    assert!(engine.bid(&asked).is_some());
    asked["tmax"] = json!(1);
    assert!(engine.bid(&asked).is_none());
    let metrics = engine.admin.get("/metrics").text();
    assert_eq!(counter(&metrics, "outbid_no_bids_total{what=\"too_little_time\"}"), 1, "{metrics}");
}

/// The sums of one kind over all accounts, in nanos.
fn total(engine: &mut Engine, kind: &str) -> i128 {
    let report = engine.report();
    let campaigns = listed(&report["budget"]["campaigns"]).len();
    (0..campaigns).map(|place| account(&report, place, kind)).sum()
}

/// A test is answered like any request, and costs nobody anything, whatever notices come back.
#[test]
fn a_test_gets_a_bid_that_is_never_billed() {
    let mut engine = engine();
    let mut asked = Base::Banner.request();
    asked["test"] = json!(1);
    let bid = engine.bid(&asked).expect("a bid");
    assert_eq!(bid.campaign, "shoes");
    for url in [bid.win.clone(), bid.billed_at("2.00"), bid.loss.clone(), bid.click.clone()] {
        assert_eq!(engine.fetch(&url).status, 410, "{url}");
    }
    engine.at(NOON + 60_000);
    assert_eq!(total(&mut engine, "billed"), 0);
    asked["test"] = json!(0);
    let bid = engine.bid(&asked).expect("a bid");
    assert_ne!(engine.fetch(&bid.billed_at("2.00")).status, 410);
    until("the bill", || (total(&mut engine, "billed") == 2_000_000).then_some(()));
}

/// One play on a street screen costs its number of impressions.
#[test]
fn a_play_is_billed_for_all_who_see_it() {
    let mut engine = engine();
    let mut asked = Base::Street.request();
    asked["imp"][0]["qty"] = json!({ "multiplier": 14.2, "sourcetype": 1, "vendor": "v.example" });
    // The first ask may be ahead of the lease that it makes grow.
    let bid: Option<Bid> = (1..5).find_map(|second| {
        engine.at(NOON + second * 1_000);
        engine.bid(&asked)
    });
    let bid = bid.expect("a bid");
    assert_eq!(bid.price.to_string(), "2.5", "the bid is for a thousand impressions as ever");
    assert_ne!(engine.fetch(&bid.billed_at("2.00")).status, 410);
    until("the bill", || (total(&mut engine, "billed") == 28_400_000).then_some(()));
}
