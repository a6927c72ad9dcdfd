//! The parts that a native ad of ours has, and which of them answers an asset best.

use super::Asset;
use crate::hash::key_lower;
use crate::openrtb::lenient::Str;
use crate::openrtb::number::{self, CodeSet};
use crate::openrtb::template::Template;
use crate::openrtb::vast::{Linear, MediaFile};
use smallvec::SmallVec;

/// What one asset asks for, in numbers alone: it outlives its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Names the asset in the answer; without an id it cannot be answered.
    pub id: Option<i32>,
    /// Without it the ad is not shown.
    pub is_required: bool,
    want: Want,
    /// Content types allowed of an image or a video, as hashes; `None` means any. Boxed, since few
    /// ask and every imp has room for several of these.
    mimes: Option<Box<[u64]>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// A title of at most so many characters.
    Title {
        most: u32,
    },
    /// A text of this type, at most so many characters.
    Data {
        kind: u8,
        most: u32,
    },
    Image {
        kind: ImageKind,
        w: Side,
        h: Side,
    },
    Video {
        seconds: (u32, u32),
        protocols: CodeSet,
    },
    /// Something that no ad of ours has.
    Unknown,
}

/// What one side of an image must be, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Side {
    /// The size that suits best; 0 where none is named.
    best: u32,
    /// The least size; with 0, `best` is the only one.
    least: u32,
}

impl Side {
    /// `None` where either was sent and cannot be read.
    fn of(exact: Option<number::Side>, least: Option<number::Side>) -> Option<Self> {
        let is_readable = ![exact, least].contains(&Some(number::Side::UNREADABLE));
        let pixels = |side| number::Side::pixels(side).unwrap_or(0);
        is_readable.then(|| Self { best: pixels(exact), least: pixels(least) })
    }

    const fn takes(self, ours: u32) -> bool {
        if self.least > 0 { ours >= self.least } else { self.best == 0 || ours == self.best }
    }
}

/// The types of images, OpenRTB Native 1.2 list 7.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ImageKind {
    /// 1: a small square.
    Icon = 1,
    /// 2: the brand's logo, of 1.0.
    Logo = 2,
    /// 3: the large image.
    Main = 3,
}

/// A number given as 0 is a number not given.
fn most(len: Option<u32>) -> u32 {
    len.filter(|len| *len > 0).unwrap_or(u32::MAX)
}

/// The key of a content type, in any case; many spell `image/jpeg` without its `e`.
fn mime_key(mime: &str) -> u64 {
    let mime = mime.trim();
    key_lower(if mime.eq_ignore_ascii_case("image/jpg") { "image/jpeg" } else { mime })
}

impl Ask {
    /// What `asset` asks for. Of several parts in one asset, which the standard forbids, the first
    /// counts: title, image, video, data.
    #[must_use]
    pub fn of(asset: &Asset<'_>) -> Self {
        let mimes = |listed: &[Str<'_>]| {
            let keys = || listed.iter().map(|mime| mime_key(mime)).collect();
            (!listed.is_empty()).then(keys)
        };
        let (want, mimes) = if let Some(title) = &asset.title {
            (Want::Title { most: most(title.len) }, None)
        } else if let Some(image) = &asset.img {
            let (w, h) = (Side::of(image.w, image.wmin), Side::of(image.h, image.hmin));
            let kind = match image.r#type {
                Some(1) => Some(ImageKind::Icon),
                Some(2) => Some(ImageKind::Logo),
                Some(3) | None => Some(ImageKind::Main),
                Some(_) => None,
            };
            let want = match (kind, w, h) {
                (Some(kind), Some(w), Some(h)) => Want::Image { kind, w, h },
                _ => Want::Unknown,
            };
            (want, mimes(&image.mimes))
        } else if let Some(video) = &asset.video {
            let seconds = (video.minduration.unwrap_or(0), most(video.maxduration));
            (Want::Video { seconds, protocols: video.protocols }, mimes(&video.mimes))
        } else {
            let data = asset.data.as_ref();
            let kind = data.and_then(|data| u8::try_from(data.r#type?).ok());
            let want = |kind| Want::Data { kind, most: most(data.and_then(|data| data.len)) };
            (kind.map_or(Want::Unknown, want), None)
        };
        Self { id: asset.id, is_required: asset.required, want, mimes }
    }

    fn takes_mime(&self, key: u64) -> bool {
        self.mimes.as_ref().is_none_or(|keys| keys.contains(&key))
    }
}

/// A text of a native ad.
#[derive(Clone, Debug)]
pub struct Text {
    /// Type of list 7.3; 0 of titles.
    pub kind: u8,
    /// The text, not empty.
    pub text: String,
    chars: u32,
}

impl Text {
    /// A text of this type.
    #[must_use]
    pub fn new(kind: u8, text: String) -> Self {
        let chars = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        Self { kind, text, chars }
    }
}

/// An image of a native ad.
#[derive(Clone, Debug)]
pub struct Image {
    /// What it is for.
    pub kind: ImageKind,
    /// Where it lies.
    pub url: Template,
    /// Width in pixels.
    pub w: u32,
    /// Height in pixels.
    pub h: u32,
    mime: u64,
}

impl Image {
    /// An image of this content type.
    #[must_use]
    pub fn new(kind: ImageKind, url: Template, mime: &str, (w, h): (u32, u32)) -> Self {
        Self { kind, url, w, h, mime: mime_key(mime) }
    }

