//! The contract that makes replay possible: what an actor and a message are. No behaviour.
//!
//! # Source
//! The assumption of piecewise determinism: Strom and Yemini, *Optimistic Recovery in Distributed
//! Systems*, ACM TOCS 3(3), 1985; Elnozahy, Alvisi, Wang and Johnson, *A Survey of
//! Rollback-Recovery Protocols in Message-Passing Systems*, ACM Computing Surveys 34(3), 2002.
//! Actors that always exist: Bernstein, Bykov, Geller, Kliot and Thelin, *Orleans: Distributed
//! Virtual Actors for Programmability and Scalability*, Microsoft Research MSR-TR-2014-41, 2014.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A unit of state that survives crashes. The state is the struct itself.
///
/// An actor is virtual: each key of its kind always exists. Its first message activates it, and it
/// keeps no state in memory while it is passive.
///
/// # The contract
/// An actor is *piecewise deterministic*: between two events, state and effects are a function of
/// the state, the message, and the values from the [`Context`](crate::Context). Take clocks,
/// randomness, input and output from the context only. Keep no `HashMap` in the state: its order
/// differs from run to run.
///
/// # Limits
/// A key has at most 256 bytes. A state has at most 256 MiB in its encoded form, nested at most 64
/// deep; a larger one gets no checkpoint.
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
    /// The name of the kind: 1 to 64 bytes without `/`. Stores keep it, and a store that holds
    /// actors of an unregistered kind does not open.
    const KIND: &'static str;

    /// The version of the state's schema; each checkpoint stores it. Raise it when this code can't
    /// read old states: a store with a state of another version does not open.
    const VERSION: u32 = 1;

    /// The names of the messages that the actor handles. With this list, relive finds an
    /// unregistered handler before the first message: the compiler rejects an unlisted message
    /// where code registers or sends it, and the opening reports a listed message without a
    /// handler. Without the list, the sender learns it
    /// ([`SendError::Unhandled`](crate::SendError::Unhandled) and its like).
    ///
    /// # Examples
    /// A message that is not listed does not compile where code registers or sends it:
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

/// A message to an actor. relive stores it as MessagePack with field names, so you may add fields
/// that have a serde default.
///
/// # Limits
/// An encoded message has at most 1 MiB, nested at most 64 deep. relive refuses values that do not
/// survive their codec (`docs/codec.md`).
///
/// # Examples
/// ```
/// use relive_replay::Message;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Add {
///     count: u64,
///     #[serde(default)]
///     note: String, // added later: logged messages without it still decode
/// }
///
/// impl Message for Add {
///     const NAME: &'static str = "add";
///     type Reply = u64;
/// }
/// ```
pub trait Message: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the message type: 1 to 64 bytes. The log keeps it, and a store whose log still
    /// holds messages to replay of a type that no handler takes does not open.
    const NAME: &'static str;

    /// The answer to an `ask`.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

/// Fails to compile when an actor lists its messages and this one is not among them.
///
/// # Panics
/// At compile time only.
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
