//! Auctions as public logs have them, and how they are spread over days.

use crate::units::{Micros, Timestamp};
use std::path::Path;

/// Auctions of one log: 320 MB of them, far more than any public one has.
const AUCTIONS_MAX: usize = 10_000_000;
/// CPM micros of one of iPinYou's price units.
const UNIT_MICROS: u64 = 1_000_000;
/// The highest price that the log may name, in its units: a price in micros then fits any sum.
const UNITS_MAX: u64 = 1_000_000;

/// One auction of a log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logged {
    /// When it takes place.
    pub at: Timestamp,
    /// The price that has to be reached, CPM micros.
    pub market: Micros,
    /// The predicted click probability.
    pub p_click: f64,
    /// Whether the impression was clicked.
    pub is_click: bool,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file itself.
    #[error("{file}: {error}")]
    Io {
        /// Which.
        file: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// One of its lines.
    #[error("{file}:{line}: {reason}")]
    Line {
        /// Which file.
        file: String,
        /// Which line, from 1; 0 where the whole file is meant.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Reads a log of lines `click market_price pctr`, prices in whole units of 1.00 CPM, as
/// `ipinyou_2997_rlb` has them. All auctions are at time 0 until they are [`spread`].
///
/// # Errors
/// A file that cannot be read, a line that is not of this form, an empty log.
pub fn read_ipinyou(path: &Path) -> Result<Vec<Logged>, LogError> {
    let file = || path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|error| LogError::Io { file: file(), error })?;
    let wrong = |line, reason| LogError::Line { file: file(), line, reason };
    let mut log = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if log.len() == AUCTIONS_MAX {
            return Err(wrong(number, "the log is longer than ten million auctions"));
        }
        log.push(parse(line).map_err(|reason| wrong(number, reason))?);
    }
    if log.is_empty() {
        return Err(wrong(0, "the log is empty"));
    }
    Ok(log)
}

fn parse(line: &str) -> Result<Logged, &'static str> {
    let mut parts = line.split_ascii_whitespace();
    let (Some(click), Some(price), Some(p_click), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("a line has three fields: click, market price, pCTR");
    };
    let is_click = match click {
        "0" => false,
        "1" => true,
        _ => return Err("the first field is 0 or 1"),
    };
    let units = price.parse().ok().filter(|units| *units <= UNITS_MAX);
    let units: u64 = units.ok_or("the market price is a whole number up to 1,000,000")?;
    let p_click = p_click.parse().ok().filter(|p| (0.0..=1.0).contains(p));
    let p_click = p_click.ok_or("the pCTR lies between 0 and 1")?;
    Ok(Logged { at: Timestamp(0), market: Micros(units * UNIT_MICROS), p_click, is_click })
}

/// How traffic is spread over a day: the share of each of its equal parts.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Share of the traffic before the end of each part, rising to 1.
    cumulative: Vec<f64>,
}

impl Shape {
    /// The same at all times.
    #[must_use]
    pub fn even() -> Self {
        Self { cumulative: vec![1.0] }
    }

    /// In proportion to `weights`, one for each part of the day; `None` where they are not numbers of
    /// zero or more with a positive sum.
    #[must_use]
    pub fn of(weights: &[f64]) -> Option<Self> {
        let total: f64 = weights.iter().sum();
        let is_sound = weights.iter().all(|weight| *weight >= 0.0) && total > 0.0;
        let mut sum = 0.0;
        let cumulative = weights.iter().map(|weight| {
            sum += weight;
            sum / total
        });
        (is_sound && total.is_finite()).then(|| Self { cumulative: cumulative.collect() })
    }

    /// Share of the day's traffic that comes before `part` (0 to 1) of the day.
    #[must_use]
    pub fn before(&self, part: f64) -> f64 {
        let place = part.clamp(0.0, 1.0) * self.cumulative.len() as f64;
        let index = (place as usize).min(self.cumulative.len() - 1);
        let begin = if index == 0 { 0.0 } else { self.cumulative[index - 1] };
        begin + (place - index as f64) * (self.cumulative[index] - begin)
    }

    /// The part of the day (0 to 1) before which `share` of its traffic comes.
    #[must_use]
    pub fn at(&self, share: f64) -> f64 {
        let index = self.cumulative.partition_point(|sum| *sum < share);
        let index = index.min(self.cumulative.len() - 1);
        let begin = if index == 0 { 0.0 } else { self.cumulative[index - 1] };
        let width = self.cumulative[index] - begin;
        let within = if width > 0.0 { (share - begin) / width } else { 0.0 };
        (index as f64 + within.clamp(0.0, 1.0)) / self.cumulative.len() as f64
    }
}

/// Gives the auctions of a log their times: `per_day` of them a UTC day from `starts` on, spread by
/// `shape`. The last day ends early where the log does.
pub fn spread(log: &mut [Logged], starts: Timestamp, per_day: usize, shape: &Shape) {
    let per_day = per_day.max(1);
    for (number, auction) in log.iter_mut().enumerate() {
        let day_starts = starts.plus_millis((number / per_day) as i64 * DAY_MS);
        let part = shape.at(((number % per_day) as f64 + 0.5) / per_day as f64);
        auction.at = day_starts.plus_millis((part * DAY_MS as f64) as i64);
    }
}

/// A UTC day in milliseconds.
pub(super) const DAY_MS: i64 = 86_400_000;
