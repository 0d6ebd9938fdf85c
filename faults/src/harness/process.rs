//! A watched child process: each wait for a line has a time limit, and the child dies with its
//! `Process`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long each step of a child may take: its opening, its next line, its end.
pub const STEP_LIMIT: Duration = Duration::from_secs(60);

/// A child process and its output.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
}

/// A child that took longer than [`STEP_LIMIT`] for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no step forward in {STEP_LIMIT:?}: {doing}")]
pub struct Hang {
    /// The step.
    pub doing: &'static str,
}

impl Process {
    /// Starts a command of this program.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn start(command: &mut Command) -> std::io::Result<Self> {
        // The child's input ends with its parent, so that the child can notice.
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (sender, lines) = channel();
        let out = child.stdout.take().expect("it was asked to be piped");
        std::thread::spawn(move || {
            let mut out = BufReader::new(out);
            let mut line = String::new();
            // A death cut a line without an end, so the line does not count.
            while matches!(out.read_line(&mut line), Ok(1..)) && line.ends_with('\n') {
                line.pop();
                if sender.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
        let mut error = child.stderr.take().expect("it was asked to be piped");
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = error.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Self { child, lines, errors: Some(errors) })
    }

    /// The process id of the child.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line; `None` when the output has ended.
    ///
    /// # Errors
    /// [`Hang`]
    pub fn line(&self, doing: &'static str) -> Result<Option<String>, Hang> {
        match self.lines.recv_timeout(STEP_LIMIT) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(Hang { doing }),
        }
    }

    /// Kills the child with SIGKILL. Its earlier output stays readable.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// Waits for the child's end. Returns how it ended, and its standard error.
    ///
    /// # Errors
    /// [`Hang`]
    pub fn end(mut self) -> Result<(ExitStatus, String), Hang> {
        let since = Instant::now();
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                _ if since.elapsed() > STEP_LIMIT => return Err(Hang { doing: "ending" }),
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let errors = self.errors.take().and_then(|errors| errors.join().ok());
        Ok((status, errors.unwrap_or_default()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
