//! How long an answer takes: beside one synced write, by the number of clients, and beside the
//! checkpoint of a large actor.

use anyhow::Result;

use crate::round::{Measure, Round};
use crate::row::{Line, Row, of};
use crate::unit::Unit;

/// How many clients ask at the same time.
pub(crate) const CLIENTS: [usize; 6] = [1, 4, 16, 64, 256, 1024];

/// One write of 4 KiB with its `fdatasync`.
pub(crate) const SYNC: &str = "plain, 4 KiB";

pub(super) fn rows() -> Vec<Row> {
    vec![ask(), asks(), load(), checkpoint()]
}

fn sync() -> Measure {
    Measure::new(SYNC, "plain --block 4096")
}

fn clients(engine: &str, clients: usize) -> Measure {
    Measure::new(name(engine, clients), format!("asks --engine {engine} --clients {clients}"))
}

fn name(engine: &str, clients: usize) -> String {
    format!("asks {engine} {clients}")
}

fn ask() -> Row {
    let percentile = |what: &str, figure: &'static str| {
        Line::ratio(
            format!("one client asks, {what}, to a synced write of 4 KiB"),
            Unit::Micros,
            of(name("relive", 1), figure),
            of(SYNC, figure),
        )
    };
    Row {
        name: "ask",
        measures: vec![sync(), clients("relive", 1), clients("kameo", 1)],
        lines: vec![
            percentile("p50", "p50_us").at_most(1.3),
            percentile("p99", "p99_us"),
            Line::figure("one client asks kameo, p50", Unit::Micros, of(name("kameo", 1), "p50_us")),
        ],
    }
}

/// If each write carried one ask of every client, so many asks would be answered.
fn asks() -> Row {
    let limit = |round: &Round| -> Result<f64> { Ok(256.0 / (round.get(SYNC, "p50_us")? / 1e6)) };
    Row {
        name: "asks",
        measures: vec![sync(), clients("relive", 256)],
        lines: vec![
            Line::ratio(
                "256 clients ask, to 256 a synced write of 4 KiB",
                Unit::PerSecond,
                of(name("relive", 256), "asks_per_second"),
                limit,
            )
            .at_least(0.5),
            Line::figure("256 clients ask, p99", Unit::Micros, of(name("relive", 256), "p99_us")),
        ],
    }
}

/// For the plot.
fn load() -> Row {
    let mut measures = vec![sync()];
    for number in CLIENTS {
        measures.extend([clients("relive", number), clients("kameo", number)]);
    }
    let line = |number: usize| {
        let figure = of(name("relive", number), "asks_per_second");
        Line::figure(format!("{number} clients ask"), Unit::PerSecond, figure)
    };
    Row { name: "load", measures, lines: CLIENTS.into_iter().map(line).collect() }
}

fn checkpoint() -> Row {
    let line = |what: &str, with: &'static str, without: &'static str| {
        let what = format!("16 clients ask while 10 MiB are checkpointed, {what}, to without");
        Line::ratio(what, Unit::Micros, of("checkpoint", with), of("checkpoint", without))
    };
    Row {
        name: "checkpoint",
        measures: vec![Measure::new("checkpoint", "checkpoint")],
        lines: vec![
            line("p99", "with_p99_us", "without_p99_us").at_most(2.0),
            line("p50", "with_p50_us", "without_p50_us"),
            Line::figure("a checkpoint of 10 MiB, p50", Unit::Micros, of("checkpoint", "checkpoint_p50_us")),
        ],
    }
}
