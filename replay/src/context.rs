//! What a handler is and may do: ask for effects, draw from the delivery's record, and wait for
//! events. Knows neither a runtime nor a log.
//!
//! # Source
//! [`Context::random`] is `SplitMix64`: Steele, Lea and Flood, *Fast Splittable Pseudorandom Number
//! Generators*, OOPSLA 2014.

use relive_storage::frame::split_mix;
use relive_storage::record::Delivery;
use relive_storage::{ActorId, Rsn, StoreId, Timestamp};

use crate::dependencies::Dependencies;
use crate::peers::Peers;
use crate::timers::Firing;
use crate::waits::Waits;
use crate::{Actor, Message};

/// An actor's handler for one message type.
pub trait Handle<M: Message>: Actor {
    /// Handles one delivery. An actor handles one delivery at a time: while a handler waits, later
    /// deliveries of this actor wait.
    ///
    /// A handler may await only what `cx` offers. Any other await stops the handler with
    /// [`HaltReason::ForeignAwait`](crate::HaltReason::ForeignAwait), since no record could repeat
    /// it. A panic stops it with [`HaltReason::Panicked`](crate::HaltReason::Panicked). In both
    /// cases no further effect of the delivery leaves the actor, and the restart policy decides
    /// what follows. What has left before is what the handler sent up to its last
    /// [ask](crate::Recipient::ask).
    fn handle(&mut self, message: M, cx: &mut Context<'_>) -> impl Future<Output = M::Reply> + Send;
}

/// The interface of a handler to everything outside its state, for one delivery.
///
/// Every value that it returns is the same in a replay: draws come from the delivery's record,
/// outcomes of side effects from records of their own. Everything that a handler passes to it is an
/// effect: data that the runtime releases after the handler is done.
pub struct Context<'t> {
    pub(crate) actor: &'t ActorId,
    pub(crate) store: StoreId,
    pub(crate) delivery: &'t Delivery,
    /// The delivery whose keys side effects use outside: this one, or the one that it retries.
    pub(crate) origin: Rsn,
    pub(crate) peers: Option<&'t Peers>,
    pub(crate) dependencies: Option<&'t Dependencies>,
    pub(crate) waits: &'t Waits<'t>,
    /// The timer whose firing the delivery is.
    pub(crate) firing: Option<&'t Firing>,
    /// Whether to check that values survive their codec: live only.
    pub(crate) checks: Checks,
}

/// Whether a step judges what it is given. A replay does not judge a handled delivery again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    /// Live: values must survive their codec, and a handler must await nothing foreign.
    All,
    /// In a replay.
    None,
}

impl Context<'_> {
    /// The delivery has asked for nothing since its last request.
    pub(crate) fn undo(&self) {
        self.waits.undo();
    }

    /// The actor that handles the delivery.
    #[must_use]
    pub fn actor(&self) -> &ActorId {
        self.actor
    }

    /// The position of the delivery in the actor's life, from 1 without gaps.
    #[must_use]
    pub fn rsn(&self) -> Rsn {
        self.delivery.rsn
    }

    /// The wall clock at the moment when the last thing that the handler learned was committed: its
    /// delivery, and then each outcome, reply or sleep that it has awaited. The same in a replay.
    /// The runtime reads it once a commit, so the deliveries of one commit share it. It may go back
    /// when the machine's clock does. In the firing of a timer it is never before the timer's due
    /// time.
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
    ///         let due = cx.now().plus(std::time::Duration::from_secs(14 * 86_400));
    ///         self.seen.push(due.as_micros() + cents); // the same on replay
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.waits.now()
    }

    /// 64 random bits, different on each call and the same in a replay (`SplitMix64` from the seed
    /// of the delivery). The log stores the seed, so don't use them for secrets.
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
    ///         if cx.random() % 100 < 5 {
    ///             self.seen.push(cents); // a sample of five percent, the same on replay
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn random(&self) -> u64 {
        split_mix(self.delivery.seed, self.waits.random())
    }

    /// The key of the *next* side effect of this delivery, for a service outside:
    /// `store/actor/rsn/index`. It is the same on every try, also after a quarantine. No other side
    /// effect of any store has it, except in a copy of this store's directory.
    ///
    /// A later delivery that does the same thing again has another key. When the outcome of a
    /// charge is unknown and a timer has it tried again, keep the key of the first try in the
    /// state: for the service, another key is another charge.
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
    ///         let key = cx.idempotency_key(); // or take `keyed_side_effect`, which does this
    ///         self.paid = cx.side_effect("charge", || async move { !key.is_empty() && cents > 0 }).await;
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        let index = self.waits.next_event();
        format!("{}/{}/{}/{index}", self.store, self.actor, self.origin.get())
    }
}
