//! An actor type with its handlers, behind one trait for all types: turns stored names and bytes
//! into calls.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use relive_storage::{NameError, check_name};

use crate::actor::assert_listed;
use crate::guard::Dropped;
use crate::payload::{CodecError, Expected, Shapes, decode, encode_checked, encode_expecting};
use crate::peers::{MessageShapes, Messages, Peers};
use crate::{Actor, Context, Handle, Message};

/// The future of one handler call; returns the encoded reply of an ask.
pub(crate) type Handling<'a> = Pin<Box<dyn Future<Output = Result<Option<Bytes>, CodecError>> + Send + 'a>>;

type Call<A> = for<'a, 'c> fn(
    &'a mut A,
    &[u8],
    Option<&'a Shapes>,
    &'a mut Context<'c>,
) -> Result<Handling<'a>, CodecError>;

/// A handler, and the shapes in which its message and reply have survived.
struct Handler<A> {
    call: Call<A>,
    shapes: Arc<MessageShapes>,
}

type Handlers<A> = BTreeMap<&'static str, Handler<A>>;

/// A registered actor type.
pub trait Kind: Send + Sync {
    /// The name of the kind.
    fn name(&self) -> &'static str;
    /// The version of its state.
    fn version(&self) -> u32;
    /// Whether it has a handler for the message type.
    fn handles(&self, message: &str) -> bool {
        self.shapes(message).is_some()
    }
    /// The shapes in which a message that it handles has survived; `None` when it has no handler
    /// for it.
    fn shapes(&self, message: &str) -> Option<&MessageShapes>;
    /// The message types that it has handlers for.
    fn messages(&self) -> Messages;
    /// Tells it the registered kinds, once. Without this call its handlers may send to any kind.
    fn introduce(&self, peers: &Arc<Peers>);
    /// The registered kinds.
    #[doc(hidden)]
    fn peers(&self) -> Option<&Peers>;
    /// The state of an actor that never received anything.
    fn create(&self, key: &str) -> Box<dyn State>;
    /// The state of a checkpoint.
    ///
    /// # Errors
    /// [`CodecError`] when it does not decode as this type.
    fn restore(&self, state: &[u8]) -> Result<Box<dyn State>, CodecError>;
    /// Whether the encoded state comes back as it was.
    ///
    /// # Errors
    /// [`CodecError`] when it does not decode as this type, or comes back as another value.
    fn verify(&self, state: &[u8], expected: &Expected) -> Result<(), CodecError>;
}

/// What becomes of a handler's reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is encoded, for somebody who waits for it.
    Encoded,
    /// It is dropped: nobody waits for it.
    Dropped,
}

/// The state of one actor, of any type.
pub trait State: Send {
    /// Begins to handle a message; `None` when there is no handler for it.
    #[doc(hidden)]
    fn handle<'a>(
        &'a mut self,
        message: &str,
        payload: &[u8],
        reply: Reply,
        cx: &'a mut Context<'_>,
    ) -> Option<Result<Handling<'a>, CodecError>>;

    /// The state as MessagePack; calls `pause` after each piece of a large one.
    ///
    /// # Errors
    /// [`CodecError`] when its `Serialize` fails.
    fn encode(&self, pause: &dyn Fn()) -> Result<(Vec<u8>, Expected), CodecError>;

    /// The state itself, for a reader that knows the type.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// Collects the handlers of an actor type.
///
/// # Examples
/// ```
/// # use relive_replay::{Actor, Context, Handle, KindBuilder, Message};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Add(u64);
/// # impl Message for Add { const NAME: &'static str = "add"; type Reply = (); }
/// # #[derive(Serialize, Deserialize)] struct Counter(u64);
/// # impl Actor for Counter { const KIND: &'static str = "counter"; fn create(_: &str) -> Self { Counter(0) } }
/// # impl Handle<Add> for Counter { async fn handle(&mut self, m: Add, _: &mut Context<'_>) { self.0 += m.0; } }
/// let kind = KindBuilder::<Counter>::new().handles::<Add>().build()?;
/// assert!(kind.handles("add") && !kind.handles("get"));
/// # Ok::<(), relive_replay::kind::KindError>(())
/// ```
pub struct KindBuilder<A: Actor> {
    handlers: Handlers<A>,
    error: Option<KindError>,
}

