//! Every limit of the runtime that is not a limit of what is stored, with its unit in its name.

use std::time::Duration;

/// How many places the mailbox of one actor has. Messages from outside hold theirs until they are handled; without one
/// their senders wait.
pub(crate) const MAILBOX_PLACES_MAX: usize = 2048;

/// A message takes one place, and one more for each of these that its payload fills: so a mailbox holds at most 2048
/// messages and about 8 MiB. A lone actor handles half of them with each commit.
pub(crate) const MAILBOX_PLACE_BYTES: usize = 4096;

/// How many places of a mailbox are given back together.
pub(crate) const FREED_PLACES_MAX: u32 = 64;

/// How many tells are encoded together while they wait.
pub(crate) const RUN_MESSAGES_MAX: u32 = 128;

/// How many bytes of them. A larger message is encoded by itself.
pub(crate) const RUN_BYTES_MAX: usize = 64 << 10;

/// How many buffers of mailboxes a thread keeps warm for the next.
pub(crate) const SPARE_MAILBOXES_MAX: usize = 64;

/// The most bytes of one of them.
pub(crate) const SPARE_MAILBOX_BYTES_MAX: usize = 64 << 10;

/// How many messages an actor takes in at once.
pub(crate) const INTAKE_MESSAGES_MAX: usize = 1024;

/// How many payload bytes an actor takes in at once.
pub(crate) const INTAKE_BYTES_MAX: usize = 1 << 20;

/// How many sent messages an actor may owe before it handles nothing more until receivers have logged some.
pub(crate) const OUTBOX_MESSAGES_MAX: usize = 4096;

/// How many bytes of frames gather while a commit is under way, before appenders have to wait.
pub(crate) const COMMIT_BUFFER_BYTES_MAX: usize = 4 << 20;

/// A block of so many records was one of a busy log: the next one gathers for as long as more comes.
pub(crate) const GATHER_RECORDS_MIN: u32 = 64;

/// How long the next block of a busy log gathers at most, counted from the moment at which the one before had gathered.
pub(crate) const GATHER_MAX: Duration = Duration::from_micros(1_200);

/// What comes within this time is worth waiting for.
pub(crate) const GATHER_SLICE: Duration = Duration::from_micros(100);

/// With so many bytes of frames a block is not waited for: one that is larger costs about as much more as it is larger.
pub(crate) const GATHER_BYTES_MAX: usize = 256 << 10;

/// How many checkpoints wait to be written, before actors that take one have to wait.
pub(crate) const CHECKPOINT_QUEUE_MAX: usize = 256;

/// How many actors that hold the cut of the log back are asked for checkpoints at a time.
pub(crate) const CHECKPOINTS_ASKED_MAX: usize = CHECKPOINT_QUEUE_MAX;

/// How many checkpoints are written with one sync.
pub(crate) const CHECKPOINT_GROUP_MAX: usize = 128;

/// How many bytes of checkpoints are gathered for one sync; a larger one is written alone.
pub(crate) const CHECKPOINT_GROUP_BYTES_MAX: usize = 1 << 20;

/// How long the code of a handler may run, after an opening, before it is taken for one that never ends.
pub(crate) const TRY_RUNS_MAX: Duration = Duration::from_secs(10);

/// How long a handler waits for something outside, after an opening, before its code is taken for harmless.
pub(crate) const TRY_WAITS_MAX: Duration = Duration::from_secs(1);

/// How many deliveries of one actor may be in quarantine, before it fails instead.
pub(crate) const QUARANTINED_MAX: usize = 1024;

/// How many payload bytes of one actor may be in quarantine; they are part of each of its checkpoints.
pub(crate) const QUARANTINED_BYTES_MAX: usize = 16 << 20;

/// How often policies that go by time are looked at, and idle actors looked for.
pub(crate) const MAINTENANCE_INTERVAL: Duration = Duration::from_millis(500);

/// How much stack the threads have on which actors are restored, unless it is set. Twice what a generous host gives its own.
pub(crate) const REPLAY_STACK_BYTES: usize = 128 << 20;

/// How long a shutdown waits for what was accepted to be handled, and for the checkpoints after that, unless it is set.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// Of how many passive actors of each kind an opening reads the checkpoint as a state.
pub(crate) const PASSIVE_CHECKED_MAX: usize = 256;

/// How many actors are restored after one note in the log, when the process before ended while it restored some.
pub(crate) const NOTED_TOGETHER_MAX: usize = 64;
