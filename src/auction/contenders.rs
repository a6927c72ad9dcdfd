//! Which eligible campaigns may answer: blocks, shapes, deals, caps. What it reads lies in rows that
//! no cache holds, so it asks for them some campaigns ahead, and with them for what will bound a
//! campaign's price, since nearly all that are eligible contend.
//!
//! Where shapes alone decide, as is usual, a campaign contends by the verdict on the set of its ads'
//! shapes, and its ads are looked at only once it may be among the best.

use crate::auction::fits::{self, Misfit};
use crate::auction::input::{AuctionInput, DealInput, ImpInput};
use crate::auction::purse::Purse;
use crate::auction::reason::NoBid;
use crate::auction::verdicts::{ImpSet, Verdicts, by_shape};
use crate::auction::world::{Seated, World};
use crate::catalog::{Ad, AdKind, AdRow, Campaign, CampaignRow, Caps, FeatureGroups, Form};
use crate::strategy::Strategy;
use crate::units::{CreativeId, CurrencyCode, Micros, Slot};
use std::ops::Range;

/// Campaigns whose lines are asked for ahead: a line that is not there takes 75 to 200 ns (measured),
/// a campaign some 15.
const AHEAD: usize = 16;

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
    /// Imps that an ad of it fits.
    pub imps: ImpSet,
    /// What the model may use for its ads.
    pub features: FeatureGroups,
    /// The currency of its prices.
    pub currency: CurrencyCode,
    /// What its click probabilities are calibrated with.
    pub calibration_group: u16,
    /// Whether its ads were held against the imps, so that `range` is their part of the fits.
    pub is_held: bool,
    /// Its part of the list of fits.
    pub range: Range<u32>,
    /// Its part of what was scored; empty where it was not.
    pub scored: Range<u32>,
    /// Whether an ad of it ranks by more than its price.
    pub is_preferred: bool,
    /// No price of its ads is above `exp` of this; [`f32::MAX`] where prices alone do not rank it.
    pub ln_bound: f32,
    /// The sequence model's affinity to its category, once it is scored.
    pub sequence: f32,
    /// The logarithm of its pacing multiplier, once that was asked for; -infinity where it is spent.
    pub ln_multiplier: f32,
}

const _: () = assert!(size_of::<Contender>() <= 64);

impl Contender {
    /// Whether it may bid at all: where it may not, its share of the budget is spent.
    #[inline]
    pub const fn has_money(&self) -> bool {
        self.ln_multiplier > f32::NEG_INFINITY
    }

    /// Its part of `fits`.
    #[inline]
    pub fn fits<'a>(&self, fits: &'a [Fit]) -> &'a [Fit] {
        &fits[self.range.start as usize..self.range.end as usize]
    }

    /// Its part of what was scored.
    #[inline]
    pub const fn scored(&self) -> Range<usize> {
        self.scored.start as usize..self.scored.end as usize
    }

    /// Whether a price of it may reach the bar of an imp that an ad of it fits. Bars are logarithms, as
    /// bounds are.
    #[inline]
    pub fn reaches(&self, bars: &[f32]) -> bool {
        (0..).zip(bars).any(|(imp, bar)| self.imps.has(imp) && self.ln_bound >= *bar)
    }
}

/// One core's list of contenders, reused from request to request.
#[derive(Default)]
pub struct Contenders {
    /// In the order of the eligible campaigns.
    pub list: Vec<Contender>,
    /// The fits of those that were held against the imps.
    pub fits: Vec<Fit>,
    verdicts: Verdicts,
    /// Whether each is held against the imps at once.
    holds_all: bool,
}

impl Contenders {
    /// Forgets the last request.
    pub fn clear(&mut self) {
        self.list.clear();
        self.fits.clear();
    }

