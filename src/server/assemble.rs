//! From a configuration to an engine: loads what is on disk, starts the control actors.

use crate::auction::{Arms, Policy, Published, input_of_terms};
use crate::budget::{
    Budget, BudgetActor, CampaignTerms, DayNumber, Flight, LedgerWriter, SetCampaigns, Shared,
    Windows,
};
use crate::catalog::{
    Campaign, Catalog, CatalogActor, CatalogChanged, CatalogError, CatalogKeeper, HourMask,
};
use crate::clock::{Civil, Mono};
use crate::config::{self, AliasFrom, Config};
use crate::consent;
use crate::exchange::{Bucket, Gate, PriceCipher};
use crate::hash::{UserHasher, stable, stable_lower};
use crate::latency::{LatencyBoard, TickTimes};
use crate::market::{self, MarketActor};
use crate::notice::Sealer;
use crate::openrtb::Limits;
use crate::prediction::{
    self, AdFeatures, AdInput, AdsChanged, CONTENT_MAX, LearnerActor, SlotFormat,
};
use crate::privacy::{Aggregates, DeclareCells, ModelKind, Opening, Plan};
use crate::relevance::sequence::SequenceModel;
use crate::relevance::{Adopt, CoVisitConfig, Content, KnnConfig, RelevanceActor, RelevanceState};
use crate::server::alias_metrics::AliasMetrics;
use crate::server::arm_books::{ArmBooks, ArmMetrics};
use crate::server::behaviour_replay;
use crate::server::conversions::Conversions;
use crate::server::engine::{Engine, ExchangeDesk, NODE};
use crate::server::event_log::EventLog;
use crate::server::forgotten::Forgotten;
use crate::server::keys::Keys;
use crate::server::learner_metrics::LearnerMetrics;
use crate::server::log_metrics::LogMetrics;
use crate::server::metrics::Metrics;
use crate::server::privacy_metrics::PrivacyMetrics;
use crate::server::relevance_metrics::RelevanceMetrics;
use crate::server::saved_model::SavedModel;
use crate::server::saved_sessions::{SavedSessions, Users};
use crate::server::searched::Searched;
use crate::server::stores::Stores;
use crate::server::supervised::Supervised;
use crate::server::tick_metrics::TickMetrics;
use crate::server::user_keys::UserKeys;
use crate::session::{
    AliasConfig, Aliases, Replay, Sequencer, SessionConfig, SessionTable, ShardMap, ShardState,
    WINDOW_S_MAX,
};
use crate::store::{ConfigStore, OrderedLog};
use crate::strategy::pacing::{ArmTerms, PacingKind, PlanKind};
use crate::strategy::{Exploration, Strategies, Strategy};
use crate::units::{CampaignId, Nanos, Slot};
use actix::prelude::*;
use anyhow::Context as _;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

/// What an engine is made of, beside its configuration: the parts that a benchmark or test brings
/// along.
pub struct Parts {
    /// The catalog and what changes it.
    pub keeper: Arc<CatalogKeeper>,
    /// Bidding strategies.
    pub strategies: Arc<Strategies>,
    /// The ledger's log, where nothing is to be kept: tests bring one that fails.
    pub log: Option<Arc<dyn OrderedLog>>,
}

impl Parts {
    /// What the configuration's folders hold.
    ///
    /// # Errors
    /// Every problem found, a line each.
    pub fn load(config: &Config) -> anyhow::Result<Self> {
        let strategies = Strategies::load(&config.paths.strategies).map_err(|e| lines(&e))?;
        let names = strategies.known();
        let folder = &config.paths.catalog;
        let keeper = CatalogKeeper::open(folder.clone(), names).map_err(|errors| {
            lines(&errors.into_iter().map(|error| error.within(folder)).collect::<Vec<_>>())
        });
        let keeper = Arc::new(keeper?);
        Ok(Self { keeper, strategies: Arc::new(strategies), log: None })
    }

    /// Puts the edits that an earlier process has kept on top of the files, and says which could not
    /// be.
    pub(super) fn resume(&self, settings: Arc<dyn ConfigStore>) -> anyhow::Result<()> {
        let resumed = self.keeper.resume(settings).map_err(|errors| lines(&errors))?;
        for CatalogError { file, reason, .. } in &resumed.stopped {
            tracing::error!(file, reason, "a campaign is stopped: mend its edit, or take it back");
        }
        for campaign in &resumed.dropped {
            tracing::warn!(campaign, "left the files, and its edits are let go of");
        }
        Ok(())
    }
}

