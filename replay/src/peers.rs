//! Which actor kinds there are, which messages each takes, and which queries it answers. With it, a
//! handler learns at once that nobody takes its message, and relive checks that a message or query
//! survives its codec. Knows
//! names and shapes, no handler.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::payload::Shapes;

/// The shapes of a message and of its replies that have survived their codec.
#[derive(Debug, Default)]
pub struct MessageShapes {
    /// Those of the message.
    pub message: Shapes,
    /// Those of its replies.
    pub reply: Shapes,
}

/// The messages that a kind takes.
pub type Messages = BTreeMap<&'static str, Arc<MessageShapes>>;

/// The queries that a kind answers, with the shapes of each and of its answers.
pub type Queries = BTreeMap<&'static str, Arc<MessageShapes>>;

/// The registered kinds with the messages that they take and the queries that they answer.
#[derive(Clone, Debug, Default)]
pub struct Peers(BTreeMap<&'static str, (Messages, Queries)>);

/// Whether a kind takes a message.
pub(crate) enum Taker<'p> {
    /// The kind has a handler for it.
    Kind(&'p MessageShapes),
    /// The kind has none.
    NoHandler,
    /// There is no such kind.
    NoKind,
}

impl Peers {
    /// Adds a kind with the messages that it takes and the queries that it answers.
    pub fn add(&mut self, kind: &'static str, messages: Messages, queries: Queries) {
        self.0.insert(kind, (messages, queries));
    }

    pub(crate) fn taker(&self, kind: &str, message: &str) -> Taker<'_> {
        match self.0.get(kind).map(|(messages, _)| messages.get(message)) {
            Some(Some(shapes)) => Taker::Kind(shapes),
            Some(None) => Taker::NoHandler,
            None => Taker::NoKind,
        }
    }

    /// The shapes of a query; `None` when no registered kind of this name answers it.
    pub(crate) fn query(&self, kind: &str, query: &str) -> Option<&MessageShapes> {
        self.0.get(kind).and_then(|(_, queries)| queries.get(query)).map(|shapes| &**shapes)
    }
}
