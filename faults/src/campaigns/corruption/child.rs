//! The process that runs cases in turn and prints the outcome of each on a line of its standard
//! output. It may die in any case: that too is an outcome.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use super::case::Case;
use super::fixtures::{self, Expected, Fixture};
use super::runtime_oracle::{self, NO_ANSWER};
use super::store_oracle::{self, HUNG_CALL};
use crate::harness::medium::StoreMedium;

/// The cases that a process runs.
#[derive(Clone, Debug)]
pub struct Work {
    /// The directory of the fixtures.
    pub fixtures: PathBuf,
    /// The medium of the fixtures.
    pub medium: StoreMedium,
    /// The directory for the damaged copies.
    pub scratch: PathBuf,
    /// The seed of all cases.
    pub seed: u64,
    /// The number of the first case.
    pub first: u64,
    /// The distance to the next.
    pub step: u64,
    /// The number before which the process ends.
    pub end: u64,
}

/// Runs cases until there are no more, or one leaves a thread behind. Prints for each, separated by
/// tabs: number, fixture, file, corruption, outcome, and the case in words.
///
/// # Errors
/// The process can't read the fixtures, or can't write a copy.
pub fn work(work: &Work, out: &mut dyn Write) -> Result<(), Box<dyn std::error::Error>> {
    let fixtures = fixtures::load(&work.fixtures, work.medium)?;
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    check_whole(work, &fixtures, tokio.handle())?;
    let mut number = work.first;
    while number < work.end {
        let case = Case::draw(work.seed, number, &fixtures);
        let mut image = case.fixture.image.clone();
        for (name, corruption) in &case.corruptions {
            corruption.apply(&mut image, &case.fixture.older, name);
        }
        let directory = work.scratch.join(format!("case-{number}"));
        image.write(&directory)?;
        let outcome = match &case.fixture.expected {
            Expected::Store(stored) => {
                store_oracle::outcome(&directory, stored, case.has_an_older_superblock(), case.goes_on)
            }
            Expected::Runtime(books) => {
                let older_superblock = case.has_an_older_superblock();
                runtime_oracle::outcome(tokio.handle(), &directory, books, older_superblock, case.goes_on)
            }
        };
        let (file, corruption) = case.kind();
        writeln!(out, "{number}\t{}\t{file}\t{corruption}\t{outcome}\t{case}", case.fixture.name)?;
        out.flush()?;
        fs::remove_dir_all(&directory)?;
        if outcome.contains(HUNG_CALL) || outcome.contains(NO_ANSWER) {
            return Ok(());
        }
        number += work.step;
    }
    Ok(())
}

/// An undamaged copy of each fixture must hold what its model holds, or the cases would show
/// nothing.
fn check_whole(
    work: &Work,
    fixtures: &[Fixture],
    tokio: &tokio::runtime::Handle,
) -> Result<(), Box<dyn std::error::Error>> {
    for fixture in fixtures {
        let directory = work.scratch.join(format!("whole-{}-{}", fixture.name, work.first));
        fixture.image.write(&directory)?;
        let outcome = match &fixture.expected {
            Expected::Store(stored) => store_oracle::outcome(&directory, stored, false, true),
            Expected::Runtime(books) => runtime_oracle::outcome(tokio, &directory, books, false, true),
        };
        fs::remove_dir_all(&directory)?;
        if outcome != "identical" {
            return Err(format!("{} is not damaged, and gives: {outcome}", fixture.name).into());
        }
    }
    Ok(())
}
