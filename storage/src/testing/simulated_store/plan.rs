//! Which call of the backend goes wrong, and how. Knows no device.

use std::collections::HashMap;
use std::fmt;

/// A method of the backend, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// Every method.
    Any,
    /// Every method that changes the device, and only these.
    AnyWrite,
    /// `Log::extent`.
    Extent,
    /// `Log::append`.
    Append,
    /// `Log::sync`.
    Sync,
    /// `Log::read`.
    Read,
    /// `Log::cut`.
    Cut,
    /// `CheckpointStore::put`.
    Put,
    /// `CheckpointStore::get`.
    Get,
    /// `CheckpointStore::list`.
    List,
}

impl Call {
    /// Whether it changes the device.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(self, Self::AnyWrite | Self::Append | Self::Sync | Self::Cut | Self::Put)
    }
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It fails and does nothing; the next one goes through. A real backend fails for good after a
    /// failed write, so this shows whether a user of the backend tries again. A sync that fails
    /// like this has lost its writes, as on Linux: reads find them while the power is on, and no
    /// later sync covers them.
    Fail,
    /// It fails and does nothing, and so does every later write. Reads go on.
    FailForGood,
    /// It does nothing until [`super::SimulatedDisk::release`], and then goes through.
    Hang,
    /// The power goes: the call and all later ones fail, and the seed decides which unsynced writes
    /// survive.
    Crash(Crash),
}

impl Fault {
    /// A loss of power before a call, which loses all unsynced writes.
    pub const FORGET: Self = Self::Crash(Crash { moment: Moment::Before, unsynced: Unsynced::Dropped });
}

/// When in a call the power goes, and what that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Crash {
    /// When.
    pub moment: Moment,
    /// What happens to the writes that were not synced by then.
    pub unsynced: Unsynced,
}

/// When in a call the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// Before it did anything.
    Before,
    /// In the middle: a block is half written, a sync has reached some of the blocks, a put has
    /// listed some of the checkpoints, a cut has come to a block between the old beginning and the
    /// new one.
    Torn,
    /// After it did everything, before it returns.
    After,
}

/// What happens to writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unsynced {
    /// All are gone.
    Dropped,
    /// All are there.
    Kept,
    /// The seed decides for each one alone whether it is there, gone or half there.
    Drawn,
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = match self.moment {
            Moment::Before => "before",
            Moment::Torn => "torn",
            Moment::After => "after",
        };
        let unsynced = match self.unsynced {
            Unsynced::Dropped => "dropped",
            Unsynced::Kept => "kept",
            Unsynced::Drawn => "drawn",
        };
        write!(f, "{moment}/{unsynced}")
    }
}

/// The planned faults, and the number of calls.
#[derive(Debug, Default)]
pub(super) struct Plan {
    counts: HashMap<Call, u64>,
    planned: Vec<(Fault, Call, u64)>,
}

impl Plan {
    pub(super) fn add(&mut self, fault: Fault, call: Call, nth: u64) {
        self.planned.push((fault, call, nth));
    }

    pub(super) fn clear(&mut self) {
        let counts = &self.counts;
        self.planned.retain(|(_, call, nth)| counts.get(call).is_some_and(|count| count >= nth));
    }

    pub(super) fn calls(&self, call: Call) -> u64 {
        self.counts.get(&call).copied().unwrap_or_default()
    }

    /// Counts a call; returns the fault planned for it.
    pub(super) fn enter(&mut self, call: Call) -> Option<Fault> {
        let mut due = None;
        let write = call.writes().then_some(Call::AnyWrite);
        for counted in [Call::Any].into_iter().chain(write).chain([call]) {
            let count = self.counts.entry(counted).or_default();
            *count += 1;
            let now = *count;
            let planned = self.planned.iter();
            let planned = planned.filter(|(_, call, nth)| (*call, *nth) == (counted, now));
            due = planned.map(|(fault, _, _)| *fault).next_back().or(due);
        }
        due
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (fault, call, nth)) in self.planned.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            match fault {
                Fault::Crash(crash) => write!(f, "{comma}{crash} at {call:?} {nth}")?,
                fault => write!(f, "{comma}{fault:?} at {call:?} {nth}")?,
            }
        }
        Ok(())
    }
}
