//! The calls that were made, for a comparison of two runs. Holds no times and no random content, so
//! that two runs of the same seed have the same trace.

use std::fmt;

use super::plan::Call;

/// One call, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The number of the call on the device, from 1.
    pub nth: u64,
    /// The method.
    pub call: Call,
    /// What it was about.
    pub on: String,
    /// How it ended.
    pub outcome: String,
    /// How many writes a crash right after it may take.
    pub unsynced: usize,
    /// How many of them only note how far the log is acknowledged.
    pub marks: usize,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nth, call, on, outcome, unsynced, .. } = self;
        write!(f, "{nth} {call:?} {on}: {outcome}, {unsynced} not synced")
    }
}
