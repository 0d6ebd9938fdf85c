//! Does many cases: builds the specimens, has processes do the cases, goes on after those that kill or stop one, and
//! counts what came out.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use super::case::Case;
use super::histogram::Histogram;
use super::specimens::{self, Specimen};
use crate::kept::Kept;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The program of which `damage-child` does [`super::work`].
    pub program: PathBuf,
    /// What keeps the specimens.
    pub medium: Kept,
    /// The seed of all cases.
    pub seed: u64,
    /// The number of the first case.
    pub first: u64,
    /// How many cases.
    pub cases: u64,
    /// How many processes at once.
    pub processes: u64,
    /// Where the specimens and the damaged copies go; memory is fastest.
    pub directory: PathBuf,
}

/// Does it.
///
/// # Errors
/// When the specimens can't be made, or a process not be started.
pub fn sweep(
    sweep: &Sweep,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Histogram, Box<dyn std::error::Error + Send + Sync>> {
    let root = sweep.directory.join("specimens");
    specimens::build(&root, sweep.medium).map_err(|error| error.to_string())?;
    let loaded = specimens::load(&root, sweep.medium).map_err(|error| error.to_string())?;
    let done = AtomicU64::new(0);
    let count = |so_many: u64| progress(done.fetch_add(so_many, Ordering::Relaxed) + so_many);
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..sweep.processes)
            .map(|lane| {
                let (loaded, root, count) = (&loaded, &root, &count);
                scope.spawn(move || Lane { sweep, specimens: loaded, root, lane }.run(count))
            })
            .collect();
        let mut histogram = Histogram::default();
        for lane in lanes {
            match lane.join() {
                Ok(counted) => histogram.merge(counted?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(histogram)
    })
}

/// Every so manieth case, done by one process after the other.
struct Lane<'s> {
    sweep: &'s Sweep,
    specimens: &'s [Specimen],
    root: &'s Path,
    lane: u64,
}

impl Lane<'_> {
    fn run(&self, count: &dyn Fn(u64)) -> io::Result<Histogram> {
        let mut histogram = Histogram::default();
        let mut next = self.sweep.first + self.lane;
        let end = self.sweep.first + self.sweep.cases;
        while next < end {
            let scratch = self.sweep.directory.join(format!("scratch-{}-{next}", self.lane));
            fs::create_dir_all(&scratch)?;
            let errors = self.sweep.directory.join(format!("errors-{}", self.lane));
            let mut child = self.start(next, end, &scratch, &errors)?;
            let lines = lines(&mut child);
            let began = next;
            let fate = loop {
                match lines.recv_timeout(if next == began { FIRST_LIMIT } else { CASE_LIMIT }) {
                    Ok(line) => {
                        add(&mut histogram, &line, next);
                        next += self.sweep.processes;
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
                let case = Case::draw(self.sweep.seed, next, self.specimens);
                let (file, injury) = case.kind();
                histogram.add(case.specimen.name, &file, &injury, &fate, &case.to_string());
                next += self.sweep.processes;
                count(1);
            }
            fs::remove_dir_all(&scratch)?;
        }
        Ok(histogram)
    }

    fn start(&self, first: u64, end: u64, scratch: &Path, errors: &Path) -> io::Result<Child> {
        // A damaged length must not be allocated: with this limit it is an abort, which is seen.
        let limited = format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\"");
        let [seed, first, step, end] =
            [self.sweep.seed, first, self.sweep.processes, end].map(|number| number.to_string());
        Command::new("sh")
            .arg("-c")
            .arg(limited)
            .arg(&self.sweep.program)
            .args(["damage-child", "--seed", &seed, "--first", &first, "--step", &step, "--end", &end])
            .args(["--medium", &self.sweep.medium.to_string()])
            .arg("--specimens")
            .arg(self.root)
            .arg("--scratch")
            .arg(scratch)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(errors)?)
            .spawn()
    }
}

/// The lines of a process as they come, so that waiting for one can have an end.
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
    let [number, specimen, file, injury, outcome, case] = words[..] else {
        panic!("not a line of a child: {line}");
    };
    assert_eq!(number, expected.to_string(), "a child does its cases in order");
    histogram.add(specimen, file, injury, outcome, case);
}

fn last_line(errors: &Path) -> String {
    let text = fs::read(errors).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
}

/// How long a case may take, with several calls that may each come near their own limit.
const CASE_LIMIT: Duration = Duration::from_secs(90);
/// The first of a process comes after its specimens were checked.
const FIRST_LIMIT: Duration = Duration::from_secs(180);
/// What a process may map: far more than a small store takes.
const MEMORY_KIB: u64 = 4 << 20;
