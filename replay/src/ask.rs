//! Asks between actors: a request whose reply is an event of the asker. Knows what can come of an
//! ask, and its bytes; not how requests and replies travel.
//!
//! # Source
//! Calls between processes over logged messages: Johnson and Zwaenepoel, *Sender-Based Message
//! Logging*, FTCS-17, 1987; the reply is a nondeterministic event of the caller.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use relive_storage::limits::PAYLOAD_BYTES_MAX;
use relive_storage::{ActorId, Name};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::payload::{CodecError, decode, encode};
use crate::reason::{REASON_BYTES_MAX, shortened};
use crate::recipient::{Recipient, SendError};
use crate::waiting::{Begin, Waiting};
use crate::waits::Waits;
use crate::{Actor, Handle, Message};

/// Why an ask of a handler has no reply. It is a value: the log records it like a reply, and the
/// handler decides what follows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AskFailure {
    /// Nothing was asked: the request could not be sent.
    #[error("nothing was asked: {reason}")]
    NotSent {
        /// The [`SendError`] in words.
        reason: String,
    },
    /// The receiver left the request out, because it kept failing on it. The request has changed
    /// nothing; it is in the receiver's quarantine.
    #[error("{receiver} left the request out after {tries} tries: {reason}")]
    Quarantined {
        /// The receiver.
        receiver: String,
        /// How often it was tried.
        tries: u32,
        /// How it failed the last time.
        reason: String,
    },
    /// The receiver has stopped. It is unknown whether it handles the request: if the request is on
    /// stable storage, the receiver handles it when it goes on, and nobody gets the reply.
    #[error("{receiver} has stopped, and may handle the request when it goes on: {reason}")]
    Stopped {
        /// The receiver.
        receiver: String,
        /// Why it has stopped.
        reason: String,
    },
    /// The ask closed a cycle of actors that wait for each other, so no reply could ever come. The
    /// request is sent all the same: the receiver handles it, and nobody gets the reply.
    #[error("each of these waits for the next one: {}", cycle.join(" -> "))]
    Deadlock {
        /// The actors of the cycle in the order in which they wait, from this one to this one. Of
        /// more than 64 the first and the last 32, and between them how many more there are.
        cycle: Vec<String>,
    },
    /// No reply came in the time of [`Ask::timeout`]. The receiver may handle the request all the
    /// same; a reply that comes later is dropped.
    #[error("no reply came within {millis} ms; the receiver may handle the request all the same")]
    TimedOut {
        /// The time in milliseconds.
        millis: u64,
    },
    /// The reply is over its limit of 1 MiB. The receiver has handled the request.
    #[error("the reply of {receiver} has {found} bytes, at most {limit} are allowed")]
    ReplyTooLarge {
        /// The receiver.
        receiver: String,
        /// The size in bytes.
        found: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The reply does not decode as its type. The receiver has handled the request.
    #[error("the reply does not decode as its type: {reason}")]
    Reply {
        /// What the codec says.
        reason: String,
    },
}

impl From<SendError> for AskFailure {
    fn from(error: SendError) -> Self {
        Self::NotSent { reason: error.to_string() }
    }
}

/// What came of an ask, as the log keeps it.
#[derive(Serialize, Deserialize)]
pub enum Answered {
    /// The encoded reply.
    #[serde(with = "crate::binary")]
    Reply(Bytes),
    /// Why there is none.
    Failure(AskFailure),
}

/// The bytes that an answer needs beside the reply: the name of its variant and two lengths.
pub(crate) const ANSWER_OVERHEAD_BYTES: usize = 16;

impl Answered {
    /// The encoded answer of an actor with this reply.
    #[must_use]
    pub fn reply(receiver: &ActorId, reply: &Bytes) -> Bytes {
        let limit = PAYLOAD_BYTES_MAX - ANSWER_OVERHEAD_BYTES;
        if reply.len() > limit {
            let (receiver, found) = (receiver.to_string(), reply.len());
            return Self::failure(AskFailure::ReplyTooLarge { receiver, found, limit });
        }
        Self::Reply(reply.clone()).encoded()
    }

    /// The encoded answer that there is no reply.
    #[must_use]
    pub fn failure(mut failure: AskFailure) -> Bytes {
        // Users' code writes this text, and an event has a limit.
        if let AskFailure::Stopped { reason, .. } = &mut failure {
            *reason = shortened(std::mem::take(reason), REASON_BYTES_MAX);
        }
        Self::Failure(failure).encoded()
    }

    fn encoded(&self) -> Bytes {
        let encoded = encode(self).expect("its own types encode").into();
        let bytes = Bytes::len(&encoded);
        assert!(bytes <= PAYLOAD_BYTES_MAX, "an answer of {bytes} bytes fits an event");
        encoded
    }

