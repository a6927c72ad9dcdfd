//! The rules for ads: what exchanges refuse is refused when it is written and not when it is bid.

use super::about::{About, Written, item_key};
use super::campaign::Advertiser;
use super::check::{Faults, domains};
use super::creative::{Ad, AdKind, Banner, IMAGE_TYPES, adomain_keys, iab_cat_keys, image_mime};
use super::filters::Fault;
use super::raw_ad::{Many, RawAd, RawBanner, RawDelivery, RawFile, RawImage, RawLinear, RawNative};
use crate::openrtb::markup::{BannerMarkup, ImageMarkup};
use crate::openrtb::response::{AdFields, AdJson};
use crate::openrtb::vast::{
    DELIVERY_PROGRESSIVE, DELIVERY_STREAMING, Linear, MediaFile, VAST_INLINE, VAST_WITHOUT_SKIP,
    VAST_WRAPPER, VPAID_MIME,
};
use crate::openrtb::{Image, ImageKind, Library, Template, Text};
use crate::units::{CreativeId, Slot};
use smallvec::SmallVec;

/// Native titles that every exchange takes (OpenRTB Native 1.2, §4.2 recommends up to 140).
const TITLE_CHARS_MAX: usize = 140;
/// Longest side of what is shown, in pixels: what 16 bits hold, and more than any screen.
const SIDE_MAX: u32 = 65_535;
/// An hour: longer than any linear ad, so that milliseconds in place of seconds are caught.
const SECONDS_MAX: u32 = 3_600;
/// 100 Mbit/s: above any file that plays as it loads, so that bit/s in place of kbit/s are caught.
const BITRATE_MAX: u32 = 100_000;
/// Bundles and store ids are shorter in every store.
const BUNDLE_BYTES_MAX: usize = 256;
/// Attribute 16: the user can skip the ad. OpenRTB 2.6 §3.2.7 asks skippable ads to say so.
const ATTR_SKIPPABLE: u64 = 1 << 16;

/// Where the click's id goes in a landing URL.
pub const CLICK_ID_MACRO: &str = "${OUTBID_CLICK_ID}";

const VIDEO_TYPES: [&str; 11] = [
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/x-flv",
    "video/quicktime",
    "video/3gpp",
    "video/mpeg",
    "video/x-ms-wmv",
    "application/x-mpegurl",
    "application/vnd.apple.mpegurl",
    "application/dash+xml",
];
const AUDIO_TYPES: [&str; 9] = [
    "audio/mpeg",
    "audio/mp3",
    "audio/mp4",
    "audio/x-m4a",
    "audio/aac",
    "audio/ogg",
    "audio/webm",
    "audio/wav",
    "audio/x-wav",
];

/// What an ad takes from above: the campaign's name and advertiser and, where it says nothing itself,
/// landing URL and categories.
type Defaults<'a> = (&'a str, &'a Advertiser, Option<&'a str>, &'a [String]);

