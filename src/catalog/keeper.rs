//! The published catalog with what it takes to change it: the folder, the strategies, and the edits
//! made through the API. Edits stay on top of the files, across reloads, until their campaign
//! leaves the files or the process ends. The keeper lives outside the actor, so that a panic there
//! loses nothing.

use super::edit::{CampaignEdit, EditError};
use super::load::CatalogError;
use super::snapshot::Catalog;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// See the module.
pub struct CatalogKeeper {
    folder: PathBuf,
    // Changed by a reload alone, which holds the edits' lock.
    strategies: Mutex<BTreeSet<String>>,
    published: Arc<ArcSwap<Catalog>>,
    // Held while a new catalog is built: there is one writer at a time, and readers never take it.
    // Bounded by the campaigns: an edit of an unknown one is refused.
    edits: Mutex<BTreeMap<String, CampaignEdit>>,
}

impl CatalogKeeper {
    /// Loads the folder for the first time.
    ///
    /// # Errors
    /// As [`Catalog::load`].
    pub fn open(folder: PathBuf, strategies: BTreeSet<String>) -> Result<Self, Vec<CatalogError>> {
        let catalog = Catalog::load(&folder, &strategies, None)?;
        let published = Arc::new(ArcSwap::from_pointee(catalog));
        let strategies = Mutex::new(strategies);
        Ok(Self { folder, strategies, published, edits: Mutex::default() })
    }

    /// Starts from a catalog made in memory, which no reload can read again: a reload is refused as
    /// that of an empty folder name is.
    #[must_use]
    pub fn of(catalog: Catalog, strategies: BTreeSet<String>) -> Self {
        let published = Arc::new(ArcSwap::from_pointee(catalog));
        let strategies = Mutex::new(strategies);
        Self { folder: PathBuf::new(), strategies, published, edits: Mutex::default() }
    }

    /// Where readers find the catalog of the moment.
    #[must_use]
    pub fn published(&self) -> Arc<ArcSwap<Catalog>> {
        Arc::clone(&self.published)
    }

    /// Campaigns that differ from their files by an edit.
    #[must_use]
    pub fn edited(&self) -> usize {
        self.edits.lock().len()
    }

    /// Reads the folder again, puts the edits on top and publishes. `strategies` are those that there
    /// are from now on, where they are others.
    ///
    /// # Errors
    /// As [`Catalog::load`], or an edit that no longer fits; the published catalog stays.
    pub fn reload(
        &self,
        strategies: Option<BTreeSet<String>>,
    ) -> Result<Arc<Catalog>, Vec<CatalogError>> {
        let mut edits = self.edits.lock();
        let strategies = strategies.unwrap_or_else(|| self.strategies.lock().clone());
        let previous = self.published.load_full();
        let catalog = Catalog::load_edited(&self.folder, &strategies, Some(&previous), &edits)?;
        *self.strategies.lock() = strategies;
        edits.retain(|name, _| catalog.campaign_by_name(name).is_some());
        Ok(self.publish(catalog))
    }

    /// Changes one campaign and publishes.
    ///
    /// # Errors
    /// As [`Catalog::with_campaign_edit`]; the published catalog stays.
    pub fn edit(&self, name: &str, edit: CampaignEdit) -> Result<Arc<Catalog>, EditError> {
        let mut edits = self.edits.lock();
        let catalog = self.published.load().with_campaign_edit(name, &edit)?;
        edits.entry(name.to_owned()).or_default().merge(edit);
        Ok(self.publish(catalog))
    }

    fn publish(&self, catalog: Catalog) -> Arc<Catalog> {
        let catalog = Arc::new(catalog);
        self.published.store(Arc::clone(&catalog));
        catalog
    }
}
