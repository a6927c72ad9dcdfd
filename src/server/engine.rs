//! Everything that listeners and workers share: snapshots, control actors, secrets, counters.

use crate::auction::{self, Arms, AuctionActor, Core, Policy, Published};
use crate::budget::{self, BudgetActor, LeaseBook, LeaseInbox, LedgerWriter, Register, Windows};
use crate::catalog::CatalogActor;
use crate::clock::Civil;
use crate::config::{BILLING_WINDOW_S_MAX, Config, Exchange};
use crate::consent;
use crate::exchange::{Bucket, Gate, PriceCipher};
use crate::hash::UserHasher;
use crate::latency::{LatencyBoard, StageRecorder, TickTimes};
use crate::market::{self, MarketActor};
use crate::notice::Sealer;
use crate::openrtb::Limits;
use crate::prediction::LearnerActor;
use crate::privacy::{AggregateActor, Aggregates};
use crate::relevance::{RelevanceActor, RelevanceState, Visit, Visits};
use crate::server::arm_books::ArmBooks;
use crate::server::behaviour_log::BehaviourLog;
use crate::server::conversions::Conversions;
use crate::server::event_log::EventLog;
use crate::server::forgotten::Forgotten;
use crate::server::keys::{Keys, Scope};
use crate::server::metrics::Metrics;
use crate::server::post::Post;
use crate::server::saved_model::SavedModel;
use crate::server::saved_sessions::SavedSessions;
use crate::server::searched::Searched;
use crate::server::shows::Shows;
use crate::server::supervised::Supervised;
use crate::server::user_keys::UserKeys;
use crate::session::{
    Aliases, ChangeShows, Replay, SessionShard, SessionTable, ShardMap, ShardState, ShowChange,
};
use crate::units::Timestamp;
use actix::prelude::*;
use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

/// One exchange as workers use it.
#[derive(Clone)]
pub struct ExchangeDesk {
    /// Its name in the configuration and in paths.
    pub name: String,
    /// Its number in this process.
    pub number: u16,
    /// Stable hash of its name: tokens are bound to it.
    pub key: u64,
    /// Its configuration.
    pub config: Exchange,
    /// What its configuration says of whole requests.
    pub policy: Policy,
    /// How long it may take with its notices.
    pub windows: Windows,
    /// Who may send as it.
    pub gate: Arc<Gate>,
    /// Whether its requests may say that ids are one user.
    pub joins_ids: bool,
    /// How many requests it may send, one count for all workers.
    pub bucket: Option<Arc<Bucket>>,
    /// Decrypts its prices, where it encrypts them.
    pub cipher: Option<PriceCipher>,
    /// Creative attributes that it does not take.
    pub refused_attributes: u64,
}

/// One worker's actors, as others reach them.
#[derive(Clone)]
pub struct WorkerAddresses {
    /// Its auction actor.
    pub auction: Addr<AuctionActor>,
    /// Its session shard.
    pub shard: Addr<SessionShard>,
}

