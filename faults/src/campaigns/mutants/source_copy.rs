//! A copy of the sources with its own target directory, in which the campaign makes mutants and
//! runs tests.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::mutant::{Edit, Test};

/// One copy. It stays for the next run, which then builds only what has changed.
pub(super) struct SourceCopy {
    root: PathBuf,
}

/// The outcome of a test.
pub(super) enum Outcome {
    Passed,
    /// The names of the tests that failed, or how the process ended.
    Failed(String),
    /// The test did not end.
    Hung,
}

/// Why the campaign can't judge a mutant.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// Its text does not stand in the file exactly once: bring the list up to date.
    #[error("{file} holds {found} times: {text}")]
    Text { file: &'static str, found: usize, text: &'static str },
    /// The mutant does not build: correct the replacement.
    #[error("the mutant does not build:\n{0}")]
    Build(String),
    /// There is no test of that name.
    #[error("no test is called {0}")]
    NoTest(&'static str),
    /// The campaign can't write the copy, or can't run cargo.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl SourceCopy {
    /// Brings a copy of the tracked files of `tree` up to date, and leaves equal files untouched.
    pub(super) fn new(tree: &Path, root: PathBuf) -> io::Result<Self> {
        let listed = Command::new("git")
            .current_dir(tree)
            .args(["ls-files", "-z", "-co", "--exclude-standard"])
            .output()?;
        let names: Vec<_> = listed
            .stdout
            .split(|byte| *byte == 0)
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        fs::create_dir_all(root.join("tree"))?;
        let kept = fs::read_to_string(root.join("files")).unwrap_or_default();
        for name in kept.lines().filter(|old| !names.iter().any(|name| name == old)) {
            let _ = fs::remove_file(root.join("tree").join(name));
        }
        for name in names.iter().filter(|name| !name.is_empty()) {
            let (from, to) = (tree.join(name), root.join("tree").join(name));
            let Ok(content) = fs::read(&from) else { continue };
            if fs::read(&to).is_ok_and(|found| found == content) {
                continue;
            }
            fs::create_dir_all(to.parent().unwrap_or(&root))?;
            fs::write(to, content)?;
        }
        fs::write(root.join("files"), names.join("\n"))?;
        Ok(Self { root })
    }

    /// Runs a test with edits, and undoes them.
    pub(super) fn without(&self, edits: &[Edit], test: &Test) -> Result<Outcome, Unfit> {
        let mut before = Vec::new();
        let edited = edits.iter().try_for_each(|edit| {
            let path = self.root.join("tree").join(edit.file);
            let content = fs::read_to_string(&path)?;
            let found = content.matches(edit.find).count();
            if found != 1 {
                return Err(Unfit::Text { file: edit.file, found, text: edit.find });
            }
            fs::write(&path, content.replacen(edit.find, edit.replace, 1))?;
            before.push((path, content));
            Ok(())
        });
        let outcome = edited.and_then(|()| self.run(test));
        // In reverse, so that a file with two edits gets its first content back.
        for (path, content) in before.iter().rev() {
            fs::write(path, content)?;
        }
        outcome
    }

    /// Builds and runs a test.
    fn run(&self, test: &Test) -> Result<Outcome, Unfit> {
        self.run_all(test, &[test.filter])
    }

    /// Builds and runs tests of one binary.
    pub(super) fn run_all(&self, test: &Test, filters: &[&'static str]) -> Result<Outcome, Unfit> {
        let mut arguments = vec!["test", "-p", test.package];
        arguments.extend(test.binary);
        self.build(&[&arguments[..], &["--no-run"]].concat())?;
        if !test.needs.is_empty() {
            self.build(&[&["build"], test.needs].concat())?;
        }
        arguments.push("--");
        arguments.extend(filters);
        let limit =
            if filters.len() == 1 { if test.hangs { HANG_LIMIT } else { TEST_LIMIT } } else { BUILD_LIMIT };
        let (status, output) = self.cargo(&arguments, limit)?;
        if !output.contains("running ") || output.contains("running 0 tests") {
            return Err(Unfit::NoTest(test.filter));
        }
        Ok(match status {
            None => Outcome::Hung,
            Some(status) if status.success() => Outcome::Passed,
            Some(status) => Outcome::Failed(failed(&output, status)),
        })
    }

    fn build(&self, arguments: &[&str]) -> Result<(), Unfit> {
        match self.cargo(arguments, BUILD_LIMIT)? {
            (Some(status), _) if status.success() => Ok(()),
            (_, output) => Err(Unfit::Build(output)),
        }
    }

    /// Runs cargo; returns no status when it took too long.
    fn cargo(&self, arguments: &[&str], limit: Duration) -> io::Result<(Option<ExitStatus>, String)> {
        let log = self.root.join("output");
        let output = File::create(&log)?;
        let mut child = Command::new("cargo")
            .args(arguments)
            .current_dir(self.root.join("tree"))
            .env("CARGO_TARGET_DIR", self.root.join("target"))
            .env("CARGO_TERM_COLOR", "never")
            // Each mutant changes a line or two.
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_NET_OFFLINE", "true")
            .env("RUST_BACKTRACE", "0")
            .env("PROPTEST_FAILURE_PERSISTENCE", "off")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()?;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if began.elapsed() > limit {
                // Kills the test that cargo runs too: it would never end.
                kill_process_group(Pid::from_child(&child), Signal::KILL)?;
                child.wait()?;
                break None;
            }
            std::thread::sleep(POLL);
        };
        Ok((status, String::from_utf8_lossy(&fs::read(log)?).into_owned()))
    }
}

fn failed(output: &str, status: ExitStatus) -> String {
    let names = output.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    let names: Vec<_> = names.map(|name| name.rsplit("::").next().unwrap_or(name)).collect();
    if names.is_empty() { format!("the process ended: {status}") } else { names.join(", ") }
}

/// Enough to build everything anew on a busy machine.
const BUILD_LIMIT: Duration = Duration::from_secs(900);
/// Far above what each of the tests takes.
const TEST_LIMIT: Duration = Duration::from_secs(40);
/// Shorter: on these mutants the tests hang as expected.
const HANG_LIMIT: Duration = Duration::from_secs(12);
const POLL: Duration = Duration::from_millis(20);
