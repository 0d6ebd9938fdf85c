//! The errors of the calls: one type for each family of calls. A type has only variants that its
//! calls return.

use std::sync::Arc;

use relive_replay::payload::CodecError;
use relive_replay::{MessageError, Quarantined};
use relive_storage::{ActorId, ErrorKind, Name, NameError, Rsn, Ssn};

use crate::error::availability::{Ended, Unavailable};

/// Why the runtime did not accept a message. The actor will never see it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The message can't be sent to any actor.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The actor's kind registers no handler for the message: add `handles` where you register the
    /// kind.
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
    /// [`Producer::resume`](crate::Producer::resume) was given a number beyond the last that a
    /// channel can reach: resume after the last message that was sent.
    #[error("no message of a channel has a number after {last}: resume after the last one that was sent")]
    OutOfRange {
        /// The number to go on after.
        last: Ssn,
    },
    /// An idempotency key is empty or longer than 256 bytes: give another one.
    #[error(transparent)]
    IdempotencyKey(NameError),
    /// The actor knows the idempotency key from a request with another message, and has changed
    /// nothing: give each request a key of its own. The message of a request that is sent again is
    /// the same, byte for byte, as its type encodes it.
    #[error(
        "{actor} knows the idempotency key {:?} from a request with another message, nothing was changed: give each request \
         a key of its own",
        &**key
    )]
    KeyOfAnotherRequest {
        /// The receiver.
        actor: ActorId,
        /// The key.
        key: Name,
    },
    /// The actor keeps as many idempotency keys, or bytes of replies, as it may, and has promised
    /// to keep all of them for longer. Send the request again later, or open the store with a
    /// shorter [retention](crate::Builder::idempotency_retention).
    #[error(
        "{actor} has no room for the idempotency key {:?} before it may forget older ones, nothing was changed: send the \
         request again later, or shorten the retention",
        &**key
    )]
    NoRoomForKey {
        /// The receiver.
        actor: ActorId,
        /// The key.
        key: Name,
    },
    /// The caller's time limit passed before the mailbox had a free place: send the message again.
    #[error("the time given was up")]
    Timeout,
    /// The actor accepts no messages.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Refused {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Message(_)
            | Self::Unhandled { .. }
            | Self::OutOfRange { .. }
            | Self::IdempotencyKey(_)
            | Self::KeyOfAnotherRequest { .. } => ErrorKind::Input,
            Self::NoRoomForKey { .. } | Self::Timeout => ErrorKind::Retry,
            Self::Unavailable(unavailable) => unavailable.kind(),
        }
    }

    /// Why the actor accepts no messages, if that is the reason.
    #[must_use]
    pub fn unavailable(&self) -> Option<&Unavailable> {
        match self {
            Self::Unavailable(unavailable) => Some(unavailable),
            _ => None,
        }
    }
}

/// Why an accepted message has no answer. It is *unknown* whether the actor has handled it or will.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// The caller's time limit has passed. The message stays accepted all the same.
    #[error("the time given was up")]
    Timeout,
    /// The actor has failed or the runtime has ended meanwhile. If the delivery is on stable
    /// storage, the actor handles it after a reopening.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl NoAnswer {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Timeout => ErrorKind::Retry,
            Self::Unavailable(unavailable) => unavailable.kind(),
        }
    }
}

/// Why a producer gets no confirmation that its message is on stable storage.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The receiver lacks one or more earlier messages of the producer's channel, so it dropped
    /// this one: send the missing ones first, then this one under its number.
    #[error("{actor} expects message {expected} of the producer, not {found}: send the missing ones first")]
    Gap {
        /// The receiver.
        actor: ActorId,
        /// The number that the receiver expects next.
        expected: Ssn,
        /// The number of this message.
        found: Ssn,
    },
    /// It is *unknown* whether the message is on stable storage. Send it again under the same
    /// number after a reopening; the receiver drops a duplicate.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl ReceiptError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Gap { .. } => ErrorKind::Input,
            Self::Unavailable(unavailable) => unavailable.kind(),
        }
    }
}

/// Why there is no checkpoint of an actor. Its log still holds everything.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The runtime could not take a checkpoint of the actor's state. The actor goes on, and the log
    /// keeps what the checkpoint would have held: change the state's type so that it survives its
    /// codec and fits its limits.
    #[error(
        "no checkpoint of {actor} could be taken: {reason}; the log still holds everything, and grows until one can"
    )]
    NotTaken {
        /// Which actor.
        actor: ActorId,
        /// Why.
        reason: String,
    },
    /// The actor takes no checkpoints any more.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl CheckpointError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotTaken { .. } => ErrorKind::Input,
            Self::Unavailable(unavailable) => unavailable.kind(),
        }
    }
}

