//! `outbid evaluate`: models and policies against data, each kind in a file of its own.

mod ctr;
mod figures;
#[cfg(feature = "onnx")]
mod onnx;
mod planted;
mod policy;
mod privacy;
mod private;
mod sequence;

/// Hold a model or a policy against recorded data.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    outbid evaluate ctr --file train.tsv --map fixtures/maps/criteo.toml\n  \
    outbid evaluate planted --k 16\n  \
    outbid evaluate policy --file log.csv --target greedy\n  \
    outbid evaluate privacy --worlds 1")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Ctr(ctr::Args),
    Planted(planted::Args),
    Policy(policy::Args),
    Privacy(privacy::Args),
    Sequence(sequence::Args),
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Ctr(args) => ctr::run(args),
        What::Planted(args) => planted::run(args),
        What::Policy(args) => policy::run(args),
        What::Privacy(args) => privacy::run(args),
        What::Sequence(args) => sequence::run(args),
    }
}
