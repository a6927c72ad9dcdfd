//! The published catalog with what it takes to change it: the folder, the strategies, and the store
//! of the edits made through the API. Edits stay on top of the files, across reloads and restarts,
//! until they are taken back or their campaign leaves the files. The keeper lives outside the actor,
//! so that a panic there loses nothing.
//!
//! An edit is durable before it is published: what was answered holds after a crash too.

use super::campaign::Campaign;
use super::edit::{CampaignEdit, EditError, Edits};
use super::load::{CatalogError, Loaded};
use super::snapshot::Catalog;
use super::split::KnownStrategies;
use crate::retired::Current;
use crate::store::{ConfigError, ConfigStore, MemoryConfig};
use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;

/// What the keys of edits begin with; the campaign's name follows.
const PREFIX: &str = "campaign.";

/// See the module.
pub struct CatalogKeeper {
    folder: PathBuf,
    // Changed by a reload alone, which holds the store's lock.
    strategies: Mutex<KnownStrategies>,
    published: Current<Catalog>,
    // Held while a new catalog is built and its edit is made durable: there is one writer at a time,
    // on a thread that may block, and readers never take it.
    store: Mutex<Arc<dyn ConfigStore>>,
}

/// What a change is.
#[derive(Debug)]
pub enum Change {
    /// Edit it.
    Edit(Box<CampaignEdit>),
    /// Only show what this edit would do.
    Check(Box<CampaignEdit>),
    /// Take all edits back.
    Reset,
}

/// What became of the edits of an earlier process.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Those that do not fit their files any more: their campaigns are stopped.
    pub stopped: Vec<CatalogError>,
    /// Campaigns that left the files, whose edits are let go of.
    pub dropped: Vec<String>,
}

impl CatalogKeeper {
    /// Loads the folder for the first time. Edits lie in memory until [`CatalogKeeper::resume`].
    ///
    /// # Errors
    /// As [`Catalog::load`].
    pub fn open(folder: PathBuf, strategies: KnownStrategies) -> Result<Self, Vec<CatalogError>> {
        let catalog = Catalog::load(&folder, &strategies, None)?;
        Ok(Self { folder, ..Self::of(catalog, strategies) })
    }

    /// Starts from a catalog made in memory, which no reload can read again: a reload is refused as
    /// that of an empty folder name is.
    #[must_use]
    pub fn of(catalog: Catalog, strategies: KnownStrategies) -> Self {
        Self {
            folder: PathBuf::new(),
            strategies: Mutex::new(strategies),
            published: Current::new(Arc::new(catalog)),
            store: Mutex::new(Arc::new(MemoryConfig::default())),
        }
    }

    /// Where readers find the catalog of the moment.
    #[must_use]
    pub fn published(&self) -> Arc<ArcSwap<Catalog>> {
        self.published.readers()
    }

    /// Whether there are catalogs of before that [`CatalogKeeper::free`] may free.
    #[must_use]
    pub fn has_retired(&self) -> bool {
        self.published.has_retired()
    }

    /// Frees catalogs of before that nobody reads any more.
    pub fn free(&self) {
        self.published.free();
    }

    /// Campaigns that differ from their files by an edit.
    #[must_use]
    pub fn edited(&self) -> usize {
        let catalog = self.published.newest();
        catalog.all_campaigns().filter(|campaign| campaign.edited.is_some()).count()
    }

    /// Keeps edits in `store` from now on, and publishes those that it holds.
    ///
    /// # Errors
    /// A store that cannot be read, and as [`Catalog::load`].
    pub fn resume(&self, store: Arc<dyn ConfigStore>) -> Result<Resumed, Vec<CatalogError>> {
        let mut own = self.store.lock();
        let entries = store.all(PREFIX).map_err(|error| {
            vec![CatalogError { file: PREFIX.to_owned(), line: 0, reason: error.to_string() }]
        })?;
        *own = store;
        if entries.is_empty() {
            return Ok(Resumed::default());
        }
        let read = |value: &[u8]| {
            serde_json::from_slice(value).map_err(|error| format!("it cannot be read: {error}"))
        };
        let edits =
            entries.iter().map(|entry| (entry.key[PREFIX.len()..].to_owned(), read(&entry.value)));
        let edits: Edits = edits.collect();
        let strategies = self.strategies.lock().clone();
        let previous = self.published.newest();
        let Loaded { catalog, stopped } =
            Catalog::load_edited(&self.folder, &strategies, Some(&previous), &edits)?;
        let dropped = drop_gone(&**own, &edits, &catalog);
        self.publish(catalog);
        Ok(Resumed { stopped: stopped.into_iter().map(|(_, error)| error).collect(), dropped })
    }

