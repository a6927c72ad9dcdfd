//! Placements in the shapes of real traffic: banners by size or format list, video, native as a
//! string or an object, audio.

use super::spec::Dialect;
use rand::{Rng, RngExt};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A kind of placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    /// 728x90 and wider.
    Leaderboard,
    /// 300x250 and taller.
    Rectangle,
    /// 160x600 and 120x600.
    Skyscraper,
    /// 320x50 and 320x100.
    MobileBanner,
    /// A full screen, banner or video.
    Interstitial,
    /// Video before or in a video.
    Instream,
    /// Video in text, or a rectangle.
    Outstream,
    /// Video that a player watches for a reward.
    Rewarded,
    /// Native, among a page's own items.
    Feed,
    /// Audio in a stream.
    Audio,
}

impl SlotKind {
    /// What the kind of placement adds to the log-odds of a click.
    pub(super) const fn click_effect(self) -> f64 {
        match self {
            Self::Leaderboard | Self::Rectangle => 0.0,
            Self::Skyscraper | Self::MobileBanner => -0.1,
            Self::Interstitial => 0.4,
            Self::Instream | Self::Rewarded => 0.2,
            Self::Outstream => 0.1,
            Self::Feed => 0.3,
            Self::Audio => -0.8,
        }
    }

    /// The median price of its strongest competitor, a CPM in US dollars.
    pub(super) const fn median_price(self) -> f64 {
        match self {
            Self::MobileBanner => 0.5,
            Self::Skyscraper => 0.7,
            Self::Leaderboard => 0.8,
            Self::Rectangle => 1.0,
            Self::Feed => 1.6,
            Self::Interstitial => 2.5,
            Self::Outstream => 3.5,
            Self::Audio => 4.0,
            Self::Rewarded => 5.0,
            Self::Instream => 6.0,
        }
    }

    /// Its name in a `tagid`.
    pub(super) const fn tag(self) -> &'static str {
        match self {
            Self::Leaderboard => "leaderboard",
            Self::Rectangle => "rectangle",
            Self::Skyscraper => "skyscraper",
            Self::MobileBanner => "mobile-banner",
            Self::Interstitial => "interstitial",
            Self::Instream => "instream",
            Self::Outstream => "outstream",
            Self::Rewarded => "rewarded",
            Self::Feed => "feed",
            Self::Audio => "audio",
        }
    }

    /// Puts the media objects into an imp.
    pub(super) fn describe(
        self,
        imp: &mut Map<String, Value>,
        dialect: Dialect,
        rng: &mut impl Rng,
    ) {
        let mut put = |name: &str, object: Value| imp.insert(name.to_owned(), object);
        match self {
            Self::Leaderboard => put("banner", banner(&[(728, 90), (970, 90), (970, 250)], 1, rng)),
            Self::Rectangle => put("banner", banner(&[(300, 250), (336, 280), (300, 600)], 0, rng)),
            Self::Skyscraper => put("banner", banner(&[(160, 600), (120, 600)], 0, rng)),
            Self::MobileBanner => {
                put("banner", banner(&[(320, 50), (300, 50), (320, 100)], 1, rng))
            }
            Self::Interstitial => {
                put("instl", json!(1));
                if rng.random::<f64>() < 0.4 {
                    put("video", video(dialect, 5, (320, 480), rng));
                }
                put("banner", banner(&[(320, 480), (300, 250)], 7, rng))
            }
            Self::Instream => put("video", video(dialect, 1, (640, 360), rng)),
            Self::Outstream => {
                if rng.random::<f64>() < 0.3 {
                    put("banner", banner(&[(300, 250)], 0, rng));
                }
                put("video", video(dialect, 3, (640, 360), rng))
            }
            Self::Rewarded => {
                match dialect {
                    Dialect::V25 => put("ext", json!({ "rewarded": 1 })),
                    Dialect::V26 => put("rwdd", json!(1)),
                };
                put("video", video(dialect, 5, (480, 320), rng))
            }
            Self::Feed => put("native", native(rng)),
            Self::Audio => put("audio", audio(rng)),
        };
    }
}

