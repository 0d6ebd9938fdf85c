//! What a cell promises to senders, to the turn of its actor, and to those who wait.

use relive_replay::{HaltReason, KindBuilder, Tape, restore};
use relive_storage::StoreId;
use relive_storage::record::{Delivery, Sender};
use tokio::sync::oneshot;

use super::*;
use crate::actor::envelope::Waiter;
use crate::backpressure::Backpressure;
use crate::error::QuarantineError;
use crate::retention::passive_pins::PassivePins;
use crate::shared::testing::{Account, Deposit};

fn cell() -> Arc<ActorCell> {
    cell_under(&Backpressure::none())
}

fn cell_under(backpressure: &Arc<Backpressure>) -> Arc<ActorCell> {
    let kind = KindBuilder::<Account>::new().handles::<Deposit>().build().unwrap();
    let pin_index = Arc::new(PinIndex::new(PassivePins::default()));
    let id = ActorId::new("account", "alice").unwrap();
    Arc::new(ActorCell::new(id, kind, pin_index, Arc::clone(backpressure)))
}

fn activation(cell: &ActorCell) -> Box<Activation> {
    let mut tape = Tape::after(Rsn::NONE);
    let restored = restore(&cell.kind, &cell.id, StoreId::new(1), None, &mut tape, None).unwrap();
    Box::new(Activation::new(restored, tape).unwrap())
}

fn push(cell: &Arc<ActorCell>, waiter: Waiter) -> Result<(u64, Wake), Unavailable> {
    let (sender, message, taken) = (Sender::Outside, "deposit".into(), cell.places.try_take(1));
    cell.push(Mail { sender, message, payload: b"5", waiter, taken }, 0)
}

fn delivery() -> Delivery {
    let (rsn, message, clock) = (Rsn::new(7), "pay".into(), Default::default());
    let (sender, payload) = (Sender::Outside, Default::default());
    Delivery { rsn, sender, asked: false, message, payload, clock, seed: 0 }
}

fn fail(cell: &ActorCell) {
    let reason = HaltReason::Unwound { panic: String::new() };
    drop(cell.fail(FailureCause::Unwound, Halt::new(cell.id.clone(), Rsn::NONE, reason), 1));
}

/// Makes the actor rest in memory, as after a turn that found nothing to do.
fn rests(cell: &Arc<ActorCell>) {
    let Wake::Start(start) = cell.start() else { panic!("a turn runs it") };
    let active = start.take().1.unwrap_or_else(|| activation(cell));
    assert!(cell.rest(active).is_none());
}

/// An actor is handed to one turn, which goes on as long as mail comes.
#[test]
fn an_actor_rests_only_when_nothing_has_come() {
    let cell = cell();
    let Ok((1, Wake::Start(start))) = push(&cell, Waiter::Nobody) else { panic!("nobody runs it") };
    let (_, active) = start.take();
    assert!(active.is_none(), "it is passive");
    assert!(matches!(push(&cell, Waiter::Nobody), Ok((2, Wake::Running))));
    let active = cell.rest(activation(&cell)).expect("it has mail");
    let mut mail = Batch::default();
    drop(cell.take_mail(&mut mail, 0));
    assert_eq!(mail.len(), 2);
    drop(mail);
    assert!(cell.rest(active).is_none());
    assert!(cell.with_idle(|_, _| ()).is_some());
    let Ok((3, Wake::Start(start))) = push(&cell, Waiter::Nobody) else { panic!("nobody runs it") };
    assert!(start.take().1.is_some(), "it was in memory");
}

/// A receipt resolves by a count, so no more mail is taken before what was taken is logged.
#[test]
#[should_panic = "is logged"]
fn mail_that_is_not_logged_yet_stands_before_more() {
    let cell = cell();
    let Ok((_, Wake::Start(start))) = push(&cell, Waiter::Nobody) else { panic!("nobody runs it") };
    let _running = start.take();
    drop(cell.take_mail(&mut Batch::default(), 0));
    drop(cell.take_mail(&mut Batch::default(), 0));
}

