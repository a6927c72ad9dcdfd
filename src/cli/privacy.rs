//! `outbid privacy`: what is known of users, and how it goes.

mod forget;

use clap::Subcommand;

/// What is known of users, and how it goes.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Forget(forget::Args),
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Forget(args) => forget::run(args),
    }
}
