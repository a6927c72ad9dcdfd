//! Charts as SVG: a few lines over one axis, small enough to stand in a repository.

use anyhow::{Context as _, anyhow};
pub use plotters::chart::SeriesLabelPosition;
use plotters::prelude::*;
use std::ops::Range;
use std::path::Path;

/// Width and height in pixels.
const SIZE: (u32, u32) = (640, 340);
/// Points of one line; more cannot be told apart at this size.
const POINTS_MAX: usize = 120;
/// Told apart by most eyes, in print too.
const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 96, 20),
    RGBColor(60, 145, 70),
    RGBColor(120, 120, 120),
    RGBColor(148, 80, 170),
    RGBColor(120, 75, 60),
];

/// One line, with its name.
pub type Line = (String, Vec<(f64, f64)>);

/// How a number on an axis is written.
pub type Labels = fn(&f64) -> String;

/// What is drawn.
pub struct Chart<'a> {
    /// Above it.
    pub title: &'a str,
    /// Name, range and labels of the horizontal axis.
    pub x: (&'a str, Range<f64>, Labels),
    /// The same of the vertical one.
    pub y: (&'a str, Range<f64>, Labels),
    /// Whether each point is marked.
    pub is_marked: bool,
    /// Where the lines' names stand: a corner that they leave free.
    pub names: SeriesLabelPosition,
    /// The lines.
    pub lines: &'a [Line],
}

impl Chart<'_> {
    /// Draws it into `file`.
    pub fn draw(&self, file: &Path) -> anyhow::Result<()> {
        self.try_draw(file)
            .map_err(|error| anyhow!("{error}"))
            .with_context(|| file.display().to_string())
    }

    fn try_draw(&self, file: &Path) -> Result<(), Box<dyn std::error::Error + '_>> {
        let root = SVGBackend::new(file, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let ((x_name, x_range, x_labels), (y_name, y_range, y_labels)) = (&self.x, &self.y);
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, ("sans-serif", 17))
            .margin(10)
            .margin_right(24)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(x_range.clone(), y_range.clone())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .x_desc(*x_name)
            .y_desc(*y_name)
            .x_label_formatter(x_labels)
            .y_label_formatter(y_labels)
            .x_labels(9)
            .y_labels(7)
            .label_style(("sans-serif", 13))
            .draw()?;
        for ((name, points), colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let points = thinned(points);
            let style = colour.stroke_width(2);
            let series = chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
            series.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
            if self.is_marked {
                let marks = points.iter().map(|point| Circle::new(*point, 3, colour.filled()));
                chart.draw_series(marks)?;
            }
        }
        chart
            .configure_series_labels()
            .position(self.names.clone())
            .label_font(("sans-serif", 13))
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        root.present()?;
        Ok(())
    }
}

/// At most [`POINTS_MAX`] of the points, the last among them.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let step = points.len().div_ceil(POINTS_MAX).max(1);
    let mut kept: Vec<_> = points.iter().copied().step_by(step).collect();
    kept.extend(points.last().filter(|last| kept.last() != Some(last)).copied());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_small_and_names_its_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("chart.svg");
        let wave = |phase: f64| {
            (0..5_000).map(move |x| (f64::from(x), (f64::from(x) / 500.0 + phase).sin()))
        };
        let lines: Vec<Line> = vec![
            ("one < two".to_owned(), wave(0.0).collect()),
            ("two".to_owned(), wave(1.0).collect()),
        ];
        let labels: Labels = |x| format!("{x:.1}");
        let chart = Chart {
            title: "waves",
            x: ("time", 0.0..5_000.0, labels),
            y: ("height", -1.0..1.0, labels),
            is_marked: false,
            names: SeriesLabelPosition::LowerRight,
            lines: &lines,
        };
        chart.draw(&file).expect("drawn");
        let text = std::fs::read_to_string(&file).expect("a file");
        for part in ["<svg", "waves", "one &lt; two", "</svg>"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.len() < 16_000, "{} bytes", text.len());
        assert!(chart.draw(&folder.path().join("absent/chart.svg")).is_err());
    }
}
