//! What came of all lives with all versions: counts, beside those of the kills.

use std::collections::BTreeMap;
use std::fmt;

use super::fates::Trials;
use crate::kill::table as kills;

/// What the versions came to.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Lives by what their version does; one with two mistakes counts twice.
    pub lives: BTreeMap<&'static str, u64>,
    /// Workers that shut down.
    pub shut_down: u64,
    /// Openings after such a one, with all its actors, that had nothing to replay.
    pub nothing_to_replay: u64,
    /// Surveys of the actors that go on.
    pub parts: u64,
    /// What answers had shown, held against them.
    pub seen_again: u64,
    /// Actors that stopped for a life, by why.
    pub stopped: BTreeMap<String, u64>,
    /// Trials.
    pub trials: Trials,
}

/// What came of all lives.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What the kills came to.
    pub kills: kills::Table,
    /// What the versions came to.
    pub counts: Counts,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { lives, shut_down, nothing_to_replay, parts, seen_again, stopped, trials } = &self.counts;
        self.kills.violations.iter().try_for_each(|found| found.fmt(f))?;
        let mut row = |name: &str, count: u64| writeln!(f, "| {name:<44} | {count:>9} |");
        row("lives of the good version", lives.get("good").copied().unwrap_or_default())?;
        for (name, count) in lives.iter().filter(|(name, _)| **name != "good") {
            row(&format!("lives in which it {name}"), *count)?;
        }
        row("shut down", *shut_down)?;
        row("openings after that, with nothing to replay", *nothing_to_replay)?;
        row("surveys of the actors that go on", *parts)?;
        row("answers held against these", *seen_again)?;
        row("actors that stopped for a life", stopped.values().sum())?;
        for (word, count) in stopped {
            row(&format!("  {word}"), *count)?;
        }
        row("trials", trials.sent)?;
        row("  handled, and so in each life after", trials.handled)?;
        row("  left out in the life they were sent in", trials.left_out)?;
        row("  taken from quarantine and tried again", trials.retried)?;
        row("  dropped", trials.dropped)?;
        self.kills.rows(f)
    }
}
