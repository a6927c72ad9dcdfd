//! The command line: one file a subcommand, each with an example in its `--help`; results as tables,
//! or as one JSON object with `--json`; one clear line and a non-zero exit on error.

mod admin;
mod check;
mod ctr_model;
mod demo;
mod discretion;
mod evaluate;
mod event_stream;
mod exchange;
mod explain;
mod ledger;
mod ledger_repair;
mod plot;
mod privacy;
mod replay;
mod serve;
mod show;
mod train;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Parser)]
#[command(name = "outbid", version, about = "A real-time bidding engine for OpenRTB", long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Check(check::Args),
    Exchange(exchange::Args),
    Explain(explain::Args),
    Ledger(ledger::Args),
    Privacy(privacy::Args),
    Replay(replay::Args),
    Evaluate(evaluate::Args),
    Train(train::Args),
}

/// Runs the command line and says how it went.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Exchange(args) => exchange::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::Privacy(args) => privacy::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Train(args) => train::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("outbid: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Log lines to standard error: `OUTBID_LOG` chooses levels, as `info` or `outbid=debug`.
fn start_log(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("OUTBID_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    // A second initialisation, as in tests that run several commands, keeps the first.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = lines.finish().with(filter_fn(discretion::may_be_logged)).try_init();
}
