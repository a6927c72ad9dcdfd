//! `outbid ledger`: the books, without a server.

mod compare;
mod exchange;
mod fold;
mod show;
mod verify;

use super::ledger_repair;
use clap::Subcommand;

/// Look into the ledger's log, and after it.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Verify(verify::Args),
    Show(show::Args),
    Repair(ledger_repair::Args),
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Verify(args) => verify::run(args),
        Command::Show(args) => show::run(args),
        Command::Repair(args) => ledger_repair::run(args),
    }
}
