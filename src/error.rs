//! What a caller can be told: what failed, on what, what is true now, what to do.

use std::sync::Arc;

use relive_replay::kind::KindError;
use relive_replay::payload::CodecError;
use relive_replay::{Halt, Quarantined};
use relive_storage::{ActorId, ErrorKind, Name, Rsn, Ssn, StoreError};

/// Why a runtime did not open. Nothing that was acknowledged has changed; the log may say that an opening began.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registration of an actor kind.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// Two actor kinds have one name.
    #[error("the actor kind {kind:?} is registered twice: rename one")]
    KindTwice {
        /// The name.
        kind: &'static str,
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
    /// The log holds a message that no handler takes any more.
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
    /// An actor knows more of a channel than its sender ever sent: a part of the history is missing.
    #[error(
        "{receiver} has received {received} of {sender}, which by its own records sent only up to {sent}: a part of \
         the history is missing, restore the store's files, no record of it was changed"
    )]
    Orphan {
        /// Who received.
        receiver: ActorId,
        /// Who sent.
        sender: ActorId,
        /// The last number received.
        received: Ssn,
        /// The last number sent.
        sent: Ssn,
    },
    /// The records of an actor contradict themselves.
    #[error("the records of an actor are damaged: {0}; restore the store's files, no record was changed")]
    Records(Halt),
    /// The call was made outside a tokio runtime.
    #[error("there is no tokio runtime here: open inside one, with its time driver enabled")]
    NoTokio,
}

impl OpenError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Orphan { .. } | Self::Records(_) => ErrorKind::Corrupt,
            _ => ErrorKind::Input,
        }
    }
}

/// An actor that can't go on: it failed on a delivery as often as its restart policy allows, or in a way that no retry
/// mends. The others go on; it stays so until the store is reopened.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{actor} has failed after {tries} tries and takes nothing more until the runtime is reopened: {halt}"
)]
#[non_exhaustive]
pub struct ActorFailure {
    /// Which actor.
    pub actor: ActorId,
    /// How often the delivery was tried.
    pub tries: u32,
    /// Why it stopped.
    #[source]
    pub halt: Halt,
}

/// Why a message was not taken, or a caller is no longer waited on.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The message does not encode.
    #[error("the message {message} can't be encoded: {source}")]
    Codec {
        /// Its type.
        message: &'static str,
        /// What the codec says.
        source: CodecError,
    },
    /// The message is over its limit.
    #[error("the message {message} has {found} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Its type.
        message: &'static str,
        /// Its size in bytes.
        found: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The message was registered for no handler of the actor.
    #[error("{actor} has no handler registered for the message {:?}", &**message)]
    Unhandled {
        /// The receiver.
        actor: ActorId,
        /// The message type.
        message: Name,
    },
    /// One or more messages of a producer's channel before this one are missing.
    #[error("{actor} expects message {expected} of the producer, not {found}: send the missing ones first")]
    Gap {
        /// The receiver.
        actor: ActorId,
        /// The number that would be next.
        expected: Ssn,
        /// The number it has.
        found: Ssn,
    },
    /// The receiver has failed.
    #[error(transparent)]
    Actor(Arc<ActorFailure>),
    /// The channel of a producer was told to go on after a number that no channel reaches.
    #[error("no message of a channel has a number after {last}: resume after the last one that was sent")]
    OutOfRange {
        /// The number to go on after.
        last: Ssn,
    },
    /// The receiver was to leave the message out, because it kept failing on it: it has changed nothing.
    #[error(
        "{} left {} of {} out after {} tries, it is in quarantine and has changed nothing: {}",
        .0.actor, .0.message, .0.rsn, .0.tries, .0.reason
    )]
    Quarantined(Arc<Quarantined>),
    /// The delivery is not in quarantine: it never was, or was tried again or dropped before.
    #[error("{rsn} of {actor} is not in quarantine")]
    NotQuarantined {
        /// Whose delivery.
        actor: ActorId,
        /// Which.
        rsn: Rsn,
    },
    /// The store has failed: nothing is taken until it is reopened.
    #[error("the store has failed, the runtime takes nothing more until it is reopened: {0}")]
    Failed(Arc<StoreError>),
    /// The runtime is shutting down or gone.
    #[error("the runtime is shut down")]
    Stopped,
    /// The time that the caller gave was up.
    #[error("the time given was up")]
    Timeout,
}

impl Refused {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Codec { .. }
            | Self::TooLarge { .. }
            | Self::Unhandled { .. }
            | Self::Gap { .. }
            | Self::OutOfRange { .. }
            | Self::Quarantined(_)
            | Self::NotQuarantined { .. } => ErrorKind::Input,
            Self::Actor(_) | Self::Failed(_) | Self::Stopped => ErrorKind::Reopen,
            Self::Timeout => ErrorKind::Retry,
        }
    }
}

/// A message that was not accepted: the actor will never see it. It is given back.
#[derive(thiserror::Error)]
#[error("the message was not accepted: {reason}")]
#[non_exhaustive]
pub struct TellError<M> {
    /// The message.
    pub message: M,
    /// Why.
    #[source]
    pub reason: Refused,
}

impl<M> TellError<M> {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.reason.kind()
    }
}

impl<M> std::fmt::Debug for TellError<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TellError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// An `ask` without an answer.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum AskError<M> {
    /// The message was not accepted: the actor will never see it. It is given back.
    #[error("the message was not accepted: {reason}")]
    NotAccepted {
        /// The message.
        message: M,
        /// Why.
        #[source]
        reason: Refused,
    },
    /// The message was accepted, but no answer came: it is *unknown* whether it was or will be handled. If its
    /// delivery is on stable storage it will be, after a reopening at the latest.
    #[error("the message was accepted, but there is no answer, and its outcome is unknown: {reason}")]
    Unknown {
        /// Why.
        #[source]
        reason: Refused,
    },
    /// The message was handled, but its reply does not decode.
    #[error("the message was handled, but its reply can't be decoded: {source}")]
    Reply {
        /// What the codec says.
        source: CodecError,
    },
}

impl<M> AskError<M> {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAccepted { reason, .. } | Self::Unknown { reason } => reason.kind(),
            Self::Reply { .. } => ErrorKind::Input,
        }
    }

    /// Why there is no answer.
    #[must_use]
    pub fn reason(&self) -> Option<&Refused> {
        match self {
            Self::NotAccepted { reason, .. } | Self::Unknown { reason } => Some(reason),
            Self::Reply { .. } => None,
        }
    }
}

impl<M> std::fmt::Debug for AskError<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAccepted { reason, .. } => {
                f.debug_struct("NotAccepted").field("reason", reason).finish_non_exhaustive()
            }
            Self::Unknown { reason } => f.debug_struct("Unknown").field("reason", reason).finish(),
            Self::Reply { source } => f.debug_struct("Reply").field("source", source).finish(),
        }
    }
}
