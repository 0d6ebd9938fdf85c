//! When the ledger is killed: chosen before the run, so that a seed repeats it.

use crate::random::Random;

/// One in so many kills falls into the recovery after another.
const ONE_IN_RECOVERY: usize = 5;

/// A kill at a row, and what follows before rows go on.
pub(crate) struct Kill {
    /// The ledger is killed as soon as this row, counted from 1, was fed for the first time.
    pub(crate) row: usize,
    /// The recoveries after it that are killed too, one after the other.
    pub(crate) in_recovery: Vec<Moment>,
}

/// A moment in a recovery.
#[derive(Clone, Copy)]
pub(crate) enum Moment {
    /// The log is being read.
    Reading,
    /// This part of the actors, in percent, was replayed.
    Replayed { percent: usize },
}

/// Chooses `kills` kills for a run of `rows` rows, of which there are at least as many.
pub(crate) fn plan(kills: usize, rows: usize, random: &mut Random) -> Vec<Kill> {
    let in_recovery = kills / ONE_IN_RECOVERY;
    let mut chosen = std::collections::BTreeSet::new();
    while chosen.len() < kills - in_recovery {
        chosen.insert(1 + random.index(rows));
    }
    let mut plan: Vec<Kill> = chosen.into_iter().map(|row| Kill { row, in_recovery: Vec::new() }).collect();
    for _ in 0..in_recovery {
        let moment = match random.below(4) {
            0 => Moment::Reading,
            _ => Moment::Replayed { percent: random.index(100) },
        };
        let after = random.index(plan.len());
        plan[after].in_recovery.push(moment);
    }
    plan
}
