//! A typed reference to an actor: what callers hold.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use relive_replay::Actor;
use relive_storage::{ActorId, Name, Rsn};
use tokio::sync::oneshot;

use crate::core::Core;
use crate::error::Refused;
use crate::slot::Slot;
use crate::turn::begin;
use crate::waiting::{answer, may_wait_for};

/// A reference to an actor, which exists whether it is in memory or not. Cheap to clone.
pub struct ActorRef<A> {
    target: Arc<Target>,
    actor: PhantomData<fn(A)>,
}

/// Where messages go. Behind one count for each reference, so that the receipts of many senders don't all count at the
/// same place.
pub(crate) struct Target {
    pub(crate) core: Arc<Core>,
    pub(crate) slot: Arc<Slot>,
}

impl<A: Actor> ActorRef<A> {
    pub(crate) fn new(core: Arc<Core>, slot: Arc<Slot>) -> Self {
        Self { target: Arc::new(Target { core, slot }), actor: PhantomData }
    }

    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The actor's name.
    #[must_use]
    pub fn id(&self) -> &ActorId {
        &self.target.slot.id
    }

    /// Takes a checkpoint of the actor after what it is handling, and waits until it is stable. Gives the last
    /// delivery that it contains.
    ///
    /// # Errors
    /// [`Refused::Checkpoint`] when none could be taken of its state: the actor goes on, and the log still holds
    /// everything. [`Refused::Actor`] when the actor has failed, [`Refused::Failed`] when the store has,
    /// [`Refused::Stopped`] when the runtime is shut down, [`Refused::WaitsForItself`] in a handler of the actor.
    ///
    /// # Cancel safety
    /// Dropped, the checkpoint is taken all the same.
    pub async fn checkpoint(&self) -> Result<Rsn, Refused> {
        let Target { core, slot } = &*self.target;
        core.intake()?;
        may_wait_for(slot)?;
        let (waiter, outcome) = oneshot::channel();
        if let Some(wake) = slot.request_checkpoint(Some(waiter)) {
            begin(core, wake);
        }
        answer(core, slot, outcome).await
    }

    pub(crate) fn check_handled(&self, message: &'static str) -> Result<Name, Refused> {
        if self.target.slot.kind.handles(message) {
            return Ok(Name::from_static(message));
        }
        let message = Name::from_static(message);
        Err(Refused::Unhandled { actor: self.id().clone(), message })
    }
}

impl<A> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        Self { target: Arc::clone(&self.target), actor: PhantomData }
    }
}

impl<A> fmt::Debug for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ActorRef").field(&self.target.slot.id).finish()
    }
}
