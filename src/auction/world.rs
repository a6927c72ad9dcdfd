//! What one request sees of the world: one epoch of each snapshot, pinned for its whole length.

#[cfg(feature = "onnx")]
use crate::auction::decide::Reranker;
use crate::auction::diversity::ShownCategories;
use crate::auction::input::AuctionInput;
use crate::auction::price;
use crate::catalog::{ARMS_MAX, Campaign, CampaignRow, Catalog};
use crate::config;
use crate::market::MarketSnapshot;
use crate::prediction::{Bound, ModelSnapshot};
use crate::prefetch::prefetch;
use crate::privacy::{ConversionRates, PriorBounds, PriorLogits, Releases};
use crate::rates::Rates;
use crate::relevance::RelevanceSnapshot;
use crate::relevance::sequence::{CategoryRows, SequenceModel};
use crate::strategy::pacing::PacingSnapshot;
use crate::strategy::{Exploration, LnWorth, Split, Strategies, Strategy, StrategyId};
use crate::units::{CampaignId, Slot};
use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use serde::Serialize;
use smallvec::SmallVec;
use std::sync::Arc;

/// Where the lower row publishes and the upper row reads.
#[derive(Clone)]
pub struct Published {
    /// Campaigns and ads.
    pub catalog: Arc<ArcSwap<Catalog>>,
    /// The click model.
    pub model: Arc<ArcSwap<ModelSnapshot>>,
    /// Pacing multipliers.
    pub pacing: Arc<ArcSwap<PacingSnapshot>>,
    /// Private releases.
    pub releases: Arc<ArcSwap<Releases>>,
    /// Prices of first-price auctions.
    pub market: Arc<ArcSwap<MarketSnapshot>>,
    /// Bidding strategies.
    pub strategies: Arc<ArcSwap<Strategies>>,
    /// What visits to items speak for.
    pub relevance: Arc<ArcSwap<RelevanceSnapshot>>,
    /// Currency rates.
    pub rates: Arc<ArcSwap<Rates>>,
    /// What steps the states of users, where there is one.
    pub sequence: Option<Arc<SequenceModel>>,
    /// Fits that an auction scores; 0 is all.
    pub fits_max: usize,
    /// Logit of the click probability before anything is known.
    pub base_logit: f32,
    /// What keeps pages and users from being flooded.
    pub limits: config::Auction,
    /// An imported model that is asked about the best candidates.
    #[cfg(feature = "onnx")]
    pub reranker: Option<Arc<Reranker>>,
}

/// One epoch of everything.
pub struct World {
    /// Campaigns and ads.
    pub catalog: Arc<Catalog>,
    /// The click model.
    pub model: Arc<ModelSnapshot>,
    /// Pacing multipliers.
    pub pacing: Arc<PacingSnapshot>,
    /// Private releases.
    pub releases: Arc<Releases>,
    /// Prices of first-price auctions.
    pub market: Arc<MarketSnapshot>,
    /// Bidding strategies.
    pub strategies: Arc<Strategies>,
    /// What visits to items speak for.
    pub relevance: Arc<RelevanceSnapshot>,
    /// Currency rates.
    pub rates: Arc<Rates>,
    /// What steps the states of users, where there is one.
    sequence: Option<Arc<SequenceModel>>,
    /// Fits that an auction scores; 0 is all.
    pub fits_max: usize,
    /// Logit of the click probability before anything is known.
    pub base_logit: f32,
    /// What keeps pages and users from being flooded.
    pub limits: config::Auction,
    /// An imported model that is asked about the best candidates.
    #[cfg(feature = "onnx")]
    pub reranker: Option<Arc<Reranker>>,
    /// What campaigns sell, as sessions know them.
    pub shown: ShownCategories,
    seats: Seats,
}

