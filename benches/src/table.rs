//! The table of what came of all lines, as Markdown that is also legible on a terminal.

use std::fmt;

use crate::row::{Outcome, Target};

/// What came of all lines.
pub(crate) struct Table<'a>(pub(crate) &'a [Outcome]);

const HEAD: [&str; 8] = ["row", "what", "median", "min .. max", "target", "reached", "relive", "beside"];

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = self.0.iter().map(cells).collect();
        let head = HEAD.map(str::to_owned);
        let width = |column: usize| {
            let cells = rows.iter().chain([&head]).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: [usize; HEAD.len()] = std::array::from_fn(width);
        let mut write = |cells: &[String; HEAD.len()]| {
            for (cell, width) in cells.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")
        };
        write(&head)?;
        write(&widths.map(|width| "-".repeat(width)))?;
        rows.iter().try_for_each(write)
    }
}

fn cells(outcome: &Outcome) -> [String; HEAD.len()] {
    let unit = outcome.value_unit();
    let target = match outcome.target {
        Target::AtLeast(least) => format!(">= {}", unit.show(least)),
        Target::AtMost(most) => format!("<= {}", unit.show(most)),
        Target::None => String::new(),
    };
    let reached = match (outcome.value, outcome.target, outcome.reached) {
        (None, ..) => "not measured",
        (_, Target::None, _) => "",
        (.., Some(true)) => "yes",
        _ => "no",
    };
    let (median, spread) = match outcome.value {
        Some(value) if outcome.rounds == 1 => (unit.show(value.median), "one round".to_owned()),
        Some(value) => {
            (unit.show(value.median), format!("{} .. {}", unit.show(value.min), unit.show(value.max)))
        }
        None => Default::default(),
    };
    let side = |spread: Option<crate::figures::Spread>| {
        spread
            .filter(|_| outcome.theirs.is_some())
            .map(|side| outcome.unit.show(side.median))
            .unwrap_or_default()
    };
    [
        outcome.row.to_owned(),
        outcome.what.clone(),
        median,
        spread,
        target,
        reached.to_owned(),
        side(outcome.ours),
        side(outcome.theirs),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Spread;
    use crate::unit::Unit;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let spread = |median| Some(Spread { median, min: 1.0, max: 3.0 });
        let ratio = Outcome {
            row: "kameo",
            what: "tells".to_owned(),
            unit: Unit::PerSecond,
            target: Target::AtLeast(1.0),
            reached: Some(true),
            value: spread(2.0),
            ours: spread(2000.0),
            theirs: spread(1000.0),
            rounds: 3,
        };
        let missing =
            Outcome { reached: None, value: None, ours: None, theirs: None, rounds: 0, ..ratio.clone() };
        let table = Table(&[ratio, missing]).to_string();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(
            lines[2],
            "| kameo | tells | 2.00x  | 1.00x .. 3.00x | >= 1.00x   | yes          | 2,000 /s | 1,000 /s |"
        );
        assert!(lines[3].contains("not measured"));
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()));
    }
}
