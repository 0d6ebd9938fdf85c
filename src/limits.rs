//! Every limit of the runtime, with its unit in its name. `relive_storage::limits` has those of
//! stored data.

use std::time::Duration;

/// How many places the mailbox of one actor has. Messages from outside hold theirs until the actor
/// has handled them. Without a free place senders wait.
pub(crate) const MAILBOX_PLACES_MAX: usize = 2048;

/// A message takes one place, and one more for each of these units that its payload fills. So a
/// mailbox holds at most 2048 messages and about 8 MiB. A lone actor handles half of its mailbox
/// with each commit.
pub(crate) const MAILBOX_PLACE_BYTES: usize = 4096;

/// How many places of a mailbox a turn returns in one step.
pub(crate) const FREED_PLACES_MAX: u32 = 64;

/// How many waiting tells form one run.
pub(crate) const RUN_MESSAGES_MAX: u32 = 128;

/// How many bytes form one run. A larger message is a run of its own.
pub(crate) const RUN_BYTES_MAX: usize = 64 << 10;

/// How many buffers of mailboxes a thread keeps warm for the next.
pub(crate) const SPARE_MAILBOXES_MAX: usize = 64;

/// The size in bytes up to which a thread keeps such a buffer.
pub(crate) const SPARE_MAILBOX_BYTES_MAX: usize = 64 << 10;

/// How many messages an actor takes in at once.
pub(crate) const INTAKE_MESSAGES_MAX: usize = 1024;

/// How many payload bytes an actor takes in at once.
pub(crate) const INTAKE_BYTES_MAX: usize = 1 << 20;

/// How many queries wait for one actor. Between two deliveries a turn answers at most so many; the
/// callers of more wait for a place.
pub(crate) const QUERIES_WAITING_MAX: usize = 64;

/// How many queries that came meanwhile the caller of a query answers on its own thread, before a
/// turn answers the others.
pub(crate) const QUERIES_LENT_MAX: usize = 16;

/// How many unacknowledged messages an actor may have sent. An actor with that many handles nothing
/// until receivers have logged some.
pub(crate) const OUTBOX_MESSAGES_MAX: usize = 4096;

/// How many bytes of frames gather while a commit is under way, before appenders have to wait.
pub(crate) const COMMIT_BUFFER_BYTES_MAX: usize = 4 << 20;

/// A block of at least this many records shows a busy log: the next block gathers as long as more
/// frames come.
pub(crate) const GATHER_RECORDS_MIN: u32 = 64;

/// How long the next block of a busy log gathers at most, counted from the moment at which the one
/// before had gathered.
pub(crate) const GATHER_MAX: Duration = Duration::from_micros(1_200);

/// How long the committer waits for the next frame of a busy log before it ends the block.
pub(crate) const GATHER_SLICE: Duration = Duration::from_micros(100);

/// A block of this many bytes of frames does not wait for more. Beyond this size the cost of a
/// block grows in proportion to it, so that waiting saves nothing.
pub(crate) const GATHER_BYTES_MAX: usize = 256 << 10;

/// How long frames gather that nobody waits for: those of actors that wait for their outputs alone.
/// Without an output such an actor commits as seldom as this, and a chain of them with one sync.
pub(crate) const UNWANTED_MAX: Duration = Duration::from_millis(1);

/// How many messages that are not acknowledged, replies and acknowledgements an actor holds back
/// until its log is on stable storage. Then it waits before it handles more.
pub(crate) const HELD_OUTPUTS_MAX: u64 = 4096;

/// How many bytes of replies an actor holds back at most, but for the last reply.
pub(crate) const HELD_REPLY_BYTES_MAX: usize = 8 << 20;

/// The granularity, in bytes, at which the runtime knows what a cut of the log would free.
pub(crate) fn kept_step_bytes(log_bytes: u64) -> u64 {
    (log_bytes / 64).clamp(4 << 10, 1 << 20)
}

/// Above this size, a part of its budget in bytes, the runtime cuts the log.
pub(crate) fn cut_from_bytes(log_bytes: u64) -> u64 {
    log_bytes / 2
}

/// What a cut must free, in bytes, to be worth its sync.
pub(crate) fn cut_worth_bytes(log_bytes: u64) -> u64 {
    log_bytes / 16
}

/// Above this size, a part of the log's budget in bytes, the runtime asks the actors that hold the
/// cut back for checkpoints. That is as late as possible while it leaves time for them.
pub(crate) fn checkpoints_from_bytes(log_bytes: u64) -> u64 {
    log_bytes / 8 * 5
}

/// What one actor whose handler waits may need of the log, a part of the log's budget in bytes, to
/// be carried to the end of the log. Above it the log is kept.
pub(crate) fn carried_alone_bytes(log_bytes: u64) -> u64 {
    log_bytes / 8
}

/// What all of them may carry together, a part of the log's budget in bytes, while half of that
/// budget is written.
pub(crate) fn carried_together_bytes(log_bytes: u64) -> u64 {
    log_bytes / 4
}

