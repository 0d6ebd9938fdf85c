//! Which call fails, and how: drawn from a seed and the calls of a run without faults.

use std::collections::BTreeMap;
use std::fmt;

use crate::campaigns::power_loss::recording::{Entry, Recording};
use crate::harness::medium::StoreMedium;
use crate::harness::random::Random;

/// How often a run made each kind of call, as the interposer names them, and how many bytes it
/// wrote.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// By kind.
    pub calls: BTreeMap<&'static str, u64>,
    /// Bytes.
    pub written: u64,
}

impl Counted {
    /// Counts the recorded calls. Estimates the calls that no recording has (`range`, an open of an
    /// existing file) from the calls that come with them.
    #[must_use]
    pub fn of(recording: &Recording, medium: StoreMedium) -> Self {
        let mut counted = Self::default();
        for entry in recording.entries() {
            let call = match entry {
                Entry::WriteBegins { content, .. } => {
                    counted.written += content.len() as u64;
                    "write"
                }
                Entry::SyncBegins { data_only: true, .. } => "fdatasync",
                Entry::SyncBegins { data_only: false, .. } => "fsync",
                Entry::Resized { .. } => "resize",
                Entry::Renamed { .. } => "rename",
                Entry::Removed { .. } => "remove",
                Entry::DirectoryMade { .. } => "make",
                _ => continue,
            };
            *counted.calls.entry(call).or_default() += 1;
        }
        let writes = counted.calls.get("write").copied().unwrap_or_default();
        if medium.syncs_ranges() {
            counted.calls.insert("range", writes.div_ceil(2));
        }
        counted.calls.insert("open", OPENS);
        counted
    }
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The kind of call.
    pub call: &'static str,
    /// Which one of that kind.
    pub nth: u64,
    /// What becomes of it.
    pub action: Action,
    /// The later calls of that kind fail in the same way.
    pub for_good: bool,
    /// An earlier worker has used the store.
    pub used: bool,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// `EIO`.
    Io,
    /// `ENOSPC`.
    NoSpace,
    /// `EMFILE`.
    Descriptors,
    /// Half of it is done.
    Short,
    /// The disk is full after this many more bytes.
    Full(u64),
}

impl Case {
    /// Draws a fault among the calls that a run makes.
    pub fn draw(counted: &Counted, used: bool, random: &mut Random) -> Self {
        if random.one_in(8) {
            let action = Action::Full(random.below(counted.written.max(1)));
            return Self { call: "write", nth: 1, action, for_good: true, used };
        }
        let calls: Vec<_> = counted.calls.iter().collect();
        // Commits consist of the most frequent calls.
        let (call, count) = match random.below(3) {
            0 => *random.pick(&calls),
            1 => calls.iter().copied().find(|(call, _)| **call == "fdatasync").unwrap_or(calls[0]),
            _ => calls.iter().copied().find(|(call, _)| **call == "write").unwrap_or(calls[0]),
        };
        let action = match *call {
            "write" => *random.pick(&[Action::Io, Action::NoSpace, Action::Short]),
            "open" => *random.pick(&[Action::Io, Action::Descriptors, Action::NoSpace]),
            _ => *random.pick(&[Action::Io, Action::NoSpace]),
        };
        let for_good = action != Action::Short && random.one_in(2);
        Self { call, nth: 1 + random.below((*count).max(1)), action, for_good, used }
    }

    /// The fault in the language of the interposer.
    #[must_use]
    pub fn faults(&self) -> String {
        let Self { call, nth, for_good, .. } = self;
        let action = match self.action {
            Action::Io => "eio".to_owned(),
            Action::NoSpace => "enospc".to_owned(),
            Action::Descriptors => "emfile".to_owned(),
            Action::Short => "short".to_owned(),
            Action::Full(bytes) => format!("space={bytes}"),
        };
        format!("{call}:{nth}{}:{action}", if *for_good { "+" } else { "" })
    }

    /// The row of the table that counts the case.
    #[must_use]
    pub fn class(&self) -> String {
        let how = match self.action {
            Action::Io => "EIO",
            Action::NoSpace => "ENOSPC",
            Action::Descriptors => "EMFILE",
            Action::Short => return "write, half of it".to_owned(),
            Action::Full(_) => return "write, the disk is full".to_owned(),
        };
        format!("{}, {how}{}", self.call, if self.for_good { " for good" } else { "" })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on a {} store", self.faults(), if self.used { "used" } else { "new" })
    }
}

/// How many files of a store an opening opens, about.
const OPENS: u64 = 14;
