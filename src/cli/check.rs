//! `outbid check`: is this configuration, with its catalog and strategies, one that would serve?

use crate::auction::Arms;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::strategy::Strategies;
use std::path::PathBuf;

/// Check configuration, strategies and campaigns, without serving.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  outbid check --config fixtures/outbid.toml")]
pub struct Args {
    /// The configuration file.
    #[arg(long, env = "OUTBID_CONFIG", default_value = "fixtures/outbid.toml")]
    config: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let mut counts = (0, 0, 0);
    match Config::load(&args.config) {
        Ok(config) => {
            check(&config, &mut problems, &mut counts);
            warnings = config.warnings;
        }
        Err(error) => problems.push(error.to_string()),
    }
    let (strategies, campaigns, ads) = counts;
    if args.json {
        let report = serde_json::json!({
            "ok": problems.is_empty(),
            "problems": problems,
            "warnings": warnings,
            "strategies": strategies,
            "campaigns": campaigns,
            "ads": ads,
        });
        println!("{report}");
    } else {
        warnings.iter().for_each(|warning| println!("warning: {warning}"));
        problems.iter().for_each(|problem| println!("{problem}"));
        if problems.is_empty() {
            println!("ok: {strategies} strategies, {campaigns} campaigns, {ads} ads");
        }
    }
    anyhow::ensure!(problems.is_empty(), "{} problem(s) found", problems.len());
    Ok(())
}

fn check(config: &Config, problems: &mut Vec<String>, counts: &mut (usize, usize, usize)) {
    let strategies = match Strategies::load(&config.paths.strategies) {
        Ok(strategies) => strategies,
        Err(errors) => {
            problems.extend(errors.iter().map(ToString::to_string));
            return;
        }
    };
    counts.0 = strategies.names().len();
    if let Err(error) = config.currency.read() {
        problems.push(error.to_string());
    }
    if let Err(error) = Arms::from_shares(&config.experiment.arms) {
        problems.push(error);
    }
    let names = strategies.names().map(str::to_owned).collect();
    match Catalog::load(&config.paths.catalog, &names, None) {
        Ok(catalog) => {
            counts.1 = catalog.campaigns.iter().flatten().count();
            counts.2 = catalog.ads.iter().flatten().count();
        }
        Err(errors) => problems.extend(errors.iter().map(ToString::to_string)),
    }
}