/// What listeners and workers share.
pub struct Engine {
    /// The configuration.
    pub config: Config,
    /// Civil time.
    pub civil: Civil,
    /// Secrets.
    pub keys: Keys,
    /// Replace raw user ids.
    pub user_keys: UserKeys,
    /// Hashes ids of events and orders.
    pub marks: UserHasher,
    /// Held by a reload from before it reads files until the catalog's actor has them, so that who read
    /// later is later.
    pub reloading: tokio::sync::Mutex<()>,
    /// What searches for words mean.
    pub searched: Searched,
    /// Ten random bytes, drawn at this start, from which the workers' nonces count on.
    pub nonce_start: [u8; 10],
    /// Seals and opens notice tokens.
    pub sealer: Sealer,
    /// What the lower row publishes.
    pub published: Published,
    /// User sessions.
    pub sessions: Arc<SessionTable>,
    /// Ids that are one user; none where nobody may join them.
    pub aliases: Option<Arc<Aliases>>,
    /// Which shard writes which user.
    pub shard_map: ShardMap,
    /// Experiment arms.
    pub arms: Arms,
    /// Limits of a request.
    pub limits: Limits,
    /// What consent strings are held against.
    pub consent: consent::Policy,
    /// How the public listener is reached, without a slash at the end.
    pub public_url: String,
    /// Whether that is https, as secure imps demand of their markup.
    pub is_https: bool,
    /// Counters.
    pub metrics: Metrics,
    /// Stage histograms of all workers.
    pub board: LatencyBoard,
    /// How long the ticks of all cores take.
    pub auction_ticks: TickTimes,
    /// How long those of all shards take.
    pub session_ticks: TickTimes,
    /// Appends to the ledger's log.
    pub ledger: LedgerWriter,
    /// The ledger's actor.
    pub budget: Supervised<BudgetActor>,
    /// The releases' actor.
    pub aggregates: Supervised<AggregateActor>,
    /// The learner.
    pub learner: Supervised<LearnerActor>,
    /// What learns from visits.
    pub relevance: Supervised<RelevanceActor>,
    /// What it has learned, in figures.
    pub related: RelevanceState,
    /// The market's actor.
    pub market: Supervised<MarketActor>,
    /// What notices tell of the market.
    pub market_inbox: market::Inbox,
    /// The catalog's actor.
    pub catalog: Supervised<CatalogActor>,
    /// Releases, to read what they cost.
    pub privacy: Aggregates,
    /// What happened, for operators.
    pub event_log: EventLog,
    /// Where the click model is kept.
    pub saved_model: SavedModel,
    /// Where sessions are kept.
    pub saved_sessions: SavedSessions,
    /// What has changed them since.
    pub behaviour_log: Arc<BehaviourLog>,
    /// Who asked to be forgotten.
    pub forgotten: Arc<Forgotten>,
    /// What the arms of traffic splits came to.
    pub arm_books: Arc<ArmBooks>,
    /// Conversions: windows, last touches, orders that were counted.
    pub conversions: Conversions,
    /// Whether something was sent to the ledger since the last [`Engine::settle`]. Set before the
    /// message is sent and read before anything depends on its effect, on one thread's order: the
    /// simulator has one call open at a time.
    pub is_unsettled: AtomicBool,
    /// Civil time at which the rates table was read last, in Unix milliseconds.
    pub rates_read_at: AtomicI64,
    /// Epoch of the releases whose conversions the pacers know. Only the money's ticks touch it.
    pub paced_on: AtomicU64,
    /// Ticks of simulated time, one at a time.
    pub ticks: tokio::sync::Mutex<Option<Timestamp>>,
    pub(super) exchanges: BTreeMap<String, ExchangeDesk>,
    pub(super) shards: Vec<Arc<Mutex<ShardState>>>,
    pub(super) workers: Vec<ArcSwapOption<WorkerAddresses>>,
}

/// Visits in a message: some 13 us each, so a full mailbox is about a second of work.
const VISITS_MAX: usize = 64;

impl Engine {
    /// The exchange of this name.
    pub fn exchange(&self, name: &str) -> Option<&ExchangeDesk> {
        self.exchanges.get(name)
    }

    /// All exchanges.
    pub fn desks(&self) -> impl Iterator<Item = &ExchangeDesk> {
        self.exchanges.values()
    }

    /// Whether the request carries the key of `scope`.
    pub fn is_authorised(&self, head: &HttpRequest, scope: Scope) -> bool {
        let header = head.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        header
            .and_then(|text| text.strip_prefix("Bearer "))
            .is_some_and(|key| self.keys.admits(scope, key.trim()))
    }

    /// The state of one core, for its worker.
    pub fn core(
        self: &Arc<Self>,
        number: u16,
        shows: &Rc<Shows>,
        recorder: Rc<RefCell<StageRecorder>>,
    ) -> Core {
        let leases = LeaseBook::new(NODE, number, self.keys.boot);
        let outbox = Box::new(Post::new(self.clone(), shows.clone()));
        let core = Core::new(number, &self.published, leases, recorder, outbox, self.civil.clone());
        core.timed(self.auction_ticks.clone())
    }

    /// Starts the session shard of a worker on the present thread.
    pub fn start_shard(self: &Arc<Self>, number: usize) -> Addr<SessionShard> {
        let shard = SessionShard::new(self.shards[number].clone(), self.civil.clone());
        let engine = self.clone();
        let shard = shard.timed(self.session_ticks.clone());
        let shard = shard.relaying(Box::new(move |relays| engine.relay(relays)));
        if !self.config.relevance.collaborative {
            return shard.start();
        }
        let engine = self.clone();
        let tell = move |visits: Vec<Visit>| {
            // The mailbox counts messages: pieces of bounded size bound what waits in it.
            for visits in visits.chunks(VISITS_MAX) {
                if !engine.relevance.tell(Visits(visits.to_vec())) {
                    engine.metrics.refused_many("visits", visits.len() as u64);
                }
            }
        };
        shard.telling(Box::new(tell)).start()
    }

    /// The sessions that one worker writes: to fill them before there is traffic.
    pub fn shard(&self, number: usize) -> &Arc<Mutex<ShardState>> {
        &self.shards[number]
    }

    /// Makes a worker's actors known, and where its core finds what the ledger says.
    pub fn register(
        &self,
        number: u16,
        inbox: LeaseInbox,
        auction: Addr<AuctionActor>,
        shard: Addr<SessionShard>,
    ) {
        let holder = auction.clone().recipient();
        self.workers[usize::from(number)].store(Some(Arc::new(WorkerAddresses { auction, shard })));
        let boot = self.keys.boot;
        // Goes round the mailbox's bound: once a worker and start, and nothing works without it.
        self.budget.address().do_send(Register { core: number, boot, inbox, holder });
    }

