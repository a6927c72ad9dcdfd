//! Native ads, 1.1 and 1.2: what a native request asks for, and the markup that answers it.
//!
//! The request is JSON inside a JSON string, with or without a `native` object around it; it is
//! parsed only when a native ad is considered.

use super::escape::Sink;
use super::imp::Native;
use super::lenient::{Lenient, Str};
use super::limits::{DEPTH_MAX, Limits, ParseError, is_deeper_than};
use super::number::CodeSet;
use super::object::view;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// `native.request` as it was sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum NativeSource<'a> {
    /// Missing or empty.
    #[default]
    Absent,
    /// JSON text, as the standard has it; not parsed yet.
    Text(Str<'a>),
    /// The object itself, as some exchanges send it.
    Object(Box<NativeRequest<'a>>),
}

impl<'de> Lenient<'de> for NativeSource<'de> {
    fn read<D: Deserializer<'de>>(&mut self, source: D) -> Result<bool, D::Error> {
        let given = source.deserialize_any(SourceVisitor)?;
        let is_given = given != Self::Absent;
        if is_given {
            *self = given;
        }
        Ok(is_given)
    }
    fn is_absent(&self) -> bool {
        *self == Self::Absent
    }
    fn audit(&self, field: &'static str, limits: &Limits) -> Result<(), ParseError> {
        match self {
            Self::Absent => Ok(()),
            Self::Text(text) => text.audit(field, limits),
            Self::Object(object) => object.audit(field, limits),
        }
    }
}

impl<'a> NativeSource<'a> {
    fn of_text(text: Str<'a>) -> Self {
        if text.is_empty() { Self::Absent } else { Self::Text(text) }
    }
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = NativeSource<'de>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a native request")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(NativeSource::of_text(Str::from(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(NativeSource::of_text(Str::from(text.to_owned())))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let mut object = Box::<NativeRequest<'de>>::default();
        object.read(MapAccessDeserializer::new(map))?;
        Ok(NativeSource::Object(object))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        super::lenient::drain_list(list)?;
        Ok(NativeSource::Absent)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(NativeSource::Absent)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(NativeSource::Absent)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(NativeSource::Absent)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(NativeSource::Absent)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(NativeSource::Absent)
    }
}

view! {
    'a =>
    /// A native request, or the wrapper around one.
    pub struct NativeRequest<'a> {
        /// The request inside, when this object is only the wrapper of 1.1.
        native: Option<Box<NativeRequest<'a>>> = b"native",
        /// The version that is asked for.
        ver: Str<'a> = b"ver",
        /// The parts that the ad may have.
        assets: Vec<Asset<'a>> = b"assets",
        /// Trackers that are supported (1.2).
        eventtrackers: Vec<EventTracker> = b"eventtrackers",
    }
}

view! {
    'a =>
    /// One part of a native ad: a title, an image, a text, or a video.
    pub struct Asset<'a> {
        /// Names the asset in the answer.
        id: Option<i32> = b"id",
        /// Without it the ad is not shown.
        required: bool = b"required",
        /// A title is asked for.
        title: Option<AssetTitle> = b"title",
        /// An image is asked for.
        img: Option<AssetImage<'a>> = b"img",
        /// A text is asked for.
        data: Option<AssetText> = b"data",
    }
}

view! {
    'a =>
    /// A title.
    pub struct AssetTitle {
        /// Most characters; 0 or missing means any number.
        len: Option<u32> = b"len",
    }
}

view! {
    'a =>
    /// An image.
    pub struct AssetImage<'a> {
        /// 1 icon, 2 logo (1.0), 3 main image.
        r#type: Option<i32> = b"type",
        /// Width in pixels.
        w: Option<u32> = b"w",
        /// Height in pixels.
        h: Option<u32> = b"h",
        /// Least width in pixels.
        wmin: Option<u32> = b"wmin",
        /// Least height in pixels.
        hmin: Option<u32> = b"hmin",
        /// Supported content types.
        mimes: Vec<Str<'a>> = b"mimes",
    }
}

