use super::super::template::MacroValues;
use super::*;

/// What a hostile text tries, in each place that takes text.
const HOSTILE: &str = "x\"'><script>alert(1)</script>]]><Impression>&\u{0}";

fn file(mime: &str, (w, h): (u32, u32), bitrate: u32, url: &str) -> MediaFile {
    let url = Template::url(url).expect("compiles");
    MediaFile { url, mime: mime.to_owned(), w, h, bitrate, delivery: DELIVERY_PROGRESSIVE }
}

fn linear(tag: Option<&str>, text: &str) -> Linear {
    let tag = tag.map(|tag| Template::url(tag).expect("compiles"));
    Linear {
        duration_s: 3_675,
        files: [file(text, (640, 360), 800, text)].into_iter().collect(),
        protocols: if tag.is_some() { VAST_WRAPPER } else { VAST_INLINE },
        tag,
        skip_after_s: Some(5),
    }
}

fn vast(version: VastVersion, linear: &Linear, text: &str) -> String {
    let theirs = [Template::url(text).expect("compiles")];
    let values = MacroValues { click: text, impression: text, site: text, ..Default::default() };
    let tracking = Tracking { values, impressions: &theirs, clicks: &theirs };
    let files: Files<'_> = linear.files.iter().collect();
    let (mut out, is_audio) = (String::new(), false);
    let ad = VastMarkup { version, id: text, linear, files: &files, is_audio, skip_least_s: 3 };
    write_vast(&ad, &tracking, &mut out);
    out
}

/// Outside CDATA, only the tags of an ad with plain texts remain.
fn tags(mut xml: &str) -> usize {
    let mut outside = String::new();
    while let Some((before, rest)) = xml.split_once("<![CDATA[") {
        outside.push_str(before);
        xml = rest.split_once("]]>").map_or("", |(_, after)| after);
    }
    (outside + xml).matches('<').count()
}

#[test]
fn nothing_breaks_out_of_vast() {
    for tag in [None, Some(HOSTILE)] {
        let hostile = vast(VastVersion::V42, &linear(tag, HOSTILE), HOSTILE);
        let plain = vast(VastVersion::V42, &linear(tag.map(|_| "plain"), "plain"), "plain");
        assert_eq!(tags(&hostile), tags(&plain), "{hostile}");
        assert!(hostile.contains("]]]]><![CDATA[><Impression>&]]>"));
    }
}

#[test]
fn vast_is_written_in_the_version_that_both_sides_know() {
    let all = linear(None, "x");
    let third = Linear { protocols: 1 << 2 | 1 << 3, ..all.clone() };
    let wrapper = linear(Some("https://t.example/"), "x");
    for (codes, ours, expected) in [
        (vec![], &all, Some("4.2")),
        (vec![2, 3, 5, 6], &all, Some("3.0")),
        (vec![2], &all, Some("2.0")),
        (vec![7, 8], &all, Some("4.0")),
        (vec![1, 5, 6, 9], &all, None),
        (vec![500], &all, None),
        (vec![], &third, Some("3.0")),
        (vec![7, 13], &third, None),
        (vec![], &wrapper, Some("4.2")),
        (vec![2, 3, 5, 6], &wrapper, Some("3.0")),
        (vec![2, 3, 7], &wrapper, None),
        (vec![13, 14], &wrapper, Some("4.2")),
    ] {
        let version = ours.version(codes.iter().copied().collect::<CodeSet>());
        assert_eq!(version.map(VastVersion::name), expected, "{codes:?}");
    }
    let xml = vast(VastVersion::V3, &all, "plain");
    assert!(xml.contains("skipoffset=\"00:00:05\"><Duration>01:01:15<"), "{xml}");
    assert!(!xml.contains("UniversalAdId"));
    assert!(!vast(VastVersion::V2, &all, "plain").contains("skipoffset"));
}

/// The names of all elements as they begin, `ends` where one ends that has others inside.
fn outline(xml: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for tag in xml.split('<').skip(1) {
        let name = tag.split(['>', ' ']).next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(closed) if names.last() == Some(&closed) => {}
            Some(_) => names.push("ends"),
            None if name.starts_with('!') => {}
            None => names.push(name),
        }
    }
    names.join(" ")
}

/// The orders of the schemas of IAB Tech Lab: vast_2.0.1.xsd and vast3_draft.xsd, vast4.xsd,
/// vast_4.1.xsd and vast_4.2.xsd.
#[test]
fn elements_stand_in_the_order_of_their_versions_schema() {
    const OLD: &str = "VAST Ad InLine AdSystem AdTitle Impression Impression Creatives Creative \
         Linear Duration VideoClicks ClickThrough ClickTracking ends MediaFiles MediaFile ends ends \
         ends ends ends ends ends";
    const OLD_WRAPPER: &str = "VAST Ad Wrapper AdSystem VASTAdTagURI Impression Impression \
         Creatives Creative Linear VideoClicks ClickTracking ClickTracking ends ends ends ends ends \
         ends ends";
    const NEW_WRAPPER: &str = "VAST Ad Wrapper AdSystem Impression Impression Creatives Creative \
         Linear VideoClicks ClickTracking ClickTracking ends ends ends ends VASTAdTagURI ends ends \
         ends";
    let new = |id: &str| {
        format!(
            "VAST Ad InLine AdSystem Impression Impression {id}AdTitle Creatives Creative \
             UniversalAdId Linear Duration MediaFiles MediaFile ends VideoClicks ClickTracking \
             ClickThrough ends ends ends ends ends ends ends"
        )
    };
    let (inline, wrapper) = (linear(None, "x"), linear(Some("https://t.example/"), "x"));
    for (version, expected) in [
        (VastVersion::V2, OLD.to_owned()),
        (VastVersion::V3, OLD.to_owned()),
        (VastVersion::V4, new("")),
        (VastVersion::V41, new("AdServingId ")),
        (VastVersion::V42, new("AdServingId ")),
    ] {
        assert_eq!(outline(&vast(version, &inline, "x")), expected, "{version:?}");
        let expected = if version < VastVersion::V4 { OLD_WRAPPER } else { NEW_WRAPPER };
        assert_eq!(outline(&vast(version, &wrapper, "x")), expected, "{version:?}");
    }
}

