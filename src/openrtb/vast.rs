//! Linear ads, video and audio: their files, and the VAST 2.0 to 4.2 that carries them, inline or as
//! a wrapper around a third party's. DAAST (codes 9 and 10) is not written: VAST 4.1 took its place.
//! Elements stand in the order of each version's schema, which 4.0 changed.

use super::check::{has_mime, in_range};
use super::escape::{Sink, cdata, escape};
use super::imp::{Audio, Video};
use super::lenient::Str;
use super::markup::Tracking;
use super::number::CodeSet;
use super::template::Template;
use smallvec::SmallVec;

/// The versions of VAST that we write, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VastVersion {
    /// 2.0.
    V2,
    /// 3.0.
    V3,
    /// 4.0.
    V4,
    /// 4.1.
    V41,
    /// 4.2.
    V42,
}

impl VastVersion {
    const ALL: [Self; 5] = [Self::V42, Self::V41, Self::V4, Self::V3, Self::V2];

    /// The version's code in OpenRTB's list of protocols, inline or as a wrapper.
    #[must_use]
    pub const fn protocol(self, is_wrapper: bool) -> u8 {
        match (self, is_wrapper) {
            (Self::V2, false) => 2,
            (Self::V2, true) => 5,
            (Self::V3, false) => 3,
            (Self::V3, true) => 6,
            (Self::V4, false) => 7,
            (Self::V4, true) => 8,
            (Self::V41, false) => 11,
            (Self::V41, true) => 12,
            (Self::V42, false) => 13,
            (Self::V42, true) => 14,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::V2 => "2.0",
            Self::V3 => "3.0",
            Self::V4 => "4.0",
            Self::V41 => "4.1",
            Self::V42 => "4.2",
        }
    }
}

/// The codes of all versions that we write inline: bit `n` for code `n`.
pub const VAST_INLINE: u32 = 1 << 2 | 1 << 3 | 1 << 7 | 1 << 11 | 1 << 13;
/// The codes of all versions that we write as wrappers.
pub const VAST_WRAPPER: u32 = 1 << 5 | 1 << 6 | 1 << 8 | 1 << 12 | 1 << 14;
/// VAST 2.0 cannot say that an ad may be skipped.
pub const VAST_WITHOUT_SKIP: u32 = 1 << 2 | 1 << 5;
/// Code of list 5.15 for files that are streamed.
pub const DELIVERY_STREAMING: u8 = 1;
/// Code of list 5.15 for files that are loaded as they play.
pub const DELIVERY_PROGRESSIVE: u8 = 2;

/// A linear ad of ours.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Length in seconds.
    pub duration_s: u32,
    /// At least one, largest first. Behind a tag: what the third party's files are.
    pub files: SmallVec<[MediaFile; 1]>,
    /// The third party's VAST, where ours is only a wrapper around it.
    pub tag: Option<Template>,
    /// OpenRTB codes (list 5.8) of the VAST that it may be written in: bit `n` for code `n`.
    pub protocols: u32,
    /// Seconds after which it may be skipped; `None`: it cannot be.
    pub skip_after_s: Option<u32>,
}

/// One file of a linear ad.
#[derive(Clone, Debug)]
pub struct MediaFile {
    /// Where it lies; nowhere behind a tag.
    pub url: Template,
    /// Mime type, such as "video/mp4".
    pub mime: String,
    /// Width in pixels; 0 of audio.
    pub w: u32,
    /// Height in pixels; 0 of audio.
    pub h: u32,
    /// Bit rate in kbit/s, 0 when unknown.
    pub bitrate: u32,
    /// [`DELIVERY_STREAMING`] or [`DELIVERY_PROGRESSIVE`].
    pub delivery: u8,
}

/// What a player takes, as far as files are concerned.
#[derive(Clone, Copy, Debug)]
pub struct PlayerRules<'r, 's> {
    mimes: &'r [Str<'s>],
    delivery: CodeSet,
    bitrates: (Option<u32>, Option<u32>),
    size: (Option<u32>, Option<u32>),
}

impl<'r, 's> From<&'r Video<'s>> for PlayerRules<'r, 's> {
    fn from(video: &'r Video<'s>) -> Self {
        Self {
            mimes: &video.mimes,
            delivery: video.delivery,
            bitrates: (video.minbitrate, video.maxbitrate),
            size: (video.w, video.h),
        }
    }
}

impl<'r, 's> From<&'r Audio<'s>> for PlayerRules<'r, 's> {
    fn from(audio: &'r Audio<'s>) -> Self {
        Self {
            mimes: &audio.mimes,
            delivery: audio.delivery,
            bitrates: (audio.minbitrate, audio.maxbitrate),
            size: (None, None),
        }
    }
}