view! {
    'a =>
    /// A text.
    pub struct AssetText {
        /// 1 sponsor, 2 description, 12 call to action; we have no others.
        r#type: Option<i32> = b"type",
        /// Most characters; 0 or missing means any number.
        len: Option<u32> = b"len",
    }
}

view! {
    'a =>
    /// A tracker that the exchange supports.
    pub struct EventTracker {
        /// 1 impression, 2 to 4 viewable.
        event: Option<i32> = b"event",
        /// 1 pixel, 2 script.
        methods: CodeSet = b"methods",
    }
}

impl<'de> Deserialize<'de> for NativeRequest<'de> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let mut request = Self::default();
        request.read(source)?;
        Ok(request)
    }
}

impl Native<'_> {
    /// What the placement asks for; parses the request's text on each call. `None` when there is no
    /// request, or none that can be understood: then nothing native can be bid.
    #[must_use]
    pub fn asks(&self) -> Option<NativeRequest<'_>> {
        match &self.request {
            NativeSource::Absent => None,
            NativeSource::Object(object) => Some((**object).clone()),
            NativeSource::Text(text) => {
                // The text is a body of its own: its depth was hidden from the guard.
                if is_deeper_than(text.as_bytes(), DEPTH_MAX) {
                    return None;
                }
                serde_json::from_str(text).ok()
            }
        }
    }
}

/// The parts that a native ad of ours has. An empty text is a part that it does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NativeAssets<'a> {
    /// The title.
    pub title: &'a str,
    /// The icon.
    pub icon: Option<NativeImage<'a>>,
    /// The main image.
    pub image: Option<NativeImage<'a>>,
    /// The text below the title.
    pub description: &'a str,
    /// Who pays.
    pub sponsored: &'a str,
    /// The button's text.
    pub cta: &'a str,
}

/// An image of a native ad.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NativeImage<'a> {
    /// Its address.
    pub url: &'a str,
    /// Width in pixels.
    pub w: u32,
    /// Height in pixels.
    pub h: u32,
    /// Content type; empty when unknown, which no list of types permits.
    pub mime: &'a str,
}

/// Where a native ad leads and what it reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NativeLinks<'a> {
    /// The address behind the ad.
    pub click: &'a str,
    /// Pixels to load when it is shown.
    pub impressions: &'a [&'a str],
}

enum Answer<'a> {
    Title(&'a str),
    Image(NativeImage<'a>),
    Text(&'a str),
}

impl<'a> NativeAssets<'a> {
    /// The part that answers `asset`, within its bounds. Texts are never cut to fit.
    fn answer(&self, asset: &Asset<'_>) -> Option<Answer<'a>> {
        asset.id?;
        if let Some(title) = &asset.title {
            return fitting(self.title, title.len).map(Answer::Title);
        }
        if let Some(wanted) = &asset.img {
            let image = match wanted.r#type {
                Some(1 | 2) => self.icon,
                Some(3) | None => self.image,
                Some(_) => None,
            };
            return image.filter(|image| image.fits(wanted)).map(Answer::Image);
        }
        let text = match asset.data.as_ref()?.r#type {
            Some(1) => self.sponsored,
            Some(2) => self.description,
            Some(12) => self.cta,
            _ => "",
        };
        fitting(text, asset.data.as_ref()?.len).map(Answer::Text)
    }

    /// Whether each required asset of `request` can be answered, and at least one asset at all.
    #[must_use]
    pub fn can_answer(&self, request: &NativeRequest<'_>) -> bool {
        let assets = &request.inner().assets;
        assets.iter().any(|asset| self.answer(asset).is_some())
            && assets.iter().all(|asset| !asset.required || self.answer(asset).is_some())
    }
}

/// `text`, if there is any and it has at most `most` characters.
fn fitting(text: &str, most: Option<u32>) -> Option<&str> {
    let most = most.filter(|most| *most > 0).map_or(usize::MAX, |most| most as usize);
    (!text.is_empty() && text.chars().count() <= most).then_some(text)
}

impl NativeImage<'_> {
    fn fits(&self, wanted: &AssetImage<'_>) -> bool {
        let side = |ours: u32, exact: Option<u32>, least: Option<u32>| match (exact, least) {
            (_, Some(least)) if least > 0 => ours >= least,
            (Some(exact), _) if exact > 0 => ours == exact,
            _ => true,
        };
        let mime = |name: &Str<'_>| name.trim().eq_ignore_ascii_case(self.mime);
        side(self.w, wanted.w, wanted.wmin)
            && side(self.h, wanted.h, wanted.hmin)
            && (wanted.mimes.is_empty() || wanted.mimes.iter().any(mime))
    }
}

