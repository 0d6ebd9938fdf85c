//! Why an actor has stopped, in the words that workers print and campaigns read.

use relive::{ActorFailure, FailureCause};

/// The replay of what an actor had handled has failed.
pub const REPLAY: &str = "replay";
/// An actor has failed on a delivery that an opening found, and that it may have handled before.
pub const UNDECIDED: &str = "undecided";

/// An opening leaves an actor alone, since a process has ended during its replay. A kill looks like
/// that.
pub const LEFT_ALONE: &str = "replay/ReplayEnded";

/// Why an actor has stopped: a word for the tables, and the error's own words.
#[must_use]
pub fn reason(failure: &ActorFailure) -> String {
    let cause = match failure.cause {
        FailureCause::Replay => REPLAY,
        FailureCause::Undecided => UNDECIDED,
        _ => "other",
    };
    let halt = format!("{:?}", failure.halt.reason);
    let halt = halt.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    format!("{cause}/{halt} {failure}")
}
