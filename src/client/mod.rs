//! What callers hold: references to actors, `tell`, `ask` and `query` from outside, producers, and
//! how to wait for them.
//!
//! Hands messages to a turn, and must not know what a turn does with them.

pub(crate) mod actor_ref;
pub(crate) mod producer;
pub(crate) mod query;
pub(crate) mod request;
pub(crate) mod waiting;