    /// Finds out which of the eligible campaigns may answer.
    pub fn find(
        &mut self,
        world: &World,
        purse: &impl Purse,
        input: &AuctionInput,
        eligible: &[u32],
        gate: &mut NoBid,
    ) {
        self.verdicts.begin(world, input);
        // Who is left out of too many fits is settled by all of them.
        self.holds_all = !self.verdicts.others().is_empty() || world.fits_max > 0;
        let catalog = &*world.catalog;
        let blocked = input.blocks.bits(|key| catalog.may_block(key));
        for (place, index) in eligible.iter().enumerate() {
            if let Some(later) = eligible.get(place + AHEAD) {
                prefetch(world, purse, *later);
            }
            let Some(row) = catalog.row(*index) else { continue };
            let from = self.fits.len();
            match self.campaign(world, input, row, blocked) {
                Ok(imps) if !imps.is_empty() => {
                    self.contend(row, world.seated(row, input), imps, from);
                }
                Ok(_) => {}
                Err(misfit) => {
                    self.fits.truncate(from);
                    self.verdicts.note(misfit);
                }
            }
        }
        *gate = self.verdicts.gate().map_or(*gate, |misfit| misfit.max(*gate));
    }

    /// Asks for what [`Contenders::find`] will read of the first eligible campaigns, some time before it
    /// does.
    pub fn prefetch(world: &World, purse: &impl Purse, eligible: &[u32]) {
        eligible.iter().take(AHEAD).for_each(|index| prefetch(world, purse, *index));
    }

    fn contend(&mut self, row: &CampaignRow, seated: Seated, imps: ImpSet, from: usize) {
        let own = &self.fits[from..];
        let range = from as u32..(from + own.len()) as u32;
        self.list.push(Contender {
            seated,
            imps,
            features: row.features,
            currency: row.currency,
            calibration_group: row.calibration_group,
            is_held: !own.is_empty(),
            is_preferred: own.iter().any(|fit| fit.is_preferred),
            range,
            scored: 0..0,
            ln_bound: f32::MAX,
            sequence: -1.0,
            ln_multiplier: f32::NEG_INFINITY,
        });
    }

    /// Which imps an ad of the campaign may take. Where more than shapes decides, what fits is added
    /// to the fits.
    ///
    /// # Errors
    /// What keeps the whole campaign out; what was added is void then.
    #[inline]
    fn campaign(
        &mut self,
        world: &World,
        input: &AuctionInput,
        row: &CampaignRow,
        blocked: u64,
    ) -> Result<ImpSet, Misfit> {
        let imps = if self.holds_all || asks_ads(row) || row.may_be_blocked(blocked) {
            self.closely(world, input, row, blocked)?
        } else {
            self.by_shapes(world, input, row)
        };
        match row.caps {
            Caps::Campaign(cap) if !imps.is_empty() => {
                let keeps = fits::keeps_cap(&cap, row.id, CreativeId::default(), input);
                if keeps { Ok(imps) } else { Err(Misfit::FrequencyCapped) }
            }
            _ => Ok(imps),
        }
    }

    /// Which imps an ad of the campaign may take, where more than shapes may decide. Out of line, so that
    /// the usual case is a short loop.
    ///
    /// # Errors
    /// The block that keeps all of its ads out.
    #[inline(never)]
    fn closely(
        &mut self,
        world: &World,
        input: &AuctionInput,
        row: &CampaignRow,
        blocked: u64,
    ) -> Result<ImpSet, Misfit> {
        let mut asks_ads = asks_ads(row);
        if row.may_be_blocked(blocked) {
            match world.catalog.block_keys(row) {
                Some(keys) => {
                    let app = keys.app().copied();
                    fits::unblocked(keys.domains(), keys.categories(), app, &input.blocks)?;
                }
                None => asks_ads = true,
            }
        }
        Ok(if asks_ads || self.holds_all {
            self.hold_at_once(world, input, row, asks_ads)
        } else {
            self.by_shapes(world, input, row)
        })
    }

    #[inline]
    fn by_shapes(&mut self, world: &World, input: &AuctionInput, row: &CampaignRow) -> ImpSet {
        let verdict = self.verdicts.of_set(world, input, row.shapes);
        if verdict.has_parts { self.hold_at_once(world, input, row, false) } else { verdict.imps }
    }

