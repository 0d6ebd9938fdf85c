//! How callers wait for what comes back of an actor: not for ever, whatever becomes of it.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::core::Core;
use crate::error::Refused;
use crate::handling::Handling;
use crate::slot::Slot;

/// A handler must not wait for its own actor, which does nothing else meanwhile.
pub(crate) fn may_wait_for(slot: &Arc<Slot>) -> Result<(), Refused> {
    if Handling::is_of(&**slot) { Err(Refused::WaitsForItself { actor: slot.id.clone() }) } else { Ok(()) }
}

/// Waits for what comes back of an actor.
pub(crate) async fn answer<T>(
    core: &Core,
    slot: &Slot,
    back: oneshot::Receiver<Result<T, Refused>>,
) -> Result<T, Refused> {
    match core.unless_stopped(back).await? {
        Ok(answer) => answer,
        // It went with a turn that has unwound, of which the actor is about to tell.
        Err(_) => Err(Refused::Actor(core.unless_stopped(slot.wait_failure()).await?)),
    }
}
