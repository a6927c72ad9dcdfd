//! The collected requests, and which of their slots a bidder such as ours can answer at all: read
//! from the raw JSON, with a named reason for each slot that is left out.

use crate::read::{
    codes, dsa_level, flag, floor_currency, in_dollars, native_request, number, objects, size,
    texts,
};
use serde_json::Value;
use std::path::PathBuf;

/// One request that a bidder could really receive.
pub struct Collected {
    pub id: String,
    /// As it was sent, byte for byte.
    pub body: String,
    pub value: Value,
}

/// The `complete` requests of the collection, or nothing (said aloud) where it is not there.
pub fn complete_requests() -> Vec<Collected> {
    let shared = std::env::var("OUTBID_SHARED").map_or_else(
        |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let path = shared.join("corpus/requests.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: {} is not there (set OUTBID_SHARED)", path.display());
        return Vec::new();
    };
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let body = line["body"].as_str().expect("a body").to_owned();
        let value = serde_json::from_str(&body).ok()?;
        let id = line["id"].as_str().expect("an id").to_owned();
        flag(&line["complete"]).then_some(Collected { id, body, value })
    };
    text.lines().filter_map(read).collect()
}

/// One medium of one imp.
pub struct Slot {
    /// The imp's position.
    pub imp: usize,
    /// The medium, by its key in the imp.
    pub medium: &'static str,
    /// Why it cannot be answered; `None` where it can.
    pub excluded: Option<&'static str>,
    /// Whether a deal is open to our seat.
    pub has_deal: bool,
}

/// The slots of `request` as `seat` sees them. What excludes the request excludes each of them.
pub fn slots(request: &Value, seat: &str) -> Vec<Slot> {
    let whole = request_excluded(request, seat);
    let mut slots = Vec::new();
    for (position, imp) in objects(&request["imp"]).into_iter().enumerate() {
        let twins = objects(&request["imp"]);
        let twins = twins.into_iter().filter(|other| texts(&other["id"]) == texts(&imp["id"]));
        let is_ambiguous = (twins.count() > 1).then_some("imp: another has its id");
        let of_imp = whole.or(is_ambiguous).or_else(|| imp_excluded(imp, seat));
        for (medium, excluded) in [
            ("banner", banner_excluded as fn(&Value) -> Option<&'static str>),
            ("video", video_excluded),
            ("native", native_excluded),
            ("audio", audio_excluded),
        ] {
            if imp[medium].is_object() {
                slots.push(Slot {
                    imp: position,
                    medium,
                    excluded: of_imp.or_else(|| excluded(&imp[medium])),
                    has_deal: !usable_deals(imp, seat).is_empty(),
                });
            }
        }
    }
    slots
}

fn request_excluded(request: &Value, seat: &str) -> Option<&'static str> {
    let names_seat = |key: &str| texts(&request[key]).iter().any(|name| name == seat);
    if !texts(&request["wseat"]).is_empty() && !names_seat("wseat") {
        return Some("request: wseat names other seats");
    }
    if names_seat("bseat") {
        return Some("request: bseat names our seat");
    }
    if dsa_level(request) >= 2 {
        return Some("request: a DSA transparency object is required");
    }
    let currencies = texts(&request["cur"]);
    if !currencies.is_empty() && currencies.iter().all(|code| in_dollars(code).is_none()) {
        return Some("request: no currency with a rate");
    }
    None
}

fn imp_excluded(imp: &Value, seat: &str) -> Option<&'static str> {
    if texts(&imp["id"]).is_empty() {
        return Some("imp: it has no id");
    }
    if flag(&imp["pmp"]["private_auction"]) {
        let is_closed = usable_deals(imp, seat).is_empty();
        return is_closed.then_some("imp: private, and no deal is open to our seat");
    }
    in_dollars(floor_currency(imp)).is_none().then_some("imp: the floor's currency has no rate")
}

/// The deals of `imp` that `seat` may bid on.
pub fn usable_deals<'v>(imp: &'v Value, seat: &str) -> Vec<&'v Value> {
    let is_open = |deal: &&Value| {
        let seats = texts(&deal["wseat"]);
        let has_seat = seats.is_empty() || seats.iter().any(|name| name == seat);
        has_seat && !texts(&deal["id"]).is_empty() && in_dollars(floor_currency(deal)).is_some()
    };
    objects(&imp["pmp"]["deals"]).into_iter().filter(is_open).collect()
}

