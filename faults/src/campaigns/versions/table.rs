//! The results of all lives with all versions: counts, beside those of the kills.

use std::collections::BTreeMap;
use std::fmt;

use super::fates::Trials;
use crate::campaigns::kill::table as kills;
use crate::harness::campaign::Report;

/// The results of the versions.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Lives by the mistake of their version; a life with two mistakes counts twice.
    pub lives: BTreeMap<&'static str, u64>,
    /// Workers that shut down.
    pub shut_down: u64,
    /// Openings after such a shutdown, with all its actors, that had nothing to replay.
    pub nothing_to_replay: u64,
    /// Readbacks of the actors that go on.
    pub parts: u64,
    /// Facts that answers had shown, compared with those readbacks.
    pub seen_again: u64,
    /// Actors that stopped for a life, by cause.
    pub stopped: BTreeMap<String, u64>,
    /// Trials.
    pub trials: Trials,
}

/// The results of all lives.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The results of the kills.
    pub kills: kills::Table,
    /// The results of the versions.
    pub counts: Counts,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { lives, shut_down, nothing_to_replay, parts, seen_again, stopped, trials } = &self.counts;
        let row = |name: &str, count: u64| (name.to_owned(), count);
        let good = lives.get("good").copied().unwrap_or_default();
        let mut rows = vec![row("lives of the good version", good)];
        let others = lives.iter().filter(|(name, _)| **name != "good");
        rows.extend(others.map(|(name, count)| (format!("lives in which it {name}"), *count)));
        rows.extend([
            row("shut down", *shut_down),
            row("openings after that, with nothing to replay", *nothing_to_replay),
            row("readbacks of the actors that go on", *parts),
            row("answers held against these", *seen_again),
            row("actors that stopped for a life", stopped.values().sum()),
        ]);
        rows.extend(stopped.iter().map(|(word, count)| (format!("  {word}"), *count)));
        rows.extend([
            row("trials", trials.sent),
            row("  handled, and so in each life after", trials.handled),
            row("  left out in the life they were sent in", trials.left_out),
            row("  taken from quarantine and tried again", trials.retried),
            row("  dropped", trials.dropped),
        ]);
        rows.extend(self.kills.rows());
        Report { rows: &rows, violations: &self.kills.violations }.fmt(f)
    }
}
