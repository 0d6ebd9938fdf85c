//! `tell` and `ask` from outside: builders that callers await. Encodes the message, waits for a
//! place in the mailbox, then for the receipt or the reply.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use relive_replay::actor::assert_listed;
use relive_replay::payload::{decode, encode_checked};
use relive_replay::{Actor, Discipline, Handle, Message, MessageError};
use relive_storage::limits::PAYLOAD_BYTES_MAX;
use relive_storage::record::Sender;
use relive_storage::{Name, check_idempotency_key};
use tokio::sync::oneshot;
use tokio::task::coop::poll_proceed;

use crate::actor::cell::ActorCell;
use crate::actor::envelope::{Answer, Waiter, places_of};
use crate::actor::mailbox::Mail;
use crate::client::actor_ref::{ActorRef, Target};
use crate::client::waiting::{answer, may_wait_for, waits_for};
use crate::error::{AskError, NoAnswer, Refused, TellError, Unavailable};
use crate::shared::Core;
use crate::timer::within;
use crate::turn::dispatch::post;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl<A: Actor> ActorRef<A> {
    /// Sends a message without waiting for a reply. `.await` waits until the actor's bounded
    /// mailbox has *accepted* the message, and returns a [`Receipt`] that resolves when the message
    /// is on stable storage. See [`Tell`] for errors and cancel safety.
    ///
    /// # Limits
    /// A payload may have 1 MiB. A mailbox holds 2,048 messages or about 8 MiB from outside; then
    /// senders wait, as they do while the log is over its budget.
    ///
    /// # Examples
    /// ```no_run
    /// # use relive::{Actor, Context, Handle, Message, Runtime};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Counter(u64);
    /// # impl Actor for Counter { const KIND: &'static str = "counter"; fn create(_: &str) -> Self { Counter(0) } }
    /// # #[derive(Serialize, Deserialize)] struct Add(u64);
    /// # impl Message for Add { const NAME: &'static str = "add"; type Reply = u64; }
    /// # impl Handle<Add> for Counter {
    /// #     async fn handle(&mut self, m: Add, _: &mut Context<'_>) -> u64 { self.0 += m.0; self.0 }
    /// # }
    /// # async fn example(runtime: Runtime) -> Result<(), Box<dyn std::error::Error>> {
    /// let visits = runtime.actor::<Counter>("visits")?;
    /// let receipt = visits.tell(Add(1)).await?; // accepted
    /// receipt.durable().await?; // on stable storage: the actor will handle it, whatever crashes
    /// # Ok(()) }
    /// ```
    pub fn tell<M: Message>(&self, message: M) -> Tell<'_, A, M>
    where
        A: Handle<M>,
    {
        Tell::new(self, message)
    }

    /// Sends a message and waits for the reply. A reply means that the delivery is on stable
    /// storage and handled. See [`Ask`] for errors and cancel safety, and [`ActorRef::tell`] for
    /// limits.
    ///
    /// # Examples
    /// ```no_run
    /// # use relive::{Actor, Context, Handle, Message, Runtime};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Counter(u64);
    /// # impl Actor for Counter { const KIND: &'static str = "counter"; fn create(_: &str) -> Self { Counter(0) } }
    /// # #[derive(Serialize, Deserialize)] struct Add(u64);
    /// # impl Message for Add { const NAME: &'static str = "add"; type Reply = u64; }
    /// # impl Handle<Add> for Counter {
    /// #     async fn handle(&mut self, m: Add, _: &mut Context<'_>) -> u64 { self.0 += m.0; self.0 }
    /// # }
    /// # async fn example(runtime: Runtime) -> Result<(), Box<dyn std::error::Error>> {
    /// let visits = runtime.actor::<Counter>("visits")?;
    /// let total = visits.ask(Add(1)).timeout(std::time::Duration::from_secs(5)).await?;
    /// println!("{total} visits");
    /// # Ok(()) }
    /// ```
    pub fn ask<M: Message>(&self, message: M) -> Ask<'_, A, M>
    where
        A: Handle<M>,
    {
        Ask::new(self, message)
    }
}

