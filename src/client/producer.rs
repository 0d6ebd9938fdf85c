//! A sender outside that numbers its messages, so that it may send everything again after a crash.

use std::collections::HashMap;
use std::sync::Arc;

use relive_replay::{Actor, Handle, Message};
use relive_storage::limits::POSITION_MAX;
use relive_storage::record::Sender;
use relive_storage::{ActorId, Name, Ssn};
use tokio::sync::oneshot;

use crate::actor::envelope::{Receipted, Waiter};
use crate::actor::mailbox::Mail;
use crate::client::actor_ref::{ActorRef, Target};
use crate::client::request::{prepare, submit};
use crate::client::waiting::{answer, may_wait_for};
use crate::error::{ReceiptError, Refused, TellError};
use crate::shared::Core;

/// A named sender outside, which numbers its messages to each actor from 1.
///
/// After a crash of the sender or of the runtime, make a producer of the same name and send *the
/// same messages in the same order* again: from the first one, or from a place that is certainly
/// not too late (see [`Producer::resume`]). Receivers drop what they have, so each message changes
/// the receiver's state exactly once.
///
/// Receivers know duplicates by their numbers, not by their content: they drop a different message
/// under an old number. Use one producer of a name at a time.
///
/// # Examples
/// ```no_run
/// # use relive::{Actor, Context, Handle, Message, Runtime};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Counter(u64);
/// # impl Actor for Counter { const KIND: &'static str = "counter"; fn create(_: &str) -> Self { Counter(0) } }
/// # #[derive(Serialize, Deserialize)] struct Add(u64);
/// # impl Message for Add { const NAME: &'static str = "add"; type Reply = u64; }
/// # impl Handle<Add> for Counter {
/// #     async fn handle(&mut self, m: Add, _: &mut Context<'_>) -> u64 { self.0 += m.0; self.0 }
/// # }
/// # async fn example(runtime: Runtime) -> Result<(), Box<dyn std::error::Error>> {
/// let account = runtime.actor::<Counter>("account")?;
/// let mut import = runtime.producer("statement-17")?;
/// let mut last = None;
/// // After a crash the same loop runs again, from the first line on: the account drops what it has.
/// for line in std::fs::read_to_string("statement-17")?.lines() {
///     last = Some(import.tell(&account, Add(line.parse()?)).await?);
/// }
/// if let Some(receipt) = last {
///     receipt.durable().await?; // and so are all messages before it
/// }
/// # Ok(()) }
/// ```
pub struct Producer {
    core: Arc<Core>,
    name: Name,
    last: HashMap<ActorId, Ssn>,
}

impl Producer {
    pub(crate) fn new(core: Arc<Core>, name: Name) -> Self {
        Self { core, name, last: HashMap::new() }
    }

    /// The producer's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of the last message accepted for an actor; 0 when there was none.
    #[must_use]
    pub fn last<A: Actor>(&self, to: &ActorRef<A>) -> Ssn {
        self.last.get(to.id()).copied().unwrap_or(Ssn::NONE)
    }

    /// Continues after `last` for an actor, instead of from 1: for a sender that keeps its own
    /// place. You may go back. When you skip ahead of what the actor has received, the actor
    /// refuses the next message with [`ReceiptError::Gap`].
    ///
    /// # Examples
    /// ```no_run
    /// # use relive::{Actor, Context, Handle, Message, Runtime};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Counter(u64);
    /// # impl Actor for Counter { const KIND: &'static str = "counter"; fn create(_: &str) -> Self { Counter(0) } }
    /// # #[derive(Serialize, Deserialize)] struct Add(u64);
    /// # impl Message for Add { const NAME: &'static str = "add"; type Reply = u64; }
    /// # impl Handle<Add> for Counter {
    /// #     async fn handle(&mut self, m: Add, _: &mut Context<'_>) -> u64 { self.0 += m.0; self.0 }
    /// # }
    /// # async fn example(runtime: Runtime) -> Result<(), Box<dyn std::error::Error>> {
    /// let account = runtime.actor::<Counter>("account")?;
    /// let mut import = runtime.producer("statement-17")?;
    /// let place = relive::Ssn::new(4_000); // kept by the sender, and not ahead of the account
    /// import.resume(&account, place);
    /// let receipt = import.tell(&account, Add(1)).await?;
    /// assert_eq!(receipt.ssn(), place.next());
    /// # Ok(()) }
    /// ```
    pub fn resume<A: Actor>(&mut self, to: &ActorRef<A>, last: Ssn) {
        self.last.insert(to.id().clone(), last);
    }

