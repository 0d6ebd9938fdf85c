//! Why a runtime did not open.

use relive_replay::Halt;
use relive_replay::kind::KindError;
use relive_storage::{ActorId, ErrorKind, Rsn, Ssn, StoreError};

/// Why a runtime did not open. Nothing acknowledged has changed; the log may record that an opening
/// began.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store does not open, or has failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registration of an actor kind is wrong.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// Two actor kinds have one name.
    #[error("the actor kind {kind:?} is registered twice: rename one")]
    KindTwice {
        /// The name.
        kind: &'static str,
    },
    /// Two values of one type are provided to handlers.
    #[error("two values of the type {dependency} are provided: provide one, or give each a type of its own")]
    DependencyTwice {
        /// The name of the type.
        dependency: &'static str,
    },
    /// An actor kind needs a value that is not provided.
    #[error(
        "the actor kind {kind:?} needs a value of the type {dependency}, and none is provided: add \
         `Builder::provide`, nothing was opened"
    )]
    MissingDependency {
        /// The kind.
        kind: &'static str,
        /// The name of the type.
        dependency: &'static str,
    },
    /// The store holds actors of a kind that is not registered.
    #[error(
        "the store holds {actor}, but the kind {kind:?} is not registered: register it, nothing was changed"
    )]
    UnknownKind {
        /// One such actor.
        actor: ActorId,
        /// Its kind.
        kind: String,
    },
    /// The log holds a message for which its actor has no handler any more.
    #[error(
        "the log holds the message {message:?} for {actor} at {rsn}, but no handler of {actor} takes it: register one, \
         nothing was changed"
    )]
    UnknownMessage {
        /// The receiver.
        actor: ActorId,
        /// The delivery.
        rsn: Rsn,
        /// The message type.
        message: String,
    },
    /// A checkpoint holds a state of another version than the registered one.
    #[error(
        "the state of {actor} is stored in version {stored}, registered is version {registered}: open with the code of \
         version {stored}, nothing was changed"
    )]
    StateVersion {
        /// One such actor.
        actor: ActorId,
        /// The stored version.
        stored: u32,
        /// The registered version.
        registered: u32,
    },
    /// An actor knows more of a channel than its sender ever sent: a part of the history is
    /// missing.
    #[error(
        "{receiver} has received {received} of {sender}, which by its own records sent only up to {sent}: a part of \
         the history is missing, restore the store's files, no record of it was changed"
    )]
    Orphan {
        /// The receiver.
        receiver: ActorId,
        /// The sender.
        sender: ActorId,
        /// The last number received.
        received: Ssn,
        /// The last number sent.
        sent: Ssn,
    },
    /// The records of an actor contradict themselves. The [`Halt`] names the actor and the place.
    #[error("{0}; restore the store's files, no record was changed")]
    Records(Halt),
    /// Code of the store or of the runtime panicked during the opening.
    #[error(
        "the opening panicked: {panic}; nothing that was acknowledged has changed: open it again, and report it"
    )]
    Panicked {
        /// The panic's message.
        panic: String,
    },
    /// The system refused a thread that runs the store or restores actors.
    #[error("no thread could be started: {reason}; nothing that was acknowledged has changed: open it again")]
    Thread {
        /// What the system says.
        reason: String,
    },
    /// You called outside of any tokio runtime.
    #[error("there is no tokio runtime here, nothing was opened: open the store inside of one")]
    NoTokio,
}

impl OpenError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Orphan { .. } | Self::Records(_) => ErrorKind::Corrupt,
            Self::Panicked { .. } | Self::Thread { .. } => ErrorKind::Reopen,
            _ => ErrorKind::Input,
        }
    }
}
