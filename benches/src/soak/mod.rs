//! The soak: the same long load on either medium, each in a process of its own; what it is judged
//! by, and its plot.

mod panels;
mod promises;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};

use crate::child::Child;
use crate::figures::Figures;
use crate::row::Outcome;
use crate::samples::Sample;
use crate::scenario::{Data, SoakLoad, beside_the_program};
use crate::suite::say;

use self::promises::Promise;

/// What `soak` is told.
#[derive(Args)]
pub(crate) struct SoakRun {
    #[arg(long, value_enum, default_value_t = Medium::Both)]
    medium: Medium,
    #[command(flatten)]
    load: SoakLoad,
    /// Minutes that are left out of slopes and of what is written; a fifth of the run when not
    /// given.
    #[arg(long)]
    warm_up: Option<f64>,
    /// Both media at the same time, not one after the other.
    #[arg(long)]
    together: bool,
    /// Where each look goes, as a line. A file of the same name that ends in `.json` has what was
    /// found at the end.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// The plot; beside the CSV file when not given.
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Measures nothing: judges and draws what the files of a run hold.
    #[arg(long)]
    again: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Medium {
    Sled,
    SegmentFiles,
    Both,
}

/// What came of a medium.
struct Course {
    promise: &'static Promise,
    samples: Vec<Sample>,
    /// From after the end; none when it ended early.
    figures: Option<Figures>,
}

/// Runs, judges and draws; gives the lines of the table.
pub(crate) fn soak(run: &SoakRun, data: &Data) -> Result<Vec<Outcome>> {
    run.load.check()?;
    let csv =
        run.csv.clone().map_or_else(|| Ok(beside_the_program("results")?.join("soak.csv")), anyhow::Ok)?;
    let ends = csv.with_extension("json");
    let promises: Vec<_> = promises::ALL.iter().filter(|promise| run.covers(promise)).collect();
    if !run.again {
        let directory = csv.parent().context("a file is in a directory")?;
        fs::create_dir_all(directory).with_context(|| format!("can't make {}", directory.display()))?;
        fs::write(&csv, Sample::head()).with_context(|| format!("can't write {}", csv.display()))?;
        let found = run.measure(&promises, &csv, data);
        serde_json::to_writer_pretty(File::create(&ends)?, &found)?;
    }
    let text = fs::read(&ends).with_context(|| format!("can't read {}", ends.display()))?;
    let mut found: BTreeMap<String, Figures> = serde_json::from_slice(&text)?;
    let courses = promises.into_iter().map(|promise| {
        let samples = Sample::read(&csv, promise.name)?;
        Ok(Course { promise, samples, figures: found.remove(promise.name) })
    });
    let courses = courses.collect::<Result<Vec<_>>>()?;
    let budget = run.load.log_bytes as f64;
    let plot = run.plot.clone().unwrap_or_else(|| csv.with_extension("svg"));
    panels::draw(&courses, budget, &plot)?;
    say(&format!("written: {}, {}, {}", csv.display(), ends.display(), plot.display()));
    let end = courses.iter().filter_map(|course| course.samples.last()).map(|sample| sample.minutes);
    let warm_up = run.warm_up.unwrap_or_else(|| end.fold(0.0, f64::max) / 5.0);
    Ok(courses.iter().flat_map(|course| course.outcomes(warm_up, budget, !run.together)).collect())
}

/// The promises that do not hold, a sentence each.
pub(crate) fn broken(outcomes: &[Outcome]) -> Vec<String> {
    let broken = outcomes.iter().filter(|outcome| outcome.value.is_none() || outcome.reached == Some(false));
    broken.map(|outcome| format!("{}: {}", outcome.row, outcome.sentence())).collect()
}

impl SoakRun {
    fn covers(&self, promise: &Promise) -> bool {
        match self.medium {
            Medium::Both => true,
            one => one.to_possible_value().is_some_and(|value| value.get_name() == promise.name),
        }
    }

    /// Runs the media; gives what each said at its end.
    fn measure(&self, promises: &[&'static Promise], csv: &Path, data: &Data) -> BTreeMap<String, Figures> {
        let one = |promise: &'static Promise| {
            let began = Instant::now();
            let outcome = self.child(promise, csv, data);
            say(&format!("{}, {:.1} minutes", promise.name, began.elapsed().as_secs_f64() / 60.0));
            outcome.map_err(|error| say(&format!("  FAILED: {error:#}"))).ok()
        };
        let found: Vec<_> = if self.together {
            thread::scope(|scope| {
                let threads: Vec<_> =
                    promises.iter().map(|promise| scope.spawn(move || one(promise))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
            })
        } else {
            promises.iter().map(|promise| one(promise)).collect()
        };
        let named = promises.iter().zip(found);
        named.filter_map(|(promise, figures)| Some((promise.name.to_owned(), figures?))).collect()
    }

    fn child(&self, promise: &Promise, csv: &Path, data: &Data) -> Result<Figures> {
        let tier = promise.tier.to_possible_value().context("a tier has a name")?;
        let csv = csv.to_str().ok_or_else(|| anyhow!("{} is not UTF-8", csv.display()))?;
        let mut arguments = vec!["soak".to_owned(), format!("--tier={}", tier.get_name())];
        arguments.extend([format!("--csv={csv}"), format!("--name={}", promise.name)]);
        arguments.extend(self.load.arguments());
        let directory = data.temporary()?;
        // What comes after the load: all actors are asked, the store is closed and gone through.
        let limit = Duration::from_secs_f64(self.load.minutes * 60.0) + Duration::from_secs(900);
        Child::start(&arguments, Some(directory.path()))?.figures(limit)
    }
}
