//! Ads (creatives): what is shown, and what the auction compares with a request's blocks.

use super::about::About;
use super::facts::{category_key, for_domain_and_parents, parent_category};
use crate::hash;
use crate::openrtb::markup::BannerMarkup;
use crate::openrtb::response::AdJson;
use crate::openrtb::vast::Linear;
use crate::openrtb::{Library, Template};
use crate::prefetch::prefetch_items;
use crate::units::{CreativeId, Slot};
use smallvec::SmallVec;

/// One ad. Its name is the `crid` of OpenRTB, at most 64 bytes.
#[derive(Clone, Debug)]
pub struct Ad {
    /// Where it sits, in this and in later catalogs.
    pub slot: Slot,
    /// Hash of the name.
    pub id: CreativeId,
    /// Unique name, sent as `crid`.
    pub name: String,
    /// Slot index of its campaign.
    pub campaign: u32,
    /// What is shown.
    pub kind: AdKind,
    /// OpenRTB creative attributes (list 5.3): bit `n` for attribute `n`, 1 to 63.
    pub attr: u64,
    /// API frameworks (list 5.6) that it needs: bit `n` for code `n`, 1 to 31.
    pub api: u64,
    /// Language tag, such as "en" or "pt-BR"; empty where it has none.
    pub language: String,
    /// The app that is advertised (bundle or store id); empty where none is.
    pub bundle: String,
    /// Keys of `adomain` and of each parent domain: an entry of `badv` that is among them blocks.
    pub adomain_keys: SmallVec<[u64; 4]>,
    /// Keys of the IAB categories and of their parents: an entry of `bcat` among them blocks.
    pub iab_cat_keys: SmallVec<[u64; 4]>,
    /// Advertiser domains, as sent in `adomain`; at least one.
    pub adomain: SmallVec<[String; 1]>,
    /// IAB categories, as sent in `cat`; at least one.
    pub iab_cats: SmallVec<[String; 2]>,
    /// What bids on it say of it.
    pub json: AdJson,
    /// Where a click leads.
    pub landing_url: String,
    /// Third parties' pixels, called when it is shown.
    pub impression_trackers: Box<[Template]>,
    /// Third parties' URLs, called when it is clicked.
    pub click_trackers: Box<[Template]>,
    /// Keys of the items that it shows ([`super::item_key`]).
    pub items: Box<[u32]>,
    /// What it is about, beside its campaign's category.
    pub about: About,
}

impl Ad {
    /// Asks for the texts that an answer with it reads, and its last check.
    pub fn prefetch(&self) {
        prefetch_items(self.json.as_bytes());
        if let AdKind::Banner(banner) = &self.kind {
            prefetch_items(banner.markup.as_str().as_bytes());
        }
        for text in self.adomain.iter().chain(&self.iab_cats) {
            prefetch_items(text.as_bytes());
        }
    }

    /// Key of the app that is advertised, as entries of `bapp` are hashed.
    #[must_use]
    pub fn bundle_key(&self) -> Option<u64> {
        (!self.bundle.is_empty()).then(|| hash::key_lower(&self.bundle))
    }
}

/// The four kinds of ads.
#[derive(Clone, Debug)]
pub enum AdKind {
    /// An image, or HTML.
    Banner(Banner),
    /// A video, served in VAST.
    Video(Linear),
    /// Parts that the publisher lays out.
    Native(Box<Library>),
    /// Sound, served in VAST.
    Audio(Linear),
}

impl AdKind {
    /// The kind's name in files and answers.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Banner(_) => "banner",
            Self::Video(_) => "video",
            Self::Native(_) => "native",
            Self::Audio(_) => "audio",
        }
    }

    /// Width and height in pixels that stand for it: the first of a banner, the largest file of a
    /// video, the largest main image of a native ad; 0 for audio.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        match self {
            Self::Banner(banner) => banner.sizes.first().copied().unwrap_or((0, 0)),
            Self::Video(video) => video.files.first().map_or((0, 0), |file| (file.w, file.h)),
            Self::Native(library) => library.main_size(),
            Self::Audio(_) => (0, 0),
        }
    }

    /// Length in seconds of video and audio.
    #[must_use]
    pub const fn duration_s(&self) -> Option<u32> {
        match self {
            Self::Video(linear) | Self::Audio(linear) => Some(linear.duration_s),
            Self::Banner(_) | Self::Native(_) => None,
        }
    }
}

