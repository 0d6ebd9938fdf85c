//! Output commit: what a turn holds back until everything that it depends on is on stable storage.
//! Knows positions of the log and who waits, no handler.
//!
//! The log is one sequence, and what comes back of it after a crash is a prefix. A message between
//! actors stands in it behind the records of its sender, so all that an output depends on stands
//! below the end of what its own actor has appended last. That end is what an output waits for.
//!
//! Messages and replies between actors do not wait: their receivers are inside the failure domain,
//! and a failed commit ends them with their senders.
//!
//! # Source
//! Output commit: Strom and Yemini, *Optimistic Recovery in Distributed Systems*, ACM TOCS 3(3),
//! 1985; Elnozahy, Alvisi, Wang and Johnson, *A Survey of Rollback-Recovery Protocols in
//! Message-Passing Systems*, ACM Computing Surveys 34(3), 2002, section 2.4.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

use relive_replay::Discipline;
use relive_storage::{ActorId, Lsn, Ssn};

use crate::actor::cell::ActorCell;
use crate::actor::envelope::{Answer, ReplyTo};
use crate::limits::{HELD_OUTPUTS_MAX, HELD_REPLY_BYTES_MAX};
use crate::shared::Core;
use crate::turn::acks::{PendingBatch, until_durable};
use crate::turn::dispatch::acknowledge_reply;
use crate::turn::queries::may_show;
use crate::turn::{Turn, TurnError};

/// The outputs of one actor that its log holds back, in their order. Always empty for a kind that
/// waits before it handles.
#[derive(Default)]
pub(crate) struct HeldOutputs {
    /// Each with the position below which everything must be on stable storage.
    outputs: VecDeque<(Lsn, Output)>,
    /// How many messages were taken in of which nobody has been told.
    messages: u64,
    reply_bytes: usize,
    /// Somebody outside waits for what stands below.
    wanted: Lsn,
    /// The committer knows of the wish up to here.
    told: Lsn,
}

/// What waits.
pub(crate) enum Output {
    /// Receipts, and acknowledgements to those who sent the messages.
    Taken(PendingBatch),
    /// What came of a request of a caller outside.
    Answer(ReplyTo, Answer),
    /// The acknowledgement of a reply that a handler has learned.
    Learned(ActorId, Ssn),
}

impl Output {
    fn messages(&self) -> u64 {
        match self {
            Self::Taken(batch) => batch.messages,
            _ => 0,
        }
    }

    fn reply_bytes(&self) -> usize {
        match self {
            Self::Answer(_, Answer::Reply(reply)) => reply.len(),
            _ => 0,
        }
    }

    /// Whether somebody outside waits for it now. A message whose receipt is awaited shows in its
    /// actor's cell.
    fn is_wanted(&self) -> bool {
        match self {
            Self::Taken(batch) => !batch.logged.receipts.is_empty() || !batch.logged.answers.is_empty(),
            Self::Answer(..) => true,
            Self::Learned(..) => false,
        }
    }

    fn leave(self, core: &Core, cell: &ActorCell) {
        match self {
            Self::Taken(batch) => batch.tell(core, cell),
            Self::Answer(asker, answer) => drop(asker.send(Ok(answer))),
            Self::Learned(from, ssn) => acknowledge_reply(core, cell, &from, ssn),
        }
    }
}

impl HeldOutputs {
    /// Holds an output back until everything below `end` is on stable storage.
    pub(crate) fn hold(&mut self, end: Lsn, output: Output) {
        // They leave in their order, so a later one waits at least as long.
        let end = self.outputs.back().map_or(end, |(last, _)| end.max(*last));
        self.messages += output.messages();
        self.reply_bytes += output.reply_bytes();
        if output.is_wanted() {
            self.wanted = end;
        }
        self.outputs.push_back((end, output));
    }