/// Files of one answer.
pub type Files<'l> = SmallVec<[&'l MediaFile; 4]>;

impl Linear {
    /// The newest version that `asked` permits and that the ad may be written in.
    #[must_use]
    pub fn version(&self, asked: CodeSet) -> Option<VastVersion> {
        let is_wrapper = self.tag.is_some();
        VastVersion::ALL.into_iter().find(|version| {
            let code = version.protocol(is_wrapper);
            self.protocols & 1 << code != 0 && asked.permits(code)
        })
    }

    /// The files that the player takes, first the one that suits its size best: the largest that is
    /// not larger.
    #[must_use]
    pub fn files_for(&self, player: &PlayerRules<'_, '_>) -> Files<'_> {
        let mut files: Files<'_> = self.files.iter().filter(|file| file.plays(player)).collect();
        let (w, h) = player.size;
        let (w, h) = (w.filter(|w| *w > 0), h.filter(|h| *h > 0));
        let fits =
            |file: &&MediaFile| w.is_none_or(|w| file.w <= w) && h.is_none_or(|h| file.h <= h);
        let last = files.len().saturating_sub(1);
        let best = files.iter().position(fits).unwrap_or(last);
        if best > 0 {
            files[..=best].rotate_right(1);
        }
        files
    }
}

impl MediaFile {
    fn plays(&self, player: &PlayerRules<'_, '_>) -> bool {
        let (least, most) = player.bitrates;
        has_mime(player.mimes, &self.mime)
            && player.delivery.permits(self.delivery)
            && in_range(self.bitrate, least, most)
    }
}

/// A linear ad as it is written for one player.
#[derive(Clone, Copy, Debug)]
pub struct VastMarkup<'a> {
    /// The version to write.
    pub version: VastVersion,
    /// Names the creative.
    pub id: &'a str,
    /// The ad.
    pub linear: &'a Linear,
    /// Those of its files that the player takes.
    pub files: &'a [&'a MediaFile],
    /// Whether it is only heard.
    pub is_audio: bool,
    /// Seconds that the player demands before an ad may be skipped.
    pub skip_least_s: u32,
}

/// Appends the VAST document.
pub fn write_vast(ad: &VastMarkup<'_>, tracking: &Tracking<'_>, out: &mut String) {
    out.put("<VAST version=\"");
    out.put(ad.version.name());
    out.put("\"><Ad id=\"");
    escape(ad.id, out);
    // `adType` came with 4.1.
    if ad.is_audio && ad.version >= VastVersion::V41 {
        out.put("\" adType=\"audio");
    }
    out.put("\">");
    match &ad.linear.tag {
        Some(tag) => write_wrapper(ad, tag, tracking, out),
        None => write_inline(ad, tracking, out),
    }
    out.put("</Ad></VAST>");
}

fn write_inline(ad: &VastMarkup<'_>, tracking: &Tracking<'_>, out: &mut String) {
    let is_new = ad.version >= VastVersion::V4;
    out.put("<InLine><AdSystem>outbid</AdSystem>");
    if is_new {
        write_impressions(ad, tracking, out);
    }
    if ad.version >= VastVersion::V41 {
        out.put("<AdServingId>");
        escape(ad.id, out);
        out.put("-");
        out.put_number(tracking.values.cache_buster);
        out.put("</AdServingId>");
    }
    out.put("<AdTitle>");
    escape(ad.id, out);
    out.put("</AdTitle>");
    if !is_new {
        write_impressions(ad, tracking, out);
    }
    out.put("<Creatives><Creative id=\"");
    escape(ad.id, out);
    out.put("\">");
    if is_new {
        out.put("<UniversalAdId idRegistry=\"unknown\"");
        // 4.0 had the value as an attribute too.
        if ad.version == VastVersion::V4 {
            out.put(" idValue=\"");
            escape(ad.id, out);
            out.put("\"");
        }
        out.put(">");
        escape(ad.id, out);
        out.put("</UniversalAdId>");
    }
    write_linear(ad, tracking, out);
    out.put("</Creative></Creatives></InLine>");
}

/// The third party's document has the files and the click-through; ours adds what we count.
fn write_wrapper(ad: &VastMarkup<'_>, tag: &Template, tracking: &Tracking<'_>, out: &mut String) {
    let is_new = ad.version >= VastVersion::V4;
    out.put("<Wrapper><AdSystem>outbid</AdSystem>");
    if !is_new {
        write_tag(tag, tracking, out);
    }
    write_impressions(ad, tracking, out);
    out.put("<Creatives><Creative id=\"");
    escape(ad.id, out);
    out.put("\"><Linear><VideoClicks><ClickTracking><![CDATA[");
    cdata(tracking.values.click, out);
    out.put("]]></ClickTracking>");
    write_click_trackers(tracking, out);
    out.put("</VideoClicks></Linear></Creative></Creatives>");
    if is_new {
        write_tag(tag, tracking, out);
    }
    out.put("</Wrapper>");
}

