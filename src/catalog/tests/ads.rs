//! Creatives: a table of those that exchanges would refuse, and of good ones.

use super::{CAMPAIGN, Folder};
use crate::catalog::{Ad, AdKind};
use crate::openrtb::vast::{VAST_INLINE, VAST_WRAPPER};

const IMAGE: &str = "banner = { w = 300, h = 250, image_url = \"https://c.example/a.png\" }";
const HTML: &str = "w = 300, h = 250, html = '<a href=\"${OUTBID_CLICK}\">a</a>'";
const FILE: &str =
    "mime = \"video/mp4\", w = 640, h = 360, media_url = \"https://c.example/v.mp4\"";
const TAG: &str = "vast_tag_url = \"https://t.example/vast?n=${OUTBID_CACHEBUSTER}\"";
const NATIVE: &str =
    "title = \"Boots\", image = { url = \"https://c.example/w.jpg\", w = 600, h = 314 }";

/// The only ad of the campaign in place of its banner, or the faults.
fn made(ad: &str) -> Result<Ad, Vec<String>> {
    let banner = CAMPAIGN.lines().find(|line| line.starts_with("banner")).expect("a banner");
    let text = CAMPAIGN.replace(banner, ad);
    match Folder::new(&[&text]).load(None) {
        Ok(catalog) => Ok(catalog.ads.iter().flatten().next().expect("an ad").clone()),
        Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
    }
}

/// (lines of the ad, part of the error; empty: it loads)
fn table() -> Vec<(String, &'static str)> {
    let banner = |inside: &str| format!("banner = {{ {inside} }}");
    let video = |inside: &str| format!("video = {{ {inside} }}");
    let native = |inside: &str| format!("native = {{ {NATIVE}, {inside} }}");
    let html = |html: &str| banner(&format!("w = 300, h = 250, html = '{html}'"));
    let click = "<a href=\"${OUTBID_CLICK}\">";
    vec![
        (IMAGE.to_owned(), ""),
        (format!("{IMAGE}\nlanguage = \"pt-BR\"\nbundle = \"com.shoes\"\napi = [5, 7]"), ""),
        (format!("{IMAGE}\nlanguage = \"english\""), "language: `english` is no language tag"),
        (format!("{IMAGE}\nbundle = \"\""), "bundle: is no bundle"),
        (format!("{IMAGE}\napi = [32]"), "api: 32 lies not between 1 and 31"),
        (format!("{IMAGE}\nimpression_trackers = [\"https://t.example/?${{GDPR}}\"]"), ""),
        (format!("{IMAGE}\nimpression_trackers = [\"http://t.example\"]"), "no https URL"),
        (format!("{IMAGE}\nimpression_trackers = [\"https://t.example/?u=http://x\"]"), "without TLS"),
        (format!("{IMAGE}\nimpression_trackers = [\"https://t.example/${{AUCTION_PRISE}}\"]"), "no macro"),
        (format!("{IMAGE}\nclick_trackers = [\"https://t.example/\"]"), "a banner cannot call them"),
        (format!("{IMAGE}\nlanding_url = \"https://s.example/?c=${{OUTBID_CLICK_ID}}\""), ""),
        (format!("{IMAGE}\nlanding_url = \"https://s.example/?c=${{OUTBID_CAMPAIGN}}\""), "landing_url: has a macro other than"),
        (format!("{IMAGE}\nadomain = [\"a.example\", \"b..example\"]"), "`b..example` is no domain"),
        (format!("{IMAGE}\nadomain = [\".\"]"), "`.` is no domain"),
        (format!("{IMAGE}\nadomain = [\"{}.example\"]", "x".repeat(250)), "is no domain"),
        (format!("{IMAGE}\nadomain = [{}]", "\"a.example\",".repeat(17)), "adomain: more than 16"),
        (banner("w = 300, h = 70000, image_url = \"https://c.example/a\""), "is longer than 65535"),
        (banner("image_url = \"https://c.example/a\""), "banner: is 0"),
        (banner("w = 1, h = 1"), "either image_url or html"),
        (banner("w = 1, h = 1, image_url = \"https://c.example/a\", mime = \"image/bmp\""), "no type of images"),
        (banner("sizes = [[1, 1], [2, 2]], image_url = \"https://c.example/a\""), "an image has one size"),
        (banner(&format!("{HTML}, sizes = [[320, 50]], fluid = true, expand = [3], topframe = true")), ""),
        (banner(&format!("{HTML}, image_url = \"https://c.example/a\"")), "either image_url or html"),
        (html(&format!("{click}<img src=\"HTTP://c.example/a\"></a>")), "html: has an address without TLS"),
        (html("<b>buy</b>"), "html: has no `${OUTBID_CLICK}`"),
        (html("${OUTBID_CLICK}"), "html: is no markup"),
        (html(&format!("{click}${{OUTBID_CLICKS}}</a>")), "html: there is no macro `${OUTBID_CLICKS}`"),
        (video(&format!("duration_s = 15, {FILE}")), ""),
        (video(&format!("duration_s = 15000, {FILE}")), "duration_s: lies between 1 and 3600"),
        (video("duration_s = 15"), "media_url: is missing"),
        (video(&format!("duration_s = 15, skip_after_s = 15, {FILE}")), "skip_after_s: is not before the end"),
        (video(&format!("duration_s = 15, skip_after_s = 5, protocols = [2], {FILE}")), "names no VAST"),
        (video(&format!("duration_s = 15, protocols = [5, 9], {FILE}")), "names no VAST"),
        (video(&format!("duration_s = 15, bitrate = 2000000, {FILE}")), "bitrate: is above"),
        (video(&format!("duration_s = 15, {}", FILE.replace("mp4\"", "x\""))), "`video/x` is no type of video files"),
        (video(&format!("duration_s = 15, {}", FILE.replace("video/mp4", "application/javascript"))), "unless api has 2"),
        (video(&format!("duration_s = 15, {}", FILE.replace("w = 640", "w = 0"))), "video: is 0"),
        (video(&format!("duration_s = 15, w = 6, h = 3, mime = \"video/mp4\", {TAG}")), ""),
        (video(&format!("duration_s = 15, {FILE}, {TAG}")), "stands in place of media_url"),
        (video(&format!("duration_s = 15, {TAG}")), "media_url: is missing"),
        (video(&format!("duration_s = 15, mimes = [\"video/webm\"], {FILE}")), "mimes: says what is behind"),
        (video(&format!("duration_s = 15, {FILE}, files = [{{ {FILE} }}]")), ""),
        (video(&format!("duration_s = 15, mime = \"video/mp4\", files = [{{ {FILE} }}]")), "files: each have mime"),
        (video(&format!("duration_s = 15, bitrate = 800, files = [{{ {FILE} }}]")), "files: each have mime"),
        ("audio = { duration_s = 5, mime = \"video/mp4\", media_url = \"https://c.example/a\" }".to_owned(), "no type of audio"),
        ("audio = { duration_s = 5, mime = \"audio/mpeg\", media_url = \"https://c.example/a\" }".to_owned(), ""),
        (native("rating = \"4.5\", likes = \"12\", cta = [\"Buy\", \"Buy now\"]"), ""),
        (native("rating = \"5.1\""), "rating: `5.1` is not 0 to 5"),
        (native("downloads = \"many\""), "downloads: `many` is not a whole number"),
        (native("icon = { url = \"https://c.example/i\", w = 0, h = 1 }"), "icon: is 0"),
        (native("icon = { url = \"http://c.example/i\", w = 1, h = 1 }"), "url: `http://c.example/i` is no https"),
        (native("privacy_url = \"http://c.example/\""), "privacy_url: `http://c.example/` is no https"),
        (native("js_trackers = [\"https://t.example/a.js\"]"), ""),
        (native(&format!("video = {{ duration_s = 15, {FILE} }}")), ""),
        ("native = { cta = \"x\" }".to_owned(), "title: is missing"),
        (format!("native = {{ title = \"{}\" }}", "x".repeat(141)), "longer than 140"),
        (format!("{IMAGE}\nvideo = {{ duration_s = 15, {FILE} }}"), "exactly one of"),
    ]
}

