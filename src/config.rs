//! What a user can set, with its defaults.

use std::time::Duration;

use relive_storage::{Durability, MediumKind};

use crate::limits::{REPLAY_STACK_BYTES, SHUTDOWN_TIMEOUT};

/// When an actor is checkpointed: as soon as one of the bounds is reached.
///
/// Bounds are per actor and count what happened since its last checkpoint. Besides, the runtime checkpoints whoever
/// holds the log's cut back (see [`Config::log_bytes`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointPolicy {
    /// Deliveries and events. Default 10,000.
    pub records: u64,
    /// Bytes logged. Default 16 MiB.
    pub bytes: u64,
    /// Time, looked at twice a second, for actors that received anything. Default 5 minutes.
    pub age: Duration,
}

impl Default for CheckpointPolicy {
    fn default() -> Self {
        Self { records: 10_000, bytes: 16 << 20, age: Duration::from_secs(300) }
    }
}

impl CheckpointPolicy {
    /// Sets the bound in deliveries and events.
    #[must_use]
    pub fn records(mut self, records: u64) -> Self {
        self.records = records.max(1);
        self
    }

    /// Sets the bound in bytes logged.
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes.max(1);
        self
    }

    /// Sets the bound in time.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }
}

/// What happens to an actor whose handler panics: it alone is restored from its checkpoint and log, and tries the
/// delivery again; and to a delivery that ends the whole process.
///
/// A handler that ends the process (an abort, a stack that overflows) is found out by the openings after it. The first
/// goes on as usual. When its process ends before it is through with what it found, the next one tries actor by
/// actor, with a note in the log ahead of each, and the one after that tries the deliveries of the actor that was under
/// way one by one. So a delivery that always ends the process is left out after at most `tries + 3` ends; unless somebody
/// may have been answered, or have what it sent: then the actor stops, and every other opening tries it again.
///
/// The replay of what was handled may end the process too, under other code. When it has done so in `tries` lives with such
/// a note, its actor alone stops, for one opening: after at most `tries + 2` ends, and after as many again the next time.
/// Fewer stop nobody, since a process that is killed in a replay looks the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestartPolicy {
    /// How often one delivery is tried. Default 3.
    pub tries: u32,
    /// The wait before the first retry; it doubles from try to try. Default 10 ms.
    pub backoff: Duration,
    /// The longest wait. Default 1 s.
    pub backoff_max: Duration,
    /// What then. Default [`WhenExhausted::Quarantine`].
    pub when_exhausted: WhenExhausted,
}

/// What becomes of a delivery that was tried as often as the policy allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenExhausted {
    /// The actor leaves it out and goes on with the next; the decision is logged, so that a replay leaves it out too. The
    /// delivery can be inspected, tried again or dropped (`Runtime::quarantined`). An actor with over 1,024 deliveries or
    /// 16 MiB in quarantine fails instead.
    #[default]
    Quarantine,
    /// The actor takes nothing more until the store is reopened; then the delivery gets its tries again.
    Fail,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        let (backoff, backoff_max) = (Duration::from_millis(10), Duration::from_secs(1));
        Self { tries: 3, backoff, backoff_max, when_exhausted: WhenExhausted::default() }
    }
}

impl RestartPolicy {
    /// Sets how often one delivery is tried, at least once.
    #[must_use]
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries.max(1);
        self
    }

    /// Sets the wait before the first retry.
    #[must_use]
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets what becomes of a delivery that was tried so often.
    #[must_use]
    pub fn when_exhausted(mut self, when_exhausted: WhenExhausted) -> Self {
        self.when_exhausted = when_exhausted;
        self
    }

    /// The wait before try number `tried + 1`.
    pub(crate) fn wait(&self, tried: u32) -> Duration {
        let doubled =
            self.backoff.saturating_mul(1_u32.checked_shl(tried.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.backoff_max)
    }
}

/// All that a runtime is opened with.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Config {
    /// What the store survives. Default [`Durability::PowerLoss`].
    pub durability: Durability,
    /// What keeps the store; `None` for what is there, and sled for a new one.
    pub medium: Option<MediumKind>,
    /// When actors are checkpointed.
    pub checkpoints: CheckpointPolicy,
    /// What happens to actors that panic.
    pub restarts: RestartPolicy,
    /// The budget of the log in bytes. At half of it the log is cut, at five eighths actors that hold the cut back are
    /// checkpointed; over it senders outside wait as long as that makes progress. Default 256 MiB.
    pub log_bytes: u64,
    /// How long an actor is idle before it leaves memory, to be activated again by its next message. Default 60 s.
    pub passivate_after: Duration,
    /// How long a call into the store may take before the store is given up as hung. Default 30 s.
    pub store_timeout: Duration,
    /// How many bytes of stack the threads have on which actors are restored. Default 128 MiB.
    pub replay_stack_bytes: usize,
    /// How long a shutdown waits for each of its parts. Default 30 s.
    pub shutdown_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            medium: None,
            checkpoints: CheckpointPolicy::default(),
            restarts: RestartPolicy::default(),
            log_bytes: 256 << 20,
            passivate_after: Duration::from_secs(60),
            store_timeout: Duration::from_secs(30),
            replay_stack_bytes: REPLAY_STACK_BYTES,
            shutdown_timeout: SHUTDOWN_TIMEOUT,
        }
    }
}
