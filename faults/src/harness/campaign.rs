//! The common part of campaigns: parallel jobs with added results, and a report of counts and of
//! violations, each with the command that repeats it. Knows no fault.

use std::fmt;
use std::io;
use std::path::PathBuf;

use tempfile::TempDir;

use super::medium::StoreMedium;

// No comment for the documentation: clap would take it for what the whole command is about.
#[derive(Clone, Copy, Debug, clap::Args)]
#[expect(missing_docs, reason = "the arguments that every campaign has")]
pub struct CommonArguments {
    /// What everything is drawn from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What keeps the stores.
    #[arg(long, default_value_t = StoreMedium::Sled)]
    pub medium: StoreMedium,
}

/// A broken promise, with the command that repeats it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The case, image or store.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// The command that repeats it.
    pub repeat: String,
    /// The directory that keeps the evidence.
    pub kept: Option<PathBuf>,
    /// The standard error of the process.
    pub errors: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, what, repeat, kept, errors } = self;
        write!(f, "VIOLATION in {place}\n  {what}\n  repeat: {repeat}")?;
        kept.iter().try_for_each(|kept| write!(f, "\n  kept: {}", kept.display()))?;
        errors.lines().try_for_each(|line| write!(f, "\n  | {line}"))
    }
}

/// A printed report: counts by name, and the violations.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The counts in their order.
    pub rows: &'a [(String, u64)],
    /// The violations; of very many only the first.
    pub violations: &'a [Found],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, count: u64| writeln!(f, "| {name:<52} | {count:>9} |");
        self.rows.iter().try_for_each(|(name, count)| row(name, *count))?;
        row("violations", self.violations.len() as u64)?;
        self.violations.iter().take(SHOWN).try_for_each(|found| writeln!(f, "{found}"))
    }
}

/// How many violations a report shows in full.
const SHOWN: usize = 20;

/// The results of jobs, which can be added.
pub trait Results: Default + Send {
    /// Adds the results of another job.
    fn add(&mut self, other: Self);
}

impl<T: Send> Results for Vec<T> {
    fn add(&mut self, other: Self) {
        self.extend(other);
    }
}

/// Runs jobs side by side, and adds up their results.
///
/// # Errors
/// The error of the first job that could not go on.
pub fn run_jobs<R: Results>(jobs: usize, job: impl Fn(usize) -> io::Result<R> + Sync) -> io::Result<R> {
    let job = &job;
    let done: Vec<_> = std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..jobs.max(1)).map(|number| scope.spawn(move || job(number))).collect();
        let joined = jobs.into_iter().map(|job| job.join());
        joined.map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut all = R::default();
    for results in done {
        all.add(results?);
    }
    Ok(all)
}

/// A new temporary directory, in memory if the system has a file system there.
///
/// # Errors
/// The system can't make it.
pub fn scratch(prefix: &str) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(prefix);
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_added_up_and_one_that_fails_is_told() {
        let mut all = run_jobs(3, |number| Ok(vec![number])).unwrap();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
        let failed = run_jobs(2, |number| match number {
            0 => Ok(vec![number]),
            _ => Err(io::Error::other("no")),
        });
        assert_eq!(failed.unwrap_err().to_string(), "no");
    }
}
