//! What an opening tells the log of itself, so that the next one knows when this one ends early.
//! Knows the committer; nothing of how actors are restored.

use std::sync::Arc;

use relive_storage::{ActorId, Epoch, FrameWriter, Lsn, Rsn, StoreError, boundary};

use crate::error::OpenError;
use crate::log::committer::Committer;
use crate::services::Services;

/// A note that an actor is about to be replayed from a delivery on, or that the replay has ended:
/// then `handled` says how far it came.
pub(crate) struct ReplayNote {
    pub(crate) actor: ActorId,
    pub(crate) from: Rsn,
    pub(crate) handled: Rsn,
    /// Where the replay would end.
    pub(crate) over: Rsn,
}

/// Tells the log that actors are about to be replayed, or that they have been: should one of them
/// end the process, the next opening knows. Blocking.
pub(crate) fn note_replays(services: &Services, notes: &[ReplayNote]) -> Result<(), OpenError> {
    let mut writer = FrameWriter::new();
    let noted = {
        let mut appending = services.committer.begin_append();
        let notes = notes.iter().map(|ReplayNote { actor, from, handled, .. }| {
            writer.put_attempt(*from);
            appending.put(writer.finish(Some(actor), *handled, *handled, &[]))
        });
        // Runs the iterator to its end. The last one suffices: they are durable in order, and after
        // a failure nothing is appended.
        notes.last()
    };
    match noted {
        Some(appended) => {
            services.tokio.block_on(until_durable(&services.committer, appended.map(|appended| appended.end)))
        }
        None => Ok(()),
    }
}

/// Logs that a new incarnation begins, before it does anything.
pub(crate) async fn announce(committer: &Committer, epoch: Epoch) -> Result<(), OpenError> {
    let mut writer = FrameWriter::new();
    writer.put_incarnation(epoch);
    let frame = writer.finish(None, Rsn::NONE, Rsn::NONE, &[]);
    until_durable(committer, committer.append_now(frame).map(|appended| appended.end)).await
}

async fn until_durable(
    committer: &Committer,
    appended: Result<Lsn, Arc<StoreError>>,
) -> Result<(), OpenError> {
    let logged = match appended {
        Ok(end) => committer.until_durable(end).await,
        Err(error) => Err(error),
    };
    logged.map_err(|error| failed(&error))
}

pub(crate) fn failed(error: &StoreError) -> OpenError {
    OpenError::Store(error.clone())
}

/// Tells the log that what was found is handled, and waits until that is durable.
pub(crate) async fn log_recovery_complete(
    committer: &Committer,
    epoch: Epoch,
) -> Result<(), Arc<StoreError>> {
    let mut writer = FrameWriter::new();
    writer.put_recovery_complete(epoch);
    let frame = writer.finish(None, Rsn::NONE, Rsn::NONE, &[]);
    let end = committer.append_now(frame)?.end;
    committer.until_durable(end).await?;
    boundary!("recovery.complete");
    Ok(())
}
