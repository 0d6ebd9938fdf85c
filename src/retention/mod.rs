//! Which part of the log is needed, and by whom: a pin for each actor, an index over all pins, and
//! millions of passive actors in little memory.
//!
//! Knows actors as names and numbers. Must not know tasks, mailboxes or how anything is stored.

pub(crate) mod actor_index;
pub(crate) mod checkpointed;
pub(crate) mod passive_pins;
pub(crate) mod pin_index;
pub(crate) mod pins;
