//! Counts how often each corruption had each outcome.

use std::collections::BTreeMap;
use std::fmt;

use super::store_oracle::MISTOLD;
use crate::harness::campaign::Results;

/// Counts of outcomes by store, by file and by corruption; and in words the cases with a forbidden
/// outcome.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    cases: u64,
    by_fixture: Counts,
    by_file: Counts,
    by_corruption: Counts,
    bad: Vec<String>,
}

type Counts = BTreeMap<String, BTreeMap<String, u64>>;

impl Histogram {
    /// Counts a case.
    pub(super) fn count(&mut self, fixture: &str, file: &str, corruption: &str, outcome: &str, case: &str) {
        // The case itself has what follows the colon of a loss.
        let detailed = ["SILENT", "DIED", "HUNG"].iter().any(|bad| outcome.contains(bad));
        let outcome_class =
            if detailed { outcome.split([':', ',']).next().unwrap_or(outcome) } else { outcome };
        self.cases += 1;
        let count = |counts: &mut Counts, what: &str| {
            *counts.entry(what.to_owned()).or_default().entry(outcome_class.to_owned()).or_default() += 1;
        };
        count(&mut self.by_fixture, fixture);
        count(&mut self.by_file, file);
        count(&mut self.by_corruption, corruption);
        if is_bad(outcome) {
            self.bad.push(format!("{case}: {outcome}"));
        }
    }

    /// How many cases it has counted.
    #[must_use]
    pub fn cases(&self) -> u64 {
        self.cases
    }

    /// The cases that ended in a loss without a word, in an error that calls damage something else,
    /// in the death of a process, or not at all.
    #[must_use]
    pub fn bad(&self) -> &[String] {
        &self.bad
    }
}

impl Results for Histogram {
    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        let all = [
            (&mut self.by_fixture, other.by_fixture),
            (&mut self.by_file, other.by_file),
            (&mut self.by_corruption, other.by_corruption),
        ];
        for (ours, theirs) in all {
            for (what, outcomes) in theirs {
                let ours = ours.entry(what).or_default();
                for (outcome, count) in outcomes {
                    *ours.entry(outcome).or_default() += count;
                }
            }
        }
        self.bad.extend(other.bad);
    }
}

fn is_bad(outcome: &str) -> bool {
    ["SILENT", "DIED", "HUNG", MISTOLD].iter().any(|bad| outcome.contains(bad))
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut totals = BTreeMap::<&str, u64>::new();
        for (outcome, count) in self.by_file.values().flatten() {
            *totals.entry(outcome).or_default() += count;
        }
        writeln!(f, "{} cases", self.cases)?;
        for (outcome, count) in totals {
            writeln!(f, "{count:9}  {outcome}")?;
        }
        for (title, counts) in
            [("store", &self.by_fixture), ("file", &self.by_file), ("corruption", &self.by_corruption)]
        {
            writeln!(f, "\nby {title}")?;
            for (what, outcomes) in counts {
                for (outcome, count) in outcomes {
                    writeln!(f, "{count:9}  {what:28} {outcome}")?;
                }
            }
        }
        for bad in &self.bad {
            writeln!(f, "\n!! {bad}")?;
        }
        Ok(())
    }
}
