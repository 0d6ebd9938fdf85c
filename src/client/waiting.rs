//! How callers wait for an actor's answer: never for ever, also when the actor fails or the runtime
//! ends.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::actor::cell::ActorCell;
use crate::error::Unavailable;
use crate::handling::Handling;
use crate::lifecycle::Lifecycle;

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
    lifecycle: &Lifecycle,
    cell: &ActorCell,
    back: oneshot::Receiver<Result<T, E>>,
) -> Result<T, E> {
    match lifecycle.unless_stopped(back).await.map_err(Unavailable::from)? {
        Ok(answer) => answer,
        // The turn that held the other end has unwound, so the actor is about to fail.
        Err(_) => {
            let failure = lifecycle.unless_stopped(cell.wait_failure()).await.map_err(Unavailable::from)?;
            Err(Unavailable::Actor(failure).into())
        }
    }
}
