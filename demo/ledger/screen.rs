//! What the user sees: lines on stdout and, when stderr is a terminal, a progress bar below them.

use std::cell::Cell;
use std::fmt;
use std::io::Write;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// Without a terminal there is a line for each part of so many.
const PARTS: usize = 10;

/// Where output goes.
pub(crate) struct Screen {
    bar: ProgressBar,
    rows: usize,
    parts_told: Cell<usize>,
}

impl Screen {
    pub(crate) fn new(rows: usize) -> Self {
        let style = ProgressStyle::with_template(
            "{wide_bar} {human_pos}/{human_len} rows, {rate} a second, {eta} left",
        );
        let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A bar that can't be written is no reason to stop.
            let _ = write!(out, "{:.0}", state.per_sec());
        };
        let style = style.expect("the template is well-formed").with_key("rate", rate);
        Self { bar: ProgressBar::new(rows as u64).with_style(style), rows, parts_told: Cell::new(0) }
    }

    /// Prints a line.
    pub(crate) fn line(&self, line: &str) {
        self.bar.suspend(|| print(line));
    }

    /// Shows that the rows up to this one are on stable storage.
    pub(crate) fn acknowledged(&self, row: usize) {
        self.bar.set_position(row as u64);
        let parts = row * PARTS / self.rows;
        if self.bar.is_hidden() && parts > self.parts_told.replace(parts) {
            print(&format!("{} of {} rows are on stable storage", count(row), count(self.rows)));
        }
    }

    /// Takes the bar away; lines still come.
    pub(crate) fn clear_bar(&self) {
        self.bar.finish_and_clear();
    }
}

/// A number with separators, as in `1,234`.
pub(crate) fn count(number: impl TryInto<u64>) -> String {
    indicatif::HumanCount(number.try_into().unwrap_or(u64::MAX)).to_string()
}

fn print(line: &str) {
    // A reader that has gone away (`| head`) is no reason to stop the run: its exit code tells how
    // it went.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
