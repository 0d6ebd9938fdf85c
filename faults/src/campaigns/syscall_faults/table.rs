//! The results of all failing calls.

use std::collections::BTreeMap;
use std::fmt;

use crate::harness::campaign::{Found, Report, Results};

/// The results of the cases of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    /// All of them.
    pub cases: u64,
    /// The worker never made the call.
    pub not_reached: u64,
    /// The opening failed with a typed error.
    pub at_opening: u64,
    /// The worker stopped later, with a typed error.
    pub stopped: u64,
    /// The worker went on to its end: it did not need the call, or made it again in full.
    pub went_on: u64,
}

/// The results of all cases.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// By kind.
    pub rows: BTreeMap<String, Row>,
    /// Messages acknowledged by workers under faults, or before.
    pub acknowledged: u64,
    /// Messages that came back without faults.
    pub recovered: u64,
    /// Stores opened as a loss of power at the end of the worker would leave them.
    pub images: u64,
    /// Broken promises.
    pub violations: Vec<Found>,
}

impl Table {
    /// How many cases there were.
    #[must_use]
    pub fn cases(&self) -> u64 {
        self.rows.values().map(|row| row.cases).sum()
    }

    /// How many workers stopped with a typed error.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.rows.values().map(|row| row.at_opening + row.stopped).sum()
    }
}

impl Results for Table {
    fn add(&mut self, other: Self) {
        for (kind, more) in other.rows {
            let row = self.rows.entry(kind).or_default();
            row.cases += more.cases;
            row.not_reached += more.not_reached;
            row.at_opening += more.at_opening;
            row.stopped += more.stopped;
            row.went_on += more.went_on;
        }
        self.acknowledged += other.acknowledged;
        self.recovered += other.recovered;
        self.images += other.images;
        self.violations.extend(other.violations);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| the call that fails        | cases | refused at opening | stopped | went on | not reached |"
        )?;
        writeln!(
            f,
            "| -------------------------- | ----- | ------------------ | ------- | ------- | ----------- |"
        )?;
        for (kind, row) in &self.rows {
            let Row { cases, not_reached, at_opening, stopped, went_on } = row;
            writeln!(
                f,
                "| {kind:<26} | {cases:>5} | {at_opening:>18} | {stopped:>7} | {went_on:>7} | {not_reached:>11} |"
            )?;
        }
        let row = |name: &str, count: u64| (name.to_owned(), count);
        let rows = [
            row("cases", self.cases()),
            row("acknowledged", self.acknowledged),
            row("came back", self.recovered),
            row("images of a loss of power at the end", self.images),
        ];
        Report { rows: &rows, violations: &self.violations }.fmt(f)
    }
}
