//! Which calls fail, and how. Faults stand one after the other, with commas between:
//!
//! ```text
//! fault  := call ["@" name] ":" nth ["+"] ":" action      the nth such call, with "+" all from the nth on
//! call   := "write" | "sync" | "fsync" | "fdatasync" | "range" | "open" | "resize" | "rename" | "remove" | "make"
//! action := "eio" | "enospc" | "emfile" | "short" | "space=" bytes | "kill" | "killed" | "ignore" | "delay=" milliseconds
//! ```
//!
//! `sync` are `fsync` and `fdatasync`, `range` is `sync_file_range`. With `space` so many bytes are
//! written, by all such calls, then the disk is full. `name` is how the file is called within the
//! store, with a `*` at its end how its name begins. `kill` ends the process ahead of the call,
//! `killed` behind it, `ignore` says that it was done and does nothing. What can't be understood is
//! no fault: the planner counts what came of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A kind of call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Write,
    /// By the plan only: either of the next two.
    Sync,
    Fsync,
    Fdatasync,
    Range,
    Open,
    Resize,
    Rename,
    Remove,
    Make,
}

const CALLS: [(&str, Call); 10] = [
    ("write", Call::Write),
    ("sync", Call::Sync),
    ("fsync", Call::Fsync),
    ("fdatasync", Call::Fdatasync),
    ("range", Call::Range),
    ("open", Call::Open),
    ("resize", Call::Resize),
    ("rename", Call::Rename),
    ("remove", Call::Remove),
    ("make", Call::Make),
];

impl Call {
    pub(crate) fn name(self) -> &'static str {
        CALLS.iter().find(|(_, call)| *call == self).map_or("", |(name, _)| name)
    }

    fn is(self, planned: Self) -> bool {
        self == planned || (planned == Self::Sync && matches!(self, Self::Fsync | Self::Fdatasync))
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// It fails with this number of an error and does nothing.
    Fail(i32),
    /// So many bytes of it are done at most.
    Short(usize),
    /// The process is ended ahead of it.
    Kill,
    /// The process is ended behind it.
    Killed,
    /// It says that it was done, and nothing was.
    Ignore,
    /// It takes time.
    Delay(Duration),
}

/// All faults, with how often each call was made.
pub(crate) struct Plan(Vec<Fault>);

struct Fault {
    call: Call,
    name: Option<Vec<u8>>,
    nth: u64,
    and_on: bool,
    how: How,
    counted: AtomicU64,
}

enum How {
    Always(Action),
    Half,
    /// So many bytes are left.
    Space(AtomicU64),
}

impl Plan {
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.split(',').filter_map(Fault::parse).collect())
    }

    /// Counts a call about `bytes`, and says what becomes of it.
    pub(crate) fn due(&self, call: Call, name: &[u8], bytes: usize) -> Option<Action> {
        let mut due = None;
        for fault in &self.0 {
            if !call.is(fault.call) || fault.name.as_deref().is_some_and(|of| !is_of(name, of)) {
                continue;
            }
            let count = fault.counted.fetch_add(1, Ordering::SeqCst) + 1;
            if count == fault.nth || (fault.and_on && count > fault.nth) {
                due = fault.how.act(bytes).or(due);
            }
        }
        due
    }
}

/// Whether a name is the one that was planned, or begins as that does.
fn is_of(name: &[u8], planned: &[u8]) -> bool {
    planned.strip_suffix(b"*").map_or(name == planned, |beginning| name.starts_with(beginning))
}

impl How {
    fn act(&self, bytes: usize) -> Option<Action> {
        match self {
            Self::Always(action) => Some(*action),
            Self::Half => Some(Action::Short((bytes / 2).max(1))),
            Self::Space(left) => {
                let bytes = bytes as u64;
                let take = |left: u64| Some(left.saturating_sub(bytes));
                let left = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).unwrap_or_default();
                match usize::try_from(left) {
                    Ok(0) => Some(Action::Fail(libc::ENOSPC)),
                    Ok(most) if left < bytes => Some(Action::Short(most)),
                    _ => None,
                }
            }
        }
    }
}

impl Fault {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (what, when, how) = (parts.next()?, parts.next()?, parts.next()?);
        let (call, name) = match what.split_once('@') {
            Some((call, name)) => (call, Some(name.as_bytes().to_vec())),
            None => (what, None),
        };
        let (_, call) = CALLS.iter().find(|(known, _)| *known == call)?;
        let (nth, and_on) = match when.strip_suffix('+') {
            Some(nth) => (nth, true),
            None => (when, false),
        };
        let how = match how {
            "eio" => How::Always(Action::Fail(libc::EIO)),
            "enospc" => How::Always(Action::Fail(libc::ENOSPC)),
            "emfile" => How::Always(Action::Fail(libc::EMFILE)),
            "short" => How::Half,
            "kill" => How::Always(Action::Kill),
            "killed" => How::Always(Action::Killed),
            "ignore" => How::Always(Action::Ignore),
            _ => match how.split_once('=')? {
                ("delay", time) => How::Always(Action::Delay(Duration::from_millis(time.parse().ok()?))),
                ("space", bytes) => How::Space(AtomicU64::new(bytes.parse().ok()?)),
                _ => return None,
            },
        };
        Some(Self { call: *call, name, nth: nth.parse().ok()?, and_on, how, counted: AtomicU64::new(0) })
    }
}
