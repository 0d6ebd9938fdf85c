//! What a handler is and may do: ask for effects, draw from the delivery's record, and wait for
//! side effects. Knows neither a runtime nor a log; [`Determinants`] hides where outcomes come
//! from.
//!
//! # Source
//! [`Context::random`] is `SplitMix64`: Steele, Lea and Flood, *Fast Splittable Pseudorandom Number
//! Generators*, OOPSLA 2014. The wait of a side effect for stable storage is output commit:
//! Elnozahy, Alvisi, Wang and Johnson, *A Survey of Rollback-Recovery Protocols in Message-Passing
//! Systems*, ACM Computing Surveys 34(3), 2002.

use std::convert::Infallible;
use std::future::pending;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use relive_storage::frame::split_mix;
use relive_storage::limits::PAYLOAD_BYTES_MAX;
use relive_storage::record::{Delivery, Event};
use relive_storage::{ActorId, Name, Rsn, StoreId, Timestamp, check_name};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::channels::Channels;
use crate::determinants::NoOutcome;
use crate::effects::Draw;
use crate::halt::Interruption;
use crate::payload::{CodecError, decode, encode_verified};
use crate::peers::Peers;
use crate::{Actor, Determinants, Effects, HaltReason, Message, Recorded};

/// An actor's handler for one message type.
pub trait Handle<M: Message>: Actor {
    /// Handles one delivery. An actor handles one delivery at a time: while a handler waits, later
    /// deliveries of this actor wait.
    ///
    /// A handler may await only what `cx` offers. Any other await stops the handler with
    /// [`HaltReason::ForeignAwait`], since no record could repeat it. A panic stops it with
    /// [`HaltReason::Panicked`]. In both cases no effect of the delivery leaves the actor, and the
    /// restart policy decides what follows.
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
    pub(crate) channels: &'t mut Channels,
    pub(crate) effects: &'t mut Effects,
    pub(crate) determinants: &'t mut (dyn Determinants + 't),
    pub(crate) signal: &'t Signal,
    pub(crate) randoms: u64,
    pub(crate) draws: u32,
    pub(crate) events: u32,
}

