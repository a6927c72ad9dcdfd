//! The two servers, each in its own process on core 0.

use super::requests::{USERS, bodies};
use actix_web::{App, HttpResponse, HttpServer, web};
use outbid::catalog::{CatalogKeeper, EligibilityScratch, generated, generated_facts};
use outbid::config::Config;
use outbid::server::{Keys, Options, Parts, start};
use outbid::session::{Behaviour, Event, UserId};
use outbid::strategy::Strategies;
use outbid::units::{AdvertiserId, CategoryId, Nanos};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes of the echo's answer: a bid response with one banner.
const ANSWER_BYTES: usize = 2_300;
/// Behaviour events of each user.
const EVENTS: u64 = 4;

/// A bare actix-web server that reads the request and answers bytes of a bid response's size.
pub fn echo() {
    super::super::pin(0);
    let answer = web::Bytes::from(vec![b'x'; ANSWER_BYTES]);
    let system = actix_web::rt::System::new();
    system
        .block_on(async move {
            let server = HttpServer::new(move || {
                let answer = answer.clone();
                let handler = move |body: web::Bytes| {
                    let answer = answer.clone();
                    async move {
                        std::hint::black_box(body.len());
                        HttpResponse::Ok().content_type("application/json").body(answer)
                    }
                };
                App::new().route("/openrtb2/{exchange}/bid", web::post().to(handler))
            });
            let server = server.workers(1).bind("127.0.0.1:0")?;
            println!("{}||||bare echo of {ANSWER_BYTES} B", server.addrs()[0]);
            server.run().await
        })
        .expect("the echo serves");
}

/// The bidder, with everything on.
pub fn bidder(selectivity: f64) {
    super::super::pin(0);
    let folder = tempfile::tempdir().expect("a folder");
    let strategies = folder.path().join("strategies");
    std::fs::create_dir(&strategies).expect("a folder");
    let strategy = "version = 1\nobjective = \"cpc\"\npacing = \"dual\"\nmultiplier_min = 0.01\n\
                    multiplier_max = 1.0\nexploration = \"none\"\n";
    std::fs::write(strategies.join("generated.toml"), strategy).expect("written");
    let file = folder.path().join("outbid.toml");
    let config = "version = 1\n[paths]\ncatalog = 'none'\nstrategies = 'strategies'\n\
                  state = 'state'\n[server]\nexchange_listen = '127.0.0.1:0'\n\
                  public_listen = '127.0.0.1:0'\nadmin_listen = '127.0.0.1:0'\nworkers = 1\n\
                  public_url = 'https://bid.example'\n[exchange.alpha]\n";
    std::fs::write(&file, config).expect("written");
    let config = Config::load(&file).expect("a good configuration");

    let mut catalog = generated(10_000, 1, selectivity);
    for campaign in catalog.campaigns.iter_mut().flatten() {
        // Budgets that last for the whole run at full speed.
        campaign.daily_budget = Nanos(campaign.daily_budget.0 * 10_000);
    }
    let (mut scratch, mut out, mut eligible) = (EligibilityScratch::default(), Vec::new(), 0);
    for seed in 0..256 {
        catalog.eligible(&generated_facts(seed), &mut scratch, &mut out);
        eligible += out.len();
    }
    let names = BTreeSet::from(["generated".to_owned()]);
    let parts = Parts {
        keeper: Arc::new(CatalogKeeper::holding(catalog, names)),
        strategies: Arc::new(Strategies::load(&strategies).expect("a good strategy")),
    };
    let (keys, fresh) = Keys::ephemeral().expect("keys");
    let options = Options { simulation: None, keys: Some(keys), parts: Some(parts) };
    let running = start(config, options).expect("the server starts");
    fill_sessions(&running);
    let at = running.addresses();
    println!(
        "{}|{}|{}|{}|10,000 campaigns, {} eligible at noon, {USERS} sessions, first body {} B",
        at.exchange,
        at.public,
        at.admin,
        fresh.admin,
        eligible / 256,
        bodies(1)[0].len(),
    );
    running.wait().expect("the server ends well");
}

/// A session for every user, its interest built from events.
fn fill_sessions(running: &outbid::server::Running) {
    let engine = running.engine();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let now = engine.civil.now();
    let mut shard = engine.shard(0).lock();
    for user in 0..USERS {
        let key = UserId::Id(&format!("user-{user}")).key(&engine.hasher).expect("an id");
        let events: Vec<Event> = (0..EVENTS)
            .map(|number| Event {
                id: u64::from(user) * EVENTS + number,
                user: key,
                kind: Behaviour::View,
                at: now.plus_millis(-rng.random_range(0..86_400_000)),
                advertiser: AdvertiserId::of(&format!("advertiser-{}", rng.random_range(0..500))),
                category: CategoryId::of(&format!("category-{}", rng.random_range(0..300))),
                item: Some(rng.random()),
                query: None,
                consent: true,
                pooled: true,
                conversion: None,
            })
            .collect();
        shard.apply_events(&events, now);
    }
}
