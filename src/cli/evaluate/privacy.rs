//! `outbid evaluate privacy`: what the releases' noise costs in the value of the ads that are chosen.

use crate::cli::plot::{Chart, Line, SeriesLabelPosition};
use crate::cli::show::{Progress, table};
use crate::evaluate::{ChoiceSetting, ChoiceValue, choice_value};
use std::path::PathBuf;

/// Judge the choice of ads by released counts against an oracle.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  outbid evaluate privacy\n  \
    outbid evaluate privacy --impressions 10000000 --epsilon 1 --worlds 1 --json\n\n\
    Each world counts a day of 4,000 cells through the engine's own mechanism: 10 s of one core for \
    each epsilon. Its noise comes from the machine, so figures differ from run to run.")]
pub struct Args {
    /// Impressions of the day, over all cells.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000_000, 10_000_000])]
    impressions: Vec<u64>,
    /// Epsilon of a user-day at delta 1e-6, up to 32.
    #[arg(long, value_delimiter = ',', default_values_t = [1.0, 4.0])]
    epsilon: Vec<f64>,
    /// Releases of the day, up to 4,096.
    #[arg(long, default_value_t = 288)]
    ticks: usize,
    /// Worlds, over which values are averaged.
    #[arg(long, default_value_t = 3)]
    worlds: u64,
    /// Draw value against epsilon as SVG.
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
}

/// Most impressions of a day: each is drawn.
const IMPRESSIONS_MAX: u64 = 1_000_000_000;
/// The largest epsilon that a configuration may have.
const EPSILON_MAX: f64 = 32.0;
/// Most worlds: a mean of more is as good.
const WORLDS_MAX: u64 = 1_000;

/// The mean over worlds for one volume and epsilon.
#[derive(serde::Serialize)]
struct Row {
    impressions: u64,
    epsilon: Option<f64>,
    worlds: u64,
    aware: f64,
    naive: f64,
    none: f64,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let is_volume = |volume: &u64| (1..=IMPRESSIONS_MAX).contains(volume);
    anyhow::ensure!(
        !args.impressions.is_empty() && args.impressions.iter().all(is_volume),
        "--impressions is 1 to {IMPRESSIONS_MAX}"
    );
    let is_epsilon = |epsilon: &f64| *epsilon > 0.0 && *epsilon <= EPSILON_MAX;
    anyhow::ensure!(
        args.epsilon.iter().all(is_epsilon),
        "--epsilon is above 0 and at most {EPSILON_MAX}"
    );
    anyhow::ensure!((1..=WORLDS_MAX).contains(&args.worlds), "--worlds is 1 to {WORLDS_MAX}");
    // Without noise last: what no epsilon can pass.
    let epsilons: Vec<_> = args.epsilon.iter().copied().map(Some).chain([None]).collect();
    let runs = args.impressions.len() as u64 * epsilons.len() as u64 * args.worlds;
    let mut progress = Progress::new("counting", runs * ChoiceSetting::STEPS, args.json);
    let mut steps = 0;
    let mut rows = Vec::new();
    for &impressions in &args.impressions {
        for &epsilon in &epsilons {
            let mut sum = ChoiceValue::default();
            for seed in 1..=args.worlds {
                let setting = ChoiceSetting { impressions, epsilon, ticks: args.ticks, seed };
                let value = choice_value(&setting, || {
                    steps += 1;
                    progress.add(1);
                    progress.show(steps, "");
                })?;
                sum.aware += value.aware;
                sum.naive += value.naive;
                sum.none += value.none;
            }
            let worlds = args.worlds;
            let [aware, naive, none] =
                [sum.aware, sum.naive, sum.none].map(|sum| sum / worlds as f64);
            rows.push(Row { impressions, epsilon, worlds, aware, naive, none });
        }
    }
    progress.finish();
    if let Some(file) = &args.plot {
        draw(file, &args.impressions, &rows)?;
    }
    if args.json {
        println!("{}", serde_json::to_string(&rows)?);
        return Ok(());
    }
    let mut shown = table(["impressions", "epsilon", "noise-aware", "naive", "no counts"]);
    for row in &rows {
        let epsilon =
            row.epsilon.map_or_else(|| "no noise".to_owned(), |epsilon| epsilon.to_string());
        let [aware, naive, none] =
            [row.aware, row.naive, row.none].map(|part| format!("{part:.3}"));
        shown.add_row([row.impressions.to_string(), epsilon, aware, naive, none]);
    }
    println!("{shown}");
    println!("value of the chosen ads, of the oracle's; epsilon of a user-day at delta 1e-6");
    Ok(())
}

/// Reads one estimate's value.
type Part = fn(&Row) -> f64;

/// What is drawn of a row.
const ESTIMATES: [(&str, Part); 2] = [("noise-aware", |row| row.aware), ("naive", |row| row.naive)];

/// Value against epsilon, a line for each volume and estimate.
fn draw(file: &std::path::Path, impressions: &[u64], rows: &[Row]) -> anyhow::Result<()> {
    let mut lines: Vec<Line> = Vec::new();
    for &volume in impressions {
        for (name, value) in ESTIMATES {
            let of_volume = rows.iter().filter(|row| row.impressions == volume);
            let mut points: Vec<_> =
                of_volume.filter_map(|row| Some((row.epsilon?, value(row)))).collect();
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
            lines.push((format!("{name}, {} k a day", volume / 1_000), points));
        }
    }
    let most = rows.iter().filter_map(|row| row.epsilon).fold(1.0, f64::max);
    Chart {
        title: "Value of the chosen ads, of an oracle's",
        x: ("epsilon of a user-day", 0.0..most, |value| format!("{value:.1}")),
        y: ("value", 0.3..1.0, |value| format!("{value:.1}")),
        is_marked: true,
        names: SeriesLabelPosition::LowerRight,
        lines: &lines,
    }
    .draw(file)
}