fn banner_excluded(banner: &Value) -> Option<&'static str> {
    let inverted = |least: &str, most: &str| {
        let most = size(&banner[most]);
        most.is_some_and(|most| size(&banner[least]).is_some_and(|least| least > most))
    };
    if codes(&banner["btype"]).contains(&2) {
        return Some("banner: btype blocks images with a link");
    }
    let mimes = texts(&banner["mimes"]);
    if !mimes.is_empty() && !mimes.iter().any(|mime| mime.starts_with("image/")) {
        return Some("banner: mimes lists no image");
    }
    let has = |of: &Value, w: &str, h: &str| size(&of[w]).is_some() && size(&of[h]).is_some();
    let is_usable = |format: &&Value| has(format, "w", "h") || has(format, "wratio", "hratio");
    let by_format = objects(&banner["format"]).iter().any(is_usable);
    let has_sides = has(banner, "w", "h") || has(banner, "wmin", "hmin");
    if !banner["format"].is_null() && !by_format && !has_sides {
        return Some("banner: formats of which none can be used, and no size");
    }
    (!by_format && (inverted("wmin", "wmax") || inverted("hmin", "hmax")))
        .then_some("banner: the least size is above the greatest")
}

/// The inline VAST versions from 2.0 on, by their codes: 2.0, 3.0, 4.0, 4.1, 4.2.
const VAST_INLINE: [u64; 5] = [2, 3, 7, 11, 13];

/// What is the same for video and audio.
fn timed_excluded(slot: &Value, kind: &str) -> Option<&'static str> {
    let mimes = texts(&slot["mimes"]);
    if !mimes.iter().any(|mime| mime.to_lowercase().starts_with(kind)) {
        return Some("video or audio: mimes lists no such file");
    }
    let protocols =
        if slot["protocols"].is_null() { &slot["protocol"] } else { &slot["protocols"] };
    let protocols = codes(protocols);
    if !protocols.is_empty() && !protocols.iter().any(|code| VAST_INLINE.contains(code)) {
        return Some("video or audio: no inline VAST from 2.0 on (1.0, wrapper or DAAST only)");
    }
    let least = number(&slot["minduration"]).unwrap_or(0.0);
    let exact = codes(&slot["rqddurs"]);
    let pod = size(&slot["poddur"]).unwrap_or(u64::MAX);
    let most = size(&slot["maxduration"]).unwrap_or(u64::MAX).min(pod);
    let is_possible = if exact.is_empty() {
        least <= most as f64
    } else {
        exact.iter().any(|seconds| *seconds <= pod)
    };
    if !is_possible {
        return Some("video or audio: no length is permitted");
    }
    let delivery = codes(&slot["delivery"]);
    (!delivery.is_empty() && !delivery.contains(&2))
        .then_some("video or audio: no progressive delivery")
}

fn video_excluded(video: &Value) -> Option<&'static str> {
    if size(&video["linearity"]).is_some_and(|linearity| linearity != 1) {
        return Some("video: overlays only");
    }
    timed_excluded(video, "video/")
}

fn audio_excluded(audio: &Value) -> Option<&'static str> {
    timed_excluded(audio, "audio/")
}

fn native_excluded(native: &Value) -> Option<&'static str> {
    let Some(request) = native_request(native) else {
        return Some("native: the request is not JSON");
    };
    let assets = objects(&request["assets"]);
    if assets.is_empty() {
        return Some("native: no asset is asked for");
    }
    let is_ours = |asset: &&Value| {
        let kind = size(&asset["data"]["type"]).unwrap_or(0);
        let image = size(&asset["img"]["type"]).unwrap_or(3);
        number(&asset["id"]).is_some()
            && (asset["title"].is_object()
                || (asset["img"].is_object() && matches!(image, 1..=3))
                || (asset["data"].is_object() && matches!(kind, 1..=12)))
    };
    if !assets.iter().all(|asset| is_ours(asset) || !flag(&asset["required"])) {
        return Some("native: a part is required that our ads do not have");
    }
    (!assets.iter().any(is_ours)).then_some("native: only parts that our ads do not have")
}
