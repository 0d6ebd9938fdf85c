//! The planned deaths of workers, drawn from a seed: the same for the same seed.

use crate::harness::failpoint::KillAt;
use crate::harness::medium::StoreMedium;
use crate::harness::random::Random;
use crate::harness::worker::Tier;

/// The phase of its life in which the process under test dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Making a new store.
    Create,
    /// Opening: before the log is read.
    Open,
    /// Recovery: from the reading of the log to the first record of the new incarnation.
    Recovery,
    /// Either of these two, after a death in either of them.
    RecoveryAgain,
    /// A commit.
    Commit,
    /// The writing of checkpoints.
    Checkpoint,
    /// After a checkpoint is durable, before the cut that it allows.
    BetweenCheckpointAndCut,
    /// The cut.
    Cut,
    /// After a side effect happened, before the log has its outcome.
    Effect,
    /// The closing.
    Close,
    /// Wherever it is after a number of acknowledgements.
    AfterAcknowledgements,
    /// Wherever it is some time after it began to open.
    SomeTimeAfterStart,
    /// A system call.
    SystemCall,
    /// Nothing.
    Nothing,
}

impl Phase {
    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::Recovery => "recovery",
            Self::RecoveryAgain => "open or recovery after such a kill",
            Self::Commit => "commit",
            Self::Checkpoint => "checkpoint",
            Self::BetweenCheckpointAndCut => "between checkpoint and cut",
            Self::Cut => "cut",
            Self::Effect => "effect done, not logged",
            Self::Close => "close",
            Self::AfterAcknowledgements => "after k acknowledgements",
            Self::SomeTimeAfterStart => "at a random moment",
            Self::SystemCall => "at a system call (strace)",
            Self::Nothing => "not killed",
        }
    }

    fn is_before_work(self) -> bool {
        matches!(self, Self::Create | Self::Open | Self::Recovery | Self::RecoveryAgain)
    }
}

/// The planned death of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    /// The worker kills itself at a boundary.
    AtBoundary(KillAt),
    /// The supervisor kills it after this many acknowledgements.
    AfterAcknowledgements(u64),
    /// The supervisor kills it this many microseconds after the opening began.
    AfterMicroseconds(u64),
    /// `strace` kills it at the entry of a system call.
    AtSystemCall {
        /// Which call.
        call: &'static str,
        /// Which of its occurrences in a thread.
        occurrence: u64,
    },
    /// Not at all: it shuts down.
    Never,
}

/// A death, and the phase that it aims at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The phase that it aims at.
    pub phase: Phase,
    /// How it comes about.
    pub death: Death,
    /// How many messages the worker sends, if it lives long enough.
    pub limit: u64,
}

impl Fault {
    /// A worker that sends a drawn number of messages and shuts down.
    pub fn none(random: &mut Random) -> Self {
        Self { phase: Phase::Nothing, death: Death::Never, limit: 1 + random.below(120) }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, ", self.phase.name())?;
        match &self.death {
            Death::AtBoundary(kill_at) => write!(f, "{kill_at}"),
            Death::AfterAcknowledgements(count) => write!(f, "{count} of them"),
            Death::AfterMicroseconds(time) => write!(f, "{time} us after the opening began"),
            Death::AtSystemCall { call, occurrence } => write!(f, "{call} number {occurrence}"),
            Death::Never => f.write_str("it shut down"),
        }
    }
}

/// The conditions under which a campaign draws a fault.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// The durability tier.
    pub tier: Tier,
    /// The medium of the store.
    pub medium: StoreMedium,
    /// Whether there is a store yet.
    pub fresh: bool,
    /// The phase in which the worker before died, if it died.
    pub before: Option<Phase>,
    /// Whether `strace` is available.
    pub strace: bool,
}

/// How many messages a worker sends at most.
const LIMIT: u64 = 300;

