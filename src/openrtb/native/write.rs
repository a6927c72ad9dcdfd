//! The markup that answers a native request.

use super::NativeRequest;
use super::library::{Answer, Ask, Library};
use crate::openrtb::escape::{Sink, json};
use crate::openrtb::markup::{Tracking, Url};
use crate::openrtb::vast::{VastMarkup, write_vast};

/// A native ad and what it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct NativeMarkup<'a> {
    /// What the placement asks for: [`crate::openrtb::Native::asks`] of the imp.
    pub request: &'a NativeRequest<'a>,
    /// The version that the imp names beside the request; it counts where the request names none.
    pub ver: &'a str,
    /// Names the creative.
    pub id: &'a str,
    /// What the ad has.
    pub library: &'a Library,
}

/// Writes the native markup that answers the request, wrapped as the request is. `None`, with nothing
/// written, when a required asset cannot be answered; optional ones are left out.
pub fn write_native(
    ad: &NativeMarkup<'_>,
    tracking: &Tracking<'_>,
    out: &mut String,
) -> Option<()> {
    if !ad.library.can_answer(ad.request.asks()) {
        return None;
    }
    let is_wrapped = ad.request.native.is_some();
    let request = ad.request.inner();
    let version = if request.ver.is_empty() { ad.ver } else { &request.ver };
    let is_old = version.starts_with("1.0") || version.starts_with("1.1");
    out.put(if is_wrapped { "{\"native\":{" } else { "{" });
    out.put(if is_old { "\"ver\":\"1.1\"" } else { "\"ver\":\"1.2\"" });
    out.put(",\"assets\":[");
    let mut separator = "";
    for ask in ad.request.asks() {
        if let (Some(id), Some(answer)) = (ask.id, ad.library.answer(&ask)) {
            out.put(separator);
            write_asset(id, &ask, &answer, (ad.id, tracking), out);
            separator = ",";
        }
    }
    out.put("],\"link\":{\"url\":");
    out.put_json(tracking.values.click);
    let clicks = tracking.clicks.iter().map(Url::Theirs);
    write_urls(",\"clicktrackers\":[", clicks, tracking, out);
    out.put("}");
    write_trackers(request, ad.library, tracking, out);
    if request.privacy && !ad.library.privacy_url.is_empty() {
        out.put(",\"privacy\":");
        out.put_json(&ad.library.privacy_url);
    }
    out.put(if is_wrapped { "}}" } else { "}" });
    Some(())
}

fn write_asset(
    id: i32,
    ask: &Ask,
    answer: &Answer<'_>,
    (name, tracking): (&str, &Tracking<'_>),
    out: &mut String,
) {
    out.put("{\"id\":");
    if id < 0 {
        out.put("-");
    }
    out.put_number(u64::from(id.unsigned_abs()));
    if ask.is_required {
        out.put(",\"required\":1");
    }
    match answer {
        Answer::Title(text) => {
            out.put(",\"title\":{\"text\":");
            out.put_json(text);
        }
        Answer::Image(image) => {
            out.put(",\"img\":{\"url\":\"");
            image.url.write_url(&tracking.values, json, out);
            out.put("\",\"w\":");
            out.put_number(u64::from(image.w));
            out.put(",\"h\":");
            out.put_number(u64::from(image.h));
        }
        Answer::Text(text) => {
            out.put(",\"data\":{\"value\":");
            out.put_json(text);
        }
        Answer::Video(linear, protocols, files) => {
            out.put(",\"video\":{\"vasttag\":");
            // A document in a text in a text: rare enough for a buffer of its own.
            let mut vast = String::new();
            if let Some(version) = linear.version(*protocols) {
                let (is_audio, skip_least_s) = (false, 0);
                let ad = VastMarkup { version, id: name, linear, files, is_audio, skip_least_s };
                // The native ad around it reports the impression, once.
                write_vast(&ad, &tracking.without_pixels(), &mut vast);
            }
            out.put_json(&vast);
        }
    }
    out.put("}}");
}

/// Impression pixels and scripts: as `eventtrackers` where the request names them (1.2), else pixels
/// as `imptrackers`. Never both, which would count twice.
fn write_trackers(
    request: &NativeRequest<'_>,
    library: &Library,
    tracking: &Tracking<'_>,
    out: &mut String,
) {
    let has_pixels = request.tracks(PIXEL);
    if !has_pixels {
        write_urls(",\"imptrackers\":[", tracking.pixels(), tracking, out);
    }
    let pixels = tracking.pixels().filter(|_| has_pixels).map(|url| (PIXEL, url));
    let has_scripts = request.tracks(SCRIPT);
    let scripts = library.scripts.iter().filter(|_| has_scripts);
    let scripts = scripts.map(|url| (SCRIPT, Url::Theirs(url)));
    let mut separator = ",\"eventtrackers\":[";
    for (method, url) in pixels.chain(scripts) {
        out.put(separator);
        out.put("{\"event\":1,\"method\":");
        out.put_number(u64::from(method));
        out.put(",\"url\":\"");
        tracking.write(url, json, out);
        out.put("\"}");
        separator = ",";
    }
    if separator == "," {
        out.put("]");
    }
}

/// Methods of event trackers, list 7.6.
const PIXEL: u8 = 1;
const SCRIPT: u8 = 2;

/// Appends a list of URLs; nothing where there is none.
fn write_urls<'u>(
    open: &str,
    urls: impl Iterator<Item = Url<'u>>,
    tracking: &Tracking<'_>,
    out: &mut String,
) {
    let mut separator = open;
    for url in urls {
        out.put(separator);
        out.put("\"");
        tracking.write(url, json, out);
        out.put("\"");
        separator = ",";
    }
    if separator == "," {
        out.put("]");
    }
}
