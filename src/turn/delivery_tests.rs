//! What a turn does with the deliveries ahead of it: which it handles, what leaves the actor, and
//! what becomes of one that halts or is left out.

use relive_replay::{Tape, restore};
use relive_storage::record::{Positioned, Record, Sender};
use relive_storage::{Lsn, Name, Ssn};
use tokio::sync::oneshot;

use super::*;
use crate::actor::cell::ActorCell;
use crate::actor::envelope::{DischargeRequest, OutboxOwner, ReplyTo, Waiter, places_of};
use crate::actor::probation::{Probation, ProbeMode};
use crate::error::Unavailable;
use crate::limits::MAILBOX_PLACES_MAX;
use crate::shared::Core;
use crate::shared::testing::{Deposit, Fail, Pay, account, desk};
use crate::turn::dispatch::acknowledge_reply;
use crate::turn::tests::{arrives, begin, fill_outbox, memory_core, push, send, state};

/// Takes in what is in the mailbox, and waits until it is durable.
async fn take_in(turn: &mut Turn<'_>) {
    drop(turn.cell.take_mail(&mut turn.mail, 0));
    let received = turn.receive().await.ok().unwrap();
    turn.wait_durable(received).await.ok().unwrap();
}

fn asks<M: relive_replay::Message>(
    turn: &Turn<'_>,
    message: &M,
) -> oneshot::Receiver<Result<Answer, Unavailable>> {
    let (asker, answer): (ReplyTo, _) = oneshot::channel();
    drop(push(turn.cell, message, Waiter::Asker(asker)));
    answer
}

fn halted(outcome: Result<(), TurnError>) -> Halt {
    match outcome {
        Err(TurnError::Halted(halt)) => *halt,
        Err(TurnError::Over) => panic!("the runtime has ended"),
        Ok(()) => panic!("it has not halted"),
    }
}

fn records(core: &Core) -> u64 {
    core.services.end_of_log().since(Lsn::FIRST).unwrap()
}