/// Makes an ad. Its slot is assigned when the whole catalog is known.
pub(super) fn ad(
    raw: RawAd,
    (campaign, advertiser, landing_url, iab_cats): Defaults<'_>,
) -> Result<Ad, Vec<Fault>> {
    let mut faults = Faults::default();
    faults.name(&raw.name);
    let adomain =
        if raw.adomain.is_empty() { advertiser.domains.clone() } else { raw.adomain.clone() };
    faults.unless(!adomain.is_empty(), "adomain", || {
        "is missing, and the advertiser has no domains".to_owned()
    });
    domains(&mut faults, "adomain", &adomain);
    let landing_url = raw.landing_url.as_deref().or(landing_url).unwrap_or_default().to_owned();
    faults.url("landing_url", &landing_url);
    faults.unless(!landing_url.replace(CLICK_ID_MACRO, "").contains("${"), "landing_url", || {
        format!("has a macro other than `{CLICK_ID_MACRO}`: a click fills in no others")
    });
    let iab_cats = if raw.iab_cats.is_empty() { iab_cats.to_vec() } else { raw.iab_cats.clone() };
    faults.categories(&iab_cats);
    faults.unless(!iab_cats.is_empty(), "iab_cats", || {
        "is missing here and in the campaign; exchanges refuse ads without a category".to_owned()
    });
    let language = raw.language.clone().unwrap_or_default();
    faults.unless(raw.language.is_none() || is_language(&language), "language", || {
        format!("`{language}` is no language tag such as \"en\" or \"pt-BR\"")
    });
    let bundle = raw.bundle.clone().unwrap_or_default();
    let is_bundle =
        bundle.len() <= BUNDLE_BYTES_MAX && bundle.bytes().all(|b| b.is_ascii_graphic());
    faults.unless(is_bundle && raw.bundle.as_deref() != Some(""), "bundle", || {
        "is no bundle or store id".to_owned()
    });
    let attr = bits(&mut faults, "attr", &raw.attr, 63);
    let api = bits(&mut faults, "api", &raw.api, 31);
    let impression_trackers =
        trackers(&mut faults, "impression_trackers", &raw.impression_trackers);
    let click_trackers = trackers(&mut faults, "click_trackers", &raw.click_trackers);
    let (items, about) = about(&mut faults, &raw, advertiser);
    let name = raw.name.clone();
    let Some(kind) = kind(&mut faults, raw, api, &impression_trackers) else {
        faults.unless(false, "name", || {
            "an ad has exactly one of banner, video, native, audio".to_owned()
        });
        return Err(faults.0);
    };
    let is_banner = matches!(kind, AdKind::Banner(_));
    faults.unless(!is_banner || click_trackers.is_empty(), "click_trackers", || {
        "a banner cannot call them: let landing_url lead through the tracker".to_owned()
    });
    let is_skippable =
        matches!(&kind, AdKind::Video(ad) | AdKind::Audio(ad) if ad.skip_after_s.is_some());
    let attr = if is_skippable { attr | ATTR_SKIPPABLE } else { attr };
    let json = AdJson::new(&AdFields {
        adid: &name,
        adomain: &adomain,
        bundle: &bundle,
        cid: campaign,
        crid: &name,
        cat: &iab_cats,
        cattax: None,
        attr,
        apis: api,
        language: &language,
    });
    faults.finish(Ad {
        slot: Slot::default(),
        id: CreativeId::of(&name),
        name,
        campaign: 0,
        kind,
        attr,
        api,
        language,
        bundle,
        adomain_keys: adomain_keys(&adomain),
        iab_cat_keys: iab_cat_keys(&iab_cats),
        adomain: adomain.into(),
        iab_cats: iab_cats.into(),
        json,
        landing_url,
        impression_trackers,
        click_trackers,
        items,
        about,
    })
}

/// The items that an ad shows, and what it is about.
fn about(faults: &mut Faults, raw: &RawAd, advertiser: &Advertiser) -> (Box<[u32]>, About) {
    faults.few("items", raw.items.len());
    raw.items.iter().for_each(|id| faults.text("items", id));
    let text = raw.words();
    if raw.text.is_some() {
        faults.text("text", &text);
    }
    let written = Written {
        category: None,
        brand: raw.brand.as_deref(),
        price_micros: raw.price.map(|price| price.0),
        currency: advertiser.currency,
        text: &text,
        vector: &raw.vector,
    };
    let items = raw.items.iter().map(|id| item_key(advertiser.id, id)).collect();
    (items, About::new(faults, &written))
}

/// A tag as far as exchanges compare it: two or three letters, then parts of letters and digits.
fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let first = parts.next().unwrap_or_default();
    (2..=3).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_alphabetic())
        && tag.len() <= 35
        && parts.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The bits of small numbers, each from 1 to `last`.
fn bits(faults: &mut Faults, key: &str, numbers: &[u8], last: u8) -> u64 {
    let mut bits = 0;
    for number in numbers {
        let fits = (1..=last).contains(number);
        faults.unless(fits, key, || format!("{number} lies not between 1 and {last}"));
        bits |= 1u64.checked_shl(u32::from(*number)).unwrap_or(0);
    }
    bits
}

fn trackers(faults: &mut Faults, key: &str, urls: &[String]) -> Box<[Template]> {
    faults.few(key, urls.len());
    urls.iter().map(|url| faults.template(key, url)).collect()
}

fn size(faults: &mut Faults, key: &str, w: u32, h: u32) {
    let is_shown = w > 0 && h > 0;
    faults.unless(is_shown, key, || "is 0".to_owned());
    let fits = w.max(h) <= SIDE_MAX;
    faults.unless(fits, key, || format!("is longer than {SIDE_MAX} pixels"));
}

