//! `outbid privacy`: the privacy ledger without a server, and what is known of users and how it goes.

mod fold;
mod forget;
mod repair;
mod show;
mod verify;

use clap::Subcommand;

/// The privacy ledger, what is known of users, and how it goes.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Forget(forget::Args),
    Repair(repair::Args),
    Show(show::Args),
    Verify(verify::Args),
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Forget(args) => forget::run(args),
        Command::Repair(args) => repair::run(args),
        Command::Show(args) => show::run(args),
        Command::Verify(args) => verify::run(args),
    }
}
