//! The contract that makes replay possible: what an actor and a message are. No behaviour.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A unit of state that survives crashes. The state is the struct itself.
///
/// An actor is virtual: each key of its kind always exists; it is activated by its first message and costs no memory
/// while it is passive.
///
/// # The contract
/// Between two events an actor is *piecewise deterministic*: what a handler does is a function of the state, the
/// message, and what its [`Context`](crate::Context) gave it. Clocks, randomness, input and output come through the context or not
/// at all, and the state holds no `HashMap`, whose order differs from run to run.
///
/// # Examples
/// ```
/// use relive_replay::{Actor, Context, Handle, Message};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Counter {
///     total: u64,
/// }
///
/// impl Actor for Counter {
///     const KIND: &'static str = "counter";
///     fn create(_key: &str) -> Self {
///         Counter { total: 0 }
///     }
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Add(u64);
///
/// impl Message for Add {
///     const NAME: &'static str = "add";
///     type Reply = u64;
/// }
///
/// impl Handle<Add> for Counter {
///     async fn handle(&mut self, message: Add, _cx: &mut Context<'_>) -> u64 {
///         self.total += message.0;
///         self.total
///     }
/// }
/// ```
pub trait Actor: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the kind: 1 to 64 bytes without `/`. It is stored; a store that holds actors of a kind that is not
    /// registered does not open.
    const KIND: &'static str;

    /// The version of the state's schema, stored in each checkpoint. Raise it when old state no longer reads; a store
    /// with state of another version does not open.
    const VERSION: u32 = 1;

    /// The names of the messages that the actor handles. Give them, and a handler that is not registered is found before the
    /// first message: one that is not listed when the code that sends it is compiled, one that is listed when the runtime is
    /// opened. Without them it is found when it is sent ([`SendError::Unhandled`](crate::SendError::Unhandled) and its like).
    ///
    /// # Examples
    /// A message that is not listed does not compile where it is registered or sent:
    /// ```compile_fail
    /// # use relive_replay::{Actor, Context, Handle, KindBuilder, Message};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Add(u64);
    /// # impl Message for Add { const NAME: &'static str = "add"; type Reply = (); }
    /// # #[derive(Serialize, Deserialize)] struct Get;
    /// # impl Message for Get { const NAME: &'static str = "get"; type Reply = u64; }
    /// # #[derive(Serialize, Deserialize)] struct Counter(u64);
    /// # impl Handle<Add> for Counter { async fn handle(&mut self, _: Add, _: &mut Context<'_>) {} }
    /// # impl Handle<Get> for Counter { async fn handle(&mut self, _: Get, _: &mut Context<'_>) -> u64 { self.0 } }
    /// impl Actor for Counter {
    ///     const KIND: &'static str = "counter";
    ///     const MESSAGES: &'static [&'static str] = &[Add::NAME];
    ///     fn create(_key: &str) -> Self {
    ///         Counter(0)
    ///     }
    /// }
    /// let kind = KindBuilder::<Counter>::new().handles::<Add>().handles::<Get>().build();
    /// ```
    const MESSAGES: &'static [&'static str] = &[];

    /// The state of an actor that never received anything. Must be a function of the key alone.
    fn create(key: &str) -> Self;
}

/// What is sent to an actor. Stored as MessagePack with field names: fields may be added with a serde default.
pub trait Message: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the message type: 1 to 64 bytes. It is stored; a log that still holds messages of a type that
    /// no handler takes does not open.
    const NAME: &'static str;

    /// What `ask` answers with.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

/// Fails to compile when an actor lists its messages, and this one is not among them.
pub const fn assert_listed<A: Actor, M: Message>() {
    let mut listed = A::MESSAGES.is_empty();
    let mut at = 0;
    while at < A::MESSAGES.len() {
        listed |= is_same(A::MESSAGES[at].as_bytes(), M::NAME.as_bytes());
        at += 1;
    }
    assert!(listed, "the actor has a handler for this message, but does not list it in `Actor::MESSAGES`");
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}
