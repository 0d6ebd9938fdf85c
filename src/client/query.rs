//! `query` from outside: a builder that callers await. Hands the query to the actor by value:
//! within one process nothing needs to be encoded that no log keeps.

use std::any::TypeId;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use relive_replay::guard::drop_guarded;
use relive_replay::{Actor, Answer, Process, Query, answering};
use relive_storage::{ActorId, Name};
use tokio::sync::oneshot;
use tokio::task::coop::poll_proceed;

use crate::actor::queries::AnyQuery;
use crate::client::actor_ref::{ActorRef, Target};
use crate::client::waiting::{answer, may_wait_for, waits_for};
use crate::error::{Ended, QueryError, Unavailable};
use crate::timer::within;
use crate::turn::queries::{Asker, ask, lend};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl<A: Actor> ActorRef<A> {
    /// Asks the actor a question that changes nothing. The runtime logs no query: the answer comes
    /// from memory, between two deliveries, and waits for no disk. See [`QueryRequest`] for the
    /// guarantees, errors and cancel safety.
    ///
    /// # Examples
    /// ```
    /// use relive::{Actor, Answer, Context, Handle, Message, Query, Runtime};
    /// use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Counter(u64);
    /// # impl Actor for Counter { const KIND: &'static str = "counter"; fn create(_: &str) -> Self { Counter(0) } }
    /// # #[derive(Serialize, Deserialize)] struct Add(u64);
    /// # impl Message for Add { const NAME: &'static str = "add"; type Reply = u64; }
    /// # impl Handle<Add> for Counter {
    /// #     async fn handle(&mut self, m: Add, _: &mut Context<'_>) -> u64 { self.0 += m.0; self.0 }
    /// # }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Total;
    ///
    /// impl Query for Total {
    ///     const NAME: &'static str = "total";
    ///     type Answer = u64;
    /// }
    ///
    /// impl Answer<Total> for Counter {
    ///     fn answer(&self, _query: Total) -> u64 {
    ///         self.0
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("counters");
    /// let builder = Runtime::builder()
    ///     .actor::<Counter>(|counter| counter.handles::<Add>().answers::<Total>());
    /// let runtime = builder.open(&path).await?;
    /// let visits = runtime.actor::<Counter>("visits")?;
    /// visits.ask(Add(3)).await?;
    /// assert_eq!(visits.query(Total).await?, 3);
    /// # runtime.shutdown().await?;
    /// # Ok(()) }
    /// ```
    pub fn query<Q: Query>(&self, query: Q) -> QueryRequest<'_, A, Q>
    where
        A: Answer<Q>,
    {
        QueryRequest { actor: self, query, timeout: None }
    }
}

/// A query that is not asked yet: await it.
///
/// # What an answer shows
/// - The actor answers between two deliveries, never in the middle of one. While a handler waits,
///   the queries of its actor wait too.
/// - The answer shows only deliveries that are on stable storage and handled. No crash takes back
///   what a query has shown.
/// - Once an `ask` has its reply, later queries show its effect, also after a crash and a
///   reopening. A `tell` is different: its receipt says that the actor will handle the message, not
///   that it has.
///
/// # What a query costs
/// The runtime logs nothing, and takes no checkpoint for it. An actor at rest answers on the thread
/// of the caller, without a switch of tasks. A busy one answers the queries that wait before it
/// handles its next delivery. A query brings a passive actor into memory, and keeps an actor there
/// as a message does.
///
/// # Limits
/// Up to 64 queries wait for an actor that is busy; the callers of more wait for a place. They take
/// no place from messages.
///
/// # Errors
/// [`QueryError`]. The query has changed nothing, whatever the error: ask again when you like.
///
/// - [`QueryError::Unanswered`]: register the answer.
/// - [`QueryError::Panicked`]: the code of the answer panicked. The actor is unharmed.
/// - [`QueryError::Timeout`]: no answer came in the time of [`QueryRequest::timeout`].
/// - [`QueryError::Unavailable`]: the actor or the runtime has failed or ended, or the caller is a
///   handler of the actor. [`Unavailable::kind`] says what to do.
///
/// # Cancel safety
/// Dropping the future changes nothing. A query that waits for a busy actor then gets no answer.
#[must_use = "a query does nothing until it is awaited"]
pub struct QueryRequest<'a, A, Q> {
    actor: &'a ActorRef<A>,
    query: Q,
    timeout: Option<Duration>,
}

impl<'a, A: Answer<Q>, Q: Query> QueryRequest<'a, A, Q> {
    /// Gives up with [`QueryError::Timeout`] when no answer comes in time. An answer whose code
    /// runs already is not interrupted.
    ///
    /// # Examples
    /// ```no_run
    /// # use relive::{Actor, ActorRef, Answer, Query, QueryError};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Counter(u64);
    /// # impl Actor for Counter { const KIND: &'static str = "counter"; fn create(_: &str) -> Self { Counter(0) } }
    /// # #[derive(Serialize, Deserialize)] struct Total;
    /// # impl Query for Total { const NAME: &'static str = "total"; type Answer = u64; }
    /// # impl Answer<Total> for Counter { fn answer(&self, _: Total) -> u64 { self.0 } }
    /// # async fn example(visits: ActorRef<Counter>) {
    /// match visits.query(Total).timeout(std::time::Duration::from_millis(50)).await {
    ///     Ok(total) => println!("{total} visits"),
    ///     Err(QueryError::Timeout) => println!("its handler waits for something"),
    ///     Err(error) => eprintln!("{error}"),
    /// }
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Asks at once when the actor rests, without a box.
    fn ask(self) -> Asking<'a, Q> {
        let Self { actor, query, timeout } = self;
        let Target { core, cell } = &**actor.target();
        if cell.kind.query(Q::NAME) != Some(TypeId::of::<Q>()) {
            return Asking::Done(Err(unanswered::<Q>(&cell.id)));
        }
        let lent = match may_wait_for(cell).and_then(|()| lend(core, cell, Asker::Outside)) {
            Ok(lent) => lent,
            Err(reason) => return Asking::Done(Err(reason.into())),
        };
        match lent {
            Some(lent) => Asking::Done(lent.answer(Q::NAME, |process| answer_from::<A, Q>(process, query))),
            None => Asking::Waiting(Box::pin(async move {
                let waiting = wait(actor, query);
                match timeout {
                    Some(timeout) => within(timeout, waiting).await.unwrap_or(Err(QueryError::Timeout)),
                    None => waiting.await,
                }
            })),
        }
    }
}

