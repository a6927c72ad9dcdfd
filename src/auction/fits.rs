//! Whether a campaign may answer a request, and an ad an imp: the filters after targeting. Each
//! refusal has a name, since the same functions explain decisions.

use crate::auction::input::{
    AuctionInput, BannerSlot, Blocks, DealInput, ImpInput, KeySet, MediaSlot, NativeAsk,
    NativePart, NativeSlot,
};
use crate::auction::reason::NoBid;
use crate::catalog::{
    Ad, AdKind, Campaign, CapScope, Catalog, Dimension, Form, FrequencyCap, Native, Shape,
    image_mime, mime_key,
};
use crate::session::{CapKey, CapWindow};
use crate::units::{CampaignId, CreativeId, Micros};

/// Why an ad may not take an imp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Misfit {
    /// The advertiser's domain is in `badv`.
    AdvertiserBlocked,
    /// A category is in `bcat`, or outside `acat`.
    CategoryBlocked,
    /// The app advertised is in `bapp`.
    AppBlocked,
    /// The user has seen it often enough.
    FrequencyCapped,
    /// The imp takes no ad of this kind.
    Format,
    /// The imp takes no ad of this size.
    Size,
    /// The imp's player does not know the ad's type.
    Mime,
    /// The imp's player does not know the ad's protocol.
    Protocol,
    /// The ad is too short or too long.
    Duration,
    /// The ad has an attribute that is blocked.
    Attribute,
    /// A required native asset is one that the ad lacks, or is out of bounds.
    Asset,
    /// The imp is sold through deals that the campaign does not have.
    Deal,
}

impl Misfit {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::AdvertiserBlocked,
        Self::CategoryBlocked,
        Self::AppBlocked,
        Self::FrequencyCapped,
        Self::Format,
        Self::Size,
        Self::Mime,
        Self::Protocol,
        Self::Duration,
        Self::Attribute,
        Self::Asset,
        Self::Deal,
    ];

    /// The gate at which this stops an ad.
    #[must_use]
    pub const fn gate(self) -> NoBid {
        match self {
            Self::AdvertiserBlocked | Self::CategoryBlocked | Self::AppBlocked => NoBid::Blocked,
            Self::FrequencyCapped => NoBid::FrequencyCapped,
            _ => NoBid::NoCreativeFits,
        }
    }
}

/// Whether the request blocks who advertises, or what: keys of domains and of categories, parents
/// included.
///
/// # Errors
/// The first block that hits.
pub fn unblocked(domains: &[u64], categories: &[u64], blocks: &Blocks) -> Result<(), Misfit> {
    let hits = |list: &KeySet, keys: &[u64]| keys.iter().any(|key| list.has(*key));
    if hits(&blocks.badv, domains) {
        return Err(Misfit::AdvertiserBlocked);
    }
    // What cannot be shown to be permitted is not.
    if blocks.has_foreign_bcat || hits(&blocks.bcat, categories) {
        return Err(Misfit::CategoryBlocked);
    }
    if !blocks.acat.is_empty() && !hits(&blocks.acat, categories) {
        return Err(Misfit::CategoryBlocked);
    }
    Ok(())
}

/// Whether the user may see the campaign (and this ad of it) once more.
///
/// # Errors
/// [`Misfit::FrequencyCapped`].
pub fn uncapped(campaign: &Campaign, ad: CreativeId, input: &AuctionInput) -> Result<(), Misfit> {
    let keeps = |cap: &FrequencyCap| keeps_cap(cap, campaign.id, ad, input);
    let allowed = campaign.frequency_caps.iter().all(keeps);
    if allowed { Ok(()) } else { Err(Misfit::FrequencyCapped) }
}

/// Whether one more show of the campaign and ad keeps one cap.
pub fn keeps_cap(
    cap: &FrequencyCap,
    campaign: CampaignId,
    ad: CreativeId,
    input: &AuctionInput,
) -> bool {
    let key = match cap.scope {
        CapScope::Campaign => CapKey::campaign(campaign),
        CapScope::Creative => CapKey::creative(ad),
    };
    let window = CapWindow { count: cap.count, window_s: cap.window_s };
    input.profile.allows(window, key, input.now)
}

/// Whether an ad of this shape fits the imp. A native ad has parts beside its shape: see
/// [`parts_fit`].
///
/// # Errors
/// The first thing that does not fit.
pub fn shape_fits(shape: &Shape, imp: &ImpInput) -> Result<(), Misfit> {
    match shape.form {
        Form::Banner { w, h } => {
            let slot = imp.banner.as_ref().ok_or(Misfit::Format)?;
            banner_fits(shape, w.into(), h.into(), slot)
        }
        Form::Video { seconds, protocols } => {
            let slot = imp.video.as_ref().ok_or(Misfit::Format)?;
            media_fits(shape, VAST_INLINE & u64::from(protocols), seconds, slot)
        }
        Form::Audio { seconds } => {
            let slot = imp.audio.as_ref().ok_or(Misfit::Format)?;
            media_fits(shape, VAST_INLINE, seconds, slot)
        }
        Form::Native => {
            let slot = imp.native.as_ref().ok_or(Misfit::Format)?;
            attributes(shape, slot.battr)
        }
    }
}