/// A banner with the first size alone or with some of the others; `position` 0 says none.
fn banner(sizes: &[(u32, u32)], position: u32, rng: &mut impl Rng) -> Value {
    let size = |(w, h): &(u32, u32)| json!({ "w": w, "h": h });
    let (w, h) = sizes[0];
    let shown = rng.random_range(1..=sizes.len());
    let formats: Vec<_> = sizes[..shown].iter().map(size).collect();
    let mut object = match rng.random_range(0..4) {
        0 => json!({ "w": w, "h": h }),
        1 => json!({ "w": w, "h": h, "format": formats }),
        _ => json!({ "format": formats }),
    };
    if position > 0 {
        object["pos"] = json!(position);
    }
    if rng.random::<f64>() < 0.4 {
        object["api"] = json!([3, 5, 6, 7]);
    }
    if rng.random::<f64>() < 0.3 {
        object["mimes"] = json!(["image/jpeg", "image/png", "text/html", "application/javascript"]);
    }
    if rng.random::<f64>() < 0.2 {
        object["battr"] = json!([1, 3, 8, 10, 14]);
    }
    object
}

/// A video slot; `placement` by list 5.9 of 2.5: 1 in a video, 3 in an article, 5 interstitial.
fn video(dialect: Dialect, placement: usize, (w, h): (u32, u32), rng: &mut impl Rng) -> Value {
    let longest = [15, 30, 30, 60][rng.random_range(0..4)];
    let mut object = json!({
        "mimes": ["video/mp4", "video/webm"], "w": w, "h": h,
        "minduration": 5, "maxduration": longest,
        "protocols": [2, 3, 5, 6, 7, 8], "linearity": 1,
        "playbackmethod": [if placement == 1 { 1 } else { 2 }], "delivery": [1, 2],
    });
    match dialect {
        Dialect::V25 => object["placement"] = json!(placement),
        // In a video 1, interstitial 3, on its own 4: the codes changed with 2.6.
        Dialect::V26 => object["plcmt"] = json!([1, 1, 2, 4, 4, 3][placement.min(5)]),
    }
    if placement == 1 {
        object["startdelay"] = json!(0);
    }
    if rng.random::<f64>() < 0.5 {
        object["skip"] = json!(1);
        object["skipafter"] = json!(5);
    }
    if rng.random::<f64>() < 0.3 {
        object["api"] = json!([1, 2, 7]);
    }
    object
}

/// A native request of version 1.2 (1.1 for one in five): title, main image, icon, sponsor, text,
/// call to action. The request is a string, as the standard has it, or wrapped in `native` there.
fn native(rng: &mut impl Rng) -> Value {
    let version = if rng.random::<f64>() < 0.2 { "1.1" } else { "1.2" };
    let longest_title = [60, 90, 140][rng.random_range(0..3)];
    let mut request = json!({
        "ver": version, "context": 1, "plcmttype": 1, "plcmtcnt": 1,
        "assets": [
            { "id": 1, "required": 1, "title": { "len": longest_title } },
            { "id": 2, "required": 1, "img": { "type": 3, "wmin": 600, "hmin": 314 } },
            { "id": 3, "required": 0, "img": { "type": 1, "wmin": 50, "hmin": 50 } },
            { "id": 4, "required": 1, "data": { "type": 1, "len": 25 } },
            { "id": 5, "required": 0, "data": { "type": 2, "len": 140 } },
            { "id": 6, "required": 0, "data": { "type": 12, "len": 15 } },
        ],
    });
    if version == "1.2" && rng.random::<f64>() < 0.5 {
        request["eventtrackers"] = json!([{ "event": 1, "methods": [1, 2] }]);
        request["privacy"] = json!(1);
    }
    if version == "1.1" {
        request = json!({ "native": request });
    }
    // Some exchanges send the object itself where the standard asks for a string.
    let request = if rng.random::<f64>() < 0.25 { request } else { json!(request.to_string()) };
    json!({ "request": request, "ver": version })
}

fn audio(rng: &mut impl Rng) -> Value {
    let longest = [30, 60][rng.random_range(0..2)];
    json!({
        "mimes": ["audio/mpeg", "audio/mp4"], "minduration": 5, "maxduration": longest,
        "protocols": [2, 3, 5, 6, 9, 10], "startdelay": 0, "feed": 1, "stitched": 0,
    })
}
