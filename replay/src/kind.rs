//! An actor type with its handlers, behind one trait for all types: turns stored names and bytes
//! into calls.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use relive_storage::{NameError, check_name};

use crate::actor::assert_listed;
use crate::call::{Call, Fallible, Handling, call, call_or_undo};
use crate::dependencies::{Dependencies, Dependency};
use crate::guard::Dropped;
use crate::payload::{CodecError, Expected, Shapes, decode, encode_expecting};
use crate::peers::{MessageShapes, Messages, Peers, Queries};
use crate::query::{Added, Answers};
use crate::{Actor, Answer, Context, Discipline, Handle, Message, Query};

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
    /// What its actors wait for.
    fn discipline(&self) -> Discipline;
    /// Whether it has a handler for the message type.
    fn handles(&self, message: &str) -> bool {
        self.shapes(message).is_some()
    }
    /// The shapes in which a message that it handles has survived; `None` when it has no handler
    /// for it.
    fn shapes(&self, message: &str) -> Option<&MessageShapes>;
    /// The message types that it has handlers for.
    fn messages(&self) -> Messages;
    /// The type of the query of that name; `None` when it has no answer for it.
    fn query(&self, query: &str) -> Option<TypeId>;
    /// The queries that it has answers for.
    fn queries(&self) -> Queries;
    /// Whether it has an answer for any query.
    fn has_queries(&self) -> bool;
    /// Tells it the registered kinds, once. Without this call its handlers may send to any kind.
    fn introduce(&self, peers: &Arc<Peers>);
    /// The registered kinds.
    #[doc(hidden)]
    fn peers(&self) -> Option<&Peers>;
    /// Gives its handlers what the program provides, once. Without this call they have nothing.
    fn equip(&self, dependencies: &Arc<Dependencies>);
    /// What the program provides.
    #[doc(hidden)]
    fn dependencies(&self) -> Option<&Dependencies>;
    /// What its handlers can't do without, as the registration declares.
    fn needs(&self) -> &[Dependency];
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

    /// The encoded answer to an encoded query; `None` when there is no answer for it. May panic: it
    /// runs users' code.
    ///
    /// # Errors
    /// [`CodecError`] when the query does not decode, or the answer does not survive.
    #[doc(hidden)]
    fn answer(&self, query: &str, payload: &[u8]) -> Option<Result<Bytes, CodecError>>;

    /// The state as MessagePack; calls `pause` after each piece of a large one.
    ///
    /// # Errors
    /// [`CodecError`] when its `Serialize` fails.
    fn encode(&self, pause: &dyn Fn()) -> Result<(Vec<u8>, Expected), CodecError>;

    /// The state itself, for a reader that knows the type.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// Collects the handlers and the answers of an actor type.
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
    discipline: Discipline,
    answers: Answers<A>,
    needs: Vec<Dependency>,
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
    /// Two query types of one actor have the same name.
    #[error("two query types of the actor kind {kind:?} have the name {query:?}: rename one")]
    QueryTwice {
        /// The actor kind.
        kind: &'static str,
        /// The query type.
        query: &'static str,
    },
}

impl<A: Actor> KindBuilder<A> {
    /// An actor type without handlers.
    #[must_use]
    pub fn new() -> Self {
        let error = check_kind(A::KIND).err();
        let (handlers, discipline, needs) = Default::default();
        Self { handlers, discipline, answers: Answers::new(), needs, error }
    }

    /// Registers the handler of one message type. [`KindBuilder::build`] reports a name that breaks
    /// a rule.
    #[must_use]
    pub fn handles<M: Message>(self) -> Self
    where
        A: Handle<M>,
    {
        const { assert_listed::<A, M>() };
        self.add::<M>(call::<A, M>)
    }

