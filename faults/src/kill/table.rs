//! What came of all cycles: counts, and each violation with the line that repeats it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::fault::Phase;
use crate::workload::Outcome;

/// A broken promise, with what repeats it.
#[derive(Clone, Debug)]
pub struct Found {
    /// In which store.
    pub store: u64,
    /// In which of its cycles.
    pub cycle: u64,
    /// How the worker before was to die.
    pub after: String,
    /// What was found.
    pub what: String,
    /// The command that does the same again.
    pub repeat: String,
    /// Where the store and its ledger of effects stay to be looked at.
    pub kept: PathBuf,
    /// What the worker wrote to its standard error.
    pub errors: String,
}

/// What came of all cycles.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Workers that were started to be killed.
    pub cycles: u64,
    /// Stores that lived through them.
    pub stores: u64,
    /// Kills, by what they hit.
    pub kills: BTreeMap<Phase, u64>,
    /// Workers that ended in good order before what was to hit them.
    pub not_hit: u64,
    /// Openings that were judged.
    pub judged: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Messages that were on their way and came back.
    pub unknown_came_back: u64,
    /// Messages that were on their way and did not come back.
    pub unknown_did_not: u64,
    /// Tails that openings cut.
    pub tails_cut: u64,
    /// Openings that went with care, because the one before had ended too early.
    pub with_care: u64,
    /// Actors that were left alone for an opening, since a process was killed while they were replayed.
    pub left_alone: u64,
    /// Deliveries that openings replayed.
    pub replayed: u64,
    /// What answers had shown, compared with what came back.
    pub seen_again: u64,
    /// Effects done.
    pub effects: u64,
    /// Effects that came again, with the same payload.
    pub effects_repeated: u64,
    /// Half-written snapshots put into the store's directory.
    pub leftovers: u64,
    /// How often all actors of a store were replayed from the very start of its log, which was never cut.
    pub replayed_from_start: u64,
    /// What was found.
    pub violations: Vec<Found>,
}

impl Table {
    /// Counts the outcome of a judged opening.
    pub fn judged(&mut self, outcome: &Outcome) {
        self.judged += 1;
        self.seen_again += outcome.seen_again;
    }

    /// All kills.
    #[must_use]
    pub fn killed(&self) -> u64 {
        self.kills.values().sum()
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, cycle, after, what, repeat, kept, errors } = self;
        writeln!(
            f,
            "VIOLATION in store {store}, cycle {cycle}, after: {after}\n  {what}\n  repeat: {repeat}"
        )?;
        writeln!(f, "  kept: {}", kept.display())?;
        errors.lines().try_for_each(|line| writeln!(f, "  | {line}"))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.violations.iter().try_for_each(|found| found.fmt(f))?;
        self.rows(f)
    }
}

impl Table {
    /// Writes the counts.
    pub(crate) fn rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, count: u64| writeln!(f, "| {name:<44} | {count:>9} |");
        row("cycles", self.cycles)?;
        row("stores", self.stores)?;
        row("kills", self.killed())?;
        for (phase, count) in &self.kills {
            row(&format!("  {}", phase.name()), *count)?;
        }
        row("ended before what was to hit them", self.not_hit)?;
        row("openings judged", self.judged)?;
        row("acknowledged, and there after each kill", self.acknowledged)?;
        row("unknown, came back", self.unknown_came_back)?;
        row("unknown, did not come back", self.unknown_did_not)?;
        row("tails cut", self.tails_cut)?;
        row("openings with care", self.with_care)?;
        row("actors left alone for one opening", self.left_alone)?;
        row("deliveries replayed", self.replayed)?;
        row("answers held against what came back", self.seen_again)?;
        row("effects", self.effects)?;
        row("effects repeated, with the same payload", self.effects_repeated)?;
        row("half-written snapshots put there", self.leftovers)?;
        row("replays of a store from its log's very start", self.replayed_from_start)?;
        row("violations", self.violations.len() as u64)
    }
}
