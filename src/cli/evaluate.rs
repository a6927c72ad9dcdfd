//! `outbid evaluate`: models and policies against data, each kind in a file of its own.

mod policy;
mod sequence;

/// Hold a model or a policy against recorded data.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  outbid evaluate policy --file log.csv --target greedy")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Policy(policy::Args),
    Sequence(sequence::Args),
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Policy(args) => policy::run(args),
        What::Sequence(args) => sequence::run(args),
    }
}
