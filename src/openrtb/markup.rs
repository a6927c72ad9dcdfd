//! Markup of banners, and what all markup carries: where clicks go and what is called when the ad is
//! shown. Whatever goes in is escaped for the place it goes to, so no text of a request, campaign or
//! macro can become markup; only a creative's own snippet is markup from the start.

use super::escape::{Put, Sink, escape};
use super::template::{MacroValues, Template};

/// What an ad reports, in any markup.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracking<'a> {
    /// Our click URL, our pixel, and what macros of third parties' URLs become.
    pub values: MacroValues<'a>,
    /// Third parties' pixels, called when the ad is shown.
    pub impressions: &'a [Template],
    /// Third parties' URLs, called when the ad is clicked.
    pub clicks: &'a [Template],
}

/// A URL in markup.
#[derive(Clone, Copy, Debug)]
pub(super) enum Url<'a> {
    /// One of ours.
    Own(&'a str),
    /// A third party's.
    Theirs(&'a Template),
}

impl Tracking<'_> {
    /// The pixels: ours first, which the exchange's bill may depend on.
    pub(super) fn pixels(&self) -> impl Iterator<Item = Url<'_>> {
        let own = Some(self.values.impression).filter(|url| !url.is_empty());
        own.map(Url::Own).into_iter().chain(self.impressions.iter().map(Url::Theirs))
    }

    /// The same for a part of an ad that reports its impression elsewhere.
    pub(super) fn without_pixels(&self) -> Self {
        let values = MacroValues { impression: "", ..self.values };
        Self { values, impressions: &[], ..*self }
    }

    /// Appends a URL, escaped by `put`.
    pub(super) fn write(&self, url: Url<'_>, put: Put, out: &mut String) {
        match url {
            Url::Own(url) => put(url, out),
            Url::Theirs(template) => template.write_url(&self.values, put, out),
        }
    }
}

/// A banner that is an image.
#[derive(Clone, Copy, Debug)]
pub struct ImageMarkup<'a> {
    /// The image's address.
    pub image: &'a Template,
    /// Width in pixels.
    pub w: u32,
    /// Height in pixels.
    pub h: u32,
    /// What the image shows, for those who cannot see it.
    pub alt: &'a str,
}

/// Appends the HTML of an image behind our click URL, and pixels that report the impression.
pub fn write_image(banner: &ImageMarkup<'_>, tracking: &Tracking<'_>, out: &mut String) {
    out.put("<a href=\"");
    escape(tracking.values.click, out);
    out.put("\" target=\"_blank\" rel=\"noopener\"><img src=\"");
    banner.image.write_url(&tracking.values, escape, out);
    out.put("\" width=\"");
    out.put_number(u64::from(banner.w));
    out.put("\" height=\"");
    out.put_number(u64::from(banner.h));
    out.put("\" alt=\"");
    escape(banner.alt, out);
    out.put("\" style=\"border:0\"></a>");
    write_pixels(tracking, out);
}

/// Appends a creative's own HTML with its macros filled, and pixels that report the impression; ours
/// only where the snippet does not place it itself.
pub fn write_snippet(snippet: &Template, tracking: &Tracking<'_>, out: &mut String) {
    snippet.write_html(&tracking.values, out);
    if !snippet.has_impression() {
        return write_pixels(tracking, out);
    }
    for url in tracking.impressions {
        write_pixel(tracking, Url::Theirs(url), out);
    }
}

fn write_pixels(tracking: &Tracking<'_>, out: &mut String) {
    tracking.pixels().for_each(|url| write_pixel(tracking, url, out));
}

fn write_pixel(tracking: &Tracking<'_>, url: Url<'_>, out: &mut String) {
    out.put("<img src=\"");
    tracking.write(url, escape, out);
    out.put("\" width=\"1\" height=\"1\" alt=\"\" style=\"position:absolute;opacity:0\">");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a hostile text tries, in each place that takes text.
    const HOSTILE: &str = "x\"'><script>alert(1)</script>]]><Impression>&\u{0}";

    #[test]
    fn nothing_breaks_out_of_a_banner() {
        let mut out = String::new();
        let url = Template::url(HOSTILE).expect("compiles");
        let values = MacroValues {
            click: HOSTILE,
            impression: HOSTILE,
            site: HOSTILE,
            ..Default::default()
        };
        let tracking = Tracking { values, impressions: std::slice::from_ref(&url), clicks: &[] };
        let banner = ImageMarkup { image: &url, w: 300, h: 250, alt: HOSTILE };
        write_image(&banner, &tracking, &mut out);
        assert_eq!(out.matches('<').count(), 5, "a, img, /a, img, img: {out}");
        assert!(!out.contains("<script"));
        assert_eq!(out.matches('"').count() % 2, 0);
        assert!(out.contains("width=\"300\" height=\"250\""));
    }

    #[test]
    fn a_snippet_carries_our_pixel_once() {
        let values = MacroValues {
            click: "https://b.example/c?a&b",
            impression: "https://b.example/p",
            site: "\"><script>",
            ..MacroValues::default()
        };
        let theirs = [Template::url("https://t.example/?s=${OUTBID_SITE}").expect("compiles")];
        let tracking = Tracking { values, impressions: &theirs, clicks: &[] };
        for (html, expected) in [
            ("<b>${OUTBID_CLICK}</b>", 2),
            ("<a href=\"${OUTBID_CLICK}\"><img src=\"${OUTBID_IMPRESSION}\"></a>", 2),
        ] {
            let mut out = String::new();
            write_snippet(&Template::html(html).expect("compiles"), &tracking, &mut out);
            assert_eq!(out.matches("https://b.example/p\"").count(), 1, "{out}");
            assert_eq!(out.matches("<img src=").count(), expected, "{out}");
            assert!(out.contains("https://b.example/c?a&amp;b"), "{out}");
            assert!(out.contains("https://t.example/?s=%22%3E%3Cscript%3E\""), "{out}");
        }
    }
}
