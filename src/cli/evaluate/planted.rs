//! `outbid evaluate planted`: the engine's model on a stream whose best possible figures are known.

use super::figures;
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
    let mut model = args.setting.shadows(Planted::FIELDS, None)?;
    let mut progress = Progress::new("learning", args.rows as u64, args.json);
    let held_out = args.rows / HELD_OUT;
    let mut example = Example::default();
    let (mut known, mut predicted) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for row in 0..args.rows {
        let is_held_out = row >= args.rows - held_out;
        let part = usize::from(is_held_out);
        known[part].push(planted.draw(&mut example));
        let scored = if is_held_out { model.predict(&example) } else { model.learn(&example) };
        predicted[part].push(scored);
        progress.step(row as u64);
    }
    let (rows, seconds) = progress.finish();
    let optimum = known.map(|scored: Vec<Scored>| Metrics::of(&scored, BINS));
    let ours = predicted.map(|scored: Vec<Scored>| Metrics::of(&scored, BINS));
    let closed = closed(&optimum[1], &ours[1]);
    if args.json {
        let summary = serde_json::json!({
            "bayes": { "progressive": optimum[0], "test": optimum[1] },
            "model": { "progressive": ours[0], "test": ours[1] },
            "gap_closed": closed,
            "rows_per_second": rows as f64 / seconds.max(1e-9),
        });
        println!("{summary}");
        return Ok(());
    }
    let mut table = figures::head();
    for (part, name) in ["progressive", "held out"].iter().enumerate() {
        figures::row(&mut table, "Bayes optimum", name, &optimum[part]);
        figures::row(&mut table, &format!("k = {}", args.setting.k), name, &ours[part]);
    }
    println!("{table}");
    println!("{:.1} % of the gap to the optimum is closed on what was held out", closed * 100.0);
    println!("{:.0} rows/s", rows as f64 / seconds.max(1e-9));
    Ok(())
}

/// The part of the way from the base rate's log loss to the optimum's.
fn closed(optimum: &Metrics, ours: &Metrics) -> f64 {
    let base = optimum.ne.map_or(optimum.log_loss, |ne| optimum.log_loss / ne);
    let gap = base - optimum.log_loss;
    if gap > 0.0 { (base - ours.log_loss) / gap } else { 0.0 }
}