/// Whether the parts of the ad in this slot are what the imp's native placement asks for.
///
/// # Errors
/// [`Misfit::Asset`].
pub fn parts_fit(catalog: &Catalog, ad_index: u32, imp: &ImpInput) -> Result<(), Misfit> {
    let slot = imp.native.as_ref().ok_or(Misfit::Format)?;
    match catalog.ad(ad_index).map(|ad| &ad.kind) {
        Some(AdKind::Native(native)) => native_fits(native, slot),
        _ => Err(Misfit::Format),
    }
}

/// The VAST versions that we write inline, by their codes in OpenRTB's list 5.8: bit `n` for code
/// `n`, 2 (2.0), 3 (3.0), 7 (4.0), 11 (4.1), 13 (4.2).
const VAST_INLINE: u64 = 1 << 2 | 1 << 3 | 1 << 7 | 1 << 11 | 1 << 13;

/// OpenRTB banner type of our banners: an image with a link is XHTML (2); list 5.2 counts from 1.
const BANNER_TYPE_XHTML_BANNER: u64 = 1 << 2;

fn banner_fits(ad: &Shape, w: u32, h: u32, slot: &BannerSlot) -> Result<(), Misfit> {
    if !slot.sizes.iter().any(|rule| rule.admits(w, h)) {
        return Err(Misfit::Size);
    }
    mime(ad, &slot.mimes)?;
    if slot.btype & BANNER_TYPE_XHTML_BANNER != 0 {
        return Err(Misfit::Format);
    }
    attributes(ad, slot.battr)
}

fn media_fits(ad: &Shape, protocols: u64, seconds: u32, slot: &MediaSlot) -> Result<(), Misfit> {
    if !slot.accepts_linear {
        return Err(Misfit::Format);
    }
    mime(ad, &slot.mimes)?;
    if slot.protocols & protocols == 0 {
        return Err(Misfit::Protocol);
    }
    let in_time = if slot.seconds_exact.is_empty() {
        (slot.seconds_min..=slot.seconds_max).contains(&seconds)
    } else {
        slot.seconds_exact.contains(&seconds)
    };
    if !in_time || seconds > slot.pod_seconds {
        return Err(Misfit::Duration);
    }
    attributes(ad, slot.battr)
}

/// Icons of native ads are squares of this side, in pixels; the catalog's documentation says so.
pub const NATIVE_ICON_SIDE: u32 = 128;

/// Says of the ad what `openrtb::NativeAssets::can_answer` will say when the answer is written.
fn native_fits(native: &Native, slot: &NativeSlot) -> Result<(), Misfit> {
    let is_of = |mimes: &Option<Box<KeySet>>, url: &str| {
        mimes.as_ref().is_none_or(|mimes| mimes.has(mime_key(image_mime(url))))
    };
    let answers = |ask: &NativeAsk| match ask.part {
        NativePart::Title(most) => is_text(&native.title, most),
        NativePart::Sponsored(most) => is_text(&native.sponsored, most),
        NativePart::Description(most) => is_text(&native.description, most),
        NativePart::CallToAction(most) => is_text(&native.cta, most),
        NativePart::Icon(size) => {
            size.admits(NATIVE_ICON_SIDE, NATIVE_ICON_SIDE) && is_of(&ask.mimes, &native.icon_url)
        }
        NativePart::Image(size) => {
            size.admits(native.image.w, native.image.h) && is_of(&ask.mimes, &native.image.url)
        }
        NativePart::Unknown => false,
    };
    let all = slot.assets.iter().all(|ask| !ask.is_required || answers(ask));
    let is_answer = all && slot.assets.iter().any(answers);
    if is_answer { Ok(()) } else { Err(Misfit::Asset) }
}

fn is_text(text: &str, most: u32) -> bool {
    !text.is_empty() && text.chars().count() as u64 <= u64::from(most)
}

fn mime(ad: &Shape, allowed: &KeySet) -> Result<(), Misfit> {
    let is_allowed = allowed.is_empty() || ad.mime.is_none_or(|mime| allowed.has(mime));
    if is_allowed { Ok(()) } else { Err(Misfit::Mime) }
}

fn attributes(ad: &Shape, blocked: u64) -> Result<(), Misfit> {
    if ad.attr & blocked == 0 { Ok(()) } else { Err(Misfit::Attribute) }
}

/// The deal that the campaign may use on this imp, if it must: `Ok(None)` is the open market.
///
/// # Errors
/// The imp is private, or the campaign bids through deals only, and none matches.
pub fn deal<'a>(
    campaign: &Campaign,
    ad: &Ad,
    imp: &'a ImpInput,
) -> Result<Option<&'a DealInput>, Misfit> {
    let wanted = campaign.filters.included(Dimension::Deal);
    if wanted.is_empty() && !imp.is_private {
        return Ok(None);
    }
    best_deal(wanted, ad, imp).map(Some).ok_or(Misfit::Deal)
}