/// A death at each boundary, in an order in which workers reach each.
#[must_use]
pub fn each(medium: StoreMedium) -> Vec<Fault> {
    let (create, open, commit, checkpoint, between, cut, close) = boundaries(medium);
    let phases = [
        (Phase::Create, create, 1, LIMIT),
        // The first commit is that of the opening.
        (Phase::Commit, commit, 10, LIMIT),
        (Phase::Open, open, 1, LIMIT),
        (Phase::Recovery, RECOVERY, 1, LIMIT),
        (Phase::Checkpoint, checkpoint, 1, LIMIT),
        (Phase::BetweenCheckpointAndCut, between, 1, LIMIT),
        (Phase::Cut, cut, 1, LIMIT),
        (Phase::Effect, EFFECT, 1, LIMIT),
        (Phase::Close, close, 1, 20),
    ];
    let faults = phases.into_iter().flat_map(|(phase, boundaries, occurrence, limit)| {
        boundaries.iter().map(move |(name, _)| {
            let kill_at = KillAt { boundary: (*name).to_owned(), occurrence };
            Fault { phase, death: Death::AtBoundary(kill_at), limit }
        })
    });
    faults.collect()
}

/// Draws the next fault.
pub fn draw(random: &mut Random, conditions: Conditions) -> Fault {
    let Conditions { tier, medium, fresh, before, strace } = conditions;
    let (create, open, commit, checkpoint, between, cut, close) = boundaries(medium);
    if fresh && random.one_in(2) {
        return at_boundary(random, Phase::Create, create);
    }
    // Often kills again in the recovery after a killed recovery.
    let again = before.is_some_and(Phase::is_before_work) && !fresh;
    if again && random.one_in(2) {
        let boundaries = [open, RECOVERY].concat();
        return at_boundary(random, Phase::RecoveryAgain, &boundaries);
    }
    match random.below(20) {
        0..=1 if !fresh => at_boundary(random, Phase::Open, open),
        2..=4 if !fresh => at_boundary(random, Phase::Recovery, RECOVERY),
        0..=7 => at_boundary(random, Phase::Commit, commit),
        8..=10 => at_boundary(random, Phase::Checkpoint, checkpoint),
        11 => at_boundary(random, Phase::BetweenCheckpointAndCut, between),
        12..=13 => at_boundary(random, Phase::Cut, cut),
        14 => at_boundary(random, Phase::Effect, EFFECT),
        15 => Fault { limit: 1 + random.below(60), ..at_boundary(random, Phase::Close, close) },
        16 if strace => at_system_call(random, tier),
        17 => {
            let death = Death::AfterMicroseconds(random.below(30_000));
            Fault { phase: Phase::SomeTimeAfterStart, death, limit: LIMIT }
        }
        _ => {
            let death = Death::AfterAcknowledgements(1 + random.below(LIMIT - 50));
            Fault { phase: Phase::AfterAcknowledgements, death, limit: LIMIT }
        }
    }
}

fn at_boundary(random: &mut Random, phase: Phase, boundaries: &[(&str, u64)]) -> Fault {
    let (name, last) = *random.pick(boundaries);
    let kill_at = KillAt { boundary: name.to_owned(), occurrence: 1 + random.below(last) };
    Fault { phase, death: Death::AtBoundary(kill_at), limit: LIMIT }
}

fn at_system_call(random: &mut Random, tier: Tier) -> Fault {
    let (call, last) = match tier {
        Tier::PowerLoss => *random.pick(SYSTEM_CALLS),
        Tier::ProcessCrash => *random.pick(&SYSTEM_CALLS[1..]),
    };
    let death = Death::AtSystemCall { call, occurrence: 1 + random.below(last) };
    Fault { phase: Phase::SystemCall, death, limit: LIMIT }
}

/// Boundaries, each with the number of times that most runs of [`LIMIT`] messages reach it at
/// least.
type Boundaries = &'static [(&'static str, u64)];

/// The boundaries of making, opening, committing, checkpointing, between checkpoint and cut, of
/// cutting and of closing.
fn boundaries(
    medium: StoreMedium,
) -> (Boundaries, Boundaries, Boundaries, Boundaries, Boundaries, Boundaries, Boundaries) {
    match medium {
        StoreMedium::Sled => (CREATE, OPEN, COMMIT, CHECKPOINT, BETWEEN, CUT, CLOSE),
        StoreMedium::SegmentFiles => {
            (CREATE_FILES, OPEN_FILES, COMMIT_FILES, CHECKPOINT, BETWEEN, CUT_FILES, CLOSE)
        }
    }
}

