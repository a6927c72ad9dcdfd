//! `outbid replay`: public auction logs against strategies, in this process or over sockets.

mod course;
mod http;
mod in_process;
mod matrix;
mod optimum;
mod protocol;
mod site;
mod strategy;
mod traffic;

use crate::replay::{Market, Report, Setup, Shape, read_ipinyou};
use crate::strategy::pacing::PacingKind;
use crate::units::{Micros, Nanos, Timestamp};
use anyhow::Context as _;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use matrix::Matrix;
use protocol::{Share, Training};
use site::Site;
use std::path::PathBuf;
use std::time::Duration;

/// Play a public auction log against a strategy and show what it buys.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    outbid replay --file ipinyou_2997_rlb/test.theta.txt --strategy linear --budget 1/32\n  \
    outbid replay --file ipinyou_2997_rlb/test.theta.txt --strategy lin --http\n  \
    outbid replay --file ipinyou_2997_rlb/test.theta.txt --matrix --plot docs/pacing\n\n\
    In this process it takes seconds. With --http it is played over sockets against `outbid serve \
    --simulation`, started for it: the whole bid path, tokens, notices and the ledger take part, and \
    the exchange's own books are held against the server's. `lin` and `mcpc` are the published \
    table's strategies.")]
pub struct Args {
    /// What kind of log it is.
    #[arg(long, default_value = "ipinyou")]
    log: LogKind,
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
    #[arg(long, default_value_t = protocol::EPISODE)]
    episode: usize,
    /// Episodes to play, from the start of the log; all of them where it is not given.
    #[arg(long)]
    episodes: Option<usize>,
    /// The winner pays its bid.
    #[arg(long)]
    first_price: bool,
    /// How traffic is spread over a day: CSV with a column `share` or `traffic_share`, and one `tick`
    /// or `hour`.
    #[arg(long, conflicts_with = "http")]
    traffic: Option<PathBuf>,
    /// Play it over sockets against the real server.
    #[arg(long)]
    http: bool,
    /// The server's binary; this one where it is not given.
    #[arg(long, requires = "http")]
    server: Option<PathBuf>,
    /// Keep configuration, state and exchange-ledger.csv in this folder, which must not exist.
    #[arg(long, requires = "http")]
    keep: Option<PathBuf>,
    /// Play all scenarios of docs/pacing.md and print their tables.
    #[arg(long, conflicts_with_all = ["http", "json"])]
    matrix: bool,
    /// Draw charts into this folder: spend.svg and multiplier.svg, and more with --matrix.
    #[arg(long, conflicts_with = "http")]
    plot: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Kinds of logs.
#[derive(Clone, Copy, clap::ValueEnum)]
enum LogKind {
    /// iPinYou's, as Cai et al. (WSDM 2017) published it.
    Ipinyou,
}

/// Midnight UTC of Monday, 2 March 2026: any day does.
const START: Timestamp = Timestamp(1_772_409_600_000);
/// Milliseconds between ticks where an episode is a day: a controller's period is three minutes.
const DAY_TICK_MS: u64 = 60_000;
/// Milliseconds between ticks of an ordinary server.
const TICK_MS: u64 = 1_000;

/// What came of a replay, by the exchange's books.
struct Played {
    auctions: u64,
    bids: u64,
    impressions: u64,
    clicks: u64,
    cost: Nanos,
    budget: Nanos,
    value: f64,
    /// What the server billed, where there was one.
    billed: Option<Nanos>,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    super::start_log("error");
    anyhow::ensure!(args.episode > 0, "--episode is at least 1");
    let LogKind::Ipinyou = args.log;
    let mut log = read_ipinyou(&args.file)?;
    let training = Training::beside(&args.file)?;
    if let Some(episodes) = args.episodes {
        log.truncate(episodes.saturating_mul(args.episode));
    }
    let shape = args.traffic.as_deref().map(traffic::read).transpose()?;
    if args.matrix {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        let ended = Matrix::new(log, training, shape, &bar).run(args.plot.as_deref());
        bar.finish_and_clear();
        return ended;
    }
    let temporary = tempfile::tempdir()?;
    let folder = args.keep.as_deref().unwrap_or(temporary.path());
    if args.keep.is_some() {
        std::fs::create_dir(folder).with_context(|| folder.display().to_string())?;
    }
    let mut site = Site {
        strategy: strategy::text_of(&args.strategy, args.budget, &training)?,
        daily_budget: training.budget(args.budget, args.episode),
        max_cpm: protocol::BID_MAX,
        cpc_micros: training.cost_per_click_micros(),
        tick_ms: TICK_MS,
    };
    let strategy = strategy::read(&site.strategy)?;
    let is_paced = strategy.pacing() != PacingKind::None;
    let bar = bar(args.json, log.len());
    let played = if args.http {
        if is_paced {
            site.tick_ms = DAY_TICK_MS;
        }
        site.write(folder)?;
        let over = http::Over {
            binary: args.server.clone().map_or_else(std::env::current_exe, Ok)?,
            folder: folder.to_owned(),
            keeps_ledger: args.keep.is_some(),
            episode: args.episode,
            are_days: is_paced,
            is_first_price: args.first_price,
        };
        http::play(&log, START, &site, &over, &mut |auctions| bar.set_position(auctions))?
    } else {
        bar.set_message("in this process");
        let shape = shape.unwrap_or_else(Shape::even);
        let terms =
            in_process::terms(Micros(site.max_cpm * protocol::UNIT_MICROS), site.cpc_micros);
        let mut setup = Setup::new(&strategy, terms, site.daily_budget);
        setup.tick_ms = DAY_TICK_MS as i64;
        setup.plan = shape.clone();
        let market = if args.first_price { Market::first_price() } else { Market::second_price() };
        let mut pacing = in_process::pacing_of(&strategy, &terms);
        let report =
            in_process::play(&mut log, START, args.episode, &shape, &market, &setup, &mut pacing);
        if let Some(folder) = &args.plot {
            course::draw(folder, &report, &shape)?;
        }
        Played::of(&report)?
    };
    bar.finish_and_clear();
    if args.json {
        println!("{}", played.to_json(args, is_paced));
    } else {
        played.print(args);
    }
    Ok(())
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

impl Played {
    /// The figures of a replay in this process.
    ///
    /// # Errors
    /// The promise that was not kept.
    fn of(report: &Report) -> anyhow::Result<Self> {
        anyhow::ensure!(report.overspend_nanos == 0, "a day cost more than its budget");
        anyhow::ensure!(report.absorbed_nanos == 0 && report.is_sound, "the ledger is not sound");
        Ok(Self {
            auctions: report.auctions,
            bids: report.bids,
            impressions: report.impressions,
            clicks: report.clicks,
            cost: Nanos(report.cost_nanos),
            budget: Nanos(report.budget_nanos),
            value: report.value,
            billed: None,
        })
    }

