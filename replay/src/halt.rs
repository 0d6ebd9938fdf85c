//! Why an actor stopped in the middle of a delivery. No effect of that delivery left the actor.

use std::fmt;

use relive_storage::{ActorId, Name, Rsn};

use crate::payload::CodecError;

/// An actor stopped: which one, at which delivery, and why. No effect of the delivery left the
/// actor; the delivery stays in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Halt {
    /// Which actor.
    pub actor: ActorId,
    /// The delivery; 0 when the actor was at none.
    pub rsn: Rsn,
    /// Why.
    pub reason: HaltReason,
}

impl Halt {
    /// An actor that stopped at a delivery.
    #[must_use]
    pub fn new(actor: ActorId, rsn: Rsn, reason: HaltReason) -> Self {
        Self { actor, rsn, reason }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { actor, rsn, reason } = self;
        if *rsn == Rsn::NONE {
            write!(f, "{actor}: {reason}")
        } else {
            write!(f, "{actor} at {rsn}: {reason}")
        }
    }
}

impl std::error::Error for Halt {}

/// Why an actor stopped. The sentences are about the actor and the delivery that a [`Halt`] names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HaltReason {
    /// Replay did something else than the original run.
    #[error(transparent)]
    Divergence(#[from] Divergence),
    /// The handler awaited something that relive does not record.
    #[error(
        "it awaited something outside the context{} while it handled {message}: wrap it in `cx.side_effect`, then its \
         outcome is recorded; take `cx.timeout`, `cx.race`, `cx.join_all` and their like in place of those of other \
         libraries",
        beside.as_ref().map(|wait| format!(" beside the {wait}")).unwrap_or_default()
    )]
    ForeignAwait {
        /// The message type of the delivery.
        message: String,
        /// What it waited for beside that, and might have given up: a timeout or a race of another
        /// library was around it.
        beside: Option<String>,
    },
    /// The handler dropped a wait that it had begun, as a timeout or a race of another library
    /// around it does. Nobody knows what came of it, and no record could make a replay drop it in
    /// the same way.
    #[error(
        "it began the {name} while it handled {message} and gave it up before it was done: await it to its end, or \
         put `cx.timeout` or `cx.race` around it, which a replay repeats; nothing more was released"
    )]
    GivenUp {
        /// The message type of the delivery.
        message: String,
        /// What it waited for.
        name: String,
    },
    /// The handler asked for a value that the program did not provide. That is a matter of
    /// settings, so the delivery is neither tried again nor left out: the actor stops until an
    /// opening provides the value.
    #[error(
        "it needs a value of the type {dependency} to handle {message}, and none is provided: open with \
         `Builder::provide`; nothing was released"
    )]
    MissingDependency {
        /// The message type of the delivery.
        message: String,
        /// The name of the type.
        dependency: String,
    },
    /// Code of the actor unwound outside of its handlers, or code of the runtime did.
    #[error("a turn of it panicked: {panic}")]
    Unwound {
        /// The panic's message.
        panic: String,
    },
    /// The system refused a thread that restores the actor.
    #[error("no thread could be started to restore it: {reason}; its history is untouched")]
    NoThread {
        /// What the system says.
        reason: String,
    },
    /// `Actor::create` panicked, so the actor has no state.
    #[error("it could not be created, `create` panicked: {panic}; nothing was changed")]
    NotCreated {
        /// The panic's message.
        panic: String,
    },
    /// The checkpoint does not decode as the state of this code's actor. The [`Halt`] names the
    /// last delivery that the checkpoint covers.
    #[error(
        "its checkpoint does not decode as its state: {reason}; it stays as it is, for code that reads it"
    )]
    Checkpoint {
        /// What the codec says.
        reason: String,
    },
    /// The handler panicked.
    #[error("it panicked while it handled {message}: {panic}")]
    Panicked {
        /// The message type of the delivery.
        message: String,
        /// The panic's message.
        panic: String,
    },
    /// The process ended again and again while the actor tried this delivery.
    #[error("the process ended {tries} times while it handled {message}")]
    ProcessEnded {
        /// The message type of the delivery.
        message: String,
        /// How often the actor tried it, by the log.
        tries: u32,
        /// Whether anyone may know of it: it was an ask, so the actor may have answered it before,
        /// or it lies within what an opening had completely recovered.
        may_be_known: bool,
    },
    /// The process ended again and again while it replayed what the actor had handled, up to the
    /// delivery that the [`Halt`] names. This opening leaves the actor alone; the next one replays
    /// it again.
    #[error("the process ended {ends} times while what it had handled up to there was replayed")]
    ReplayEnded {
        /// In how many successive lives, by the log.
        ends: u32,
    },
    /// No handler of the actor takes the message.
    #[error("it has no handler for the message {message:?}: register one, nothing was changed")]
    Unhandled {
        /// The message type of the delivery.
        message: String,
    },
    /// A message, outcome or reply does not survive encoding and decoding.
    #[error("{what} does not survive its codec: {reason}")]
    Codec {
        /// What it was.
        what: String,
        /// What the codec says.
        reason: String,
    },
    /// An outcome is larger than its limit.
    #[error("{what} has {found} bytes, at most {limit} are allowed")]
    TooLarge {
        /// What it was.
        what: String,
        /// Its size in bytes.
        found: usize,
        /// Its limit in bytes.
        limit: usize,
    },
    /// The recorded determinants contradict themselves.
    #[error("its records are damaged: {what}")]
    Corrupt {
        /// What is wrong.
        what: String,
    },
}

/// Replay did something else than the original run: the handler is not deterministic, or its code
/// has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the original run did {expected}, the replay did {found}; the actor is halted, nothing was released: make the \
     handler deterministic, or open with the code that wrote the log"
)]
#[non_exhaustive]
pub struct Divergence {
    /// What the original run did.
    pub expected: String,
    /// What the replay did.
    pub found: String,
}

impl Divergence {
    /// What the original run of a delivery did, and what the replay did instead.
    #[must_use]
    pub fn new(expected: String, found: String) -> Self {
        Self { expected, found }
    }
}

/// The records of an actor contradict themselves, at this delivery.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the records are damaged at {rsn}: {what}")]
pub struct CorruptRecords {
    /// Where.
    pub rsn: Rsn,
    /// What is wrong.
    pub what: String,
}

impl CorruptRecords {
    /// The halt of the actor whose records they are.
    #[must_use]
    pub fn of(self, actor: &ActorId) -> Halt {
        Halt::new(actor.clone(), self.rsn, HaltReason::Corrupt { what: self.what })
    }
}

pub(crate) fn does_not_survive(what: String, error: &CodecError) -> HaltReason {
    HaltReason::Codec { what, reason: error.to_string() }
}

pub(crate) fn given_up(message: &Name, wait: &str) -> HaltReason {
    HaltReason::GivenUp { message: message.to_string(), name: wait.to_owned() }
}
