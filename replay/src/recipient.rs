//! One receiver of a handler's message: checks that the receiver takes it, and turns it into an
//! effect.

use std::marker::PhantomData;

use bytes::Bytes;
use relive_storage::limits::PAYLOAD_BYTES_MAX;
use relive_storage::{ActorId, Name, NameError};

use crate::actor::assert_listed;
use crate::context::{Context, does_not_survive};
use crate::payload::{CodecError, encode_checked, encode_shared};
use crate::peers::Taker;
use crate::{Actor, Handle, Message, Outgoing};

/// The most messages that one delivery may send.
pub const SENDS_PER_DELIVERY_MAX: usize = 1024;

/// A message that can't be sent to any actor. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The message does not survive its codec: it does not encode, does not decode, or comes back
    /// as another value. Change its type.
    #[error("the message {message:?} does not survive its codec, nothing was sent: {reason}")]
    Codec {
        /// Its type.
        message: &'static str,
        /// What the codec says.
        reason: CodecError,
    },
    /// The message is over its limit: send it in parts, or send a name for what it holds.
    #[error("the message {message:?} has {found} bytes, at most {limit} are allowed: nothing was sent")]
    TooLarge {
        /// Its type.
        message: &'static str,
        /// Its size in bytes.
        found: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Why a handler could not send a message. Nothing was sent; the handler decides what follows.
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
    /// The message itself can't be sent.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The delivery has sent the most messages that it may.
    #[error("one delivery may send at most {limit} messages: send the rest from a later one")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

impl<'t> Context<'t> {
    /// Addresses another actor, or this one:
    /// `cx.to::<Order>("17").send(Pay { cents: 500 })`. Sends nothing yet.
    ///
    /// # Examples
    /// ```
    /// # use relive_replay::{Actor, Context, Handle, Message};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Order { paid: bool, seen: Vec<u64> }
    /// # impl Actor for Order { const KIND: &'static str = "order"; fn create(_: &str) -> Self { Order { paid: false, seen: vec![] } } }
    /// # #[derive(Serialize, Deserialize)] struct Pay { cents: u64 }
    /// # impl Message for Pay { const NAME: &'static str = "pay"; type Reply = (); }
    /// impl Handle<Pay> for Order {
    ///     async fn handle(&mut self, Pay { cents }: Pay, cx: &mut Context<'_>) {
    ///         if cx.to::<Order>("next").send(Pay { cents }).is_err() {
    ///             self.seen.push(cents); // no such kind or message, or too large: nothing was sent
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use = "nothing is sent yet"]
    pub fn to<A: Actor>(&mut self, key: &str) -> Recipient<'_, 't, A> {
        Recipient { to: ActorId::new(A::KIND, key), cx: self, kind: PhantomData }
    }
}

/// The receiver of a handler's message; [`Context::to`] returns it.
#[must_use = "nothing is sent yet"]
pub struct Recipient<'c, 't, A> {
    cx: &'c mut Context<'t>,
    to: Result<ActorId, NameError>,
    kind: PhantomData<fn(A)>,
}

impl<A: Actor> Recipient<'_, '_, A> {
    /// Sends a message. It leaves the actor after the handler is done and all its determinants are
    /// on stable storage. The receiver handles it exactly once, in the order sent.
    ///
    /// # Errors
    /// [`SendError`]: nothing was sent, and the handler continues. One exception: when the message
    /// encodes but does not come back as the same value, the handler also stops with
    /// [`HaltReason::Codec`](crate::HaltReason::Codec).
    ///
    /// # Limits
    /// One delivery may send [`SENDS_PER_DELIVERY_MAX`] messages, each of at most 1 MiB.
    pub fn send<M: Message>(self, message: M) -> Result<(), SendError>
    where
        A: Handle<M>,
    {
        const { assert_listed::<A, M>() };
        let Self { cx, to, .. } = self;
        let to = to?;
        let shapes = match cx.peers.map(|peers| peers.taker(A::KIND, M::NAME)) {
            Some(Taker::NoKind) => return Err(SendError::UnknownKind { kind: A::KIND }),
            Some(Taker::NoHandler) => return Err(SendError::Unhandled { kind: A::KIND, message: M::NAME }),
            Some(Taker::Kind(shapes)) => Some(&shapes.message),
            None => None,
        };
        // Before the encoding: how many there were is the same in each run, so the error is too.
        if cx.effects.sends.len() >= SENDS_PER_DELIVERY_MAX {
            return Err(SendError::TooMany { limit: SENDS_PER_DELIVERY_MAX });
        }
        let refused = |reason| MessageError::Codec { message: M::NAME, reason };
        let payload = match shapes.filter(|_| cx.determinants.checks_values()) {
            Some(shapes) => match encode_checked(&message, shapes, Bytes::copy_from_slice) {
                Ok(payload) => payload,
                Err(reason) => {
                    // A value that does not encode fails in every run, so the handler may see that
                    // error. Only live runs look, and only at samples, for a value that comes back
                    // as another one: a replay would not repeat that error, so the handler stops.
                    encode_shared(&message).map_err(refused)?;
                    let what = format!("the message {:?} that it sends", M::NAME);
                    cx.signal.halt(does_not_survive(what, &reason));
                    return Err(refused(reason).into());
                }
            },
            None => encode_shared(&message).map_err(refused)?,
        };
        drop(message);
        if payload.len() > PAYLOAD_BYTES_MAX {
            let (found, limit) = (payload.len(), PAYLOAD_BYTES_MAX);
            return Err(MessageError::TooLarge { message: M::NAME, found, limit }.into());
        }
        // After the last error: a number without a message would be a gap for the receiver.
        let ssn = cx.channels.next_ssn(&to);
        let message = Name::from_static(M::NAME);
        cx.effects.send(Outgoing { to, ssn, message, payload });
        Ok(())
    }
}
