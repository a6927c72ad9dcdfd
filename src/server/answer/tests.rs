//! Answers as they leave, to the byte but for their tokens, which must open where they stand.

use super::*;
use crate::auction::{Arm, Context, Controllers, Policy, extract};
use crate::budget::{DayNumber, Due, Held, Windows};
use crate::catalog::TermsNeeded;
use crate::consent;
use crate::hash::stable_lower;
use crate::notice::token::TEXT_LEN;
use crate::openrtb::response::ParsedResponse;
use crate::openrtb::{self, Limits};
use crate::rates::Rate;
use crate::units::{CampaignId, CurrencyCode, HoldId, LeaseId, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

const ADVERTISERS: &str = r#"[[advertiser]]
name = "shoes"
currency = "USD"
sector = "ecommerce"
domains = ["shoes.example", "trail.example"]
"#;

/// One campaign with an ad of each kind; the texts of the native one need every escape.
const CAMPAIGN: &str = r#"advertiser = "shoes"
[[campaign]]
name = "run"
category = "running-shoes"
iab_cats = ["IAB17-39", "IAB18"]
strategy = "cpc"
daily_budget = 20
landing_url = "https://shoes.example/run"
bid = { max_cpm = 5, cpc = "0.5" }
[[campaign.ad]]
name = "run-300x250"
attr = [4, 16]
banner = { w = 300, h = 250, image_url = "https://cdn.shoes.example/a.png?v=1&size=300x250" }
[[campaign.ad]]
name = "run-video"
video = { mime = "video/mp4", duration_s = 15, w = 1280, h = 720, protocols = [2, 3, 7], media_url = "https://cdn.shoes.example/spot.mp4?a=1&b=[[2]]" }
[[campaign.ad]]
name = "run-audio"
audio = { mime = "audio/mpeg", duration_s = 30, media_url = "https://cdn.shoes.example/spot.mp3" }
[[campaign.ad]]
name = "run-native"
[campaign.ad.native]
title = "Laufschuhe f\u00fcr \"Wien\" \\ 5 < 6"
description = "Light,\nlasting & \u0007dry"
sponsored = "Shoes & Co"
cta = "Los"
icon = { url = "https://cdn.shoes.example/icon.webp", w = 128, h = 128 }
image = { url = "https://cdn.shoes.example/wide.png", w = 1200, h = 627 }
"#;

const PRICE: Micros = Micros(2_345_600);
/// What the price was held by: no rate of the table, so that it can come from the pick alone.
const RATE: Rate = Rate(3_500_000_000_000);
const BANNER: &str = r#""banner":{"format":[{"w":300,"h":250}],"mimes":["image/png"],"battr":[1]}"#;

/// What, the imps, whether a simulator asks, and (imp, deal, ad) of each pick.
struct Case {
    what: &'static str,
    imps: String,
    is_simulation: bool,
    picks: &'static [(u8, Option<u8>, &'static str)],
}

