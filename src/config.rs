//! What a user can set, with its defaults.

use std::time::Duration;

use relive_storage::{Durability, MediumKind};

use crate::limits::{IDEMPOTENCY_RETENTION, REPLAY_STACK_BYTES, SHUTDOWN_TIMEOUT};

/// Says when the runtime checkpoints an actor: as soon as the actor reaches one of the bounds.
///
/// Bounds are per actor and count from its last checkpoint. The runtime also checkpoints actors
/// that hold the log's cut back (see [`Builder::log_bytes`](crate::Builder::log_bytes)).
///
/// # Examples
/// ```no_run
/// # use relive::{Actor, Context, Handle, Message, Runtime};
/// use relive::CheckpointPolicy;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Counter(u64);
/// # impl Actor for Counter { const KIND: &'static str = "counter"; fn create(_: &str) -> Self { Counter(0) } }
/// # #[derive(Serialize, Deserialize)] struct Add(u64);
/// # impl Message for Add { const NAME: &'static str = "add"; type Reply = u64; }
/// # impl Handle<Add> for Counter {
/// #     async fn handle(&mut self, m: Add, _: &mut Context<'_>) -> u64 { self.0 += m.0; self.0 }
/// # }
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = CheckpointPolicy::default().records(1_000).age(std::time::Duration::from_secs(60));
/// let builder = Runtime::builder().actor::<Counter>(|counter| counter.handles::<Add>());
/// let runtime = builder.checkpoints(policy).open("counters").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointPolicy {
    /// Deliveries and events. Default 10,000.
    pub records: u64,
    /// Bytes logged. Default 16 MiB.
    pub bytes: u64,
    /// Time, checked twice a second, for actors that received anything. Default 5 minutes.
    pub age: Duration,
}

impl Default for CheckpointPolicy {
    fn default() -> Self {
        Self { records: 10_000, bytes: 16 << 20, age: Duration::from_secs(300) }
    }
}

impl CheckpointPolicy {
    /// Sets the bound in deliveries and events; 0 counts as 1.
    #[must_use]
    pub fn records(mut self, records: u64) -> Self {
        self.records = records.max(1);
        self
    }

    /// Sets the bound in bytes logged; 0 counts as 1.
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

/// Says what happens to an actor whose handler panics, and to a delivery that ends the process.
///
/// After a panic the runtime restores that actor alone from its checkpoint and log, and the actor
/// tries the delivery again.
///
/// A handler may also end the whole process (an abort, a stack overflow). The next openings find
/// that delivery. The first opening runs as usual. When its process ends before it has handled
/// what it found, the next opening tries one actor at a time, with a note in the log ahead of each.
/// The opening after that tries the deliveries of the actor under way one by one. So the runtime
/// leaves a delivery that always ends the process out after at most `tries + 3` ends. There is one
/// exception: when a caller may have an answer, when a query may have shown what the delivery did
/// (its kind answers queries), or when a receiver may have what the delivery sent, the actor stops
/// instead, and every other opening tries the delivery again.
///
/// Under other code, the replay of handled deliveries may end the process too. When it has done so
/// in `tries` lives with such a note, that actor alone stops, for one opening: after at most
/// `tries + 2` ends, and after as many again the next time. Fewer ends stop no actor, since a
/// process that was killed in a replay looks the same.
///
/// # Examples
/// ```no_run
/// # use relive::{Actor, Context, Handle, Message, Runtime};
/// use relive::{RestartPolicy, WhenExhausted};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Counter(u64);
/// # impl Actor for Counter { const KIND: &'static str = "counter"; fn create(_: &str) -> Self { Counter(0) } }
/// # #[derive(Serialize, Deserialize)] struct Add(u64);
/// # impl Message for Add { const NAME: &'static str = "add"; type Reply = u64; }
/// # impl Handle<Add> for Counter {
/// #     async fn handle(&mut self, m: Add, _: &mut Context<'_>) -> u64 { self.0 += m.0; self.0 }
/// # }
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = RestartPolicy::default().tries(5).when_exhausted(WhenExhausted::Fail);
/// let builder = Runtime::builder().actor::<Counter>(|counter| counter.handles::<Add>());
/// let runtime = builder.restarts(policy).open("counters").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestartPolicy {
    /// How often an actor tries one delivery. Default 3.
    pub tries: u32,
    /// The wait before the first retry; it doubles from try to try. Default 10 ms.
    pub backoff: Duration,
    /// The longest wait. Default 1 s.
    pub backoff_max: Duration,
    /// What happens after the last try. Default [`WhenExhausted::Quarantine`].
    pub when_exhausted: WhenExhausted,
}

/// What happens to a delivery after as many tries as the policy allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenExhausted {
    /// The actor leaves the delivery out and goes on with the next one. The log keeps the decision,
    /// so that a replay leaves the delivery out too. You can inspect the delivery, retry it or drop
    /// it (`Runtime::quarantined`). An actor that has 1,024 deliveries or 16 MiB in quarantine
    /// already fails instead.
    #[default]
    Quarantine,
    /// The actor takes nothing more until the next opening of the store, which gives the delivery
    /// its tries again.
    Fail,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        let (backoff, backoff_max) = (Duration::from_millis(10), Duration::from_secs(1));
        Self { tries: 3, backoff, backoff_max, when_exhausted: WhenExhausted::default() }
    }
}

impl RestartPolicy {
    /// Sets how often an actor tries one delivery; 0 counts as 1.
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

    /// Sets what happens to a delivery after the last try.
    #[must_use]
    pub fn when_exhausted(mut self, when_exhausted: WhenExhausted) -> Self {
        self.when_exhausted = when_exhausted;
        self
    }

    /// The wait before try number `tried + 1`.
    pub(crate) fn wait(&self, tried: u32) -> Duration {
        // Saturates, since a policy may ask for any number of tries, and the maximum bounds it.
        let doubled =
            self.backoff.saturating_mul(1_u32.checked_shl(tried.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.backoff_max)
    }
}

/// Every setting of a runtime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    /// What the store survives. Default [`Durability::PowerLoss`].
    pub(crate) durability: Durability,
    /// The medium; `None` for that of an existing store, and sled for a new one.
    pub(crate) medium: Option<MediumKind>,
    /// When the runtime checkpoints actors.
    pub(crate) checkpoints: CheckpointPolicy,
    /// What happens to actors that panic.
    pub(crate) restarts: RestartPolicy,
    /// The budget of the log in bytes. At half of it the runtime cuts the log, at five eighths it
    /// checkpoints actors that hold the cut back; over it senders outside wait as long as that
    /// makes progress. Default 256 MiB.
    pub(crate) log_bytes: u64,
    /// How long an actor is idle before it leaves memory; its next message activates it again.
    /// Default 60 s.
    pub(crate) passivate_after: Duration,
    /// How long a call into the store may take before it counts as hung. Default 30 s.
    pub(crate) store_timeout: Duration,
    /// How many bytes of stack the threads have that restore actors. Default 128 MiB.
    pub(crate) replay_stack_bytes: usize,
    /// How long a shutdown waits for each of its parts. Default 30 s.
    pub(crate) shutdown_timeout: Duration,
    /// How long an actor keeps the reply to a request with an idempotency key. Default 24 h.
    pub(crate) idempotency_retention: Duration,
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
            idempotency_retention: IDEMPOTENCY_RETENTION,
        }
    }
}