fn lines<E: std::fmt::Display>(errors: &[E]) -> anyhow::Error {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!(lines.join("\n"))
}

/// Builds the engine; its control actors run in `control`.
///
/// # Errors
/// A part of the configuration that cannot be used.
pub fn assemble(
    config: Config,
    parts: Parts,
    stores: Stores,
    keys: Keys,
    civil: Civil,
    worker_count: usize,
    (control, learning): (&ArbiterHandle, &ArbiterHandle),
) -> anyhow::Result<Arc<Engine>> {
    let now = civil.now();
    let rates = config.currency.read()?;
    let arms = Arms::from_shares(&config.experiment.arms).map_err(anyhow::Error::msg)?;
    let plan = Plan::try_from(&config.privacy).context("privacy")?;
    let plan = plan.with_base_rate(f64::from(config.prediction.base_click_rate));
    let plan = match config.privacy.model {
        ModelKind::Plain => plan,
        ModelKind::DpFtrl => {
            let dimensions = prediction::gradient_dimensions(config.privacy.model_bits);
            plan.with_gradients(dimensions).context("privacy")?
        }
    };
    tracing::info!("privacy: {}; {}", plan.claim(), config.privacy.mode.words());
    let model = model_config(&config, &plan);
    let saved_model =
        SavedModel::open(&config, &model, stores.saver.is_some()).context("prediction")?;
    let sequencer = sequencer(&config)?;
    let user_keys = UserKeys::open(&config, &keys, stores.saver.is_some(), now)?;
    let forgotten =
        Forgotten::open(stores.forgotten.clone(), civil.clone(), wishes_keep_ms(&config))?;
    let forgotten = Arc::new(forgotten);
    let saved_sessions = SavedSessions::open(
        (&config, &keys),
        (&civil, stores.saver.is_some()),
        forgotten.clone(),
        sequencer.as_ref().map_or(0, |one| stable(&one.model().to_bytes())),
        || Users { sessions: Arc::new(session_table(&config)), aliases: aliases(&config) },
    );
    let Stores {
        ledger_log,
        events_log,
        ledger: folded,
        saver,
        events_keep_ms,
        behaviour,
        orders,
        ..
    } = stores;
    let mut logs = vec![("ledger", ledger_log.clone()), ("events", events_log.clone())];
    let opening = match stores.privacy {
        None => Opening::in_memory(),
        Some(found) => {
            logs.extend(found.log.clone().map(|log| ("privacy", log)));
            found.opening(&plan, now, &config.paths.state, &stores.settings, keys.boot)
        }
    };
    // In simulation each tick waits for what it releases.
    let opening = if civil.is_simulated() { opening } else { opening.in_background() };
    let privacy = Aggregates::start(&plan, now, opening).context("privacy")?;
    let learner = match config.privacy.model {
        ModelKind::Plain => saved_model.learner().clone(),
        ModelKind::DpFtrl => saved_model.learner().clone().through(privacy.clone()),
    };
    let ledger = LedgerWriter::new(ledger_log, keys.boot);
    let window_ms = config.exchanges.values().map(|exchange| exchange.billing_window_s).max();
    let window_ms = u64::from(window_ms.unwrap_or(0)) * 1_000;
    let start = (NODE, keys.boot);
    let budget = Shared::resume(ledger.clone(), civil.clone(), start, window_ms, folded, saver);
    let catalog = parts.keeper.published();
    let market_inbox = market::Inbox::default();
    let learns_market = market_inbox.clone();
    let relevance = relevance_state(&config);
    let published = Published {
        sequence: sequencer.as_ref().map(|sequencer| sequencer.model().clone()),
        catalog,
        relevance: relevance.published(),
        fits_max: config.auction.candidates_max,
        model: learner.published(),
        pacing: budget.snapshot(),
        releases: privacy.releases(),
        market: market_inbox.published(),
        strategies: Arc::new(ArcSwap::new(parts.strategies)),
        rates: Arc::new(ArcSwap::from_pointee(rates)),
        base_logit: model.base_logit(),
        limits: config.auction,
        #[cfg(feature = "onnx")]
        reranker: super::reranker::open(&config)?,
    };
    let Users { sessions, aliases } = saved_sessions.users();
    let several = (sequencer.as_ref(), aliases.as_ref());
    let mut metrics = Metrics::new();
    let (shard_map, shards) = shards(&sessions, worker_count, several, &metrics.bids_beyond_cap);
    let replay = Replay { map: &shard_map, shards: &shards };
    let known = (&saved_sessions, &*forgotten, replay);
    let (behaviour_log, replayed) =
        behaviour_replay::open(behaviour, (&config, &keys, &civil), known)?;
    logs.extend(behaviour_log.log().map(|log| ("behaviour", log.clone())));
    let aggregates = privacy.clone();
    let keeper = parts.keeper;
    metrics.watch(LogMetrics(logs));
    metrics.watch(PrivacyMetrics(privacy.clone()));
    metrics.watch(RelevanceMetrics(relevance.clone()));
    aliases.iter().for_each(|aliases| metrics.watch(AliasMetrics(aliases.clone())));
    let arm_books = Arc::new(ArmBooks::default());
    let named = config.exchanges.keys().cloned();
    metrics.watch(LearnerMetrics::new(learner.last_status(), named));
    metrics.watch(saved_model.metrics());
    metrics.watch(saved_sessions.metrics());
    behaviour_log.watch(&mut metrics);
    metrics.watch(replayed);
    metrics.watch(user_keys.metrics());
    #[cfg(feature = "onnx")]
    metrics.watch(super::reranker::RerankMetrics(published.reranker.clone()));
    metrics.watch(ArmMetrics(arm_books.clone()));
    let (auction_ticks, session_ticks) = (TickTimes::default(), TickTimes::default());
    metrics.watch(TickMetrics(vec![
        ("auction", auction_ticks.clone()),
        ("session", session_ticks.clone()),
        ("budget", budget.times().clone()),
        ("market", market_inbox.times().clone()),
        ("learner", learner.times().clone()),
        ("relevance", relevance.times().clone()),
    ]));
    if let Some(sequencer) = &sequencer {
        metrics.time_steps(sequencer.seconds().clone());
    }
    let counters = metrics.event_entries.clone();
    let event_log = EventLog::new(events_log, civil.clone(), keys.boot, events_keep_ms, counters);
    let conversions = Conversions::new(&config.attribution);
    orders.into_iter().for_each(|(order, hold)| conversions.recall(order, hold));
    let related = relevance.clone();
    let engine = Arc::new(Engine {
        related,
        user_keys,
        marks: UserHasher::new(keys.mark_key),
        searched: Searched::default(),
        reloading: tokio::sync::Mutex::default(),
        nonce_start: nonce_start()?,
        sealer: Sealer::new(&keys.token_key, 1),
        consent: consent::Policy::try_from(&config.consent).map_err(anyhow::Error::msg)?,
        public_url: config.public_url(),
        is_https: config.public_url().starts_with("https://"),
        limits: Limits { body_bytes: config.server.body_bytes_max, ..Limits::default() },
        metrics,
        board: LatencyBoard::default(),
        auction_ticks,
        session_ticks,
        budget: Supervised::start(control, move || BudgetActor::new(budget.clone())),
        aggregates: Supervised::start(control, move || aggregates.actor()),
        learner: Supervised::start(learning, move || LearnerActor::new(learner.clone())),
        relevance: Supervised::start(learning, move || RelevanceActor::new(relevance.clone())),
        market: Supervised::start(control, move || MarketActor::new(learns_market.clone())),
        market_inbox,
        catalog: Supervised::start(control, move || CatalogActor::new(keeper.clone())),
        event_log,
        saved_model,
        saved_sessions,
        behaviour_log: Arc::new(behaviour_log),
        forgotten,
        arm_books,
        conversions,
        ticks: tokio::sync::Mutex::new(None),
        is_unsettled: AtomicBool::new(true),
        rates_read_at: AtomicI64::new(now.0),
        paced_on: AtomicU64::new(0),
        exchanges: desks(&config),
        workers: (0..worker_count).map(|_| Default::default()).collect(),
        ledger,
        privacy,
        published,
        sessions,
        aliases,
        shard_map,
        shards,
        arms,
        keys,
        civil,
        config,
    });
    Ok(engine)
}

