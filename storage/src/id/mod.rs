//! Names and numbers of things: actors, positions in a log, messages, checkpoints, stores, moments.
//!
//! Knows each as a type with its limits and its text; must not know how any of them is stored.

pub(crate) mod actor_id;
pub(crate) mod name;
pub mod position;
mod random;
pub(crate) mod timestamp;
