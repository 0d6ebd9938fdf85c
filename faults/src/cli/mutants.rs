//! `relive-faults mutants`: the arguments, and the printed report.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command says on the terminal what it found")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::campaigns::mutants::{MutantRun, run};
use clap::Args;

#[derive(Args)]
pub(crate) struct MutantsArguments {
    /// Only mutants with this in their name.
    #[arg(long, default_value = "")]
    only: String,
    /// Makes mutants for so many minutes, and says how many are left.
    #[arg(long)]
    minutes: Option<u64>,
    /// With a limit: where in the list to begin is drawn from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the copies of the sources go; they stay there, with what was built of them.
    #[arg(long)]
    directory: Option<PathBuf>,
}

impl MutantsArguments {
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
        let copies = self.directory.unwrap_or_else(|| tree.join("target/mutants"));
        let limit = self.minutes.map(|minutes| Duration::from_secs(60 * minutes));
        let options = MutantRun { tree, copies, only: self.only, limit, seed: self.seed };
        let (table, all_caught) = run(&options, &|line| eprintln!("{line}"))?;
        println!("{table}");
        Ok(if all_caught { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
