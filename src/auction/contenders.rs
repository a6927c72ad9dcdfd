//! Which ads of the eligible campaigns may take which imps: blocks, forms, deals, caps. What it reads
//! lies in rows that no cache holds, so it asks for them some campaigns ahead, and for what will bound
//! a campaign's price as soon as an ad of it fits.

use crate::auction::fits::{self, Misfit};
use crate::auction::input::{AuctionInput, DealInput, ImpInput};
use crate::auction::purse::Purse;
use crate::auction::reason::NoBid;
use crate::auction::world::{Seated, World};
use crate::catalog::{Ad, AdKind, AdRow, Campaign, CampaignRow, Caps, FeatureGroups, Form};
use crate::strategy::Strategy;
use crate::strategy::pacing::Pace;
use crate::units::{AdvertiserId, CategoryId, CreativeId, Micros, Slot};
use std::ops::Range;

/// Campaigns whose lines are asked for at once: four lines each, so that they stay in the core's own
/// cache until they are read. A line that is not there takes 75 to 200 ns (measured), a campaign 40.
const GROUP: usize = 256;

/// Verdicts remembered: beyond, shapes are held against imps anew for each ad. Emptying the table
/// costs 50 ns at most.
const VERDICTS_MAX: usize = 4_096;

/// An ad that fits an imp, not yet scored.
#[derive(Clone, Copy)]
pub struct Fit {
    /// The ad's slot.
    pub ad: Slot,
    /// Position in the list of imps.
    pub imp: u8,
    /// Position of the deal in the imp's list.
    pub deal: Option<u8>,
    /// The floor is the price.
    pub is_fixed: bool,
    /// It goes before bids that are not.
    pub is_preferred: bool,
    /// Seconds that it takes of a pod; 0 where there is none.
    pub seconds: u32,
    /// The floor it must reach, in the currency of the answer.
    pub floor: Micros,
}

/// A campaign with at least one ad that fits.
pub struct Contender {
    /// Which campaign, and which strategy of it.
    pub seated: Seated,
    /// Where its pace is.
    pub pace_slot: Slot,
    /// Who pays.
    pub advertiser: AdvertiserId,
    /// What it sells.
    pub category: CategoryId,
    /// What the model may use for its ads.
    pub features: FeatureGroups,
    /// Its part of the list of fits.
    pub range: Range<usize>,
    /// Its part of what was scored; empty where it was not.
    pub scored: Range<usize>,
    /// Whether an ad of it ranks by more than its price.
    pub is_preferred: bool,
    /// No price of its ads is above `exp` of this; infinite where prices alone do not rank it.
    pub ln_bound: f32,
    /// The sequence model's affinity to its category, once it is scored.
    pub sequence: f32,
    /// The highest logit of its ads, once they are scored.
    pub logit_max: f32,
    /// Its pace, once that was asked for.
    pub pace: Option<Pace>,
}

/// Whether an ad of one shape fits one imp.
#[derive(Clone, Copy)]
enum Verdict {
    Unknown,
    Fits,
    /// A native ad whose parts are still to be held against what is asked for.
    FitsWithItsParts,
    Misfit,
}

/// One core's list of contenders, reused from request to request.
#[derive(Default)]
pub struct Contenders {
    /// In the order of the eligible campaigns.
    pub list: Vec<Contender>,
    /// The fits of all of them, campaign by campaign.
    pub fits: Vec<Fit>,
    /// By imp, then by shape; empty where that would be too many.
    verdicts: Vec<Verdict>,
    misfits: Misfits,
}

/// The kinds of misfits that were met, one bit each: a request meets hundreds and reports one.
#[derive(Clone, Copy, Default)]
struct Misfits(u32);

impl Misfits {
    fn note(&mut self, misfit: Misfit) {
        self.0 |= 1 << misfit as u32;
    }

    /// The furthest gate that one of them stands at.
    fn gate(self) -> Option<NoBid> {
        let met = Misfit::ALL.iter().filter(|misfit| self.0 & 1 << **misfit as u32 != 0);
        met.map(|misfit| misfit.gate()).max()
    }
}

impl Contenders {
    /// Forgets the last request.
    pub fn clear(&mut self) {
        self.list.clear();
        self.fits.clear();
    }

