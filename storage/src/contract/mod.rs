//! The contract of a backend: the methods of a log and of a store of checkpoints, the tiers of
//! durability, the rules of appending, and the errors.
//!
//! Knows whole blocks and checkpoints; must not know any backend, nor a file.

pub(crate) mod append_rules;
pub mod checkpoint_store;
pub(crate) mod durability;
pub(crate) mod error;
pub mod log;
pub(crate) mod medium_kind;