/// A `tell` that is not sent yet: await it.
///
/// # Errors
/// [`TellError`] gives the message back: the mailbox has not accepted it, and the actor will never
/// see it.
///
/// - [`Refused::Message`]: the message does not survive its codec, or is too large. Change its
///   type, or send it in parts.
/// - [`Refused::Unhandled`]: register a handler for the message.
/// - [`Refused::Timeout`]: the mailbox had no place in the time of [`Tell::timeout`]. Send the
///   message again.
/// - [`Refused::Unavailable`]: the actor or the runtime has failed or ended, or the caller is a
///   handler of the actor and the mailbox is full. [`Unavailable::kind`] says what to do.
///
/// # Cancel safety
/// When you drop the future before it is ready, the mailbox has not accepted the message. Once it
/// is ready, the runtime logs the message and the actor handles it, unless the process ends before
/// the [`Receipt`] resolves.
#[must_use = "a tell does nothing until it is awaited"]
pub struct Tell<'a, A, M> {
    actor: &'a ActorRef<A>,
    message: M,
    timeout: Option<Duration>,
}

impl<'a, A: Actor, M: Message> Tell<'a, A, M> {
    fn new(actor: &'a ActorRef<A>, message: M) -> Self {
        Self { actor, message, timeout: None }
    }

    /// Gives up with [`Refused::Timeout`] when the mailbox does not accept the message in time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends at once when the mailbox has a place, without a boxed future.
    fn send(self) -> Sending<'a, M> {
        let Self { actor, message, timeout } = self;
        let Target { core, cell } = &**actor.target();
        let attempt = core.lifecycle.intake().map_err(Refused::from).and_then(|()| {
            encoded(actor, &message, |name, payload| {
                // Fails while a task waits for a place too, so this sender does not overtake it.
                let taken = cell.places.try_take(places_of(payload));
                let Some(taken) = taken.filter(|_| !core.services.log_budget.backpressure().is_held_back())
                else {
                    return Attempt::Full(name, Bytes::copy_from_slice(payload));
                };
                let (sender, waiter) = (Sender::Outside, Waiter::Nobody);
                let mail = Mail { sender, message: name, payload, waiter, taken: Some(taken) };
                Attempt::Posted(post(core, cell, mail))
            })
        });
        match attempt {
            Ok(Attempt::Posted(posted)) => Sending::Done(receipt(actor, message, posted)),
            Ok(Attempt::Full(name, payload)) => Sending::Waiting(Box::pin(async move {
                let (sender, waiter) = (Sender::Outside, Waiter::Nobody);
                let mail = Mail { sender, message: name, payload: &payload, waiter, taken: None };
                receipt(actor, message, limited(timeout, submit(core, cell, mail)).await)
            })),
            Err(reason) => Sending::Done(Err(TellError { message, reason })),
        }
    }
}

/// The result of an attempt to send at once.
enum Attempt {
    Posted(Result<u64, Unavailable>),
    /// The mailbox has no place. Name and payload, for the next attempt.
    Full(Name, Bytes),
}

enum Sending<'a, M> {
    Done(Result<Receipt, TellError<M>>),
    Waiting(Boxed<'a, Result<Receipt, TellError<M>>>),
}

fn receipt<A: Actor, M>(
    actor: &ActorRef<A>,
    message: M,
    posted: Result<u64, impl Into<Refused>>,
) -> Result<Receipt, TellError<M>> {
    match posted {
        Ok(number) => Ok(Receipt { target: Arc::clone(actor.target()), number }),
        Err(reason) => Err(TellError { message, reason: reason.into() }),
    }
}

impl<'a, A: Actor, M: Message> IntoFuture for Tell<'a, A, M> {
    type Output = Result<Receipt, TellError<M>>;
    type IntoFuture = TellFuture<'a, A, M>;

    fn into_future(self) -> Self::IntoFuture {
        TellFuture::New(self)
    }
}

