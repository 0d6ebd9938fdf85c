//! Records that are damaged, and handlers that are not what they were: each is a typed error that
//! says where.

use relive_replay::{Halt, HaltReason, restore};
use relive_storage::record::{CheckpointMark, Event, EventKind, Positioned, Quarantine, Record, Sender};
use relive_storage::{CheckpointNumber, Frame, Rsn, Ssn};

use crate::recorder::{Recorder, STORE, id, kind_as_recorded, replay, tape_of};
use crate::till::{ADDS, AS_RECORDED, AWAITS, Add, DRAWS, Do, OMITS, RENAMES, SENDS_ANOTHER};

/// Five deliveries, the third with two events; digests are known for all but the last.
fn recorded() -> Recorder {
    let mut recorder = Recorder::new();
    recorder.deliver(&Add(1));
    recorder.deliver(&Add(2));
    recorder.deliver(&Do);
    recorder.deliver(&Add(4));
    recorder.deliver(&Add(5));
    recorder
}

fn divergence<const B: u8>() -> (Rsn, String, String) {
    let mut tape = recorded().tape(Rsn::NONE);
    match replay::<B>(&mut tape) {
        Err(Halt { actor, rsn, reason: HaltReason::Divergence(divergence), .. }) => {
            assert_eq!(actor, id());
            (rsn, divergence.expected, divergence.found)
        }
        other => panic!("no divergence: {other:?}"),
    }
}

/// Invariant: divergence-stops.
#[test]
fn another_effect_is_a_divergence_at_its_delivery() {
    let (rsn, expected, found) = divergence::<SENDS_ANOTHER>();
    assert_eq!(rsn, Rsn::new(2));
    assert!(expected.starts_with("effects with the digest") && expected != found);
}

/// Invariant: divergence-stops. A draw more is one too, although its value goes nowhere.
#[test]
fn another_draw_is_a_divergence() {
    let (rsn, expected, found) = divergence::<DRAWS>();
    assert_eq!((rsn, expected.as_str()), (Rsn::new(1), "nothing"));
    assert!(found.starts_with("effects with the digest"));
}

/// Invariant: divergence-stops. Side effects are named.
#[test]
fn another_side_effect_is_a_divergence_by_name() {
    let third = Rsn::new(3);
    let say = |text: &str| text.to_owned();
    assert_eq!(
        divergence::<RENAMES>(),
        (third, say("side effect 0 \"first\""), say("side effect 0 \"renamed\""))
    );
    assert_eq!(divergence::<OMITS>(), (third, say("side effect 1 \"second\""), say("nothing more")));
    assert_eq!(divergence::<ADDS>(), (third, say("nothing more"), say("side effect 2 \"third\"")));
}

/// A handler that waits for something outside is reported, not left hanging.
#[test]
fn a_foreign_await_is_an_error() {
    let halt = replay::<AWAITS>(&mut recorded().tape(Rsn::NONE)).unwrap_err();
    assert_eq!(halt.rsn, Rsn::new(1));
    assert!(matches!(&halt.reason, HaltReason::ForeignAwait { message, .. } if message == "add"));
}

fn deliveries(frames: &[Frame]) -> Vec<usize> {
    let is_delivery = |frame: &Frame| matches!(frame.records[0].record, Record::Delivery(_));
    (0..frames.len()).filter(|index| is_delivery(&frames[*index])).collect()
}

/// Invariant: prefix. A delivery that is missing is a gap, wherever it is missing; nothing is
/// skipped.
#[test]
fn a_missing_delivery_is_a_gap() {
    let recorder = recorded();
    for missing in &deliveries(&recorder.frames)[..4] {
        let mut frames = recorder.frames.clone();
        frames.remove(*missing);
        assert!(tape_of(&frames, Rsn::NONE).is_err());
    }
}

/// Invariant: prefix. A delivery that stands twice is damage.
#[test]
fn a_repeated_delivery_is_damage() {
    let recorder = recorded();
    for repeated in deliveries(&recorder.frames) {
        let mut frames = recorder.frames.clone();
        frames.insert(repeated + 1, frames[repeated].clone());
        assert!(tape_of(&frames, Rsn::NONE).is_err());
    }
}

/// Invariant: prefix. So is an event that stands twice: which of the two outcomes was it?
#[test]
fn a_repeated_event_is_damage() {
    let recorder = recorded();
    let at = recorder.frames.iter().position(|frame| matches!(frame.records[0].record, Record::Event(_)));
    let mut frames = recorder.frames;
    frames.insert(at.unwrap() + 1, frames[at.unwrap()].clone());
    assert!(tape_of(&frames, Rsn::NONE).is_err());
}

