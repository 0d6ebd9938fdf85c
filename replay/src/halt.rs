//! Why an actor stopped in the middle of a delivery. Nothing of that delivery was released.

use relive_storage::{ActorId, Rsn};

/// Why an actor stopped in the middle of a delivery. Nothing that the delivery asked for was released; the delivery
/// stays in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Halt {
    /// Replay did something else than the original run.
    #[error(transparent)]
    Divergence(#[from] Divergence),
    /// The handler waited for something that is not recorded.
    #[error(
        "{actor} awaited something outside the context while it handled {message} at {rsn}: wrap it in \
         `cx.side_effect`, then its outcome is recorded"
    )]
    ForeignAwait {
        /// Which actor.
        actor: ActorId,
        /// Which delivery.
        rsn: Rsn,
        /// Its message type.
        message: String,
    },
    /// The handler, or the encoding of the state, panicked.
    #[error("{actor} panicked while it handled {message} at {rsn}: {panic}")]
    Panicked {
        /// Which actor.
        actor: ActorId,
        /// Which delivery.
        rsn: Rsn,
        /// Its message type.
        message: String,
        /// The panic's message.
        panic: String,
    },
    /// The process ended again and again while the actor tried this delivery.
    #[error("the process ended {tries} times while {actor} tried {message} at {rsn}")]
    ProcessEnded {
        /// Which actor.
        actor: ActorId,
        /// Which delivery.
        rsn: Rsn,
        /// Its message type.
        message: String,
        /// How often it was tried, as the log tells.
        tries: u32,
    },
    /// The handler asked for an outcome that the tape no longer has: the original run ended here.
    #[error("the recorded determinants of {actor} end in the middle of {rsn}")]
    EndOfTape {
        /// Which actor.
        actor: ActorId,
        /// Which delivery.
        rsn: Rsn,
    },
    /// A message that no handler of the actor takes.
    #[error("{actor} has no handler for the message {message:?} of {rsn}: register one, nothing was changed")]
    Unhandled {
        /// Which actor.
        actor: ActorId,
        /// Which delivery.
        rsn: Rsn,
        /// The message type.
        message: String,
    },
    /// A message, outcome, reply or state that does not encode or decode.
    #[error("{what} of {actor} at {rsn} can't be encoded or decoded: {reason}")]
    Codec {
        /// Which actor.
        actor: ActorId,
        /// Which delivery.
        rsn: Rsn,
        /// What it was.
        what: String,
        /// What the codec says.
        reason: String,
    },
    /// An outcome over its limit.
    #[error("{what} of {actor} at {rsn} has {found} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Which actor.
        actor: ActorId,
        /// Which delivery.
        rsn: Rsn,
        /// What it was.
        what: String,
        /// Its size in bytes.
        found: usize,
        /// Its limit in bytes.
        limit: usize,
    },
    /// The recorded determinants contradict themselves.
    #[error("the records of {actor} are damaged at {rsn}: {what}")]
    Corrupt {
        /// Which actor.
        actor: ActorId,
        /// Where.
        rsn: Rsn,
        /// What is wrong.
        what: String,
    },
    /// The log took nothing more, so the handler could not go on past an event.
    #[error("{actor} could not log an event at {rsn}: {reason}")]
    NotLogged {
        /// Which actor.
        actor: ActorId,
        /// Which delivery.
        rsn: Rsn,
        /// Why.
        reason: String,
    },
}

impl Halt {
    /// The delivery at which the actor stopped.
    #[must_use]
    pub fn rsn(&self) -> Rsn {
        match self {
            Self::Divergence(divergence) => divergence.rsn,
            Self::ForeignAwait { rsn, .. }
            | Self::Panicked { rsn, .. }
            | Self::ProcessEnded { rsn, .. }
            | Self::EndOfTape { rsn, .. }
            | Self::Unhandled { rsn, .. }
            | Self::Codec { rsn, .. }
            | Self::TooLarge { rsn, .. }
            | Self::Corrupt { rsn, .. }
            | Self::NotLogged { rsn, .. } => *rsn,
        }
    }
}

/// Replay did something else than the original run: the handler is not deterministic, or its code has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{actor} diverged at {rsn}: the original run did {expected}, the replay did {found}; the actor is halted, nothing \
     was released: make the handler deterministic, or open with the code that wrote the log"
)]
#[non_exhaustive]
pub struct Divergence {
    /// Which actor.
    pub actor: ActorId,
    /// At which delivery.
    pub rsn: Rsn,
    /// What the original run did.
    pub expected: String,
    /// What the replay did.
    pub found: String,
}
