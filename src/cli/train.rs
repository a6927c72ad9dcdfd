//! `outbid train`: models from data, each kind in a file of its own.

mod sequence;

/// Train a model on recorded data.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  outbid train sequence --file events.csv --out model.seq")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Sequence(sequence::Args),
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Sequence(args) => sequence::run(args),
    }
}