/// Why a delivery did not leave the quarantine.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum QuarantineError {
    /// The delivery is not in quarantine: it never was, or an earlier call retried or dropped it.
    /// Nothing has changed.
    #[error("{rsn} of {actor} is not in quarantine, nothing was changed: it never was, or has left it")]
    NotQuarantined {
        /// The actor.
        actor: ActorId,
        /// Which.
        rsn: Rsn,
    },
    /// The actor has no handler for the message any more, so it can't try the delivery again. The
    /// delivery stays in quarantine: register a handler, or drop the delivery.
    #[error(
        "{actor} has no handler registered for the message {:?}, it stays in quarantine: add `handles` where the kind is \
         registered",
        &**message
    )]
    Unhandled {
        /// The actor.
        actor: ActorId,
        /// The message type.
        message: Name,
    },
    /// It is *unknown* whether the delivery has left:
    /// [`Runtime::quarantined`](crate::Runtime::quarantined) tells after a reopening.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl QuarantineError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotQuarantined { .. } | Self::Unhandled { .. } => ErrorKind::Input,
            Self::Unavailable(unavailable) => unavailable.kind(),
        }
    }
}

/// Why a query has no answer. It has changed nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The actor's kind registers no answer to the query: add `answers` where you register the
    /// kind.
    #[error(
        "{actor} has no answer registered for the query {:?}: add `answers` where the kind is registered",
        &**query
    )]
    Unanswered {
        /// The actor.
        actor: ActorId,
        /// The query type.
        query: Name,
    },
    /// The code of the answer panicked, or that of the query's own type. The actor is unharmed and
    /// goes on.
    #[error("the answer of {actor} to the query {:?} panicked, the actor is unharmed: {panic}", &**query)]
    Panicked {
        /// The actor.
        actor: ActorId,
        /// The query type.
        query: Name,
        /// The panic's message.
        panic: String,
    },
    /// The caller's time limit passed before the actor answered: ask again.
    #[error("the time given was up")]
    Timeout,
    /// The actor answers no queries.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl QueryError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unanswered { .. } | Self::Panicked { .. } => ErrorKind::Input,
            Self::Timeout => ErrorKind::Retry,
            Self::Unavailable(unavailable) => unavailable.kind(),
        }
    }

    /// Why the actor answers nothing, if that is the reason.
    #[must_use]
    pub fn unavailable(&self) -> Option<&Unavailable> {
        match self {
            Self::Unavailable(unavailable) => Some(unavailable),
            _ => None,
        }
    }
}

impl From<Ended> for Refused {
    fn from(ended: Ended) -> Self {
        Self::Unavailable(ended.into())
    }
}

impl From<Ended> for CheckpointError {
    fn from(ended: Ended) -> Self {
        Self::Unavailable(ended.into())
    }
}

impl From<Ended> for QuarantineError {
    fn from(ended: Ended) -> Self {
        Self::Unavailable(ended.into())
    }
}

/// The runtime did not accept the message, and returns it here. The actor will never see it.
#[derive(thiserror::Error)]
#[error("the message was not accepted: {reason}")]
#[non_exhaustive]
pub struct TellError<M> {
    /// The message.
    pub message: M,
    /// Why. The error's own sentence contains it, so `source` does not return it again.
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

/// Why an `ask` has no answer.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum AskError<M> {
    /// The runtime did not accept the message, and returns it here. The actor will never see it.
    #[error("the message was not accepted: {reason}")]
    NotAccepted {
        /// The message.
        message: M,
        /// Why.
        reason: Refused,
    },
    /// The runtime accepted the message, but no answer came: it is *unknown* whether the actor has
    /// handled it or will. If the delivery is on stable storage, the actor handles it, after a
    /// reopening at the latest.
    #[error("the message was accepted, but there is no answer, and its outcome is unknown: {reason}")]
    Unknown {
        /// Why.
        reason: NoAnswer,
    },
    /// The actor kept failing on the message, so the runtime made the actor leave it out. The
    /// message has changed nothing, and stays in [quarantine](crate::Runtime::quarantined) until
    /// you retry or drop it.
    #[error(
        "{} left {} of {} out after {} tries, it is in quarantine and has changed nothing: {}",
        .0.actor, .0.message, .0.rsn, .0.tries, .0.reason
    )]
    Quarantined(Arc<Quarantined>),
    /// The actor handled the message, but its encoded reply is larger than that of a request with
    /// an [idempotency key](crate::Ask::idempotency_key) may be. Sending the request again gives
    /// the same.
    #[error(
        "the message was handled, but its reply has {found} bytes, at most {limit} are kept under an idempotency key"
    )]
    ReplyTooLarge {
        /// The size in bytes.
        found: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The actor handled the message, but its reply does not decode.
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
            Self::NotAccepted { reason, .. } => reason.kind(),
            Self::Unknown { reason } => reason.kind(),
            Self::Quarantined(_) | Self::ReplyTooLarge { .. } | Self::Reply { .. } => ErrorKind::Input,
        }
    }

    /// Why the actor does not answer, if it is unavailable: before the runtime accepted the
    /// message, or after.
    #[must_use]
    pub fn unavailable(&self) -> Option<&Unavailable> {
        match self {
            Self::NotAccepted { reason, .. } => reason.unavailable(),
            Self::Unknown { reason: NoAnswer::Unavailable(unavailable) } => Some(unavailable),
            _ => None,
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
            Self::Quarantined(entry) => f.debug_tuple("Quarantined").field(entry).finish(),
            Self::ReplyTooLarge { found, limit } => {
                f.debug_struct("ReplyTooLarge").field("found", found).field("limit", limit).finish()
            }
            Self::Reply { reason } => f.debug_struct("Reply").field("reason", reason).finish(),
        }
    }
}
