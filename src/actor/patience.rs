//! Whether it helps that senders outside wait for the log to shrink. Knows who holds the cut back,
//! and does nothing.
//!
//! Senders wait as long as checkpoints and cuts make progress, however many actors that takes and
//! however slow the disk is. They do not wait for an actor that can't be checkpointed: it must not
//! stop the others, so the log grows over its budget until that actor moves on.

use std::fmt;

use relive_storage::{ActorId, Lsn};

use crate::limits::HOLDER_INTERVALS_MAX;

/// Remembers the actor that holds the cut back.
#[derive(Default)]
pub(crate) struct Patience {
    front: Option<Front>,
}

/// Where the needed log begins, and the actor that needs it; a passive actor has no name here.
pub(crate) type Needed = (Lsn, Option<ActorId>);

/// The actor that holds the cut back, and its counts at the last look.
struct Front {
    needed: Needed,
    tries: Tries,
    /// For how many intervals it has been there.
    intervals: u32,
}

/// The part of an actor's state that shows whether it can be checkpointed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holder {
    pub(crate) is_stopped: bool,
    /// A checkpoint of it is on its way to the disk.
    pub(crate) is_pending: bool,
    pub(crate) tries: Tries,
}

/// Counts of what keeps an actor from a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tries {
    /// Odd while its handler waits.
    pub(crate) waits: u64,
    /// Checkpoints that were taken and do not count.
    pub(crate) unsaved: u64,
}

/// Why waiting does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hopeless {
    Stopped,
    Waits,
    Unsaved,
    Stands,
}

impl fmt::Display for Hopeless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "it is stopped",
            Self::Waits => "its handler waits",
            Self::Unsaved => "its checkpoints do not count",
            Self::Stands => "it has not come to its end with what it received",
        })
    }
}

impl Patience {
    /// Ends an interval. Returns why senders wait in vain for a checkpoint of the actor that holds
    /// the cut back, if they do. `needed` is `None` while the log is within its budget.
    pub(crate) fn look(&mut self, needed: Option<Needed>, holder: Holder) -> Option<Hopeless> {
        let tries = holder.tries;
        let front = match (&mut self.front, needed) {
            (front, None) => {
                *front = None;
                return None;
            }
            (Some(front), Some(needed)) if front.needed == needed => front,
            // Another actor, or the same after progress: its time begins.
            (front, Some(needed)) => {
                *front = Some(Front { needed, tries, intervals: 0 });
                return None;
            }
        };
        if holder.is_stopped {
            return Some(Hopeless::Stopped);
        }
        let before = std::mem::replace(&mut front.tries, tries);
        // A slow disk is no fault of the actor's, so its time begins anew.
        if holder.is_pending {
            front.intervals = 0;
            return None;
        }
        front.intervals += 1;
        match tries {
            // The same odd count as before: it is still the same wait.
            Tries { waits, .. } if waits % 2 == 1 && waits == before.waits => Some(Hopeless::Waits),
            Tries { unsaved, .. } if unsaved > before.unsaved => Some(Hopeless::Unsaved),
            _ => (front.intervals >= HOLDER_INTERVALS_MAX).then_some(Hopeless::Stands),
        }
    }

    /// Whether another actor, or another part of the log, holds the cut back than at the last look.
    pub(crate) fn has_hope(&self, needed: Option<&Needed>) -> bool {
        self.front.as_ref().is_some_and(|front| Some(&front.needed) != needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(lsn: u64) -> Option<Needed> {
        Some((Lsn::new(lsn), Some(ActorId::new("account", "alice").unwrap())))
    }

    fn busy(waits: u64, unsaved: u64) -> Holder {
        Holder { tries: Tries { waits, unsaved }, ..Holder::default() }
    }

    /// Invariant: bounded. As long as somebody else holds the cut back each time, or is on its way
    /// to the disk, senders wait.
    #[test]
    fn senders_wait_as_long_as_there_is_progress() {
        let mut patience = Patience::default();
        for lsn in 0..1_000 {
            assert_eq!(patience.look(needed(lsn), busy(1, 0)), None);
        }
        for _ in 0..1_000 {
            let writing = Holder { is_pending: true, ..busy(3, 2) };
            assert_eq!(patience.look(needed(1_000), writing), None);
        }
        for _ in 0..1_000 {
            assert_eq!(patience.look(None, busy(3, 2)), None);
        }
    }

    #[test]
    fn nobody_waits_for_one_that_cant_be_checkpointed() {
        let mut patience = Patience::default();
        assert_eq!(patience.look(needed(1), busy(1, 0)), None);
        assert_eq!(patience.look(needed(1), busy(3, 0)), None, "it waits again, for something else");
        assert_eq!(patience.look(needed(1), busy(3, 0)), Some(Hopeless::Waits));
        assert_eq!(patience.look(needed(2), busy(4, 0)), None);
        assert_eq!(patience.look(needed(2), busy(4, 1)), Some(Hopeless::Unsaved));
        let stopped = Holder { is_stopped: true, ..busy(4, 1) };
        assert_eq!(patience.look(needed(2), stopped), Some(Hopeless::Stopped));
        assert!(!patience.has_hope(needed(2).as_ref()));
        assert!(patience.has_hope(needed(3).as_ref()));
    }

    #[test]
    fn one_that_runs_gets_its_time() {
        let mut patience = Patience::default();
        let looks = (0..).take_while(|_| patience.look(needed(1), busy(2, 0)).is_none()).count();
        assert_eq!(looks, HOLDER_INTERVALS_MAX as usize);
    }
}
