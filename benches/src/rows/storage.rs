//! The store and the disk: bytes a second, bytes a delivery, and what the disk holds after long
//! use.

use std::time::Duration;

use anyhow::Result;

use crate::round::{Measure, Round};
use crate::row::{Line, Row, of};
use crate::unit::Unit;

pub(super) fn rows(gigabytes: f64) -> Vec<Row> {
    vec![store(), bytes(), churn(gigabytes)]
}

fn store() -> Row {
    let mut measures = Vec::new();
    let mut lines = Vec::new();
    for (what, bytes) in [("256 KiB", 256 << 10), ("1 MiB", 1 << 20)] {
        let name = |into: &str| format!("store {into}, {what}");
        for into in ["sled", "file"] {
            measures.push(Measure::new(name(into), format!("store --into {into} --block {bytes}")));
        }
        let rate = |into: &str| of(name(into), "bytes_per_second");
        let what = format!("the store alone, commits of {what}, to a plain file");
        lines.push(Line::ratio(what, Unit::BytesPerSecond, rate("sled"), rate("file")).at_least(0.5));
    }
    Row { name: "store", measures, lines }
}

/// What stands beside the payload in the log, and how often it is written.
fn bytes() -> Row {
    let (busy, alone) = ("tells power-loss 1024", "asks relive 1");
    let per_logged = |figure: &'static str| {
        move |round: &Round| -> Result<f64> {
            Ok(round.get(busy, figure)? / round.get(busy, "logged_bytes")?)
        }
    };
    let busy_measure = Measure::new(busy, "tells --tier power-loss --actors 1024 --messages 2000000");
    Row {
        name: "bytes",
        measures: vec![busy_measure, Measure::new(alone, "asks --engine relive --clients 1")],
        lines: vec![
            Line::figure(
                "beside a payload in the log, 1,024 busy actors",
                Unit::Bytes,
                of(busy, "overhead_bytes"),
            )
            .at_most(32.0),
            Line::figure(
                "beside a payload in the log, one client asks",
                Unit::Bytes,
                of(alone, "overhead_bytes"),
            )
            .at_most(32.0),
            Line::figure(
                "handed to the kernel per byte logged",
                Unit::Times,
                per_logged("process_written_bytes"),
            ),
            Line::figure(
                "written by the device, for anybody, per byte logged",
                Unit::Times,
                per_logged("device_written_bytes"),
            ),
        ],
    }
}

fn churn(gigabytes: f64) -> Row {
    let measure = Measure::new("churn", format!("churn --gigabytes {gigabytes}"));
    Row {
        name: "churn",
        // Ten seconds a gigabyte are usual.
        measures: vec![measure.once(Duration::from_secs_f64(60.0 * gigabytes))],
        lines: vec![
            Line::figure(
                format!("disk use per log budget of 256 MiB, second half of {gigabytes} GB"),
                Unit::Times,
                of("churn", "disk_per_budget"),
            )
            .at_most(4.0),
            Line::ratio(
                format!("the last of {gigabytes} GB, to the first"),
                Unit::BytesPerSecond,
                of("churn", "last_bytes_per_second"),
                of("churn", "first_bytes_per_second"),
            )
            .at_least(0.8),
        ],
    }
}
