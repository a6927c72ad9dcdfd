//! `outbid replay`: public auction logs against strategies.

mod log;
mod site;
mod strategy;

use crate::config::Config;
use crate::simulate::{Episodes, LogPlan, LogResult, run_log};
use crate::strategy::{PacingChoice, Strategies};
use crate::units::{Nanos, Timestamp};
use anyhow::Context as _;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use log::{Share, Training};
use site::{Server, Site};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Play a public auction log against a strategy and show what it buys.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    outbid replay --file ipinyou_2997_rlb/test.theta.txt --strategy lin --budget 1/32 --http\n  \
    outbid replay --file ipinyou_2997_rlb/test.theta.txt --strategy linear --http --json\n\n\
    With --http the log is played over sockets against `outbid serve --simulation`, started for it: \
    the whole bid path, tokens, notices and the ledger take part. Strategies: `lin` and `mcpc` are \
    those of the published table, others are files or names in strategies/.")]
pub struct Args {
    /// The log, `click market_price pctr` a line, with the training part's info.json beside it.
    #[arg(long)]
    file: PathBuf,
    /// The strategy: `lin`, `mcpc`, a name in strategies/, or a file.
    #[arg(long, default_value = "linear")]
    strategy: String,
    /// An auction's budget as a share of what a training impression cost.
    #[arg(long, default_value = "1/32")]
    budget: Share,
    /// Auctions of an episode; what is left of its budget is lost.
    #[arg(long, default_value_t = log::EPISODE)]
    episode: usize,
    /// Episodes to play, from the start of the log; all of them where it is not given.
    #[arg(long)]
    episodes: Option<usize>,
    /// Play it over sockets against the real server.
    #[arg(long)]
    http: bool,
    /// The server's binary; this one where it is not given.
    #[arg(long, requires = "http")]
    server: Option<PathBuf>,
    /// Keep configuration, state and exchange-ledger.csv in this folder, which must not exist.
    #[arg(long, requires = "http")]
    keep: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Midnight UTC of Monday, 2 March 2026: any day does.
const START: Timestamp = Timestamp(1_772_409_600_000);
/// Milliseconds between ticks where an episode is a day: a controller's period is three minutes.
const DAY_TICK_MS: u64 = 60_000;
/// Milliseconds between ticks of an ordinary server.
const TICK_MS: u64 = 1_000;

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    super::start_log("error");
    anyhow::ensure!(args.http, "only --http is here yet");
    anyhow::ensure!(args.episode > 0, "--episode is at least 1");
    let mut auctions = log::read(&args.file)?;
    let training = Training::beside(&args.file)?;
    if let Some(episodes) = args.episodes {
        auctions.truncate(episodes.saturating_mul(args.episode));
    }
    let temporary = tempfile::tempdir()?;
    let folder = args.keep.as_deref().unwrap_or(temporary.path());
    if args.keep.is_some() {
        std::fs::create_dir(folder).with_context(|| folder.display().to_string())?;
    }
    let budget = training.budget(args.budget, args.episode);
    let mut site = Site {
        strategy: strategy::text_of(&args.strategy, args.budget, &training)?,
        daily_budget: budget,
        max_cpm: log::BID_MAX,
        cpc_micros: training.cost_per_click_micros(),
        tick_ms: TICK_MS,
    };
    let mut config = site.write(folder)?;
    let is_paced = is_paced(&Config::load(&config)?)?;
    if is_paced {
        site.tick_ms = DAY_TICK_MS;
        config = site.write(folder)?;
    }
    let plan = LogPlan {
        start: START,
        auctions: args.episode,
        budget,
        episodes: if is_paced { Episodes::Days } else { Episodes::Edited },
        auction_type: 2,
        campaign: site::CAMPAIGN.to_owned(),
    };
    let binary = args.server.clone().map_or_else(std::env::current_exe, Ok)?;
    let server = Server::start(&binary, &config)?;
    let bar = bar(args.json, auctions.len());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(run_log(&auctions, &plan, &server.endpoints, &mut |so_far| {
        bar.set_position(so_far.auctions);
        bar.set_message(format!("{} impressions, {} clicks", so_far.impressions, so_far.clicks));
    }))?;
    bar.finish_and_clear();
    if args.keep.is_some() {
        std::fs::write(folder.join("exchange-ledger.csv"), ledger_of(&result))?;
    }
    print(args, &plan, &result);
    check(&plan, &result)
}

/// Whether a controller spends the day's budget evenly.
fn is_paced(config: &Config) -> anyhow::Result<bool> {
    let strategies = Strategies::load(&config.paths.strategies).map_err(|errors| {
        let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(lines.join("\n"))
    })?;
    let strategy = strategies.get("replay").and_then(|id| strategies.strategy(id));
    Ok(strategy.is_some_and(|strategy| strategy.pacing() != PacingChoice::None))
}

fn bar(is_quiet: bool, auctions: usize) -> ProgressBar {
    if is_quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(auctions as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3}%  {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The exchange's own ledger, a line a charge.
fn ledger_of(result: &LogResult) -> String {
    let mut text = String::from("campaign,auction,price_nanos\n");
    for charge in &result.charges {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{},{},{}", site::CAMPAIGN, charge.auction, charge.price.0);
    }
    text
}

/// The promises of every replay.
///
/// # Errors
/// The one that was not kept.
fn check(plan: &LogPlan, result: &LogResult) -> anyhow::Result<()> {
    anyhow::ensure!(!result.is_overspent(plan.budget), "an episode cost more than its budget");
    let due = result.billed + result.absorbed;
    anyhow::ensure!(
        due == result.cost && result.absorbed == Nanos::ZERO,
        "the exchange charged {} nanos, the server billed {} and absorbed {}",
        result.cost.0,
        result.billed.0,
        result.absorbed.0
    );
    Ok(())
}

/// Nanos as units of the log: a CPM of one unit is a million nanos an impression.
fn units(nanos: Nanos) -> String {
    let unit = i128::from(log::UNIT_MICROS);
    if nanos.0 % unit == 0 {
        (nanos.0 / unit).to_string()
    } else {
        format!("{:.3}", nanos.0 as f64 / unit as f64)
    }
}

fn print(args: &Args, plan: &LogPlan, result: &LogResult) {
    let utilisation = result.utilisation();
    if args.json {
        let json = serde_json::json!({
            "strategy": args.strategy,
            "budget": args.budget.to_string(),
            "episode_auctions": plan.auctions,
            "episode_is": if plan.episodes == Episodes::Days { "day" } else { "edit" },
            "auctions": result.auctions,
            "bids": result.bids,
            "impressions": result.impressions,
            "clicks": result.clicks,
            "cost_nanos": result.cost.0.to_string(),
            "cost_units": units(result.cost),
            "value": result.value,
            "utilisation": utilisation,
            "server": {
                "billed_nanos": result.billed.0.to_string(),
                "absorbed_nanos": result.absorbed.0.to_string(),
            },
        });
        println!("{json}");
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "strategy",
        "budget",
        "auctions",
        "bids",
        "impressions",
        "clicks",
        "cost",
        "used",
    ]);
    table.add_row([
        args.strategy.clone(),
        args.budget.to_string(),
        result.auctions.to_string(),
        result.bids.to_string(),
        result.impressions.to_string(),
        result.clicks.to_string(),
        units(result.cost),
        format!("{:.2} %", utilisation * 100.0),
    ]);
    println!("{table}");
    println!(
        "by the server's ledger: {} billed, {} absorbed",
        units(result.billed),
        units(result.absorbed)
    );
}
