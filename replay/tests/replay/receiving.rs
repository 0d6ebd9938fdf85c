//! What receivers have of an actor tells what it had handled, where no record of its own does.

use relive_replay::receptions::Beyond;
use relive_replay::{Halt, HaltReason, Outgoing, Restored, Tape, restore};
use relive_storage::record::{Delivery, Record, Sender};
use relive_storage::{Frame, Rsn, Timestamp};

use crate::recorder::{Recorder, STORE, id, tape_of};
use crate::till::{ADDS, AS_RECORDED, Add, Do, OMITS, SENDS_ANOTHER, SENDS_NOTHING, kind};

/// Deliveries 1 to 4, of which the second and the last send something, and no record tells what the
/// last three did.
fn recorded() -> Recorder {
    let mut recorder = Recorder::new();
    recorder.deliver(&Add(1));
    recorder.deliver(&Add(2));
    recorder.deliver(&Do);
    recorder.deliver(&Add(4));
    recorder
}

/// The records of the deliveries, as if all had been logged together: nothing tells that any was
/// handled.
fn untold(recorder: &Recorder) -> Vec<Frame> {
    let mut frames = recorder.frames.clone();
    for frame in &mut frames {
        (frame.since, frame.handled) = (Rsn::NONE, Rsn::NONE);
        frame.digests.clear();
    }
    frames.retain(|frame| matches!(frame.records[0].record, Record::Delivery(_)));
    frames
}

/// What the receiver's log has of a message.
fn delivered(outgoing: &Outgoing) -> Delivery {
    Delivery {
        rsn: Rsn::new(outgoing.ssn.get()),
        sender: Sender::Actor { id: id(), ssn: outgoing.ssn },
        asked: false,
        message: outgoing.message.clone(),
        payload: outgoing.payload.clone(),
        clock: Timestamp::default(),
        seed: 0,
    }
}

/// A tape whose receiver has logged the first messages, as many as the number says.
fn tape(recorder: &Recorder, received: usize) -> Tape {
    let mut tape = tape_of(&untold(recorder), Rsn::NONE).unwrap();
    for outgoing in &recorder.sends[..received] {
        tape.add_reception(&outgoing.to, outgoing.ssn, &delivered(outgoing));
    }
    tape
}

fn diverges_at(halt: &Halt, rsn: u64) -> bool {
    matches!(halt.reason, HaltReason::Divergence(_)) && halt.rsn == Rsn::new(rsn)
}

fn replay<const B: u8>(tape: &mut Tape, before: Option<Rsn>) -> Result<Restored, Halt> {
    restore(&kind::<B>(), &id(), STORE, None, tape, before)
}

/// What it has not sent yet and a receiver has is replayed, also when it is to stop before.
#[test]
fn what_has_arrived_was_handled() {
    let mut recorder = Recorder::new();
    for cents in [1, 2, 3, 4] {
        recorder.deliver(&Add(cents));
    }
    let first = Some(Rsn::new(1));
    for (received, handled) in [(0, 0), (1, 2), (2, 4)] {
        let mut tape = tape(&recorder, received);
        assert_eq!(tape.certain(), Rsn::NONE);
        let restored = replay::<AS_RECORDED>(&mut tape, first).unwrap();
        assert_eq!(restored.instance.handled(), Rsn::new(handled), "{received} have arrived");
        assert_eq!(restored.owed.messages, recorder.sends[..received]);
        assert_eq!(tape.certain(), Rsn::new(handled));
    }
}

/// Invariant: divergence-stops. A side effect that has no record can't have been begun by what was
/// handled: it is not the end of the records.
#[test]
fn what_was_handled_has_all_its_side_effects_on_record() {
    let recorder = recorded();
    // The last message has arrived, so the third delivery was handled; its side effects are not
    // among the records.
    let halt = replay::<AS_RECORDED>(&mut tape(&recorder, 2), None).err().unwrap();
    assert!(diverges_at(&halt, 3), "{halt}");
    // When only the first has, it may have ended there.
    let restored = replay::<AS_RECORDED>(&mut tape(&recorder, 1), None).unwrap();
    assert_eq!(restored.unfinished, Some(Rsn::new(3)));
    for halt in [
        replay::<OMITS>(&mut tape(&recorder, 2), None).err().unwrap(),
        replay::<ADDS>(&mut tape(&recorder, 2), None).err().unwrap(),
    ] {
        assert!(matches!(halt.reason, HaltReason::Divergence(_)), "{halt}");
    }
}

/// Invariant: divergence-stops. Another message under the number of one that has arrived.
#[test]
fn another_message_is_a_divergence_where_it_is_sent() {
    let mut recorder = Recorder::new();
    recorder.deliver(&Add(1));
    recorder.deliver(&Add(2));
    recorder.deliver(&Add(3));
    let halt = replay::<SENDS_ANOTHER>(&mut tape(&recorder, 1), None).err().unwrap();
    assert!(diverges_at(&halt, 2), "{halt}");
    assert!(replay::<SENDS_ANOTHER>(&mut tape(&recorder, 0), None).is_ok(), "nobody knows of it");
}

/// Invariant: no-orphan. The log had the delivery that sent a message before the message arrived.
/// So the replay stops at that delivery at the latest.
#[test]
fn a_message_that_is_not_sent_is_a_divergence_where_it_was_sent_at_the_latest() {
    let mut recorder = Recorder::new();
    recorder.deliver(&Add(1));
    recorder.deliver(&Add(2));
    let mut tape = tape(&recorder, 1);
    for _ in 0..3 {
        recorder.deliver(&Add(1));
    }
    for frame in &untold(&recorder)[2..] {
        tape.push(frame.clone()).unwrap();
    }
    for before in [None, Some(Rsn::new(1)), Some(Rsn::new(5))] {
        let halt = replay::<SENDS_NOTHING>(&mut tape, before).err().unwrap();
        assert!(diverges_at(&halt, 2), "{halt}");
        assert_eq!(tape.known(), Rsn::new(2));
    }
}

/// Where the actor's own records tell, they are what counts: nothing is kept of what others have.
#[test]
fn nothing_is_kept_where_the_records_tell() {
    let recorder = recorded();
    let mut told = recorder.tape(Rsn::NONE);
    assert_eq!(told.certain(), Rsn::new(3));
    told.add_reception(&recorder.sends[0].to, recorder.sends[0].ssn, &delivered(&recorder.sends[0]));
    assert!(told.has_receptions(), "the last may have sent it, as far as the log tells");
    let sent = [(recorder.sends[0].to.clone(), recorder.sends[0].ssn)].into();
    assert_eq!(told.received_beyond(&Default::default()), Beyond::Handled);
    assert_eq!(told.received_beyond(&sent), Beyond::Nothing);
    let mut covered = Tape::after(Rsn::new(4));
    covered.add_reception(&recorder.sends[0].to, recorder.sends[0].ssn, &delivered(&recorder.sends[0]));
    assert!(!covered.has_receptions());
}
