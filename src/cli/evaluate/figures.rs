//! How metrics are shown: as tables and as a reliability diagram.

use crate::cli::plot::{Chart, Line, SeriesLabelPosition};
use crate::cli::show::table;
use crate::evaluate::Metrics;
use comfy_table::Table;
use std::path::Path;

/// An empty table for [`row`]s.
pub fn head() -> Table {
    table(["model", "part", "rows", "AUC", "log loss", "NE", "ECE", "ECE (width)", "pred/actual"])
}

/// The metrics of one model over one part.
pub fn row(table: &mut Table, model: &str, part: &str, metrics: &Metrics) {
    table.add_row([
        model.to_owned(),
        part.to_owned(),
        metrics.rows.to_string(),
        number(metrics.auc, 4),
        number(Some(metrics.log_loss), 4),
        number(metrics.ne, 4),
        number(Some(metrics.ece), 4),
        number(Some(metrics.ece_equal_width), 4),
        number(metrics.predicted_over_actual, 3),
    ]);
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// The bins of equal mass, from the surest negatives to the surest positives.
pub fn print_bins(metrics: &Metrics) {
    let mut shown = table(["bin", "weight", "predicted", "actual", "pred/actual"]);
    for (index, bin) in metrics.bins.iter().enumerate() {
        let ratio = (bin.actual > 0.0).then(|| bin.predicted / bin.actual);
        shown.add_row([
            (index + 1).to_string(),
            format!("{:.0}", bin.weight),
            format!("{:.5}", bin.predicted),
            format!("{:.5}", bin.actual),
            number(ratio, 3),
        ]);
    }
    println!("{shown}");
}

/// Draws what was predicted against what came, both axes up to the highest of either.
pub fn draw_reliability(file: &Path, parts: &[(&str, &Metrics)]) -> anyhow::Result<()> {
    let bins = parts.iter().flat_map(|(_, metrics)| &metrics.bins);
    let most = bins.fold(1e-6, |most: f64, bin| most.max(bin.predicted).max(bin.actual)) * 1.05;
    let points = |metrics: &Metrics| {
        metrics.bins.iter().map(|bin| (bin.predicted, bin.actual)).collect::<Vec<_>>()
    };
    let mut lines: Vec<Line> =
        parts.iter().map(|(name, metrics)| ((*name).to_owned(), points(metrics))).collect();
    lines.push(("as predicted".to_owned(), vec![(0.0, 0.0), (most, most)]));
    let labels =
        |value: &f64| if *value < 0.1 { format!("{value:.3}") } else { format!("{value:.1}") };
    Chart {
        title: "Reliability, bins of equal mass",
        x: ("predicted", 0.0..most, labels),
        y: ("actual", 0.0..most, labels),
        is_marked: true,
        names: SeriesLabelPosition::UpperLeft,
        lines: &lines,
    }
    .draw(file)
}