/// Invariant: log-before-handle. A turn handles as many as it was told are durable, in their order,
/// and their places are free then.
#[tokio::test]
async fn only_what_is_stable_is_handled() {
    let core = memory_core();
    let cell = account(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    (1..=3).for_each(|cents| arrives(&turn, &Deposit(cents)));
    take_in(&mut turn).await;
    assert_eq!(cell.places.free(), MAILBOX_PLACES_MAX - 3);
    turn.handle_backlog(2).await.ok().unwrap();
    assert_eq!((state(&turn), cell.places.free()), ((3, 2, 1), MAILBOX_PLACES_MAX - 1));
}

/// Invariant: bounded. The delivery that fills the outbox is the last that is handled.
#[tokio::test]
async fn a_full_outbox_ends_the_handling() {
    let core = memory_core();
    let cell = account(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    (0..2).for_each(|_| arrives(&turn, &Pay("bob".to_owned())));
    take_in(&mut turn).await;
    fill_outbox(&cell, 1);
    turn.handle_backlog(2).await.ok().unwrap();
    assert_eq!(state(&turn), (-1, 1, 1));
    assert!(cell.outbox_is_full());
}

/// What a handler sends stays in the outbox and is in the receiver's mailbox; its reply goes to the
/// asker.
#[tokio::test]
async fn effects_leave_after_the_step() {
    let core = memory_core();
    let cell = account(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    arrives(&turn, &Pay("alice".to_owned()));
    let answer = asks(&turn, &Deposit(5));
    take_in(&mut turn).await;
    turn.handle_backlog(2).await.ok().unwrap();
    let sent = cell.owed().messages;
    assert_eq!(sent.iter().map(|outgoing| &outgoing.to).collect::<Vec<_>>(), [&cell.id]);
    assert_eq!(cell.waiting(), 1);
    let Ok(Ok(Answer::Reply(reply))) = answer.await else { panic!("no reply has come") };
    assert_eq!(relive_replay::payload::decode::<i64>(&reply).unwrap(), 4);
}

/// When a shutdown keeps sends, they wait in the outbox for the next opening.
#[tokio::test]
async fn sends_that_are_kept_reach_nobody() {
    let core = memory_core();
    let cell = account(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    arrives(&turn, &Pay("alice".to_owned()));
    take_in(&mut turn).await;
    core.lifecycle.keep_sends();
    turn.handle_backlog(1).await.ok().unwrap();
    assert_eq!((cell.owed().messages.len(), cell.waiting()), (1, 0));
}

/// A delivery that halts is the next again, its asker waits on, and what was handled before it
/// holds no place.
#[tokio::test]
async fn what_halts_is_still_ahead() {
    let core = memory_core();
    let cell = account(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    arrives(&turn, &Deposit(5));
    let mut answer = asks(&turn, &Fail);
    take_in(&mut turn).await;
    let halt = halted(turn.handle_backlog(2).await);
    assert!(matches!(halt.reason, HaltReason::Panicked { .. }));
    assert_eq!((halt.rsn, turn.active.backlog.len()), (Rsn::new(2), 1));
    assert_eq!(cell.places.free(), MAILBOX_PLACES_MAX - 1);
    assert!(matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
    assert_eq!(turn.active.backlog.first_sender(), Some(&Sender::Outside));
}

/// A turn of an account with a delivery in quarantine, by the decision of a supervisor.
async fn with_quarantined<'a>(core: &'a Arc<Core>, cell: &'a Arc<ActorCell>) -> Turn<'a> {
    let mut turn = begin(core, cell).await;
    let answer = asks(&turn, &Fail);
    arrives(&turn, &Deposit(5));
    take_in(&mut turn).await;
    let before = records(core);
    let reason = "it panicked".to_owned();
    turn.active.pending_quarantine = Some(Quarantine { rsn: Rsn::new(1), tries: 3, reason });
    turn.handle_backlog(2).await.ok().unwrap();
    assert_eq!(records(core), before + 1, "the decision is logged, once");
    let Ok(Ok(Answer::LeftOut(entry))) = answer.await else { panic!("its asker is not told") };
    assert_eq!((entry.rsn, entry.tries), (Rsn::new(1), 3));
    turn
}

/// A decision to leave a delivery out is logged, its asker is told, and nothing else changes.
#[tokio::test]
async fn what_is_left_out_changes_nothing() {
    let core = memory_core();
    let cell = account(&core, "alice");
    let turn = with_quarantined(&core, &cell).await;
    assert_eq!((state(&turn), cell.places.free()), ((5, 2, 0), MAILBOX_PLACES_MAX));
    assert_eq!(core.services.quarantine.all().len(), 1);
    assert_eq!(turn.active.instance.quarantined().len(), 1);
    assert_eq!(core.services.committer.durable(), core.services.end_of_log());
}

/// A delivery that is tried again gets a new position and keeps the keys of its first; one that is
/// given up is gone.
#[tokio::test]
async fn what_leaves_the_quarantine_is_new_or_gone() {
    for anew in [true, false] {
        let core = memory_core();
        let cell = account(&core, "alice");
        let mut turn = with_quarantined(&core, &cell).await;
        let payload = relive_replay::payload::encode(&Fail).unwrap();
        let places = cell.places.hold(cell.places.try_take(places_of(&payload)).unwrap());
        let (done, outcome) = oneshot::channel();
        let request = DischargeRequest { rsn: Rsn::new(1), anew: anew.then_some(places), done };
        turn.discharge(request).await.ok().unwrap();
        let rsn = outcome.await.unwrap().unwrap();
        assert_eq!(rsn, Rsn::new(if anew { 3 } else { 1 }));
        assert_eq!(turn.active.instance.origin(rsn), Rsn::new(1));
        assert_eq!(turn.active.backlog.len(), usize::from(anew));
        assert_eq!(cell.places.free(), MAILBOX_PLACES_MAX - usize::from(anew));
        assert!(core.services.quarantine.all().is_empty());
        assert_eq!(turn.active.instance.quarantined().len(), 0);
    }
}

/// A turn whose actor has found unhandled deposits in the log, with tries of the first that ended
/// the process.
fn in_probation<'a>(
    core: &'a Arc<Core>,
    cell: &'a Arc<ActorCell>,
    (mode, tries, asked): (ProbeMode, usize, bool),
) -> Turn<'a> {
    let (mut tape, rsn) = (Tape::after(Rsn::NONE), Rsn::new(1));
    let payload: bytes::Bytes = relive_replay::payload::encode(&Deposit(5)).unwrap().into();
    let deposit = |rsn| {
        let (message, payload) = (Name::from_static("deposit"), payload.clone());
        let mut envelope = Envelope::new(Sender::Outside, message, payload, Waiter::Nobody);
        (envelope.delivery.rsn, envelope.delivery.asked) = (Rsn::new(rsn), asked);
        Record::Delivery(envelope.delivery)
    };
    let mut add = |records: Vec<Record>| {
        let records = records.into_iter().map(|record| Positioned { lsn: Lsn::FIRST, record });
        tape.add((Rsn::NONE, Rsn::NONE), Some(&[]), records).unwrap();
    };
    add(vec![deposit(1), deposit(2)]);
    (0..tries).for_each(|_| add(vec![Record::Attempt(rsn)]));
    let store = core.services.store.id();
    let restored = restore(&cell.kind, &cell.id, store, None, &mut tape, Some(rsn)).unwrap();
    let mut active = Activation::new(restored, tape).unwrap();
    let (probation, mut watched) = Probation::new(active.instance.received(), mode);
    watched.permit();
    active.probation = Some(probation);
    Turn::new(core, cell, Box::new(active))
}

/// A note stands in the log ahead of each try that may end the process, and behind it when tries
/// count for the delivery alone.
#[tokio::test]
async fn tries_in_probation_are_noted() {
    for (mode, notes) in [(ProbeMode::None, 0), (ProbeMode::Actor, 1), (ProbeMode::Delivery, 4)] {
        let core = memory_core();
        let cell = account(&core, "alice");
        let mut turn = in_probation(&core, &cell, (mode, 0, false));
        turn.handle_backlog(2).await.ok().unwrap();
        assert_eq!((state(&turn), records(&core)), ((10, 2, 0), notes), "{mode:?}");
        assert!(turn.active.probation.is_none(), "all that was found is handled");
    }
}

/// A noted try that halts has not ended the process, and the log says so: a program that ends
/// because an actor has failed must not make the delivery one that ends the process.
#[tokio::test]
async fn a_noted_try_that_halts_is_over_in_the_log() {
    for (mode, notes) in [(ProbeMode::None, 0), (ProbeMode::Actor, 1 + 2), (ProbeMode::Delivery, 1 + 2)] {
        let core = memory_core();
        let cell = account(&core, "alice");
        let mut turn = in_probation(&core, &cell, (mode, 0, false));
        let mut first = turn.active.backlog.pop().unwrap();
        first.delivery.message = Name::from_static("fail");
        first.delivery.payload = relive_replay::payload::encode(&Fail).unwrap().into();
        turn.active.backlog.put_back(first);
        let halt = halted(turn.handle_backlog(2).await);
        assert!(matches!(halt.reason, HaltReason::Panicked { .. }));
        assert_eq!((records(&core), turn.active.backlog.len()), (notes, 2), "{mode:?}");
    }
}

/// A delivery that ended the process as often as it has tries halts instead of ending it again.
/// When a caller, or a query of the actor, may have learned of the delivery, every second opening
/// tries it.
#[tokio::test]
async fn what_ends_the_process_is_not_tried_for_ever() {
    let tries = crate::config::RestartPolicy::default().tries as usize;
    for (asked, has_queries, tries, is_tried) in [
        (false, false, tries - 1, true),
        (false, false, tries, false),
        (true, false, tries, true),
        (true, false, tries + 1, false),
        (true, false, tries + 2, true),
        (false, true, tries, true),
        (false, true, tries + 1, false),
    ] {
        let core = memory_core();
        let cell = if has_queries { desk(&core, "alice") } else { account(&core, "alice") };
        let mut turn = in_probation(&core, &cell, (ProbeMode::Delivery, tries, asked));
        let outcome = turn.handle_backlog(1).await;
        if is_tried {
            outcome.ok().unwrap();
            assert_eq!((turn.active.instance.handled(), turn.active.backlog.len()), (Rsn::new(1), 1));
            continue;
        }
        let HaltReason::ProcessEnded { tries: told, may_be_known, .. } = halted(outcome).reason else {
            panic!("it halted for another reason")
        };
        assert_eq!((told as usize, may_be_known), (tries, asked || has_queries));
        assert_eq!((turn.active.backlog.len(), records(&core)), (2, 0), "it was not tried");
    }
}

/// Invariant: exactly-once inside. The reply to another actor is there before it leaves, and as
/// long as the asker does not have it on stable storage.
#[tokio::test]
async fn a_reply_is_kept_until_its_asker_has_it() {
    let core = memory_core();
    let (cell, asker) = (account(&core, "alice"), account(&core, "bob"));
    let mut turn = begin(&core, &cell).await;
    let sender = Sender::Actor { id: asker.id.clone(), ssn: Ssn::new(1) };
    let debtor = Arc::clone(&asker) as Arc<dyn OutboxOwner>;
    drop(send(&cell, &Deposit(5), sender, Waiter::AskingActor(debtor)));
    take_in(&mut turn).await;
    turn.handle_backlog(1).await.ok().unwrap();
    let owed = cell.owed().replies;
    assert_eq!(owed.iter().map(|reply| (reply.to.key(), reply.ssn.get())).collect::<Vec<_>>(), [("bob", 1)]);
    acknowledge_reply(&core, &asker, &cell.id, Ssn::new(1));
    assert!(cell.owed().is_empty());
}
