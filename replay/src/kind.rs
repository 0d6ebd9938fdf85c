//! An actor type with its handlers, behind one face for all types: what turns stored names and bytes into calls.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use relive_storage::{NameError, check_name};

use crate::actor::assert_listed;
use crate::guard::Dropped;
use crate::payload::{CodecError, decode, encode_in_pieces, encode_shared};
use crate::peers::Peers;
use crate::{Actor, Context, Handle, Message};

/// The future of one handler call; gives the encoded reply when one was asked for.
pub(crate) type Handling<'a> = Pin<Box<dyn Future<Output = Result<Option<Bytes>, CodecError>> + Send + 'a>>;

type Call<A> =
    for<'a, 'c> fn(&'a mut A, &[u8], bool, &'a mut Context<'c>) -> Result<Handling<'a>, CodecError>;

/// A registered actor type.
pub trait Kind: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// The version of its state.
    fn version(&self) -> u32;
    /// Whether it has a handler for the message type.
    fn handles(&self, message: &str) -> bool;
    /// The message types that it has handlers for.
    fn messages(&self) -> Vec<&'static str>;
    /// Tells it which kinds there are to send to. Once; without, its handlers may send to any.
    fn introduce(&self, peers: &Arc<Peers>);
    /// The kinds that there are to send to.
    #[doc(hidden)]
    fn peers(&self) -> Option<&Peers>;
    /// The state of an actor that never received anything.
    fn create(&self, key: &str) -> Box<dyn State>;
    /// The state of a checkpoint.
    ///
    /// # Errors
    /// [`CodecError`] when it does not decode as this type.
    fn restore(&self, state: &[u8]) -> Result<Box<dyn State>, CodecError>;
    /// Whether the encoded state comes back as it is.
    ///
    /// # Errors
    /// [`CodecError`] when it does not decode as this type, or is encoded otherwise then.
    fn verify(&self, state: &[u8]) -> Result<(), CodecError>;
}

/// The state of one actor, of any type.
pub trait State: Send {
    /// Begins to handle a message; `None` when there is no handler for it.
    #[doc(hidden)]
    fn handle<'a>(
        &'a mut self,
        message: &str,
        payload: &[u8],
        asked: bool,
        cx: &'a mut Context<'_>,
    ) -> Option<Result<Handling<'a>, CodecError>>;

    /// The state as MessagePack; calls `pause` after each piece of a large one.
    ///
    /// # Errors
    /// [`CodecError`] when its `Serialize` fails.
    fn encode(&self, pause: &dyn Fn()) -> Result<Vec<u8>, CodecError>;

    /// The state itself, for a reader that knows the type.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// Collects the handlers of an actor type.
pub struct KindBuilder<A: Actor> {
    calls: BTreeMap<&'static str, Call<A>>,
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
    /// Two message types of one actor have the same name, so that their records could not be told apart.
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
        Self { calls: BTreeMap::new(), error }
    }

    /// Registers the handler of one message type.
    #[must_use]
    pub fn handles<M: Message>(mut self) -> Self
    where
        A: Handle<M>,
    {
        const { assert_listed::<A, M>() };
        if let Err(error) = check_name("message type", M::NAME) {
            self.error.get_or_insert(error.into());
        }
        if self.calls.insert(M::NAME, call::<A, M>).is_some() {
            self.error.get_or_insert(KindError::Twice { kind: A::KIND, message: M::NAME });
        }
        self
    }

    /// Closes the registration.
    ///
    /// # Errors
    /// [`KindError`] for the first rule broken.
    pub fn build(self) -> Result<Arc<dyn Kind>, KindError> {
        let missing = A::MESSAGES.iter().find(|message| !self.calls.contains_key(**message));
        let missing = missing.map(|message| KindError::NotRegistered { kind: A::KIND, message });
        match self.error.or(missing) {
            Some(error) => Err(error),
            None => Ok(Arc::new(TypedKind { calls: Arc::new(self.calls), peers: OnceLock::new() })),
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
    asked: bool,
    cx: &'a mut Context<'_>,
) -> Result<Handling<'a>, CodecError>
where
    A: Handle<M>,
    M: Message,
{
    let message: M = decode(payload)?;
    Ok(Box::pin(async move {
        let reply = actor.handle(message, cx).await;
        if asked { encode_shared(&reply).map(Some) } else { Ok(None) }
    }))
}

struct TypedKind<A> {
    calls: Arc<BTreeMap<&'static str, Call<A>>>,
    peers: OnceLock<Arc<Peers>>,
}

impl<A: Actor> TypedKind<A> {
    fn state(&self, actor: A) -> Box<dyn State> {
        Box::new(TypedState { actor: Dropped::new(A::KIND, actor), calls: Arc::clone(&self.calls) })
    }
}

impl<A: Actor> Kind for TypedKind<A> {
    fn name(&self) -> &'static str {
        A::KIND
    }

    fn version(&self) -> u32 {
        A::VERSION
    }

    fn handles(&self, message: &str) -> bool {
        self.calls.contains_key(message)
    }

    fn messages(&self) -> Vec<&'static str> {
        self.calls.keys().copied().collect()
    }

    fn introduce(&self, peers: &Arc<Peers>) {
        // The first one counts: a kind belongs to one runtime.
        let _ = self.peers.set(Arc::clone(peers));
    }

    fn peers(&self) -> Option<&Peers> {
        self.peers.get().map(|peers| &**peers)
    }

    fn create(&self, key: &str) -> Box<dyn State> {
        self.state(A::create(key))
    }

    fn verify(&self, state: &[u8]) -> Result<(), CodecError> {
        Self::decode(state).map(drop)
    }

    fn restore(&self, state: &[u8]) -> Result<Box<dyn State>, CodecError> {
        decode::<A>(state).map(|actor| self.state(actor))
    }
}

impl<A: Actor> TypedKind<A> {
    fn decode(state: &[u8]) -> Result<Dropped<A>, CodecError> {
        decode::<A>(state).map(|actor| Dropped::new(A::KIND, actor))
    }
}

struct TypedState<A> {
    actor: Dropped<A>,
    calls: Arc<BTreeMap<&'static str, Call<A>>>,
}

impl<A: Actor> State for TypedState<A> {
    fn handle<'a>(
        &'a mut self,
        message: &str,
        payload: &[u8],
        asked: bool,
        cx: &'a mut Context<'_>,
    ) -> Option<Result<Handling<'a>, CodecError>> {
        let call = *self.calls.get(message)?;
        Some(call(self.actor.get_mut(), payload, asked, cx))
    }

    fn encode(&self, pause: &dyn Fn()) -> Result<Vec<u8>, CodecError> {
        encode_in_pieces(self.actor.get(), pause)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self.actor.get()
    }
}
