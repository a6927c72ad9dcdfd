//! Native ads, 1.1 and 1.2: what a native request asks for, and the markup that answers it.
//!
//! The request is JSON inside a JSON string, with or without a `native` object around it; it is
//! parsed only when a native ad is considered. The auction and the writer both look at its assets
//! as [`Ask`]s and let the same [`Library`] answer them, so what is picked can be written down.

mod library;
mod write;

pub use library::{Ask, Image, ImageKind, Library, Text};
pub use write::{NativeMarkup, write_native};

use super::imp::Native;
use super::json::{Source, Stop};
use super::lenient::{Lenient, Str};
use super::limits::{DEPTH_MAX, Limits, ParseError};
use super::number::{CodeSet, Side};
use super::object::view;

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
    fn read(&mut self, source: &mut Source<'de>) -> Result<bool, Stop> {
        let given = match source.peek() {
            Some(b'"') => {
                let mut text = Str::default();
                if !text.read(source)? {
                    return Ok(false);
                }
                Self::Text(text)
            }
            Some(b'{') => {
                let mut object = Box::<NativeRequest<'de>>::default();
                object.read(source)?;
                Self::Object(object)
            }
            _ => {
                source.skip()?;
                return Ok(false);
            }
        };
        *self = given;
        Ok(true)
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
        /// Whether a link to the advertiser's privacy notice is understood (1.2).
        privacy: bool = b"privacy",
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
        /// A video is asked for.
        video: Option<AssetVideo<'a>> = b"video",
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
        w: Option<Side> = b"w",
        /// Height in pixels.
        h: Option<Side> = b"h",
        /// Least width in pixels.
        wmin: Option<Side> = b"wmin",
        /// Least height in pixels.
        hmin: Option<Side> = b"hmin",
        /// Supported content types.
        mimes: Vec<Str<'a>> = b"mimes",
    }
}

view! {
    'a =>
    /// A text.
    pub struct AssetText {
        /// List of native data types: 1 sponsor, 2 description, ... 12 call to action.
        r#type: Option<i32> = b"type",
        /// Most characters; 0 or missing means any number.
        len: Option<u32> = b"len",
    }
}

view! {
    'a =>
    /// A video inside of a native ad.
    pub struct AssetVideo<'a> {
        /// Supported content types.
        mimes: Vec<Str<'a>> = b"mimes",
        /// Least length in seconds.
        minduration: Option<u32> = b"minduration",
        /// Greatest length in seconds.
        maxduration: Option<u32> = b"maxduration",
        /// Supported VAST versions.
        protocols: CodeSet = b"protocols",
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

impl Native<'_> {
    /// What the placement asks for; parses the request's text on each call. `None` when there is no
    /// request, or none that can be understood: then nothing native can be bid.
    #[must_use]
    pub fn asks(&self) -> Option<NativeRequest<'_>> {
        match &self.request {
            NativeSource::Absent => None,
            NativeSource::Object(object) => Some((**object).clone()),
            NativeSource::Text(text) => {
                // The text is a body of its own, with a depth of its own.
                let mut source = Source::new(text, DEPTH_MAX);
                let mut request = NativeRequest::default();
                request.read_new(&mut source).and_then(|_| source.end()).ok()?;
                Some(request)
            }
        }
    }
}

impl NativeRequest<'_> {
    /// The request itself, out of its wrapper. The depth guard bounds the loop.
    #[must_use]
    pub fn inner(&self) -> &Self {
        let mut inner = self;
        while let Some(wrapped) = inner.native.as_deref() {
            inner = wrapped;
        }
        inner
    }

    /// What its assets ask for, one after the other. An answer finds an asset by its id: of two with
    /// one id, the first is answered.
    pub fn asks(&self) -> impl Iterator<Item = Ask> {
        let assets = &self.inner().assets;
        let is_first = |(position, asset): &(usize, &Asset<'_>)| {
            asset.id.is_none() || assets[..*position].iter().all(|earlier| earlier.id != asset.id)
        };
        assets.iter().enumerate().filter(is_first).map(|(_, asset)| Ask::of(asset))
    }

    /// Whether a tracker of `method` (1 pixel, 2 script) may report the impression as an event.
    fn tracks(&self, method: u8) -> bool {
        let mut trackers = self.eventtrackers.iter();
        trackers.any(|tracker| tracker.event == Some(1) && tracker.methods.contains(method))
    }
}
