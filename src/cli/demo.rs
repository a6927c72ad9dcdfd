//! `outbid demo`: an exchange with users and a market against the engine, in one process, over real
//! sockets, a day in a minute.

mod pass;
mod promises;
mod summary;

use crate::config::Config;
use pass::{Pass, PassPlan};
use std::path::PathBuf;
use summary::Summary;

/// Watch a simulated exchange and the bidder for a day: users browse, the bidder bids, wins, pays,
/// is clicked, learns and paces.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  outbid demo\n  outbid demo --seeds 5 --json\n  \
    outbid demo --serve\n  outbid demo --check\n\nOne pass is a day with pacing on; another, with \
    pacing off, shows when the same budgets end without it.")]
pub struct Args {
    /// The configuration file; its experiment arms split the users.
    #[arg(long, default_value = "fixtures/demo.toml")]
    config: PathBuf,
    /// Days with pacing, each with a seed of its own; from 2 on, lifts have an interval.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Bid requests of one day.
    #[arg(long, default_value_t = 60_000)]
    requests: u64,
    /// Users of the simulated world.
    #[arg(long, default_value_t = 4_000)]
    users: usize,
    /// A short day, to see that everything works; too short for its budgets to be tight.
    #[arg(long)]
    quick: bool,
    /// Exit with an error that names each promise that was not kept: budgets, pacing, lift.
    #[arg(long, conflicts_with = "quick")]
    check: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Keep the last engine up afterwards, until interrupted.
    #[arg(long)]
    serve: bool,
}

/// Requests of a `--quick` day: a few seconds.
const QUICK_REQUESTS: u64 = 12_000;

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    super::start_log("error");
    let config = Config::load(&args.config)?;
    let plan = PassPlan {
        requests: if args.quick { QUICK_REQUESTS } else { args.requests },
        users: args.users,
        is_quiet: args.json,
    };
    let mut paced = Vec::new();
    let last_seed = args.seed + args.seeds.max(1) - 1;
    for seed in args.seed..=last_seed {
        // Only the last engine is worth keeping up.
        paced.iter_mut().for_each(Pass::stop);
        paced.push(Pass::run(&config, &plan, seed, true)?);
    }
    // The same users and market as the paced day that is shown beside it.
    let unpaced = Pass::run(&config, &plan, last_seed, false)?;
    let summary = Summary::of(&paced, &unpaced)?;
    if args.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        summary.print();
    }
    let broken = if args.check { summary.broken_promises() } else { Vec::new() };
    anyhow::ensure!(broken.is_empty(), "not kept:\n  {}", broken.join("\n  "));
    if let Some(pass) = paced.pop().filter(|_| args.serve) {
        return pass.serve(args.json);
    }
    Ok(())
}
