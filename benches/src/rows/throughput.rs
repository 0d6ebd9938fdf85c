//! Messages a second: beside actors that forget, beside the disk, beside what remembers too, and by
//! the number of actors.

use anyhow::Result;

use crate::round::{Measure, Round};
use crate::row::{Line, Row, of};
use crate::unit::{Unit, thousands};

/// Numbers of actors, each with how many tells take a second or more in relive.
pub(crate) const ACTORS: [(usize, u64); 5] =
    [(1, 1_000_000), (64, 2_000_000), (1024, 2_000_000), (16_384, 2_000_000), (131_072, 1_000_000)];

/// kameo is faster, so it gets more messages.
const KAMEO_TIMES: u64 = 3;

const RATE: &str = "messages_per_second";

pub(super) fn rows() -> Vec<Row> {
    vec![kameo(), plain(), naive(), duroxide(), actors()]
}

/// Tells by relive.
fn relive(tier: &str, actors: usize) -> Measure {
    let messages =
        ACTORS.iter().find(|(number, _)| *number == actors).map_or(2_000_000, |(_, messages)| *messages);
    let arguments = format!("tells --tier {tier} --actors {actors} --messages {messages}");
    Measure::new(name(tier, actors), arguments)
}

fn by_kameo(actors: usize) -> Measure {
    let messages = 2_000_000 * KAMEO_TIMES;
    let arguments = format!("tells --engine kameo --actors {actors} --messages {messages}");
    Measure::new(name("kameo", actors), arguments)
}

fn name(what: &str, actors: usize) -> String {
    format!("tells {what} {actors}")
}

fn power_loss() -> String {
    name("power-loss", 1024)
}

fn kameo() -> Row {
    let rate = |what: &str| of(name(what, 1024), RATE);
    let line = |what: &str, tier: &str| {
        Line::ratio(
            format!("tells to 1,024 actors, {what}, to kameo"),
            Unit::PerSecond,
            rate(tier),
            rate("kameo"),
        )
    };
    Row {
        name: "kameo",
        measures: vec![
            relive("power-loss", 1024),
            by_kameo(1024),
            relive("process-crash", 1024),
            relive("volatile", 1024),
        ],
        lines: vec![
            line("PowerLoss", "power-loss").at_least(1.0),
            line("ProcessCrash", "process-crash"),
            line("Volatile", "volatile"),
        ],
    }
}

/// The same bytes in as many commits of the same size, in a plain file.
fn plain() -> Row {
    let same = Measure::after("plain, commits of tells", |round| {
        let of = |figure| round.get(&power_loss(), figure);
        Ok(format!("plain --block {:.0} --blocks {:.0}", of("commit_bytes")?, of("commits")?))
    });
    let theirs = |round: &Round| -> Result<f64> {
        let deliveries = round.get(&power_loss(), "deliveries")?;
        Ok(deliveries / round.get("plain, commits of tells", "seconds")?)
    };
    Row {
        name: "plain",
        measures: vec![relive("power-loss", 1024), same],
        lines: vec![Line::ratio(
            "tells to 1,024 actors, to a plain file with the same commits",
            Unit::PerSecond,
            of(power_loss(), RATE),
            theirs,
        )],
    }
}

fn naive() -> Row {
    let line = |what: &str, measure: &str| {
        Line::ratio(
            format!("tells to 1,024 actors, to {what}"),
            Unit::PerSecond,
            of(power_loss(), RATE),
            of(measure, RATE),
        )
    };
    Row {
        name: "naive",
        measures: vec![
            relive("power-loss", 1024),
            Measure::new("naive", "naive"),
            Measure::new("naive, synced", "naive --sync"),
        ],
        lines: vec![
            line("sled with an insert and a flush each", "naive"),
            line("the same, with an fdatasync each", "naive, synced"),
        ],
    }
}

fn duroxide() -> Row {
    Row {
        name: "duroxide",
        measures: vec![relive("power-loss", 1024), Measure::new("duroxide", "duroxide")],
        lines: vec![Line::ratio(
            "tells to 1,024 actors, to events of duroxide on SQLite",
            Unit::PerSecond,
            of(power_loss(), RATE),
            of("duroxide", RATE),
        )],
    }
}

/// Each number of actors beside the best of all.
fn actors() -> Row {
    let best = |round: &Round| -> Result<f64> {
        let rates = ACTORS.iter().map(|(actors, _)| round.get(&name("power-loss", *actors), RATE));
        rates.collect::<Result<Vec<_>>>().map(|rates| rates.into_iter().fold(0.0, f64::max))
    };
    let mut measures = Vec::new();
    for (actors, _) in ACTORS {
        measures.extend(["power-loss", "process-crash", "volatile"].map(|tier| relive(tier, actors)));
        measures.push(by_kameo(actors));
    }
    let lines = ACTORS.iter().map(|(actors, _)| {
        let ours = of(name("power-loss", *actors), RATE);
        let what = format!("tells to {} actors, to the best number of actors", thousands(*actors as f64));
        Line::ratio(what, Unit::PerSecond, ours, best).at_least(1.0 / 3.0)
    });
    Row { name: "actors", measures, lines: lines.collect() }
}
