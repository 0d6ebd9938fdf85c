//! `tell` and `ask` from outside: builders that are awaited. Encodes, waits for a place in the mailbox, and for what
//! comes back.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use relive_replay::actor::assert_listed;
use relive_replay::payload::{decode, with_encoded};
use relive_replay::{Actor, Handle, Message};
use relive_storage::Name;
use relive_storage::limits::PAYLOAD_BYTES_MAX;
use relive_storage::record::Sender;
use tokio::sync::oneshot;
use tokio::task::coop::poll_proceed;

use crate::actor_ref::{ActorRef, Target};
use crate::core::Core;
use crate::envelope::{Waiter, places_of};
use crate::error::{AskError, Refused, TellError};
use crate::mailbox::Mail;
use crate::slot::Slot;
use crate::timer::within;
use crate::turn::post;
use crate::waiting::{answer, may_wait_for};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl<A: Actor> ActorRef<A> {
    /// Sends a message without waiting for a reply. Awaiting it waits until the message is *accepted*: it has a place in
    /// the actor's bounded mailbox. The [`Receipt`] that it gives resolves when the message is on stable
    /// storage. See [`Tell`] for errors and cancel safety.
    pub fn tell<M: Message>(&self, message: M) -> Tell<'_, A, M>
    where
        A: Handle<M>,
    {
        Tell::new(self, message)
    }

    /// Sends a message and waits for the reply. When it is there, the delivery is on stable storage and handled. See
    /// [`Ask`] for errors and cancel safety.
    pub fn ask<M: Message>(&self, message: M) -> Ask<'_, A, M>
    where
        A: Handle<M>,
    {
        Ask::new(self, message)
    }
}

/// A `tell` that is about to be sent: await it.
///
/// # Errors
/// [`TellError`] with the message in it: it was not accepted, the actor will never see it.
///
/// # Cancel safety
/// Dropped before it is ready, the message was not accepted. Once it was ready the message is the runtime's: it will be
/// logged and handled, unless the process ends before [`Receipt`] resolves.
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

    /// Gives up with [`Refused::Timeout`] when the message is not accepted in this time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends at once when there is a place in the mailbox, which needs no future.
    fn send(self) -> Sending<'a, M> {
        let Self { actor, message, timeout } = self;
        let Target { core, slot } = &**actor.target();
        let attempt = core.intake().and_then(|()| {
            encoded(actor, &message, |name, payload| {
                let places = slot.places.try_acquire_many(places_of(payload)).ok();
                let Some(places) = places.filter(|_| !core.committer.retained.is_held_back()) else {
                    return Attempt::Full(name, Bytes::copy_from_slice(payload));
                };
                let mail = Mail { sender: Sender::Outside, message: name, payload, waiter: Waiter::Nobody };
                Attempt::Posted(post(core, slot, mail).inspect(|_| places.forget()))
            })
        });
        match attempt {
            Ok(Attempt::Posted(posted)) => Sending::Done(receipt(actor, message, posted)),
            Ok(Attempt::Full(name, payload)) => Sending::Waiting(Box::pin(async move {
                let mail = Mail {
                    sender: Sender::Outside,
                    message: name,
                    payload: &payload,
                    waiter: Waiter::Nobody,
                };
                receipt(actor, message, limited(timeout, submit(core, slot, mail)).await)
            })),
            Err(reason) => Sending::Done(Err(TellError { message, reason })),
        }
    }
}

/// What came of trying to send at once.
enum Attempt {
    Posted(Result<u64, Refused>),
    /// There is no place: its name and payload, for when there is.
    Full(Name, Bytes),
}

enum Sending<'a, M> {
    Done(Result<Receipt, TellError<M>>),
    Waiting(Boxed<'a, Result<Receipt, TellError<M>>>),
}

fn receipt<A: Actor, M>(
    actor: &ActorRef<A>,
    message: M,
    posted: Result<u64, Refused>,
) -> Result<Receipt, TellError<M>> {
    match posted {
        Ok(number) => Ok(Receipt { target: Arc::clone(actor.target()), number }),
        Err(reason) => Err(TellError { message, reason }),
    }
}

impl<'a, A: Actor, M: Message> IntoFuture for Tell<'a, A, M> {
    type Output = Result<Receipt, TellError<M>>;
    type IntoFuture = TellFuture<'a, A, M>;

    fn into_future(self) -> Self::IntoFuture {
        TellFuture::New(self)
    }
}

/// The future of a [`Tell`]. Boxed only when the mailbox is full: the usual case allocates nothing but the payload.
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
            // A sender that always finds a place would keep its thread from the actors that it sends to.
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

