//! Writes a decoded frame again and compares: what was understood is what can be written.

use relive_storage::frame::FrameContext;
use relive_storage::limits::{
    FRAME_RECORDS_MAX, IDEMPOTENCY_KEY_BYTES_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX,
    QUARANTINE_REASON_BYTES_MAX,
};
use relive_storage::record::{Record, Sender};
use relive_storage::{CarriedFrame, Frame, FrameWriter, Rsn, Ssn};

/// Checks a frame that was decoded from `length` bytes.
///
/// The bytes themselves may differ: a writer leaves out a name that the record before has, a reader
/// does not insist. The version may, too: an older one is written as the newest.
pub(crate) fn check(frame: &Frame, length: usize, context: FrameContext) {
    check_limits(frame);
    let bytes = encode(frame);
    assert!(bytes.len() <= length, "{length} bytes became {} when they were written again", bytes.len());
    let whole = bytes.len();
    let (again, used) =
        Frame::decode(&bytes.into(), context).expect("what was decoded can be written and read");
    let mut frame = Frame { digests_with_replies: false, ..frame.clone() };
    for positioned in &mut frame.records {
        if let Record::Event(event) = &mut positioned.record {
            event.clock = Some(frame.carried.unwrap_or(context).clock);
        }
    }
    assert_eq!((again, used), (frame, whole), "a frame changed when it was written again");
}

/// The bytes that a writer makes of the frame.
pub(crate) fn encode(frame: &Frame) -> Vec<u8> {
    let mut writer = FrameWriter::new();
    for positioned in &frame.records {
        match &positioned.record {
            Record::Delivery(d) => writer.put_delivery(d.rsn, &d.sender, d.asked, &d.message, &d.payload),
            Record::Event(event) => writer.put_event(event),
            Record::CheckpointMark(mark) => writer.put_checkpoint_mark(*mark),
            Record::Incarnation(epoch) => writer.put_incarnation(*epoch),
            Record::RecoveryComplete(epoch) => writer.put_recovery_complete(*epoch),
            Record::Attempt(rsn) => writer.put_attempt(*rsn),
            Record::Quarantine(decision) => writer.put_quarantine(decision),
            Record::Discharge(rsn) => writer.put_discharge(*rsn),
            Record::Carried(carried) => writer.put_carried(*carried),
            Record::Released(released) => writer.put_released(released),
            other => panic!("a kind of record that no target knows: {other:?}"),
        }
    }
    let mut bytes = Vec::new();
    writer.finish(frame.actor.as_ref(), frame.since, frame.handled, &frame.digests).append_to(&mut bytes);
    let Some(origin) = frame.carried else { return bytes };
    let copy = CarriedFrame::of(&bytes.into(), origin).expect("what was written can be read");
    let mut carried = Vec::new();
    copy.frame().append_to(&mut carried);
    carried
}

fn check_limits(frame: &Frame) {
    assert!((1..=FRAME_RECORDS_MAX).contains(&frame.records.len()));
    for positioned in &frame.records {
        match &positioned.record {
            Record::Delivery(delivery) => {
                check_name(&delivery.message);
                assert!(delivery.payload.len() <= PAYLOAD_BYTES_MAX && delivery.rsn > Rsn::NONE);
                match &delivery.sender {
                    Sender::Producer { name, ssn } => {
                        check_name(name);
                        assert!(*ssn > Ssn::NONE);
                    }
                    Sender::Actor { ssn, .. } => assert!(*ssn > Ssn::NONE),
                    Sender::Timer { name, .. } => check_name(name),
                    Sender::Keyed { key } => {
                        assert!(
                            (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()),
                            "a key of {} bytes",
                            key.len()
                        );
                    }
                    Sender::Outside => {}
                }
            }
            Record::Quarantine(decision) => {
                assert!(decision.rsn > Rsn::NONE && decision.reason.len() <= QUARANTINE_REASON_BYTES_MAX);
            }
            Record::Event(event) => {
                check_name(&event.name);
                assert!(event.outcome.len() <= PAYLOAD_BYTES_MAX);
            }
            _ => {}
        }
    }
}

fn check_name(name: &str) {
    assert!((1..=NAME_BYTES_MAX).contains(&name.len()), "a name of {} bytes was let in", name.len());
}
