//! When a message is accepted, and what callers hear when it is not, or when no answer comes.

use std::pin::pin;
use std::task::Waker;

use relive_storage::MemoryStore;
use relive_storage::simulated_store::{Call, Fault, SimulatedDisk};

use super::*;
use crate::actor::places::HeldPlaces;
use crate::backpressure::Unlogged;
use crate::handling::Handling;
use crate::limits::MAILBOX_PLACES_MAX;
use crate::shared::testing::{Account, Deposit, LOG_BYTES, account, core};

fn alice() -> ActorRef<Account> {
    let core = core(Arc::new(MemoryStore::new()));
    let cell = account(&core, "alice");
    ActorRef::new(core, cell)
}

/// Takes all places of an actor's mailbox.
fn fill(actor: &ActorRef<Account>) -> HeldPlaces {
    let places = &actor.target().cell.places;
    places.hold(places.try_take(u32::try_from(MAILBOX_PLACES_MAX).unwrap()).unwrap())
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// A tell that finds a place is accepted at once; without one it waits, and later ones wait behind
/// it.
#[tokio::test]
async fn a_tell_waits_for_a_place() {
    let alice = alice();
    assert!(poll(pin!(alice.tell(Deposit(1)).into_future())).is_some());
    let (mut rest, places) = (HeldPlaces::default(), &alice.target().cell.places);
    rest.merge(places.hold(places.try_take(u32::try_from(places.free()).unwrap()).unwrap()));
    let mut first = pin!(alice.tell(Deposit(2)).into_future());
    assert!(poll(first.as_mut()).is_none());
    let mut second = pin!(alice.tell(Deposit(3)).into_future());
    assert!(poll(second.as_mut()).is_none());
    drop(rest.split(1));
    assert!(poll(second.as_mut()).is_none(), "the place is the first one's, which is not overtaken");
    drop(first.await.unwrap());
    let receipt = second.await.unwrap();
    receipt.durable().await.unwrap();
    assert_eq!(alice.ask(Deposit(0)).await.unwrap(), 6);
}

/// Invariant: bounded. While the log is over its budget a tell waits, also with a free place.
#[tokio::test]
async fn a_tell_waits_for_the_log() {
    let alice = alice();
    let mut accepted = Unlogged::default();
    accepted.add(alice.target().core.services.log_budget.backpressure(), LOG_BYTES + 1);
    let mut waiting = pin!(alice.tell(Deposit(1)).into_future());
    assert!(poll(waiting.as_mut()).is_none());
    assert_eq!(alice.target().cell.places.free(), MAILBOX_PLACES_MAX, "it takes none while it waits");
    drop(accepted);
    drop(waiting.await.unwrap());
}

/// A tell that is given up in time, or meets the end, is in no mailbox, and its message comes back.
#[tokio::test]
async fn a_tell_that_is_not_accepted_comes_back() {
    let alice = alice();
    let full = fill(&alice);
    let late = alice.tell(Deposit(1)).timeout(Duration::ZERO).await.unwrap_err();
    assert!(matches!((late.message, late.reason), (Deposit(1), Refused::Timeout)));
    let mut waiting = pin!(alice.tell(Deposit(2)).into_future());
    assert!(poll(waiting.as_mut()).is_none());
    alice.target().core.lifecycle.host_is_gone();
    let ended = waiting.await.unwrap_err();
    assert!(matches!((ended.message, ended.reason), (Deposit(2), Refused::Unavailable(_))));
    drop(full);
    assert!(alice.tell(Deposit(3)).await.is_err(), "after the end too, when there is a place");
    assert_eq!(alice.target().cell.waiting(), 0);
}

/// A runtime that closes while a sender waits for a place takes its message no more.
#[tokio::test]
async fn a_place_that_comes_after_the_end_is_of_no_use() {
    let alice = alice();
    let full = fill(&alice);
    let mut waiting = pin!(alice.tell(Deposit(1)).into_future());
    assert!(poll(waiting.as_mut()).is_none());
    alice.target().core.lifecycle.close();
    drop(full);
    assert!(matches!(waiting.await.unwrap_err().reason, Refused::Unavailable(_)));
    assert_eq!(alice.target().cell.places.free(), MAILBOX_PLACES_MAX);
}

/// A handler that waits for its own actor would wait for ever: it hears so instead, and a tell that
/// finds a place is accepted.
#[tokio::test]
async fn a_handler_does_not_wait_for_its_own_actor() {
    let alice = alice();
    let handling = Handling::enter(&*alice.target().cell);
    let Ok(receipt) = poll(pin!(alice.tell(Deposit(1)).into_future())).unwrap() else {
        panic!("there is a place")
    };
    assert!(matches!(receipt.durable().await, Err(Unavailable::WaitsForItself { .. })));
    let asked = alice.ask(Deposit(2)).await.unwrap_err();
    assert!(matches!(
        asked,
        AskError::NotAccepted { reason: Refused::Unavailable(Unavailable::WaitsForItself { .. }), .. }
    ));
    let places = &alice.target().cell.places;
    let _full = places.hold(places.try_take(u32::try_from(places.free()).unwrap()).unwrap());
    let told = alice.tell(Deposit(3)).await.unwrap_err();
    assert!(matches!(told.reason, Refused::Unavailable(Unavailable::WaitsForItself { .. })));
    drop(handling);
    receipt.durable().await.unwrap();
}

/// Once an ask is accepted nobody may say that it was not handled, whatever ends the wait.
#[tokio::test]
async fn an_accepted_ask_without_an_answer_is_unknown() {
    let disk = SimulatedDisk::new(1);
    let core = core(Arc::new(disk.open()));
    let alice: ActorRef<Account> = ActorRef::new(Arc::clone(&core), account(&core, "alice"));
    disk.plan_next(Fault::Hang, Call::Sync);
    let late = alice.ask(Deposit(1)).timeout(Duration::ZERO).await.unwrap_err();
    assert!(matches!(late, AskError::Unknown { reason: NoAnswer::Timeout }));
    let mut asked = pin!(alice.ask(Deposit(2)).into_future());
    assert!(poll(asked.as_mut()).is_none());
    core.lifecycle.host_is_gone();
    assert!(matches!(asked.await, Err(AskError::Unknown { reason: NoAnswer::Unavailable(_) })));
    let after = alice.ask(Deposit(3)).await;
    assert!(matches!(after, Err(AskError::NotAccepted { .. })), "nothing is accepted after the end");
    disk.release();
}
