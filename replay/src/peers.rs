//! Which actor kinds there are, and which messages each takes: so that a handler that sends to nobody is told at once.
//! Names only; knows no handler.

use std::collections::{BTreeMap, BTreeSet};

/// The registered kinds with the names of the messages that they take.
#[derive(Clone, Debug, Default)]
pub struct Peers(BTreeMap<&'static str, BTreeSet<&'static str>>);

/// Whether somebody takes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taker {
    /// The kind has a handler for it.
    Kind,
    /// The kind has none.
    NoHandler,
    /// There is no such kind.
    NoKind,
}

impl Peers {
    /// Adds a kind with the messages that it takes.
    pub fn add(&mut self, kind: &'static str, messages: impl IntoIterator<Item = &'static str>) {
        self.0.insert(kind, messages.into_iter().collect());
    }

    pub(crate) fn taker(&self, kind: &str, message: &str) -> Taker {
        match self.0.get(kind) {
            Some(messages) if messages.contains(message) => Taker::Kind,
            Some(_) => Taker::NoHandler,
            None => Taker::NoKind,
        }
    }
}
