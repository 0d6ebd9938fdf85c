//! Which actors come back from a log, which stop, and what of that is noted and told.

use std::sync::Mutex;

use relive_replay::payload::encode;
use relive_replay::{Actor, KindBuilder};
use relive_storage::record::Sender;
use relive_storage::{Lsn, Ssn};
use serde::{Deserialize, Serialize};

use super::*;
use crate::backpressure::Backpressure;
use crate::recovery::analysis::analyze;
use crate::recovery::testing::{Account, Boom, Deposit, Pass, TestLog, from_actor, id, kinds};
use crate::retention::pin_index::PinIndex;

/// What came of an opening.
struct Opened {
    recovered: Result<Recovered, OpenError>,
    /// The actors restored, of how many, at each step that was told.
    told: Vec<(usize, usize)>,
    /// The notes: whose, where the replay begins, how far it came.
    noted: Vec<(ActorId, Rsn, Rsn)>,
}

/// Does what an opening does up to here; a delivery has three tries.
fn opened(log: &TestLog, kinds: &Kinds) -> Opened {
    let analysis = analyze(&log.store, kinds, &|_| ()).unwrap();
    let (told, noted) = (Arc::new(Mutex::new(Vec::new())), Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let progress = move |step| match step {
        RecoveryProgress::Replaying { actors, of, .. } => tell.lock().unwrap().push((actors, of)),
        RecoveryProgress::Reading { .. } => panic!("the log has been read"),
    };
    let note = |notes: &[ReplayNote]| {
        let notes = notes.iter().map(|note| (note.actor.clone(), note.from, note.handled));
        noted.lock().unwrap().extend(notes);
        Ok(())
    };
    let pin_index = Arc::new(PinIndex::new(analysis.passive_pins));
    let recovery = Recovery {
        store: &log.store,
        store_id: analysis.extent.store,
        scanned: &analysis.scanned,
        progress: &progress,
        kinds,
        actors: &ActorTable::new(kinds.clone(), pin_index, Backpressure::none()),
        replayers: &Replayers::new(1, 8 << 20),
        note: &note,
        in_probation: analysis.unsettled,
        last_tried: &analysis.last_tried,
        tries: 3,
        retention: std::time::Duration::MAX,
    };
    let recovered = recovery.restore_all(analysis.actors).and_then(|mut recovered| {
        recovery.check_passive(&analysis.passive, &mut recovered)?;
        Ok(recovered)
    });
    let told = told.lock().unwrap().clone();
    Opened { recovered, told, noted: noted.into_inner().unwrap() }
}

fn recovered(log: &TestLog) -> Recovered {
    opened(log, &kinds()).recovered.unwrap_or_else(|error| panic!("{error}"))
}

/// The state of a restored actor.
fn cents(cell: &ActorCell) -> Option<u64> {
    cell.with_idle(|active, _| active.instance.state::<Account>().map(|account| account.cents)).flatten()
}

/// Says that an actor has handled all up to a delivery, in the frame of the next one.
fn handled_up_to(log: &mut TestLog, actor: &ActorId, handled: u64) {
    let payload = encode(&Deposit(0)).unwrap();
    log.frame(actor, handled, |frame| {
        let rsn = Rsn::new(handled + 1);
        frame.put_delivery(rsn, &Sender::Outside, false, &"deposit".into(), &payload);
    });
    log.commit();
}

/// Invariant: one-step. From the checkpoint and the log after it comes the state at the end.
#[test]
fn an_actor_comes_back_from_its_checkpoint_and_log() {
    let (mut log, alice, bob) = (TestLog::default(), id("alice"), id("bob"));
    for rsn in 1..=4 {
        log.deposit(&alice, rsn);
    }
    log.checkpoint(&alice, 3, 1);
    let at = log.deposit(&bob, 1);
    let recovered = recovered(&log);
    let ids: Vec<_> = recovered.cells.iter().map(|cell| cell.id.clone()).collect();
    assert_eq!(ids, [alice, bob], "in the same order each time");
    assert_eq!(recovered.cells.iter().map(|cell| cents(cell)).collect::<Vec<_>>(), [Some(10), Some(1)]);
    assert_eq!(recovered.cells[0].pins().needed(), Some(Lsn::FIRST), "for the checkpoint before");
    assert_eq!(recovered.cells[1].pins().needed(), Some(at));
    assert!(recovered.worked && recovered.unhandled.is_empty() && recovered.failed.is_empty());
    assert_eq!(recovered.replayed, 2);
}

/// What was certainly handled is never tried again: the actor stops, and the others are served.
#[test]
fn a_handled_delivery_that_halts_stops_its_actor() {
    let (mut log, alice, bob) = (TestLog::default(), id("alice"), id("bob"));
    log.received(&alice, 1, &Sender::Outside, &Boom());
    handled_up_to(&mut log, &alice, 1);
    log.deposit(&bob, 1);
    let recovered = recovered(&log);
    let [failure] = &recovered.failed[..] else { panic!("{:?}", recovered.failed) };
    assert_eq!(
        (&failure.actor, failure.cause, failure.halt.rsn),
        (&alice, FailureCause::Replay, Rsn::new(1))
    );
    assert!(recovered.cells[0].failure().is_some());
    assert_eq!(cents(&recovered.cells[1]), Some(1));
}

/// A delivery that nobody knows to be handled is tried live, and the replay was its first try.
#[test]
fn a_delivery_that_may_be_new_is_left_to_live() {
    let (mut log, alice) = (TestLog::default(), id("alice"));
    log.deposit(&alice, 1);
    log.received(&alice, 2, &Sender::Outside, &Boom());
    log.deposit(&alice, 3);
    let recovered = recovered(&log);
    assert!(recovered.failed.is_empty());
    assert_eq!(recovered.unhandled.len(), 1);
    let looked = recovered.cells[0].with_idle(|active, _| {
        (active.instance.handled(), active.backlog.len(), active.tried, active.probation.is_some())
    });
    assert_eq!(looked, Some((Rsn::new(1), 2, Some((Rsn::new(2), 1)), true)));
}

/// Invariant: no-orphan. A receiver can't have a message that its sender, by its own records, never
/// sent.
#[test]
fn a_message_that_was_never_sent_is_an_orphan() {
    let (mut log, alice, bob) = (TestLog::default(), id("alice"), id("bob"));
    log.deposit(&alice, 1);
    log.received(&bob, 1, &from_actor("alice", 1), &Deposit(1));
    // The effects of the delivery are on record: there were none.
    let payload = encode(&Deposit(0)).unwrap();
    log.frame_since(Some(&alice), (0, 1), |frame| {
        frame.put_delivery(Rsn::new(2), &Sender::Outside, false, &"deposit".into(), &payload);
    });
    log.commit();
    let refused = opened(&log, &kinds()).recovered.err().expect("the opening refuses it");
    let OpenError::Orphan { receiver, sender, received, sent } = refused else { panic!("{refused}") };
    assert_eq!((receiver, sender, received, sent), (bob, alice, Ssn::new(1), Ssn::NONE));
}

/// What its receiver has logged is not sent again, and the rest is.
#[test]
fn an_outbox_comes_back_without_what_has_arrived() {
    let (mut log, alice, bob) = (TestLog::default(), id("alice"), id("bob"));
    for rsn in 1..=2 {
        log.received(&alice, rsn, &Sender::Outside, &Pass("bob".to_owned()));
    }
    let unacknowledged = |log: &TestLog| {
        recovered(log).cells[0].owed().messages.iter().map(|owed| owed.ssn.get()).collect::<Vec<_>>()
    };
    assert_eq!(unacknowledged(&log), [1, 2]);
    log.received(&bob, 1, &from_actor("alice", 1), &Deposit(1));
    assert_eq!(unacknowledged(&log), [2]);
}

/// Two actors with something handled, whose opening did not come to its end.
fn unsettled() -> (TestLog, ActorId, ActorId) {
    let (mut log, alice, bob) = (TestLog::default(), id("alice"), id("bob"));
    for actor in [&alice, &bob] {
        log.deposit(actor, 1);
        handled_up_to(&mut log, actor, 1);
    }
    log.opening();
    (log, alice, bob)
}

/// In probation the log knows of each replay, before it begins and when it has ended, and nothing
/// that may be new is replayed.
#[test]
fn in_probation_each_replay_is_noted() {
    let (log, alice, bob) = unsettled();
    let opened = opened(&log, &kinds());
    let (none, one) = (Rsn::NONE, Rsn::new(1));
    let of = |actor: &ActorId| [(actor.clone(), one, none), (actor.clone(), one, one)];
    assert_eq!(opened.noted, [of(&alice), of(&bob)].concat());
    let recovered = opened.recovered.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((recovered.replayed, recovered.unhandled.len()), (2, 2));
    assert!(recovered.unhandled.iter().all(|(_, watched)| watched.mode == ProbeMode::Actor));
    assert_eq!(recovered.last_tried, None);
}

/// The one that was tried alone when the process ended comes back delivery by delivery.
#[test]
fn the_actor_that_was_tried_last_is_tried_by_delivery() {
    let (mut log, alice, _) = unsettled();
    log.attempt(&alice, 2, 1);
    let recovered = recovered(&log);
    assert_eq!(recovered.last_tried.as_ref(), Some(&alice));
    for (cell, watched) in &recovered.unhandled {
        let mode = if cell.id == alice { ProbeMode::Delivery } else { ProbeMode::Actor };
        assert_eq!(watched.mode, mode, "{}", cell.id);
    }
}

/// An actor in whose replay the process has ended as often as a delivery has tries is left alone
/// for once. Fewer ends stop nobody. Those who hear of the progress hear of all actors once.
#[test]
fn an_actor_whose_replay_keeps_ending_the_process_is_left_alone() {
    let (mut log, alice, bob) = unsettled();
    for ends in 1..=3 {
        log.attempt(&alice, 1, 0);
        let Opened { recovered, told, noted } = opened(&log, &kinds());
        let recovered = recovered.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(told.last(), Some(&(2, 2)), "{told:?}");
        assert_eq!(recovered.failed.len(), usize::from(ends == 3));
        if let [failure] = &recovered.failed[..] {
            assert_eq!((&failure.actor, failure.cause), (&alice, FailureCause::Replay));
            assert_eq!(failure.halt.reason, HaltReason::ReplayEnded { ends: 3 });
            assert!(noted.iter().all(|(actor, ..)| *actor == bob), "its replay is not begun");
        } else {
            let (last, _, _) = noted.last().unwrap();
            assert_eq!(*last, alice, "the one under way when the process ended comes last");
        }
        log.opening();
    }
}

#[derive(Serialize, Deserialize)]
struct NamedAccount {
    name: String,
}

impl Actor for NamedAccount {
    const KIND: &'static str = Account::KIND;

    fn create(key: &str) -> Self {
        Self { name: key.to_owned() }
    }
}

/// A passive actor whose state this code can't read is reported now, and not to its first sender.
#[test]
fn a_passive_actor_that_does_not_decode_is_reported() {
    let (mut log, alice) = (TestLog::default(), id("alice"));
    log.deposit(&alice, 1);
    log.checkpoint(&alice, 1, 1);
    assert!(recovered(&log).failed.is_empty());
    let other = Kinds::from([(Account::KIND, KindBuilder::<NamedAccount>::new().build().unwrap())]);
    let recovered = opened(&log, &other).recovered.unwrap_or_else(|error| panic!("{error}"));
    let [failure] = &recovered.failed[..] else { panic!("{:?}", recovered.failed) };
    assert!(matches!(failure.halt.reason, HaltReason::Checkpoint { .. }), "{failure}");
    assert_eq!(recovered.cells[0].pins().needed(), Some(Lsn::FIRST), "its log is kept");
}

/// The damage of one actor's records is the store's damage, so the opening refuses it.
#[test]
fn records_that_contradict_themselves_refuse_the_opening() {
    let (mut log, alice) = (TestLog::default(), id("alice"));
    // Its channel begins with the second message.
    log.received(&alice, 1, &from_actor("bob", 2), &Deposit(1));
    let refused = opened(&log, &kinds()).recovered.err().expect("the opening refuses it");
    let OpenError::Records(halt) = refused else { panic!("{refused}") };
    assert_eq!((halt.actor.clone(), halt.rsn), (alice, Rsn::new(1)));
    assert!(is_damage(&halt));
}