#[test]
fn what_counts_elsewhere_still_has_an_impression() {
    for (version, expected) in [
        (VastVersion::V3, "<Impression></Impression>"),
        (VastVersion::V4, "<Impression>about:blank</Impression>"),
    ] {
        for ad in [linear(None, "x"), linear(Some("https://t.example/"), "x")] {
            let mut out = String::new();
            let files: Files<'_> = ad.files.iter().collect();
            let markup = VastMarkup {
                version,
                id: "x",
                linear: &ad,
                files: &files,
                is_audio: false,
                skip_least_s: 0,
            };
            write_vast(&markup, &Tracking::default(), &mut out);
            assert_eq!(out.matches("<Impression>").count(), 1, "{out}");
            assert!(out.contains(expected), "{out}");
        }
    }
}

#[test]
fn the_player_may_delay_the_skip_but_not_past_the_end() {
    let mut ad = linear(None, "x");
    ad.duration_s = 15;
    for (least, expected) in [(0, "00:00:05"), (7, "00:00:07"), (u32::MAX, "00:00:15")] {
        let mut out = String::new();
        let markup = VastMarkup {
            version: VastVersion::V42,
            id: "x",
            linear: &ad,
            files: &[],
            is_audio: false,
            skip_least_s: least,
        };
        write_vast(&markup, &Tracking::default(), &mut out);
        assert!(out.contains(&format!("<Linear skipoffset=\"{expected}\">")), "{out}");
    }
}

#[test]
fn a_wrapper_adds_our_trackers_and_no_file() {
    let ad = linear(Some("https://t.example/?s=${OUTBID_SITE}"), "x");
    let xml = vast(VastVersion::V3, &ad, "https://o.example/a&b");
    for part in [
        "<VAST version=\"3.0\">",
        "<Wrapper><AdSystem>outbid</AdSystem>",
        "<VASTAdTagURI><![CDATA[https://t.example/?s=https%3A%2F%2Fo.example%2Fa%26b]]></VASTAdTagURI>",
        "<Impression><![CDATA[https://o.example/a&b]]></Impression><Impression>",
        "<VideoClicks><ClickTracking><![CDATA[https://o.example/a&b]]></ClickTracking><ClickTracking>",
    ] {
        assert!(xml.contains(part), "{part} in {xml}");
    }
    assert!(!xml.contains("MediaFile") && !xml.contains("ClickThrough"), "{xml}");
}

#[test]
fn the_player_gets_the_files_that_it_takes_and_the_best_first() {
    let mut ad = linear(None, "x");
    ad.files = [
        file("video/mp4", (1_920, 1_080), 4_000, "a"),
        file("video/webm", (1_280, 720), 1_500, "b"),
        file("video/mp4", (1_280, 720), 2_000, "c"),
        file("video/mp4", (640, 360), 0, "d"),
    ]
    .into_iter()
    .collect();
    ad.files[2].delivery = DELIVERY_STREAMING;
    for (video, expected) in [
        ("{}", "abcd"),
        (r#"{"mimes":["VIDEO/mp4"]}"#, "acd"),
        (r#"{"mimes":["video/ogg"]}"#, ""),
        (r#"{"w":1280,"h":720}"#, "bacd"),
        (r#"{"w":1280,"h":720,"mimes":["video/mp4"]}"#, "cad"),
        (r#"{"w":640,"h":480}"#, "dabc"),
        (r#"{"w":100}"#, "dabc"),
        (r#"{"w":0}"#, "abcd"),
        (r#"{"delivery":[2]}"#, "abd"),
        (r#"{"delivery":[1]}"#, "c"),
        (r#"{"maxbitrate":2000}"#, "bcd"),
        (r#"{"minbitrate":2000,"maxbitrate":3000}"#, "cd"),
    ] {
        let body = format!(r#"{{"id":"r","imp":[{{"id":"1","video":{video}}}]}}"#);
        let request = super::super::parse(body.as_bytes(), &super::super::Limits::default());
        let request = request.expect("parses");
        let player = request.imp[0].video.as_deref().map(PlayerRules::from).expect("a player");
        let urls = ad.files_for(&player);
        let urls: String = urls.iter().map(|file| file.url.as_str()).collect();
        assert_eq!(urls, expected, "{video}");
    }
}
