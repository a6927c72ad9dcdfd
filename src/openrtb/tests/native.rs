//! Native requests in all their forms, each answered with what fits best.

use super::parsed;
use crate::openrtb::markup::Tracking;
use crate::openrtb::vast::{DELIVERY_PROGRESSIVE, Linear, MediaFile, VAST_INLINE};
use crate::openrtb::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const ASKED: &str = r#"{\"ver\":\"1.2\",\"eventtrackers\":[{\"event\":1,\"methods\":[1,2]}],\"assets\":[{\"id\":1,\"required\":1,\"title\":{\"len\":10}},{\"id\":2,\"img\":{\"type\":3,\"wmin\":100,\"mimes\":[\"image/png\"]}},{\"id\":3,\"data\":{\"type\":1}},{\"id\":4,\"data\":{\"type\":3}}]}"#;

fn image(kind: ImageKind, mime: &str, w: u32, h: u32) -> Image {
    let url = format!("https://a.example/{w}x{h}?c=${{OUTBID_CACHEBUSTER}}");
    Image::new(kind, Template::url(&url).expect("compiles"), mime, (w, h))
}

/// A library with this title, one text and one image.
pub(super) fn library(title: &str) -> Library {
    let title = Text::new(0, title.to_owned());
    let sponsor = Text::new(1, "Shoe \"Co\"".to_owned());
    let image = image(ImageKind::Main, "image/png", 120, 60);
    Library::new(vec![title], vec![sponsor], vec![image], None)
}

fn video() -> Linear {
    let file = MediaFile {
        url: Template::url("https://a.example/v.mp4").expect("compiles"),
        mime: "video/mp4".to_owned(),
        w: 640,
        h: 360,
        bitrate: 0,
        delivery: DELIVERY_PROGRESSIVE,
    };
    Linear {
        duration_s: 15,
        files: [file].into_iter().collect(),
        tag: None,
        protocols: VAST_INLINE,
        skip_after_s: None,
    }
}

/// Several of everything.
fn rich() -> Library {
    let text = |kind, text: &str| Text::new(kind, text.to_owned());
    let titles = ["Boots", "Boots that last", "B"].map(|title| text(0, title)).into();
    let data = vec![text(2, "Dry"), text(2, "Dry and warm"), text(3, "4.5"), text(12, "Buy")];
    let images = vec![
        image(ImageKind::Main, "image/jpeg", 1_200, 627),
        image(ImageKind::Main, "image/png", 300, 250),
        image(ImageKind::Main, "image/jpeg", 600, 314),
        image(ImageKind::Icon, "image/png", 80, 80),
        image(ImageKind::Icon, "image/png", 128, 128),
    ];
    let mut library = Library::new(titles, data, images, Some(video()));
    library.scripts = vec![Template::url("https://t.example/a.js").expect("compiles")];
    library.privacy_url = "https://a.example/privacy".to_owned();
    library
}

fn tracking(pixels: &[Template]) -> Tracking<'_> {
    let values = MacroValues {
        click: "https://o.example/click",
        impression: "https://o.example/pixel?a&price=${AUCTION_PRICE}",
        cache_buster: 7,
        ..MacroValues::default()
    };
    Tracking { values, impressions: pixels, clicks: pixels }
}

/// A placement that asks by this text.
fn asking(text: &str) -> Native<'_> {
    Native { request: NativeSource::Text(Str::from(text)), ..Native::default() }
}

fn answer(request: &Value, library: &Library) -> Option<Value> {
    let body = json!({ "id": "r", "imp": [{ "native": { "request": request } }] }).to_string();
    let outer = parsed(&body);
    let asked = outer.imp[0].native.as_ref()?.asks()?;
    let pixels = [Template::url("https://t.example/?\"a\"").expect("compiles")];
    let mut out = String::new();
    let ad = NativeMarkup { request: &asked, ver: "", id: "ad", library };
    let written = write_native(&ad, &tracking(&pixels), &mut out);
    assert_eq!(written.is_some(), library.can_answer(asked.asks()), "{request}");
    assert_eq!(written.is_some(), !out.is_empty());
    written.map(|()| serde_json::from_str(&out).expect("JSON"))
}

#[test]
fn native_requests_are_answered_in_their_form() {
    let object: Value = serde_json::from_str(&ASKED.replace("\\\"", "\"")).expect("JSON");
    let text = object.to_string();
    for (request, is_wrapped) in [
        (json!(text), false),
        (json!(format!("{{\"native\":{text}}}")), true),
        (object.clone(), false),
        (json!({ "native": object }), true),
    ] {
        let value = answer(&request, &library("Boots")).expect("an answer");
        let inner = if is_wrapped { &value["native"] } else { &value };
        assert_eq!(inner["assets"][0]["title"]["text"], "Boots");
        assert_eq!(inner["assets"][1]["img"]["w"], 120);
        assert_eq!(inner["assets"][1]["img"]["url"], "https://a.example/120x60?c=7");
        assert_eq!(inner["assets"][2]["data"]["value"], "Shoe \"Co\"");
        assert_eq!(inner["assets"].as_array().map(Vec::len), Some(3));
        let link = json!({
            "url": "https://o.example/click", "clicktrackers": ["https://t.example/?\"a\""],
        });
        assert_eq!(inner["link"], link);
        // A title that does not fit is required: no answer, and nothing written.
        assert_eq!(answer(&request, &library("A title too long")), None);
    }
}