fn kind(faults: &mut Faults, raw: RawAd, api: u64, trackers: &[Template]) -> Option<AdKind> {
    let name = raw.name;
    match (raw.banner, raw.video, raw.native, raw.audio) {
        (Some(raw), None, None, None) => Some(AdKind::Banner(banner(faults, raw, &name, trackers))),
        (None, Some(raw), None, None) => {
            Some(AdKind::Video(linear(faults, "video", raw, &Player::video(api))))
        }
        (None, None, Some(raw), None) => Some(AdKind::Native(Box::new(native(faults, raw)))),
        (None, None, None, Some(raw)) => {
            Some(AdKind::Audio(linear(faults, "audio", raw, &Player::AUDIO)))
        }
        _ => None,
    }
}

fn banner(faults: &mut Faults, raw: RawBanner, name: &str, trackers: &[Template]) -> Banner {
    let mut sizes: SmallVec<[(u32, u32); 1]> = SmallVec::new();
    if raw.sizes.is_empty() || raw.w > 0 || raw.h > 0 {
        sizes.push((raw.w, raw.h));
    }
    sizes.extend(raw.sizes);
    faults.few("banner.sizes", sizes.len());
    sizes.iter().for_each(|(w, h)| size(faults, "banner", *w, *h));
    let expdir = bits(faults, "banner.expand", &raw.expand, 6);
    let mut banner = Banner {
        sizes,
        is_fluid: raw.fluid,
        markup: BannerMarkup::default(),
        mime: "text/html",
        btypes: XHTML_BANNER,
        expdir: u8::try_from(expdir).unwrap_or(0),
        needs_topframe: raw.topframe,
    };
    match (raw.image_url, raw.html) {
        (Some(url), None) => {
            banner.mime = image_type(faults, "banner.mime", raw.mime.as_deref(), &url);
            let image = &faults.template("banner.image_url", &url);
            let (w, h) = banner.sizes.first().copied().unwrap_or_default();
            let image = BannerMarkup::image(&ImageMarkup { image, w, h, alt: name }, trackers);
            banner.markup = faults.compiled("banner.image_url", image);
            let is_plain = banner.sizes.len() == 1 && !banner.is_fluid && banner.expdir == 0;
            faults.unless(is_plain, "banner", || {
                "an image has one size and stays in it; let html draw it in others".to_owned()
            });
        }
        (None, Some(html)) => {
            faults.unless(raw.mime.is_none(), "banner.mime", || "html has its own".to_owned());
            banner.btypes = btypes(&html);
            let snippet = BannerMarkup::snippet(&snippet(faults, &html), trackers);
            banner.markup = faults.compiled("banner.html", snippet);
        }
        _ => faults.unless(false, "banner", || "a banner has either image_url or html".to_owned()),
    }
    banner
}

/// List 5.2: an image or markup behind a link.
const XHTML_BANNER: u8 = 1 << 2;

/// Kinds of banner by what the markup contains, for those who block scripts (3) or iframes (4).
fn btypes(html: &str) -> u8 {
    let html = html.to_ascii_lowercase();
    let script = if html.contains("<script") { 1 << 3 } else { 0 };
    let frame = if html.contains("<iframe") { 1 << 4 } else { 0 };
    if script | frame == 0 { XHTML_BANNER } else { script | frame }
}

fn snippet(faults: &mut Faults, html: &str) -> Template {
    let key = "banner.html";
    let lower = html.to_ascii_lowercase();
    faults.unless(!lower.contains("http:"), key, || "has an address without TLS".to_owned());
    faults.unless(lower.contains('<'), key, || "is no markup".to_owned());
    let is_text = |letter: char| !letter.is_control() || matches!(letter, '\t' | '\n' | '\r');
    faults.unless(html.chars().all(is_text), key, || "has control characters".to_owned());
    let template = faults.compiled(key, Template::html(html));
    faults.unless(template.has_click(), key, || {
        "has no `${OUTBID_CLICK}` or `${OUTBID_CLICK_ENC}`: clicks would not count".to_owned()
    });
    template
}

/// The type that is named, else the one that the URL's ending tells.
fn image_type(faults: &mut Faults, key: &str, named: Option<&str>, url: &str) -> &'static str {
    let Some(named) = named else { return image_mime(url) };
    let known = IMAGE_TYPES.iter().find(|(mime, _)| *mime == named);
    faults.unless(known.is_some(), key, || format!("`{named}` is no type of images"));
    known.map_or("image/jpeg", |(mime, _)| mime)
}

