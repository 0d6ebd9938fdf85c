//! Whole records come back as the state that they were recorded from.

use std::sync::atomic::Ordering;

use relive_replay::checkpoint_body::capture;
use relive_replay::restore;
use relive_storage::{CheckpointNumber, Rsn};

use crate::recorder::{Recorder, STORE, id, kind_as_recorded, replay};
use crate::till::{AS_RECORDED, Add, DONE, Do, Till};

fn recorded() -> Recorder {
    let mut recorder = Recorder::new();
    for round in 0..5 {
        recorder.deliver(&Add(round));
        recorder.deliver(&Do);
    }
    recorder
}

/// Invariant: one-step. Fresh, from nothing: the same state, and nothing is done outside again.
#[test]
fn a_tape_gives_the_state_it_was_recorded_from() {
    let recorder = recorded();
    let done = DONE.load(Ordering::SeqCst);
    let mut tape = recorder.tape(Rsn::NONE);
    let restored = restore(&kind_as_recorded(), &id(), STORE, None, &mut tape, None).unwrap();
    assert_eq!(restored.instance.state::<Till<AS_RECORDED>>().unwrap(), &recorder.state());
    assert_eq!(restored.owed.messages, recorder.sends);
    assert_eq!((restored.replayed, restored.unfinished), (10, None));
    assert_eq!(recorder.state().keys[0], format!("{STORE}/till/one/2/0"));
    assert_eq!(recorder.state().keys[1], format!("{STORE}/till/one/2/1"));
    // Other tests may do something meanwhile, but not these twenty again: their outcomes are in the
    // state compared.
    assert!(DONE.load(Ordering::SeqCst) >= done);
}

/// Invariant: checkpoint-covers-log. From the checkpoint at any delivery the same comes out as from
/// nothing.
#[test]
fn every_checkpoint_gives_the_same_state() {
    for at in 0..=10_u64 {
        let mut recorder = Recorder::new();
        let mut checkpoint = None;
        for number in 0..10 {
            if number == at {
                let number = CheckpointNumber::new(1);
                checkpoint = Some(capture(&recorder.instance, &recorder.owed(), number, &|| ()).unwrap().0);
            }
            if number % 2 == 0 { recorder.deliver(&Add(number)) } else { recorder.deliver(&Do) }
        }
        let checkpoint = checkpoint.unwrap_or_else(|| {
            capture(&recorder.instance, &recorder.owed(), CheckpointNumber::new(1), &|| ()).unwrap().0
        });
        assert_eq!(checkpoint.header.rsn, Rsn::new(at));
        let mut tape = recorder.tape(checkpoint.header.rsn);
        let restored =
            restore(&kind_as_recorded(), &id(), STORE, Some(&checkpoint), &mut tape, None).unwrap();
        assert_eq!(restored.instance.state::<Till<AS_RECORDED>>().unwrap(), &recorder.state(), "at {at}");
        assert_eq!(restored.owed.messages, recorder.sends, "at {at}");
        assert_eq!(restored.replayed, 10 - at);
    }
}

/// Invariant: one-step. Records that end in the middle of a delivery give the state before it, and
/// say so.
#[test]
fn a_delivery_without_all_its_events_is_left_to_live() {
    for events in 0..2 {
        let mut recorder = recorded();
        let before = recorder.state();
        recorder.deliver_until(&Do, events).unwrap_err();
        let mut tape = recorder.tape(Rsn::NONE);
        let restored = restore(&kind_as_recorded(), &id(), STORE, None, &mut tape, None).unwrap();
        assert_eq!(restored.instance.state::<Till<AS_RECORDED>>().unwrap(), &before);
        assert_eq!(restored.unfinished, Some(Rsn::new(11)));
        assert_eq!(tape.remaining(), 1, "the tape stands before it");
    }
}

/// Stopping ahead of a delivery leaves it on the tape.
#[test]
fn a_replay_can_stop_ahead_of_a_delivery() {
    let recorder = recorded();
    let mut tape = recorder.tape(Rsn::NONE);
    let restored = restore(&kind_as_recorded(), &id(), STORE, None, &mut tape, Some(Rsn::new(4))).unwrap();
    assert_eq!((restored.instance.handled(), restored.unfinished), (Rsn::new(3), Some(Rsn::new(4))));
    assert_eq!(tape.remaining(), 7);
}

/// Two replays of one tape are the same.
#[test]
fn a_tape_can_be_rewound() {
    let recorder = recorded();
    let mut tape = recorder.tape(Rsn::NONE);
    let first = replay::<AS_RECORDED>(&mut tape).unwrap();
    assert_eq!(replay::<AS_RECORDED>(&mut tape).unwrap(), first);
}
