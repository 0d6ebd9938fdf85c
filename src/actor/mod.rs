//! One actor: its cell, its mailbox, what it has in memory while it is active, what of its messages
//! is unacknowledged, and how it is brought into memory. Only the table knows that there are more.
//!
//! Must not know the committer or the runtime.

pub(crate) mod activation;
pub(crate) mod backlog;
pub(crate) mod cell;
pub(crate) mod envelope;
pub(crate) mod exchange;
pub(crate) mod expected;
pub(crate) mod lending;
pub(crate) mod loader;
pub(crate) mod logged;
pub(crate) mod mailbox;
pub(crate) mod outbox;
pub(crate) mod patience;
pub(crate) mod pause;
pub(crate) mod pausing;
pub(crate) mod phase;
pub(crate) mod places;
pub(crate) mod probation;
pub(crate) mod quarantine;
pub(crate) mod queries;
pub(crate) mod repeats;
pub(crate) mod replies;
pub(crate) mod table;
pub(crate) mod wait_graph;
