//! The last look at a bid before it leaves: does it fit the request that it answers? A bid that
//! does not is our own defect; it is dropped and counted by the defect's name.
//!
//! Nothing here allocates, and nothing here trusts that targeting did its work.

use super::escape::plain_prefix;
use super::imp::{Deal, Imp};
use super::lenient::Str;
use super::native::{Library, NativeRequest};
use super::number::CodeSet;
use super::vast::MediaFile;
use super::view::BidRequest;
use crate::hash::trimmed;
use crate::units::{CurrencyCode, Micros};

/// A bid as it would leave, with what is known of its ad. `S` is how the catalog keeps texts.
#[derive(Clone, Copy, Debug)]
pub struct CheckedBid<'b, S> {
    /// The imp's id, as the answer will name it.
    pub impid: &'b str,
    /// The price.
    pub price: Micros,
    /// The price's currency.
    pub currency: CurrencyCode,
    /// The floor that holds (imp's, deal's and by length), converted into `currency`, rounded up.
    pub floor: Micros,
    /// The seat; empty for none.
    pub seat: &'b str,
    /// The deal; empty for an open bid.
    pub dealid: &'b str,
    /// The advertiser's domains.
    pub adomain: &'b [S],
    /// The app that is advertised (bundle or store id); empty for none.
    pub bundle: &'b str,
    /// The ad's categories in the taxonomy `cattax`.
    pub cat: &'b [S],
    /// Taxonomy of `cat`; 1 is the IAB content taxonomy 1.0.
    pub cattax: i32,
    /// The ad's attributes: bit n is code n.
    pub attr: u64,
    /// The ad's language, ISO 639-1; empty for none.
    pub language: &'b str,
    /// The API frameworks that the ad needs: bit n is code n.
    pub api: u64,
    /// The markup, as the answer will carry it.
    pub markup: &'b str,
    /// What kind of ad it is.
    pub media: Media<'b>,
}

/// The form of an ad.
#[derive(Clone, Copy, Debug)]
pub enum Media<'b> {
    /// A banner.
    Banner {
        /// Width in pixels.
        w: u32,
        /// Height in pixels.
        h: u32,
        /// Content type.
        mime: &'b str,
        /// Kinds of banner that it is of, by list 5.2 (2 image, 3 JavaScript, 4 iframe): bit n is
        /// code n.
        btypes: u64,
        /// Directions in which it expands, by list 5.5: bit n is code n.
        expdir: u64,
        /// Whether it must stand in the top frame.
        needs_topframe: bool,
    },
    /// A video.
    Video {
        /// The media files that the answer offers.
        files: &'b [&'b MediaFile],
        /// Code of the VAST version.
        protocol: u8,
        /// Length in seconds.
        duration_s: u32,
        /// 1 linear, 2 overlay.
        linearity: u8,
        /// Whether it can be skipped.
        is_skippable: bool,
    },
    /// Audio.
    Audio {
        /// The media files that the answer offers.
        files: &'b [&'b MediaFile],
        /// Code of the VAST version.
        protocol: u8,
        /// Length in seconds.
        duration_s: u32,
    },
    /// A native ad.
    Native {
        /// What the placement asks for: [`super::Native::asks`] of the imp.
        request: &'b NativeRequest<'b>,
        /// What the ad has.
        library: &'b Library,
    },
}

