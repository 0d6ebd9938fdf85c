//! What callers hold: references to actors, `tell` and `ask` from outside, producers, and how to
//! wait for them.
//!
//! Hands messages to a turn, and must not know what a turn does with them.

pub(crate) mod actor_ref;
pub(crate) mod producer;
pub(crate) mod request;
pub(crate) mod waiting;
