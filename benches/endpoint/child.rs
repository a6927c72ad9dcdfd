//! The processes under test, whole on core 0: the bidder with everything on, or a bare echo.

use crate::requests::{USERS, ifa};
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer};
use anyhow::Context as _;
use outbid::auction::World;
use outbid::catalog::{CatalogKeeper, generated};
use outbid::clock::{Civil, Mono};
use outbid::config::Config;
use outbid::privacy::Tick;
use outbid::server::{Engine, Keys, Options, Parts, start};
use outbid::session::{ApplyEvents, Behaviour, Event, UserId};
use outbid::strategy::Strategies;
use outbid::units::Nanos;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use std::sync::Arc;

/// Campaigns in the catalog.
pub const CAMPAIGNS: usize = 10_000;
/// Seed of the catalog, the same in both processes.
pub const SEED: u64 = 1;
/// Daily budget of each campaign in currency units: no bench spends it.
const BUDGET_UNITS: u64 = 10_000_000;
/// Behaviour events of each user.
const EVENTS_PER_USER: u64 = 6;
/// Users whose events travel in one message.
const BATCH_USERS: u64 = 500;

const CONFIG: &str = r#"
version = 1
[paths]
catalog = "unused"
strategies = "unused"
state = "unused"
[server]
exchange_listen = "127.0.0.1:0"
public_listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
public_url = "https://bid.example"
workers = 1
[exchange.alpha]
seat = "outbid"
[privacy]
releases_per_day = "#;

/// Milliseconds between two releases of a day of 288.
const INTERVAL_MS: i64 = 300_000;

/// Puts every thread that this process will have on core 0. To be called before there is another.
pub fn pin(core: usize) -> anyhow::Result<()> {
    anyhow::ensure!(
        core_affinity::set_for_current(core_affinity::CoreId { id: core }),
        "no core {core}"
    );
    Ok(())
}

/// Runs the bidder until standard input ends, with so many releases a day.
pub fn bidder(selectivity: f64, releases_per_day: u16) -> anyhow::Result<()> {
    let mut catalog = generated(CAMPAIGNS, SEED, selectivity);
    for campaign in catalog.campaigns.iter_mut().flatten() {
        campaign.daily_budget = Nanos::from_micros(BUDGET_UNITS * 1_000_000);
    }
    let strategies = Arc::new(strategies()?);
    let names = strategies.known();
    let keeper = Arc::new(CatalogKeeper::of(catalog, names));
    let (keys, fresh) = Keys::ephemeral()?;
    let parts = Some(Parts { keeper, strategies, log: None });
    let config: Config = toml::from_str(&format!("{CONFIG}{releases_per_day}"))?;
    let running = start(config, Options { keys: Some(keys), parts, ..Options::default() })?;
    actix::System::new().block_on(fill(running.engine()));
    let at = running.addresses();
    println!("{} {} {} {}", at.exchange, at.public, at.admin, fresh.admin);
    obey(running.engine())?;
    running.stop()
}

/// Does what the lines of standard input say: `release` is a tick, as if an interval had passed, and
/// `seats` says what a worker does once upon each release.
fn obey(engine: &Engine) -> anyhow::Result<()> {
    let mut ahead_ms = 0;
    for line in std::io::stdin().lines() {
        match line?.as_str() {
            "release" => {
                ahead_ms += INTERVAL_MS;
                let now = Civil::machine().now().plus_millis(ahead_ms);
                anyhow::ensure!(engine.aggregates.tell(Tick { now }), "no release is taken");
            }
            _ => {
                let began = Mono::now();
                std::hint::black_box(World::now(&engine.published));
                let took_us = Mono::now().nanos_since(began) / 1_000;
                println!("{took_us}");
            }
        }
    }
    Ok(())
}

/// One strategy, by the name that generated campaigns ask for.
fn strategies() -> anyhow::Result<Strategies> {
    let folder = tempfile::tempdir()?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("strategies/cpc.toml");
    std::fs::copy(file, folder.path().join("generated.toml")).context("the strategy")?;
    Strategies::load(folder.path()).map_err(|errors| anyhow::anyhow!("{errors:?}"))
}

/// Makes every user a session with interest, by events as a shop would report them.
async fn fill(engine: &Engine) {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let catalog = engine.published.catalog.load_full();
    let start = Civil::machine().now().plus_millis(-600_000);
    let mut id = 0;
    for first in (0..USERS).step_by(BATCH_USERS as usize) {
        let mut batch = Vec::new();
        for user in first..(first + BATCH_USERS).min(USERS) {
            let ifa = ifa(user);
            let Some(user) = UserId::Ifa(&ifa).key(&engine.user_keys.load().newest) else {
                continue;
            };
            for number in 0..EVENTS_PER_USER {
                id += 1;
                let place = rng.random_range(0..CAMPAIGNS as u32);
                let Some(campaign) = catalog.campaign(place) else { continue };
                let kind = [Behaviour::View, Behaviour::Search, Behaviour::AddToCart];
                batch.push(Event {
                    id,
                    user,
                    kind: kind[rng.random_range(0..kind.len())],
                    at: start.plus_millis(number as i64 * 90_000),
                    advertiser: campaign.advertiser,
                    category: campaign.category,
                    item: Some(rng.random_range(0..100_000)),
                    consent: true,
                    pooled: true,
                    conversion: None,
                });
            }
        }
        engine.tell_shard_number(0, ApplyEvents(Box::new(batch))).await;
    }
}

/// Runs an echo that reads each request and answers with `bytes` bytes, until standard input ends.
pub fn echo(bytes: usize) -> anyhow::Result<()> {
    let answer = Data::new(Bytes::from(vec![b'x'; bytes]));
    actix::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            App::new().app_data(answer.clone()).route("/openrtb2/alpha/bid", web::post().to(reply))
        });
        let server = server.workers(1).bind("127.0.0.1:0")?;
        let at = server.addrs()[0];
        println!("{at} {at} {at} none");
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(async move {
            let read = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            // However it ends, nobody is there to be answered.
            let _ = tokio::task::spawn_blocking(read).await;
            handle.stop(false).await;
        });
        Ok(server.await?)
    })
}

async fn reply(body: Bytes, answer: Data<Bytes>) -> HttpResponse {
    std::hint::black_box(body.len());
    HttpResponse::Ok().content_type("application/json").body(answer.get_ref().clone())
}
