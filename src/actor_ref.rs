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

/// A reference to an actor, which exists whether it is in memory or not. Cheap to clone.
pub struct ActorRef<A> {
    pub(crate) core: Arc<Core>,
    pub(crate) slot: Arc<Slot>,
    actor: PhantomData<fn(A)>,
}

impl<A: Actor> ActorRef<A> {
    pub(crate) fn new(core: Arc<Core>, slot: Arc<Slot>) -> Self {
        Self { core, slot, actor: PhantomData }
    }

    /// The actor's name.
    #[must_use]
    pub fn id(&self) -> &ActorId {
        &self.slot.id
    }

    /// Takes a checkpoint of the actor after what it is handling, and waits until it is stable. Gives the last
    /// delivery that it contains.
    ///
    /// # Errors
    /// [`Refused::Actor`] when the actor has failed, [`Refused::Failed`] when the checkpoint could not be written (the
    /// log still holds everything), [`Refused::Stopped`] when the runtime is shut down.
    ///
    /// # Cancel safety
    /// Dropped, the checkpoint is taken all the same.
    pub async fn checkpoint(&self) -> Result<Rsn, Refused> {
        self.core.intake()?;
        let (waiter, outcome) = oneshot::channel();
        if let Some(wake) = self.slot.request_checkpoint(Some(waiter)) {
            begin(&self.core, &self.slot, wake);
        }
        self.core.unless_stopped(outcome).await?.unwrap_or(Err(Refused::Stopped))
    }

    pub(crate) fn check_handled(&self, message: &'static str) -> Result<Name, Refused> {
        if self.slot.kind.handles(message) {
            return Ok(Name::from_static(message));
        }
        let message = Name::from_static(message);
        Err(Refused::Unhandled { actor: self.slot.id.clone(), message })
    }
}

impl<A> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), slot: Arc::clone(&self.slot), actor: PhantomData }
    }
}

impl<A> fmt::Debug for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ActorRef").field(&self.slot.id).finish()
    }
}