fn nonce_start() -> anyhow::Result<[u8; 10]> {
    let mut start = [0; 10];
    let filled = SystemRandom::new().fill(&mut start);
    filled.map_err(|_| anyhow::anyhow!("the machine gave no random bytes"))?;
    Ok(start)
}

fn model_config(config: &Config, plan: &Plan) -> prediction::Config {
    let model = prediction::Config {
        seed: config.prediction.seed,
        base_rate: f64::from(config.prediction.base_click_rate),
        click_window_ms: i64::from(config.prediction.click_window_s) * 1_000,
        calibration: config.prediction.calibration,
        negative_rate: config.prediction.negative_rate,
        conversion_window_ms: i64::from(config.prediction.conversion_window_s) * 1_000,
        admission: config.prediction.admission,
        ttl_hours: config.prediction.ttl_hours,
        dim: config.prediction.dim,
        ..prediction::Config::default()
    };
    match config.privacy.model {
        ModelKind::Plain => model,
        ModelKind::DpFtrl => model.released(config.privacy.model_bits, plan.day_decay()),
    }
}

fn relevance_state(config: &Config) -> RelevanceState {
    let config::Relevance { users_min, items_max, sessions_max, .. } = config.relevance;
    let covisits = CoVisitConfig { users_min, items_max, ..CoVisitConfig::default() };
    let knn = KnnConfig { users_min, items_max, sessions_max, ..KnnConfig::default() };
    RelevanceState::new(covisits, knn)
}

