//! The programs under test as processes: started, found by the line that they print, killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A process that listens. It dies with this value.
pub(crate) struct Process {
    child: Child,
    /// Kept open, since a process that can't print ends.
    _output: BufReader<ChildStdout>,
    /// Its first line: where it listens, and what it says besides.
    said: String,
}

impl Process {
    /// The provider, with each `lose_every`th answer lost.
    pub(crate) fn provider(ledger: &Path, lose_every: u64) -> Self {
        let mut command = program("provider");
        command.arg("--ledger").arg(ledger).args(["--lose-every", &lose_every.to_string()]);
        Self::start(command)
    }

    /// The shop on a directory.
    pub(crate) fn shop(directory: &Path, provider: &str, pay_within: &str, articles: &[String]) -> Self {
        let mut command = program("serve");
        command.arg("--data").arg(directory.join("data")).arg("--mails").arg(directory.join("mails"));
        command.args(["--provider", provider, "--pay-within", pay_within]);
        command.args(articles.iter().flat_map(|article| ["--article", article]));
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        output.read_line(&mut said).unwrap();
        assert!(said.starts_with("listening on http://"), "{command:?} did not start: {said:?}");
        Self { child, _output: output, said }
    }

    /// Where it listens: `http://127.0.0.1:40001`.
    pub(crate) fn address(&self) -> &str {
        let address = self.said.trim_start_matches("listening on ").trim_end();
        address.split(',').next().unwrap_or(address)
    }

    /// How many deliveries its opening relived.
    pub(crate) fn relived(&self) -> u64 {
        let number = self.said.split(", ").nth(1).and_then(|said| said.split(' ').next());
        number.and_then(|number| number.parse().ok()).unwrap()
    }

    /// Kills it at once, with no word to it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as Ctrl-C does, and holds that it ends well.
    pub(crate) fn interrupt(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, unless a test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program as cargo built it, on a free port.
fn program(process: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orders"));
    command.args([process, "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
    command
}
