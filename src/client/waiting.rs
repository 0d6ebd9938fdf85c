//! How callers wait for an actor's answer: never for ever, also when the actor fails or the runtime
//! ends.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use relive_storage::ActorId;
use tokio::sync::oneshot;

use crate::actor::cell::ActorCell;
use crate::error::Unavailable;
use crate::handling::Handling;
use crate::shared::Core;

/// Refuses a handler that would wait for its own actor: the actor handles nothing else meanwhile,
/// so the wait would never end.
pub(crate) fn may_wait_for(cell: &Arc<ActorCell>) -> Result<(), Unavailable> {
    if Handling::is_of(&**cell) {
        Err(Unavailable::WaitsForItself { actor: cell.id.clone() })
    } else {
        Ok(())
    }
}

/// Waits for an actor's answer.
pub(crate) async fn answer<T, E: From<Unavailable>>(
    core: &Core,
    cell: &ActorCell,
    back: oneshot::Receiver<Result<T, E>>,
) -> Result<T, E> {
    match waits_for(core, cell, back).await? {
        Ok(answer) => answer,
        // The turn that held the other end has unwound, so the actor is about to fail.
        Err(_) => {
            let failure =
                core.lifecycle.unless_stopped(cell.wait_failure()).await.map_err(Unavailable::from)?;
            Err(Unavailable::Actor(failure).into())
        }
    }
}

/// Waits for something that an actor brings about, until the runtime ends. Within a handler of
/// another actor, whose side effect makes the call, it ends when the wait closes a cycle.
pub(crate) async fn waits_for<T>(
    core: &Core,
    cell: &ActorCell,
    future: impl Future<Output = T>,
) -> Result<T, Unavailable> {
    let Some(handler) = Handling::current() else { return Ok(core.lifecycle.unless_stopped(future).await?) };
    let call = core.actors.wait_graph().call(handler, &cell.id);
    let mut future = pin!(future);
    let waiting = poll_fn(|task| match future.as_mut().poll(task) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => call.poll_closed(task).map(Err),
    });
    let deadlock = |cycle: Vec<ActorId>| Unavailable::Deadlock { cycle };
    core.lifecycle.unless_stopped(waiting).await?.map_err(deadlock)
}