    fn area(&self) -> u64 {
        u64::from(self.w) * u64::from(self.h)
    }
}

/// All parts of a native ad. An empty list is a part that it does not have.
#[derive(Clone, Debug, Default)]
pub struct Library {
    titles: Vec<Text>,
    data: Vec<Text>,
    images: Vec<Image>,
    video: Option<Box<Linear>>,
    /// Scripts of third parties that report the impression, where they may run.
    pub scripts: Vec<Template>,
    /// Where the advertiser says what becomes of data; empty for nowhere.
    pub privacy_url: String,
}

/// The part that answers an asset.
#[derive(Clone, Debug)]
pub(super) enum Answer<'l> {
    Title(&'l str),
    Text(&'l str),
    Image(&'l Image),
    Video(&'l Linear, CodeSet, SmallVec<[&'l MediaFile; 4]>),
}

impl Library {
    /// A library of these parts, in any order.
    #[must_use]
    pub fn new(
        mut titles: Vec<Text>,
        mut data: Vec<Text>,
        mut images: Vec<Image>,
        video: Option<Linear>,
    ) -> Self {
        // The first that fits is the best: the longest text, the smallest image.
        titles.sort_by_key(|title| std::cmp::Reverse(title.chars));
        data.sort_by_key(|text| std::cmp::Reverse(text.chars));
        images.sort_by_key(Image::area);
        Self { titles, data, images, video: video.map(Box::new), ..Self::default() }
    }

    /// Width and height of its largest main image; 0 without one.
    #[must_use]
    pub fn main_size(&self) -> (u32, u32) {
        let main = self.images.iter().rev().find(|image| image.kind == ImageKind::Main);
        main.map_or((0, 0), |image| (image.w, image.h))
    }

    /// The part that answers `ask` best, within its bounds. Texts are never cut to fit.
    pub(super) fn answer(&self, ask: &Ask) -> Option<Answer<'_>> {
        ask.id?;
        match ask.want {
            Want::Title { most } => first_within(&self.titles, 0, most).map(Answer::Title),
            Want::Data { kind, most } => first_within(&self.data, kind, most).map(Answer::Text),
            Want::Image { kind, w, h } => {
                let of = |kind| self.image(ask, kind, w, h).map(Answer::Image);
                // An ad without a logo shows its icon: both stand for the brand.
                of(kind).or_else(|| (kind == ImageKind::Logo).then(|| of(ImageKind::Icon))?)
            }
            Want::Video { seconds: (least, most), protocols } => {
                let video = self.video.as_deref()?;
                let takes = |file: &&MediaFile| ask.takes_mime(mime_key(&file.mime));
                let files: SmallVec<_> = video.files.iter().filter(takes).collect();
                let fits = !files.is_empty()
                    && (least..=most).contains(&video.duration_s)
                    && video.version(protocols).is_some();
                fits.then_some(Answer::Video(video, protocols, files))
            }
            Want::Unknown => None,
        }
    }

    /// The exact size where that is named, else the smallest that will do; the largest where any
    /// size will.
    fn image(&self, ask: &Ask, kind: ImageKind, w: Side, h: Side) -> Option<&Image> {
        let takes = |image: &&Image| {
            image.kind == kind && w.takes(image.w) && h.takes(image.h) && ask.takes_mime(image.mime)
        };
        let is_exact = |image: &&Image| image.w == w.best && image.h == h.best;
        let mut fitting = self.images.iter().filter(takes);
        let exact = fitting.clone().find(is_exact);
        let is_bound = (w.best | w.least | h.best | h.least) > 0;
        exact.or_else(|| if is_bound { fitting.next() } else { fitting.next_back() })
    }

    /// Whether each required asset can be answered, and at least one asset at all.
    #[must_use]
    pub fn can_answer(
        &self,
        asks: impl IntoIterator<Item = impl std::borrow::Borrow<Ask>>,
    ) -> bool {
        let mut answers = 0;
        for ask in asks {
            let ask = ask.borrow();
            let is_answered = self.answer(ask).is_some();
            if ask.is_required && !is_answered {
                return false;
            }
            answers += usize::from(is_answered);
        }
        answers > 0
    }
}

/// Of the texts of this type, which are sorted, the longest of at most so many characters.
fn first_within(texts: &[Text], kind: u8, most: u32) -> Option<&str> {
    let fits = |text: &&Text| text.kind == kind && text.chars <= most;
    texts.iter().find(fits).map(|text| text.text.as_str())
}
