//! `outbid replay --matrix`: the scenarios of docs/pacing.md, as Markdown tables and charts.
//!
//! Every figure is of the whole log on one day, but for the published protocol; value share is what
//! was won over what hindsight would have bought for the same budget.

use super::protocol::{BID_MAX, EPISODE, Share, Training, UNIT_MICROS};
use super::{START, course, in_process, optimum, strategy};
use crate::budget::Windows;
use crate::cli::plot::{Chart, Labels, Line, SeriesLabelPosition};
use crate::replay::{Delay, Logged, Market, Report, Setup, Shape};
use crate::strategy::Strategy;
use crate::units::{Micros, Nanos};
use anyhow::Context as _;
use indicatif::ProgressBar;
use std::path::Path;

/// Parts of the log's whole cost that a budget is: 1/2 to 1/64.
const PARTS: [i128; 6] = [2, 4, 8, 16, 32, 64];
/// What is aimed at for the default controller, by part.
const AIMS: [f64; 6] = [0.99, 0.99, 0.985, 0.975, 0.955, 0.90];
/// The budget of the scenarios with one: a sixteenth.
const PART: i128 = 16;
/// Controllers, the default first.
const CONTROLLERS: [&str; 5] = ["dual", "pi", "ahead", "asap", "none"];
/// Milliseconds between ticks: an ordinary server's.
const TICK_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60_000;
const WEEK_MS: i64 = 7 * 24 * 60 * MINUTE_MS;

/// One run of the whole log.
struct Case<'a> {
    pacing: &'a str,
    more: &'a str,
    part: i128,
    traffic: &'a Shape,
    market: Market,
    windows: Windows,
    /// Such days in the weeks before, which the controller knows.
    weeks_before: u8,
}

/// The log, and what is known of it.
pub struct Matrix<'a> {
    log: Vec<Logged>,
    training: Training,
    traffic: Option<Shape>,
    bar: &'a ProgressBar,
    /// Of the log: nanos of all its auctions, and means of probability and price.
    total: i128,
    average_p_click: f64,
    average_units: f64,
}

impl<'a> Matrix<'a> {
    /// Of this log; `traffic` is the day's shape of the scenarios that have one.
    pub fn new(
        log: Vec<Logged>,
        training: Training,
        traffic: Option<Shape>,
        bar: &'a ProgressBar,
    ) -> Self {
        let count = log.len() as f64;
        let total: i128 = log.iter().map(|auction| auction.market.per_impression().0).sum();
        let average_p_click = log.iter().map(|auction| auction.p_click).sum::<f64>() / count;
        let average_units = total as f64 / count / UNIT_MICROS as f64;
        Self { log, training, traffic, bar, total, average_p_click, average_units }
    }

    /// Runs all of it, prints the tables, and draws into `folder` where one is given.
    pub fn run(&mut self, folder: Option<&Path>) -> anyhow::Result<()> {
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        self.budgets(folder)?;
        self.notices()?;
        self.protocol()?;
        self.shading(folder)?;
        self.diurnal(folder)
    }

    /// Value shares by controller and budget.
    fn budgets(&mut self, folder: Option<&Path>) -> anyhow::Result<()> {
        println!(
            "| value share, second price | {} |",
            PARTS.map(|part| format!("1/{part}")).join(" | ")
        );
        println!("|---{}|", "|---".repeat(PARTS.len()));
        let mut lines = Vec::new();
        for pacing in CONTROLLERS {
            let mut points = Vec::new();
            for part in PARTS {
                let report = self.play(&Case::of(pacing, part, &Shape::even()))?;
                points.push(((part as f64).log2(), report.value / self.best(part)));
            }
            let cells: Vec<_> = points.iter().map(|point| format!("{:.4}", point.1)).collect();
            println!("| `{pacing}` | {} |", cells.join(" | "));
            lines.push((pacing.to_owned(), points));
        }
        println!("| aim for `dual` | {} |\n", AIMS.map(|aim| format!("{aim:.3}")).join(" | "));
        let aims = PARTS.iter().zip(AIMS).map(|(part, aim)| ((*part as f64).log2(), aim));
        lines.push(("aim".to_owned(), aims.collect()));
        let chart = Chart {
            title: "Share of the value that hindsight would have bought",
            x: ("budget, as a part of the log's cost", 1.0..6.0, |x| {
                format!("1/{}", x.exp2().round())
            }),
            y: ("value share", 0.2..1.0, |y| format!("{y:.1}")),
            is_marked: true,
            names: SeriesLabelPosition::LowerLeft,
            lines: &lines,
        };
        folder.map_or(Ok(()), |folder| chart.draw(&folder.join("value-share.svg")))
    }