impl Context<'_> {
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

    /// The wall clock at the moment of the delivery's commit; the same on every call and in a
    /// replay. The runtime reads it once a commit, so the deliveries of one commit share it. It may
    /// go back when the machine's clock does.
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
    pub fn now(&mut self) -> Timestamp {
        self.draw(Draw::Now);
        self.delivery.clock
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
    pub fn random(&mut self) -> u64 {
        self.draw(Draw::Random);
        self.randoms += 1;
        split_mix(self.delivery.seed, self.randoms)
    }

    /// The key of the *next* side effect of this delivery, for a service outside:
    /// `store/actor/rsn/index`. It is the same on every try, also after a quarantine. No other side
    /// effect of any store has it, except in a copy of this store's directory.
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
    pub fn idempotency_key(&mut self) -> String {
        self.draw(Draw::IdempotencyKey);
        format!("{}/{}/{}/{}", self.store, self.actor, self.origin.get(), self.events)
    }

    /// Calls `perform`, which may do anything outside, and returns its outcome. A replay returns
    /// the recorded outcome and does not call `perform`. The handler continues only when the
    /// outcome is on stable storage.
    ///
    /// `perform` runs at least once: a crash between its end and the log makes it run again. Use
    /// [`Context::keyed_side_effect`] for an effect that must not happen twice.
    ///
    /// # Errors
    /// There is no error to handle. When the log can't take the outcome (over 1 MiB, or a value
    /// that does not survive MessagePack), the handler does not continue: it stops with a
    /// [`Halt`](crate::Halt), and callers get that reason. A panic in `perform` is a panic of the
    /// handler.
    ///
    /// # Limits
    /// The name has 1 to 64 bytes, the encoded outcome at most 1 MiB.
    ///
    /// # Cancel safety
    /// After the first poll, await the future to its end. When a handler drops it earlier (a
    /// timeout or a race around it), relive stops the handler at once with
    /// [`HaltReason::GivenUp`] and releases nothing of the delivery. Put a time limit inside
    /// `perform`, so that the log records its outcome.
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
    ///         let rate = cx.side_effect("rate", || async { 107_u64 }).await; // asks a service, once
    ///         self.seen.push(cents * rate);
    ///     }
    /// }
    /// ```
    pub async fn side_effect<T, F, Fut>(&mut self, name: &'static str, perform: F) -> T
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
        T: Serialize + DeserializeOwned,
    {
        if self.signal.get() != Signal::RUNNING {
            // The handler has stopped, or has leaked a side effect that it began: it must not do
            // anything more outside.
            self.give_up(name);
            match pending::<Infallible>().await {}
        }
        let index = self.events;
        self.events += 1;
        // Live and in a replay, whether the outcome is on record or not: both have one digest.
        self.effects.side_effect(index, name);
        match self.outcome(index, name, perform).await {
            Ok(outcome) => outcome,
            Err(interruption) => match self.halt(interruption).await {},
        }
    }

    /// As [`Context::side_effect`], and passes the [`Context::idempotency_key`] to `perform`: the
    /// same on every try. A service that knows such keys then applies the effect once.
    ///
    /// # Cancel safety
    /// As [`Context::side_effect`].
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
    ///         let charge = |key: String| async move { !key.is_empty() && cents > 0 }; // a request with the key
    ///         self.paid = cx.keyed_side_effect("charge", charge).await;
    ///     }
    /// }
    /// ```
    pub async fn keyed_side_effect<T, F, Fut>(&mut self, name: &'static str, perform: F) -> T
    where
        F: FnOnce(String) -> Fut,
        Fut: Future<Output = T>,
        T: Serialize + DeserializeOwned,
    {
        let key = self.idempotency_key();
        self.side_effect(name, || perform(key)).await
    }

    /// The outcome: from the record, or from `perform` and the wait for stable storage. Live
    /// decodes the encoded outcome before it logs it, so that the log holds nothing unreadable, and
    /// the handler sees nothing live that a replay would not show it.
    async fn outcome<T, F, Fut>(
        &mut self,
        index: u32,
        name: &'static str,
        perform: F,
    ) -> Result<T, Interruption>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
        T: Serialize + DeserializeOwned,
    {
        // Here and not in a type: the name is the user's, and one that is wrong must stop the
        // handler in each run.
        if let Err(error) = check_name("side effect", name) {
            return Err(codec(name, &CodecError(error.to_string())).into());
        }
        let rsn = self.delivery.rsn;
        // Live looks too: a crash may have come after the event and before the delivery was done.
        match self.determinants.recorded(rsn, index, name)? {
            Recorded::Outcome(outcome) => return Ok(decode(&outcome).map_err(|error| codec(name, &error))?),
            Recorded::Nothing => {}
            Recorded::End => return Err(Interruption::NoOutcome),
        }
        let begun = Begun::new(self.signal, &self.delivery.message, name)?;
        let value = perform().await;
        // The value need not be `Send`, so it is dropped before the next await.
        let survived = survives(name, &value);
        drop(value);
        let stored = match survived {
            Ok(outcome) => self.log(index, name, outcome).await,
            Err(reason) => Err(reason.into()),
        };
        begun.end();
        // What the bytes say, not the value that was there: a replay has only the bytes.
        Ok(decode(&stored?).map_err(|error| codec(name, &error))?)
    }

    /// Logs an outcome, and returns it when it is on stable storage.
    async fn log(&mut self, index: u32, name: &'static str, outcome: Bytes) -> Result<Bytes, Interruption> {
        let rsn = self.delivery.rsn;
        if outcome.len() > PAYLOAD_BYTES_MAX {
            let (found, limit) = (outcome.len(), PAYLOAD_BYTES_MAX);
            let what = format!("the outcome of {name:?}");
            return Err(HaltReason::TooLarge { what, found, limit }.into());
        }
        let event = Event { rsn, index, name: Name::from_static(name), outcome: outcome.clone() };
        self.determinants.make_durable(event).await.map_err(|NoOutcome| Interruption::NoOutcome)?;
        Ok(outcome)
    }

    fn give_up(&self, name: &str) {
        self.signal.halt(given_up(&self.delivery.message, name));
    }

    /// Stops the handler: hands the reason to the step and never resumes.
    async fn halt(&mut self, interruption: Interruption) -> Infallible {
        self.signal.halt(interruption);
        // A value would have to be made up, and the handler could go on with it. The step sees the
        // signal in the same poll, and drops the handler.
        pending().await
    }

    fn draw(&mut self, draw: Draw) {
        self.effects.draw(draw, self.draws);
        self.draws += 1;
    }
}

/// Encodes an outcome and checks that it survives its codec.
fn survives<T: Serialize + DeserializeOwned>(name: &str, value: &T) -> Result<Bytes, HaltReason> {
    encode_verified(value, Bytes::copy_from_slice).map_err(|error| codec(name, &error))
}

fn codec(name: &str, error: &CodecError) -> HaltReason {
    does_not_survive(format!("the outcome of {name:?}"), error)
}

pub(crate) fn does_not_survive(what: String, error: &CodecError) -> HaltReason {
    HaltReason::Codec { what, reason: error.to_string() }
}

/// A side effect under way. Dropping it before its end stops the handler.
struct Begun<'s> {
    signal: &'s Signal,
    message: &'s Name,
    name: &'static str,
}

impl<'s> Begun<'s> {
    /// Refuses a handler that has leaked what it began last, or goes on beside a side effect that
    /// has halted it, as in a `select!`. For the latter the first reason counts.
    fn new(signal: &'s Signal, message: &'s Name, name: &'static str) -> Result<Self, HaltReason> {
        if signal.get() != Signal::RUNNING {
            return Err(given_up(message, BEGUN_LAST));
        }
        signal.set(Signal::WAITING);
        Ok(Self { signal, message, name })
    }

    fn end(self) {
        self.signal.set(Signal::RUNNING);
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if self.signal.get() == Signal::WAITING {
            self.signal.halt(given_up(self.message, self.name));
        }
    }
}

/// The name of a side effect that is told only by the state that it left behind.
pub(crate) const BEGUN_LAST: &str = "that was begun last";

pub(crate) fn given_up(message: &Name, name: &str) -> HaltReason {
    HaltReason::GivenUp { message: message.to_string(), name: name.to_owned() }
}

/// Tells the step what a handler waits for. Step and handler run on one thread at a time, so
/// relaxed atomics are enough. They are atomics because the handler's future holds a reference and
/// must be `Send`.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: AtomicU8,
    interruption: OnceLock<Interruption>,
}

