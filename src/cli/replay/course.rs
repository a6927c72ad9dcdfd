//! The course of one replay: its spend against the plan, and its multiplier.

use crate::cli::plot::{Chart, Line, SeriesLabelPosition};
use crate::replay::{Point, Report, Shape};
use anyhow::Context as _;
use std::path::Path;

/// A UTC day in milliseconds.
const DAY_MS: f64 = 86_400_000.0;

/// Draws `spend.svg` and `multiplier.svg` into `folder`, which is made where it is not there.
pub fn draw(folder: &Path, report: &Report, plan: &Shape) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let spent = spend(report);
    let planned = spent.iter().map(|(day, _)| (*day, planned(*day, plan) / days(report)));
    let planned: Line = ("plan".to_owned(), planned.collect());
    let most = spent.iter().map(|point| point.1).fold(1.0, f64::max);
    Chart {
        title: "Spend against plan",
        x: ("day", 0.0..days(report), |day| format!("{day}")),
        y: ("share of the budget", 0.0..most, |share| format!("{share:.1}")),
        is_marked: false,
        names: SeriesLabelPosition::LowerRight,
        lines: &[planned, ("spent".to_owned(), spent)],
    }
    .draw(&folder.join("spend.svg"))?;
    let multiplier: Line = ("multiplier".to_owned(), multiplier(report));
    let most = multiplier.1.iter().map(|point| point.1).fold(0.0, f64::max);
    Chart {
        title: "Pacing multiplier",
        x: ("day", 0.0..days(report), |day| format!("{day}")),
        y: ("factor on the value", 0.0..most * 1.05 + 1e-9, |factor| format!("{factor:.1}")),
        is_marked: false,
        names: SeriesLabelPosition::LowerRight,
        lines: &[multiplier],
    }
    .draw(&folder.join("multiplier.svg"))
}

/// The share of the whole budget that is spent, over days.
pub fn spend(report: &Report) -> Vec<(f64, f64)> {
    let budget = (report.budget_nanos as f64).max(1.0);
    over_days(report, |point| point.cost_nanos as f64 / budget)
}

/// The multiplier, over days.
pub fn multiplier(report: &Report) -> Vec<(f64, f64)> {
    over_days(report, |point| point.ln_budget.min(point.ln_target).exp())
}

/// Days that a report spans, the last one whole.
fn days(report: &Report) -> f64 {
    over_days(report, |_| 0.0).last().map_or(1.0, |last| last.0.ceil().max(1.0))
}

fn over_days(report: &Report, value: impl Fn(&Point) -> f64) -> Vec<(f64, f64)> {
    let first = report.series.first().map_or(0, |point| point.at.0);
    let point = |point: &Point| ((point.at.0 - first) as f64 / DAY_MS, value(point));
    report.series.iter().map(point).collect()
}

/// Days' budgets that the plan spends up to a moment.
fn planned(day: f64, plan: &Shape) -> f64 {
    day.floor() + plan.before(day.fract())
}
