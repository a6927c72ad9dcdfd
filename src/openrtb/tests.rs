//! What the room promises: lenience by table, borrowing, refusals, and one planted defect a rule.

mod check;
mod native;

use self::check::{STRICT, good};
use self::native::library;
use super::*;
use crate::units::{CurrencyCode, Micros};
use proptest::prelude::*;

fn parsed(body: &str) -> BidRequest<'_> {
    parse(body.as_bytes(), &Limits::default()).expect("an acceptable request")
}

fn refusal(body: &str) -> &'static str {
    let error = parse(body.as_bytes(), &Limits::default()).expect_err("a refusal");
    assert!(!error.to_string().is_empty());
    error.as_str()
}

#[test]
fn values_are_read_by_what_they_are() {
    let floor = |text: &str| {
        let body = format!(r#"{{"id":1,"imp":[{{"id":2,"bidfloor":{text}}}]}}"#);
        let request = parsed(&body);
        assert_eq!((&*request.id, &*request.imp[0].id), ("1", "2"));
        request.imp[0].bidfloor.0
    };
    for (text, micros) in [
        ("0.1", 100_000),
        ("3", 3_000_000),
        ("\"1.25\"", 1_250_000),
        ("0.0000001", 1),
        ("-1", 0),
        ("-0.5", 0),
        ("\"-2\"", 0),
        ("1e30", u64::MAX),
        ("18446744073709551615", u64::MAX),
        ("null", 0),
        ("\"free\"", u64::MAX),
        ("\"NaN\"", u64::MAX),
        ("[]", 0),
        ("{}", u64::MAX),
        ("true", 1_000_000),
    ] {
        assert_eq!(floor(text), micros, "{text}");
    }
    let widths = |text: &str| {
        let media = format!(r#""banner":{{"w":{text},"ext":[1]}},"video":{{"w":{text}}}"#);
        let body = format!(r#"{{"id":"r","imp":{{{media}}}}}"#);
        let mut request = parsed(&body);
        let imp = request.imp.remove(0);
        (imp.banner.expect("a banner").w, imp.video.expect("a video").w)
    };
    for (text, expected) in [
        ("300", Some(300)),
        ("300.9", Some(300)),
        ("\"300\"", Some(300)),
        ("\" 300.0 \"", Some(300)),
        ("[300]", Some(300)),
        ("99999999999999999999", Some(u32::MAX)),
        ("-1", None),
        ("null", None),
        ("\"wide\"", None),
        ("{\"a\":[{}]}", None),
    ] {
        // A player's size excludes nothing; a banner's that cannot be read excludes all.
        let is_unreadable = expected.is_none() && text != "null";
        let side = if is_unreadable { Some(Side::UNREADABLE) } else { expected.map(Side) };
        assert_eq!(widths(text), (side, expected), "{text}");
    }
}

#[test]
fn flags_lists_and_codes_take_every_form() {
    let request = parsed(
        r#"{"id":"r","cur":"EUR","bcat":[null,"IAB1",7,""],"wlang":null,"badv":{},
            "imp":[null,3,{"id":"1","secure":"1","ext":"text",
              "video":{"protocol":2,"battr":[1,"2",600,null],"api":5,"skip":0},"banner":[],
              "audio":null,"native":{"request":null}}],
            "site":{"page":"u","keywords":["a,b"," c "],"ext":null},"app":null,
            "user":{"kwarray":["x"],"keywords":null,"ext":[]},"device":{"lmt":"true","dnt":2},
            "regs":{"coppa":true,"gpc":"false"}}"#,
    );
    assert!(request.allows_currency(CurrencyCode::parse("EUR").expect("a code")));
    assert!(!request.allows_currency(CurrencyCode::USD));
    assert_eq!(request.bcat[..], ["IAB1", "7"]);
    assert!(request.device.lmt && request.device.dnt);
    assert!(request.regs.coppa && !request.regs.gpc);
    assert_eq!(request.imp.len(), 1);
    let imp = &request.imp[0];
    assert!(imp.secure);
    assert!(imp.banner.is_none() && imp.audio.is_none());
    let video = imp.video.as_ref().expect("a video");
    assert!(video.protocols.contains(2) && !video.protocols.permits(3));
    assert_eq!((video.battr.bits, video.battr.has_other), (0b110, true));
    assert_eq!((video.api.bits, video.skip), (1 << 5, Some(false)));
    assert!(imp.native.as_ref().is_some_and(|native| native.asks().is_none()));
    let site = request.inventory().expect("a site");
    assert_eq!(site.page, "u");
    assert_eq!(keywords(&site.keywords).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(keywords(&request.user.keywords).collect::<Vec<_>>(), ["x"]);
}

#[test]
fn both_spellings_fill_one_field_and_the_newer_wins() {
    for body in [
        r#""regs":{"gdpr":1,"ext":{"gdpr":0,"us_privacy":"1YYN"}},"user":{"consent":"new","ext":{"consent":"old"}}"#,
        r#""regs":{"ext":{"us_privacy":"1YYN","gdpr":0},"gdpr":1},"user":{"ext":{"consent":"old"},"consent":"new"}"#,
    ] {
        let body = format!(r#"{{"id":"r","imp":[{{}}],{body}}}"#);
        let request = parsed(&body);
        assert_eq!(request.regs.gdpr, Some(true));
        assert_eq!(request.regs.us_privacy, "1YYN");
        assert_eq!(request.user.consent, "new");
    }
    let old = parsed(
        r#"{"id":"r","imp":[{"ext":{"outbid":{"pctr":"0.25","pcvr":0.5}}}],"user":{"eids":[],"ext":{"eids":
            [{"source":"s","uids":[{"id":"u"}]}]}}}"#,
    );
    assert_eq!(old.user.eids[0].uids[0].id, "u");
    let simulated = old.imp[0].outbid.as_ref().expect("predictions");
    assert_eq!((simulated.pctr, simulated.pcvr), (Some(0.25), Some(0.5)));
}

#[test]
fn of_a_repeated_key_the_last_that_says_something_counts() {
    let request = parsed(
        r#"{"id":"old","id":"r","id":"","bcat":["IAB1","IAB2"],"bcat":["IAB3"],"bcat":[null],
            "device":{"os":"ios","lmt":1},"device":{"ifa":"x"},"device":"none","tmax":1,"tmax":2,
            "tmax":"soon","site":{"domain":"a.example"},"site":{"page":"p"},"site":null,
            "imp":[{"id":"1"},{"id":"2"}],"imp":[{"id":"3","banner":{"w":1},"banner":{"h":2}}]}"#,
    );
    assert_eq!((&*request.id, request.tmax), ("r", Some(2)));
    assert_eq!(request.bcat[..], ["IAB3"]);
    assert_eq!((&*request.device.ifa, &*request.device.os), ("x", ""));
    assert!(!request.device.lmt);
    let site = request.inventory().expect("a site");
    assert_eq!((&*site.page, &*site.domain), ("p", ""));
    assert_eq!(request.imp.iter().map(|imp| &*imp.id).collect::<Vec<_>>(), ["3"]);
    let banner = request.imp[0].banner.as_ref().expect("a banner");
    assert_eq!((banner.w, banner.h), (None, Some(Side(2))));
}