fn write_tag(tag: &Template, tracking: &Tracking<'_>, out: &mut String) {
    out.put("<VASTAdTagURI><![CDATA[");
    tag.write_url(&tracking.values, cdata, out);
    out.put("]]></VASTAdTagURI>");
}

/// The standard demands the element also of those who count elsewhere, and from 4.0 on names what
/// stands in it then.
fn write_impressions(ad: &VastMarkup<'_>, tracking: &Tracking<'_>, out: &mut String) {
    if tracking.pixels().next().is_none() {
        let nowhere = if ad.version >= VastVersion::V4 { "about:blank" } else { "" };
        out.put("<Impression>");
        out.put(nowhere);
        out.put("</Impression>");
    }
    for url in tracking.pixels() {
        out.put("<Impression><![CDATA[");
        tracking.write(url, cdata, out);
        out.put("]]></Impression>");
    }
}

fn write_click_trackers(tracking: &Tracking<'_>, out: &mut String) {
    for url in tracking.clicks {
        out.put("<ClickTracking><![CDATA[");
        url.write_url(&tracking.values, cdata, out);
        out.put("]]></ClickTracking>");
    }
}

fn write_linear(ad: &VastMarkup<'_>, tracking: &Tracking<'_>, out: &mut String) {
    out.put("<Linear");
    let skip = ad.linear.skip_after_s.filter(|_| ad.version >= VastVersion::V3);
    if let Some(seconds) = skip {
        out.put(" skipoffset=\"");
        // A player may demand more than the ad has: it is skippable at its end then.
        write_time(seconds.max(ad.skip_least_s).min(ad.linear.duration_s), out);
        out.put("\"");
    }
    out.put("><Duration>");
    write_time(ad.linear.duration_s, out);
    out.put("</Duration>");
    if ad.version >= VastVersion::V4 {
        write_files(ad, tracking, out);
        out.put("<VideoClicks>");
        write_click_trackers(tracking, out);
        write_click_through(tracking, out);
        out.put("</VideoClicks>");
    } else {
        out.put("<VideoClicks>");
        write_click_through(tracking, out);
        write_click_trackers(tracking, out);
        out.put("</VideoClicks>");
        write_files(ad, tracking, out);
    }
    out.put("</Linear>");
}

fn write_click_through(tracking: &Tracking<'_>, out: &mut String) {
    out.put("<ClickThrough><![CDATA[");
    cdata(tracking.values.click, out);
    out.put("]]></ClickThrough>");
}

fn write_files(ad: &VastMarkup<'_>, tracking: &Tracking<'_>, out: &mut String) {
    out.put("<MediaFiles>");
    ad.files.iter().for_each(|file| write_file(file, tracking, out));
    out.put("</MediaFiles>");
}

/// The schema demands a size even of audio.
fn write_file(file: &MediaFile, tracking: &Tracking<'_>, out: &mut String) {
    let is_streaming = file.delivery == DELIVERY_STREAMING;
    out.put("<MediaFile delivery=\"");
    out.put(if is_streaming { "streaming" } else { "progressive" });
    out.put("\" type=\"");
    escape(&file.mime, out);
    out.put("\" width=\"");
    out.put_number(u64::from(file.w));
    out.put("\" height=\"");
    out.put_number(u64::from(file.h));
    if file.bitrate > 0 {
        out.put("\" bitrate=\"");
        out.put_number(u64::from(file.bitrate));
    }
    // The only scripts among media files are of this interface.
    if file.mime.eq_ignore_ascii_case(VPAID_MIME) {
        out.put("\" apiFramework=\"VPAID");
    }
    out.put("\"><![CDATA[");
    file.url.write_url(&tracking.values, cdata, out);
    out.put("]]></MediaFile>");
}

/// Mime type of a media file that is a program of the VPAID interface.
pub const VPAID_MIME: &str = "application/javascript";

/// Appends `HH:MM:SS`.
fn write_time(seconds: u32, out: &mut String) {
    let parts = [seconds / 3_600, seconds / 60 % 60, seconds % 60];
    for (position, part) in parts.into_iter().enumerate() {
        if position > 0 {
            out.put(":");
        }
        if part < 10 {
            out.put("0");
        }
        out.put_number(u64::from(part));
    }
}

#[cfg(test)]
#[path = "vast_tests.rs"]
mod tests;