    /// Bills and losses that come late hold money for so long.
    fn notices(&mut self) -> anyhow::Result<()> {
        println!("| notices, budget 1/{PART} | used | overspent | blocked |\n|---|---|---|---|");
        for (name, mean, most) in
            [("at once", 0, 0), ("10 min on average, 15 at most", 10, 15), ("60 min", 60, 60)]
        {
            let mut market = Market::second_price();
            let delay = Delay::Exponential {
                mean_ms: (mean * MINUTE_MS) as f64,
                most_ms: most * MINUTE_MS,
            };
            (market.win_delay, market.loss_delay) = (delay, Some(delay));
            let shape = Shape::even();
            let report = self.play(&Case { market, ..Case::of("dual", PART, &shape) })?;
            println!(
                "| {name} | {:.4} | {} | {:.4} |",
                report.utilisation, report.overspend_nanos, report.blocked_share
            );
        }
        println!();
        Ok(())
    }

    /// The published episodes.
    fn protocol(&mut self) -> anyhow::Result<()> {
        println!(
            "| published protocol, c0 = 1/32 | clicks | impressions | cost | used |\n|---|---|---|---|---|"
        );
        let share = Share { part: 1, of: 32 };
        let budget = self.training.budget(share, EPISODE);
        for name in ["lin", "mcpc", "linear"] {
            self.bar.set_message(format!("episodes, {name}"));
            let strategy = strategy::read(&strategy::text_of(name, share, &self.training)?)?;
            let cpc = self.training.cost_per_click_micros();
            let terms = in_process::terms(Micros(BID_MAX * UNIT_MICROS), cpc);
            let mut setup = Setup::new(&strategy, terms, budget);
            setup.tick_ms = MINUTE_MS;
            let (market, shape) = (Market::second_price(), Shape::even());
            let mut pacing = in_process::pacing_of(&strategy, &terms);
            let report = in_process::play(
                &mut self.log,
                START,
                EPISODE,
                &shape,
                &market,
                &setup,
                &mut pacing,
            );
            println!(
                "| `{name}` | {} | {} | {} | {:.3} |",
                report.clicks,
                report.impressions,
                super::units(Nanos(report.cost_nanos)),
                report.utilisation
            );
        }
        println!();
        Ok(())
    }

    /// First price: the paced value as it is, and shaded.
    fn shading(&mut self, folder: Option<&Path>) -> anyhow::Result<()> {
        println!(
            "| value share, first price | {} |",
            PARTS.map(|part| format!("1/{part}")).join(" | ")
        );
        println!("|---{}|", "|---".repeat(PARTS.len()));
        let (even, mut lines) = (Shape::even(), Vec::new());
        for (name, more, tells_price) in [
            ("not shaded", "", true),
            ("shaded, told what would have won", "shading = \"auto\"\n", true),
            ("shaded, told only outcomes", "shading = \"auto\"\n", false),
        ] {
            let market = Market { tells_price, ..Market::first_price() };
            let mut points = Vec::new();
            for part in PARTS {
                let case = Case { more, market: market.clone(), ..Case::of("dual", part, &even) };
                let report = self.play(&case)?;
                points.push(((part as f64).log2(), report.value / self.best(part)));
            }
            let cells: Vec<_> = points.iter().map(|point| format!("{:.4}", point.1)).collect();
            println!("| {name} | {} |", cells.join(" | "));
            lines.push((name.to_owned(), points));
        }
        println!();
        let chart = Chart {
            title: "First price: what shading is worth",
            x: ("budget, as a part of the log's cost", 1.0..6.0, |x| {
                format!("1/{}", x.exp2().round())
            }),
            y: ("value share", 0.5..1.0, |y| format!("{y:.1}")),
            is_marked: true,
            names: SeriesLabelPosition::LowerRight,
            lines: &lines,
        };
        folder.map_or(Ok(()), |folder| chart.draw(&folder.join("shading.svg")))
    }

