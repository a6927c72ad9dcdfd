//! `outbid train ctr`: a click model from a file of labelled examples.

use crate::cli::ctr_model::{Kept, Pass, Setting};
use crate::evaluate::{Examples, FeatureMap, Metrics, Model, Tolerance};
use std::path::PathBuf;

/// Train the click model on labelled examples and save it.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    outbid train ctr --file train.tsv --map fixtures/maps/criteo.toml --model criteo.model\n  \
    outbid train ctr --file more.tsv --load criteo.model --model criteo.model\n\n\
    Beside the model its feature map is saved, as FILE.map.toml; `outbid evaluate ctr --load` reads \
    both.")]
pub struct Args {
    /// The examples, in the order in which they are learned.
    #[arg(long)]
    file: PathBuf,
    /// The feature map, in TOML.
    #[arg(long, conflicts_with = "load")]
    map: Option<PathBuf>,
    /// Where the model is saved.
    #[arg(long)]
    model: PathBuf,
    /// Go on with this model, with its setting and its feature map.
    #[arg(long, conflicts_with_all = ["k", "linear_bits", "vector_bits", "base_rate", "seed"])]
    load: Option<PathBuf>,
    /// How often the file is learned. Rows that are seen again are no new evidence: more than one pass
    /// makes predictions too sure.
    #[arg(long, default_value_t = 1)]
    passes: u32,
    #[command(flatten)]
    setting: Setting,
    /// Count and skip lines that cannot be used.
    #[arg(long)]
    lenient: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(args.passes > 0, "--passes is at least 1");
    let (kept, mut model, before) = match &args.load {
        Some(file) => {
            let (kept, models, before) = Kept::load(file)?;
            (kept, Model::Shadows(Box::new(models)), before)
        }
        None => {
            let declared = args.map.as_deref().map(FeatureMap::read).transpose()?;
            let map = Examples::map_of(&args.file, declared)?;
            let model = args.setting.shadows(map.width(), map.min_count)?;
            (Kept { setting: args.setting, map }, model, 0)
        }
    };
    let mut tolerance = Tolerance::new(args.lenient);
    let (mut learned, mut scored, mut rate) = (before, Vec::new(), 0.0);
    for pass in 0..args.passes {
        let file = Pass { map: &kept.map, what: "learning", is_quiet: args.json };
        let (rows, seconds) = file.read(&args.file, &mut tolerance, &mut |example| {
            let each = model.learn(example);
            if pass == 0 {
                scored.push(each);
            }
        })?;
        learned += rows;
        rate = rows as f64 / seconds;
    }
    // Of the first pass alone: later ones predict what they have seen.
    let metrics = Metrics::of(&scored, 10);
    if let Model::Shadows(models) = &model {
        kept.save(&args.model, models, learned)?;
    }
    if args.json {
        let summary = serde_json::json!({
            "model": args.model,
            "learned": learned,
            "skipped": tolerance.skipped(),
            "rows_per_second": rate,
            "progressive": metrics,
        });
        println!("{summary}");
        return Ok(());
    }
    println!(
        "{}: {learned} examples learned, {rate:.0} rows/s, progressive log loss {:.4}",
        args.model.display(),
        metrics.log_loss
    );
    if let Some(first) = tolerance.first() {
        println!("{} lines skipped; the first: {first}", tolerance.skipped());
    }
    Ok(())
}
