//! What a tape knows of tries and of effects, and what it must not lose on the way to live.

use relive_storage::record::Sender;
use relive_storage::{Lsn, Name};

use relive_storage::record::EventKind;

use super::*;

fn rsn(number: u64) -> Rsn {
    Rsn::new(number)
}

fn delivery(number: u64) -> Delivery {
    let (message, clock): (Name, _) = ("add".into(), Default::default());
    let (sender, payload) = (Sender::Outside, Default::default());
    Delivery { rsn: rsn(number), sender, asked: false, message, payload, clock, seed: 0 }
}

/// Adds a frame that covers the deliveries after `since` up to `handled`.
fn add(tape: &mut Tape, (since, handled): (u64, u64), digests: &[EffectDigest], records: Vec<Record>) {
    let records = records.into_iter().map(|record| Positioned { lsn: Lsn::FIRST, record });
    tape.add((rsn(since), rsn(handled)), Some(digests), records).unwrap();
}

/// A tape of so many deliveries, of which nothing more is known.
fn tape(deliveries: u64) -> Tape {
    let mut tape = Tape::default();
    add(&mut tape, (0, 0), &[], (1..=deliveries).map(|number| Record::Delivery(delivery(number))).collect());
    tape
}

fn digest(number: u64) -> EffectDigest {
    EffectDigest { rsn: rsn(number), digest: number * 7 }
}

/// A try counts until its end is on record, or the process has survived it.
#[test]
fn tries_count_until_they_have_ended() {
    let mut tape = tape(2);
    let attempts = |tape: &Tape| [tape.attempts(rsn(1)), tape.attempts(rsn(2))];
    for _ in 0..2 {
        add(&mut tape, (0, 0), &[], vec![Record::Attempt(rsn(1)), Record::Attempt(rsn(2))]);
    }
    assert_eq!(attempts(&tape), [2, 2]);
    tape.survived(rsn(1));
    assert_eq!(attempts(&tape), [1, 2], "one life has survived it");
    tape.survived(rsn(1));
    tape.survived(rsn(1));
    assert_eq!(attempts(&tape), [0, 2], "there is nothing to take back");
    add(&mut tape, (0, 0), &[], vec![Record::Attempt(rsn(2)), Record::Attempt(rsn(2))]);
    assert_eq!(attempts(&tape), [0, 1], "the frame says that the try has ended otherwise");
    add(&mut tape, (2, 2), &[], vec![Record::Attempt(rsn(2))]);
    assert_eq!(attempts(&tape), [0, 0], "the frame says that it was handled");
    add(&mut tape, (2, 2), &[], vec![Record::Attempt(rsn(1))]);
    tape.settle(rsn(2));
    assert_eq!((attempts(&tape), tape.settled()), ([0, 0], rsn(2)));
}

/// What other tapes know of the actor's end counts, not what its own records say.
#[test]
fn what_others_have_seen_goes_over_to_another_tape() {
    let (mut own, mut others) = (tape(3), tape(3));
    for tape in [&mut own, &mut others] {
        add(tape, (0, 0), &[], vec![Record::Attempt(rsn(2)), Record::Attempt(rsn(3))]);
    }
    others.settle(rsn(1));
    add(&mut others, (0, 0), &[], vec![Record::Attempt(rsn(3))]);
    own.inherit(others.seen_by_others());
    assert_eq!((own.attempts(rsn(2)), own.attempts(rsn(3)), own.settled()), (0, 1, rsn(1)));
}

/// Invariant: divergence-stops. Where frames cover a delivery its effects are known, also that
/// there were none. Behind a gap nothing is known.
#[test]
fn only_what_frames_cover_is_compared() {
    let mut tape = tape(4);
    add(&mut tape, (0, 2), &[digest(1)], vec![]);
    add(&mut tape, (3, 4), &[], vec![]);
    assert!(tape.finish(rsn(1), Some(7)).is_ok() && tape.finish(rsn(2), None).is_ok());
    assert!(tape.finish(rsn(1), Some(8)).is_err() && tape.finish(rsn(1), None).is_err());
    assert!(tape.finish(rsn(2), Some(7)).is_err());
    assert!(tape.finish(rsn(3), Some(9)).is_ok(), "nobody knows what it did");
    assert!(tape.finish(rsn(4), Some(9)).is_err());
    assert_eq!((tape.covered(), tape.take_pending()), (rsn(4), vec![]));
}

