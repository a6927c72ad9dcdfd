//! Markup of banners, video and audio. Whatever goes in is escaped for the place it goes to, so no
//! text of a request, campaign or macro can become markup.

use super::escape::{Sink, plain_prefix};
use super::number::CodeSet;

/// A banner: an image behind a link, and a pixel that reports the impression.
#[derive(Clone, Copy, Debug, Default)]
pub struct BannerMarkup<'a> {
    /// The address behind the ad.
    pub click: &'a str,
    /// The image's address.
    pub image: &'a str,
    /// Pixels to load when it is shown.
    pub impressions: &'a [&'a str],
    /// Width in pixels.
    pub w: u32,
    /// Height in pixels.
    pub h: u32,
    /// What the image shows, for those who cannot see it.
    pub alt: &'a str,
}

/// Appends the banner's HTML.
pub fn write_banner(banner: &BannerMarkup<'_>, out: &mut String) {
    out.put("<a href=\"");
    escape(banner.click, out);
    out.put("\" target=\"_blank\" rel=\"noopener\"><img src=\"");
    escape(banner.image, out);
    out.put("\" width=\"");
    out.put_number(u64::from(banner.w));
    out.put("\" height=\"");
    out.put_number(u64::from(banner.h));
    out.put("\" alt=\"");
    escape(banner.alt, out);
    out.put("\" style=\"border:0\"></a>");
    for url in banner.impressions {
        out.put("<img src=\"");
        escape(url, out);
        out.put("\" width=\"1\" height=\"1\" alt=\"\" style=\"position:absolute;opacity:0\">");
    }
}

/// The versions of VAST that we write inline, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VastVersion {
    /// 2.0, protocol code 2.
    V2,
    /// 3.0, protocol code 3.
    V3,
    /// 4.0, protocol code 7.
    V4,
    /// 4.1, protocol code 11.
    V41,
    /// 4.2, protocol code 13.
    V42,
}

impl VastVersion {
    const ALL: [Self; 5] = [Self::V42, Self::V41, Self::V4, Self::V3, Self::V2];

    /// The code of the version's inline form in OpenRTB's list of protocols.
    #[must_use]
    pub const fn protocol(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 7,
            Self::V41 => 11,
            Self::V42 => 13,
        }
    }

    /// The newest version that `protocols` permits; 4.2 when it names none.
    #[must_use]
    pub fn choose(protocols: CodeSet) -> Option<Self> {
        let permitted = |version: &Self| protocols.permits(version.protocol());
        Self::ALL.into_iter().find(permitted)
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

/// A linear ad with one media file.
#[derive(Clone, Copy, Debug)]
pub struct VastMarkup<'a> {
    /// The version to write.
    pub version: VastVersion,
    /// Names the creative.
    pub id: &'a str,
    /// The ad's title.
    pub title: &'a str,
    /// Length in seconds.
    pub duration_s: u32,
    /// The media file's address.
    pub media: &'a str,
    /// Its content type.
    pub mime: &'a str,
    /// Width and height in pixels; `None` for audio.
    pub size: Option<(u32, u32)>,
    /// Its bit rate in kbit/s, 0 when unknown.
    pub bitrate: u32,
    /// Seconds after which it may be skipped, if it may (from 3.0 on).
    pub skip_after_s: Option<u32>,
    /// The address behind the ad.
    pub click: &'a str,
    /// Addresses to call when it starts.
    pub impressions: &'a [&'a str],
}

