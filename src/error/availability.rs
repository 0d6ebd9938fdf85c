//! Why a runtime or an actor serves no call. The errors of all calls share these types.

use std::sync::Arc;

use relive_storage::{ActorId, ErrorKind, StoreError};

use crate::error::failure::ActorFailure;

/// Why a runtime has failed. It runs nothing any more. Everything that it acknowledged is there
/// after you reopen the store.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeFailure {
    /// The store has failed. The runtime accepts nothing until you reopen the store.
    #[error("the runtime takes nothing more until the store is reopened: {0}")]
    Store(Arc<StoreError>),
    /// The tokio runtime in which the store was opened is gone, and with it everything that ran
    /// there: reopen the store in one that lasts.
    #[error(
        "the tokio runtime in which the store was opened is gone, nothing runs any more: reopen the store in one that lasts, \
         what was acknowledged is there"
    )]
    HostGone,
}

impl RuntimeFailure {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Reopen
    }
}

/// Why a runtime does nothing any more. Everything that it acknowledged is there after you reopen
/// the store.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// The runtime has failed.
    #[error(transparent)]
    Failed(#[from] RuntimeFailure),
    /// The runtime is shutting down or gone.
    #[error("the runtime is shut down; what was acknowledged is there after reopening")]
    Stopped,
}

impl Ended {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Reopen
    }
}

impl From<Arc<StoreError>> for Ended {
    fn from(error: Arc<StoreError>) -> Self {
        Self::Failed(RuntimeFailure::Store(error))
    }
}

/// Why an actor serves no call at all. The errors of all calls on an actor share this part.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The actor has failed; the other actors go on. Its history is unchanged, and
    /// [`ActorFailure::kind`] tells what to do.
    #[error(transparent)]
    Actor(Arc<ActorFailure>),
    /// A handler waits for its own actor, which handles nothing before the handler is done: send to
    /// it instead, with `cx.to`.
    #[error(
        "{actor} would wait for itself: it handles nothing before its present delivery is done; send to it instead, with `cx.to`"
    )]
    WaitsForItself {
        /// Which actor.
        actor: ActorId,
    },
    /// A handler waits in a side effect for another actor, which waits for the handler's actor,
    /// directly or through others: none of them could ever go on. Ask with `cx.to` instead, whose
    /// failures are recorded. If the actor has accepted a message, it handles it all the same.
    #[error(
        "each of these waits for the next one, so nothing would ever come: {}; ask with `cx.to` instead",
        way(cycle)
    )]
    Deadlock {
        /// The actors of the cycle in the order in which they wait, from the first to the first.
        cycle: Vec<ActorId>,
    },
    /// The runtime has failed, and with it all actors: reopen the store.
    #[error(transparent)]
    Failed(RuntimeFailure),
    /// The runtime is shutting down or gone. Everything that it acknowledged is there after you
    /// reopen the store.
    #[error("the runtime is shut down; what was acknowledged is there after reopening")]
    Stopped,
}

impl Unavailable {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Actor(failure) => failure.kind(),
            Self::WaitsForItself { .. } | Self::Deadlock { .. } => ErrorKind::Input,
            Self::Failed(_) | Self::Stopped => ErrorKind::Reopen,
        }
    }
}

fn way(cycle: &[ActorId]) -> String {
    cycle.iter().map(ActorId::as_str).collect::<Vec<_>>().join(" -> ")
}

impl From<Ended> for Unavailable {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Failed(failure) => Self::Failed(failure),
            Ended::Stopped => Self::Stopped,
        }
    }
}
