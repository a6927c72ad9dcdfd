//! The CatalogActor: reloads, edits, and tells who wants to know.
//!
//! One message at a time: the reply to a reload or an edit comes after every subscriber has handled
//! the new catalog, and the reply to a [`Tick`] after all that came before it. Files are read and
//! indexes built on a blocking thread, so that the budget and the learner, which share the arbiter,
//! go on. Subscribers must not wait for this actor inside their handler.

use super::edit::EditError;
use super::keeper::{CatalogKeeper, Change};
use super::load::CatalogError;
use super::snapshot::Catalog;
use super::split::KnownStrategies;
use super::{Campaign, Status};
use crate::units::Timestamp;
use actix::prelude::*;
use serde::Serialize;
use std::sync::Arc;

/// Subscribers: the learner, the aggregates and a few per worker; hundreds of cores fit.
const SUBSCRIBERS_MAX: usize = 4_096;

/// Owns all changes of the catalog. What must survive it lives in the [`CatalogKeeper`].
pub struct CatalogActor {
    keeper: Arc<CatalogKeeper>,
    subscribers: Vec<Recipient<CatalogChanged>>,
    reloads: u64,
    edits: u64,
    refused: u64,
    last_errors: Vec<CatalogError>,
}

/// The catalog is another; sent to subscribers after it was published.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct CatalogChanged(pub Arc<Catalog>);

/// Tell this recipient of changes from now on; `false` when there are too many.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Subscribe(pub Recipient<CatalogChanged>);

/// Read the files again. On errors the old catalog stays.
#[derive(Default, Message)]
#[rtype(result = "Result<Arc<Catalog>, Vec<CatalogError>>")]
pub struct Reload {
    /// The strategies that there are from now on; `None` where they are the same.
    pub strategies: Option<KnownStrategies>,
    /// Run once the new catalog is published, before anybody is told: publishes what subscribers read
    /// beside it. Whoever did that after the reply would tell an old catalog after an edit's new one.
    pub then: Option<Box<dyn FnOnce() + Send>>,
}

/// Change one campaign, or only see what that would do. On errors the old catalog stays.
#[derive(Message)]
#[rtype(result = "Result<Arc<Catalog>, EditError>")]
pub struct EditCampaign {
    /// The campaign's name.
    pub name: String,
    /// What changes.
    pub change: Change,
}

/// Time passed. All that depends on it are catalogs of before, which are freed when nobody reads them any
/// more; the reply says that all earlier messages took effect.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Tick {
    /// Civil time.
    pub now: Timestamp,
}

/// Asks for a [`CatalogStatus`].
#[derive(Message)]
#[rtype(result = "CatalogStatus")]
pub struct ReadStatus;

const _: () = assert!(size_of::<EditCampaign>() <= 128 && size_of::<CatalogChanged>() <= 128);

/// What an operator sees of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, MessageResponse)]
pub struct CatalogStatus {
    /// Epoch of the published catalog.
    pub epoch: u64,
    /// Advertisers in it.
    pub advertisers: usize,
    /// Campaigns in it.
    pub campaigns: usize,
    /// Those that are active.
    pub campaigns_active: usize,
    /// Ads in it.
    pub ads: usize,
    /// Campaigns that differ from their files by an edit.
    pub campaigns_edited: usize,
    /// Reloads that were published.
    pub reloads: u64,
    /// Edits that were published.
    pub edits: u64,
    /// Reloads and edits that were refused.
    pub refused: u64,
    /// Errors of the last reload; empty when it was published.
    pub last_errors: Vec<CatalogError>,
}

impl CatalogActor {
    /// An actor over a catalog that is loaded.
    #[must_use]
    pub fn new(keeper: Arc<CatalogKeeper>) -> Self {
        Self {
            keeper,
            subscribers: Vec::new(),
            reloads: 0,
            edits: 0,
            refused: 0,
            last_errors: Vec::new(),
        }
    }

    fn subscribers(&mut self) -> Vec<Recipient<CatalogChanged>> {
        self.subscribers.retain(Recipient::connected);
        self.subscribers.clone()
    }
}

impl Actor for CatalogActor {
    type Context = Context<Self>;
}

impl Handler<Subscribe> for CatalogActor {
    type Result = bool;