const CREATE_FILES: Boundaries = &[
    ("medium.create.begun", 1),
    ("medium.create.super", 1),
    ("medium.create.manifest", 1),
    ("medium.create.named", 1),
];
const OPEN_FILES: Boundaries =
    &[("medium.open.locked", 1), ("medium.open.read", 1), ("medium.open.durable", 1), ("open.durable", 1)];
const COMMIT_FILES: Boundaries = &[
    ("commit.begin", 80),
    ("commit.written", 80),
    ("commit.flush", 80),
    ("medium.write.begin", 80),
    ("medium.write.end", 80),
    ("medium.synced", 80),
    ("durable.synced", 80),
    ("medium.super.begin", 100),
    ("medium.super.written", 100),
    ("commit.acknowledged", 80),
    ("medium.segment.made", 3),
    ("medium.segment.listed", 3),
    ("medium.manifest.written", 3),
    ("medium.manifest.renamed", 3),
    ("medium.manifest.synced", 3),
];
const CUT_FILES: Boundaries = &[
    ("cut.marked", 3),
    ("cut.step", 3),
    ("cut.end", 3),
    ("medium.super.synced", 3),
    ("medium.remove.begin", 3),
    ("medium.remove.step", 1),
    ("medium.remove.end", 3),
];
const CREATE: Boundaries =
    &[("create.begun", 1), ("create.mark", 1), ("create.data", 1), ("create.named", 1)];
const OPEN: Boundaries = &[("open.locked", 1), ("open.mark", 1), ("open.data", 1), ("open.durable", 1)];
const RECOVERY: Boundaries = &[
    ("recovery.listed", 1),
    ("recovery.read", 1),
    ("recovery.actor", 8),
    ("recovery.restored", 1),
    ("recovery.announced", 1),
    ("recovery.complete", 1),
    // The record of the new incarnation is the first commit of an opening.
    ("commit.written", 1),
    ("commit.acknowledged", 1),
];
const COMMIT: Boundaries = &[
    ("commit.begin", 80),
    ("commit.written", 80),
    ("commit.flush", 80),
    ("durable.flushed", 100),
    ("durable.synced", 100),
    ("medium.super.begin", 100),
    ("medium.super.written", 100),
    ("commit.acknowledged", 80),
];
const CHECKPOINT: Boundaries = &[
    ("checkpoint.begin", 15),
    ("checkpoint.values", 15),
    ("checkpoint.durable", 15),
    ("checkpoint.verified", 15),
    ("checkpoint.listed", 15),
];
const BETWEEN: Boundaries = &[("checkpoint.removed", 15), ("cut.begin", 3)];
const CUT: Boundaries = &[
    ("medium.super.synced", 3),
    ("cut.marked", 3),
    ("medium.remove.step", 1),
    ("cut.step", 3),
    ("cut.end", 3),
];
const EFFECT: Boundaries = &[("effect.performed", 40)];
/// System calls; the first is one that only syncing tiers make. `strace` counts them by thread, and
/// sled spreads its writes over many threads.
const SYSTEM_CALLS: Boundaries =
    &[("fdatasync", 80), ("pwrite64", 8), ("sync_file_range", 8), ("write", 100)];
const CLOSE: Boundaries = &[("close.begin", 1), ("close.end", 1)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_faults() {
        let draws = |seed| {
            let mut random = Random::new(seed);
            let (tier, medium, mut before) = (Tier::PowerLoss, StoreMedium::Sled, None);
            let faults = (0..50).map(|cycle| {
                let conditions = Conditions { tier, medium, fresh: cycle == 0, before, strace: true };
                let fault = draw(&mut random, conditions);
                before = Some(fault.phase);
                fault
            });
            faults.collect::<Vec<_>>()
        };
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
    }
}