/// A registration that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// A name is not a valid one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A message that the actor lists has no registered handler.
    #[error(
        "the actor kind {kind:?} lists the message {message:?} in `MESSAGES`, but registers no handler for it: add `handles`"
    )]
    NotRegistered {
        /// The actor kind.
        kind: &'static str,
        /// The message type.
        message: &'static str,
    },
    /// Two message types of one actor have the same name, so that no reader could tell their
    /// records apart.
    #[error("two message types of the actor kind {kind:?} have the name {message:?}: rename one")]
    Twice {
        /// The actor kind.
        kind: &'static str,
        /// The message type.
        message: &'static str,
    },
}

impl<A: Actor> KindBuilder<A> {
    /// An actor type without handlers.
    #[must_use]
    pub fn new() -> Self {
        let error = check_kind(A::KIND).err();
        Self { handlers: BTreeMap::new(), error }
    }

    /// Registers the handler of one message type. [`KindBuilder::build`] reports a name that breaks
    /// a rule.
    #[must_use]
    pub fn handles<M: Message>(mut self) -> Self
    where
        A: Handle<M>,
    {
        const { assert_listed::<A, M>() };
        // Kept until `build`, so that registrations can be chained without a question mark each.
        if let Err(error) = check_name("message type", M::NAME) {
            self.error.get_or_insert(error.into());
        }
        let handler = Handler { call: call::<A, M> as Call<A>, shapes: Arc::default() };
        if self.handlers.insert(M::NAME, handler).is_some() {
            self.error.get_or_insert(KindError::Twice { kind: A::KIND, message: M::NAME });
        }
        self
    }

    /// Ends the registration.
    ///
    /// # Errors
    /// [`KindError`] for the first rule broken.
    pub fn build(self) -> Result<Arc<dyn Kind>, KindError> {
        let missing = A::MESSAGES.iter().find(|message| !self.handlers.contains_key(**message));
        let missing = missing.map(|message| KindError::NotRegistered { kind: A::KIND, message });
        match self.error.or(missing) {
            Some(error) => Err(error),
            None => {
                let (handlers, states) = (Arc::new(self.handlers), Arc::default());
                Ok(Arc::new(TypedKind { handlers, states, peers: OnceLock::new() }))
            }
        }
    }
}

impl<A: Actor> Default for KindBuilder<A> {
    fn default() -> Self {
        Self::new()
    }
}

fn check_kind(name: &str) -> Result<(), KindError> {
    relive_storage::ActorId::new(name, "key")?;
    Ok(())
}

/// Decodes the message and boxes the call: the one allocation of a delivery in this crate.
fn call<'a, A, M>(
    actor: &'a mut A,
    payload: &[u8],
    reply_shapes: Option<&'a Shapes>,
    cx: &'a mut Context<'_>,
) -> Result<Handling<'a>, CodecError>
where
    A: Handle<M>,
    M: Message,
{
    // Outside of the future: bytes that do not decode stop the actor before the handler begins.
    let message: M = decode(payload)?;
    Ok(Box::pin(async move {
        let reply = actor.handle(message, cx).await;
        match reply_shapes {
            Some(shapes) => encode_checked(&reply, shapes, Bytes::copy_from_slice).map(Some),
            None => Ok(None),
        }
    }))
}

struct TypedKind<A> {
    handlers: Arc<Handlers<A>>,
    /// The shapes of states that have survived.
    states: Arc<Shapes>,
    peers: OnceLock<Arc<Peers>>,
}

impl<A: Actor> TypedKind<A> {
    fn state(&self, actor: A) -> Box<dyn State> {
        let (handlers, shapes) = (Arc::clone(&self.handlers), Arc::clone(&self.states));
        Box::new(TypedState { actor: Dropped::new(A::KIND, actor), handlers, shapes })
    }
}

impl<A: Actor> Kind for TypedKind<A> {
    fn name(&self) -> &'static str {
        A::KIND
    }

    fn version(&self) -> u32 {
        A::VERSION
    }

    fn shapes(&self, message: &str) -> Option<&MessageShapes> {
        self.handlers.get(message).map(|handler| &*handler.shapes)
    }

    fn messages(&self) -> Messages {
        self.handlers.iter().map(|(name, handler)| (*name, Arc::clone(&handler.shapes))).collect()
    }

    fn introduce(&self, peers: &Arc<Peers>) {
        // The first call counts: a kind belongs to one runtime.
        let _ = self.peers.set(Arc::clone(peers));
    }

    fn peers(&self) -> Option<&Peers> {
        self.peers.get().map(|peers| &**peers)
    }

    fn create(&self, key: &str) -> Box<dyn State> {
        self.state(A::create(key))
    }

    fn verify(&self, state: &[u8], expected: &Expected) -> Result<(), CodecError> {
        let back = expected.verify::<A>(state, &self.states)?;
        // A value of the user's type, whose drop may panic.
        drop(Dropped::new(A::KIND, back));
        Ok(())
    }

    fn restore(&self, state: &[u8]) -> Result<Box<dyn State>, CodecError> {
        decode::<A>(state).map(|actor| self.state(actor))
    }
}

