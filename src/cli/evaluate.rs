//! `outbid evaluate`: models and policies against data, each kind in a file of its own.

mod policy;

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
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Policy(args) => policy::run(args),
    }
}