    /// Adds what of the campaign's ads fits to the fits.
    #[cold]
    fn hold_at_once(
        &mut self,
        world: &World,
        input: &AuctionInput,
        row: &CampaignRow,
        asks_ads: bool,
    ) -> ImpSet {
        let from = self.fits.len();
        let ads = world.catalog.ad_rows(row);
        for (imp, slot) in (0u8..).zip(&input.imps) {
            if asks_ads || self.verdicts.others().has(imp) {
                self.ads_one_by_one(world, input, row, ads, (imp, slot));
            } else {
                self.ads(world, input, ads, (imp, slot));
            }
        }
        let mut imps = ImpSet::NONE;
        self.fits[from..].iter().for_each(|fit| imps.add(fit.imp));
        imps
    }

    /// Holds the ads of a contender against the imps, where that was not done yet.
    pub fn hold(&mut self, world: &World, input: &AuctionInput, number: usize) {
        let contender = &self.list[number];
        let row = world.catalog.row(contender.seated.campaign.index);
        let Some(row) = row.filter(|_| !contender.is_held) else { return };
        let from = self.fits.len();
        let ads = world.catalog.ad_rows(row);
        for imp in by_shape(self.verdicts.others(), input) {
            self.ads(world, input, ads, imp);
        }
        let contender = &mut self.list[number];
        (contender.is_held, contender.range) = (true, from as u32..self.fits.len() as u32);
    }

    /// The usual case: only the shapes decide. A shape's misfit was noted when it was judged.
    fn ads(
        &mut self,
        world: &World,
        input: &AuctionInput,
        ads: &[AdRow],
        (imp, slot): (u8, &ImpInput),
    ) {
        for ad in ads {
            let verdict = self.verdicts.of_shape(world, input, ad.shape);
            if !verdict.imps.has(imp) {
                continue;
            }
            if verdict.has_parts
                && let Err(misfit) = fits::parts_fit(&world.catalog, ad.slot.index, slot)
            {
                self.verdicts.note(misfit);
                continue;
            }
            self.fits.push(Fit {
                ad: ad.slot,
                imp,
                deal: None,
                is_fixed: false,
                is_preferred: false,
                seconds: 0,
                floor: slot.floor,
            });
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
                .and_then(|open| judge(world, ad, slot).map(|()| open))
                .and_then(|(campaign, ad)| Ok((ad, fits::deal(campaign, ad, slot)?)));
            match fit {
                Ok((ad, deal)) => {
                    if deal.is_none() && prefers_deals {
                        let deal = fits::best_deal(&[], ad, slot);
                        self.fits.extend(deal.map(|deal| fit_of(ad, imp, slot, Some(deal), true)));
                    }
                    self.fits.push(fit_of(ad, imp, slot, deal, prefers_deals));
                }
                Err(misfit) => self.verdicts.note(misfit),
            }
        }
    }
}

/// Asks for what is read of each campaign. The pace of an arm lies elsewhere and is waited for: few
/// campaigns have several.
#[inline]
fn prefetch(world: &World, purse: &impl Purse, index: u32) {
    world.prefetch(index);
    purse.prefetch(index);
}

/// Whether its ads differ in what decides.
#[inline]
const fn asks_ads(row: &CampaignRow) -> bool {
    row.requires_deal || matches!(row.caps, Caps::Others)
}

/// Whether an ad fits by its shape and, where it is native, by its parts.
fn judge(world: &World, ad: &AdRow, slot: &ImpInput) -> Result<(), Misfit> {
    let shape = world.catalog.shapes().get(ad.shape as usize).ok_or(Misfit::Format)?;
    fits::shape_fits(shape, slot)?;
    if shape.form == Form::Native {
        fits::parts_fit(&world.catalog, ad.slot.index, slot)?;
    }
    Ok(())
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