/// The future of a [`Tell`]. Boxed only when the mailbox is full: the usual case allocates nothing
/// but the payload.
#[doc(hidden)]
pub enum TellFuture<'a, A, M> {
    New(Tell<'a, A, M>),
    Waiting(Boxed<'a, Result<Receipt, TellError<M>>>),
    Done,
}

// Nothing in it is pinned in place: the future that waits is in a box.
impl<A, M> Unpin for TellFuture<'_, A, M> {}

impl<'a, A: Actor, M: Message> Future for TellFuture<'a, A, M> {
    type Output = Result<Receipt, TellError<M>>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Self::New(_) = this {
            // Without this, a sender that always finds a place would never yield, and the actors
            // that it sends to could not run on its thread.
            ready!(poll_proceed(task)).made_progress();
            let Self::New(tell) = std::mem::replace(this, Self::Done) else {
                unreachable!("it was just looked at")
            };
            match tell.send() {
                Sending::Done(done) => return Poll::Ready(done),
                Sending::Waiting(waiting) => *this = Self::Waiting(waiting),
            }
        }
        match this {
            Self::Waiting(waiting) => waiting.as_mut().poll(task),
            _ => unreachable!("a tell was polled after it was ready"),
        }
    }
}

/// An `ask` that is not sent yet: await it.
///
/// # Errors
/// - [`AskError::NotAccepted`] gives the message back: the actor will never see it. The reasons are
///   those of a [`Tell`]; in addition, a handler of the actor can't ask it.
/// - [`AskError::Unknown`]: the mailbox has accepted the message, but no reply came in the time of
///   [`Ask::timeout`], or before the actor failed or the runtime ended. The actor may or may not
///   have handled the message. If it is on stable storage, the actor handles it after a reopening
///   at the latest.
/// - [`AskError::Quarantined`]: the actor left the message out, and it has changed nothing.
///   [`Runtime::retry_quarantined`](crate::Runtime::retry_quarantined) tries it again.
/// - [`AskError::Reply`]: the reply does not decode as its type. The actor has handled the message:
///   don't send it again.
/// - [`AskError::ReplyTooLarge`]: only with an [idempotency key](Ask::idempotency_key), which has
///   further reasons for [`AskError::NotAccepted`] too.
///
/// # Cancel safety
/// When you drop the future before it is ready, the mailbox may or may not have accepted the
/// message. If it has, the runtime logs the message, the actor handles it, and nobody gets the
/// reply. When it must not happen twice, give it an [idempotency key](Ask::idempotency_key) and ask
/// again, or send it with a [`Producer`](crate::Producer).
#[must_use = "an ask does nothing until it is awaited"]
pub struct Ask<'a, A, M> {
    actor: &'a ActorRef<A>,
    message: M,
    timeout: Option<Duration>,
    key: Option<Name>,
}

impl<'a, A: Actor, M: Message> Ask<'a, A, M> {
    fn new(actor: &'a ActorRef<A>, message: M) -> Self {
        Self { actor, message, timeout: None, key: None }
    }