/// The digests that the crash kept from the log go into the next frame, once.
#[test]
fn digests_that_no_frame_has_are_logged_once() {
    let mut tape = tape(2);
    for _ in 0..2 {
        tape.rewind();
        for number in 1..=2 {
            tape.finish(rsn(number), Some(number * 7)).unwrap();
        }
    }
    assert_eq!(tape.take_pending(), [digest(1), digest(2)]);
    tape.logged(rsn(2));
    assert_eq!((tape.covered(), tape.take_pending()), (rsn(2), vec![]));
}

/// An actor that goes on live keeps the events of the delivery that the crash cut off, and nothing
/// of what is done.
#[test]
fn a_tape_for_live_keeps_what_is_ahead() {
    let event = |number| Event {
        rsn: rsn(number),
        index: 0,
        kind: EventKind::SideEffect,
        name: "charge".into(),
        outcome: Default::default(),
        clock: None,
    };
    let mut tape = tape(2);
    add(&mut tape, (0, 1), &[], vec![Record::Event(event(1)), Record::Event(event(2))]);
    assert_eq!(tape.next_delivery().map(|delivery| delivery.rsn), Some(rsn(1)));
    assert_eq!(tape.next_delivery().map(|delivery| delivery.rsn), Some(rsn(2)));
    tape.forget(rsn(1));
    assert_eq!((tape.start(), tape.last(), tape.certain(), tape.covered()), (rsn(1), rsn(1), rsn(1), rsn(1)));
    assert!(matches!(tape.next_event(rsn(2), &[]), Ok(Some(_))));
    assert!(matches!(tape.next_event(rsn(2), &[]), Ok(None)), "it happens now");
    assert!(tape.next_event(rsn(1), &[]).is_err(), "that is over");
}

/// Another kind of event is never taken for a side effect, whatever its name.
/// An event that the handler does not take any more says what it is.
#[test]
fn an_event_that_nobody_takes_is_a_divergence_that_says_what_it_is() {
    let from = relive_storage::ActorId::new("account", "bob").unwrap();
    let kinds = [
        (EventKind::Reply { from, ssn: Ssn::new(3) }, "ask 0 of account/bob for \"charge\""),
        (EventKind::AskFailed, "ask 0 for \"charge\", which failed"),
        (EventKind::Elapsed, "sleep 0"),
        (EventKind::Answer, "query 0 \"charge\""),
    ];
    for (kind, expected) in kinds {
        let mut tape = tape(1);
        let (name, outcome) = ("charge".into(), Default::default());
        let event = Event { rsn: rsn(1), index: 0, kind, name, outcome, clock: None };
        add(&mut tape, (0, 0), &[], vec![Record::Event(event.clone())]);
        assert_eq!(tape.finish(rsn(1), None).unwrap_err().expected, expected);
        assert_eq!(tape.next_event(rsn(1), &[]), Ok(Some(event)));
        assert_eq!(tape.finish(rsn(1), None), Ok(()));
    }
}

#[test]
#[should_panic(expected = "would be forgotten untaken")]
fn a_delivery_that_nobody_took_is_not_forgotten() {
    tape(1).forget(rsn(1));
}

#[test]
#[should_panic(expected = "takes all digests along")]
fn a_frame_leaves_no_digest_behind() {
    let mut tape = tape(1);
    tape.finish(rsn(1), Some(7)).unwrap();
    tape.logged(rsn(1));
}

/// Nothing that was answered is a first try any more: the asker has the reply on stable storage.
#[test]
fn a_reply_in_the_log_shows_that_its_request_was_handled() {
    let mut tape = Tape::after(rsn(0));
    let asker = relive_storage::ActorId::new("account", "bob").unwrap();
    let sender = Sender::Actor { id: asker.clone(), ssn: Ssn::new(1) };
    let request = Delivery { sender, asked: true, ..delivery(1) };
    add(&mut tape, (0, 0), &[], vec![Record::Delivery(request), Record::Delivery(delivery(2))]);
    tape.add_answered(&asker, Ssn::new(2));
    assert_eq!(tape.certain(), rsn(0), "it is no request on this tape");
    tape.add_answered(&asker, Ssn::new(1));
    assert_eq!(tape.certain(), rsn(1));
}
