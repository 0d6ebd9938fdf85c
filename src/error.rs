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
            _ => ErrorKind::Input,
        }
    }
}

/// An actor that can't go on. The others do; its history is as it was, and nothing is accepted for it until the store is
/// reopened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActorFailure {
    /// Which actor.
    pub actor: ActorId,
    /// What that means for what it had done.
    pub cause: FailureCause,
    /// How often the delivery was tried in this life.
    pub tries: u32,
    /// Why it stopped.
    pub halt: Halt,
}

/// What the failure of an actor means for what it had done before, and so what there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureCause {
    /// What it had certainly handled could not be replayed, by this code or in these surroundings. It is never left out
    /// or tried under new keys: the next opening with code that can replay it goes on as if nothing had been.
    Replay,
    /// It failed on a delivery that an opening found, logged or owed: of which the log does not tell whether it was handled
    /// before, or that was sent in a life before. It may have been answered, so it is not left out: the next opening tries
    /// it again.
    Undecided,
    /// It failed on a delivery that was never handled, and is not to leave it out, by its policy or because its
    /// quarantine is full. The next opening tries it again.
    Delivery,
    /// Its part of the store is damaged.
    Damaged,
    /// Code outside of its handlers unwound in its turn. The next opening restores it.
    Unwound,
}

impl ActorFailure {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self.cause {
            FailureCause::Damaged => ErrorKind::Corrupt,
            _ => ErrorKind::Reopen,
        }
    }
}

impl std::fmt::Display for ActorFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { actor, cause, tries, halt } = self;
        match cause {
            FailureCause::Replay => write!(
                f,
                "{actor} is stopped, the replay of what it had handled failed: {halt}; its history is untouched: reopen \
                 with code and settings that can replay it"
            ),
            FailureCause::Undecided => write!(
                f,
                "{actor} is stopped after {tries} tries of a delivery that an opening found, and that may have been handled \
                 before: {halt}; its history is untouched: reopen with code and settings that can handle it"
            ),
            FailureCause::Delivery => write!(
                f,
                "{actor} is stopped after {tries} tries: {halt}; the delivery is still in the log, and is tried again when \
                 the store is reopened"
            ),
            FailureCause::Damaged => {
                write!(
                    f,
                    "{actor} is stopped, its part of the store can't be read: {halt}; restore the store's files"
                )
            }
            FailureCause::Unwound => write!(
                f,
                "{actor} is stopped, code outside of its handlers unwound: {halt}; its history is untouched: reopen the store"
            ),
        }
    }
}

impl std::error::Error for ActorFailure {}

/// Why a message was not taken, or a caller is no longer waited on.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The message does not survive being encoded and decoded.
    #[error("the message {message:?} does not survive its codec, it was not sent: {reason}")]
    Codec {
        /// Its type.
        message: &'static str,
        /// What the codec says.
        reason: CodecError,
    },
    /// The message is over its limit.
    #[error("the message {message:?} has {found} bytes, at most {limit} are allowed: it was not sent")]
    TooLarge {
        /// Its type.
        message: &'static str,
        /// Its size in bytes.
        found: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The message was registered for no handler of the actor.
    #[error(
        "{actor} has no handler registered for the message {:?}, it was not sent: add `handles` where the kind is registered",
        &**message
    )]
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
    #[error("{rsn} of {actor} is not in quarantine, nothing was changed: it never was, or has left it")]
    NotQuarantined {
        /// Whose delivery.
        actor: ActorId,
        /// Which.
        rsn: Rsn,
    },
    /// The store has failed: nothing is taken until it is reopened.
    #[error("the runtime takes nothing more until the store is reopened: {0}")]
    Failed(Arc<StoreError>),
    /// No checkpoint of the actor could be taken. The actor goes on, and the log keeps what the checkpoint would have
    /// held.
    #[error(
        "no checkpoint of {actor} could be taken: {reason}; the log still holds everything, and grows until one can"
    )]
    Checkpoint {
        /// Which actor.
        actor: ActorId,
        /// Why.
        reason: String,
    },
    /// A handler waits for its own actor, which handles nothing before the handler is done.
    #[error(
        "{actor} would wait for itself: it handles nothing before its present delivery is done; use `cx.send` instead"
    )]
    WaitsForItself {
        /// Which actor.
        actor: ActorId,
    },
    /// The runtime is shutting down or gone.
    #[error("the runtime is shut down; what was acknowledged is there after reopening")]
    Stopped,
    /// The tokio runtime in which the store was opened is gone, and with it everything that ran there.
    #[error(
        "the tokio runtime in which the store was opened is gone, nothing runs any more: reopen the store in one that lasts, \
         what was acknowledged is there"
    )]
    HostGone,
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
            | Self::Checkpoint { .. }
            | Self::WaitsForItself { .. }
            | Self::NotQuarantined { .. } => ErrorKind::Input,
            Self::Actor(failure) => failure.kind(),
            Self::Failed(_) | Self::Stopped | Self::HostGone => ErrorKind::Reopen,
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
    /// Why. The sentence tells it, so that it is no source as well.
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
        reason: Refused,
    },
    /// The message was accepted, but no answer came: it is *unknown* whether it was or will be handled. If its
    /// delivery is on stable storage it will be, after a reopening at the latest.
    #[error("the message was accepted, but there is no answer, and its outcome is unknown: {reason}")]
    Unknown {
        /// Why.
        reason: Refused,
    },
    /// The message was handled, but its reply does not decode.
    #[error("the message was handled, but its reply can't be decoded: {reason}")]
    Reply {
        /// What the codec says.
        reason: CodecError,
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
            Self::Reply { reason } => f.debug_struct("Reply").field("reason", reason).finish(),
        }
    }
}
