//! The auction itself, pure: eligible, score, price, select, hold. It reads snapshots, owns its
//! scratch, and takes money through [`Purse`]; it never awaits, never locks, and allocates nothing
//! once it is warm.

use crate::auction::arm::Arm;
use crate::auction::fits;
use crate::auction::input::{AuctionInput, ImpInput};
use crate::auction::outcome::Pick;
use crate::auction::price::{self, Priced, Terms};
use crate::auction::reason::NoBid;
use crate::auction::select::{Candidate, Page, Shortlist};
use crate::auction::world::World;
use crate::budget::{Held, Windows};
use crate::catalog::{Ad, Campaign, EligibilityScratch};
use crate::clock::Mono;
use crate::latency::{Stage, StageRecorder};
use crate::prediction::{ContextFeatures, Cross, Interest, ScoreScratch};
use crate::privacy::ContextBucket;
use crate::strategy::pacing::{Pace, PacingSnapshot};
use crate::units::{Micros, Timestamp};

/// Where an auction takes money from: a core's leases, or, to explain, nowhere.
pub trait Purse {
    /// Holds `price` (account currency) of the campaign's money.
    ///
    /// # Errors
    /// What is left, when that is less than the price; zero when there is none.
    fn hold(
        &mut self,
        campaign: &Campaign,
        price: Micros,
        windows: Windows,
        now: Timestamp,
    ) -> Result<Held, Micros>;

    /// The campaign's pace: as published, with what this core has seen since.
    fn pace(&self, campaign: &Campaign, published: &PacingSnapshot) -> Pace;
}

/// One ad that fits one imp, scored.
#[derive(Clone, Copy, Debug)]
pub struct Scored {
    /// Position in the list of imps.
    pub imp: u8,
    /// Position of the deal in the imp's list.
    pub deal: Option<u8>,
    /// The campaign's slot index.
    pub campaign: u32,
    /// The ad's slot index.
    pub ad: u32,
    /// Logit of the click probability that ranks and prices it.
    pub logit: f32,
    /// The released prior's logit.
    pub prior_logit: f32,
    /// The user's interest in its category.
    pub interest: f32,
    /// The floor it must reach, in the currency of the answer.
    pub floor: Micros,
}

/// One core's auctioneer: its scratch, reused from request to request.
#[derive(Default)]
pub struct Auctioneer {
    eligibility: EligibilityScratch,
    eligible: Vec<u32>,
    contexts: Vec<ContextFeatures>,
    crosses: Vec<Option<Cross>>,
    scratches: Vec<ScoreScratch>,
    scored: Vec<Scored>,
    shortlists: Vec<Shortlist>,
    page: Page,
}

impl Auctioneer {
    /// Decides on `input` and leaves the decision in `input.outcome`.
    pub fn decide(
        &mut self,
        world: &World,
        purse: &mut impl Purse,
        input: &mut AuctionInput,
        recorder: &mut StageRecorder,
    ) {
        let start = Mono::now();
        let mut gate = NoBid::NoCampaign;
        // What the last request left must not be priced for this one.
        self.scored.clear();
        self.contexts.clear();
        world.catalog.eligible(&input.facts, &mut self.eligibility, &mut self.eligible);
        let eligible = Mono::now();
        recorder.record(Stage::Eligibility, eligible.nanos_since(start));
        if !self.eligible.is_empty() {
            self.prepare(world, input);
            self.score(world, input, &mut gate);
        }
        let scored = Mono::now();
        recorder.record(Stage::Score, scored.nanos_since(eligible));
        self.price(world, purse, input, &mut gate);
        let priced = Mono::now();
        recorder.record(Stage::Price, priced.nanos_since(scored));
        self.select(world, purse, input, &mut gate);
        recorder.record(Stage::Hold, Mono::now().nanos_since(priced));
        if input.outcome.picks.is_empty() {
            input.outcome.no_bid = Some(gate);
        }
        input.outcome.catalog = Some(world.catalog.clone());
    }

