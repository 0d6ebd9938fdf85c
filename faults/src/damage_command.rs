//! `relive-faults damage`: the arguments, and what is printed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command says on the terminal what it found")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use relive_faults::damage::{Sweep, Work, sweep, work};
use relive_faults::kept::Kept;

#[derive(Args)]
pub(crate) struct Damage {
    /// How many cases.
    #[arg(long, default_value_t = 1000)]
    cases: u64,
    /// What all cases follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What keeps the stores.
    #[arg(long, default_value_t = Kept::Sled)]
    medium: Kept,
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

impl Damage {
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
        let memory = Path::new("/dev/shm");
        let parent = self.directory.unwrap_or_else(|| {
            let writable = tempfile::tempfile_in(memory).is_ok();
            if writable { memory.to_owned() } else { std::env::temp_dir() }
        });
        let directory = tempfile::tempdir_in(parent)?;
        let (first, cases, processes) = match self.case {
            Some(case) => (case, 1, 1),
            None => (0, self.cases, self.processes.max(1)),
        };
        let plan = Sweep {
            program: std::env::current_exe()?,
            medium: self.medium,
            seed: self.seed,
            first,
            cases,
            processes,
            directory: directory.path().to_owned(),
        };
        let began = Instant::now();
        let histogram = sweep(&plan, &|done| {
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
pub(crate) struct DamageChild {
    #[arg(long)]
    specimens: PathBuf,
    #[arg(long)]
    medium: Kept,
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

impl DamageChild {
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
        let Self { specimens, medium, scratch, seed, first, step, end } = self;
        let all = Work { specimens, medium, scratch, seed, first, step, end };
        work(&all, &mut std::io::stdout()).map_err(|error| error.to_string())?;
        Ok(ExitCode::SUCCESS)
    }
}
