//! Opens an image as the next life of its store would, and checks what comes back.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::Files;
use crate::harness::preload::Interposer;
use crate::harness::process::Process;
use crate::harness::worker::Tier;
use crate::workload::{ClientView, Line, Outcome, Plan, Readback, judge};

/// Opens images, in a directory.
#[derive(Clone, Debug)]
pub struct Checker {
    /// The program that has the command `verify`.
    pub program: PathBuf,
    /// The library that records openings.
    pub interposer: Interposer,
    /// The budget of the log, as the recorded process had it.
    pub log_bytes: u64,
}

/// The result of opening an image.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The judgement of the oracle.
    pub outcome: Outcome,
    /// What came back.
    pub readback: Box<Readback>,
}

/// What is wrong with an image, or with opening it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Wrong {
    /// The store does not open. After a loss of power that is wrong as well: the acknowledged
    /// messages are out of reach.
    #[error("refused: {0}")]
    Refused(String),
    /// The store opens, and the oracle finds a broken promise.
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
    /// A broken promise, or an error of the file system.
    pub fn check(
        &self,
        image: &Files,
        directory: &Path,
        record: Option<&Path>,
        plan: &Plan,
        view: &ClientView,
    ) -> Result<Checked, Wrong> {
        image.write(directory)?;
        let checked = self.check_store(directory, record, plan, view);
        // The caller has the image in memory, and keeps it if it is wrong.
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
        view: &ClientView,
    ) -> Result<Checked, Wrong> {
        let readback = self.open(directory, record)?;
        let outcome = judge(plan, view, &readback);
        let outcome = outcome.map_err(|violation| Wrong::Broken(violation.to_string()))?;
        Ok(Checked { outcome, readback })
    }

    fn open(&self, directory: &Path, record: Option<&Path>) -> Result<Box<Readback>, Wrong> {
        let broken = |what: &dyn std::fmt::Display| Wrong::Broken(what.to_string());
        let mut command = Command::new(&self.program);
        command.arg("verify").arg("--store").arg(directory);
        command.args(["--tier", &Tier::PowerLoss.to_string(), "--log-bytes", &self.log_bytes.to_string()]);
        if record.is_some() {
            self.interposer.stand_before(&mut command, directory, record, "");
        }
        let process = Process::start(&mut command)?;
        let mut readback = None;
        let mut failed = None;
        while let Some(line) = process.line("opening an image").map_err(|hang| broken(&hang))? {
            match line.parse::<Line>().map_err(Wrong::Broken)? {
                Line::Readback(found) => readback = Some(found),
                Line::Failed(error) => failed = Some(error),
                _ => {}
            }
        }
        let (status, errors) = process.end().map_err(|hang| broken(&hang))?;
        match (readback, status.success()) {
            (Some(readback), true) => Ok(readback),
            (None, false) if status.code() == Some(1) => {
                Err(Wrong::Refused(failed.unwrap_or_else(|| errors.trim().to_owned())))
            }
            _ => Err(Wrong::Broken(format!("the opening ended with {status}: {failed:?} {}", errors.trim()))),
        }
    }
}
