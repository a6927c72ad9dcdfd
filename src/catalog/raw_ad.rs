//! Ads as files write them: serde types that refuse unknown keys. `check_ad.rs` makes the real ones of
//! them.

use super::raw::Amount;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{
    Deserialize, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use std::fmt;
use std::marker::PhantomData;

/// One ad: exactly one of the four kinds.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "an ad")]
pub(super) struct RawAd {
    pub name: String,
    pub landing_url: Option<String>,
    #[serde(default)]
    pub adomain: Vec<String>,
    #[serde(default)]
    pub iab_cats: Vec<String>,
    #[serde(default)]
    pub attr: Vec<u8>,
    #[serde(default)]
    pub api: Vec<u8>,
    pub language: Option<String>,
    pub bundle: Option<String>,
    #[serde(default)]
    pub impression_trackers: Vec<String>,
    #[serde(default)]
    pub click_trackers: Vec<String>,
    #[serde(default)]
    pub items: Vec<String>,
    pub brand: Option<String>,
    pub price: Option<Amount>,
    pub text: Option<String>,
    #[serde(default)]
    pub vector: Vec<f32>,
    pub banner: Option<RawBanner>,
    pub video: Option<RawLinear>,
    pub native: Option<RawNative>,
    pub audio: Option<RawLinear>,
}

/// An image or HTML, in one size or several.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBanner {
    #[serde(default)]
    pub w: u32,
    #[serde(default)]
    pub h: u32,
    #[serde(default)]
    pub sizes: Vec<(u32, u32)>,
    #[serde(default)]
    pub fluid: bool,
    pub image_url: Option<String>,
    pub html: Option<String>,
    pub mime: Option<String>,
    #[serde(default)]
    pub expand: Vec<u8>,
    #[serde(default)]
    pub topframe: bool,
}

/// Video or audio: one file, several, or a third party's VAST.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLinear {
    pub duration_s: u32,
    #[serde(default)]
    pub protocols: Vec<u8>,
    pub skip_after_s: Option<u32>,
    pub mime: Option<String>,
    #[serde(default)]
    pub w: u32,
    #[serde(default)]
    pub h: u32,
    #[serde(default)]
    pub bitrate: u32,
    #[serde(default)]
    pub delivery: RawDelivery,
    pub media_url: Option<String>,
    #[serde(default)]
    pub files: Vec<RawFile>,
    pub vast_tag_url: Option<String>,
    #[serde(default)]
    pub mimes: Vec<String>,
}

impl RawLinear {
    /// Whether it says something of a file beside the list.
    pub fn describes_a_file(&self) -> bool {
        let is_streaming = self.delivery == RawDelivery::Streaming;
        self.mime.is_some() || (self.w | self.h | self.bitrate) > 0 || is_streaming
    }
}

/// One media file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    pub mime: String,
    #[serde(default)]
    pub w: u32,
    #[serde(default)]
    pub h: u32,
    #[serde(default)]
    pub bitrate: u32,
    #[serde(default)]
    pub delivery: RawDelivery,
    pub media_url: String,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawDelivery {
    #[default]
    Progressive,
    Streaming,
}

/// The asset library of a native ad: of each part one, or a list to choose from.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawNative {
    pub title: Many<String>,
    pub sponsored: Many<String>,
    pub description: Many<String>,
    pub rating: Many<String>,
    pub likes: Many<String>,
    pub downloads: Many<String>,
    pub price: Many<String>,
    pub saleprice: Many<String>,
    pub phone: Many<String>,
    pub address: Many<String>,
    pub description2: Many<String>,
    pub displayurl: Many<String>,
    pub cta: Many<String>,
    pub icon: Many<RawImage>,
    pub logo: Many<RawImage>,
    pub image: Many<RawImage>,
    pub video: Option<RawLinear>,
    pub privacy_url: Option<String>,
    pub js_trackers: Vec<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawImage {
    pub url: String,
    pub w: u32,
    pub h: u32,
    pub mime: Option<String>,
}

/// One value, or a list of them.
pub(super) struct Many<T>(pub Vec<T>);

impl RawAd {
    /// What it says of itself in words: its own text, else what its native parts show.
    pub fn words(&self) -> String {
        match (&self.text, &self.native) {
            (Some(text), _) => text.clone(),
            (None, Some(native)) => {
                let shown = [&native.title, &native.description, &native.description2];
                let shown: Vec<_> = shown.into_iter().flat_map(|many| &many.0).collect();
                shown.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ")
            }
            (None, None) => String::new(),
        }
    }
}

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> From<T> for Many<T> {
    fn from(one: T) -> Self {
        Self(vec![one])
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(ManyVisitor(PhantomData))
    }
}

/// Each kind of value goes on as what it is, so that errors say what is wrong inside.
struct ManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ManyVisitor<T> {
    type Value = Many<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("one value or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Many<T>, E> {
        T::deserialize(text.into_deserializer()).map(Many::from)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Many<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Many::from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Many<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Many)
    }
}
