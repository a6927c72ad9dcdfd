//! Starting and stopping: one thread runs the actor system, its listeners and its ticks.

use crate::catalog::Subscribe;
use crate::clock::Civil;
use crate::config::Config;
use crate::priority::{Behind, step_back};
use crate::server::assemble::{Parts, Spreader, assemble, spread};
use crate::server::astray::Astray;
use crate::server::door::{self, Door};
use crate::server::engine::{Engine, NODE};
use crate::server::keys::{FreshKeys, Keys};
use crate::server::simulation::{tick_learning_in_real_time, tick_money_in_real_time};
use crate::server::stores::Stores;
use crate::server::worker::Worker;
use crate::server::{
    admin, conversions, events, explain, forget, ledger, notices, privacy_status, rates, segments,
};
use crate::store::Position;
use crate::units::Timestamp;
use actix::prelude::*;
use actix_web::dev::{Server, ServerHandle};
use actix_web::web::{self, Data, Payload};
use actix_web::{App, HttpServer};
use anyhow::Context as _;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// How to run, beside the configuration.
#[derive(Default)]
pub struct Options {
    /// Civil time comes from requests.
    pub simulation: Option<Timestamp>,
    /// Secrets to use in place of the state folder's; nothing else of the folder is used then, and
    /// the logs lie in memory.
    pub keys: Option<Keys>,
    /// Catalog and strategies to use in place of the configuration's folders.
    pub parts: Option<Parts>,
}

/// Where a running server listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Exchanges.
    pub exchange: SocketAddr,
    /// Notices, clicks, events.
    pub public: SocketAddr,
    /// Operators and advertisers.
    pub admin: SocketAddr,
}

/// A server that runs on a thread of its own.
pub struct Running {
    addresses: Addresses,
    engine: Arc<Engine>,
    fresh: Option<FreshKeys>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<anyhow::Result<()>>>,
}

impl Running {
    /// Where it listens.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The API keys, if they were made at this start.
    pub const fn fresh_keys(&self) -> Option<&FreshKeys> {
        self.fresh.as_ref()
    }

    /// What it shares with its workers; for benchmarks that fill it.
    pub const fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Stops it: requests under way are finished, leases given back.
    ///
    /// # Errors
    /// What made the server end.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.end()
    }

    /// Waits until SIGINT or SIGTERM has stopped it.
    ///
    /// # Errors
    /// What made the server end.
    pub fn wait(mut self) -> anyhow::Result<()> {
        let stop = self.stop.take();
        let outcome = self.join();
        drop(stop);
        outcome
    }

    fn end(&mut self) -> anyhow::Result<()> {
        drop(self.stop.take());
        self.join()
    }

    fn join(&mut self) -> anyhow::Result<()> {
        match self.thread.take().map(std::thread::JoinHandle::join) {
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => anyhow::bail!("the server's thread panicked"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!(%error, "the server ended badly");
        }
    }
}

