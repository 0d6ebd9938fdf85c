//! What a handler is and may do: ask for effects, draw from the delivery's record, and wait for side effects. Knows neither
//! a runtime nor a log; where outcomes come from is behind [`Determinants`].

use std::convert::Infallible;
use std::future::pending;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use relive_storage::frame::split_mix;
use relive_storage::limits::PAYLOAD_BYTES_MAX;
use relive_storage::record::{Delivery, Event};
use relive_storage::{ActorId, Name, NameError, Rsn, StoreId, Timestamp, check_name};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::actor::assert_listed;
use crate::channels::Channels;
use crate::effects::Draw;
use crate::payload::{CodecError, decode, encode_shared};
use crate::peers::{Peers, Taker};
use crate::{Actor, Determinants, Effects, Halt, Message, Outgoing, Recorded};

/// The most messages that one delivery may send.
pub const SENDS_PER_DELIVERY_MAX: usize = 1024;

/// An actor's handler for one message type.
pub trait Handle<M: Message>: Actor {
    /// Handles one delivery. One at a time: while a handler waits, later deliveries of this actor wait.
    ///
    /// May await only what `cx` offers. Awaiting anything else stops the actor with
    /// [`Halt::ForeignAwait`], since no record could repeat it.
    fn handle(&mut self, message: M, cx: &mut Context<'_>) -> impl Future<Output = M::Reply> + Send;
}

/// A message that could not be sent. The handler decides what that means; nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The receiver's name breaks a rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The receiver's kind is not registered.
    #[error("the actor kind {kind:?} is not registered, nothing was sent: register it with the builder")]
    UnknownKind {
        /// The kind.
        kind: &'static str,
    },
    /// The receiver's kind is registered without a handler for the message.
    #[error(
        "the actor kind {kind:?} is registered without the message {message:?}, nothing was sent: add `handles`"
    )]
    Unhandled {
        /// The kind.
        kind: &'static str,
        /// The message type.
        message: &'static str,
    },
    /// The message does not survive being encoded and decoded.
    #[error("the message {message:?} does not survive its codec, nothing was sent: {reason}")]
    Codec {
        /// Its type.
        message: &'static str,
        /// What the codec says.
        reason: CodecError,
    },
    /// The message is over its limit.
    #[error("the message {message:?} has {found} bytes, at most {limit} are allowed: nothing was sent")]
    TooLarge {
        /// Its type.
        message: &'static str,
        /// Its size in bytes.
        found: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The delivery has sent as many messages as it may.
    #[error("one delivery may send at most {limit} messages: send the rest from a later one")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// What a handler may do while it handles one delivery.
///
/// Everything that it gives is the same on replay: draws come from the delivery's record, outcomes of side effects
/// from records of their own. Everything that it takes is an effect: data, released after the handler is done.
pub struct Context<'t> {
    pub(crate) actor: &'t ActorId,
    pub(crate) store: StoreId,
    pub(crate) delivery: &'t Delivery,
    /// The delivery under which side effects are known outside: this one, or the one that it is a retry of.
    pub(crate) origin: Rsn,
    pub(crate) peers: Option<&'t Peers>,
    pub(crate) channels: &'t mut Channels,
    pub(crate) effects: &'t mut Effects,
    pub(crate) determinants: &'t mut (dyn Determinants + 't),
    pub(crate) signal: &'t Signal,
    pub(crate) randoms: u64,
    pub(crate) draws: u32,
    pub(crate) events: u32,
}