    fn handle(&mut self, message: Subscribe, _: &mut Self::Context) -> bool {
        self.subscribers.retain(Recipient::connected);
        let has_room = self.subscribers.len() < SUBSCRIBERS_MAX;
        if has_room {
            self.subscribers.push(message.0);
        }
        has_room
    }
}

impl Handler<Reload> for CatalogActor {
    type Result = AtomicResponse<Self, Result<Arc<Catalog>, Vec<CatalogError>>>;

    fn handle(&mut self, message: Reload, _: &mut Self::Context) -> Self::Result {
        let (keeper, subscribers) = (Arc::clone(&self.keeper), self.subscribers());
        let work = async move {
            let stopped = |error: tokio::task::JoinError| {
                let reason = format!("the reload did not finish: {error}");
                Err(vec![CatalogError { file: String::new(), line: 0, reason }])
            };
            let Reload { strategies, then } = message;
            let reloaded = tokio::task::spawn_blocking(move || keeper.reload(strategies)).await;
            let reloaded = reloaded.unwrap_or_else(stopped);
            if let Some(then) = then.filter(|_| reloaded.is_ok()) {
                then();
            }
            tell(reloaded, &subscribers).await
        };
        let work = work.into_actor(self).map(|outcome, actor, _| {
            match &outcome {
                Ok(_) => actor.reloads += 1,
                Err(_) => actor.refused += 1,
            }
            actor.last_errors = outcome.as_ref().err().cloned().unwrap_or_default();
            outcome
        });
        AtomicResponse::new(Box::pin(work))
    }
}

impl Handler<EditCampaign> for CatalogActor {
    type Result = AtomicResponse<Self, Result<Arc<Catalog>, EditError>>;

    fn handle(&mut self, message: EditCampaign, _: &mut Self::Context) -> Self::Result {
        let is_check = matches!(message.change, Change::Check(_));
        let subscribers = if is_check { Vec::new() } else { self.subscribers() };
        let keeper = Arc::clone(&self.keeper);
        let work = async move {
            let edit = move || keeper.change(&message.name, &message.change);
            let stopped = |error: tokio::task::JoinError| {
                Err(EditError::Refused(format!("the edit did not finish: {error}")))
            };
            let edited = tokio::task::spawn_blocking(edit).await;
            tell(edited.unwrap_or_else(stopped), &subscribers).await
        };
        let work = work.into_actor(self).map(move |outcome, actor, _| {
            match &outcome {
                _ if is_check => {}
                Ok(_) => actor.edits += 1,
                Err(_) => actor.refused += 1,
            }
            outcome
        });
        AtomicResponse::new(Box::pin(work))
    }
}

/// Sends a new catalog to all subscribers and waits until each has handled it.
async fn tell<E>(
    outcome: Result<Arc<Catalog>, E>,
    subscribers: &[Recipient<CatalogChanged>],
) -> Result<Arc<Catalog>, E> {
    if let Ok(catalog) = &outcome {
        let all = subscribers.iter().map(|one| one.send(CatalogChanged(Arc::clone(catalog))));
        // A subscriber that is gone misses nothing: it reads the published catalog when it starts.
        futures_util::future::join_all(all).await;
    }
    outcome
}

impl Handler<Tick> for CatalogActor {
    type Result = ();

    fn handle(&mut self, _: Tick, _: &mut Self::Context) {
        if self.keeper.has_retired() {
            let keeper = Arc::clone(&self.keeper);
            // Some ms for ten thousand campaigns. Nobody waits for it.
            drop(tokio::task::spawn_blocking(move || keeper.free()));
        }
    }
}

impl Handler<ReadStatus> for CatalogActor {
    type Result = CatalogStatus;

    fn handle(&mut self, _: ReadStatus, _: &mut Self::Context) -> CatalogStatus {
        let catalog = self.keeper.published().load_full();
        let active = |campaign: &&Campaign| campaign.status == Status::Active;
        CatalogStatus {
            epoch: catalog.epoch,
            advertisers: catalog.advertisers.len(),
            campaigns: catalog.all_campaigns().count(),
            campaigns_active: catalog.all_campaigns().filter(active).count(),
            ads: catalog.ads.iter().flatten().count(),
            campaigns_edited: self.keeper.edited(),
            reloads: self.reloads,
            edits: self.edits,
            refused: self.refused,
            last_errors: self.last_errors.clone(),
        }
    }
}
