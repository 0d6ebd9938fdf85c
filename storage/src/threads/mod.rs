//! Threads: those that make the calls of a backend, with the first failure, which ends an opening;
//! and those that nobody joins.
//!
//! Knows how to give up a call that panics or hangs; must not know what the call does.

pub(crate) mod detached;
pub(crate) mod poison;
pub(crate) mod worker;

pub use detached::start_detached;
