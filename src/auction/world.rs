//! What one request sees of the world: one epoch of each snapshot, pinned for its whole length.

use crate::catalog::{Campaign, Catalog};
use crate::prediction::ModelSnapshot;
use crate::privacy::Releases;
use crate::rates::Rates;
use crate::strategy::pacing::PacingSnapshot;
use crate::strategy::{Strategies, Strategy, StrategyId};
use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
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
    /// Bidding strategies.
    pub strategies: Arc<Strategies>,
    /// Currency rates.
    pub rates: Arc<Rates>,
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
    /// Bidding strategies.
    pub strategies: Arc<Strategies>,
    /// Currency rates.
    pub rates: Arc<Rates>,
    /// Logit of the click probability before anything is known.
    pub base_logit: f32,
    /// The strategy of each campaign slot, by its index: names are looked up once an epoch.
    by_campaign: Vec<Option<StrategyId>>,
}

impl World {
    /// The present epoch of everything.
    #[must_use]
    pub fn now(published: &Published) -> Self {
        let catalog = published.catalog.load_full();
        Self {
            by_campaign: strategies_of(&catalog, &published.strategies),
            catalog,
            model: published.model.load_full(),
            pacing: published.pacing.load_full(),
            releases: published.releases.load_full(),
            strategies: published.strategies.clone(),
            rates: published.rates.clone(),
            base_logit: published.base_logit,
        }
    }

    /// The strategy that `campaign` bids by.
    #[must_use]
    pub fn strategy_of(&self, campaign: &Campaign) -> Option<&Strategy> {
        let id = self.by_campaign.get(campaign.slot.index as usize).copied().flatten()?;
        self.strategies.strategy(id)
    }
}

fn strategies_of(catalog: &Catalog, strategies: &Strategies) -> Vec<Option<StrategyId>> {
    let index = |campaign: &Option<Campaign>| strategies.get(&campaign.as_ref()?.strategy);
    catalog.campaigns.iter().map(index).collect()
}

/// One core's view of the published world: a read costs a pointer comparison while nothing changed.
pub struct WorldCache {
    catalog: Cache<Arc<ArcSwap<Catalog>>, Arc<Catalog>>,
    model: Cache<Arc<ArcSwap<ModelSnapshot>>, Arc<ModelSnapshot>>,
    pacing: Cache<Arc<ArcSwap<PacingSnapshot>>, Arc<PacingSnapshot>>,
    releases: Cache<Arc<ArcSwap<Releases>>, Arc<Releases>>,
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
            world: World::now(published),
        }
    }

    /// The world as it is now.
    pub fn refresh(&mut self) -> &World {
        let world = &mut self.world;
        let catalog = self.catalog.load();
        if !Arc::ptr_eq(catalog, &world.catalog) {
            world.catalog = catalog.clone();
            world.by_campaign = strategies_of(catalog, &world.strategies);
        }
        follow(self.model.load(), &mut world.model);
        follow(self.pacing.load(), &mut world.pacing);
        follow(self.releases.load(), &mut world.releases);
        world
    }
}

fn follow<T>(newest: &Arc<T>, held: &mut Arc<T>) {
    if !Arc::ptr_eq(newest, held) {
        *held = newest.clone();
    }
}
