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
    /// The handler dropped a side effect that it had begun, as a timeout or a race around it does. Whether it was done
    /// is not known, and no record could repeat that it was given up.
    #[error(
        "{actor} began the side effect {name:?} while it handled {message} at {rsn} and gave it up before it was done: \
         await it to its end, and put a time limit inside of what it does; nothing was released"
    )]
    GivenUp {
        /// Which actor.
        actor: ActorId,
        /// Which delivery.
        rsn: Rsn,
        /// Its message type.
        message: String,
        /// The side effect.
        name: String,
    },
    /// Code of the actor unwound outside of its handlers, or code of the runtime did.
    #[error("a turn of {actor} panicked: {panic}")]
    Unwound {
        /// Which actor.
        actor: ActorId,
        /// The panic's message.
        panic: String,
    },
    /// `Actor::create` panicked, so that there is no state to handle anything with.
    #[error("{actor} could not be created, `create` panicked: {panic}; nothing was changed")]
    NotCreated {
        /// Which actor.
        actor: ActorId,
        /// The panic's message.
        panic: String,
    },
    /// The checkpoint does not decode as what the code takes for the actor's state.
    #[error(
        "the checkpoint of {actor} at {rsn} does not decode as its state: {reason}; it stays as it is, for code that reads it"
    )]
    Checkpoint {
        /// Which actor.
        actor: ActorId,
        /// The last delivery that the checkpoint contains.
        rsn: Rsn,
        /// What the codec says.
        reason: String,
    },
    /// The handler panicked.
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
    #[error("the process ended {tries} times while {actor} handled {message} at {rsn}")]
    ProcessEnded {
        /// Which actor.
        actor: ActorId,
        /// Which delivery.
        rsn: Rsn,
        /// Its message type.
        message: String,
        /// How often it was tried, as the log tells.
        tries: u32,
        /// Whether somebody may know of it: it was asked, so that it may have been answered before, or its receivers have
        /// what it sent.
        may_be_known: bool,
    },
    /// The process ended again and again while what the actor had handled was replayed; so it is left alone in this
    /// opening, and the next one replays it again.
    #[error("the process ended {ends} times while what {actor} had handled up to {rsn} was replayed")]
    ReplayEnded {
        /// Which actor.
        actor: ActorId,
        /// Up to where.
        rsn: Rsn,
        /// In how many lives one after the other, as the log tells.
        ends: u32,
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
    /// A message, outcome or reply that does not survive being encoded and decoded.
    #[error("{what}, of {actor} at {rsn}, does not survive its codec: {reason}")]
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
            Self::NotCreated { .. } | Self::Unwound { .. } => Rsn::NONE,
            Self::ForeignAwait { rsn, .. }
            | Self::GivenUp { rsn, .. }
            | Self::Checkpoint { rsn, .. }
            | Self::ReplayEnded { rsn, .. }
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

impl Divergence {
    /// What an actor did at a delivery, beside what it had done before.
    #[must_use]
    pub fn new(actor: ActorId, rsn: Rsn, expected: String, found: String) -> Self {
        Self { actor, rsn, expected, found }
    }
}
