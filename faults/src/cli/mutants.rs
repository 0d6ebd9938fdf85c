//! `relive-faults mutants`: the arguments, and the printed report.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command says on the terminal what it found")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::campaigns::mutants::{MutantRun, run};
use clap::Args;

#[derive(Args)]
pub(crate) struct MutantsArguments {
    /// Only mutants with this in their name.
    #[arg(long, default_value = "")]
    only: String,
    /// Where the copies of the sources go; they stay there, with what was built of them.
    #[arg(long)]
    directory: Option<PathBuf>,
}

impl MutantsArguments {
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
        let copies = self.directory.unwrap_or_else(|| tree.join("target/mutants"));
        let (table, all_caught) =
            run(&MutantRun { tree, copies, only: self.only }, &|line| eprintln!("{line}"))?;
        println!("{table}");
        Ok(if all_caught { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
