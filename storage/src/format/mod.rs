//! The stored data and their bytes: records in a frame of one actor, frames in a block of the log,
//! and the checkpoint of an actor.
//!
//! Knows ids and limits; decodes hostile bytes into typed errors. Must not know where the bytes are
//! kept, nor in which order they get there.

pub mod block;
pub(crate) mod carried;
pub mod checkpoint;
pub mod frame;
pub(crate) mod frame_writer;
pub mod record;
pub(crate) mod record_reader;
pub(crate) mod tell_run;