fn desks(config: &Config) -> BTreeMap<String, ExchangeDesk> {
    let named = config.exchanges.iter().zip(0..);
    let desk = |((name, exchange), number): ((&String, &crate::config::Exchange), u16)| {
        let windows = Windows {
            decision_ttl_ms: exchange.decision_ttl_s.saturating_mul(1_000),
            billing_window_ms: exchange.billing_window_s.saturating_mul(1_000),
        };
        let desk = ExchangeDesk {
            name: name.clone(),
            number,
            key: stable_lower(name),
            config: exchange.clone(),
            windows,
            policy: Policy::of(exchange),
            gate: Arc::new(Gate::new(exchange)),
            bucket: Bucket::of(exchange.qps_max, Mono::now()).map(Arc::new),
            // Not of an exchange that anybody could be.
            joins_ids: config.session.alias_from.requests() && exchange.auth.is_required(),
            cipher: exchange.price_keys.as_ref().map(PriceCipher::new),
            refused_attributes: exchange.refused_attributes(),
        };
        (name.clone(), desk)
    };
    named.map(desk).collect()
}

type Shards = Vec<Arc<Mutex<ShardState>>>;

/// What steps users' states, where a model is configured: a wrong file stops the start.
fn sequencer(config: &Config) -> anyhow::Result<Option<Arc<Sequencer>>> {
    let Some(file) = &config.relevance.sequence_model else { return Ok(None) };
    let model = SequenceModel::read(file)
        .with_context(|| format!("relevance.sequence_model: {}", file.display()))?;
    Ok(Some(Arc::new(Sequencer::new(Arc::new(model)))))
}

/// The table of ids that are one user, where anybody may say so or users get new names.
fn aliases(config: &Config) -> Option<Arc<Aliases>> {
    let session = &config.session;
    let config = AliasConfig {
        aliases_max: session.alias_max,
        ttl_s: session.alias_ttl_s,
        joins_per_s: session.alias_joins_per_s,
    };
    let is_used = session.alias_from != AliasFrom::Off || session.user_key_days > 0;
    is_used.then(|| Arc::new(Aliases::new(config)))
}

fn session_table(config: &Config) -> SessionTable {
    SessionTable::new(SessionConfig {
        sessions_max: config.session.sessions_max,
        idle_s: config.session.idle_s,
        ..SessionConfig::default()
    })
}

