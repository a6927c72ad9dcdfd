//! Whether a campaign may answer a request, and an ad an imp: the filters after targeting. Each
//! refusal has a name, since the same functions explain decisions.

use crate::auction::input::{AuctionInput, BannerSlot, Blocks, DealInput, ImpInput, MediaSlot};
use crate::auction::reason::NoBid;
use crate::catalog::{Ad, AdKind, Campaign, CapScope, Dimension};
use crate::session::{CapKey, CapWindow};

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
    /// The imp is sold through deals that the campaign does not have.
    Deal,
}

impl Misfit {
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

/// Whether the request blocks what the ad is.
///
/// # Errors
/// The first block that hits.
pub fn unblocked(ad: &Ad, blocks: &Blocks) -> Result<(), Misfit> {
    let hits = |list: &[u64], keys: &[u64]| keys.iter().any(|key| list.contains(key));
    if hits(&blocks.badv, &ad.adomain_keys) {
        return Err(Misfit::AdvertiserBlocked);
    }
    if hits(&blocks.bcat, &ad.iab_cat_keys) {
        return Err(Misfit::CategoryBlocked);
    }
    if !blocks.acat.is_empty() && !hits(&blocks.acat, &ad.iab_cat_keys) {
        return Err(Misfit::CategoryBlocked);
    }
    Ok(())
}

/// Whether the user may see the campaign (and this ad of it) once more.
///
/// # Errors
/// [`Misfit::FrequencyCapped`].
pub fn uncapped(campaign: &Campaign, ad: &Ad, input: &AuctionInput) -> Result<(), Misfit> {
    let allowed = campaign.frequency_caps.iter().all(|cap| {
        let key = match cap.scope {
            CapScope::Campaign => CapKey::campaign(campaign.id),
            CapScope::Creative => CapKey::creative(ad.id),
        };
        let window = CapWindow { count: cap.count, window_s: cap.window_s };
        input.profile.allows(window, key, input.now)
    });
    if allowed { Ok(()) } else { Err(Misfit::FrequencyCapped) }
}

/// Whether the ad's form fits the imp.
///
/// # Errors
/// The first thing that does not fit.
pub fn fits(ad: &Ad, imp: &ImpInput) -> Result<(), Misfit> {
    match &ad.kind {
        AdKind::Banner(banner) => {
            let slot = imp.banner.as_ref().ok_or(Misfit::Format)?;
            banner_fits(ad, banner.w, banner.h, slot)
        }
        AdKind::Video(video) => {
            let slot = imp.video.as_ref().ok_or(Misfit::Format)?;
            media_fits(ad, VAST_INLINE & u64::from(video.protocols), video.duration_s, slot)
        }
        AdKind::Audio(audio) => {
            let slot = imp.audio.as_ref().ok_or(Misfit::Format)?;
            media_fits(ad, VAST_INLINE, audio.duration_s, slot)
        }
        AdKind::Native(_) => {
            let slot = imp.native.as_ref().ok_or(Misfit::Format)?;
            attributes(ad, slot.battr)
        }
    }
}

/// The VAST versions that we write inline, by their codes in OpenRTB's list 5.8: bit `n` for code
/// `n`, 2 (2.0), 3 (3.0), 7 (4.0), 11 (4.1), 13 (4.2).
const VAST_INLINE: u64 = 1 << 2 | 1 << 3 | 1 << 7 | 1 << 11 | 1 << 13;

/// OpenRTB banner type of our banners: an image with a link is XHTML (2); list 5.2 counts from 1.
const BANNER_TYPE_XHTML_BANNER: u64 = 1 << 2;

fn banner_fits(ad: &Ad, w: u32, h: u32, slot: &BannerSlot) -> Result<(), Misfit> {
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    if !slot.sizes.iter().any(|rule| rule.admits(side(w), side(h))) {
        return Err(Misfit::Size);
    }
    mime(ad, &slot.mimes)?;
    if slot.btype & BANNER_TYPE_XHTML_BANNER != 0 {
        return Err(Misfit::Format);
    }
    attributes(ad, slot.battr)
}

fn media_fits(ad: &Ad, protocols: u64, seconds: u32, slot: &MediaSlot) -> Result<(), Misfit> {
    if !slot.accepts_linear {
        return Err(Misfit::Format);
    }
    mime(ad, &slot.mimes)?;
    if slot.protocols != 0 && slot.protocols & protocols == 0 {
        return Err(Misfit::Protocol);
    }
    let in_time = if slot.seconds_exact.is_empty() {
        (slot.seconds_min..=slot.seconds_max).contains(&seconds)
    } else {
        slot.seconds_exact.contains(&seconds) && seconds <= slot.seconds_max
    };
    if !in_time {
        return Err(Misfit::Duration);
    }
    attributes(ad, slot.battr)
}

fn mime(ad: &Ad, allowed: &[u64]) -> Result<(), Misfit> {
    let is_allowed = allowed.is_empty() || ad.mime.is_none_or(|mime| allowed.contains(&mime));
    if is_allowed { Ok(()) } else { Err(Misfit::Mime) }
}

fn attributes(ad: &Ad, blocked: u64) -> Result<(), Misfit> {
    if ad.attr & blocked == 0 { Ok(()) } else { Err(Misfit::Attribute) }
}

/// The deal that the campaign may use on this imp, if it must or can: `Ok(None)` is the open market.
///
/// # Errors
/// The imp is private, or the campaign bids through deals only, and none matches.
pub fn deal<'a>(
    campaign: &Campaign,
    ad: &Ad,
    imp: &'a ImpInput,
) -> Result<Option<&'a DealInput>, Misfit> {
    let wanted = campaign.filters.included(Dimension::Deal);
    let deal = imp.deals.iter().find(|deal| {
        (wanted.is_empty() || wanted.contains(&deal.key))
            && (deal.advertisers.is_empty()
                || ad.adomain_keys.iter().any(|key| deal.advertisers.contains(key)))
    });
    match deal {
        // A deal that the campaign asked for, or the only way in.
        Some(deal) if imp.is_private || !wanted.is_empty() => Ok(Some(deal)),
        _ if imp.is_private || !wanted.is_empty() => Err(Misfit::Deal),
        _ => Ok(None),
    }
}