/// By campaign slot index: what is looked up once an epoch, and not at each auction.
struct Seats {
    seats: Vec<Seat>,
    priors: Vec<PriorLogits>,
    /// What clicks become, by releases; empty where the model predicts it.
    conversions: Vec<ConversionRates>,
    /// The row of the campaign's category, and 0 without one: counted from 1.
    category_rows: Vec<u16>,
    sequence: CategoryRows,
    /// By the number of the split, from 0.
    splits: Vec<SplitSeats>,
    /// Slot index of the campaign by the place of an arm's pace, past those of campaigns.
    owners: Vec<u32>,
    has_explorers: bool,
}

/// The arms of one campaign.
struct SplitSeats {
    split: Split,
    arms: SmallVec<[ArmSeat; ARMS_MAX]>,
}

struct ArmSeat {
    seat: Seat,
    /// Where its pace is published.
    pace: Slot,
}

/// Which of a campaign's strategies one auction is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seated {
    /// The campaign's slot.
    pub campaign: Slot,
    /// The number of its split, from 1; 0 without one.
    split: u16,
    /// The arm, 0 without a split.
    pub arm: u8,
}

impl Seated {
    /// A campaign's arm.
    #[must_use]
    pub const fn of(row: &CampaignRow, arm: u8) -> Self {
        Self { campaign: row.slot, split: row.split, arm }
    }

    /// The arm, where there are several.
    #[must_use]
    pub const fn split_arm(self) -> Option<u8> {
        if self.split == 0 { None } else { Some(self.arm) }
    }
}

/// How one campaign, or one arm of it, bids: a cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Seat {
    /// What it finds an impression worth at most.
    worth: LnWorth,
    /// What none of its ads scores above, by the model that is at hand.
    bound: Bound,
    priors: PriorBounds,
    /// Slot index of one of its ads, by which the model bounds all of them.
    first_ad: u32,
    strategy: Option<StrategyId>,
    /// Whether it tries ads of which little is known.
    explores: bool,
}

const _: () = assert!(size_of::<Seat>() == 64);

impl Seat {
    /// Of a campaign that cannot bid.
    const NOBODY: Self = Self {
        worth: LnWorth::NEVER,
        bound: Bound::UNKNOWN,
        priors: PriorBounds::NONE,
        first_ad: u32::MAX,
        strategy: None,
        explores: false,
    };
}

/// The epochs of one world: which snapshots a decision was made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Epochs {
    /// Campaigns and ads.
    pub catalog: u64,
    /// The click model.
    pub model: u64,
    /// Pacing multipliers.
    pub pacing: u64,
    /// Private releases.
    pub releases: u64,
    /// Prices of first-price auctions.
    pub market: u64,
    /// What visits to items speak for.
    pub relevance: u64,
}

impl World {
    /// The epochs of its snapshots.
    #[must_use]
    pub fn epochs(&self) -> Epochs {
        Epochs {
            catalog: self.catalog.epoch,
            model: self.model.epoch(),
            pacing: self.pacing.epoch,
            releases: self.releases.epoch(),
            market: self.market.epoch,
            relevance: self.relevance.epoch(),
        }
    }

    /// The present epoch of everything.
    #[must_use]
    pub fn now(published: &Published) -> Self {
        let (catalog, releases) = (published.catalog.load_full(), published.releases.load_full());
        let strategies = published.strategies.load_full();
        let model = published.model.load_full();
        let sequence = published.sequence.as_deref();
        Self {
            seats: Seats::of(&catalog, &strategies, &releases, (&*model, sequence)),
            shown: ShownCategories::of(&catalog, &published.limits.diversity),
            limits: published.limits,
            #[cfg(feature = "onnx")]
            reranker: published.reranker.clone(),
            catalog,
            model,
            pacing: published.pacing.load_full(),
            releases,
            market: published.market.load_full(),
            strategies,
            relevance: published.relevance.load_full(),
            fits_max: published.fits_max,
            rates: published.rates.load_full(),
            sequence: published.sequence.clone(),
            base_logit: published.base_logit,
        }
    }