impl<'a> NativeRequest<'a> {
    /// The request itself, out of its wrapper. The depth guard bounds the loop.
    #[must_use]
    pub fn inner(&self) -> &Self {
        let mut inner = self;
        while let Some(wrapped) = inner.native.as_deref() {
            inner = wrapped;
        }
        inner
    }
}

/// Writes the native markup that answers `request`, wrapped as the request is. `None`, with nothing
/// written, when a required asset cannot be answered; optional ones are left out.
pub fn write_native(
    request: &NativeRequest<'_>,
    assets: &NativeAssets<'_>,
    links: &NativeLinks<'_>,
    out: &mut String,
) -> Option<()> {
    if !assets.can_answer(request) {
        return None;
    }
    let is_wrapped = request.native.is_some();
    let request = request.inner();
    let is_old = request.ver.starts_with("1.0") || request.ver.starts_with("1.1");
    out.put(if is_wrapped { "{\"native\":{" } else { "{" });
    out.put(if is_old { "\"ver\":\"1.1\"" } else { "\"ver\":\"1.2\"" });
    out.put(",\"assets\":[");
    let mut separator = "";
    for asset in &request.assets {
        if let (Some(id), Some(answer)) = (asset.id, assets.answer(asset)) {
            out.put(separator);
            write_asset(id, asset.required, &answer, out);
            separator = ",";
        }
    }
    out.put("],\"link\":{\"url\":");
    out.put_json(links.click);
    out.put("}");
    write_trackers(request, links, out);
    out.put(if is_wrapped { "}}" } else { "}" });
    Some(())
}

fn write_asset(id: i32, is_required: bool, answer: &Answer<'_>, out: &mut String) {
    out.put("{\"id\":");
    if id < 0 {
        out.put("-");
    }
    out.put_number(u64::from(id.unsigned_abs()));
    if is_required {
        out.put(",\"required\":1");
    }
    match answer {
        Answer::Title(text) => {
            out.put(",\"title\":{\"text\":");
            out.put_json(text);
        }
        Answer::Image(image) => {
            out.put(",\"img\":{\"url\":");
            out.put_json(image.url);
            out.put(",\"w\":");
            out.put_number(u64::from(image.w));
            out.put(",\"h\":");
            out.put_number(u64::from(image.h));
        }
        Answer::Text(text) => {
            out.put(",\"data\":{\"value\":");
            out.put_json(text);
        }
    }
    out.put("}}");
}

/// Impression pixels: as `eventtrackers` where the request names them (1.2), else as `imptrackers`.
/// Never both, which would count twice.
fn write_trackers(request: &NativeRequest<'_>, links: &NativeLinks<'_>, out: &mut String) {
    if links.impressions.is_empty() {
        return;
    }
    let by_event = request
        .eventtrackers
        .iter()
        .any(|tracker| tracker.event == Some(1) && tracker.methods.contains(1));
    out.put(if by_event { ",\"eventtrackers\":[" } else { ",\"imptrackers\":[" });
    let mut separator = "";
    for url in links.impressions {
        out.put(separator);
        if by_event {
            out.put("{\"event\":1,\"method\":1,\"url\":");
            out.put_json(url);
            out.put("}");
        } else {
            out.put_json(url);
        }
        separator = ",";
    }
    out.put("]");
}
