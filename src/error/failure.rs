//! An actor that can't go on, and what its failure means for its earlier work.

use relive_replay::Halt;
use relive_storage::{ActorId, ErrorKind};

/// An actor that can't go on. The other actors do. Its history is unchanged, and the runtime
/// accepts nothing for it until you reopen the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActorFailure {
    /// Which actor.
    pub actor: ActorId,
    /// What the failure means for the actor's earlier work.
    pub cause: FailureCause,
    /// How often the actor tried the delivery in this life.
    pub tries: u32,
    /// Why it stopped.
    pub halt: Halt,
}

/// What the failure of an actor means for its earlier work, and so what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureCause {
    /// This code, or these surroundings, could not replay what the actor had certainly handled. The
    /// runtime never leaves such a delivery out, and never tries it under new keys: open the store
    /// with code that can replay it, and the actor goes on as if nothing had happened.
    Replay,
    /// The actor failed on a delivery that an opening found in the log or in an outbox. The log
    /// does not tell whether the actor handled it before, or its sender sent it in an earlier life.
    /// The delivery may have been answered, so the actor does not leave it out: the next opening
    /// tries it again.
    Undecided,
    /// The actor failed on a delivery that it had never handled, and may not leave it out: its
    /// policy forbids that, its quarantine is full, or it lacks something that the program must
    /// provide ([`HaltReason::MissingDependency`](crate::HaltReason::MissingDependency)). The next
    /// opening tries it again.
    Delivery,
    /// The actor's part of the store is damaged: restore the store's files.
    Damaged,
    /// Code outside of the actor's handlers unwound during its turn. The next opening restores the
    /// actor.
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