/// Invariant: prefix. What a record says of a delivery that never came is damage, whichever record
/// says it: none is taken for a promise that the log ends later than it does.
#[test]
fn a_record_of_a_delivery_that_never_came_is_damage() {
    let recorder = recorded();
    let end = deliveries(&recorder.frames).len() as u64;
    let said = |rsn| {
        let reason = "it panicked".to_owned();
        [
            Record::Event(Event {
                rsn,
                index: 9,
                kind: EventKind::SideEffect,
                name: "charge".into(),
                outcome: bytes::Bytes::new(),
                clock: None,
            }),
            Record::CheckpointMark(CheckpointMark { number: CheckpointNumber::new(1), rsn }),
            Record::Attempt(rsn),
            Record::Quarantine(Quarantine { rsn, tries: 1, reason }),
            Record::Discharge(rsn),
        ]
    };
    for (came, never) in said(Rsn::new(end)).into_iter().zip(said(Rsn::new(end + 1))) {
        let with = |record| {
            let mut frames = recorder.frames.clone();
            let lsn = frames[0].records[0].lsn;
            frames.last_mut().unwrap().records.push(Positioned { lsn, record });
            tape_of(&frames, Rsn::NONE)
        };
        assert!(with(came.clone()).is_ok(), "{came:?}");
        let corrupt = with(never.clone()).unwrap_err();
        assert_eq!(corrupt.rsn, Rsn::new(end + 1), "{never:?}: {corrupt}");
    }
}

/// Invariant: exactly-once inside. A message that was delivered before, under a new position, is
/// damage too.
#[test]
fn a_duplicate_or_a_gap_in_a_channel_is_damage() {
    for ssn in [1, 4, 9] {
        let recorder = recorded();
        let mut frames = recorder.frames;
        let last = deliveries(&frames)[4];
        if let Record::Delivery(delivery) = &mut frames[last].records[0].record {
            delivery.sender = Sender::Producer { name: "test".into(), ssn: Ssn::new(ssn) };
        }
        let mut tape = tape_of(&frames, Rsn::NONE).unwrap();
        let halt = restore(&kind_as_recorded(), &id(), STORE, None, &mut tape, None).err().unwrap();
        assert!(matches!(halt.reason, HaltReason::Corrupt { .. }), "ssn {ssn}: {halt}");
        assert_eq!(halt.rsn, Rsn::new(5), "ssn {ssn}: {halt}");
    }
}

/// Invariant: prefix. An event that is missing although the delivery was done is no end of the
/// tape.
#[test]
fn a_missing_event_of_a_finished_delivery_is_a_divergence() {
    let recorder = recorded();
    let events = |frame: &&Frame| matches!(frame.records[0].record, Record::Event(_));
    assert_eq!(recorder.frames.iter().filter(events).count(), 2);
    let at = recorder.frames.iter().position(|frame| events(&frame)).unwrap();
    for missing in [at, at + 1] {
        let mut frames = recorder.frames.clone();
        frames.remove(missing);
        let mut tape = tape_of(&frames, Rsn::NONE).unwrap();
        assert!(matches!(
            replay::<AS_RECORDED>(&mut tape),
            Err(Halt { reason: HaltReason::Divergence(_), .. })
        ));
    }
}

/// Invariant: prefix. A payload that is no message of its type is an error, not a skipped delivery.
#[test]
fn a_payload_that_does_not_decode_is_an_error() {
    let mut frames = recorded().frames;
    let second = deliveries(&frames)[1];
    if let Record::Delivery(delivery) = &mut frames[second].records[0].record {
        delivery.payload = bytes::Bytes::from_static(b"\xc1");
    }
    let halt = replay::<AS_RECORDED>(&mut tape_of(&frames, Rsn::NONE).unwrap()).unwrap_err();
    assert!(matches!(halt.reason, HaltReason::Codec { .. }) && halt.rsn == Rsn::new(2), "{halt}");
}

/// A tape that does not begin where the checkpoint ends is refused.
#[test]
fn a_tape_of_another_checkpoint_is_refused() {
    let recorder = recorded();
    let mut tape = recorder.tape(Rsn::new(2));
    let halt = restore(&kind_as_recorded(), &id(), STORE, None, &mut tape, None).err().unwrap();
    assert!(matches!(halt.reason, HaltReason::Corrupt { .. }));
}
