//! Markup of banners, and what all markup carries: where clicks go and what is called when the ad is
//! shown. Whatever goes in is escaped for the place it goes to, so no text of a request, campaign or
//! macro can become markup; only a creative's own snippet is markup from the start.
//!
//! A banner's markup is put together when the catalog loads, as a text with macros of its own, and
//! escaped for JSON then: an answer copies it and fills in values.

use super::escape::{Put, Sink, escape, json};
use super::template::{MacroValues, Template, TemplateError};

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

/// A banner's markup as answers carry it, inside of a JSON string, but for the values of macros.
#[derive(Clone, Debug, Default)]
pub struct BannerMarkup(Template);

impl BannerMarkup {
    /// The HTML of an image behind our click URL, and pixels that report the impression: ours, and
    /// those of `trackers`.
    ///
    /// # Errors
    /// None where all templates compiled from what they say.
    pub fn image(banner: &ImageMarkup<'_>, trackers: &[Template]) -> Result<Self, TemplateError> {
        let mut html =
            "<a href=\"${OUTBID_CLICK}\" target=\"_blank\" rel=\"noopener\"><img src=\"".to_owned();
        // No letter of a macro is escaped.
        escape(banner.image.as_str(), &mut html);
        html.put("\" width=\"");
        html.put_number(u64::from(banner.w));
        html.put("\" height=\"");
        html.put_number(u64::from(banner.h));
        html.put("\" alt=\"");
        escape(banner.alt, &mut html);
        html.put("\" style=\"border:0\"></a>");
        Self::new("", html, true, trackers)
    }

    /// A creative's own HTML with macros, and pixels that report the impression; ours only where the
    /// snippet does not place it itself.
    ///
    /// # Errors
    /// As [`BannerMarkup::image`].
    pub fn snippet(snippet: &Template, trackers: &[Template]) -> Result<Self, TemplateError> {
        Self::new(snippet.as_str(), String::new(), !snippet.has_impression(), trackers)
    }

    /// A creative's own snippet, our markup behind it, and pixels.
    fn new(
        snippet: &str,
        mut ours: String,
        with_own: bool,
        trackers: &[Template],
    ) -> Result<Self, TemplateError> {
        let own = with_own.then_some("${OUTBID_IMPRESSION}");
        for url in own.into_iter().chain(trackers.iter().map(Template::as_str)) {
            ours.put("<img src=\"");
            escape(url, &mut ours);
            ours.put("\" width=\"1\" height=\"1\" alt=\"\" style=\"position:absolute;opacity:0\">");
        }
        let mut text = String::new();
        json(snippet, &mut text);
        let snippet_ends = text.len();
        json(&ours, &mut text);
        Template::prepared(&text, snippet_ends).map(Self)
    }

    /// Appends the markup of one bid.
    pub fn write(&self, values: &MacroValues<'_>, out: &mut String) {
        self.0.write_json(values, out);
    }

    /// The text with its macros, escaped for JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Appends other markup inside of a JSON string.
pub fn write_in_json(markup: &str, out: &mut String) {
    json(markup, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a hostile text tries, in each place that takes text.
    const HOSTILE: &str = "x\"'><script>alert(1)</script>]]><Impression>&\u{0}";

    /// The markup of one bid, out of its JSON string.
    fn written(markup: Result<BannerMarkup, TemplateError>, values: &MacroValues<'_>) -> String {
        let mut out = "\"".to_owned();
        markup.expect("compiles").write(values, &mut out);
        out.push('"');
        serde_json::from_str(&out).expect("JSON")
    }

    #[test]
    fn nothing_breaks_out_of_a_banner() {
        let url = Template::url(HOSTILE).expect("compiles");
        let values = MacroValues {
            click: HOSTILE,
            impression: HOSTILE,
            site: HOSTILE,
            ..Default::default()
        };
        let banner = ImageMarkup { image: &url, w: 300, h: 250, alt: HOSTILE };
        let out = written(BannerMarkup::image(&banner, std::slice::from_ref(&url)), &values);
        assert_eq!(out.matches('<').count(), 5, "a, img, /a, img, img: {out}");
        assert!(!out.contains("<script"));
        assert_eq!(out.matches('"').count() % 2, 0);
        assert!(out.contains("width=\"300\" height=\"250\""));
    }

    #[test]
    fn a_snippet_carries_our_pixel_once() {
        let values = MacroValues {
            click: "https://b.example/c?a&b",
            impression: "https://b.example/p?a&b",
            site: "\"><script>",
            ..MacroValues::default()
        };
        let theirs = [Template::url("https://t.example/?s=${OUTBID_SITE}").expect("compiles")];
        for (html, expected) in [
            ("<b>${OUTBID_CLICK}</b>", 2),
            ("<b>${OUTBID_CLICK}</b><!-- no <script here -->", 2),
            ("<a href=\"${OUTBID_CLICK}\"><img src=\"${OUTBID_IMPRESSION}\"></a>", 2),
        ] {
            let snippet = Template::html(html).expect("compiles");
            let out = written(BannerMarkup::snippet(&snippet, &theirs), &values);
            assert_eq!(out.matches("https://b.example/p?a&amp;b\"").count(), 1, "{out}");
            assert_eq!(out.matches("<img src=").count(), expected, "{out}");
            assert!(out.contains("https://b.example/c?a&amp;b"), "{out}");
            assert!(out.contains("https://t.example/?s=%22%3E%3Cscript%3E\""), "{out}");
        }
    }
}
