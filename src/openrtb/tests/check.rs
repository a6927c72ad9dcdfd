//! One planted defect a rule: each is caught, and by its own name.

use super::{library, parsed};
use crate::openrtb::vast::{DELIVERY_PROGRESSIVE, DELIVERY_STREAMING, MediaFile};
use crate::openrtb::*;
use crate::units::{CurrencyCode, Micros};

/// One imp of each kind, with every rule that a bid could break.
pub(super) const STRICT: &str = r#"{"id":"r","cur":["EUR"],"wseat":["seat"],"bseat":["rival"],"badv":["bad.example"],
    "bcat":["IAB25"],"bapp":["com.bad"],"wlang":["en"],"imp":[
    {"id":"b","secure":1,"banner":{"format":[{"w":300,"h":250}],"mimes":["image/png"],"btype":[3],"battr":[6],"api":[5],"expdir":[3,4],"topframe":1},
     "pmp":{"deals":[{"id":"d","wseat":["seat"],"wadomain":["good.example"]},{"id":"e","wseat":["x"]}]}},
    {"id":"v","video":{"mimes":["video/mp4"],"protocols":[2,3],"minduration":5,"maxduration":30,"linearity":1,
     "skip":0,"maxbitrate":1000,"delivery":[2],"battr":[6]}},
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
        media: EXPANDING,
    }
}

const fn image(expdir: u64, needs_topframe: bool) -> Media<'static> {
    Media::Banner { w: 300, h: 250, mime: "image/png", btypes: 1 << 2, expdir, needs_topframe }
}

/// An image that expands upwards over the top frame, and one that stays where it is.
const EXPANDING: Media<'_> = image(1 << 3, true);
const PLAIN: Media<'_> = image(0, false);

/// The good bid for imp 0 with one thing wrong, and what must be said about it.
fn planted() -> Vec<(CheckedBid<'static, &'static str>, Defect)> {
    let banner = |w, h, mime, btypes, expdir| Media::Banner {
        w,
        h,
        mime,
        btypes,
        expdir,
        needs_topframe: false,
    };
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
        wrong!(SizeNotAllowed, media: banner(300, 251, "image/png", 4, 0)),
        wrong!(MimeNotAllowed, media: banner(300, 250, "image/gif", 4, 0)),
        wrong!(BannerTypeBlocked, media: banner(300, 250, "image/png", 12, 0)),
        wrong!(ExpansionNotAllowed, media: banner(300, 250, "image/png", 4, 1 << 5)),
        wrong!(ApiNotSupported, api: 1 << 3),
        wrong!(MediaNotAllowed, media: Media::Audio { files: &[], protocol: 9, duration_s: 30 }),
    ]
}

fn file(mime: &str, bitrate: u32) -> MediaFile {
    let url = Template::url("https://a.example/").expect("compiles");
    let (w, h) = (640, 360);
    MediaFile { url, mime: mime.to_owned(), w, h, bitrate, delivery: DELIVERY_PROGRESSIVE }
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
    let open = CheckedBid { impid: "p", api: 0, media: PLAIN, ..good() };
    let top = CheckedBid { media: image(0, true), dealid: "d", ..open };
    assert_eq!(check(&request, 4, &top), Err(Defect::ExpansionNotAllowed));
    assert_eq!(check(&request, 4, &open), Err(Defect::DealRequired));
    assert_eq!(check(&request, 4, &CheckedBid { dealid: "d", ..open }), Ok(()));
    // The second imp of one id can never be addressed.
    assert_eq!(check(&request, 5, &good()), Err(Defect::UnknownImp));
    assert_eq!(check(&request, 99, &good()), Err(Defect::UnknownImp));
}

#[test]
fn each_planted_defect_of_other_media_is_caught() {
    let request = parsed(STRICT);
    let (mp4, webm, heavy) =
        (file("video/mp4", 900), file("video/webm", 900), file("video/mp4", 1_001));
    let (heard, ogg, light) = (file("audio/mp4", 64), file("audio/ogg", 64), file("audio/mp4", 63));
    let streamed = MediaFile { delivery: DELIVERY_STREAMING, ..file("video/mp4", 0) };
    let video = |files, protocol, duration_s, linearity, is_skippable| Media::Video {
        files,
        protocol,
        duration_s,
        linearity,
        is_skippable,
    };
    let audio = |files, protocol, duration_s| Media::Audio { files, protocol, duration_s };
    for (index, impid, media, expected) in [
        (1, "v", video(&[&mp4], 3, 30, 1, false), Ok(())),
        (1, "v", video(&[], 3, 30, 1, false), Err(Defect::MimeNotAllowed)),
        (1, "v", video(&[&mp4, &webm], 3, 30, 1, false), Err(Defect::MimeNotAllowed)),
        (1, "v", video(&[&mp4, &streamed], 3, 30, 1, false), Err(Defect::DeliveryNotAllowed)),
        (1, "v", video(&[&mp4], 7, 30, 1, false), Err(Defect::ProtocolNotAllowed)),
        (1, "v", video(&[&mp4], 3, 31, 1, false), Err(Defect::DurationNotAllowed)),
        (1, "v", video(&[&mp4], 3, 4, 1, false), Err(Defect::DurationNotAllowed)),
        (1, "v", video(&[&mp4], 3, 30, 2, false), Err(Defect::LinearityNotAllowed)),
        (1, "v", video(&[&mp4], 3, 30, 1, true), Err(Defect::SkippableNotAllowed)),
        (1, "v", video(&[&mp4, &heavy], 3, 30, 1, false), Err(Defect::BitrateNotAllowed)),
        (2, "a", audio(&[&heard], 9, 30), Ok(())),
        (2, "a", audio(&[&ogg], 9, 30), Err(Defect::MimeNotAllowed)),
        (2, "a", audio(&[&heard], 2, 30), Err(Defect::ProtocolNotAllowed)),
        (2, "a", audio(&[&heard], 9, 31), Err(Defect::DurationNotAllowed)),
        (2, "a", audio(&[&light], 9, 30), Err(Defect::BitrateNotAllowed)),
        (3, "n", audio(&[&heard], 9, 30), Err(Defect::MediaNotAllowed)),
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
        let library = library(title);
        let bid = CheckedBid {
            impid: "n",
            api: 0,
            media: Media::Native { request: &asked, library: &library },
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
        let bid = CheckedBid { api: 0, media: PLAIN, ..good() };
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
        let bid = CheckedBid { api: 0, media: PLAIN, ..good() };
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
