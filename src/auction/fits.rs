//! Whether a campaign may answer a request, and an ad an imp: the filters after targeting. Each
//! refusal has a name, since the same functions explain decisions.

use crate::auction::input::{
    AuctionInput, BannerSlot, Blocks, DealInput, ImpInput, KeySet, MediaSlot, SizeRule,
};
use crate::auction::reason::NoBid;
use crate::catalog::{
    Ad, AdKind, Campaign, CapScope, Catalog, Dimension, FileShape, Form, FrequencyCap, Needs, Shape,
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
    /// The ad's language is not in `wlang`.
    Language,
    /// The ad may be skipped, and the player forbids that.
    Skippable,
    /// The ad needs an API, a direction to expand in or the top frame, and the placement lacks it.
    Api,
}

impl Misfit {
    /// All of them, in order.
    pub const ALL: [Self; 15] = [
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
        Self::Language,
        Self::Skippable,
        Self::Api,
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
/// included, and of the app.
///
/// # Errors
/// The first block that hits.
pub fn unblocked(
    domains: &[u64],
    categories: &[u64],
    app: Option<u64>,
    blocks: &Blocks,
) -> Result<(), Misfit> {
    let hits = |list: &KeySet, keys: &[u64]| keys.iter().any(|key| list.has(*key));
    if hits(&blocks.badv, domains) {
        return Err(Misfit::AdvertiserBlocked);
    }
    if app.is_some_and(|app| blocks.bapp.has(app)) {
        return Err(Misfit::AppBlocked);
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
    let (key, window) = cap_of(cap, campaign, ad);
    input.profile.allows(window, key, input.now)
}

/// What a cap of the campaign counts when this ad of it is shown, and how much of it there may be.
pub fn cap_of(cap: &FrequencyCap, campaign: CampaignId, ad: CreativeId) -> (CapKey, CapWindow) {
    let key = match cap.scope {
        CapScope::Campaign => CapKey::campaign(campaign),
        CapScope::Creative => CapKey::creative(ad),
    };
    (key, CapWindow { count: cap.count, window_s: cap.window_s })
}

/// Whether an ad of this shape fits the imp. A native ad has parts beside its shape: see
/// [`parts_fit`].
///
/// # Errors
/// The first thing that does not fit.
pub fn shape_fits(shape: &Shape, imp: &ImpInput) -> Result<(), Misfit> {
    if shape.language != 0 && !imp.languages.is_empty() && !imp.languages.contains(&shape.language)
    {
        return Err(Misfit::Language);
    }
    match &shape.form {
        Form::Banner { .. } => banner_fits(shape, imp.banner.as_ref().ok_or(Misfit::Format)?),
        Form::Video { seconds, protocols, is_skippable, files } => {
            let slot = imp.video.as_ref().ok_or(Misfit::Format)?;
            media_fits(shape, (*seconds, *protocols, *is_skippable), files, slot)
        }
        Form::Audio { seconds, protocols, files } => {
            let slot = imp.audio.as_ref().ok_or(Misfit::Format)?;
            media_fits(shape, (*seconds, *protocols, false), files, slot)
        }
        Form::Native => {
            let slot = imp.native.as_ref().ok_or(Misfit::Format)?;
            permitted(shape, slot.battr, slot.offers)
        }
    }
}

/// Whether the parts of the ad in this slot are what the imp's native placement asks for. The
/// library itself says so, as it will when the answer is written.
///
/// # Errors
/// [`Misfit::Asset`].
pub fn parts_fit(catalog: &Catalog, ad_index: u32, imp: &ImpInput) -> Result<(), Misfit> {
    let slot = imp.native.as_ref().ok_or(Misfit::Format)?;
    match catalog.ad(ad_index).map(|ad| &ad.kind) {
        Some(AdKind::Native(library)) if library.can_answer(&slot.asks) => Ok(()),
        Some(AdKind::Native(_)) => Err(Misfit::Asset),
        _ => Err(Misfit::Format),
    }
}

fn banner_fits(ad: &Shape, slot: &BannerSlot) -> Result<(), Misfit> {
    let Form::Banner { sizes, is_fluid, mime, btypes } = &ad.form else {
        return Err(Misfit::Format);
    };
    let admits = |rule: &SizeRule| {
        sizes.iter().any(|(w, h)| rule.admits(u32::from(*w), u32::from(*h)))
            || (*is_fluid && rule.admits_any())
    };
    if !slot.sizes.iter().any(admits) {
        return Err(Misfit::Size);
    }
    if !slot.mimes.is_empty() && !slot.mimes.has(*mime) {
        return Err(Misfit::Mime);
    }
    if slot.btype & u64::from(*btypes) != 0 {
        return Err(Misfit::Format);
    }
    permitted(ad, slot.battr, slot.offers)
}

fn media_fits(
    ad: &Shape,
    (seconds, protocols, is_skippable): (u32, u32, bool),
    files: &[FileShape],
    slot: &MediaSlot,
) -> Result<(), Misfit> {
    if !slot.accepts_linear {
        return Err(Misfit::Format);
    }
    if !files.iter().any(|file| plays(file, slot)) {
        return Err(Misfit::Mime);
    }
    if slot.protocols & u64::from(protocols) == 0 {
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
    if is_skippable && slot.skip_longer_than_s.is_none_or(|least| seconds <= least) {
        return Err(Misfit::Skippable);
    }
    permitted(ad, slot.battr, slot.offers)
}

/// Whether the player takes the file: `openrtb::vast` says the same when the answer is written.
fn plays(file: &FileShape, slot: &MediaSlot) -> bool {
    let (least, most) = slot.bitrates;
    (slot.mimes.is_empty() || slot.mimes.has(file.mime))
        && slot.delivery & 1 << file.delivery != 0
        && (file.bitrate == 0 || (least..=most).contains(&file.bitrate))
}

fn permitted(ad: &Shape, blocked: u64, offers: Needs) -> Result<(), Misfit> {
    if ad.attr & blocked != 0 {
        return Err(Misfit::Attribute);
    }
    if ad.needs.are_met_by(offers) { Ok(()) } else { Err(Misfit::Api) }
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
    let is_usable = |deal: &&DealInput| {
        (wanted.is_empty() || wanted.contains(&deal.key))
            && (deal.advertisers.is_empty()
                || ad.adomain_keys.iter().any(|key| deal.advertisers.has(*key)))
    };
    let order = |deal: &&DealInput| (!deal.is_guaranteed, floor(&ad.kind, imp, Some(deal)));
    imp.deals.iter().filter(is_usable).min_by_key(order)
}

/// What an ad of this kind must bid at least: the floor of the deal, else the imp's, and the one for
/// its length. A deal's floors by length stand in place of the placement's.
#[must_use]
pub fn floor(kind: &AdKind, imp: &ImpInput, deal: Option<&DealInput>) -> Micros {
    let flat = deal.map_or(imp.floor, |deal| deal.floor);
    let (slot, seconds) = match kind {
        AdKind::Video(video) => (imp.video.as_ref(), video.duration_s),
        AdKind::Audio(audio) => (imp.audio.as_ref(), audio.duration_s),
        AdKind::Banner(_) | AdKind::Native(_) => return flat,
    };
    let of_deal = deal.map(|deal| &deal.length_floors).filter(|floors| !floors.is_empty());
    let by_length = of_deal.or(slot.map(|slot| &slot.length_floors));
    by_length.map_or(flat, |floors| flat.max(floors.at(seconds)))
}

#[cfg(test)]
#[path = "fits_tests.rs"]
mod tests;