impl Signal {
    /// The handler runs, and has nothing to wait for.
    pub(crate) const RUNNING: u8 = 0;
    /// The handler waits for an event that the log will record.
    pub(crate) const WAITING: u8 = 1;
    /// The handler must never continue.
    pub(crate) const HALTED: u8 = 2;

    fn set(&self, value: u8) {
        let is_permitted = matches!(
            (self.get(), value),
            (Self::RUNNING, Self::WAITING) | (Self::WAITING, Self::RUNNING) | (_, Self::HALTED)
        );
        assert!(is_permitted, "a handler waits for one thing at a time, and goes on never after a halt");
        self.state.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u8 {
        self.state.load(Ordering::Relaxed)
    }

    /// Stops the handler for good. The first reason counts.
    pub(crate) fn halt(&self, interruption: impl Into<Interruption>) {
        // Before the state: who sees that the handler has halted finds the reason.
        self.interruption.get_or_init(|| interruption.into());
        self.set(Self::HALTED);
    }

    /// Why the handler has stopped, if it has.
    pub(crate) fn halted(self) -> Option<Interruption> {
        self.interruption.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why a handler has halted.
    fn reason(signal: Signal) -> HaltReason {
        match signal.halted() {
            Some(Interruption::Halted(reason)) => reason,
            other => panic!("it has not halted: {other:?}"),
        }
    }

    fn foreign() -> HaltReason {
        HaltReason::ForeignAwait { message: "pay".to_owned() }
    }

    /// What stopped a handler is what happened first, not what followed from that.
    #[test]
    fn the_first_reason_of_a_halt_counts() {
        let signal = Signal::default();
        signal.halt(foreign());
        signal.halt(given_up(&"pay".into(), "charge"));
        assert_eq!(signal.get(), Signal::HALTED);
        assert_eq!(reason(signal), foreign());
    }

    /// A handler that gives a side effect up is stopped at once; one that comes to its end is not.
    #[test]
    fn a_side_effect_that_is_dropped_halts() {
        let (signal, message) = (Signal::default(), Name::from("pay"));
        Begun::new(&signal, &message, "charge").unwrap().end();
        assert_eq!(signal.get(), Signal::RUNNING);
        drop(Begun::new(&signal, &message, "charge").unwrap());
        assert_eq!(signal.get(), Signal::HALTED);
        assert_eq!(reason(signal), given_up(&message, "charge"));
    }

    /// A handler that goes on beside what halted it begins nothing, and the first reason counts.
    #[test]
    fn a_handler_that_halted_begins_nothing() {
        let (signal, message) = (Signal::default(), Name::from("pay"));
        signal.halt(foreign());
        signal.halt(Begun::new(&signal, &message, "charge").err().expect("it is refused"));
        assert_eq!(reason(signal), foreign());
    }

    /// A handler that leaks what it began, and goes on, has given it up.
    #[test]
    fn a_handler_waits_for_one_thing() {
        let (signal, message) = (Signal::default(), Name::from("pay"));
        std::mem::forget(Begun::new(&signal, &message, "first"));
        let refused = Begun::new(&signal, &message, "second").err();
        assert_eq!(refused, Some(given_up(&message, BEGUN_LAST)));
    }
}
