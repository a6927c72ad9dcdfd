//! Ads (creatives): what is shown, and what the auction compares with a request's blocks.

use super::facts::{category_key, for_domain_and_parents, parent_category};
use crate::hash;
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
    /// Key of the mime type of the ad's medium ([`mime_key`]); native has none.
    pub mime: Option<u64>,
    /// OpenRTB creative attributes (list 5.3): bit `n` for attribute `n`, 1 to 63.
    pub attr: u64,
    /// Keys of `adomain` and of each parent domain: an entry of `badv` that is among them blocks.
    pub adomain_keys: SmallVec<[u64; 4]>,
    /// Keys of the IAB categories and of their parents: an entry of `bcat` among them blocks.
    pub iab_cat_keys: SmallVec<[u64; 4]>,
    /// Advertiser domains, as sent in `adomain`; at least one.
    pub adomain: SmallVec<[String; 1]>,
    /// IAB categories, as sent in `cat`.
    pub iab_cats: SmallVec<[String; 2]>,
    /// Where a click leads.
    pub landing_url: String,
    /// Every URL is https: the catalog refuses others, so this is true; impressions with
    /// `secure: 1` ask for it.
    pub secure: bool,
}

/// The four kinds of ads.
#[derive(Clone, Debug)]
pub enum AdKind {
    /// An image.
    Banner(Banner),
    /// A video file, served in VAST.
    Video(Video),
    /// Parts that the publisher lays out.
    Native(Box<Native>),
    /// A sound file, served in VAST.
    Audio(Audio),
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
}

/// An image of a fixed size.
#[derive(Clone, Debug)]
pub struct Banner {
    /// Width in pixels, above 0.
    pub w: u32,
    /// Height in pixels, above 0.
    pub h: u32,
    /// Where the image lies.
    pub image_url: String,
}

/// A video file.
#[derive(Clone, Debug)]
pub struct Video {
    /// Mime type, such as "video/mp4".
    pub mime: String,
    /// Length in seconds, above 0.
    pub duration_s: u32,
    /// Width in pixels, above 0.
    pub w: u32,
    /// Height in pixels, above 0.
    pub h: u32,
    /// OpenRTB protocols (list 5.8): bit `n` for protocol `n`, 1 to 31.
    pub protocols: u32,
    /// Where the file lies.
    pub media_url: String,
}

/// The parts of a native ad.
#[derive(Clone, Debug)]
pub struct Native {
    /// Title, up to 140 characters.
    pub title: String,
    /// Text under the title.
    pub description: String,
    /// Who sponsors it.
    pub sponsored: String,
    /// Label of the button.
    pub cta: String,
    /// Where the icon lies.
    pub icon_url: String,
    /// The main image.
    pub image: NativeImage,
}

/// The main image of a native ad.
#[derive(Clone, Debug)]
pub struct NativeImage {
    /// Where it lies.
    pub url: String,
    /// Width in pixels, above 0.
    pub w: u32,
    /// Height in pixels, above 0.
    pub h: u32,
}

/// A sound file.
#[derive(Clone, Debug)]
pub struct Audio {
    /// Mime type, such as "audio/mpeg".
    pub mime: String,
    /// Length in seconds, above 0.
    pub duration_s: u32,
    /// Where the file lies.
    pub media_url: String,
}

/// The key of a mime type, in any case.
#[must_use]
pub fn mime_key(mime: &str) -> u64 {
    hash::stable_lower(mime.trim())
}

/// The mime type of an image by its file name's ending; JPEG where it says nothing.
#[must_use]
pub fn image_mime(url: &str) -> &'static str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("png") => "image/png",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("svg") => "image/svg+xml",
        _ => "image/jpeg",
    }
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
        ] {
            assert_eq!(image_mime(url), mime);
        }
    }
}
