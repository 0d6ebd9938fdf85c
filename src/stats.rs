//! The counts of a runtime: as numbers for its owner, and through the `metrics` facade for
//! collectors.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts since the opening of a runtime; [`Runtime::stats`](crate::Runtime::stats) returns them.
///
/// # Examples
/// ```no_run
/// # fn example(runtime: relive::Runtime) {
/// let stats = runtime.stats();
/// println!("{} deliveries in {} commits", stats.deliveries, stats.commits);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records logged, of all kinds.
    pub records: u64,
    /// Deliveries logged.
    pub deliveries: u64,
    /// Bytes of blocks logged.
    pub bytes: u64,
    /// Commits: blocks written, and synced where the durability asks for it.
    pub commits: u64,
    /// Time spent in writing and syncing commits.
    pub commit_time: Duration,
    /// Deliveries replayed, at open and after panics.
    pub replayed: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Actors restarted after a panic.
    pub restarts: u64,
    /// Deliveries put into quarantine.
    pub quarantined: u64,
    /// Messages that receivers dropped because they had them already.
    pub duplicates: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    records: AtomicU64,
    deliveries: AtomicU64,
    bytes: AtomicU64,
    commits: AtomicU64,
    commit_nanos: AtomicU64,
    replayed: AtomicU64,
    checkpoints: AtomicU64,
    restarts: AtomicU64,
    quarantined: AtomicU64,
    duplicates: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            records: read(&self.records),
            deliveries: read(&self.deliveries),
            bytes: read(&self.bytes),
            commits: read(&self.commits),
            commit_time: Duration::from_nanos(read(&self.commit_nanos)),
            replayed: read(&self.replayed),
            checkpoints: read(&self.checkpoints),
            restarts: read(&self.restarts),
            quarantined: read(&self.quarantined),
            duplicates: read(&self.duplicates),
        }
    }

    pub(crate) fn committed(&self, records: u64, bytes: u64, took: Duration) {
        add(&self.records, records);
        add(&self.bytes, bytes);
        add(&self.commits, 1);
        add(&self.commit_nanos, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        metrics::counter!("relive_records_total").increment(records);
        metrics::counter!("relive_bytes_total").increment(bytes);
        metrics::counter!("relive_commits_total").increment(1);
        metrics::histogram!("relive_commit_seconds").record(took.as_secs_f64());
    }

    pub(crate) fn delivered(&self, deliveries: u64) {
        add(&self.deliveries, deliveries);
        metrics::counter!("relive_deliveries_total").increment(deliveries);
    }

    pub(crate) fn replayed(&self, deliveries: u64) {
        add(&self.replayed, deliveries);
        metrics::counter!("relive_replayed_total").increment(deliveries);
    }

    pub(crate) fn checkpointed(&self, checkpoints: u64) {
        add(&self.checkpoints, checkpoints);
        metrics::counter!("relive_checkpoints_total").increment(checkpoints);
    }

    pub(crate) fn restarted(&self) {
        add(&self.restarts, 1);
        metrics::counter!("relive_restarts_total").increment(1);
    }

    pub(crate) fn quarantined(&self) {
        add(&self.quarantined, 1);
        metrics::counter!("relive_quarantined_total").increment(1);
    }

    pub(crate) fn duplicates(&self, messages: u64) {
        add(&self.duplicates, messages);
        metrics::counter!("relive_duplicates_total").increment(messages);
    }

    pub(crate) fn queues(actors: usize, waiting: usize, commit_bytes: usize, checkpoints: usize) {
        metrics::gauge!("relive_actors_in_memory").set(actors as f64);
        metrics::gauge!("relive_mailbox_messages").set(waiting as f64);
        metrics::gauge!("relive_commit_buffer_bytes").set(commit_bytes as f64);
        metrics::gauge!("relive_checkpoint_queue").set(checkpoints as f64);
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
