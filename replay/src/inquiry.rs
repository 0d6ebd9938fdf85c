//! Queries of handlers: a question to another actor whose answer is an event of the one that asks.
//! Knows what can come of it, and its bytes; not how an actor is asked.
//!
//! # Source
//! An answer is a nondeterministic event of the process that receives it: Elnozahy, Alvisi, Wang
//! and Johnson, *A Survey of Rollback-Recovery Protocols in Message-Passing Systems*, ACM Computing
//! Surveys 34(3), 2002, section 2.3.

use std::any::TypeId;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use relive_storage::limits::PAYLOAD_BYTES_MAX;
use relive_storage::{ActorId, Name};
use serde::{Deserialize, Serialize};

use crate::ask::ANSWER_OVERHEAD_BYTES;
use crate::context::{Checks, Context};
use crate::halt::does_not_survive;
use crate::payload::{CodecError, decode, encode, encode_checked, encode_shared};
use crate::query::AnswerError;
use crate::reason::{REASON_BYTES_MAX, shortened};
use crate::recipient::Recipient;
use crate::waiting::{Begin, Waiting};
use crate::waits::Waits;
use crate::{Answer, Query};

/// Why a query of a handler has no answer. It is a value: the log records it like an answer, and
/// the handler decides what follows. Whatever it is, the query has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum QueryFailure {
    /// Nobody was asked: the receiver's name breaks a rule, its kind is not registered or has no
    /// answer for the query, or the query does not encode or is over its limit of 1 MiB.
    #[error("nobody was asked: {reason}")]
    NotAsked {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The receiver has stopped.
    #[error("{receiver} has stopped: {reason}")]
    Stopped {
        /// The receiver.
        receiver: String,
        /// Why it has stopped.
        reason: String,
    },
    /// The query closed a cycle of actors that wait for each other, so no answer could ever come.
    /// A handler that queries its own actor is such a cycle: it has the state at hand.
    #[error("each of these waits for the next one: {}", cycle.join(" -> "))]
    Deadlock {
        /// The actors of the cycle in the order in which they wait, from this one to this one.
        cycle: Vec<String>,
    },
    /// No answer came in the time of [`Inquiry::timeout`].
    #[error("no answer came within {millis} ms")]
    TimedOut {
        /// The time in milliseconds.
        millis: u64,
    },
    /// The code of the answer, or of the query's own type, panicked. The receiver is unharmed.
    #[error("the answer of {receiver} panicked: {panic}")]
    Panicked {
        /// The receiver.
        receiver: String,
        /// The text of the panic.
        panic: String,
    },
    /// The answer is over its limit of 1 MiB.
    #[error("the answer of {receiver} has {found} bytes, at most {limit} are allowed")]
    AnswerTooLarge {
        /// The receiver.
        receiver: String,
        /// The size in bytes.
        found: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The query does not decode at the receiver, the answer does not survive its codec, or it does
    /// not decode as its type.
    #[error("the query or its answer does not survive its codec: {reason}")]
    Codec {
        /// What the codec says.
        reason: String,
    },
}

/// What came of a query, as the log keeps it.
#[derive(Serialize, Deserialize)]
pub enum Answered {
    /// The encoded answer.
    #[serde(with = "crate::binary")]
    Answer(Bytes),
    /// Why there is none.
    Failure(QueryFailure),
}

impl Answered {
    /// The encoded outcome of a query that `receiver` has answered, or tried to.
    #[must_use]
    pub fn by(receiver: &ActorId, answered: Result<Bytes, AnswerError>) -> Bytes {
        let limit = PAYLOAD_BYTES_MAX - ANSWER_OVERHEAD_BYTES;
        let receiver = || receiver.to_string();
        Self::failure(match answered {
            Ok(answer) if answer.len() <= limit => return Self::Answer(answer).encoded(),
            Ok(answer) => QueryFailure::AnswerTooLarge { receiver: receiver(), found: answer.len(), limit },
            Err(error @ AnswerError::Unanswered) => QueryFailure::NotAsked { reason: error.to_string() },
            Err(AnswerError::Panicked(panic)) => QueryFailure::Panicked { receiver: receiver(), panic },
            Err(AnswerError::Codec(error)) => QueryFailure::Codec { reason: error.to_string() },
        })
    }

    /// The encoded outcome that there is no answer.
    #[must_use]
    pub fn failure(mut failure: QueryFailure) -> Bytes {
        // Users' code writes these texts, and an event has a limit.
        match &mut failure {
            QueryFailure::NotAsked { reason }
            | QueryFailure::Stopped { reason, .. }
            | QueryFailure::Panicked { panic: reason, .. }
            | QueryFailure::Codec { reason } => {
                *reason = shortened(std::mem::take(reason), REASON_BYTES_MAX);
            }
            _ => {}
        }
        Self::Failure(failure).encoded()
    }

    fn encoded(&self) -> Bytes {
        let encoded = encode(self).expect("its own types encode").into();
        let bytes = Bytes::len(&encoded);
        assert!(bytes <= PAYLOAD_BYTES_MAX, "an answer of {bytes} bytes fits an event");
        encoded
    }

    fn decoded<T: serde::de::DeserializeOwned>(outcome: &[u8]) -> Result<T, QueryFailure> {
        let unreadable = |error: CodecError| QueryFailure::Codec { reason: error.to_string() };
        match decode::<Self>(outcome).map_err(unreadable)? {
            Self::Answer(answer) => decode(&answer).map_err(unreadable),
            Self::Failure(failure) => Err(failure),
        }
    }
}

impl<'c, 't, A> Recipient<'c, 't, A> {
    /// Asks the receiver a question that changes nothing, and waits for its answer:
    /// `cx.to::<Stock>("chair").query(Left).await`.
    ///
    /// The receiver answers between two deliveries, from a state that no crash takes back while the
    /// handler remembers the answer. It logs nothing, and the query takes no number of its channel.
    /// The answer waits for a delivery under way there, not for the disk. This handler goes on when
    /// its own log has the answer, and a replay learns the recorded one: it asks nobody. A crash
    /// before that asks again, and the answer may be another one then.
    ///
    /// What this handler has sent leaves the actor later, so the answer does not show it; it shows
    /// what the receiver has replied to an [ask](Recipient::ask) before.
    ///
    /// # Errors
    /// [`QueryFailure`], which is recorded like an answer. A query that would close a cycle of
    /// actors that wait for each other fails at once with [`QueryFailure::Deadlock`]; so does one
    /// of the handler's own actor. One exception: when the query encodes but does not come back as
    /// the same value, the handler stops with [`HaltReason::Codec`](crate::HaltReason::Codec).
    ///
    /// # Limits
    /// Query and answer have at most 1 MiB each.
    ///
    /// # Cancel safety
    /// After the first poll, await it to its end, or pass it to [`Context::race`] and its like. The
    /// answer to one that lost is dropped.
    ///
    /// # Examples
    /// ```
    /// # use relive_replay::{Actor, Answer, Context, Handle, Message, Query};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Stock(u64);
    /// # impl Actor for Stock { const KIND: &'static str = "stock"; fn create(_: &str) -> Self { Stock(5) } }
    /// #[derive(Serialize, Deserialize)]
    /// struct Left;
    ///
    /// impl Query for Left {
    ///     const NAME: &'static str = "left";
    ///     type Answer = u64;
    /// }
    ///
    /// impl Answer<Left> for Stock {
    ///     fn answer(&self, _: Left) -> u64 {
    ///         self.0
    ///     }
    /// }
    /// # #[derive(Serialize, Deserialize)] struct Shop { offers: bool }
    /// # impl Actor for Shop { const KIND: &'static str = "shop"; fn create(_: &str) -> Self { Shop { offers: false } } }
    /// # #[derive(Serialize, Deserialize)] struct Check;
    /// # impl Message for Check { const NAME: &'static str = "check"; type Reply = bool; }
    ///
    /// impl Handle<Check> for Shop {
    ///     async fn handle(&mut self, _: Check, cx: &mut Context<'_>) -> bool {
    ///         let left = cx.to::<Stock>("chair").query(Left).await;
    ///         self.offers = left.unwrap_or(0) > 0; // a failure is a value
    ///         self.offers
    ///     }
    /// }
    /// ```
    pub fn query<Q: Query>(self, query: Q) -> Inquiry<'c, 't, Q>
    where
        A: Answer<Q>,
    {
        let cx = self.cx;
        Inquiry { cx, asked: self.prepare_query(query), timeout: None, query: PhantomData }
    }

    fn prepare_query<Q: Query>(self, query: Q) -> Result<(ActorId, Bytes), QueryFailure>
    where
        A: Answer<Q>,
    {
        let Self { cx, to, .. } = self;
        let not_asked = |reason| QueryFailure::NotAsked { reason };
        let to = to.map_err(|error| not_asked(error.to_string()))?;
        let name = Q::NAME;
        let refused = |error: CodecError| {
            not_asked(format!("the query {name:?} does not survive its codec: {error}; change its type"))
        };
        // Whether the receiver has an answer is no matter of the code alone, so the runtime says
        // it, and the log has it.
        let shapes = cx.peers.and_then(|peers| peers.query(A::KIND, name));
        let payload = match shapes.filter(|_| cx.checks == Checks::All) {
            Some(shapes) => match encode_checked(&query, &shapes.message, Bytes::copy_from_slice) {
                Ok(payload) => payload,
                Err(reason) => {
                    // As for a message: only live runs see that it comes back as another value.
                    encode_shared(&query).map_err(refused)?;
                    cx.waits.halt(does_not_survive(format!("the query {name:?} that it asks"), &reason));
                    return Err(refused(reason));
                }
            },
            None => encode_shared(&query).map_err(refused)?,
        };
        drop(query);
        let (found, limit) = (payload.len(), PAYLOAD_BYTES_MAX);
        if found > limit {
            let reason = format!("the query {name:?} has {found} bytes, at most {limit} are allowed");
            return Err(not_asked(reason));
        }
        Ok((to, payload))
    }
}

/// A query of a handler that is not asked yet: await it. [`Recipient::query`] makes it.
#[must_use = "a query does nothing until it is awaited"]
pub struct Inquiry<'c, 't, Q> {
    cx: &'c Context<'t>,
    asked: Result<(ActorId, Bytes), QueryFailure>,
    timeout: Option<Duration>,
    query: PhantomData<fn(Q)>,
}

impl<'c, 't, Q: Query> Inquiry<'c, 't, Q> {
    /// Gives up with [`QueryFailure::TimedOut`] when no answer has come after `time`, by the wall
    /// clock, as [`Context::timeout`] does.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    async fn ask(self) -> Result<Q::Answer, QueryFailure> {
        let Self { cx, asked, timeout, .. } = self;
        let (to, payload) = asked?;
        let question = Question { to, query: (Name::from_static(Q::NAME), TypeId::of::<Q>()), payload };
        let answered = cx.within(timeout, Waiting::new(cx.waits, question)).await;
        let answered = answered.map_err(|millis| QueryFailure::TimedOut { millis })?;
        Answered::decoded(&answered)
    }
}

impl<'c, 't: 'c, Q: Query> IntoFuture for Inquiry<'c, 't, Q> {
    type Output = Result<Q::Answer, QueryFailure>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.ask())
    }
}

/// A query that nobody is asked yet.
struct Question {
    to: ActorId,
    query: (Name, TypeId),
    payload: Bytes,
}

impl Begin for Question {
    fn begin(self, waits: &Waits<'_>) -> Option<u32> {
        waits.begin_query(&self.to, self.query, &self.payload)
    }
}

#[cfg(test)]
#[path = "inquiry_tests.rs"]
mod tests;
