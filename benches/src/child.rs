//! A measurement in a process of its own: started, waited for with a limit, ended when nobody waits
//! any more.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::figures::Figures;

/// What a child is told, so that it ends when its input does.
pub(crate) const WATCHED: &str = "--watched";

/// A process that measures.
pub(crate) struct Child {
    process: std::process::Child,
    what: String,
}

impl Child {
    /// Starts `one` of this program with these arguments; its stores go to `data`.
    pub(crate) fn start(arguments: &[String], data: Option<&Path>) -> Result<Self> {
        let program = std::env::current_exe().context("where this program is")?;
        let mut command = Command::new(program);
        command.arg("one").args(arguments).arg(WATCHED);
        if let Some(data) = data {
            command.arg("--data").arg(data);
        }
        // duroxide logs to the standard output, unless it is told not to.
        command.env("RUST_LOG", "off");
        // Its input ends with this process, however that ends.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let what = arguments.join(" ");
        let process = command.spawn().with_context(|| format!("can't start {what}"))?;
        Ok(Self { process, what })
    }

    /// Waits until it has measured.
    pub(crate) fn figures(mut self, limit: Duration) -> Result<Figures> {
        let mut out = self.process.stdout.take().context("its output is piped")?;
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let read = out.read_to_string(&mut text).map(|_| text);
            // Nobody listens any more when it was too late.
            let _ = sender.send(read);
        });
        let what = std::mem::take(&mut self.what);
        let text = match receiver.recv_timeout(limit) {
            Ok(read) => read.with_context(|| format!("can't read what {what} says"))?,
            Err(RecvTimeoutError::Timeout) => bail!("{what} took more than {limit:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("{what} was not heard"),
        };
        let status = self.process.wait()?;
        ensure!(status.success(), "{what} ended with {status}");
        serde_json::from_str(text.trim_end()).with_context(|| format!("{what} said {text:?}"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In a child: ends this process when its parent is gone, and removes what it would have removed.
pub(crate) fn end_with_parent(data: Option<&Path>) {
    let data = data.map(Path::to_owned);
    std::thread::spawn(move || {
        let mut end = [0];
        while matches!(std::io::stdin().read(&mut end), Ok(1..)) {}
        if let Some(data) = data {
            // What can't be removed now stays for whoever looks into the directory.
            let _ = std::fs::remove_dir_all(data);
        }
        std::process::exit(1);
    });
}
