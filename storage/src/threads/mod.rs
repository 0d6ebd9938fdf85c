//! The threads that make the calls of a backend, and the first failure, which ends an opening.
//!
//! Knows how to give up a call that panics or hangs; must not know what the call does.

pub(crate) mod poison;
pub(crate) mod worker;
