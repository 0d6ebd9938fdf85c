//! Side effects: what a handler does outside, at least once, with an outcome that the log keeps.
//! Knows the futures of users' code, no log.
//!
//! # Source
//! The wait of a side effect for stable storage is output commit: Elnozahy, Alvisi, Wang and
//! Johnson, *A Survey of Rollback-Recovery Protocols in Message-Passing Systems*, ACM Computing
//! Surveys 34(3), 2002.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as Task, Poll};

use bytes::Bytes;
use relive_storage::limits::PAYLOAD_BYTES_MAX;
use relive_storage::{Name, check_name};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::HaltReason;
use crate::context::Context;
use crate::halt::does_not_survive;
use crate::payload::{CodecError, decode, encode_verified};
use crate::waits::Waits;

impl<'t> Context<'t> {
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
    /// After the first poll, await the future to its end, or pass it to [`Context::race`] or
    /// [`Context::timeout`]: these may drop it, and a replay drops it in the same way. When a
    /// handler drops it otherwise (a timeout or a race of another library around it), relive stops
    /// the handler at once with [`HaltReason::GivenUp`] and releases nothing more of the delivery.
    /// A side effect that lost a race may or may not have happened.
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
    pub fn side_effect<T, F, Fut>(&self, name: &'static str, perform: F) -> SideEffect<'t, T, F, Fut>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
        T: Serialize + DeserializeOwned,
    {
        SideEffect { waits: self.waits, name, stage: Stage::New(perform), outcome: PhantomData }
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
    pub async fn keyed_side_effect<T, F, Fut>(&self, name: &'static str, perform: F) -> T
    where
        F: FnOnce(String) -> Fut,
        Fut: Future<Output = T>,
        T: Serialize + DeserializeOwned,
    {
        // At the first poll, as the side effect's own index.
        let key = self.idempotency_key();
        self.side_effect(name, || perform(key)).await
    }
}

/// A side effect of a handler; [`Context::side_effect`] makes it.
#[must_use = "a side effect happens when it is awaited"]
pub struct SideEffect<'t, T, F, Fut> {
    waits: &'t Waits<'t>,
    name: &'static str,
    stage: Stage<F, Fut>,
    outcome: PhantomData<fn() -> T>,
}

enum Stage<F, Fut> {
    /// Nothing has begun.
    New(F),
    /// It has an index; what it does has not begun. It never does when the outcome is on record.
    Begun(u32, F),
    /// Users' code is under way.
    Running(u32, Pin<Box<Fut>>),
    /// Its outcome is on the way to stable storage.
    Ended(u32),
    /// The handler has the outcome, or must never continue.
    Over,
}

// What is pinned is in a box of its own.
impl<T, F, Fut> Unpin for SideEffect<'_, T, F, Fut> {}

impl<T, F, Fut> Future for SideEffect<'_, T, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = T>,
    T: Serialize + DeserializeOwned,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<T> {
        let this = &mut *self;
        if let Stage::New(_) = this.stage {
            this.begin();
        }
        let (Stage::Begun(index, _) | Stage::Running(index, _) | Stage::Ended(index)) = this.stage else {
            // The step sees why in the same poll, and drops the handler.
            return Poll::Pending;
        };
        if let Some(came) = this.waits.take(index) {
            this.stage = Stage::Over;
            // What the bytes say, not the value that was there: a replay has only the bytes.
            return match decode(&came) {
                Ok(value) => Poll::Ready(value),
                Err(error) => {
                    this.waits.halt(codec(this.name, &error));
                    Poll::Pending
                }
            };
        }
        this.go_on(index);
        Poll::Pending
    }
}

impl<T, F, Fut> SideEffect<'_, T, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = T>,
    T: Serialize + DeserializeOwned,
{
    fn begin(&mut self) {
        let Stage::New(perform) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        // Here and not in a type: the name is the user's, and one that is wrong must stop the
        // handler in each run.
        if let Err(error) = check_name("side effect", self.name) {
            self.waits.halt(codec(self.name, &CodecError(error.to_string())));
        } else if let Some(index) = self.waits.begin_side_effect(Name::from_static(self.name)) {
            self.stage = Stage::Begun(index, perform);
        }
    }

    /// Does what it does outside, when that happens now and is not on record.
    fn go_on(&mut self, index: u32) {
        let Some(waker) = self.waits.waker(index) else { return };
        if let Stage::Begun(_, _) = self.stage {
            let Stage::Begun(_, perform) = std::mem::replace(&mut self.stage, Stage::Ended(index)) else {
                return;
            };
            self.stage = Stage::Running(index, Box::pin(perform()));
        }
        let Stage::Running(_, running) = &mut self.stage else { return };
        let Poll::Ready(value) = running.as_mut().poll(&mut Task::from_waker(&waker)) else { return };
        // Decodes the encoded outcome before it is logged, so that the log holds nothing
        // unreadable.
        let outcome = survives(self.name, &value);
        drop(value);
        self.stage = Stage::Ended(index);
        self.waits.ended(index, outcome);
    }
}

impl<T, F, Fut> Drop for SideEffect<'_, T, F, Fut> {
    fn drop(&mut self) {
        if let Stage::Begun(index, _) | Stage::Running(index, _) | Stage::Ended(index) = self.stage {
            self.waits.dropped(index);
        }
    }
}

/// Encodes an outcome and checks that it survives its codec, and is within its limit.
fn survives<T: Serialize + DeserializeOwned>(name: &str, value: &T) -> Result<Bytes, HaltReason> {
    let outcome = encode_verified(value, Bytes::copy_from_slice).map_err(|error| codec(name, &error))?;
    if outcome.len() > PAYLOAD_BYTES_MAX {
        let (found, limit) = (outcome.len(), PAYLOAD_BYTES_MAX);
        return Err(HaltReason::TooLarge { what: format!("the outcome of {name:?}"), found, limit });
    }
    Ok(outcome)
}

fn codec(name: &str, error: &CodecError) -> HaltReason {
    does_not_survive(format!("the outcome of {name:?}"), error)
}
