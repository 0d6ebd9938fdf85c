//! A handler that waits, perhaps for days: its actor goes on taking messages in. They are logged,
//! and those who wait for that are told. They are handled after it, in their order.
//!
//! Knows what a turn takes in; not what the handler waits for.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, ready};

use tokio::sync::oneshot;

use crate::actor::cell::ActorCell;
use crate::actor::pause::{Offer, PauseRequest};
use crate::shared::Core;
use crate::turn::TurnError;
use crate::turn::acks::{PendingBatch, until_durable};
use crate::turn::intake::Intake;
use crate::turn::outputs::HeldOutputs;

/// Polls a step whose handler waits, and takes messages in until it has ended. What was taken in
/// last may be left in `pending`, with those who wait for it.
pub(crate) async fn while_it_waits<T>(
    core: &Arc<Core>,
    stepping: impl Future<Output = T>,
    intake: Intake<'_>,
    (held, pending): (&mut HeldOutputs, &mut Option<PendingBatch>),
    offer: &Offer,
) -> Result<T, TurnError> {
    let (busy, cell) = (AtomicBool::new(false), intake.cell);
    let (mut stepping, mut taking) = (pin!(stepping), pin!(take_in(intake, held, pending, &busy)));
    let mut paused: Option<oneshot::Receiver<()>> = None;
    let both = poll_fn(|task| {
        // Neither is polled in a pause, so nothing of the actor comes into the log.
        if let Some(until) = &mut paused {
            ready!(Pin::new(until).poll(task)).unwrap_or_default();
            paused = None;
        }
        let wanted = cell.wants_pause(task.waker());
        offer.ask(wanted);
        if let Poll::Ready(stepped) = stepping.as_mut().poll(task) {
            return Poll::Ready(Ok(stepped));
        }
        let was_busy = busy.load(Ordering::Relaxed);
        if wanted
            && !was_busy
            && let Some(mut until) = pause(cell, offer)
        {
            // Ready at once when nobody wants it any more.
            if Pin::new(&mut until).poll(task).is_pending() {
                paused = Some(until);
                return Poll::Pending;
            }
        }
        let over = taking.as_mut().poll(task);
        if wanted && was_busy && !busy.load(Ordering::Relaxed) {
            task.waker().wake_by_ref();
        }
        over.map(Err)
    });
    let stepped = core.lifecycle.unless_stopped(both).await.map_err(|_| TurnError::Over)??;
    // A message that has its position must come into the log with it.
    let taken = poll_fn(|task| {
        while busy.load(Ordering::Relaxed) {
            match taking.as_mut().poll(task) {
                Poll::Ready(error) => return Poll::Ready(Err(error)),
                Poll::Pending if busy.load(Ordering::Relaxed) => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        Poll::Ready(Ok(()))
    });
    core.lifecycle.unless_stopped(taken).await.map_err(|_| TurnError::Over)??;
    Ok(stepped)
}

/// Begins a pause, when somebody wants one and the handler is not about to log an event. Returns
/// what ends it.
fn pause(cell: &ActorCell, offer: &Offer) -> Option<oneshot::Receiver<()>> {
    let evidence = offer.take()?;
    let PauseRequest { evidence: wanted, resumed } = cell.take_pause()?;
    wanted.send(evidence).is_ok().then_some(resumed)
}

/// Lets go what the turn holds back, then takes messages in until it is dropped. Returns only when
/// it can't go on. While it is `busy` it must not be dropped.
async fn take_in(
    mut intake: Intake<'_>,
    held: &mut HeldOutputs,
    pending: &mut Option<PendingBatch>,
    busy: &AtomicBool,
) -> TurnError {
    // First: those who wait for messages are told in the order in which these came.
    if let Err(over) = held.release_all(intake.core, intake.cell).await {
        return over;
    }
    loop {
        if let Some(batch) = pending.as_ref() {
            if let Err(over) = until_durable(intake.core, batch.depends_on(*intake.appended)).await {
                return over;
            }
            if let Some(batch) = pending.take() {
                batch.tell(intake.core, intake.cell);
            }
        }
        intake.cell.new_mail().await;
        busy.store(true, Ordering::Relaxed);
        intake.cell.take_mail_alone(intake.mail);
        let received = intake.receive().await;
        busy.store(false, Ordering::Relaxed);
        match received {
            Ok(batch) => *pending = Some(batch),
            Err(error) => return error,
        }
    }
}
