//! Dying at an exact boundary: a tracing layer that counts the boundary events of the store and the runtime (listed in
//! `relive::storage::boundary`), and kills the process with SIGKILL at the one that it was told. Nothing in the product
//! knows of it.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use relive::storage::boundary::TARGET;
use rustix::process::{Signal, getpid, kill_process};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

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
    reached: Arc<AtomicU64>,
    counts: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Boundaries {
    /// Counts all boundaries, and dies at `kill_at`.
    #[must_use]
    pub fn new(kill_at: Option<KillAt>) -> Self {
        Self { kill_at, ..Self::default() }
    }

    /// How often each boundary was reached so far.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S: Subscriber> Layer<S> for Boundaries {
    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        metadata.target() == TARGET
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let name = event.metadata().name();
        if let Some(kill_at) = &self.kill_at
            && kill_at.boundary == name
            && self.reached.fetch_add(1, Ordering::AcqRel) + 1 == kill_at.occurrence
        {
            die();
        }
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    }
}

/// Ends the process as `kill -9` does, and nothing comes after.
pub fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}
