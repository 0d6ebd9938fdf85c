//! A sender outside that numbers its messages, so that it may send everything again after a crash.

use std::collections::HashMap;
use std::sync::Arc;

use relive_replay::{Actor, Handle, Message};
use relive_storage::limits::POSITION_MAX;
use relive_storage::record::Sender;
use relive_storage::{ActorId, Name, Ssn};
use tokio::sync::oneshot;

use crate::actor_ref::{ActorRef, Target};
use crate::core::Core;
use crate::envelope::{Receipted, Waiter};
use crate::error::{Refused, TellError};
use crate::mailbox::Mail;
use crate::request::{prepare, submit};
use crate::waiting::{answer, may_wait_for};

/// A named sender outside, which numbers what it sends to each actor from 1.
///
/// After a crash, of it or of the runtime, it makes a producer of the same name and sends *the same messages in the same
/// order* again, from the first, or from wherever it is sure to be early enough (see [`Producer::resume`]). Receivers
/// drop what they have: each message changes the receiver's state exactly once.
///
/// The numbers are what duplicates are known by, not the content: a different message under an old number is dropped.
/// One producer of a name at a time.
pub struct Producer {
    core: Arc<Core>,
    name: Name,
    last: HashMap<ActorId, Ssn>,
}

impl Producer {
    pub(crate) fn new(core: Arc<Core>, name: Name) -> Self {
        Self { core, name, last: HashMap::new() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of the last message accepted for an actor; 0 when there was none.
    #[must_use]
    pub fn last<A: Actor>(&self, to: &ActorRef<A>) -> Ssn {
        self.last.get(to.id()).copied().unwrap_or(Ssn::NONE)
    }

    /// Goes on after `last` for an actor, instead of from 1: for a sender that keeps its own place. Going back is fine,
    /// skipping ahead of what the actor has received is refused as [`Refused::Gap`] when the message comes.
    pub fn resume<A: Actor>(&mut self, to: &ActorRef<A>, last: Ssn) {
        self.last.insert(to.id().clone(), last);
    }

    /// Sends a message under the next number of its channel. Awaiting it waits until it is *accepted*; the receipt
    /// resolves when it is on stable storage.
    ///
    /// # Errors
    /// [`TellError`] with the message in it: it was not accepted, and its number will be given to the next one.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the message was not accepted and its number not used.
    pub async fn tell<A, M>(&mut self, to: &ActorRef<A>, message: M) -> Result<ProducerReceipt, TellError<M>>
    where
        A: Handle<M>,
        M: Message,
    {
        let (name, payload) = match prepare(to, &message) {
            Ok(prepared) => prepared,
            Err(reason) => return Err(TellError { message, reason }),
        };
        let last = self.last(to);
        let Some(ssn) = last.checked_plus(1).filter(|ssn| ssn.get() <= POSITION_MAX) else {
            return Err(TellError { message, reason: Refused::OutOfRange { last } });
        };
        let sender = Sender::Producer { name: self.name.clone(), ssn };
        let (receipt, receipted) = oneshot::channel();
        let waiter = Waiter::Producer(receipt);
        let mail = Mail { sender, message: name, payload: &payload, waiter };
        match submit(&self.core, &to.target().slot, mail).await {
            Ok(_) => {
                self.last.insert(to.id().clone(), ssn);
                Ok(ProducerReceipt { target: Arc::clone(to.target()), ssn, receipted })
            }
            Err(reason) => Err(TellError { message, reason }),
        }
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Resolves when a producer's message is on stable storage.
#[must_use = "the message is accepted; only the receipt tells when it is on stable storage"]
pub struct ProducerReceipt {
    target: Arc<Target>,
    ssn: Ssn,
    receipted: oneshot::Receiver<Result<Receipted, Refused>>,
}

impl ProducerReceipt {
    /// The number under which the message was sent.
    #[must_use]
    pub fn ssn(&self) -> Ssn {
        self.ssn
    }

    /// Waits until the message is on stable storage; says whether it was new.
    ///
    /// # Errors
    /// [`Refused::Gap`] when messages before it are missing: it was dropped. Any other: it is *unknown* whether it is on
    /// stable storage; send it again under the same number after reopening.
    ///
    /// # Cancel safety
    /// Dropped, nothing changes.
    pub async fn durable(self) -> Result<Receipted, Refused> {
        let Target { core, slot } = &*self.target;
        may_wait_for(slot)?;
        answer(core, slot, self.receipted).await
    }
}

impl std::fmt::Debug for ProducerReceipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProducerReceipt").field("ssn", &self.ssn).finish_non_exhaustive()
    }
}