/// Milliseconds for which it is remembered that a user is to be forgotten: as long as anything that
/// was saved or logged of him would be read.
fn wishes_keep_ms(config: &Config) -> i64 {
    let session = &config.session;
    let saved_s = i64::from(WINDOW_S_MAX.max(session.idle_s).max(session.alias_ttl_s));
    // A key goes with the first tick of a day.
    let logged_s = (i64::from(config.store.behaviour_keep_days) + 2) * 86_400;
    saved_s.max(logged_s) * 1_000
}

fn shards(
    table: &Arc<SessionTable>,
    workers: usize,
    (sequencer, aliases): (Option<&Arc<Sequencer>>, Option<&Arc<Aliases>>),
    beyond_cap: &Counter,
) -> (ShardMap, Shards) {
    let map = ShardMap::even(workers);
    let shards = (0..workers)
        .map(|shard| ShardState::new(table.clone(), shard, map.clone()))
        .map(|state| state.with_sequencer(sequencer.cloned()).with_aliases(aliases.cloned()))
        .map(|state| state.counting(beyond_cap.clone()))
        .map(|state| Arc::new(Mutex::new(state)))
        .collect();
    (map, shards)
}

/// Tells everybody who works from the catalog of its state: the learner of the ads, the ledger of
/// the budgets, the releases of the cells.
pub async fn spread(engine: &Engine, catalog: &Catalog) {
    engine.arm_books.follow(catalog, engine.civil.now());
    let ads = AdsChanged { ads: ads_of(catalog), catalog: catalog.epoch };
    let campaigns = SetCampaigns(terms_of(engine, catalog));
    let cells: Arc<[CampaignId]> = catalog.all_campaigns().map(|campaign| campaign.id).collect();
    let content = content_of(catalog).await;
    let failed = [
        engine.learner.address().send(ads).await.is_err(),
        engine.budget.address().send(campaigns).await.is_err(),
        engine.aggregates.address().send(DeclareCells(cells)).await.is_err(),
        match content {
            Some(content) => engine.relevance.address().send(Adopt(content)).await.is_err(),
            None => true,
        },
    ];
    for _ in failed.into_iter().filter(|failed| *failed) {
        engine.metrics.refused("catalog");
    }
}

/// What items and ads are about, compared on a thread where nobody waits: a second for 50,000 items.
async fn content_of(catalog: &Catalog) -> Option<Arc<Content>> {
    if catalog.items().is_empty() && catalog.all_campaigns().all(|one| !has_items(catalog, one)) {
        return Some(Content::empty());
    }
    let catalog = catalog.clone();
    let compared = tokio::task::spawn_blocking(move || Arc::new(Content::of(&catalog))).await;
    compared.ok()
}

fn has_items(catalog: &Catalog, campaign: &Campaign) -> bool {
    catalog.ads_of(campaign).any(|ad| !ad.items.is_empty())
}

fn ads_of(catalog: &Catalog) -> Arc<[AdFeatures]> {
    let ads = catalog.all_campaigns().flat_map(|campaign| {
        catalog.ads_of(campaign).map(move |ad| {
            let (format, size) = shape(ad);
            AdFeatures::new(
                ad.slot,
                &AdInput {
                    advertiser: campaign.advertiser,
                    campaign: campaign.id,
                    creative: ad.id,
                    category: campaign.category,
                    format,
                    size,
                    content: content_tokens(ad),
                    is_active: true,
                },
            )
        })
    });
    ads.collect()
}

/// The first of what an ad is about: brand and price come before words.
fn content_tokens(ad: &crate::catalog::Ad) -> [u32; CONTENT_MAX] {
    let mut tokens = [0; CONTENT_MAX];
    tokens.iter_mut().zip(ad.about.tokens()).for_each(|(place, token)| *place = *token);
    tokens
}

fn shape(ad: &crate::catalog::Ad) -> (SlotFormat, (u16, u16)) {
    use crate::catalog::AdKind;
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    let (w, h) = ad.kind.size();
    let format = match &ad.kind {
        AdKind::Banner(_) => SlotFormat::Banner,
        AdKind::Video(_) => SlotFormat::Video,
        AdKind::Native(_) => SlotFormat::Native,
        AdKind::Audio(_) => SlotFormat::Audio,
    };
    (format, (side(w), side(h)))
}

