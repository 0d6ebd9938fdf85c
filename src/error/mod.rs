//! The errors that callers get: what failed, on what, what is true now, what to do.
//!
//! Must not know which code finds an error, or which caller gets it.

mod availability;
mod calls;
mod failure;
mod opening;

pub use availability::{Ended, RuntimeFailure, Unavailable};
pub use calls::{
    AskError, CheckpointError, NoAnswer, QuarantineError, QueryError, ReceiptError, Refused, TellError,
};
pub use failure::{ActorFailure, FailureCause};
pub use opening::OpenError;
