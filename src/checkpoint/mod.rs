//! Writing checkpoints and cutting the log: one thread that takes states, verifies and stores them.
//!
//! Must not know turns, or what callers hold.

pub(crate) mod writer;