    /// Holds the ads of the eligible campaigns against the request.
    pub fn find(
        &mut self,
        world: &World,
        purse: &impl Purse,
        input: &AuctionInput,
        eligible: &[u32],
        gate: &mut NoBid,
    ) {
        self.clear_verdicts(world, input);
        let catalog = &*world.catalog;
        let blocked = input.blocks.bits();
        for group in eligible.chunks(GROUP) {
            group.iter().for_each(|index| catalog.prefetch_ads(*index, blocked));
            for row in group.iter().filter_map(|index| catalog.row(*index)) {
                let from = self.fits.len();
                if let Err(misfit) = self.campaign(world, input, row, blocked) {
                    self.fits.truncate(from);
                    self.misfits.note(misfit);
                }
                if self.fits.len() > from {
                    world.model.prefetch_bound(self.fits[from].ad);
                    world.prefetch(row.slot);
                    let seated = world.seated(row, input);
                    let pace_slot = world.pace_slot(seated);
                    purse.prefetch(pace_slot);
                    self.contend(row, (seated, pace_slot), from);
                }
            }
        }
        *gate = self.misfits.gate().map_or(*gate, |misfit| misfit.max(*gate));
    }

    /// Asks for the rows of the eligible campaigns, some time before [`Contenders::find`] reads them.
    pub fn prefetch(world: &World, eligible: &[u32]) {
        eligible.iter().take(GROUP).for_each(|index| world.catalog.prefetch(*index));
    }

    fn contend(&mut self, row: &CampaignRow, (seated, pace_slot): (Seated, Slot), from: usize) {
        self.list.push(Contender {
            seated,
            pace_slot,
            advertiser: row.advertiser,
            category: row.category,
            features: row.features,
            range: from..self.fits.len(),
            is_preferred: self.fits[from..].iter().any(|fit| fit.is_preferred),
            scored: 0..0,
            ln_bound: f32::INFINITY,
            sequence: -1.0,
            logit_max: f32::NEG_INFINITY,
            pace: None,
        });
    }

    /// Adds what of the campaign's ads fits which imp to the fits.
    ///
    /// # Errors
    /// What keeps the whole campaign out; what was added is void then.
    fn campaign(
        &mut self,
        world: &World,
        input: &AuctionInput,
        row: &CampaignRow,
        blocked: u64,
    ) -> Result<(), Misfit> {
        let mut asks_ads = matches!(row.caps, Caps::Others);
        if row.may_be_blocked(blocked) {
            match world.catalog.block_keys(row) {
                Some(keys) => {
                    let app = keys.app().copied();
                    fits::unblocked(keys.domains(), keys.categories(), app, &input.blocks)?;
                }
                None => asks_ads = true,
            }
        }
        let from = self.fits.len();
        let ads = world.catalog.ad_rows(row);
        for (imp, slot) in (0u8..).zip(&input.imps) {
            let is_plain = !slot.is_private && !slot.has_length_floors && slot.pod.is_none();
            if asks_ads || row.requires_deal || !is_plain || prefers_deals(world, input, row, slot)
            {
                self.ads_one_by_one(world, input, row, ads, (imp, slot));
            } else {
                self.ads(world, ads, (imp, slot));
            }
        }
        match row.caps {
            Caps::Campaign(cap) if self.fits.len() > from => {
                let keeps = fits::keeps_cap(&cap, row.id, CreativeId::default(), input);
                if keeps { Ok(()) } else { Err(Misfit::FrequencyCapped) }
            }
            _ => Ok(()),
        }
    }

    /// The usual case: only the shapes decide. A shape's misfit was noted when it was judged.
    fn ads(&mut self, world: &World, ads: &[AdRow], (imp, slot): (u8, &ImpInput)) {
        let first = usize::from(imp) * world.catalog.shapes().len();
        let Self { fits, verdicts, misfits, .. } = self;
        let known = verdicts.get_mut(first..).unwrap_or_default();
        for ad in ads {
            let verdict = known.get(ad.shape as usize).copied().unwrap_or(Verdict::Unknown);
            let fit = match verdict {
                Verdict::Misfit => continue,
                Verdict::Fits => Ok(()),
                Verdict::FitsWithItsParts => fits::parts_fit(&world.catalog, ad.slot.index, slot),
                Verdict::Unknown => judge(world, ad, slot, known),
            };
            match fit {
                Ok(()) => fits.push(Fit {
                    ad: ad.slot,
                    imp,
                    deal: None,
                    is_fixed: false,
                    is_preferred: false,
                    seconds: 0,
                    floor: slot.floor,
                }),
                Err(misfit) => misfits.note(misfit),
            }
        }
    }

