//! Makes all mutants, one after the other, and a table of the tests that caught them.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::mutant::{Mutant, Test};
use super::source_copy::{Outcome, SourceCopy};
use super::{STORE_MUTANTS, UPPER_MUTANTS};
use crate::harness::campaign::run_jobs;

/// The mutants to make, and where.
#[derive(Clone, Debug)]
pub struct MutantRun {
    /// The sources.
    pub tree: PathBuf,
    /// The directory of the copies, which stay there.
    pub copies: PathBuf,
    /// Only mutants with this in their name.
    pub only: String,
    /// How long mutants are made. The rest is counted, and is no failure.
    pub limit: Option<Duration>,
    /// With a limit: what says where in the list to begin, so that all have their turn.
    pub seed: u64,
}

/// Makes the mutants. Returns the table, and whether its test caught each mutant. Calls `told` for
/// each mutant when it is judged.
///
/// # Errors
/// The campaign can't copy the sources.
pub fn run(options: &MutantRun, told: &(dyn Fn(&str) + Sync)) -> std::io::Result<(String, bool)> {
    let mut all: Vec<&Mutant> =
        [STORE_MUTANTS, UPPER_MUTANTS].into_iter().flatten().copied().flatten().collect();
    all.retain(|mutant| mutant.name.contains(&options.only));
    // Those of one test binary stand together, so that few are built in both copies.
    all.sort_by_key(|mutant| binary_of(&mutant.test));
    if options.limit.is_some() && !all.is_empty() {
        let first = usize::try_from(options.seed % all.len() as u64).unwrap_or_default();
        all.rotate_left(first);
    }
    let (ahead, judged) = (Mutex::new(all.iter().copied().collect()), Mutex::default());
    let began = Instant::now();
    let until = options.limit.map(|limit| began + limit);
    let results = run_jobs(LANES, |number| {
        let copy = SourceCopy::new(&options.tree, options.copies.join(number.to_string()))?;
        let lane =
            Lane { from_the_end: number > 0, until, copy, all: &all, ahead: &ahead, judged: &judged, told };
        Ok(lane.run())
    })?;
    let (mut table, mut missed) = (String::new(), Vec::new());
    for (line, caught) in &results {
        let _ = writeln!(table, "{line}");
        if !caught {
            missed.push(line);
        }
    }
    let count = results.iter().filter(|(line, _)| !line.contains(WHOLE)).count();
    let _ = writeln!(
        table,
        "\n{count} mutants, {} lines that are not as they should be, {:.0} s",
        missed.len(),
        began.elapsed().as_secs_f64()
    );
    let left = ahead.lock().unwrap_or_else(PoisonError::into_inner).len();
    if left > 0 {
        let _ = writeln!(table, "{left} more were not made in the time given");
    }
    // Once more at the end: many logs keep only the end of a long table.
    for line in &missed {
        let _ = writeln!(table, "{line}");
    }
    Ok((table, missed.is_empty()))
}

/// How many copies of the sources there are.
const LANES: usize = 2;

/// A test binary: its package, and how cargo is told of it.
type Binary = (&'static str, &'static [&'static str]);

fn binary_of(test: &Test) -> Binary {
    (test.package, test.binary)
}

/// One copy of the sources, and the mutants that are made in it: one lane takes them from the
/// beginning of the list, the other one from its end.
struct Lane<'a> {
    from_the_end: bool,
    until: Option<Instant>,
    copy: SourceCopy,
    all: &'a [&'a Mutant],
    ahead: &'a Mutex<VecDeque<&'a Mutant>>,
    /// The binaries whose tests have passed on the unchanged sources, or have not.
    judged: &'a Mutex<BTreeSet<Binary>>,
    told: &'a (dyn Fn(&str) + Sync),
}

impl<'a> Lane<'a> {
    /// Returns a line for each mutant, and whether a test caught it.
    fn run(&self) -> Vec<(String, bool)> {
        let mut results = Vec::new();
        while let Some(mutant) = self.next() {
            let binary = binary_of(&mutant.test);
            let is_first = self.judged.lock().unwrap_or_else(PoisonError::into_inner).insert(binary);
            if is_first {
                results.push(self.whole(&mutant.test));
            }
            results.push(self.without(mutant));
        }
        results
    }

    fn next(&self) -> Option<&'a Mutant> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return None;
        }
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if self.from_the_end { ahead.pop_back() } else { ahead.pop_front() }
    }

    fn without(&self, mutant: &Mutant) -> (String, bool) {
        let began = Instant::now();
        let (caught, what) = match self.copy.without(mutant.edits, &mutant.test) {
            Ok(Outcome::Failed(tests)) => (true, tests),
            Ok(Outcome::Hung) if mutant.test.hangs => {
                (true, format!("{} comes to no end", mutant.test.filter))
            }
            Ok(Outcome::Hung) => (false, format!("!! {} comes to no end", mutant.test.filter)),
            Ok(Outcome::Passed) => (false, format!("!! {} passes without it", mutant.test.filter)),
            Err(unfit) => (false, format!("!! {unfit}")),
        };
        self.tell(began, mutant.name, &what, caught)
    }

    /// The tests must pass on the unchanged sources, or a failure would prove nothing.
    fn whole(&self, test: &Test) -> (String, bool) {
        let of_binary = self.all.iter().filter(|mutant| binary_of(&mutant.test) == binary_of(test));
        let filters: Vec<_> = of_binary.map(|mutant| mutant.test.filter).collect();
        let began = Instant::now();
        let (passed, what) = match self.copy.run_all(test, &filters) {
            Ok(Outcome::Passed) => (true, "all pass".to_owned()),
            Ok(Outcome::Failed(tests)) => (false, format!("!! fail as it is: {tests}")),
            Ok(Outcome::Hung) => (false, "!! come to no end as it is".to_owned()),
            Err(unfit) => (false, format!("!! {unfit}")),
        };
        self.tell(began, &format!("{WHOLE}: {} {}", test.package, test.binary.join(" ")), &what, passed)
    }

    fn tell(&self, began: Instant, name: &str, what: &str, holds: bool) -> (String, bool) {
        let line = format!("{:5.1} s  {name:74} {what}", began.elapsed().as_secs_f64());
        (self.told)(&line);
        (line, holds)
    }
}

/// The table's name for a run on the unchanged sources.
const WHOLE: &str = "nothing is taken out";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Finds a list that the sources have outgrown at once, not only after all mutants before it.
    #[test]
    fn each_mutant_stands_where_the_list_says() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for mutant in [STORE_MUTANTS, UPPER_MUTANTS].into_iter().flatten().copied().flatten() {
            for edit in mutant.edits {
                let content = std::fs::read_to_string(tree.join(edit.file)).unwrap_or_default();
                let found = content.matches(edit.find).count();
                assert_eq!(found, 1, "{}: {} holds it {found} times: {}", mutant.name, edit.file, edit.find);
            }
        }
    }
}