fn terms_of(engine: &Engine, catalog: &Catalog) -> Arc<[CampaignTerms]> {
    let bounds: HashMap<_, _> = catalog.advertisers().map(|one| (one.id, one.budget)).collect();
    let splits: HashMap<_, _> = catalog.splits().map(|(one, paces)| (one.id, paces)).collect();
    let terms = catalog.all_campaigns().map(|campaign| {
        let advertiser_bound = bounds.get(&campaign.advertiser).copied().flatten();
        let paces = splits.get(&campaign.id).map_or(&[][..], |paces| paces);
        campaign_terms(engine, campaign, advertiser_bound, paces)
    });
    terms.collect()
}

/// A campaign's budget as the ledger has it.
fn budget_of(campaign: &Campaign, advertiser_bound: Option<Nanos>, exploration_ppm: u32) -> Budget {
    let flights = campaign.flights.iter().map(|flight| Flight {
        first: DayNumber::of(flight.start),
        last: DayNumber::of(flight.end),
        bound: flight.budget,
    });
    let mut flights: Vec<_> = flights.collect();
    flights.sort_by_key(|flight| flight.first);
    Budget {
        currency: campaign.currency,
        advertiser_bound,
        lifetime: campaign.lifetime_budget,
        daily: campaign.daily_budget,
        flights,
        daily_max_ppm: campaign.overdelivery.daily_max_ratio.ppm,
        exploration_ppm,
        is_active: campaign.status == crate::catalog::Status::Active,
    }
}

fn campaign_terms(
    engine: &Engine,
    campaign: &Campaign,
    advertiser_bound: Option<Nanos>,
    paces: &[Slot],
) -> CampaignTerms {
    let strategies = engine.published.strategies.load();
    let bid = input_of_terms(&campaign.bid, 0.0);
    let arms = campaign.strategies.iter().map(|arm| {
        let strategy = strategies.get(&arm.name).and_then(|id| strategies.strategy(id));
        (arm.share, strategy)
    });
    let explored =
        arms.clone().map(|(share, strategy)| match strategy.map(Strategy::exploration) {
            Some(Exploration::Thompson { share_ppm }) => share_ppm * u32::from(share) / 100,
            Some(Exploration::None) | None => 0,
        });
    let terms = arms.clone().zip(0..).map(|((share, strategy), at)| {
        let pacing = strategy.filter(|_| engine.config.budget.pacing).map(Strategy::pacing);
        let multiplier_max = strategy.map_or(1.0, |strategy| strategy.multiplier_bounds().1);
        ArmTerms {
            slot: paces.get(at).copied().unwrap_or(campaign.slot),
            share,
            pacing: pacing.unwrap_or(PacingKind::None),
            plan: strategy.map_or_else(PlanKind::default, Strategy::plan),
            multiplier_max_ppm: (multiplier_max * 1e6).round() as u64,
            target: strategy
                .filter(|_| pacing.is_some_and(|pacing| pacing != PacingKind::None))
                .and_then(|strategy| strategy.target(&bid)),
        }
    });
    let terms: Vec<_> = terms.collect();
    let first = terms.first();
    CampaignTerms {
        id: campaign.id,
        advertiser: campaign.advertiser,
        slot: campaign.slot,
        budget: budget_of(campaign, advertiser_bound, explored.sum()),
        time_zone: campaign.time_zone.clone(),
        pacing: first.map_or(PacingKind::None, |arm| arm.pacing),
        plan: first.map_or_else(PlanKind::default, |arm| arm.plan),
        // The catalog has read them before.
        hours: HourMask::parse(&campaign.targeting.hours).unwrap_or_default(),
        multiplier_max_ppm: first.map_or(1_000_000, |arm| arm.multiplier_max_ppm),
        target: first.and_then(|arm| arm.target),
        counts_releases: engine.config.privacy.mode.is_strict(),
        max_price: campaign.bid.max_cpm,
        arms: if campaign.is_split() { terms } else { Vec::new() },
    }
}

/// Listens for new catalogs and spreads them.
pub struct Spreader(pub Arc<Engine>);

impl Actor for Spreader {
    type Context = Context<Self>;
}

impl Handler<CatalogChanged> for Spreader {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, changed: CatalogChanged, _: &mut Self::Context) -> Self::Result {
        let engine = self.0.clone();
        Box::pin(async move { spread(&engine, &changed.0).await })
    }
}