    /// Goes on by another model.
    #[cfg(test)]
    pub fn go_on_by(&mut self, model: Arc<ModelSnapshot>) {
        self.seats.follow(&model);
        self.model = model;
    }

    /// Which strategy of the campaign this auction is about: that of the user's arm, or of the
    /// request's where there is no user.
    #[inline]
    #[must_use]
    pub fn seated(&self, row: &CampaignRow, input: &AuctionInput) -> Seated {
        Seated::of(row, if row.split == 0 { 0 } else { self.arm_of(row, input) })
    }

    #[cold]
    fn arm_of(&self, row: &CampaignRow, input: &AuctionInput) -> u8 {
        let user_or_request = input.user.map_or(input.seed, |user| user.0);
        let seats = self.seats.splits.get(usize::from(row.split) - 1);
        seats.map_or(0, |seats| seats.split.arm_of(user_or_request))
    }

    #[inline]
    fn arm(&self, seated: Seated) -> Option<&ArmSeat> {
        let number = usize::from(seated.split).checked_sub(1)?;
        self.seats.splits.get(number)?.arms.get(usize::from(seated.arm))
    }

    #[inline]
    fn seat(&self, seated: Seated) -> Option<&Seat> {
        match seated.split {
            0 => self.seats.seats.get(seated.campaign.index as usize),
            _ => self.arm(seated).map(|arm| &arm.seat),
        }
    }

    /// The strategy that a campaign bids by here.
    #[must_use]
    pub fn strategy_of(&self, seated: Seated) -> Option<&Strategy> {
        self.strategies.strategy(self.seat(seated)?.strategy?)
    }

    /// Whether the campaign tries ads of which little is known.
    #[inline]
    #[must_use]
    pub fn explores(&self, seated: Seated) -> bool {
        self.seat(seated).is_some_and(|seat| seat.explores)
    }

    /// Where the pace that counts here is published: the campaign's slot, or a place of the arm's.
    #[inline]
    #[must_use]
    pub fn pace_slot(&self, seated: Seated) -> Slot {
        match seated.split {
            0 => seated.campaign,
            _ => self.arm(seated).map_or(seated.campaign, |arm| arm.pace),
        }
    }

    /// Whose pace is published in a slot.
    #[must_use]
    pub fn paced_in(&self, slot: Slot) -> Option<&Campaign> {
        let past = (slot.index as usize).checked_sub(self.catalog.campaigns.len());
        let index = match past {
            Some(past) => *self.seats.owners.get(past)?,
            None => slot.index,
        };
        self.catalog.campaign(index)
    }

    /// The released priors of the campaign at a slot index of the catalog.
    #[inline]
    #[must_use]
    pub fn priors_at(&self, index: u32) -> Option<&PriorLogits> {
        self.seats.priors.get(index as usize)
    }

    /// The released conversion rates of the campaign at a slot index of the catalog; `None` where the
    /// model predicts them.
    #[inline]
    #[must_use]
    pub fn conversion_rates_at(&self, index: u32) -> Option<&ConversionRates> {
        self.seats.conversions.get(index as usize)
    }

    /// The logarithm of what a campaign finds an impression worth here, whatever conversions may be
    /// predicted, what the model scores none of its ads above, and what bounds their priors.
    #[inline]
    #[must_use]
    pub fn bounds_of(&self, seated: Seated) -> (&LnWorth, &Bound, &PriorBounds) {
        let seat = self.seat(seated).unwrap_or(&Seat::NOBODY);
        (&seat.worth, &seat.bound, &seat.priors)
    }

    /// Whether any campaign tries ads of which little is known.
    #[must_use]
    pub const fn has_explorers(&self) -> bool {
        self.seats.has_explorers
    }

    /// The categories of campaigns that use pooled interest, as the sequence model's outputs.
    #[must_use]
    pub const fn sequence_rows(&self) -> &CategoryRows {
        &self.seats.sequence
    }