/// Appends the VAST document.
pub fn write_vast(ad: &VastMarkup<'_>, out: &mut String) {
    out.put("<VAST version=\"");
    out.put(ad.version.name());
    out.put("\"><Ad id=\"");
    escape(ad.id, out);
    // `adType` came with 4.1.
    if ad.size.is_none() && ad.version >= VastVersion::V41 {
        out.put("\" adType=\"audio");
    }
    out.put("\"><InLine><AdSystem>outbid</AdSystem><AdTitle>");
    escape(ad.title, out);
    out.put("</AdTitle>");
    for url in ad.impressions {
        out.put("<Impression>");
        cdata(url, out);
        out.put("</Impression>");
    }
    if ad.version >= VastVersion::V41 {
        out.put("<AdServingId>");
        escape(ad.id, out);
        out.put("</AdServingId>");
    }
    out.put("<Creatives><Creative id=\"");
    escape(ad.id, out);
    out.put("\">");
    if ad.version >= VastVersion::V4 {
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
    write_linear(ad, out);
    out.put("</Creative></Creatives></InLine></Ad></VAST>");
}

fn write_linear(ad: &VastMarkup<'_>, out: &mut String) {
    out.put("<Linear");
    if let Some(seconds) = ad.skip_after_s.filter(|_| ad.version >= VastVersion::V3) {
        out.put(" skipoffset=\"");
        write_time(seconds, out);
        out.put("\"");
    }
    out.put("><Duration>");
    write_time(ad.duration_s, out);
    out.put("</Duration><MediaFiles><MediaFile delivery=\"progressive\" type=\"");
    escape(ad.mime, out);
    // The schema demands a size even of audio.
    let (w, h) = ad.size.unwrap_or((0, 0));
    out.put("\" width=\"");
    out.put_number(u64::from(w));
    out.put("\" height=\"");
    out.put_number(u64::from(h));
    if ad.bitrate > 0 {
        out.put("\" bitrate=\"");
        out.put_number(u64::from(ad.bitrate));
    }
    out.put("\">");
    cdata(ad.media, out);
    out.put("</MediaFile></MediaFiles><VideoClicks><ClickThrough>");
    cdata(ad.click, out);
    out.put("</ClickThrough></VideoClicks></Linear>");
}

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

/// Appends `text` so that it stays text between tags and in quoted attributes, of HTML and of XML.
/// Control characters, which XML cannot hold, are left out.
fn escape(text: &str, out: &mut String) {
    let is_markup =
        |byte| (byte == b'&') | (byte == b'<') | (byte == b'>') | (byte == b'"') | (byte == b'\'');
    let is_special = |byte| may_be_unfit(byte) | is_markup(byte);
    put_careful(text, out, is_special, |letter, out| match letter {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        '\t' | '\n' | '\r' => out.push(letter),
        unfit if is_unfit(unfit) => {}
        plain => out.push(plain),
    });
}

/// Appends `text` as a CDATA section; an end mark inside is split over two sections.
fn cdata(text: &str, out: &mut String) {
    out.push_str("<![CDATA[");
    let is_special = |byte| may_be_unfit(byte) | (byte == b'>');
    put_careful(text, out, is_special, |letter, out| {
        if letter == '>' && out.ends_with("]]") {
            out.push_str("]]><![CDATA[");
        }
        if !is_unfit(letter) {
            out.push(letter);
        }
    });
    out.push_str("]]>");
}

/// Appends runs of `text` without a special byte as they are, and hands the letter at each special
/// byte to `put`. A special byte is the first of its letter.
#[inline]
fn put_careful(
    text: &str,
    out: &mut String,
    is_special: impl Fn(u8) -> bool + Copy,
    put: impl Fn(char, &mut String),
) {
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(plain_prefix(rest.as_bytes(), is_special));
        out.push_str(plain);
        let mut letters = special.chars();
        let Some(letter) = letters.next() else { return };
        put(letter, out);
        rest = letters.as_str();
    }
}

/// Control characters and the two that are none at all: XML cannot hold them.
fn is_unfit(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}')
}