struct TypedState<A> {
    actor: Dropped<A>,
    handlers: Arc<Handlers<A>>,
    shapes: Arc<Shapes>,
}

impl<A: Actor> State for TypedState<A> {
    fn handle<'a>(
        &'a mut self,
        message: &str,
        payload: &[u8],
        reply: Reply,
        cx: &'a mut Context<'_>,
    ) -> Option<Result<Handling<'a>, CodecError>> {
        let Handler { call, shapes } = self.handlers.get(message)?;
        let reply_shapes = (reply == Reply::Encoded).then_some(&shapes.reply);
        Some(call(self.actor.get_mut(), payload, reply_shapes, cx))
    }

    fn encode(&self, pause: &dyn Fn()) -> Result<(Vec<u8>, Expected), CodecError> {
        encode_expecting(self.actor.get(), &self.shapes, pause)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self.actor.get()
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    macro_rules! message {
        ($name:ident, $text:expr) => {
            #[derive(Serialize, Deserialize)]
            struct $name;

            impl Message for $name {
                const NAME: &'static str = $text;
                type Reply = ();
            }

            impl<const N: u8> Handle<$name> for Numbered<N> {
                async fn handle(&mut self, _: $name, _: &mut Context<'_>) {}
            }
        };
    }

    #[derive(Serialize, Deserialize)]
    struct Numbered<const N: u8>;

    impl<const N: u8> Actor for Numbered<N> {
        const KIND: &'static str = if N == 1 { "a/b" } else { "numbered" };
        const MESSAGES: &'static [&'static str] = if N == 2 { &["add", "get"] } else { &[] };

        fn create(_: &str) -> Self {
            Self
        }
    }

    message!(Add, "add");
    message!(Get, "get");
    message!(AlsoAdd, "add");
    message!(Nameless, "");

    /// What is listed has a handler, or the opening says which one is missing.
    #[test]
    fn a_listed_message_needs_its_handler() {
        let refused = KindBuilder::<Numbered<2>>::new().handles::<Add>().build().err();
        assert_eq!(refused, Some(KindError::NotRegistered { kind: "numbered", message: "get" }));
        let kind = KindBuilder::<Numbered<2>>::new().handles::<Get>().handles::<Add>().build().unwrap();
        assert!(kind.handles("add") && kind.handles("get") && !kind.handles("pay"));
        assert_eq!(kind.messages().into_keys().collect::<Vec<_>>(), ["add", "get"]);
    }

    /// Two types of one name would read each other's records.
    #[test]
    fn two_messages_of_one_name_are_refused() {
        let refused = KindBuilder::<Numbered<0>>::new().handles::<Add>().handles::<AlsoAdd>().build().err();
        assert_eq!(refused, Some(KindError::Twice { kind: "numbered", message: "add" }));
    }

    /// Names that no log could hold are refused before anything is logged; the first error counts.
    #[test]
    fn names_that_break_a_rule_are_refused() {
        assert!(matches!(KindBuilder::<Numbered<1>>::new().build(), Err(KindError::Name(_))));
        let twice = KindBuilder::<Numbered<0>>::new().handles::<Nameless>().handles::<Nameless>().build();
        assert!(matches!(twice, Err(KindError::Name(_))));
    }

    /// A kind belongs to one runtime, so the peers that it learns first stay.
    #[test]
    fn a_kind_is_introduced_once() {
        let kind = KindBuilder::<Numbered<0>>::new().handles::<Add>().build().unwrap();
        assert!(kind.peers().is_none());
        let mut first = Peers::default();
        first.add(kind.name(), kind.messages());
        kind.introduce(&Arc::new(first));
        kind.introduce(&Arc::new(Peers::default()));
        let taken = kind
            .peers()
            .is_some_and(|peers| matches!(peers.taker("numbered", "add"), crate::peers::Taker::Kind(_)));
        assert!(taken);
    }
}
