//! Opens an image as the next life of its store would, and judges what comes back.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::Files;
use crate::preload::Interposer;
use crate::process::Process;
use crate::worker::Tier;
use crate::workload::{Line, Outcome, Plan, Survey, Witness, judge};

/// What opens images, and where.
#[derive(Clone, Debug)]
pub struct Checker {
    /// The program that has the command `verify`.
    pub program: PathBuf,
    /// The library that records openings.
    pub interposer: Interposer,
    /// The budget of the log, as the recorded process had it.
    pub log_bytes: u64,
}

/// What came of an image.
#[derive(Clone, Debug)]
pub struct Checked {
    /// By the judge.
    pub outcome: Outcome,
    /// What came back.
    pub survey: Box<Survey>,
}

/// What is wrong with an image, or with opening it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Wrong {
    /// It does not open. After a loss of power that is wrong as well: what was acknowledged can't be had.
    #[error("refused: {0}")]
    Refused(String),
    /// It opens, and something is not as it should be.
    #[error("{0}")]
    Broken(String),
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl Checker {
    /// Opens an image in a directory that does not exist yet, judges it, and removes the directory.
    ///
    /// # Errors
    /// What is wrong, or the file system.
    pub fn check(
        &self,
        image: &Files,
        directory: &Path,
        record: Option<&Path>,
        plan: &Plan,
        witness: &Witness,
    ) -> Result<Checked, Wrong> {
        image.write(directory)?;
        let checked = self.check_store(directory, record, plan, witness);
        // Of a wrong image whoever made it keeps the bytes from before the opening.
        std::fs::remove_dir_all(directory)?;
        checked
    }

    /// Opens a store that is there, and judges it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check_store(
        &self,
        directory: &Path,
        record: Option<&Path>,
        plan: &Plan,
        witness: &Witness,
    ) -> Result<Checked, Wrong> {
        let survey = self.open(directory, record)?;
        let outcome = judge(plan, witness, &survey);
        let outcome = outcome.map_err(|violation| Wrong::Broken(violation.to_string()))?;
        Ok(Checked { outcome, survey })
    }

    fn open(&self, directory: &Path, record: Option<&Path>) -> Result<Box<Survey>, Wrong> {
        let broken = |what: &dyn std::fmt::Display| Wrong::Broken(what.to_string());
        let mut command = Command::new(&self.program);
        command.arg("verify").arg("--store").arg(directory);
        command.args(["--tier", &Tier::PowerLoss.to_string(), "--log-bytes", &self.log_bytes.to_string()]);
        if record.is_some() {
            self.interposer.stand_before(&mut command, directory, record, "");
        }
        let process = Process::start(&mut command)?;
        let mut survey = None;
        let mut failed = None;
        while let Some(line) = process.line("opening an image").map_err(|hang| broken(&hang))? {
            match line.parse::<Line>().map_err(Wrong::Broken)? {
                Line::Survey(found) => survey = Some(found),
                Line::Failed(error) => failed = Some(error),
                _ => {}
            }
        }
        let (status, errors) = process.end().map_err(|hang| broken(&hang))?;
        match (survey, status.success()) {
            (Some(survey), true) => Ok(survey),
            (None, false) if status.code() == Some(1) => {
                Err(Wrong::Refused(failed.unwrap_or_else(|| errors.trim().to_owned())))
            }
            _ => Err(Wrong::Broken(format!("the opening ended with {status}: {failed:?} {}", errors.trim()))),
        }
    }
}
