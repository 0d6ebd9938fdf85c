//! The mail that a turn has taken in, and who learns of it once it is on stable storage.

use std::sync::Arc;

use relive_storage::{Lsn, Ssn};

use crate::actor::cell::ActorCell;
use crate::actor::envelope::{Answer, OutboxOwner, ReceiptTo, Receipted, ReplyTo};
use crate::shared::Core;
use crate::turn::TurnError;

/// Mail that was taken in and may not be durable yet.
#[derive(Default)]
pub(crate) struct PendingBatch {
    /// The batch is durable when everything below is. `None` when it held only duplicates.
    pub(crate) end: Option<Lsn>,
    pub(crate) logged: Acks,
    pub(crate) messages: u64,
}

impl PendingBatch {
    /// Below which position everything is that those who wait for the batch may learn of.
    /// Duplicates alone have no end of their own: what they repeat may stand in any frame of the
    /// actor, up to the end of what it has `appended` last.
    pub(crate) fn depends_on(&self, appended: Lsn) -> Lsn {
        self.end.unwrap_or(appended)
    }

    /// Tells those who wait for the batch, which is on stable storage.
    pub(crate) fn tell(self, core: &Core, cell: &ActorCell) {
        let Self { end, logged, messages } = self;
        if messages == 0 {
            return;
        }
        assert!(end.is_none_or(|end| end <= core.services.committer.durable()), "nobody hears too early");
        core.services.counters.delivered(logged.fresh);
        if logged.duplicates > 0 {
            core.services.counters.duplicates(logged.duplicates);
        }
        // Duplicates count too: the sender of one waits for a message on stable storage.
        cell.logged(messages);
        // Only now: a sender that hears of it drops its copy of the message.
        for (sender, ssn) in logged.senders {
            sender.acknowledge(&cell.id, ssn);
        }
        for (receipt, receipted) in logged.receipts {
            let _ = receipt.send(Ok(receipted));
        }
        for (asker, answer) in logged.answers {
            let _ = asker.send(Ok(answer));
        }
    }
}

/// Waits until everything below `end` is on stable storage.
///
/// # Cancel safety
/// Dropping the future changes nothing.
pub(crate) async fn until_durable(core: &Core, end: Lsn) -> Result<(), TurnError> {
    core.services.committer.until_durable(end).await.map_err(|_| TurnError::Over)
}

/// The acknowledgements of one intake, for the moment when it is on stable storage.
#[derive(Default)]
pub(crate) struct Acks {
    pub(crate) fresh: u64,
    pub(crate) duplicates: u64,
    /// How many pushes to the backlog are in the frame that is not closed yet.
    pub(crate) in_frame: usize,
    pub(crate) senders: Vec<(Arc<dyn OutboxOwner>, Ssn)>,
    pub(crate) receipts: Vec<(ReceiptTo, Receipted)>,
    /// Those whose request the actor has handled before, with what came of it.
    pub(crate) answers: Vec<(ReplyTo, Answer)>,
}
