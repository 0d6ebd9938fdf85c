//! Takes out all guards, one after the other, and makes the table.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use super::guard::{Guard, Test};
use super::workshop::{Outcome, Workshop};
use super::{
    media_guards, replay_guards, runtime_guards, segment_guards, storage_guards, surroundings_guards,
};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Teeth {
    /// The sources.
    pub tree: PathBuf,
    /// Where the copies go, and stay.
    pub workshops: PathBuf,
    /// Only guards with this in their name.
    pub only: String,
}

/// Does it; gives the table, and whether each guard was missed by its test. `told` hears of each as it is done.
///
/// # Errors
/// When the sources can't be copied.
pub fn run(teeth: &Teeth, told: &(dyn Fn(&str) + Sync)) -> std::io::Result<(String, bool)> {
    let upper = replay_guards::GUARDS.iter().chain(runtime_guards::GUARDS).chain(surroundings_guards::GUARDS);
    let upper: Vec<_> = upper.collect();
    let stores = storage_guards::GUARDS.iter().chain(media_guards::GUARDS).chain(segment_guards::GUARDS);
    let lanes = [stores.collect(), upper];
    let began = Instant::now();
    let results = std::thread::scope(|scope| {
        let lanes: Vec<_> = lanes
            .into_iter()
            .enumerate()
            .map(|(number, guards): (_, Vec<&Guard>)| scope.spawn(move || lane(teeth, number, &guards, told)))
            .collect();
        let joined = lanes
            .into_iter()
            .map(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.collect::<std::io::Result<Vec<_>>>()
    })?;
    let (mut table, mut missed) = (String::new(), Vec::new());
    for (line, caught) in results.iter().flatten() {
        let _ = writeln!(table, "{line}");
        if !caught {
            missed.push(line);
        }
    }
    let count = results.iter().flatten().filter(|(line, _)| !line.contains(WHOLE)).count();
    let _ = writeln!(
        table,
        "\n{count} guards, {} lines that are not as they should be, {:.0} s",
        missed.len(),
        began.elapsed().as_secs_f64()
    );
    // Once more at the end, which is all that many logs keep of a long table.
    for line in &missed {
        let _ = writeln!(table, "{line}");
    }
    Ok((table, missed.is_empty()))
}

/// A line for each guard, and whether a test missed it.
fn lane(
    teeth: &Teeth,
    number: usize,
    guards: &[&Guard],
    told: &(dyn Fn(&str) + Sync),
) -> std::io::Result<Vec<(String, bool)>> {
    let workshop = Workshop::new(&teeth.tree, teeth.workshops.join(number.to_string()))?;
    let guards: Vec<_> = guards.iter().copied().filter(|guard| guard.name.contains(&teeth.only)).collect();
    let mut results = whole(&workshop, &guards);
    for (line, _) in &results {
        told(line);
    }
    for guard in guards {
        let began = Instant::now();
        let (caught, what) = match workshop.without(guard.edits, &guard.test) {
            Ok(Outcome::Failed(tests)) => (true, tests),
            Ok(Outcome::Hung) if guard.test.hangs => (true, format!("{} comes to no end", guard.test.filter)),
            Ok(Outcome::Hung) => (false, format!("!! {} comes to no end", guard.test.filter)),
            Ok(Outcome::Passed) => (false, format!("!! {} passes without it", guard.test.filter)),
            Err(unfit) => (false, format!("!! {unfit}")),
        };
        let line = format!("{:5.1} s  {:74} {what}", began.elapsed().as_secs_f64(), guard.name);
        told(&line);
        results.push((line, caught));
    }
    Ok(results)
}

/// With all guards in their places the tests must pass, or their failing would say nothing.
fn whole(workshop: &Workshop, guards: &[&Guard]) -> Vec<(String, bool)> {
    let mut binaries = BTreeMap::<_, (&Test, Vec<&'static str>)>::new();
    for Guard { test, .. } in guards {
        let (_, filters) = binaries.entry((test.package, test.binary)).or_insert((test, Vec::new()));
        filters.push(test.filter);
    }
    let mut results = Vec::new();
    for ((package, binary), (test, filters)) in binaries {
        let began = Instant::now();
        let (passed, what) = match workshop.run_all(test, &filters) {
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

/// What stands in the table for a run with all guards in their places.
const WHOLE: &str = "nothing is taken out";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// A list that the sources have outgrown is found in a moment, not after all guards before it were tried.
    #[test]
    fn each_guard_stands_where_the_list_says() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let lists = [
            storage_guards::GUARDS,
            media_guards::GUARDS,
            segment_guards::GUARDS,
            replay_guards::GUARDS,
            runtime_guards::GUARDS,
            surroundings_guards::GUARDS,
        ];
        for guard in lists.into_iter().flatten() {
            for edit in guard.edits {
                let content = std::fs::read_to_string(tree.join(edit.file)).unwrap_or_default();
                let found = content.matches(edit.find).count();
                assert_eq!(found, 1, "{}: {} holds it {found} times: {}", guard.name, edit.file, edit.find);
            }
        }
    }
}
