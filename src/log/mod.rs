//! The log as the runtime writes it: group commit, how far the log is on stable storage, and how
//! many bytes of it the store keeps.
//!
//! Knows frames as bytes, and positions. Must not know actors, messages or checkpoints.

pub(crate) mod budget;
pub(crate) mod committer;
pub(crate) mod frame_pool;
pub(crate) mod seed;
pub(crate) mod watermark;