    /// As [`KindBuilder::handles`], for a handler whose changes count only when it returns `Ok`.
    /// When it returns an `Err`, its caller gets that; the state, the messages and the timers are
    /// as if it had done nothing.
    ///
    /// # Limits
    /// - What has left the actor stays: requests of [`ask`](crate::recipient::Recipient::ask), and
    ///   what was sent before one of them; whatever side effects have done. So look first at what
    ///   may fail, and ask after that.
    /// - The delivery is in the log and handled, its events too. Nothing is tried again, and a
    ///   request with an idempotency key keeps its `Err`.
    /// - Each delivery of this message clones the state once. A clone must be equal to what it was
    ///   made from, also for the handlers to come: a shared cell inside makes replays differ.
    ///
    /// # Examples
    /// ```
    /// # use relive_replay::{Actor, Context, Handle, KindBuilder, Message};
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Serialize, Deserialize, Clone)]
    /// struct Cart(Vec<u64>);
    ///
    /// /// Adds all articles, or none.
    /// #[derive(Serialize, Deserialize)]
    /// struct AddAll(Vec<u64>);
    ///
    /// # impl Actor for Cart { const KIND: &'static str = "cart"; fn create(_: &str) -> Self { Cart(Vec::new()) } }
    /// impl Message for AddAll {
    ///     const NAME: &'static str = "add-all";
    ///     type Reply = Result<(), String>;
    /// }
    ///
    /// impl Handle<AddAll> for Cart {
    ///     async fn handle(&mut self, AddAll(articles): AddAll, _: &mut Context<'_>) -> Result<(), String> {
    ///         for article in articles {
    ///             if self.0.len() == 10 {
    ///                 return Err("the cart is full".to_owned());
    ///             }
    ///             self.0.push(article);
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let kind = KindBuilder::<Cart>::new().handles_or_undo::<AddAll>().build()?;
    /// # assert!(kind.handles("add-all"));
    /// # Ok::<(), relive_replay::kind::KindError>(())
    /// ```
    #[must_use]
    pub fn handles_or_undo<M: Message>(self) -> Self
    where
        A: Handle<M> + Clone,
        M::Reply: Fallible,
    {
        const { assert_listed::<A, M>() };
        self.add::<M>(call_or_undo::<A, M>)
    }

    fn add<M: Message>(mut self, call: Call<A>) -> Self {
        // Kept until `build`, so that registrations can be chained without a question mark each.
        if let Err(error) = check_name("message type", M::NAME) {
            self.error.get_or_insert(error.into());
        }
        let handler = Handler { call, shapes: Arc::default() };
        if self.handlers.insert(M::NAME, handler).is_some() {
            self.error.get_or_insert(KindError::Twice { kind: A::KIND, message: M::NAME });
        }
        self
    }

    /// Sets what the actors of the kind wait for. Default [`Discipline::BeforeHandling`]. Stores
    /// don't know it: it may change with each opening.
    #[must_use]
    pub fn discipline(mut self, discipline: Discipline) -> Self {
        self.discipline = discipline;
        self
    }

    /// Registers the answer to one type of query. [`KindBuilder::build`] reports a name that breaks
    /// a rule.
    ///
    /// # Examples
    /// ```
    /// # use relive_replay::{Actor, Answer, KindBuilder, Query};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Counter(u64);
    /// # impl Actor for Counter { const KIND: &'static str = "counter"; fn create(_: &str) -> Self { Counter(0) } }
    /// # #[derive(Serialize, Deserialize)] struct Total;
    /// # impl Query for Total { const NAME: &'static str = "total"; type Answer = u64; }
    /// # impl Answer<Total> for Counter { fn answer(&self, _: Total) -> u64 { self.0 } }
    /// let kind = KindBuilder::<Counter>::new().answers::<Total>().build()?;
    /// assert!(kind.has_queries() && kind.query("total").is_some());
    /// # Ok::<(), relive_replay::kind::KindError>(())
    /// ```
    #[must_use]
    pub fn answers<Q: Query>(mut self) -> Self
    where
        A: Answer<Q>,
    {
        if let Err(error) = check_name("query type", Q::NAME) {
            self.error.get_or_insert(error.into());
        }
        if self.answers.add::<Q>() == Added::Again {
            self.error.get_or_insert(KindError::QueryTwice { kind: A::KIND, query: Q::NAME });
        }
        self
    }

    /// Declares that handlers of this kind need a value of this type
    /// ([`Context::dependency`](crate::Context::dependency)). An opening that does not provide it
    /// fails before anything runs, and says so.
    #[must_use]
    pub fn needs<T: Send + Sync + 'static>(mut self) -> Self {
        self.needs.push(Dependency::of::<T>());
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
                let Self { handlers, discipline, answers, needs, .. } = self;
                let registered = Arc::new(Registered { handlers, answers, states: Shapes::default() });
                let (peers, dependencies) = (OnceLock::new(), OnceLock::new());
                Ok(Arc::new(TypedKind { registered, discipline, needs, peers, dependencies }))
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

