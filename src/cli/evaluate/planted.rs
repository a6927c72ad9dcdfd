//! `outbid evaluate planted`: the engine's model on a stream whose best possible figures are known.

use super::{figures, private};
use crate::cli::ctr_model::Setting;
use crate::cli::show::Progress;
use crate::evaluate::{Example, Metrics, Planted, Scored};

/// Judge the click model on a generated stream whose true probabilities are known.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  outbid evaluate planted --k 16\n  \
    outbid evaluate planted --rows 50000 --world 2 --json\n\n\
    The last seventh of the rows is held out. A model that knows only the base rate has closed \
    nothing of the gap to the optimum, the true probabilities all of it.")]
pub struct Args {
    /// Rows of the stream.
    #[arg(long, default_value_t = 350_000)]
    rows: usize,
    /// The seed of the world: tokens, their weights, and who interacts with whom.
    /// The default is near to the published generator in log loss and AUC of the optimum.
    #[arg(long, default_value_t = 7)]
    world: u64,
    #[command(flatten)]
    setting: Setting,
    #[command(flatten)]
    privacy: private::Privacy,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Part of the rows that is held out: 50,000 of 350,000.
const HELD_OUT: usize = 7;
/// Most rows: of each, two predictions of 8 bytes are kept.
const ROWS_MAX: usize = 100_000_000;
/// Bins of calibration.
const BINS: usize = 10;

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!((HELD_OUT..=ROWS_MAX).contains(&args.rows), "--rows is 7 to {ROWS_MAX}");
    let mut planted = Planted::new(args.world, Planted::FIELDS, Planted::TOKENS);
    let held_out = args.rows / HELD_OUT;
    let learned = args.rows - held_out;
    let ours = args.setting.shadows(Planted::FIELDS, None)?;
    let mut models = vec![(format!("k = {}", args.setting.k), ours)];
    let base = args.setting.base_rate;
    models.extend(args.privacy.models(Planted::FIELDS, learned as u64, base)?);
    let mut progress = Progress::new("learning", args.rows as u64, args.json);
    let mut example = Example::default();
    let mut known = [Vec::new(), Vec::new()];
    let mut predicted: Vec<_> = models.iter().map(|_| [Vec::new(), Vec::new()]).collect();
    for row in 0..args.rows {
        let part = usize::from(row >= learned);
        known[part].push(planted.draw(&mut example));
        for ((_, model), predicted) in models.iter_mut().zip(&mut predicted) {
            let scored = if part == 1 { model.predict(&example) } else { model.learn(&example) };
            predicted[part].push(scored);
        }
        progress.step(row as u64);
    }
    private::check(models.iter().map(|(_, model)| model))?;
    let (rows, seconds) = progress.finish();
    let judge = |parts: [Vec<Scored>; 2]| parts.map(|scored| Metrics::of(&scored, BINS));
    let optimum = judge(known);
    let names = models.into_iter().map(|(name, _)| name);
    let judged: Vec<_> = names.zip(predicted.into_iter().map(judge)).collect();
    let rate = rows as f64 / seconds.max(1e-9);
    show(args, &optimum, &judged, rate);
    Ok(())
}

/// Prints what came of the models, the engine's first.
fn show(args: &Args, optimum: &[Metrics; 2], judged: &[(String, [Metrics; 2])], rate: f64) {
    if args.json {
        let models = judged.iter().map(|(name, [progressive, test])| {
            let closed = closed(&optimum[1], test);
            serde_json::json!({
                "name": name, "progressive": progressive, "test": test, "gap_closed": closed,
            })
        });
        let summary = serde_json::json!({
            "bayes": { "progressive": optimum[0], "test": optimum[1] },
            "models": models.collect::<Vec<_>>(),
            "rows_per_second": rate,
        });
        println!("{summary}");
        return;
    }
    let mut table = figures::head();
    for (part, name) in ["progressive", "held out"].iter().enumerate() {
        figures::row(&mut table, "Bayes optimum", name, &optimum[part]);
        for (model, judged) in judged {
            figures::row(&mut table, model, name, &judged[part]);
        }
    }
    println!("{table}");
    for (model, [_, test]) in judged {
        let closed = closed(&optimum[1], test) * 100.0;
        println!("{model}: {closed:.1} % of the gap to the optimum closed on what was held out");
    }
    println!("{rate:.0} rows/s");
}

/// The part of the way from the base rate's log loss to the optimum's.
fn closed(optimum: &Metrics, ours: &Metrics) -> f64 {
    let base = optimum.ne.map_or(optimum.log_loss, |ne| optimum.log_loss / ne);
    let gap = base - optimum.log_loss;
    if gap > 0.0 { (base - ours.log_loss) / gap } else { 0.0 }
}
