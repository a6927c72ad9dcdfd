//! One simulated day against an engine of its own.

use crate::budget::DayNumber;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::rates::{Rate, Rates};
use crate::server::{self, FreshKeys, Keys, Options, Running};
use crate::simulate::{
    Ad, Ads, DayPlan, DayResult, Endpoints, Item, Progress, Spec, Stock, World, run_day,
};
use crate::units::{CurrencyCode, Nanos, Timestamp};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Midnight UTC of Monday, 2 March 2026: a day of no daylight-saving change anywhere.
const DAY_START: Timestamp = Timestamp(1_772_409_600_000);
/// Its last millisecond.
const DAY_END: Timestamp = Timestamp(DAY_START.0 + 86_400_000 - 1);

/// What every pass of one demo shares.
pub struct PassPlan {
    /// Bid requests of the day.
    pub requests: u64,
    /// Users of the world.
    pub users: usize,
    /// Whether to show no progress.
    pub is_quiet: bool,
}

/// A day, played, and its engine.
pub struct Pass {
    /// The exchange's books.
    pub day: DayResult,
    /// What each campaign may spend within the day, by name: its daily budget once for each of its
    /// own days that the simulated day touches.
    pub budgets: BTreeMap<String, Nanos>,
    /// The same in the exchange's currency, in which its books are kept.
    pub budgets_usd: BTreeMap<String, Nanos>,
    /// How many of a campaign's own days the simulated day touches, by name.
    pub days: BTreeMap<String, i128>,
    /// The last of these.
    pub last_days: BTreeMap<String, DayNumber>,
    /// Names of campaigns by id, as the engine's report calls them.
    pub names: BTreeMap<u64, String>,
    /// `GET /latency` at the end.
    pub latency: Value,
    running: Option<Running>,
    keys: FreshKeys,
}

impl Pass {
    /// Plays a day with this seed.
    pub fn run(
        config: &Config,
        plan: &PassPlan,
        seed: u64,
        is_paced: bool,
    ) -> anyhow::Result<Self> {
        let mut config = config.clone();
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        config.server.exchange_listen = anywhere;
        config.server.public_listen = anywhere;
        config.server.admin_listen = anywhere;
        config.budget.pacing = is_paced;
        config.prediction.seed = seed;
        let exchange_name = config.exchanges.keys().next().cloned().unwrap_or_default();
        let (keys, fresh) = Keys::ephemeral()?;
        let options = Options { simulation: Some(DAY_START), keys: Some(keys), parts: None };
        let running = server::start(config, options)?;
        let at = running.addresses();
        let endpoints = Endpoints {
            exchange: at.exchange,
            exchange_name,
            public: at.public,
            events_key: fresh.events.clone(),
            admin: Some((at.admin, fresh.admin.clone())),
        };
        let catalog = running.engine().published.catalog.load_full();
        let mut ads = Ads::new();
        let (mut budgets, mut budgets_usd) = (BTreeMap::new(), BTreeMap::new());
        let (mut days_of, mut names) = (BTreeMap::new(), BTreeMap::new());
        let mut last_days = BTreeMap::new();
        let rates = running.engine().published.rates.load_full();
        for campaign in catalog.all_campaigns() {
            let advertiser = catalog.advertiser(campaign.advertiser);
            let advertiser = advertiser.map_or(String::new(), |advertiser| advertiser.name.clone());
            let ad = Ad { advertiser, category: campaign.category_name.clone() };
            ads.insert(campaign.name.clone(), ad);
            let last_day = DayNumber::at(DAY_END, &campaign.time_zone);
            let days = i128::from(last_day.0 - DayNumber::at(DAY_START, &campaign.time_zone).0 + 1);
            let budget = Nanos(campaign.daily_budget.0 * days);
            // A rate is in units of 1e-12.
            let rate = rates.rate(campaign.currency, CurrencyCode::USD).unwrap_or(Rate::ONE);
            let in_usd = Nanos(budget.0 * i128::from(rate.0) / 1_000_000_000_000);
            budgets.insert(campaign.name.clone(), budget);
            budgets_usd.insert(campaign.name.clone(), in_usd);
            days_of.insert(campaign.name.clone(), days);
            last_days.insert(campaign.name.clone(), last_day);
            names.insert(campaign.id.0, campaign.name.clone());
        }
        let stock = stock_of(&catalog, &rates);
        let world = World::new(Spec::built_in()?, ads, plan.users, seed).stocked(stock);
        let bar = bar(plan, seed, is_paced);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let day_plan = DayPlan::new(DAY_START, plan.requests);
        let mut show = |progress: &Progress| show(&bar, progress);
        let day = runtime.block_on(run_day(&world, &day_plan, &endpoints, &mut show))?;
        bar.finish_and_clear();
        runtime.block_on(running.engine().publish_latency());
        let latency = serde_json::to_value(running.engine().board.merged().summary())?;
        Ok(Self {
            day,
            budgets,
            budgets_usd,
            days: days_of,
            last_days,
            names,
            latency,
            running: Some(running),
            keys: fresh,
        })
    }

    /// Stops the engine; the books stay.
    pub fn stop(&mut self) {
        drop(self.running.take());
    }

    /// Keeps the engine up until it is told to stop. Where standard output is one JSON object, and nothing
    /// after it, the addresses go to standard error.
    pub fn serve(mut self, is_json: bool) -> anyhow::Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        let at = running.addresses();
        let said = format!(
            "exchange   http://{}/openrtb2/demo/bid\nadmin      http://{}/latency\nadmin key  {}",
            at.exchange, at.admin, self.keys.admin
        );
        if is_json {
            eprintln!("{said}");
        } else {
            println!("{said}");
        }
        running.wait()
    }
}

/// What shops sell by the catalog's feed, and what its ads show: what any visitor sees.
fn stock_of(catalog: &Catalog, rates: &Rates) -> Stock {
    let mut stock = Stock::default();
    for item in catalog.items() {
        let shop = catalog.advertiser(item.advertiser);
        let currency = shop.map_or(CurrencyCode::USD, |shop| shop.currency);
        // A rate is in units of 1e-12.
        let rate = rates.rate(currency, CurrencyCode::USD).unwrap_or(Rate::ONE).0 as f64 / 1e12;
        let price = item.price.map_or(0.0, |price| price.0 as f64 / 1e6);
        stock.items.push(Item {
            shop: shop.map_or(String::new(), |shop| shop.name.clone()),
            id: item.id.clone(),
            category: item.category_name.clone(),
            brand: item.brand.clone(),
            price_usd: price * rate,
        });
    }
    let position = |key: &u32| catalog.items().binary_search_by_key(key, |item| item.key).ok();
    for ad in catalog.all_campaigns().flat_map(|campaign| catalog.ads_of(campaign)) {
        let shown = ad.items.iter().filter_map(position);
        stock.shown.insert(ad.name.clone(), shown.map(|place| place as u16).collect());
    }
    stock
}

fn bar(plan: &PassPlan, seed: u64, is_paced: bool) -> ProgressBar {
    if plan.is_quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(1_000);
    let template = "{prefix:20} {bar:30} {percent:>3}%  {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let pacing = if is_paced { "paced" } else { "pacing off" };
    bar.set_prefix(format!("day {seed}, {pacing}"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_position((progress.fraction * 1_000.0) as u64);
    bar.set_message(format!(
        "{} requests, {} bids, {} wins, {} clicks, {} spent",
        progress.requests, progress.bids, progress.wins, progress.clicks, progress.spend
    ));
}
