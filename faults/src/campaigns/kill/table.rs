//! The results of all cycles: counts, and each violation with the command that repeats it.

use std::collections::BTreeMap;
use std::fmt;

use super::fault::Phase;
use crate::harness::campaign::{Found, Report};
use crate::workload::Outcome;

/// The results of all cycles.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Workers that were started to be killed.
    pub cycles: u64,
    /// Stores that lived through them.
    pub stores: u64,
    /// Kills, by the phase that they hit.
    pub kills: BTreeMap<Phase, u64>,
    /// Workers that ended in order before their planned death.
    pub not_hit: u64,
    /// Openings that the oracle judged.
    pub judged: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Messages that were on their way and came back.
    pub unknown_came_back: u64,
    /// Messages that were on their way and did not come back.
    pub unknown_did_not: u64,
    /// Tails that openings cut.
    pub tails_cut: u64,
    /// Openings in probation, because the opening before had ended too early.
    pub in_probation: u64,
    /// Actors that one opening left alone, because a kill had hit their replay.
    pub left_alone: u64,
    /// Deliveries that openings replayed.
    pub replayed: u64,
    /// Facts that answers had shown and that came back the same.
    pub seen_again: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests answered again, with the same reply.
    pub answered_again: u64,
    /// Requests that clerks had done, over all judged openings.
    pub deeds: u64,
    /// Effects done.
    pub effects: u64,
    /// Effects that came again, with the same payload.
    pub effects_repeated: u64,
    /// Half-written snapshots put into the store's directory.
    pub leftovers: u64,
    /// How often a supervisor replayed all actors of a store from the very start of its uncut log.
    pub replayed_from_start: u64,
    /// The violations.
    pub violations: Vec<Found>,
}

impl Table {
    /// Counts the outcome of a judged opening.
    pub fn judged(&mut self, outcome: &Outcome) {
        self.judged += 1;
        self.seen_again += outcome.seen_again;
        self.deeds += outcome.deeds;
    }

    /// All kills.
    #[must_use]
    pub fn killed(&self) -> u64 {
        self.kills.values().sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Report { rows: &self.rows(), violations: &self.violations }.fmt(f)
    }
}

impl Table {
    /// The counts by name.
    pub(crate) fn rows(&self) -> Vec<(String, u64)> {
        let row = |name: &str, count: u64| (name.to_owned(), count);
        let mut rows =
            vec![row("cycles", self.cycles), row("stores", self.stores), row("kills", self.killed())];
        rows.extend(self.kills.iter().map(|(phase, count)| (format!("  {}", phase.name()), *count)));
        rows.extend([
            row("ended before what was to hit them", self.not_hit),
            row("openings judged", self.judged),
            row("acknowledged, and there after each kill", self.acknowledged),
            row("unknown, came back", self.unknown_came_back),
            row("unknown, did not come back", self.unknown_did_not),
            row("tails cut", self.tails_cut),
            row("openings in probation", self.in_probation),
            row("actors left alone for one opening", self.left_alone),
            row("deliveries replayed", self.replayed),
            row("answers held against what came back", self.seen_again),
            row("requests answered", self.answered),
            row("requests answered again, with the same reply", self.answered_again),
            row("requests held against what came back", self.deeds),
            row("effects", self.effects),
            row("effects repeated, with the same payload", self.effects_repeated),
            row("half-written snapshots put there", self.leftovers),
            row("replays of a store from its log's very start", self.replayed_from_start),
        ]);
        rows
    }
}
