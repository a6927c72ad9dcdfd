//! What subcommands share to show their work: tables, and progress over files.

use crate::evaluate::Position;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// An empty table under this head.
pub fn table<const N: usize>(head: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(head);
    table
}

/// Rows between two looks at the clock of a bar.
const ROWS_A_LOOK: u64 = 1_024;

/// Progress over a file, with the rate of its rows.
pub struct Progress {
    bar: ProgressBar,
    rows: u64,
    what: &'static str,
}

impl Progress {
    /// Of `what` is done with a file of `total` bytes; nothing is shown where `is_quiet`.
    pub fn new(what: &'static str, total: u64, is_quiet: bool) -> Self {
        let bar = if is_quiet { ProgressBar::hidden() } else { ProgressBar::new(total) };
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3}%  {msg}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        if !is_quiet {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { bar, rows: 0, what }
    }

    /// Another row was done; the file was read so far.
    pub fn row(&mut self, at: &Position) {
        self.step(at.read());
    }

    /// Another row was done; `done` is how far that is, in the bar's unit.
    pub fn step(&mut self, done: u64) {
        self.rows += 1;
        if self.rows.is_multiple_of(ROWS_A_LOOK) {
            self.show(done, "");
        }
    }

    /// So many more rows were done.
    pub const fn add(&mut self, rows: u64) {
        self.rows += rows;
    }

    /// Shows how far it is, in the bar's unit, and what else is to be said.
    pub fn show(&self, done: u64, more: &str) {
        let seconds = self.bar.elapsed().as_secs_f64().max(1e-3);
        let rate = self.rows as f64 / seconds;
        self.bar.set_position(done);
        self.bar.set_message(format!("{}, {rate:.0} rows/s{more}", self.what));
    }

    /// Takes the bar away and returns the rows and the seconds that they took.
    pub fn finish(self) -> (u64, f64) {
        let seconds = self.bar.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        (self.rows, seconds)
    }
}
