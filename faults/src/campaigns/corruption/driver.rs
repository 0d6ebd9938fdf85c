//! Runs many cases: builds the fixtures, starts processes that run the cases, goes on after a case
//! that kills or stops its process, and counts the outcomes.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use super::case::Case;
use super::fixtures::{self, Fixture};
use super::histogram::Histogram;
use crate::harness::campaign::run_jobs;
use crate::harness::medium::StoreMedium;

/// The cases to run.
#[derive(Clone, Debug)]
pub struct CorruptionCases {
    /// The program whose command `corruption-child` runs [`super::work`].
    pub program: PathBuf,
    /// The medium of the fixtures.
    pub medium: StoreMedium,
    /// The seed of all cases.
    pub seed: u64,
    /// The number of the first case.
    pub first: u64,
    /// How many cases.
    pub cases: u64,
    /// How many processes run at once.
    pub processes: u64,
    /// The directory for the fixtures and the damaged copies; memory is fastest.
    pub directory: PathBuf,
}

/// Runs the cases, and counts their outcomes.
///
/// # Errors
/// The driver can't build the fixtures, or can't start a process.
pub fn run(
    plan: &CorruptionCases,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Histogram, Box<dyn std::error::Error + Send + Sync>> {
    let root = plan.directory.join("fixtures");
    fixtures::build(&root, plan.medium).map_err(|error| error.to_string())?;
    let loaded = fixtures::load(&root, plan.medium).map_err(|error| error.to_string())?;
    let done = AtomicU64::new(0);
    let count = |so_many: u64| progress(done.fetch_add(so_many, Ordering::Relaxed) + so_many);
    let processes = usize::try_from(plan.processes)?;
    Ok(run_jobs(processes, |lane| {
        let lane = Lane { plan, fixtures: &loaded, root: &root, lane: lane as u64 };
        lane.run(&count)
    })?)
}

/// A lane runs every n-th case, for n lanes, in one process after the other.
struct Lane<'s> {
    plan: &'s CorruptionCases,
    fixtures: &'s [Fixture],
    root: &'s Path,
    lane: u64,
}

impl Lane<'_> {
    fn run(&self, count: &dyn Fn(u64)) -> io::Result<Histogram> {
        let mut histogram = Histogram::default();
        let mut next = self.plan.first + self.lane;
        let end = self.plan.first + self.plan.cases;
        while next < end {
            let scratch = self.plan.directory.join(format!("scratch-{}-{next}", self.lane));
            fs::create_dir_all(&scratch)?;
            let errors = self.plan.directory.join(format!("errors-{}", self.lane));
            let mut child = self.start(next, end, &scratch, &errors)?;
            let lines = lines(&mut child);
            let began = next;
            let fate = loop {
                match lines.recv_timeout(if next == began { FIRST_LIMIT } else { CASE_LIMIT }) {
                    Ok(line) => {
                        add(&mut histogram, &line, next);
                        next += self.plan.processes;
                        count(1);
                    }
                    Err(RecvTimeoutError::Disconnected) => break None,
                    Err(RecvTimeoutError::Timeout) => {
                        child.kill()?;
                        break Some(format!("HUNG for {CASE_LIMIT:?}"));
                    }
                }
            };
            let status = child.wait()?;
            let fate = fate
                .or_else(|| (!status.success()).then(|| format!("DIED {status}: {}", last_line(&errors))));
            if let Some(fate) = fate {
                let case = Case::draw(self.plan.seed, next, self.fixtures);
                let (file, corruption) = case.kind();
                histogram.count(case.fixture.name, &file, &corruption, &fate, &case.to_string());
                next += self.plan.processes;
                count(1);
            }
            fs::remove_dir_all(&scratch)?;
        }
        Ok(histogram)
    }

    fn start(&self, first: u64, end: u64, scratch: &Path, errors: &Path) -> io::Result<Child> {
        // No code may allocate a damaged length: under this limit such an allocation aborts, and
        // the driver sees that.
        let limited = format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\"");
        let [seed, first, step, end] =
            [self.plan.seed, first, self.plan.processes, end].map(|number| number.to_string());
        Command::new("sh")
            .arg("-c")
            .arg(limited)
            .arg(&self.plan.program)
            .args(["corruption-child", "--seed", &seed, "--first", &first, "--step", &step, "--end", &end])
            .args(["--medium", &self.plan.medium.to_string()])
            .arg("--fixtures")
            .arg(self.root)
            .arg("--scratch")
            .arg(scratch)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(errors)?)
            .spawn()
    }
}

/// Receives the lines of a process, so that a wait for a line can end.
fn lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

fn add(histogram: &mut Histogram, line: &str, expected: u64) {
    let words: Vec<_> = line.splitn(6, '\t').collect();
    let [number, fixture, file, corruption, outcome, case] = words[..] else {
        panic!("not a line of a child: {line}");
    };
    assert_eq!(number, expected.to_string(), "a child does its cases in order");
    histogram.count(fixture, file, corruption, outcome, case);
}

fn last_line(errors: &Path) -> String {
    let text = fs::read(errors).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
}

/// How long a case may take, with several calls that may each come near their own limit.
const CASE_LIMIT: Duration = Duration::from_secs(90);
/// The limit of a process's first case, before which the process checks its fixtures.
const FIRST_LIMIT: Duration = Duration::from_secs(180);
/// What a process may map: far more than a small store takes.
const MEMORY_KIB: u64 = 4 << 20;
