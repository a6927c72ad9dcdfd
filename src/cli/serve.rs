//! `outbid serve`: the server.

use super::discretion;
use crate::config::Config;
use crate::server::{self, Options};
use crate::units::Timestamp;
use std::path::PathBuf;

/// Serve bid requests, notices and the API until told to stop (SIGINT, SIGTERM).
#[derive(clap::Args)]
#[command(after_help = "Example:\n  outbid serve --config fixtures/outbid.toml\n\n\
    Keys are made in the state folder at the first start and printed once.")]
pub struct Args {
    /// The configuration file.
    #[arg(long, env = "OUTBID_CONFIG", default_value = "fixtures/outbid.toml")]
    config: PathBuf,
    /// Civil time comes from the header X-Outbid-Now, in Unix milliseconds. Loopback only.
    #[arg(long)]
    simulation: bool,
    /// Workers, each on a core of its own choosing; 0 is one a core.
    #[arg(long)]
    workers: Option<usize>,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    super::start_log("info,actix_server=warn");
    discretion::keep();
    let mut config = Config::load(&args.config)?;
    for warning in &config.warnings {
        tracing::warn!(%warning, "the configuration works, and should be changed");
    }
    if let Some(workers) = args.workers {
        config.server.workers = workers;
    }
    // Whoever may send that header moves the clock, and with it days and their budgets.
    anyhow::ensure!(
        !args.simulation || !config.exchanges.values().any(|exchange| exchange.auth.is_required()),
        "simulation mode is for no exchange that has an `auth`: it is a real one's"
    );
    let options =
        Options { simulation: args.simulation.then_some(Timestamp(0)), ..Options::default() };
    let running = server::start(config, options)?;
    let at = running.addresses();
    println!("exchanges  http://{}/openrtb2/NAME/bid", at.exchange);
    println!("notices    http://{}/", at.public);
    println!("admin      http://{}/", at.admin);
    if let Some(keys) = running.fresh_keys() {
        println!("admin key  {}   (shown once)", keys.admin);
        println!("events key {}   (shown once)", keys.events);
    }
    running.wait()
}