#[test]
fn what_exchanges_refuse_is_refused_with_its_reason() {
    for (ad, expected) in table() {
        match made(&ad) {
            Ok(_) => assert_eq!(expected, "", "{ad}"),
            Err(errors) => {
                assert!(!expected.is_empty(), "{ad}: {errors:?}");
                assert!(errors.iter().any(|line| line.contains(expected)), "{ad}: {errors:?}");
                let is_placed = |line: &String| line.starts_with("campaigns/0.toml:1");
                assert!(errors.iter().all(is_placed), "{errors:?}");
            }
        }
    }
    let text = CAMPAIGN.replace("iab_cats = [\"IAB18\"]\n", "");
    let errors = Folder::new(&[&text]).load(None).expect_err("no category");
    assert!(errors[0].reason.contains("exchanges refuse ads without a category"), "{errors:?}");
    let many = format!("iab_cats = [{}]\n", "\"IAB18\",".repeat(17));
    let text = CAMPAIGN.replace("iab_cats = [\"IAB18\"]\n", &many);
    let errors = Folder::new(&[&text]).load(None).expect_err("too many categories");
    assert!(errors[0].reason.contains("more than 16"), "{errors:?}");
}

#[test]
fn creatives_become_what_they_say() {
    let html = made(&format!("banner = {{ {HTML}, sizes = [[320, 50]], expand = [3] }}"));
    let AdKind::Banner(banner) = html.expect("good").kind else { panic!("a banner") };
    assert_eq!(&banner.sizes[..], [(300, 250), (320, 50)]);
    assert_eq!((banner.mime, banner.btypes, banner.expdir), ("text/html", 1 << 2, 1 << 3));
    let script = "w = 1, h = 1, html = '<SCRIPT>go(\"${OUTBID_CLICK}\")</SCRIPT><iframe>'";
    let script = made(&format!("banner = {{ {script} }}")).expect("good").kind;
    assert!(matches!(script, AdKind::Banner(banner) if banner.btypes == 1 << 3 | 1 << 4));
    let skippable = made(&format!("video = {{ duration_s = 15, skip_after_s = 5, {FILE} }}"));
    let skippable = skippable.expect("good");
    assert_eq!(skippable.attr, 1 << 16);
    let AdKind::Video(video) = skippable.kind else { panic!("a video") };
    assert_eq!(video.protocols, VAST_INLINE & !(1 << 2));
    let wrapper =
        format!("video = {{ duration_s = 15, w = 6, h = 3, mimes = [\"video/mp4\"], {TAG} }}");
    let AdKind::Video(video) = made(&wrapper).expect("good").kind else { panic!("a video") };
    assert_eq!((video.protocols, video.tag.is_some()), (VAST_WRAPPER, true));
}
