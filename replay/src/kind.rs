//! An actor type with its handlers, behind one face for all types: what turns stored names and bytes into calls.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use relive_storage::{NameError, check_name};

use crate::payload::{CodecError, decode, encode_in_pieces, encode_shared};
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
    /// The state of an actor that never received anything.
    fn create(&self, key: &str) -> Box<dyn State>;
    /// The state of a checkpoint.
    ///
    /// # Errors
    /// [`CodecError`] when it does not decode as this type.
    fn restore(&self, state: &[u8]) -> Result<Box<dyn State>, CodecError>;
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
        match self.error {
            Some(error) => Err(error),
            None => Ok(Arc::new(TypedKind { calls: Arc::new(self.calls) })),
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

    fn create(&self, key: &str) -> Box<dyn State> {
        Box::new(TypedState { actor: A::create(key), calls: Arc::clone(&self.calls) })
    }

    fn restore(&self, state: &[u8]) -> Result<Box<dyn State>, CodecError> {
        Ok(Box::new(TypedState { actor: decode::<A>(state)?, calls: Arc::clone(&self.calls) }))
    }
}

struct TypedState<A> {
    actor: A,
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
        Some(call(&mut self.actor, payload, asked, cx))
    }

    fn encode(&self, pause: &dyn Fn()) -> Result<Vec<u8>, CodecError> {
        encode_in_pieces(&self.actor, pause)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        &self.actor
    }
}