/// What may be in the files of a linear ad.
struct Player {
    types: &'static [&'static str],
    has_size: bool,
    takes_vpaid: bool,
}

impl Player {
    const AUDIO: Self = Self { types: &AUDIO_TYPES, has_size: false, takes_vpaid: false };

    /// Scripts play only where the ad says that it needs VPAID 2 (list 5.6, code 2).
    const fn video(api: u64) -> Self {
        Self { types: &VIDEO_TYPES, has_size: true, takes_vpaid: api & 1 << 2 != 0 }
    }
}

fn linear(faults: &mut Faults, place: &str, mut raw: RawLinear, player: &Player) -> Linear {
    let at = |key: &str| format!("{place}.{key}");
    let is_length = (1..=SECONDS_MAX).contains(&raw.duration_s);
    faults.unless(is_length, &at("duration_s"), || {
        format!("lies between 1 and {SECONDS_MAX} seconds")
    });
    let is_later = raw.skip_after_s.is_none_or(|seconds| seconds < raw.duration_s);
    faults.unless(is_later, &at("skip_after_s"), || "is not before the end".to_owned());
    let tag = raw.vast_tag_url.take().map(|url| faults.template(&at("vast_tag_url"), &url));
    let skip_after_s = raw.skip_after_s;
    let mut written = if tag.is_some() { VAST_WRAPPER } else { VAST_INLINE };
    if skip_after_s.is_some() {
        written &= !VAST_WITHOUT_SKIP;
    }
    if !raw.protocols.is_empty() {
        let named = bits(faults, &at("protocols"), &raw.protocols, 31);
        written &= u32::try_from(named).unwrap_or(0);
    }
    faults.unless(written != 0, &at("protocols"), || {
        "names no VAST that can be written: inline 2, 3, 7, 11, 13, around a vast_tag_url 5, 6, 8, \
         12, 14; skippable not 2 and 5"
            .to_owned()
    });
    faults.unless(raw.mimes.is_empty() || tag.is_some(), &at("mimes"), || {
        "says what is behind a vast_tag_url; a file has one mime".to_owned()
    });
    let describes_none = raw.media_url.is_none() && tag.is_none() && raw.describes_a_file();
    faults.unless(raw.files.is_empty() || !describes_none, &at("files"), || {
        "each have mime, w, h, bitrate and delivery of their own".to_owned()
    });
    let duration_s = raw.duration_s;
    let raw_files = if tag.is_some() { behind_tag(faults, place, raw) } else { files_of(raw) };
    faults.unless(!raw_files.is_empty(), &at("media_url"), || {
        "is missing: name a media_url, files, or a vast_tag_url".to_owned()
    });
    faults.few(&at("files"), raw_files.len());
    let made = raw_files.into_iter().map(|raw| file(faults, place, raw, player, tag.is_some()));
    let mut files: SmallVec<[MediaFile; 1]> = made.collect();
    let pixels = |file: &MediaFile| u64::from(file.w) * u64::from(file.h);
    files.sort_by_key(|file| std::cmp::Reverse((pixels(file), file.bitrate)));
    Linear { duration_s, files, tag, protocols: written, skip_after_s }
}

/// All files, the one beside the list first.
fn files_of(raw: RawLinear) -> Vec<RawFile> {
    let RawLinear { w, h, bitrate, delivery, .. } = raw;
    let alone = raw.media_url.map(|media_url| RawFile {
        mime: raw.mime.unwrap_or_default(),
        w,
        h,
        bitrate,
        delivery,
        media_url,
    });
    alone.into_iter().chain(raw.files).collect()
}

/// What the third party's files are said to be: a type each, and one size.
fn behind_tag(faults: &mut Faults, place: &str, raw: RawLinear) -> Vec<RawFile> {
    let is_alone = raw.files.is_empty() && raw.media_url.is_none();
    faults.unless(is_alone, &format!("{place}.vast_tag_url"), || {
        "stands in place of media_url and files".to_owned()
    });
    let RawLinear { w, h, bitrate, delivery, .. } = raw;
    let file = |mime| RawFile { mime, w, h, bitrate, delivery, media_url: String::new() };
    raw.mime.into_iter().chain(raw.mimes).map(file).collect()
}

