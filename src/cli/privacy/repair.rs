//! `outbid privacy repair`: what is left of a damaged privacy ledger, with all that was spent.

use super::show::date;
use crate::clock::Civil;
use crate::config::Config;
use crate::privacy::Plan;
use crate::server::{RepairedPrivacy, repair_privacy};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Repair a privacy ledger that is damaged, gone or an older copy: every record before the damage stays,
/// and every day on which something may have been released stays charged and is released no more.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  outbid privacy repair --state var\n  \
    outbid privacy repair --state var --config fixtures/outbid.toml\n\n\
    The server must not be running. How far releases had come is known from config.db, which is to be \
    sound (`outbid ledger repair`). The old file is kept beside the new one.")]
pub struct Args {
    /// The state folder.
    #[arg(long)]
    state: PathBuf,
    /// The configuration, which says what a day costs where no record can be read.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    super::super::start_log("warn");
    crate::cli::discretion::close_files();
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let plan = config.map(|config| Plan::try_from(&config.privacy)).transpose()?;
    let repaired = repair_privacy(&args.state, plan.as_ref(), Civil::machine().now().utc_day())?;
    match repaired {
        _ if args.json => println!("{}", json!({ "repair": repaired.map(as_json) })),
        None => println!("nothing is wrong with it"),
        Some(repaired) => print(&repaired),
    }
    Ok(())
}

fn as_json(repaired: RepairedPrivacy) -> Value {
    let RepairedPrivacy { damage, kept, charged, closed, kept_as } = repaired;
    json!({
        "damage": damage,
        "kept": kept,
        "charged": charged.into_iter().map(date).collect::<Vec<_>>(),
        "closed": date(closed),
        "kept_as": kept_as,
    })
}

fn print(repaired: &RepairedPrivacy) {
    println!("{}", repaired.damage);
    match repaired.kept {
        0 => println!("  kept     nothing: what was charged on earlier days is not known any more"),
        kept => println!("  kept     up to position {kept}"),
    }
    if let Some((first, last)) = repaired.charged.first().zip(repaired.charged.last()) {
        println!("  charged  {} to {}, whose charges are not there", date(*first), date(*last));
    }
    println!("  closed   {}: releases go on with the day behind it", date(repaired.closed));
    if let Some(old) = &repaired.kept_as {
        println!("  old file {}", old.display());
    }
}