impl Context<'_> {
    /// The actor that handles the delivery.
    #[must_use]
    pub fn actor(&self) -> &ActorId {
        self.actor
    }

    /// The position of the delivery in the actor's life.
    #[must_use]
    pub fn rsn(&self) -> Rsn {
        self.delivery.rsn
    }

    /// The wall clock when the delivery was logged; the same on every call and on replay. Read once a commit, so the
    /// deliveries of one commit share it; it may go back when the machine's clock does.
    #[must_use]
    pub fn now(&mut self) -> Timestamp {
        self.draw(Draw::Now);
        self.delivery.clock
    }

    /// 64 random bits, different on each call and the same on replay (`SplitMix64` from the
    /// seed of the delivery). Not for secrets.
    #[must_use]
    pub fn random(&mut self) -> u64 {
        self.draw(Draw::Random);
        self.randoms += 1;
        split_mix(self.delivery.seed, self.randoms)
    }

    /// The key under which the *next* side effect of this delivery is to be known outside: `store/actor/rsn/index`. The
    /// same on every try, also after a quarantine; different for everything else that any store ever does.
    #[must_use]
    pub fn idempotency_key(&mut self) -> String {
        self.draw(Draw::IdempotencyKey);
        format!("{}/{}/{}/{}", self.store, self.actor, self.origin.get(), self.events)
    }

    /// Sends a message to another actor, or to this one. It is released after the handler is done and its
    /// determinants are stable; the receiver handles it exactly once, and in the order sent.
    ///
    /// # Errors
    /// [`SendError`]: nothing was sent.
    pub fn send<A, M>(&mut self, key: &str, message: M) -> Result<(), SendError>
    where
        A: Handle<M>,
        M: Message,
    {
        const { assert_listed::<A, M>() };
        let to = ActorId::new(A::KIND, key)?;
        match self.peers.map(|peers| peers.taker(A::KIND, M::NAME)) {
            Some(Taker::NoKind) => return Err(SendError::UnknownKind { kind: A::KIND }),
            Some(Taker::NoHandler) => return Err(SendError::Unhandled { kind: A::KIND, message: M::NAME }),
            Some(Taker::Kind) | None => {}
        }
        if self.effects.sends.len() >= SENDS_PER_DELIVERY_MAX {
            return Err(SendError::TooMany { limit: SENDS_PER_DELIVERY_MAX });
        }
        let payload =
            encode_shared(&message).map_err(|reason| SendError::Codec { message: M::NAME, reason })?;
        drop(message);
        if payload.len() > PAYLOAD_BYTES_MAX {
            let (found, limit) = (payload.len(), PAYLOAD_BYTES_MAX);
            return Err(SendError::TooLarge { message: M::NAME, found, limit });
        }
        let ssn = self.channels.next_ssn(&to);
        let message = Name::from_static(M::NAME);
        self.effects.send(Outgoing { to, ssn, message, payload });
        Ok(())
    }

    /// Does something outside, at least once, and gives its outcome; on replay gives the recorded outcome without doing
    /// it. The handler goes on only when the outcome is on stable storage.
    ///
    /// A crash between the doing and the logging makes it happen again: pass [`Context::idempotency_key`] on, which
    /// stays the same. The outcome is stored as MessagePack, at most 1 MiB.
    ///
    /// When the outcome can't be stored the handler does not go on: the actor stops with a [`Halt`], which its callers
    /// are given. A panic in `perform` is a panic of the handler.
    ///
    /// # Cancel safety
    /// Once it was polled it must be awaited to its end. A handler that drops it before (a timeout or a race around it)
    /// is stopped at once with [`Halt::GivenUp`], and nothing of the delivery is released: a time limit belongs inside
    /// of `perform`, where its outcome is recorded.
    pub async fn side_effect<T, F, Fut>(&mut self, name: &'static str, perform: F) -> T
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
        T: Serialize + DeserializeOwned,
    {
        if self.signal.get() != Signal::RUNNING {
            // The handler has been stopped, or has leaked a side effect that it began: nothing more is done outside.
            self.give_up(name);
            match pending::<Infallible>().await {}
        }
        let index = self.events;
        self.events += 1;
        self.effects.side_effect(index, name);
        match self.outcome(index, name, perform).await {
            Ok(outcome) => outcome,
            Err(halt) => match self.halt(halt).await {},
        }
    }

    /// The outcome: from the record, or from doing it and waiting until it is stable. Live decodes what it encoded before
    /// that is logged, so that the log holds nothing that can't be read, and the handler can't see more than a replay will.
    async fn outcome<T, F, Fut>(&mut self, index: u32, name: &'static str, perform: F) -> Result<T, Halt>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
        T: Serialize + DeserializeOwned,
    {
        if let Err(error) = check_name("side effect", name) {
            return Err(self.codec(name, &CodecError(error.to_string())));
        }
        let rsn = self.delivery.rsn;
        if let Recorded::Outcome(outcome) = self.determinants.recorded(self.actor, rsn, index, name)? {
            return decode(&outcome).map_err(|error| self.codec(name, &error));
        }
        let begun = Begun::new(self.signal, self.actor, self.delivery, name);
        let value = perform().await;
        let (outcome, decoded) = self.survives(name, &value)?;
        drop(value);
        if outcome.len() > PAYLOAD_BYTES_MAX {
            let (found, limit) = (outcome.len(), PAYLOAD_BYTES_MAX);
            let what = format!("the outcome of {name:?}");
            return Err(Halt::TooLarge { actor: self.actor.clone(), rsn, what, found, limit });
        }
        let event = Event { rsn, index, name: Name::from_static(name), outcome };
        self.determinants.stabilize(self.actor, event).await?;
        begun.is_done();
        Ok(decoded)
    }

    /// Encodes an outcome, and decodes it again.
    fn survives<T: Serialize + DeserializeOwned>(&self, name: &str, value: &T) -> Result<(Bytes, T), Halt> {
        let outcome = encode_shared(value).map_err(|error| self.codec(name, &error))?;
        let decoded = decode(&outcome).map_err(|error| self.codec(name, &error))?;
        Ok((outcome, decoded))
    }

    fn give_up(&self, name: &str) {
        self.signal.halt(given_up(self.actor, self.delivery, name));
    }

    fn codec(&self, name: &str, error: &CodecError) -> Halt {
        Halt::Codec {
            actor: self.actor.clone(),
            rsn: self.delivery.rsn,
            what: format!("the outcome of {name:?}"),
            reason: error.to_string(),
        }
    }

    /// The handler must not go on: hands the reason to the step and never resumes.
    async fn halt(&mut self, halt: Halt) -> Infallible {
        self.signal.halt(halt);
        pending().await
    }

    fn draw(&mut self, draw: Draw) {
        self.effects.draw(draw, self.draws);
        self.draws += 1;
    }
}

/// A side effect that was begun. Dropped before it is done, it stops the handler.
struct Begun<'s> {
    signal: &'s Signal,
    actor: &'s ActorId,
    delivery: &'s Delivery,
    name: &'static str,
}

