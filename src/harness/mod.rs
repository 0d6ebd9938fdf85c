//! What a test kit has in a runtime. It counts what moves, so that a test can wait until nothing
//! does. It lets commits wait until everybody waits for them, so that the same run makes the same
//! calls of its store. It replaces waits for the machine's time, and gives seeds.
//!
//! Only `testing` makes one. All other runtimes have an empty one, which takes no memory without
//! the feature `test-support`. Knows no store, no turn and no message.

#[cfg(feature = "test-support")]
mod counts;
#[cfg(feature = "test-support")]
mod tracked;

use std::fmt;
use std::time::Duration;

use relive_storage::ActorId;

use crate::timer::sleep;

#[cfg(feature = "test-support")]
use {
    counts::Counts,
    std::sync::Arc,
    tracked::{Tracked, tracked},
};

/// What a test kit has in a runtime. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Harness {
    #[cfg(feature = "test-support")]
    counts: Option<Arc<Counts>>,
}

/// Something that moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Moving {
    /// An actor's turn runs, or is about to.
    Turn(ActorId),
    /// A handler waits for a side effect.
    SideEffect(ActorId),
    /// Records wait for their commit, or it is under way.
    Commit,
    /// Anything else that runs, by what it does.
    Task(&'static str),
}

impl fmt::Display for Moving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turn(actor) => write!(f, "{actor} runs"),
            Self::SideEffect(actor) => write!(f, "{actor} waits for a side effect"),
            Self::Commit => f.write_str("a commit"),
            Self::Task(what) => f.write_str(what),
        }
    }
}

/// Counts something that moves until it is dropped.
#[derive(Default)]
#[must_use = "nothing moves any more when it is dropped"]
pub(crate) struct Motion {
    #[cfg(feature = "test-support")]
    counted: Option<(Arc<Counts>, u64)>,
}

impl Harness {
    /// Something begins to move.
    pub(crate) fn begin(&self, what: impl FnOnce() -> Moving) -> Motion {
        #[cfg(feature = "test-support")]
        return Motion {
            counted: self.counts.as_ref().map(|counts| (Arc::clone(counts), counts.begin(what()))),
        };
        #[cfg(not(feature = "test-support"))]
        return {
            let _ = what;
            Motion {}
        };
    }

    /// Something moves from now on, or does so no longer.
    pub(crate) fn set(&self, motion: &mut Motion, moves: impl FnOnce() -> Option<Moving>) {
        #[cfg(feature = "test-support")]
        if self.counts.is_some() {
            let moves = moves();
            if moves.is_some() != motion.counted.is_some() {
                *motion = moves.map_or_else(Motion::default, |what| self.begin(|| what));
            }
        }
        #[cfg(not(feature = "test-support"))]
        let _ = (motion, moves);
    }

    /// A task that moves while it is polled, and from each wake to the next poll.
    pub(crate) fn track<F: Future, W: FnOnce() -> Moving>(
        &self,
        what: W,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F, W> {
        #[cfg(feature = "test-support")]
        return tracked(self.counts.as_ref().map(|counts| Tracked::new(counts, what())), task);
        #[cfg(not(feature = "test-support"))]
        return {
            let _ = what;
            task
        };
    }

    /// Waits for `time`; under a kit, until nothing runs and no commit is under way.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(crate) async fn pause(&self, time: Duration) {
        #[cfg(feature = "test-support")]
        if let Some(counts) = &self.counts {
            return counts.pause().await;
        }
        sleep(time).await;
    }

    /// Whether there is a kit.
    pub(crate) fn is_kept(&self) -> bool {
        #[cfg(feature = "test-support")]
        return self.counts.is_some();
        #[cfg(not(feature = "test-support"))]
        return false;
    }

    /// Blocks until nothing runs, but not for long: code that runs on and on must not keep the
    /// others from their commits.
    pub(crate) fn until_all_wait(&self) {
        #[cfg(feature = "test-support")]
        if let Some(counts) = &self.counts {
            counts.until_all_wait();
        }
    }

    /// Ends the waits of commits: the runtime ends.
    pub(crate) fn give_way(&self) {
        #[cfg(feature = "test-support")]
        if let Some(counts) = &self.counts {
            counts.give_way();
        }
    }

    /// The next of the kit's seeds.
    pub(crate) fn seed(&self) -> Option<u64> {
        #[cfg(feature = "test-support")]
        return self.counts.as_ref().map(|counts| counts.seed());
        #[cfg(not(feature = "test-support"))]
        return None;
    }
}

/// What the kit itself calls.
#[cfg(feature = "test-support")]
impl Harness {
    /// That of a kit.
    pub(crate) fn new() -> Self {
        Self { counts: Some(Arc::default()) }
    }

    /// Waits until nothing moves. `Err` when that takes more than `rounds` polls of what is
    /// tracked.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(crate) async fn quiet(&self, rounds: u64) -> Result<(), Restless> {
        match &self.counts {
            Some(counts) => counts.quiet(rounds).await,
            None => Ok(()),
        }
    }

    /// What moves now, in the order in which it began to.
    pub(crate) fn moving(&self) -> Vec<Moving> {
        self.counts.as_ref().map(|counts| counts.moving()).unwrap_or_default()
    }
}

/// It did not become quiet in the rounds given.
#[cfg(feature = "test-support")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Restless;

#[cfg(feature = "test-support")]
impl Drop for Motion {
    fn drop(&mut self) {
        if let Some((counts, id)) = self.counted.take() {
            counts.end(id);
        }
    }
}