    /// Makes the successor of a worker's auction actor known.
    pub fn replace_auction(&self, number: u16, inbox: LeaseInbox, auction: Addr<AuctionActor>) {
        if let Some(worker) = self.worker(number) {
            self.register(number, inbox, auction, worker.shard.clone());
        }
    }

    /// One worker's actors, once it has started.
    pub fn worker(&self, number: u16) -> Option<Arc<WorkerAddresses>> {
        self.workers.get(usize::from(number))?.load_full()
    }

    /// All workers that have started.
    pub fn workers(&self) -> impl Iterator<Item = Arc<WorkerAddresses>> {
        self.workers.iter().filter_map(ArcSwapOption::load_full)
    }

    /// How many workers there will be.
    pub fn worker_count(&self) -> usize {
        self.workers.len()
    }

    /// Tells the auction actor of one core, waiting for room in its mailbox.
    pub async fn tell_core<M>(&self, core: u16, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        AuctionActor: Handler<M>,
    {
        let Some(worker) = self.worker(core) else {
            self.metrics.refused("unknown_core");
            return;
        };
        if !self.tell(&worker.auction, message).await {
            self.metrics.refused("auction");
        }
    }

    /// Tells the shard of some users what became of their shows, waiting for room in its mailbox.
    pub async fn change_shows(&self, shard: usize, changes: Vec<ShowChange>) {
        let count = changes.len() as u64;
        let worker = u16::try_from(shard).ok().and_then(|number| self.worker(number));
        let is_told = match worker {
            Some(worker) => self.tell(&worker.shard, ChangeShows(Arc::new(changes))).await,
            None => false,
        };
        if !is_told {
            self.metrics.refused_many("shows", count);
        }
    }

    /// What shards are told when they have ended: their state is still there to be saved.
    pub fn in_place(&self) -> Replay<'_> {
        Replay { map: &self.shard_map, shards: &self.shards }
    }

    /// Tells one shard, waiting for room in its mailbox and for its answer; `None` when it has ended.
    pub async fn tell_shard_number<M>(&self, shard: usize, message: M) -> Option<M::Result>
    where
        M: Message<Result: Send> + Send + 'static,
        SessionShard: Handler<M>,
    {
        let worker = u16::try_from(shard).ok().and_then(|number| self.worker(number));
        worker?.shard.send(message).await.ok()
    }

    /// Puts a message into a mailbox, waiting for room; `false` when the actor is gone. In
    /// simulation mode it also waits for the effect. Otherwise not: the answer would be one more
    /// wake-up of this thread.
    async fn tell<A, M>(&self, actor: &Addr<A>, message: M) -> bool
    where
        A: Actor<Context = Context<A>> + Handler<M>,
        M: Message<Result = ()> + Send + 'static,
    {
        let message = if self.civil.is_simulated() {
            message
        } else {
            match actor.try_send(message) {
                Ok(()) => return true,
                Err(SendError::Closed(_)) => return false,
                Err(SendError::Full(message)) => message,
            }
        };
        actor.send(message).await.is_ok()
    }
}

/// Milliseconds for which notices of a bid are taken: past the billing window they still say whose loss
/// it is.
pub const TOKEN_TTL_MS: i64 = 2 * 86_400_000;
const _: () = assert!(
    TOKEN_TTL_MS <= budget::CLOSED_KEPT_MS && 2_000 * BILLING_WINDOW_S_MAX as i64 <= TOKEN_TTL_MS
);
/// This process is the only node until there is a cluster.
pub const NODE: u16 = 1;

impl Engine {
    /// The first exchange of the configuration.
    pub fn first_exchange(&self) -> Option<&ExchangeDesk> {
        self.exchanges.values().next()
    }

    /// Why no bid could be made and paid for now; `None` when one could.
    pub async fn unready(&self) -> Option<String> {
        if self.workers().count() < self.worker_count() {
            return Some("workers are starting".to_owned());
        }
        let health = self.ledger.log().status().health;
        if !health.takes() {
            return Some(format!("the ledger's log {health}"));
        }
        let reason = match self.budget.address().send(budget::Status).await {
            Ok(status) if status.house.is_poisoned => "the ledger is poisoned",
            Ok(_) => return None,
            Err(_) => "the ledger does not answer",
        };
        Some(reason.to_owned())
    }

    /// Makes every worker hand out its histograms.
    pub async fn publish_latency(&self) {
        let now = self.civil.now();
        for worker in self.workers() {
            // A worker that ends has handed out its own.
            let _ = worker.auction.send(auction::Tick { now }).await;
        }
    }
}
