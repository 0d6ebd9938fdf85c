//! Makes all mutants, one after the other, and a table of the tests that caught them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use super::mutant::{Mutant, Test};
use super::source_copy::{Outcome, SourceCopy};
use super::{
    media_mutants, replay_mutants, runtime_mutants, schedule_mutants, segment_mutants, storage_mutants,
    surroundings_mutants,
};
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
}

/// Makes the mutants. Returns the table, and whether its test caught each mutant. Calls `told` for
/// each mutant when it is judged.
///
/// # Errors
/// The campaign can't copy the sources.
pub fn run(options: &MutantRun, told: &(dyn Fn(&str) + Sync)) -> std::io::Result<(String, bool)> {
    let upper =
        replay_mutants::MUTANTS.iter().chain(runtime_mutants::MUTANTS).chain(surroundings_mutants::MUTANTS);
    let upper: Vec<_> = upper.chain(schedule_mutants::MUTANTS).collect();
    let stores =
        storage_mutants::MUTANTS.iter().chain(media_mutants::MUTANTS).chain(segment_mutants::MUTANTS);
    let lanes: [Vec<&Mutant>; 2] = [stores.collect(), upper];
    let began = Instant::now();
    let results = run_jobs(lanes.len(), |number| lane(options, number, &lanes[number], told))?;
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
    // Once more at the end: many logs keep only the end of a long table.
    for line in &missed {
        let _ = writeln!(table, "{line}");
    }
    Ok((table, missed.is_empty()))
}

/// Returns a line for each mutant, and whether a test caught it.
fn lane(
    options: &MutantRun,
    number: usize,
    mutants: &[&Mutant],
    told: &(dyn Fn(&str) + Sync),
) -> std::io::Result<Vec<(String, bool)>> {
    let copy = SourceCopy::new(&options.tree, options.copies.join(number.to_string()))?;
    let mutants: Vec<_> =
        mutants.iter().copied().filter(|mutant| mutant.name.contains(&options.only)).collect();
    let mut results = whole(&copy, &mutants);
    for (line, _) in &results {
        told(line);
    }
    for mutant in mutants {
        let began = Instant::now();
        let (caught, what) = match copy.without(mutant.edits, &mutant.test) {
            Ok(Outcome::Failed(tests)) => (true, tests),
            Ok(Outcome::Hung) if mutant.test.hangs => {
                (true, format!("{} comes to no end", mutant.test.filter))
            }
            Ok(Outcome::Hung) => (false, format!("!! {} comes to no end", mutant.test.filter)),
            Ok(Outcome::Passed) => (false, format!("!! {} passes without it", mutant.test.filter)),
            Err(unfit) => (false, format!("!! {unfit}")),
        };
        let line = format!("{:5.1} s  {:74} {what}", began.elapsed().as_secs_f64(), mutant.name);
        told(&line);
        results.push((line, caught));
    }
    Ok(results)
}

/// The tests must pass on the unchanged sources, or a failure would prove nothing.
fn whole(copy: &SourceCopy, mutants: &[&Mutant]) -> Vec<(String, bool)> {
    let mut binaries = BTreeMap::<_, (&Test, Vec<&'static str>)>::new();
    for Mutant { test, .. } in mutants {
        let (_, filters) = binaries.entry((test.package, test.binary)).or_insert((test, Vec::new()));
        filters.push(test.filter);
    }
    let mut results = Vec::new();
    for ((package, binary), (test, filters)) in binaries {
        let began = Instant::now();
        let (passed, what) = match copy.run_all(test, &filters) {
            Ok(Outcome::Passed) => (true, "all pass".to_owned()),
            Ok(Outcome::Failed(tests)) => (false, format!("!! fail as it is: {tests}")),
            Ok(Outcome::Hung) => (false, "!! come to no end as it is".to_owned()),
            Err(unfit) => (false, format!("!! {unfit}")),
        };
        let whole = format!("{WHOLE}: {package} {}", binary.join(" "));
        results.push((format!("{:5.1} s  {whole:74} {what}", began.elapsed().as_secs_f64()), passed));
    }
    results
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
        let lists = [
            storage_mutants::MUTANTS,
            media_mutants::MUTANTS,
            segment_mutants::MUTANTS,
            replay_mutants::MUTANTS,
            runtime_mutants::MUTANTS,
            schedule_mutants::MUTANTS,
            surroundings_mutants::MUTANTS,
        ];
        for mutant in lists.into_iter().flatten() {
            for edit in mutant.edits {
                let content = std::fs::read_to_string(tree.join(edit.file)).unwrap_or_default();
                let found = content.matches(edit.find).count();
                assert_eq!(found, 1, "{}: {} holds it {found} times: {}", mutant.name, edit.file, edit.find);
            }
        }
    }
}
