//! Rounds of measurements: round after round, and within a round one measurement after the other,
//! each in a process of its own. Knows no row.

use std::time::Instant;

use anyhow::Result;
use tempfile::TempDir;

use crate::child::Child;
use crate::figures::Figures;
use crate::round::{Measure, Round};
use crate::row::Row;
use crate::scenario::Data;

/// What all rounds gave.
pub(crate) struct Measured {
    pub(crate) rounds: Vec<Round>,
    /// How many measurements gave nothing.
    pub(crate) failed: usize,
}

/// Measures all that the rows need, round by round; what several rows need is measured once a
/// round.
pub(crate) fn measure(rows: &[Row], rounds: usize, data: &Data) -> Result<Measured> {
    let mut measures: Vec<&Measure> = Vec::new();
    for measure in rows.iter().flat_map(|row| &row.measures) {
        if measures.iter().all(|other| other.name != measure.name) {
            measures.push(measure);
        }
    }
    let mut measured = Measured { rounds: Vec::new(), failed: 0 };
    for number in 1..=rounds {
        let mut round = Round::default();
        let now: Vec<_> = measures.iter().filter(|measure| number == 1 || !measure.once).collect();
        for (place, measure) in now.iter().enumerate() {
            let began = Instant::now();
            let outcome = one(measure, &round, data);
            let took = began.elapsed().as_secs_f64();
            say(&format!(
                "round {number} of {rounds}, {} of {}: {}, {took:.1} s",
                place + 1,
                now.len(),
                measure.name
            ));
            match outcome {
                Ok(figures) => round.add(&measure.name, figures),
                Err(error) => {
                    say(&format!("  FAILED: {error:#}"));
                    measured.failed += 1;
                }
            }
        }
        measured.rounds.push(round);
    }
    Ok(measured)
}

/// Makes one measurement, in a directory that is removed after it.
pub(crate) fn one(measure: &Measure, round: &Round, data: &Data) -> Result<Figures> {
    let arguments = measure.arguments(round)?;
    let directory: TempDir = data.temporary()?;
    Child::start(&arguments, Some(directory.path()))?.figures(measure.limit)
}

/// Says how far it has come.
#[expect(clippy::print_stderr, reason = "progress is for whoever waits")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}