/// An exchange finds an asset by its id, so each id is answered once: as the first asks.
#[test]
fn of_two_assets_with_one_id_the_first_is_answered() {
    let title = |id: u32, len: u32| json!({ "id": id, "required": 1, "title": { "len": len } });
    let sponsor = json!({ "id": 1, "required": 1, "data": { "type": 1 } });
    for (assets, expected) in [
        (json!([title(1, 10), title(2, 10), sponsor]), Some(json!([1, 2]))),
        (json!([title(1, 10), title(1, 3)]), Some(json!([1]))),
        (json!([title(1, 3), title(1, 10)]), None),
    ] {
        let value = answer(&json!({ "assets": assets }), &library("Boots"));
        let ids = value.map(|value| {
            let assets = value["assets"].as_array().expect("assets").clone();
            assets.iter().map(|asset| asset["id"].clone()).collect::<Value>()
        });
        assert_eq!(ids, expected, "{assets}");
    }
}

#[test]
fn each_asset_gets_the_best_that_fits() {
    let title = |len: u32| json!({ "title": { "len": len } });
    let data = |kind: u32, len: u32| json!({ "data": { "type": kind, "len": len } });
    let image = |image: Value| json!({ "img": image });
    let side = |w: u32| json!(w);
    for (mut asset, place, expected) in [
        (title(140), "/title/text", Some(json!("Boots that last"))),
        (title(14), "/title/text", Some(json!("Boots"))),
        (title(4), "/title/text", Some(json!("B"))),
        (json!({ "title": {} }), "/title/text", Some(json!("Boots that last"))),
        (data(2, 0), "/data/value", Some(json!("Dry and warm"))),
        (data(2, 11), "/data/value", Some(json!("Dry"))),
        (data(2, 2), "/data/value", None),
        (data(3, 5), "/data/value", Some(json!("4.5"))),
        (data(12, 3), "/data/value", Some(json!("Buy"))),
        (data(4, 0), "/data/value", None),
        (data(500, 0), "/data/value", None),
        (json!({ "data": {} }), "/data/value", None),
        (image(json!({ "type": 3, "w": 600, "h": 314 })), "/img/w", Some(side(600))),
        (image(json!({ "type": 3, "w": 601, "h": 314 })), "/img/w", None),
        (image(json!({ "type": 3, "wmin": 301 })), "/img/w", Some(side(600))),
        (image(json!({ "type": 3, "wmin": 100, "hmin": 300 })), "/img/w", Some(side(600))),
        (
            image(json!({ "type": 3, "wmin": 100, "w": 1200, "hmin": 1, "h": 627 })),
            "/img/w",
            Some(side(1_200)),
        ),
        (image(json!({ "type": 3, "wmin": 1_201 })), "/img/w", None),
        (image(json!({ "type": 3 })), "/img/w", Some(side(1_200))),
        (image(json!({})), "/img/w", Some(side(1_200))),
        (image(json!({ "type": 3, "mimes": ["image/jpg"], "wmin": 1 })), "/img/w", Some(side(600))),
        (image(json!({ "type": 3, "mimes": [" IMAGE/png "] })), "/img/w", Some(side(300))),
        (image(json!({ "type": 3, "mimes": ["image/gif"] })), "/img/w", None),
        (image(json!({ "type": 1, "w": 80, "h": 80 })), "/img/w", Some(side(80))),
        (image(json!({ "type": 1, "wmin": 81, "hmin": 50 })), "/img/w", Some(side(128))),
        (image(json!({ "type": 2, "wmin": 50, "hmin": 50 })), "/img/w", Some(side(80))),
        (image(json!({ "type": 501 })), "/img/w", None),
        (image(json!({ "type": 3, "w": 600, "h": -30 })), "/img/w", None),
        (image(json!({ "type": 3, "wmin": 20, "hmin": "tall" })), "/img/w", None),
        (json!({ "video": { "mimes": ["video/mp4"] } }), "/id", Some(json!(5))),
        (json!({ "video": { "mimes": ["video/webm"] } }), "/id", None),
        (json!({ "video": { "minduration": 16 } }), "/id", None),
        (json!({ "video": { "maxduration": 14 } }), "/id", None),
        (json!({ "video": { "protocols": [1, 4, 9] } }), "/id", None),
        (json!({ "video": { "protocols": [3] } }), "/id", Some(json!(5))),
    ] {
        asset["id"] = json!(5);
        asset["required"] = json!(1);
        let got = answer(&json!({ "assets": [asset.clone()] }), &rich());
        let got = got.and_then(|answer| answer["assets"][0].pointer(place).cloned());
        assert_eq!(got, expected, "{asset}");
        // What is not required is left out, and alone makes no answer.
        asset["required"] = json!(0);
        let request = json!({ "assets": [asset, { "id": 9, "title": {} }] });
        let answer = answer(&request, &rich()).expect("a title");
        let count = answer["assets"].as_array().map(Vec::len);
        assert_eq!(count, Some(1 + usize::from(expected.is_some())), "{request}");
    }
    assert_eq!(answer(&json!({ "assets": [{ "id": 1, "data": { "type": 4 } }] }), &rich()), None);
    assert_eq!(answer(&json!({ "assets": [{ "title": {} }] }), &rich()), None);
}

