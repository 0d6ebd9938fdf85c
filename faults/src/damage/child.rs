//! The process that does cases in turn, and says what came of each on a line of its standard output. It may die in any
//! of them: that too is an outcome.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use super::case::Case;
use super::judge::{self, HUNG_CALL};
use super::living::{self, NO_ANSWER};
use super::specimens::{self, Expected, Specimen};
use crate::kept::Kept;

/// Which cases a process does.
#[derive(Clone, Debug)]
pub struct Work {
    /// Where the specimens are.
    pub specimens: PathBuf,
    /// What keeps them.
    pub medium: Kept,
    /// Where the damaged copies go.
    pub scratch: PathBuf,
    /// The seed of all cases.
    pub seed: u64,
    /// The number of the first case.
    pub first: u64,
    /// The distance to the next.
    pub step: u64,
    /// The number that is not done any more.
    pub end: u64,
}

/// Does cases until there are no more, or one leaves a thread behind. For each it prints, tab by tab: number, specimen,
/// file, injury, outcome, and the case in words.
///
/// # Errors
/// When the specimens can't be read, or a copy not be written.
pub fn work(work: &Work, out: &mut dyn Write) -> Result<(), Box<dyn std::error::Error>> {
    let specimens = specimens::load(&work.specimens, work.medium)?;
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    check_whole(work, &specimens, tokio.handle())?;
    let mut number = work.first;
    while number < work.end {
        let case = Case::draw(work.seed, number, &specimens);
        let mut image = case.specimen.image.clone();
        for (name, injury) in &case.injuries {
            injury.inflict(&mut image, &case.specimen.older, name);
        }
        let directory = work.scratch.join(format!("case-{number}"));
        image.write(&directory)?;
        let outcome = match &case.specimen.expected {
            Expected::Store(stored) => {
                judge::outcome(&directory, stored, case.has_an_older_superblock(), case.goes_on)
            }
            Expected::Runtime(books) => {
                let older_superblock = case.has_an_older_superblock();
                living::outcome(tokio.handle(), &directory, books, older_superblock, case.goes_on)
            }
        };
        let (file, injury) = case.kind();
        writeln!(out, "{number}\t{}\t{file}\t{injury}\t{outcome}\t{case}", case.specimen.name)?;
        out.flush()?;
        fs::remove_dir_all(&directory)?;
        if outcome.contains(HUNG_CALL) || outcome.contains(NO_ANSWER) {
            return Ok(());
        }
        number += work.step;
    }
    Ok(())
}

/// An undamaged copy of each specimen must hold what its model does, or the cases would show nothing.
fn check_whole(
    work: &Work,
    specimens: &[Specimen],
    tokio: &tokio::runtime::Handle,
) -> Result<(), Box<dyn std::error::Error>> {
    for specimen in specimens {
        let directory = work.scratch.join(format!("whole-{}-{}", specimen.name, work.first));
        specimen.image.write(&directory)?;
        let outcome = match &specimen.expected {
            Expected::Store(stored) => judge::outcome(&directory, stored, false, true),
            Expected::Runtime(books) => living::outcome(tokio, &directory, books, false, true),
        };
        fs::remove_dir_all(&directory)?;
        if outcome != "identical" {
            return Err(format!("{} is not damaged, and gives: {outcome}", specimen.name).into());
        }
    }
    Ok(())
}
