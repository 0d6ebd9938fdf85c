//! A process that counts the boundaries that a store reaches, and dies at one.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use relive_storage::boundary::OnBoundary;
use rustix::process::{Signal, getpid, kill_process};

/// The boundary at which the process dies, as `name:occurrence`.
const KILL_AT: &str = "RELIVE_KILL_AT";

/// How often each boundary was reached.
pub(crate) type Reached = BTreeMap<String, u64>;

/// Runs a test in a process of its own that dies at a boundary, or at none. Returns its output.
pub(crate) fn run_and_die_at(test: &str, boundary: &str, variables: &[(&str, &Path)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(KILL_AT, boundary)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let died = output.status.signal() == Some(9) || output.status.success();
    assert!(died, "{boundary}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The boundaries that this process reaches.
pub(crate) struct Counting(Arc<Mutex<BTreeMap<&'static str, u64>>>);

/// Counts boundaries from now on, and dies at the one that [`run_and_die_at`] has named.
pub(crate) fn die_as_told() -> Counting {
    let boundary = std::env::var(KILL_AT).unwrap();
    let wanted = boundary.split_once(':').map(|(name, nth)| (name.to_owned(), nth.parse::<u64>().unwrap()));
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let counting = Counting(Arc::clone(&counts));
    let reached = move |name| {
        let mut counts = counts.lock().unwrap();
        let count = counts.entry(name).or_insert(0_u64);
        *count += 1;
        if wanted.as_ref().is_some_and(|(wanted, nth)| wanted == name && nth == count) {
            kill_process(getpid(), Signal::KILL).unwrap();
            loop {
                std::thread::park();
            }
        }
    };
    tracing::subscriber::set_global_default(OnBoundary(reached)).unwrap();
    counting
}

impl Counting {
    /// Prints them, for [`told`] in another process.
    pub(crate) fn tell(&self) {
        println!();
        for (name, count) in self.0.lock().unwrap().iter() {
            println!("reached {name} {count}");
        }
    }
}

/// What another process printed with [`Counting::tell`]; nothing when it died before that.
pub(crate) fn told(output: &str) -> Reached {
    let reached = output.lines().filter_map(|line| line.strip_prefix("reached ")?.rsplit_once(' '));
    reached.map(|(name, count)| (name.to_owned(), count.parse().unwrap())).collect()
}
