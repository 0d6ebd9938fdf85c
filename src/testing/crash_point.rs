//! Where a crash comes, and as text. Knows no store and no run.

use std::fmt;
use std::str::FromStr;

/// Where a crash comes in a run. As text it is `7/torn`: at the seventh call that changes the
/// store, in the middle of it; or `end`. [`crash_at`](crate::testing::crash_at) takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CrashPoint(pub(super) At);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum At {
    /// At this call of those that change the store, counted from 1 with the opening.
    Write(u64, Manner),
    /// After the run, when it was quiet.
    End,
}

/// How the crash comes at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Manner {
    /// Before it did anything, and what was not synced is gone.
    Before,
    /// In the middle, and of what was not synced a part is gone or half there.
    Torn,
    /// After it, before it returns, and what was not synced is still there.
    After,
}

impl CrashPoint {
    /// All of a run that makes so many calls.
    pub(super) fn all(writes: u64) -> impl Iterator<Item = Self> {
        let at = |write| Manner::ALL.map(|manner| Self(At::Write(write, manner)));
        (1..=writes).flat_map(at).chain([Self(At::End)])
    }
}

impl Manner {
    const ALL: [Self; 3] = [Self::Before, Self::Torn, Self::After];

    fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Torn => "torn",
            Self::After => "after",
        }
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            At::Write(write, manner) => write!(f, "{write}/{}", manner.name()),
            At::End => f.write_str("end"),
        }
    }
}

/// A text that names no crash point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no crash point: write a number from 1 with before, torn or after, like 7/torn, or end")]
pub struct NoCrashPoint {
    /// The text.
    pub text: String,
}

impl FromStr for CrashPoint {
    type Err = NoCrashPoint;

    fn from_str(text: &str) -> Result<Self, NoCrashPoint> {
        let at = || {
            if text == "end" {
                return Some(At::End);
            }
            let (write, manner) = text.split_once('/')?;
            let write = write.parse().ok().filter(|write| *write > 0)?;
            Some(At::Write(write, Manner::ALL.into_iter().find(|known| known.name() == manner)?))
        };
        at().map(Self).ok_or_else(|| NoCrashPoint { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_its_text() {
        let all: Vec<_> = CrashPoint::all(2).map(|point| point.to_string()).collect();
        assert_eq!(all, ["1/before", "1/torn", "1/after", "2/before", "2/torn", "2/after", "end"]);
        assert!(CrashPoint::all(9).all(|point| point.to_string().parse() == Ok(point)));
        for text in ["", "0/after", "-1/torn", "3", "3/", "3/later", "End", "3/torn/"] {
            assert_eq!(text.parse::<CrashPoint>(), Err(NoCrashPoint { text: text.to_owned() }));
        }
    }
}