    /// Reads the folder again, puts the edits on top and publishes. `strategies` are those that there
    /// are from now on, where they are others.
    ///
    /// # Errors
    /// As [`Catalog::load`], or an edit that no longer fits, unless its campaign was stopped before;
    /// the published catalog stays.
    pub fn reload(
        &self,
        strategies: Option<KnownStrategies>,
    ) -> Result<Arc<Catalog>, Vec<CatalogError>> {
        let store = self.store.lock();
        let strategies = strategies.unwrap_or_else(|| self.strategies.lock().clone());
        let previous = self.published.newest();
        let edits = previous.all_campaigns().filter_map(|campaign| {
            Some((campaign.name.clone(), campaign.edited.as_deref()?.changes.clone()))
        });
        let edits: Edits = edits.collect();
        let Loaded { catalog, stopped } =
            Catalog::load_edited(&self.folder, &strategies, Some(&previous), &edits)?;
        let was_stopped =
            |name: &str| previous.campaign_by_name(name).is_some_and(Campaign::is_stopped);
        let stopped = stopped.into_iter().filter(|(name, _)| !was_stopped(name));
        let errors: Vec<_> = stopped.map(|(_, error)| error).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        *self.strategies.lock() = strategies;
        for name in drop_gone(&**store, &edits, &catalog) {
            tracing::warn!(campaign = name, "left the files, and its edits are let go of");
        }
        Ok(self.publish(catalog))
    }

    /// Changes one campaign, and publishes when the change is durable.
    ///
    /// # Errors
    /// [`EditError`]; the published catalog stays.
    pub fn change(&self, name: &str, change: &Change) -> Result<Arc<Catalog>, EditError> {
        let store = self.store.lock();
        let previous = self.published.newest();
        let catalog = match change {
            Change::Edit(edit) | Change::Check(edit) => previous.with_campaign_edit(name, edit)?,
            Change::Reset => previous.without_edits(name)?,
        };
        if matches!(change, Change::Check(_)) {
            return Ok(Arc::new(catalog));
        }
        let edited = |catalog: &Catalog| catalog.campaign_by_name(name)?.edited.clone();
        let key = format!("{PREFIX}{name}");
        let kept = match (edited(&catalog), edited(&previous)) {
            (Some(edited), _) => match serde_json::to_vec(&edited.changes.as_ref().ok()) {
                Ok(value) => store.put(&key, Bytes::from(value)).map(drop),
                Err(error) => return Err(EditError::Refused(error.to_string())),
            },
            (None, Some(_)) => store.remove(&key),
            (None, None) => Ok(()),
        };
        match kept {
            Ok(()) => Ok(self.publish(catalog)),
            Err(ConfigError::TooLong) => Err(EditError::Refused(ConfigError::TooLong.to_string())),
            Err(error) => Err(EditError::NotKept(error)),
        }
    }

    fn publish(&self, catalog: Catalog) -> Arc<Catalog> {
        let catalog = Arc::new(catalog);
        self.published.publish(Arc::clone(&catalog));
        catalog
    }
}

/// Lets go of the edits of campaigns that the catalog does not have. Where the store refuses they
/// come up again at the next start.
fn drop_gone(store: &dyn ConfigStore, edits: &Edits, catalog: &Catalog) -> Vec<String> {
    let gone = edits.keys().filter(|name| catalog.campaign_by_name(name).is_none());
    let gone: Vec<String> = gone.cloned().collect();
    for name in &gone {
        if let Err(error) = store.remove(&format!("{PREFIX}{name}")) {
            tracing::warn!(campaign = name, %error, "edits of a campaign that left stay kept");
        }
    }
    gone
}
