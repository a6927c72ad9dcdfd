//! `outbid check`: is this configuration, with its catalog and strategies, one that would serve?

use crate::auction::Arms;
use crate::catalog::{CatalogError, CatalogKeeper, Resumed};
use crate::config::{Config, StoreKind};
use crate::privacy::{self, Plan};
use crate::server::SETTINGS_FILE;
use crate::store::embedded::read_config;
use crate::store::{ConfigStore, MemoryConfig};
use crate::strategy::Strategies;
use std::path::PathBuf;
use std::sync::Arc;

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
    let mut claim = None;
    match Config::load(&args.config) {
        Ok(config) => {
            warnings.clone_from(&config.warnings);
            check(&config, &mut problems, &mut warnings, &mut counts);
            claim = claim_of(&config, &mut problems);
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
            "privacy": claim,
        });
        println!("{report}");
    } else {
        warnings.iter().for_each(|warning| println!("warning: {warning}"));
        problems.iter().for_each(|problem| println!("{problem}"));
        if problems.is_empty() {
            println!("ok: {strategies} strategies, {campaigns} campaigns, {ads} ads");
            claim.iter().for_each(|claim| println!("privacy: {claim}"));
        }
    }
    anyhow::ensure!(problems.is_empty(), "{} problem(s) found", problems.len());
    Ok(())
}

/// The claim and the mode of a configuration, in a line.
pub(super) fn promised(config: &Config) -> Result<String, privacy::Error> {
    let plan = Plan::try_from(&config.privacy)?;
    Ok(format!("{}; {}", plan.claim(), config.privacy.mode.words()))
}

/// What the configuration promises to users, in a line.
fn claim_of(config: &Config, problems: &mut Vec<String>) -> Option<String> {
    promised(config).map_err(|error| problems.push(error.to_string())).ok()
}

fn check(
    config: &Config,
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
    counts: &mut (usize, usize, usize),
) {
    // Campaigns are judged beside a wrong strategy too: whoever mends one wants to know of the other.
    let names = match Strategies::load(&config.paths.strategies) {
        Ok(strategies) => {
            counts.0 = strategies.names().len();
            strategies.known()
        }
        Err(errors) => {
            problems.extend(errors.iter().map(ToString::to_string));
            Strategies::named_in(&config.paths.strategies)
        }
    };
    if let Err(error) = config.currency.read() {
        problems.push(error.to_string());
    }
    if let Err(error) = Arms::from_shares(&config.experiment.arms) {
        problems.push(error);
    }
    #[cfg(feature = "onnx")]
    if let Err(error) = crate::server::open_reranker(config) {
        problems.push(format!("{error:#}"));
    }
    if names.is_empty() {
        // Each campaign would be told that there is no strategy of its name.
        return;
    }
    match CatalogKeeper::open(config.paths.catalog.clone(), names) {
        Ok(keeper) => {
            let catalog = keeper.published().load_full();
            counts.1 = catalog.campaigns.iter().flatten().count();
            counts.2 = catalog.ads.iter().flatten().count();
            if let Err(error) = check_edits(config, &keeper, problems, warnings) {
                problems.push(error.to_string());
            }
        }
        Err(errors) => problems.extend(errors.into_iter().map(|error| found(config, error))),
    }
}

/// What is wrong in the catalog, with a file that can be opened from here.
fn found(config: &Config, error: CatalogError) -> String {
    error.within(&config.paths.catalog).to_string()
}

/// Holds what was changed over the API against the files, on a copy of what the state folder has.
fn check_edits(
    config: &Config,
    keeper: &CatalogKeeper,
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> anyhow::Result<()> {
    let file = config.paths.state.join(SETTINGS_FILE);
    if config.store.kind == StoreKind::Memory || !file.exists() {
        return Ok(());
    }
    let copy = MemoryConfig::default();
    for entry in read_config(&file)? {
        copy.put(&entry.key, entry.value)?;
    }
    match keeper.resume(Arc::new(copy)) {
        Ok(Resumed { stopped, dropped }) => {
            let stopped = stopped.into_iter().map(|error| found(config, error));
            problems.extend(stopped.map(|error| format!("{error}; its campaign is stopped")));
            warnings.extend(dropped.iter().map(|name| {
                format!(
                    "campaign `{name}` is in no file: its edits are let go of at the next start"
                )
            }));
        }
        Err(errors) => problems.extend(errors.into_iter().map(|error| found(config, error))),
    }
    Ok(())
}
