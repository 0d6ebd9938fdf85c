//! The one function that applies a delivery to an actor. Live and replay call it; they differ only in where
//! determinants come from and where effects go.

use std::future::poll_fn;
use std::task::Poll;

use relive_storage::record::Delivery;

use crate::context::{Signal, given_up};
use crate::guard::{GuardedFuture, guarded};
use crate::payload::CodecError;
use crate::{Context, Determinants, Effects, Halt, Instance};

/// Applies the next delivery to an actor and gives what it asked for.
///
/// # Errors
/// [`Halt`]: the actor stopped in the middle. Its state is then half changed and must be thrown away; what it had
/// asked for is gone, nothing was released.
///
/// # Panics
/// When the delivery is not the actor's next: callers apply deliveries in order.
///
/// # Cancel safety
/// Not cancel safe: a dropped step leaves a half changed instance, which must be thrown away.
pub async fn step(
    instance: &mut Instance,
    delivery: &Delivery,
    determinants: &mut dyn Determinants,
) -> Result<Effects, Halt> {
    assert_eq!(delivery.rsn, instance.handled.next(), "deliveries of {} are applied in order", instance.id);
    assert!(delivery.rsn <= instance.received, "{} of {} was never taken in", delivery.rsn, instance.id);
    let mut effects = Effects::default();
    let (reply, events) = run(instance, delivery, determinants, &mut effects).await?;
    effects.reply = reply;
    determinants.finish(&instance.id, delivery.rsn, events, effects.digest())?;
    instance.is_handled(delivery.rsn);
    Ok(effects)
}

async fn run(
    instance: &mut Instance,
    delivery: &Delivery,
    determinants: &mut dyn Determinants,
    effects: &mut Effects,
) -> Result<(Option<bytes::Bytes>, u32), Halt> {
    let origin = instance.origin(delivery.rsn);
    let Instance { id, store, kind, state, channels, .. } = instance;
    let signal = Signal::default();
    let wants_reply = delivery.asked && determinants.wants_reply();
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
    let mut handling =
        match guarded(|| state.handle(&delivery.message, &delivery.payload, wants_reply, &mut cx)) {
            Ok(Some(Ok(handling))) => GuardedFuture::new("a handler", handling),
            Ok(Some(Err(error))) => return Err(codec(id, delivery, &error)),
            Ok(None) => {
                let (actor, rsn, message) = (id.clone(), delivery.rsn, delivery.message.to_string());
                return Err(Halt::Unhandled { actor, rsn, message });
            }
            Err(panic) => return Err(panicked(id, delivery, panic)),
        };
    let end = poll_fn(|task| match handling.poll(task) {
        Err(panic) => Poll::Ready(End::Panicked(panic)),
        // Whatever else it came to: what it has asked for is not to be released.
        Ok(_) if signal.get() == Signal::HALTED => Poll::Ready(End::Halted),
        Ok(Poll::Ready(_)) if signal.get() == Signal::WAITING => Poll::Ready(End::Leaked),
        Ok(Poll::Ready(end)) => Poll::Ready(End::Done(end)),
        Ok(Poll::Pending) if signal.get() == Signal::WAITING => Poll::Pending,
        Ok(Poll::Pending) => Poll::Ready(End::Foreign),
    })
    .await;
    drop(handling);
    let events = cx.events;
    let message = || delivery.message.to_string();
    match end {
        End::Done(Ok(reply)) => Ok((reply, events)),
        End::Done(Err(error)) => Err(codec(id, delivery, &error)),
        End::Panicked(panic) => Err(panicked(id, delivery, panic)),
        End::Foreign => Err(Halt::ForeignAwait { actor: id.clone(), rsn: delivery.rsn, message: message() }),
        End::Leaked => Err(given_up(id, delivery, "that was begun last")),
        End::Halted => Err(signal.halted().expect("a halted handler has left its reason")),
    }
}

enum End {
    Done(Result<Option<bytes::Bytes>, CodecError>),
    Halted,
    /// It has ended, and a side effect that it began has not.
    Leaked,
    Foreign,
    Panicked(String),
}

fn codec(id: &relive_storage::ActorId, delivery: &Delivery, error: &CodecError) -> Halt {
    Halt::Codec {
        actor: id.clone(),
        rsn: delivery.rsn,
        what: format!("the message {:?}, or its reply", &*delivery.message),
        reason: error.to_string(),
    }
}

fn panicked(id: &relive_storage::ActorId, delivery: &Delivery, panic: String) -> Halt {
    Halt::Panicked { actor: id.clone(), rsn: delivery.rsn, message: delivery.message.to_string(), panic }
}