/// A native request in the wrapper of 1.1, whose images may be of these types.
fn native(mimes: &str) -> String {
    let asked = [
        r#"{"id":1,"required":1,"title":{"len":90}}"#.to_owned(),
        format!(r#"{{"id":2,"img":{{"type":1{mimes}}}}}"#),
        format!(r#"{{"id":-3,"required":1,"img":{{"type":3,"wmin":600{mimes}}}}}"#),
        r#"{"id":4,"data":{"type":2}},{"id":5,"data":{"type":12}}"#.to_owned(),
    ];
    let asked = format!(r#"{{"native":{{"ver":"1.1","assets":[{}]}}}}"#, asked.join(","));
    serde_json::json!({"id": "n", "native": {"request": asked}}).to_string()
}

fn cases() -> Vec<Case> {
    let banner = |id: &str, more: &str| format!(r#"{{"id":"{id}","secure":1,{BANNER}{more}}}"#);
    let deal = r#","pmp":{"private_auction":1,"deals":[{"id":"no"},{"id":"d\"1","wadomain":["shoes.example"],"bidfloor":1}]}"#;
    let several = [
        banner("1", ""),
        r#"{"id":"v\u00e9\n","video":{"mimes":["video/mp4"]}}"#.to_owned(),
        banner("3", r#","bidfloor":9"#),
        banner("4", ""),
    ];
    let case = |what, imps, picks| Case { what, imps, is_simulation: false, picks };
    let video = r#"{"id":"v","secure":1,"video":{"mimes":["video/mp4"],"protocols":[2,3]}}"#;
    let audio = r#"{"id":"a","audio":{"mimes":["AUDIO/mpeg"]}}"#;
    const ONE: &[(u8, Option<u8>, &str)] = &[(0, None, "run-300x250")];
    const VIDEO: &[(u8, Option<u8>, &str)] = &[(0, None, "run-video")];
    const NATIVE: &[(u8, Option<u8>, &str)] = &[(0, None, "run-native")];
    vec![
        case("banner", banner("1", ""), ONE),
        case("video", video.to_owned(), VIDEO),
        case("newest video", r#"{"id":"v","video":{"mimes":["video/mp4"]}}"#.to_owned(), VIDEO),
        case("audio", audio.to_owned(), &[(0, None, "run-audio")]),
        case("native", native(""), NATIVE),
        case("native, our types", native(r#","mimes":["image/png"]"#), NATIVE),
        case("native, other types", native(r#","mimes":["image/gif","image/jpeg"]"#), NATIVE),
        case(
            "several imps",
            several.join(","),
            &[
                (0, None, "run-300x250"),
                (1, None, "run-video"),
                (2, None, "run-300x250"),
                (3, None, "run-300x250"),
            ],
        ),
        case("deal", banner("1", deal), &[(0, Some(1), "run-300x250")]),
        Case { is_simulation: true, ..case("simulation", banner("1", ""), ONE) },
        case("nothing left", banner("1", r#","bidfloor":9"#), ONE),
    ]
}

fn catalog(campaign: &str) -> Arc<Catalog> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("campaigns")).expect("a folder");
    std::fs::write(folder.path().join("advertisers.toml"), ADVERTISERS).expect("a file");
    std::fs::write(folder.path().join("campaigns/shoes.toml"), campaign).expect("a file");
    let strategies = [("cpc".to_owned(), TermsNeeded::default())].into();
    Arc::new(Catalog::load(folder.path(), &strategies, None).expect("a good catalog"))
}

fn body(imps: &str) -> String {
    format!(
        r#"{{"id":"r\"1\u0001","cur":["USD"],"bcat":["IAB25"],"badv":["blocked.example"],"imp":[{imps}]}}"#
    )
}

struct Office {
    sealer: Sealer,
    rates: Rates,
    catalog: Arc<Catalog>,
}

impl Office {
    fn new(campaign: &str) -> Self {
        let rates = Rates::parse(CurrencyCode::USD, &BTreeMap::new()).expect("no rates");
        Self { sealer: Sealer::new(&[7; 32], 3), rates, catalog: catalog(campaign) }
    }

    fn desk(&self, is_simulation: bool) -> Desk<'_> {
        Desk {
            sealer: &self.sealer,
            public_url: "https://bid.example",
            exchange: "alpha",
            exchange_key: stable_lower("alpha"),
            seat: "outbid",
            charge_on: ChargeOn::Billing,
            token_ttl_ms: 60_000,
            rates: &self.rates,
            is_simulation,
            bytes_max: usize::MAX,
        }
    }

    /// What the auction hands over when it has picked these ads.
    fn input(&self, request: &BidRequest<'_>, picks: &[(u8, Option<u8>, &str)]) -> AuctionInput {
        let mut input = AuctionInput::new();
        input.now = Timestamp(1_700_000_000_000);
        let context = Context {
            exchange: "alpha",
            seat: "outbid",
            rates: &self.rates,
            policy: &Policy::default(),
            permissions: consent::decide(&consent::Policy::default(), request).permissions(),
            is_simulation: false,
            is_https: true,
        };
        extract(request, &context, &mut input).map_err(|reason| reason.as_str()).expect("fits");
        input.arm = Arm::Full;
        let windows = Windows { decision_ttl_ms: 1_000, billing_window_ms: 2_000 };
        let lease = LeaseId { node: 1, core: 0, boot: 1, number: 0 };
        for (number, (imp, deal, name)) in picks.iter().enumerate() {
            let ad = self.catalog.ads.iter().flatten().find(|ad| ad.name == *name).expect("an ad");
            input.outcome.picks.push(Pick {
                paced: Micros::ZERO,
                is_first_price: false,
                strategy_arm: 0,
                is_exploration: false,
                imp: *imp,
                deal: *deal,
                campaign: ad.campaign,
                ad: ad.slot.index,
                price: PRICE,
                held: Held {
                    hold: HoldId { lease, sequence: number as u32 },
                    campaign: CampaignId(1),
                    day: DayNumber(1),
                    due: Due::of(input.now, windows),
                    price: PRICE,
                },
                rate: RATE,
                logit: -3.5,
                prior_logit: 0.0,
                conversions_ppm: 0,
                interest: 0.0,
                strengths: crate::prediction::Strengths::NONE,
                floor: Micros::ZERO,
                controllers: Controllers::default(),
            });
        }
        input.outcome.catalog = Some(self.catalog.clone());
        input
    }
}

/// Every token replaced by the name of the purpose whose path it stands at, after it has opened
/// there as the token of the bid; and how many there were.
fn without_tokens(office: &Office, answer: &str) -> (String, usize) {
    let (mut text, mut count) = (String::new(), 0);
    let mut rest = answer;
    while let Some(at) = rest.find("t=AgMA") {
        let (before, token) = rest.split_at(at + "t=".len());
        let (token, after) = token.split_at(TEXT_LEN);
        text.push_str(before);
        let start =
            text.rfind("https://bid.example").expect("our URL") + "https://bid.example".len();
        let path = text[start..].split('?').next().expect("a path").to_owned();
        let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.path() == path);
        let purpose = purpose.expect("a purpose");
        let now = Timestamp(1_700_000_000_001);
        let opened = office.sealer.open(purpose, stable_lower("alpha"), token, now).expect("opens");
        assert_eq!((opened.bid_price, opened.bid_currency), (PRICE, CurrencyCode::USD));
        assert_eq!(opened.rate, RATE, "a told price is converted by what held it");
        text.push_str(purpose.label());
        rest = after;
        count += 1;
    }
    (text + rest, count)
}

#[test]
fn answers_are_these_bytes() {
    let office = Office::new(CAMPAIGN);
    // One scratch and one sequence for all, as a worker has them.
    let (mut scratch, mut nonces) = (Scratch::default(), NonceSequence::new([0; 10], 1));
    let mut golden = include_str!("golden.txt").lines();
    for Case { what, imps, is_simulation, picks } in cases() {
        let body = body(&imps);
        let request = openrtb::parse(body.as_bytes(), &Limits::default()).expect("parses");
        let input = office.input(&request, picks);
        let desk = office.desk(is_simulation);
        let refused = write(&desk, &mut nonces, &request, &input, &mut scratch);
        let refused = refused.iter().filter_map(|r| Some((r.pick.imp, r.defect?.as_str())));
        let refused: Vec<_> = refused.collect();
        let answer = String::from_utf8(scratch.answer.to_vec()).expect("UTF-8");
        let (answer, tokens) = without_tokens(&office, &answer);
        let bids = picks.len() - refused.len();
        assert_eq!(tokens, bids * if is_simulation { 6 } else { 5 }, "{what}");
        assert_eq!(Some(format!("{what} {refused:?}").as_str()), golden.next());
        assert_eq!(Some(answer.as_str()), golden.next(), "{what}");
        let parsed = serde_json::from_str::<ParsedResponse>(&answer).ok();
        assert_eq!(parsed.map_or(0, |parsed| parsed.seatbid[0].bid.len()), bids, "{what}");
    }
    assert_eq!(golden.next(), None);
}

#[test]
fn the_cheapest_bids_make_room() {
    let office = Office::new(CAMPAIGN);
    let (mut scratch, mut nonces) = (Scratch::default(), NonceSequence::new([0; 10], 1));
    let imps = ["1", "2", "3", "4"].map(|id| format!(r#"{{"id":"{id}","secure":1,{BANNER}}}"#));
    let body = body(&imps.join(","));
    let request = openrtb::parse(body.as_bytes(), &Limits::default()).expect("parses");
    let picks = [0, 1, 2, 3].map(|imp| (imp, None, "run-300x250"));
    let mut input = office.input(&request, &picks);
    // By price: the imps 2, 0, 3, 1.
    for (pick, price) in input.outcome.picks.iter_mut().zip([3, 1, 4, 2]) {
        pick.price = Micros(price * 1_000_000);
    }
    let mut answer = |bytes_max| {
        let desk = Desk { bytes_max, ..office.desk(false) };
        let refused = write(&desk, &mut nonces, &request, &input, &mut scratch);
        assert!(refused.iter().all(|refused| refused.defect.is_none()));
        let parsed = serde_json::from_slice::<serde_json::Value>(&scratch.answer).ok();
        let bids = parsed.map_or(Vec::new(), |parsed| {
            let bids = parsed["seatbid"][0]["bid"].as_array().expect("bids");
            bids.iter().map(|bid| bid["impid"].as_str().expect("an id").to_owned()).collect()
        });
        assert_eq!(bids.len() + refused.len(), 4, "each bid is sent or given back");
        (bids, scratch.answer.len())
    };
    let (all, whole) = answer(usize::MAX);
    assert_eq!(all, ["1", "2", "3", "4"]);
    let mut left = 4;
    for bytes_max in (0..=whole).rev().step_by(7) {
        let (bids, bytes) = answer(bytes_max);
        assert!(bytes <= bytes_max && bids.len() <= left, "{bytes} of {bytes_max}: {bids:?}");
        left = bids.len();
        let dearest: &[&str] = match left {
            4 => &["1", "2", "3", "4"],
            3 => &["1", "3", "4"],
            2 => &["1", "3"],
            1 => &["3"],
            _ => &[],
        };
        assert_eq!(bids, dearest, "at most {bytes_max} bytes");
    }
    assert_eq!(left, 0);
}

/// A snippet, a wrapper and a native ad, with every macro that a request has a say in.
const WITH_MACROS: &str = r#"advertiser = "shoes"
[[campaign]]
name = "run"
category = "running-shoes"
iab_cats = ["IAB18"]
strategy = "cpc"
daily_budget = 20
landing_url = "https://shoes.example/run"
bid = { max_cpm = 5, cpc = "0.5" }
[[campaign.ad]]
name = "html"
impression_trackers = ["https://t.example/?a=${AUCTION_ID}&i=${AUCTION_IMP_ID:B64}&c=${GDPR_CONSENT_7}"]
banner = { w = 300, h = 250, html = '<a href="${OUTBID_CLICK}&s=${OUTBID_SITE}" title=${AUCTION_ID}>${US_PRIVACY}</a><script>go("${OUTBID_CLICK}", "${AUCTION_IMP_ID}")</script>' }
[[campaign.ad]]
name = "wrapper"
click_trackers = ["https://t.example/click?${GPP}&${GPP_SID}"]
impression_trackers = ["https://t.example/?a=${AUCTION_ID}&s=${OUTBID_SITE}&p=${AUCTION_PRICE}"]
video = { duration_s = 15, w = 640, h = 360, mime = "video/mp4", vast_tag_url = "https://t.example/vast?a=${AUCTION_ID}&s=${OUTBID_SITE}&c=${GDPR_CONSENT_7}" }
[[campaign.ad]]
name = "native"
impression_trackers = ["https://t.example/?a=${AUCTION_ID}&s=${OUTBID_SITE}&g=${GDPR}"]
click_trackers = ["https://t.example/click?${US_PRIVACY}"]
native = { title = "Boots" }
"#;

/// The markup of the three ads, in an answer to a request whose texts are all this one.
fn markup_for(office: &Office, text: &str) -> [String; 3] {
    let request = serde_json::json!({
        "id": format!("r{text}"), "site": { "domain": text }, "user": { "consent": text },
        "regs": { "gdpr": 1, "us_privacy": text, "gpp": text, "gpp_sid": [2, 7] },
        "imp": [
            { "id": format!("1{text}"), "secure": 1, "banner": {} },
            { "id": format!("2{text}"), "secure": 1, "video": { "mimes": ["video/mp4"] } },
            { "id": format!("3{text}"), "secure": 1,
              "native": { "request": { "assets": [{ "id": 1, "title": {} }] } } },
        ],
    });
    let body = request.to_string();
    let request = openrtb::parse(body.as_bytes(), &Limits::default()).expect("parses");
    let picks = [(0, None, "html"), (1, None, "wrapper"), (2, None, "native")];
    let input = office.input(&request, &picks);
    let (mut scratch, mut nonces) = (Scratch::default(), NonceSequence::new([0; 10], 1));
    let refused = write(&office.desk(false), &mut nonces, &request, &input, &mut scratch);
    assert!(refused.is_empty(), "{:?}", refused.iter().map(|one| one.defect).collect::<Vec<_>>());
    let parsed: ParsedResponse = serde_json::from_slice(&scratch.answer).expect("JSON");
    let mut bids = parsed.seatbid[0].bid.iter();
    [(); 3].map(|()| bids.next().and_then(|bid| bid.adm.clone()).expect("markup"))
}

/// What gives markup its structure, without all else.
fn structure(markup: &str) -> String {
    markup.chars().filter(|letter| "<>\"'[]!/= ".contains(*letter)).collect()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever a request says, the markup has the structure that a harmless request gets, and the
    /// native answer is JSON.
    #[test]
    fn no_text_of_a_request_becomes_markup(text in "[a-z<>\"'&\\]\\[!$\\{\\}\\\\ \n\u{0}é]{1,30}") {
        thread_local!(static OFFICE: Office = Office::new(WITH_MACROS));
        let (hostile, plain) =
            OFFICE.with(|office| (markup_for(office, &text), markup_for(office, "plain")));
        for (hostile, plain) in hostile.iter().zip(&plain) {
            proptest::prop_assert_eq!(structure(hostile), structure(plain), "{}", hostile);
            let is_filled = !hostile.contains("${OUTBID") && !hostile.contains("${GDPR");
            proptest::prop_assert!(is_filled, "{}", hostile);
        }
        let has_price = hostile[1].contains("p=${AUCTION_PRICE}");
        proptest::prop_assert!(has_price, "{}", hostile[1]);
        let native: Result<serde_json::Value, _> = serde_json::from_str(&hostile[2]);
        proptest::prop_assert!(native.is_ok(), "{}", hostile[2]);
    }
}

#[test]
fn the_pixel_asks_for_the_price_where_it_charges() {
    let office = Office::new(WITH_MACROS);
    let body = r#"{"id":"r","imp":[{"id":"1","banner":{}}]}"#;
    let request = openrtb::parse(body.as_bytes(), &Limits::default()).expect("parses");
    let input = office.input(&request, &[(0, None, "html")]);
    for (charge_on, expected) in [(ChargeOn::Billing, false), (ChargeOn::Impression, true)] {
        let (mut scratch, mut nonces) = (Scratch::default(), NonceSequence::new([0; 10], 1));
        let desk = Desk { charge_on, ..office.desk(false) };
        assert!(write(&desk, &mut nonces, &request, &input, &mut scratch).is_empty());
        let parsed: ParsedResponse = serde_json::from_slice(&scratch.answer).expect("JSON");
        let adm = parsed.seatbid[0].bid[0].adm.clone().expect("markup");
        let (_, pixel) = adm.split_once("/pixel?").expect("a pixel");
        let pixel = pixel.split('"').next().unwrap_or_default();
        let price = pixel.ends_with("&amp;price=${AUCTION_PRICE}&amp;cur=${AUCTION_CURRENCY}");
        assert_eq!(price, expected, "{adm}");
    }
}

/// All workers count from one start.
#[test]
fn no_two_bids_of_any_worker_have_one_cache_buster() {
    let office =
        Office::new(&WITH_MACROS.replace("<a href=", "<b>n=${OUTBID_CACHEBUSTER};</b><a href="));
    let body = r#"{"id":"r","site":{"domain":"s.example"},"app":{"domain":"d.example","bundle":"com.app"},"imp":[{"id":"1","banner":{}}]}"#;
    let request = openrtb::parse(body.as_bytes(), &Limits::default()).expect("parses");
    let input = office.input(&request, &[(0, None, "html")]);
    let (mut scratch, mut seen) = (Scratch::default(), std::collections::BTreeSet::new());
    for worker in 0..3 {
        let mut nonces = NonceSequence::new([9; 10], worker);
        for _ in 0..2 {
            assert!(
                write(&office.desk(false), &mut nonces, &request, &input, &mut scratch).is_empty()
            );
            let parsed: ParsedResponse = serde_json::from_slice(&scratch.answer).expect("JSON");
            let adm = parsed.seatbid[0].bid[0].adm.clone().expect("markup");
            let number = adm.split(['=', ';']).nth(1).and_then(|number| number.parse::<u64>().ok());
            let number = number.expect("a number");
            assert!(number < 1 << 53 && seen.insert(number), "{number} again");
            assert!(adm.contains("&s=com.app\""), "an app is known by its bundle: {adm}");
        }
    }
}

/// OpenRTB 2.5 §4.2.3: `wratio` and `hratio` are required of flexible ads.
#[test]
fn a_size_asked_for_by_its_ratio_is_told_by_it_too() {
    let office = Office::new(CAMPAIGN);
    let (mut scratch, mut nonces) = (Scratch::default(), NonceSequence::new([0; 10], 1));
    for (format, expected) in [
        (r#"[{"wratio":6,"hratio":5,"wmin":120}]"#, Some((6, 5))),
        (r#"[{"w":728,"h":90},{"wratio":12,"hratio":10}]"#, Some((12, 10))),
        (r#"[{"wratio":6,"hratio":5},{"w":300,"h":250}]"#, None),
        ("null", None),
    ] {
        let body = body(&format!(r#"{{"id":"1","banner":{{"format":{format}}}}}"#));
        let request = openrtb::parse(body.as_bytes(), &Limits::default()).expect("parses");
        let input = office.input(&request, &[(0, None, "run-300x250")]);
        assert!(write(&office.desk(false), &mut nonces, &request, &input, &mut scratch).is_empty());
        let parsed: ParsedResponse = serde_json::from_slice(&scratch.answer).expect("JSON");
        let bid = &parsed.seatbid[0].bid[0];
        assert_eq!(bid.w.zip(bid.h), Some((300, 250)), "{format}");
        assert_eq!(bid.wratio.zip(bid.hratio), expected, "{format}");
    }
}

/// A video that has all that a video may have, its files smallest first.
const RICH_VIDEO: &str = r#"
[[campaign.ad]]
name = "rich"
language = "pt-BR"
bundle = "com.shoes"
api = [2, 7]
attr = [13]
[campaign.ad.video]
duration_s = 15
skip_after_s = 5
files = [
  { mime = "video/mp4", w = 640, h = 360, bitrate = 800, media_url = "https://c.example/s.mp4" },
  { mime = "video/mp4", w = 1280, h = 720, bitrate = 2200, delivery = "streaming", media_url = "https://c.example/l.mp4" },
  { mime = "application/javascript", w = 640, h = 360, media_url = "https://c.example/v.js" },
]
"#;

const PLAYER: &str = r#""video":{"mimes":["video/mp4","application/javascript"],"api":[2,7],"w":1920,"h":1080,
    "skip":1,"skipafter":7}"#;

#[test]
fn a_bid_tells_all_of_its_ad() {
    let office = Office::new(&format!("{CAMPAIGN}{RICH_VIDEO}"));
    let (mut scratch, mut nonces) = (Scratch::default(), NonceSequence::new([0; 10], 1));
    let body = body(&format!(r#"{{"id":"1",{PLAYER}}}"#));
    let request = openrtb::parse(body.as_bytes(), &Limits::default()).expect("parses");
    let input = office.input(&request, &[(0, None, "rich")]);
    assert!(write(&office.desk(false), &mut nonces, &request, &input, &mut scratch).is_empty());
    let parsed: ParsedResponse = serde_json::from_slice(&scratch.answer).expect("JSON");
    let bid = &parsed.seatbid[0].bid[0];
    assert_eq!((bid.language.as_deref(), bid.langb.as_deref()), (None, Some("pt-BR")));
    assert_eq!((bid.bundle.as_deref(), &bid.apis[..]), (Some("com.shoes"), &[2, 7][..]));
    assert_eq!((&bid.attr[..], bid.w.zip(bid.h)), (&[13, 16][..], Some((1280, 720))));
    let adm = bid.adm.as_deref().unwrap_or_default();
    assert!(adm.contains("<Linear skipoffset=\"00:00:07\">"), "as late as the player wants: {adm}");
    let attributes = adm.split("<MediaFile ").skip(1).map(|file| file.split('>').next());
    let attributes: Vec<_> = attributes.flatten().collect();
    let (mp4, js) = ("type=\"video/mp4\"", "type=\"application/javascript\"");
    let small = "width=\"640\" height=\"360\"";
    assert_eq!(
        attributes,
        [
            format!("delivery=\"streaming\" {mp4} width=\"1280\" height=\"720\" bitrate=\"2200\""),
            format!("delivery=\"progressive\" {mp4} {small} bitrate=\"800\""),
            format!("delivery=\"progressive\" {js} {small} apiFramework=\"VPAID\""),
        ]
    );
}

/// Whatever the auction picked, the last check knows the ad and the floor: each wrong pick is found.
#[test]
fn what_the_auction_should_not_have_picked_is_refused() {
    let office = Office::new(&format!("{CAMPAIGN}{RICH_VIDEO}"));
    let (mut scratch, mut nonces) = (Scratch::default(), NonceSequence::new([0; 10], 1));
    let player = |from: &str, to: &str| PLAYER.replace(from, to);
    let deal = |of_slot: &str, of_deal: &str| {
        let slot = format!(r#""api":[2,7],"durfloors":[{{"bidfloor":{of_slot}}}]"#);
        let deal =
            format!(r#","pmp":{{"deals":[{{"id":"d","durfloors":[{{"bidfloor":{of_deal}}}]}}]}}"#);
        player(r#""api":[2,7]"#, &slot) + &deal
    };
    for (imp, request, deal, expected) in [
        (PLAYER.to_owned(), "", None, None),
        (player(r#""skip":1"#, r#""skip":0"#), "", None, Some(Defect::SkippableNotAllowed)),
        (player(r#""skip":1"#, r#""skipmin":15"#), "", None, Some(Defect::SkippableNotAllowed)),
        (player("[2,7]", "[2]"), "", None, Some(Defect::ApiNotSupported)),
        (player("[2,7]", r#"[2,7],"battr":[13]"#), "", None, Some(Defect::AttributeBlocked)),
        (PLAYER.to_owned(), r#""wlang":["en"],"#, None, Some(Defect::LanguageNotAllowed)),
        (PLAYER.to_owned(), r#""bapp":["com.shoes"],"#, None, Some(Defect::AppBlocked)),
        (deal("9", "2"), "", None, Some(Defect::BelowFloor)),
        (deal("9", "2"), "", Some(0), None),
        (deal("2", "9"), "", Some(0), Some(Defect::BelowFloor)),
    ] {
        let body = format!(r#"{{"id":"r",{request}"imp":[{{"id":"1",{imp}}}]}}"#);
        let request = openrtb::parse(body.as_bytes(), &Limits::default()).expect("parses");
        let input = office.input(&request, &[(0, deal, "rich")]);
        let refused = write(&office.desk(false), &mut nonces, &request, &input, &mut scratch);
        assert_eq!(refused.first().and_then(|refused| refused.defect), expected, "{body}");
    }
}

#[test]
fn a_native_request_without_a_version_is_of_the_imps() {
    let office = Office::new(CAMPAIGN);
    let (mut scratch, mut nonces) = (Scratch::default(), NonceSequence::new([0; 10], 1));
    for (ver, expected) in [("1.1", "1.1"), ("1.2", "1.2"), ("", "1.2")] {
        let imp = serde_json::json!({ "id": "1", "native": {
            "ver": ver, "request": { "assets": [{ "id": 1, "title": {} }] },
        } });
        let body = body(&imp.to_string());
        let request = openrtb::parse(body.as_bytes(), &Limits::default()).expect("parses");
        let input = office.input(&request, &[(0, None, "run-native")]);
        assert!(write(&office.desk(false), &mut nonces, &request, &input, &mut scratch).is_empty());
        let parsed: ParsedResponse = serde_json::from_slice(&scratch.answer).expect("JSON");
        let adm = parsed.seatbid[0].bid[0].adm.clone().unwrap_or_default();
        assert!(adm.starts_with(&format!("{{\"ver\":\"{expected}\"")), "{adm}");
    }
}