#[test]
fn a_video_asset_is_vast_without_pixels_of_its_own() {
    let request = json!({ "assets": [{ "id": 1, "video": { "protocols": [3] } }] });
    let answer = answer(&request, &rich()).expect("an answer");
    let vast = answer["assets"][0]["video"]["vasttag"].as_str().expect("VAST");
    assert!(vast.starts_with("<VAST version=\"3.0\"><Ad id=\"ad\"><InLine>"), "{vast}");
    assert!(vast.contains("<Impression></Impression>") && !vast.contains("o.example/pixel"));
    assert!(vast.contains("<![CDATA[https://a.example/v.mp4]]>"), "{vast}");
    assert_eq!(answer["imptrackers"].as_array().map(Vec::len), Some(2));
}

#[test]
fn only_trackers_that_are_asked_for_are_written() {
    let own = "https://o.example/pixel?a&price=${AUCTION_PRICE}";
    for (trackers, events, pixels) in [
        (json!(null), vec![], 2),
        (json!([{ "event": 1, "methods": [1] }]), vec![1, 1], 0),
        (json!([{ "event": 1, "methods": [1, 2] }]), vec![1, 1, 2], 0),
        (json!([{ "event": 1, "methods": [2] }]), vec![2], 2),
        (json!([{ "event": 2, "methods": [1, 2] }]), vec![], 2),
    ] {
        let request = json!({ "ver": "1.2", "eventtrackers": trackers, "assets": [{ "id": 1, "title": {} }] });
        let answer = answer(&request, &rich()).expect("an answer");
        let methods = |answer: &Value| -> Vec<u64> {
            let list = answer["eventtrackers"].as_array().cloned().unwrap_or_default();
            list.iter().filter_map(|tracker| tracker["method"].as_u64()).collect()
        };
        assert_eq!(methods(&answer), events, "{trackers}");
        let list = answer["imptrackers"].as_array().cloned().unwrap_or_default();
        assert_eq!(list.len(), pixels, "{trackers}");
        let first =
            list.first().cloned().unwrap_or_else(|| answer["eventtrackers"][0]["url"].clone());
        assert_eq!(first, own);
        assert!(answer.get("privacy").is_none());
    }
}

#[test]
fn the_privacy_link_and_the_version_are_as_asked() {
    for (request, ver, expected, privacy) in [
        (json!({ "ver": "1.2", "privacy": 1 }), "", "1.2", true),
        (json!({ "ver": "1.1", "privacy": 0 }), "1.2", "1.1", false),
        (json!({ "ver": "1.0" }), "", "1.1", false),
        (json!({}), "", "1.2", false),
        (json!({}), "1.1", "1.1", false),
    ] {
        let mut request = request;
        request["assets"] = json!([{ "id": 1, "title": {} }]);
        let text = request.to_string();
        let native = asking(&text);
        let asked = native.asks().expect("a request");
        let mut out = String::new();
        let ad = NativeMarkup { request: &asked, ver, id: "ad", library: &rich() };
        write_native(&ad, &tracking(&[]), &mut out).expect("an answer");
        let answer: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(answer["ver"], expected, "{request}");
        let link = privacy.then(|| json!("https://a.example/privacy"));
        assert_eq!(answer.get("privacy").cloned(), link, "{request}");
    }
}

proptest! {
    /// Hostile texts of an ad and of a request come back as the texts that they are.
    #[test]
    fn native_markup_is_json_whatever_it_carries(text in "[a-z\"\\\\<>\\]\n\u{0}\u{1f}é ]{1,40}") {
        let library = library(&text);
        let request = json!({ "assets": [{ "id": 1, "title": {} }] }).to_string();
        let native = asking(&request);
        let asked = native.asks().expect("a request");
        let pixels = [Template::url("https://t.example/${AUCTION_ID}/${OUTBID_SITE}").expect("compiles")];
        let values = MacroValues { auction_id: &text, site: &text, click: &text, ..Default::default() };
        let tracking = Tracking { values, impressions: &pixels, clicks: &pixels };
        let mut out = String::new();
        let ad = NativeMarkup { request: &asked, ver: "", id: &text, library: &library };
        write_native(&ad, &tracking, &mut out).expect("an answer");
        let answer: Value = serde_json::from_str(&out).expect("JSON");
        prop_assert_eq!(&answer["assets"][0]["title"]["text"], &json!(text));
        prop_assert_eq!(&answer["link"]["url"], &json!(text));
    }
}