/// Starts a server and returns when it listens.
///
/// # Errors
/// Anything that keeps it from serving, in words for a person.
pub fn start(config: Config, options: Options) -> anyhow::Result<Running> {
    let mut parts = match options.parts {
        Some(parts) => parts,
        None => Parts::load(&config)?,
    };
    let civil = options.simulation.map_or_else(Civil::machine, Civil::simulated);
    // The logs before the keys: their lock says whether the state folder is ours. And before the
    // listeners: nobody is to wait while they are read.
    let stores = if options.keys.is_some() || parts.log.is_some() {
        Stores::in_memory(&config, &civil, parts.log.take())?
    } else {
        Stores::open(&config, &civil)?
    };
    parts.resume(stores.settings.clone())?;
    let (mut keys, fresh) = match options.keys {
        Some(keys) => (keys, None),
        None => Keys::open(&config.paths.state, civil.now()).context("the state folder")?,
    };
    if let Some(privacy) = &stores.privacy {
        // The privacy ledger too takes no owner below its last.
        keys.boot = keys.boot.max(privacy.found.books.owner().saturating_add(1));
    }
    if stores.ledger.position() > Position(0) {
        // Where an older copy of the keys came back, so has the count of starts.
        keys.boot = keys.boot.max(stores.ledger.last_boot(NODE).saturating_add(1));
        if fresh.is_some() {
            tracing::error!(
                "the keys are new and the ledger is not: no bill of before is accepted"
            );
        }
    }
    let server = &config.server;
    let listeners = Listeners {
        exchange: listen(server.exchange_listen)?,
        public: listen(server.public_listen)?,
        admin: listen(server.admin_listen)?,
    };
    let addresses = listeners.addresses()?;
    if options.simulation.is_some() {
        let all = [addresses.exchange, addresses.public, addresses.admin];
        let is_local = all.iter().all(|address| address.ip().is_loopback());
        anyhow::ensure!(is_local, "simulation mode listens on loopback only");
    }
    let (stop, stopped) = oneshot::channel();
    let (started, ready) = std::sync::mpsc::channel();
    let run = move || {
        System::new().block_on(serve(
            config, parts, stores, keys, civil, listeners, addresses, started, stopped,
        ))
    };
    let thread = std::thread::Builder::new().name("outbid".to_owned()).spawn(run)?;
    let mut running = match ready.recv() {
        Ok(engine) => Running { addresses, engine, fresh, stop: Some(stop), thread: Some(thread) },
        Err(_) => match thread.join() {
            Ok(outcome) => return outcome.and_then(|()| anyhow::bail!("the server did not start")),
            Err(_) => anyhow::bail!("the server's thread panicked"),
        },
    };
    running.fresh = running.fresh.take();
    Ok(running)
}

/// Starts a server that nobody can reach but through [`Running::engine`], standing at `now`: to
/// explain decisions as they would be made.
///
/// # Errors
/// As [`start`].
pub fn start_unheard(mut config: Config, now: Timestamp) -> anyhow::Result<Running> {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    config.server.exchange_listen = anywhere;
    config.server.public_listen = anywhere;
    config.server.admin_listen = anywhere;
    let (keys, _) = Keys::ephemeral()?;
    start(config, Options { simulation: Some(now), keys: Some(keys), parts: None })
}

struct Listeners {
    exchange: TcpListener,
    public: TcpListener,
    admin: TcpListener,
}

impl Listeners {
    fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses {
            exchange: self.exchange.local_addr()?,
            public: self.public.local_addr()?,
            admin: self.admin.local_addr()?,
        })
    }
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))
}

/// Bytes of a URL or header are bounded by actix-web; this bounds connections that wait.
const BACKLOG: u32 = 1_024;
/// Seconds that requests under way are given when the server stops.
const SHUTDOWN_S: u64 = 5;

#[expect(clippy::too_many_arguments, reason = "moved whole into the server's thread, once")]
async fn serve(
    config: Config,
    parts: Parts,
    stores: Stores,
    keys: Keys,
    civil: Civil,
    listeners: Listeners,
    addresses: Addresses,
    started: std::sync::mpsc::Sender<Arc<Engine>>,
    stopped: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let mut config = config;
    config.server.public_listen = addresses.public;
    let worker_count = worker_count(&config, &civil);
    // What is learned may lag behind a flood of events; money may not, so it has a thread of its own.
    let (control, learning) = (Arbiter::new(), Arbiter::new());
    let threads = (&control.handle(), &learning.handle());
    let engine = assemble(config, parts, stores, keys, civil, worker_count, threads)?;
    let catalog = engine.published.catalog.load_full();
    spread(&engine, &catalog).await;
    let spreader = Spreader(engine.clone());
    let spreader = Spreader::start_in_arbiter(&control.handle(), move |_| spreader);
    engine.catalog.address().send(Subscribe(spreader.recipient())).await?;

    let (servers, running) = open(&engine, listeners, worker_count)?;
    wait_for_workers(&engine).await?;
    if engine.civil.is_simulated() {
        engine.run_tick(engine.civil.now()).await;
    } else {
        // In simulation nobody bids while others work.
        control.spawn_fn(|| step_back(Behind::Money));
        learning.spawn_fn(|| step_back(Behind::Learning));
        control.spawn(tick_money_in_real_time(engine.clone()));
        learning.spawn(tick_learning_in_real_time(engine.clone()));
    }
    // Nobody may be waiting any more: then there is nothing to serve for.
    if started.send(engine.clone()).is_ok() {
        until_stopped(stopped).await;
    }
    close(&engine, &servers).await;
    control.stop();
    learning.stop();
    for server in running {
        server.await.context("a listener ended")??;
    }
    Ok(())
}