    /// The row of the campaign's category in [`World::sequence_rows`].
    #[inline]
    #[must_use]
    pub fn sequence_row(&self, index: u32) -> Option<u16> {
        self.seats.category_rows.get(index as usize)?.checked_sub(1)
    }

    /// Asks for what decides whether the campaign at a slot index contends, and for what bounds its price.
    #[inline]
    pub fn prefetch(&self, index: u32) {
        self.catalog.prefetch(index);
        prefetch(&self.seats.seats, index as usize);
    }

    /// Asks for what a visit of the campaign will read.
    #[inline]
    pub fn prefetch_visit(&self, seated: Seated) {
        prefetch(&self.seats.priors, seated.campaign.index as usize);
        self.catalog.prefetch_ads(seated.campaign.index);
    }
}

impl Seats {
    fn of(
        catalog: &Catalog,
        strategies: &Strategies,
        releases: &Releases,
        (model, sequence): (&ModelSnapshot, Option<&SequenceModel>),
    ) -> Self {
        let (mut seats, mut priors, mut conversions) = (Vec::new(), Vec::new(), Vec::new());
        for campaign in &catalog.campaigns {
            let campaign = campaign.as_ref();
            let id = campaign.map_or(CampaignId::default(), |campaign| campaign.id);
            let first =
                campaign.and_then(|campaign| Some((campaign, campaign.strategies.first()?)));
            let seat = first.map(|(campaign, arm)| seat(campaign, &arm.name, strategies, releases));
            seats.push(seat.unwrap_or(Seat::NOBODY));
            priors.push(releases.logits(id));
            if model.conversions().is_none() {
                let declared_ppm = campaign.map_or(0, |campaign| campaign.bid.expected_cvr_ppm);
                conversions.push(releases.conversion_rates(id, declared_ppm));
            }
        }
        let (category_rows, sequence) = sequence_rows(catalog, sequence);
        let (mut splits, mut owners) = (Vec::new(), Vec::new());
        for (campaign, paces) in catalog.splits() {
            owners.extend(std::iter::repeat_n(campaign.slot.index, paces.len()));
            let arms = campaign.strategies.iter().zip(paces).map(|(arm, pace)| ArmSeat {
                seat: seat(campaign, &arm.name, strategies, releases),
                pace,
            });
            let split = Split::new(campaign.id, &campaign.strategies);
            splits.push(SplitSeats { split, arms: arms.collect() });
        }
        let arms = splits.iter().flat_map(|split: &SplitSeats| &split.arms).map(|arm| &arm.seat);
        let has_explorers = seats.iter().chain(arms).any(|seat| seat.explores);
        let mut seats = Self {
            seats,
            has_explorers,
            priors,
            conversions,
            category_rows,
            sequence,
            splits,
            owners,
        };
        seats.follow(model);
        seats
    }

    /// Takes over the bounds of a model, of every campaign once a publication, for a line less of each
    /// campaign at each auction.
    fn follow(&mut self, model: &ModelSnapshot) {
        let arms = self.splits.iter_mut().flat_map(|split| &mut split.arms);
        let seats = self.seats.iter_mut().chain(arms.map(|arm| &mut arm.seat));
        seats.for_each(|seat| seat.bound = model.bound(seat.first_ad));
    }
}

/// By campaign slot index the row of its category, counted from 1, and 0 for campaigns that pooled
/// interest does not serve: states know pooled events only.
fn sequence_rows(catalog: &Catalog, model: Option<&SequenceModel>) -> (Vec<u16>, CategoryRows) {
    let mut rows = CategoryRows::default();
    let Some(model) = model else { return (Vec::new(), rows) };
    let of = catalog.campaigns.iter().map(|campaign| {
        let campaign = campaign.as_ref().filter(|one| one.pooled_interest);
        let number = campaign.and_then(|one| rows.number(model, one.category));
        number.and_then(|number| number.checked_add(1)).unwrap_or(0)
    });
    (of.collect(), rows)
}

