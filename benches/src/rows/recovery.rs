//! Opening again, and memory.

use std::time::Duration;

use crate::round::Measure;
use crate::row::{Line, Row, of};
use crate::unit::Unit;

pub(super) fn rows() -> Vec<Row> {
    vec![replay(), relay(), memory(), passive(), passive_timers()]
}

fn replay() -> Row {
    Row {
        name: "replay",
        measures: vec![Measure::new("replay", "replay")],
        lines: vec![
            Line::ratio(
                "replay of 1,000,000 deliveries, to logging them",
                Unit::PerSecond,
                of("replay", "replayed_per_second"),
                of("replay", "live_per_second"),
            )
            .at_least(3.0),
            Line::figure(
                "open to the first answer, 1,000,000 to replay",
                Unit::Seconds,
                of("replay", "serving_seconds"),
            )
            .at_most(1.0),
        ],
    }
}

fn relay() -> Row {
    Row {
        name: "relay",
        measures: vec![Measure::new("relay", "relay"), Measure::new("outside", "relay --outside")],
        lines: vec![
            Line::ratio(
                "open, half of 800,000 deliveries sent by actors, to all from outside",
                Unit::Seconds,
                of("relay", "serving_seconds"),
                of("outside", "serving_seconds"),
            )
            .at_most(2.0),
        ],
    }
}

fn memory() -> Row {
    Row {
        name: "memory",
        measures: vec![Measure::new("idle", "idle")],
        lines: vec![
            Line::figure("memory of an idle actor", Unit::Bytes, of("idle", "bytes_per_actor"))
                .at_most(2048.0),
        ],
    }
}

/// A measurement of passive actors. To make their store takes minutes.
fn of_passive(name: &str, arguments: &str) -> Measure {
    Measure::new(name, arguments).once(Duration::from_secs(3600))
}

fn passive() -> Row {
    Row {
        name: "passive",
        measures: vec![of_passive("passive", "passive")],
        lines: vec![
            Line::figure(
                "open with 1,000,000 passive actors",
                Unit::Seconds,
                of("passive", "serving_seconds"),
            )
            .at_most(2.0),
            Line::figure(
                "memory with 1,000,000 passive actors",
                Unit::Bytes,
                of("passive", "open_peak_bytes"),
            )
            .at_most(200e6),
        ],
    }
}

/// The same actors, each with a timer, beside actors without.
fn passive_timers() -> Row {
    let line = |what: &str, unit: Unit, figure: &'static str| {
        let what = format!("{what} with a timer each, to without");
        Line::ratio(what, unit, of("passive with timers", figure), of("passive", figure))
    };
    Row {
        name: "passive_timers",
        measures: vec![
            of_passive("passive", "passive"),
            of_passive("passive with timers", "passive --timers"),
        ],
        lines: vec![
            line("open with 1,000,000 passive actors", Unit::Seconds, "serving_seconds"),
            line("memory with 1,000,000 passive actors", Unit::Bytes, "open_peak_bytes"),
        ],
    }
}