    fn decoded<R: serde::de::DeserializeOwned>(outcome: &[u8]) -> Result<R, AskFailure> {
        let unreadable = |error: CodecError| AskFailure::Reply { reason: error.to_string() };
        match decode::<Self>(outcome).map_err(unreadable)? {
            Self::Reply(reply) => decode(&reply).map_err(unreadable),
            Self::Failure(failure) => Err(failure),
        }
    }
}

impl<'c, 't, A: Actor> Recipient<'c, 't, A> {
    /// Asks the receiver and waits for its reply: `cx.to::<Stock>("chair").ask(Reserve { count: 2
    /// }).await`.
    ///
    /// The request leaves the actor when the ask is first polled and everything that the handler
    /// has learned is on stable storage; with it leaves what the handler has sent before. The
    /// receiver handles the request exactly once, in order with everything from this actor, and the
    /// handler gets the reply exactly once, whatever crashes when. The handler goes on when the
    /// reply is on stable storage. While it waits, the actor takes messages in and handles none.
    ///
    /// A delivery that has asked is never put into quarantine, since others know of it. When its
    /// handler keeps failing, the actor stops, and tries again at the next opening.
    ///
    /// # Errors
    /// [`AskFailure`], which is recorded like a reply. An ask that would close a cycle of actors
    /// that wait for each other fails at once with [`AskFailure::Deadlock`].
    ///
    /// # Limits
    /// Requests count among the [messages of a delivery](crate::recipient::SENDS_PER_DELIVERY_MAX);
    /// request and reply have at most 1 MiB each.
    ///
    /// # Cancel safety
    /// After the first poll, await it to its end, or pass it to [`Context::race`] and its like. The
    /// request of one that lost is handled all the same.
    ///
    /// # Examples
    /// ```
    /// # use relive_replay::{Actor, Context, Handle, Message};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Stock(u64);
    /// # impl Actor for Stock { const KIND: &'static str = "stock"; fn create(_: &str) -> Self { Stock(5) } }
    /// # #[derive(Serialize, Deserialize)] struct Reserve { count: u64 }
    /// # impl Message for Reserve { const NAME: &'static str = "reserve"; type Reply = bool; }
    /// # impl Handle<Reserve> for Stock { async fn handle(&mut self, m: Reserve, _: &mut Context<'_>) -> bool { self.0 >= m.count } }
    /// # #[derive(Serialize, Deserialize)] struct Order { reserved: bool }
    /// # impl Actor for Order { const KIND: &'static str = "order"; fn create(_: &str) -> Self { Order { reserved: false } } }
    /// # #[derive(Serialize, Deserialize)] struct Place;
    /// # impl Message for Place { const NAME: &'static str = "place"; type Reply = bool; }
    /// impl Handle<Place> for Order {
    ///     async fn handle(&mut self, _: Place, cx: &mut Context<'_>) -> bool {
    ///         let reserved = cx.to::<Stock>("chair").ask(Reserve { count: 2 }).await;
    ///         self.reserved = reserved.unwrap_or(false); // a failure is a value
    ///         self.reserved
    ///     }
    /// }
    /// ```
    pub fn ask<M: Message>(self, message: M) -> Ask<'c, 't, M>
    where
        A: Handle<M>,
    {
        let cx = self.cx;
        Ask { cx, request: self.prepare(message), timeout: None, message: PhantomData }
    }
}

/// An ask of a handler that is not sent yet: await it. [`Recipient::ask`] makes it.
#[must_use = "an ask does nothing until it is awaited"]
pub struct Ask<'c, 't, M> {
    cx: &'c Context<'t>,
    request: Result<(ActorId, Bytes), SendError>,
    timeout: Option<Duration>,
    message: PhantomData<fn(M)>,
}

impl<'c, 't, M: Message> Ask<'c, 't, M> {
    /// Gives up with [`AskFailure::TimedOut`] when no reply has come after `time`, by the wall
    /// clock, as [`Context::timeout`] does. The receiver may handle the request all the same.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    async fn send(self) -> Result<M::Reply, AskFailure> {
        let Self { cx, request, timeout, .. } = self;
        let (to, payload) = request?;
        let request = Request(to, Name::from_static(M::NAME), payload);
        let answered = cx.within(timeout, Waiting::new(cx.waits, request)).await;
        let answered = answered.map_err(|millis| AskFailure::TimedOut { millis })?;
        Answered::decoded(&answered)
    }
}

impl<'c, 't: 'c, M: Message> IntoFuture for Ask<'c, 't, M> {
    type Output = Result<M::Reply, AskFailure>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// A request that is not sent yet.
struct Request(ActorId, Name, Bytes);

impl Begin for Request {
    fn begin(self, waits: &Waits<'_>) -> Option<u32> {
        let Self(to, message, payload) = self;
        waits.begin_ask(&to, message, &payload)
    }
}