    fn utilisation(&self) -> f64 {
        self.cost.as_units_f64() / self.budget.as_units_f64().max(f64::MIN_POSITIVE)
    }

    fn to_json(&self, args: &Args, is_paced: bool) -> serde_json::Value {
        let text = |nanos: Nanos| nanos.0.to_string();
        serde_json::json!({
            "strategy": args.strategy,
            "budget": args.budget.to_string(),
            "episode_auctions": args.episode,
            "episode_is": if args.http && !is_paced { "edit" } else { "day" },
            "auctions": self.auctions,
            "bids": self.bids,
            "impressions": self.impressions,
            "clicks": self.clicks,
            "cost_nanos": text(self.cost),
            "cost_units": units(self.cost),
            "budget_nanos": text(self.budget),
            "utilisation": self.utilisation(),
            "value": self.value,
            "server_billed_nanos": self.billed.map(text),
        })
    }

    fn print(&self, args: &Args) {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        let head =
            ["strategy", "budget", "auctions", "bids", "impressions", "clicks", "cost", "used"];
        table.set_header(head);
        table.add_row([
            args.strategy.clone(),
            args.budget.to_string(),
            self.auctions.to_string(),
            self.bids.to_string(),
            self.impressions.to_string(),
            self.clicks.to_string(),
            units(self.cost),
            format!("{:.2} %", self.utilisation() * 100.0),
        ]);
        println!("{table}");
        if let Some(billed) = self.billed {
            println!("The server billed {}: the same, to the nano.", units(billed));
        }
    }
}

/// Nanos as units of the log: a CPM of one unit is a million nanos an impression.
fn units(nanos: Nanos) -> String {
    let unit = i128::from(protocol::UNIT_MICROS);
    match nanos.0 % unit {
        0 => (nanos.0 / unit).to_string(),
        _ => format!("{:.3}", nanos.0 as f64 / unit as f64),
    }
}