macro_rules! defects {
    ($($(#[$meta:meta])* $name:ident = $text:literal,)*) => {
        /// What is wrong with a bid.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        #[non_exhaustive]
        pub enum Defect {
            $($(#[$meta])* #[error($text)] $name,)*
        }

        impl Defect {
            /// Every defect, for counters.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// A short stable name, for counters and explanations.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

defects! {
    /// The request has no imp of that id (or an earlier imp has the same id).
    UnknownImp = "unknown_imp",
    /// The price is below the floor, or nothing.
    BelowFloor = "below_floor",
    /// The currency is not in `cur`.
    CurrencyNotAllowed = "currency_not_allowed",
    /// The seat is not in `wseat`, or in `bseat`.
    SeatNotAllowed = "seat_not_allowed",
    /// The imp has no such deal.
    UnknownDeal = "unknown_deal",
    /// The imp takes bids on deals only.
    DealRequired = "deal_required",
    /// The seat is not in the deal's `wseat`.
    SeatNotInDeal = "seat_not_in_deal",
    /// The advertiser is not in the deal's `wadomain`.
    AdvertiserNotInDeal = "advertiser_not_in_deal",
    /// No advertiser domain is named.
    NoAdvertiserDomain = "no_advertiser_domain",
    /// The advertiser is in `badv`.
    AdvertiserBlocked = "advertiser_blocked",
    /// A category is in `bcat`.
    CategoryBlocked = "category_blocked",
    /// No category is in `acat`.
    CategoryNotAllowed = "category_not_allowed",
    /// The advertised app is in `bapp`.
    AppBlocked = "app_blocked",
    /// An attribute is in `battr`.
    AttributeBlocked = "attribute_blocked",
    /// The language is not in `wlang`.
    LanguageNotAllowed = "language_not_allowed",
    /// Markup of a secure imp names an address without TLS.
    NotSecure = "not_secure",
    /// There is no markup.
    NoMarkup = "no_markup",
    /// The imp does not take this kind of ad.
    MediaNotAllowed = "media_not_allowed",
    /// The size does not fit.
    SizeNotAllowed = "size_not_allowed",
    /// The content type is not in `mimes`.
    MimeNotAllowed = "mime_not_allowed",
    /// The kind of banner is in `btype`.
    BannerTypeBlocked = "banner_type_blocked",
    /// The VAST version is not in `protocols`.
    ProtocolNotAllowed = "protocol_not_allowed",
    /// The length does not fit.
    DurationNotAllowed = "duration_not_allowed",
    /// The player does not take files in the way that ours come: streamed, or loaded as they play.
    DeliveryNotAllowed = "delivery_not_allowed",
    /// Linear where an overlay is asked for, or the other way.
    LinearityNotAllowed = "linearity_not_allowed",
    /// Skippable where that is forbidden.
    SkippableNotAllowed = "skippable_not_allowed",
    /// The bit rate is out of range.
    BitrateNotAllowed = "bitrate_not_allowed",
    /// The ad needs an API framework that the placement lacks.
    ApiNotSupported = "api_not_supported",
    /// The ad expands where the placement does not let it, or needs the top frame.
    ExpansionNotAllowed = "expansion_not_allowed",
    /// A required native asset is not answered.
    NativeAssetMissing = "native_asset_missing",
    /// The exchange refuses bids without a DSA transparency object, and we send none.
    DsaRequired = "dsa_required",
}

/// Checks `bid` against the imp at `imp_index` of the request that it answers.
///
/// # Errors
/// The first [`Defect`] found.
pub fn check<S: AsRef<str>>(
    request: &BidRequest<'_>,
    imp_index: usize,
    bid: &CheckedBid<'_, S>,
) -> Result<(), Defect> {
    let imp = request.imp.get(imp_index).ok_or(Defect::UnknownImp)?;
    // An exchange finds the imp by its id: of two with one id, the first is answered.
    let first = request.imp.iter().position(|imp| imp.id == bid.impid);
    ensure(!bid.impid.is_empty() && first == Some(imp_index), Defect::UnknownImp)?;
    ensure(bid.price >= bid.floor && bid.price > Micros::ZERO, Defect::BelowFloor)?;
    ensure(request.allows_currency(bid.currency), Defect::CurrencyNotAllowed)?;
    ensure(request.allows_seat(bid.seat), Defect::SeatNotAllowed)?;
    ensure(request.regs.dsa.required.is_none_or(|level| level < 2), Defect::DsaRequired)?;
    check_deal(imp, bid)?;
    check_blocks(request, bid)?;
    ensure(!bid.markup.is_empty(), Defect::NoMarkup)?;
    ensure(!imp.secure || is_secure(bid.markup), Defect::NotSecure)?;
    check_media(imp, bid)
}

fn ensure(holds: bool, defect: Defect) -> Result<(), Defect> {
    if holds { Ok(()) } else { Err(defect) }
}

fn check_deal<S: AsRef<str>>(imp: &Imp<'_>, bid: &CheckedBid<'_, S>) -> Result<(), Defect> {
    if bid.dealid.is_empty() {
        return ensure(!imp.pmp.private_auction, Defect::DealRequired);
    }
    let named = |deal: &&Deal<'_>| deal.id == bid.dealid;
    let deal = imp.pmp.deals.iter().find(named).ok_or(Defect::UnknownDeal)?;
    let has_seat = deal.wseat.is_empty() || deal.wseat.iter().any(|seat| *seat == bid.seat);
    ensure(has_seat, Defect::SeatNotInDeal)?;
    let has_advertiser = deal.wadomain.is_empty() || is_of_domain(bid.adomain, &deal.wadomain);
    ensure(has_advertiser, Defect::AdvertiserNotInDeal)
}

fn check_blocks<S: AsRef<str>>(
    request: &BidRequest<'_>,
    bid: &CheckedBid<'_, S>,
) -> Result<(), Defect> {
    ensure(!bid.adomain.is_empty(), Defect::NoAdvertiserDomain)?;
    ensure(!is_of_domain(bid.adomain, &request.badv), Defect::AdvertiserBlocked)?;
    // Categories of different taxonomies cannot be compared; then the lists do not speak to us,
    // and what cannot be shown to be allowed is not.
    let is_comparable = request.cattax.unwrap_or(1) == bid.cattax;
    let is_blocked = is_comparable && is_of_category(bid.cat, &request.bcat);
    ensure(!is_blocked, Defect::CategoryBlocked)?;
    let is_allowed =
        request.acat.is_empty() || (is_comparable && is_of_category(bid.cat, &request.acat));
    ensure(is_allowed, Defect::CategoryNotAllowed)?;
    let is_app = |app: &Str<'_>| !bid.bundle.is_empty() && app.eq_ignore_ascii_case(bid.bundle);
    ensure(!request.bapp.iter().any(is_app), Defect::AppBlocked)?;
    let is_ours = |tag: &Str<'_>| primary(tag).eq_ignore_ascii_case(primary(bid.language));
    let speaks =
        bid.language.is_empty() || request.wlang.is_empty() || request.wlang.iter().any(is_ours);
    ensure(speaks, Defect::LanguageNotAllowed)
}

/// The first part of a language tag: "pt" of "pt-BR".
fn primary(tag: &str) -> &str {
    trimmed(tag.split('-').next().unwrap_or(tag))
}

/// Whether one of `ours` is one of `listed`, or lies below it: "shop.example" is "example".
fn is_of_domain<S: AsRef<str>>(ours: &[S], listed: &[Str<'_>]) -> bool {
    let covers = |ours: &str, listed: &str| {
        // A lone top-level label is nobody's domain: it covers itself alone.
        is_below(ours, listed, b'.', true) && (listed.contains('.') || ours.len() == listed.len())
    };
    // Each of thousands listed is read once, whatever we have.
    listed
        .iter()
        .map(|listed| host(listed))
        .any(|listed| ours.iter().any(|ours| covers(ours.as_ref(), listed)))
}

/// The host of a listed domain, which may come as an address, with a port or a "www.".
fn host(listed: &str) -> &str {
    let text = trimmed(listed);
    let ends = |byte| (byte == b'/') | (byte == b':') | (byte == b'?') | (byte == b'#');
    let end = plain_prefix(text.as_bytes(), ends);
    // Nearly all are bare: nothing to cut off.
    let is_bare = end == text.len() && !text.ends_with('.');
    let text = if is_bare { text } else { host_of_address(text) };
    match text.get(..4) {
        Some(start) if start.eq_ignore_ascii_case("www.") => &text[4..],
        _ => text,
    }
}

fn host_of_address(text: &str) -> &str {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    text.split(['/', ':', '?', '#']).next().unwrap_or(text).trim_end_matches('.').trim()
}

/// Whether one of `ours` is one of `listed`, or a part of it: "IAB25-3" is in "IAB25".
fn is_of_category<S: AsRef<str>>(ours: &[S], listed: &[Str<'_>]) -> bool {
    listed
        .iter()
        .map(|listed| trimmed(listed))
        .any(|listed| ours.iter().any(|ours| is_below(ours.as_ref(), listed, b'-', false)))
}

/// Whether `name` is `above`, in any case, or continues it past `separator`: before `above` when
/// names grow to the left (domains), after it when they grow to the right.
fn is_below(name: &str, above: &str, separator: u8, grows_left: bool) -> bool {
    let (name, above) = (name.as_bytes(), above.as_bytes());
    let Some(extra) = name.len().checked_sub(above.len()) else {
        return false;
    };
    if above.is_empty() {
        return false;
    }
    let (part, border) = if grows_left {
        (&name[extra..], extra.checked_sub(1))
    } else {
        (&name[..above.len()], (extra > 0).then_some(above.len()))
    };
    border.is_none_or(|border| name[border] == separator) && part.eq_ignore_ascii_case(above)
}

/// Whether `markup` names no address without TLS. Names of XML namespaces are not addresses, but
/// our markup has none either.
fn is_secure(markup: &str) -> bool {
    let mut rest = markup.as_bytes();
    loop {
        // What ends in a colon may end in the scheme; no part of "http" reaches over one.
        let (before, from) = rest.split_at(plain_prefix(rest, |byte| byte == b':'));
        if from.is_empty() {
            return true;
        }
        if before.last_chunk::<4>().is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"http")) {
            return false;
        }
        rest = &from[1..];
    }
}

fn check_media<S: AsRef<str>>(imp: &Imp<'_>, bid: &CheckedBid<'_, S>) -> Result<(), Defect> {
    match bid.media {
        Media::Banner { w, h, mime, btypes, expdir, needs_topframe } => {
            let banner = imp.banner.as_ref().ok_or(Defect::MediaNotAllowed)?;
            ensure(banner.fits(w, h), Defect::SizeNotAllowed)?;
            ensure(has_mime(&banner.mimes, mime), Defect::MimeNotAllowed)?;
            ensure(banner.btype.bits & btypes == 0, Defect::BannerTypeBlocked)?;
            let expands = expdir & !banner.expdir.bits == 0 && (banner.topframe || !needs_topframe);
            ensure(expands, Defect::ExpansionNotAllowed)?;
            check_codes(bid, banner.battr, banner.api)
        }
        Media::Video { files, protocol, duration_s, linearity, is_skippable } => {
            let video = imp.video.as_ref().ok_or(Defect::MediaNotAllowed)?;
            let rates = (video.minbitrate, video.maxbitrate);
            check_files(files, &video.mimes, video.delivery, rates)?;
            ensure(video.protocols.permits(protocol), Defect::ProtocolNotAllowed)?;
            ensure(video.allows_duration(duration_s), Defect::DurationNotAllowed)?;
            let asked = video.linearity.is_none_or(|asked| asked == i32::from(linearity));
            ensure(asked, Defect::LinearityNotAllowed)?;
            let is_too_short = duration_s <= video.skipmin.unwrap_or(0);
            let is_forbidden = is_skippable && (video.skip == Some(false) || is_too_short);
            ensure(!is_forbidden, Defect::SkippableNotAllowed)?;
            check_codes(bid, video.battr, video.api)
        }
        Media::Audio { files, protocol, duration_s } => {
            let audio = imp.audio.as_ref().ok_or(Defect::MediaNotAllowed)?;
            let rates = (audio.minbitrate, audio.maxbitrate);
            check_files(files, &audio.mimes, audio.delivery, rates)?;
            ensure(audio.protocols.permits(protocol), Defect::ProtocolNotAllowed)?;
            ensure(audio.allows_duration(duration_s), Defect::DurationNotAllowed)?;
            check_codes(bid, audio.battr, audio.api)
        }
        Media::Native { request, library } => {
            let native = imp.native.as_ref().ok_or(Defect::MediaNotAllowed)?;
            ensure(library.can_answer(request.asks()), Defect::NativeAssetMissing)?;
            check_codes(bid, native.battr, native.api)
        }
    }
}

/// Whether there are files and the player takes each of them.
fn check_files(
    files: &[&MediaFile],
    mimes: &[Str<'_>],
    delivery: CodeSet,
    (least, most): (Option<u32>, Option<u32>),
) -> Result<(), Defect> {
    ensure(!files.is_empty(), Defect::MimeNotAllowed)?;
    files.iter().try_for_each(|file| {
        ensure(has_mime(mimes, &file.mime), Defect::MimeNotAllowed)?;
        ensure(delivery.permits(file.delivery), Defect::DeliveryNotAllowed)?;
        ensure(in_range(file.bitrate, least, most), Defect::BitrateNotAllowed)
    })
}

/// Whether `rate` (0 when unknown) lies between the bounds that are given.
pub(super) fn in_range(rate: u32, least: Option<u32>, most: Option<u32>) -> bool {
    let most = most.filter(|most| *most > 0);
    rate == 0 || (rate >= least.unwrap_or(0) && most.is_none_or(|most| rate <= most))
}

/// An empty list permits every type. Many spell JPEG `image/jpg`.
pub(super) fn has_mime(listed: &[Str<'_>], mime: &str) -> bool {
    let is_jpeg = mime == "image/jpeg";
    let names = |listed: &Str<'_>| {
        let listed = trimmed(listed);
        listed.eq_ignore_ascii_case(mime) || (is_jpeg && listed.eq_ignore_ascii_case("image/jpg"))
    };
    listed.is_empty() || listed.iter().any(names)
}

fn check_codes<S>(bid: &CheckedBid<'_, S>, battr: CodeSet, api: CodeSet) -> Result<(), Defect> {
    ensure(bid.attr & battr.bits == 0, Defect::AttributeBlocked)?;
    // A placement that names no framework is taken to support none.
    ensure(bid.api & !api.bits == 0, Defect::ApiNotSupported)
}