fn file(
    faults: &mut Faults,
    place: &str,
    raw: RawFile,
    player: &Player,
    is_behind_tag: bool,
) -> MediaFile {
    let at = |key: &str| format!("{place}.{key}");
    let mime = raw.mime.trim().to_ascii_lowercase();
    let is_vpaid = mime == VPAID_MIME;
    let is_known = player.types.contains(&mime.as_str()) || (is_vpaid && player.takes_vpaid);
    faults.unless(is_known, &at("mime"), || {
        let hint = if is_vpaid { " unless api has 2, VPAID" } else { "" };
        format!("`{}` is no type of {place} files{hint}", raw.mime)
    });
    if player.has_size {
        size(faults, place, raw.w, raw.h);
    }
    faults.unless(raw.bitrate <= BITRATE_MAX, &at("bitrate"), || {
        format!("is above {BITRATE_MAX} kbit/s")
    });
    let is_streamed = raw.delivery == RawDelivery::Streaming;
    MediaFile {
        url: if is_behind_tag {
            Template::default()
        } else {
            faults.template(&at("media_url"), &raw.media_url)
        },
        mime,
        w: raw.w,
        h: raw.h,
        bitrate: raw.bitrate,
        delivery: if is_streamed { DELIVERY_STREAMING } else { DELIVERY_PROGRESSIVE },
    }
}

fn native(faults: &mut Faults, raw: RawNative) -> Library {
    let titles = texts(faults, "native.title", 0, raw.title);
    faults.unless(!titles.is_empty(), "native.title", || "is missing".to_owned());
    for title in &titles {
        faults.unless(title.text.chars().count() <= TITLE_CHARS_MAX, "native.title", || {
            format!("is longer than {TITLE_CHARS_MAX} characters")
        });
    }
    // List 7.3 in its order; numbers are texts on the wire.
    let data = [
        ("native.sponsored", raw.sponsored),
        ("native.description", raw.description),
        ("native.rating", raw.rating),
        ("native.likes", raw.likes),
        ("native.downloads", raw.downloads),
        ("native.price", raw.price),
        ("native.saleprice", raw.saleprice),
        ("native.phone", raw.phone),
        ("native.address", raw.address),
        ("native.description2", raw.description2),
        ("native.displayurl", raw.displayurl),
        ("native.cta", raw.cta),
    ];
    let mut given = Vec::new();
    for (kind, (key, list)) in (1..).zip(data) {
        given.extend(texts(faults, key, kind, list));
    }
    numbers(faults, &given);
    let mut shown = Vec::new();
    for (key, kind, list) in [
        ("native.icon", ImageKind::Icon, raw.icon),
        ("native.logo", ImageKind::Logo, raw.logo),
        ("native.image", ImageKind::Main, raw.image),
    ] {
        faults.few(key, list.0.len());
        shown.extend(list.0.into_iter().map(|raw| image(faults, key, kind, raw)));
    }
    let video = raw.video.map(|raw| linear(faults, "native.video", raw, &Player::video(0)));
    let mut library = Library::new(titles, given, shown, video);
    library.scripts = trackers(faults, "native.js_trackers", &raw.js_trackers).into();
    if let Some(url) = raw.privacy_url {
        faults.url("native.privacy_url", &url);
        library.privacy_url = url;
    }
    library
}

fn texts(faults: &mut Faults, key: &str, kind: u8, Many(list): Many<String>) -> Vec<Text> {
    faults.few(key, list.len());
    list.iter().for_each(|text| faults.text(key, text));
    list.into_iter().map(|text| Text::new(kind, text)).collect()
}

/// Native 1.2, list 7.3: a rating lies between 0 and 5, likes and downloads are counts.
fn numbers(faults: &mut Faults, given: &[Text]) {
    for text in given {
        let (key, holds, what) = match text.kind {
            3 => {
                let rating = text.text.parse::<f32>();
                ("native.rating", rating.is_ok_and(|stars| (0.0..=5.0).contains(&stars)), "0 to 5")
            }
            4 => ("native.likes", text.text.parse::<u64>().is_ok(), "a whole number"),
            5 => ("native.downloads", text.text.parse::<u64>().is_ok(), "a whole number"),
            _ => continue,
        };
        faults.unless(holds, key, || format!("`{}` is not {what}", text.text));
    }
}

fn image(faults: &mut Faults, key: &str, kind: ImageKind, raw: RawImage) -> Image {
    size(faults, key, raw.w, raw.h);
    let mime = image_type(faults, key, raw.mime.as_deref(), &raw.url);
    let url = faults.template(&format!("{key}.url"), &raw.url);
    Image::new(kind, url, mime, (raw.w, raw.h))
}
