//! How often what came of what.

use std::collections::BTreeMap;
use std::fmt;

use super::judge::MISTOLD;

/// Counts of outcomes, by store, by file and by injury; and the cases that must not be, in words.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    cases: u64,
    by_specimen: Counts,
    by_file: Counts,
    by_injury: Counts,
    bad: Vec<String>,
}

type Counts = BTreeMap<String, BTreeMap<String, u64>>;

impl Histogram {
    /// Counts a case.
    pub(super) fn add(&mut self, specimen: &str, file: &str, injury: &str, outcome: &str, case: &str) {
        // What follows a colon in a loss is told with the case.
        let detailed = ["SILENT", "DIED", "HUNG"].iter().any(|bad| outcome.contains(bad));
        let outcome_class =
            if detailed { outcome.split([':', ',']).next().unwrap_or(outcome) } else { outcome };
        self.cases += 1;
        let count = |counts: &mut Counts, what: &str| {
            *counts.entry(what.to_owned()).or_default().entry(outcome_class.to_owned()).or_default() += 1;
        };
        count(&mut self.by_specimen, specimen);
        count(&mut self.by_file, file);
        count(&mut self.by_injury, injury);
        if is_bad(outcome) {
            self.bad.push(format!("{case}: {outcome}"));
        }
    }

    /// Adds the counts of another.
    pub(super) fn merge(&mut self, other: Self) {
        self.cases += other.cases;
        let all = [
            (&mut self.by_specimen, other.by_specimen),
            (&mut self.by_file, other.by_file),
            (&mut self.by_injury, other.by_injury),
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

    /// How many cases were counted.
    #[must_use]
    pub fn cases(&self) -> u64 {
        self.cases
    }

    /// The cases that ended in a loss without a word, in an error that calls damage something else, in the death of a
    /// process, or not at all.
    #[must_use]
    pub fn bad(&self) -> &[String] {
        &self.bad
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
            [("store", &self.by_specimen), ("file", &self.by_file), ("injury", &self.by_injury)]
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