    /// Sends a message under the next number of its channel. Waits until the mailbox has *accepted*
    /// the message; the receipt resolves when the message is on stable storage.
    ///
    /// # Errors
    /// [`TellError`] gives the message back: the mailbox has not accepted it, and the next message
    /// gets its number. The reasons are those of a [`Tell`](crate::Tell) without a time limit, and
    /// [`Refused::OutOfRange`]: [`Producer::resume`] was given the last number of all.
    ///
    /// # Cancel safety
    /// When you drop the future before it is ready, the mailbox has not accepted the message and
    /// the number stays unused.
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
        let mail = Mail { sender, message: name, payload: &payload, waiter, taken: None };
        match submit(&self.core, &to.target().cell, mail).await {
            Ok(_) => {
                // Only now: a number that no message got would be a gap for the receiver.
                self.last.insert(to.id().clone(), ssn);
                Ok(ProducerReceipt { target: Arc::clone(to.target()), ssn, receipted })
            }
            Err(unavailable) => Err(TellError { message, reason: unavailable.into() }),
        }
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Resolves when a producer's message is on stable storage; [`Producer::tell`] returns it.
#[must_use = "the message is accepted; only the receipt tells when it is on stable storage"]
pub struct ProducerReceipt {
    target: Arc<Target>,
    ssn: Ssn,
    receipted: oneshot::Receiver<Result<Receipted, ReceiptError>>,
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
    /// - [`ReceiptError::Gap`]: messages before this one are missing, so the actor has dropped it.
    ///   Send the missing ones first.
    /// - [`ReceiptError::Unavailable`]: it is *unknown* whether the message is on stable storage.
    ///   Send it again under the same number after a reopening.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn durable(self) -> Result<Receipted, ReceiptError> {
        let Target { core, cell } = &*self.target;
        may_wait_for(cell)?;
        answer(core, cell, self.receipted).await
    }
}

impl std::fmt::Debug for ProducerReceipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProducerReceipt").field("ssn", &self.ssn).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use relive_storage::MemoryStore;

    use super::*;
    use crate::error::Unavailable;
    use crate::shared::testing::{Account, Deposit, account, core};

    fn producer() -> (Producer, ActorRef<Account>) {
        let core = core(Arc::new(MemoryStore::new()));
        let cell = account(&core, "alice");
        (Producer::new(Arc::clone(&core), Name::from_static("import")), ActorRef::new(core, cell))
    }

    async fn tell(producer: &mut Producer, to: &ActorRef<Account>) -> Result<ProducerReceipt, Refused> {
        producer.tell(to, Deposit(1)).await.map_err(|error| error.reason)
    }

    /// Numbers count from 1 without gaps, and begin again where a sender says. What the actor has
    /// is a duplicate under its old number.
    #[tokio::test]
    async fn messages_are_numbered_from_where_the_sender_is() {
        let (mut producer, alice) = producer();
        assert_eq!(producer.last(&alice), Ssn::NONE);
        for ssn in 1..=2 {
            let receipt = tell(&mut producer, &alice).await.unwrap();
            assert_eq!(receipt.ssn(), Ssn::new(ssn));
            assert!(matches!(receipt.durable().await, Ok(Receipted::Logged(rsn)) if rsn.get() == ssn));
        }
        producer.resume(&alice, Ssn::new(1));
        let again = tell(&mut producer, &alice).await.unwrap();
        assert_eq!((again.ssn(), producer.last(&alice)), (Ssn::new(2), Ssn::new(2)));
        assert_eq!(again.durable().await.unwrap(), Receipted::Duplicate);
        producer.resume(&alice, Ssn::new(7));
        let ahead = tell(&mut producer, &alice).await.unwrap().durable().await.unwrap_err();
        assert!(matches!(ahead, ReceiptError::Gap { expected, .. } if expected == Ssn::new(3)));
    }

    /// A message that no mailbox has accepted leaves its number to the next: a number without a
    /// message would be a gap.
    #[tokio::test]
    async fn a_refused_message_uses_no_number() {
        let (mut producer, alice) = producer();
        assert!(tell(&mut producer, &alice).await.is_ok());
        alice.target().core.lifecycle.host_is_gone();
        let refused = tell(&mut producer, &alice).await.err();
        assert!(matches!(refused, Some(Refused::Unavailable(Unavailable::Failed(_)))), "{refused:?}");
        assert_eq!(producer.last(&alice), Ssn::new(1));
    }

    /// Counting on from the last number of all is refused, not wrapped around.
    #[tokio::test]
    async fn there_is_no_number_after_the_last() {
        let (mut producer, alice) = producer();
        producer.resume(&alice, Ssn::new(POSITION_MAX));
        let refused = tell(&mut producer, &alice).await.err();
        assert!(matches!(refused, Some(Refused::OutOfRange { last }) if last.get() == POSITION_MAX));
        producer.resume(&alice, Ssn::new(u64::MAX));
        assert!(matches!(tell(&mut producer, &alice).await.err(), Some(Refused::OutOfRange { .. })));
    }
}
