//! What an intake takes in, once, and who hears of it.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use relive_replay::HaltReason;
use relive_storage::simulated_store::{Call, Fault, SimulatedDisk};
use relive_storage::{ActorId, Name, Rsn, Ssn};
use tokio::sync::oneshot;

use super::*;
use crate::actor::envelope::OutboxOwner;
use crate::limits::MAILBOX_PLACES_MAX;
use crate::shared::testing::{Deposit, account, core};
use crate::turn::tests::{arrives, begin, memory_core, push, send, state};

/// A sending actor that notes what is acknowledged.
#[derive(Default)]
struct Noting(Mutex<Vec<u64>>);

impl Noting {
    fn noted(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
}

impl OutboxOwner for Noting {
    fn acknowledge(&self, _: &ActorId, ssn: Ssn) {
        self.0.lock().unwrap().push(ssn.get());
    }

    fn acknowledge_reply(&self, _: &ActorId, ssn: Ssn) {
        panic!("it owes no reply to {ssn}");
    }
}

/// A message of the actor "bob".
fn from_actor(turn: &Turn<'_>, ssn: u64, from: &Arc<Noting>) {
    let sender = Sender::Actor { id: ActorId::new("account", "bob").unwrap(), ssn: Ssn::new(ssn) };
    let owner = Arc::clone(from) as Arc<dyn OutboxOwner>;
    drop(send(turn.cell, &Deposit(1), sender, Waiter::Actor(owner)));
}

/// A message of a producer, and its receipt.
fn from_producer(turn: &Turn<'_>, ssn: u64) -> oneshot::Receiver<Result<Receipted, ReceiptError>> {
    let (receipt, receipted) = oneshot::channel();
    let sender = Sender::Producer { name: Name::from_static("import"), ssn: Ssn::new(ssn) };
    drop(send(turn.cell, &Deposit(1), sender, Waiter::Producer(receipt)));
    receipted
}

fn take(turn: &mut Turn<'_>) {
    drop(turn.cell.take_mail(&mut turn.mail, 0));
}

/// Everything that has come is one frame, in its order, and the backlog has the clock and seed
/// that the log has.
#[tokio::test]
async fn all_mail_is_one_frame_with_a_position_for_each() {
    let disk = SimulatedDisk::new(1);
    let core = core(Arc::new(disk.open()));
    let cell = account(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    arrives(&turn, &Deposit(1));
    arrives(&turn, &Deposit(2));
    drop(push(&cell, &Deposit(3), Waiter::Asker(oneshot::channel().0)));
    take(&mut turn);
    let received = turn.receive().await.ok().unwrap();
    assert_eq!((received.messages, received.logged.fresh, received.end), (3, 3, Some(Lsn::new(3))));
    turn.wait_durable(received).await.ok().unwrap();
    let store = core.services.store.get().unwrap();
    let block = store.read(Lsn::FIRST).unwrap().unwrap().block.unwrap();
    let frames: Vec<_> = block.frames().map(Result::unwrap).collect();
    assert_eq!(frames.len(), 1);
    for positioned in &frames[0].records {
        let relive_storage::record::Record::Delivery(logged) = &positioned.record else { panic!() };
        assert_eq!(turn.active.backlog.pop().unwrap().delivery, *logged);
    }
    assert!(turn.active.backlog.is_empty());
}

/// Invariant: log-before-handle. Nobody hears of a message before it is on stable storage.
#[tokio::test]
async fn receipts_and_acknowledgements_wait_for_the_disk() {
    let disk = SimulatedDisk::new(1);
    let core = core(Arc::new(disk.open()));
    let (cell, from) = (account(&core, "alice"), Arc::new(Noting::default()));
    let mut turn = begin(&core, &cell).await;
    disk.plan_next(Fault::Hang, Call::Sync);
    let mut receipted = from_producer(&turn, 1);
    from_actor(&turn, 1, &from);
    take(&mut turn);
    let received = turn.receive().await.ok().unwrap();
    let mut durable = pin!(turn.wait_durable(received));
    disk.wait_for_hang();
    assert!(durable.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(receipted.try_recv().is_err());
    assert_eq!(from.noted(), [0; 0]);
    assert!(pin!(cell.wait_logged(1)).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    disk.release();
    durable.await.ok().unwrap();
    assert_eq!(receipted.await.unwrap().unwrap(), Receipted::Logged(Rsn::new(1)));
    assert_eq!(from.noted(), [1]);
    cell.wait_logged(2).await.unwrap();
}

/// Invariant: exactly-once inside. A duplicate is acknowledged and goes no further; its places
/// are free again.
#[tokio::test]
async fn a_duplicate_is_acknowledged_and_dropped() {
    let core = memory_core();
    let (cell, from) = (account(&core, "alice"), Arc::new(Noting::default()));
    let mut turn = begin(&core, &cell).await;
    let (first, again) = (from_producer(&turn, 1), from_producer(&turn, 1));
    from_actor(&turn, 1, &from);
    from_actor(&turn, 1, &from);
    take(&mut turn);
    let received = turn.receive().await.ok().unwrap();
    assert_eq!((received.logged.fresh, received.logged.duplicates), (2, 2));
    turn.wait_durable(received).await.ok().unwrap();
    assert_eq!(first.await.unwrap().unwrap(), Receipted::Logged(Rsn::new(1)));
    assert_eq!(again.await.unwrap().unwrap(), Receipted::Duplicate);
    assert_eq!(from.noted(), [1, 1]);
    assert_eq!((turn.active.backlog.len(), cell.places.free()), (2, MAILBOX_PLACES_MAX - 1));
    let counts = core.services.counters.snapshot();
    assert_eq!((counts.deliveries, counts.duplicates), (2, 2));
}

/// A producer that skips a number hears which one is next, and what comes after is taken in.
#[tokio::test]
async fn a_gap_of_a_producer_is_refused() {
    let core = memory_core();
    let cell = account(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    let (skipped, first) = (from_producer(&turn, 2), from_producer(&turn, 1));
    take(&mut turn);
    let received = turn.receive().await.ok().unwrap();
    turn.wait_durable(received).await.ok().unwrap();
    let gap = skipped.await.unwrap().unwrap_err();
    let (one, two) = (Ssn::new(1), Ssn::new(2));
    assert!(matches!(gap, ReceiptError::Gap { expected, found, .. } if (expected, found) == (one, two)));
    assert_eq!(first.await.unwrap().unwrap(), Receipted::Logged(Rsn::new(1)));
    assert_eq!(cell.places.free(), MAILBOX_PLACES_MAX - 1);
}

/// A gap in what an actor sends is damage: the receiver halts, and what it has not looked at
/// stays in its mailbox, for those who tell the senders.
#[tokio::test]
async fn a_gap_of_an_actor_halts_the_receiver() {
    let core = memory_core();
    let (cell, from) = (account(&core, "alice"), Arc::new(Noting::default()));
    let mut turn = begin(&core, &cell).await;
    from_actor(&turn, 2, &from);
    arrives(&turn, &Deposit(1));
    take(&mut turn);
    let Err(TurnError::Halted(halt)) = turn.receive().await else { panic!("it has not halted") };
    assert!(matches!(halt.reason, HaltReason::Corrupt { .. }));
    assert_eq!((halt.rsn, cell.waiting(), from.noted()), (Rsn::new(1), 1, Vec::new()));
    assert_eq!(core.services.end_of_log(), Lsn::FIRST, "nothing is logged");
}

/// What does not fit into one frame goes on in the next, and is handled with it.
#[tokio::test]
async fn mail_of_more_than_a_frame_is_several() {
    let core = memory_core();
    let cell = account(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    let payload = vec![0; 700 << 10];
    for _ in 0..3 {
        let taken = cell.places.try_take(crate::actor::envelope::places_of(&payload));
        let (sender, message) = (Sender::Outside, Name::from_static("deposit"));
        let (payload, waiter) = (&payload[..], Waiter::Nobody);
        drop(cell.push(crate::actor::mailbox::Mail { sender, message, payload, waiter, taken }, 0).ok());
    }
    take(&mut turn);
    let received = turn.receive().await.ok().unwrap();
    assert_eq!((received.messages, received.logged.fresh, received.end), (2, 2, Some(Lsn::new(2))));
    assert_eq!((turn.active.backlog.len(), cell.waiting()), (2, 1), "an intake has its limit too");
    turn.wait_durable(received).await.ok().unwrap();
    let store = core.services.store.get().unwrap();
    let (mut at, mut frames) = (Lsn::FIRST, Vec::new());
    while let Some(stored) = store.read(at).unwrap() {
        let block = stored.block.unwrap();
        frames.extend(block.frames().map(|frame| frame.unwrap().records.len()));
        at = block.header().next();
    }
    assert_eq!(frames, [1, 1]);
}

/// A delivery that is not in quarantine can't leave it, and nothing is logged.
#[tokio::test]
async fn what_is_not_in_quarantine_is_not_discharged() {
    let core = memory_core();
    let cell = account(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    let (done, outcome) = oneshot::channel();
    turn.discharge(DischargeRequest { rsn: Rsn::new(1), anew: None, done }).await.ok().unwrap();
    assert!(matches!(outcome.await.unwrap(), Err(QuarantineError::NotQuarantined { .. })));
    assert_eq!((core.services.end_of_log(), state(&turn)), (Lsn::FIRST, (0, 0, 0)));
}