    /// How many messages were taken in of which nobody has been told.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Whether the actor holds as much back as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.messages + self.outputs.len() as u64 >= HELD_OUTPUTS_MAX
            || self.reply_bytes >= HELD_REPLY_BYTES_MAX
    }

    /// Invariant: no-orphan. Lets go what depends on nothing that could be lost.
    #[inline]
    pub(crate) fn release(&mut self, core: &Core, cell: &ActorCell) {
        // As a rule: only a kind that waits for its outputs alone holds any.
        if !self.outputs.is_empty() {
            self.release_stable(core, cell);
        }
    }

    fn release_stable(&mut self, core: &Core, cell: &ActorCell) {
        let durable = core.services.committer.durable();
        while self.outputs.front().is_some_and(|(end, _)| *end <= durable)
            && let Some((end, output)) = self.outputs.pop_front()
        {
            assert!(end <= core.services.committer.durable(), "no output of {} leaves early", cell.id);
            self.messages -= output.messages();
            self.reply_bytes -= output.reply_bytes();
            output.leave(core, cell);
        }
        let empty = self.outputs.is_empty();
        assert!(!empty || (self.messages, self.reply_bytes) == (0, 0), "what {} holds adds up", cell.id);
    }

    /// Waits until the first output has left, and perhaps more.
    ///
    /// # Cancel safety
    /// Dropping the future leaves each output held or released.
    async fn release_first(&mut self, core: &Core, cell: &ActorCell) -> Result<(), TurnError> {
        let Some((end, _)) = self.outputs.front() else { return Ok(()) };
        let end = *end;
        self.want(core, cell);
        until_durable(core, end).await?;
        self.release(core, cell);
        Ok(())
    }

    /// Waits until all outputs have left.
    ///
    /// # Cancel safety
    /// Dropping the future leaves each output held or released.
    pub(crate) async fn release_all(&mut self, core: &Core, cell: &ActorCell) -> Result<(), TurnError> {
        while !self.is_empty() {
            self.release_first(core, cell).await?;
        }
        Ok(())
    }

    /// Has the log commit what somebody outside waits for.
    fn want(&mut self, core: &Core, cell: &ActorCell) {
        if let Some((last, _)) = self.outputs.back()
            && cell.has_awaited()
        {
            self.wanted = *last;
        }
        if self.told < self.wanted {
            core.services.committer.want(self.wanted);
            self.told = self.wanted;
        }
    }
}

/// Waits until everything below `end` is on stable storage, and has the log commit it at once.
///
/// # Cancel safety
/// Dropping the future changes nothing.
pub(crate) async fn until_stable(core: &Core, end: Lsn) -> Result<(), TurnError> {
    core.services.committer.want(end);
    until_durable(core, end).await
}

impl Turn<'_> {
    /// Waits until the actor's state depends on nothing that could be lost. What shows the state
    /// itself waits here: a checkpoint, or an answer that no record follows.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(crate) async fn until_state_is_stable(&mut self) -> Result<(), TurnError> {
        match self.discipline {
            // What it has handled is on stable storage.
            Discipline::BeforeHandling => Ok(()),
            Discipline::BeforeOutput => until_stable(self.core, self.active.appended).await,
        }
    }

    /// Holds the batch back that was taken in last.
    pub(crate) fn hold_pending(&mut self) {
        let Some(batch) = self.pending.take() else { return };
        if batch.messages > 0 {
            let end = batch.depends_on(self.active.appended);
            self.held.hold(end, Output::Taken(batch));
        }
    }

    /// Makes room for outputs, when there is none.
    pub(crate) async fn make_room(&mut self) -> Result<(), TurnError> {
        while self.held.is_full() {
            self.held.release_first(self.core, self.cell).await?;
        }
        Ok(())
    }

    /// Between two rounds: has the log commit what outputs wait for.
    pub(crate) fn want_outputs(&mut self) {
        self.held.want(self.core, self.cell);
    }

    /// Waits for the log or for news, whatever comes first. `false` when the log has all that the
    /// actor has appended, and no output waits: the actor may rest.
    pub(crate) async fn outputs_or_news(&mut self) -> Result<bool, TurnError> {
        let end = self.held.outputs.front().map_or(self.active.appended, |(end, _)| *end);
        if self.held.is_empty() && end <= self.core.services.committer.durable() {
            return Ok(false);
        }
        self.held.want(self.core, self.cell);
        let cell = self.cell;
        // The next round has the log commit what an answer depends on.
        let queried =
            poll_fn(|task| if cell.waits_or_wakes(task.waker()) { Poll::Ready(()) } else { Poll::Pending });
        tokio::select! {
            biased;
            stable = until_durable(self.core, end) => stable?,
            () = cell.news() => {}
            () = queried, if may_show(cell, &self.active) => {}
        }
        self.held.release(self.core, self.cell);
        Ok(true)
    }

    /// Ahead of a restart, which reads the log: waits until it has all that this life knows, and
    /// lets all outputs go.
    pub(crate) async fn settle(&mut self) -> Result<(), TurnError> {
        until_stable(self.core, self.core.services.end_of_log()).await?;
        self.hold_pending();
        self.held.release_all(self.core, self.cell).await
    }
}
