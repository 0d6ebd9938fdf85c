//! How long an answer takes: beside one synced write, by the number of clients, beside the
//! checkpoint of a large actor and beside many timers, and when actors work together.

use anyhow::Result;

use crate::round::{Measure, Round};
use crate::row::{Line, Row, of};
use crate::unit::Unit;

/// How many clients ask at the same time.
pub(crate) const CLIENTS: [usize; 6] = [1, 4, 16, 64, 256, 1024];

/// One write of 4 KiB with its `fdatasync`.
pub(crate) const SYNC: &str = "plain, 4 KiB";

/// All clients ask one actor of kameo.
const ASKS_OF_ONE: &str = "asks kameo 64, one actor";

pub(super) fn rows() -> Vec<Row> {
    vec![ask(), asks(), queries(), chain(), inner_ask(), load(), checkpoint(), timers()]
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

/// A query changes nothing and is in no log, so it is compared with actors that log nothing.
fn queries() -> Row {
    let query = |actors: usize| {
        Measure::new(format!("queries {actors}"), format!("queries --clients 64 --actors {actors}"))
    };
    let ask_one = Measure::new(ASKS_OF_ONE, "asks --engine kameo --clients 64 --actors 1");
    let line = |what: &str, actors: usize, asks: String| {
        Line::ratio(
            format!("64 clients query {what}, to asks of kameo"),
            Unit::PerSecond,
            of(format!("queries {actors}"), "queries_per_second"),
            of(asks, "asks_per_second"),
        )
    };
    Row {
        name: "queries",
        measures: vec![query(1024), clients("kameo", 64), query(1), ask_one],
        lines: vec![
            line("1,024 actors", 1024, name("kameo", 64)).at_least(0.7),
            line("one actor", 1, ASKS_OF_ONE.to_owned()),
            Line::figure("64 clients query 1,024 actors, p99", Unit::Micros, of("queries 1024", "p99_us")),
        ],
    }
}

/// Ten actors, each of which tells the next one.
fn chain() -> Row {
    let [eager, strict] = disciplines("chain", "a chain of ten actors");
    Row {
        name: "chain",
        measures: vec![Measure::new("chain", "chain")],
        lines: vec![eager.at_most(1.5), strict],
    }
}

fn inner_ask() -> Row {
    let [eager, strict] = disciplines("inner_ask", "an ask inside a handler");
    let least = of("inner_ask", "before_handling_at_least");
    let least = Line::figure("the same, if nothing but commits took time", Unit::Times, least);
    Row {
        name: "inner_ask",
        measures: vec![Measure::new("inner_ask", "inner_ask")],
        lines: vec![eager.at_most(1.2), strict.at_most(2.2), least],
    }
}

/// What actors that work together take, beside one ask from outside: those that wait for their
/// outputs alone, then the strict ones.
fn disciplines(name: &'static str, what: &str) -> [Line; 2] {
    [("BeforeOutput", "before_output_p50_us"), ("BeforeHandling", "before_handling_p50_us")].map(
        |(discipline, figure)| {
            let what = format!("{what}, {discipline}, p50, to an ask from outside");
            Line::ratio(what, Unit::Micros, of(name, figure), of(name, "ask_p50_us"))
        },
    )
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

fn timers() -> Row {
    let others = Line::ratio(
        "8 clients ask while 100,000 timers are due in a second, p99, to without",
        Unit::Micros,
        of("timers", "with_p99_us"),
        of("timers", "without_p99_us"),
    );
    let fired = Line::figure(
        "100,000 timers due in a second, all fired",
        Unit::Seconds,
        of("timers", "fired_seconds"),
    );
    Row {
        name: "timers",
        measures: vec![Measure::new("timers", "timers")],
        lines: vec![fired.at_most(2.0), others.at_most(3.0)],
    }
}