    /// Reduces each imp's context once.
    fn prepare(&mut self, world: &World, input: &AuctionInput) {
        self.contexts.clear();
        self.scratches
            .resize_with(input.imps.len().max(self.scratches.len()), ScoreScratch::default);
        for (imp, scratch) in input.imps.iter().zip(&mut self.scratches) {
            let context = context_of(input, imp);
            world.model.prepare(&context, scratch);
            self.contexts.push(context);
        }
    }

    fn score(&mut self, world: &World, input: &AuctionInput, gate: &mut NoBid) {
        // Out of the way while `self` is written; put back below with its memory.
        let eligible = std::mem::take(&mut self.eligible);
        for &index in &eligible {
            let Some(campaign) = world.catalog.campaign(index) else { continue };
            // The ads of a campaign share what is known of it and the user.
            self.crosses.clear();
            self.crosses.resize(input.imps.len(), None);
            for &ad_index in &campaign.ads {
                let Some(ad) = world.catalog.ad(ad_index) else { continue };
                let open = fits::unblocked(ad, &input.blocks)
                    .and_then(|()| fits::uncapped(campaign, ad, input));
                if let Err(misfit) = open {
                    *gate = (*gate).max(misfit.gate());
                    continue;
                }
                self.score_ad(world, input, campaign, ad, gate);
            }
        }
        self.eligible = eligible;
    }

    fn score_ad(
        &mut self,
        world: &World,
        input: &AuctionInput,
        campaign: &Campaign,
        ad: &Ad,
        gate: &mut NoBid,
    ) {
        for (position, imp) in input.imps.iter().enumerate() {
            let fit = fits::fits(ad, imp).and_then(|()| fits::deal(campaign, ad, imp));
            let deal = match fit {
                Ok(deal) => deal,
                Err(misfit) => {
                    *gate = (*gate).max(misfit.gate());
                    continue;
                }
            };
            *gate = (*gate).max(NoBid::BelowFloor);
            let context = &self.contexts[position];
            let cross = *self.crosses[position]
                .get_or_insert_with(|| cross_of(world, input, campaign, context));
            let logit = match input.arm {
                Arm::Full | Arm::NoInterest => {
                    world.model.logit(&self.scratches[position], ad.slot, cross)
                }
                Arm::Popularity => cross.prior_logit,
                Arm::Random | Arm::NoLearning => world.base_logit,
            };
            self.scored.push(Scored {
                imp: position as u8,
                deal: deal.map(|deal| deal.position),
                campaign: campaign.slot.index,
                ad: ad.slot.index,
                logit: imp.given_p_click.map_or(logit, |p| (p / (1.0 - p)).ln()),
                prior_logit: cross.prior_logit,
                interest: cross.interest,
                floor: deal.map_or(imp.floor, |deal| deal.floor),
            });
        }
    }

