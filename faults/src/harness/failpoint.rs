//! Death at an exact boundary: counts the boundary events of the store and the runtime (listed in
//! `relive_storage::boundary`), and kills the process with SIGKILL at a given one. Nothing in the
//! product knows of it.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Signal, getpid, kill_process};

/// A boundary, and which of its occurrences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillAt {
    /// The name of the event.
    pub boundary: String,
    /// The first is 1.
    pub occurrence: u64,
}

impl FromStr for KillAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(name, count)| Some((name, count.parse().ok()?)));
        match parsed {
            Some((name, occurrence)) if occurrence > 0 => Ok(Self { boundary: name.to_owned(), occurrence }),
            _ => Err(format!("{text:?} is not the name of a boundary, a colon and a number from 1")),
        }
    }
}

impl std::fmt::Display for KillAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.boundary, self.occurrence)
    }
}

/// Counts boundaries, and dies at one.
#[derive(Clone, Debug, Default)]
pub struct Boundaries {
    kill_at: Option<KillAt>,
    /// How often the process has reached the boundary of `kill_at`.
    at_kill: Arc<AtomicU64>,
    counts: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Boundaries {
    /// Counts all boundaries, and dies at `kill_at`.
    #[must_use]
    pub fn new(kill_at: Option<KillAt>) -> Self {
        Self { kill_at, ..Self::default() }
    }

    /// How often the process has reached each boundary so far.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a boundary, or dies at it.
    pub fn reached(&self, name: &'static str) {
        if let Some(kill_at) = &self.kill_at
            && kill_at.boundary == name
            && self.at_kill.fetch_add(1, Ordering::AcqRel) + 1 == kill_at.occurrence
        {
            die();
        }
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    }
}

/// Ends the process as `kill -9` does: no code runs after it.
pub fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}
