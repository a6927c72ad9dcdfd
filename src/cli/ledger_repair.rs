//! `outbid ledger repair`: what is left of damaged logs and settings.

use crate::server::{LOG_FILES, SETTINGS_FILE};
use crate::store::Position;
use crate::store::embedded::{ConfigRepair, Repair, repair, repair_config};
use anyhow::Context as _;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Salvage damaged files: keep every record of a log before its damage, every edit that is sound, and
/// the old files beside the new ones.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  outbid ledger repair --state var\n\n\
    The server must not be running. What lies behind the damage is lost to the new file; the old \
    one is kept as it was.")]
pub struct Args {
    /// The state folder.
    #[arg(long)]
    state: PathBuf,
    /// One JSON object in place of lines.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    super::discretion::close_files();
    let files = LOG_FILES.map(|name| args.state.join(name));
    let files: Vec<&PathBuf> = files.iter().filter(|file| file.exists()).collect();
    let settings = args.state.join(SETTINGS_FILE);
    let has_settings = settings.exists();
    anyhow::ensure!(!files.is_empty() || has_settings, "{} holds no logs", args.state.display());
    let mut repaired = Vec::new();
    for file in files {
        let outcome =
            repair(file).with_context(|| format!("{} is not repaired", file.display()))?;
        if !args.json {
            say(file, outcome.as_ref());
        }
        repaired.push(json!({ "file": file, "repair": outcome }));
    }
    if has_settings {
        let outcome = repair_config(&settings)
            .with_context(|| format!("{} is not repaired", settings.display()))?;
        if !args.json {
            say_of_settings(&settings, outcome.as_ref());
        }
        repaired.push(json!({ "file": settings, "repair": outcome }));
    }
    if args.json {
        println!("{}", json!({ "files": repaired }));
    }
    Ok(())
}

fn say_of_settings(file: &Path, outcome: Option<&ConfigRepair>) {
    let file = file.display();
    let Some(ConfigRepair { damage, kept, emptied, kept_as }) = outcome else {
        println!("{file}: nothing is wrong with it");
        return;
    };
    println!("{file}: {damage}");
    println!("  kept     {kept} values");
    for key in emptied {
        println!("  lost     {key}: stopped until its edits are taken back");
    }
    println!("  old file {}", kept_as.display());
}

fn say(file: &Path, outcome: Option<&Repair>) {
    let file = file.display();
    let Some(Repair { damage, first, last, last_before, kept_as }) = outcome else {
        println!("{file}: nothing is wrong with it");
        return;
    };
    println!("{file}: {damage}");
    println!("  kept     positions {} to {}", first.0, last.0);
    match last_before {
        Some(Position(before)) if *before > last.0 => {
            println!("  lost     positions {} to {before}", last.0 + 1);
        }
        _ => println!("  lost     whatever came after position {}: how much is not known", last.0),
    }
    println!("  old file {}", kept_as.display());
}