impl<'s> Begun<'s> {
    fn new(signal: &'s Signal, actor: &'s ActorId, delivery: &'s Delivery, name: &'static str) -> Self {
        signal.set(Signal::WAITING);
        Self { signal, actor, delivery, name }
    }

    fn is_done(self) {
        self.signal.set(Signal::RUNNING);
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if self.signal.get() == Signal::WAITING {
            self.signal.halt(given_up(self.actor, self.delivery, self.name));
        }
    }
}

pub(crate) fn given_up(actor: &ActorId, delivery: &Delivery, name: &str) -> Halt {
    let (message, name) = (delivery.message.to_string(), name.to_owned());
    Halt::GivenUp { actor: actor.clone(), rsn: delivery.rsn, message, name }
}

/// Tells the step what a handler is waiting for; shared between the two within one thread at a time.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: AtomicU8,
    halt: OnceLock<Halt>,
}

impl Signal {
    /// The handler runs, and has nothing to wait for.
    pub(crate) const RUNNING: u8 = 0;
    /// The handler waits for something that will be recorded.
    pub(crate) const WAITING: u8 = 1;
    /// The handler is never to go on.
    pub(crate) const HALTED: u8 = 2;

    fn set(&self, value: u8) {
        self.state.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u8 {
        self.state.load(Ordering::Relaxed)
    }

    /// The handler is never to go on. The first reason counts.
    pub(crate) fn halt(&self, halt: Halt) {
        self.halt.get_or_init(|| halt);
        self.set(Self::HALTED);
    }

    /// Why the handler is never to go on, if so.
    pub(crate) fn halted(self) -> Option<Halt> {
        self.halt.into_inner()
    }
}