/// How many of them are carried with one reading of the log.
pub(crate) const CARRIED_TOGETHER_MAX: usize = 4096;

/// How long the first of them pauses at most until the last one does. One that does not pause in
/// that time is carried another time.
pub(crate) const PAUSES_GATHER_MAX: Duration = Duration::from_millis(100);

/// How many maintenance intervals a running actor that holds the cut back gets to handle what it
/// has received.
pub(crate) const HOLDER_INTERVALS_MAX: u32 = 20;

/// For how many maintenance intervals accepted messages may hold senders back that no turn takes
/// into the log.
pub(crate) const STUCK_INTERVALS_MAX: u32 = 20;

/// What the log has, in bytes, for each run of tells or other message in a mailbox beside its
/// payloads, and once for the frame: heads, names and checks.
pub(crate) const ENTRY_OVERHEAD_BYTES: usize = 64;

/// In which steps, in bytes, a mailbox counts what it has accepted: each count is a write to memory
/// that all senders share. So small a part of the log's budget that tens of thousands of mailboxes
/// may hold a message each.
pub(crate) fn count_step_bytes(log_bytes: u64) -> u64 {
    (log_bytes / (64 << 10)).min(4 << 10)
}

/// How long the checkpoints that a shutdown requests together gather at most before the
/// checkpointer writes any of them.
pub(crate) const CHECKPOINTS_GATHER_MAX: Duration = Duration::from_millis(100);

/// How many checkpoints wait for the checkpointer, before actors that take one have to wait.
pub(crate) const CHECKPOINT_QUEUE_MAX: usize = 256;

/// How many actors that hold the cut of the log back get a request for a checkpoint at a time.
pub(crate) const CHECKPOINTS_ASKED_MAX: usize = CHECKPOINT_QUEUE_MAX;

/// How many checkpoints are written with one sync.
pub(crate) const CHECKPOINT_GROUP_MAX: usize = 128;

/// How many bytes of checkpoints one sync serves. A larger checkpoint has a sync of its own.
pub(crate) const CHECKPOINT_GROUP_BYTES_MAX: usize = 1 << 20;

/// How long the code of a handler may run, after an opening, before it counts as endless.
pub(crate) const TRY_RUNS_MAX: Duration = Duration::from_secs(10);

/// How long a handler waits for something outside, after an opening, before its code counts as
/// harmless.
pub(crate) const TRY_WAITS_MAX: Duration = Duration::from_secs(1);

/// How many deliveries of one actor may be in quarantine, before it fails instead.
pub(crate) const QUARANTINED_MAX: usize = 1024;

/// How many payload bytes of one actor may be in quarantine; they are part of each of its
/// checkpoints.
pub(crate) const QUARANTINED_BYTES_MAX: usize = 16 << 20;

/// How often the runtime checks bounds in time, and looks for idle actors.
pub(crate) const MAINTENANCE_INTERVAL: Duration = Duration::from_millis(500);

/// The default stack size, in bytes, of the threads that restore actors: twice the stack of a
/// generous host's own threads.
pub(crate) const REPLAY_STACK_BYTES: usize = 128 << 20;

/// How long a shutdown waits by default for the handlers of accepted messages, and for the
/// checkpoints after that.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an actor keeps by default what came of a request with an idempotency key.
pub(crate) const IDEMPOTENCY_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// How long at least the end of a runtime waits for the turns under way, when no time is left.
/// Those that wait end as soon as a thread comes to them.
pub(crate) const TURNS_END_MIN: Duration = Duration::from_millis(100);

/// How often a shutdown looks whether the turns that it waits for have ended, while others go on.
pub(crate) const TURNS_LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// How often a wait for a time of day looks at the machine's clock, which somebody may set.
pub(crate) const CLOCK_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Of how many passive actors the runtime knows at a time when their timers are due: those that are
/// due first. The checkpoints of all know it.
pub(crate) const TIMERS_WINDOW_MAX: usize = 65_536;

/// How many actors whose timers are due are woken at once.
pub(crate) const TIMERS_BATCH_MAX: usize = 96;

/// How long the runtime waits after that, so that other actors run in between.
pub(crate) const TIMERS_PACE: Duration = Duration::from_millis(1);

/// With so many turns under way that were begun for timers, it waits longer.
pub(crate) const TIMERS_UNDER_WAY_MAX: usize = 128;

/// How long it waits for them at most.
pub(crate) const TIMERS_PATIENCE: Duration = Duration::from_millis(20);

/// How many actors of a cycle a record names.
pub(crate) const CYCLE_NAMES_MAX: usize = 64;

/// A longer wait counts as this one, since the clock can't represent every instant further away.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// For how many passive actors of each kind an opening decodes the checkpoint.
pub(crate) const PASSIVE_CHECKED_MAX: usize = 256;

/// How many actors an opening in probation restores after one note in the log.
pub(crate) const NOTED_TOGETHER_MAX: usize = 64;
