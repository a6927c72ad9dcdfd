//! One planted defect a rule: each is caught, and by its own name.

use super::{assets, parsed};
use crate::openrtb::*;
use crate::units::{CurrencyCode, Micros};

/// One imp of each kind, with every rule that a bid could break.
pub(super) const STRICT: &str = r#"{"id":"r","cur":["EUR"],"wseat":["seat"],"bseat":["rival"],"badv":["bad.example"],
    "bcat":["IAB25"],"bapp":["com.bad"],"wlang":["en"],"imp":[
    {"id":"b","secure":1,"banner":{"format":[{"w":300,"h":250}],"mimes":["image/png"],"btype":[3],"battr":[6],"api":[5]},
     "pmp":{"deals":[{"id":"d","wseat":["seat"],"wadomain":["good.example"]},{"id":"e","wseat":["x"]}]}},
    {"id":"v","video":{"mimes":["video/mp4"],"protocols":[2,3],"minduration":5,"maxduration":30,"linearity":1,
     "skip":0,"maxbitrate":1000,"battr":[6]}},
    {"id":"a","audio":{"mimes":["audio/mp4"],"protocols":[9],"maxduration":30,"minbitrate":64}},
    {"id":"n","native":{"request":{"assets":[{"id":1,"required":1,"title":{"len":3}}]},"battr":[6]}},
    {"id":"p","banner":{},"pmp":{"private_auction":1,"deals":[{"id":"d"}]}},
    {"id":"b","banner":{}}]}"#;

pub(super) fn good() -> CheckedBid<'static, &'static str> {
    CheckedBid {
        impid: "b",
        price: Micros(1_000_000),
        currency: CurrencyCode::parse("EUR").expect("a code"),
        floor: Micros(1_000_000),
        seat: "seat",
        dealid: "",
        adomain: &["shop.good.example"],
        bundle: "com.good",
        cat: &["IAB18-1"],
        cattax: 1,
        attr: 1 << 7,
        language: "en-GB",
        api: 1 << 5,
        markup: "<a href=\"https://a.example\">",
        media: Media::Banner { w: 300, h: 250, mime: "image/png", btype: 2 },
    }
}

/// The good bid for imp 0 with one thing wrong, and what must be said about it.
fn planted() -> Vec<(CheckedBid<'static, &'static str>, Defect)> {
    let banner = |w, h, mime, btype| Media::Banner { w, h, mime, btype };
    macro_rules! wrong {
        ($defect:ident, $($field:ident: $value:expr),*) => {
            (CheckedBid { $($field: $value,)* ..good() }, Defect::$defect)
        };
    }
    vec![
        wrong!(UnknownImp, impid: "other"),
        wrong!(UnknownImp, impid: ""),
        wrong!(BelowFloor, floor: Micros(1_000_001)),
        wrong!(BelowFloor, price: Micros::ZERO, floor: Micros::ZERO),
        wrong!(CurrencyNotAllowed, currency: CurrencyCode::USD),
        wrong!(SeatNotAllowed, seat: "rival"),
        wrong!(SeatNotAllowed, seat: ""),
        wrong!(UnknownDeal, dealid: "x"),
        wrong!(SeatNotInDeal, dealid: "e"),
        wrong!(AdvertiserNotInDeal, dealid: "d", adomain: &["other.example"]),
        wrong!(NoAdvertiserDomain, adomain: &[]),
        wrong!(AdvertiserBlocked, adomain: &["BAD.example"]),
        wrong!(AdvertiserBlocked, adomain: &["ok.example", "www.bad.example"]),
        wrong!(CategoryBlocked, cat: &["IAB25"]),
        wrong!(CategoryBlocked, cat: &["IAB1", "iab25-3"]),
        wrong!(AppBlocked, bundle: "com.bad"),
        wrong!(AttributeBlocked, attr: 1 << 6),
        wrong!(LanguageNotAllowed, language: "de"),
        wrong!(NotSecure, markup: "<img src=\"HTTP://a.example\">"),
        wrong!(NoMarkup, markup: ""),
        wrong!(SizeNotAllowed, media: banner(300, 251, "image/png", 2)),
        wrong!(MimeNotAllowed, media: banner(300, 250, "image/gif", 2)),
        wrong!(BannerTypeBlocked, media: banner(300, 250, "image/png", 3)),
        wrong!(ApiNotSupported, api: 1 << 3),
        wrong!(MediaNotAllowed, media: audio("audio/mp4", 9, 30, 64)),
    ]
}

