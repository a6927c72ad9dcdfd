//! `outbid train`: models from data, each kind in a file of its own.

mod ctr;
mod sequence;

/// Train a model on recorded data.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    outbid train ctr --file train.tsv --map fixtures/maps/criteo.toml --model criteo.model\n  \
    outbid train sequence --file events.csv --out model.seq")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Ctr(ctr::Args),
    Sequence(sequence::Args),
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Ctr(args) => ctr::run(args),
        What::Sequence(args) => sequence::run(args),
    }
}