/// Whether an unfit letter may begin with `byte`: a control of ASCII, those from U+0080 (`c2 80`),
/// U+FFFE and U+FFFF (`ef bf be`).
const fn may_be_unfit(byte: u8) -> bool {
    (byte < b' ') | (byte == 0x7f) | (byte == 0xc2) | (byte == 0xef)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a hostile text tries, in each place that takes text.
    const HOSTILE: &str = "x\"'><script>alert(1)</script>]]><Impression>&\u{0}";

    fn vast(version: VastVersion, text: &str) -> String {
        let mut out = String::new();
        let ad = VastMarkup {
            version,
            id: text,
            title: text,
            duration_s: 3_675,
            media: text,
            mime: text,
            size: Some((640, 360)),
            bitrate: 800,
            skip_after_s: Some(5),
            click: text,
            impressions: &[text],
        };
        write_vast(&ad, &mut out);
        out
    }

    #[test]
    fn nothing_breaks_out_of_a_banner() {
        let mut out = String::new();
        let banner = BannerMarkup {
            click: HOSTILE,
            image: HOSTILE,
            impressions: &[HOSTILE],
            w: 300,
            h: 250,
            alt: HOSTILE,
        };
        write_banner(&banner, &mut out);
        assert_eq!(out.matches('<').count(), 4, "a, img, /a, img: {out}");
        assert!(!out.contains("<script"));
        assert_eq!(out.matches('"').count() % 2, 0);
        assert!(out.contains("width=\"300\" height=\"250\""));
    }

    #[test]
    fn nothing_breaks_out_of_vast() {
        let hostile = vast(VastVersion::V42, HOSTILE);
        // Outside CDATA, only the tags of an ad with plain texts remain.
        let strip = |mut xml: &str| {
            let mut outside = String::new();
            while let Some((before, rest)) = xml.split_once("<![CDATA[") {
                outside.push_str(before);
                xml = rest.split_once("]]>").map_or("", |(_, after)| after);
            }
            outside + xml
        };
        let tags = |xml: &str| strip(xml).matches('<').count();
        assert_eq!(tags(&hostile), tags(&vast(VastVersion::V42, "plain")));
        assert!(hostile.contains("]]]]><![CDATA[><Impression>&]]>"));
    }

    #[test]
    fn vast_is_written_in_the_version_that_is_asked_for() {
        for (codes, expected) in [
            (vec![], Some("4.2")),
            (vec![2, 3, 5, 6], Some("3.0")),
            (vec![2], Some("2.0")),
            (vec![7, 8], Some("4.0")),
            (vec![1, 9], None),
            (vec![500], None),
        ] {
            let protocols = codes.iter().copied().collect::<CodeSet>();
            let version = VastVersion::choose(protocols);
            assert_eq!(version.map(VastVersion::name), expected, "{codes:?}");
        }
        let xml = vast(VastVersion::V3, "plain");
        assert!(xml.contains("skipoffset=\"00:00:05\"><Duration>01:01:15<"), "{xml}");
        assert!(!xml.contains("UniversalAdId"));
        assert!(!vast(VastVersion::V2, "plain").contains("skipoffset"));
    }

    /// What an escape must be, letter by letter.
    fn escaped(letter: char) -> String {
        match letter {
            '&' => "&amp;".into(),
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            '"' => "&quot;".into(),
            '\'' => "&#39;".into(),
            '\t' | '\n' | '\r' => letter.into(),
            '\u{fffe}' | '\u{ffff}' => String::new(),
            control if control.is_control() => String::new(),
            plain => plain.into(),
        }
    }

    const LETTERS: &str = "[a-e&<>\"'\\]\\[\t\n\u{0}\u{1f}\u{7f}\u{80}\u{9f}\u{a0}é\u{fffd}-\u{ffff}\u{10ffff}]{0,50}";

    proptest! {
        #[test]
        fn texts_are_escaped_letter_by_letter(text in LETTERS) {
            let mut out = "before ".to_owned();
            escape(&text, &mut out);
            let expected: String = text.chars().map(escaped).collect();
            prop_assert_eq!(out, format!("before {expected}"));
        }

        #[test]
        fn sections_hold_the_text_without_what_xml_cannot(text in LETTERS) {
            let mut out = String::new();
            cdata(&text, &mut out);
            let sections = out.strip_prefix("<![CDATA[").and_then(|rest| rest.strip_suffix("]]>"));
            let sections = sections.expect("opened and closed").split("]]><![CDATA[");
            let sections: Vec<_> = sections.collect();
            prop_assert!(sections.iter().all(|section| !section.contains("]]>")), "{}", out);
            let fit = |letter: &char| !letter.is_control() && !['\u{fffe}', '\u{ffff}'].contains(letter);
            prop_assert_eq!(sections.concat(), text.chars().filter(fit).collect::<String>());
        }
    }
}