    /// Where ads differ in more than their shapes, or a deal or the length matters.
    fn ads_one_by_one(
        &mut self,
        world: &World,
        input: &AuctionInput,
        row: &CampaignRow,
        ads: &[AdRow],
        (imp, slot): (u8, &ImpInput),
    ) {
        let prefers_deals = prefers_deals(world, input, row, slot);
        for ad in ads {
            let fit = is_open(world, input, row, ad)
                .and_then(|open| judge(world, ad, slot, &mut []).map(|()| open))
                .and_then(|(campaign, ad)| Ok((ad, fits::deal(campaign, ad, slot)?)));
            match fit {
                Ok((ad, deal)) => {
                    if deal.is_none() && prefers_deals {
                        let deal = fits::best_deal(&[], ad, slot);
                        self.fits.extend(deal.map(|deal| fit_of(ad, imp, slot, Some(deal), true)));
                    }
                    self.fits.push(fit_of(ad, imp, slot, deal, prefers_deals));
                }
                Err(misfit) => self.misfits.note(misfit),
            }
        }
    }

    fn clear_verdicts(&mut self, world: &World, input: &AuctionInput) {
        let needed = world.catalog.shapes().len() * input.imps.len();
        self.misfits = Misfits::default();
        self.verdicts.clear();
        self.verdicts.resize(if needed > VERDICTS_MAX { 0 } else { needed }, Verdict::Unknown);
    }
}

/// Whether an ad fits whose shape was not held against the imp yet; the verdict on the shape is kept
/// where there is room.
#[cold]
fn judge(world: &World, ad: &AdRow, slot: &ImpInput, known: &mut [Verdict]) -> Result<(), Misfit> {
    let shape = world.catalog.shapes().get(ad.shape as usize).ok_or(Misfit::Format)?;
    let (verdict, fit) = match fits::shape_fits(shape, slot) {
        Err(misfit) => (Verdict::Misfit, Err(misfit)),
        Ok(()) if shape.form == Form::Native => {
            (Verdict::FitsWithItsParts, fits::parts_fit(&world.catalog, ad.slot.index, slot))
        }
        Ok(()) => (Verdict::Fits, Ok(())),
    };
    if let Some(place) = known.get_mut(ad.shape as usize) {
        *place = verdict;
    }
    fit
}

/// Whether the campaign puts deals of this imp before the open market. Where no strategy does, as is
/// usual, nothing of the campaign is looked up.
fn prefers_deals(world: &World, input: &AuctionInput, row: &CampaignRow, slot: &ImpInput) -> bool {
    !slot.deals.is_empty()
        && world.strategies.prefer_deals()
        && world.strategy_of(world.seated(row, input)).is_some_and(Strategy::prefers_deals)
}

/// What the rows do not say: blocks and caps of the ad itself.
fn is_open<'w>(
    world: &'w World,
    input: &AuctionInput,
    row: &CampaignRow,
    ad: &AdRow,
) -> Result<(&'w Campaign, &'w Ad), Misfit> {
    let campaign = world.catalog.campaign(row.slot.index);
    let ad = world.catalog.ad(ad.slot.index);
    let (Some(campaign), Some(ad)) = (campaign, ad) else { return Err(Misfit::Format) };
    fits::unblocked(&ad.adomain_keys, &ad.iab_cat_keys, ad.bundle_key(), &input.blocks)?;
    fits::uncapped(campaign, ad.id, input)?;
    Ok((campaign, ad))
}

fn fit_of(ad: &Ad, imp: u8, slot: &ImpInput, deal: Option<&DealInput>, prefers_deals: bool) -> Fit {
    // What is not of the pod's player takes all of it: an exchange shows it instead, not within.
    let seconds = match (slot.pod, &ad.kind) {
        (None, _) => 0,
        (Some(pod), AdKind::Video(video)) if !pod.is_audio => video.duration_s,
        (Some(pod), AdKind::Audio(audio)) if pod.is_audio => audio.duration_s,
        (Some(pod), _) => pod.seconds,
    };
    Fit {
        ad: ad.slot,
        imp,
        deal: deal.map(|deal| deal.position),
        is_fixed: deal.is_some_and(|deal| deal.is_fixed),
        is_preferred: deal.is_some_and(|deal| prefers_deals || deal.is_guaranteed),
        seconds,
        floor: fits::floor(&ad.kind, slot, deal),
    }
}
