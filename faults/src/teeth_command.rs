//! `relive-faults teeth`: the arguments, and what is printed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command says on the terminal what it found")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use relive_faults::teeth::{Teeth, run};

#[derive(Args)]
pub(crate) struct TeethArguments {
    /// Only guards with this in their name.
    #[arg(long, default_value = "")]
    only: String,
    /// Where the copies of the sources go; they stay there, with what was built of them.
    #[arg(long)]
    directory: Option<PathBuf>,
}

impl TeethArguments {
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
        let workshops = self.directory.unwrap_or_else(|| tree.join("target/teeth"));
        let (table, all_missed) =
            run(&Teeth { tree, workshops, only: self.only }, &|line| eprintln!("{line}"))?;
        println!("{table}");
        Ok(if all_missed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