#[test]
fn text_without_escapes_is_borrowed() {
    let body = r#"{"id":"plain","imp":[{"id":"1","tagid":"a\"b"}],"bcat":["IAB1"],"user":{
        "eids":[{"source":"s","uids":[{"id":"u"}]}]},"site":{"page":"https://a.example/"}}"#;
    let request = parsed(body);
    let site = request.inventory().expect("a site");
    for text in [
        &request.id,
        &request.imp[0].id,
        &request.bcat[0],
        &request.user.eids[0].uids[0].id,
        &site.page,
    ] {
        assert!(text.is_borrowed(), "{text:?} was copied");
    }
    assert_eq!(request.imp[0].tagid, "a\"b");
    assert!(!request.imp[0].tagid.is_borrowed());
}

#[test]
fn refusals_have_reasons() {
    let long = "x".repeat(STRING_BYTES_MAX + 1);
    let many = "1,".repeat(LIST_ITEMS_MAX) + "1";
    let imps = r#"{"id":"1"},"#.repeat(IMPS_MAX) + "{}";
    for (body, expected) in [
        (r#"{"imp":[{}]}"#.to_owned(), "no_id"),
        (r#"{"id":"","imp":[{}]}"#.to_owned(), "no_id"),
        (r#"{"id":"r"}"#.to_owned(), "no_imp"),
        (r#"{"id":"r","imp":[null]}"#.to_owned(), "no_imp"),
        (r#"["id"]"#.to_owned(), "not_an_object"),
        (r#"{"id":"r","imp":[{}]}x"#.to_owned(), "not_json"),
        (r#"{"id":"r","imp":[{}]"#.to_owned(), "not_json"),
        (r#"{"id":"\ud800","imp":[{}]}"#.to_owned(), "not_json"),
        (format!(r#"{{"id":"r","imp":[{imps}]}}"#), "too_many_imps"),
        (format!(r#"{{"id":"{long}","imp":[{{}}]}}"#), "string_too_long"),
        (
            format!(r#"{{"id":"r","imp":[{{"pmp":{{"deals":[{{"wseat":[{many}]}}]}}}}]}}"#),
            "list_too_long",
        ),
    ] {
        assert_eq!(refusal(&body), expected, "{}", &body[..body.len().min(60)]);
    }
    let broken = parse(b"{\"id\":\"r\",\n\n  !}", &Limits::default());
    assert_eq!(broken, Err(ParseError::NotJson { at: 14 }));
    // What nobody reads has no limit of its own.
    let unread = format!(r#"{{"id":"r","imp":[{{}}],"unread":"{long}","ext":[{many}]}}"#);
    assert_eq!(parsed(&unread).id, "r");
}

#[test]
fn sizes_fit_formats_ranges_and_ratios() {
    for (banner, w, h, expected) in [
        (r#"{"w":300,"h":250}"#, 300, 250, true),
        (r#"{"w":300,"h":250}"#, 300, 251, false),
        (r#"{"w":728,"h":90,"format":[{"w":300,"h":250}]}"#, 728, 90, false),
        (r#"{"format":[{"w":1,"h":2},{"w":300,"h":250}]}"#, 300, 250, true),
        (r#"{"format":[{}],"w":300,"h":250}"#, 300, 250, true),
        (r#"{"format":[{"wratio":6,"hratio":5,"wmin":300}]}"#, 300, 250, true),
        (r#"{"format":[{"wratio":6,"hratio":5,"wmin":301}]}"#, 300, 250, false),
        (r#"{"w":300,"h":250,"wmin":200,"wmax":320,"hmin":200}"#, 320, 400, true),
        (r#"{"wmin":200,"wmax":300}"#, 320, 400, false),
        (r#"{"format":null}"#, 300, 250, true),
        (r#"{"w":0,"h":"","format":null}"#, 300, 250, true),
        (r#"{"h":250}"#, 300, 250, true),
        // What cannot be read is not any size.
        (r#"{"format":[{"w":50,"h":-1}]}"#, 300, 250, false),
        (r#"{"format":[{"w":50,"h":-1}]}"#, 50, 1, false),
        (r#"{"format":[{"w":30,"h":0}]}"#, 300, 250, false),
        (r#"{"format":[{"w":30,"h":0}],"w":300}"#, 300, 250, false),
        (r#"{"format":[{"w":30,"h":0}],"w":300,"hmin":200}"#, 300, 250, true),
        (r#"{"format":[{"wratio":30}]}"#, 300, 250, false),
        (r#"{"format":[{"wratio":30}],"w":300,"h":250}"#, 300, 250, true),
        (r#"{"format":[{}]}"#, 300, 250, false),
        (r#"{"format":[]}"#, 300, 250, false),
        (r#"{"format":["300x250"]}"#, 300, 250, false),
        (r#"{"format":"300x250"}"#, 300, 250, false),
        (r#"{"format":"300x250","w":300,"h":250}"#, 300, 250, true),
        (r#"{"w":50,"h":-1}"#, 50, 250, false),
        (r#"{"w":-1,"h":-1}"#, 300, 250, false),
        (r#"{"w":"wide","h":{}}"#, 300, 250, false),
        (r#"{"w":-1,"h":-1,"format":[{"w":300,"h":250}]}"#, 300, 250, true),
        (r#"{"w":300,"h":250,"wmax":-320}"#, 300, 250, false),
        ("{}", 1, 1, true),
    ] {
        let body = format!(r#"{{"id":"r","imp":[{{"banner":{banner}}}]}}"#);
        let request = parsed(&body);
        let banner = request.imp[0].banner.as_ref().expect("a banner");
        assert_eq!(banner.fits(w, h), expected, "{banner:?}");
        let told = banner.size_for(&[(w, h)], false);
        assert_eq!(told, expected.then_some((w, h)), "{banner:?}");
        // An ad that may be drawn in any size is drawn in one that fits, or not at all.
        let fluid = banner.size_for(&[(w, h)], true);
        assert!(fluid.is_none_or(|(w, h)| banner.fits(w, h)), "{banner:?}");
    }
}

#[test]
fn a_floor_that_cannot_be_read_is_not_a_floor_of_nothing() {
    const NOBODY_BIDS: Micros = Micros(u64::MAX);
    for (floor, expected) in [
        ("null", Micros::ZERO),
        ("\"\"", Micros::ZERO),
        ("[]", Micros::ZERO),
        ("-1", Micros::ZERO),
        ("\"-1\"", Micros::ZERO),
        ("\" 1.5 \"", Micros(1_500_000)),
        ("[\"2\"]", Micros(2_000_000)),
        ("\"abc\"", NOBODY_BIDS),
        ("\"1,50\"", NOBODY_BIDS),
        ("\"$2\"", NOBODY_BIDS),
        ("\"nan\"", NOBODY_BIDS),
        ("{\"cpm\":1}", NOBODY_BIDS),
        ("[\"abc\"]", NOBODY_BIDS),
        ("1e300", NOBODY_BIDS),
    ] {
        let body = format!(
            r#"{{"id":"r","imp":[{{"bidfloor":{floor},"pmp":{{"deals":[{{"bidfloor":{floor}}}]}},
                "video":{{"mincpmpersec":{floor},"durfloors":[{{"bidfloor":{floor}}}]}}}}]}}"#
        );
        let request = parsed(&body);
        let imp = &request.imp[0];
        let video = imp.video.as_ref().expect("a video");
        let floors = [imp.bidfloor, imp.pmp.deals[0].bidfloor, video.durfloors[0].bidfloor];
        assert_eq!(floors, [expected; 3], "{floor}");
        assert_eq!(video.mincpmpersec, expected, "{floor}");
    }
}

#[test]
fn floors_by_length_are_the_greatest_that_applies() {
    let request = parsed(
        r#"{"id":"r","imp":[{"video":{"mincpmpersec":0.1,"durfloors":[{"mindur":1,"maxdur":10,
            "bidfloor":2},{"mindur":11,"bidfloor":1}],"rqddurs":[15,30]}}]}"#,
    );
    let video = request.imp[0].video.as_ref().expect("a video");
    assert_eq!(video.duration_floor(10), Micros(2_000_000));
    assert_eq!(video.duration_floor(15), Micros(1_500_000));
    assert!(video.allows_duration(30) && !video.allows_duration(20));
}

#[test]
fn a_native_request_cannot_smuggle_depth() {
    let nested = "[".repeat(20_000);
    let body = format!(r#"{{"id":"r","imp":[{{"native":{{"request":"{nested}"}}}}]}}"#);
    let limits = Limits { string_bytes: 1 << 20, ..Limits::default() };
    // With many openers the guard scans, and brackets in a string do not count for it.
    let request = parse(body.as_bytes(), &limits).expect("text is text");
    assert_eq!(request.imp[0].native.as_ref().and_then(|native| native.asks()), None);
}

proptest! {
    /// No bytes make the parser panic, and what it accepts it accepts again.
    #[test]
    fn mutated_requests_never_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..12),
    ) {
        let mut body = STRICT.as_bytes().to_vec();
        for (index, byte, kind) in edits {
            if body.is_empty() {
                break;
            }
            let at = index.index(body.len());
            match kind {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => drop(body.remove(at)),
                _ => body.truncate(at),
            }
        }
        if let Ok(request) = parse(&body, &Limits::default()) {
            for imp in &request.imp {
                if let Some(native) = &imp.native {
                    let _ = native.asks();
                }
            }
            for index in 0..request.imp.len() {
                let _ = super::check(&request, index, &good());
            }
        }
    }

    /// Whatever JSON a field holds, the request around it is accepted.
    #[test]
    fn any_value_in_any_field_is_accepted(
        key in prop::sample::select(vec![
            "site", "app", "device", "user", "regs", "source", "test", "at", "tmax", "wseat",
            "cur", "bcat", "badv", "ext", "cattax",
        ]),
        value in prop::sample::select(vec![
            "null", "true", "0", "-1", "1.5", "1e300", "\"\"", "\"x\"", "\"\\u00e9\"", "[]", "{}",
            "[[[1]]]", "[{\"ext\":[]}]", "{\"ext\":{\"gdpr\":{}}}", "[null,1,\"a\",{},[]]",
            "{\"geo\":[],\"data\":{\"segment\":{\"id\":1}},\"eids\":\"x\",\"schain\":[1]}",
        ]),
    ) {
        let body = format!(r#"{{"id":"r","{key}":{value},"imp":[{{"id":"1","{key}":{value}}}]}}"#);
        prop_assert!(parse(body.as_bytes(), &Limits::default()).is_ok(), "{}", body);
    }
}

/// The view is read in its place on the worker's stack: its size is what a request clears.
const _: () = assert!(size_of::<BidRequest<'_>>() <= 2_048);
const _: () = assert!(size_of::<Imp<'_>>() <= 1_024);
