//! Sleeps, and several waits at once: joins, races, limits in time. All of them take the same way
//! in a replay, since a handler learns one event at a time, in the order of the log.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context as Task, Poll};
use std::time::Duration;

use relive_storage::Timestamp;

use crate::context::Context;
use crate::waiting::{Begin, Waiting};
use crate::waits::Waits;

/// Which of two waits came to its end first, with what came of it. [`Context::race`] returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Either<A, B> {
    /// The first one.
    First(A),
    /// The second one.
    Second(B),
}

/// The time of a [`Context::timeout`] was up before the wait came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error(
    "the time was up before it came to its end; what was begun may still happen, and nobody waits for it"
)]
pub struct Elapsed;

impl<'t> Context<'t> {
    /// Waits for a time to pass. The log records that it is over, so after a crash the handler
    /// waits only for the rest, and after that never again.
    ///
    /// The time counts from [`Context::now`], by the wall clock: a clock that jumps ahead ends the
    /// sleep, one that goes back makes it longer. The next opening ends what was due meanwhile.
    ///
    /// The actor handles nothing else while it sleeps. To be told later, and to handle other
    /// messages until then, set a timer instead.
    ///
    /// # Cancel safety
    /// As [`Context::side_effect`]: race it only with [`Context::race`] and its like.
    ///
    /// # Examples
    /// ```
    /// # use relive_replay::{Actor, Context, Handle, Message};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Door(bool);
    /// # impl Actor for Door { const KIND: &'static str = "door"; fn create(_: &str) -> Self { Door(false) } }
    /// # #[derive(Serialize, Deserialize)] struct Open;
    /// # impl Message for Open { const NAME: &'static str = "open"; type Reply = (); }
    /// impl Handle<Open> for Door {
    ///     async fn handle(&mut self, _: Open, cx: &mut Context<'_>) {
    ///         self.0 = true;
    ///         cx.sleep(std::time::Duration::from_secs(5)).await;
    ///         self.0 = false; // also when the process was down for a week meanwhile
    ///     }
    /// }
    /// ```
    pub fn sleep(&self, time: Duration) -> Sleep<'t> {
        Sleep(Waiting::new(self.waits, Until::After(time)))
    }

    /// As [`Context::sleep`], until a moment of the wall clock.
    ///
    /// # Cancel safety
    /// As [`Context::sleep`].
    pub fn sleep_until(&self, moment: Timestamp) -> Sleep<'t> {
        Sleep(Waiting::new(self.waits, Until::Moment(moment)))
    }

    /// Waits for both. They begin in this order and then go on at the same time.
    ///
    /// # Cancel safety
    /// As [`Context::side_effect`].
    ///
    /// # Examples
    /// ```
    /// # use relive_replay::{Actor, Context, Handle, Message};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Trip(u64);
    /// # impl Actor for Trip { const KIND: &'static str = "trip"; fn create(_: &str) -> Self { Trip(0) } }
    /// # #[derive(Serialize, Deserialize)] struct Book;
    /// # impl Message for Book { const NAME: &'static str = "book"; type Reply = (); }
    /// impl Handle<Book> for Trip {
    ///     async fn handle(&mut self, _: Book, cx: &mut Context<'_>) {
    ///         let flight = cx.side_effect("flight", || async { 100_u64 });
    ///         let hotel = cx.side_effect("hotel", || async { 80_u64 });
    ///         let (flight, hotel) = cx.join(flight, hotel).await;
    ///         self.0 = flight + hotel;
    ///     }
    /// }
    /// ```
    pub async fn join<A: Future, B: Future>(&self, a: A, b: B) -> (A::Output, B::Output) {
        let (mut a, mut b) = (pin!(Part::Open(Box::pin(a))), pin!(Part::Open(Box::pin(b))));
        poll_fn(|task| {
            // Both, also when the first has not ended: each begins at its first poll.
            let (first, second) = (a.as_mut().get_mut().go_on(task), b.as_mut().get_mut().go_on(task));
            if first && second { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        (a.get_mut().done(), b.get_mut().done())
    }

    /// Waits for all of them, and returns what came of each, in their order.
    ///
    /// # Cancel safety
    /// As [`Context::side_effect`].
    pub async fn join_all<F: Future>(&self, all: impl IntoIterator<Item = F>) -> Vec<F::Output> {
        let mut parts: Vec<_> = all.into_iter().map(|future| Part::Open(Box::pin(future))).collect();
        poll_fn(|task| {
            // No short cut: each begins at its first poll.
            let open = parts.iter_mut().filter_map(|part| (!part.go_on(task)).then_some(())).count();
            if open == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        parts.iter_mut().map(Part::done).collect()
    }

    /// Waits for the one that comes to its end first, and drops the other. The log records which
    /// came first, so a replay takes the same way.
    ///
    /// What lost was begun: a message that it asked arrives all the same, and a side effect may or
    /// may not happen. Nobody learns what came of it.
    ///
    /// # Cancel safety
    /// As [`Context::side_effect`].
    ///
    /// # Examples
    /// ```
    /// # use relive_replay::{Actor, Context, Either, Handle, Message};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Order { paid: bool }
    /// # impl Actor for Order { const KIND: &'static str = "order"; fn create(_: &str) -> Self { Order { paid: false } } }
    /// # #[derive(Serialize, Deserialize)] struct Pay;
    /// # impl Message for Pay { const NAME: &'static str = "pay"; type Reply = (); }
    /// impl Handle<Pay> for Order {
    ///     async fn handle(&mut self, _: Pay, cx: &mut Context<'_>) {
    ///         let one = cx.side_effect("one bank", || async { true });
    ///         let other = cx.side_effect("other bank", || async { true });
    ///         self.paid = match cx.race(one, other).await {
    ///             Either::First(paid) | Either::Second(paid) => paid,
    ///         };
    ///     }
    /// }
    /// ```
    pub async fn race<A: Future, B: Future>(&self, a: A, b: B) -> Either<A::Output, B::Output> {
        let (mut a, mut b) = (Box::pin(a), Box::pin(b));
        let won = poll_fn(|task| {
            if let Poll::Ready(won) = a.as_mut().poll(task) {
                return Poll::Ready(Either::First(won));
            }
            b.as_mut().poll(task).map(Either::Second)
        })
        .await;
        self.waits.discard(|| drop((a, b)));
        won
    }

    /// Waits for the one of many that comes to its end first, and drops the others. Returns its
    /// place among them and what came of it; `None` when there are none. As [`Context::race`].
    ///
    /// # Cancel safety
    /// As [`Context::side_effect`].
    pub async fn race_all<F: Future>(&self, all: impl IntoIterator<Item = F>) -> Option<(usize, F::Output)> {
        let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
        if all.is_empty() {
            return None;
        }
        let won = poll_fn(|task| {
            for (at, future) in all.iter_mut().enumerate() {
                if let Poll::Ready(won) = future.as_mut().poll(task) {
                    return Poll::Ready((at, won));
                }
            }
            Poll::Pending
        })
        .await;
        self.waits.discard(|| drop(all));
        Some(won)
    }

    /// Waits for `wait`, but at most for `time`. The log records which came first.
    ///
    /// # Errors
    /// [`Elapsed`]: the time was up. What was begun is as in [`Context::race`].
    ///
    /// # Cancel safety
    /// As [`Context::side_effect`].
    ///
    /// # Examples
    /// ```
    /// # use relive_replay::{Actor, Context, Handle, Message};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Order { paid: bool }
    /// # impl Actor for Order { const KIND: &'static str = "order"; fn create(_: &str) -> Self { Order { paid: false } } }
    /// # #[derive(Serialize, Deserialize)] struct Pay;
    /// # impl Message for Pay { const NAME: &'static str = "pay"; type Reply = (); }
    /// impl Handle<Pay> for Order {
    ///     async fn handle(&mut self, _: Pay, cx: &mut Context<'_>) {
    ///         let charge = cx.side_effect("charge", || async { true });
    ///         self.paid = cx.timeout(std::time::Duration::from_secs(30), charge).await.unwrap_or(false);
    ///     }
    /// }
    /// ```
    pub async fn timeout<F: Future>(&self, time: Duration, wait: F) -> Result<F::Output, Elapsed> {
        match self.race(wait, self.sleep(time)).await {
            Either::First(outcome) => Ok(outcome),
            Either::Second(()) => Err(Elapsed),
        }
    }

    /// Waits for `wait`, with a limit as [`Context::timeout`]. An error is the limit in
    /// milliseconds.
    pub(crate) async fn within<F: Future>(&self, limit: Option<Duration>, wait: F) -> Result<F::Output, u64> {
        let Some(time) = limit else { return Ok(wait.await) };
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.timeout(time, wait).await.map_err(|Elapsed| millis)
    }
}

/// A handler that waits for time to pass; [`Context::sleep`] makes it.
#[must_use = "a sleep begins when it is awaited"]
pub struct Sleep<'t>(Waiting<'t, Until>);

#[derive(Clone, Copy)]
enum Until {
    After(Duration),
    Moment(Timestamp),
}

impl Begin for Until {
    fn begin(self, waits: &Waits<'_>) -> Option<u32> {
        waits.begin_sleep(|now| match self {
            Self::After(time) => now.plus(time),
            Self::Moment(moment) => moment,
        })
    }
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(task).map(drop)
    }
}

/// One part of a join.
enum Part<F: Future> {
    Open(Pin<Box<F>>),
    Done(Option<F::Output>),
}

// The future is pinned in a box of its own.
impl<F: Future> Unpin for Part<F> {}

impl<F: Future> Part<F> {
    /// Whether it has come to its end.
    fn go_on(&mut self, task: &mut Task<'_>) -> bool {
        if let Self::Open(future) = self
            && let Poll::Ready(done) = future.as_mut().poll(task)
        {
            *self = Self::Done(Some(done));
        }
        matches!(self, Self::Done(_))
    }

    fn done(&mut self) -> F::Output {
        match self {
            Self::Done(done) => done.take().expect("a join returns each outcome once"),
            Self::Open(_) => unreachable!("a join ends when each part has"),
        }
    }
}
