//! Tests of what a cell counts as accepted.

use std::sync::Arc;

use relive_replay::{Actor, KindBuilder};
use relive_storage::record::Sender;
use relive_storage::{ActorId, Name};
use serde::{Deserialize, Serialize};

use crate::actor::cell::{ActorCell, Wake};
use crate::actor::envelope::Waiter;
use crate::actor::mailbox::{Batch, Mail};
use crate::backpressure::Backpressure;
use crate::retention::passive_pins::PassivePins;
use crate::retention::pin_index::PinIndex;

#[derive(Serialize, Deserialize)]
struct Account;

impl Actor for Account {
    const KIND: &'static str = "account";

    fn create(_: &str) -> Self {
        Self
    }
}

fn cell(backpressure: &Arc<Backpressure>) -> Arc<ActorCell> {
    let kind = KindBuilder::<Account>::new().build().unwrap();
    let pin_index = Arc::new(PinIndex::new(PassivePins::default()));
    let id = ActorId::new("account", "alice").unwrap();
    Arc::new(ActorCell::new(id, kind, pin_index, Arc::clone(backpressure)))
}

/// Puts a message into the mailbox of a cell whose turn runs, or begins.
fn push(cell: &Arc<ActorCell>) {
    let (sender, message, waiter) = (Sender::Outside, Name::from_static("credit"), Waiter::Nobody);
    let taken = cell.places.try_take(1);
    let (_, wake) = cell.push(Mail { sender, message, payload: b"5", waiter, taken }, 0).unwrap();
    if let Wake::Start(start) = wake {
        drop(start.take());
    }
}

/// Invariant: bounded. A message counts from its acceptance until a turn has put it into the log.
#[test]
fn a_message_counts_until_it_is_logged() {
    let backpressure = Arc::new(Backpressure::new(0));
    let cell = cell(&backpressure);
    (0..3).for_each(|_| push(&cell));
    assert!(backpressure.is_held_back());
    let mut mail = Batch::default();
    let _ = cell.take_mail(&mut mail);
    assert_eq!(mail.len(), 3);
    assert!(backpressure.is_held_back(), "a turn has taken them, and has not logged them");
    cell.give_back(mail);
    assert!(backpressure.is_held_back());
    let mut mail = Batch::default();
    let _ = cell.take_mail(&mut mail);
    while mail.pop().is_some() {}
    mail.is_logged();
    assert!(!backpressure.is_held_back());
}

/// What a mailbox accepts while the handler waits holds back nobody, before the wait or in it, and
/// counts again after it: then a turn takes it in.
#[test]
fn messages_that_wait_for_a_handler_that_waits_do_not_count() {
    let backpressure = Arc::new(Backpressure::new(0));
    let cell = cell(&backpressure);
    push(&cell);
    assert!(backpressure.is_held_back());
    let waits = cell.begin_wait();
    assert!(!backpressure.is_held_back());
    push(&cell);
    assert!(!backpressure.is_held_back());
    drop(waits);
    assert!(backpressure.is_held_back());
}
