//! The command line: one file a subcommand, each with an example in its `--help`; results as tables,
//! or as one JSON object with `--json`; one clear line and a non-zero exit on error.

#[macro_use]
mod out;

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
use std::io::IsTerminal as _;
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
    // Colours are for people: in a file, or where they are not wanted, they are noise.
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal() && !is_plain)
        .with_writer(std::io::stderr);
    let _ = lines.finish().with(filter_fn(discretion::may_be_logged)).try_init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::strategy::Strategies;
    use clap::CommandFactory as _;
    use std::path::Path;

    /// What each `--help` shows to be typed, whole lines without a prompt.
    fn examples(command: &clap::Command) -> Vec<String> {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let help = help.replace("\\\n", " ");
        let lines = help.lines().filter_map(|line| {
            let typed = line.strip_prefix("  ")?.rsplit(" | ").next()?;
            typed.starts_with("outbid ").then(|| typed.to_owned())
        });
        let mut examples: Vec<_> = lines.collect();
        for inner in command.get_subcommands() {
            let shown = self::examples(inner);
            assert!(!shown.is_empty(), "`{}` has no example", inner.get_name());
            examples.extend(shown);
        }
        examples
    }

    /// Each is taken by the command line, and what it names of ours is there.
    #[test]
    fn examples_of_help_are_ones_that_work() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let strategies = Strategies::load(&root.join("strategies")).expect("ours");
        let catalog = Catalog::load(&root.join("fixtures/catalog"), &strategies.known(), None);
        let catalog = catalog.expect("ours");
        let examples = examples(&Cli::command());
        assert!(examples.len() > 30, "{examples:?}");
        for example in examples {
            let words: Vec<_> = example.split_whitespace().collect();
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("`{example}`: {error}");
            }
            for pair in words.windows(2) {
                let [name, value] = pair else { continue };
                let is_there = match *name {
                    "--campaign" => catalog.campaign_by_name(value).is_some(),
                    "--request" => value.starts_with("fixtures/") && root.join(value).exists(),
                    _ => !value.starts_with("fixtures/") || root.join(value).exists(),
                };
                assert!(is_there, "`{example}`: there is no {value}");
            }
        }
    }
}