fn worker_count(config: &Config, civil: &Civil) -> usize {
    match config.server.workers {
        _ if civil.is_simulated() => 1,
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    }
}

type Opened = (Vec<ServerHandle>, Vec<tokio::task::JoinHandle<std::io::Result<()>>>);

fn open(engine: &Arc<Engine>, listeners: Listeners, workers: usize) -> anyhow::Result<Opened> {
    let servers = [
        exchange_server(engine.clone(), listeners.exchange, workers)?,
        public_server(engine.clone(), listeners.public)?,
        admin_server(engine.clone(), listeners.admin)?,
    ];
    let handles = servers.iter().map(Server::handle).collect();
    Ok((handles, servers.into_iter().map(actix_web::rt::spawn).collect()))
}

fn exchange_server(
    engine: Arc<Engine>,
    listener: TcpListener,
    workers: usize,
) -> anyhow::Result<Server> {
    let keep_alive = Duration::from_millis(engine.config.server.keep_alive_ms);
    // Numbers are dealt at the start and not again. actix-server (2.10, `worker.rs`) starts another
    // thread only when the task that hands out a worker's connections has panicked. No code of ours
    // runs in it once the worker has started: a connection is a task of its own, and so is an
    // actor, and tokio catches the panic of a task within it. A worker lost all the same must not
    // come back under its number with a book that counts leases from 0 again; it would get a number
    // past the table, panic here, and stay away.
    let next = Arc::new(AtomicU16::new(0));
    let astray = Astray::new(engine.metrics.astray("exchange"));
    let server = HttpServer::new(move || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        assert!(usize::from(number) < workers, "a worker died: its core is lost until a restart");
        let worker = Rc::new(Worker::start(engine.clone(), number));
        let mut app = App::new();
        let mut doors = Vec::new();
        for desk in engine.desks() {
            let door = Door { worker: worker.clone(), desk: Rc::new(desk.clone()) };
            let path = desk.config.path(&desk.name);
            // For whoever spells the path otherwise, or takes another method.
            let routed = door.clone();
            let bid =
                move |head, payload: Payload| routed.clone().routed(head, payload.into_inner());
            app = app.service(astray.post(&path, bid));
            doors.push((path, door));
        }
        let app = app
            .service(astray.only("/openrtb2/{exchange}/bid", "POST", astray.unknown_exchange()))
            .default_service(astray.nowhere());
        door::before(app, doors)
    });
    Ok(server
        .workers(workers)
        .backlog(BACKLOG)
        .keep_alive(keep_alive)
        .client_request_timeout(Duration::from_secs(5))
        .shutdown_timeout(SHUTDOWN_S)
        .disable_signals()
        .listen(listener)?
        .run())
}

