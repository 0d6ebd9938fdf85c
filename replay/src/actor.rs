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
