//! What an opening finds in a store, before it changes anything.

use relive_replay::payload::encode;
use relive_replay::{Actor, KindBuilder};
use relive_storage::record::Sender;
use relive_storage::{Checkpoint, CheckpointHeader, CheckpointStore, MemoryStore};
use serde::{Deserialize, Serialize};

use super::*;
use crate::limits::PASSIVE_CHECKED_MAX;
use crate::recovery::catalog::list;
use crate::recovery::testing::{Account, Boom, Deposit, Note, Pass, TestLog, from_actor, id, kinds};

fn analyzed_with(log: &TestLog, kinds: &Kinds) -> Result<Analysis, OpenError> {
    analyze(&log.store, kinds, &|_| ())
}

fn analyzed(log: &TestLog) -> Analysis {
    analyzed_with(log, &kinds()).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(log: &TestLog, kinds: &Kinds) -> OpenError {
    analyzed_with(log, kinds).err().expect("the opening refuses it")
}

#[test]
fn an_empty_store_holds_nothing() {
    let found = analyzed(&TestLog::default());
    assert!(found.actors.is_empty() && found.passive.is_empty() && found.last_tried.is_empty());
    assert_eq!((found.records, found.last_checkpoint), (0, CheckpointNumber::default()));
    assert!(!found.uncertain && !found.unsettled);
}

/// Invariant: checkpoint-covers-log. The log before the checkpoint is kept for the fallback, and
/// only what comes after it is replayed.
#[test]
fn what_the_newest_checkpoint_contains_is_not_replayed() {
    let (mut log, alice) = (TestLog::default(), id("alice"));
    let first = log.deposit(&alice, 1);
    log.deposit(&alice, 2);
    let third = log.deposit(&alice, 3);
    log.checkpoint(&alice, 2, 5);
    let found = analyzed(&log);
    let actor = &found.actors[&alice];
    assert_eq!((actor.floor, actor.logged), (Rsn::new(2), Rsn::new(3)));
    assert_eq!((actor.tape.start(), actor.tape.last()), (Rsn::new(2), Rsn::new(3)));
    assert_eq!((actor.older, actor.newer), (Some(first), Some(third)));
    assert_eq!((found.records, found.last_checkpoint), (3, CheckpointNumber::new(5)));
    assert_eq!(found.passive_pins.first(), None, "the actor's own pins have it now");
    assert!(found.passive.is_empty() && found.uncertain);
}

/// An actor whose checkpoint holds all keeps the log for its fallback, and takes no more memory.
#[test]
fn an_actor_with_everything_in_its_checkpoint_stays_passive() {
    let (mut log, alice) = (TestLog::default(), id("alice"));
    let first = log.deposit(&alice, 1);
    log.deposit(&alice, 2);
    log.checkpoint(&alice, 2, 1);
    let found = analyzed(&log);
    assert!(found.actors.is_empty() && !found.uncertain);
    assert_eq!(found.passive, [alice]);
    assert_eq!(found.passive_pins.first(), Some(first));
}

/// Receivers may still need what an actor owes them, so it comes back without log of its own.
#[test]
fn an_actor_that_owes_messages_comes_back() {
    let (mut log, alice) = (TestLog::default(), id("alice"));
    log.received(&alice, 1, &Sender::Outside, &Pass("bob".to_owned()));
    log.checkpoint(&alice, 1, 1);
    let found = analyzed(&log);
    let actor = &found.actors[&alice];
    assert!(actor.has_outbox && !actor.is_uncertain());
    assert_eq!((actor.tape.remaining(), actor.older, actor.newer), (0, Some(Lsn::FIRST), None));
    assert!(found.passive.is_empty());
}

/// A message to replay needs its handler; one that a checkpoint contains does not.
#[test]
fn a_message_without_a_handler_is_refused_when_it_is_to_be_replayed() {
    let (mut log, alice) = (TestLog::default(), id("alice"));
    let without = Kinds::from([(Account::KIND, KindBuilder::<Account>::new().build().unwrap())]);
    log.deposit(&alice, 1);
    let refused = refusal(&log, &without);
    let OpenError::UnknownMessage { actor, rsn, message } = refused else { panic!("{refused}") };
    assert_eq!((actor, rsn, message.as_str()), (alice.clone(), Rsn::new(1), "deposit"));
    log.checkpoint(&alice, 1, 1);
    assert!(analyzed_with(&log, &without).is_ok());
    // One frame holds deliveries from both sides of the checkpoint.
    let (mut log, deposits) = (TestLog::default(), KindBuilder::<Account>::new().handles::<Deposit>());
    let payload = encode(&Deposit(1)).unwrap();
    log.frame(&alice, 0, |frame| {
        let (note, deposit) = (encode(&Note(String::new())).unwrap(), &payload);
        frame.put_delivery(Rsn::new(1), &Sender::Outside, false, &"note".into(), &note);
        frame.put_delivery(Rsn::new(2), &Sender::Outside, false, &"deposit".into(), deposit);
    });
    log.commit();
    let kinds = Kinds::from([(Account::KIND, deposits.build().unwrap())]);
    assert!(matches!(refusal(&log, &kinds), OpenError::UnknownMessage { .. }));
    log.checkpoint(&alice, 1, 1);
    let found = analyzed_with(&log, &kinds).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((found.actors[&alice].older, found.actors[&alice].newer), (None, Some(Lsn::FIRST)));
}

/// No record of a kind that this code does not know is passed over.
#[test]
fn a_kind_that_is_not_registered_is_refused() {
    let (mut log, alice) = (TestLog::default(), id("alice"));
    log.deposit(&alice, 1);
    let in_the_log = refusal(&log, &Kinds::new());
    assert!(
        matches!(in_the_log, OpenError::UnknownKind { ref kind, .. } if kind == "account"),
        "{in_the_log}"
    );
    // Also when the log does not show the actor any more.
    let only_checkpoint = TestLog::default();
    only_checkpoint.store.put(&[log.checkpoint_of(&alice, 1, 1)]).unwrap();
    let in_a_checkpoint = refusal(&only_checkpoint, &Kinds::new());
    assert!(matches!(in_a_checkpoint, OpenError::UnknownKind { .. }), "{in_a_checkpoint}");
}

#[derive(Serialize, Deserialize)]
struct NewAccount;

impl Actor for NewAccount {
    const KIND: &'static str = Account::KIND;
    const VERSION: u32 = 2;

    fn create(_: &str) -> Self {
        Self
    }
}

#[test]
fn a_state_of_another_version_is_refused() {
    let (mut log, alice) = (TestLog::default(), id("alice"));
    log.deposit(&alice, 1);
    log.checkpoint(&alice, 1, 1);
    let newer = Kinds::from([(Account::KIND, KindBuilder::<NewAccount>::new().build().unwrap())]);
    let refused = refusal(&log, &newer);
    assert!(matches!(refused, OpenError::StateVersion { stored: 1, registered: 2, .. }), "{refused}");
}

/// Invariant: prefix. A checkpoint contains only what was durable, so a log that ends before it has
/// lost its end: whether the actor is passive, or owes messages.
#[test]
fn a_log_that_ends_before_a_checkpoint_is_damaged() {
    for last in [false, true] {
        let (mut whole, mut short, alice) = (TestLog::default(), TestLog::default(), id("alice"));
        for log in [&mut whole, &mut short] {
            log.deposit(&alice, 1);
            log.deposit(&alice, 2);
        }
        if last {
            whole.received(&alice, 3, &Sender::Outside, &Pass("bob".to_owned()));
        } else {
            whole.deposit(&alice, 3);
        }
        short.store.put(&[whole.checkpoint_of(&alice, 3, 1)]).unwrap();
        let refused = refusal(&short, &kinds());
        let OpenError::Records(halt) = refused else { panic!("{refused}") };
        assert_eq!((halt.actor, halt.rsn), (alice, Rsn::new(3)));
    }
}

/// Invariant: prefix. Deliveries follow each other without a gap, before the checkpoint and after.
#[test]
fn a_delivery_that_is_missing_is_damage() {
    for checkpoint in [None, Some(3)] {
        let (mut whole, mut gap, alice) = (TestLog::default(), TestLog::default(), id("alice"));
        for rsn in 1..=3 {
            whole.deposit(&alice, rsn);
        }
        gap.deposit(&alice, 1);
        gap.deposit(&alice, 3);
        if let Some(rsn) = checkpoint {
            gap.store.put(&[whole.checkpoint_of(&alice, rsn, 1)]).unwrap();
        }
        let refused = refusal(&gap, &kinds());
        assert!(matches!(refused, OpenError::Store(StoreError::CorruptLog { .. })), "{refused}");
    }
}

/// Invariant: prefix. A checkpoint that is newer than carried frames says nothing of how far these
/// reach: what the actor received between the two follows on them.
#[test]
fn deliveries_follow_on_what_was_carried() {
    let without_gap = |received: &[u64]| {
        let (mut log, whole) = (TestLog::default(), &mut TestLog::default());
        let alice = id("alice");
        let first = log.deposit(&alice, 1);
        // Counts as news, also when the checkpoint has its delivery.
        log.discharge(&alice, 1, 1);
        log.carry(&alice, first, 2);
        for rsn in received {
            log.deposit(&alice, *rsn);
        }
        for rsn in 1..=4 {
            whole.deposit(&alice, rsn);
        }
        log.store.put(&[whole.checkpoint_of(&alice, 4, 1)]).unwrap();
        analyzed_with(&log, &kinds()).map(|found| found.actors[&alice].logged)
    };
    let whole = without_gap(&[2, 3, 4]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(whole, Rsn::new(4));
    for received in [&[3, 4][..], &[2, 4], &[2, 3]] {
        let refused = without_gap(received).expect_err("deliveries are missing");
        assert!(matches!(refused, OpenError::Store(_) | OpenError::Records(_)), "{refused}");
    }
}

/// The opening is in probation when the last one found something and did not come to its end.
#[test]
fn an_opening_is_settled_when_it_found_nothing_or_says_so() {
    let (mut log, alice) = (TestLog::default(), id("alice"));
    log.opening();
    log.deposit(&alice, 1);
    let first = analyzed(&log);
    assert!(first.uncertain && !first.unsettled, "the first life found nothing");
    log.opening();
    assert!(analyzed(&log).unsettled);
    log.deposit(&alice, 2);
    assert!(analyzed(&log).unsettled, "what came later does not tell of what was found");
    log.recovered();
    let settled = analyzed(&log);
    assert!(!settled.unsettled);
    assert_eq!(settled.actors[&alice].tape.settled(), Rsn::new(1), "the second delivery came later");
    // A checkpoint holds what was found: nothing is left of it.
    log.opening();
    assert!(analyzed(&log).unsettled);
    log.checkpoint(&alice, 2, 1);
    assert!(!analyzed(&log).unsettled);
}

/// Blocks follow one another, so only the actors of the last note may have ended the process.
#[test]
fn the_last_note_names_those_who_were_tried() {
    let (mut log, [alice, bob]) = (TestLog::default(), ["alice", "bob"].map(id));
    for actor in [&alice, &bob] {
        log.deposit(actor, 1);
    }
    log.opening();
    let tried = |log: &TestLog| {
        let found = analyzed(log);
        let attempts = [&alice, &bob].map(|actor| found.actors[actor].tape.attempts(Rsn::new(1)));
        let last: Vec<_> = found.last_tried.iter().map(|tried| (tried.actor.clone(), tried.replay)).collect();
        (last, attempts)
    };
    log.attempt(&alice, 1, 0);
    assert_eq!(tried(&log), (vec![(alice.clone(), false)], [1, 0]));
    log.attempt(&bob, 1, 0);
    assert_eq!(tried(&log), (vec![(bob.clone(), false)], [0, 1]), "the process survived the first");
    log.frame(&alice, 0, |frame| frame.put_attempt(Rsn::new(1)));
    log.attempt(&bob, 1, 0);
    let together = vec![(alice.clone(), false), (bob.clone(), false)];
    assert_eq!(tried(&log), (together, [1, 1]), "noted in one block, they are tried together");
    log.attempt(&bob, 1, 1);
    assert_eq!(tried(&log), (vec![(alice.clone(), false)], [1, 0]), "the try of the second has ended");
    log.frame(&alice, 0, |frame| (0..2).for_each(|_| frame.put_attempt(Rsn::new(1))));
    log.commit();
    assert_eq!(tried(&log), (vec![], [0, 0]), "that of the first has ended without success");
    log.attempt(&alice, 1, 0);
    log.opening();
    assert_eq!(tried(&log), (vec![], [1, 0]), "the next opening has tried nothing yet");
    log.recovered();
    assert_eq!(tried(&log), (vec![], [0, 0]), "an actor that comes to the end has survived all");
}

/// A note that begins where the checkpoint ends is of a replay, when something is there to replay.
#[test]
fn a_try_of_what_was_handled_is_a_replay() {
    let (mut log, alice) = (TestLog::default(), id("alice"));
    log.received(&alice, 1, &Sender::Outside, &Boom());
    log.opening();
    log.attempt(&alice, 1, 0);
    assert!(!analyzed(&log).last_tried[0].replay, "nothing tells that it was handled");
    // The next frame tells.
    let payload = encode(&Boom()).unwrap();
    log.frame(&alice, 1, |frame| {
        frame.put_delivery(Rsn::new(2), &Sender::Outside, false, &"boom".into(), &payload);
    });
    log.commit();
    log.opening();
    log.attempt(&alice, 1, 0);
    assert!(analyzed(&log).last_tried[0].replay);
    log.opening();
    log.attempt(&alice, 2, 1);
    assert!(!analyzed(&log).last_tried[0].replay);
}

/// A receiver that may have what the first delivery sent makes a replay of it, unless the note
/// names what was handled before: then the actor was to handle it.
#[test]
fn a_note_of_a_replay_names_no_handled_delivery() {
    let (mut log, alice) = (TestLog::default(), id("alice"));
    log.deposit(&alice, 1);
    log.checkpoint(&alice, 1, 1);
    log.received(&alice, 2, &Sender::Outside, &Pass("bob".to_owned()));
    log.received(&id("bob"), 1, &from_actor("alice", 1), &Deposit(1));
    log.opening();
    log.attempt(&alice, 2, 1);
    assert!(!analyzed(&log).last_tried[0].replay);
    log.attempt(&alice, 2, 0);
    assert!(analyzed(&log).last_tried[0].replay);
}

/// The sample is bounded for each kind, however many actors are passive.
#[test]
fn of_many_passive_actors_some_are_a_sample() {
    let log = TestLog::default();
    let mut model = TestLog::default();
    model.deposit(&id("model"), 1);
    for number in 1..=PASSIVE_CHECKED_MAX as u64 + 9 {
        let mut checkpoint = model.checkpoint_of(&id("model"), 1, number);
        checkpoint.header.actor = id(&number.to_string());
        log.store.put(&[checkpoint]).unwrap();
    }
    let found = analyzed(&log);
    assert_eq!(found.passive.len(), PASSIVE_CHECKED_MAX);
    assert_eq!(found.stored.count(), PASSIVE_CHECKED_MAX + 9);
}

/// The store's error counts when it fails, the visitor's when it refuses.
#[test]
fn a_listing_ends_with_the_first_refusal() {
    let (mut log, alice) = (TestLog::default(), id("alice"));
    log.deposit(&alice, 1);
    log.checkpoint(&alice, 1, 1);
    log.store.put(&[Checkpoint { header: header(&id("bob")), ..log.checkpoint_of(&alice, 1, 2) }]).unwrap();
    let mut seen = 0;
    let refused = list(&log.store, |_| {
        seen += 1;
        Err(OpenError::NoTokio)
    });
    assert!(matches!(refused, Err(OpenError::NoTokio)) && seen == 1);
    let ended: &MemoryStore = &log.store;
    ended.crash();
    assert!(matches!(list(ended, |_| Ok(())), Err(OpenError::Store(_))));
}

fn header(actor: &ActorId) -> CheckpointHeader {
    CheckpointHeader {
        actor: actor.clone(),
        number: CheckpointNumber::new(2),
        rsn: Rsn::new(1),
        state_version: 1,
        restore_at_open: false,
        wake_at: None,
    }
}
