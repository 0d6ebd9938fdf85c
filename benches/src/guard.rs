//! A look, in less than two minutes, whether the speed of the library has collapsed. Everything is
//! compared with a plain file on the same disk in the same minute; bounds are so wide that a noisy
//! machine keeps them.

use anyhow::Result;

use crate::round::{Measure, Round};
use crate::row::{Line, Outcome, Row, of};
use crate::scenario::Data;
use crate::suite::{Measured, measure};
use crate::unit::Unit;

/// So many that one is not disturbed.
const ROUNDS: usize = 3;

/// A plain file that is faster than this counts as one that is not: what the library does beside
/// the disk takes its time too, and that is not what is judged here.
const BYTES_PER_SECOND_MAX: f64 = 400e6;

/// A synced write that takes less than this counts as one that does not, for the same reason.
const SYNC_US_MIN: f64 = 150.0;

/// Measures, and gives what came of each bound.
pub(crate) fn look(data: &Data) -> Result<(Measured, Vec<Outcome>)> {
    let rows = [row()];
    let measured = measure(&rows, ROUNDS, data)?;
    let outcomes = rows[0].lines.iter().map(|line| line.outcome(rows[0].name, &measured.rounds)).collect();
    Ok((measured, outcomes))
}

/// The bounds that do not hold, a sentence each. The better round counts: noise makes nothing
/// faster.
pub(crate) fn collapsed(outcomes: &[Outcome]) -> Vec<String> {
    let broken = outcomes.iter().filter(|outcome| !outcome.is_ever_reached());
    broken.map(|outcome| format!("the speed has collapsed: {}", outcome.sentence())).collect()
}

fn row() -> Row {
    const SYNC: &str = "plain, 4 KiB";
    let same = Measure::after("plain, commits of tells", |round| {
        let of = |figure| round.get("tells", figure);
        Ok(format!("plain --block {:.0} --blocks {:.0}", of("commit_bytes")?, of("commits")?))
    });
    let logged = |round: &Round| Ok(round.get("tells", "logged_bytes")? / round.get("tells", "seconds")?);
    let file = |measure: &'static str| {
        move |round: &Round| Ok(round.get(measure, "bytes_per_second")?.min(BYTES_PER_SECOND_MAX))
    };
    let sync = |round: &Round| Ok(round.get(SYNC, "p50_us")?.max(SYNC_US_MIN));
    let together = move |round: &Round| Ok(256.0 / (sync(round)? / 1e6));
    Row {
        name: "quick",
        measures: vec![
            Measure::new("tells", "tells --messages 1000000"),
            same,
            Measure::new("store sled", "store --into sled --bytes 300000000"),
            Measure::new("store file", "store --into file --bytes 300000000"),
            Measure::new(SYNC, "plain --block 4096 --seconds 1"),
            Measure::new("ask", "asks --clients 1 --seconds 1"),
            Measure::new("asks", "asks --clients 256 --seconds 1"),
            Measure::new("replay", "replay --deliveries 500000"),
        ],
        lines: vec![
            Line::ratio(
                "bytes logged by tells, to a plain file with the same commits",
                Unit::BytesPerSecond,
                logged,
                file("plain, commits of tells"),
            )
            .at_least(0.04),
            Line::ratio(
                "the store alone, to a plain file",
                Unit::BytesPerSecond,
                of("store sled", "bytes_per_second"),
                file("store file"),
            )
            .at_least(0.1),
            Line::ratio("one client asks, p50, to a synced write", Unit::Micros, of("ask", "p50_us"), sync)
                .at_most(8.0),
            Line::ratio(
                "256 clients ask, to 256 a synced write",
                Unit::PerSecond,
                of("asks", "asks_per_second"),
                together,
            )
            .at_least(0.015),
            Line::ratio(
                "replay, to logging",
                Unit::PerSecond,
                of("replay", "replayed_per_second"),
                of("replay", "live_per_second"),
            )
            .at_least(0.4),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;

    fn outcome(rates: &[f64]) -> Outcome {
        let rounds: Vec<_> = rates
            .iter()
            .map(|rate| {
                let mut round = Round::default();
                round.add("a", Figures::default().with("rate", *rate));
                round
            })
            .collect();
        Line::figure("so many", Unit::PerSecond, of("a", "rate")).at_least(10.0).outcome("quick", &rounds)
    }

    #[test]
    fn one_good_round_is_enough() {
        assert!(collapsed(&[outcome(&[1.0, 11.0])]).is_empty());
        assert_eq!(
            collapsed(&[outcome(&[1.0, 9.0])]),
            ["the speed has collapsed: so many is 9.00 /s at best, and is to be at least 10.0 /s"]
        );
    }

    #[test]
    fn what_was_not_measured_has_collapsed() {
        let sentences = collapsed(&[outcome(&[])]);
        assert_eq!(sentences, ["the speed has collapsed: so many was not measured"]);
    }
}