/// What an actor type does, as all its instances share it.
struct Registered<A> {
    handlers: Handlers<A>,
    answers: Answers<A>,
    /// The shapes of states that have survived.
    states: Shapes,
}

struct TypedKind<A> {
    registered: Arc<Registered<A>>,
    discipline: Discipline,
    needs: Vec<Dependency>,
    peers: OnceLock<Arc<Peers>>,
    dependencies: OnceLock<Arc<Dependencies>>,
}

impl<A: Actor> TypedKind<A> {
    fn state(&self, actor: A) -> Box<dyn State> {
        let registered = Arc::clone(&self.registered);
        Box::new(TypedState { actor: Dropped::new(A::KIND, actor), registered })
    }
}

impl<A: Actor> Kind for TypedKind<A> {
    fn name(&self) -> &'static str {
        A::KIND
    }

    fn version(&self) -> u32 {
        A::VERSION
    }

    fn discipline(&self) -> Discipline {
        self.discipline
    }

    fn shapes(&self, message: &str) -> Option<&MessageShapes> {
        self.registered.handlers.get(message).map(|handler| &*handler.shapes)
    }

    fn messages(&self) -> Messages {
        let handlers = self.registered.handlers.iter();
        handlers.map(|(name, handler)| (*name, Arc::clone(&handler.shapes))).collect()
    }

    fn query(&self, query: &str) -> Option<TypeId> {
        self.registered.answers.query(query)
    }

    fn queries(&self) -> Queries {
        self.registered.answers.shapes()
    }

    fn has_queries(&self) -> bool {
        !self.registered.answers.is_empty()
    }

    fn introduce(&self, peers: &Arc<Peers>) {
        // The first call counts: a kind belongs to one runtime.
        let _ = self.peers.set(Arc::clone(peers));
    }

    fn peers(&self) -> Option<&Peers> {
        self.peers.get().map(|peers| &**peers)
    }

    fn equip(&self, dependencies: &Arc<Dependencies>) {
        let _ = self.dependencies.set(Arc::clone(dependencies));
    }

    fn dependencies(&self) -> Option<&Dependencies> {
        self.dependencies.get().map(|dependencies| &**dependencies)
    }

    fn needs(&self) -> &[Dependency] {
        &self.needs
    }

    fn create(&self, key: &str) -> Box<dyn State> {
        self.state(A::create(key))
    }

    fn verify(&self, state: &[u8], expected: &Expected) -> Result<(), CodecError> {
        let back = expected.verify::<A>(state, &self.registered.states)?;
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
    registered: Arc<Registered<A>>,
}

impl<A: Actor> State for TypedState<A> {
    fn handle<'a>(
        &'a mut self,
        message: &str,
        payload: &[u8],
        reply: Reply,
        cx: &'a mut Context<'_>,
    ) -> Option<Result<Handling<'a>, CodecError>> {
        let Handler { call, shapes } = self.registered.handlers.get(message)?;
        let reply_shapes = (reply == Reply::Encoded).then_some(&shapes.reply);
        Some(call(self.actor.get_mut(), payload, reply_shapes, cx))
    }

    fn answer(&self, query: &str, payload: &[u8]) -> Option<Result<Bytes, CodecError>> {
        self.registered.answers.encoded(self.actor.get(), query, payload)
    }

    fn encode(&self, pause: &dyn Fn()) -> Result<(Vec<u8>, Expected), CodecError> {
        encode_expecting(self.actor.get(), &self.registered.states, pause)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self.actor.get()
    }
}

#[cfg(test)]
#[path = "kind_tests.rs"]
mod tests;