/// An `ask` that is about to be sent: await it.
///
/// # Errors
/// [`AskError::NotAccepted`] gives the message back: the actor will never see it. [`AskError::Unknown`]: it was accepted,
/// but no reply came.
///
/// # Cancel safety
/// Dropped before it is ready, the message may or may not have been accepted; if it was, it is logged and handled, and
/// its reply is dropped. Ask under a producer's numbers when it must not happen twice.
#[must_use = "an ask does nothing until it is awaited"]
pub struct Ask<'a, A, M> {
    actor: &'a ActorRef<A>,
    message: M,
    timeout: Option<Duration>,
}

impl<'a, A: Actor, M: Message> Ask<'a, A, M> {
    fn new(actor: &'a ActorRef<A>, message: M) -> Self {
        Self { actor, message, timeout: None }
    }

    /// Gives up with [`Refused::Timeout`] when there is no reply in this time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    async fn send(self) -> Result<M::Reply, AskError<M>> {
        let Self { actor, message, timeout } = self;
        let (name, payload) = match prepare(actor, &message) {
            Ok(prepared) => prepared,
            Err(reason) => return Err(AskError::NotAccepted { message, reason }),
        };
        let Target { core, slot } = &**actor.target();
        let mut accepted = false;
        let asking = async {
            let (reply_to, reply) = oneshot::channel();
            let (sender, waiter) = (Sender::Outside, Waiter::Asker(reply_to));
            let mail = Mail { sender, message: name, payload: &payload, waiter };
            submit(core, slot, mail).await?;
            accepted = true;
            answer(core, slot, reply).await
        };
        match limited(timeout, asking).await {
            Ok(reply) => decode(&reply).map_err(|reason| AskError::Reply { reason }),
            Err(reason) if accepted => Err(AskError::Unknown { reason }),
            Err(reason) => Err(AskError::NotAccepted { message, reason }),
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

/// Resolves when the message is on stable storage: from then on it will be handled, whatever crashes.
#[must_use = "the message is accepted; only the receipt tells when it is on stable storage"]
pub struct Receipt {
    target: Arc<Target>,
    number: u64,
}

impl Receipt {
    /// Waits until the message is on stable storage.
    ///
    /// # Errors
    /// [`Refused`]: it is *unknown* whether the message is on stable storage. If it is, it will be handled after a
    /// reopening; a producer may send everything again, and duplicates are dropped.
    ///
    /// # Cancel safety
    /// Dropped, nothing changes.
    pub async fn durable(&self) -> Result<(), Refused> {
        let Target { core, slot } = &*self.target;
        may_wait_for(slot)?;
        core.unless_stopped(slot.wait_logged(self.number)).await?
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipt").field("actor", &self.target.slot.id).field("number", &self.number).finish()
    }
}

/// Checks and encodes a message, before anything is changed, and shows its name and bytes.
fn encoded<A: Actor, M: Message, T>(
    actor: &ActorRef<A>,
    message: &M,
    look: impl FnOnce(Name, &[u8]) -> T,
) -> Result<T, Refused> {
    const { assert_listed::<A, M>() };
    let name = actor.check_handled(M::NAME)?;
    let looked = with_encoded(message, |payload| {
        if payload.len() > PAYLOAD_BYTES_MAX {
            let (found, limit) = (payload.len(), PAYLOAD_BYTES_MAX);
            return Err(Refused::TooLarge { message: M::NAME, found, limit });
        }
        Ok(look(name, payload))
    });
    looked.map_err(|reason| Refused::Codec { message: M::NAME, reason })?
}

/// Checks and encodes a message, before anything is changed.
pub(crate) fn prepare<A: Actor, M: Message>(
    actor: &ActorRef<A>,
    message: &M,
) -> Result<(Name, Bytes), Refused> {
    encoded(actor, message, |name, payload| (name, Bytes::copy_from_slice(payload)))
}

/// Waits for the log to be within its budget and for a place in the mailbox, and puts the message there.
pub(crate) async fn submit(core: &Arc<Core>, slot: &Arc<Slot>, mail: Mail<'_>) -> Result<u64, Refused> {
    core.unless_stopped(core.committer.retained.not_held_back()).await?;
    if matches!(mail.waiter, Waiter::Asker(_)) || slot.places.available_permits() == 0 {
        may_wait_for(slot)?;
    }
    let places = slot.places.acquire_many(places_of(mail.payload));
    let places = core.unless_stopped(places).await?.map_err(|_| Refused::Stopped)?;
    core.intake()?;
    let number = post(core, slot, mail)?;
    places.forget();
    Ok(number)
}

async fn limited<T>(
    timeout: Option<Duration>,
    future: impl Future<Output = Result<T, Refused>>,
) -> Result<T, Refused> {
    match timeout {
        Some(timeout) => within(timeout, future).await.unwrap_or(Err(Refused::Timeout)),
        None => future.await,
    }
}
