//! The percentile distribution as text (`.hgrm`), the format that HdrHistogram's plotters read:
//! a header, lines of (value, percentile, cumulative count, 1/(1-percentile)), three footer lines.

use super::histogram::Merged;
use super::stage::Stage;
use hdrhistogram::Histogram;
use std::fmt::Write;

/// Lines for each halving of the distance to 100 %, as HdrHistogram's own tools write.
const TICKS_PER_HALF: u32 = 5;
/// Buckets of equal width within each power of two: at 2 significant digits the next power of two
/// above 2 * 10^2.
const SUB_BUCKETS: u32 = 256;

impl Merged {
    /// One stage as `.hgrm` text; values in microseconds.
    #[must_use]
    pub fn hgrm(&self, stage: Stage) -> String {
        distribution(self.of(stage))
    }
}

fn distribution(histogram: &Histogram<u64>) -> String {
    let mut text = String::with_capacity(4_096);
    let micros = |nanos: u64| nanos as f64 / 1e3;
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut count = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        count += step.count_since_last_iteration();
        let (value, level) = (micros(step.value_iterated_to()), step.quantile_iterated_to());
        let _ = write!(text, "{value:>12.3} {level:>14.12} {count:>10}");
        let _ = if level < 1.0 {
            writeln!(text, " {:>14.2}", 1.0 / (1.0 - level))
        } else {
            writeln!(text)
        };
    }
    let (mean, deviation, max) = if histogram.is_empty() {
        (0.0, 0.0, 0.0)
    } else {
        (histogram.mean() / 1e3, histogram.stdev() / 1e3, micros(histogram.max()))
    };
    let _ = writeln!(text, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]");
    let _ = writeln!(text, "#[Max     = {max:>12.3}, Total count    = {:>12}]", histogram.len());
    let buckets = histogram.buckets();
    let _ = writeln!(text, "#[Buckets = {buckets:>12}, SubBuckets     = {SUB_BUCKETS:>12}]");
    text
}

#[cfg(test)]
mod tests {
    use crate::latency::{LatencyBoard, Stage};

    #[test]
    fn the_text_is_a_percentile_distribution() {
        let board = LatencyBoard::default();
        let mut recorder = board.recorder();
        for micros in 1..=1_000 {
            recorder.record(Stage::Total, micros * 1_000);
        }
        recorder.publish();
        let text = board.merged().hgrm(Stage::Total);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
        assert_eq!(lines[1], "");
        let body: Vec<Vec<f64>> = lines[2..lines.len() - 3]
            .iter()
            .map(|line| {
                line.split_whitespace().map(|word| word.parse().expect("numbers")).collect()
            })
            .collect();
        assert!(body.len() > 20, "{text}");
        for pair in body.windows(2) {
            assert!((0..3).all(|column| pair[0][column] <= pair[1][column]), "{pair:?}");
        }
        let (last, others) = body.split_last().expect("lines");
        assert_eq!((last.len(), last[1], last[2]), (3, 1.0, 1_000.0));
        for line in others {
            assert!((line[3] - 1.0 / (1.0 - line[1])).abs() <= 0.005 + line[3] * 1e-6, "{line:?}");
            // A thousand values of 1..=1000: each percentile is its own value, to 1 %.
            assert!(line[2] >= line[1] * 1_000.0 - 1e-6, "{line:?}");
            assert!((line[0] - line[2]).abs() <= 0.01 * line[0] + 0.1, "{line:?}");
        }
        let footer = &lines[lines.len() - 3..];
        assert!(footer[0].starts_with("#[Mean    =      50"), "{}", footer[0]);
        assert!(footer[0].contains(", StdDeviation   =      28"), "{}", footer[0]);
        assert!(footer[1].contains("Total count    =         1000]"), "{}", footer[1]);
        assert!(footer[2].starts_with("#[Buckets = "), "{}", footer[2]);
        assert!(footer[2].ends_with("SubBuckets     =          256]"), "{}", footer[2]);
    }

    #[test]
    fn an_empty_stage_is_a_valid_file() {
        let text = LatencyBoard::default().merged().hgrm(Stage::Price);
        assert!(text.contains("Total count    =            0]"), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }
}
