//! One receiver of a handler's message: checks that the receiver takes it, and turns it into an
//! effect.

use std::marker::PhantomData;

use bytes::Bytes;
use relive_storage::limits::PAYLOAD_BYTES_MAX;
use relive_storage::{ActorId, Name, NameError};

use crate::actor::assert_listed;
use crate::context::{Checks, Context};
use crate::halt::does_not_survive;
use crate::payload::{CodecError, encode_checked, encode_shared};
use crate::peers::Taker;
use crate::{Actor, Handle, Message};

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
    pub fn to<A: Actor>(&self, key: &str) -> Recipient<'_, 't, A> {
        Recipient::new(self, ActorId::new(A::KIND, key))
    }
}

/// The receiver of a handler's message; [`Context::to`] returns it.
#[must_use = "nothing is sent yet"]
pub struct Recipient<'c, 't, A> {
    pub(crate) cx: &'c Context<'t>,
    pub(crate) to: Result<ActorId, NameError>,
    kind: PhantomData<fn(A)>,
}

impl<'c, 't, A: Actor> Recipient<'c, 't, A> {
    pub(crate) fn new(cx: &'c Context<'t>, to: Result<ActorId, NameError>) -> Self {
        Self { cx, to, kind: PhantomData }
    }

    /// Sends a message. It leaves the actor after the handler is done, or with the next
    /// [ask](Recipient::ask), and all its determinants are on stable storage. The receiver handles
    /// it exactly once, in the order sent.
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
        let waits = self.cx.waits;
        let (to, payload) = self.prepare(message)?;
        // After the last error: a number without a message would be a gap for the receiver.
        waits.send(to, Name::from_static(M::NAME), payload);
        Ok(())
    }

    /// Checks and encodes a message that the delivery sends, before it changes anything.
    pub(crate) fn prepare<M: Message>(self, message: M) -> Result<(ActorId, Bytes), SendError>
    where
        A: Handle<M>,
    {
        // Before the encoding: how many there were is the same in each run, so the error is too.
        if self.cx.waits.sends() >= SENDS_PER_DELIVERY_MAX {
            return Err(SendError::TooMany { limit: SENDS_PER_DELIVERY_MAX });
        }
        self.encode(message)
    }

    /// Checks and encodes a message for this receiver.
    pub(crate) fn encode<M: Message>(self, message: M) -> Result<(ActorId, Bytes), SendError>
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
        let refused = |reason| MessageError::Codec { message: M::NAME, reason };
        let payload = match shapes.filter(|_| cx.checks == Checks::All) {
            Some(shapes) => match encode_checked(&message, shapes, Bytes::copy_from_slice) {
                Ok(payload) => payload,
                Err(reason) => {
                    // A value that does not encode fails in every run, so the handler may see that
                    // error. Only live runs look, and only at samples, for a value that comes back
                    // as another one: a replay would not repeat that error, so the handler stops.
                    encode_shared(&message).map_err(refused)?;
                    let what = format!("the message {:?} that it sends", M::NAME);
                    cx.waits.halt(does_not_survive(what, &reason));
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
        Ok((to, payload))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use relive_storage::record::{Delivery, Sender};
    use relive_storage::{Rsn, Ssn, StoreId};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::step::testing::step_once;
    use crate::{Effects, Instance, KindBuilder, Peers, Tape, TapeOnly};

    /// Remembers what came of its sends.
    #[derive(Serialize, Deserialize)]
    struct Till {
        said: Vec<String>,
    }

    #[derive(Serialize, Deserialize)]
    struct Stranger;

    macro_rules! actor {
        ($name:ident, $text:literal, $new:expr) => {
            impl Actor for $name {
                const KIND: &'static str = $text;

                fn create(_: &str) -> Self {
                    $new
                }
            }
        };
    }

    macro_rules! message {
        ($name:ident, $text:literal) => {
            #[derive(Serialize, Deserialize)]
            struct $name(Vec<u8>);

            impl Message for $name {
                const NAME: &'static str = $text;
                type Reply = ();
            }
        };
    }

    actor!(Till, "till", Till { said: Vec::new() });
    actor!(Stranger, "stranger", Stranger);
    message!(Add, "add");
    message!(Get, "get");
    // Sends what its first byte says.
    message!(Send, "send");

    impl Handle<Add> for Till {
        async fn handle(&mut self, _: Add, _: &mut Context<'_>) {}
    }

    impl Handle<Get> for Till {
        async fn handle(&mut self, _: Get, _: &mut Context<'_>) {}
    }

    impl Handle<Add> for Stranger {
        async fn handle(&mut self, _: Add, _: &mut Context<'_>) {}
    }

    impl Handle<Send> for Till {
        async fn handle(&mut self, Send(what): Send, cx: &mut Context<'_>) {
            let large = || vec![7; PAYLOAD_BYTES_MAX];
            let sent = match what[0] {
                0 => cx.to::<Self>("bob").send(Add(vec![1])),
                1 => cx.to::<Self>(&"k".repeat(257)).send(Add(vec![1])),
                2 => cx.to::<Stranger>("bob").send(Add(vec![1])),
                3 => cx.to::<Self>("bob").send(Get(vec![1])),
                4 => cx.to::<Self>("bob").send(Add(large())),
                _ => (0..=SENDS_PER_DELIVERY_MAX).try_for_each(|_| cx.to::<Self>("bob").send(Add(vec![1]))),
            };
            self.said.extend(sent.err().map(|error| format!("{error:?}")));
        }
    }

    fn till() -> Instance {
        let kind = KindBuilder::<Till>::new().handles::<Add>().handles::<Send>().build().unwrap();
        let mut peers = Peers::default();
        peers.add(kind.name(), kind.messages(), kind.queries());
        kind.introduce(&Arc::new(peers));
        Instance::create(kind, ActorId::new("till", "one").unwrap(), StoreId::new(1))
    }

    /// Handles a message that sends `what`.
    fn send(till: &mut Instance, what: u8) -> Effects {
        let (sender, clock) = (Sender::Outside, Default::default());
        till.admit(&sender);
        let payload = encode_shared(&Send(vec![what])).unwrap();
        let rsn = till.handled().next();
        let delivery =
            Delivery { rsn, sender, asked: false, message: "send".into(), payload, clock, seed: 0 };
        let mut tape = Tape::after(Rsn::NONE);
        let stepped = step_once(till.process(), &delivery, &mut TapeOnly(&mut tape));
        stepped.expect("it waits for nothing").unwrap()
    }

    fn numbers(effects: &Effects) -> Vec<u64> {
        effects.sends.iter().map(|outgoing| outgoing.ssn.get()).collect()
    }

    /// A refused message leaves no gap in the channel: only a message that is sent takes a number.
    #[test]
    fn what_is_not_sent_takes_no_number() {
        let mut till = till();
        assert_eq!(numbers(&send(&mut till, 0)), [1]);
        for what in 1..=4 {
            assert_eq!(numbers(&send(&mut till, what)), [0; 0]);
        }
        assert_eq!(numbers(&send(&mut till, 0)), [2]);
        let said = &till.state::<Till>().unwrap().said;
        for (said, expected) in said.iter().zip(["Name(", "UnknownKind", "Unhandled", "Message(TooLarge"]) {
            assert!(said.starts_with(expected), "{said} is not {expected}");
        }
        assert_eq!(said.len(), 4);
        assert_eq!(till.sent_to(&ActorId::new("till", "bob").unwrap()), Ssn::new(2));
    }

    /// Invariant: bounded. One delivery sends so many messages, and the handler hears it.
    #[test]
    fn one_delivery_sends_a_bounded_number_of_messages() {
        let mut till = till();
        let sends = send(&mut till, 5).sends;
        assert_eq!(sends.len(), SENDS_PER_DELIVERY_MAX);
        assert!(till.state::<Till>().unwrap().said[0].starts_with("TooMany"));
        assert_eq!(
            numbers(&send(&mut till, 0)),
            [SENDS_PER_DELIVERY_MAX as u64 + 1],
            "the next one may again"
        );
    }
}
