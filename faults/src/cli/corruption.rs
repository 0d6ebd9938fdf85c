//! `relive-faults corruption`: the arguments, and the printed report.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command says on the terminal what it found")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use crate::campaigns::corruption::{CorruptionCases, Work, run, work};
use crate::harness::campaign::scratch;
use crate::harness::medium::StoreMedium;
use clap::Args;

#[derive(Args)]
pub(crate) struct CorruptionArguments {
    /// How many cases.
    #[arg(long, default_value_t = 1000)]
    cases: u64,
    /// What all cases follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What keeps the stores.
    #[arg(long, default_value_t = StoreMedium::Sled)]
    medium: StoreMedium,
    /// Only this case.
    #[arg(long)]
    case: Option<u64>,
    /// How many processes at once.
    #[arg(long, default_value_t = 2)]
    processes: u64,
    /// Where the copies go: memory, when there is some.
    #[arg(long)]
    directory: Option<PathBuf>,
}

impl CorruptionArguments {
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
        let directory = match self.directory {
            Some(parent) => tempfile::tempdir_in(parent)?,
            None => scratch("relive-corruption-")?,
        };
        let (first, cases, processes) = match self.case {
            Some(case) => (case, 1, 1),
            None => (0, self.cases, self.processes.max(1)),
        };
        let plan = CorruptionCases {
            program: std::env::current_exe()?,
            medium: self.medium,
            seed: self.seed,
            first,
            cases,
            processes,
            directory: directory.path().to_owned(),
        };
        let began = Instant::now();
        let histogram = run(&plan, &|done| {
            if done % 5000 == 0 {
                eprintln!("{done} cases, {:.0} s", began.elapsed().as_secs_f64());
            }
        })?;
        println!(
            "{histogram}\nseed {}, {processes} processes, {:.0} s",
            self.seed,
            began.elapsed().as_secs_f64()
        );
        Ok(if histogram.bad().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

#[derive(Args)]
pub(crate) struct CorruptionChild {
    #[arg(long)]
    fixtures: PathBuf,
    #[arg(long)]
    medium: StoreMedium,
    #[arg(long)]
    scratch: PathBuf,
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    first: u64,
    #[arg(long)]
    step: u64,
    #[arg(long)]
    end: u64,
}

impl CorruptionChild {
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
        let Self { fixtures, medium, scratch, seed, first, step, end } = self;
        let all = Work { fixtures, medium, scratch, seed, first, step, end };
        work(&all, &mut std::io::stdout()).map_err(|error| error.to_string())?;
        Ok(ExitCode::SUCCESS)
    }
}