/// Of the deals that the ad may use, among `wanted` unless that is empty: a guaranteed one before
/// others, then the one with the lowest floor, then the first.
pub fn best_deal<'a>(wanted: &[u64], ad: &Ad, imp: &'a ImpInput) -> Option<&'a DealInput> {
    let form = Form::of(&ad.kind);
    let is_usable = |deal: &&DealInput| {
        (wanted.is_empty() || wanted.contains(&deal.key))
            && (deal.advertisers.is_empty()
                || ad.adomain_keys.iter().any(|key| deal.advertisers.has(*key)))
    };
    let order = |deal: &&DealInput| (!deal.is_guaranteed, floor(form, imp, Some(deal)));
    imp.deals.iter().filter(is_usable).min_by_key(order)
}

/// What an ad of this form must bid at least: the floor of the deal, else the imp's, and the one for
/// its length. A deal's floors by length stand in place of the placement's.
#[must_use]
pub fn floor(form: Form, imp: &ImpInput, deal: Option<&DealInput>) -> Micros {
    let flat = deal.map_or(imp.floor, |deal| deal.floor);
    let (slot, seconds) = match form {
        Form::Video { seconds, .. } => (imp.video.as_ref(), seconds),
        Form::Audio { seconds } => (imp.audio.as_ref(), seconds),
        Form::Banner { .. } | Form::Native => return flat,
    };
    let of_deal = deal.map(|deal| &deal.length_floors).filter(|floors| !floors.is_empty());
    let by_length = of_deal.or(slot.map(|slot| &slot.length_floors));
    by_length.map_or(flat, |floors| flat.max(floors.at(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auction::{Context, Policy, extract};
    use crate::catalog::NativeImage;
    use crate::consent;
    use crate::openrtb::{self, Limits, NativeAssets};
    use crate::rates::Rates;
    use crate::units::CurrencyCode;
    use std::collections::BTreeMap;

    fn native() -> Native {
        Native {
            title: "Boots".to_owned(),
            description: "For rain".to_owned(),
            sponsored: "Shoes".to_owned(),
            cta: "See".to_owned(),
            icon_url: "https://a.example/i.webp".to_owned(),
            image: NativeImage { url: "https://a.example/w.png".to_owned(), w: 1_200, h: 627 },
        }
    }

    fn assets(native: &Native) -> NativeAssets<'_> {
        let image = |url, w, h| openrtb::NativeImage { url, w, h, mime: image_mime(url) };
        NativeAssets {
            title: &native.title,
            icon: Some(image(&native.icon_url, NATIVE_ICON_SIDE, NATIVE_ICON_SIDE)),
            image: Some(image(&native.image.url, native.image.w, native.image.h)),
            description: &native.description,
            sponsored: &native.sponsored,
            cta: &native.cta,
        }
    }

    /// Both judge the same request: the auction's slot, and the check before the answer leaves.
    #[test]
    fn native_ads_fit_where_their_answer_can_be_written() {
        let native = native();
        let rates = Rates::parse(CurrencyCode::USD, &BTreeMap::new()).expect("no rates");
        for (asset, expected) in [
            (r#"{"id":1,"required":1,"img":{"type":3}}"#, true),
            (r#"{"id":1,"required":1,"img":{"type":3,"mimes":["image/gif"," IMAGE/png "]}}"#, true),
            (
                r#"{"id":1,"required":1,"img":{"type":3,"mimes":["image/jpeg","image/webp"]}}"#,
                false,
            ),
            (r#"{"id":1,"required":1,"img":{"type":3,"w":1,"mimes":["image/png"]}}"#, false),
            (r#"{"id":1,"required":1,"img":{"type":1,"mimes":["image/webp"]}}"#, true),
            (r#"{"id":1,"required":1,"img":{"type":1,"mimes":["image/png"]}}"#, false),
            (r#"{"id":1,"img":{"type":3,"mimes":["image/gif"]}}"#, false),
            (r#"{"id":1,"img":{"type":3,"mimes":["image/gif"]}},{"id":2,"title":{}}"#, true),
            (r#"{"id":1,"required":1,"title":{"len":5},"img":{"mimes":["image/gif"]}}"#, true),
            (r#"{"id":1,"required":1,"title":{"len":4}}"#, false),
        ] {
            let body = format!(
                r#"{{"id":"r","imp":[{{"id":"n","native":{{"request":{{"assets":[{asset}]}}}}}}]}}"#
            );
            let request = openrtb::parse(body.as_bytes(), &Limits::default()).expect("parses");
            let context = Context {
                exchange: "x",
                seat: "seat",
                rates: &rates,
                policy: &Policy::default(),
                permissions: consent::decide(&consent::Policy::default(), &request).permissions(),
                is_simulation: false,
                is_https: true,
            };
            let mut input = AuctionInput::new();
            assert!(extract(&request, &context, &mut input).is_ok());
            let slot = input.imps[0].native.as_ref().expect("a native slot");
            assert_eq!(native_fits(&native, slot).is_ok(), expected, "{asset}");
            let asked = request.imp[0].native.as_ref().and_then(|native| native.asks());
            assert_eq!(assets(&native).can_answer(&asked.expect("asks")), expected, "{asset}");
        }
    }
}
