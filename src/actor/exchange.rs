//! What an actor and its peers owe each other: the messages and replies that it keeps for them, and
//! the replies that come to it. Knows one cell, and not how anything travels between two.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use relive_replay::{Outgoing, OutgoingReply, Owed};
use relive_storage::{ActorId, Ssn};

use crate::actor::cell::{ActorCell, Wake};
use crate::actor::envelope::OutboxOwner;
use crate::actor::outbox::Outbox;
use crate::actor::phase::Phase;
use crate::actor::replies::ArrivedReply;
use crate::error::Unavailable;
use crate::limits::OUTBOX_MESSAGES_MAX;
use crate::sync::MutexGuard;

impl ActorCell {
    /// Keeps messages until they are acknowledged.
    pub(crate) fn keep_until_acknowledged(&self, messages: &[Outgoing]) {
        let mut outbox = self.outbox();
        for outgoing in messages {
            outbox.push(outgoing.clone());
        }
    }

    /// Keeps a reply until its asker has it.
    pub(crate) fn keep_reply(&self, reply: OutgoingReply) {
        self.outbox().push_reply(reply);
    }

    /// All unacknowledged messages and replies.
    pub(crate) fn owed(&self) -> Owed {
        self.outbox().owed()
    }

    /// Whether the actor has as many unacknowledged messages as it may have.
    pub(crate) fn outbox_is_full(&self) -> bool {
        self.outbox().len() >= OUTBOX_MESSAGES_MAX
    }

    /// Whether any message or reply is unacknowledged.
    pub(crate) fn has_unacknowledged(&self) -> bool {
        !self.outbox().is_empty()
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock()
    }

    /// Brings a reply to the actor. Returns the handler that waits for it, for the caller to wake,
    /// or hands the actor to a turn, which acknowledges a reply that nobody needs any more.
    pub(crate) fn push_reply(
        self: &Arc<Self>,
        reply: ArrivedReply,
    ) -> Result<(Wake, Option<Waker>), Unavailable> {
        let mut inner = self.inner();
        if let Phase::Failed(failure) = &inner.phase {
            return Err(Unavailable::Actor(Arc::clone(failure)));
        }
        match inner.replies.get_or_insert_default().push(reply) {
            Some(handler) => Ok((Wake::Running, Some(handler))),
            None => Ok((self.wake(inner), None)),
        }
    }

    /// Takes the replies that have come. With a waker, the handler waits for more.
    pub(crate) fn take_replies(&self, handler: Option<&Waker>) -> VecDeque<ArrivedReply> {
        let mut inner = self.inner();
        match (&mut inner.replies, handler) {
            (None, None) => VecDeque::new(),
            (replies, handler) => replies.get_or_insert_default().take(handler),
        }
    }

    /// Whether a reply has come that the turn has not taken.
    pub(crate) fn has_replies(&self) -> bool {
        self.inner().has_replies()
    }
}

impl OutboxOwner for ActorCell {
    fn acknowledge(&self, receiver: &ActorId, ssn: Ssn) {
        self.outbox().acknowledge(receiver, ssn);
        // Always: the turn may be about to wait for room in the outbox, and the permit stays.
        self.news.notify_one();
    }

    fn acknowledge_reply(&self, asker: &ActorId, ssn: Ssn) {
        self.outbox().acknowledge_reply(asker, ssn);
    }
}
