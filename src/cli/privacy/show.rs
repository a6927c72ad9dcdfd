//! `outbid privacy show`: what the days cost, and what was released on them.

use super::fold::{Folded, fold};
use crate::cli::check::promised;
use crate::config::Config;
use crate::privacy::{DayCost, Part};
use crate::units::Timestamp;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Days over which costs are summed up, each ending with the last one that was charged.
const SPANS: [i32; 3] = [1, 7, 30];

/// Show what was charged and released, day by day.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  outbid privacy show --state var\n  \
    outbid privacy show --state var --json\n  \
    outbid privacy show --state var --config fixtures/outbid.toml\n\n\
    Costs are what one user pays who was there on every day. Days before the ledger's first record \
    are known by their charges. A server may be running.")]
pub struct Args {
    /// The state folder.
    #[arg(long)]
    state: PathBuf,
    /// A configuration, of which the claim and the mode are printed: the ledger knows costs alone.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    super::super::start_log("warn");
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let claim = config.as_ref().map(promised).transpose()?;
    let folded = fold(&args.state, |_| {})?;
    if args.json {
        let mut shown = as_json(&folded);
        shown["claim"] = claim.into();
        shown["mode"] = config.map(|config| json!(config.privacy.mode)).into();
        println!("{}", serde_json::to_string_pretty(&shown)?);
    } else {
        claim.iter().for_each(|claim| println!("{claim}"));
        print(&folded);
    }
    match &folded.wrong {
        Some(wrong) => anyhow::bail!("the ledger cannot be read to its end: {wrong}"),
        None => Ok(()),
    }
}

/// A day since 1970 as a date.
pub(super) fn date(day: i32) -> String {
    let midnight = Timestamp(i64::from(day) * 86_400_000);
    let stamp = jiff::Timestamp::from_millisecond(midnight.0);
    stamp.map_or_else(|_| day.to_string(), |stamp| stamp.strftime("%Y-%m-%d").to_string())
}

fn as_json(folded: &Folded) -> Value {
    let account = folded.books.account();
    let last = account.last().map_or(0, |cost| cost.day);
    let day = |cost: &DayCost| {
        let parts: serde_json::Map<_, _> = Part::ALL
            .into_iter()
            .map(|part| (part.label().to_owned(), cost.part(part).as_f64().into()))
            .collect();
        let released = folded.days.get(&cost.day);
        json!({
            "day": date(cost.day),
            "rho": cost.rho().as_f64(),
            "parts": parts,
            "delta": cost.delta,
            "releases": released.map(|day| day.releases),
            "segments": released.map(|day| day.segments),
            "owners": released.map(|day| &day.owners),
            "uncommitted": released.map(|day| day.uncommitted),
        })
    };
    let spans = SPANS.map(|days| json!({ "span_days": days, "cost": account.figures(last, days) }));
    json!({
        "first": folded.ends.0,
        "position": folded.ends.1,
        "is_full": folded.books.today().is_some_and(|today| today.is_full),
        "days": account.days().iter().map(day).collect::<Vec<_>>(),
        "spans": spans,
        "segment_sizes": folded.books.segments().map(|released| json!({
            "day": date(released.day),
            "shown": released.sizes.len(),
            "least": released.least,
        })),
        "wrong": folded.wrong,
    })
}

fn print(folded: &Folded) {
    let account = folded.books.account();
    println!("records {} to {}", folded.ends.0, folded.ends.1);
    let Some(last) = account.last() else {
        println!("nothing was charged");
        return;
    };
    println!("{:<12} {:>10} {:>9} {:>9}  parts of rho", "day", "rho", "releases", "segments");
    for cost in account.days() {
        let parts = Part::ALL.into_iter().filter(|part| cost.part(*part).as_f64() > 0.0);
        let parts: Vec<_> =
            parts.map(|part| format!("{} {:.6}", part.label(), cost.part(part).as_f64())).collect();
        let known = folded.days.get(&cost.day);
        let number = |count: Option<u32>| count.map_or("-".to_owned(), |count| count.to_string());
        println!(
            "{:<12} {:>10.6} {:>9} {:>9}  {}",
            date(cost.day),
            cost.rho().as_f64(),
            number(known.map(|day| day.releases)),
            number(known.map(|day| day.segments.into())),
            parts.join(", ")
        );
    }
    if let Some(released) = folded.books.segments() {
        let (shown, day, least) = (released.sizes.len(), date(released.day), released.least);
        println!("sizes of segments on {day}: {shown} shown, from {least} users on");
    }
    for span in SPANS {
        let figures = account.figures(last.day, span);
        // Rounded up: a printed epsilon is never below the real one.
        let up = |epsilon: f64| (epsilon * 1e3).ceil() / 1e3;
        println!(
            "{span} days to {}: epsilon {:.3} at delta {:e} ({:.3} by the analytic Gaussian; {} charged)",
            date(last.day),
            up(figures.epsilon),
            figures.delta,
            up(figures.epsilon_analytic),
            figures.days
        );
    }
}