/// How a campaign bids by the strategy of this name.
fn seat(campaign: &Campaign, name: &str, strategies: &Strategies, releases: &Releases) -> Seat {
    let id = strategies.get(name);
    let Some(strategy) = id.and_then(|id| strategies.strategy(id)) else { return Seat::NOBODY };
    let average = releases.campaign_prior(campaign.id).rate;
    let worth = strategy.ln_worth(&price::input_of_terms(&campaign.bid, average));
    // A predicted conversion rate may be far above the declared one.
    let is_predicted = strategy.prices_conversions() && campaign.bid.expected_cvr_ppm > 0;
    Seat {
        worth: if is_predicted { worth.up_to_its_cap() } else { worth },
        bound: Bound::UNKNOWN,
        priors: releases.logits(campaign.id).bounds(),
        first_ad: campaign.ads.first().copied().unwrap_or(u32::MAX),
        strategy: id,
        explores: matches!(strategy.exploration(), Exploration::Thompson { .. }),
    }
}

/// One core's view of the published world: a read costs a pointer comparison while nothing changed.
pub struct WorldCache {
    catalog: Cache<Arc<ArcSwap<Catalog>>, Arc<Catalog>>,
    model: Cache<Arc<ArcSwap<ModelSnapshot>>, Arc<ModelSnapshot>>,
    pacing: Cache<Arc<ArcSwap<PacingSnapshot>>, Arc<PacingSnapshot>>,
    releases: Cache<Arc<ArcSwap<Releases>>, Arc<Releases>>,
    market: Cache<Arc<ArcSwap<MarketSnapshot>>, Arc<MarketSnapshot>>,
    strategies: Cache<Arc<ArcSwap<Strategies>>, Arc<Strategies>>,
    relevance: Cache<Arc<ArcSwap<RelevanceSnapshot>>, Arc<RelevanceSnapshot>>,
    rates: Cache<Arc<ArcSwap<Rates>>, Arc<Rates>>,
    world: World,
}

impl WorldCache {
    /// A view that starts at the present epoch.
    #[must_use]
    pub fn new(published: &Published) -> Self {
        Self {
            catalog: Cache::new(published.catalog.clone()),
            model: Cache::new(published.model.clone()),
            pacing: Cache::new(published.pacing.clone()),
            releases: Cache::new(published.releases.clone()),
            market: Cache::new(published.market.clone()),
            strategies: Cache::new(published.strategies.clone()),
            relevance: Cache::new(published.relevance.clone()),
            rates: Cache::new(published.rates.clone()),
            world: World::now(published),
        }
    }

    /// The world as it is now.
    pub fn refresh(&mut self) -> &World {
        let world = &mut self.world;
        let is_new_model = follow(self.model.load(), &mut world.model);
        follow(self.pacing.load(), &mut world.pacing);
        follow(self.relevance.load(), &mut world.relevance);
        follow(self.rates.load(), &mut world.rates);
        follow(self.market.load(), &mut world.market);
        let is_new_catalog = follow(self.catalog.load(), &mut world.catalog);
        let is_new_release = follow(self.releases.load(), &mut world.releases);
        let is_new_strategy = follow(self.strategies.load(), &mut world.strategies);
        if is_new_catalog {
            world.shown = ShownCategories::of(&world.catalog, &world.limits.diversity);
        }
        if is_new_catalog || is_new_release || is_new_strategy {
            let models = (&*world.model, world.sequence.as_deref());
            world.seats = Seats::of(&world.catalog, &world.strategies, &world.releases, models);
        } else if is_new_model {
            world.seats.follow(&world.model);
        }
        world
    }
}

/// Whether there was something newer.
fn follow<T>(newest: &Arc<T>, held: &mut Arc<T>) -> bool {
    let is_new = !Arc::ptr_eq(newest, held);
    if is_new {
        *held = newest.clone();
    }
    is_new
}