    /// Prices what was scored and keeps the best of each imp.
    fn price(&mut self, world: &World, purse: &impl Purse, input: &AuctionInput, gate: &mut NoBid) {
        self.shortlists
            .resize_with(input.imps.len().max(self.shortlists.len()), Shortlist::default);
        self.shortlists.iter_mut().for_each(Shortlist::clear);
        // The ads of one campaign follow one another, and share all but their probability.
        let mut last: Option<(u32, Option<Terms<'_>>)> = None;
        for scored in &self.scored {
            let Some(campaign) = world.catalog.campaign(scored.campaign) else { continue };
            if last.as_ref().is_none_or(|(index, _)| *index != scored.campaign) {
                last = Some((scored.campaign, Terms::of(world, purse, input, campaign)));
            }
            let terms = last.as_ref().and_then(|(_, terms)| terms.as_ref());
            let Some(Priced::Bid(price)) = terms.map(|terms| terms.price(scored)) else {
                continue;
            };
            *gate = (*gate).max(NoBid::PageRules);
            let rank = match input.arm {
                Arm::Random => price::random_rank(input.seed, scored),
                _ => price.0 as f64,
            };
            self.shortlists[usize::from(scored.imp)].offer(Candidate {
                imp: scored.imp,
                deal: scored.deal,
                campaign: scored.campaign,
                ad: scored.ad,
                price,
                rank,
                logit: scored.logit,
                prior_logit: scored.prior_logit,
                interest: scored.interest,
                floor: scored.floor,
                advertiser: campaign.advertiser,
                category: campaign.category,
            });
        }
    }

    /// Takes the best candidate that the page and the money admit, until no imp can be filled.
    fn select(
        &mut self,
        world: &World,
        purse: &mut impl Purse,
        input: &mut AuctionInput,
        gate: &mut NoBid,
    ) {
        self.page.clear();
        loop {
            let open = self.shortlists[..input.imps.len().min(self.shortlists.len())]
                .iter()
                .filter_map(|list| list.iter().find(|candidate| self.page.admits(candidate)));
            // Of equals the first imp wins, so that the order depends on the input alone.
            let best =
                open.copied().reduce(|best, next| if next.rank > best.rank { next } else { best });
            let Some(candidate) = best else { return };
            let list = &mut self.shortlists[usize::from(candidate.imp)];
            match take_money(world, purse, input, &candidate) {
                Some(pick) => {
                    list.clear();
                    self.page.take(&candidate);
                    input.outcome.picks.push(pick);
                }
                None => {
                    *gate = (*gate).max(NoBid::NoMoney);
                    list.drop_ad(candidate.ad);
                }
            }
        }
    }

    /// The features of an imp of the auction just decided, by its position in the input.
    #[must_use]
    pub fn context(&self, position: usize) -> Option<&ContextFeatures> {
        self.contexts.get(position)
    }

    /// What was scored in the auction just decided.
    #[must_use]
    pub fn scored(&self) -> &[Scored] {
        &self.scored
    }
}

/// Holds the price, or what is left where that still clears the floor.
fn take_money(
    world: &World,
    purse: &mut impl Purse,
    input: &AuctionInput,
    candidate: &Candidate,
) -> Option<Pick> {
    let campaign = world.catalog.campaign(candidate.campaign)?;
    let rate = world.rates.rate(input.currency, campaign.currency)?;
    let mut price = candidate.price;
    let mut held_price = rate.convert_up(price)?;
    let held = match purse.hold(campaign, held_price, input.windows, input.now) {
        Ok(held) => held,
        Err(left) => {
            price = rate.largest_within(left)?;
            held_price = rate.convert_up(price)?;
            if price.0 == 0 || price < candidate.floor {
                return None;
            }
            purse.hold(campaign, held_price, input.windows, input.now).ok()?
        }
    };
    Some(Pick {
        imp: input.imps[usize::from(candidate.imp)].position,
        deal: candidate.deal,
        campaign: candidate.campaign,
        ad: candidate.ad,
        price,
        held,
        logit: candidate.logit,
        prior_logit: candidate.prior_logit,
        interest: candidate.interest,
    })
}

/// The model's context of one imp.
fn context_of(input: &AuctionInput, imp: &ImpInput) -> ContextFeatures {
    let mut context = input.user_context;
    context.format = imp.format;
    context.size = imp.size;
    context.position = imp.screen_position;
    context.placement = imp.placement;
    context.bucket = ContextBucket::of(context.device_type, imp.format as u8).index() as u8;
    context.interest = if input.permissions.personalise && input.arm != Arm::NoInterest {
        Interest::Known { top: input.profile.top_categories(input.now), last_event: None }
    } else {
        Interest::Off
    };
    ContextFeatures::from(&context)
}

/// What depends on both the user and the ad.
fn cross_of(
    world: &World,
    input: &AuctionInput,
    campaign: &Campaign,
    context: &ContextFeatures,
) -> Cross {
    let bucket = ContextBucket::from_index(context.bucket).unwrap_or_default();
    let prior = world.releases.prior(campaign.id, bucket);
    let uses_interest =
        input.permissions.personalise && input.arm != Arm::NoInterest && campaign.uses_interest();
    if !uses_interest {
        return Cross::without_interest(prior.logit);
    }
    let interest = input.profile.strength(
        campaign.category,
        campaign.advertiser,
        campaign.pooled_interest,
        input.now,
    );
    Cross { interest, prior_logit: prior.logit }
}
