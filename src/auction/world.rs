//! What one request sees of the world: one epoch of each snapshot, pinned for its whole length.

use crate::auction::price;
use crate::catalog::Catalog;
use crate::market::MarketSnapshot;
use crate::prediction::ModelSnapshot;
use crate::prefetch::prefetch;
use crate::privacy::{Kind, PriorLogits, Releases};
use crate::rates::Rates;
use crate::strategy::exploration;
use crate::strategy::pacing::PacingSnapshot;
use crate::strategy::{Exploration, LnWorth, Strategies, Strategy, StrategyId};
use crate::units::{CampaignId, Slot};
use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use serde::Serialize;
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
    /// Currency rates.
    pub rates: Arc<ArcSwap<Rates>>,
    /// Logit of the click probability before anything is known.
    pub base_logit: f32,
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
    /// Currency rates.
    pub rates: Arc<Rates>,
    /// Logit of the click probability before anything is known.
    pub base_logit: f32,
    seats: Seats,
}

/// By campaign slot index: what is looked up once an epoch, and not at each auction.
struct Seats {
    strategies: Vec<Seat>,
    priors: Vec<PriorLogits>,
    worths: Vec<LnWorth>,
}

/// How one campaign bids.
#[derive(Clone, Copy, Default)]
struct Seat {
    strategy: Option<StrategyId>,
    /// Shows that its ads' click rates are known by, where it explores; else 0.
    shows: f32,
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
        }
    }

    /// The present epoch of everything.
    #[must_use]
    pub fn now(published: &Published) -> Self {
        let (catalog, releases) = (published.catalog.load_full(), published.releases.load_full());
        let strategies = published.strategies.load_full();
        Self {
            seats: Seats::of(&catalog, &strategies, &releases),
            catalog,
            model: published.model.load_full(),
            pacing: published.pacing.load_full(),
            releases,
            market: published.market.load_full(),
            strategies,
            rates: published.rates.load_full(),
            base_logit: published.base_logit,
        }
    }

    /// The strategy that the campaign at a slot index bids by.
    #[must_use]
    pub fn strategy_at(&self, index: u32) -> Option<&Strategy> {
        self.strategies.strategy(self.seats.strategies.get(index as usize)?.strategy?)
    }

    /// Shows that the click rates of a campaign's ads are known by; `None` where it does not explore.
    #[inline]
    #[must_use]
    pub fn explored_shows_at(&self, index: u32) -> Option<f64> {
        let shows = self.seats.strategies.get(index as usize)?.shows;
        (shows > 0.0).then_some(f64::from(shows))
    }

    /// The released priors of the campaign at a slot index of the catalog.
    #[inline]
    #[must_use]
    pub fn priors_at(&self, index: u32) -> Option<&PriorLogits> {
        self.seats.priors.get(index as usize)
    }

    /// The logarithm of what the campaign at a slot index finds an impression worth.
    #[inline]
    #[must_use]
    pub fn ln_worth_at(&self, index: u32) -> LnWorth {
        self.seats.worths.get(index as usize).copied().unwrap_or(LnWorth::NEVER)
    }

    /// Asks for what pricing will read of the campaign in `slot`.
    #[inline]
    pub fn prefetch(&self, slot: Slot) {
        prefetch(&self.seats.priors, slot.index as usize);
        prefetch(&self.seats.worths, slot.index as usize);
    }
}

impl Seats {
    fn of(catalog: &Catalog, strategies: &Strategies, releases: &Releases) -> Self {
        let mut seats = Self { strategies: Vec::new(), priors: Vec::new(), worths: Vec::new() };
        for campaign in &catalog.campaigns {
            let campaign = campaign.as_ref();
            let id = campaign.map_or(CampaignId::default(), |campaign| campaign.id);
            let strategy = campaign.and_then(|campaign| strategies.get(&campaign.strategy));
            let average = releases.campaign_prior(id).rate;
            let worth = campaign.zip(strategy.and_then(|id| strategies.strategy(id)));
            let worth = worth.map(|(campaign, strategy)| {
                strategy.ln_worth(&price::input_of_terms(&campaign.bid, average))
            });
            let explores = strategy
                .and_then(|id| strategies.strategy(id))
                .is_some_and(|strategy| strategy.exploration() != Exploration::None);
            let shows = if explores {
                exploration::PRIOR_SHOWS + released_shows(releases, id)
            } else {
                0.0
            };
            seats.strategies.push(Seat { strategy, shows: shows as f32 });
            seats.priors.push(releases.logits(id));
            seats.worths.push(worth.unwrap_or(LnWorth::NEVER));
        }
        seats
    }
}

/// Shows of a campaign that private releases tell of, as far as their noise lets them be believed:
/// `n^3 / (n^2 + variance)`, as priors weigh them. Releases know campaigns and not ads, so the ads of
/// a campaign become known together.
fn released_shows(releases: &Releases, campaign: CampaignId) -> f64 {
    let Some(shows) = releases.total(campaign, Kind::Impression) else { return 0.0 };
    let square = shows.value * shows.value;
    let believed = square / (square + shows.variance).max(f64::MIN_POSITIVE);
    (shows.value * believed).max(0.0)
}

/// One core's view of the published world: a read costs a pointer comparison while nothing changed.
pub struct WorldCache {
    catalog: Cache<Arc<ArcSwap<Catalog>>, Arc<Catalog>>,
    model: Cache<Arc<ArcSwap<ModelSnapshot>>, Arc<ModelSnapshot>>,
    pacing: Cache<Arc<ArcSwap<PacingSnapshot>>, Arc<PacingSnapshot>>,
    releases: Cache<Arc<ArcSwap<Releases>>, Arc<Releases>>,
    market: Cache<Arc<ArcSwap<MarketSnapshot>>, Arc<MarketSnapshot>>,
    strategies: Cache<Arc<ArcSwap<Strategies>>, Arc<Strategies>>,
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
            rates: Cache::new(published.rates.clone()),
            world: World::now(published),
        }
    }

    /// The world as it is now.
    pub fn refresh(&mut self) -> &World {
        let world = &mut self.world;
        follow(self.model.load(), &mut world.model);
        follow(self.pacing.load(), &mut world.pacing);
        follow(self.rates.load(), &mut world.rates);
        follow(self.market.load(), &mut world.market);
        let is_new_catalog = follow(self.catalog.load(), &mut world.catalog);
        let is_new_release = follow(self.releases.load(), &mut world.releases);
        let is_new_strategy = follow(self.strategies.load(), &mut world.strategies);
        if is_new_catalog || is_new_release || is_new_strategy {
            world.seats = Seats::of(&world.catalog, &world.strategies, &world.releases);
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
