//! What a query is, and an actor's answer to it: a plain function of the state. No query changes
//! anything, sends anything or waits, because it is given nothing to do that with. Knows the
//! registered answers of one actor type; knows no instance.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Actor;
use crate::payload::{CodecError, decode, encode_checked};
use crate::peers::{MessageShapes, Queries};

/// A question to an actor that changes nothing.
///
/// relive logs no query: its answer is a view of the actor's state between two deliveries. Ask a
/// [`Message`](crate::Message) for everything that must leave a trace.
///
/// # Examples
/// ```
/// use relive_replay::{Actor, Answer, Query};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Counter {
///     total: u64,
/// }
/// # impl Actor for Counter {
/// #     const KIND: &'static str = "counter";
/// #     fn create(_key: &str) -> Self { Counter { total: 0 } }
/// # }
///
/// #[derive(Serialize, Deserialize)]
/// struct Total;
///
/// impl Query for Total {
///     const NAME: &'static str = "total";
///     type Answer = u64;
/// }
///
/// impl Answer<Total> for Counter {
///     fn answer(&self, _query: Total) -> u64 {
///         self.total
///     }
/// }
/// ```
pub trait Query: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the query type: 1 to 64 bytes. Queries and messages have names of their own, so
    /// a query may be called like a message.
    const NAME: &'static str;

    /// What the actor answers.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
}

/// An actor's answer to one type of query.
pub trait Answer<Q: Query>: Actor {
    /// Answers from the present state.
    ///
    /// The actor does nothing else meanwhile, so an answer that takes long delays its deliveries.
    /// A panic is an error for the caller alone; the actor goes on.
    ///
    /// # The contract
    /// An answer changes nothing. relive can't see a change through interior mutability (`Cell`, a
    /// lock), and logs none: no replay repeats it. Like a handler, an answer must depend on the
    /// state and the query only.
    fn answer(&self, query: Q) -> Q::Answer;
}

/// Why an actor has no answer. The actor is unharmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// Its kind has no answer registered for the query.
    #[error("no answer is registered for the query: add `answers` where the kind is registered")]
    Unanswered,
    /// The code of the answer, or of the query's own type, panicked.
    #[error("the answer panicked: {0}")]
    Panicked(String),
    /// The query does not decode, or the answer does not survive its codec.
    #[error(transparent)]
    Codec(CodecError),
}

type Encoded<A> = fn(&A, &[u8], &MessageShapes) -> Result<Bytes, CodecError>;

/// The answer to one type of query.
struct Registered<A> {
    query: TypeId,
    encoded: Encoded<A>,
    shapes: Arc<MessageShapes>,
}

/// The registered answers of an actor type, by the names of their queries.
pub(crate) struct Answers<A>(BTreeMap<&'static str, Registered<A>>);

/// Whether a name was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    First,
    Again,
}

impl<A: Actor> Answers<A> {
    pub(crate) fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(crate) fn add<Q: Query>(&mut self) -> Added
    where
        A: Answer<Q>,
    {
        let encoded: Encoded<A> = encoded::<A, Q>;
        let answer = Registered { query: TypeId::of::<Q>(), encoded, shapes: Arc::default() };
        if self.0.insert(Q::NAME, answer).is_some() { Added::Again } else { Added::First }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of the queries, with the shapes that have survived.
    pub(crate) fn shapes(&self) -> Queries {
        self.0.iter().map(|(name, answer)| (*name, Arc::clone(&answer.shapes))).collect()
    }

    /// The type of the query of that name.
    pub(crate) fn query(&self, name: &str) -> Option<TypeId> {
        self.0.get(name).map(|answer| answer.query)
    }

    /// The encoded answer to an encoded query; `None` when there is none for its name.
    pub(crate) fn encoded(
        &self,
        actor: &A,
        query: &str,
        payload: &[u8],
    ) -> Option<Result<Bytes, CodecError>> {
        let answer = self.0.get(query)?;
        Some((answer.encoded)(actor, payload, &answer.shapes))
    }
}

fn encoded<A: Answer<Q>, Q: Query>(
    actor: &A,
    payload: &[u8],
    shapes: &MessageShapes,
) -> Result<Bytes, CodecError> {
    let answer = actor.answer(decode(payload)?);
    encode_checked(&answer, &shapes.reply, Bytes::copy_from_slice)
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::KindBuilder;
    use crate::kind::KindError;

    #[derive(Serialize, Deserialize)]
    struct Counter;

    impl Actor for Counter {
        const KIND: &'static str = "counter";

        fn create(_: &str) -> Self {
            Self
        }
    }

    /// The first has no name, the others have the same.
    #[derive(Serialize, Deserialize)]
    struct Get<const N: u8>;

    impl<const N: u8> Query for Get<N> {
        const NAME: &'static str = if N == 0 { "" } else { "get" };
        type Answer = u8;
    }

    impl<const N: u8> Answer<Get<N>> for Counter {
        fn answer(&self, _: Get<N>) -> u8 {
            N
        }
    }

    #[test]
    fn a_kind_knows_its_queries_by_name() {
        let kind = KindBuilder::<Counter>::new().answers::<Get<1>>().build().unwrap();
        assert_eq!(kind.query("get"), Some(TypeId::of::<Get<1>>()));
        assert!(kind.has_queries() && kind.query("set").is_none());
        let silent = KindBuilder::<Counter>::new().build().unwrap();
        assert!(!silent.has_queries() && silent.query("get").is_none());
    }

    /// A caller by name could not tell them apart.
    #[test]
    fn two_queries_of_one_name_are_refused() {
        let refused = KindBuilder::<Counter>::new().answers::<Get<1>>().answers::<Get<2>>().build().err();
        assert_eq!(refused, Some(KindError::QueryTwice { kind: "counter", query: "get" }));
        let nameless = KindBuilder::<Counter>::new().answers::<Get<0>>().build();
        assert!(matches!(nameless, Err(KindError::Name(_))));
    }
}