    /// Gives up with [`Refused::Timeout`] when the mailbox does not accept the message in time, and
    /// with [`NoAnswer::Timeout`] when no reply comes in time. After the latter the actor may still
    /// handle the message.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes this the same request as every other one with this key to this actor: it is handled
    /// once, and all of them get the one reply. So a caller that got no answer asks again, after
    /// any error, timeout or crash, also in another process.
    ///
    /// # Guarantee
    /// A second request under the key changes nothing. When the first is handled, the second gets
    /// its reply, also after a crash, a checkpoint or a passivation. When the first is ahead or
    /// under way, the second waits for its reply. When the first is in quarantine, the second gets
    /// [`AskError::Quarantined`] too. A retry of the quarantined delivery has the key; once it is
    /// dropped, the key is free.
    ///
    /// The actor keeps the reply for the time of
    /// [`Builder::idempotency_retention`](crate::Builder::idempotency_retention), 24 hours by
    /// default, from when the request was logged. After that the key is free. A reply is part of
    /// the actor's state: after a crash, a replay computes it anew, by the code that runs then.
    ///
    /// # Limits
    /// A key has 1 to 256 bytes and belongs to one actor: the same key at another actor is another
    /// request. An actor keeps up to 65,536 keys, and 16 MiB of replies. With that it takes in no
    /// new ones until it may forget older ones, and never forgets earlier than promised. Requests
    /// that are ahead when the replies reach 16 MiB still add theirs. All of it is in memory while
    /// the actor is, and in each of its checkpoints. The encoded reply may have 1 MiB.
    ///
    /// # Errors
    /// Those of an [`Ask`]; in addition
    /// - [`Refused::IdempotencyKey`]: the key is empty or too long.
    /// - [`Refused::KeyOfAnotherRequest`]: the actor knows the key from a request with another
    ///   message. Nothing is changed. A message is compared as its type encodes it, so a type that
    ///   gains a field makes another message of it.
    /// - [`Refused::NoRoomForKey`]: the actor keeps as many as it may. Nothing is changed.
    /// - [`AskError::ReplyTooLarge`]: the reply has more than 1 MiB. The actor has handled the
    ///   request, and each repetition gets this error.
    ///
    /// # Cancel safety
    /// Drop the future and ask again with the key, as often as you like.
    ///
    /// # Examples
    /// A handler of a web server takes the key from its caller, who sends the same request again
    /// when the answer got lost, and asks again itself before it gives up:
    /// ```no_run
    /// # use relive::{Actor, Context, Handle, Message, Runtime};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Account { cents: i64 }
    /// # impl Actor for Account { const KIND: &'static str = "account"; fn create(_: &str) -> Self { Account { cents: 0 } } }
    /// # #[derive(Serialize, Deserialize, Clone)] struct Withdraw { cents: i64 }
    /// # impl Message for Withdraw { const NAME: &'static str = "withdraw"; type Reply = i64; }
    /// # impl Handle<Withdraw> for Account {
    /// #     async fn handle(&mut self, m: Withdraw, _: &mut Context<'_>) -> i64 { self.cents -= m.cents; self.cents }
    /// # }
    /// use std::time::Duration;
    ///
    /// use relive::{AskError, ErrorKind};
    ///
    /// /// `POST /withdrawals` with the header `Idempotency-Key`.
    /// async fn post(runtime: &Runtime, key: &str, order: Withdraw) -> Result<i64, AskError<Withdraw>> {
    ///     let account = runtime.actor::<Account>("alice").expect("the kind is registered");
    ///     for _ in 0..3 {
    ///         let asked = account.ask(order.clone()).idempotency_key(key).timeout(Duration::from_secs(1));
    ///         match asked.await {
    ///             Err(error) if error.kind() == ErrorKind::Retry => {}
    ///             outcome => return outcome,
    ///         }
    ///     }
    ///     account.ask(order).idempotency_key(key).timeout(Duration::from_secs(5)).await
    /// }
    /// ```
    pub fn idempotency_key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    async fn send(self) -> Result<M::Reply, AskError<M>> {
        let Self { actor, message, timeout, key } = self;
        let checked = key.as_deref().map_or(Ok(()), check_idempotency_key).map_err(Refused::IdempotencyKey);
        let (name, payload) = match checked.and_then(|()| prepare(actor, &message)) {
            Ok(prepared) => prepared,
            Err(reason) => return Err(AskError::NotAccepted { message, reason }),
        };
        let Target { core, cell } = &**actor.target();
        let mut accepted = false;
        let asking = async {
            let (reply_to, reply) = oneshot::channel();
            let sender = key.map_or(Sender::Outside, |key| Sender::Keyed { key });
            let waiter = Waiter::Asker(reply_to);
            let mail = Mail { sender, message: name, payload: &payload, waiter, taken: None };
            submit(core, cell, mail).await?;
            // From here on the actor may handle it, whatever ends the wait.
            accepted = true;
            answer(core, cell, reply).await
        };
        let asked = match timeout {
            Some(timeout) => within(timeout, asking).await,
            None => Some(asking.await),
        };
        match asked {
            Some(Ok(Answer::Reply(reply))) => decode(&reply).map_err(|reason| AskError::Reply { reason }),
            Some(Ok(Answer::TooLarge(found))) => {
                Err(AskError::ReplyTooLarge { found, limit: PAYLOAD_BYTES_MAX })
            }
            Some(Ok(Answer::Refused(reason))) => Err(AskError::NotAccepted { message, reason: *reason }),
            Some(Ok(Answer::LeftOut(entry))) => Err(AskError::Quarantined(entry)),
            Some(Err(unavailable)) if accepted => Err(AskError::Unknown { reason: unavailable.into() }),
            Some(Err(unavailable)) => Err(AskError::NotAccepted { message, reason: unavailable.into() }),
            None if accepted => Err(AskError::Unknown { reason: NoAnswer::Timeout }),
            None => Err(AskError::NotAccepted { message, reason: Refused::Timeout }),
        }
    }
}

