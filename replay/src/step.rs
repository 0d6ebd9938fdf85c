//! The one function that applies a delivery to an actor. Live and replay call it; they differ only
//! in where determinants come from and where effects go.
//!
//! # Source
//! A replay in the recorded order, with recorded determinants, reproduces the state of a piecewise
//! deterministic process: Elnozahy, Alvisi, Wang and Johnson, *A Survey of Rollback-Recovery
//! Protocols in Message-Passing Systems*, ACM Computing Surveys 34(3), 2002, section 4.

use std::future::poll_fn;
use std::task::Poll;

use relive_storage::record::Delivery;

use crate::context::{BEGUN_LAST, Signal, does_not_survive, given_up};
use crate::guard::{GuardedFuture, guarded};
use crate::halt::Interruption;
use crate::kind::Reply;
use crate::payload::CodecError;
use crate::recipient::SENDS_PER_DELIVERY_MAX;
use crate::{Context, Determinants, Effects, Halt, HaltReason, Instance};

/// Why `step` did not apply a delivery to its end. The actor's state may be half changed, so the
/// caller must throw it away. The effects that the handler asked for are gone; none was released.
#[derive(Debug)]
pub enum StepError {
    /// The actor stopped in the middle.
    Halted(Halt),
    /// An event has no outcome: the original run ended here, or the log accepts nothing more. This
    /// says nothing about the actor.
    NoOutcome,
}

impl From<Halt> for StepError {
    fn from(halt: Halt) -> Self {
        Self::Halted(halt)
    }
}

/// Applies the next delivery to an actor and returns the effects that its handler asked for. The
/// caller releases them; this function releases none.
///
/// # Errors
/// [`StepError::Halted`]: the actor stopped in the middle. [`StepError::NoOutcome`]: the handler
/// waits for an event that has no outcome. Throw the instance away, since its state may be half
/// changed. Its effects are gone, and none was released.
///
/// # Panics
/// When the delivery is not the actor's next, or was never admitted: callers apply deliveries in
/// order.
///
/// # Cancel safety
/// Not cancel safe: a dropped step leaves a half changed instance. Throw it away.
pub async fn step(
    instance: &mut Instance,
    delivery: &Delivery,
    determinants: &mut dyn Determinants,
) -> Result<Effects, StepError> {
    assert_eq!(delivery.rsn, instance.handled.next(), "deliveries of {} are applied in order", instance.id);
    assert!(delivery.rsn <= instance.received, "{} of {} was never taken in", delivery.rsn, instance.id);
    match apply(instance, delivery, determinants).await {
        Ok(effects) => {
            let sends = effects.sends.len();
            assert!(sends <= SENDS_PER_DELIVERY_MAX, "one delivery of {} sent {sends} messages", instance.id);
            instance.now_handled(delivery.rsn);
            Ok(effects)
        }
        Err(Interruption::NoOutcome) => Err(StepError::NoOutcome),
        Err(Interruption::Halted(reason)) => Err(Halt::new(instance.id.clone(), delivery.rsn, reason).into()),
    }
}

async fn apply(
    instance: &mut Instance,
    delivery: &Delivery,
    determinants: &mut dyn Determinants,
) -> Result<Effects, Interruption> {
    let mut effects = Effects::default();
    let (reply, events) = run(instance, delivery, determinants, &mut effects).await?;
    effects.reply = reply;
    // After the handler and before anybody sees an effect: a divergence releases nothing.
    determinants.finish(delivery.rsn, events, effects.digest())?;
    Ok(effects)
}

async fn run(
    instance: &mut Instance,
    delivery: &Delivery,
    determinants: &mut dyn Determinants,
    effects: &mut Effects,
) -> Result<(Option<bytes::Bytes>, u32), Interruption> {
    let origin = instance.origin(delivery.rsn);
    let Instance { id, store, kind, state, channels, .. } = instance;
    let signal = Signal::default();
    // Both: the record of an ask stays one, but after an opening nobody waits for its answer.
    let reply = if delivery.asked && determinants.wants_reply() { Reply::Encoded } else { Reply::Dropped };
    let mut cx = Context {
        actor: id,
        store: *store,
        delivery,
        origin,
        peers: kind.peers(),
        channels,
        effects,
        determinants,
        signal: &signal,
        randoms: 0,
        draws: 0,
        events: 0,
    };
    // Decoding runs users' code too, and the call itself may panic before its first poll.
    let mut handling = match guarded(|| state.handle(&delivery.message, &delivery.payload, reply, &mut cx)) {
        Ok(Some(Ok(handling))) => GuardedFuture::new("a handler", handling),
        Ok(Some(Err(error))) => return Err(codec(delivery, &error).into()),
        Ok(None) => return Err(HaltReason::Unhandled { message: delivery.message.to_string() }.into()),
        Err(panic) => return Err(panicked(delivery, panic).into()),
    };
    let end = poll_fn(|task| match handling.poll(task) {
        Err(panic) => Poll::Ready(End::Panicked(panic)),
        // Ahead of `Ready`: a halted handler's effects must not be released, even when the handler
        // has also returned.
        Ok(_) if signal.get() == Signal::HALTED => Poll::Ready(End::Halted),
        Ok(Poll::Ready(_)) if signal.get() == Signal::WAITING => Poll::Ready(End::Leaked),
        Ok(Poll::Ready(end)) => Poll::Ready(End::Done(end)),
        // Only a side effect of the context may make a handler wait. A waker says nothing of who
        // will wake it, so the signal does.
        Ok(Poll::Pending) if signal.get() == Signal::WAITING => Poll::Pending,
        Ok(Poll::Pending) => Poll::Ready(End::Foreign),
    })
    .await;
    // The handler's future borrows `cx` until here.
    drop(handling);
    let events = cx.events;
    Err(match end {
        End::Done(Ok(encoded)) => {
            let is_wanted = reply == Reply::Encoded;
            assert_eq!(encoded.is_some(), is_wanted, "who waits for a reply gets one, and nobody else");
            return Ok((encoded, events));
        }
        End::Done(Err(error)) => codec(delivery, &error).into(),
        End::Panicked(panic) => panicked(delivery, panic).into(),
        End::Foreign => HaltReason::ForeignAwait { message: delivery.message.to_string() }.into(),
        End::Leaked => given_up(&delivery.message, BEGUN_LAST).into(),
        End::Halted => signal.halted().expect("a halted handler has left its reason"),
    })
}

enum End {
    Done(Result<Option<bytes::Bytes>, CodecError>),
    Halted,
    /// The handler has returned while one of its side effects is still under way.
    Leaked,
    Foreign,
    Panicked(String),
}

fn codec(delivery: &Delivery, error: &CodecError) -> HaltReason {
    does_not_survive(format!("the message {:?}, or its reply", &*delivery.message), error)
}

fn panicked(delivery: &Delivery, panic: String) -> HaltReason {
    HaltReason::Panicked { message: delivery.message.to_string(), panic }
}
