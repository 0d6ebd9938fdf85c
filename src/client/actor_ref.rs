//! A typed reference to an actor: what callers hold.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use relive_replay::{Actor, MessageShapes};
use relive_storage::{ActorId, Name, Rsn};
use tokio::sync::oneshot;

use crate::actor::cell::ActorCell;
use crate::client::waiting::{answer, may_wait_for};
use crate::error::{CheckpointError, Refused};
use crate::shared::Core;
use crate::turn::dispatch::request_checkpoint;

/// A reference to an actor, which exists whether it is in memory or not. Cheap to clone.
///
/// [`Runtime::actor`](crate::Runtime::actor) makes one; [`ActorRef::tell`] and [`ActorRef::ask`]
/// send to the actor.
pub struct ActorRef<A> {
    target: Arc<Target>,
    actor: PhantomData<fn(A)>,
}

/// Where messages go. Each reference has a count of its own, so that the receipts of many senders
/// don't contend for one counter.
pub(crate) struct Target {
    pub(crate) core: Arc<Core>,
    pub(crate) cell: Arc<ActorCell>,
}

impl<A: Actor> ActorRef<A> {
    pub(crate) fn new(core: Arc<Core>, cell: Arc<ActorCell>) -> Self {
        Self { target: Arc::new(Target { core, cell }), actor: PhantomData }
    }

    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The actor's name.
    #[must_use]
    pub fn id(&self) -> &ActorId {
        &self.target.cell.id
    }

    /// Takes a checkpoint of the actor after its current deliveries, and waits until the checkpoint
    /// is on stable storage. Returns the last delivery that the checkpoint contains.
    ///
    /// # Errors
    /// After each of these errors the log still holds everything.
    ///
    /// - [`CheckpointError::NotTaken`]: the state has no checkpoint; the actor goes on.
    /// - [`CheckpointError::Unavailable`]: the actor or the runtime has failed, the runtime is shut
    ///   down, or the caller is a handler of this actor. [`Unavailable`](crate::Unavailable) says
    ///   which.
    ///
    /// # Cancel safety
    /// When you drop the future, the runtime takes the checkpoint all the same.
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
    /// let visits = runtime.actor::<Counter>("visits")?;
    /// let rsn = visits.checkpoint().await?;
    /// println!("an opening replays what came after {rsn}");
    /// # Ok(()) }
    /// ```
    pub async fn checkpoint(&self) -> Result<Rsn, CheckpointError> {
        let Target { core, cell } = &*self.target;
        core.lifecycle.intake()?;
        may_wait_for(cell)?;
        let (waiter, outcome) = oneshot::channel();
        request_checkpoint(core, cell, Some(waiter));
        answer(core, cell, outcome).await
    }

    pub(crate) fn shapes(&self, message: &'static str) -> Result<(Name, &MessageShapes), Refused> {
        if let Some(shapes) = self.target.cell.kind.shapes(message) {
            return Ok((Name::from_static(message), shapes));
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
        f.debug_tuple("ActorRef").field(&self.target.cell.id).finish()
    }
}