enum Asking<'a, Q: Query> {
    Done(Result<Q::Answer, QueryError>),
    Waiting(Boxed<'a, Result<Q::Answer, QueryError>>),
}

impl<'a, A: Answer<Q>, Q: Query> IntoFuture for QueryRequest<'a, A, Q> {
    type Output = Result<Q::Answer, QueryError>;
    type IntoFuture = QueryFuture<'a, A, Q>;

    fn into_future(self) -> Self::IntoFuture {
        QueryFuture::New(self)
    }
}

/// The future of a [`QueryRequest`]. Boxed only when the actor does not rest.
#[doc(hidden)]
pub enum QueryFuture<'a, A, Q: Query> {
    New(QueryRequest<'a, A, Q>),
    Waiting(Boxed<'a, Result<Q::Answer, QueryError>>),
    Done,
}

// Nothing in it is pinned in place: the future that waits is in a box.
impl<A, Q: Query> Unpin for QueryFuture<'_, A, Q> {}

impl<A: Answer<Q>, Q: Query> Future for QueryFuture<'_, A, Q> {
    type Output = Result<Q::Answer, QueryError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Self::New(_) = this {
            // A caller that queries in a loop must let its thread run the actors too.
            ready!(poll_proceed(task)).made_progress();
            let Self::New(request) = std::mem::replace(this, Self::Done) else {
                unreachable!("it was just looked at")
            };
            match request.ask() {
                Asking::Done(done) => return Poll::Ready(done),
                Asking::Waiting(waiting) => *this = Self::Waiting(waiting),
            }
        }
        match this {
            Self::Waiting(waiting) => waiting.as_mut().poll(task),
            _ => unreachable!("a query was polled after it was ready"),
        }
    }
}

/// Waits for a place among those that wait for the actor, then for the answer.
async fn wait<A: Answer<Q>, Q: Query>(actor: &ActorRef<A>, query: Q) -> Result<Q::Answer, QueryError> {
    let Target { core, cell } = &**actor.target();
    let mut query = WaitingCaller { query: Some(query), back: None, actor: PhantomData::<fn(A)> };
    let place = waits_for(core, cell, cell.query_places().acquire_owned()).await?;
    // Nobody closes the places, which end with the actor.
    let place = place.map_err(|_| Unavailable::from(Ended::Stopped))?;
    let (back, answered) = oneshot::channel();
    query.back = Some(back);
    ask(core, cell, Box::new(query), place, Asker::Outside)?;
    answer(core, cell, answered).await
}

/// A query of one type, with the caller that waits for its answer.
struct WaitingCaller<A, Q: Query> {
    /// `None` once it is answered.
    query: Option<Q>,
    back: Option<oneshot::Sender<Result<Q::Answer, QueryError>>>,
    actor: PhantomData<fn(A)>,
}

impl<A: Answer<Q>, Q: Query> AnyQuery for WaitingCaller<A, Q> {
    fn name(&self) -> Name {
        Name::from_static(Q::NAME)
    }

    fn answer(mut self: Box<Self>, process: &Process) {
        // When nobody waits any more, the drop below takes the query.
        let back = self.back.take().filter(|back| !back.is_closed());
        if let Some(back) = back
            && let Some(query) = self.query.take()
            && let Err(unheard) = back.send(answer_from::<A, Q>(process, query))
        {
            drop_guarded("an answer", unheard);
        }
    }

    fn refuse(mut self: Box<Self>, reason: Unavailable) {
        if let Some(back) = self.back.take() {
            let _ = back.send(Err(reason.into()));
        }
    }
}

impl<A, Q: Query> Drop for WaitingCaller<A, Q> {
    fn drop(&mut self) {
        // It is dropped wherever the actor ends, and its own drop is users' code.
        if let Some(query) = self.query.take() {
            drop_guarded("a query", query);
        }
    }
}

fn answer_from<A: Answer<Q>, Q: Query>(process: &Process, query: Q) -> Result<Q::Answer, QueryError> {
    match answering::answer::<A, Q>(process, query) {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(unanswered::<Q>(process.id())),
        Err(panic) => {
            let (actor, query) = (process.id().clone(), Name::from_static(Q::NAME));
            Err(QueryError::Panicked { actor, query, panic })
        }
    }
}

fn unanswered<Q: Query>(actor: &ActorId) -> QueryError {
    QueryError::Unanswered { actor: actor.clone(), query: Name::from_static(Q::NAME) }
}
