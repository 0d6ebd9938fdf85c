//! What a store of your own implements, for [`Builder::open_on`](crate::Builder::open_on), and one
//! in memory, for tests.
//!
//! The types in these traits (blocks, checkpoints, headers) are in the crate `relive-storage`,
//! which also has the conformance suite that tells whether a backend is correct. Depend on that
//! crate when you write one.

pub use relive_storage::{CheckpointStore, Log, MemoryStore, Store};