/// An image, or HTML.
#[derive(Clone, Debug)]
pub struct Banner {
    /// Widths and heights in pixels that it may be drawn in; at least one, none of them 0.
    pub sizes: SmallVec<[(u32, u32); 1]>,
    /// Whether it may be drawn in any other size too.
    pub is_fluid: bool,
    /// What is drawn: an image, or a snippet of HTML.
    pub markup: BannerMarkup,
    /// Content type: the image's, or "text/html".
    pub mime: &'static str,
    /// Kinds of banner (list 5.2) that it is of: bit `n` for code `n`.
    pub btypes: u8,
    /// Directions (list 5.5) in which it expands: bit `n` for code `n`.
    pub expdir: u8,
    /// Whether it must stand in the top frame.
    pub needs_topframe: bool,
}

/// The key of a mime type, in any case.
#[must_use]
pub fn mime_key(mime: &str) -> u64 {
    hash::key_lower(mime.trim())
}

/// The key of a language tag: its first part, in any case, so that "pt" stands for "pt-BR" too.
#[must_use]
pub fn language_key(tag: &str) -> u64 {
    hash::key_lower(tag.split('-').next().unwrap_or(tag).trim())
}

/// Types of images that browsers show.
pub(super) const IMAGE_TYPES: [(&str, &[&str]); 6] = [
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/png", &["png"]),
    ("image/gif", &["gif"]),
    ("image/webp", &["webp"]),
    ("image/avif", &["avif"]),
    ("image/svg+xml", &["svg"]),
];

/// The mime type of an image by its file name's ending; JPEG where it says nothing.
#[must_use]
pub fn image_mime(url: &str) -> &'static str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    let is_it = |known: &&str| known.eq_ignore_ascii_case(ending);
    let has_it = |(_, endings): &&(&str, &[&str])| endings.iter().any(is_it);
    IMAGE_TYPES.iter().find(has_it).map_or("image/jpeg", |(mime, _)| mime)
}

/// Keys of domains and of all their parents.
pub(super) fn adomain_keys(domains: &[String]) -> SmallVec<[u64; 4]> {
    let mut keys = SmallVec::new();
    for domain in domains {
        for_domain_and_parents(domain, |key| keys.push(key));
    }
    keys
}

/// Keys of categories and of their parents.
pub(super) fn iab_cat_keys(categories: &[String]) -> SmallVec<[u64; 4]> {
    let own = categories.iter().map(|category| category_key(category));
    let parents = categories.iter().filter_map(|category| parent_category(category));
    let mut keys: SmallVec<[u64; 4]> = own.chain(parents.map(category_key)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::domain_key;

    #[test]
    fn a_block_of_a_parent_blocks_the_child() {
        let keys = iab_cat_keys(&["IAB7-39".to_owned()]);
        assert!(keys.contains(&category_key("IAB7")) && keys.contains(&category_key("IAB7-39")));
        assert!(!keys.contains(&category_key("IAB7-3")));
        let keys = adomain_keys(&["shop.shoes.example".to_owned()]);
        assert!(keys.contains(&domain_key("www.shoes.example")));
        assert!(!keys.contains(&domain_key("example")));
    }

    #[test]
    fn images_tell_their_mime_type() {
        for (url, mime) in [
            ("https://a.example/x.png?v=1.jpg", "image/png"),
            ("https://a.example/x", "image/jpeg"),
            ("https://a.example/x.webp#f", "image/webp"),
            ("https://a.example/X.PNG", "image/png"),
        ] {
            assert_eq!(image_mime(url), mime);
        }
    }
}