/// Nobody waits for an actor that nobody runs: a failure tells all who wait, and all who come
/// later.
#[tokio::test]
async fn a_failure_is_told_to_everybody() {
    let cell = cell();
    let (asker, answer) = oneshot::channel();
    let Ok((number, Wake::Start(start))) = push(&cell, Waiter::Asker(asker)) else {
        panic!("nobody runs it")
    };
    let _running = start.take();
    let (waiter, checkpoint) = oneshot::channel();
    assert!(cell.request_checkpoint(Some(waiter)).is_some());
    let (done, discharged) = oneshot::channel();
    assert!(cell.request_discharge(DischargeRequest { rsn: Rsn::new(1), anew: None, done }).is_ok());
    fail(&cell);
    assert!(matches!(answer.await.unwrap(), Err(Unavailable::Actor(_))));
    assert!(matches!(checkpoint.await.unwrap(), Err(CheckpointError::Unavailable(_))));
    assert!(matches!(discharged.await.unwrap(), Err(QuarantineError::Unavailable(_))));
    assert!(matches!(cell.wait_logged(number).await, Err(Unavailable::Actor(_))));
    assert_eq!(cell.wait_failure().await.cause, FailureCause::Unwound);
    assert!(matches!(push(&cell, Waiter::Nobody), Err(Unavailable::Actor(_))));
    let (waiter, checkpoint) = oneshot::channel();
    assert!(cell.request_checkpoint(Some(waiter)).is_none());
    assert!(checkpoint.await.unwrap().is_err());
    assert_eq!((cell.waiting(), cell.places.free()), (0, MAILBOX_PLACES_MAX));
}

/// An actor leaves memory only while it rests and nothing has come for it.
#[test]
fn only_an_actor_at_rest_leaves_memory() {
    let cell = cell();
    assert!(!cell.passivate(|_| true), "it is passive");
    rests(&cell);
    assert!(!cell.passivate(|_| false), "it is not permitted");
    assert!(cell.is_in_memory());
    assert!(cell.passivate(|_| true));
    assert!(!cell.is_in_memory());
    let Wake::Start(start) = cell.start() else { panic!("a turn runs it") };
    let _running = start.take();
    assert!(!cell.passivate(|_| true), "a turn runs it");
}

/// Mail that a turn gives back is the first again.
#[test]
fn mail_that_is_given_back_waits_as_before() {
    let cell = cell();
    let Ok((_, Wake::Start(start))) = push(&cell, Waiter::Nobody) else { panic!("nobody runs it") };
    let _running = start.take();
    let mut mail = Batch::default();
    drop(cell.take_mail(&mut mail, 0));
    assert_eq!(cell.waiting(), 0);
    cell.give_back(mail);
    assert_eq!(cell.waiting(), 1);
}

/// A handler that waits shows as an odd count, by which the log's budget knows it.
#[test]
fn a_wait_is_odd_until_it_ends() {
    let cell = cell();
    assert_eq!(cell.holder().tries.waits, 0);
    let waits = cell.begin_wait(&delivery());
    assert_eq!(cell.holder().tries.waits, 1);
    drop(waits);
    assert_eq!(cell.holder().tries.waits, 2);
}

/// Who asks learns in which delivery the handler waits, and how much waits behind it.
#[test]
fn a_wait_is_known_by_its_delivery_until_it_ends() {
    let cell = cell();
    assert!(cell.handler_wait().is_none());
    let waits = cell.begin_wait(&delivery());
    accept(&cell);
    let (wait, unlogged) = cell.handler_wait().unwrap();
    assert_eq!((wait.rsn, &*wait.message, unlogged), (Rsn::new(7), "pay", 1));
    drop(waits);
    assert!(cell.handler_wait().is_none());
}

/// Puts a message into the mailbox, for a turn that the test plays.
fn accept(cell: &Arc<ActorCell>) {
    if let Ok((_, Wake::Start(start))) = push(cell, Waiter::Nobody) {
        drop(start.take());
    }
}

/// Invariant: bounded. A message counts from its acceptance until a turn has put it into the log.
#[test]
fn a_message_counts_until_it_is_logged() {
    let backpressure = Arc::new(Backpressure::new(0));
    let cell = cell_under(&backpressure);
    (0..3).for_each(|_| accept(&cell));
    assert!(backpressure.is_held_back());
    let mut mail = Batch::default();
    let _ = cell.take_mail(&mut mail, 0);
    assert_eq!(mail.len(), 3);
    assert!(backpressure.is_held_back(), "a turn has taken them, and has not logged them");
    cell.give_back(mail);
    assert!(backpressure.is_held_back());
    let mut mail = Batch::default();
    let _ = cell.take_mail(&mut mail, 0);
    while mail.pop().is_some() {}
    mail.is_logged();
    assert!(!backpressure.is_held_back());
}