fn public_server(engine: Arc<Engine>, listener: TcpListener) -> anyhow::Result<Server> {
    let keep_alive = Duration::from_millis(engine.config.server.keep_alive_ms);
    let astray = Astray::new(engine.metrics.astray("public"));
    let server = HttpServer::new(move || {
        // On the thread of its worker. Notices come by the thousand, and each that woke it would
        // take the core from a bid.
        if !engine.civil.is_simulated() {
            step_back(Behind::Money);
        }
        App::new()
            .app_data(Data::new(engine.clone()))
            .app_data(Data::new(notices::Desk::new(engine.clone())))
            // Of any method: the handlers say which they take.
            .route("/notice/win", web::to(notices::win))
            .route("/notice/billing", web::to(notices::billing))
            .route("/notice/loss", web::to(notices::loss))
            .route("/pixel", web::to(notices::pixel))
            .route("/pixel/{advertiser}", web::to(conversions::pixel))
            .route("/click", web::to(notices::click))
            .service(astray.post("/events", events::events))
            .default_service(astray.nowhere())
    });
    Ok(server
        .workers(1)
        .backlog(BACKLOG)
        .keep_alive(keep_alive)
        .shutdown_timeout(SHUTDOWN_S)
        .disable_signals()
        .listen(listener)?
        .run())
}

fn admin_server(engine: Arc<Engine>, listener: TcpListener) -> anyhow::Result<Server> {
    let astray = Astray::new(engine.metrics.astray("admin"));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(engine.clone()))
            .service(astray.get("/healthz", admin::healthz))
            .service(astray.get("/readyz", admin::readyz))
            .service(astray.get("/metrics", admin::metrics))
            .service(astray.get("/latency", admin::latency))
            .service(astray.post("/explain", explain::explain_request))
            .service(astray.get("/api/v1/auctions/{id}", explain::auction))
            .service(astray.get("/api/v1/report", admin::report))
            .service(astray.get("/api/v1/events", admin::events))
            .service(astray.post("/api/v1/reload", admin::reload))
            .service(astray.post("/api/v1/reload/rates", rates::reload_rates))
            .service(astray.get("/api/v1/campaigns", admin::campaigns))
            .service(
                astray
                    .only("/api/v1/campaigns/{id}", "GET, PUT", web::get().to(admin::campaign))
                    .route(web::put().to(admin::edit_campaign)),
            )
            .service(astray.only(
                "/api/v1/campaigns/{id}/edits",
                "DELETE",
                web::delete().to(admin::reset_campaign),
            ))
            .service(astray.post("/api/v1/campaigns/{id}/adjustments", ledger::adjust))
            .service(astray.get("/api/v1/ledger", ledger::statement))
            .service(astray.get("/api/v1/segments", segments::segments))
            .service(astray.get("/api/v1/privacy", privacy_status::status))
            .service(astray.post("/api/v1/privacy/forget", forget::forget))
            .service(astray.post("/api/v1/simulation/clock", admin::clock))
            .default_service(astray.nowhere())
    });
    Ok(server
        .workers(1)
        .backlog(BACKLOG)
        .shutdown_timeout(SHUTDOWN_S)
        .disable_signals()
        .listen(listener)?
        .run())
}

/// Milliseconds that workers get to start; they do so within a few.
const START_MS: u64 = 10_000;

async fn wait_for_workers(engine: &Engine) -> anyhow::Result<()> {
    let all_started = async {
        while engine.workers().count() < engine.worker_count() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_millis(START_MS), all_started)
        .await
        .context("the workers did not start")
}

async fn until_stopped(stopped: oneshot::Receiver<()>) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return };
    tokio::select! {
        _ = stopped => {}
        _ = terminate.recv() => tracing::info!("told to stop"),
        _ = interrupt.recv() => tracing::info!("interrupted"),
    }
}

/// The last tick and the return of the leases while the workers live (their actors end with the
/// exchange's listener), then the listeners in the order of the data: no new requests, no new
/// notices, no more questions. At last whatever the notices appended, and the state that it led to.
async fn close(engine: &Engine, servers: &[ServerHandle]) {
    engine.run_tick(engine.civil.now()).await;
    engine.give_leases_back().await;
    for server in servers {
        // What was begun for a sender who has gone ends with his listener, and not halfway.
        engine.behaviour_log.settle().await;
        server.stop(true).await;
    }
    engine.drain_log().await;
    engine.save_ledger().await;
    engine.saved_model.finish();
    engine.saved_sessions.finish(&engine.behaviour_log);
    engine.event_log.settle().await;
}