    /// A day with busy and quiet hours.
    fn diurnal(&mut self, folder: Option<&Path>) -> anyhow::Result<()> {
        let Some(shape) = self.traffic.clone() else { return Ok(()) };
        println!(
            "| traffic of a day, budget 1/{PART} | value share | smoothness | used |\n|---|---|---|---|"
        );
        let (mut spends, mut multipliers): (Vec<Line>, Vec<Line>) = (Vec::new(), Vec::new());
        let parts = (0..=96).map(|part| f64::from(part) / 96.0);
        spends.push((
            "traffic".to_owned(),
            parts.map(|part| (part * 24.0, shape.before(part))).collect(),
        ));
        for (name, more, weeks_before) in [
            ("traffic known from the week before", "", 1),
            ("traffic not known yet", "", 0),
            ("even plan", "plan = \"even\"\n", 0),
        ] {
            let report =
                self.play(&Case { more, weeks_before, ..Case::of("dual", PART, &shape) })?;
            println!(
                "| {name} | {:.4} | {:.4} | {:.4} |",
                report.value / self.best(PART),
                report.smoothness,
                report.utilisation
            );
            spends.push((name.to_owned(), by_hour(course::spend(&report))));
            multipliers.push((name.to_owned(), by_hour(course::multiplier(&report))));
        }
        println!();
        let Some(folder) = folder else { return Ok(()) };
        let hour: Labels = |hour| format!("{hour:02.0}:00");
        Chart {
            title: "Spend over a day with busy and quiet hours",
            x: ("time", 0.0..24.0, hour),
            y: ("share of the budget", 0.0..1.0, |y| format!("{y:.1}")),
            is_marked: false,
            names: SeriesLabelPosition::LowerRight,
            lines: &spends,
        }
        .draw(&folder.join("spend.svg"))?;
        let most =
            multipliers.iter().flat_map(|line| &line.1).map(|point| point.1).fold(0.0, f64::max);
        Chart {
            title: "Pacing multiplier over the same day",
            x: ("time", 0.0..24.0, hour),
            y: ("factor on the value", 0.0..most * 1.05 + 1e-9, |y| format!("{y:.1}")),
            is_marked: false,
            names: SeriesLabelPosition::LowerRight,
            lines: &multipliers,
        }
        .draw(&folder.join("multiplier.svg"))
    }

    fn play(&mut self, case: &Case) -> anyhow::Result<Report> {
        self.bar.set_message(format!("{} 1/{}", case.pacing, case.part));
        let strategy = self.strategy(case.pacing, case.more)?;
        let terms = in_process::terms(Micros(BID_MAX * UNIT_MICROS), 0);
        let mut setup = Setup::new(&strategy, terms, Nanos(self.total / case.part));
        setup.tick_ms = TICK_MS;
        setup.windows = case.windows;
        setup.plan = case.traffic.clone();
        let auctions = self.log.len();
        let mut pacing = in_process::pacing_of(&strategy, &terms);
        let mut report = Report::default();
        // A plan of the traffic is learned by the day of the week.
        let begin = START.plus_millis(-WEEK_MS * i64::from(case.weeks_before));
        for week in 0..=i64::from(case.weeks_before) {
            report = in_process::play(
                &mut self.log,
                begin.plus_millis(week * WEEK_MS),
                auctions,
                case.traffic,
                &case.market,
                &setup,
                &mut pacing,
            );
        }
        anyhow::ensure!(report.overspend_nanos == 0 && report.is_sound, "the budget was passed");
        Ok(report)
    }

    /// Linear in the click probability; an impression of average promise starts at the average price.
    fn strategy(&self, pacing: &str, more: &str) -> anyhow::Result<Strategy> {
        let base = (self.average_units * UNIT_MICROS as f64).round();
        let bounds =
            if pacing == "none" { "" } else { "multiplier_min = 0.001\nmultiplier_max = 1000.0\n" };
        strategy::read(&format!(
            "version = 1\nobjective = \"linear\"\nbase_bid_micros = {base}\n\
             average_p_click = {}\npacing = \"{pacing}\"\n{bounds}{more}",
            self.average_p_click
        ))
    }

    fn best(&self, part: i128) -> f64 {
        optimum::value(&self.log, self.total / part)
    }
}

/// Days as hours.
fn by_hour(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.into_iter().map(|(day, value)| (day * 24.0, value)).collect()
}

impl<'a> Case<'a> {
    fn of(pacing: &'a str, part: i128, traffic: &'a Shape) -> Self {
        let windows = Windows { decision_ttl_ms: 3_600_000, billing_window_ms: 3_600_000 };
        Self {
            pacing,
            more: "",
            part,
            traffic,
            market: Market::second_price(),
            windows,
            weeks_before: 0,
        }
    }
}