const fn audio(mime: &'static str, protocol: u8, duration_s: u32, bitrate: u32) -> Media<'static> {
    Media::Audio { mime, protocol, duration_s, bitrate }
}

#[test]
fn each_planted_defect_is_caught() {
    let request = parsed(STRICT);
    assert_eq!(check(&request, 0, &good()), Ok(()));
    for (bid, defect) in planted() {
        assert_eq!(check(&request, 0, &bid), Err(defect), "{bid:?}");
    }
    // Names that only end alike are not below one another.
    let near = CheckedBid { adomain: &["notbad.example"], cat: &["IAB251"], ..good() };
    assert_eq!(check(&request, 0, &near), Ok(()));
    let on_deal = CheckedBid { dealid: "d", ..good() };
    assert_eq!(check(&request, 0, &on_deal), Ok(()));
    let open = CheckedBid { impid: "p", api: 0, ..good() };
    assert_eq!(check(&request, 4, &open), Err(Defect::DealRequired));
    assert_eq!(check(&request, 4, &CheckedBid { dealid: "d", ..open }), Ok(()));
    // The second imp of one id can never be addressed.
    assert_eq!(check(&request, 5, &good()), Err(Defect::UnknownImp));
    assert_eq!(check(&request, 99, &good()), Err(Defect::UnknownImp));
}

#[test]
fn each_planted_defect_of_other_media_is_caught() {
    let request = parsed(STRICT);
    let video = |mime, protocol, duration_s, linearity, is_skippable, bitrate| Media::Video {
        mime,
        protocol,
        duration_s,
        linearity,
        is_skippable,
        bitrate,
    };
    for (index, impid, media, expected) in [
        (1, "v", video("video/mp4", 3, 30, 1, false, 900), Ok(())),
        (1, "v", video("video/webm", 3, 30, 1, false, 900), Err(Defect::MimeNotAllowed)),
        (1, "v", video("video/mp4", 7, 30, 1, false, 900), Err(Defect::ProtocolNotAllowed)),
        (1, "v", video("video/mp4", 3, 31, 1, false, 900), Err(Defect::DurationNotAllowed)),
        (1, "v", video("video/mp4", 3, 4, 1, false, 900), Err(Defect::DurationNotAllowed)),
        (1, "v", video("video/mp4", 3, 30, 2, false, 900), Err(Defect::LinearityNotAllowed)),
        (1, "v", video("video/mp4", 3, 30, 1, true, 900), Err(Defect::SkippableNotAllowed)),
        (1, "v", video("video/mp4", 3, 30, 1, false, 1_001), Err(Defect::BitrateNotAllowed)),
        (2, "a", audio("audio/mp4", 9, 30, 64), Ok(())),
        (2, "a", audio("audio/ogg", 9, 30, 64), Err(Defect::MimeNotAllowed)),
        (2, "a", audio("audio/mp4", 2, 30, 64), Err(Defect::ProtocolNotAllowed)),
        (2, "a", audio("audio/mp4", 9, 31, 64), Err(Defect::DurationNotAllowed)),
        (2, "a", audio("audio/mp4", 9, 30, 63), Err(Defect::BitrateNotAllowed)),
        (3, "n", audio("audio/mp4", 9, 30, 64), Err(Defect::MediaNotAllowed)),
    ] {
        let bid = CheckedBid { impid, media, api: 0, ..good() };
        assert_eq!(check(&request, index, &bid), expected, "{media:?}");
    }
}

#[test]
fn a_native_bid_must_answer_what_is_required() {
    let request = parsed(STRICT);
    let native = request.imp[3].native.as_ref().expect("native");
    let asked = native.asks().expect("a native request");
    for (title, expected) in [("Ski", Ok(())), ("Boots", Err(Defect::NativeAssetMissing))] {
        let assets = NativeAssets { title, ..assets() };
        let bid = CheckedBid {
            impid: "n",
            api: 0,
            media: Media::Native { request: &asked, assets: &assets },
            ..good()
        };
        assert_eq!(check(&request, 3, &bid), expected, "{title}");
    }
}

#[test]
fn permitted_categories_and_the_dsa_are_obeyed() {
    for (rules, expected) in [
        (r#""acat":["IAB18"]"#, Ok(())),
        (r#""acat":["IAB1"]"#, Err(Defect::CategoryNotAllowed)),
        // Another taxonomy cannot be compared: a block is void, a permission is not ours.
        (r#""bcat":["IAB18"],"cattax":7"#, Ok(())),
        (r#""acat":["IAB18"],"cattax":7"#, Err(Defect::CategoryNotAllowed)),
        (r#""regs":{"ext":{"dsa":{"dsarequired":2}}}"#, Err(Defect::DsaRequired)),
        (r#""regs":{"dsa":{"dsarequired":1}}"#, Ok(())),
    ] {
        let body =
            format!(r#"{{"id":"r","imp":[{{"id":"b","banner":{{}}}}],"cur":["EUR"],{rules}}}"#);
        let bid = CheckedBid { api: 0, ..good() };
        assert_eq!(check(&parsed(&body), 0, &bid), expected, "{rules}");
    }
}

#[test]
fn a_block_is_read_in_every_spelling() {
    for (listed, is_hit) in [
        ("good.example", true),
        (" Good.EXAMPLE\t", true),
        ("www.good.example", true),
        ("good.example.", true),
        ("https://www.good.example:8080/a?b#c", true),
        ("http:// good.example /", true),
        ("good.example?a", true),
        ("shop.good.example#a.longer.tail.than.a.block", true),
        ("other.shop.good.example", false),
        ("example", false),
        ("good.example.example", false),
        ("bad.example/good.example", false),
        ("://", false),
    ] {
        let listed = serde_json::json!(["other.example", listed]);
        let body = format!(
            r#"{{"id":"r","cur":["EUR"],"badv":{listed},"imp":[{{"id":"b","banner":{{}}}}]}}"#
        );
        let expected = if is_hit { Err(Defect::AdvertiserBlocked) } else { Ok(()) };
        let bid = CheckedBid { api: 0, ..good() };
        assert_eq!(check(&parsed(&body), 0, &bid), expected, "{listed}");
    }
}

#[test]
fn an_address_without_tls_is_found_wherever_it_stands() {
    let request = parsed(STRICT);
    for offset in 0..70 {
        let before = format!("https://{}", ":x".repeat(offset / 2) + &"t".repeat(offset % 2));
        for (address, expected) in [
            ("Http://a", Err(Defect::NotSecure)),
            ("http:", Err(Defect::NotSecure)),
            ("https://http.example:80", Ok(())),
            ("htt:p:", Ok(())),
            ("http", Ok(())),
        ] {
            let markup = format!("{before}{address}");
            let bid = CheckedBid { markup: &markup, ..good() };
            assert_eq!(check(&request, 0, &bid), expected, "{markup}");
        }
    }
}

#[test]
fn defects_have_distinct_names() {
    let names: std::collections::HashSet<_> = Defect::ALL.iter().map(|d| d.as_str()).collect();
    assert_eq!(names.len(), Defect::ALL.len());
}
