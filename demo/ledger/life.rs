//! One life of the ledger's process, from start to death, as the parent sees it. Every wait has a
//! limit.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::medium::Medium;
use crate::protocol::{Malformed, Report, Request};
use crate::tier::Tier;

/// How long the ledger may say nothing while something is expected of it. Longer than the ledger's
/// own limit for a call into its store, so that its own message comes first.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How much is kept of what the ledger says on stderr.
const STDERR_LINES_MAX: usize = 40;

/// How to start the ledger.
pub(crate) struct Start {
    pub(crate) program: PathBuf,
    pub(crate) store: PathBuf,
    pub(crate) tier: Tier,
    pub(crate) medium: Option<Medium>,
}

/// The ledger did what it should not. The message ends with what it said on stderr.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("the ledger's process can't be handled: {0}")]
    Process(#[from] io::Error),
    #[error("the ledger ended by itself ({status}); on stderr it said:\n{stderr}")]
    Died { status: ExitStatus, stderr: String },
    #[error("the ledger has said nothing for {} s and was killed; on stderr it said:\n{stderr}", SILENCE_MAX.as_secs())]
    Hangs { stderr: String },
    #[error("the ledger does not keep to the protocol: {what}")]
    Protocol { what: String },
}

impl From<Malformed> for Trouble {
    fn from(malformed: Malformed) -> Self {
        Self::Protocol { what: malformed.to_string() }
    }
}

/// A running ledger. Dropped, it is killed.
pub(crate) struct Life {
    child: Child,
    requests: Option<BufWriter<ChildStdin>>,
    reports: Receiver<Result<Report, Malformed>>,
    stderr: Option<JoinHandle<String>>,
}

impl Life {
    pub(crate) fn start(start: &Start) -> Result<Self, Trouble> {
        let mut child = Command::new(&start.program)
            .arg("serve")
            .arg("--store")
            .arg(&start.store)
            .args(["--tier", start.tier.as_argument()])
            .args(start.medium.iter().flat_map(|medium| ["--medium", medium.as_argument()]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            unreachable!("all three were asked for")
        };
        Ok(Self {
            child,
            requests: Some(BufWriter::new(stdin)),
            reports: read_reports(stdout),
            stderr: Some(std::thread::spawn(|| last_lines(stderr))),
        })
    }

    /// Hands a request over; `flush` sees to it that it is on its way. Does not block: the
    /// caller has so few requests without an answer that they fit the pipe.
    pub(crate) fn send(&mut self, request: &Request) -> Result<(), Trouble> {
        let Some(requests) = &mut self.requests else { unreachable!("nothing is sent after the end") };
        match writeln!(requests, "{request}") {
            Ok(()) => Ok(()),
            Err(error) => Err(self.broken(error)),
        }
    }

    pub(crate) fn flush(&mut self) -> Result<(), Trouble> {
        match self.requests.as_mut().map_or(Ok(()), Write::flush) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// A report that is already here.
    pub(crate) fn try_next(&mut self) -> Result<Option<Report>, Trouble> {
        // That there will be no more is for `next` to find out.
        Ok(self.reports.try_recv().ok().transpose()?)
    }

    /// Waits for a report.
    pub(crate) fn next(&mut self) -> Result<Report, Trouble> {
        self.flush()?;
        match self.reports.recv_timeout(SILENCE_MAX) {
            Ok(report) => Ok(report?),
            Err(RecvTimeoutError::Timeout) => Err(self.hangs()),
            Err(RecvTimeoutError::Disconnected) => Err(self.died()),
        }
    }

    /// Kills it with SIGKILL, and gives what it had reported until then: a report in the pipe
    /// counts, because what it reports was on stable storage when it was written.
    pub(crate) fn kill(&mut self) -> Result<Vec<Report>, Trouble> {
        self.flush()?;
        if self.child.try_wait()?.is_some() {
            return Err(self.died());
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.reports.iter().collect::<Result<_, _>>()?)
    }

    /// Ends its input, and waits until it has shut down in good order. Gives its last reports.
    pub(crate) fn end(&mut self) -> Result<Vec<Report>, Trouble> {
        self.flush()?;
        drop(self.requests.take());
        let deadline = Instant::now() + SILENCE_MAX;
        let mut last = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.reports.recv_timeout(left) {
                Ok(report) => last.push(report?),
                Err(RecvTimeoutError::Timeout) => return Err(self.hangs()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // Its stdout is closed, so it has nothing left to do but to end.
        if self.child.wait()?.success() { Ok(last) } else { Err(self.died()) }
    }

    fn broken(&mut self, error: io::Error) -> Trouble {
        if error.kind() == io::ErrorKind::BrokenPipe { self.died() } else { error.into() }
    }

    /// Its pipes are closed: it has died, or is about to.
    fn died(&mut self) -> Trouble {
        match self.child.wait() {
            Ok(status) => Trouble::Died { status, stderr: self.stderr() },
            Err(error) => error.into(),
        }
    }

    fn hangs(&mut self) -> Trouble {
        match self.child.kill().and_then(|()| self.child.wait()) {
            Ok(_) => Trouble::Hangs { stderr: self.stderr() },
            Err(error) => error.into(),
        }
    }

    fn stderr(&mut self) -> String {
        let lines = self.stderr.take().and_then(|reading| reading.join().ok());
        lines.filter(|lines| !lines.is_empty()).unwrap_or_else(|| "(nothing)".to_owned())
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // Both do nothing when it is dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads reports on a thread of its own, so that the ledger never waits for the parent to take
/// them.
fn read_reports(stdout: impl Read + Send + 'static) -> Receiver<Result<Report, Malformed>> {
    let (reports, received) = channel();
    std::thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        while stdout.read_line(&mut line).is_ok() {
            // A line without its end was being written when the process died: it says nothing.
            let Some(whole) = line.strip_suffix('\n') else {
                return;
            };
            if reports.send(whole.parse()).is_err() {
                return;
            }
            line.clear();
        }
    });
    received
}

fn last_lines(stderr: impl Read) -> String {
    let mut last = VecDeque::new();
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if last.len() == STDERR_LINES_MAX {
            last.pop_front();
        }
        last.push_back(line);
    }
    Vec::from(last).join("\n")
}