impl<'a, A: Actor, M: Message> IntoFuture for Ask<'a, A, M> {
    type Output = Result<M::Reply, AskError<M>>;
    type IntoFuture = Boxed<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// Resolves when the message is on stable storage: the actor will handle it, whatever crashes.
/// [`ActorRef::tell`] returns it.
#[must_use = "the message is accepted; only the receipt tells when it is on stable storage"]
pub struct Receipt {
    target: Arc<Target>,
    number: u64,
}

impl Receipt {
    /// Waits until the message is on stable storage.
    ///
    /// # Errors
    /// [`Unavailable`]: it is *unknown* whether the message is on stable storage. If it is, the
    /// actor handles it after a reopening. A [`Producer`](crate::Producer) may send everything
    /// again; receivers drop duplicates. After [`Unavailable::WaitsForItself`], which a handler of
    /// the actor gets, the actor handles the message as usual.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing. You may call `durable` again.
    pub async fn durable(&self) -> Result<(), Unavailable> {
        let Target { core, cell } = &*self.target;
        may_wait_for(cell)?;
        if cell.kind.discipline() == Discipline::BeforeOutput && cell.awaits(self.number) {
            core.services.committer.want(core.services.end_of_log());
        }
        core.lifecycle.unless_stopped(cell.wait_logged(self.number)).await?
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipt").field("actor", &self.target.cell.id).field("number", &self.number).finish()
    }
}

/// Checks and encodes a message, before it changes anything, and shows its name and bytes.
fn encoded<A: Actor, M: Message, T>(
    actor: &ActorRef<A>,
    message: &M,
    look: impl FnOnce(Name, &[u8]) -> T,
) -> Result<T, Refused> {
    const { assert_listed::<A, M>() };
    let (name, shapes) = actor.shapes(M::NAME)?;
    let looked = encode_checked(message, &shapes.message, |payload| {
        if payload.len() > PAYLOAD_BYTES_MAX {
            let (found, limit) = (payload.len(), PAYLOAD_BYTES_MAX);
            return Err(MessageError::TooLarge { message: M::NAME, found, limit }.into());
        }
        Ok(look(name, payload))
    });
    looked.map_err(|reason| MessageError::Codec { message: M::NAME, reason })?
}

/// Checks and encodes a message, before it changes anything.
pub(crate) fn prepare<A: Actor, M: Message>(
    actor: &ActorRef<A>,
    message: &M,
) -> Result<(Name, Bytes), Refused> {
    encoded(actor, message, |name, payload| (name, Bytes::copy_from_slice(payload)))
}

/// Waits until the log is within its budget and the mailbox has a place, then puts the message
/// there.
pub(crate) async fn submit<'m>(
    core: &Arc<Core>,
    cell: &'m Arc<ActorCell>,
    mut mail: Mail<'m>,
) -> Result<u64, Unavailable> {
    assert!(mail.taken.is_none(), "a message that holds places is not submitted once more");
    core.lifecycle.unless_stopped(core.services.log_budget.backpressure().not_held_back()).await?;
    // An asker waits for its actor in any case, a tell only when it finds no place.
    if matches!(mail.waiter, Waiter::Asker(_)) || cell.places.free() == 0 {
        may_wait_for(cell)?;
    }
    mail.taken = Some(waits_for(core, cell, cell.places.take(places_of(mail.payload))).await??);
    // Once more: the runtime may have been closed while this sender waited.
    core.lifecycle.intake()?;
    post(core, cell, mail)
}

async fn limited<T>(
    timeout: Option<Duration>,
    future: impl Future<Output = Result<T, Unavailable>>,
) -> Result<T, Refused> {
    let done = match timeout {
        Some(timeout) => within(timeout, future).await.ok_or(Refused::Timeout)?,
        None => future.await,
    };
    Ok(done?)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
